//! Where the answers to one request meet, so that it ends in exactly one count.
//!
//! # Why the end is a drop
//!
//! The caller's request, the copy and legacy's second answer end in any order, and each may be cut off anywhere: by its peer, a
//! time-out, a drain. Whoever works at one of them holds this; the last to let go finds both answers and hands them over, or
//! finds why not. So nothing is counted twice, and nothing is forgotten.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use flags::Side;
use jiff::Timestamp;
use metrics::events::MirrorDropped;
use metrics::mismatch::{Kept, NotPaired, Pair, RouteCells};
use metrics::observe::{MigrationCells, MirrorDrop};

use super::budget::Held;
use super::comparer::Work;
use super::pipeline::Pipeline;
use super::tee::{ANSWER, Body, Lost};
use crate::h1::framing::Framing;
use crate::h1::head::ResponseHead;
use crate::worker::Worker;

/// What of an answer's fields is handed over: what callers live by, and how the body is to be read.
const FIELDS: [&[u8]; 8] = [
    b"content-type",
    b"content-encoding",
    b"content-range",
    b"location",
    b"cache-control",
    b"vary",
    b"allow",
    b"set-cookie",
];

/// Whose answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Of(Side),
    /// Legacy's to the same request, asked once more.
    Again,
}

/// One answer, with the memory that it holds.
#[derive(Debug)]
pub(crate) struct Given {
    kept: Kept,
    held: Held,
}

impl Given {
    /// `None` where there is no room for it.
    pub(crate) fn new(head: &ResponseHead, body: Result<Body, Lost>, version_header: Option<&str>) -> Option<Self> {
        let Ok(Body { bytes, truncated, digest, mut held }) = body else { return None };
        let is_wanted = |name: &[u8]| {
            let named = |own: &&[u8]| own.eq_ignore_ascii_case(name);
            FIELDS.iter().any(named) || version_header.is_some_and(|own| named(&own.as_bytes()))
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields = head.fields.iter().map(|field| (field.name.of(&head.bytes), field.value.of(&head.bytes)));
        let headers: Vec<(String, String)> =
            fields.filter(|(name, _)| is_wanted(name)).map(|(name, value)| (text(name), text(value))).collect();
        let length: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if !held.hold(bytes.capacity() + length) {
            return None;
        }
        Some(Self { kept: Kept { status: head.status, headers, body: bytes, truncated, digest }, held })
    }
}

/// What is known of the request that is answered.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) route: Arc<str>,
    pub(crate) method: String,
    pub(crate) caller: Option<u64>,
    pub(crate) request_id: String,
    pub(crate) revision: u64,
    /// It had a condition, which its copy has not.
    pub(crate) conditional: bool,
}

/// One request of which two answers are awaited.
#[derive(Debug)]
pub(crate) struct Joint {
    worker: Rc<Worker>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) cells: Arc<MigrationCells>,
    route: Arc<RouteCells>,
    asked: Asked,
    /// The side whose answer the caller gets.
    pub(crate) serves: Side,
    answers: RefCell<[Option<Given>; 3]>,
    why: Cell<Option<NotPaired>>,
    /// It counts as one to be compared.
    eligible: Cell<bool>,
    /// The caller's answer is no longer than is kept.
    is_short: Cell<bool>,
}

impl Joint {
    pub(crate) fn new(
        worker: &Rc<Worker>,
        pipeline: &Arc<Pipeline>,
        cells: &Arc<MigrationCells>,
        route: Arc<RouteCells>,
        asked: Asked,
        serves: Side,
    ) -> Rc<Self> {
        Rc::new(Self {
            worker: Rc::clone(worker),
            pipeline: Arc::clone(pipeline),
            cells: Arc::clone(cells),
            route,
            asked,
            serves,
            answers: RefCell::default(),
            why: Cell::new(None),
            eligible: Cell::new(false),
            is_short: Cell::new(false),
        })
    }

    /// It is to be compared from now on.
    pub(crate) fn set_eligible(&self) {
        if !self.eligible.replace(true) {
            self.route.eligible();
        }
    }

    /// The head of the caller's answer has told how long it will be.
    pub(crate) fn announced(&self, framing: Framing) {
        let is_short = match framing {
            Framing::None => true,
            Framing::Length(length) => length <= ANSWER.kept as u64,
            Framing::Chunked | Framing::UntilClose => false,
        };
        self.is_short.set(is_short);
    }

    /// Whether an answer that is longer than is kept cannot be the same: reading on would only take time from callers.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short.get()
    }

    pub(crate) fn arrive(&self, part: Part, answer: Option<Given>) {
        let at = match part {
            Part::Of(Side::Legacy) => 0,
            Part::Of(Side::New) => 1,
            Part::Again => 2,
        };
        if answer.is_none() {
            self.dropped(MirrorDrop::Memory);
            if part != Part::Again {
                self.miss(NotPaired::Memory);
            }
        }
        if part == Part::Of(self.serves) {
            self.is_short.set(answer.as_ref().is_none_or(|own| !own.kept.truncated));
        }
        self.answers.borrow_mut()[at] = answer;
    }

    /// One of both answers will not come, or must not count. What is said first stays.
    pub(crate) fn miss(&self, why: NotPaired) {
        self.why.set(self.why.get().or(Some(why)));
    }

    /// Whether a pair can still come of it.
    pub(crate) fn is_open(&self) -> bool {
        self.why.get().is_none()
    }

    /// Counts and tells a copy that was not sent, or a pair that was not compared.
    pub(crate) fn dropped(&self, why: MirrorDrop) {
        MirrorDropped { migration: &self.pipeline.id, why }.emit(&self.cells);
    }

    /// A precondition that failed decided this answer, and not what the side has.
    fn is_of_condition(&self, legacy: &Given, new: &Given) -> bool {
        let served = if self.serves == Side::Legacy { legacy } else { new };
        self.asked.conditional && served.kept.status == 412
    }
}

impl Drop for Joint {
    fn drop(&mut self) {
        if !self.eligible.get() {
            return;
        }
        let (legacy, new, again) = match (std::mem::take(self.answers.get_mut()), self.why.get()) {
            ([Some(legacy), Some(new), again], None) => (legacy, new, again),
            (_, why) => return self.route.not_compared(why.unwrap_or(NotPaired::Cancelled)),
        };
        if self.is_of_condition(&legacy, &new) {
            return self.route.not_compared(NotPaired::Precondition);
        }
        let mut held = vec![legacy.held, new.held];
        let again = again.map(|again| {
            held.push(again.held);
            again.kept
        });
        let Asked { route, method, caller, request_id, revision, conditional: _ } = &mut self.asked;
        let pair = Pair {
            migration: self.pipeline.id.clone(),
            route: Arc::clone(route),
            method: std::mem::take(method),
            caller: *caller,
            request_id: std::mem::take(request_id),
            revision: *revision,
            at: Timestamp::now(),
            legacy: legacy.kept,
            new: new.kept,
            again,
        };
        if !self.worker.comparer.take(Work { pair, held }) {
            self.dropped(MirrorDrop::ComparerBusy);
            self.route.not_compared(NotPaired::ComparerBusy);
        }
    }
}
