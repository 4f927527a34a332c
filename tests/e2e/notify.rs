//! Notices: who is told of what, how often, and that nothing waits for it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use harness::backend::{BlackHole, answers, refused_address, response};
use harness::router::crossfade_in;
use harness::{Backend, Client, RedisServer, Seen, Setup, Step, wait_for, wait_until};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::world::World;

/// 24 bytes: `a secret of 24 letters..`
const SECRET: &str = "whsec_YSBzZWNyZXQgb2YgMjQgbGV0dGVycy4u";
const SECRET_HEXADECIMAL: &str = "6120736563726574206f66203234206c6574746572732e2e";
const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

fn webhook(receiver: &Backend, path: &str, on: &str) -> String {
    format!("{{webhook: {{url: \"http://{}{path}\", secret: {SECRET}}}{on}}}", receiver.address)
}

fn notify(targets: &[String]) -> String {
    format!("notify: [{}]", targets.join(", "))
}

async fn world(targets: &[String]) -> World {
    World::with(|setup| setup.with_top(&notify(targets))).await
}

fn body(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap_or_else(|error| panic!("not JSON ({error}): {seen:?}"))
}

/// The requests to a path, once there are so many.
async fn told(receiver: &Backend, path: &str, count: usize) -> Vec<Seen> {
    wait_until(&format!("{path} is told {count} times"), || {
        let seen = receiver.seen_at(path);
        seen.len() >= count && seen.iter().all(|own| own.whole)
    })
    .await;
    let seen = receiver.seen_at(path);
    assert_eq!(seen.len(), count, "{path}: {seen:?}");
    seen
}

async fn counted(world: &World, target: &str, result: &str) -> f64 {
    let labels = format!("target=\"{target}\",result=\"{result}\"");
    world.router.metric("crossfade_notifications_total", &labels).await.unwrap_or(-1.0)
}

async fn wait_counted(world: &World, target: &str, result: &str, count: f64) {
    let what = format!("{target} has {count} {result}");
    wait_for(&what, || async { (counted(world, target, result).await >= count).then_some(()) }).await;
    assert!((counted(world, target, result).await - count).abs() < 0.5, "more than {what}");
}

/// The signature that OpenSSL makes of a request, in the form of its field; none without OpenSSL.
async fn signature_by_openssl(seen: &Seen) -> Option<String> {
    let script =
        format!("openssl dgst -sha256 -mac HMAC -macopt hexkey:{SECRET_HEXADECIMAL} -binary | openssl base64 -A");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    if Command::new("openssl").arg("version").stdout(Stdio::null()).status().await.is_err() {
        eprintln!("SKIPPED: openssl is not installed, so no signature is checked (apt-get install openssl)");
        return None;
    }
    let mut child = command.spawn().unwrap();
    let field = |name: &str| seen.head.value(name).unwrap_or_else(|| panic!("no {name}: {seen:?}"));
    let mut stdin = child.stdin.take().unwrap();
    let signed = [format!("{}.{}.", field("webhook-id"), field("webhook-timestamp")).as_bytes(), &seen.body].concat();
    stdin.write_all(&signed).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    Some(format!("v1,{}", String::from_utf8(output.stdout).unwrap()))
}

