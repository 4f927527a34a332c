//! The tables of the ledger, as one shelf for each migration.

mod bodies;
mod views;

use redb::{Error, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ledger::book::{BodyMark, Custody, Kept};
use crate::ledger::rules::{GRACE_MS, Record};
use crate::ledger::view::Event;
use crate::ledger::{Delivery, DeliveryId, IssueLane, Lane};
use crate::migration::Side;
use crate::store::ledger::EVENTS_MAX;

/// A migration, and what was there.
type Field = (&'static str, &'static [u8]);

/// A migration, a time and a record, in that order.
type Timed = (&'static str, u64, &'static str);

/// Records that have not ended, by migration and name.
const RECORDS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("issues");
/// A few words of those that have.
const ENDED: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("issues_ended");
/// By side, in the order of [`Side::ALL`].
const READY: [TableDefinition<'_, Timed, ()>; 2] =
    [TableDefinition::new("issues_ready_legacy"), TableDefinition::new("issues_ready_new")];
const MOVE: TableDefinition<'_, Timed, ()> = TableDefinition::new("issues_move");
const LEASE: TableDefinition<'_, Timed, ()> = TableDefinition::new("issues_lease");
const PARKED: TableDefinition<'_, Timed, ()> = TableDefinition::new("issues_parked");
const WAITS: TableDefinition<'_, Timed, ()> = TableDefinition::new("issues_waits");
/// By migration, record and place: when an event came, and its name.
const QUEUES: TableDefinition<'_, (&str, &str, u64), (u64, &str)> = TableDefinition::new("issues_queues");
const METAS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("issues_deliveries");
const BODIES: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("issues_bodies");
/// When a delivery is to go: by time, migration and name.
const GOING: TableDefinition<'_, (u64, &str, &str), ()> = TableDefinition::new("issues_going");
/// Deliveries (`d…`) and bodies (`s…`) that were there: the period of days, and the body of a delivery.
const SEEN: TableDefinition<'_, Field, (u64, &[u8])> = TableDefinition::new("issues_seen");
/// The same by period, so that what is too old is at the beginning.
const SEEN_IN: TableDefinition<'_, (u64, &str, &[u8]), ()> = TableDefinition::new("issues_seen_in");
/// By migration and name: counts of states, the generation, the last rollback.
const COUNTS: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("issues_counts");
/// By migration, stream and ordinal.
const STREAMS: TableDefinition<'_, (&str, &str, u64), &[u8]> = TableDefinition::new("issues_streams");

/// Deliveries are known for three of these: 8 to 12 days.
const PERIOD_MS: u64 = 4 * 24 * 60 * 60 * 1_000;
const PERIODS: u64 = 3;

/// One that sorts behind every name.
const BEHIND_ALL: &str = "\u{10ffff}";

/// All tables of one transaction.
pub(super) struct Tables<'t> {
    records: Table<'t, (&'static str, &'static str), &'static [u8]>,
    ended: Table<'t, (&'static str, &'static str), &'static str>,
    ready: [Table<'t, Timed, ()>; 2],
    movable: Table<'t, Timed, ()>,
    lease: Table<'t, Timed, ()>,
    parked: Table<'t, Timed, ()>,
    waits: Table<'t, Timed, ()>,
    queues: Table<'t, (&'static str, &'static str, u64), (u64, &'static str)>,
    metas: Table<'t, (&'static str, &'static str), &'static [u8]>,
    bodies: Table<'t, (&'static str, &'static str), &'static [u8]>,
    going: Table<'t, (u64, &'static str, &'static str), ()>,
    seen: Table<'t, Field, (u64, &'static [u8])>,
    seen_in: Table<'t, (u64, &'static str, &'static [u8]), ()>,
    counts: Table<'t, (&'static str, &'static str), u64>,
    streams: Table<'t, (&'static str, &'static str, u64), &'static [u8]>,
    pub(super) is_changed: bool,
}

/// The ledger of one migration.
pub(super) struct Shelf<'s, 't> {
    tables: &'s mut Tables<'t>,
    id: &'s str,
}

pub(in crate::store::embedded) fn make(transaction: &WriteTransaction) -> Result<(), Error> {
    Tables::open(transaction).map(drop)
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(misread)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(misread)
}

fn misread(error: impl std::fmt::Display) -> Error {
    Error::Corrupted(format!("the ledger of issues does not read: {error}"))
}

