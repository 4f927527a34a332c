//! The plain keys of the issue-agents story: its own controller decides as the router does.

use std::process::Stdio;

use harness::{RedisServer, within};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::world::World;

const LAST: usize = 250;

const AGENTS: &str = "key: [query:issue]\nhash: modulo\nmirror_keys: {mode: system_mode, percent: rollout_percentage}";

/// The story's controller, as a process beside the router.
struct Controller {
    _process: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Controller {
    fn start(redis: &RedisServer) -> Option<Self> {
        let mut command = Command::new("python3");
        command.arg("-c").arg(include_str!("controller.py"));
        command.arg(redis.address.ip().to_string()).arg(redis.address.port().to_string());
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut process = match spawned {
            Ok(process) => process,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("SKIPPED: there is no python3 on this machine (tests/run installs it)");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let questions = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Some(Self { _process: process, questions, answers })
    }

    /// Of each number whether Python works on it, and whether TypeScript does.
    async fn decides(&mut self) -> Vec<(bool, bool)> {
        self.questions.write_all(format!("0 {LAST}\n").as_bytes()).await.unwrap();
        let mut line = async || {
            let line = within("the controller answers", self.answers.next_line()).await.unwrap();
            line.expect("the controller lives").into_bytes()
        };
        let (python, typescript) = (line().await, line().await);
        assert_eq!((python.len(), typescript.len()), (LAST + 1, LAST + 1));
        python.iter().zip(&typescript).map(|(python, typescript)| (*python == b'1', *typescript == b'1')).collect()
    }
}

/// Of each number whether the router serves by new, and whether legacy gets it, as the server or by a copy.
async fn router_decides(world: &World) -> Vec<(bool, bool)> {
    let mut decisions = Vec::new();
    for number in 0..=LAST {
        let path = format!("/migrations/shop/decision?key={number}&method=GET&path=/");
        let decision = world.router.api("GET", &path, None).await.json();
        let (serve, mirror) = (decision["serve"].as_str(), decision["mirror"].as_str());
        assert!(serve.is_some() && serve != mirror, "{number}: {decision}");
        decisions
            .push((serve == Some("new") || mirror == Some("new"), serve == Some("legacy") || mirror == Some("legacy")));
    }
    decisions
}

async fn check(world: &World, controller: &mut Controller, state: &str) {
    let (router, story) = (router_decides(world).await, controller.decides().await);
    for (number, (ours, theirs)) in router.iter().zip(&story).enumerate() {
        assert_eq!(ours, theirs, "issue {number} in {state}: (Python, TypeScript) by the router, by the controller");
    }
}

#[tokio::test]
async fn the_storys_controller_answers_as_the_router_does() {
    let Some(redis) = RedisServer::start().await else { return };
    let Some(mut controller) = Controller::start(&redis) else { return };
    let world = World::with(|setup| setup.with_redis(&redis.url()).with_migration(AGENTS)).await;
    check(&world, &mut controller, "the first state").await;
    for percent in [0, 1, 25, 50, 99, 100] {
        world.router.rollout(f64::from(percent)).await;
        world.router.mode("gradual").await;
        check(&world, &mut controller, &format!("gradual at {percent} %")).await;
        let story = controller.decides().await;
        let on_python = story.iter().take(100).filter(|(python, _)| *python).count();
        assert_eq!(on_python, percent as usize, "the controller has read the percentage");
        for mode in ["legacy_only", "parallel", "new_only"] {
            world.router.mode(mode).await;
            if percent == 25 || mode == "parallel" {
                check(&world, &mut controller, &format!("{mode} at {percent} %")).await;
            }
        }
        world.router.roll_back().await;
        check(&world, &mut controller, &format!("emergency_rollback at {percent} %")).await;
        let body = json!({"to": "legacy_only", "reason": "understood"});
        let acknowledged = world.router.api("POST", "/migrations/shop/acknowledge", Some(body)).await;
        assert_eq!(acknowledged.status(), 200, "{acknowledged:?}");
    }
}

#[tokio::test]
async fn a_router_that_comes_to_a_running_controller_goes_on_where_it_stands() {
    let Some(redis) = RedisServer::start().await else { return };
    let Some(mut controller) = Controller::start(&redis) else { return };
    let mut raw = harness::Client::connect(redis.address).await;
    raw.send("SET system_mode gradual\r\nSET rollout_percentage 50\r\nPING\r\n").await;
    raw.until(b"PONG").await;
    let before = controller.decides().await;
    let world = World::with(|setup| setup.with_redis(&redis.url()).with_migration(AGENTS)).await;
    assert_eq!(router_decides(&world).await, before, "nobody has moved");
    let history = world.router.api("GET", "/migrations/shop/history", None).await.json();
    assert_eq!(history["history"][0]["actor"], "mirror_keys", "{history}");
    assert_eq!(history["history"][0]["kind"], "adopt", "{history}");
}
