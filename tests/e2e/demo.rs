//! `crossfade demo` as a newcomer meets it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use harness::router::{binary, crossfade};
use harness::{Client, within};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A demo on free ports, with what it has printed so far.
struct Demo {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    printed: Vec<String>,
}

impl Demo {
    fn start() -> Self {
        let mut command = Command::new(binary());
        command.args(["demo", "--port", "0", "--admin-port", "0"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, printed: Vec::new() }
    }

    /// Reads until a line satisfies `wanted`.
    async fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let line = within(what, self.lines.next_line()).await.unwrap();
            let line = line.unwrap_or_else(|| panic!("the demo ended before {what}:\n{}", self.printed.join("\n")));
            self.printed.push(line.clone());
            if wanted(&line) {
                return line;
            }
        }
    }

    /// The second word of the line of the guide that starts with this one.
    async fn named(&mut self, name: &str) -> String {
        let line = self.until(name, |line| line.trim_start().starts_with(&format!("{name} "))).await;
        line.split_whitespace().nth(1).unwrap().to_owned()
    }

    async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().await.unwrap().success());
    }
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_demo_serves_and_shows_a_fault_and_ends_by_a_signal_without_a_trace() {
    let mut demo = Demo::start();
    let router = address(&demo.named("router").await);
    let token = {
        let _admin = demo.named("admin").await;
        demo.named("token").await
    };
    assert!(token.len() >= 20, "{token:?}");
    let file = demo.named("file").await;
    assert!(Path::new(&file).is_file(), "{file}");

    let answer = Client::connect(router).await.get_with("/api/sessions/42", "x-group: beta\r\n").await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(answer.json()["served_by"], "new");
    demo.until("a line that counts both sides", |line| {
        line.contains("gradual 10 %") && line.contains("no errors") && !line.contains("Python 0 ")
    })
    .await;

    let fault = demo.printed.iter().find(|line| line.contains("/fault") && line.contains("fail")).unwrap();
    let url = fault.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    let control = address(url.strip_suffix("/fault").unwrap());
    let switched = Client::connect(control).await.request("POST", "/fault", "", "{\"mode\":\"fail\"}").await;
    assert_eq!(switched.status(), 200, "{switched:?}");
    demo.until("a line that tells the fault", |line| line.contains("fault of Python: fail")).await;
    demo.until("the guard rolls back by itself", |line| line.contains("emergency_rollback")).await;
    assert!(!demo.printed.iter().any(|line| line.contains("since the start")), "somebody noticed: {:?}", demo.printed);

    demo.signal("TERM").await;
    let ended = within("the demo ends", demo.child.wait()).await.unwrap();
    assert!(ended.success(), "{ended:?}");
    assert!(!Path::new(&file).parent().unwrap().exists(), "{file} is left behind");
}

#[tokio::test]
async fn the_demo_ends_by_itself_when_told_so() {
    let ended = crossfade(&["demo", "--for", "1s", "--no-load", "--port", "0", "--admin-port", "0"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("none (--no-load)") && ended.stdout.contains("The demo ends."), "{ended:?}");
}
