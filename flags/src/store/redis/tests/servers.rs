//! Real servers of Redis on free ports: one, with TLS, behind Sentinel, a Cluster.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use redis::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::PATIENCE;

/// Waits until a condition holds; it must, in the end.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A process that ends when dropped.
pub(super) struct Server {
    pub(super) port: u16,
    process: Child,
    _directory: TempDir,
}

impl Server {
    /// One that keeps nothing, with more arguments; none, visibly, where it is not installed.
    pub(super) async fn start(arguments: &[&str]) -> Option<Self> {
        for _ in 0..5 {
            // Another process may take the port in between; then the next one is tried.
            let started = Self::try_start(free_port(), arguments).await?;
            if started.is_some() {
                return started;
            }
        }
        panic!("redis-server does not start on any of five free ports");
    }

    pub(super) async fn start_at(port: u16, arguments: &[&str]) -> Option<Self> {
        let started = Self::try_start(port, arguments).await?;
        Some(started.expect("the port is free"))
    }

    /// The outer none: not installed. The inner: it ended at once.
    #[allow(clippy::option_option, reason = "a test may be skipped and may be tried again, which are two things")]
    async fn try_start(port: u16, arguments: &[&str]) -> Option<Option<Self>> {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        let is_sentinel = arguments.contains(&"--sentinel");
        if is_sentinel {
            // A sentinel writes into its file what it learns.
            let file = directory.path().join("sentinel.conf");
            let lines: Vec<_> =
                arguments.iter().filter(|line| **line != "--sentinel").map(|line| format!("{line}\n")).collect();
            std::fs::write(&file, format!("port {port}\nbind 127.0.0.1\n{}", lines.concat())).unwrap();
            command.arg(file).arg("--sentinel");
        } else {
            let own = if arguments.contains(&"--tls-cert-file") { "--tls-port" } else { "--port" };
            if own == "--tls-port" {
                command.args(["--port", "0"]);
            }
            command.args([own, &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
            command.args(arguments).arg("--dir").arg(directory.path());
        }
        let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
        let mut process = match spawned {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("SKIPPED: there is no redis-server on this machine (tests/run installs it)");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let mut ended = false;
        until("redis-server takes connections", async || {
            ended = process.try_wait().unwrap().is_some();
            ended || TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        Some((!ended).then_some(Self { port, process, _directory: directory }))
    }

    pub(super) fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Stops it in the midst of what it does: its sockets stay open and nothing answers.
    pub(super) async fn freeze(&self) {
        self.signal("-STOP").await;
    }

    pub(super) async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let process = self.process.id().unwrap().to_string();
        let status = Command::new("kill").args([signal, &process]).status().await.unwrap();
        assert!(status.success());
    }

    pub(super) async fn try_run(&self, command: &[&str]) -> Result<Value, redis::RedisError> {
        let client = redis::Client::open(self.address()).unwrap();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await
    }

    pub(super) async fn run(&self, command: &[&str]) -> Value {
        self.try_run(command).await.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// What it answers as text.
    pub(super) async fn text(&self, command: &[&str]) -> String {
        redis::from_redis_value(self.run(command).await).unwrap()
    }
}

/// Certificates of an authority of their own, for 127.0.0.1 and localhost.
pub(super) struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// None, visibly, where there is nothing to make them with.
    pub(super) async fn make() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("san"), "subjectAltName=IP:127.0.0.1,DNS:localhost").unwrap();
        let steps = [
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ca",
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr -subj /CN=server",
            "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile san",
        ];
        for step in steps {
            let made = Command::new("openssl").args(step.split(' ')).current_dir(directory.path()).output().await;
            match made {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    eprintln!("SKIPPED: there is no openssl on this machine (tests/run installs it)");
                    return None;
                }
                made => assert!(made.as_ref().unwrap().status.success(), "{made:?}"),
            }
        }
        Some(Self { directory })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What makes a server speak TLS only.
    pub(super) fn arguments(&self) -> Vec<String> {
        let path = |name| self.path(name).display().to_string();
        let files =
            [("--tls-cert-file", "server.crt"), ("--tls-key-file", "server.key"), ("--tls-ca-cert-file", "ca.crt")];
        let files = files.into_iter().flat_map(|(key, name)| [key.to_owned(), path(name)]);
        files.chain(["--tls-auth-clients".into(), "no".into()]).collect()
    }
}

/// A primary and its replica, watched by three sentinels.
pub(super) struct Sentinels {
    pub(super) servers: Vec<Server>,
    pub(super) sentinels: Vec<Server>,
}

impl Sentinels {
    pub(super) async fn start() -> Option<Self> {
        let primary = Server::start(&["--repl-diskless-sync-delay", "0"]).await?;
        let port = primary.port.to_string();
        let replica = Server::start(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]).await?;
        let monitor = format!("sentinel monitor main 127.0.0.1 {port} 2");
        let (down, limit) = ("sentinel down-after-milliseconds main 500", "sentinel failover-timeout main 4000");
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(Server::start(&["--sentinel", &monitor, down, limit]).await?);
        }
        let all = Self { servers: vec![primary, replica], sentinels };
        for sentinel in &all.sentinels {
            until("the sentinels know everybody", async || {
                let about = sentinel.text(&["INFO", "sentinel"]).await;
                about.contains("status=ok") && about.contains("slaves=1") && about.contains("sentinels=3")
            })
            .await;
        }
        Some(all)
    }

