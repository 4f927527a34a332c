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

pub(crate) trait Caller: Inbound + Outbound {
    /// Starts the answer with an upstream's head; the body follows by [`Outbound`].
    fn begin_answer(&mut self, head: &ResponseHead, additions: &[u8], bodiless_length: Option<u64>, relayed: Relayed);

    /// Starts an answer that this router makes itself: head and body, framed already.
    fn begin_local(&mut self, write: &mut dyn FnMut(&mut Vec<u8>));

    /// Starts the answer 101, behind which the connection belongs to another protocol.
    fn begin_switch(&mut self, head: &ResponseHead, additions: &[u8], protocol: &[u8]);

    /// Passes on an interim answer.
    fn interim(&mut self, head: &ResponseHead);

    /// Tells a caller that waits for it to send its body.
    fn proceed(&mut self);

    /// Whether a caller that ends its direction still wants the answer to this request.
    fn allow_half_close(&mut self, allowed: bool);

    /// Resolves when the caller is gone. Only while no body is expected from it.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether bytes of the body are at hand already.
    fn has_buffered(&self) -> bool;

    /// Whether the whole body was received.
    fn has_received(&self) -> bool;

    /// The whole body, if it is at most `bytes_max` long, without taking it: it is relayed later as if unread.
    fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        framing: Framing,
        bytes_max: usize,
    ) -> Poll<Result<Option<Vec<u8>>, BodyError>>;

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

    fn has_received(&self) -> bool {
        Conn::has_received(self)
    }

    fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        framing: Framing,
        bytes_max: usize,
    ) -> Poll<Result<Option<Vec<u8>>, BodyError>> {
        loop {
            match peek(self.pending(), framing, bytes_max)? {
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

/// Decodes a body from the start of what has been received.
fn peek(received: &[u8], framing: Framing, bytes_max: usize) -> Result<Peeked, BodyError> {
    match framing {
        Framing::None => Ok(Peeked::Whole(Vec::new())),
        Framing::UntilClose => Ok(Peeked::TooLong),
        Framing::Length(length) => match usize::try_from(length).ok().filter(|length| *length <= bytes_max) {
            None => Ok(Peeked::TooLong),
            Some(length) => Ok(received.get(..length).map_or(Peeked::Partial, |body| Peeked::Whole(body.to_vec()))),
        },
        Framing::Chunked => {
            let mut decoder = ChunkDecoder::default();
            let (mut body, mut at) = (Vec::new(), 0);
            loop {
                match decoder.step(&received[at..]).map_err(|_| BodyError::Chunk)? {
                    Step::Data { skip, len } => {
                        body.extend_from_slice(&received[at + skip..at + skip + len]);
                        at += skip + len;
                        decoder.took(len);
                    }
                    Step::End { .. } => return Ok(Peeked::Whole(body)),
                    Step::More { .. } if received.len() > 2 * bytes_max => return Ok(Peeked::TooLong),
                    Step::More { .. } => return Ok(Peeked::Partial),
                }
                if body.len() > bytes_max {
                    return Ok(Peeked::TooLong);
                }
            }
        }
    }
}
