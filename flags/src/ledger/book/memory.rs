//! A shelf in memory: the model that stores are held to, and what the explorer walks through. Tests only.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;

use super::{BodyMark, Custody, Kept, Shelf};
use crate::ledger::rules::{GRACE_MS, Record};
use crate::ledger::view::{Event, Listed, Totals};
use crate::ledger::{Delivery, DeliveryId, IssueLane, Lane};
use crate::migration::Side;
use crate::store::ledger::{BODY_KEPT_S, Policy};

/// Deliveries are known for three periods of 4 days.
const PERIOD_MS: u64 = 4 * 24 * 60 * 60 * 1_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// By name as stored.
    pub(crate) records: BTreeMap<String, Record>,
    pub(crate) queues: BTreeMap<String, VecDeque<(DeliveryId, u64)>>,
    pub(crate) seen: BTreeMap<DeliveryId, (BodyMark, u64)>,
    bodies: BTreeMap<BodyMark, u64>,
    kept: BTreeMap<DeliveryId, Kept>,
    /// When a delivery goes that all are done with.
    going: BTreeMap<DeliveryId, u64>,
    generation: u64,
    rolled_back: u64,
    /// Oldest first.
    pub(crate) events: Vec<Event>,
}

impl Memory {
    fn found(&self, is: impl Fn(&Record) -> Option<u64>, until: u64, limit: usize) -> Vec<IssueLane> {
        let times = self.records.iter().filter_map(|(name, record)| Some((is(record)?, name)));
        let mut times: Vec<_> = times.filter(|(time, _)| *time <= until).collect();
        times.sort_unstable();
        times.into_iter().take(limit).map(|(_, name)| IssueLane::parse(name).unwrap()).collect()
    }

    pub(crate) fn oldest(&self, name: &str) -> Option<u64> {
        self.queues.get(name)?.front().map(|(_, received)| *received)
    }

    /// As far as they are comparable.
    pub(crate) fn totals(&self, now_ms: u64) -> Totals {
        let mut totals = Totals { now_ms, ..Totals::default() };
        let mut counts = BTreeMap::new();
        for (name, record) in &self.records {
            *counts.entry((record.state(), record.owner)).or_insert(0) += 1;
            totals.waiting += u64::from(record.waiting);
            totals.dead += u64::from(record.parked.is_some());
            if let Some(until) = record.leased_until() {
                let lapsed = u64::from(until + GRACE_MS <= now_ms);
                totals.lapsed += lapsed;
                totals.leased += 1 - lapsed;
            }
            totals.oldest_ms = totals.oldest_ms.into_iter().chain(self.oldest(name)).min();
        }
        totals.records = counts.into_iter().map(|((state, side), count)| (state, side, count)).collect();
        totals
    }

    pub(crate) fn listed(&self) -> Vec<Listed> {
        let active = self.records.iter().filter(|(_, record)| !record.is_finished());
        let listed = |(name, record): (&String, &Record)| Listed {
            at: IssueLane::parse(name).unwrap(),
            record: record.clone(),
            oldest_ms: self.oldest(name),
        };
        active.map(listed).collect()
    }

    pub(crate) fn trim(&mut self, policy: &Policy, now_ms: u64) {
        for record in self.records.values_mut() {
            record.forget_if_idle(now_ms, policy.idle_s * 1_000);
        }
        self.shorten();
        self.records.retain(|_, record| !record.is_finished() || record.changed_ms + policy.ended_s * 1_000 > now_ms);
    }

    /// What a store keeps of those that have ended.
    fn shorten(&mut self) {
        for record in self.records.values_mut().filter(|record| record.is_finished()) {
            *record = Record::from_short(&record.to_short()).unwrap();
        }
    }
}

impl Shelf for Memory {
    type Error = Infallible;

    fn record(&mut self, at: &IssueLane) -> Result<Option<Record>, Infallible> {
        Ok(self.records.get(&at.to_text()).cloned())
    }

    fn put(&mut self, at: &IssueLane, before: Option<&Record>, after: Option<&Record>) -> Result<(), Infallible> {
        assert_eq!(self.records.get(&at.to_text()), before, "somebody forgot what was there");
        match after {
            Some(after) => drop(self.records.insert(at.to_text(), after.clone())),
            None => drop(self.records.remove(&at.to_text())),
        }
        self.shorten();
        Ok(())
    }

    fn push(&mut self, at: &IssueLane, delivery: &DeliveryId, received_ms: u64) -> Result<(), Infallible> {
        self.queues.entry(at.to_text()).or_default().push_back((delivery.clone(), received_ms));
        Ok(())
    }

