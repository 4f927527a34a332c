//! The address of a Redis, as an operator writes it: one server, Sentinel or a Cluster.
//!
//! # Why not the client's own parser
//!
//! It knows one server only. And whoever reads an address decides what a message about it shows: here
//! the password has a type of its own that prints as a word, so that no log, message or `Debug` can
//! hold it.
//!
//! ```text
//! redis[s]://[USER:PASSWORD@]HOST[:PORT][/DATABASE]
//! redis[s]+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/SERVICE[/DATABASE]
//! redis[s]+cluster://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]
//! ```
//!
//! Deliberately not supported: client certificates, parameters behind `?`, and a certificate that is
//! not checked.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher as _};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use thiserror::Error;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Servers that one address may name.
const HOSTS_MAX: usize = 32;

/// Redis can be built with more than 16 databases, and nobody has this many.
const DATABASE_MAX: u32 = 1 << 20;

/// What stands in for a password.
const REDACTED: &str = "redacted";

/// What must not stand as it is between the parts of an address.
const RESERVED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'%').add(b'/').add(b'?').add(b'#').add(b'@').add(b':').add(b',').add(b'[').add(b']');

/// Which servers there are, and who knows the one to talk to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topology {
    /// The one that is named.
    Single,
    /// The primary of this service, as the named sentinels tell.
    Sentinel { service: String },
    /// The one that holds the slot of this environment, as the named servers tell.
    Cluster,
}

/// A server by name or IP address; the address of IPv6 without brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host {
    pub name: String,
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

/// Something that no message holds.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// A well-formed address. Shown, it is an address again, with a word for the password.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    topology: Topology,
    is_tls: bool,
    user: Option<String>,
    password: Option<Secret>,
    /// Never empty; more than one only of Sentinel and Cluster.
    hosts: Vec<Host>,
    database: u32,
}

/// What is wrong with an address, in words that hold nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{problem}; write {}", self.form)]
pub struct InvalidAddress {
    pub problem: &'static str,
    /// How it should look.
    pub form: &'static str,
}

const SINGLE: &str = "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS";
const SENTINEL: &str =
    "redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/SERVICE[/DATABASE], or rediss+sentinel:// for TLS";
const CLUSTER: &str = "redis+cluster://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...], or rediss+cluster:// for TLS";

impl Address {
    /// Reads an address; what is wrong is told without repeating any of it.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let (is_tls, kind) = match scheme.strip_prefix("rediss") {
            Some(kind) => (true, kind),
            None => (false, scheme.strip_prefix("redis").unwrap_or("?")),
        };
        let form = match kind {
            "" => SINGLE,
            "+sentinel" => SENTINEL,
            "+cluster" => CLUSTER,
            _ => return Err(InvalidAddress { problem: "this is not the address of a Redis", form: SINGLE }),
        };
        let wrong = |problem| InvalidAddress { problem, form };
        if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong("an address of Redis holds no white space; write it percent-encoded"));
        }
        // A password may hold an @ of its own.
        let (credentials, place) = rest.rsplit_once('@').map_or((None, rest), |(own, place)| (Some(own), place));
        let (user, password) = credentials.map(credentials_of).transpose().map_err(wrong)?.unwrap_or_default();
        if place.contains(['?', '#']) {
            return Err(wrong("nothing may stand behind ? or # in the address of a Redis"));
        }
        let mut path = place.split('/');
        let named = path.next().unwrap_or_default();
        let port = if kind == "+sentinel" { SENTINEL_PORT } else { PORT };
        let hosts = named.split(',').map(|host| host_of(host, port)).collect::<Option<Vec<_>>>();
        let hosts = hosts.ok_or_else(|| wrong("this is not the address of a Redis: its host or port is wrong"))?;
        if hosts.len() > HOSTS_MAX {
            return Err(wrong("the address of a Redis names more than 32 servers"));
        }
        let topology = match kind {
            "+sentinel" => Topology::Sentinel { service: service_of(path.next()).map_err(wrong)? },
            "+cluster" => Topology::Cluster,
            _ if hosts.len() > 1 => return Err(wrong("redis:// names one server, and here are several")),
            _ => Topology::Single,
        };
        let database = database_of(path.next()).map_err(wrong)?;
        if path.next().is_some_and(|rest| !rest.is_empty()) || path.next().is_some() {
            return Err(wrong("the path of the address of a Redis is too long"));
        }
        if topology == Topology::Cluster && database != 0 {
            return Err(wrong("a Cluster has no database but 0"));
        }
        Ok(Self { topology, is_tls, user, password, hosts, database })
    }

    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }

    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(super) fn password(&self) -> Option<&str> {
        self.password.as_ref().map(|Secret(text)| text.as_str())
    }

    pub const fn database(&self) -> u32 {
        self.database
    }

    /// Tells apart what is shown alike, such as two passwords; of one build of this program only.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// The servers, for messages.
    pub(super) fn servers(&self) -> String {
        self.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// `text` without the password, should a server have echoed it.
    pub(super) fn redact(&self, text: String) -> String {
        match self.password() {
            Some(password) => text.replace(password, "***"),
            None => text,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = |text| utf8_percent_encode(text, RESERVED);
        f.write_str(if self.is_tls { "rediss" } else { "redis" })?;
        f.write_str(match self.topology {
            Topology::Single => "://",
            Topology::Sentinel { .. } => "+sentinel://",
            Topology::Cluster => "+cluster://",
        })?;
        let user = self.user().unwrap_or_default();
        match &self.password {
            Some(_) => write!(f, "{}:{REDACTED}@", encoded(user))?,
            None if !user.is_empty() => write!(f, "{}@", encoded(user))?,
            None => {}
        }
        f.write_str(&self.servers())?;
        if let Topology::Sentinel { service } = &self.topology {
            write!(f, "/{}", encoded(service))?;
        }
        if self.database == 0 { Ok(()) } else { write!(f, "/{}", self.database) }
    }
}

type Credentials = (Option<String>, Option<Secret>);

fn credentials_of(text: &str) -> Result<Credentials, &'static str> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decoded = |text| percent_decode_str(text).decode_utf8().map(String::from);
    match (decoded(user), decoded(password)) {
        (Ok(user), Ok(password)) => {
            let given = |text: String| Some(text).filter(|text| !text.is_empty());
            Ok((given(user), given(password).map(Secret)))
        }
        _ => Err("the user or the password in the address of a Redis is not UTF-8 once it is percent-decoded"),
    }
}