fn place(text: &str) -> Result<IssueLane, Error> {
    IssueLane::parse(text).ok_or_else(|| misread(format!("\"{}\" names no record", text.escape_debug())))
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, Error> {
        Ok(Self {
            records: transaction.open_table(RECORDS)?,
            ended: transaction.open_table(ENDED)?,
            ready: [transaction.open_table(READY[0])?, transaction.open_table(READY[1])?],
            movable: transaction.open_table(MOVE)?,
            lease: transaction.open_table(LEASE)?,
            parked: transaction.open_table(PARKED)?,
            waits: transaction.open_table(WAITS)?,
            queues: transaction.open_table(QUEUES)?,
            metas: transaction.open_table(METAS)?,
            bodies: transaction.open_table(BODIES)?,
            going: transaction.open_table(GOING)?,
            seen: transaction.open_table(SEEN)?,
            seen_in: transaction.open_table(SEEN_IN)?,
            counts: transaction.open_table(COUNTS)?,
            streams: transaction.open_table(STREAMS)?,
            is_changed: false,
        })
    }

    pub(super) fn of<'s>(&'s mut self, migration: &'s str) -> Shelf<'s, 't> {
        Shelf { tables: self, id: migration }
    }
}

/// Moves a record in one index.
fn index(
    table: &mut Table<'_, Timed, ()>,
    id: &str,
    name: &str,
    before: Option<u64>,
    after: Option<u64>,
) -> Result<(), Error> {
    if before == after {
        return Ok(());
    }
    if let Some(before) = before {
        table.remove((id, before, name))?;
    }
    if let Some(after) = after {
        table.insert((id, after, name), ())?;
    }
    Ok(())
}

/// The first records of an index, up to a time.
fn earliest(table: &Table<'_, Timed, ()>, id: &str, until: u64, limit: usize) -> Result<Vec<IssueLane>, Error> {
    let rows = table.range((id, 0, "")..=(id, until, BEHIND_ALL))?;
    rows.take(limit).map(|row| place(row?.0.value().2)).collect()
}

const fn movable_at(at: &IssueLane, record: &Record) -> Option<u64> {
    match (record.moving, at.lane.side()) {
        (Some(_), None) => match record.leased_until() {
            Some(until) => Some(until + GRACE_MS),
            None => Some(0),
        },
        _ => None,
    }
}

fn parked_at(record: &Record) -> Option<u64> {
    record.parked.map(|_| record.changed_ms)
}

impl crate::ledger::book::Shelf for Shelf<'_, '_> {
    type Error = Error;

    fn record(&mut self, at: &IssueLane) -> Result<Option<Record>, Error> {
        let name = at.to_text();
        if let Some(record) = self.tables.records.get((self.id, name.as_str()))? {
            return decode(record.value()).map(Some);
        }
        let ended = self.tables.ended.get((self.id, name.as_str()))?;
        let read = |text: &str| Record::from_short(text).ok_or_else(|| misread("an issue that has ended"));
        ended.map(|text| read(text.value())).transpose()
    }

    fn put(&mut self, at: &IssueLane, before: Option<&Record>, after: Option<&Record>) -> Result<(), Error> {
        if before == after {
            return Ok(());
        }
        self.tables.is_changed = true;
        let (id, name) = (self.id, at.to_text());
        let name = name.as_str();
        for (record, by) in [(before, -1), (after, 1)] {
            if let Some(record) = record {
                self.count(&format!("{}:{}", record.owner.name(), record.state().name()), by)?;
                self.count("waiting", by * i64::from(record.waiting))?;
            }
        }
        let active = |record: &&Record| !record.is_finished();
        let (was, is) = (before.filter(active), after.filter(active));
        let tables = &mut *self.tables;
        for (side, ready) in Side::ALL.into_iter().zip(&mut tables.ready) {
            let of = |record: Option<&Record>| record.filter(|own| own.owner == side).and_then(Record::ready_at);
            index(ready, id, name, of(was), of(is))?;
        }
        let moves = |record: &Record| movable_at(at, record);
        index(&mut tables.movable, id, name, was.and_then(moves), is.and_then(moves))?;
        index(&mut tables.lease, id, name, was.and_then(Record::leased_until), is.and_then(Record::leased_until))?;
        index(&mut tables.parked, id, name, was.and_then(parked_at), is.and_then(parked_at))?;
        match is {
            Some(record) => drop(tables.records.insert((id, name), encode(record)?.as_slice())?),
            None if was.is_some() => drop(tables.records.remove((id, name))?),
            None => {}
        }
        match after.filter(|record| record.is_finished()) {
            Some(record) => drop(tables.ended.insert((id, name), record.to_short().as_str())?),
            None if before.is_some_and(Record::is_finished) => drop(tables.ended.remove((id, name))?),
            None => {}
        }
        Ok(())
    }