    pub(super) fn address(&self) -> String {
        let hosts: Vec<_> = self.sentinels.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        format!("redis+sentinel://{}/main", hosts.join(","))
    }

    /// The port of the primary, as the first sentinel tells.
    pub(super) async fn primary(&self) -> u16 {
        let told = self.sentinels[0].run(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]).await;
        let (_, port): (String, u16) = redis::from_redis_value(told).unwrap();
        port
    }

    /// Replaces a primary that is well, and waits until it has understood: what it takes before is
    /// taken by nobody else.
    pub(super) async fn replace_primary(&self) {
        let first = self.primary().await;
        until("the sentinels agree to replace the primary", async || {
            self.sentinels[0].try_run(&["SENTINEL", "FAILOVER", "main"]).await.is_ok()
        })
        .await;
        until("there is another primary", async || self.primary().await != first).await;
        let old = self.servers.iter().find(|server| server.port == first).unwrap();
        until("the old one is a replica", async || {
            old.try_run(&["INFO", "replication"])
                .await
                .is_ok_and(|about| redis::from_redis_value::<String>(about).unwrap().contains("role:slave"))
        })
        .await;
    }

    pub(super) async fn on_primary(&self, command: &[&str]) -> Value {
        let port = self.primary().await;
        self.servers.iter().find(|server| server.port == port).unwrap().run(command).await
    }
}

/// Three servers that share the slots.
pub(super) struct Cluster {
    pub(super) servers: Vec<Server>,
}

impl Cluster {
    pub(super) async fn start() -> Option<Self> {
        Self::start_with(0).await
    }

    /// With so many servers besides that hold no slot yet.
    pub(super) async fn start_with(spare: usize) -> Option<Self> {
        let mut servers = Vec::new();
        let mut buses = Vec::new();
        for _ in 0..3 + spare {
            let bus = free_port().to_string();
            let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", &bus];
            servers.push(Server::start(&arguments).await?);
            buses.push(bus);
        }
        let known = format!("cluster_known_nodes:{}", servers.len());
        for (server, (first, last)) in servers.iter().zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")]) {
            server.run(&["CLUSTER", "ADDSLOTSRANGE", first, last]).await;
        }
        for (server, bus) in servers.iter().zip(&buses).skip(1) {
            servers[0].run(&["CLUSTER", "MEET", "127.0.0.1", &server.port.to_string(), bus]).await;
        }
        for server in &servers {
            until("the Cluster is whole", async || {
                let about = server.text(&["CLUSTER", "INFO"]).await;
                let nodes = server.text(&["CLUSTER", "NODES"]).await;
                about.contains("cluster_state:ok") && about.contains(&known) && !nodes.contains("handshake")
            })
            .await;
        }
        Some(Self { servers })
    }

    pub(super) fn address(&self) -> String {
        let hosts: Vec<_> = self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// Runs a command where its key is.
    pub(super) async fn run(&self, command: &[&str]) -> Value {
        for server in &self.servers {
            match server.try_run(command).await {
                Err(error) if error.code() == Some("MOVED") => {}
                answer => return answer.unwrap_or_else(|error| panic!("{command:?}: {error}")),
            }
        }
        panic!("nobody holds the key of {command:?}");
    }
}
