//! A backend that misbehaves on demand and remembers every byte it was sent.
//!
//! # Why a script of steps
//!
//! What a proxy gets wrong is a matter of order: an answer before the upload ends, a close between head
//! and body, a head that comes in two pieces. So a test writes the order down, as [`Step`]s for a path;
//! a path without a script reads the request and answers 200 with the backend's name as the body.
//!
//! Limits: it remembers the first MiB of each connection and of each body.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::http::{BodyReader, Framing, Head};
pub use crate::ports::{BlackHole, FullBacklog, refused_address};
use crate::{wait_for, wait_until};

const REMEMBERED_BYTES_MAX: usize = 1 << 20;

/// One thing a backend does with a request whose head it has read.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads the body to the end that its framing promises.
    ReadBody,
    /// Reads this many bytes of the body (or a little more) and leaves the rest unread.
    ReadSome(u64),
    /// Sends these bytes as they are.
    Send(Vec<u8>),
    /// Sends what this makes of the backend's name and the request's head.
    Answer(fn(&str, &Head) -> Vec<u8>),
    /// Sends this many bytes of filler.
    SendFiller(u64),
    /// Sends these bytes one by one, each after a pause.
    Drip(Vec<u8>, Duration),
    /// Answers later.
    Wait(Duration),
    /// Waits until the test calls [`Backend::release`].
    AwaitRelease,
    /// Sends back whatever arrives, until the peer closes.
    Echo,
    /// Waits until the peer closes or aborts.
    AwaitClose,
    /// Counts what arrives as the body until the peer ends its direction, and goes on.
    AwaitEnd,
    /// Ends our direction of the connection.
    ShutDown,
    /// Closes the connection.
    Close,
    /// Closes the connection with a reset.
    Reset,
}

impl Step {
    pub fn send(text: impl Into<Vec<u8>>) -> Self {
        Self::Send(text.into())
    }
}

/// The steps of a backend that reads a request whole and then sends these bytes.
pub fn answers(bytes: impl Into<Vec<u8>>) -> Vec<Step> {
    vec![Step::ReadBody, Step::send(bytes)]
}

/// A whole response with a status and a body, framed by its length.
pub fn response(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// One request as this backend received it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The ordinal of the connection that it came on.
    pub connection: usize,
    pub head: Head,
    /// The start of the body, up to a MiB.
    pub body: Vec<u8>,
    pub body_bytes: u64,
    pub trailers: Vec<String>,
    /// Whether the body came to the end that its framing promised.
    pub whole: bool,
    /// Whether the peer was seen to close the connection during or after this request.
    pub closed: bool,
}

impl Seen {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[derive(Debug, Default)]
struct Memory {
    seen: Vec<Seen>,
    /// What arrived, by connection.
    bytes: Vec<Vec<u8>>,
    scripts: HashMap<String, Vec<Step>>,
    /// Used up by one request each, before `scripts`.
    once: Vec<(String, Vec<Step>)>,
    default_script: Option<Vec<Step>>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    memory: Mutex<Memory>,
    open: AtomicUsize,
    accepted: AtomicUsize,
    release: Notify,
    released: AtomicU64,
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("no test panics while it holds this")
    }
}

/// A running backend; it stops when dropped.
#[derive(Debug)]
pub struct Backend {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
    /// Given to every connection, so that stopping ends them all.
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        drop(self.begin_to_stop());
    }
}