#[tokio::test]
async fn a_rollback_is_told_to_everybody_in_their_own_words_and_so_is_its_end() {
    let receiver = Backend::start("receiver").await;
    let at = receiver.address;
    let world = world(&[
        webhook(&receiver, "/hook", ""),
        format!("{{slack: {{url: \"http://{at}/slack\"}}}}"),
        format!("{{alertmanager: {{url: \"http://{at}/am\"}}, on: rollback}}"),
        format!("{{pagerduty: {{routing_key: {ROUTING_KEY}, url: \"http://{at}/pagerduty\"}}, on: [rollback]}}"),
    ])
    .await;
    world.router.mode("gradual").await;
    world.router.roll_back().await;

    let hook = told(&receiver, "/hook", 1).await.remove(0);
    let notice = body(&hook);
    assert_eq!(notice["type"], "migration.rollback", "{notice}");
    let data = &notice["data"];
    assert_eq!(
        (&data["migration"], &data["actor"], &data["to"]["mode"]),
        (&"shop".into(), &"ann".into(), &"emergency_rollback".into())
    );
    assert_eq!(data["record"]["reason"], "test");
    if let Some(expected) = signature_by_openssl(&hook).await {
        assert_eq!(hook.head.value("webhook-signature"), Some(expected));
    }
    let slack = body(&told(&receiver, "/slack", 1).await[0]);
    assert_eq!(slack["text"], "shop went from gradual at 0 % to emergency_rollback by ann: test");
    let alert = body(&told(&receiver, "/am/api/v2/alerts", 1).await[0]);
    assert_eq!(alert[0]["labels"]["alertname"], "CrossfadeRollback", "{alert}");
    let incident = body(&told(&receiver, "/pagerduty", 1).await[0]);
    assert_eq!((&incident["event_action"], &incident["routing_key"]), (&"trigger".into(), &ROUTING_KEY.into()));

    world.router.acknowledge("legacy_only").await;
    assert_eq!(body(&told(&receiver, "/hook", 2).await[1])["type"], "migration.acknowledged");
    let over = body(&told(&receiver, "/am/api/v2/alerts", 2).await[1]);
    let over = over.as_array().unwrap().iter().find(|own| own["labels"] == alert[0]["labels"]).unwrap();
    assert!(over["startsAt"].is_null() && over["endsAt"].is_string(), "{over}");
    wait_until("the incident is resolved", || {
        receiver.seen_at("/pagerduty").iter().filter(|own| own.whole).any(|own| {
            let event = body(own);
            event["event_action"] == "resolve" && event["dedup_key"] == incident["dedup_key"]
        })
    })
    .await;
    for target in ["webhook-0", "slack-1", "alertmanager-2", "pagerduty-3"] {
        wait_counted(&world, target, "sent", 2.0).await;
    }
}

#[tokio::test]
async fn changes_of_mode_are_told_to_those_who_ask() {
    let receiver = Backend::start("receiver").await;
    let world =
        world(&[webhook(&receiver, "/all", ", on: [mode_changed, rollback]"), webhook(&receiver, "/usual", "")]).await;
    world.router.mode("gradual").await;
    world.router.rollout(25.0).await;
    world.router.roll_back().await;
    let kinds: Vec<Value> =
        told(&receiver, "/all", 3).await.iter().map(|own| body(own)["data"]["kind"].clone()).collect();
    assert_eq!(kinds, ["mode_changed", "mode_changed", "rollback"]);
    told(&receiver, "/usual", 1).await;
}

#[tokio::test]
async fn what_does_not_arrive_is_tried_again_as_the_same_notice() {
    let receiver = Backend::start("receiver").await;
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    // In this order, for the pause after the first try is the shortest where the target asks for none.
    receiver.once("/hook", [Step::ReadBody, Step::Reset]);
    receiver.once("/hook", answers(busy));
    receiver.on("/hook", answers(response("204 No Content", "")));
    let world = world(&[webhook(&receiver, "/hook", "")]).await;
    world.router.roll_back().await;
    let seen = told(&receiver, "/hook", 2).await;
    let field = |at: usize, name: &str| seen[at].head.value(name);
    assert_eq!(field(0, "webhook-id"), field(1, "webhook-id"));
    assert_eq!(seen[0].body, seen[1].body);
    assert_ne!(field(0, "webhook-timestamp"), field(1, "webhook-timestamp"), "a try has a time of its own");
    wait_counted(&world, "webhook-0", "retried", 2.0).await;
    wait_counted(&world, "webhook-0", "sent", 1.0).await;
    assert_eq!(receiver.seen_at("/hook").len(), 3);
}

#[tokio::test]
async fn what_never_arrives_is_given_up_and_told_to_the_log_without_a_secret() {
    let receiver = Backend::start("receiver").await;
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
    receiver.on("/busy-s3cret", answers(busy));
    receiver.on("/wrong-s3cret", answers(response("403 Forbidden", "")));
    receiver.on("/moved-s3cret", answers("HTTP/1.1 307 Moved\r\nLocation: /hook\r\nContent-Length: 0\r\n\r\n"));
    let targets = ["/busy-s3cret", "/wrong-s3cret", "/moved-s3cret"].map(|path| webhook(&receiver, path, ""));
    let world = world(&targets).await;
    world.router.roll_back().await;
    for target in ["webhook-1", "webhook-2", "webhook-0"] {
        wait_counted(&world, target, "failed", 1.0).await;
    }
    assert_eq!(receiver.seen_at("/busy-s3cret").len(), 8);
    wait_counted(&world, "webhook-0", "retried", 7.0).await;
    assert_eq!(receiver.seen_at("/wrong-s3cret").len(), 1);
    assert!(receiver.seen_at("/hook").is_empty(), "a redirect is not followed");
    let printed = world.router.printed();
    assert!(
        printed.contains("notice given up") && printed.contains("look whether the address and the secret are right")
    );
    assert!(printed.contains("redirects are not followed"), "{printed}");
    assert!(!printed.contains("s3cret") && !printed.contains(&SECRET[6..]), "{printed}");
}

