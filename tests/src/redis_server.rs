//! A real Redis on a free port, which a test may kill and start again.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::backend::refused_address;
use crate::client::Client;
use crate::wait_for;

const FILE: &str = "redis.conf";

/// All that is acknowledged is on disk, and a replica follows without a pause.
const KEPT: &str = "appendonly yes\nappendfsync always\nsave \"\"\nrepl-diskless-sync-delay 0\n";

/// Runs in a directory of its own and ends when dropped.
#[derive(Debug)]
pub struct RedisServer {
    pub address: SocketAddr,
    role: Role,
    directory: TempDir,
    child: Option<Child>,
}

/// What a server is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Holds the state, and has it on disk before it says so.
    Primary,
    /// Follows this primary, or whichever it is told to later.
    ReplicaOf(SocketAddr),
    /// Watches this primary under the name `main`, and replaces it when it is gone; this one's word is enough.
    SentinelOf(SocketAddr),
}

impl RedisServer {
    /// Starts a server; none, with a visible line, when the machine has no `redis-server`.
    pub async fn start() -> Option<Self> {
        Self::start_as(Role::Primary).await
    }

    /// Starts a server with a role; none as in [`RedisServer::start`].
    pub async fn start_as(role: Role) -> Option<Self> {
        let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().await;
        if found.is_err() {
            eprintln!("SKIPPED: there is no redis-server on this machine (tests/run installs it)");
            return None;
        }
        // Another process may take the port in between; then the next one is tried.
        for _ in 0..5 {
            let directory = TempDir::new().expect("a temporary directory");
            let mut server = Self { address: refused_address(), role, directory, child: None };
            server.write_file();
            if server.try_start().await {
                return Some(server);
            }
        }
        panic!("redis-server does not start on any of five free ports");
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Whether it was started and not killed since.
    pub const fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Ends it at once, as a crash would.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill().await;
        }
    }

    /// Starts it again on the same port, with what it held: it writes everything to disk at once.
    ///
    /// # Panics
    ///
    /// When it does not come back.
    pub async fn restart(&mut self) {
        assert!(self.try_start().await, "redis-server does not come back on {}", self.address);
    }

    /// Everything that was ever written to it, as its log on disk has it.
    ///
    /// # Panics
    ///
    /// When it has no log.
    pub fn written(&self) -> Vec<u8> {
        let folder = std::fs::read_dir(self.directory.path().join("appendonlydir")).expect("it keeps a log");
        let files = folder.map(|entry| entry.expect("the folder can be read").path());
        files.flat_map(|path| std::fs::read(path).expect("its log can be read")).collect()
    }

    /// Starts it again on the same port, having lost everything.
    pub async fn restart_empty(&mut self) {
        let kept = self.directory.path().join("appendonlydir");
        std::fs::remove_dir_all(kept).expect("it wrote its file");
        self.restart().await;
    }

    /// Stops it where it stands: connections are made by the kernel, and nothing is answered.
    pub async fn pause(&self) {
        self.signal("STOP").await;
    }

    /// Lets it go on.
    pub async fn resume(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, name: &str) {
        let id = self.child.as_ref().and_then(Child::id).expect("redis-server runs");
        let sent = Command::new("kill").args([format!("-{name}"), id.to_string()]).status().await.expect("kill runs");
        assert!(sent.success(), "kill -{name} {id}");
    }

    /// Runs one command, written as in `redis-cli`, and gives its answer where that is a line or a text of one line;
    /// of anything else its first line. Asked again where the connection ends, as a sentinel ends those of a server
    /// whose role it changes.
    pub async fn command(&self, words: &str) -> String {
        wait_for("redis-server answers", || async {
            let mut raw = Client::try_connect(self.address).await.ok()?;
            raw.send(format!("{words}\r\n")).await;
            let mut line = raw.until_or_end(b"\r\n").await?;
            if line.starts_with(b"$") && line != b"$-1\r\n" {
                line = raw.until_or_end(b"\r\n").await?;
            }
            Some(String::from_utf8_lossy(&line).trim_end().to_owned())
        })
        .await
    }

    /// What it tells of itself in a section.
    pub async fn info(&self, section: &str) -> String {
        wait_for("redis-server tells of itself", || async {
            let mut raw = Client::try_connect(self.address).await.ok()?;
            raw.send(format!("INFO {section}\r\n")).await;
            let told = raw.until_or_end(b"\r\n\r\n").await?;
            Some(String::from_utf8_lossy(&told).into_owned())
        })
        .await
    }

    /// Forgets everything, as somebody does who means another server.
    pub async fn flush(&self) {
        assert_eq!(self.command("FLUSHALL").await, "+OK");
    }

    /// Written once: what a server learns from a sentinel, and a sentinel by itself, they write into it.
    fn write_file(&self) {
        let (port, directory) = (self.address.port(), self.directory.path().display());
        let mut file = format!("port {port}\nbind 127.0.0.1\ndir {directory}\n");
        match self.role {
            Role::Primary => file += KEPT,
            Role::ReplicaOf(primary) => {
                file += KEPT;
                let _ = writeln!(file, "replicaof {} {}", primary.ip(), primary.port());
            }
            Role::SentinelOf(primary) => {
                let _ = writeln!(file, "sentinel monitor main {} {} 1", primary.ip(), primary.port());
                // It asks once in the shorter of this and a second, so less than two seconds can mistake the pause
                // between two of its own questions for a primary that is gone, and fail over again.
                file += "sentinel down-after-milliseconds main 2000\nsentinel failover-timeout main 4000\n";
            }
        }
        std::fs::write(self.directory.path().join(FILE), file).expect("the directory is writable");
    }

    async fn try_start(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        command.arg(self.directory.path().join(FILE)).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        if matches!(self.role, Role::SentinelOf(_)) {
            command.arg("--sentinel");
        }
        let child = command.spawn();
        let mut child = child.expect("redis-server was found before");
        let address = self.address;
        let mut ended = false;
        wait_for("redis-server takes connections", || {
            ended = child.try_wait().ok().flatten().is_some();
            async move { (ended || TcpStream::connect(address).await.is_ok()).then_some(()) }
        })
        .await;
        self.child = Some(child);
        !ended
    }
}
