//! Strict request and response heads: bytes with ranges into them, and every refusal named.
//!
//! # Why ranges
//!
//! A proxy forwards nearly all of a head as it came. So a head stays the bytes that were received, and parsing only notes
//! where each part lies and which fields this hop owns; writing it again copies ranges and leaves the hop's fields out.
//! HTTP/2 heads are brought into the same form, so that nothing behind this module knows the version.
//!
//! The rules are strict, because what two parsers read differently is how requests are smuggled. What is accepted is what
//! RFC 9110 and RFC 9112 call valid and all their readers take alike.
//!
//! Not here: obsolete line folding, HTTP/0.9 and any repair of a malformed head, but for white space before colons of answers.

mod answer;
mod authority;
mod field;
mod line;
mod name;
mod refused;

use std::ops::Range;

use memchr::memchr_iter;

pub use answer::ResponseHead;
use authority::{is_host, same_authority};
pub use field::{Field, Fields, Span};
use line::{BadField, request_line};
pub(super) use line::{Feeds, is_token_byte};
pub(super) use name::Disguise;
pub use name::Name;
use name::begins;

use super::framing::{self, Framing};
use super::refusal::Refusal;

/// The most fields any configuration may allow.
pub const FIELDS_MAX: usize = 1000;

/// The most options of `Connection` but the usual ones: each is compared with every field.
const OPTIONS_MAX: usize = 64;

/// What a request line may hold besides its target: method, version and spaces. The same whether it arrives whole or not.
const REQUEST_LINE_BESIDES_MAX: usize = 64;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    pub bytes: usize,
    pub fields: usize,
    pub target: usize,
}

/// HTTP/1.0 or HTTP/1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    Http10,
    #[default]
    Http11,
}

/// What `Connection` asks of this hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Persistence {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    /// It nominates a field that frames or routes the message, which is never of one hop.
    pub nominates_framing: bool,
    /// It names more options than are looked at.
    pub is_overlong: bool,
}

/// A request head that follows the rules.
#[derive(Debug, Default)]
pub struct RequestHead {
    pub bytes: Vec<u8>,
    pub fields: Fields,
    pub method: Span,
    /// Path and query as they go on: without scheme and authority. The path may be missing in a URL.
    pub target: Span,
    /// The host with its port; empty only in HTTP/1.0.
    pub authority: Span,
    pub version: Version,
    pub framing: Framing,
    pub persistence: Persistence,
    pub expects_continue: bool,
    /// The one protocol that `Upgrade` names, where `Connection` says so too and there is no body.
    pub upgrade: Option<Span>,
}

impl RequestHead {
    pub fn method(&self) -> &[u8] {
        self.method.of(&self.bytes)
    }

    /// The request line with its end, where it already is what would be written.
    pub(super) fn line(&self) -> Option<Range<usize>> {
        // One space apart, or it would have been refused; a target that named the host lies further behind.
        let is_plain = self.version == Version::Http11 && self.target.start == self.method.end + 1;
        is_plain.then(|| self.method.start as usize..self.target.end as usize + b" HTTP/1.1\r\n".len())
    }

    /// Path and query; `/` stands in for an empty target, but not for a path that is missing before a query.
    pub fn target(&self) -> &[u8] {
        if self.target.is_empty() { b"/" } else { self.target.of(&self.bytes) }
    }

    pub fn path(&self) -> &[u8] {
        let target = self.target();
        match memchr::memchr(b'?', target) {
            Some(0) => b"/",
            Some(at) => &target[..at],
            None => target,
        }
    }

    pub fn query(&self) -> Option<&[u8]> {
        let target = self.target();
        memchr::memchr(b'?', target).map(|at| &target[at + 1..])
    }

    pub fn authority(&self) -> &[u8] {
        self.authority.of(&self.bytes)
    }

    /// The host without port.
    pub fn host(&self) -> &[u8] {
        let authority = self.authority();
        let behind_brackets = memchr::memrchr(b']', authority).map_or(0, |at| at + 1);
        match memchr::memchr(b':', &authority[behind_brackets..]) {
            Some(at) => &authority[..behind_brackets + at],
            None => authority,
        }
    }

