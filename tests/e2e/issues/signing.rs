//! Webhooks of any sender that signs by Standard Webhooks 1.0.0, through a real router.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::{Answer, Backend, Router, Setup};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

const PATH: &str = "/webhooks/tickets";

/// The present secret, and the one that is being given up.
const SECRETS: [&[u8]; 2] = [b"a secret of twenty-four b", b"an older one, also long e"];

struct World {
    legacy: Backend,
    _new: Backend,
    router: Router,
}

impl World {
    async fn start() -> Self {
        let (legacy, new) = (Backend::start("legacy").await, Backend::start("new").await);
        let secrets = SECRETS.map(|own| format!("\"whsec_{}\"", STANDARD.encode(own))).join(", ");
        let route = format!(
            "- path: {PATH}\n  issues: {{migration: shop, preset: json, key: [/ticket/id], secret: [{secrets}], signature: {{scheme: standard_webhooks}}}}"
        );
        let setup = Setup::new(legacy.address, new.address).with_migration("key: json:/ticket/id").with_routes(&route);
        let router = setup.start().await;
        Self { legacy, _new: new, router }
    }

    async fn send(&self, id: &str, time: &str, signature: &str, body: &str) -> Answer {
        let request = format!(
            "POST {PATH} HTTP/1.1\r\nHost: hooks.test\r\nContent-Type: application/json\r\nWebhook-Id: {id}\r\nWebhook-Timestamp: {time}\r\nWebhook-Signature: {signature}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.router.exchange(request).await
    }
}

fn sign(secret: &[u8], id: &str, time: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(format!("{id}.{time}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn ticket(number: u64) -> String {
    json!({ "type": "ticket.created", "ticket": { "id": format!("T-{number}"), "title": "It crawls" } }).to_string()
}

fn seconds_ago(seconds: i64) -> String {
    (jiff::Timestamp::now().as_second() - seconds).to_string()
}

#[tokio::test]
async fn any_secret_and_any_of_the_signatures_is_good() {
    let world = World::start().await;
    let now = seconds_ago(0);
    for (number, secret) in (1..).zip(SECRETS) {
        let (id, body) = (format!("msg_{number}"), ticket(number));
        let answer = world.send(&id, &now, &sign(secret, &id, &now, &body), &body).await;
        assert_eq!(answer.status(), 202, "{}", answer.text());
    }
    // A sender that changes its secret signs with both; one with a key pair adds a kind that is not ours.
    let body = ticket(3);
    let many = format!(
        "v1a,bm90IG91cnM= {} {}",
        sign(b"somebody else's secret", "msg_3", &now, &body),
        sign(SECRETS[0], "msg_3", &now, &body)
    );
    assert_eq!(world.send("msg_3", &now, &many, &body).await.status(), 202);
    // The id is that of the delivery, and signed.
    let again = world.send("msg_3", &now, &many, &body).await;
    assert!(again.status() == 200 && again.text().contains("duplicate"), "{}", again.text());
    let arrived = || world.legacy.seen_at(PATH).len() >= 3;
    harness::wait_until("all three arrive", arrived).await;
    let seen = &world.legacy.seen_at(PATH);
    let third = seen.iter().find(|own| own.head.value("webhook-id").as_deref() == Some("msg_3")).unwrap();
    // It goes on as it came, so that the system can check it once more.
    assert_eq!(third.text(), body);
    assert_eq!(third.head.value("webhook-signature").as_deref(), Some(many.as_str()));
    assert_eq!(third.head.value("webhook-timestamp").as_deref(), Some(now.as_str()));
    assert_eq!(third.head.value("idempotency-key").as_deref(), Some("msg_3"));
}

#[tokio::test]
async fn what_was_changed_is_old_or_unsigned_is_refused() {
    let world = World::start().await;
    let (now, body) = (seconds_ago(0), ticket(1));
    let good = sign(SECRETS[0], "msg_1", &now, &body);
    let other = ticket(2);
    let (old, early) = (seconds_ago(330), seconds_ago(-330));
    let refused = [
        ("msg_2", now.as_str(), good.clone(), body.as_str(), "wrong"),
        ("msg_1", now.as_str(), good.clone(), other.as_str(), "wrong"),
        ("msg_1", now.as_str(), sign(b"somebody else's secret", "msg_1", &now, &body), body.as_str(), "wrong"),
        ("msg_1", old.as_str(), sign(SECRETS[0], "msg_1", &old, &body), body.as_str(), "stale"),
        ("msg_1", early.as_str(), sign(SECRETS[0], "msg_1", &early, &body), body.as_str(), "stale"),
        ("msg_1", "soon", sign(SECRETS[0], "msg_1", "soon", &body), body.as_str(), "malformed"),
        ("msg_1", now.as_str(), "v2,AAAA".into(), body.as_str(), "malformed"),
    ];
    for (id, time, signature, body, why) in refused {
        let labels = format!("migration=\"shop\",reason=\"{why}\"");
        let before = world.router.metric("crossfade_issues_unsigned_total", &labels).await.unwrap();
        let answer = world.send(id, time, &signature, body).await;
        assert_eq!(
            (answer.status(), answer.error_code().as_deref()),
            (401, Some("webhook_unsigned")),
            "{why}: {id} {time}"
        );
        let after = world.router.metric("crossfade_issues_unsigned_total", &labels).await.unwrap();
        assert!(after > before, "{why} is counted: {id} {time}");
    }
    // Within the tolerance it is believed, late or early.
    for (id, ago) in [("msg_8", 270), ("msg_9", -270)] {
        let (time, body) = (seconds_ago(ago), ticket(u64::from(id == "msg_8") + 8));
        let answer = world.send(id, &time, &sign(SECRETS[0], id, &time, &body), &body).await;
        assert_eq!(answer.status(), 202, "{}", answer.text());
    }
}
