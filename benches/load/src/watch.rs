//! A load over several routers that notes which of them answered, when, and which system was behind it.
//!
//! Requests are sent at fixed moments, to the routers in turn, each for a user drawn from a seed; so what is met during a
//! rollback is what callers would have met. A line on stdin prints, as one line of JSON, everything since the line before;
//! the end of stdin, or of the time, prints the last and ends it.
//!
//! Not here: connections that open while a router is away (its requests fail, and count as failed).

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::answer::{Received, judge};
use crate::dice::Dice;
use crate::http::connect;
use crate::poller::Poller;
use crate::unix_ms;

const USERS: u64 = 6_000;
/// How long answers may be outstanding after the last request was due.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests that wait for a free connection to one router.
const WAITING_MAX: usize = 10_000;
const STDIN: usize = usize::MAX;
/// The system whose last answer is looked for.
const NEW: &str = "new";

pub struct Plan {
    pub routers: Vec<SocketAddr>,
    pub path: String,
    pub rate: u64,
    pub length: Duration,
    /// For each router.
    pub connections: u64,
}

struct Connection {
    router: usize,
    stream: TcpStream,
    received: Vec<u8>,
    due: Option<Instant>,
}

/// What came from one router since the last report.
#[derive(Clone, Default)]
struct Seen {
    /// Answers and failures of each second since 1970.
    seconds: BTreeMap<u64, [u64; 2]>,
    /// By who answered: how many, and how many of these with a failure.
    systems: BTreeMap<String, [u64; 2]>,
    last_new_ms: Option<f64>,
    unanswered: u64,
}

struct Router {
    idle: Vec<usize>,
    waiting: VecDeque<Instant>,
    seen: Seen,
}

struct Load<'a> {
    plan: &'a Plan,
    poller: Poller,
    connections: Vec<Connection>,
    routers: Vec<Router>,
    users: Dice,
    latencies_us: BTreeMap<String, Vec<u64>>,
}

impl Load<'_> {
    fn fail(&mut self, router: usize) {
        let seen = &mut self.routers[router].seen;
        seen.unanswered += 1;
        seen.seconds.entry(unix_ms() as u64 / 1_000).or_default()[1] += 1;
    }

    fn dispatch(&mut self, number: u64, due: Instant) {
        let at = (number % self.routers.len() as u64) as usize;
        let router = &mut self.routers[at];
        match router.idle.pop() {
            Some(connection) => self.send(connection, due),
            None if router.waiting.len() < WAITING_MAX => router.waiting.push_back(due),
            None => self.fail(at),
        }
    }

    fn send(&mut self, at: usize, due: Instant) {
        let user = self.users.next() % USERS;
        let request =
            format!("GET {} HTTP/1.1\r\nHost: bench.example\r\nX-User-Id: user-{user}\r\n\r\n", self.plan.path);
        let connection = &mut self.connections[at];
        connection.due = Some(due);
        connection.received.clear();
        // A request is far smaller than what a socket takes.
        if connection.stream.write_all(request.as_bytes()).is_err() {
            let router = connection.router;
            self.fail(router);
            self.reopen(at);
        }
    }

    fn release(&mut self, at: usize) {
        let router = &mut self.routers[self.connections[at].router];
        match router.waiting.pop_front() {
            Some(due) => self.send(at, due),
            None => router.idle.push(at),
        }
    }

    /// Replaces a connection that has ended.
    fn reopen(&mut self, at: usize) {
        let router = self.connections[at].router;
        let opened = connect(self.plan.routers[router]).and_then(|stream| {
            self.poller.add(&stream, at)?;
            Ok(stream)
        });
        match opened {
            Ok(stream) => {
                self.connections[at] = Connection { router, stream, received: Vec::new(), due: None };
                self.release(at);
            }
            // Its place stays empty; the rest of the load goes on.
            Err(_) => self.fail(router),
        }
    }

    fn receive(&mut self, at: usize, scratch: &mut [u8]) {
        let connection = &mut self.connections[at];
        let read = match connection.stream.read(scratch) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            other => other,
        };
        let router = connection.router;
        let Some(due) = connection.due else {
            self.routers[router].idle.retain(|own| *own != at);
            return self.reopen(at);
        };
        let judged = match read {
            Ok(0) | Err(_) => Received::Broken(String::new()),
            Ok(bytes) => {
                connection.received.extend_from_slice(&scratch[..bytes]);
                judge(&connection.received)
            }
        };
        match judged {
            Received::More => {}
            Received::Broken(_) => {
                connection.due = None;
                self.fail(router);
                self.reopen(at);
            }
            Received::Whole(answer) => {
                connection.due = None;
                let body = String::from_utf8_lossy(&connection.received[answer.body..]).into_owned();
                self.note(router, body, answer.status, due);
                if answer.keep { self.release(at) } else { self.reopen(at) }
            }
        }
    }

    fn note(&mut self, router: usize, body: String, status: u16, due: Instant) {
        let now = unix_ms();
        // A body is a system's name, or a problem of the router's own.
        let system = if matches!(body.as_str(), "legacy" | NEW) { body } else { "router".to_owned() };
        let failed = u64::from(status >= 400);
        let seen = &mut self.routers[router].seen;
        if system == NEW {
            seen.last_new_ms = Some(now);
        }
        for cell in
            [seen.seconds.entry(now as u64 / 1_000).or_default(), seen.systems.entry(system.clone()).or_default()]
        {
            cell[0] += 1;
            cell[1] += failed;
        }
        self.latencies_us.entry(system).or_default().push(due.elapsed().as_micros() as u64);
    }

    fn is_busy(&self) -> bool {
        self.connections.iter().any(|own| own.due.is_some()) || self.routers.iter().any(|own| !own.waiting.is_empty())
    }

    /// Everything since the last report, as JSON.
    fn report(&mut self) -> String {
        let mut text = String::from("{\"routers\": [");
        let (mut failures, mut requests) = (0, 0);
        for (at, router) in self.routers.iter_mut().enumerate() {
            let seen = std::mem::take(&mut router.seen);
            let counts = seen.systems.values().fold([0, 0], |sum, own| [sum[0] + own[0], sum[1] + own[1]]);
            failures += counts[1] + seen.unanswered;
            requests += counts[0] + seen.unanswered;
            let comma = if at == 0 { "" } else { ", " };
            let last = seen.last_new_ms.map_or("null".to_owned(), |ms| format!("{ms:.3}"));
            let _ = write!(
                text,
                "{comma}{{\"last_new_ms\": {last}, \"unanswered\": {}, \"systems\": {}, \"seconds\": {}}}",
                seen.unanswered,
                object(&seen.systems),
                object(&seen.seconds),
            );
        }
        let latencies: BTreeMap<String, [u64; 2]> = std::mem::take(&mut self.latencies_us)
            .into_iter()
            .map(|(system, mut own)| {
                own.sort_unstable();
                let at = |share: f64| own[((own.len() as f64 * share) as usize).min(own.len() - 1)];
                (system, [at(0.5), at(0.99)])
            })
            .collect();
        let _ = write!(
            text,
            "], \"requests\": {requests}, \"failures\": {failures}, \"p50_p99_us\": {}}}",
            object(&latencies)
        );
        text
    }
}

