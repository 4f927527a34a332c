//! A wire to the store that fails in every way a network can, one wire a router.
//!
//! # Why in between, and not on the store
//!
//! A store that is killed is gone for everybody. What makes a fleet disagree is a store that some see and others do
//! not, or whose answers are lost while the questions arrive. So each router has a wire of its own, and each direction
//! of it can be told what to do while it is open.
//!
//! A connection that has swallowed a byte stays lost when the fault ends: TCP hands over everything or nothing, so
//! what is lost for good is the connection. [`Flow::Stall`] is the other case, where the bytes arrive late.
//!
//! Not here: a host that drops SYN packets, which takes rights that a test does not have.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Connections that may wait to be taken.
const BACKLOG: u32 = 64;

/// A word of the audit entry that a change is written with, and of nothing else that is sent.
const IN_EVERY_CHANGE: &[u8] = b"previous_hash";

fn has(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// What becomes of the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    #[default]
    Pass,
    /// Each piece arrives this much later, in order.
    Delay(Duration),
    /// What is sent waits, and arrives when the fault ends.
    Stall,
    /// What is sent is lost, and the connection with it, without a word to either end.
    Swallow,
}

/// What a wire does, by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// From the router to the store.
    pub requests: Flow,
    /// From the store to the router.
    pub answers: Flow,
    /// From the store on connections that have subscribed to something, instead of `answers`.
    pub announcements: Flow,
    /// From the store on connections on which a change was sent since this was set, instead of `answers`: the change
    /// arrives, and nobody hears of it.
    pub answers_to_changes: Flow,
}

impl Fault {
    pub const NONE: Self =
        Self { requests: Flow::Pass, answers: Flow::Pass, announcements: Flow::Pass, answers_to_changes: Flow::Pass };

    /// Nothing comes through in either direction.
    pub const fn both(flow: Flow) -> Self {
        Self { requests: flow, answers: flow, ..Self::NONE }
    }
}

/// Which connections are to be reset, counted up each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cuts {
    all: u64,
    subscriptions: u64,
}

/// A running wire; it stops when dropped.
#[derive(Debug)]
pub struct TcpProxy {
    pub address: SocketAddr,
    target: SocketAddr,
    fault: watch::Sender<Fault>,
    cuts: watch::Sender<Cuts>,
    counts: Arc<Counts>,
    accepting: Option<JoinHandle<()>>,
    /// Keeps the port ours while nobody listens on it.
    _reserved: TcpSocket,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    accepted: AtomicUsize,
    subscriptions: AtomicUsize,
    swallowed: AtomicUsize,
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.refuse();
    }
}

fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseport(true).expect("ports can be shared");
    socket.bind(address).expect("the port is free, or ours");
    socket
}

impl TcpProxy {
    /// Listens on a free port for connections to `target`.
    pub fn start(target: SocketAddr) -> Self {
        let reserved = bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = reserved.local_addr().expect("an address");
        let (fault, cuts) = (watch::Sender::new(Fault::NONE), watch::Sender::new(Cuts::default()));
        let counts = Arc::default();
        let mut proxy = Self { address, target, fault, cuts, counts, accepting: None, _reserved: reserved };
        proxy.accept();
        proxy
    }

    /// Changes what the wire does from the next byte on, on open connections too.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Resets every connection; new ones are taken.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| cuts.all += 1);
    }

    /// Resets the connections that have subscribed to something.
    pub fn cut_subscriptions(&self) {
        self.cuts.send_modify(|cuts| cuts.subscriptions += 1);
    }

    /// Resets every connection and refuses new ones, until [`TcpProxy::accept`].
    pub fn refuse(&mut self) {
        if let Some(task) = self.accepting.take() {
            self.cut();
            task.abort();
        }
    }

    /// Takes connections, again.
    pub fn accept(&mut self) {
        if self.accepting.is_some() {
            return;
        }
        let listener = bind(self.address).listen(BACKLOG).expect("it listens");
        let (target, fault) = (self.target, self.fault.subscribe());
        let (cuts, counts) = (self.cuts.subscribe(), Arc::clone(&self.counts));
        self.accepting = Some(tokio::spawn(accept_from(listener, move |router| {
            relay(router, target, fault.clone(), cuts.clone(), Arc::clone(&counts))
        })));
    }

    /// Ends every fault.
    pub fn heal(&mut self) {
        self.set(Fault::NONE);
        self.accept();
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// Connections taken so far.
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Bytes lost so far.
    pub fn swallowed(&self) -> usize {
        self.counts.swallowed.load(Ordering::SeqCst)
    }

    /// Connections so far that have subscribed to something.
    pub fn subscriptions(&self) -> usize {
        self.counts.subscriptions.load(Ordering::SeqCst)
    }
}

