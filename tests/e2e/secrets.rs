//! What callers and systems confide to each other stays between them: secrets that were planted everywhere in requests and answers,
//! compared and found to differ, are in no log, metric, answer of the API, store or file.

use harness::{Client, RedisServer, Setup, Step, wait_for};

use crate::operations::command;
use crate::world::{World, patient};

/// In every secret, and in nothing else. Those of values that are shown have it in them as well.
const MARK: &str = "pl4nted";

const REQUESTS: usize = 30;

/// Whatever a person might allow to be shown, secret or not.
const RAW: &str = r#"[$.password, $.token, $.email, $.note, $.card, $.user.session, $.list, "header:location", "header:set-cookie", $.shown]"#;

/// An answer of one side, with its own secret in each place that a difference may be found in.
fn answer(side: &str, shown: u32) -> Vec<Step> {
    let secret = |n: u32| format!("{MARK}-{side}-{n}-Zx81kQ0vbn2LmTr9");
    let body = format!(
        r#"{{"password":"{}","token":"{}","email":"{MARK}.{side}@example.com","note":"call {MARK}.{side}@example.com","card":"{}","user":{{"session":"{}"}},"list":["{}"],"{}":1,"shown":{shown}}}"#,
        secret(1),
        secret(2),
        secret(3),
        secret(4),
        secret(5),
        secret(6),
    );
    let fields = format!(
        "Content-Type: application/json\r\nSet-Cookie: sid-{side}={}; Path=/\r\nLocation: https://user:{}@a.example/cb?code={}\r\n\
         Authorization: Bearer {}\r\nX-Api-Key: {}\r\nCache-Control: private\r\n",
        secret(7),
        secret(8),
        secret(9),
        secret(10),
        secret(11),
    );
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    vec![Step::ReadBody, Step::send(head + &body)]
}

async fn plant(client: &mut Client) {
    let fields = format!(
        "Authorization: Bearer {MARK}-a\r\nCookie: sid={MARK}-b\r\nX-Api-Key: {MARK}-c\r\nX-User-Id: {MARK}-user\r\nReferer: https://a.example/?t={MARK}-d\r\n\
         User-Agent: {MARK}-e\r\nProxy-Authorization: Basic {MARK}-f\r\n"
    );
    let target = format!("/orders?token={MARK}-g&email={MARK}.h%40example.com");
    let body = format!(r#"{{"password":"{MARK}-i","email":"{MARK}.j@example.com"}}"#);
    for _ in 0..REQUESTS {
        assert_eq!(client.request("GET", &target, &fields, "").await.status(), 200);
        assert_eq!(client.request("POST", &target, &fields, &body).await.status(), 200);
    }
}

/// Everything that the admin side tells of comparisons, and whatever else tells of callers.
async fn told(world: &World) -> String {
    let mut told = world.router.call("", "GET", "/metrics", "", None).await.text();
    let list = world.router.api("GET", "/migrations/shop/mismatches", None).await;
    for mismatch in list.json()["mismatches"].as_array().unwrap() {
        let path = format!("/migrations/shop/mismatches/{}", mismatch["fingerprint"].as_str().unwrap());
        told += &world.router.api("GET", &path, None).await.text();
    }
    told += &list.text();
    for path in ["comparison", "rules", "history", "evidence", "outcomes"] {
        told += &world.router.api("GET", &format!("/migrations/shop/{path}"), None).await.text();
    }
    for path in ["migrations", "replicas"] {
        told += &world.router.api("GET", &format!("/{path}"), None).await.text();
    }
    let shown = command(world, &["mismatches", "shop"]).await;
    told + &shown.stdout + &shown.stderr
}

fn expect_none(place: &str, bytes: &[u8]) {
    let at = bytes.windows(MARK.len()).position(|window| window.eq_ignore_ascii_case(MARK.as_bytes()));
    if let Some(at) = at {
        let around = &bytes[at.saturating_sub(200)..bytes.len().min(at + 100)];
        panic!("{place} has a secret: {}", String::from_utf8_lossy(around));
    }
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn check(format: &str, store: impl FnOnce(Setup) -> Setup, stored: impl Fn(&World) -> Vec<u8>) {
    let mut world = World::with(|setup| {
        let writes = "writes: [{path: /**, methods: [POST], dry_run: true}]";
        let parallel = patient(&format!("noise: 20%, {writes}, compare: {{raw_paths: {RAW}}}"));
        let parallel = format!("parallel: {{{parallel}}}");
        let log = format!("log: {{format: {format}, access: {{sample: 100%}}}}");
        store(setup.with_top(&log).with_migration(&format!("key: [header:x-user-id]\n{parallel}")))
    })
    .await;
    world.router.mode("parallel").await;
    world.legacy.on_all(Some(answer("legacy", 4_711)));
    world.new.on_all(Some(answer("new", 4_712)));
    plant(&mut world.router.connect().await).await;
    wait_for("all pairs are compared", || async {
        let mismatched = world.router.metric("crossfade_comparisons_total", "result=\"mismatched\"").await;
        (mismatched == Some(2.0 * REQUESTS as f64)).then_some(())
    })
    .await;
    let told = told(&world).await;
    expect_none("the admin side", told.as_bytes());
    for found in ["$.password", "$.email", "$.user.session", "header:location", "4711", "4712"] {
        assert!(told.contains(found), "{found} is to be told: {told}");
    }
    world.router.signal("TERM").await;
    assert!(world.router.ended().await.success());
    let printed = world.router.printed();
    assert!(printed.matches("/orders").count() >= 2 * REQUESTS, "each request has its line: {printed}");
    expect_none("the log", printed.as_bytes());
    let stored = stored(&world);
    assert!(has(&stored, "$.password"), "what was found is stored");
    expect_none("the store", &stored);
    let files = std::fs::read_dir(world.router.directory()).unwrap();
    let mut names: Vec<String> = Vec::new();
    for file in files.map(|file| file.unwrap()) {
        names.push(file.file_name().to_string_lossy().into_owned());
        expect_none(&names[names.len() - 1], &std::fs::read(file.path()).unwrap());
    }
    assert!(names.iter().any(|name| name == "crossfade.snapshot"), "{names:?}");
}

#[tokio::test]
async fn planted_secrets_are_nowhere_with_redis_and_logs_as_text() {
    let Some(redis) = RedisServer::start().await else { return };
    let url = redis.url();
    check("text", |setup| setup.with_redis(&url), |_| redis.written()).await;
}

#[tokio::test]
async fn planted_secrets_are_nowhere_with_the_embedded_store_and_logs_as_json() {
    let stored = |world: &World| std::fs::read(world.router.directory().join("crossfade.redb")).unwrap();
    check("json", |setup| setup, stored).await;
}
