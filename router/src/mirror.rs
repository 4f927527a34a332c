//! Copies of requests to the other side: bounded, detached, and never in the way of the caller.
//!
//! # What a request has to do with its copy
//!
//! It shows the bytes that go by, and tells when its body and its answer are whole. Everything else is done by tasks of their
//! own: nothing here is awaited by the request, nothing can make it wait, and whatever has no room is given up and counted.
//!
//! # When a copy leaves
//!
//! - one without a body at once, beside the request itself;
//! - one with a body when the serving side has taken the whole body and begun to answer: a part of a body is never sent;
//! - a write, where the file allows it, when the serving side has answered 2xx.
//!
//! Never copied: upgrades, requests for server-sent events or with `Expect: 100-continue`, bodies that are larger than the file
//! allows, and what had no answer of the serving side before its body was whole.
//!
//! # What is compared
//!
//! Both answers, as far as they are kept, by a thread of its own. Of some GET, HEAD and OPTIONS legacy is asked once more, so
//! that what differs from itself is known for noise. A write is never sent to a side twice.
//!
//! Not here: what copies share over reloads (`pipeline`), sending one (`send`), and what comparing means ([`metrics::compare`]).

mod breaker;
mod budget;
pub(crate) mod comparer;
mod copy;
mod digesting;
mod joint;
pub(crate) mod pipeline;
mod send;
mod tee;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use flags::decide::is_safe;
use flags::{Bucket, Decision, MigrationIndex, Side};
use metrics::events::MirrorBreakerOpened;
use metrics::mismatch::NotPaired;
use metrics::observe::MirrorDrop;

use self::breaker::Pass;
use self::budget::Place as Room;
use self::joint::{Asked, Given, Joint, Part};
use self::send::Sending;
pub(crate) use self::tee::Tee;
use self::tee::{Body, Extent};
use crate::attempts::{Meeting, Subject};
use crate::h1::framing::Framing;
use crate::h1::head::{Name, RequestHead, ResponseHead};
use crate::headers::{self, Identity, Peer};
use crate::proxy::place::Place;
use crate::worker::{Tables, Worker};

/// The request that is copied, as the worker has it.
#[derive(Clone, Copy)]
pub(crate) struct Original<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) peer: &'a Peer,
    pub(crate) head: &'a RequestHead,
    pub(crate) identity: Identity,
}

/// What a request that is copied carries along.
#[derive(Debug)]
pub(crate) struct Shadow {
    joint: Rc<Joint>,
    meeting: Rc<Meeting>,
    tables: Rc<Tables>,
    at: MigrationIndex,
    /// The side that gets the copy.
    subject: Subject,
    is_write: bool,
    /// What is counted if the copy does not leave any more; none once it has, and while it need not.
    unsent: Option<MirrorDrop>,
    /// The request's body, until the copy has left.
    upload: Option<Tee>,
    /// The caller's answer.
    answer: Option<Tee>,
}

impl Drop for Shadow {
    fn drop(&mut self) {
        if let Some(why) = self.unsent {
            self.joint.dropped(why);
        }
    }
}

/// Begins what there is to copy of a request that was decided so; a copy without a body leaves now.
pub(crate) fn cast(
    original: Original<'_>,
    place: &Place,
    at: MigrationIndex,
    decision: &Decision,
    subject: Subject,
) -> Option<Box<Shadow>> {
    let Original { worker, head, identity, .. } = original;
    if !copy::can_be_copied(head) {
        return None;
    }
    let (tables, generation) = (&place.tables, &place.tables.generation);
    let (pipeline, counted) = (generation.pipelines.get(at.0)?, generation.counted.get(place.route.0)?.as_ref()?);
    let made = headers::hexadecimal(identity);
    let asked = Asked {
        route: Arc::clone(&counted.template),
        method: String::from_utf8_lossy(head.method()).into_owned(),
        caller: place.caller.map(std::num::NonZeroU64::get),
        request_id: String::from_utf8_lossy(headers::request_id(head).unwrap_or(&made)).into_owned(),
        tokens: head.query().map(|query| worker.comparer.mismatches.tokens(query)).unwrap_or_default(),
        revision: decision.revision.0,
        conditional: copy::is_conditional(head),
    };
    let cells = counted.cells(&worker.comparer.mismatches, &pipeline.id);
    let joint = Joint::new(worker, pipeline, &subject.cells, cells, asked, decision.serve);
    let held = pipeline.budget.nothing();
    let most = pipeline.settings.request_max;
    let upload = match head.framing {
        Framing::Length(length) if length > most as u64 => Tee::of_nothing(held),
        _ => Tee::new(Extent { kept: most, digested: 0 }, "", held, None),
    };
    let is_write = !is_safe(head.method());
    let mut shadow = Box::new(Shadow {
        joint,
        meeting: Rc::default(),
        tables: Rc::clone(tables),
        at,
        subject,
        is_write,
        unsent: None,
        upload: head.has_body().then_some(upload),
        answer: None,
    });
    if !is_write {
        shadow.joint.set_eligible();
        shadow.unsent = Some(MirrorDrop::Cancelled);
        if shadow.upload.is_none() {
            shadow.leave(original);
        }
    }
    Some(shadow)
}

/// Whether the body of an answer can be compared at all; of one that cannot nothing is kept.
fn wants_body(answer: &ResponseHead) -> bool {
    let is_stream = || {
        answer.fields.iter().any(|field| {
            field.known == Name::Other
                && field.name.of(&answer.bytes).eq_ignore_ascii_case(b"content-type")
                && field
                    .value
                    .of(&answer.bytes)
                    .get(..17)
                    .is_some_and(|own| own.eq_ignore_ascii_case(b"text/event-stream"))
        })
    };
    !matches!(answer.status, 206 | 304 | 416 | 429) && !is_stream()
}

