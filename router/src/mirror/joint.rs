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
use std::task::{Context, Poll, Waker};

use flags::Side;
use jiff::Timestamp;
use metrics::events::MirrorDropped;
use metrics::mismatch::{Kept, NotPaired, Pair, RouteCells};
use metrics::observe::{MigrationCells, MirrorDrop};

use super::budget::Held;
use super::comparer::{Comparer, Work};
use super::digesting::Whole;
use super::pipeline::Pipeline;
use super::tee::{ANSWER, Body, Lost};
use crate::buffers::BUFFER_BYTES;
use crate::h1::framing::Framing;
use crate::h1::head::{Name, ResponseHead};
use crate::worker::Worker;

/// What of an answer's fields is handed over: what callers live by, and how the body is to be read.
const FIELDS: [&[u8]; 9] = [
    b"content-type",
    b"content-encoding",
    b"content-range",
    b"location",
    b"cache-control",
    b"vary",
    b"allow",
    b"set-cookie",
    // Not compared: what it leads to is one side's own.
    b"link",
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
    /// Of which a digest is made, if it is not kept.
    whole: Option<Arc<Whole>>,
    held: Held,
}

impl Given {
    /// The error is that there is no room for it.
    pub(crate) fn new(
        head: &ResponseHead,
        body: Result<Body, Lost>,
        version_header: Option<&str>,
    ) -> Result<Self, Lost> {
        let Body { bytes, truncated, whole, length_min, mut held } = body?;
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
            return Err(Lost::Memory);
        }
        let kept = Kept { status: head.status, headers, body: bytes, truncated, digest: None, length_min };
        Ok(Self { kept, whole, held })
    }
}

/// What is known of the request that is answered.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) route: Arc<str>,
    pub(crate) method: String,
    pub(crate) caller: Option<u64>,
    pub(crate) request_id: String,
    /// What its query carries that a side may have issued, as hashes.
    pub(crate) tokens: Vec<u64>,
    pub(crate) revision: u64,
    /// It had a condition, which its copy has not.
    pub(crate) conditional: bool,
}

/// An answer so many times as long as the caller's is not the same.
const TIMES_LONGER: u64 = 8;

/// What an answer in the clear may be of one that is packed: lists pack 10 to 30 times.
const TIMES_LONGER_OF_PACKED: u64 = 32;

/// What is little enough to be read whatever the caller's answer is; where that is packed, it may be this much unpacked.
const LITTLE: u64 = BUFFER_BYTES as u64;
const LITTLE_OF_PACKED: u64 = 64 << 10;

/// How far an answer is read while nothing is known of the caller's.
const AHEAD: u64 = 256 << 10;

/// How much of a copy's answer is worth reading: it takes time from callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    /// The caller's answer has not begun.
    Unknown,
    UpTo(u64),
    /// As much as anything is made of.
    Whatever,
}

impl Worth {
    /// Beside an answer of this length.
    fn beside(length: u64, is_packed: bool) -> Self {
        if length > ANSWER.kept as u64 {
            return Self::Whatever;
        }
        let (times, little) =
            if is_packed { (TIMES_LONGER_OF_PACKED, LITTLE_OF_PACKED) } else { (TIMES_LONGER, LITTLE) };
        Self::UpTo(length.saturating_mul(times).max(little))
    }
}

