//! The head of an answer: what an upstream says, judged by the same rules as a request.

use super::line::status_line;
use super::{FIELDS_MAX, Fields, HeadLimits, Name, Persistence, Span, Version, nominate};
use crate::h1::framing::{self, Framing};
use crate::h1::refusal::BadAnswer;

/// An answer's head that follows the rules.
#[derive(Debug, Default)]
pub struct ResponseHead {
    pub bytes: Vec<u8>,
    pub fields: Fields,
    pub status: u16,
    pub reason: Span,
    /// The status line with its end, where it already is what would be written; empty otherwise.
    pub(in crate::h1) line: Span,
    pub version: Version,
    pub framing: Framing,
    pub persistence: Persistence,
    /// Whether every reader would agree on where the message ends.
    pub unambiguous: bool,
    /// Whether the connection may serve another request after this one.
    pub reusable: bool,
}

impl ResponseHead {
    pub fn get(&self, known: Name) -> Option<&[u8]> {
        self.fields.values(&self.bytes, known).next()
    }

    /// Parses the head at the start of `buf`, the answer to a request with this method.
    ///
    /// The ranges refer to `buf[..length]`, which the caller moves into [`Self::bytes`].
    pub fn parse(&mut self, buf: &[u8], to_head: bool, limits: &HeadLimits) -> Result<Option<usize>, BadAnswer> {
        self.bytes.clear();
        self.fields.clear();
        // What lies beyond the limit must not decide why a head is refused, because it may not have come yet.
        let within = &buf[..buf.len().min(limits.bytes)];
        let Some(length) = self.read(within, limits)? else {
            return if buf.len() < limits.bytes { Ok(None) } else { Err(BadAnswer::TooLarge) };
        };
        self.judge(&buf[..length], to_head)?;
        Ok(Some(length))
    }

    /// Reads the lines; the length of the head, or `None` while bytes are missing.
    fn read(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Option<usize>, BadAnswer> {
        // Some servers write an empty line behind a body that had none to have.
        let mut at = buf.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(buf.len());
        let Some(line) = status_line(buf, at).map_err(|_| BadAnswer::Head)? else { return Ok(None) };
        (self.version, self.status, self.reason) = (line.version, line.status, line.reason);
        self.line = if line.is_plain { Span::new(&(at..line.next)) } else { Span::default() };
        at = line.next;
        loop {
            match &buf[at..] {
                [b'\r', b'\n', ..] => return Ok(Some(at + 2)),
                [b'\n', ..] => return Ok(Some(at + 1)),
                _ => {}
            }
            let next = self.fields.read_of_answer(buf, at).map_err(|_| BadAnswer::Head)?;
            if self.fields.len() > limits.fields.min(FIELDS_MAX) {
                return Err(BadAnswer::TooLarge);
            }
            match next {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
    }

    fn judge(&mut self, head: &[u8], to_head: bool) -> Result<(), BadAnswer> {
        self.persistence = nominate(&mut self.fields, head);
        if self.persistence.is_overlong {
            return Err(BadAnswer::TooLarge);
        }
        let lengths = || self.fields.values(head, Name::ContentLength);
        let encodings = || self.fields.values(head, Name::TransferEncoding);
        let framed = framing::of_response(self.version, self.status, to_head, lengths, encodings)?;
        self.framing = framed.framing;
        // Behind a framing name only white space is odd, and there are readers to whom that is another field.
        let is_odd = |known| self.fields.named(known).any(|field| field.is_spelt_oddly);
        let is_spaced = self.fields.is_spaced && (is_odd(Name::ContentLength) || is_odd(Name::TransferEncoding));
        self.unambiguous = framed.unambiguous && !is_spaced;
        let stays = match self.version {
            Version::Http11 => !self.persistence.close,
            Version::Http10 => self.persistence.keep_alive && !self.persistence.close,
        };
        let ends_clearly = self.unambiguous && self.framing != Framing::UntilClose;
        // Behind a 101 the connection speaks another protocol.
        let is_clean = self.status != 101 && !(self.status == 204 && announces_body(&self.fields, head));
        self.reusable = stays && ends_clearly && is_clean;
        Ok(())
    }

    /// The length that an answer without a body declares: what GET would have had, in an answer to HEAD and in 304.
    pub fn bodiless_length(&self, to_head: bool) -> Option<u64> {
        let may = (to_head || self.status == 304) && self.status != 204;
        // Beside an encoding a length says nothing.
        let declares = self.framing == Framing::None && may && self.unambiguous;
        let lengths = self.fields.values(&self.bytes, Name::ContentLength);
        if declares { framing::response_length(lengths).ok().flatten() } else { None }
    }

    /// Whether an answer that has no body, by its status or because it answers HEAD, announces one nevertheless.
    ///
    /// HEAD and 304 may (RFC 9110 section 8.6), and some servers then do send the body, late.
    pub fn announces_absent_body(&self) -> bool {
        self.framing == Framing::None && announces_body(&self.fields, &self.bytes)
    }

    /// Whether `Upgrade` names this protocol and no other (RFC 9110 section 15.2.2).
    pub fn switches_to(&self, protocol: &[u8]) -> bool {
        let mut named = self.fields.values(&self.bytes, Name::Upgrade);
        named.next().is_some_and(|name| name.eq_ignore_ascii_case(protocol)) && named.next().is_none()
    }

    /// Whether this only announces the real answer (RFC 9110 section 15.2).
    pub const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

fn announces_body(fields: &Fields, bytes: &[u8]) -> bool {
    let length = framing::response_length(fields.values(bytes, Name::ContentLength));
    fields.holds(Name::TransferEncoding) || matches!(length, Ok(Some(1..)))
}