    fn first(&mut self, at: &IssueLane) -> Result<Option<DeliveryId>, Infallible> {
        let queue = self.queues.get(&at.to_text());
        Ok(queue.and_then(|queue| queue.front()).map(|(delivery, _)| delivery.clone()))
    }

    fn pop(&mut self, at: &IssueLane) -> Result<(), Infallible> {
        self.queues.get_mut(&at.to_text()).map(VecDeque::pop_front);
        Ok(())
    }

    fn known(&mut self, delivery: &DeliveryId, now_ms: u64) -> Result<Option<BodyMark>, Infallible> {
        let seen = self.seen.get(delivery).filter(|(_, period)| period + 3 > now_ms / PERIOD_MS);
        Ok(seen.map(|(mark, _)| *mark))
    }

    fn has_body(&mut self, mark: BodyMark, now_ms: u64) -> Result<bool, Infallible> {
        Ok(self.bodies.get(&mark).is_some_and(|period| period + 3 > now_ms / PERIOD_MS))
    }

    fn keep(&mut self, delivery: &Delivery, mark: BodyMark, left: u32, now_ms: u64) -> Result<(), Infallible> {
        self.seen.insert(delivery.id.clone(), (mark, now_ms / PERIOD_MS));
        self.bodies.insert(mark, now_ms / PERIOD_MS);
        let custody = Custody { issue: delivery.issue.clone(), left, had: Vec::new() };
        let kept = Kept { delivery: delivery.clone(), received_ms: now_ms, custody };
        self.going.remove(&delivery.id);
        self.kept.insert(delivery.id.clone(), kept);
        Ok(())
    }

    fn kept(&mut self, delivery: &DeliveryId) -> Result<Option<Kept>, Infallible> {
        Ok(self.kept.get(delivery).cloned())
    }

    fn let_go(&mut self, delivery: &DeliveryId, had: Option<(Lane, Side)>, now_ms: u64) -> Result<(), Infallible> {
        let Some(Kept { custody, .. }) = self.kept.get_mut(delivery) else { return Ok(()) };
        custody.left = custody.left.saturating_sub(1);
        had.into_iter().for_each(|(lane, side)| custody.give(lane, side));
        if custody.left == 0 {
            self.going.insert(delivery.clone(), now_ms + BODY_KEPT_S * 1_000);
        }
        Ok(())
    }

    fn custody(&mut self, delivery: &DeliveryId, now_ms: u64) -> Result<Option<Custody>, Infallible> {
        let is_gone = self.going.get(delivery).is_some_and(|going| *going <= now_ms);
        Ok(self.kept.get(delivery).filter(|_| !is_gone).map(|kept| kept.custody.clone()))
    }

    fn keep_again(&mut self, delivery: &DeliveryId, copies: u32) -> Result<(), Infallible> {
        self.going.remove(delivery);
        self.kept.get_mut(delivery).into_iter().for_each(|kept| kept.custody.left = copies);
        Ok(())
    }

    fn ready(&mut self, side: Side, now_ms: u64, limit: usize) -> Result<Vec<IssueLane>, Infallible> {
        Ok(self.found(|record| record.ready_at().filter(|_| record.owner == side), now_ms, limit))
    }

    fn movable(&mut self, now_ms: u64, limit: usize) -> Result<Vec<IssueLane>, Infallible> {
        let at = |record: &Record| {
            record.moving?;
            Some(record.leased_until().map_or(0, |until| until + GRACE_MS))
        };
        let mut found = self.found(at, now_ms, usize::MAX);
        found.retain(|at| at.lane.side().is_none());
        found.truncate(limit);
        Ok(found)
    }

    fn parked(&mut self, limit: usize) -> Result<Vec<IssueLane>, Infallible> {
        Ok(self.found(|record| record.parked.map(|_| record.changed_ms), u64::MAX, limit))
    }

    fn active(&mut self, after: &str, limit: usize) -> Result<Vec<IssueLane>, Infallible> {
        let active = self.records.iter().filter(|(name, record)| !record.is_finished() && name.as_str() > after);
        Ok(active.take(limit).map(|(name, _)| IssueLane::parse(name).unwrap()).collect())
    }

    fn waiting(&mut self) -> Result<u64, Infallible> {
        Ok(self.records.values().map(|record| u64::from(record.waiting)).sum())
    }

    fn generation(&mut self, now_ms: u64) -> Result<u64, Infallible> {
        if self.generation == 0 {
            self.generation = now_ms / 1_000;
        }
        Ok(self.generation)
    }

    fn rolled_back(&mut self, at_least: u64) -> Result<u64, Infallible> {
        self.rolled_back = self.rolled_back.max(at_least);
        Ok(self.rolled_back)
    }

    fn tell(&mut self, event: Event) -> Result<(), Infallible> {
        self.events.push(event);
        Ok(())
    }
}
