//! What each call does to the ledger as a whole, over any place that keeps records.
//!
//! # Why over a trait
//!
//! The embedded store keeps a [`Shelf`] in a file, tests keep one in memory, and both run what is here; only Redis has a
//! translation. A call runs alone on its shelf, and all that it did is kept, or nothing.
//!
//! Not here: a clock, and what makes a step durable.

mod again;
mod custody;
mod letters;
#[cfg(test)]
pub(crate) mod memory;

pub use self::custody::{Custody, Kept};
use super::rules::{Record, Rolled, Taken};
use super::view::{DeadLetter, Event, What};
use super::{
    Accepted, Answer, Claim, Claimed, Delivery, DeliveryId, Fence, Handed, IssueId, IssueLane, Lane, Ownership, Placed,
    Placement, QUEUE_MAX, Report, Reported, Settled, Standing, WAITING_MAX, Why, Word,
};
use crate::migration::Side;
use crate::mode::Mode;

/// Records waiting for a person that one call looks at.
pub const LETTERS_MAX: usize = 10_000;

/// By how much of its hash a body is told from another.
pub type BodyMark = [u8; 16];

/// Where the records of one migration are. Every index follows from the records.
pub trait Shelf {
    type Error;

    fn record(&mut self, at: &IssueLane) -> Result<Option<Record>, Self::Error>;
    /// Writes a record, or removes it, and moves it in every index; `before` is what is there.
    fn put(&mut self, at: &IssueLane, before: Option<&Record>, after: Option<&Record>) -> Result<(), Self::Error>;

    /// Puts an event behind those of a record.
    fn push(&mut self, at: &IssueLane, delivery: &DeliveryId, received_ms: u64) -> Result<(), Self::Error>;
    fn first(&mut self, at: &IssueLane) -> Result<Option<DeliveryId>, Self::Error>;
    fn pop(&mut self, at: &IssueLane) -> Result<(), Self::Error>;

    /// The body that a delivery had, if it is known.
    fn known(&mut self, delivery: &DeliveryId, now_ms: u64) -> Result<Option<BodyMark>, Self::Error>;
    fn has_body(&mut self, mark: BodyMark, now_ms: u64) -> Result<bool, Self::Error>;
    /// Keeps a delivery for so many records, and remembers that it was there.
    fn keep(&mut self, delivery: &Delivery, mark: BodyMark, copies: u32, now_ms: u64) -> Result<(), Self::Error>;
    fn kept(&mut self, delivery: &DeliveryId) -> Result<Option<Kept>, Self::Error>;
    /// One record is done with a delivery, perhaps because it was delivered there; after the last it is kept for a while.
    fn let_go(&mut self, delivery: &DeliveryId, had: Option<(Lane, Side)>, now_ms: u64) -> Result<(), Self::Error>;
    /// Who has had a delivery, while it is kept.
    fn custody(&mut self, delivery: &DeliveryId, now_ms: u64) -> Result<Option<Custody>, Self::Error>;
    /// Keeps a delivery that all were done with for so many records again.
    fn keep_again(&mut self, delivery: &DeliveryId, copies: u32) -> Result<(), Self::Error>;

    /// Records of a side that something is to be sent of, the earliest first.
    fn ready(&mut self, side: Side, now_ms: u64, limit: usize) -> Result<Vec<IssueLane>, Self::Error>;
    /// Records that are to go to the other side and may by now.
    fn movable(&mut self, now_ms: u64, limit: usize) -> Result<Vec<IssueLane>, Self::Error>;
    /// Records whose first event waits for a person, the first parked first.
    fn parked(&mut self, limit: usize) -> Result<Vec<IssueLane>, Self::Error>;
    /// Records that have not ended, by name, behind this one.
    fn active(&mut self, after: &str, limit: usize) -> Result<Vec<IssueLane>, Self::Error>;

