//! Tunnels: an origin that switches protocols and echoes, and callers that send 1 KiB and wait until it is back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::poller::Poller;
use crate::relay::{accept, place, write_whole};

const BUFFER_BYTES: usize = 16 * 1024;
/// A masked frame of 1 KiB with its head.
const MESSAGE_BYTES: usize = 8 + 1024;
/// Of the example in RFC 6455 section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn ends_head(received: &[u8]) -> bool {
    received.windows(4).any(|four| four == b"\r\n\r\n")
}

fn open(address: SocketAddr, number: u64) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET /api/r0/{number} HTTP/1.1\r\nHost: bench.example\r\nX-User-Id: user-{number}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )?;
    let (mut received, mut byte) = (Vec::new(), [0]);
    while !ends_head(&received) {
        stream.read_exact(&mut byte)?;
        received.push(byte[0]);
    }
    if !received.starts_with(b"HTTP/1.1 101") {
        return Err(io::Error::other(format!("no tunnel: {}", String::from_utf8_lossy(&received))));
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Sends a message on each tunnel, and the next when the last is back whole.
pub fn echo(address: SocketAddr, length: Duration, tunnels: u64) -> io::Result<String> {
    let mut poller = Poller::new()?;
    let mut open: Vec<(TcpStream, usize)> =
        (0..tunnels).map(|number| Ok((open(address, number)?, 0))).collect::<io::Result<_>>()?;
    let message = vec![0x5a; MESSAGE_BYTES];
    for (at, (stream, _)) in open.iter_mut().enumerate() {
        poller.add(&*stream, at)?;
        write_whole(stream, &message)?;
    }
    let (started, mut messages) = (Instant::now(), 0_u64);
    let (mut ready, mut buffer) = (Vec::new(), vec![0; BUFFER_BYTES]);
    while started.elapsed() < length {
        poller.wait(Some(Duration::from_millis(100)), &mut ready)?;
        for at in ready.iter().copied() {
            let (stream, received) = &mut open[at];
            match stream.read(&mut buffer) {
                Ok(0) => return Err(io::Error::other("a tunnel ended")),
                Ok(read) => *received += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if *received >= MESSAGE_BYTES {
                *received -= MESSAGE_BYTES;
                messages += 1;
                write_whole(stream, &message)?;
            }
        }
    }
    Ok(format!(
        "{{\"messages\": {messages}, \"per_second\": {:.0}}}",
        messages as f64 / started.elapsed().as_secs_f64()
    ))
}

/// A connection of the origin: the head until it is whole, then nothing but its bytes.
struct Peer {
    stream: TcpStream,
    head: Option<Vec<u8>>,
}

impl Peer {
    /// Whether the connection goes on.
    fn serve(&mut self, buffer: &mut [u8]) -> bool {
        let read = match self.stream.read(buffer) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        let Some(head) = &mut self.head else { return write_whole(&mut self.stream, &buffer[..read]).is_ok() };
        head.extend_from_slice(&buffer[..read]);
        if !ends_head(head) {
            return true;
        }
        let asks = String::from_utf8_lossy(head).to_ascii_lowercase().contains("\r\nupgrade:");
        head.clear();
        if !asks {
            return write_whole(&mut self.stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok();
        }
        self.head = None;
        let switch = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        );
        write_whole(&mut self.stream, switch.as_bytes()).is_ok()
    }
}

pub fn origin(addresses: &[SocketAddr]) -> io::Result<()> {
    let listeners: Vec<TcpListener> = addresses.iter().map(TcpListener::bind).collect::<io::Result<_>>()?;
    let mut poller = Poller::new()?;
    for (at, listener) in listeners.iter().enumerate() {
        listener.set_nonblocking(true)?;
        poller.add(listener, at)?;
    }
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let (mut ready, mut buffer) = (Vec::new(), vec![0; BUFFER_BYTES]);
    loop {
        poller.wait(None, &mut ready)?;
        for token in ready.iter().copied() {
            if let Some(listener) = listeners.get(token) {
                let Some(stream) = accept(listener) else { continue };
                let at = place(&mut peers, Peer { stream, head: Some(Vec::new()) });
                if let Some(peer) = &peers[at] {
                    poller.add(&peer.stream, listeners.len() + at)?;
                }
                continue;
            }
            let at = token - listeners.len();
            if peers[at].as_mut().is_some_and(|peer| !peer.serve(&mut buffer)) {
                peers[at] = None;
            }
        }
    }
}
