//! What pages are told while it happens, and what one that was away is told when it comes back.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use flags::control::{Ask, Change};
use flags::tally::Slot;
use flags::{MigrationId, Mode};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use metrics::status::{State, Status};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::world::{World, request};

const PATIENCE: Duration = Duration::from_secs(20);

/// One stream, read event by event.
struct Events {
    body: BodyDataStream,
    text: String,
    waiting: VecDeque<Event>,
}

#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Event {
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(own, _)| *own == name).map(|(_, value)| value.to_owned()).next()
        };
        let data = serde_json::from_str(&field("data")?).unwrap();
        Some(Self { name: field("event")?, id: field("id").unwrap_or_default(), data })
    }
}

impl Events {
    async fn open(world: &World, role: &str, last: Option<&str>) -> Self {
        let mut asked = request(role, "GET", "/api/v1/events", "");
        if let Some(last) = last {
            asked = asked.header("last-event-id", last);
        }
        let answer = world.app.clone().oneshot(asked.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        Self { body: answer.into_body().into_data_stream(), text: String::new(), waiting: VecDeque::new() }
    }

    /// The next event; none when the stream is over.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("an event comes")?;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                self.waiting.extend(Event::parse(event));
                self.text = rest.to_owned();
            }
        }
    }

    async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if wanted(&event) {
                return event;
            }
        }
    }
}

async fn move_agents(world: &World, mode: Mode, reason: &str) {
    let agents = MigrationId::new("agents").unwrap();
    world.control.apply(&agents, Change::new(Ask::Mode(mode), "ann", reason)).await.unwrap();
}

#[tokio::test]
async fn a_page_is_told_everything_and_then_what_changes() {
    let world = World::new().await;
    world.another_router_is_at(0).await;
    let mut events = Events::open(&world, "viewer", None).await;
    let first = events.next().await.unwrap();
    assert_eq!((first.name.as_str(), first.data.get("partial")), ("state", None));
    assert_eq!(first.data["migrations"].as_array().map(Vec::len), Some(2));
    for part in ["revision", "degraded", "freeze", "replicas", "upstreams"] {
        assert!(first.data.get(part).is_some(), "{part} is missing in {}", first.data);
    }
    // Counts are told by the one task that looks; from then on it knows what was before.
    events.until(|event| event.name == "counts").await;
    move_agents(&world, Mode::Gradual, "go <b>on</b>").await;
    let notice = events.until(|event| event.name == "notice").await.data;
    assert_eq!((&notice["actor"], &notice["text"]), (&json!("ann"), &json!("go <b>on</b>")));
    assert_eq!((&notice["before"]["mode"], &notice["after"]["mode"]), (&json!("legacy_only"), &json!("gradual")));
    let moved =
        |event: &Event| event.name == "state" && event.data["migrations"].as_array().is_some_and(|all| !all.is_empty());
    let state = events.until(moved).await.data;
    assert_eq!((&state["partial"], &state["migrations"][0]["mode"]), (&json!(true), &json!("gradual")));
    assert_eq!(state["migrations"].as_array().map(Vec::len), Some(1), "the other one has not moved");
}

#[tokio::test]
async fn each_second_is_told_by_side_and_without_the_store_by_this_router() {
    let world = World::new().await;
    let mut events = Events::open(&world, "viewer", None).await;
    let now = Slot::of(Timestamp::now()).second();
    for second in now - 3..now + 20 {
        world.another_router_counts("a", Slot::of_second(second), "2xx=3 5xx=1 ok=3 failed=1 h10=4").await;
    }
    let counts =
        events.until(|event| event.name == "counts" && event.data["migrations"]["agents"]["new"]["total"] == 4).await;
    let agents = &counts.data["migrations"]["agents"];
    assert_eq!((&agents["new"]["failed"], &agents["observed_percent"]), (&json!(1), &json!(100.0)));
    assert_eq!((&counts.data["source"], &agents["state"]), (&json!("fleet"), &json!("running")));
    world.take_the_store_away();
    let counts = events.until(|event| event.name == "counts" && event.data["source"] == "router").await;
    assert_eq!(counts.data["migrations"]["agents"]["new"]["total"], 0);
}