    fn waiting(&mut self) -> Result<u64, Self::Error>;
    /// Of this ledger, given when it begins.
    fn generation(&mut self, now_ms: u64) -> Result<u64, Self::Error>;
    /// The revision of the last emergency rollback; `at_least` raises it.
    fn rolled_back(&mut self, at_least: u64) -> Result<u64, Self::Error>;

    fn tell(&mut self, event: Event) -> Result<(), Self::Error>;
}

/// Who changes something by hand, and why.
pub type By<'a> = Option<(&'a str, &'a str)>;

/// One ledger at one moment.
#[derive(Debug)]
pub struct Book<'a, S> {
    pub shelf: &'a mut S,
    pub now_ms: u64,
}

/// What was taken to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub claims: Vec<Claimed>,
    pub parked: Vec<DeadLetter>,
    pub moved: Vec<Standing>,
}

/// What one step over many records did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub moved: u64,
    pub waiting: u64,
    pub parked: u64,
}

/// The part of a body's hash by which it is told from another.
pub fn mark(delivery: &Delivery) -> BodyMark {
    let mut mark = BodyMark::default();
    mark.copy_from_slice(&delivery.body_sha256[..16]);
    mark
}

fn at(issue: &IssueId, lane: Lane) -> IssueLane {
    IssueLane { issue: issue.clone(), lane }
}