#[tokio::test]
async fn a_black_hole_delays_neither_a_rollback_nor_the_others() {
    let (receiver, hole) = (Backend::start("receiver").await, BlackHole::new());
    let lost =
        format!("{{webhook: {{url: \"http://{}/\", secret: {SECRET}}}, on: [mode_changed, rollback]}}", hole.address);
    let world = world(&[lost, webhook(&receiver, "/hook", "")]).await;
    world.router.mode("new_only").await;
    // More than may wait for the target that takes nothing.
    for round in 0..70_u32 {
        world.router.rollout(f64::from(1 + round % 2)).await;
    }
    world.router.roll_back().await;
    assert_eq!(world.side_of("anybody").await, "legacy");
    told(&receiver, "/hook", 1).await;
    assert!(counted(&world, "webhook-0", "dropped").await >= 1.0, "its queue has an end");
    assert!(counted(&world, "webhook-0", "sent").await < 0.5);
    assert!(world.router.printed().contains("notice dropped"));
}

#[tokio::test]
async fn a_router_that_ends_does_not_wait_long_for_a_black_hole() {
    let hole = BlackHole::new();
    let lost = format!("{{webhook: {{url: \"http://{}/\", secret: {SECRET}}}}}", hole.address);
    let mut world = world(&[lost]).await;
    world.router.roll_back().await;
    world.router.signal("TERM").await;
    assert_eq!(world.router.ended().await.code(), Some(0));
    assert!(world.router.printed().contains("ended before every notice was sent"));
}

#[tokio::test]
async fn a_reload_changes_who_is_told() {
    let receiver = Backend::start("receiver").await;
    let world = world(&[webhook(&receiver, "/before", "")]).await;
    world.router.roll_back().await;
    told(&receiver, "/before", 1).await;
    let targets =
        [format!("{{slack: {{url: \"http://{}/after\"}}}}", receiver.address), webhook(&receiver, "/too", "")];
    let setup = Setup::new(world.legacy.address, world.new.address).with_top(&notify(&targets));
    let file = setup.file(world.router.directory());
    let admin = "admin:\n  url: https://crossfade.example.com/\n";
    world.router.reload(&file.replacen("admin:\n", admin, 1)).await;
    world.router.wait_until_printed("generation=2").await;
    world.router.acknowledge("parallel").await;
    told(&receiver, "/after", 1).await;
    let notice = body(&told(&receiver, "/too", 1).await[0]);
    assert_eq!(notice["data"]["dashboard_url"], "https://crossfade.example.com/", "{notice}");
    assert_eq!(receiver.seen_at("/before").len(), 1);
    assert_eq!(world.router.metric("crossfade_notifications_total", "webhook-0").await, None);
    wait_counted(&world, "slack-0", "sent", 1.0).await;
    wait_counted(&world, "webhook-1", "sent", 1.0).await;
}

#[tokio::test]
async fn a_target_that_only_moves_in_the_file_keeps_what_waits_for_it() {
    let receiver = Backend::start("receiver").await;
    for _ in 0..3 {
        receiver.once("/hook", answers("HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"));
    }
    receiver.on("/hook", answers(response("204 No Content", "")));
    let hook = webhook(&receiver, "/hook", "");
    let world = world(std::slice::from_ref(&hook)).await;
    world.router.roll_back().await;
    wait_counted(&world, "webhook-0", "retried", 1.0).await;
    let setup = Setup::new(world.legacy.address, world.new.address);
    let setup = setup.with_top(&notify(&[webhook(&receiver, "/other", ""), hook]));
    world.router.reload(&setup.file(world.router.directory())).await;
    told(&receiver, "/hook", 4).await;
    wait_counted(&world, "webhook-1", "sent", 1.0).await;
    assert_eq!(world.router.metric("crossfade_notifications_total", "failed").await, Some(0.0));
}

