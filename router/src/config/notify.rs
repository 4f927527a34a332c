//! The targets of notices, as the file names them.
//!
//! # Why an address is shown in part
//!
//! Whoever knows the address of an incoming webhook can write there, so an address is as secret as a key: messages, logs
//! and the effective file show its scheme and host.
//!
//! Not here: proxies, user names in addresses, client certificates.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use http::Uri;
use metrics::notice::Kind;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// What stands in for the part of an address that nobody is shown.
const HIDDEN: &str = "/redacted";

/// One receiver of notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyTarget {
    /// What it is told of.
    pub on: Vec<Kind>,
    pub channel: Channel,
    /// Who may have signed its certificate; the system's authorities where none.
    pub authorities: Option<Authorities>,
}

/// How a receiver is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Signed as Standard Webhooks says.
    Webhook {
        url: Address,
        secret: Held<Secret>,
    },
    Slack {
        url: Held<Address>,
    },
    Alertmanager {
        url: Address,
    },
    PagerDuty {
        routing_key: Held<Secret>,
        url: Address,
    },
}

impl Channel {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::Alertmanager { .. } => "alertmanager",
            Self::PagerDuty { .. } => "pagerduty",
        }
    }

    pub const fn url(&self) -> &Address {
        match self {
            Self::Webhook { url, .. } | Self::Alertmanager { url } | Self::PagerDuty { url, .. } => url,
            Self::Slack { url } => &url.value,
        }
    }

    /// Whether something stays open at the receiver until it is told that it is over.
    pub const fn keeps_open(&self) -> bool {
        match self {
            Self::Alertmanager { .. } | Self::PagerDuty { .. } => true,
            Self::Webhook { .. } | Self::Slack { .. } => false,
        }
    }

    /// Whether the receiver can know by an id that it hears of something twice.
    pub const fn knows_repetitions(&self) -> bool {
        match self {
            Self::Webhook { .. } | Self::Alertmanager { .. } | Self::PagerDuty { .. } => true,
            Self::Slack { .. } => false,
        }
    }
}

impl NotifyTarget {
    /// Whether it is told of this. What was opened there is also closed, whether or not the end was asked for.
    pub fn wants(&self, kind: Kind) -> bool {
        let ends_one = || kind.ends().iter().any(|ended| self.on.contains(ended));
        self.on.contains(&kind) || (self.channel.keeps_open() && ends_one())
    }
}

/// The names of targets in metrics and logs: kind and place in the list.
pub fn names(targets: &[NotifyTarget]) -> Vec<String> {
    targets.iter().enumerate().map(|(at, target)| format!("{}-{at}", target.channel.name())).collect()
}

/// A value that the file holds, or another file that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held<T> {
    pub value: T,
    pub file: Option<PathBuf>,
}

/// Bytes that are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redacted")
    }
}

/// An address by http or https.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Uri);

impl Address {
    /// The error is the rest of a sentence about the address, and does not repeat it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "is not an address")?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("is not a whole address");
        };
        if !matches!(scheme, "http" | "https") {
            return Err("is neither http nor https");
        }
        if authority.as_str().contains('@') {
            return Err("holds a user, which is not supported");
        }
        if text.contains('#') {
            return Err("holds a fragment, which no server sees");
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err("names no host");
        }
        // A port that is written and is no number is taken for none by `Uri`.
        let port = authority.as_str().rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        if port.is_some_and(|(_, port)| !matches!(port.parse::<u16>(), Ok(1..))) {
            return Err("holds a port that is none");
        }
        Ok(Self(uri))
    }

    pub(crate) const fn uri(&self) -> &Uri {
        &self.0
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.0.scheme_str().unwrap_or_default(), self.0.authority().map_or("", |own| own.as_str()))
    }

    /// Everything but what may hold a key.
    pub(super) fn without_query(&self) -> String {
        format!("{}{}", self.origin(), self.0.path())
    }

    /// Whether others on the way can read what goes there.
    pub(super) fn is_open_to_the_network(&self) -> bool {
        let host = self.0.host().unwrap_or_default().trim_matches(['[', ']']);
        let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        self.0.scheme_str() == Some("http") && !loopback
    }
}

