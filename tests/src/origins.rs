//! Real origins that record what they read: a lenient one in Python, node, and nginx.
//!
//! # Why real ones
//!
//! A proxy and an origin lose step where one reads what the other did not mean. So the origins are not ours: each reads
//! with its own parser at its most lenient, and says what it understood before it answers.
//!
//! nginx records nothing that is worth comparing; so it stands before the lenient origin, which records what nginx made of a
//! request.
//!
//! Not here: what was sent to them, which a [`Tap`] sees.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::ports::refused_address;
use crate::tap::Tap;
use crate::{wait_for, within};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Lenient,
    Node,
    Nginx,
}

/// One request as an origin understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Understood {
    pub method: String,
    pub target: String,
    pub body: Vec<u8>,
}

/// A running origin behind a tap; it ends when dropped.
#[derive(Debug)]
pub struct Origin {
    pub kind: Kind,
    pub tap: Tap,
    recorded: Arc<Mutex<Vec<Understood>>>,
    _children: Vec<Child>,
    _directory: TempDir,
}

impl Origin {
    /// Starts one; none, with a visible line, when the machine lacks its program.
    pub async fn start(kind: Kind) -> Option<Self> {
        let directory = TempDir::new().expect("a temporary directory");
        let recorded = Arc::<Mutex<Vec<Understood>>>::default();
        let (program, script) = match kind {
            Kind::Lenient | Kind::Nginx => ("python3", "lenient.py"),
            Kind::Node => ("node", "node.cjs"),
        };
        let (child, recorder) = start_script(program, script, &recorded).await?;
        let (mut children, mut address) = (vec![child], recorder);
        if kind == Kind::Nginx {
            let (nginx, before) = start_nginx(directory.path(), recorder).await?;
            children.push(nginx);
            address = before;
        }
        Some(Self { kind, tap: Tap::start(address).await, recorded, _children: children, _directory: directory })
    }

    /// Everything it has understood so far.
    pub fn recorded(&self) -> Vec<Understood> {
        self.recorded.lock().expect("not poisoned").clone()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("origins")
}

async fn is_there(program: &str, version: &str) -> bool {
    let quiet = Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    let found = quiet.is_ok();
    if !found {
        eprintln!("SKIPPED: there is no {program} on this machine (tests/run installs it)");
    }
    found
}

/// A script that prints its port and then a line for each request.
async fn start_script(
    program: &str,
    script: &str,
    recorded: &Arc<Mutex<Vec<Understood>>>,
) -> Option<(Child, SocketAddr)> {
    if !is_there(program, "--version").await {
        return None;
    }
    let mut command = Command::new(program);
    command.arg(folder().join(script)).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("it was found before");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let first = within("an origin tells its port", lines.next_line()).await.ok().flatten().unwrap_or_default();
    let port = serde_json::from_str::<Value>(&first).ok().and_then(|first| first["port"].as_u64());
    let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else { panic!("{script} began with {first:?}") };
    let recorded = Arc::clone(recorded);
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            recorded.lock().expect("not poisoned").push(understood(&line));
        }
    });
    Some((child, ([127, 0, 0, 1], port).into()))
}

/// A line of a record; its text has one character a byte.
fn understood(line: &str) -> Understood {
    let record: Value = serde_json::from_str(line).unwrap_or_default();
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let body = text("body").chars().map(|char| u8::try_from(char).unwrap_or(b'?')).collect();
    Understood { method: text("method"), target: text("target"), body }
}

async fn start_nginx(directory: &Path, recorder: SocketAddr) -> Option<(Child, SocketAddr)> {
    if !is_there("nginx", "-v").await {
        return None;
    }
    let template = std::fs::read_to_string(folder().join("nginx.conf")).expect("it is in the repository");
    // Another process may take the port in between; then the next one is tried.
    for _ in 0..5 {
        let address = refused_address();
        let file = template
            .replace("DIRECTORY", &directory.display().to_string())
            .replace("ADDRESS", &address.to_string())
            .replace("RECORDER", &recorder.to_string());
        std::fs::write(directory.join("nginx.conf"), file).expect("the directory is writable");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory).arg("-c").arg(directory.join("nginx.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("it was found before");
        let mut ended = false;
        wait_for("nginx takes connections", || {
            ended = child.try_wait().ok().flatten().is_some();
            async move { (ended || TcpStream::connect(address).await.is_ok()).then_some(()) }
        })
        .await;
        if !ended {
            return Some((child, address));
        }
    }
    panic!("nginx does not start on any of five free ports")
}