    fn push(&mut self, at: &IssueLane, delivery: &DeliveryId, received_ms: u64) -> Result<(), Error> {
        self.tables.is_changed = true;
        let (id, name) = (self.id, at.to_text());
        let name = name.as_str();
        let last = self.tables.queues.range((id, name, 0)..=(id, name, u64::MAX))?.next_back();
        let place = last.transpose()?.map(|(key, _)| key.value().2);
        self.tables.queues.insert((id, name, place.map_or(0, |place| place + 1)), (received_ms, delivery.as_str()))?;
        if place.is_none() {
            self.tables.waits.insert((id, received_ms, name), ())?;
        }
        Ok(())
    }

    fn first(&mut self, at: &IssueLane) -> Result<Option<DeliveryId>, Error> {
        Ok(self.queue(at, 1)?.pop())
    }

    fn pop(&mut self, at: &IssueLane) -> Result<(), Error> {
        self.tables.is_changed = true;
        let (id, name) = (self.id, at.to_text());
        let name = name.as_str();
        let mut two = self.tables.queues.range((id, name, 0)..=(id, name, u64::MAX))?;
        let first = two.next().transpose()?.map(|(key, event)| (key.value().2, event.value().0));
        let second = two.next().transpose()?.map(|(_, event)| event.value().0);
        drop(two);
        let Some((place, received_ms)) = first else { return Ok(()) };
        self.tables.queues.remove((id, name, place))?;
        self.tables.waits.remove((id, received_ms, name))?;
        if let Some(received_ms) = second {
            self.tables.waits.insert((id, received_ms, name), ())?;
        }
        Ok(())
    }

    fn known(&mut self, delivery: &DeliveryId, now_ms: u64) -> Result<Option<BodyMark>, Error> {
        let field = [b"d", delivery.as_str().as_bytes()].concat();
        let seen = self.tables.seen.get((self.id, field.as_slice()))?;
        let Some(seen) = seen.filter(|seen| is_known(seen.value().0, now_ms)) else { return Ok(None) };
        seen.value().1.try_into().map(Some).map_err(misread)
    }

    fn has_body(&mut self, mark: BodyMark, now_ms: u64) -> Result<bool, Error> {
        let field = [b"s".as_slice(), &mark].concat();
        let seen = self.tables.seen.get((self.id, field.as_slice()))?;
        Ok(seen.is_some_and(|seen| is_known(seen.value().0, now_ms)))
    }

    fn keep(&mut self, delivery: &Delivery, mark: BodyMark, copies: u32, now_ms: u64) -> Result<(), Error> {
        self.tables.is_changed = true;
        self.forget(now_ms)?;
        self.put_body(delivery, copies, now_ms)?;
        let id = &delivery.id;
        let period = now_ms / PERIOD_MS;
        let as_delivery = [b"d", id.as_str().as_bytes()].concat();
        let as_body = [b"s".as_slice(), &mark].concat();
        for (field, value) in [(as_delivery, mark.as_slice()), (as_body, &[])] {
            let before = self.tables.seen.insert((self.id, field.as_slice()), (period, value))?;
            let before = before.map(|before| before.value().0);
            if let Some(before) = before {
                self.tables.seen_in.remove((before, self.id, field.as_slice()))?;
            }
            self.tables.seen_in.insert((period, self.id, field.as_slice()), ())?;
        }
        Ok(())
    }

    fn kept(&mut self, delivery: &DeliveryId) -> Result<Option<Kept>, Error> {
        self.body(delivery)
    }

    fn let_go(&mut self, delivery: &DeliveryId, had: Option<(Lane, Side)>, now_ms: u64) -> Result<(), Error> {
        self.let_body_go(delivery, had, now_ms)
    }

    fn custody(&mut self, delivery: &DeliveryId, now_ms: u64) -> Result<Option<Custody>, Error> {
        self.custody_of(delivery, now_ms)
    }

