//! Messages in two pieces: wherever the cut is, callers and upstreams get what they get when it comes at once.
//!
//! The two pieces are two writes on a socket without delay. A reader may still find both at once, so this is a promise over some
//! thousand connections; that the parsers alone keep it at every byte is theirs to test.

use std::future::Future;
use std::sync::Arc;

use harness::backend::response;
use harness::{Answer, Seen, Step};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};

use crate::world::World;

/// Connections at a time.
const AT_ONCE: usize = 48;

/// Streams of requests, each ending its connection; `@` stands for what tells one from another.
const STREAMS: [(&str, &str); 22] = [
    ("plain", "GET /@ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    ("an empty line before", "\r\nGET /@ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    ("HTTP/1.0", "GET /@ HTTP/1.0\r\n\r\n"),
    ("a URL", "GET http://a/@?q HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    ("a length", "POST /@ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"),
    (
        "chunks",
        "POST /@ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
    ),
    (
        "trailers",
        "PUT /@ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\nHost: b\r\n\r\n",
    ),
    (
        "a body that is asked for",
        "POST /@ HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
    ),
    (
        "fields of this hop",
        "GET /@ HTTP/1.1\r\nHost: a\r\nConnection: close, X-A\r\nX-A: 1\r\nX-B:2 \r\nKeep-Alive: 5\r\n\r\n",
    ),
    (
        "two in a row",
        "POST /@/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGETGET /@/2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
    (
        "a bad one behind a good one",
        "GET /@/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /@/2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ),
    ("an upgrade", "GET /@/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    (
        "both framings",
        "POST /@ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("bare line feeds", "GET /@ HTTP/1.1\nHost: a\n\n"),
    ("folding", "GET /@ HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n 2\r\n\r\n"),
    ("two faults", "GET /@ HTTP/1.1\r\nHost: \na\r\nX A: 1\r\n\r\n"),
    ("a version", "GET /@ HTTP/1.2\r\nHost: a\r\n\r\n"),
    ("no host", "GET /@ HTTP/1.1\r\nX-A: 1\r\n\r\n"),
    ("a fragment", "GET /@#x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("no HTTP", "\x16\x03\x01\x02@\r\n\r\n"),
    ("a bad size", "POST /@ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n"),
    ("a bad trailer", "POST /@ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX A: 1\r\n\r\n"),
];

/// Answers to a GET; those that end with the connection are followed by its end.
const ANSWERS: [(&str, &str); 16] = [
    ("a length", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nX-A:b\r\n\r\nhello"),
    (
        "chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
    ("until the end", "HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nhello"),
    ("no content", "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"),
    ("not modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n"),
    (
        "an interim one",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    ),
    ("both framings", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
    ("more than its length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n"),
    ("less than its length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"),
    ("a head that breaks off", "HTTP/1.1 200 OK\r\nContent-Le"),
    ("lengths that differ", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    ("a coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"),
    ("a bad size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n"),
    ("folding", "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n"),
    ("a switch that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\n\r\n"),
    ("no HTTP", "SSH-2.0-Server\r\n\r\n"),
];

/// What tells the exchange of one case with one cut from every other, always as long.
fn mark(case: usize, cut: usize) -> String {
    format!("c{case:02}-{cut:04}")
}

/// What a caller and its upstream got of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    answer: String,
    /// Requests that reached an upstream whole; what breaks off within a body may have begun there or not.
    onward: Vec<String>,
}

/// Sends bytes in two pieces and reads to the end of the connection.
async fn exchange(world: Arc<World>, stream: String, cut: usize) -> String {
    let mut client = world.router.connect().await;
    let (first, second) = stream.as_bytes().split_at(cut);
    client.send(first).await;
    yield_now().await;
    client.send(second).await;
    let answer = String::from_utf8_lossy(&client.rest().await).into_owned();
    // Whether a caller has to be told to go on depends on whether it waited.
    answer.replace("HTTP/1.1 100 Continue\r\n\r\n", "")
}

/// Runs these, some at a time, and answers their results in order.
async fn run<T: Send + 'static>(tasks: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (at, task) in tasks.into_iter().enumerate() {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        running.spawn(async move {
            let result = task.await;
            drop(place);
            (at, result)
        });
    }
    let mut results = running.join_all().await;
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// A request as its upstream saw it, but for what differs from one to the next.
fn shown(seen: &Seen, mark: &str) -> String {
    let own =
        |(name, _): &(String, String)| !["x-request-id", "traceparent"].contains(&name.to_ascii_lowercase().as_str());
    let fields: Vec<_> = seen.head.fields().into_iter().filter(own).collect();
    let line = seen.head.first_line().replace(mark, "@");
    format!("{line} {fields:?} {:?} {:?}", seen.text(), seen.trailers)
}

fn outcome(answer: &str, seen: &[Seen], mark: &str) -> Outcome {
    let whole = seen.iter().filter(|seen| seen.whole && seen.head.target().contains(mark));
    let mut onward: Vec<String> = whole.map(|seen| shown(seen, mark)).collect();
    onward.sort();
    Outcome { answer: answer.replace(mark, "@"), onward }
}

#[tokio::test]
async fn a_request_in_two_pieces_is_the_same_request() {
    let world = Arc::new(World::start().await);
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome";
    let mut tasks = Vec::new();
    let mut cases = Vec::new();
    for (case, (_, stream)) in STREAMS.iter().enumerate() {
        let length = stream.replace('@', &mark(case, 0)).len();
        world.legacy.on(&format!("/c{case:02}"), [Step::ReadBody, Step::send(response("200 OK", "legacy"))]);
        for cut in 0..length {
            let mark = mark(case, cut);
            if stream.contains("websocket") {
                world.legacy.on(&format!("/{mark}/ws"), [Step::send(switch), Step::Close]);
            }
            tasks.push(exchange(Arc::clone(&world), stream.replace('@', &mark), cut));
            cases.push((case, cut, mark));
        }
    }
    let answers = run(tasks).await;
    let seen = world.legacy.seen();
    let mut whole = None;
    for ((case, cut, mark), answer) in cases.into_iter().zip(answers) {
        let outcome = outcome(&answer, &seen, &mark);
        if cut == 0 {
            assert!(outcome.answer.starts_with("HTTP/1.1 "), "{}: {outcome:?}", STREAMS[case].0);
            whole = Some(outcome);
        } else {
            assert_eq!(Some(outcome), whole, "{} cut at {cut}", STREAMS[case].0);
        }
    }
    assert!(world.new.bytes().is_empty());
}

/// An answer, but for how much of a broken body came before it broke.
fn told(answer: &Answer) -> String {
    let interim: Vec<String> = answer.interim.iter().map(|head| head.text()).collect();
    let body = if answer.whole { answer.text() } else { "broken off".to_owned() };
    format!("{interim:?} {} {body:?} {:?}", answer.head.text(), answer.trailers)
}

#[tokio::test]
async fn an_answer_in_two_pieces_is_the_same_answer() {
    let world = Arc::new(World::start().await);
    let mut tasks = Vec::new();
    let mut cases = Vec::new();
    for (case, (_, answer)) in ANSWERS.iter().enumerate() {
        for cut in 0..answer.len() {
            let path = format!("/{}", mark(case, cut));
            let (first, second) = answer.split_at(cut);
            world.legacy.on(&path, [Step::ReadBody, Step::send(first), Step::send(second), Step::Close]);
            let world = Arc::clone(&world);
            tasks.push(async move { world.router.connect().await.get(&path).await });
            cases.push((case, cut));
        }
    }
    let mut whole = None;
    for ((case, cut), answer) in cases.into_iter().zip(run(tasks).await) {
        let told = told(&answer);
        if cut == 0 {
            whole = Some(told);
        } else {
            assert_eq!(Some(told), whole, "{} cut at {cut}", ANSWERS[case].0);
        }
    }
}