    /// Whether the caller takes trailers (RFC 9110 section 10.1.4), as far as there is a way to relay them to it.
    pub fn takes_trailers(&self) -> bool {
        let is_listed = |value: &[u8]| {
            value.split(|byte| *byte == b',').any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
        };
        self.version == Version::Http11 && self.fields.values(&self.bytes, Name::Te).any(is_listed)
    }

    /// Whether body bytes may follow.
    pub const fn has_body(&self) -> bool {
        !matches!(self.framing, Framing::None | Framing::Length(0))
    }

    /// Whether there is a body that this method gives no meaning (RFC 9110 section 9.3), so that some upstreams leave it
    /// unread on the connection.
    pub fn has_unusual_body(&self) -> bool {
        self.has_body() && matches!(self.method(), b"GET" | b"DELETE" | b"OPTIONS")
    }

    /// The first value of the field with this lower-case name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// Every value of this field that goes on, in order.
    pub fn kept(&self, known: Name) -> impl Iterator<Item = &[u8]> {
        self.fields.named(known).filter(|field| !field.dropped).map(|field| field.value.of(&self.bytes))
    }

    /// Every value of the field with this lower-case name, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let matches = move |field: &&Field| {
            field.name.len() == name.len() && field.name.of(&self.bytes).eq_ignore_ascii_case(name.as_bytes())
        };
        self.fields.iter().filter(matches).map(|field| field.value.of(&self.bytes))
    }

    fn clear(&mut self) {
        let (mut bytes, mut fields) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.fields));
        bytes.clear();
        fields.clear();
        *self = Self { bytes, fields, ..Self::default() };
    }

    /// Parses the head at the start of `buf`.
    ///
    /// Answers its length once it is complete, `None` while bytes are missing. The ranges refer to `buf[..length]`, which
    /// the caller moves into [`Self::bytes`]; until then the accessors must not be used.
    pub fn parse(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Refusal> {
        self.read(buf, limits).map_err(|refusal| self.earliest(buf, limits).unwrap_or(refusal))
    }

    /// The refusal of the shortest start of `buf` that is refused.
    ///
    /// What is wrong first must not depend on the pieces in which the bytes came, so it is looked for as if they had come one
    /// by one.
    #[cold]
    fn earliest(&mut self, buf: &[u8], limits: &HeadLimits) -> Option<Refusal> {
        let (mut accepted, mut refused, mut earliest) = (0, buf.len(), None);
        while refused - accepted > 1 {
            let middle = accepted.midpoint(refused);
            match self.read(&buf[..middle], limits) {
                Ok(_) => accepted = middle,
                Err(refusal) => (refused, earliest) = (middle, Some(refusal)),
            }
        }
        earliest
    }

    fn read(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Refusal> {
        self.clear();
        let start = leading_empty_line(buf)?;
        let Some(line) = request_line(buf, start)? else {
            if buf.len() - start > limits.target + REQUEST_LINE_BESIDES_MAX {
                return Err(Refusal::TargetTooLong);
            }
            return still_fits(buf, limits).map(|()| None);
        };
        if line.next - 1 - start > limits.target + REQUEST_LINE_BESIDES_MAX || line.target.len() > limits.target {
            return Err(Refusal::TargetTooLong);
        }
        (self.version, self.method) = (line.version, line.method);
        let mut at = line.next;
        while !buf[at..].starts_with(b"\r\n") {
            match self.read_field(buf, at, limits)? {
                Some(next) => at = next,
                None => return still_fits(buf, limits).map(|()| None),
            }
        }
        let length = at + 2;
        if length > limits.bytes {
            return Err(Refusal::HeadTooLarge);
        }
        self.apply_rules(&buf[..length], line.target)?;
        Ok(Some(length))
    }

    /// Reads the field line at `at`; where the next line begins, or `None` while bytes are missing.
    fn read_field(&mut self, buf: &[u8], at: usize, limits: &HeadLimits) -> Result<Option<usize>, Refusal> {
        let next = self.fields.read(buf, at, Feeds::Strict).map_err(bad_field)?;
        if self.fields.len() > limits.fields.min(FIELDS_MAX) {
            return Err(Refusal::HeadTooLarge);
        }
        let Some(field) = self.fields.newest().filter(|_| next.is_some()) else { return Ok(next) };
        match field.known {
            Name::Other => match Name::disguise(field.name.of(buf), field.is_spelt_oddly) {
                Disguise::None => {}
                Disguise::Dropped => field.dropped = true,
                Disguise::Refused => return Err(Refusal::FieldDisguised),
            },
            Name::ContentEncoding if framing::names_chunked(field.value.of(buf)) => {
                return Err(Refusal::EncodingMisplaced);
            }
            _ => {}
        }
        Ok(next)
    }

    fn apply_rules(&mut self, head: &[u8], target: Span) -> Result<(), Refusal> {
        self.check_method(head)?;
        let in_target = self.apply_target(head, target)?;
        self.apply_host(head, in_target)?;
        self.persistence = nominate(&mut self.fields, head);
        if self.persistence.nominates_framing || self.persistence.is_overlong {
            return Err(Refusal::ConnectionOption);
        }
        self.framing = framing::of_request(self.version, self.fields.values(head, Name::ContentLength), || {
            self.fields.values(head, Name::TransferEncoding)
        })?;
        if self.has_body() && self.method.of(head) == b"HEAD" {
            return Err(Refusal::BodyUnexpected);
        }
        let mut expectations = self.fields.values(head, Name::Expect).peekable();
        if self.version == Version::Http11 && expectations.peek().is_some() {
            if !expectations.all(|value| value.eq_ignore_ascii_case(b"100-continue")) {
                return Err(Refusal::Expectation);
            }
            self.expects_continue = self.has_body();
        }
        self.upgrade = self.wanted_upgrade(head);
        Ok(())
    }

    fn check_method(&self, head: &[u8]) -> Result<(), Refusal> {
        match self.method.of(head) {
            b"CONNECT" | b"TRACE" => Err(Refusal::Method),
            _ => Ok(()),
        }
    }

    /// Checks the target's form and answers the authority that it names, if any (RFC 9112 section 3.2).
    fn apply_target(&mut self, head: &[u8], whole: Span) -> Result<Option<Span>, Refusal> {
        let target = whole.of(head);
        if holds_nul_escape(target) {
            return Err(Refusal::TargetCharacter);
        }
        if target.starts_with(b"/") {
            self.target = whole;
            return Ok(None);
        }
        if target == b"*" {
            self.target = whole;
            return if self.method.of(head) == b"OPTIONS" { Ok(None) } else { Err(Refusal::Target) };
        }
        let scheme = [&b"http://"[..], b"https://"].into_iter().find(|s| starts_with_ignore_case(target, s));
        let start = scheme.ok_or(Refusal::Target)?.len();
        let length = target[start..].iter().position(|byte| matches!(byte, b'/' | b'?'));
        let end = length.map_or(target.len(), |length| start + length);
        let begun = whole.start as usize;
        let part = |from: usize, to: usize| Span::new(&(begun + from..begun + to));
        if !is_host(&target[start..end]) {
            return Err(Refusal::HostInvalid);
        }
        // A URL without a path leaves nothing, wherever that lies.
        self.target = if end == target.len() { Span::default() } else { part(end, target.len()) };
        Ok(Some(part(start, end)))
    }

    fn apply_host(&mut self, head: &[u8], in_target: Option<Span>) -> Result<(), Refusal> {
        let mut hosts = self.fields.named(Name::Host).map(|field| field.value);
        let host = match (hosts.next(), hosts.next()) {
            (_, Some(_)) => return Err(Refusal::HostDuplicate),
            (None, None) if self.version == Version::Http11 => return Err(Refusal::HostMissing),
            (host, None) => host,
        };
        if host.is_some_and(|host| !is_host(host.of(head))) {
            return Err(Refusal::HostInvalid);
        }
        self.authority = match (in_target, host) {
            (Some(target), Some(host))
                if !same_authority(target.of(head), host.of(head), implied_port(head, target)) =>
            {
                return Err(Refusal::HostMismatch);
            }
            (Some(target), _) => target,
            (None, host) => host.unwrap_or_default(),
        };
        Ok(())
    }

    fn wanted_upgrade(&self, head: &[u8]) -> Option<Span> {
        let asked = self.persistence.upgrade && self.version == Version::Http11 && !self.has_body();
        if !asked {
            return None;
        }
        let mut fields = self.fields.named(Name::Upgrade);
        match (fields.next(), fields.next()) {
            (Some(field), None) if !field.value.of(head).contains(&b',') => Some(field.value),
            _ => None,
        }
    }
}

/// Reads `Connection` and marks the fields that it nominates (RFC 9110 section 7.6.1).
fn nominate(fields: &mut Fields, head: &[u8]) -> Persistence {
    let (mut persistence, mut options) = (Persistence::default(), 0);
    if !fields.holds(Name::Connection) {
        return persistence;
    }
    for at in 0..fields.len() {
        if fields[at].known != Name::Connection {
            continue;
        }
        let value = fields[at].value.of(head);
        // Nearly all say only this.
        if value.len() == 10 && begins(value, b"keep-alive") {
            persistence.keep_alive = true;
            continue;
        }
        for option in value.split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            match option.len() {
                0 => {}
                5 if begins(option, b"close") => persistence.close = true,
                10 if begins(option, b"keep-alive") => persistence.keep_alive = true,
                7 if begins(option, b"upgrade") => persistence.upgrade = true,
                _ if options == OPTIONS_MAX => {
                    persistence.is_overlong = true;
                    return persistence;
                }
                _ => {
                    options += 1;
                    persistence.nominates_framing |=
                        matches!(Name::of(option), Name::Host | Name::ContentLength | Name::TransferEncoding);
                    let nominated = |field: &&mut Field| field.name.of(head).eq_ignore_ascii_case(option);
                    fields.iter_mut().filter(nominated).for_each(|field| field.dropped = true);
                }
            }
        }
    }
    persistence
}

