//! Two systems that work on issues and behave badly, each a process of its own, and one log of what reached them.
//!
//! A system is this test binary again, started with [`SIDE`] in its environment, so that `kill -9` ends it as it would any
//! other. Both append to one file, a line with one write, before they answer: what has reached a system is known however
//! it ends.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::backend::refused_address;
use harness::wait_for;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// What makes a system of this binary: its side, its log, its address.
const SIDE: &str = "CROSSFADE_AGENT_SIDE";
const LOG: &str = "CROSSFADE_AGENT_LOG";
const ADDRESS: &str = "CROSSFADE_AGENT_ADDRESS";

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

impl Reached {
    fn line(&self) -> String {
        let Self { side, issue, delivery, fence: (generation, epoch), worked } = self;
        format!("{side} {issue} {delivery} {generation} {epoch} {worked}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let [side, issue, delivery, generation, epoch, worked] = words[..] else { return None };
        Some(Self {
            side: if side == "new" { "new" } else { "legacy" },
            issue: issue.into(),
            delivery: delivery.into(),
            fence: (generation.parse().ok()?, epoch.parse().ok()?),
            worked: worked == "true",
        })
    }
}

/// The log of both systems: the oracle.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    folder: Arc<TempDir>,
    read: Arc<Mutex<SoFar>>,
}

/// What of the file has been read.
#[derive(Debug, Default)]
struct SoFar {
    bytes: u64,
    all: Vec<Reached>,
    done: HashSet<String>,
}

impl Log {
    pub(crate) fn new() -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        let log = Self { folder, read: Arc::default() };
        File::create(log.path()).unwrap();
        log
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("reached")
    }

    fn so_far<T>(&self, look: impl FnOnce(&SoFar) -> T) -> T {
        let mut read = self.read.lock().unwrap();
        let mut file = File::open(self.path()).unwrap();
        file.seek(SeekFrom::Start(read.bytes)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        read.bytes += whole.len() as u64;
        for one in whole.lines().map(|line| Reached::parse(line).unwrap()) {
            if one.worked {
                read.done.insert(one.delivery.clone());
            }
            read.all.push(one);
        }
        look(&read)
    }

    pub(crate) fn all(&self) -> Vec<Reached> {
        self.so_far(|read| read.all.clone())
    }

    /// Deliveries that a system has worked on.
    pub(crate) fn done(&self) -> usize {
        self.so_far(|read| read.done.len())
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
    /// Later than the router waits.
    TooSlow,
    Fails,
    Resets,
    Vanishes,
    Declines,
    /// Answers once more than it was asked.
    Twice,
}

fn mood(delivery: &str, attempt: &str) -> Mood {
    let hash = delivery
        .bytes()
        .chain(attempt.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    // Each goes well at the second try at the latest, so that the run is short.
    match (attempt, (hash >> 20) % 1_000) {
        ("1", 0..=29) => Mood::Fails,
        ("1", 30..=49) => Mood::Resets,
        ("1", 50..=69) => Mood::Vanishes,
        ("1", 70..=89) => Mood::Declines,
        ("1", 90..=91) => Mood::TooSlow,
        (_, 92..=119) => Mood::Slow,
        (_, 120..=139) => Mood::Twice,
        _ => Mood::Well,
    }
}

/// One system.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    side: &'static str,
    log: PathBuf,
    child: Child,
}

impl Agent {
    pub(crate) async fn start(side: &'static str, log: &Log) -> Self {
        let address = refused_address();
        let child = spawn(side, &log.path(), address);
        let agent = Self { address, side, log: log.path(), child };
        agent.listens().await;
        agent
    }

    async fn listens(&self) {
        wait_for("the system listens", || async { TcpStream::connect(self.address).await.ok().map(drop) }).await;
    }

    /// `kill -9`, and another process at the same place.
    pub(crate) async fn kill_and_start(&mut self) {
        self.child.kill().await.unwrap();
        self.child = spawn(self.side, &self.log, self.address);
        self.listens().await;
    }
}

fn spawn(side: &str, log: &std::path::Path, address: SocketAddr) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "issues::agents::a_system_in_a_process_of_its_own", "--nocapture"]);
    command.env(SIDE, side).env(LOG, log).env(ADDRESS, address.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// No test: what [`spawn`] runs.
#[tokio::test]
async fn a_system_in_a_process_of_its_own() {
    let (Ok(side), Ok(log), Ok(address)) = (std::env::var(SIDE), std::env::var(LOG), std::env::var(ADDRESS)) else {
        return;
    };
    let side = if side == "new" { "new" } else { "legacy" };
    let listener = TcpListener::bind(address).await.unwrap();
    let log = Arc::new(OpenOptions::new().append(true).open(log).unwrap());
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, side, Arc::clone(&log)));
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

async fn serve(mut stream: TcpStream, side: &'static str, log: Arc<File>) {
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
        let reached = Reached { side, issue, delivery, fence: fence.unwrap_or_default(), worked };
        (&*log).write_all(reached.line().as_bytes()).unwrap();
        let answer = match mood {
            Mood::Well | Mood::Twice => "202 Accepted",
            Mood::Slow | Mood::TooSlow => {
                let deadline = if matches!(mood, Mood::Slow) { 50 } else { 2_500 };
                tokio::time::sleep(Duration::from_millis(deadline)).await;
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
        let mut answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
        if matches!(mood, Mood::Twice) {
            answer = answer.repeat(2);
        }
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