fn host_of(text: &str, default: u16) -> Option<Host> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').filter(|(name, _)| name.parse::<std::net::Ipv6Addr>().is_ok())?,
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        None if port.is_empty() => default,
        None => return None,
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    (!name.is_empty() && name.bytes().all(is_name)).then(|| Host { name: name.into(), port })
}

fn service_of(text: Option<&str>) -> Result<String, &'static str> {
    let missing = "the address of a Sentinel ends with the name of its service";
    let text = text.filter(|text| !text.is_empty()).ok_or(missing)?;
    percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| missing)
}

fn database_of(text: Option<&str>) -> Result<u32, &'static str> {
    match text {
        None | Some("") => Ok(0),
        Some(text) => {
            let database = text.parse().ok().filter(|number| *number <= DATABASE_MAX);
            database.ok_or("the database in the address of a Redis is not a number")
        }
    }
}

/// Whom to believe when a server shows its certificate, instead of the system's authorities.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities(Vec<u8>);

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorities").finish_non_exhaustive()
    }
}

/// Why a file of authorities cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidAuthorities {
    #[error("it holds no certificate: write one or more blocks of -----BEGIN CERTIFICATE-----")]
    None,
    #[error("a certificate in it does not read: {0}")]
    Damaged(String),
}

impl Authorities {
    pub fn from_pem(pem: Vec<u8>) -> Result<Self, InvalidAuthorities> {
        let damaged = |error: String| InvalidAuthorities::Damaged(error);
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| damaged(error.to_string()))?;
            roots.add(certificate).map_err(|error| damaged(error.to_string()))?;
        }
        if roots.is_empty() { Err(InvalidAuthorities::None) } else { Ok(Self(pem)) }
    }

    pub(super) fn pem(&self) -> Vec<u8> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn good(text: &str, shown: &str) -> Address {
        let address = Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(address.to_string(), shown, "{text}");
        let again = Address::parse(&address.to_string()).unwrap();
        assert_eq!(again.to_string(), shown, "what is shown of {text} reads as the same");
        address
    }

    #[track_caller]
    fn bad(text: &str, words: &str) {
        let error = Address::parse(text).expect_err(text).to_string();
        assert!(error.contains(words) && error.contains("; write redis"), "{text}: {error}");
        assert!(!error.contains("s3cret"), "{text}: {error}");
    }

    #[test]
    fn every_form_reads_and_shows_no_password() {
        good("redis://h", "redis://h:6379");
        good("redis://h:1/", "redis://h:1");
        good("redis://h:1/15", "redis://h:1/15");
        good("rediss://:s3cret@[::1]:7", "rediss://:redacted@[::1]:7");
        good("redis://ann:s3c@ret@h", "redis://ann:redacted@h:6379");
        good("redis://ann@h", "redis://ann@h:6379");
        good("redis://@h", "redis://h:6379");
        good("redis+sentinel://a,b:1,[::2]/main", "redis+sentinel://a:26379,b:1,[::2]:26379/main");
        good("rediss+sentinel://u:p@a/main/3", "rediss+sentinel://u:redacted@a:26379/main/3");
        good("redis+cluster://a,b:7000", "redis+cluster://a:6379,b:7000");
        good("rediss+cluster://:x@a/0", "rediss+cluster://:redacted@a:6379");
    }

    #[test]
    fn users_and_passwords_are_percent_decoded() {
        let address = good("redis://a%40b:p%2F%3aw%25@h", "redis://a%40b:redacted@h:6379");
        assert_eq!((address.user(), address.password()), (Some("a@b"), Some("p/:w%")));
        let address = good("redis://u:100%@h", "redis://u:redacted@h:6379");
        assert_eq!(address.password(), Some("100%"));
        assert_eq!(Address::parse("redis://:@h").unwrap().password(), None);
        let service = Address::parse("redis+sentinel://h/my%20main").unwrap();
        assert_eq!(service.topology(), &Topology::Sentinel { service: "my main".into() });
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for text in ["", "h", "s3cret", "http://h", "redis:h", "redisx://h", "redis+x://h", "://", "rediss+://h"] {
            bad(text, "this is not the address of a Redis");
        }
        for text in ["redis://", "redis://:s3cret@", "redis:///0", "redis://h:", "redis://h:0", "redis://h:99999"] {
            bad(text, "host or port");
        }
        for text in [
            "redis://[::1",
            "redis://[h]",
            "redis://[::1]x",
            "redis://a:1:2",
            "redis+cluster://a,,b",
            "redis://h\u{e4}",
        ] {
            bad(text, "host or port");
        }
        bad("redis://a b", "white space");
        bad("redis://:s3cret\n@h", "white space");
        bad("redis://:%ff%fe@h", "not UTF-8");
        bad("redis://h?protocol=resp3", "behind ? or #");
        bad("rediss://h#insecure", "behind ? or #");
        bad("redis://a,b", "names one server");
        bad("redis://h/x", "not a number");
        bad("redis://h/-1", "not a number");
        bad("redis://h/9999999999", "not a number");
        bad("redis://h/1/2", "too long");
        bad("redis+sentinel://h", "name of its service");
        bad("redis+sentinel://h/", "name of its service");
        bad("redis+sentinel://h/m/1/2", "too long");
        bad("redis+cluster://h/1", "no database but 0");
        bad(&format!("redis+cluster://{}", vec!["h"; 33].join(",")), "more than 32");
    }

    proptest::proptest! {
        /// Whatever is written: it is refused, or what is shown of it is the same address.
        #[test]
        fn no_text_is_a_panic(text in "(redis|rediss)(\\+sentinel|\\+cluster)?://[a-c:@,/\\[\\]%0-9?#.]{0,24}|.{0,24}") {
            if let Ok(address) = Address::parse(&text) {
                let shown = address.to_string();
                proptest::prop_assert_eq!(Address::parse(&shown).map(|again| again.to_string()), Ok(shown));
            }
        }
    }

    #[test]
    fn nothing_printed_holds_the_password_and_yet_two_are_told_apart() {
        let one = Address::parse("redis://u:s3cret@h").unwrap();
        let other = Address::parse("redis://u:s3cret2@h").unwrap();
        assert!(!format!("{one:?} {one}").contains("s3cret"));
        assert_eq!(one.to_string(), other.to_string());
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert_eq!(one.redact("WRONGPASS s3cret".into()), "WRONGPASS ***");
    }

    #[test]
    fn a_file_of_authorities_holds_some() {
        assert_eq!(Authorities::from_pem(b"".to_vec()), Err(InvalidAuthorities::None));
        assert_eq!(Authorities::from_pem(b"redis".to_vec()), Err(InvalidAuthorities::None));
        let block = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(Authorities::from_pem(block.to_vec()), Err(InvalidAuthorities::Damaged(_))));
    }
}
