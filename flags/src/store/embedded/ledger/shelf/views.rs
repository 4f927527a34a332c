//! What is read of the whole ledger, and what is forgotten of it.

use redb::{Error, ReadableTable, Table};
use serde::de::DeserializeOwned;

use super::{BEHIND_ALL, Shelf, Timed, decode, encode};
use crate::ledger::book::Shelf as _;
use crate::ledger::rules::{GRACE_MS, Record, State};
use crate::ledger::view::{Event, QUARANTINE_MAX, Quarantined, Totals};
use crate::migration::Side;
use crate::store::ledger::{Policy, STEP_MAX};

impl Shelf<'_, '_> {
    fn newest<T: DeserializeOwned>(&self, stream: &str, limit: usize) -> Result<Vec<(u64, T)>, Error> {
        let rows = self.tables.streams.range((self.id, stream, 0)..=(self.id, stream, u64::MAX))?;
        let row = |row: Result<(redb::AccessGuard<'_, _>, redb::AccessGuard<'_, &[u8]>), redb::StorageError>| {
            let (key, text): (redb::AccessGuard<'_, (&str, &str, u64)>, _) = row?;
            Ok((key.value().2, decode(text.value())?))
        };
        rows.rev().take(limit).map(row).collect()
    }

    pub(in crate::store::embedded::ledger) fn events(
        &self,
        by_people: bool,
        limit: usize,
    ) -> Result<Vec<Event>, Error> {
        let rows = self.newest(if by_people { "audit" } else { "ev" }, limit)?;
        Ok(rows.into_iter().map(|(_, event)| event).collect())
    }

    pub(in crate::store::embedded::ledger) fn quarantine(
        &mut self,
        what: Quarantined,
        now_ms: u64,
    ) -> Result<(), Error> {
        let what = Quarantined { at_ms: now_ms, ..what };
        self.append("quarantine", &encode(&what)?, QUARANTINE_MAX).map(drop)
    }

    pub(in crate::store::embedded::ledger) fn quarantined(&self, limit: usize) -> Result<Vec<Quarantined>, Error> {
        let rows: Vec<(u64, Quarantined)> = self.newest("quarantine", limit.min(QUARANTINE_MAX))?;
        Ok(rows.into_iter().map(|(id, what)| Quarantined { id: id.to_string(), ..what }).collect())
    }

    pub(in crate::store::embedded::ledger) fn totals(&self, now_ms: u64) -> Result<Totals, Error> {
        let mut records = Vec::new();
        for state in State::ALL {
            for side in Side::ALL {
                let count = self.counted(&format!("{}:{}", side.name(), state.name()))?;
                if count > 0 {
                    records.push((state, side, count));
                }
            }
        }
        records.sort_unstable();
        let tables = &*self.tables;
        let until = |table: &Table<'_, Timed, ()>, until: u64| -> Result<u64, Error> {
            let rows = table.range((self.id, 0, "")..=(self.id, until, BEHIND_ALL))?;
            Ok(u64::try_from(rows.count()).unwrap_or(u64::MAX))
        };
        let first = tables.waits.range((self.id, 0, "")..)?.next().transpose()?;
        let first = first.map(|(key, _)| (key.value().0 == self.id).then_some(key.value().1));
        let lapsed = until(&tables.lease, now_ms.saturating_sub(GRACE_MS))?;
        Ok(Totals {
            records,
            waiting: self.counted("waiting")?,
            oldest_ms: first.flatten(),
            dead: until(&tables.parked, u64::MAX)?,
            quarantined: u64::try_from(self.quarantined(QUARANTINE_MAX)?.len()).unwrap_or(u64::MAX),
            leased: until(&tables.lease, u64::MAX)? - lapsed,
            lapsed,
            now_ms,
        })
    }

    pub(in crate::store::embedded::ledger) fn trim(
        &mut self,
        policy: &Policy,
        after: &str,
        now_ms: u64,
    ) -> Result<(u64, Option<String>), Error> {
        let mut gone = 0;
        let Some(behind) = after.strip_prefix('f') else {
            let lanes = self.active(after.strip_prefix('a').unwrap_or_default(), STEP_MAX)?;
            let next = lanes.last().filter(|_| lanes.len() == STEP_MAX);
            let next = next.map_or("f".to_owned(), |at| format!("a{}", at.to_text()));
            for at in lanes {
                let Some(before) = self.record(&at)? else { continue };
                let mut after = before.clone();
                if after.forget_if_idle(now_ms, policy.idle_s.saturating_mul(1_000)) {
                    gone += 1;
                    self.put(&at, Some(&before), Some(&after))?;
                }
            }
            return Ok((gone, Some(next)));
        };
        let rows = self.tables.ended.range((self.id, behind)..(self.id, BEHIND_ALL))?;
        let mut found = Vec::new();
        for row in rows.take(STEP_MAX) {
            let (key, text) = row?;
            found.push((key.value().1.to_owned(), Record::from_short(text.value())));
        }
        let next = found.last().filter(|_| found.len() == STEP_MAX).map(|(name, _)| format!("f{name}"));
        let ended = Side::ALL.into_iter().map(|side| self.counted(&format!("{}:ended", side.name())));
        let ended = ended.sum::<Result<u64, Error>>()?;
        // As many of these as there are too many of all.
        let step = u64::try_from(found.len()).unwrap_or(u64::MAX);
        let over = (step * ended.saturating_sub(policy.ended_max)).div_ceil(ended.max(1));
        found.sort_by_key(|(_, record)| record.as_ref().map_or(0, |record| record.changed_ms));
        for ((name, record), place) in found.into_iter().zip(0..) {
            let Some(record) = record else { continue };
            if place < over || record.changed_ms.saturating_add(policy.ended_s.saturating_mul(1_000)) <= now_ms {
                self.put(&super::place(&name)?, Some(&record), None)?;
                gone += 1;
            }
        }
        Ok((gone, next))
    }
}
