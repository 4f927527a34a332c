//! One difference: where it is, of which kind, and as much of both values as may be shown.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One difference of two answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub place: Place,
    /// The place with indexes of arrays and keys that look made up folded: `$.items[*].price`.
    pub pattern: String,
    pub kind: Kind,
    /// What legacy has there, if anything.
    pub legacy: Option<Shown>,
    pub new: Option<Shown>,
    /// Of two numbers, how far apart they are: millionths of the larger one, rounded up.
    pub apart: Option<u64>,
}

/// Where in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Status,
    /// The name, in lower case.
    Header(String),
    /// A path in a document, as `$.items[3].price`; `$` is the whole. Keys that look like a person or a credential are `*`.
    Body(String),
    /// A line of a text, from 1.
    Line(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => f.write_str("status"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Body(path) => f.write_str(path),
            Self::Line(number) => write!(f, "line {number}"),
        }
    }
}

/// In which way two answers differ at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// Legacy has it, new has not.
    Missing,
    /// New has it, legacy has not.
    Added,
    TypeChanged,
    ValueChanged,
    /// An array whose lengths are further apart than a few inserted elements.
    LengthChanged,
    /// The same elements in another order.
    OrderChanged,
    StatusChanged,
    HeaderMissing,
    HeaderAdded,
    HeaderChanged,
    /// A key that is there more often on one side.
    DuplicateKey,
    /// One side's body is JSON and the other's is not.
    NotJson,
    /// The same number, written otherwise. Told, not counted.
    Notation,
    /// Unequal texts of which one holds half a surrogate pair, which many readers refuse.
    LoneSurrogate,
    /// A line of a text was changed, lost or added.
    TextLine,
    /// Bodies that are no text, by hash and length.
    Binary,
    /// One side's bytes are not in the content-encoding that it names.
    Undecodable,
    /// A body so many times as long as the other that it was not read to its end.
    BodyLength,
}

impl Kind {
    /// Stable: part of fingerprints, labels and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Added => "added",
            Self::TypeChanged => "type_changed",
            Self::ValueChanged => "value_changed",
            Self::LengthChanged => "length_changed",
            Self::OrderChanged => "order_changed",
            Self::StatusChanged => "status_changed",
            Self::HeaderMissing => "header_missing",
            Self::HeaderAdded => "header_added",
            Self::HeaderChanged => "header_changed",
            Self::DuplicateKey => "duplicate_key",
            Self::NotJson => "not_json",
            Self::Notation => "notation",
            Self::LoneSurrogate => "lone_surrogate",
            Self::TextLine => "text_line",
            Self::Binary => "binary",
            Self::Undecodable => "undecodable",
            Self::BodyLength => "body_length",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a value is, in the words of JSON where it is JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
    Status,
    Header,
    Line,
    Bytes,
}

impl Type {
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
            Self::Status => "status",
            Self::Header => "header",
            Self::Line => "line",
            Self::Bytes => "bytes",
        }
    }
}

/// As much of a value as may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub kind: Type,
    /// Characters of a text, elements of an array or object, bytes of anything else.
    pub length: usize,
    /// A shape such as `uuid`, the value itself where the caller asked for it, or `redacted`; a hash may follow ([`Shown::parts`]).
    pub form: String,
}

/// What stands between a shape and the hash of a value.
pub(super) const HASH_MARK: &str = " #";

impl Shown {
    /// The form, and the keyed hash of the value where the caller asked for one.
    pub fn parts(&self) -> (&str, Option<&str>) {
        match self.form.rsplit_once(HASH_MARK) {
            Some((form, hash)) if hash.len() == 8 => (form, Some(hash)),
            _ => (&self.form, None),
        }
    }

    /// What a value looks like, without what changes from one value to the next; of one that was not asked for raw.
    pub fn outline(&self) -> String {
        let (form, _) = self.parts();
        let form = match form.split('(').next() {
            Some("integer" | "decimal") => "number",
            Some("text") if self.length > 0 => "text",
            Some(_) | None => form,
        };
        format!("{} {form}", self.kind.name())
    }

    /// The outline as which a digest counts that happens to have no letters, which one in a few hundred has not.
    pub fn outline_of_digest(&self) -> String {
        format!("{} hex-{}", self.kind.name(), self.length)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.form)
    }
}

/// Stable across processes and versions: of a route, a pattern and a kind. Shown as 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    pub fn of(route: &str, pattern: &str, kind: Kind) -> Self {
        let mut hash = Sha256::new();
        for part in [route, pattern, kind.name()] {
            // With lengths, so that no two triples run together to one text.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let first = hash.finalize().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        Self(first)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Difference {
    /// Under which this difference is counted together with others like it.
    pub fn fingerprint(&self, route: &str) -> Fingerprint {
        Fingerprint::of(route, &self.pattern, self.kind)
    }
}
