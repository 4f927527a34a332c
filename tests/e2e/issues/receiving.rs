//! What is taken, what is refused, and what the sender hears.

use harness::{Step, wait_for};
use serde_json::{Value, json};

use super::hook::{Hook, digits};
use super::{Hooks, PATH};

fn body(answer: &harness::Answer) -> Value {
    serde_json::from_str(&answer.text()).unwrap()
}

#[tokio::test]
async fn an_issue_goes_to_the_system_that_its_number_says_byte_for_byte() {
    let hooks = Hooks::start().await;
    hooks.router.rollout(25.0).await;
    hooks.router.mode("gradual").await;
    let (python, typescript) = (Hook::new("d-24", "opened", 24), Hook::new("d-25", "labeled", 25));
    let answer = hooks.route(&python).await;
    let expected = json!({
        "status": "routed", "systems": ["python"], "mode": "gradual", "delivery": "d-24",
        "issue": "octo-org/hello-world#24",
    });
    assert_eq!(answer, expected);
    assert_eq!(hooks.route(&typescript).await["systems"], json!(["typescript"]));
    let seen = hooks.new.only(PATH).await;
    assert_eq!(seen.body, python.body);
    let field = |name: &str| seen.head.value(name).unwrap_or_default();
    assert_eq!(field("x-hub-signature-256"), format!("sha256={}", digits(&python.body)));
    assert_eq!((field("x-github-event"), field("x-github-delivery")), ("issues".into(), "d-24".into()));
    assert_eq!(
        (field("user-agent"), field("content-type")),
        ("GitHub-Hookshot/044aadd".into(), "application/json".into())
    );
    assert_eq!((field("idempotency-key"), field("crossfade-side")), ("d-24".into(), "new".into()));
    assert_eq!((field("crossfade-migration"), field("crossfade-attempt")), ("shop".into(), "1".into()));
    let fence = field("crossfade-fence");
    assert!(
        fence.split_once('.').is_some_and(|(generation, epoch)| generation.parse::<u64>().is_ok() && epoch == "1"),
        "{fence}"
    );
    assert_eq!(hooks.legacy.only(PATH).await.body, typescript.body);
}

