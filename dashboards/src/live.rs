//! What pages are told while it happens: one look a second for all of them, and what a page that was away has missed.
//!
//! # Why one look for everybody
//!
//! Twenty open pages must not ask the store twenty times as often as one. So one task looks once a second, and at each change,
//! and every stream is given the same frames. While no page is open it only follows changes, so that the first page to come
//! back finds what it missed; before the first page it does not run at all.
//!
//! # Frames
//!
//! | Event | Says |
//! |---|---|
//! | `state` | where every migration stands, the replicas, the upstreams; afterwards only what has changed since (`partial`) |
//! | `counts` | the newest whole second of the fleet, by migration and side; of this router while the store is away |
//! | `notice` | somebody or something moved a migration, or its guard stopped or freed it |
//! | `bye` | the stream ends: the session is over, or the router goes down |
//!
//! A frame has the identifier `PROCESS-NUMBER`. A stream that names one on its return is given the notices since then; where that
//! is too long ago, or of another process, it gets the state of now, as everybody does at first.
//!
//! # Limits
//!
//! [`STREAMS_MAX`] streams, [`NOTICES_MAX`] notices, [`BEHIND_MAX`] frames that a slow page may be behind: one that is slower is given
//! the whole state anew.

mod counts;
mod notices;
mod state;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::MissedTickBehavior;

use self::counts::Counted;
use self::notices::Noticed;
use self::state::Seen;
use crate::{Inner, Shared};

const EVERY: Duration = Duration::from_secs(1);
pub(crate) const STREAMS_MAX: usize = 64;
const NOTICES_MAX: usize = 256;
const BEHIND_MAX: usize = 32;

/// How long one look may wait for the store.
const STORE_WAIT: Duration = Duration::from_millis(800);

/// How long a page waits for it before it comes without.
const STORE_WAIT_OF_PAGE: Duration = Duration::from_millis(50);

/// One event on its way to every stream.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) number: u64,
    pub(crate) event: &'static str,
    pub(crate) data: Arc<str>,
}

/// The hub of this process.
#[derive(Debug)]
pub(crate) struct Live {
    process: String,
    frames: broadcast::Sender<Frame>,
    number: AtomicU64,
    notices: Mutex<VecDeque<Frame>>,
    runs: AtomicBool,
    places: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        let mut bytes = [0; 4];
        // Without random numbers two processes may look like one; a page then misses a notice at most.
        let _ = getrandom::fill(&mut bytes);
        Self {
            process: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            frames: broadcast::Sender::new(BEHIND_MAX),
            number: AtomicU64::new(0),
            notices: Mutex::default(),
            runs: AtomicBool::new(false),
            places: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }
}

/// What a stream begins with.
pub(crate) struct Beginning {
    pub(crate) frames: VecDeque<Frame>,
    pub(crate) receiver: broadcast::Receiver<Frame>,
    pub(crate) place: OwnedSemaphorePermit,
}

impl Live {
    /// A place among the streams, and what to tell first; none where there are too many.
    pub(crate) async fn begin(shared: &Shared, last: Option<&str>) -> Option<Beginning> {
        let live = &shared.live;
        let place = Arc::clone(&live.places).try_acquire_owned().ok()?;
        if !live.runs.swap(true, Ordering::Relaxed) {
            tokio::spawn(run(Arc::downgrade(&shared.0)));
        }
        // First listen, then look: what happens in between is told twice rather than never.
        let receiver = live.frames.subscribe();
        let mut frames = VecDeque::from([live.whole(shared).await]);
        frames.extend(live.missed(last));
        Some(Beginning { frames, receiver, place })
    }

    /// Where everything stands now.
    pub(crate) async fn whole(&self, shared: &Shared) -> Frame {
        let seen = Seen::look(shared, STORE_WAIT).await;
        self.frame("state", &seen.whole())
    }

    /// The same, for a page that begins with it: one that is on its way to the screen does not wait for a store in trouble.
    pub(crate) async fn at_first(shared: &Shared) -> Value {
        Seen::look(shared, STORE_WAIT_OF_PAGE).await.whole()
    }

    pub(crate) fn id(&self, frame: &Frame) -> String {
        format!("{}-{}", self.process, frame.number)
    }

    fn missed(&self, last: Option<&str>) -> Vec<Frame> {
        let number = last.and_then(|id| id.strip_prefix(&self.process)?.strip_prefix('-')?.parse::<u64>().ok());
        let Some(number) = number else { return Vec::new() };
        let notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        notices.iter().filter(|notice| notice.number > number).cloned().collect()
    }

    fn frame(&self, event: &'static str, data: &Value) -> Frame {
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        Frame { number, event, data: data.to_string().into() }
    }

    fn tell(&self, event: &'static str, data: &Value) {
        let frame = self.frame(event, data);
        if event == "notice" {
            let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
            if notices.len() == NOTICES_MAX {
                notices.pop_front();
            }
            notices.push_back(frame.clone());
        }
        // Nobody listens: then nobody is told.
        let _ = self.frames.send(frame);
    }

    fn has_listeners(&self) -> bool {
        self.frames.receiver_count() > 0
    }
}

/// Looks until the process ends.
async fn run(inner: Weak<Inner>) {
    let Some(first) = inner.upgrade().map(Shared) else { return };
    let mut swaps = first.watch.subscribe();
    let mut seen = Seen::look(&first, STORE_WAIT).await;
    let mut noticed = Noticed::new(&first);
    let mut counted = Counted::default();
    drop(first);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            changed = swaps.changed() => if changed.is_err() { return },
        }
        let Some(shared) = inner.upgrade().map(Shared) else { return };
        for notice in noticed.look(&shared).await {
            shared.live.tell("notice", &notice);
        }
        if !shared.live.has_listeners() {
            continue;
        }
        // Together, so that a store that does not answer is waited for once.
        let (now, counts) = tokio::join!(Seen::look(&shared, STORE_WAIT), counted.look(&shared));
        if let Some(changed) = now.since(&seen) {
            shared.live.tell("state", &changed);
        }
        seen = now;
        if let Some(counts) = counts {
            shared.live.tell("counts", &counts);
        }
    }
}
