//! Everything about the router itself: listeners, admin side, store, limits, logs.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use flags::jwt::JwtVerifier;
use flags::route::HostPattern;
use flags::{Definitions, MigrationId};
use ipnet::IpNet;

use super::super::errors::{Problem, quoted};
use super::super::file::{self, File};
use super::super::notify::Address;
use super::super::read::At;
use super::super::units::{OneOf, Percent, Workers};
use super::super::{
    Admin, Config, Drain, JwtKeys, Limits, Log, LogFormat, NotifyTarget, RouteSettings, StoreConfig, Timeouts, Token,
    Upstream,
};
use super::Building;
use super::migrations::switch;

const LISTENERS_MAX: usize = 64;
const TOKENS_MAX: usize = 1_000;
const TRUSTED_MAX: usize = 1_000;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// The part of a [`Config`] that says nothing about traffic.
pub(super) struct Server {
    pub(super) environment: String,
    snapshot: PathBuf,
    default_host: String,
    workers: usize,
    kill_file: Option<PathBuf>,
    trusted_proxies: Vec<IpNet>,
    drain: Drain,
    log: Log,
    expose: bool,
    listen: Vec<SocketAddr>,
    admin: Admin,
    store: StoreConfig,
    notify: Vec<NotifyTarget>,
    timeouts: Timeouts,
    limits: Limits,
}

