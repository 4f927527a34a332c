//! The one abstraction of a message body, and the relay of one from where it arrives to where it goes.
//!
//! # Why polled by hand
//!
//! An upload and its answer move at the same time over the same two connections. As two futures they would each borrow
//! both; as two small state machines polled in turn by the request's own task they borrow nothing, cost no allocation, and
//! can be stopped between any two bytes.
//!
//! Whatever the protocol version, a side that receives is an [`Inbound`] and a side that sends an [`Outbound`].

use std::io;
use std::task::{Context, Poll, ready};

use thiserror::Error;

use crate::h1::framing::ChunkError;
use crate::mirror::Tee;

/// Why a body did not arrive whole.
#[derive(Debug, Error)]
pub(crate) enum BodyError {
    #[error("the connection closed before the end of the body")]
    Truncated,
    #[error("a chunk is malformed")]
    Chunk,
    #[error("a trailer field is malformed")]
    Trailer,
    #[error("the body is larger than allowed")]
    TooLarge,
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

impl From<ChunkError> for BodyError {
    fn from(error: ChunkError) -> Self {
        match error {
            ChunkError::Chunk => Self::Chunk,
            ChunkError::Trailer => Self::Trailer,
        }
    }
}

/// What [`Inbound::poll_fill`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// [`Inbound::data`] is not empty.
    Data,
    End,
}

/// Receives one message body.
pub(crate) trait Inbound {
    /// Makes body bytes available, or reports that there are no more.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, BodyError>>;

    /// Whether [`Self::poll_fill`] had to wait, will wake its task, and has had no reason to so far.
    fn is_silent(&self) -> bool;

    /// The body bytes at hand.
    fn data(&self) -> &[u8];

    /// `bytes` of [`Self::data`] were used.
    fn consume(&mut self, bytes: usize);

    /// After the end: trailer fields as lines that end with CRLF.
    fn trailers(&self) -> &[u8];
}

/// Sends one message body behind a head that may still be waiting to leave.
pub(crate) trait Outbound {
    /// Takes some of `data`; answers how much.
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;

    /// Sends everything that waits.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the body, once, and sends everything that waits.
    fn poll_finish(&mut self, cx: &mut Context<'_>, trailers: &[u8]) -> Poll<io::Result<()>>;
}

/// Which end of a relay failed; the reactions differ.
#[derive(Debug, Error)]
pub(crate) enum RelayError {
    #[error("{0}")]
    Source(#[source] BodyError),
    #[error("{0}")]
    Sink(#[source] io::Error),
}

/// What a body that did not go on waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wait {
    #[default]
    Nothing,
    /// And the sink has everything that there was.
    Source,
    Sink,
}

/// The progress of one body on its way.
#[derive(Debug, Default)]
pub(crate) struct Relay {
    ended: bool,
    finished: bool,
    /// Body bytes that were handed on.
    pub(crate) bytes: u64,
    /// More than this is refused.
    bytes_max: Option<u64>,
    wait: Wait,
}

impl Relay {
    pub(crate) fn limited(bytes_max: Option<u64>) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    pub(crate) const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether the last poll ended because the sink takes no more: then a pause is the sink's doing and not the source's.
    pub(crate) const fn waits_for_sink(&self) -> bool {
        matches!(self.wait, Wait::Sink)
    }

    /// Moves what can be moved. `moved` is set when anything did, which postpones idle time-outs; the tee sees what was handed on.
    pub(crate) fn poll<S: Inbound, D: Outbound>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        sink: &mut D,
        moved: &mut bool,
        tee: Option<&Tee>,
    ) -> Poll<Result<(), RelayError>> {
        // Most that wakes a task with two directions concerns only one of them.
        if self.wait == Wait::Source && source.is_silent() {
            return Poll::Pending;
        }
        self.wait = Wait::Sink;
        while !self.ended {
            match source.poll_fill(cx).map_err(RelayError::Source)? {
                Poll::Ready(Filled::End) => self.ended = true,
                Poll::Ready(Filled::Data) => {
                    let data = source.data();
                    if self.bytes_max.is_some_and(|max| self.bytes + data.len() as u64 > max) {
                        return Poll::Ready(Err(RelayError::Source(BodyError::TooLarge)));
                    }
                    let taken = ready!(sink.poll_send(cx, data)).map_err(RelayError::Sink)?;
                    if let Some(tee) = tee {
                        tee.saw(&data[..taken]);
                    }
                    source.consume(taken);
                    self.bytes += taken as u64;
                    *moved = true;
                }
                Poll::Pending => {
                    // What has arrived must not wait for what has not.
                    ready!(sink.poll_flush(cx)).map_err(RelayError::Sink)?;
                    self.wait = Wait::Source;
                    return Poll::Pending;
                }
            }
        }
        if !self.finished {
            ready!(sink.poll_finish(cx, source.trailers())).map_err(RelayError::Sink)?;
            self.finished = true;
            *moved = true;
        }
        Poll::Ready(Ok(()))
    }
}