impl Backend {
    /// Listens on a free port and answers with `name`.
    pub async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            name,
            memory: Mutex::default(),
            open: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            release: Notify::new(),
            released: AtomicU64::new(0),
        });
        let mut backend = Self { address, shared, accepting: None, connections: Arc::default() };
        backend.accept_from(listener);
        backend
    }

    fn accept_from(&mut self, listener: TcpListener) {
        let (shared, connections) = (Arc::clone(&self.shared), Arc::clone(&self.connections));
        self.accepting = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let task = tokio::spawn(Connection::serve(stream, Arc::clone(&shared)));
                connections.lock().expect("not poisoned").push(task);
            }
        }));
    }

    /// Refuses connections and has closed the open ones, until [`Backend::restart`].
    pub async fn stop(&mut self) {
        for task in self.begin_to_stop() {
            // That it was ended is no news.
            let _ = task.await;
        }
    }

    /// The same, without waiting for the connections to be closed.
    pub fn begin_to_stop(&mut self) -> Vec<JoinHandle<()>> {
        let connections = self.connections.lock().expect("not poisoned").drain(..).collect::<Vec<_>>();
        let tasks: Vec<_> = self.accepting.take().into_iter().chain(connections).collect();
        tasks.iter().for_each(JoinHandle::abort);
        tasks
    }

    /// Listens again on the same port.
    pub async fn restart(&mut self) {
        let address = self.address;
        let bind = || async move { TcpListener::bind(address).await.ok() };
        let listener = wait_for("the backend's port is free again", bind).await;
        self.accept_from(listener);
    }

    /// What to do with requests whose target starts with this path, from now on.
    pub fn on(&self, path: &str, steps: impl Into<Vec<Step>>) {
        self.shared.memory().scripts.insert(path.into(), steps.into());
    }

    /// What to do with the next request whose target starts with this path, once.
    pub fn once(&self, path: &str, steps: impl Into<Vec<Step>>) {
        self.shared.memory().once.push((path.into(), steps.into()));
    }

    /// What to do with requests that no path names, from now on; none: 200 with the name.
    pub fn on_all(&self, steps: Option<Vec<Step>>) {
        self.shared.memory().default_script = steps;
    }

    /// Lets one [`Step::AwaitRelease`] go on, now or later.
    pub fn release(&self) {
        self.shared.released.fetch_add(1, Ordering::SeqCst);
        self.shared.release.notify_one();
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.memory().seen.clone()
    }

    pub fn count(&self) -> usize {
        self.shared.memory().seen.len()
    }

    /// The requests whose target starts with this path.
    pub fn seen_at(&self, path: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.head.target().starts_with(path)).collect()
    }

    /// The only request whose target starts with this path, once it has arrived.
    ///
    /// # Panics
    ///
    /// When it does not arrive, or when several did.
    pub async fn only(&self, path: &str) -> Seen {
        wait_until(&format!("{} sees {path}", self.shared.name), || !self.seen_at(path).is_empty()).await;
        let mut seen = self.seen_at(path);
        assert_eq!(seen.len(), 1, "{} saw {path} more than once: {seen:?}", self.shared.name);
        seen.remove(0)
    }

    /// Everything that arrived on all connections, in the order of the connections.
    pub fn bytes(&self) -> Vec<u8> {
        self.shared.memory().bytes.concat()
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Forgets what it has seen, not what to do.
    pub fn forget(&self) {
        let mut memory = self.shared.memory();
        memory.seen.clear();
        for bytes in &mut memory.bytes {
            bytes.clear();
        }
    }
}

struct Connection {
    shared: Arc<Shared>,
    ordinal: usize,
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The place of the current request in the memory.
    current: Option<usize>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::SeqCst);
    }
}

enum Next {
    KeepAlive,
    Close,
}

impl Connection {
    async fn serve(stream: TcpStream, shared: Arc<Shared>) {
        shared.open.fetch_add(1, Ordering::SeqCst);
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        let ordinal = {
            let mut memory = shared.memory();
            memory.bytes.push(Vec::new());
            memory.bytes.len() - 1
        };
        let _ = stream.set_nodelay(true);
        let mut connection = Self { shared, ordinal, stream, buffer: Vec::new(), current: None };
        while let Ok(Next::KeepAlive) = connection.one_request().await {}
    }

