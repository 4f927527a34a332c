//! The router under test: the binary that ships, as a process of its own.
//!
//! # Why its output is kept
//!
//! A failed expectation is explained by what the router said at the time, so everything it printed is
//! shown when the test that owns it panics.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::http::Answer;
use crate::setup::MIGRATION;
use crate::{wait_for, wait_until, within};

/// The binary `crossfade`, built if need be.
///
/// `CROSSFADE_BINARY` names one that is up to date (`tests/run` sets it); otherwise cargo is asked, in
/// the profile and target directory of the running test.
///
/// # Panics
///
/// When it does not build.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("CROSSFADE_BINARY") {
            return path.into();
        }
        let test = std::env::current_exe().expect("the test knows its file");
        let profile = test.parent().and_then(Path::parent).expect("tests are in PROFILE/deps");
        let target = profile.parent().expect("profiles are in the target directory");
        let mut build = std::process::Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "crossfade-router", "--target-dir"]).arg(target);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
        assert!(built.success(), "the router does not build");
        profile.join("crossfade")
    })
}

/// What a finished command said.
#[derive(Clone, Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `crossfade` with these arguments to its end.
pub async fn crossfade(arguments: &[&str]) -> Finished {
    crossfade_in(Path::new("."), arguments, &[]).await
}

/// The same in a directory and with further variables.
///
/// # Panics
///
/// When it does not end.
pub async fn crossfade_in(directory: &Path, arguments: &[&str], environment: &[(String, String)]) -> Finished {
    let mut command = Command::new(binary());
    command.current_dir(directory).args(arguments).envs(environment.iter().map(|(n, v)| (n, v)));
    command.env("NO_COLOR", "1").stdin(Stdio::null()).kill_on_drop(true);
    let output = within(&format!("crossfade {arguments:?} ends"), command.output()).await.expect("crossfade runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A connection to the admin side that names it by its address, as a browser would.
async fn admin_client(address: SocketAddr) -> Client {
    let mut client = Client::connect(address).await;
    client.host = address.to_string();
    client
}

/// The lines a process has printed so far, of both streams.
#[derive(Clone, Debug, Default)]
struct Output(Arc<Mutex<Vec<String>>>);

impl Output {
    fn keep(&self, stream: impl AsyncRead + Unpin + Send + 'static) {
        let lines = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut reader = BufReader::new(stream).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                lines.lock().expect("not poisoned").push(line);
            }
        });
    }

    fn text(&self) -> String {
        self.0.lock().expect("not poisoned").join("\n")
    }

    fn line_starting(&self, start: &str) -> Option<String> {
        self.0.lock().expect("not poisoned").iter().find(|line| line.starts_with(start)).cloned()
    }
}

/// A running router and the directory that it keeps its state in.
#[derive(Debug)]
pub struct Router {
    pub data: SocketAddr,
    pub admin: SocketAddr,
    directory: Arc<TempDir>,
    environment: Vec<(String, String)>,
    child: Child,
    output: Output,
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        if std::thread::panicking() {
            eprintln!("---- the router on {} printed:\n{}\n----", self.data, self.output.text());
        }
    }
}

impl Router {
    /// Writes the file into the directory and starts a router from it.
    pub async fn start(directory: TempDir, file: &str, environment: &[(String, String)]) -> Self {
        std::fs::write(directory.path().join("crossfade.yaml"), file).expect("the directory is writable");
        Self::launch(Arc::new(directory), environment.to_vec()).await
    }

    async fn launch(directory: Arc<TempDir>, environment: Vec<(String, String)>) -> Self {
        let mut command = Command::new(binary());
        command.arg("serve").arg("-c").arg(directory.path().join("crossfade.yaml"));
        command.envs(environment.iter().map(|(name, value)| (name, value))).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("crossfade starts");
        let output = Output::default();
        output.keep(child.stdout.take().expect("stdout is piped"));
        output.keep(child.stderr.take().expect("stderr is piped"));
        let ready = wait_for("the router is ready", || {
            let line = output.line_starting("ready ");
            let ended = child.try_wait().ok().flatten();
            assert!(ended.is_none() || line.is_some(), "the router ended with {ended:?}:\n{}", output.text());
            std::future::ready(line)
        })
        .await;
        let word = |name: &str| {
            let value = ready.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|list| list.split(',').next()).and_then(|address| address.parse().ok())
        };
        let (Some(data), Some(admin)) = (word("data"), word("admin")) else {
            panic!("the ready line names no addresses: {ready:?}")
        };
        let router = Self { data, admin, directory, environment, child, output };
        wait_for("/readyz answers 200", || async {
            let answer = admin_client(admin).await.get("/readyz").await;
            (answer.status() == 200).then_some(())
        })
        .await;
        router
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(&self) -> PathBuf {
        self.directory().join("crossfade.yaml")
    }

