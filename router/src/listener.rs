//! Accepting connections: one listening socket a worker, limits, and patience when the system runs out of something.
//!
//! # Why `SO_REUSEPORT`
//!
//! Each worker has its own queue of new connections, so accepting needs no lock and no hand-over between threads. The
//! kernel spreads connections by a hash of their addresses; with many callers that is even enough, and a worker that is
//! full leaves its queue alone until there is room.
//!
//! It also lets a successor bind the same port before this process ends, so that a restart refuses no connection. Whoever
//! is in the middle of connecting when this process closes its socket is moved over by the kernel only with
//! `net.ipv4.tcp_migrate_req=1`.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::client_side::{self, Counted};
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
        let limit = worker.tables().generation.limits.connections;
        if worker.connections.get() >= worker.share(limit) {
            worker.room.notified().await;
            continue;
        }
        match listener.accept().await {
            Ok((io, address)) => take(&worker, io, address),
            Err(error) => pause(&worker, &error).await,
        }
    }
}

fn take(worker: &Rc<Worker>, io: TcpStream, address: SocketAddr) {
    tokio::task::spawn_local(client_side::serve(Counted::new(Rc::clone(worker)), io, address));
}

/// Takes the connections that the kernel holds already, because closing the listening socket resets them.
pub(crate) fn take_waiting(worker: &Rc<Worker>, listener: &TcpListener) {
    let socket = SockRef::from(listener);
    for _ in 0..BACKLOG {
        let Ok((io, address)) = socket.accept() else { return };
        let Some(address) = address.as_socket() else { continue };
        if let Ok(io) = io.set_nonblocking(true).and_then(|()| TcpStream::from_std(io.into())) {
            take(worker, io, address);
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