#[tokio::test]
async fn a_page_that_comes_back_is_told_what_it_missed() {
    let world = World::new().await;
    let mut events = Events::open(&world, "viewer", None).await;
    let last = events.until(|event| event.name == "counts").await.id;
    move_agents(&world, Mode::Gradual, "one").await;
    move_agents(&world, Mode::NewOnly, "two").await;
    // A page that stayed shows when both have been told.
    events.until(|event| event.name == "notice" && event.data["text"] == "two").await;
    let mut back = Events::open(&world, "viewer", Some(&last)).await;
    assert_eq!(back.next().await.unwrap().name, "state");
    let texts = [back.next().await.unwrap(), back.next().await.unwrap()].map(|event| event.data["text"].clone());
    assert_eq!(texts, [json!("one"), json!("two")]);
    let mut stranger = Events::open(&world, "viewer", Some("of-another-process-7")).await;
    assert_eq!(stranger.next().await.unwrap().name, "state");
    assert_eq!(stranger.next().await.unwrap().name, "counts", "there is nothing to resume");
}

#[tokio::test]
async fn what_a_guard_does_is_a_notice_too() {
    let world = World::new().await;
    let mut events = Events::open(&world, "viewer", None).await;
    events.until(|event| event.name == "counts").await;
    let held = Status { state: State::Held, why: "new is slower".into(), ..Status::default() };
    world.board.put(&MigrationId::new("agents").unwrap(), held);
    let notice = events.until(|event| event.name == "notice").await.data;
    assert_eq!((&notice["kind"], &notice["text"]), (&json!("hold"), &json!("new is slower")));
}

#[tokio::test]
async fn a_router_that_goes_its_own_way_is_told_when_it_lasts_and_when_it_is_over() {
    let world = World::new().await;
    move_agents(&world, Mode::NewOnly, "go").await;
    let mut events = Events::open(&world, "viewer", None).await;
    events.until(|event| event.name == "counts").await;
    world.watch.set_killed(true);
    let of_agents = |event: &Event| event.name == "notice" && event.data["migration"] == "agents";
    let begun = events.until(of_agents).await.data;
    assert_eq!((&begun["kind"], &begun["actor"]), (&json!("here_only"), &json!("router-1")), "{begun}");
    assert_eq!(begun["after"]["mode"], "emergency_rollback");
    world.watch.set_killed(false);
    let over = events.until(of_agents).await.data;
    assert_eq!((&over["kind"], &over["after"]["mode"]), (&json!("here_only_over"), &json!("new_only")), "{over}");
    assert_ne!(begun["id"], over["id"]);
    // One that is stored is told as the change that it is, and not twice.
    move_agents(&world, Mode::Gradual, "on").await;
    let kinds = [events.until(of_agents).await.data["kind"].clone()];
    assert_eq!(kinds, [json!("mode")]);
}

#[tokio::test]
async fn a_stream_ends_when_the_router_goes_down() {
    let world = World::new().await;
    let mut events = Events::open(&world, "viewer", None).await;
    events.until(|event| event.name == "counts").await;
    world.plane.0.lock().unwrap().draining = true;
    assert_eq!(events.until(|event| event.name == "bye").await.data, json!({ "why": "draining" }));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn streams_are_counted_and_nobody_listens_without_a_token() {
    let world = World::new().await;
    world.call("", "GET", "/api/v1/events", "").await.is_problem(401, "unauthorized");
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Events::open(&world, "viewer", None).await);
    }
    let refused = world.call("viewer", "GET", "/api/v1/events", "").await;
    refused.is_problem(503, "too_busy");
    open.pop();
    Events::open(&world, "viewer", None).await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_counted() {
    let world = World::new().await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Events::open(&world, "viewer", None).await);
    }
    world.call("viewer", "GET", "/api/v1/events", "").await.is_problem(503, "too_busy");
    assert!(world.observer.gather().unwrap().contains("\ncrossfade_admin_streams_refused_total 1\n"));
    open.pop();
    Events::open(&world, "viewer", None).await;
}