    /// Everything it printed so far.
    pub fn printed(&self) -> String {
        self.output.text()
    }

    pub async fn wait_until_printed(&self, text: &str) {
        wait_until(&format!("the router prints {text:?}"), || self.printed().contains(text)).await;
    }

    /// A new connection to the data side.
    pub async fn connect(&self) -> Client {
        Client::connect(self.data).await
    }

    /// Sends bytes on a new connection and reads one answer.
    pub async fn exchange(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client.answer().await
    }

    /// The most memory that was ever resident, in KiB.
    ///
    /// # Panics
    ///
    /// When the system does not tell.
    pub fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        peak.expect("Linux tells a process's peak memory")
    }

    // ---- life and death

    fn pid(&self) -> u32 {
        self.child.id().expect("the router runs")
    }

    /// Sends `TERM`, `HUP` and the like.
    pub async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid());
        let sent = Command::new("sh").args(["-c", &kill]).status().await.expect("sh runs");
        assert!(sent.success(), "{kill}");
    }

    /// Stops it where it stands: connections are made by the kernel, and nothing is answered.
    pub async fn pause(&self) {
        self.signal("STOP").await;
    }

    /// Lets it go on.
    pub async fn resume(&self) {
        self.signal("CONT").await;
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        within("the router ends", self.child.wait()).await.expect("it is our child")
    }

    /// Ends it with SIGKILL, as a crash would.
    pub async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// Starts a router on what this one left behind.
    pub async fn start_again(mut self) -> Self {
        self.kill().await;
        Self::launch(Arc::clone(&self.directory), self.environment.clone()).await
    }

    /// Starts a successor from the same file, while this one still serves. The file must name the address of
    /// [`Router::data`], and a store that two processes may share.
    pub async fn beside(&self) -> Self {
        Self::launch(Arc::clone(&self.directory), self.environment.clone()).await
    }

    /// Replaces the file and asks for a reload.
    pub async fn reload(&self, file: &str) {
        std::fs::write(self.file(), file).expect("the directory is writable");
        self.signal("HUP").await;
    }

    // ---- the API

    /// A call to the admin side as the bearer of this secret (none: no header), with header lines.
    pub async fn call(&self, secret: &str, method: &str, path: &str, lines: &str, body: Option<&Value>) -> Answer {
        let mut lines = lines.to_owned();
        if !secret.is_empty() {
            lines += &format!("Authorization: Bearer {secret}\r\n");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            lines += "Content-Type: application/json\r\n";
        }
        admin_client(self.admin).await.request(method, path, &lines, &body).await
    }

    /// A call to the API as an admin; the path is relative to `/api/v1`.
    pub async fn api(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call("admin-secret", method, &format!("/api/v1{path}"), "", body.as_ref()).await
    }

    /// A change of the migration `shop` that must succeed.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn change(&self, method: &str, path: &str, body: Value) -> Value {
        let path = format!("/migrations/{MIGRATION}{path}?wait=10s");
        let answer = self.api(method, &path, Some(body.clone())).await;
        assert_eq!(answer.status(), 200, "{method} {path} {body}: {answer:?}");
        answer.json()
    }

    pub async fn mode(&self, mode: &str) -> Value {
        self.change("PUT", "/mode", json!({"mode": mode, "reason": "test"})).await
    }

    pub async fn rollout(&self, percent: f64) -> Value {
        self.change("PUT", "/rollout", json!({"percent": percent, "reason": "test"})).await
    }

    pub async fn roll_back(&self) -> Value {
        self.change("POST", "/rollback", json!({"reason": "test"})).await
    }

    pub async fn acknowledge(&self, to: &str) -> Value {
        self.change("POST", "/acknowledge", json!({"to": to, "reason": "test"})).await
    }

    pub async fn pin(&self, key: &str, side: &str) -> Value {
        self.change("PUT", &format!("/pins/{key}"), json!({"side": side, "reason": "test"})).await
    }

    pub async fn unpin(&self, key: &str) -> Value {
        self.change("DELETE", &format!("/pins/{key}"), json!({"reason": "test"})).await
    }

    /// The document of the migration `shop`.
    pub async fn migration(&self) -> Value {
        let answer = self.api("GET", &format!("/migrations/{MIGRATION}"), None).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.json()
    }

    pub async fn readiness(&self) -> u16 {
        admin_client(self.admin).await.get("/readyz").await.status()
    }

    /// The sum of all series of a metric whose labels contain this text; none when there is none.
    pub async fn metric(&self, name: &str, labels: &str) -> Option<f64> {
        let page = admin_client(self.admin).await.get("/metrics").await.text();
        let series = page.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let named = series.split('{').next() == Some(name) && series.contains(labels);
            named.then(|| value.parse::<f64>().ok())?
        });
        series.reduce(|a, b| a + b)
    }
}