#[tokio::test]
async fn what_waits_for_a_target_that_goes_gets_a_last_try() {
    let receiver = Backend::start("receiver").await;
    // Longer than this test may take.
    receiver.once("/before", answers("HTTP/1.1 503 Busy\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n"));
    let world = world(&[webhook(&receiver, "/before", "")]).await;
    world.router.roll_back().await;
    wait_counted(&world, "webhook-0", "retried", 1.0).await;
    let setup = Setup::new(world.legacy.address, world.new.address);
    world.router.reload(&setup.file(world.router.directory())).await;
    told(&receiver, "/before", 2).await;
    world.router.wait_until_printed("notice sent").await;
}

#[tokio::test]
async fn a_fleet_tells_slack_once_and_the_others_by_one_id() {
    let Some(redis) = RedisServer::start().await else { return };
    let receiver = Backend::start("receiver").await;
    let targets =
        [webhook(&receiver, "/hook", ""), format!("{{slack: {{url: \"http://{}/slack\"}}}}", receiver.address)];
    let fleet = || async { World::with(|setup| setup.with_redis(&redis.url()).with_top(&notify(&targets))).await };
    let (one, other) = (fleet().await, fleet().await);
    wait_for("both are known to live", || async {
        let replicas = one.router.api("GET", "/replicas", None).await.json();
        let live = replicas["replicas"].as_array().into_iter().flatten().filter(|own| own["live"] == true).count();
        (live == 2).then_some(())
    })
    .await;
    one.router.roll_back().await;
    let seen = told(&receiver, "/hook", 2).await;
    assert_eq!(seen[0].head.value("webhook-id"), seen[1].head.value("webhook-id"));
    // Each has told the webhook, so each has decided by now whether it speaks.
    for own in [&one, &other] {
        wait_counted(own, "webhook-0", "sent", 1.0).await;
    }
    told(&receiver, "/slack", 1).await;
}

#[tokio::test]
async fn the_command_tries_each_target_and_shows_no_secret() {
    let receiver = Backend::start("receiver").await;
    receiver.on("/wrong-s3cret", answers(response("404 Not Found", "")));
    let directory = tempfile::TempDir::new().unwrap();
    let (old, new) = (refused_address(), refused_address());
    let gone = format!("{{slack: {{url: \"http://{}/s3cret\"}}, on: hold}}", refused_address());
    let pagerduty =
        format!("{{pagerduty: {{routing_key: {ROUTING_KEY}, url: \"http://{}/pagerduty\"}}}}", receiver.address);
    let good = [webhook(&receiver, "/hook", ", on: hold"), pagerduty];
    let write = |name: &str, targets: &[String]| {
        let file = Setup::new(old, new).with_top(&notify(targets)).file(directory.path());
        std::fs::write(directory.path().join(name), file).unwrap();
    };
    write("good.yaml", &good);
    write("bad.yaml", &[&good[..], &[webhook(&receiver, "/wrong-s3cret", ""), gone]].concat());
    write("none.yaml", &[]);
    let test = async |name| crossfade_in(directory.path(), &["notify", "test", "-c", name], &[]).await;

    let finished = test("good.yaml").await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stdout.contains("webhook-0") && finished.stdout.contains("sent"), "{finished:?}");
    let notice = body(&told(&receiver, "/hook", 1).await[0]);
    assert_eq!(notice["type"], "migration.test", "{notice}");
    let events: Vec<Value> =
        told(&receiver, "/pagerduty", 2).await.iter().map(|own| body(own)["event_action"].clone()).collect();
    assert_eq!(events, ["trigger", "resolve"], "a test leaves nothing open");

    let finished = test("bad.yaml").await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stdout.contains("it answered 404: nothing takes notices at this address"), "{finished:?}");
    assert!(finished.stdout.contains("it cannot be reached") && finished.stdout.contains("refused"), "{finished:?}");
    assert!(finished.stderr.contains("2 of 4 targets did not take the test notice"), "{finished:?}");
    for text in [&finished.stdout, &finished.stderr] {
        assert!(!text.contains("s3cret") && !text.contains(ROUTING_KEY) && !text.contains(&SECRET[6..]), "{text}");
    }
    assert_eq!(test("none.yaml").await.code, Some(1));
}

