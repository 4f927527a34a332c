//! The effective configuration: a value of these types is usable as it stands.
//!
//! # Why parsed and not validated
//!
//! `file` is what an operator may write, with positions for error messages; [`Config::load`] turns
//! it into this module's types once and reports everything that is wrong in one run. After that
//! nobody checks again, because nothing here can be wrong.

mod build;
mod effective;
mod errors;
mod file;
pub mod issues;
pub mod notify;
mod read;
pub(crate) mod rules;
mod tree;
mod units;
mod variables;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flags::bucket::BasisPoints;
use flags::snapshot::Definitions;
use flags::store::redis::RedisOptions;
use ipnet::IpNet;
use metrics::compare::Rules;

pub use errors::{ConfigErrors, Finding};
use file::File;
use issues::IssueRoute;
pub use notify::NotifyTarget;
use notify::{Authorities, Held, Secret};
pub(crate) use units::Period;

/// A larger file is not read: a generator went wrong.
const FILE_BYTES_MAX: usize = 4 << 20;

/// Everything one router needs to start.
#[derive(Debug)]
pub struct Config {
    /// Names this fleet's keys in a shared store.
    pub environment: String,
    /// The last good state, for a start without the store.
    pub snapshot: PathBuf,
    /// The Host given to HTTP/1.0 requests that have none.
    pub default_host: String,
    pub workers: usize,
    pub kill_file: Option<PathBuf>,
    pub trusted_proxies: Vec<IpNet>,
    pub drain: Drain,
    pub log: Log,
    /// Whether responses tell side, reason and timing.
    pub expose: bool,
    pub listen: Vec<SocketAddr>,
    pub admin: Admin,
    pub store: StoreConfig,
    /// Who is told when a migration moves or is in trouble.
    pub notify: Vec<NotifyTarget>,
    pub timeouts: Timeouts,
    pub limits: Limits,
    pub upstreams: Vec<Upstream>,
    /// What each route of [`Definitions::routes`] needs beyond matching, by its index.
    pub routes: Vec<RouteSettings>,
    pub definitions: Definitions,
    /// How each migration of the definitions makes its copies in mode `parallel`, by its index.
    pub mirroring: Vec<Mirroring>,
    /// What verifies the bearer tokens of callers; the verifier itself is with the definitions.
    pub jwt: Option<JwtKeys>,
    /// What is allowed and yet likely a mistake, for a warning at start.
    pub warnings: Vec<String>,
    /// Keys of the file that this version reads but does not act on yet, for a warning at start.
    pub without_effect: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// How long new connections are still taken while `/readyz` already says no.
    pub delay: Duration,
    /// How long open requests may take after that.
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug)]
pub struct Log {
    pub format: LogFormat,
    /// The share of requests that leave a line, out of 2^32; requests that failed always do.
    pub access_sample: u64,
}

#[derive(Clone, Debug)]
pub struct Admin {
    pub address: SocketAddr,
    /// The address as people reach it, for links.
    pub url: Option<String>,
    /// Empty: one is made at start and printed once.
    pub tokens: Vec<Token>,
    pub oidc: Option<Oidc>,
}

/// Sign-in with OpenID Connect. Only in binaries that are built with it, and then with [`Admin::url`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oidc {
    /// As the provider calls itself, to the letter.
    pub issuer: String,
    pub client_id: String,
    /// None: a public client.
    pub client_secret: Option<Held<Secret>>,
    pub label: String,
    pub scopes: Vec<String>,
    /// None: what says most.
    pub name_claim: Option<String>,
    pub groups_claim: String,
    pub roles: Vec<(String, Role)>,
    /// Who may have signed its certificate; the system's authorities where none.
    pub authorities: Option<Authorities>,
}

/// A bearer token as the file names it; `app` hands it to the admin side in that side's own type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Who acts, as the history records it.
    pub name: String,
    pub role: Role,
    pub sha256: [u8; 32],
}

/// What the bearer of a [`Token`] may do; each role may do what the one before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Viewer,
    Reporter,
    Operator,
    Admin,
}

#[derive(Clone, Debug)]
pub enum StoreConfig {
    Embedded(PathBuf),
    Redis {
        options: RedisOptions,
        /// Where its authorities were read from.
        ca_file: Option<PathBuf>,
    },
}

/// Where the keys that verify bearer tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKeys {
    /// In the file itself, and not kept here.
    Secret,
    SecretFile(PathBuf),
    KeySet(PathBuf),
}

/// Time-outs of the client side and of bodies; none of them breaks a stream that moves.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the first byte of a request head to its last.
    pub head: Duration,
    /// Between two pieces of a body, either way.
    pub body_idle: Duration,
    pub tunnel_idle: Duration,
    /// How long a tunnel may stay whose key has moved to the other side.
    pub tunnel_flip: Duration,
    /// Between two requests of a connection.
    pub keep_alive: Duration,
    /// After about this long (with jitter) a connection is asked to close after its next response.
    pub connection_age: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open client connections of the whole router.
    pub connections: usize,
    pub head_bytes: usize,
    pub fields: usize,
    pub target_bytes: usize,
    pub tunnels: usize,
}

