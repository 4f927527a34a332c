//! Two systems that work on issues and behave badly, and one log of what reached them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One delivery as it reached a system, in the order of the log.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    pub(crate) side: &'static str,
    pub(crate) issue: String,
    pub(crate) delivery: String,
    /// Generation and epoch.
    pub(crate) fence: (u64, u64),
    /// The system worked on it; otherwise it said so that it certainly did not.
    pub(crate) worked: bool,
}

/// The log of both systems: the oracle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Reached>>>);

impl Log {
    pub(crate) fn all(&self) -> Vec<Reached> {
        self.0.lock().unwrap().clone()
    }

    /// Deliveries that a system has worked on.
    pub(crate) fn done(&self) -> usize {
        let all = self.0.lock().unwrap();
        let ids: std::collections::HashSet<&str> =
            all.iter().filter(|one| one.worked).map(|one| one.delivery.as_str()).collect();
        ids.len()
    }

    /// What of the promises was broken, given the deliveries of each issue in the order in which they were sent.
    pub(crate) fn broken(&self, sent: &BTreeMap<String, Vec<String>>) -> Vec<String> {
        let mut broken = Vec::new();
        let mut by_issue: BTreeMap<String, Vec<Reached>> = BTreeMap::new();
        for one in self.all() {
            by_issue.entry(one.issue.clone()).or_default().push(one);
        }
        for (issue, expected) in sent {
            let reached = by_issue.get(issue).map(Vec::as_slice).unwrap_or_default();
            let mut order: Vec<&str> = Vec::new();
            for one in reached.iter().filter(|one| one.worked) {
                match order.iter().position(|own| *own == one.delivery) {
                    None => order.push(&one.delivery),
                    // Once the next has begun, the one before is over.
                    Some(at) if at + 1 < order.len() => {
                        broken.push(format!("{issue}: {} came again too late", one.delivery))
                    }
                    Some(_) => {}
                }
            }
            if order != expected.iter().map(String::as_str).collect::<Vec<_>>() {
                broken.push(format!("{issue}: sent {expected:?}, reached {order:?}"));
            }
            let mut owner: BTreeMap<(u64, u64), &str> = BTreeMap::new();
            for pair in reached.windows(2) {
                if pair[1].fence < pair[0].fence {
                    broken.push(format!("{issue}: an old order came after a newer one: {pair:?}"));
                }
            }
            for one in reached {
                if *owner.entry(one.fence).or_insert(one.side) != one.side {
                    broken.push(format!("{issue}: both systems own it at {:?}", one.fence));
                }
            }
        }
        broken
    }
}

/// How a system treats a delivery, by chance but the same in every run: mostly well.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    Slow,
    Fails,
    Resets,
    Vanishes,
    Declines,
}

fn mood(delivery: &str, attempt: &str) -> Mood {
    let hash = delivery
        .bytes()
        .chain(attempt.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    // Each goes well at the second try at the latest, so that the run is short.
    match (attempt, (hash >> 20) % 100) {
        ("1", 0..=2) => Mood::Fails,
        ("1", 3..=4) => Mood::Resets,
        ("1", 5..=6) => Mood::Vanishes,
        ("1", 7..=8) => Mood::Declines,
        (_, 9..=12) => Mood::Slow,
        _ => Mood::Well,
    }
}

/// One system; it refuses connections and cuts the open ones while it is down.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    up: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<JoinHandle<()>>>>,
    accepting: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Agent {
    pub(crate) async fn start(side: &'static str, log: &Log) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (up, open) = (Arc::new(AtomicBool::new(true)), Arc::<Mutex<Vec<JoinHandle<()>>>>::default());
        let (is_up, connections, log) = (Arc::clone(&up), Arc::clone(&open), log.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if is_up.load(Ordering::SeqCst) {
                    let task = tokio::spawn(serve(stream, side, log.clone()));
                    let mut connections = connections.lock().unwrap();
                    connections.retain(|task: &JoinHandle<()>| !task.is_finished());
                    connections.push(task);
                }
            }
        });
        Self { address, up, open, accepting }
    }

    fn cut(&self) {
        self.open.lock().unwrap().drain(..).for_each(|task| task.abort());
    }

    /// As `kill -9` would: nothing is answered any more.
    pub(crate) fn kill(&self) {
        self.up.store(false, Ordering::SeqCst);
        self.cut();
    }

    pub(crate) fn revive(&self) {
        self.up.store(true, Ordering::SeqCst);
    }
}

/// Reads one request; none at the end of the connection.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<BTreeMap<String, String>> {
    let mut piece = vec![0; 16 * 1024];
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
            let fields: BTreeMap<_, _> =
                fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
            let length: usize = fields.get("content-length").and_then(|own| own.parse().ok()).unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                buffer.drain(..end + 4 + length);
                return Some(fields);
            }
        }
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        buffer.extend_from_slice(&piece[..read]);
    }
}

async fn serve(mut stream: TcpStream, side: &'static str, log: Log) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some(fields) = request(&mut stream, &mut buffer).await {
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let (delivery, attempt, fence) =
            (field("idempotency-key"), field("crossfade-attempt"), field("crossfade-fence"));
        let fence = fence.split_once('.').map(|(a, b)| (a.parse().unwrap_or(0), b.parse().unwrap_or(0)));
        let mood = mood(&delivery, &attempt);
        let worked = !matches!(mood, Mood::Declines);
        let issue = field("crossfade-issue");
        log.0.lock().unwrap().push(Reached { side, issue, delivery, fence: fence.unwrap_or_default(), worked });
        let answer = match mood {
            Mood::Well => "202 Accepted",
            Mood::Slow => {
                // Well before the deadline of the router.
                tokio::time::sleep(Duration::from_millis(50)).await;
                "200 OK"
            }
            Mood::Fails => "500 Broken",
            Mood::Declines => "503 Busy\r\nCrossfade-Not-Accepted: 1",
            Mood::Resets => {
                let _ = stream.set_zero_linger();
                return;
            }
            Mood::Vanishes => return,
        };
        let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
