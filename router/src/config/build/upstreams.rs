//! Upstreams and their endpoints.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use super::super::errors::{Problem, quoted};
use super::super::file;
use super::super::read::{At, Entries};
use super::super::{Endpoint, Health, Upstream};
use super::Building;

const UPSTREAMS_MAX: usize = 10_000;
const ENDPOINTS_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 63;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// The places of upstreams in the list, by name. A name whose upstream is wrong has none, so that
/// what refers to it is not told a second time.
pub(super) type Names = HashMap<String, Option<usize>>;

#[derive(Default)]
pub(super) struct Upstreams {
    pub(super) list: Vec<Upstream>,
    pub(super) names: Names,
}

impl Building<'_> {
    pub(super) fn upstreams(&mut self, field: Option<At<Entries<file::Upstream>>>) -> Upstreams {
        let mut upstreams = Upstreams::default();
        let Some(At { at, value: Some(Entries(entries)) }) = field else {
            return upstreams;
        };
        self.bounded(&at, &entries, "upstreams", UPSTREAMS_MAX);
        for (name, upstream) in entries {
            let Some(text) = name.value else { continue };
            if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(is_name_byte) {
                let message = format!("{} is not a name for an upstream", quoted(&text));
                let help = format!("use 1 to {NAME_BYTES_MAX} letters, digits, '.', '_' and '-'");
                self.tell(Problem::new(&name.at, message).help(help));
            }
            let built = upstream.value.and_then(|upstream| self.upstream(&text, &name.at, upstream));
            upstreams.names.insert(text, built.is_some().then_some(upstreams.list.len()));
            upstreams.list.extend(built);
        }
        upstreams
    }

    fn upstream(&mut self, name: &str, at: &Range<usize>, file: file::Upstream) -> Option<Upstream> {
        let endpoints = self.endpoints(at, file.endpoints)?;
        let seconds = Duration::from_secs;
        Some(Upstream {
            name: name.into(),
            endpoints,
            connect_timeout: self.period(&file.connect_timeout, seconds(2), MILLISECOND..=HOUR),
            first_byte_timeout: self.period(&file.timeout, seconds(15), MILLISECOND..=24 * HOUR),
            in_flight: self.count(&file.in_flight, 0, 0..=1_000_000),
            queue: self.count(&file.queue, 100, 0..=100_000),
            queue_timeout: self.period(&file.queue_timeout, seconds(1), MILLISECOND..=HOUR),
            idle_connections: self.count(&file.idle_connections, 64, 0..=10_000),
            // Below the 5 s after which Node and uvicorn close: who closes first loses no request.
            idle_timeout: self.period(&file.idle_timeout, seconds(4), MILLISECOND..=24 * HOUR),
            health: file.health.and_then(|health| self.health(health)),
        })
    }

    fn endpoints(&mut self, at: &Range<usize>, field: Option<At<Vec<At<String>>>>) -> Option<Vec<Endpoint>> {
        let Some(field) = field else {
            self.missing(at, "endpoints", "write `endpoints: [http://127.0.0.1:3001]`");
            return None;
        };
        let list = field.value?;
        if list.is_empty() {
            self.tell(Problem::new(&field.at, "an upstream needs at least one endpoint"));
            return None;
        }
        self.bounded(&field.at, &list, "endpoints", ENDPOINTS_MAX);
        let mut endpoints: Vec<(Endpoint, Range<usize>)> = Vec::new();
        let mut all_well = true;
        for At { at, value } in list {
            let Some(text) = value else {
                all_well = false;
                continue;
            };
            match parse_endpoint(&text) {
                Ok(endpoint) => {
                    let same = |(other, _): &&(Endpoint, _)| other.host == endpoint.host && other.port == endpoint.port;
                    if let Some((_, first)) = endpoints.iter().find(same) {
                        let problem = Problem::new(&at, format!("the endpoint {} stands here twice", quoted(&text)));
                        let problem = problem.also(first, "first here");
                        self.tell(problem);
                    }
                    if self.listens.iter().any(|listen| leads_to(&endpoint, listen)) {
                        let problem = format!("the endpoint {} is this router itself", quoted(&text));
                        let help = "its requests would go round for ever: name the system behind it";
                        self.tell(Problem::new(&at, problem).help(help));
                    }
                    endpoints.push((endpoint, at));
                }
                Err((message, help)) => {
                    all_well = false;
                    self.tell(Problem { help, ..Problem::new(&at, message) });
                }
            }
        }
        all_well.then(|| endpoints.into_iter().map(|(endpoint, _)| endpoint).collect())
    }

    fn health(&mut self, field: At<file::Health>) -> Option<Health> {
        let health = field.value?;
        let seconds = Duration::from_secs;
        let interval = self.period(&health.interval, seconds(5), 100 * MILLISECOND..=HOUR);
        let timeout = self.period(&health.timeout, seconds(2).min(interval), MILLISECOND..=HOUR);
        let path = match &health.path {
            None => {
                self.missing(&field.at, "path", "write the path that tells health, such as `path: /health`");
                return None;
            }
            Some(At { at, value }) => {
                let path = value.as_ref()?;
                let visible = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
                if !path.starts_with('/') || !visible {
                    let message = format!("{} is not a path: it starts with '/' and has no white space", quoted(path));
                    self.tell(Problem::new(at, message));
                }
                path.clone()
            }
        };
        let fall = self.checks(health.fall, 3);
        let rise = self.checks(health.rise, 2);
        Some(Health { path, interval, timeout, fall, rise })
    }

    fn checks(&mut self, field: Option<At<u32>>, default: u32) -> u32 {
        const CHECKS_MAX: u32 = 1_000;
        match field {
            Some(At { value: Some(count @ 1..=CHECKS_MAX), .. }) => count,
            Some(At { at, value: Some(count) }) => {
                self.tell(Problem::new(&at, format!("{count} is outside 1 to {CHECKS_MAX}")));
                default
            }
            Some(At { value: None, .. }) | None => default,
        }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Whether a listener of this router is what answers there. Names are not resolved.
fn leads_to(endpoint: &Endpoint, listen: &SocketAddr) -> bool {
    let host = if endpoint.host == "localhost" { "127.0.0.1" } else { endpoint.host.trim_matches(['[', ']']) };
    let is_any = |ip: IpAddr| listen.ip().is_unspecified() && ip.is_loopback() && ip.is_ipv4() == listen.is_ipv4();
    let is_own = |ip: IpAddr| ip == listen.ip() || is_any(ip);
    endpoint.port == listen.port() && host.parse().is_ok_and(is_own)
}

/// `http://HOST:PORT`, or what is wrong and what to write instead.
fn parse_endpoint(text: &str) -> Result<Endpoint, (String, Option<String>)> {
    let example = || Some("write http://HOST:PORT, such as http://127.0.0.1:3001".to_owned());
    if text.starts_with("https://") {
        return Err(("TLS to upstreams comes in a later version".into(), example()));
    }
    let Some(authority) = text.strip_prefix("http://") else {
        return Err((format!("{} is not an endpoint", quoted(text)), example()));
    };
    if authority.contains('@') {
        return Err(("an endpoint has no user and no password".into(), example()));
    }
    if let Some(end) = authority.find(['/', '?', '#']) {
        let help = format!("write http://{}", &authority[..end]);
        let message = "an endpoint has no path and no query: requests keep their own";
        return Err((message.into(), Some(help)));
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').and_then(|(host, port)| Some((host, port.strip_prefix(':')?))),
        None => authority.rsplit_once(':'),
    }
    .ok_or_else(|| (format!("{} has no port", quoted(text)), Some(format!("write {text}:80 if 80 is meant"))))?;
    let port: u16 = match port.parse() {
        Ok(port @ 1..) => port,
        Ok(0) | Err(_) => return Err((format!("{} is not a port", quoted(port)), Some("use 1 to 65535".into()))),
    };
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let valid = if authority.starts_with('[') {
        host.parse::<Ipv6Addr>().is_ok()
    } else {
        !host.is_empty() && host.len() <= 253 && host.bytes().all(name)
    };
    if !valid {
        return Err((format!("{} is not a host", quoted(host)), example()));
    }
    Ok(Endpoint { url: text.into(), host: host.to_ascii_lowercase(), port })
}
