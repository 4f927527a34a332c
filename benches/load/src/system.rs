//! Systems behind sides that can be told, while they run, to fail or to be slow, and say when they began to.
//!
//! # Why all in one process
//!
//! On a busy machine a process that is asked a tenth as often is slower by milliseconds: it waits for its turn with every
//! request, where the other does so once for several. Here whoever waits, waits for both sides.
//!
//! Which requests fail is drawn from a seed, so that two runs differ by their timing alone. Every line on stdin, a name
//! and what its system shall do, is carried out at once and answered by one on stdout: the time in milliseconds since 1970, and the line. The end of stdin
//! ends it.
//!
//! Not here: request bodies, and requests that do not wait for the answer before.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::poller::Poller;
use crate::relay::{accept, place, write_whole};
use crate::unix_ms;

const STDIN: usize = usize::MAX;
/// The token of the first listener; the next ones have those below.
const LISTENER: usize = usize::MAX - 1;
const BUFFER_BYTES: usize = 16 * 1024;
/// A head that is longer, or more connections than that, are not of our load.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const CONNECTIONS_MAX: usize = 4_096;

struct Peer {
    side: usize,
    stream: TcpStream,
    received: Vec<u8>,
    /// Places are used again; an answer that is due belongs to one connection.
    number: u64,
}

/// One system.
struct Side {
    name: String,
    listener: TcpListener,
    dice: Dice,
    failing: f64,
    delay: Duration,
}

struct Systems {
    sides: Vec<Side>,
    poller: Poller,
    peers: Vec<Option<Peer>>,
    opened: u64,
    /// Answers that are due later: when, to which place and connection.
    due: BinaryHeap<Reverse<(Instant, usize, u64)>>,
}

/// What a line of stdin asks for, as the share that fails and the delay.
fn obey(line: &str, failing: f64, delay: Duration) -> Result<(f64, Duration), String> {
    let unknown = || format!("{line} is not `fail SHARE`, `delay 20ms` or `ok`");
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["ok"] => Ok((0.0, Duration::ZERO)),
        ["fail", share] => {
            let share: f64 = share.parse().map_err(|_| unknown())?;
            if (0.0..=1.0).contains(&share) { Ok((share, delay)) } else { Err(unknown()) }
        }
        ["delay", time] => {
            let time = time.strip_suffix("ms").and_then(|ms| ms.parse().ok()).ok_or_else(unknown)?;
            Ok((failing, Duration::from_millis(time)))
        }
        _ => Err(unknown()),
    }
}

impl Systems {
    fn admit(&mut self, side: usize) -> io::Result<()> {
        let Some(stream) = accept(&self.sides[side].listener) else { return Ok(()) };
        if self.peers.iter().flatten().count() >= CONNECTIONS_MAX {
            return Ok(());
        }
        self.opened += 1;
        let at = place(&mut self.peers, Peer { side, stream, received: Vec::new(), number: self.opened });
        match &self.peers[at] {
            Some(peer) => self.poller.add(&peer.stream, at),
            None => Ok(()),
        }
    }

    fn receive(&mut self, at: usize, buffer: &mut [u8]) {
        let Some(peer) = self.peers[at].as_mut() else { return };
        match peer.stream.read(buffer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Ok(0) | Err(_) => self.peers[at] = None,
            Ok(read) => {
                peer.received.extend_from_slice(&buffer[..read]);
                let number = peer.number;
                if peer.received.ends_with(b"\r\n\r\n") {
                    peer.received.clear();
                    let delay = self.sides[peer.side].delay;
                    if delay.is_zero() {
                        self.answer(at, number);
                    } else {
                        self.due.push(Reverse((Instant::now() + delay, at, number)));
                    }
                } else if peer.received.len() > HEAD_BYTES_MAX {
                    self.peers[at] = None;
                }
            }
        }
    }

    fn answer(&mut self, at: usize, number: u64) {
        let Some(peer) = self.peers[at].as_mut().filter(|peer| peer.number == number) else { return };
        let side = &mut self.sides[peer.side];
        let status = if side.dice.share() < side.failing { "500 Internal Server Error" } else { "200 OK" };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{}",
            side.name.len(),
            side.name
        );
        if write_whole(&mut peer.stream, answer.as_bytes()).is_err() {
            self.peers[at] = None;
        }
    }

    /// Answers what is due, and tells how long nothing will be.
    fn answer_due(&mut self) -> Option<Duration> {
        loop {
            let Reverse((when, at, number)) = *self.due.peek()?;
            let left = when.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Some(left);
            }
            self.due.pop();
            self.answer(at, number);
        }
    }

    fn command(&mut self, line: &str) -> io::Result<()> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let Some(side) = self.sides.iter_mut().find(|side| side.name == name) else {
            return Err(io::Error::other(format!("no system is called {name}")));
        };
        (side.failing, side.delay) = obey(rest, side.failing, side.delay).map_err(io::Error::other)?;
        let mut out = io::stdout().lock();
        writeln!(out, "{:.3} {line}", unix_ms())?;
        out.flush()
    }
}

pub fn run(names: &[(&str, SocketAddr)]) -> io::Result<()> {
    let (poller, mut sides) = (Poller::new()?, Vec::new());
    for (at, (name, listen)) in names.iter().enumerate() {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        poller.add(&listener, LISTENER - at)?;
        sides.push(Side {
            name: (*name).to_owned(),
            listener,
            dice: Dice::new(name),
            failing: 0.0,
            delay: Duration::ZERO,
        });
    }
    poller.add(io::stdin(), STDIN)?;
    let mut system = Systems { sides, poller, peers: Vec::new(), opened: 0, due: BinaryHeap::new() };
    let (mut ready, mut buffer, mut asked) = (Vec::new(), vec![0; BUFFER_BYTES], Vec::new());
    loop {
        let pause = system.answer_due();
        system.poller.wait(pause, &mut ready)?;
        for token in ready.iter().copied() {
            match token {
                STDIN => {
                    let read = io::stdin().read(&mut buffer)?;
                    if read == 0 {
                        return Ok(());
                    }
                    asked.extend_from_slice(&buffer[..read]);
                    while let Some(end) = asked.iter().position(|byte| *byte == b'\n') {
                        let line: Vec<u8> = asked.drain(..=end).collect();
                        system.command(String::from_utf8_lossy(&line).trim())?;
                    }
                }
                at if at > LISTENER - names.len() => system.admit(LISTENER - at)?,
                at => system.receive(at, &mut buffer),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(f64, u64)>) {
        let found = obey(line, 0.5, Duration::from_millis(7)).ok();
        assert_eq!(found, expected.map(|(share, ms)| (share, Duration::from_millis(ms))), "{line}");
    }

    #[test]
    fn a_system_is_told_one_thing_at_a_time() {
        check("fail 0.04", Some((0.04, 7)));
        check("delay 20ms", Some((0.5, 20)));
        check("ok", Some((0.0, 0)));
        for line in ["", "fail", "fail 2", "fail nan", "delay 20", "delay -1ms", "ok 1"] {
            check(line, None);
        }
    }
}