/// Serves connections; with it end all of them.
async fn accept_from<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    mut serve: impl FnMut(TcpStream) -> F,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((router, _)) => drop(connections.spawn(serve(router))),
                Err(_) => return,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection; its end is a reset, also when the task is aborted.
async fn relay(
    mut router: TcpStream,
    target: SocketAddr,
    fault: watch::Receiver<Fault>,
    mut cuts: watch::Receiver<Cuts>,
    counts: Arc<Counts>,
) {
    let _ = (router.set_zero_linger(), router.set_nodelay(true));
    let before = *cuts.borrow_and_update();
    let Ok(mut store) = TcpStream::connect(target).await else { return };
    let _ = (store.set_zero_linger(), store.set_nodelay(true));
    counts.accepted.fetch_add(1, Ordering::SeqCst);
    let _open = Open::new(&counts);
    let (subscribed, changed) = (AtomicBool::new(false), AtomicBool::new(false));
    let latest = fault.clone();
    let heard = |bytes: &[u8]| {
        if has(&bytes.to_ascii_uppercase(), b"SUBSCRIBE") && !subscribed.swap(true, Ordering::SeqCst) {
            counts.subscriptions.fetch_add(1, Ordering::SeqCst);
        }
        if latest.borrow().answers_to_changes != Flow::Pass && has(bytes, IN_EVERY_CHANGE) {
            changed.store(true, Ordering::SeqCst);
        }
    };
    let of_answers = |fault: &Fault| {
        let special = [(&changed, fault.answers_to_changes), (&subscribed, fault.announcements)];
        let applies = special.into_iter().find(|(is, flow)| *flow != Flow::Pass && is.load(Ordering::SeqCst));
        applies.map_or(fault.answers, |(_, flow)| flow)
    };
    let is_cut = |now: &Cuts| {
        now.all != before.all || (subscribed.load(Ordering::SeqCst) && now.subscriptions != before.subscriptions)
    };
    let ((from_router, to_router), (from_store, to_store)) = (router.split(), store.split());
    tokio::select! {
        () = pump(from_router, to_store, fault.clone(), |fault| fault.requests, heard, &counts.swallowed) => {}
        () = pump(from_store, to_router, fault, of_answers, |_| {}, &counts.swallowed) => {}
        _ = cuts.wait_for(is_cut) => {}
    }
}

/// Counts a connection as open while it lives.
struct Open<'a>(&'a Counts);