    /// Reads more; an error also at the end of the stream.
    async fn fill(&mut self) -> io::Result<()> {
        let mut piece = vec![0; 64 * 1024];
        let n = self.stream.read(&mut piece).await.unwrap_or(0);
        let mut memory = self.shared.memory();
        if n == 0 {
            if let Some(seen) = self.current.and_then(|at| memory.seen.get_mut(at)) {
                seen.closed = true;
            }
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let bytes = &mut memory.bytes[self.ordinal];
        let room = REMEMBERED_BYTES_MAX.saturating_sub(bytes.len());
        bytes.extend_from_slice(&piece[..n.min(room)]);
        self.buffer.extend_from_slice(&piece[..n]);
        Ok(())
    }

    async fn one_request(&mut self) -> io::Result<Next> {
        let head = loop {
            if let Some(head) = Head::take(&mut self.buffer) {
                break head;
            }
            self.fill().await?;
        };
        let target = head.target();
        let mut body = BodyReader::new(Framing::of_request(&head));
        let (connection, whole) = (self.ordinal, body.is_done());
        let seen =
            Seen { connection, head, body: Vec::new(), body_bytes: 0, trailers: Vec::new(), whole, closed: false };
        let steps = {
            let mut memory = self.shared.memory();
            self.current = Some(memory.seen.len());
            memory.seen.push(seen);
            let once = memory.once.iter().position(|(path, _)| target.starts_with(path.as_str()));
            let once = once.map(|at| memory.once.remove(at).1);
            let by_path = memory.scripts.iter().filter(|(path, _)| target.starts_with(path.as_str()));
            let longest = by_path.max_by_key(|(path, _)| path.len()).map(|(_, steps)| steps.clone());
            once.or(longest).or_else(|| memory.default_script.clone())
        };
        let steps = steps.unwrap_or_else(|| {
            let name = self.shared.name;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Backend: {name}\r\n\r\n", name.len());
            let is_head = self.shared.memory().seen.last().is_some_and(|seen| seen.head.method() == "HEAD");
            vec![Step::ReadBody, Step::send(if is_head { head } else { head + name })]
        });
        for step in steps {
            if let Next::Close = self.step(step, &mut body).await? {
                return Ok(Next::Close);
            }
        }
        Ok(Next::KeepAlive)
    }

    async fn step(&mut self, step: Step, body: &mut BodyReader) -> io::Result<Next> {
        match step {
            Step::ReadBody => self.read_body(body, u64::MAX).await?,
            Step::ReadSome(bytes) => self.read_body(body, bytes).await?,
            Step::Send(bytes) => self.stream.write_all(&bytes).await?,
            Step::Answer(make) => {
                let head = self.current.and_then(|at| self.shared.memory().seen.get(at).map(|seen| seen.head.clone()));
                let answer = head.map(|head| make(self.shared.name, &head)).unwrap_or_default();
                self.stream.write_all(&answer).await?;
            }
            Step::SendFiller(bytes) => self.send_filler(bytes).await?,
            Step::Drip(bytes, pause) => {
                for byte in bytes {
                    self.stream.write_all(&[byte]).await?;
                    tokio::time::sleep(pause).await;
                }
            }
            Step::Wait(time) => tokio::time::sleep(time).await,
            Step::AwaitRelease => self.await_release().await,
            Step::Echo => loop {
                let bytes = std::mem::take(&mut self.buffer);
                self.stream.write_all(&bytes).await?;
                self.fill().await?;
            },
            Step::AwaitClose => loop {
                self.buffer.clear();
                self.fill().await?;
            },
            Step::AwaitEnd => loop {
                let bytes = std::mem::take(&mut self.buffer).len() as u64;
                if let Some(at) = self.current {
                    self.shared.memory().seen[at].body_bytes += bytes;
                }
                if self.fill().await.is_err() {
                    break;
                }
            },
            Step::ShutDown => self.stream.shutdown().await?,
            Step::Close => return Ok(Next::Close),
            Step::Reset => {
                self.stream.set_zero_linger()?;
                return Ok(Next::Close);
            }
        }
        Ok(Next::KeepAlive)
    }

    async fn await_release(&self) {
        let shared = &self.shared;
        let take = |n: u64| n.checked_sub(1);
        while shared.released.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err() {
            let _ = tokio::time::timeout(Duration::from_millis(50), shared.release.notified()).await;
        }
    }

    /// Reads until the body ends or `limit` bytes of it have come.
    async fn read_body(&mut self, body: &mut BodyReader, limit: u64) -> io::Result<()> {
        loop {
            let shared = Arc::clone(&self.shared);
            let total = {
                let mut memory = shared.memory();
                let Some(seen) = self.current.and_then(|at| memory.seen.get_mut(at)) else { return Ok(()) };
                body.feed(&mut self.buffer, &mut |bytes| {
                    seen.body_bytes += bytes.len() as u64;
                    let room = REMEMBERED_BYTES_MAX.saturating_sub(seen.body.len());
                    seen.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
                });
                seen.whole = body.is_done();
                seen.trailers.clone_from(&body.trailers);
                seen.body_bytes
            };
            if body.is_done() || total >= limit {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn send_filler(&mut self, bytes: u64) -> io::Result<()> {
        let piece = vec![b'x'; 64 * 1024];
        let mut left = bytes;
        while left > 0 {
            let n = left.min(piece.len() as u64);
            self.stream.write_all(&piece[..usize::try_from(n).unwrap_or(piece.len())]).await?;
            left -= n;
        }
        Ok(())
    }
}