/// A receiver by TLS that prints the path of each POST, on a port that it prints first.
const RECEIVER: &str = r#"
import http.server, ssl
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        print(self.path, flush=True)
        self.send_response(204)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("certificate.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// An authority and a certificate of it for 127.0.0.1; false where the machine cannot make them.
async fn certificates(directory: &Path) -> bool {
    let make = "set -e
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout authority.key -out authority.pem
        openssl req -new -newkey rsa:2048 -nodes -subj /CN=receiver -keyout key.pem -out request.pem
        printf 'subjectAltName=IP:127.0.0.1' > names
        openssl x509 -req -in request.pem -days 2 -CA authority.pem -CAkey authority.key -CAcreateserial \\
            -extfile names -out certificate.pem";
    let mut command = Command::new("sh");
    command.current_dir(directory).args(["-c", make]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn a_receiver_by_tls_is_believed_if_its_authority_is_named() {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let directory = tempfile::TempDir::new().unwrap();
    let mut python = Command::new("python3");
    python.current_dir(directory.path()).args(["-c", RECEIVER]);
    python.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    if !certificates(directory.path()).await {
        eprintln!("SKIPPED: openssl makes no certificates here, so no receiver by TLS is tested (install openssl)");
        return;
    }
    let Ok(mut receiver) = python.spawn() else {
        eprintln!("SKIPPED: no python3 on this machine, so no receiver by TLS is tested (install python3)");
        return;
    };
    let mut lines = BufReader::new(receiver.stdout.take().unwrap()).lines();
    let port = harness::within("the receiver listens", lines.next_line()).await.unwrap().unwrap();
    let target =
        |more: &str| format!("{{webhook: {{url: \"https://127.0.0.1:{port}/hook\", secret: {SECRET}}}{more}}}");
    let file = |more: &str| {
        Setup::new(refused_address(), refused_address()).with_top(&notify(&[target(more)])).file(directory.path())
    };
    std::fs::write(directory.path().join("known.yaml"), file(", ca_file: authority.pem")).unwrap();
    std::fs::write(directory.path().join("stranger.yaml"), file("")).unwrap();
    let test = async |name| crossfade_in(directory.path(), &["notify", "test", "-c", name], &[]).await;
    let finished = test("stranger.yaml").await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let finished = test("known.yaml").await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(harness::within("it arrives", lines.next_line()).await.unwrap().unwrap(), "/hook");
}

/// An Alertmanager of its own, or a line that says why there is none.
async fn alertmanager(directory: &Path) -> Option<(Child, SocketAddr)> {
    let address = refused_address();
    std::fs::write(directory.join("alertmanager.yml"), "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
        .unwrap();
    let spawn = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(directory).args(["--config.file=alertmanager.yml", "--storage.path=data"]);
        command.args([format!("--web.listen-address={address}").as_str(), "--cluster.listen-address="]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()
    };
    let Ok(mut child) = spawn("prometheus-alertmanager").or_else(|_| spawn("alertmanager")) else {
        eprintln!(
            "SKIPPED: no alertmanager on this machine, so none is told (apt-get install prometheus-alertmanager)"
        );
        return None;
    };
    wait_for("the Alertmanager is ready", || {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "the Alertmanager ended with {ended:?}");
        async {
            let mut client = Client::try_connect(address).await.ok()?;
            (client.get("/-/ready").await.status() == 200).then_some(())
        }
    })
    .await;
    Some((child, address))
}

#[tokio::test]
async fn a_real_alertmanager_opens_an_alert_and_closes_it() {
    let directory = tempfile::TempDir::new().unwrap();
    let Some((_child, address)) = alertmanager(directory.path()).await else { return };
    let world = world(&[format!("{{alertmanager: {{url: \"http://{address}\"}}, on: rollback}}")]).await;
    let open = async || {
        let alerts = Client::connect(address).await.get("/api/v2/alerts?active=true").await.json();
        let names =
            alerts.as_array().unwrap().iter().map(|own| own["labels"]["alertname"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    world.router.roll_back().await;
    wait_for("the alert is open", || async { (open().await == ["CrossfadeRollback"]).then_some(()) }).await;
    world.router.acknowledge("legacy_only").await;
    wait_for("the alert is closed", || async { open().await.is_empty().then_some(()) }).await;
    wait_counted(&world, "alertmanager-0", "sent", 2.0).await;
}