impl<'a> Open<'a> {
    fn new(counts: &'a Counts) -> Self {
        counts.open.fetch_add(1, Ordering::SeqCst);
        Self(counts)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Carries one direction to its end.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut fault: watch::Receiver<Fault>,
    flow: impl Fn(&Fault) -> Flow,
    heard: impl Fn(&[u8]),
    swallowed: &AtomicUsize,
) {
    let mut piece = vec![0; 16 * 1024];
    let mut lost = false;
    loop {
        let Ok(n @ 1..) = from.read(&mut piece).await else { return };
        heard(&piece[..n]);
        // The piece in hand waits; what is behind it fills the buffers of the kernel, as on a dead line.
        let now = loop {
            match flow(&fault.borrow_and_update()) {
                Flow::Stall => {}
                now => break now,
            }
            if fault.changed().await.is_err() {
                return;
            }
        };
        lost |= now == Flow::Swallow;
        if lost {
            swallowed.fetch_add(n, Ordering::SeqCst);
            continue;
        }
        if let Flow::Delay(time) = now {
            tokio::time::sleep(time).await;
        }
        if to.write_all(&piece[..n]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, Step};
    use crate::client::Client;
    use crate::{wait_until, within};

    async fn echo() -> (Backend, TcpProxy) {
        let backend = Backend::start("echo").await;
        backend.on_all(Some(vec![Step::Echo]));
        let proxy = TcpProxy::start(backend.address);
        (backend, proxy)
    }

    /// A connection through the wire on which everything comes back.
    async fn echoing(proxy: &TcpProxy) -> Client {
        let mut client = Client::connect(proxy.address).await;
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        client.send("first\n").await;
        assert_eq!(client.until(b"first\n").await, b"first\n");
        client
    }

    #[tokio::test]
    async fn what_stalls_arrives_late_and_what_is_swallowed_never() {
        let (backend, proxy) = echo().await;
        let mut client = echoing(&proxy).await;
        proxy.set(Fault { requests: Flow::Stall, ..Fault::NONE });
        client.send("late\n").await;
        proxy.set(Fault { requests: Flow::Delay(Duration::from_millis(1)), ..Fault::NONE });
        assert_eq!(client.until(b"late\n").await, b"late\n");

        proxy.set(Fault { requests: Flow::Swallow, ..Fault::NONE });
        client.send("lost\n").await;
        wait_until("it is swallowed", || proxy.swallowed() >= 5).await;
        proxy.set(Fault::NONE);
        client.send("also lost\n").await;
        wait_until("what has swallowed stays lost", || proxy.swallowed() >= 15).await;
        let mut other = echoing(&proxy).await;
        assert!(!String::from_utf8_lossy(&backend.bytes()).contains("lost"));
        proxy.cut();
        assert!(!client.ends_cleanly().await && !other.ends_cleanly().await, "a cut is a reset");
    }

    #[tokio::test]
    async fn a_wire_that_refuses_takes_connections_again() {
        let (_backend, mut proxy) = echo().await;
        let mut client = echoing(&proxy).await;
        proxy.refuse();
        assert!(!client.ends_cleanly().await);
        wait_until("the listener is gone", || proxy.open() == 0).await;
        crate::wait_for("connections are refused", || async {
            let made = within("an answer of the kernel", TcpStream::connect(proxy.address)).await;
            made.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused).then_some(())
        })
        .await;
        proxy.heal();
        echoing(&proxy).await;
    }

    #[tokio::test]
    async fn subscriptions_are_told_from_commands() {
        let (_backend, proxy) = echo().await;
        let mut commands = echoing(&proxy).await;
        let mut subscription = echoing(&proxy).await;
        subscription.send("subscribe x\n").await;
        subscription.until(b"subscribe x\n").await;
        assert_eq!(proxy.subscriptions(), 1);

        proxy.set(Fault { announcements: Flow::Stall, ..Fault::NONE });
        subscription.send("deaf\n").await;
        commands.send("heard\n").await;
        assert_eq!(commands.until(b"heard\n").await, b"heard\n");
        proxy.set(Fault::NONE);
        assert_eq!(subscription.until(b"deaf\n").await, b"deaf\n");

        proxy.cut_subscriptions();
        assert!(!subscription.ends_cleanly().await);
        commands.send("still\n").await;
        assert_eq!(commands.until(b"still\n").await, b"still\n");
    }

    #[tokio::test]
    async fn a_change_arrives_and_its_answer_does_not() {
        let (backend, proxy) = echo().await;
        let mut client = echoing(&proxy).await;
        proxy.set(Fault { answers_to_changes: Flow::Stall, ..Fault::NONE });
        client.send("read\n").await;
        assert_eq!(client.until(b"read\n").await, b"read\n");
        client.send("previous_hash\n").await;
        wait_until("it arrives", || has(&backend.bytes(), b"previous_hash")).await;
        let mut other = echoing(&proxy).await;
        proxy.set(Fault { answers_to_changes: Flow::Swallow, ..Fault::NONE });
        wait_until("the answer is swallowed", || proxy.swallowed() > 0).await;
        other.send("still\n").await;
        assert_eq!(other.until(b"still\n").await, b"still\n");
    }
}