impl Shadow {
    /// Where the attempt for the caller meets that of the copy.
    pub(crate) fn meeting(&self) -> Rc<Meeting> {
        Rc::clone(&self.meeting)
    }

    /// Who watches the request's body.
    pub(crate) const fn upload(&self) -> Option<&Tee> {
        self.upload.as_ref()
    }

    /// Who watches the answer's body.
    pub(crate) const fn answer(&self) -> Option<&Tee> {
        self.answer.as_ref()
    }

    /// The head of the caller's answer is there. `false` when nothing is to be made of this request any more.
    pub(crate) fn answered(&mut self, original: Original<'_>, answer: &ResponseHead, uploaded: bool) -> bool {
        if self.is_write {
            if !(200..300).contains(&answer.status) {
                return false;
            }
            self.joint.set_eligible();
            self.unsent = self.unsent.or(Some(MirrorDrop::Refused));
        }
        if uploaded && self.unsent.is_some() {
            self.leave(original);
        }
        self.joint.announced(answer);
        if self.joint.is_open() {
            let held = self.joint.pipeline.budget.nothing();
            let comparer = self.joint.comparer();
            let tee = if wants_body(answer) { Tee::of_answer(answer, held, comparer) } else { Tee::of_nothing(held) };
            self.answer = Some(tee);
        }
        true
    }

    /// The caller has the whole answer.
    pub(crate) fn finished(mut self: Box<Self>, original: Original<'_>, answer: &ResponseHead, uploaded: bool) {
        if self.unsent.is_some() {
            if uploaded {
                self.leave(original);
            } else {
                self.unsent = Some(MirrorDrop::Refused);
                self.joint.miss(NotPaired::Refused);
            }
        }
        if let Some(tee) = self.answer.take() {
            let version = self.joint.pipeline.settings.version_header.as_deref();
            let given = Given::new(answer, tee.end(), version);
            self.joint.arrive(Part::Of(self.joint.serves), given);
        }
    }

    /// The caller has no whole answer of the side that was to serve it: because it left, or because the side failed.
    pub(crate) fn failed(mut self: Box<Self>, caller_left: bool) {
        let (drop, why) = match (caller_left, self.joint.serves) {
            (true, _) => (MirrorDrop::Cancelled, NotPaired::Cancelled),
            (false, Side::Legacy) => (MirrorDrop::Refused, NotPaired::LegacyFailed),
            (false, Side::New) => (MirrorDrop::Refused, NotPaired::NewFailed),
        };
        self.joint.miss(why);
        self.unsent = self.unsent.map(|_| drop);
    }

    /// Sends the copy, and at times one more to legacy, or counts why not.
    fn leave(&mut self, original: Original<'_>) {
        self.unsent = None;
        if let Err((drop, why)) = self.try_to_leave(original) {
            self.joint.dropped(drop);
            self.joint.miss(why);
        }
    }

    fn try_to_leave(&mut self, original: Original<'_>) -> Result<(), (MirrorDrop, NotPaired)> {
        let body = match self.upload.take().map(Tee::end) {
            None => None,
            Some(Ok(Body { truncated: true, .. })) => {
                return Err((MirrorDrop::BodyTooLarge, NotPaired::BodyTooLarge));
            }
            Some(Ok(body)) => Some(Rc::new(body)),
            Some(Err(_)) => return Err((MirrorDrop::Memory, NotPaired::Memory)),
        };
        if original.worker.draining.is_on() {
            return Err((MirrorDrop::Draining, NotPaired::Draining));
        }
        let pipeline = Arc::clone(&self.joint.pipeline);
        let room = pipeline.budget.place().ok_or((MirrorDrop::Busy, NotPaired::Busy))?;
        let pass = pipeline.breaker.pass(pipeline.now()).ok_or((MirrorDrop::Breaker, NotPaired::Breaker))?;
        let side = self.subject.side;
        self.send(original, (side, Part::Of(side)), body.clone(), Some(pass), room);
        // Not while it is uncertain whether that side answers at all, and never what changes something.
        let noise = pipeline.settings.noise;
        if !self.is_write && pass == Pass::Free && noise.admits(Bucket::from_hash(original.worker.die())) {
            match pipeline.budget.place() {
                Some(room) => self.send(original, (Side::Legacy, Part::Again), body, None, room),
                None => self.joint.dropped(MirrorDrop::Busy),
            }
        }
        Ok(())
    }

    fn send(
        &self,
        original: Original<'_>,
        (side, part): (Side, Part),
        body: Option<Rc<Body>>,
        pass: Option<Pass>,
        place: Room,
    ) {
        let Original { worker, peer, head, identity } = original;
        let default_host = &self.tables.generation.default_host;
        let copy = copy::rendered(head, body, peer, identity, default_host, (self.tables.migration(self.at), side));
        let since = Instant::now();
        let attempt = (part != Part::Again).then(|| {
            let mut attempt = worker.attempts.begin(self.subject.clone(), since);
            attempt.meet(Some(self.meeting()));
            attempt
        });
        let sending = Sending {
            worker: Rc::clone(worker),
            tables: Rc::clone(&self.tables),
            at: self.at,
            side,
            part,
            copy,
            joint: Rc::clone(&self.joint),
            attempt,
            pass,
            place,
            since,
            waits: Cell::new(false),
        };
        tokio::task::spawn_local(sending.run());
    }
}

/// A breaker has opened: tells it once.
fn opened(joint: &Joint) {
    MirrorBreakerOpened { migration: &joint.pipeline.id }.emit(&joint.cells);
}