/// Whether to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    On,
    /// More would tell nothing.
    Enough,
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
    worth: Cell<Worth>,
    /// The caller's answer is packed.
    is_packed: Cell<bool>,
    /// Copies that wait until there is something of the caller's answer: the other side's, and legacy's once more.
    waiting: RefCell<Vec<Waker>>,
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
            worth: Cell::new(Worth::Unknown),
            is_packed: Cell::new(false),
            waiting: RefCell::default(),
        })
    }

    pub(crate) fn comparer(&self) -> &Comparer {
        &self.worker.comparer
    }

    /// It is to be compared from now on.
    pub(crate) fn set_eligible(&self) {
        if !self.eligible.replace(true) {
            self.route.eligible();
        }
    }

    /// The head of the caller's answer has told how long it will be.
    pub(crate) fn announced(&self, answer: &ResponseHead) {
        self.is_packed.set(answer.get(Name::ContentEncoding).is_some());
        self.is_worth(match answer.framing {
            Framing::None => Worth::beside(0, self.is_packed.get()),
            Framing::Length(length) => Worth::beside(length, self.is_packed.get()),
            Framing::Chunked | Framing::UntilClose => Worth::Whatever,
        });
    }

    fn is_worth(&self, worth: Worth) {
        self.worth.set(worth);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Whether an answer of which so much was read is to be read on; pending while only the caller's could tell.
    pub(crate) fn poll_worth(&self, cx: &Context<'_>, read: u64) -> Poll<Reading> {
        match self.worth.get() {
            Worth::Unknown if read >= AHEAD => {
                let mut waiting = self.waiting.borrow_mut();
                if !waiting.iter().any(|own| own.will_wake(cx.waker())) {
                    waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
            Worth::UpTo(most) if read > most => Poll::Ready(Reading::Enough),
            Worth::Unknown | Worth::UpTo(_) | Worth::Whatever => Poll::Ready(Reading::On),
        }
    }

    pub(crate) fn arrive(&self, part: Part, answer: Result<Given, Lost>) {
        let at = match part {
            Part::Of(Side::Legacy) => 0,
            Part::Of(Side::New) => 1,
            Part::Again => 2,
        };
        if let Err(lost) = &answer {
            let (drop, why) = match lost {
                Lost::Memory => (MirrorDrop::Memory, NotPaired::Memory),
                Lost::Busy => (MirrorDrop::ComparerBusy, NotPaired::ComparerBusy),
            };
            self.dropped(drop);
            if part != Part::Again {
                self.miss(why);
            }
        }
        if part == Part::Of(self.serves) {
            self.is_worth(match &answer {
                Ok(own) if own.kept.truncated => Worth::Whatever,
                Ok(own) => Worth::beside(own.kept.body.len() as u64, self.is_packed.get()),
                Err(_) => Worth::UpTo(0),
            });
        }
        self.answers.borrow_mut()[at] = answer.ok();
    }

    /// One of both answers will not come, or must not count. What is said first stays.
    pub(crate) fn miss(&self, why: NotPaired) {
        self.why.set(self.why.get().or(Some(why)));
        self.is_worth(Worth::UpTo(0));
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
        let (mut held, mut wholes) = (vec![legacy.held, new.held], [legacy.whole, new.whole, None]);
        let again = again.map(|again| {
            held.push(again.held);
            wholes[2] = again.whole;
            again.kept
        });
        let Asked { route, method, caller, request_id, tokens, revision, conditional: _ } = &mut self.asked;
        let pair = Pair {
            migration: self.pipeline.id.clone(),
            route: Arc::clone(route),
            method: std::mem::take(method),
            caller: *caller,
            request_id: std::mem::take(request_id),
            tokens: std::mem::take(tokens),
            revision: *revision,
            at: Timestamp::now(),
            legacy: legacy.kept,
            new: new.kept,
            again,
        };
        if !self.worker.comparer.take(Work { pair, wholes, held }) {
            self.dropped(MirrorDrop::ComparerBusy);
            self.route.not_compared(NotPaired::ComparerBusy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(length: u64, is_packed: bool, expected: Option<u64>) {
        let expected = expected.map_or(Worth::Whatever, Worth::UpTo);
        assert_eq!(Worth::beside(length, is_packed), expected, "beside {length} bytes");
    }

    #[test]
    fn a_copys_answer_is_read_as_far_as_it_can_be_the_same() {
        check(0, false, Some(LITTLE));
        check(0, true, Some(LITTLE_OF_PACKED));
        check(512, false, Some(LITTLE));
        check(10_000, false, Some(80_000));
        check(10_000, true, Some(320_000));
        check(1 << 20, false, Some(8 << 20));
        check((1 << 20) + 1, false, None);
        check(u64::MAX, true, None);
    }
}
