//! A mirror that means harm hurts nobody: callers get whole answers, memory stays within the budget, and what was not
//! compared is counted.

use std::net::SocketAddr;
use std::time::Duration;

use harness::backend::BlackHole;
use harness::ports::{FullBacklog, refused_address};
use harness::{Answer, Backend, Router, Setup, Step, wait_for};

/// What copies may hold.
const BUDGET_KIB: u64 = 8 << 10;

/// What else a router may need that runs for its life: connections of copies, their buffers, and what the allocator keeps.
const SLACK_KIB: u64 = 48 << 10;

const ROUNDS: usize = 60;
const CALLERS: usize = 4;

/// Of legacy: longer than a buffer, so that it streams.
fn answer() -> Vec<u8> {
    let body = "0123456789abcdef".repeat(4_096);
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn count(router: &Router, name: &str, labels: &str) -> u64 {
    format!("{:.0}", router.metric(name, labels).await.unwrap_or(0.0)).parse().unwrap()
}

async fn start(legacy: &Backend, mirror: SocketAddr) -> Router {
    let parallel = "noise: 5%, timeout: 1s, budget: {memory: 8MiB, in_flight: 64}, \
                    writes: [{path: /**, methods: [POST], dry_run: true}]";
    let migration = format!("key: [header:x-user-id]\nparallel: {{{parallel}}}\nguard: {{action: off}}");
    let router = Setup::new(legacy.address, mirror).with_migration(&migration).start().await;
    router.mode("parallel").await;
    router
}

fn is_right(answer: &Answer) -> bool {
    answer.status() == 200
        && answer.whole
        && answer.body.len() == 65_536
        && answer.body.starts_with(b"0123456789abcdef")
}

/// Callers who get what they ask for while the mirror behaves like this; the answer is the router.
async fn check(what: &str, mirror: SocketAddr) -> Router {
    let legacy = Backend::start("legacy").await;
    legacy.on_all(Some(vec![Step::ReadBody, Step::Send(answer())]));
    let router = start(&legacy, mirror).await;
    let before = router.peak_memory_kib();
    let caller = async || {
        let mut client = router.connect().await;
        let upload = "y".repeat(200_000);
        for round in 0..ROUNDS {
            let answer = match round % 3 {
                0 => client.request("POST", "/write", "", &upload).await,
                1 => client.request("GET", "/body", "", "a body").await,
                _ => client.get("/plain").await,
            };
            assert!(is_right(&answer), "{what}, round {round}: {}", answer.status());
        }
    };
    let callers: [(); CALLERS] = [(); CALLERS];
    let [a, b, c, d] = callers.map(|()| caller());
    tokio::join!(a, b, c, d);
    let grown = router.peak_memory_kib() - before;
    assert!(grown < BUDGET_KIB + SLACK_KIB, "{what}: {grown} KiB more than before");
    let requests = (ROUNDS * CALLERS) as u64;
    wait_for(&format!("{what}: every request has ended"), || async {
        (count(&router, ENDS, "").await == requests).then_some(())
    })
    .await;
    let compared = count(&router, ENDS, "").await - count(&router, ENDS, "result=\"not_compared\"").await;
    let coverage = router.metric("crossfade_comparison_coverage_ratio", "").await.unwrap();
    let (compared, requests) =
        (f64::from(u32::try_from(compared).unwrap()), f64::from(u32::try_from(requests).unwrap()));
    assert!((coverage - compared / requests).abs() < 1e-9, "{what}: {coverage} is not {compared} of {requests}");
    let failed = count(&router, "crossfade_failures_total", "side=\"legacy\"").await;
    assert_eq!((failed, count(&router, "crossfade_requests_total", "code_class=\"5xx\"").await), (0, 0), "{what}");
    router
}

/// Its results are the four ends of a request that was to be compared.
const ENDS: &str = "crossfade_comparisons_total";

/// The same with a backend that does these steps with every copy.
async fn check_steps(what: &str, steps: Vec<Step>) -> Router {
    let mirror = Backend::start("new").await;
    mirror.on_all(Some(steps));
    check(what, mirror.address).await
}

async fn dropped(router: &Router, reason: &str) -> u64 {
    count(router, "crossfade_mirrors_dropped_total", &format!("reason=\"{reason}\"")).await
}

#[tokio::test]
async fn one_that_takes_connections_and_says_nothing() {
    let hole = BlackHole::new();
    let router = check("a black hole", hole.address).await;
    assert!(dropped(&router, "busy").await + dropped(&router, "breaker").await > 0);
}

#[tokio::test]
async fn one_that_refuses_connections_or_does_not_take_them() {
    let router = check("refused", refused_address()).await;
    assert!(dropped(&router, "breaker").await > 0);
    let full = FullBacklog::start().await;
    check("a full backlog", full.address).await;
}

#[tokio::test]
async fn one_that_reads_a_byte_at_a_time() {
    let steps = (0..64).flat_map(|_| [Step::ReadSome(1), Step::Wait(Duration::from_secs(1))]).collect();
    check_steps("a slow reader", steps).await;
}

#[tokio::test]
async fn one_that_drips() {
    let endless = format!("HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n{}", "x".repeat(1_000));
    check_steps("a dripping head", vec![Step::Drip(endless.clone().into_bytes(), Duration::from_millis(50))]).await;
    let (head, body) = endless.split_at(endless.len() - 900);
    let steps = vec![Step::ReadBody, Step::send(head), Step::Drip(body.into(), Duration::from_millis(50))];
    check_steps("a dripping body", steps).await;
}

#[tokio::test]
async fn one_that_resets() {
    check_steps("a reset", vec![Step::ReadBody, Step::Reset]).await;
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx";
    check_steps("a reset within the body", vec![Step::ReadBody, Step::send(begun), Step::Reset]).await;
}

#[tokio::test]
async fn one_that_never_stops_answering() {
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n";
    let steps = vec![Step::ReadBody, Step::send(long), Step::SendFiller(10 << 30)];
    check_steps("ten gigabytes", steps).await;
    let steps = vec![Step::ReadBody, Step::send("HTTP/1.1 200 OK\r\nX-Endless: "), Step::SendFiller(10 << 30)];
    check_steps("an endless header", steps).await;
    let interim = "HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n".repeat(10_000);
    check_steps("endless interim answers", vec![Step::ReadBody, Step::send(interim), Step::AwaitClose]).await;
}

#[tokio::test]
async fn one_that_packs_a_bomb() {
    let packed = harness::bomb::gzip(64 << 20);
    let mut bomb =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len()).into_bytes();
    bomb.extend(packed);
    check_steps("a bomb", vec![Step::ReadBody, Step::Send(bomb)]).await;
}

#[tokio::test]
async fn one_that_is_no_server() {
    check_steps("nonsense", vec![Step::ReadBody, Step::send("nonsense\r\n\r\n"), Step::Close]).await;
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    check_steps("an upgrade nobody asked for", vec![Step::ReadBody, Step::send(switch), Step::AwaitClose]).await;
}
