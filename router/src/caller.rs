//! The caller's side of one request, whatever the protocol version.
//!
//! [`crate::proxy`] and [`crate::forward`] know callers only by this trait, so that HTTP/2 needs an implementation of it
//! and nothing else.

use std::task::{Context, Poll};

use crate::body::{BodyError, Inbound, Outbound};
use crate::h1::conn::Conn;
use crate::h1::framing::{ChunkDecoder, Framing, Step};
use crate::h1::head::ResponseHead;
use crate::h1::write::{self, Relayed};
use crate::upstream::Own;

pub(crate) trait Caller: Inbound + Outbound {
    /// Starts the answer with an upstream's head; the body follows by [`Outbound`].
    fn begin_answer(&mut self, head: &ResponseHead, additions: &[u8], bodiless_length: Option<u64>, relayed: Relayed);

    /// Starts an answer that this router makes itself: head and body, framed already.
    fn begin_local(&mut self, write: &mut dyn FnMut(&mut Vec<u8>));

    /// Starts the answer 101, behind which the connection belongs to another protocol.
    fn begin_switch(&mut self, head: &ResponseHead, additions: &[u8], protocol: &[u8]);

    /// Passes on an interim answer; it is left out where the caller has not taken those before it, because it only advises.
    fn interim(&mut self, head: &ResponseHead);

    /// Tells a caller that waits for it to send its body.
    fn proceed(&mut self);

    /// Whether a caller that ends its direction still wants the answer to this request.
    fn allow_half_close(&mut self, allowed: bool);

    /// Resolves when the caller is gone. Only while no body is expected from it.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether bytes of the body are at hand already.
    fn has_buffered(&self) -> bool;

    /// Where its own connection to an upstream is kept.
    fn own(&mut self) -> &mut Own;

    /// Whether the whole body was received.
    fn has_received(&self) -> bool;

    /// The whole body, if it is not too long, without taking it: it is relayed later as if unread.
    fn poll_peek(&mut self, cx: &mut Context<'_>, peek: &mut Peek) -> Poll<Result<Option<Vec<u8>>, BodyError>>;

    /// From here on bytes go both ways as they are.
    fn begin_tunnel(&mut self);

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>>;

    /// Makes the end of this exchange one that cannot be taken for a clean one.
    fn reset(&mut self);
}

impl Caller for Conn {
    fn begin_answer(&mut self, head: &ResponseHead, additions: &[u8], bodiless_length: Option<u64>, relayed: Relayed) {
        let out = self.begin_send(relayed.framing);
        write::begin_response(out, head, bodiless_length);
        out.extend_from_slice(additions);
        write::end_response(out, relayed);
    }

    fn begin_local(&mut self, write: &mut dyn FnMut(&mut Vec<u8>)) {
        write(self.begin_send(Framing::None));
    }

    fn begin_switch(&mut self, head: &ResponseHead, additions: &[u8], protocol: &[u8]) {
        let out = self.begin_send(Framing::UntilClose);
        write::begin_response(out, head, None);
        out.extend_from_slice(additions);
        write::end_switch(out, protocol);
    }

    fn interim(&mut self, head: &ResponseHead) {
        if self.is_backed_up() {
            return;
        }
        let out = self.begin_send(Framing::None);
        write::begin_response(out, head, None);
        out.extend_from_slice(b"\r\n");
    }

    fn proceed(&mut self) {
        self.begin_send(Framing::None).extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    fn allow_half_close(&mut self, allowed: bool) {
        Conn::allow_half_close(self, allowed);
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Conn::poll_gone(self, cx)
    }

    fn has_buffered(&self) -> bool {
        !self.pending().is_empty()
    }

    fn own(&mut self) -> &mut Own {
        &mut self.own
    }

    fn has_received(&self) -> bool {
        Conn::has_received(self)
    }

    fn poll_peek(&mut self, cx: &mut Context<'_>, peek: &mut Peek) -> Poll<Result<Option<Vec<u8>>, BodyError>> {
        loop {
            match peek.read(self.pending())? {
                Peeked::Whole(body) => return Poll::Ready(Ok(Some(body))),
                Peeked::TooLong => return Poll::Ready(Ok(None)),
                Peeked::Partial => {}
            }
            if std::task::ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(Err(BodyError::Truncated));
            }
        }
    }

    fn begin_tunnel(&mut self) {
        self.begin_receive(Framing::UntilClose);
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Conn::poll_shutdown(self, cx)
    }

