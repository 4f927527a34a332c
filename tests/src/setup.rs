//! The file that a router under test runs from, written by a builder.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use crate::router::Router;

/// The one migration of most tests.
pub const MIGRATION: &str = "shop";

/// Bearer tokens of the file, by role: the secret is `ROLE-secret`.
const TOKENS: &str = "
    - {name: viewer, role: viewer, sha256: f6aa3a0aabbb721b4aa7763a987a47688a702b1bcf4850cb4ba5bdab26f9cc4b}
    - {name: reporter, role: reporter, sha256: f4497fc39757f6c57d04503bb6d3e32682e561996058938bc96c6057faa197c8}
    - {name: operator, role: operator, sha256: ec585b7be286a5088d8687af4ce027f389cd098e2bb0dee876d5521fa4468f59}
    - {name: ann, role: admin, sha256: 16175223c8ddce5ace0493c948569c211b03c4c6bb3d3e484434999448cffe01}";

/// A router file with one migration, `shop`, for everything under `/`.
///
/// What every test must choose is an argument of `new`; what few tests care about is a `with_*`.
#[derive(Clone, Debug)]
pub struct Setup {
    legacy: Vec<SocketAddr>,
    new: Vec<SocketAddr>,
    top: String,
    upstream: String,
    migration: String,
    routes: String,
    store: Option<String>,
    tokens: bool,
    workers: usize,
    environment: Vec<(String, String)>,
}

impl Setup {
    pub fn new(legacy: SocketAddr, new: SocketAddr) -> Self {
        Self {
            legacy: vec![legacy],
            new: vec![new],
            top: String::new(),
            upstream: String::new(),
            // What legacy is asked a second time would be one request too many where a test counts them.
            migration: "key: [header:x-user-id]\nparallel: {noise: 0%}".into(),
            routes: "- {migration: shop, path: /**}".into(),
            store: None,
            tokens: true,
            workers: 2,
            environment: Vec::new(),
        }
    }

    /// One more endpoint of legacy.
    #[must_use]
    pub fn with_legacy_endpoint(mut self, address: SocketAddr) -> Self {
        self.legacy.push(address);
        self
    }

    /// One more endpoint of new.
    #[must_use]
    pub fn with_new_endpoint(mut self, address: SocketAddr) -> Self {
        self.new.push(address);
        self
    }

    /// Further lines of the file's top level.
    #[must_use]
    pub fn with_top(mut self, lines: &str) -> Self {
        self.top = format!("{}{lines}\n", self.top);
        self
    }

    /// Further members of both upstreams, in flow style: `timeout: 1s, in_flight: 5`.
    #[must_use]
    pub fn with_upstreams(mut self, members: &str) -> Self {
        self.upstream = format!(", {members}");
        self
    }

    /// The lines of the migration besides its id and sides, replacing the key by `x-user-id`.
    #[must_use]
    pub fn with_migration(mut self, lines: &str) -> Self {
        self.migration = lines.into();
        self
    }

    /// The entries of `routes`, replacing the one for everything.
    #[must_use]
    pub fn with_routes(mut self, lines: &str) -> Self {
        self.routes = lines.into();
        self
    }

    /// A Redis as the store, instead of the embedded one.
    #[must_use]
    pub fn with_redis(mut self, url: &str) -> Self {
        self.store = Some(format!("redis: {url}"));
        self
    }

    /// So many workers instead of two.
    #[must_use]
    pub fn with_workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// No tokens in the file, so that the router makes one.
    #[must_use]
    pub fn without_tokens(mut self) -> Self {
        self.tokens = false;
        self
    }

    /// A variable of the router's environment.
    #[must_use]
    pub fn with_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The file as it is written, for a router that keeps its state in `directory`.
    pub fn file(&self, directory: &Path) -> String {
        let urls = |side: &[SocketAddr]| side.iter().map(|a| format!("http://{a}")).collect::<Vec<_>>().join(", ");
        let directory = directory.display();
        let mut file = format!(
            "environment: test\nsnapshot: {directory}/crossfade.snapshot\nworkers: {}\n\
             drain: {{delay: 0s, timeout: 20s}}\nlisten:\n  - address: 127.0.0.1:0\nadmin:\n  address: 127.0.0.1:0\n",
            self.workers,
        );
        if self.tokens {
            let _ = writeln!(file, "  tokens:{TOKENS}");
        }
        let embedded = format!("embedded: {directory}/crossfade.redb");
        let _ = write!(
            file,
            "store:\n  {store}\n{top}upstreams:\n  old: {{endpoints: [{old}]{more}}}\n  fresh: {{endpoints: [{fresh}]{more}}}\n",
            store = self.store.as_ref().unwrap_or(&embedded),
            top = self.top,
            old = urls(&self.legacy),
            fresh = urls(&self.new),
            more = self.upstream,
        );
        let migration = self.migration.trim().replace('\n', "\n    ");
        let routes = self.routes.trim().replace('\n', "\n  ");
        let _ = write!(
            file,
            "migrations:\n  - id: {MIGRATION}\n    legacy: old\n    new: fresh\n    default: true\n    \
             labels: {{legacy: TypeScript, new: Python}}\n    {migration}\nroutes:\n  {routes}\n",
        );
        file
    }

    /// Starts a router from this file in a directory of its own, and waits until it is ready.
    pub async fn start(self) -> Router {
        let directory = TempDir::new().expect("a temporary directory");
        let file = self.file(directory.path());
        Router::start(directory, &file, &self.environment).await
    }
}
