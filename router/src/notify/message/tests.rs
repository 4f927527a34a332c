//! What is sent, whole, as files beside this one. On purpose changed: `UPDATE_GOLDEN=1 cargo test -p crossfade-router notify`.

use flags::bucket::BasisPoints;
use flags::state::Position;
use flags::{MigrationId, Mode, Revision};
use metrics::notice::Kind;

use super::*;
use crate::config::notify::{Address, Held};

fn notice(kind: Kind) -> Notice {
    let share = BasisPoints::from_percent(12.5).unwrap();
    let migration = MigrationId::new("shop").unwrap();
    let revision = Revision(42);
    Notice {
        id: Notice::id_of(kind, &migration, revision),
        migration,
        kind,
        severity: kind.severity(),
        title: "shop was rolled back to legacy".into(),
        text: "New failed 31 of 400 requests & legacy 2 of 3600: <!channel> \"look\"\n*now*".into(),
        time: "2026-11-20T10:00:00.5Z".parse().unwrap(),
        revision,
        from: Position { mode: Mode::Gradual, share },
        to: Position { mode: Mode::EmergencyRollback, share },
        actor: "guard".into(),
        record: json!({ "measure": "success", "evidence": 1234.5 }),
        dashboard_url: Some("https://crossfade.example.com/".into()),
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn channels() -> [Channel; 4] {
    let held = |secret: &str| Held { value: Secret::new(secret), file: None };
    [
        Channel::Webhook {
            url: address("https://hooks.example.com/crossfade"),
            secret: held("sixteen and eight bytes."),
        },
        Channel::Slack { url: Held { value: address("https://hooks.slack.com/services/T/B/x"), file: None } },
        Channel::Alertmanager { url: address("http://127.0.0.1:9093") },
        Channel::PagerDuty {
            routing_key: held("0123456789abcdef0123456789abcdef"),
            url: address("https://events.pagerduty.com/v2/enqueue"),
        },
    ]
}

/// The requests of a notice as a person reads them.
fn written(channel: &Channel, notice: &Notice) -> String {
    let now = "2026-11-20T10:00:01Z".parse().unwrap();
    let mut text = String::new();
    for message in messages(channel, notice, "production") {
        let request = message.request(now).unwrap();
        text.push_str(&format!("{} {}\n", request.method(), request.uri()));
        for (name, value) in request.headers() {
            text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        text.push_str(&format!("\n{body:#}\n\n"));
    }
    // The version is not what is pinned here.
    text.replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

#[test]
fn what_is_sent_is_pinned() {
    for channel in channels() {
        for kind in [Kind::Rollback, Kind::Acknowledged, Kind::Hold, Kind::Recovered, Kind::Test] {
            let found = written(&channel, &notice(kind));
            let path = format!("{}/src/notify/golden/{}_{kind}.txt", env!("CARGO_MANIFEST_DIR"), channel.name());
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&path, &found).unwrap();
            }
            assert_eq!(found, std::fs::read_to_string(&path).unwrap(), "{path}");
        }
    }
}

#[test]
fn a_change_of_mode_opens_nothing() {
    let sent = channels().map(|channel| messages(&channel, &notice(Kind::ModeChanged), "production").len());
    assert_eq!(sent, [1, 1, 0, 0]);
}

#[test]
fn nothing_that_is_sent_is_without_a_limit() {
    let mut large = notice(Kind::Rollback);
    large.title = "<".repeat(10_000);
    large.text = "&".repeat(100_000);
    large.actor = "ä".repeat(100_000);
    large.record = json!({ "samples": "x".repeat(100_000) });
    for channel in &channels()[1..] {
        for message in messages(channel, &large, "production") {
            let body: Value = serde_json::from_slice(&message.body).unwrap();
            assert!(!message.body.windows(20).any(|window| window == [b'x'; 20]), "{}", channel.name());
            let blocks = body["blocks"].as_array().into_iter().flatten();
            for text in blocks.filter_map(|block| block["text"]["text"].as_str()) {
                assert!(text.chars().count() <= 3_000, "{}", text.len());
            }
        }
    }
}

#[test]
fn the_start_of_a_long_text_is_kept() {
    assert_eq!(cut("abc", 3), "abc");
    assert_eq!(cut("äöüß", 4), "äöüß");
    assert_eq!(cut("äöüßx", 4), "ä...");
}

/// What ends an alert must name it by the same labels, whatever severity the notice had.
#[test]
fn an_end_names_what_it_ends() {
    let [_, _, alertmanager, pagerduty] = channels();
    let mut hold = notice(Kind::Hold);
    hold.severity = metrics::notice::Severity::Page;
    let body = |channel: &Channel, notice: &Notice, at: usize| -> Value {
        serde_json::from_slice(&messages(channel, notice, "production")[at].body).unwrap()
    };
    let started = body(&alertmanager, &hold, 0)[0]["labels"].clone();
    let ended = body(&alertmanager, &notice(Kind::Release), 0);
    assert!(ended.as_array().unwrap().iter().any(|alert| alert["labels"] == started), "{ended}");
    let started = body(&pagerduty, &hold, 0)["dedup_key"].clone();
    let ended = messages(&pagerduty, &notice(Kind::Release), "production").len();
    assert!((0..ended).any(|at| body(&pagerduty, &notice(Kind::Release), at)["dedup_key"] == started));
}

proptest::proptest! {
    /// Whatever somebody has written as a reason, Slack neither acts on it nor refuses it for its length, and a webhook gets it whole.
    #[test]
    fn text_of_others_is_text(text in "[ -~<>&@!#|äß\\n]{0,4000}") {
        let [webhook, slack, ..] = channels();
        let told = Notice { title: text.clone(), text: text.clone(), actor: text.clone(), dashboard_url: None, ..notice(Kind::Hold) };
        let body = |channel: &Channel| -> Value { serde_json::from_slice(&messages(channel, &told, "production")[0].body).unwrap() };
        let body_of_slack = body(&slack);
        let section = body_of_slack["blocks"][1]["text"]["text"].as_str().unwrap();
        let facts = body_of_slack["blocks"][2]["elements"][0]["text"].as_str().unwrap();
        proptest::prop_assert!(!section.contains(['<', '>']) && !facts.contains(['<', '>']));
        proptest::prop_assert!(section.chars().count() <= 3_000 && facts.chars().count() <= 3_000);
        let title = body_of_slack["blocks"][0]["text"]["text"].as_str().unwrap();
        proptest::prop_assert!(title.chars().count() <= 150);
        proptest::prop_assert_eq!(&body(&webhook)["data"]["text"], &Value::from(text));
    }
}
