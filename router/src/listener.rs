//! Accepting connections: one listening socket a worker, limits, and patience when the system runs out of something.
//!
//! # Why `SO_REUSEPORT`
//!
//! Each worker has its own queue of new connections, so accepting needs no lock. The kernel spreads connections by a hash of
//! their addresses; where that leaves one worker with clearly more than another, [`crate::occupancy`] evens it out. With as
//! many connections as are allowed, further ones wait in the kernel's queues until there is room.
//!
//! It also lets a successor bind the same port before this process ends, so that a restart refuses no connection. A socket
//! that closes resets whoever is in its queue or in the middle of connecting; with `net.ipv4.tcp_migrate_req=1` the kernel
//! moves them to the successor. Without it this process first turns new attempts away unanswered, so that they come again
//! and find the successor, and serves those that were under way: some callers then wait a second, and none is reset.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use metrics::events::ConnectionLimitReached;
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::client_side::{self, Counted};
use crate::occupancy::{Handed, Place};
use crate::worker::Worker;

/// Connections that the kernel holds for one worker before it refuses more.
const BACKLOG: i32 = 4096;

/// Bytes that the kernel takes for a connection before they can be sent.
///
/// Without it the kernel takes megabytes and then nothing until a third of them is gone. To a peer that reads slowly but
/// steadily, that looks like a long pause, and a time-out for pauses would break a stream that moves.
pub(crate) const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// The pause after accept failed for want of file descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Whether the kernel moves connections from a socket that closes to another one on the same port.
const MIGRATE_SETTING: &str = "/proc/sys/net/ipv4/tcp_migrate_req";

/// How long handshakes may still take that had begun before new ones were turned away.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(200);

/// Drops what asks for a connection, and lets everything else pass: the flag SYN, in the 14th byte of a TCP header.
const WITHOUT_SYN: [SockFilter; 4] = [
    SockFilter::new(0x30, 0, 0, 13),
    SockFilter::new(0x45, 0, 1, 0x02),
    SockFilter::new(0x06, 0, 0, 0),
    SockFilter::new(0x06, 0, 0, u32::MAX),
];

/// Binds one socket for each worker to the same address; port 0 becomes one free port for all of them.
pub(crate) fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<StdListener>> {
    let first = bind_one(address)?;
    let bound = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(bind_one(bound)?);
    }
    Ok(listeners)
}

fn bind_one(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it.
    let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until the task is dropped.
pub(crate) async fn accept(worker: Rc<Worker>, listener: Rc<TcpListener>) {
    loop {
        let accepted = poll_fn(|cx| {
            let limit = worker.tables().generation.limits.connections;
            // A place is held only together with a connection, so that nobody waits for one that is not used.
            let Some(place) = worker.occupancy.enter(worker.number, limit) else { return Poll::Ready(None) };
            listener.poll_accept(cx).map(|accepted| Some((accepted, place)))
        });
        match accepted.await {
            None => {
                let limit = worker.tables().generation.limits.connections;
                ConnectionLimitReached { limit }.emit(worker.cells());
                worker.occupancy.room().await;
            }
            Some((Ok((io, address)), place)) => take(&worker, io, address, place),
            Some((Err(error), place)) => {
                drop(place);
                pause(&worker, &error).await;
            }
        }
    }
}

/// Serves a connection, or hands it to a worker that has clearly fewer.
fn take(worker: &Rc<Worker>, io: TcpStream, address: SocketAddr, mut place: Place) {
    let Some(way) = place.even_out() else { return serve(worker, io, address, place) };
    match io.into_std() {
        Ok(io) => {
            worker.cells().handed_over();
            way.send(Handed { io, address, place });
        }
        Err(error) => tracing::error!(%error, "a connection cannot be handed to another worker, and is lost"),
    }
}

/// Serves a connection that another worker has accepted.
pub(crate) fn take_handed(worker: &Rc<Worker>, handed: Handed) {
    let Handed { io, address, place } = handed;
    match TcpStream::from_std(io) {
        Ok(io) => serve(worker, io, address, place),
        Err(error) => tracing::error!(%error, "a connection cannot be taken from another worker, and is lost"),
    }
}

fn serve(worker: &Rc<Worker>, io: TcpStream, address: SocketAddr, place: Place) {
    tokio::task::spawn_local(client_side::serve(Counted::new(Rc::clone(worker), place), io, address));
}

/// Leaves new attempts to connect unanswered, so that they come again when the socket is closed. False where the kernel does
/// better by itself, or cannot.
pub(crate) fn turn_away(listener: &TcpListener) -> bool {
    let migrates = std::fs::read_to_string(MIGRATE_SETTING).is_ok_and(|setting| setting.trim() == "1");
    !migrates && SockRef::from(listener).attach_filter(&WITHOUT_SYN).is_ok()
}

/// Takes the connections that the kernel holds already, because closing the listening socket resets them.
///
/// Also beyond the limit: each is asked for one request and closed, which costs less than it does to lose them.
pub(crate) fn take_waiting(worker: &Rc<Worker>, listener: &TcpListener) {
    let socket = SockRef::from(listener);
    for _ in 0..BACKLOG {
        let Ok((io, address)) = socket.accept() else { return };
        let Some(address) = address.as_socket() else { continue };
        let Some(place) = worker.occupancy.enter(worker.number, usize::MAX) else { return };
        if let Ok(io) = io.set_nonblocking(true).and_then(|()| TcpStream::from_std(io.into())) {
            serve(worker, io, address, place);
        }
    }
}

/// A connection that died in the queue is nothing; an exhausted system needs a pause.
async fn pause(worker: &Worker, error: &io::Error) {
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    ) {
        return;
    }
    if worker.may_log() {
        tracing::warn!(%error, "cannot accept a connection; raise the limit of open files if this goes on");
    }
    tokio::time::sleep(EXHAUSTED_PAUSE).await;
}