/// The service behind a side.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub name: String,
    pub endpoints: Vec<Endpoint>,
    pub connect_timeout: Duration,
    /// From the last byte of the request to the head of the response.
    pub first_byte_timeout: Duration,
    /// Requests in flight of the whole router before further ones wait; 0 is no limit.
    pub in_flight: usize,
    /// Requests that may wait for a place, and for how long, before 503.
    pub queue: usize,
    pub queue_timeout: Duration,
    /// Idle connections kept per worker and endpoint, and for how long.
    pub idle_connections: usize,
    pub idle_timeout: Duration,
    pub health: Option<Health>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As written, for logs and messages: `http://10.0.0.7:3001`.
    pub url: String,
    pub host: String,
    pub port: u16,
}

/// An active check: GET `path`, any status in 200..400 within `timeout` is healthy.
#[derive(Clone, Debug)]
pub struct Health {
    pub path: String,
    pub interval: Duration,
    pub timeout: Duration,
    /// Checks in a row until an endpoint counts as down, and as up again.
    pub fall: u32,
    pub rise: u32,
}

#[derive(Clone, Debug)]
pub struct RouteSettings {
    /// The largest request body; none: unlimited, streamed.
    pub body_max: Option<u64>,
    /// Protocols that a client may upgrade to, lower case.
    pub upgrades: Vec<String>,
    /// Whether a client that ends its direction after its request still wants the answer.
    pub half_close: bool,
    /// For routes that lead to an upstream of no migration: its place in [`Config::upstreams`].
    pub upstream: Option<usize>,
    /// For routes that receive issues.
    pub issues: Option<Arc<IssueRoute>>,
}

/// How the copies of one migration are made, and what is made of their answers.
#[derive(Clone, Debug)]
pub struct Mirroring {
    /// The largest body of a request that is copied.
    pub request_max: usize,
    /// Bytes of bodies that are kept at once, of the whole router.
    pub memory: usize,
    /// Copies under way at once, of the whole router.
    pub in_flight: usize,
    /// A copy that has waited longer is not sent.
    pub age: Duration,
    pub connect_timeout: Duration,
    /// For a copy as a whole.
    pub timeout: Duration,
    /// The share of copied requests that legacy is asked twice.
    pub noise: BasisPoints,
    pub rules: Rules,
    pub raw_paths: Vec<String>,
    pub version_header: Option<String>,
}

impl Default for Mirroring {
    fn default() -> Self {
        Self {
            request_max: 256 << 10,
            memory: 64 << 20,
            in_flight: 256,
            age: Duration::from_millis(250),
            connect_timeout: Duration::from_millis(200),
            timeout: Duration::from_secs(2),
            noise: BasisPoints::new(500).unwrap_or(BasisPoints::ZERO),
            rules: Rules::default(),
            raw_paths: Vec::new(),
            version_header: None,
        }
    }
}

/// What a file is read for, where that decides whether something is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A router runs by it. That a day has passed, after which a rule does not hold, is no reason not to serve.
    Run,
    /// A person asks whether it is right.
    Check,
}

impl Config {
    /// Reads a file to run by it; relative paths in it are relative to its folder.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        Self::load_for(Purpose::Run, path)
    }

    pub fn load_for(purpose: Purpose, path: &Path) -> Result<Self, ConfigErrors> {
        let name = path.display().to_string();
        let unreadable = |error: std::io::Error| ConfigErrors::of_file(&name, format!("cannot be read: {error}"));
        let base = std::path::absolute(path).map_err(unreadable)?;
        let text = read_bounded(path).map_err(unreadable)?;
        let base = base.parent().unwrap_or(Path::new("/"));
        Self::parse_for(purpose, &name, &text, base, &|variable| std::env::var(variable).ok())
    }

    /// Checks a text; `name` is what messages call it, `base` what relative paths are relative to.
    pub fn parse(name: &str, text: &str, base: &Path) -> Result<Self, ConfigErrors> {
        Self::parse_in(name, text, base, &|variable| std::env::var(variable).ok())
    }

    /// [`Self::parse`] with an environment of the caller's.
    pub fn parse_in(
        name: &str,
        text: &str,
        base: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigErrors> {
        Self::parse_for(Purpose::Check, name, text, base, environment)
    }

    fn parse_for(
        purpose: Purpose,
        name: &str,
        text: &str,
        base: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigErrors> {
        let mut problems = Vec::new();
        let Some(mut root) = tree::parse(text, environment, &mut problems) else {
            return Err(ConfigErrors::new(name, text, problems));
        };
        if root.value == tree::Value::Null {
            root.value = tree::Value::Map(Vec::new());
        }
        match read::read::<File>(&root, &mut problems) {
            Some(file) => build::build(file, text, base, (purpose, problems)),
            None => Err(problems),
        }
        .map_err(|problems| ConfigErrors::new(name, text, problems))
    }

    /// The whole configuration with every default, as a file that means the same. Secrets are
    /// replaced by a word.
    pub fn effective(&self) -> serde_json::Value {
        effective::document(self)
    }

    /// [`Self::effective`] as YAML.
    pub fn effective_yaml(&self) -> String {
        effective::yaml(&self.effective())
    }
}

/// The JSON Schema of the file, for editors.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    if text.len() > FILE_BYTES_MAX {
        return Err(std::io::Error::other("it is larger than 4 MiB"));
    }
    Ok(text)
}