fn object(cells: &BTreeMap<impl std::fmt::Display, [u64; 2]>) -> String {
    let members: Vec<_> = cells.iter().map(|(name, [one, other])| format!("\"{name}\": [{one}, {other}]")).collect();
    format!("{{{}}}", members.join(", "))
}

fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn open(plan: &Plan) -> io::Result<Load<'_>> {
    let poller = Poller::new()?;
    let (mut connections, mut routers) = (Vec::new(), Vec::new());
    for (router, address) in plan.routers.iter().enumerate() {
        let first = connections.len();
        for at in first..first + usize::try_from(plan.connections).unwrap_or(1) {
            let stream = connect(*address)?;
            poller.add(&stream, at)?;
            connections.push(Connection { router, stream, received: Vec::new(), due: None });
        }
        let idle = (first..connections.len()).collect();
        routers.push(Router { idle, waiting: VecDeque::new(), seen: Seen::default() });
    }
    Ok(Load { plan, poller, connections, routers, users: Dice::new("users"), latencies_us: BTreeMap::new() })
}

pub fn run(plan: &Plan) -> io::Result<()> {
    let mut load = open(plan)?;
    load.poller.add(io::stdin(), STDIN)?;
    let started = Instant::now();
    let mut end = started + plan.length;
    let (mut scratch, mut ready, mut number) = (vec![0; 64 * 1024], Vec::new(), 0_u64);
    loop {
        let now = Instant::now();
        let due_at = |number: u64| started + Duration::from_nanos(number * 1_000_000_000 / plan.rate);
        while due_at(number) <= now && due_at(number) < end {
            load.dispatch(number, due_at(number));
            number += 1;
        }
        let due = due_at(number);
        if due >= end && (!load.is_busy() || now > end + PATIENCE) {
            break;
        }
        let pause = if due < end { due.saturating_duration_since(Instant::now()) } else { Duration::from_millis(20) };
        load.poller.wait(Some(pause), &mut ready)?;
        for at in ready.iter().copied() {
            if at != STDIN {
                load.receive(at, &mut scratch);
                continue;
            }
            let read = io::stdin().read(&mut scratch)?;
            if read == 0 {
                end = end.min(Instant::now());
                // It would report its end for ever.
                load.poller.remove(io::stdin())?;
            }
            for _ in scratch[..read].iter().filter(|byte| **byte == b'\n') {
                print(&load.report())?;
            }
        }
    }
    let left: Vec<_> = load.connections.iter().filter(|own| own.due.is_some()).map(|own| own.router).collect();
    left.into_iter().for_each(|router| load.fail(router));
    print(&load.report())
}
