//! A wire between a router and an origin that remembers what the router wrote.
//!
//! # Why beside the origin's own record
//!
//! An origin tells what it understood. Whether that is what was sent, only the bytes can tell: so a test reads the same
//! bytes strictly and compares. And that nothing was sent can only be seen here.
//!
//! Not here: TLS, and any change to what passes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::http::{BodyReader, Framing, Head};
use crate::wait_until;

/// One request as it stands in the bytes of a connection, read strictly.
#[derive(Clone, Debug)]
pub struct Tapped {
    pub head: Head,
    pub body: Vec<u8>,
    pub trailers: Vec<String>,
}

impl Tapped {
    /// What the head took on the wire.
    pub fn head_bytes(&self) -> usize {
        self.head.bytes().len() + b"\r\n\r\n".len()
    }
}

#[derive(Debug, Default)]
struct Wire {
    has_carried: bool,
    /// The beginning of a request.
    pending: Vec<u8>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Memory {
    wires: Vec<Wire>,
    requests: Vec<Tapped>,
    bytes: usize,
}

impl Memory {
    fn carried(&mut self, at: usize, piece: &[u8]) {
        self.bytes += piece.len();
        let wire = &mut self.wires[at];
        wire.has_carried = true;
        wire.pending.extend_from_slice(piece);
        while let Some(request) = take_request(&mut wire.pending) {
            self.requests.push(request);
        }
    }
}

/// Splits a request off the front once it is there whole.
fn take_request(pending: &mut Vec<u8>) -> Option<Tapped> {
    let mut rest = pending.clone();
    let head = Head::take(&mut rest)?;
    let mut reader = BodyReader::new(Framing::of_request(&head));
    let mut body = Vec::new();
    reader.feed(&mut rest, &mut |piece| body.extend_from_slice(piece));
    if !reader.is_done() {
        return None;
    }
    *pending = rest;
    Some(Tapped { head, body, trailers: reader.trailers })
}

/// A running tap; it stops when dropped.
#[derive(Debug)]
pub struct Tap {
    pub address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
    accepting: JoinHandle<()>,
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Everything up to here was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    requests: usize,
    bytes: usize,
}

impl Tap {
    /// Listens on a free port for connections to `origin`.
    pub async fn start(origin: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let memory = Arc::<Mutex<Memory>>::default();
        let shared = Arc::clone(&memory);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let at = {
                    let mut memory = lock(&shared);
                    memory.wires.push(Wire::default());
                    memory.wires.len() - 1
                };
                tokio::spawn(relay(stream, origin, Arc::clone(&shared), at));
            }
        });
        Self { address, memory, accepting }
    }

    pub fn mark(&self) -> Mark {
        let memory = lock(&self.memory);
        Mark { requests: memory.requests.len(), bytes: memory.bytes }
    }

    /// How much the router wrote since.
    pub fn bytes_since(&self, mark: Mark) -> usize {
        lock(&self.memory).bytes - mark.bytes
    }

    /// Waits until no request is half written: each is whole, or its connection has ended.
    pub async fn settled(&self) {
        wait_until("what the router began to write is whole or aborted", || {
            lock(&self.memory).wires.iter().all(|wire| wire.closed || (wire.has_carried && wire.pending.is_empty()))
        })
        .await;
    }

    /// Waits until the router has closed every connection.
    pub async fn closed(&self) {
        wait_until("every connection has ended", || lock(&self.memory).wires.iter().all(|wire| wire.closed)).await;
    }

    /// Every whole request that the router wrote.
    pub fn all(&self) -> Vec<Tapped> {
        lock(&self.memory).requests.clone()
    }

    /// The whole requests that the router wrote since.
    pub fn requests_since(&self, mark: Mark) -> Vec<Tapped> {
        lock(&self.memory).requests[mark.requests..].to_vec()
    }
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().expect("no test panics while it holds this")
}

async fn relay(router: TcpStream, origin: SocketAddr, memory: Arc<Mutex<Memory>>, at: usize) {
    if let Ok(upstream) = TcpStream::connect(origin).await {
        let (_, _) = (router.set_nodelay(true), upstream.set_nodelay(true));
        let ((mut from, mut to), (mut answers, mut requests)) = (router.into_split(), upstream.into_split());
        let back = tokio::spawn(async move {
            let _ = tokio::io::copy(&mut answers, &mut to).await;
        });
        let mut piece = vec![0; 64 * 1024];
        while let Ok(n) = from.read(&mut piece).await {
            if n == 0 {
                break;
            }
            lock(&memory).carried(at, &piece[..n]);
            if requests.write_all(&piece[..n]).await.is_err() {
                break;
            }
        }
        back.abort();
    }
    lock(&memory).wires[at].closed = true;
}
