//! One TCP connection that speaks HTTP/1.1: the thin I/O over the pure parts, for both sides.
//!
//! # Why one type for both sides
//!
//! A caller's connection receives requests and sends answers, an upstream's does the reverse; reading a body, framing
//! another and holding no buffer while idle is the same work. `client_side` and `forward` add what
//! differs.
//!
//! Buffers are borrowed from the worker when bytes are at hand and returned when they are used, so an idle connection owns
//! none. Head and first body bytes leave in one write.
//!
//! The socket is tried before its readiness is asked for: mostly it is ready, and asking costs more than trying. Sockets
//! are read and written by the bare system calls, because libc's are points of cancellation, which a process with several
//! threads pays for at each call.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio::task::coop;

use super::framing::{ChunkDecoder, Framing, Step};
use super::write;
use crate::body::{BodyError, Filled, Inbound, Outbound};
use crate::buffers::{BUFFER_BYTES, Buffers};
use crate::upstream::Own;

/// Bytes that may wait to be written before a body is held back.
const WAITING_BYTES_MAX: usize = 2 * BUFFER_BYTES;

/// The body that is being received.
#[derive(Debug, Default)]
enum Receiving {
    #[default]
    Nothing,
    Length(u64),
    Chunked(ChunkDecoder),
    UntilClose,
}

/// What the end of the peer's direction means while an answer is on its way to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum HalfClose {
    /// The peer has gone.
    #[default]
    Gone,
    /// The peer has said everything, and listens.
    Listens,
    /// As before, and it has come.
    Seen,
}

#[derive(Debug)]
pub(crate) struct Conn {
    io: TcpStream,
    buffers: Rc<Buffers>,
    buf: Vec<u8>,
    start: usize,
    /// How many bytes from `start` are body, as [`Inbound::poll_fill`] found.
    piece: usize,
    receiving: Receiving,
    /// The socket had nothing to read and wakes the task that receives this message.
    waits: bool,
    out: Vec<u8>,
    sent: usize,
    sending: Framing,
    ended: bool,
    half_close: HalfClose,
    /// A caller's own connection to an upstream, where it has one.
    pub(crate) own: Own,
    /// An upstream knows one caller by it, and it serves no other.
    pub(crate) is_bound: bool,
    /// Bytes that reached the socket since [`Self::begin_send`]; 0 proves that nothing was sent.
    pub(crate) written: u64,
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.buffers.give(std::mem::take(&mut self.buf));
        self.buffers.give(std::mem::take(&mut self.out));
    }
}

impl Conn {
    pub(crate) fn new(io: TcpStream, buffers: Rc<Buffers>) -> Self {
        Self {
            io,
            buffers,
            buf: Vec::new(),
            start: 0,
            piece: 0,
            receiving: Receiving::Nothing,
            waits: false,
            out: Vec::new(),
            sent: 0,
            sending: Framing::None,
            ended: false,
            half_close: HalfClose::Gone,
            own: None,
            is_bound: false,
            written: 0,
        }
    }

    /// Whether a peer that ends its direction still wants the answer.
    pub(crate) fn allow_half_close(&mut self, allowed: bool) {
        self.half_close = if allowed { HalfClose::Listens } else { HalfClose::Gone };
    }

