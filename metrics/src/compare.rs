//! Compares two HTTP answers to one request: what differs, where, of which kind, and what rules let pass.
//!
//! # Why an engine of its own
//!
//! Two systems that do the same never answer the same bytes: keys change places, `1` becomes `1.0`, ids and times are made
//! anew. A comparison of bytes finds everything and says nothing; one that skips what is noisy says that all is well. So
//! answers are compared by what they mean to a caller, what is noisy is compared by its shape, and whatever is let pass
//! has a rule with an owner, a reason and an end.
//!
//! # Four outcomes, never three
//!
//! [`Comparison::NotCompared`] is no kind of equality: what could not be read, or cannot be the same by its nature, is told
//! with its reason, and a gate reads it as unknown. A difference that was found before the body turned out to be
//! unreadable is a mismatch all the same.
//!
//! # What is the same
//!
//! - **JSON** is the same whatever the order of keys, white space and escapes. Numbers are exact decimals; `1`, `1.0` and
//!   `1e0` are a [`Kind::Notation`], which is told and does not count. `null` is not absent. Of a key that is there twice the
//!   last counts where both have it as often, and unequal numbers of it are a [`Kind::DuplicateKey`]. Arrays are ordered and aligned, so that one
//!   inserted element is one difference, not one in each that follows.
//! - **Headers** that mean something to a caller: content-type, location, cache-control, vary, allow, names of cookies.
//! - **JSON by lines** is an array of its lines. A line that is no document is a [`Kind::NotJson`] of its own.
//! - **Bodies of several parts** (`multipart/...`) are compared by their bytes, but for the boundary, whatever that is.
//! - **Text** is compared by lines, anything else by its bytes.
//! - Where the classes of the status differ (`200`, `500`), that is the one difference: headers and bodies are only its echo.
//!
//! # Bounded
//!
//! Work grows with the size of the answers times the depth at most, whatever a hostile side sends; [`Limits`] bound both.
//! Nothing panics, and no value is shown unless the caller asks for raw values and the place and form are harmless.
//!
//! Deliberately not supported: other encodings than gzip and brotli, charsets other than UTF-8, positions in arrays as paths of
//! rules, similarity of elements that were inserted beside others that changed, XML and HTML as trees, and bodies in pieces.

mod align;
mod body;
mod census;
mod censuses;
mod decimal;
mod difference;
mod digest;
mod hash;
mod headers;
mod hosts;
mod issued;
mod json;
mod lines;
mod ndjson;
mod parts;
mod path;
mod redact;
mod report;
mod rules;
mod shape;
mod stream;
mod unpack;
mod walk;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::corpus;

use report::Report;

pub use difference::{Difference, Fingerprint, Kind, Place, Shown, Type};
pub use digest::{DIGESTED_BYTES_MAX, Digest, Digester};
pub use issued::{carried, one_sided};
pub(crate) use path::steps;
pub use rules::{Decimal, RuleEntry, RuleError, RuleKind, Rules};

/// What one side said.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub status: u16,
    /// Names in any case; a name may be there more than once.
    pub headers: &'a [(String, String)],
    /// As it was received, with its content-encoding; empty for HEAD.
    pub body: &'a [u8],
    /// Whether there was more than `body` holds.
    pub truncated: bool,
}

/// What is known of a body that was not kept whole, and so is `truncated`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unkept<'a> {
    /// Of all of it, where one could be made.
    pub digest: Option<&'a Digest>,
    /// Bytes that it had at least, as it was received.
    pub length_min: u64,
}

/// How much is looked at, and how much is kept of what is found.
#[derive(Clone, Debug)]
pub struct Limits {
    pub depth: usize,
    /// Values of a document, or lines of a text.
    pub nodes: usize,
    /// Of a body as it was received.
    pub body_bytes: usize,
    /// Of a body after its content-encoding is taken off, to be compared whole; of a longer one a digest is made.
    pub decoded_bytes: usize,
    /// A decoded body may be this many times as large as it was, ...
    pub inflation: usize,
    /// ... which is asked only beyond this size: lists pack very well, and what is no larger is no bomb.
    pub inflation_free_bytes: usize,
    /// Differences that are kept; the others are counted.
    pub differences: usize,
    /// Differences that are kept of one pattern and kind.
    pub differences_per_pattern: usize,
    pub redaction: Redaction,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 64,
            nodes: 100_000,
            body_bytes: 1 << 20,
            decoded_bytes: 4 << 20,
            inflation: 128,
            inflation_free_bytes: 4 << 20,
            differences: 64,
            differences_per_pattern: 8,
            redaction: Redaction::Shapes,
        }
    }
}

/// The key under which values are hashed. It is not shown, also where what holds it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKey(pub [u8; 32]);

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey")
    }
}

/// What is shown of values that differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redaction {
    /// Type, length and shape, never the value.
    #[default]
    Shapes,
    /// The same with a hash under this key, by which equal values are told from others: the first 4 bytes.
    Keyed(HashKey),
    /// The value, shortened; never of a place or form that looks like a credential, a cookie or an e-mail address.
    Raw,
}

