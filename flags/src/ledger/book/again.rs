//! Events that were delivered and are sent once more, because a person wants that.
//!
//! An event goes behind those that wait, under its own id and the present fence of its issue, to the system that had it. Where
//! the issue is the other side's by now it is not sent: the other side would do again what was done. One that waits when its
//! issue moves is passed over for the same reason.

use super::{Book, By, Custody, Shelf, at};
use crate::ledger::past::{Again, Resent};
use crate::ledger::rules::Record;
use crate::ledger::view::What;
use crate::ledger::{DeliveryId, IssueLane, WAITING_MAX};
use crate::mode::Mode;

impl<S: Shelf> Book<'_, S> {
    /// Sends deliveries once more, one after the other; `as_of` is the caller's mode, and the revision of its state.
    pub fn resend(
        &mut self,
        deliveries: &[DeliveryId],
        as_of: (Mode, u64),
        by: By<'_>,
        dry_run: bool,
    ) -> Result<Vec<Again>, S::Error> {
        let is_rolled_back = as_of.0 == Mode::EmergencyRollback || as_of.1 < self.shelf.rolled_back(0)?;
        let mut told = Vec::new();
        for delivery in deliveries {
            let refused = |resent| Again { delivery: delivery.clone(), resent, had: None };
            let Some(custody) = self.shelf.custody(delivery, self.now_ms)? else {
                let is_known = self.shelf.known(delivery, self.now_ms)?.is_some();
                told.push(refused(if is_known { Resent::Gone } else { Resent::Unknown }));
                continue;
            };
            if custody.left > 0 {
                told.push(refused(Resent::Waits));
            } else if custody.had.is_empty() {
                told.push(refused(Resent::NotDelivered));
            } else {
                self.resend_one(delivery, &custody, is_rolled_back, (by, dry_run), &mut told)?;
            }
        }
        Ok(told)
    }

    fn resend_one(
        &mut self,
        delivery: &DeliveryId,
        custody: &Custody,
        is_rolled_back: bool,
        (by, dry_run): (By<'_>, bool),
        told: &mut Vec<Again>,
    ) -> Result<(), S::Error> {
        let is_full = self.shelf.waiting()? >= WAITING_MAX;
        let mut places = Vec::new();
        for (lane, side) in &custody.had {
            let at = at(&custody.issue, *lane);
            let before = self.shelf.record(&at)?;
            let resent = match &before {
                None => Resent::Forgotten,
                Some(_) if is_full => Resent::Full,
                Some(record) => record.may_resend(*side, is_rolled_back),
            };
            if let (Resent::Again, Some(before)) = (resent, before) {
                places.push((at.clone(), before));
            }
            told.push(Again { delivery: delivery.clone(), resent, had: Some((at, *side)) });
        }
        if dry_run || places.is_empty() {
            return Ok(());
        }
        self.shelf.keep_again(delivery, u32::try_from(places.len()).unwrap_or(u32::MAX))?;
        for (at, before) in places {
            let mut after = before.clone();
            after.enqueue(self.now_ms);
            self.shelf.push(&at, delivery, self.now_ms)?;
            self.tell(&at, What::Resent, delivery.to_string(), by)?;
            self.shelf.put(&at, Some(&before), Some(&after))?;
        }
        Ok(())
    }

    /// Takes an event from the queue that is not for the owner of its issue.
    pub(super) fn pass_over(&mut self, at: &IssueLane, before: &Record, first: &DeliveryId) -> Result<(), S::Error> {
        let mut after = before.clone();
        after.pass_over(self.now_ms);
        self.shelf.pop(at)?;
        self.shelf.let_go(first, None, self.now_ms)?;
        self.tell(at, What::PassedOver, first.to_string(), None)?;
        self.shelf.put(at, Some(before), Some(&after))
    }
}
