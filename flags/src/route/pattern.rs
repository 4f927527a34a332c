//! What a route may be written as: patterns of hosts and templates of paths.
//!
//! # Why so little
//!
//! A pattern must have one obvious rank among others, so there are literal segments, variables of
//! one whole segment and a rest at the end. What could never match the normal form of a path is
//! refused when it is written.
//!
//! Not supported: regular expressions, ports in hosts, variables inside a segment.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A template may have this many segments; it bounds the recursion of a look-up.
const SEGMENTS_MAX: usize = 32;

/// The longest host name of the DNS.
pub(super) const HOST_BYTES_MAX: usize = 255;

/// `api.example.com`, `*.example.com`; ports and case do not matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    Exact(String),
    /// The suffix with its leading dot; matches one or more labels before it.
    Subdomains(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    Literal(String),
    Variable(String),
}

/// `/api/sessions/{id}/**`: literal segments, variables of one segment, and a rest of any length
/// (none included) at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathTemplate {
    pub(super) segments: Vec<Segment>,
    pub(super) rest: bool,
}

/// Why a text is no [`PathTemplate`] or [`HostPattern`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidPattern {
    #[error("a path starts with '/'")]
    NoLeadingSlash,
    #[error("'**' stands only at the end, as a segment of its own")]
    RestInside,
    #[error("a variable is a whole segment with a name of letters, digits, '_' and '-': {{id}}")]
    BadVariable,
    #[error("the variable \"{0}\" is named twice")]
    DuplicateVariable(String),
    #[error(
        "'.', '..', empty segments, '%', '?', '#', '*' and white space cannot match: routes match the normal form of a path"
    )]
    NeverMatches,
    #[error("a path has at most {SEGMENTS_MAX} segments")]
    TooLong,
    #[error("a host is a name or an address without port, or *.NAME for the names below it")]
    BadHost,
}

impl FromStr for HostPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name_is_valid = |name: &str| {
            let byte_is_valid =
                |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':');
            let has_port = !name.starts_with('[') && name.contains(':');
            !name.is_empty()
                && name.len() <= HOST_BYTES_MAX
                && !has_port
                && !name.split('.').any(str::is_empty)
                && name.bytes().all(byte_is_valid)
        };
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        match text.strip_prefix("*.") {
            Some(suffix) if name_is_valid(suffix) => Ok(Self::Subdomains(format!(".{suffix}"))),
            None if name_is_valid(&text) => Ok(Self::Exact(text)),
            Some(_) | None => Err(InvalidPattern::BadHost),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Subdomains(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl FromStr for PathTemplate {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = text.strip_prefix('/').ok_or(InvalidPattern::NoLeadingSlash)?;
        let (path, rest) = match path.strip_suffix("**") {
            Some("") => return Ok(Self { segments: Vec::new(), rest: true }),
            Some(before) => (before.strip_suffix('/').ok_or(InvalidPattern::RestInside)?, true),
            None => (path, false),
        };
        let mut segments: Vec<Segment> = Vec::new();
        let pieces: Vec<&str> = path.split('/').collect();
        for (at, piece) in pieces.iter().enumerate() {
            if piece.contains("**") {
                return Err(InvalidPattern::RestInside);
            }
            let segment = parse_segment(piece, at + 1 == pieces.len() && !rest)?;
            if let Segment::Variable(name) = &segment
                && segments.contains(&segment)
            {
                return Err(InvalidPattern::DuplicateVariable(name.clone()));
            }
            segments.push(segment);
        }
        if segments.len() > SEGMENTS_MAX { Err(InvalidPattern::TooLong) } else { Ok(Self { segments, rest }) }
    }
}

fn parse_segment(piece: &str, last: bool) -> Result<Segment, InvalidPattern> {
    if let Some(name) = piece.strip_prefix('{') {
        let name = name.strip_suffix('}').ok_or(InvalidPattern::BadVariable)?;
        let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        return if valid { Ok(Segment::Variable(name.into())) } else { Err(InvalidPattern::BadVariable) };
    }
    if piece.contains(['{', '}']) {
        return Err(InvalidPattern::BadVariable);
    }
    // An empty last segment is a trailing slash, which is a path of its own.
    let empty_inside = piece.is_empty() && !last;
    let unmatchable = piece.bytes().any(|b| b <= b' ' || b == 0x7f || matches!(b, b'%' | b'?' | b'#' | b'*'));
    if empty_inside || unmatchable || piece == "." || piece == ".." {
        return Err(InvalidPattern::NeverMatches);
    }
    Ok(Segment::Literal(piece.into()))
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Variable(name) => write!(f, "/{{{name}}}")?,
            }
        }
        f.write_str(if self.rest { "/**" } else { "" })
    }
}

impl PathTemplate {
    pub fn has_variable(&self, name: &str) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Variable(own) if own == name))
    }

    /// What the variable stands for in a path, in normal form, that this template matches.
    pub fn variable<'a>(&self, path: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let wanted = |segment: &Segment| matches!(segment, Segment::Variable(own) if own == name);
        let at = self.segments.iter().position(wanted)?;
        path.strip_prefix(b"/")?.split(|byte| *byte == b'/').nth(at)
    }
}

/// The path as most servers come to read it: percent-decoded once, slashes merged, dot segments
/// resolved. Borrowed where it is its own normal form, which is the usual case.
///
/// A backslash is a slash to servers that began on Windows and to whoever reads paths as browsers do; `..;x` is `..` to
/// servlet containers. Other parameters of segments are left: there they name a session.
pub fn normal_form(path: &[u8]) -> Cow<'_, [u8]> {
    let mut before = 0;
    let suspicious = path.iter().any(|byte| {
        let behind_slash = std::mem::replace(&mut before, *byte) == b'/';
        matches!(byte, b'%' | b'\\') || (behind_slash && matches!(byte, b'/' | b'.'))
    });
    if !suspicious {
        return Cow::Borrowed(path);
    }
    let decoded: Cow<'_, [u8]> = percent_encoding::percent_decode(path).into();
    let mut normal: Vec<u8> = Vec::with_capacity(decoded.len());
    let is_slash = |byte: &u8| matches!(byte, b'/' | b'\\');
    let mut pieces = decoded.strip_prefix(b"/").unwrap_or(&decoded).split(is_slash).map(without_parameter).peekable();
    while let Some(piece) = pieces.next() {
        let last = pieces.peek().is_none();
        let ends_as_folder = last && matches!(piece, b"" | b"." | b"..");
        if piece == b".." {
            let cut = normal.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            normal.truncate(cut);
        } else if !matches!(piece, b"" | b".") {
            normal.push(b'/');
            normal.extend_from_slice(piece);
        }
        if ends_as_folder {
            normal.push(b'/');
        }
    }
    if normal == path { Cow::Borrowed(path) } else { Cow::Owned(normal) }
}

/// A dot segment without what stands behind its semicolon; any other segment as it is.
fn without_parameter(segment: &[u8]) -> &[u8] {
    let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
    if matches!(name, b"." | b"..") { name } else { segment }
}