    fn reset(&mut self) {
        Conn::reset_when_dropped(self);
    }
}

enum Peeked {
    Whole(Vec<u8>),
    Partial,
    TooLong,
}

/// A body as far as it was looked at before it is taken: what comes in pieces is decoded once.
#[derive(Debug)]
pub(crate) struct Peek {
    framing: Framing,
    bytes_max: usize,
    decoder: ChunkDecoder,
    /// What the decoder has read of what was received, and the body in it.
    read: usize,
    body: Vec<u8>,
}

impl Peek {
    pub(crate) fn new(framing: Framing, bytes_max: usize) -> Self {
        Self { framing, bytes_max, decoder: ChunkDecoder::default(), read: 0, body: Vec::new() }
    }

    /// Whether it is known without reading that the body is longer than what is looked at.
    pub(crate) const fn is_too_long(&self) -> bool {
        match self.framing {
            Framing::Length(length) => length > self.bytes_max as u64,
            Framing::UntilClose => true,
            Framing::None | Framing::Chunked => false,
        }
    }

    /// Decodes the body at the start of what has been received, all of it since the first time.
    fn read(&mut self, received: &[u8]) -> Result<Peeked, BodyError> {
        match self.framing {
            _ if self.is_too_long() => Ok(Peeked::TooLong),
            Framing::None | Framing::UntilClose => Ok(Peeked::Whole(Vec::new())),
            Framing::Length(length) => {
                let body = usize::try_from(length).ok().and_then(|length| received.get(..length));
                Ok(body.map_or(Peeked::Partial, |body| Peeked::Whole(body.to_vec())))
            }
            Framing::Chunked => self.read_chunks(received),
        }
    }

    /// Too much framing is too long as well, whatever the pieces in which it came.
    fn read_chunks(&mut self, received: &[u8]) -> Result<Peeked, BodyError> {
        loop {
            let step = self.decoder.step(received.get(self.read..).unwrap_or_default())?;
            let (Step::More { skip } | Step::Data { skip, .. } | Step::End { skip }) = step;
            self.read += skip;
            if let Step::Data { len, .. } = step {
                self.body.extend_from_slice(&received[self.read..self.read + len]);
                self.read += len;
                self.decoder.took(len);
            }
            if self.body.len() > self.bytes_max || self.read > 2 * self.bytes_max {
                return Ok(Peeked::TooLong);
            }
            match step {
                Step::Data { .. } => {}
                Step::More { .. } => return Ok(Peeked::Partial),
                Step::End { .. } => return Ok(Peeked::Whole(std::mem::take(&mut self.body))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a body in pieces of every size, and expects the same of each.
    #[track_caller]
    fn check(framing: Framing, received: &str, expected: Option<&str>) {
        for size in 1..=received.len().max(1) {
            let mut peek = Peek::new(framing, 16);
            let ends = (0..received.len()).step_by(size).chain([received.len()]);
            let last = ends
                .map(|end| peek.read(&received.as_bytes()[..end]))
                .find(|read| !matches!(read, Ok(Peeked::Partial)));
            let body = match last {
                Some(Ok(Peeked::Whole(body))) => Some(String::from_utf8(body).unwrap()),
                Some(Ok(Peeked::TooLong)) => Some("too long".into()),
                Some(Err(error)) => Some(error.to_string()),
                Some(Ok(Peeked::Partial)) | None => None,
            };
            assert_eq!(body.as_deref(), expected, "{received:?} in pieces of {size}");
        }
    }

    #[test]
    fn a_body_is_looked_at_in_any_pieces() {
        check(Framing::None, "GET", Some(""));
        check(Framing::Length(5), "helloGET", Some("hello"));
        check(Framing::Length(5), "hell", None);
        check(Framing::Length(17), "", Some("too long"));
        check(Framing::Chunked, "2\r\nhe\r\n3;a\r\nllo\r\n0\r\nX: 1\r\n\r\nGET", Some("hello"));
        check(Framing::Chunked, "2\r\nhe\r\n3\r\nll", None);
        check(Framing::Chunked, "11\r\nhello all of you!\r\n0\r\n\r\n", Some("too long"));
        check(Framing::Chunked, "2;a=bcdefghijklmnopqrstuvwxyz\r\nhe\r\n0\r\n\r\n", Some("too long"));
        check(Framing::Chunked, "2\r\nhex", Some("a chunk is malformed"));
        check(Framing::Chunked, "2\r\nhe\r\n0\r\nX : 1\r\n\r\n", Some("a trailer field is malformed"));
    }
}