/// What became of two answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same, or the same by a rule that still checks: `shape`, `tolerance`, `unordered`, `keyed_by`, `map_host`.
    Matched {
        /// Differences that such rules let pass.
        ignored: u32,
        /// Numbers of the same value in another notation: told, not counted.
        notations: Vec<Difference>,
    },
    /// There are differences, all of them under `ignore` or a rule that still checks.
    Ignored {
        ignored: u32,
        notations: Vec<Difference>,
    },
    Mismatched {
        differences: Vec<Difference>,
        /// Differences beyond those that were kept.
        more: u32,
        ignored: u32,
        notations: Vec<Difference>,
        /// Why the bodies were not compared, if status or headers already differed.
        body: Option<NotCompared>,
    },
    NotCompared {
        why: NotCompared,
    },
}

/// Why two answers say nothing about each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotCompared {
    /// 304: what it confirms is in the caller's cache.
    NotModified,
    /// 429: a limit of calls is a side's own.
    TooManyRequests,
    /// 206, 416 or a `content-range`.
    Range,
    /// Server-sent events have no end to compare.
    EventStream,
    /// More was sent than the caller of [`compare`] kept.
    Truncated,
    /// A body beyond [`Limits::body_bytes`].
    TooLarge,
    /// A body that unpacks to more than [`Limits::inflation`] allows, or than a digest is made of.
    Inflated,
    /// A content-encoding that is not read here, or one that neither side's bytes are in.
    Encoding,
    /// Another charset than UTF-8, and unequal bytes.
    Charset,
    /// Nested beyond [`Limits::depth`].
    Depth,
    /// More lines than [`Limits::nodes`], or more of a document than a digest tells apart.
    Nodes,
    /// The request carries a cursor or token that only one side had issued.
    OneSided,
    /// Under a rule of kind `tolerance` or `map_host` something differs of which only a digest is known.
    NeedsValues,
}

impl NotCompared {
    pub const ALL: [Self; 13] = [
        Self::NotModified,
        Self::TooManyRequests,
        Self::Range,
        Self::EventStream,
        Self::Truncated,
        Self::TooLarge,
        Self::Inflated,
        Self::Encoding,
        Self::Charset,
        Self::Depth,
        Self::Nodes,
        Self::OneSided,
        Self::NeedsValues,
    ];

    /// Stable, for labels and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotModified => "not_modified",
            Self::TooManyRequests => "too_many_requests",
            Self::Range => "range",
            Self::EventStream => "event_stream",
            Self::Truncated => "truncated",
            Self::TooLarge => "too_large",
            Self::Inflated => "inflated",
            Self::Encoding => "encoding",
            Self::Charset => "charset",
            Self::Depth => "depth",
            Self::Nodes => "nodes",
            Self::OneSided => "one_sided",
            Self::NeedsValues => "needs_values",
        }
    }
}

/// Compares what both sides said. Pure, and never fails: what cannot be compared is an outcome.
///
/// Rules that are bound to a route apply after [`Rules::for_route`] only, and expired ones until [`Rules::as_of`] leaves them out.
pub fn compare(legacy: &Answer, new: &Answer, rules: &Rules, limits: &Limits) -> Comparison {
    compare_unkept(legacy, new, [Unkept::default(); 2], rules, limits)
}

/// [`compare`] where something is known of answers that were too long to be kept whole: of legacy's, and of new's.
pub fn compare_unkept(
    legacy: &Answer,
    new: &Answer,
    unkept: [Unkept; 2],
    rules: &Rules,
    limits: &Limits,
) -> Comparison {
    if let Some(why) = not_comparable(legacy).or_else(|| not_comparable(new)) {
        return Comparison::NotCompared { why };
    }
    if is_the_same(legacy, new) {
        return Comparison::Matched { ignored: 0, notations: Vec::new() };
    }
    let mut report = Report::new(limits);
    if legacy.status != new.status {
        if let Some(RuleKind::Ignore) = rules.status() {
            report.ruled_out();
        } else {
            report.difference(Kind::StatusChanged, || status_changed(legacy.status, new.status));
            if legacy.status / 100 != new.status / 100 {
                return report.close(None);
            }
        }
    }
    headers::compare(legacy, new, rules, &mut report);
    let why = body::compare(legacy, new, unkept, rules, &mut report).err();
    report.close(why)
}

/// Byte by byte, which no rule can make a difference of. Most answers of two sound systems are, and are not read then.
fn is_the_same(legacy: &Answer, new: &Answer) -> bool {
    let is_whole = !legacy.truncated && !new.truncated;
    is_whole && legacy.status == new.status && legacy.headers == new.headers && legacy.body == new.body
}

fn not_comparable(answer: &Answer) -> Option<NotCompared> {
    match answer.status {
        304 => Some(NotCompared::NotModified),
        429 => Some(NotCompared::TooManyRequests),
        206 | 416 => Some(NotCompared::Range),
        _ if headers::has(answer, "content-range") => Some(NotCompared::Range),
        _ if headers::is_event_stream(answer) => Some(NotCompared::EventStream),
        _ => None,
    }
}

/// A status is no data of a caller, so it is shown as it is.
fn status_changed(legacy: u16, new: u16) -> Difference {
    let shown = |status: u16| Some(Shown { kind: Type::Status, length: 3, form: status.to_string() });
    let (place, pattern, kind) = (Place::Status, "status".to_owned(), Kind::StatusChanged);
    Difference { place, pattern, kind, legacy: shown(legacy), new: shown(new), apart: None }
}

/// Whether a text may hold a credential or a person's address, whatever it is called.
pub fn is_private(text: &str) -> bool {
    redact::is_secret_text(text)
}
