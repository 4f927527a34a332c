//! Requests at fixed moments, and how long each answer took from the moment its request was due.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::answer::{Answer, Received, judge};
use crate::poller::Poller;

const CALLERS: usize = 512;
const ROUTES: usize = 100;
/// What comes before is not counted: connections are being opened, on both sides.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long answers may be outstanding after the last request was due.
const PATIENCE: Duration = Duration::from_secs(10);
const EXAMPLES_MAX: usize = 5;
/// Not a connection's place: the end of stdin, which ends the load.
const STDIN: usize = usize::MAX;

pub struct Plan {
    pub address: SocketAddr,
    pub rate: u64,
    pub length: Duration,
    pub connections: u64,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// When the request that is under way was due.
    due: Option<Instant>,
}

struct Load<'a> {
    plan: &'a Plan,
    poller: Poller,
    requests: Vec<Vec<u8>>,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    /// Requests that were due while every connection was busy.
    waiting: VecDeque<Instant>,
    sent: usize,
    counts_from: Instant,
    latencies: Vec<u64>,
    failed: u64,
    examples: Vec<String>,
}

fn requests() -> Vec<Vec<u8>> {
    let request = |n: usize| {
        let route = n * 37 % ROUTES;
        format!("GET /api/r{route}/{n} HTTP/1.1\r\nHost: bench.example\r\nX-User-Id: user-{n}\r\n\r\n").into_bytes()
    };
    (1..=CALLERS).map(request).collect()
}

pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

impl Load<'_> {
    fn fail(&mut self, why: String) {
        self.failed += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(why);
        }
    }

    fn send(&mut self, at: usize, due: Instant) {
        let request = &self.requests[self.sent % CALLERS];
        self.sent += 1;
        let connection = &mut self.connections[at];
        connection.due = Some(due);
        connection.received.clear();
        // A request is far smaller than what a socket takes.
        if let Err(error) = connection.stream.write_all(request) {
            self.fail(format!("cannot send: {error}"));
            self.reopen(at);
        }
    }

    fn dispatch(&mut self, due: Instant) {
        match self.idle.pop_front() {
            Some(at) => self.send(at, due),
            None => self.waiting.push_back(due),
        }
    }

    fn release(&mut self, at: usize) {
        match self.waiting.pop_front() {
            Some(due) => self.send(at, due),
            None => self.idle.push_back(at),
        }
    }

    /// Replaces a connection that has ended.
    fn reopen(&mut self, at: usize) {
        match connect(self.plan.address) {
            Ok(stream) => {
                let added = self.poller.add(&stream, at);
                self.connections[at] = Connection { stream, received: Vec::new(), due: None };
                if let Err(error) = added {
                    return self.fail(format!("cannot watch: {error}"));
                }
                self.release(at);
            }
            // Its place stays empty; the rest of the load goes on.
            Err(error) => self.fail(format!("cannot connect: {error}")),
        }
    }

    fn receive(&mut self, at: usize, scratch: &mut [u8]) {
        let connection = &mut self.connections[at];
        let read = match connection.stream.read(scratch) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            other => other,
        };
        let Some(due) = connection.due else {
            self.idle.retain(|own| *own != at);
            match read {
                Ok(0) | Err(_) => {}
                Ok(_) => self.fail("bytes that nobody asked for".into()),
            }
            return self.reopen(at);
        };
        let judged = match read {
            Ok(0) => Received::Broken(format!("closed after {} bytes of an answer", connection.received.len())),
            Err(error) => Received::Broken(format!("{error} after {} bytes of an answer", connection.received.len())),
            Ok(bytes) => {
                connection.received.extend_from_slice(&scratch[..bytes]);
                judge(&connection.received)
            }
        };
        match judged {
            Received::More => {}
            Received::Whole(Answer { status, body, .. }) if status != 200 => {
                let head = String::from_utf8_lossy(&connection.received[..body]).trim_end().to_owned();
                connection.due = None;
                self.fail(head);
                self.reopen(at);
            }
            Received::Broken(why) => {
                connection.due = None;
                self.fail(why);
                self.reopen(at);
            }
            Received::Whole(Answer { keep, .. }) => {
                connection.due = None;
                if due >= self.counts_from {
                    self.latencies.push(due.elapsed().as_nanos() as u64);
                }
                if keep { self.release(at) } else { self.reopen(at) }
            }
        }
    }

    fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || self.connections.iter().any(|own| own.due.is_some())
    }

    fn report(mut self, took: Duration) -> String {
        self.latencies.sort_unstable();
        let at = |share: f64| {
            let place = ((self.latencies.len() as f64 * share) as usize).min(self.latencies.len().saturating_sub(1));
            self.latencies.get(place).map_or(0.0, |nanoseconds| *nanoseconds as f64 / 1000.0)
        };
        let examples: Vec<String> = self.examples.iter().map(|why| format!("\"{}\"", why.escape_default())).collect();
        format!(
            "{{\"requests\": {}, \"failed\": {}, \"per_second\": {:.0}, \"p50_us\": {:.1}, \"p99_us\": {:.1}, \"p999_us\": {:.1}, \
             \"max_us\": {:.1}, \"examples\": [{}]}}",
            self.sent,
            self.failed,
            self.sent as f64 / took.as_secs_f64(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
            examples.join(", ").replace("\\'", "'"),
        )
    }
}

pub fn run(plan: &Plan) -> io::Result<String> {
    let poller = Poller::new()?;
    let mut connections = Vec::new();
    for at in 0..usize::try_from(plan.connections).unwrap_or(1) {
        let stream = connect(plan.address)?;
        poller.add(&stream, at)?;
        connections.push(Connection { stream, received: Vec::new(), due: None });
    }
    // A regular file or /dev/null cannot be watched; then only the time ends the load.
    let _ = poller.add(io::stdin(), STDIN);
    let started = Instant::now();
    let mut end = started + plan.length;
    let idle = (0..connections.len()).collect();
    let mut load = Load {
        plan,
        poller,
        requests: requests(),
        connections,
        idle,
        waiting: VecDeque::new(),
        sent: 0,
        counts_from: started + WARM_UP,
        latencies: Vec::new(),
        failed: 0,
        examples: Vec::new(),
    };
    let (mut scratch, mut ready, mut number) = (vec![0; 64 * 1024], Vec::new(), 0_u64);
    loop {
        let now = Instant::now();
        let mut due = started + Duration::from_nanos(number * 1_000_000_000 / plan.rate);
        while due <= now && due < end {
            load.dispatch(due);
            number += 1;
            due = started + Duration::from_nanos(number * 1_000_000_000 / plan.rate);
        }
        if due >= end && (!load.is_busy() || now > end + PATIENCE) {
            break;
        }
        let pause = if due < end { due.saturating_duration_since(Instant::now()) } else { Duration::from_millis(20) };
        load.poller.wait(Some(pause), &mut ready)?;
        for at in ready.iter().copied() {
            match at {
                STDIN => {
                    let read = io::stdin().read(&mut scratch);
                    if matches!(read, Ok(0) | Err(_)) && end > Instant::now() {
                        end = Instant::now();
                        // It would report its end for ever.
                        load.poller.remove(io::stdin())?;
                    }
                }
                at => load.receive(at, &mut scratch),
            }
        }
    }
    let unanswered = load.connections.iter().filter(|own| own.due.is_some()).count() + load.waiting.len();
    for _ in 0..unanswered {
        load.fail("no answer in 10 s".into());
    }
    Ok(load.report(end - started))
}