/// As an address that reads back, without what may be secret.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = matches!(self.0.path(), "" | "/") && self.0.query().is_none();
        write!(f, "{}{}", self.origin(), if plain { "" } else { HIDDEN })
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who may have signed a certificate, from a PEM file.
#[derive(Clone)]
pub struct Authorities {
    pub path: PathBuf,
    pem: String,
    pub(crate) roots: Arc<RootCertStore>,
}

impl Authorities {
    /// The error is a sentence for an operator.
    pub fn from_pem(path: PathBuf, pem: String) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| format!("a certificate in it does not read: {error}"))?;
            roots.add(certificate).map_err(|error| format!("a certificate in it does not read: {error}"))?;
        }
        if roots.is_empty() {
            return Err("it holds no certificate: write one or more blocks of -----BEGIN CERTIFICATE-----".into());
        }
        Ok(Self { path, pem, roots: Arc::new(roots) })
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, &self.pem) == (&other.path, &other.pem)
    }
}

impl Eq for Authorities {}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorities").field(&self.path).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn good(text: &str, shown: &str) {
        let address = Address::parse(text).unwrap_or_else(|error| panic!("{text} {error}"));
        assert_eq!(address.to_string(), shown, "{text}");
        assert_eq!(Address::parse(shown).unwrap().to_string(), shown, "what is shown reads back");
    }

    #[track_caller]
    fn bad(text: &str, words: &str) {
        assert_eq!(Address::parse(text).map(|own| own.to_string()), Err(words), "{text}");
    }

    #[test]
    fn an_address_shows_no_more_than_its_host() {
        good("https://hooks.example.com/services/s3cret", "https://hooks.example.com/redacted");
        good("https://h/?token=s3cret", "https://h/redacted");
        good("http://127.0.0.1:9093", "http://127.0.0.1:9093");
        good("http://[::1]:9093/", "http://[::1]:9093");
        good("http://[::1]", "http://[::1]");
        bad("hooks.example.com/x", "is not an address");
        bad("/x", "is not a whole address");
        bad("", "is not an address");
        bad("ftp://h/x", "is neither http nor https");
        bad("https://u:p@h/x", "holds a user, which is not supported");
        bad("https://h/x#y", "holds a fragment, which no server sees");
        bad("https://h:0/x", "holds a port that is none");
        bad("https://h:99999/x", "holds a port that is none");
        bad("https://h/a b", "is not an address");
    }

    fn target(channel: Channel, on: &[Kind]) -> NotifyTarget {
        NotifyTarget { on: on.to_vec(), channel, authorities: None }
    }

    #[test]
    fn what_was_opened_is_closed_whether_or_not_that_was_asked_for() {
        let url = Address::parse("http://h").unwrap();
        let alertmanager = target(Channel::Alertmanager { url: url.clone() }, &[Kind::Hold]);
        let slack = target(Channel::Slack { url: Held { value: url, file: None } }, &[Kind::Hold]);
        let wanted =
            |target: &NotifyTarget| Kind::ALL.into_iter().filter(|kind| target.wants(*kind)).collect::<Vec<_>>();
        assert_eq!(wanted(&alertmanager), [Kind::Hold, Kind::Release, Kind::Acknowledged]);
        assert_eq!(wanted(&slack), [Kind::Hold]);
    }

    proptest::proptest! {
        /// What is shown of an address reads back as one, and never holds what stands behind its host.
        #[test]
        fn an_address_is_refused_or_reads_back(scheme in "https?|ftp|", host in "[a-z0-9.:@\\[\\]]{0,12}", rest in "[/?#][ -~]{0,12}") {
            let text = format!("{scheme}://{host}{rest}");
            if let Ok(address) = Address::parse(&text) {
                let shown = address.to_string();
                proptest::prop_assert_eq!(Address::parse(&shown).unwrap().to_string(), shown.clone(), "{}", text);
                proptest::prop_assert!(!shown.contains(['@', '?', '#']), "{} of {}", shown, text);
                let behind = shown.strip_prefix(&address.origin()).unwrap();
                proptest::prop_assert!(matches!(behind, "" | HIDDEN), "{} of {}", shown, text);
            }
        }
    }
}