/// One empty line before a request is forgiven (RFC 9112 section 2.2); a bare line feed is not.
fn leading_empty_line(buf: &[u8]) -> Result<usize, Refusal> {
    match buf {
        [b'\r', b'\n', b'\r' | b'\n', ..] | [b'\n', ..] => Err(Refusal::RequestLine),
        [b'\r', b'\n', ..] => Ok(2),
        [b'\r', other, ..] if *other != b'\n' => Err(Refusal::RequestLine),
        // Half an empty line so far.
        [b'\r'] => Ok(1),
        _ => Ok(0),
    }
}

/// Refuses a head that is at its limit and not whole, so that a caller does not wait for a time-out.
const fn still_fits(buf: &[u8], limits: &HeadLimits) -> Result<(), Refusal> {
    if buf.len() >= limits.bytes { Err(Refusal::HeadTooLarge) } else { Ok(()) }
}

const fn bad_field(bad: BadField) -> Refusal {
    match bad {
        BadField::Name => Refusal::FieldName,
        BadField::Value => Refusal::FieldValue,
        BadField::End => Refusal::LineEnd,
    }
}

fn starts_with_ignore_case(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The port of the scheme that stands before the authority of a target.
fn implied_port(head: &[u8], authority: Span) -> &'static [u8] {
    match head.get(..authority.start as usize) {
        Some([.., b's' | b'S', b':', b'/', b'/']) => b":443",
        _ => b":80",
    }
}

/// `%00` ends a path for upstreams written in C, whatever follows it.
fn holds_nul_escape(target: &[u8]) -> bool {
    memchr_iter(b'%', target).any(|at| target.get(at + 1..at + 3) == Some(b"00"))
}

#[cfg(test)]
mod tests;