impl Server {
    pub(super) fn into_config(
        self,
        upstreams: Vec<Upstream>,
        routes: Vec<RouteSettings>,
        definitions: Definitions,
        jwt: Option<JwtKeys>,
    ) -> Config {
        Config {
            environment: self.environment,
            snapshot: self.snapshot,
            default_host: self.default_host,
            workers: self.workers,
            kill_file: self.kill_file,
            trusted_proxies: self.trusted_proxies,
            drain: self.drain,
            log: self.log,
            expose: self.expose,
            listen: self.listen,
            admin: self.admin,
            store: self.store,
            notify: self.notify,
            timeouts: self.timeouts,
            limits: self.limits,
            jwt,
            upstreams,
            routes,
            definitions,
            mirroring: Vec::new(),
            without_effect: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Building<'_> {
    pub(super) fn server(&mut self, file: &File) -> Server {
        let listen = self.listen(file.listen.as_ref());
        self.listens = listen.iter().map(|(address, _)| *address).collect();
        let admin = self.admin(file.admin.as_ref(), &listen);
        Server {
            environment: self.environment(file.environment.as_ref()),
            snapshot: self.path(text(file.snapshot.as_ref()).unwrap_or("crossfade.snapshot")),
            default_host: self.default_host(file.default_host.as_ref()),
            workers: match file.workers.as_ref().and_then(At::get) {
                Some(Workers::Count(count)) => usize::from(*count),
                Some(Workers::Auto) | None => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            },
            kill_file: text(file.kill_file.as_ref()).map(|path| self.path(path)),
            trusted_proxies: self.trusted(file.trusted_proxies.as_ref()),
            drain: self.drain(file.drain.as_ref().and_then(At::get).unwrap_or(&file::Drain::default())),
            log: log(file.log.as_ref().and_then(At::get).unwrap_or(&file::Log::default())),
            expose: switch(file.expose.as_ref(), false),
            store: self.store(file.store.as_ref()),
            notify: self.notify(file.notify.as_ref()),
            timeouts: self.timeouts(file.timeouts.as_ref().and_then(At::get).unwrap_or(&file::Timeouts::default())),
            limits: self.limits(file.limits.as_ref().and_then(At::get).unwrap_or(&file::Limits::default())),
            listen: listen.into_iter().map(|(address, _)| address).collect(),
            admin,
        }
    }

    fn environment(&mut self, field: Option<&At<String>>) -> String {
        let Some(At { at, value: Some(name) }) = field else {
            return "default".into();
        };
        if MigrationId::new(name).is_err() {
            let message = format!("{} is not the name of an environment", quoted(name));
            let help = "use 1 to 63 characters of a-z, 0-9, '.', '_' and '-', starting with a letter or digit";
            self.tell(Problem::new(at, message).help(help));
        }
        name.clone()
    }

    fn default_host(&mut self, field: Option<&At<String>>) -> String {
        let Some(At { at, value: Some(name) }) = field else {
            return "localhost".into();
        };
        if !matches!(name.parse(), Ok(HostPattern::Exact(_))) {
            self.tell(Problem::new(at, format!("{} is not a host name", quoted(name))));
        }
        name.clone()
    }

    fn trusted(&mut self, field: Option<&At<Vec<At<String>>>>) -> Vec<IpNet> {
        let Some(At { at, value: Some(list) }) = field else {
            return Vec::new();
        };
        self.bounded(at, list, "networks", TRUSTED_MAX);
        list.iter().filter_map(|item| self.network(item)).collect()
    }

    fn drain(&mut self, file: &file::Drain) -> Drain {
        Drain {
            delay: self.period(&file.delay, 5 * SECOND, Duration::ZERO..=DAY),
            timeout: self.period(&file.timeout, 30 * SECOND, Duration::ZERO..=DAY),
        }
    }

    fn timeouts(&mut self, file: &file::Timeouts) -> Timeouts {
        let shortest = Duration::from_millis(1);
        Timeouts {
            head: self.period(&file.head, 10 * SECOND, shortest..=DAY),
            body_idle: self.period(&file.body_idle, 60 * SECOND, shortest..=DAY),
            tunnel_idle: self.period(&file.tunnel_idle, 3_600 * SECOND, shortest..=30 * DAY),
            tunnel_flip: self.period(&file.tunnel_flip, 600 * SECOND, Duration::ZERO..=30 * DAY),
            keep_alive: self.period(&file.keep_alive, 75 * SECOND, shortest..=DAY),
            connection_age: self.period(&file.connection_age, 3_600 * SECOND, shortest..=365 * DAY),
        }
    }

    fn limits(&mut self, file: &file::Limits) -> Limits {
        Limits {
            connections: self.count(&file.connections, 20_000, 1..=10_000_000),
            head_bytes: self.size(&file.head_size, 64 << 10, 1 << 10..=1 << 20),
            fields: self.count(&file.fields, 100, 1..=1_000),
            target_bytes: self.size(&file.target_size, 8 << 10, 64..=64 << 10),
            tunnels: self.count(&file.tunnels, 10_000, 0..=10_000_000),
        }
    }

    fn listen(&mut self, field: Option<&At<Vec<At<file::Listen>>>>) -> Vec<(SocketAddr, Range<usize>)> {
        let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        let Some(At { at, value }) = field else {
            return vec![(default, 0..0)];
        };
        let mut addresses: Vec<(SocketAddr, Range<usize>)> = Vec::new();
        let Some(list) = value else {
            return addresses;
        };
        if list.is_empty() {
            self.tell(
                Problem::new(at, "a router without a listener serves nobody")
                    .help("leave the key out for 127.0.0.1:8080"),
            );
        }
        self.bounded(at, list, "listeners", LISTENERS_MAX);
        for At { at, value } in list {
            let Some(listen) = value else { continue };
            self.unsupported(listen);
            let Some(field) = &listen.address else {
                self.missing(at, "address", "write an address and a port, such as `address: 127.0.0.1:8080`");
                continue;
            };
            let Some(address) = self.address(field) else { continue };
            let same = |(other, _): &&(SocketAddr, _)| *other == address && address.port() != 0;
            if let Some((_, first)) = addresses.iter().find(same) {
                let problem = Problem::new(&field.at, format!("{address} stands here twice")).also(first, "first here");
                self.tell(problem);
            }
            addresses.push((address, field.at.clone()));
        }
        addresses
    }

    /// What would be unsafe to accept silently: traffic that was meant to be encrypted, or
    /// addresses that were meant to be read from a preamble.
    fn unsupported(&mut self, listen: &file::Listen) {
        let not_yet = |what: &str| format!("{what} is not supported by this version");
        if let Some(tls) = &listen.tls {
            let help = "terminate TLS in front of the router, and list that proxy in `trusted_proxies`";
            self.tell(Problem::new(&tls.at, not_yet("`tls`")).help(help));
        }
        for (name, switch) in [("http2", &listen.http2), ("proxy_protocol", &listen.proxy_protocol)] {
            if let Some(At { at, value: Some(true) }) = switch {
                self.tell(Problem::new(at, not_yet(&format!("`{name}: true`"))).help("remove the key"));
            }
        }
    }

    fn address(&mut self, field: &At<String>) -> Option<SocketAddr> {
        let text = field.get()?;
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                let message = format!("{} is not an IP address with a port", quoted(text));
                let help = "write 127.0.0.1:8080, 0.0.0.0:8080 for every IPv4 address, or [::]:8080";
                self.tell(Problem::new(&field.at, message).help(help));
                None
            }
        }
    }

