//! What the file says of a route that receives issues as webhooks.
//!
//! Who may send, how an issue and a delivery are told from each other, and how either side gets its share. A preset fills
//! in what a known sender does. Not supported: two such routes of one migration, bodies that are not JSON.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use flags::{KeySource, MigrationId, Side};

use super::notify::{Held, Secret};
use super::units::Rate;

/// Whose webhooks a route receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    #[default]
    Github,
    /// Any that are JSON; the file says the rest.
    Json,
}

/// How a sender proves that it has the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HMAC-SHA256 of the body, in hexadecimal, in one field.
    HmacSha256Hex,
    /// Standard Webhooks 1.0.0 with a shared secret.
    StandardWebhooks,
    /// Not at all, in words that nobody writes by chance.
    Unsigned,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub scheme: Scheme,
    /// In lower case; of `hmac_sha256_hex` only.
    pub header: String,
    /// What stands before the digits; of `hmac_sha256_hex` only.
    pub prefix: String,
    /// Any of them is good, so that a secret can be changed without a gap.
    pub secrets: Vec<Held<Secret>>,
}

/// A JSON Pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pointer(String);

impl Pointer {
    /// None where the text is no pointer, or points at the whole document.
    pub fn parse(text: &str) -> Option<Self> {
        let escaped = |part: &str| part.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        (text.starts_with('/') && text.len() <= 256 && escaped(text)).then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How fast one address may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRate {
    pub(crate) per_source: Rate,
    pub burst: NonZeroU32,
}

/// How one side gets its deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideTarget {
    pub path: String,
    /// From the begin of a try to the head of its answer.
    pub timeout: Duration,
    /// How long work on an issue may take without a heartbeat; the lease where none.
    pub max_duration: Option<Duration>,
    /// Whether it changes nothing when a delivery says `Crossfade-Shadow: 1`.
    pub dry_run: bool,
}

/// Finds what GitHub could not deliver, and has it delivered again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconcile {
    /// `https://api.github.com`, or that of an own server.
    pub api: String,
    pub token: Held<Secret>,
    /// Each `OWNER/NAME`.
    pub repositories: Vec<String>,
    pub interval: Duration,
}

/// Everything that one route needs to receive issues and to send them on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueRoute {
    /// The path of the route, which a webhook's address ends with.
    pub path: String,
    pub migration: MigrationId,
    pub preset: Preset,
    pub signature: Signature,
    /// A field or a place in the body.
    pub delivery_id: KeySource,
    /// Together they name the issue.
    pub key: Vec<Pointer>,
    /// A field or a place in the body; none: every webhook counts.
    pub action: Option<KeySource>,
    /// Which actions count; empty: all.
    pub actions: Vec<String>,
    /// When the sender changed the issue, as text that sorts by time.
    pub order_by: Option<Pointer>,
    pub body_max: usize,
    pub rate: Option<SourceRate>,
    pub legacy: SideTarget,
    pub new: SideTarget,
    pub lease: Duration,
    /// Failures of new within a minute, in mode new_only, that roll back; 0: none does.
    pub rollback_after: u32,
    pub journal: PathBuf,
    pub journal_max: u64,
    pub reconcile: Option<Reconcile>,
}

impl IssueRoute {
    pub const fn target(&self, side: Side) -> &SideTarget {
        match side {
            Side::Legacy => &self.legacy,
            Side::New => &self.new,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_points_into_a_document() {
        for good in ["/issue/number", "/a~1b", "/~0", "/", "/0/x"] {
            assert_eq!(Pointer::parse(good).map(|own| own.to_string()).as_deref(), Some(good));
        }
        for bad in ["", "issue", "/a~", "/a~2", "#/a"] {
            assert_eq!(Pointer::parse(bad), None, "{bad}");
        }
    }
}