    fn keep_again(&mut self, delivery: &DeliveryId, copies: u32) -> Result<(), Error> {
        self.keep_body_again(delivery, copies)
    }

    fn ready(&mut self, side: Side, now_ms: u64, limit: usize) -> Result<Vec<IssueLane>, Error> {
        earliest(&self.tables.ready[side as usize], self.id, now_ms, limit)
    }

    fn movable(&mut self, now_ms: u64, limit: usize) -> Result<Vec<IssueLane>, Error> {
        earliest(&self.tables.movable, self.id, now_ms, limit)
    }

    fn parked(&mut self, limit: usize) -> Result<Vec<IssueLane>, Error> {
        earliest(&self.tables.parked, self.id, u64::MAX, limit)
    }

    fn active(&mut self, after: &str, limit: usize) -> Result<Vec<IssueLane>, Error> {
        let rows = self.tables.records.range((self.id, after)..(self.id, BEHIND_ALL))?;
        let names = rows.map(|row| Ok::<_, Error>(row?.0.value().1.to_owned()));
        let behind = names.filter(|name| !name.as_ref().is_ok_and(|name| name == after));
        behind.take(limit).map(|name| place(&name?)).collect()
    }

    fn waiting(&mut self) -> Result<u64, Error> {
        self.counted("waiting")
    }

    fn generation(&mut self, now_ms: u64) -> Result<u64, Error> {
        match self.counted("generation")? {
            0 => {
                self.set("generation", now_ms / 1_000)?;
                Ok(now_ms / 1_000)
            }
            known => Ok(known),
        }
    }

    fn rolled_back(&mut self, at_least: u64) -> Result<u64, Error> {
        let known = self.counted("rolled_back")?;
        if at_least > known {
            self.set("rolled_back", at_least)?;
        }
        Ok(known.max(at_least))
    }

    fn tell(&mut self, event: Event) -> Result<(), Error> {
        let text = encode(&event)?;
        self.append("ev", &text, EVENTS_MAX)?;
        if event.actor.is_some() {
            self.append("audit", &text, EVENTS_MAX)?;
        }
        Ok(())
    }
}

const fn is_known(period: u64, now_ms: u64) -> bool {
    period + PERIODS > now_ms / PERIOD_MS
}

impl Shelf<'_, '_> {
    fn counted(&self, name: &str) -> Result<u64, Error> {
        Ok(self.tables.counts.get((self.id, name))?.map_or(0, |count| count.value()))
    }

    fn set(&mut self, name: &str, value: u64) -> Result<(), Error> {
        self.tables.is_changed = true;
        self.tables.counts.insert((self.id, name), value)?;
        Ok(())
    }

    fn count(&mut self, name: &str, by: i64) -> Result<(), Error> {
        if by == 0 {
            return Ok(());
        }
        let next = self.counted(name)?.saturating_add_signed(by);
        self.set(name, next)
    }

    /// The first events of a record.
    pub(super) fn queue(&self, at: &IssueLane, limit: usize) -> Result<Vec<DeliveryId>, Error> {
        let name = at.to_text();
        let rows = self.tables.queues.range((self.id, name.as_str(), 0)..=(self.id, name.as_str(), u64::MAX))?;
        rows.take(limit).map(|row| DeliveryId::new(row?.1.value().1).map_err(misread)).collect()
    }

    /// Since when the first event of a record waits.
    pub(super) fn oldest(&self, at: &IssueLane) -> Result<Option<u64>, Error> {
        let name = at.to_text();
        let mut rows = self.tables.queues.range((self.id, name.as_str(), 0)..=(self.id, name.as_str(), u64::MAX))?;
        Ok(rows.next().transpose()?.map(|(_, event)| event.value().0))
    }

    fn append(&mut self, stream: &str, text: &[u8], limit: usize) -> Result<u64, Error> {
        self.tables.is_changed = true;
        let last = self.tables.streams.range((self.id, stream, 0)..=(self.id, stream, u64::MAX))?.next_back();
        let next = last.transpose()?.map_or(0, |(key, _)| key.value().2 + 1);
        self.tables.streams.insert((self.id, stream, next), text)?;
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        if let Some(old) = next.checked_sub(limit) {
            self.tables.streams.remove((self.id, stream, old))?;
        }
        Ok(next)
    }
}