    fn admin(&mut self, field: Option<&At<file::Admin>>, listen: &[(SocketAddr, Range<usize>)]) -> Admin {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9900));
        let mut admin = Admin { address, url: None, tokens: Vec::new(), oidc: None };
        let Some(At { at, value: Some(file) }) = field else {
            return admin;
        };
        let mut place = at;
        if let Some(field) = &file.address {
            place = &field.at;
            admin.address = self.address(field).unwrap_or(admin.address);
        }
        admin.url = file.url.as_ref().and_then(|field| self.admin_url(field));
        let oidc = file.oidc.as_ref();
        admin.oidc = oidc.and_then(|field| self.oidc(field, file.url.as_ref(), admin.url.as_deref()));
        if let Some(At { at, value: Some(list) }) = &file.tokens {
            self.bounded(at, list, "tokens", TOKENS_MAX);
            admin.tokens = list.iter().filter_map(|token| self.token(token)).collect();
            for (index, token) in admin.tokens.iter().enumerate() {
                if let Some(first) = admin.tokens[..index].iter().find(|first| first.name == token.name) {
                    let message =
                        format!("two tokens are named {}: the history could not tell them apart", quoted(&first.name));
                    self.tell(Problem::new(at, message));
                }
            }
        }
        let configured = file.tokens.as_ref().is_some_and(|tokens| tokens.get().is_none_or(|list| !list.is_empty()));
        if !admin.address.ip().is_loopback() && !configured {
            let message = format!("the admin side would be open to the network at {} without tokens", admin.address);
            let help = "add `tokens` (crossfade token create --name NAME --role ROLE), or use a loopback address";
            self.tell(Problem::new(place, message).help(help));
        }
        if let Some((_, other)) = listen.iter().find(|(other, _)| *other == admin.address && other.port() != 0) {
            let problem = Problem::new(place, format!("{} is also a listener for traffic", admin.address));
            self.tell(problem.also(other, "traffic here"));
        }
        admin
    }

    fn admin_url(&mut self, field: &At<String>) -> Option<String> {
        match Address::parse(field.get()?) {
            Ok(address) => Some(address.without_query()),
            Err(problem) => {
                let problem = Problem::new(&field.at, format!("the address of the dashboard {problem}"));
                self.tell(problem.help("write it as a browser does, such as https://crossfade.example.com/"));
                None
            }
        }
    }

    fn token(&mut self, field: &At<file::Token>) -> Option<Token> {
        let file = field.get()?;
        for (key, missing) in
            [("name", file.name.is_none()), ("role", file.role.is_none()), ("sha256", file.sha256.is_none())]
        {
            if missing {
                self.missing(&field.at, key, "`crossfade token create --name NAME --role ROLE` prints the whole line");
            }
        }
        let name = file.name.as_ref()?;
        let text = name.get()?;
        if text.is_empty() || text.len() > 63 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = format!("{} is not a name for a token: use 1 to 63 visible characters", quoted(text));
            self.tell(Problem::new(&name.at, message));
        }
        let hash = file.sha256.as_ref()?;
        let written = hash.get()?;
        let sha256 = unhex(written);
        if sha256.is_none() {
            let message = "this is not a SHA-256 in hexadecimal: it has 64 digits of 0-9 and a-f";
            let help = "it is the hash of a token, not the token: `crossfade token create` prints both";
            self.tell(Problem::new(&hash.at, message).help(help));
        }
        let OneOf(role) = *file.role.as_ref()?.get()?;
        Some(Token { name: text.clone(), role, sha256: sha256? })
    }

    pub(super) fn jwt(&mut self, field: &At<file::Jwt>) -> Option<(JwtKeys, JwtVerifier)> {
        let file = field.get()?;
        let given = [&file.jwks_file, &file.secret, &file.secret_file].into_iter().flatten().count();
        if given != 1 {
            let message =
                format!("tokens are verified by one of `jwks_file`, `secret` and `secret_file`, and here are {given}");
            self.tell(Problem::new(&field.at, message));
            return None;
        }
        let (at, keys, verifier) = if let Some(path) = &file.jwks_file {
            let text = self.secret_file(path)?;
            let keys = JwtKeys::KeySet(self.path(path.get()?));
            (&path.at, keys, JwtVerifier::from_jwks(text.as_bytes()))
        } else if let Some(path) = &file.secret_file {
            let text = self.secret_file(path)?;
            (&path.at, JwtKeys::SecretFile(self.path(path.get()?)), JwtVerifier::from_secret(text.as_bytes()))
        } else {
            let secret = file.secret.as_ref()?;
            (&secret.at, JwtKeys::Secret, JwtVerifier::from_secret(secret.get()?.as_bytes()))
        };
        match verifier {
            Ok(verifier) => Some((keys, verifier)),
            Err(error) => {
                self.tell(Problem::new(at, format!("no token can be verified by this: {error}")));
                None
            }
        }
    }
}

pub(super) fn text(field: Option<&At<String>>) -> Option<&str> {
    field.and_then(At::get).map(String::as_str)
}

fn log(file: &file::Log) -> Log {
    let sample = file.access.as_ref().and_then(|access| access.get()?.sample.as_ref()?.get());
    let Percent(percent) = *sample.unwrap_or(&Percent(1.0));
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a percentage of 0 to 100 is at most 2^32 here"
    )]
    let access_sample = (percent / 100.0 * 4_294_967_296.0).round() as u64;
    let format = file.format.as_ref().and_then(At::get).map_or(LogFormat::Text, |OneOf(format)| *format);
    Log { format, access_sample }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        let pair = &text[2 * at..2 * at + 2];
        if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}