impl<S: Shelf> Book<'_, S> {
    /// Tells a delivery apart, keeps it, and gives its issue an owner if it has none.
    pub fn accept(&mut self, delivery: &Delivery, placement: &Placement) -> Result<Accepted, S::Error> {
        let mark = mark(delivery);
        if let Some(known) = self.shelf.known(&delivery.id, self.now_ms)? {
            let owners = self.owners(&delivery.issue)?;
            return Ok(if known == mark { Accepted::Duplicate(owners) } else { Accepted::Conflict });
        }
        if self.shelf.has_body(mark, self.now_ms)? {
            return Ok(Accepted::SameBody);
        }
        if self.shelf.waiting()? >= WAITING_MAX {
            return Ok(Accepted::Full("as many events wait in this migration as may"));
        }
        // Nothing is written before it is known that everything will be.
        let places = self.places(&delivery.issue, placement)?;
        if places.iter().any(|place| place.is_target && place.after.as_ref().is_some_and(is_full)) {
            return Ok(Accepted::Full("as many events of this issue wait as may"));
        }
        let copies = u32::try_from(places.iter().filter(|place| place.is_target).count()).unwrap_or(u32::MAX);
        self.shelf.keep(delivery, mark, copies, self.now_ms)?;
        let mut owners = Vec::new();
        for Place { at, before, mut after, is_target } in places {
            if let (true, Some(record)) = (is_target, &mut after) {
                if before.as_ref().is_some_and(|before| before.epoch != record.epoch) {
                    self.tell_moved(&at, record, None)?;
                }
                if before.is_none() {
                    let detail = format!("{} epoch {} in {}", record.owner, record.epoch, record.mode.name());
                    self.tell(&at, What::Pinned, detail, None)?;
                }
                record.enqueue(self.now_ms);
                self.shelf.push(&at, &delivery.id, self.now_ms)?;
                owners.push(Ownership { lane: at.lane, owner: record.owner, epoch: record.epoch });
                self.tell(&at, What::Received, delivery.id.to_string(), None)?;
            }
            self.shelf.put(&at, before.as_ref(), after.as_ref())?;
        }
        Ok(Accepted::New(owners))
    }

    /// Which records an event concerns, as they are and as they will be before it waits there.
    fn places(&mut self, issue: &IssueId, placement: &Placement) -> Result<Vec<Place>, S::Error> {
        let is_stale = placement.revision < self.shelf.rolled_back(0)?;
        let is_rolled_back = is_stale || placement.mode == Mode::EmergencyRollback;
        let place = |at: IssueLane, before: Option<Record>, epoch: u64, owner: Side, is_target: bool| {
            let pin = (placement.mode, placement.share, placement.bucket, placement.revision);
            let mut after = before.clone().unwrap_or_else(|| Record::pinned(owner, epoch, pin, self.now_ms));
            if is_rolled_back {
                after.roll_back(at.lane, self.now_ms);
            }
            Place { at, before, after: Some(after), is_target }
        };
        let [only, legacy, new] = Lane::ALL.map(|lane| at(issue, lane));
        if let Some(before) = self.shelf.record(&only)? {
            return Ok(vec![place(only, Some(before), 1, Side::Legacy, true)]);
        }
        let (of_legacy, of_new) = (self.shelf.record(&legacy)?, self.shelf.record(&new)?);
        let to = if is_stale { Placed::One(Side::Legacy) } else { placement.to };
        let is_at_rest = [&of_legacy, &of_new].into_iter().flatten().all(|record| record.is_at_rest(self.now_ms));
        match to {
            Placed::One(side) if is_at_rest => {
                // What was parallel and has ended is decided anew.
                let epoch = [&of_legacy, &of_new].into_iter().flatten().map(|record| record.epoch).max().unwrap_or(0);
                let mut places = vec![place(only, None, epoch + 1, side, true)];
                for (at, before) in [(legacy, of_legacy), (new, of_new)] {
                    if before.is_some() {
                        places.push(Place { at, before, after: None, is_target: false });
                    }
                }
                Ok(places)
            }
            Placed::One(_) | Placed::Both => Ok(vec![
                place(legacy, of_legacy, 1, Side::Legacy, true),
                place(new, of_new, 1, Side::New, !is_rolled_back),
            ]),
        }
    }

    /// Takes events whose time has come, of as many issues of one side.
    pub fn claim(&mut self, side: Side, limit: usize, bytes_max: usize) -> Result<Batch, S::Error> {
        let generation = self.shelf.generation(self.now_ms)?;
        let (mut batch, mut bytes) = (Batch::default(), 0);
        for at in self.shelf.ready(side, self.now_ms, limit)? {
            let Some(before) = self.shelf.record(&at)? else { continue };
            let Some(first) = self.shelf.first(&at)? else { continue };
            let kept = self.shelf.kept(&first)?;
            if kept.as_ref().and_then(|kept| kept.custody.had_in(at.lane)).is_some_and(|had| had != before.owner) {
                self.pass_over(&at, &before, &first)?;
                continue;
            }
            let size = kept.as_ref().map_or(0, |kept| kept.delivery.body.len());
            if !batch.claims.is_empty() && bytes + size > bytes_max {
                break;
            }
            let mut after = before.clone();
            match after.claim(at.lane, &first, self.now_ms) {
                Taken::Send { token, attempt } => match kept {
                    Some(Kept { delivery, received_ms, .. }) => {
                        bytes += size;
                        let fence = Fence { generation, epoch: after.epoch };
                        let claim = Claim { at: at.clone(), token };
                        batch.claims.push(Claimed { claim, owner: after.owner, fence, attempt, delivery, received_ms });
                    }
                    None => {
                        after.lose(self.now_ms);
                        self.parked(&at, &after, &mut batch)?;
                    }
                },
                Taken::Parked(_) => self.parked(&at, &after, &mut batch)?,
                Taken::Nothing | Taken::Moved => {}
            }
            if after.epoch != before.epoch {
                self.tell_moved(&at, &after, None)?;
                batch.moved.push(standing(&at, &after, generation));
            }
            self.shelf.put(&at, Some(&before), Some(&after))?;
        }
        Ok(batch)
    }

    fn parked(&mut self, at: &IssueLane, record: &Record, batch: &mut Batch) -> Result<(), S::Error> {
        if let Some(letter) = self.letter(at, record)? {
            self.tell_parked(at, &letter, "")?;
            batch.parked.push(letter);
        }
        Ok(())
    }

    /// Says what a system answered to what was claimed.
    pub fn settle(&mut self, claim: &Claim, answer: Answer, detail: &str) -> Result<Settled, S::Error> {
        let at = &claim.at;
        let Some(before) = self.shelf.record(at)? else { return Ok(Settled::Fenced) };
        let mut after = before.clone();
        let (settled, is_done) = after.settle(at.lane, claim.token, answer, self.now_ms);
        if settled == Settled::Fenced {
            return Ok(settled);
        }
        let first = self.shelf.first(at)?;
        let name = first.as_ref().map_or("", DeliveryId::as_str);
        match settled {
            Settled::Delivered => self.tell(at, What::Delivered, name.to_owned(), None)?,
            Settled::Again { .. } | Settled::Reassigned { .. } => {
                self.tell(at, What::Failed, format!("{name} {}: {detail}", answer.name()), None)?;
            }
            Settled::Dead | Settled::Parked => {
                if let Some(letter) = self.letter(at, &after)? {
                    self.tell_parked(at, &letter, detail)?;
                }
            }
            Settled::Fenced => {}
        }
        if let (true, Some(first)) = (is_done, &first) {
            self.shelf.pop(at)?;
            let had = (settled == Settled::Delivered).then_some((at.lane, before.owner));
            self.shelf.let_go(first, had, self.now_ms)?;
        }
        if after.epoch != before.epoch {
            self.tell_moved(at, &after, None)?;
        }
        self.shelf.put(at, Some(&before), Some(&after))?;
        Ok(settled)
    }

    /// What a system says of an issue: by its own record where the issue has one for each side.
    pub fn report(&mut self, report: &Report) -> Result<Reported, S::Error> {
        let only = at(&report.issue, Lane::Only);
        let own = at(&report.issue, Lane::of(report.side));
        let (at, before) = match self.shelf.record(&only)? {
            Some(record) => (only, record),
            None => match self.shelf.record(&own)? {
                Some(record) => (own, record),
                None => return Ok(Reported::Unknown),
            },
        };
        let mut after = before.clone();
        let reported = after.report(at.lane, report, self.now_ms);
        if let Reported::Fenced { split_brain, .. } = reported {
            if split_brain {
                let detail = format!("{} reported for epoch {}", report.side, report.epoch);
                self.tell(&at, What::SplitBrain, detail, None)?;
            }
            return Ok(reported);
        }
        let is_news = after != before;
        if is_news && after.epoch == before.epoch && report.workflow.is_some() {
            after.workflow.clone_from(&report.workflow);
        }
        if let (Word::Ended { success }, true) = (report.word, is_news) {
            let detail = success.map_or("", |success| if success { "well" } else { "badly" });
            self.tell(&at, What::Ended, detail.to_owned(), None)?;
        }
        if after.epoch != before.epoch {
            self.tell_moved(&at, &after, None)?;
        }
        self.shelf.put(&at, Some(&before), Some(&after))?;
        Ok(reported)
    }

    /// Gives an issue to a side: as soon as that is safe, or at once where a person says that it is.
    pub fn hand_over(
        &mut self,
        issue: &IssueId,
        epoch: u64,
        to: Side,
        by: By<'_>,
        why: Why,
    ) -> Result<Handed, S::Error> {
        let only = at(issue, Lane::Only);
        let Some(before) = self.shelf.record(&only)? else {
            let is_parallel = !self.owners(issue)?.is_empty();
            return Ok(if is_parallel { Handed::Parallel } else { Handed::Unknown });
        };
        let mut after = before.clone();
        let handed = after.hand_over(Lane::Only, epoch, to, why, self.now_ms);
        match handed {
            Handed::Over { .. } => self.tell_moved(&only, &after, by)?,
            Handed::Waiting { .. } => self.tell(&only, What::HandoffAsked, to.to_string(), by)?,
            Handed::Busy { .. } | Handed::Already | Handed::Fenced { .. } | Handed::Parallel | Handed::Unknown => {}
        }
        self.shelf.put(&only, Some(&before), Some(&after))?;
        Ok(handed)
    }

    /// Makes moves that wait and have become safe.
    pub fn sweep(&mut self, limit: usize) -> Result<Counted, S::Error> {
        let mut counted = Counted::default();
        for at in self.shelf.movable(self.now_ms, limit)? {
            let Some(before) = self.shelf.record(&at)? else { continue };
            let mut after = before.clone();
            after.expire(at.lane, self.now_ms);
            if after.move_on(at.lane, self.now_ms) {
                self.tell_moved(&at, &after, None)?;
                counted.moved += 1;
            } else if after.moving.is_some() {
                counted.waiting += 1;
            }
            self.shelf.put(&at, Some(&before), Some(&after))?;
        }
        Ok(counted)
    }

    /// A step of an emergency rollback over records that have not ended.
    pub fn roll_back(
        &mut self,
        revision: u64,
        after: &str,
        limit: usize,
    ) -> Result<(Counted, Option<String>), S::Error> {
        self.shelf.rolled_back(revision)?;
        let lanes = self.shelf.active(after, limit)?;
        let next = lanes.last().filter(|_| lanes.len() == limit).map(IssueLane::to_text);
        let mut counted = Counted::default();
        for at in lanes {
            let Some(before) = self.shelf.record(&at)? else { continue };
            let mut after = before.clone();
            match after.roll_back(at.lane, self.now_ms) {
                Rolled::Moved => counted.moved += 1,
                Rolled::Waits => counted.waiting += 1,
                Rolled::Parked => counted.parked += 1,
                Rolled::Stays => {}
            }
            if after.epoch != before.epoch {
                self.tell_moved(&at, &after, None)?;
            }
            if after.parked != before.parked
                && let Some(letter) = self.letter(&at, &after)?
            {
                self.tell_parked(&at, &letter, "")?;
            }
            self.shelf.put(&at, Some(&before), Some(&after))?;
        }
        Ok((counted, next))
    }

    /// Whose an issue is now.
    pub fn standing(&mut self, issue: &IssueId) -> Result<Vec<Standing>, S::Error> {
        let generation = self.shelf.generation(self.now_ms)?;
        let owners = self.owners(issue)?;
        let of = |Ownership { lane, owner, epoch }| Standing { lane, owner, epoch, generation };
        Ok(owners.into_iter().map(of).collect())
    }

    fn owners(&mut self, issue: &IssueId) -> Result<Vec<Ownership>, S::Error> {
        let mut owners = Vec::new();
        for lane in Lane::ALL {
            if let Some(record) = self.shelf.record(&at(issue, lane))? {
                owners.push(Ownership { lane, owner: record.owner, epoch: record.epoch });
            }
        }
        Ok(owners)
    }

    fn tell_moved(&mut self, at: &IssueLane, record: &Record, by: By<'_>) -> Result<(), S::Error> {
        self.tell(at, What::HandedOver, format!("{} epoch {}", record.owner, record.epoch), by)
    }

    fn tell(&mut self, at: &IssueLane, what: What, detail: String, by: By<'_>) -> Result<(), S::Error> {
        let (actor, reason) = by.unzip();
        self.shelf.tell(Event {
            at_ms: self.now_ms,
            lane: Some(at.lane),
            issue: Some(at.issue.clone()),
            what,
            detail,
            actor: actor.map(str::to_owned),
            reason: reason.map(str::to_owned),
        })
    }
}

/// One record that an event concerns.
struct Place {
    at: IssueLane,
    before: Option<Record>,
    after: Option<Record>,
    /// Whether the event waits there.
    is_target: bool,
}

const fn is_full(record: &Record) -> bool {
    record.waiting >= QUEUE_MAX
}

fn standing(at: &IssueLane, record: &Record, generation: u64) -> Standing {
    Standing { lane: at.lane, owner: record.owner, epoch: record.epoch, generation }
}
