//! The pages a person opens: complete without a script, escaped, and reticent without a token.

use flags::control::{Ask, Change};
use flags::tally::Slot;
use flags::{MigrationId, Mode};
use jiff::Timestamp;
use metrics::status::{State, Status};

use crate::world::World;

async fn changed() -> World {
    let world = World::new().await;
    let agents = MigrationId::new("agents").unwrap();
    let reason = "because <script>alert(1)</script> & \"more\"";
    world.control.apply(&agents, Change::new(Ask::Mode(Mode::NewOnly), "<ann>", reason)).await.unwrap();
    world
}

#[tokio::test]
async fn the_page_shows_what_anybody_may_know() {
    let answer = changed().await.call("", "GET", "/", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "text/html; charset=utf-8"));
    for shown in [
        "agents",
        "reports",
        "new_only",
        "TypeScript",
        "Python &lt;3&gt;",
        "http://127.0.0.1:3002",
        "router-1",
        "reachable",
    ] {
        assert!(answer.text.contains(shown), "{shown} is missing in {}", answer.text);
    }
    for hidden in ["&lt;ann", "because", "router-2"] {
        assert!(!answer.text.contains(hidden), "{hidden} is told without a token");
    }
}

#[tokio::test]
async fn a_token_adds_who_and_why_and_where() {
    let world = changed().await;
    world.another_router_is_at(0).await;
    let text = world.get("/").await.text;
    for shown in ["&lt;ann&gt;", "because &lt;script&gt;", "router-2", "behind", "<b>viewer</b>"] {
        assert!(text.contains(shown), "{shown} is missing in {text}");
    }
    world.call("wrong", "GET", "/", "").await.is_problem(401, "unauthorized");
}

#[tokio::test]
async fn text_from_outside_stays_text() {
    let world = changed().await;
    world.take_the_store_away();
    world.watch.refresh().await;
    for (path, role) in [("/", ""), ("/", "viewer"), ("/migration/dashboard", ""), ("/migration/dashboard", "viewer")] {
        let text = world.call(role, "GET", path, "").await.text;
        for forged in ["<script>alert", "Python <3>", "<ann>", "<b>the</b>"] {
            assert!(!text.contains(forged), "{forged} got into {path}: {text}");
        }
        assert!(text.contains("not reachable"), "{text}");
    }
}

/// The policy of every answer forbids what is inline; a page that needed it would be dead.
#[tokio::test]
async fn nothing_is_inline_and_every_file_is_served() {
    let world = changed().await;
    for path in ["/", "/migration/dashboard"] {
        let text = world.get(path).await.text;
        for inline in ["<style", " style=", " onclick=", "javascript:", "<script>"] {
            assert!(!text.contains(inline), "{inline} in {path}");
        }
        let files: Vec<&str> = text.split(['"', '\'']).filter(|part| part.starts_with("/ui/")).collect();
        assert!(files.len() >= 3, "{files:?}");
        for file in files {
            assert_eq!(world.call("", "GET", file, "").await.status, 200, "{file}");
        }
    }
}

#[tokio::test]
async fn the_story_s_dashboard_shows_the_default_migration_and_its_actions() {
    let answer = changed().await.call("", "GET", "/migration/dashboard", "").await;
    assert_eq!(answer.status, 200);
    for shown in ["agents", "new_only", "100 %", "Switch to TypeScript only", "Roll back", "healthy"] {
        assert!(answer.text.contains(shown), "{shown} is missing in {}", answer.text);
    }
    assert!(!answer.text.contains("reports"), "only the default migration is the story's");
}

/// The text of a page, without what marks it up.
fn words(page: &str) -> String {
    let text: String =
        page.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect::<Vec<_>>().join(" ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_guard_is_shown_with_its_reason_and_its_thresholds() {
    let world = World::new().await;
    let evidence = [("latency_p95".to_owned(), 700.0), ("requests".to_owned(), 0.4), ("all".to_owned(), 28.4)].into();
    let why = "new is slower <b>than</b> legacy".to_owned();
    let held = Status { state: State::Held, why, evidence, ..Status::default() };
    world.board.put(&MigrationId::new("agents").unwrap(), held);
    for path in ["/", "/migration/dashboard"] {
        let page = world.call("", "GET", path, "").await.text;
        let text = words(&page);
        for shown in [
            "held",
            "new is slower &lt;b&gt;than&lt;/b&gt; legacy",
            "Evidence against new 28 , most of it from latency_p95 · 1 says nothing",
            "20 holds, 100 brakes, 1000 rolls back",
        ] {
            assert!(text.contains(shown), "{shown} is missing in {text}");
        }
    }
    assert!(
        words(&world.call("", "GET", "/", "").await.text).contains("Evidence against new 1 "),
        "the other one is sound"
    );
}

#[tokio::test]
async fn both_sides_are_compared_in_the_words_of_the_story() {
    let world = World::new().await;
    let slot = Slot::of_second(Slot::of(Timestamp::now()).second() - 5);
    world.another_router_counts("a", slot, "ok=19 failed=1 h10=20").await;
    let text = words(&world.call("", "GET", "/migration/dashboard", "").await.text);
    for shown in [
        "Performance Comparison",
        "First attempts of the last 10 min",
        "Python &lt;3&gt; 20 95.00 %",
        "success_rate_improvement nothing to compare yet",
        "duration_improvement",
        "quality_improvement",
        "System Health legacy",
    ] {
        assert!(text.contains(shown), "{shown} is missing in {text}");
    }
    let away = World::new().await;
    away.take_the_store_away();
    let text = words(&away.call("", "GET", "/", "").await.text);
    assert!(text.contains("Not known:"), "{text}");
}