    /// Bytes received and not used.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    fn skip(&mut self, bytes: usize) {
        self.start += bytes;
        if self.start >= self.buf.len() {
            self.start = 0;
            self.buf.clear();
        }
    }

    /// Forgets what was received and not used.
    pub(crate) fn discard_pending(&mut self) {
        self.start = 0;
        self.piece = 0;
        self.buf.clear();
    }

    /// Gives the read buffer back when it holds nothing.
    pub(crate) fn release(&mut self) {
        if self.buf.is_empty() && self.buf.capacity() > 0 {
            self.buffers.give(std::mem::take(&mut self.buf));
        }
    }

    /// Reads once. 0 is the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            if self.is_readable() {
                // Who always finds something to read yields in turn, so that one connection cannot hold its worker.
                let turn = ready!(coop::poll_proceed(cx));
                match self.try_read() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => {
                        self.waits = false;
                        turn.made_progress();
                        return Poll::Ready(done);
                    }
                }
            }
            if self.io.poll_read_ready(cx)?.is_pending() {
                // A task that has had its turn is told to come back, and nothing is registered.
                self.waits = coop::has_budget_remaining();
                self.release();
                return Poll::Pending;
            }
        }
    }

    fn try_read(&mut self) -> io::Result<usize> {
        let Self { io, buffers, buf, start, .. } = self;
        io.try_io(Interest::READABLE, || {
            if buf.capacity() == 0 {
                *buf = buffers.take();
            } else if buf.capacity() - buf.len() < BUFFER_BYTES / 4 {
                buf.drain(..*start);
                *start = 0;
                buf.reserve(BUFFER_BYTES / 2);
            }
            let room = buf.capacity() - buf.len();
            let (_, read) = recv(&*io, spare_capacity(buf), RecvFlags::empty())?;
            Ok((read, read < room))
        })
        .map(|(read, drained)| {
            // The readiness that remains would be believed once more, for a read that finds nothing.
            if drained && read > 0 {
                let _ = self.io.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
            }
            read
        })
    }

    /// Resolves when the peer is gone. Bytes that it sends ahead are kept, up to a buffer.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Behind the end of its direction a peer that is gone shows only when it is written to.
        while self.buf.len() < BUFFER_BYTES && self.half_close != HalfClose::Seen {
            match ready!(self.poll_read(cx)) {
                Ok(0) if self.half_close == HalfClose::Listens => self.half_close = HalfClose::Seen,
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// Whether anything happened to a connection on which nothing should: bytes or its end.
    pub(crate) fn is_disturbed(&self) -> bool {
        !self.buf.is_empty() || self.is_readable()
    }

    /// Whether the socket was reported as readable and not yet found empty; asks no one.
    fn is_readable(&self) -> bool {
        self.io.try_io(Interest::READABLE, || Ok(())).is_ok()
    }

    /// Moves a complete head of `length` bytes out of the read buffer: into memory of its own size, which it has for as long
    /// as its request takes, while the buffer goes round among all connections and stays in the cache.
    pub(crate) fn take_head(&mut self, length: usize, into: &mut Vec<u8>) {
        into.clear();
        let end = self.start + length;
        into.extend_from_slice(&self.buf[self.start..end]);
        self.skip(length);
    }

    /// The body behind the head that was just taken has this framing.
    pub(crate) fn begin_receive(&mut self, framing: Framing) {
        self.piece = 0;
        self.waits = false;
        self.receiving = match framing {
            Framing::None => Receiving::Nothing,
            Framing::Length(length) => Receiving::Length(length),
            Framing::Chunked => Receiving::Chunked(ChunkDecoder::default()),
            Framing::UntilClose => Receiving::UntilClose,
        };
    }

    /// The same of an answer.
    pub(crate) fn begin_receive_answer(&mut self, framing: Framing) {
        self.begin_receive(framing);
        if framing == Framing::Chunked {
            self.receiving = Receiving::Chunked(ChunkDecoder::of_answer());
        }
    }

    /// Whether the whole body was received and used.
    pub(crate) const fn has_received(&self) -> bool {
        match &self.receiving {
            Receiving::Nothing | Receiving::Length(0) => true,
            Receiving::Chunked(decoder) => decoder.is_done(),
            Receiving::Length(_) | Receiving::UntilClose => false,
        }
    }

    /// Starts a message: the caller writes its head into the answer, the body follows with this framing.
    pub(crate) fn begin_send(&mut self, framing: Framing) -> &mut Vec<u8> {
        if self.out.capacity() == 0 {
            self.out = self.buffers.take();
        }
        self.sending = framing;
        self.ended = false;
        self.written = 0;
        &mut self.out
    }

    /// Whether so much waits to be written that what can be done without should be.
    ///
    /// What was sent counts as long as its room is held, which is until all has been sent.
    pub(crate) const fn is_backed_up(&self) -> bool {
        self.out.len() >= WAITING_BYTES_MAX
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = ready!(poll_write_once(&self.io, cx, data))?;
        self.written += wrote as u64;
        Poll::Ready(Ok(wrote))
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            let wrote = ready!(poll_write_once(&self.io, cx, &self.out[self.sent..]))?;
            self.written += wrote as u64;
            self.sent += wrote;
        }
        self.sent = 0;
        self.out.clear();
        Poll::Ready(Ok(()))
    }

    /// Ends the connection with a reset: for a body whose end is the connection's, and which is not whole.
    pub(crate) fn reset_when_dropped(&self) {
        // If it cannot be set, the connection ends as any other.
        let _ = socket2::SockRef::from(&self.io).set_linger(Some(std::time::Duration::ZERO));
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn poll_write_once(io: &TcpStream, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
    loop {
        match io.try_io(Interest::WRITABLE, || Ok(send(io, data, SendFlags::NOSIGNAL)?)) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(io.poll_write_ready(cx))?,
            done => return Poll::Ready(done),
        }
    }
}

impl Inbound for Conn {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, BodyError>> {
        loop {
            let at_hand = self.buf.len() - self.start;
            match &mut self.receiving {
                Receiving::Nothing | Receiving::Length(0) => return Poll::Ready(Ok(Filled::End)),
                Receiving::Length(remaining) if at_hand > 0 => {
                    self.piece = at_hand.min(usize::try_from(*remaining).unwrap_or(usize::MAX));
                    return Poll::Ready(Ok(Filled::Data));
                }
                Receiving::UntilClose if at_hand > 0 => {
                    self.piece = at_hand;
                    return Poll::Ready(Ok(Filled::Data));
                }
                Receiving::Length(_) | Receiving::UntilClose => {}
                Receiving::Chunked(decoder) => match decoder.step(&self.buf[self.start..])? {
                    Step::More { skip } => self.skip(skip),
                    Step::Data { skip, len } => {
                        self.skip(skip);
                        self.piece = len;
                        return Poll::Ready(Ok(Filled::Data));
                    }
                    Step::End { skip } => {
                        self.skip(skip);
                        return Poll::Ready(Ok(Filled::End));
                    }
                },
            }
            if ready!(self.poll_read(cx))? == 0 {
                return match self.receiving {
                    Receiving::UntilClose => Poll::Ready(Ok(Filled::End)),
                    _ => Poll::Ready(Err(BodyError::Truncated)),
                };
            }
        }
    }

    fn is_silent(&self) -> bool {
        self.waits && !self.is_readable()
    }

    fn data(&self) -> &[u8] {
        &self.buf[self.start..self.start + self.piece]
    }

    fn consume(&mut self, bytes: usize) {
        match &mut self.receiving {
            Receiving::Length(remaining) => *remaining -= bytes as u64,
            Receiving::Chunked(decoder) => decoder.took(bytes),
            Receiving::Nothing | Receiving::UntilClose => {}
        }
        self.piece -= bytes;
        self.skip(bytes);
    }

    fn trailers(&self) -> &[u8] {
        match &self.receiving {
            Receiving::Chunked(decoder) => decoder.trailers(),
            Receiving::Nothing | Receiving::Length(_) | Receiving::UntilClose => &[],
        }
    }
}

impl Outbound for Conn {
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.sending == Framing::Chunked {
            if self.out.len() - self.sent >= WAITING_BYTES_MAX {
                ready!(self.poll_write_out(cx))?;
            }
            if self.out.capacity() == 0 {
                self.out = self.buffers.take();
            }
            write::chunk(&mut self.out, data);
            return Poll::Ready(Ok(data.len()));
        }
        if self.out.is_empty() {
            return self.poll_write(cx, data);
        }
        if self.out.len() - self.sent + data.len() > WAITING_BYTES_MAX {
            ready!(self.poll_write_out(cx))?;
            return self.poll_write(cx, data);
        }
        self.out.extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        if self.out.capacity() > 0 {
            self.buffers.give(std::mem::take(&mut self.out));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, trailers: &[u8]) -> Poll<io::Result<()>> {
        if !self.ended {
            self.ended = true;
            if self.sending == Framing::Chunked {
                if self.out.capacity() == 0 {
                    self.out = self.buffers.take();
                }
                write::last_chunk(&mut self.out, trailers);
            }
        }
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::caller::Caller;
    use crate::h1::head::{HeadLimits, ResponseHead};

    /// Ten thousand tunnels that were used once must not keep ten thousand buffers.
    #[tokio::test]
    async fn a_connection_that_waits_owns_no_buffer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut conn = Conn::new(listener.accept().await.unwrap().0, Rc::default());
        for _ in 0..2 {
            peer.write_all(b"hello").await.unwrap();
            std::future::poll_fn(|cx| conn.poll_read(cx)).await.unwrap();
            assert_eq!(conn.pending(), b"hello");
            conn.skip(5);
            let waits = std::future::poll_fn(|cx| Poll::Ready(conn.poll_read(cx).is_pending())).await;
            assert!(waits && conn.buf.capacity() == 0, "{} bytes are held", conn.buf.capacity());
        }
    }

    /// An upstream that announces its answer for ever must not fill the memory of a caller that does not read.
    #[tokio::test]
    async fn what_only_advises_is_held_for_a_caller_up_to_a_bound() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut conn = Conn::new(listener.accept().await.unwrap().0, Rc::default());
        let bytes = format!("HTTP/1.1 103 Early Hints\r\nLink: <{}>\r\n\r\n", "x".repeat(1_000)).into_bytes();
        let mut hint = ResponseHead::default();
        let limits = HeadLimits { bytes: 65_536, fields: 100, target: 8_192 };
        assert_eq!(hint.parse(&bytes, false, &limits), Ok(Some(bytes.len())));
        hint.bytes.clone_from(&bytes);
        (0..1_000).for_each(|_| Caller::interim(&mut conn, &hint));
        let held = conn.out.len();
        assert!(held >= WAITING_BYTES_MAX && held < WAITING_BYTES_MAX + bytes.len(), "{held} bytes are held");
        assert_eq!(held % bytes.len(), 0, "each is held whole or not at all");
        std::future::poll_fn(|cx| conn.poll_flush(cx)).await.unwrap();
        Caller::interim(&mut conn, &hint);
        assert_eq!(conn.out.len(), bytes.len(), "once they have gone there is room again");
        peer.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_is_silent_while_it_waits_and_will_be_woken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut conn = Conn::new(listener.accept().await.unwrap().0, Rc::default());
        conn.begin_receive(Framing::UntilClose);
        assert!(!conn.is_silent(), "nothing was asked for yet");
        std::future::poll_fn(|cx| {
            // What a task without budget asks for is not registered.
            while let Poll::Ready(turn) = coop::poll_proceed(cx) {
                turn.made_progress();
            }
            assert!(conn.poll_fill(cx).is_pending() && !conn.is_silent());
            Poll::Ready(())
        })
        .await;
        tokio::task::yield_now().await;
        let waits = std::future::poll_fn(|cx| Poll::Ready(conn.poll_fill(cx).is_pending())).await;
        assert!(waits && conn.is_silent());
        peer.write_all(b"hello").await.unwrap();
        conn.io.readable().await.unwrap();
        assert!(!conn.is_silent(), "bytes have arrived");
        assert_eq!(std::future::poll_fn(|cx| conn.poll_fill(cx)).await.unwrap(), Filled::Data);
        assert_eq!(conn.data(), b"hello");
    }
}