#[tokio::test]
async fn nobody_without_the_secret_is_heard_and_none_learns_why() {
    let hooks = Hooks::start().await;
    let good = Hook::new("d-1", "opened", 1);
    let with = |signature: Option<&str>| Hook { signature: signature.map(|own| Some(own.into())), ..good.clone() };
    let other = format!("sha256={}", digits(b"another body"));
    let mut answers = Vec::new();
    for signature in [None, Some(""), Some("sha256=zz"), Some("sha1=00"), Some(other.as_str())] {
        let answer = hooks.send(&with(signature)).await;
        assert_eq!((answer.status(), answer.error_code().as_deref()), (401, Some("webhook_unsigned")), "{signature:?}");
        answers.push(answer.text());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    // Not JSON either, and nobody looked.
    let answer = hooks.send(&Hook { signature: None, ..Hook::of("d-2", "{") }).await;
    assert_eq!(answer.status(), 401);
    hooks.route(&good).await;
    Hooks::arrives(&hooks.legacy, &["d-1"]).await;
}

#[tokio::test]
async fn what_does_not_count_is_told_so_and_goes_nowhere() {
    let hooks = Hooks::start().await;
    for action in ["closed", "reopened", "unlabeled", "deleted"] {
        let answer = hooks.send(&Hook::new("d-1", action, 1)).await;
        assert_eq!((answer.status(), body(&answer)), (200, json!({ "status": "ignored", "action": action })));
    }
    let ping = Hook { event: "ping".into(), ..Hook::of("d-2", r#"{"zen":"Keep it logically awesome."}"#) };
    let answer = hooks.send(&ping).await;
    assert_eq!((answer.status(), body(&answer)), (200, json!({ "status": "pong" })));
    for action in ["opened", "edited", "labeled", "assigned"] {
        hooks.route(&Hook::new(action, action, 1)).await;
    }
    Hooks::arrives(&hooks.legacy, &["opened", "edited", "labeled", "assigned"]).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_its_reason() {
    let hooks = Hooks::start().await;
    let repository = r#""repository":{"full_name":"a/b"}"#;
    for (text, code) in [
        ("{".to_owned(), "webhook_not_json"),
        (format!(r#"{{"action":"opened",{repository}}}"#), "webhook_without_issue"),
        (format!(r#"{{"action":"opened",{repository},"issue":{{"number":"seven"}}}}"#), "webhook_without_number"),
    ] {
        let answer = hooks.send(&Hook::of("d-1", text)).await;
        assert_eq!((answer.status(), answer.error_code().as_deref()), (422, Some(code)), "{}", answer.text());
        assert_eq!(body(&answer)["code"], code);
    }
    let nameless = Hook::new("d", "opened", 1);
    let request = String::from_utf8(nameless.request()).unwrap().replace("X-GitHub-Delivery: d\r\n", "");
    let answer = hooks.router.exchange(request).await;
    assert_eq!((answer.status(), answer.error_code().as_deref()), (422, Some("webhook_without_id")));
    assert!(hooks.legacy.bytes().is_empty() && hooks.new.bytes().is_empty());
    hooks.router.wait_until_printed("a webhook is in quarantine").await;
}

#[tokio::test]
async fn a_form_of_github_is_read_like_its_json() {
    let hooks = Hooks::start().await;
    let json = String::from_utf8(Hook::new("d-1", "opened", 1).body).unwrap();
    let escaped: String = json.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let form = Hook {
        content_type: "application/x-www-form-urlencoded".into(),
        ..Hook::of("d-1", format!("payload={escaped}"))
    };
    hooks.route(&form).await;
    assert_eq!(hooks.legacy.only(PATH).await.body, form.body);
}

#[tokio::test]
async fn a_delivery_that_comes_again_is_done_once() {
    let hooks = Hooks::start().await;
    let hook = Hook::new("d-1", "opened", 1);
    hooks.route(&hook).await;
    let again = hooks.send(&hook).await;
    assert_eq!((again.status(), &body(&again)["status"]), (200, &json!("duplicate")));
    assert_eq!(body(&again)["systems"], json!(["typescript"]));
    // The id is not signed, so whoever has recorded a webhook can send it under another one.
    let replayed = hooks.send(&Hook { delivery: "d-2".into(), ..hook.clone() }).await;
    assert_eq!((replayed.status(), &body(&replayed)["status"]), (200, &json!("duplicate")));
    let conflict = hooks.send(&Hook { delivery: "d-1".into(), ..Hook::new("x", "edited", 1) }).await;
    assert_eq!((conflict.status(), conflict.error_code().as_deref()), (409, Some("webhook_conflict")));
    hooks.route(&Hook::new("d-3", "edited", 1)).await;
    Hooks::arrives(&hooks.legacy, &["d-1", "d-3"]).await;
}

#[tokio::test]
async fn only_post_reaches_the_route() {
    let hooks = Hooks::start().await;
    for method in ["GET", "PUT", "DELETE"] {
        let answer = hooks.router.exchange(format!("{method} {PATH} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!((answer.status(), answer.value("allow").as_deref()), (405, Some("POST")), "{method}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_and_while_it_comes() {
    let hooks = Hooks::with(", body_max: 2KiB", |setup| setup).await;
    let large = Hook::of("d-1", vec![b' '; 2_049]);
    let answer = hooks.send(&large).await;
    assert_eq!((answer.status(), answer.error_code().as_deref()), (413, Some("body_too_large")));
    let mut client = hooks.router.connect().await;
    client
        .send(format!("{}Transfer-Encoding: chunked\r\n\r\n801\r\n{}\r\n0\r\n\r\n", large.head(), " ".repeat(0x801)))
        .await;
    assert_eq!(client.answer().await.status(), 413);
    let small = Hook::new("d-2", "opened", 1);
    let mut client = hooks.router.connect().await;
    let text = String::from_utf8(small.body.clone()).unwrap();
    client
        .send(format!("{}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n", small.head(), text.len()))
        .await;
    assert_eq!(client.answer().await.status(), 202);
    assert_eq!(hooks.legacy.only(PATH).await.body, small.body);
}

#[tokio::test]
async fn one_address_sends_as_fast_as_it_may() {
    let hooks = Hooks::with(", rate: {per_source: 1/h, burst: 3}", |setup| setup).await;
    for number in 1..=3 {
        hooks.route(&Hook::new(&format!("d-{number}"), "opened", number)).await;
    }
    let answer = hooks.send(&Hook::new("d-4", "opened", 4)).await;
    assert_eq!((answer.status(), answer.error_code().as_deref()), (429, Some("webhook_too_fast")));
    let wait: u64 = answer.value("retry-after").unwrap().parse().unwrap();
    assert!((1..=3_600).contains(&wait), "{wait}");
}

#[tokio::test]
async fn many_at_once_are_all_kept_and_all_arrive() {
    const MANY: u64 = 150;
    let hooks = Hooks::start().await;
    hooks.legacy.on(PATH, [Step::ReadBody, Step::send("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")]);
    let sent = (1..=MANY).map(|number| {
        let (router, hook) = (&hooks.router, Hook::new(&format!("d-{number}"), "opened", number));
        async move { router.exchange(hook.request()).await.status() }
    });
    let tasks: Vec<_> = sent.map(Box::pin).collect();
    let mut statuses = Vec::new();
    let mut running = tasks;
    std::future::poll_fn(|cx| {
        running.retain_mut(|task| match task.as_mut().poll(cx) {
            std::task::Poll::Ready(status) => {
                statuses.push(status);
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    assert_eq!(statuses, vec![202; usize::try_from(MANY).unwrap()]);
    let all = || async { (Hooks::got(&hooks.legacy).len() as u64 >= MANY).then_some(()) };
    wait_for("all have arrived", all).await;
    let mut ids = Hooks::got(&hooks.legacy);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len() as u64, MANY);
}
