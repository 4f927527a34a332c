//! A relay that knows no HTTP: what the kernel alone costs a proxy with one read and one write a side.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::poller::Poller;

const BUFFER_BYTES: usize = 16 * 1024;
const LISTENER: usize = usize::MAX;

/// Writes everything, by trying again: answers are far smaller than what a socket takes.
pub fn write_whole(stream: &mut TcpStream, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        match stream.write(data) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(wrote) => data = &data[wrote..],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Puts a value into a free place of a table, or at its end.
pub fn place<T>(table: &mut Vec<Option<T>>, value: T) -> usize {
    match table.iter().position(Option::is_none) {
        Some(at) => {
            table[at] = Some(value);
            at
        }
        None => {
            table.push(Some(value));
            table.len() - 1
        }
    }
}

/// Takes one waiting connection, ready for the poller.
pub fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

pub fn run(listen: SocketAddr, upstreams: &[SocketAddr]) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER)?;
    // Both ends of a pair; the token is twice its place, plus one for the upstream.
    let mut pairs: Vec<Option<[TcpStream; 2]>> = Vec::new();
    let (mut ready, mut buffer, mut turn) = (Vec::new(), vec![0; BUFFER_BYTES], 0);
    loop {
        poller.wait(None, &mut ready)?;
        for token in ready.iter().copied() {
            if token == LISTENER {
                let Some(caller) = accept(&listener) else { continue };
                let Ok(upstream) = TcpStream::connect(upstreams[turn % upstreams.len()]) else { continue };
                turn += 1;
                upstream.set_nodelay(true)?;
                upstream.set_nonblocking(true)?;
                let at = place(&mut pairs, [caller, upstream]);
                if let Some([caller, upstream]) = &pairs[at] {
                    poller.add(caller, 2 * at)?;
                    poller.add(upstream, 2 * at + 1)?;
                }
                continue;
            }
            let Some([caller, upstream]) = pairs[token / 2].as_mut() else { continue };
            let (from, to) = if token % 2 == 0 { (caller, upstream) } else { (upstream, caller) };
            let moved = match from.read(&mut buffer) {
                Ok(0) => false,
                Ok(read) => write_whole(to, &buffer[..read]).is_ok(),
                Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
            };
            if !moved {
                pairs[token / 2] = None;
            }
        }
    }
}
