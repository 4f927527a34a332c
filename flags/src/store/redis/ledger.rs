//! The ledger of issues in Redis: one script that runs every call.
//!
//! # Why one script
//!
//! A call reads and writes a record, its queue and every index of it, and nobody may see half of that. The script's parts
//! are `ledger/rules.lua`, what becomes of one record; `ledger/shelf.lua`, where it is; and `ledger/calls.lua`, what a call
//! does. They translate [`crate::ledger::rules`] and [`crate::ledger::book`], and the suite of all stores
//! holds them to these by the same random calls.
//!
//! | Key, behind `crossfade:{env}:issues:<migration>` | Holds |
//! |---|---|
//! | `:i:<lane>:<issue>` | the record of an issue that has not ended, JSON |
//! | `:f:<n>` | hash: lane and issue -> the few words that are kept of one that has, 32,768 of these hashes |
//! | `:q:<lane>:<issue>` | list: its events, each with the time when it came |
//! | `:b:<delivery>` | hash: an event's headers and body, until it is delivered and a day besides |
//! | `:d:<period>:<n>` | hash: deliveries and bodies that were there, by 4 days, kept for 12 |
//! | `:ready:<side>`, `:lease`, `:move`, `:dlq`, `:waits` | sorted sets: when to send, until when leased, when movable, since when parked, and since when waiting |
//! | `:all` | sorted set: every issue that has not ended, by name |
//! | `:n` | hash: how many are in which state |
//! | `:ev`, `:audit` | streams: the newest that happened, and that people did |
//! | `:quarantine` | stream: what could not become a delivery |
//! | `:meta` | hash: the ledger's generation and its last rollback |
//! | `:duty:<name>` | which router does it for all, until that ends |
//!
//! Small hashes rather than a key for each: a million issues that ended and their deliveries stay below 300 MB so.
//!
//! # Why in the slot of the environment
//!
//! `claim` compares the revision of the state in the same step, and a router talks to the one server that has it. A
//! ledger that needs a server of its own is an environment of its own.
//!
//! Not supported: an eviction policy other than `noeviction`, under which Redis may forget an event that was answered.

mod confirm;
pub(super) mod copied;
mod duty;
mod people;
mod read;

use std::sync::LazyLock;

use async_trait::async_trait;
use redis::{Script, Value};
use serde::Serialize;

use self::read::{Meta, claimed, letters, misread, number, of, owners, parts, side, standing, text};
use super::Redis;
use crate::ledger::book::mark;
use crate::ledger::past::Again;
use crate::ledger::view::{
    Choice, DeadLetter, EVENTS_SHOWN_MAX, Event, Filter, PAGE_MAX, Page, QUARANTINE_MAX, Quarantined, Shown, Totals,
    Touched,
};
use crate::ledger::{
    Accepted, Answer, Claim, Delivery, DeliveryId, Handed, IssueId, Placed, Placement, QUEUE_MAX, Report, Reported,
    Settled, Standing, WAITING_MAX, Why, Word,
};
use crate::migration::{MigrationId, Side};
use crate::mode::Mode;
use crate::store::StoreError;
use crate::store::ledger::{
    BODY_KEPT_S, CLAIM_BYTES_MAX, CLAIMS_MAX, Durability, Duty, EVENTS_MAX, LOOKED_MAX, Ledger, Person, Policy,
    Preflight, STEP_MAX, Step, Taking,
};

use self::confirm::Confirming;
use self::copied::Copying;

/// What a store keeps for its ledger alone.
#[derive(Default)]
pub(super) struct Own {
    confirming: Confirming,
    copying: Copying,
    /// The time in a test that has its own; 0 is the server's.
    #[cfg(test)]
    pub(super) now: std::sync::atomic::AtomicU64,
}

static LEDGER: LazyLock<Script> = LazyLock::new(|| {
    // The time is the server's; tests say another.
    let clock = "
        local P, now = KEYS[1], tonumber(ARGV[1])
        if now == 0 then
            local time = redis.call('TIME')
            now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
        end
    ";
    let (rules, shelf) = (include_str!("ledger/rules.lua"), include_str!("ledger/shelf.lua"));
    Script::new(&[clock, rules, shelf, include_str!("ledger/calls.lua")].concat())
});

#[derive(Serialize)]
struct Pin {
    to: &'static str,
    mode: Mode,
    share: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<u16>,
    revision: u64,
}

#[derive(Serialize)]
struct SaidWord {
    heartbeat: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
}

#[derive(Serialize)]
struct SaidPerson<'a> {
    actor: &'a str,
    reason: &'a str,
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::corrupt)
}

fn person_json(person: &Person) -> Result<String, StoreError> {
    json(&SaidPerson { actor: &person.actor, reason: &person.reason })
}

impl Redis {
    async fn ledger_call(
        &self,
        migration: &MigrationId,
        name: &str,
        arguments: &[&[u8]],
    ) -> Result<Vec<Value>, StoreError> {
        let mut call = LEDGER.prepare_invoke();
        call.key(self.key_of("issues", migration)).key(self.key("revision"));
        call.arg(self.ledger_clock()).arg(name);
        for argument in arguments {
            call.arg(*argument);
        }
        self.link.invoke(&call).await
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, reason = "tests have a clock of their own")]
    const fn ledger_clock(&self) -> u64 {
        0
    }

    #[cfg(test)]
    fn ledger_clock(&self) -> u64 {
        self.own_ledger.now.load(std::sync::atomic::Ordering::SeqCst)
    }

    async fn step(&self, migration: &MigrationId, name: &str, arguments: &[&[u8]]) -> Result<Step, StoreError> {
        let answer = self.ledger_call(migration, name, arguments).await?;
        let next = text(of(&answer, 3)?)?;
        let count = |at| number(of(&answer, at)?);
        Ok(Step {
            moved: count(0)?,
            waiting: count(1)?,
            parked: count(2)?,
            next: (!next.is_empty()).then(|| next.to_owned()),
        })
    }
}

#[async_trait]
impl Ledger for Redis {
    async fn preflight(&self) -> Result<Preflight, StoreError> {
        self.ledger_preflight().await
    }

    fn renewals(&self) -> u64 {
        self.link.renewals()
    }

    async fn confirm(&self) -> Result<Durability, StoreError> {
        self.confirm_writes().await
    }

    async fn copied(&self) -> Result<(), StoreError> {
        self.copied_writes().await
    }

    async fn accept(
        &self,
        migration: &MigrationId,
        delivery: &Delivery,
        placement: &Placement,
    ) -> Result<Accepted, StoreError> {
        let Delivery { id, issue, action, body_sha256, headers, body } = delivery;
        let meta =
            Meta { issue: issue.clone(), action: action.clone(), sha256: *body_sha256, headers: headers.clone() };
        let to = match placement.to {
            Placed::One(side) => side.name(),
            Placed::Both => "both",
        };
        let bucket = placement.bucket.map(crate::bucket::Bucket::get);
        let Placement { mode, share, revision, .. } = *placement;
        let pin = json(&Pin { to, mode, share: share.get(), bucket, revision })?;
        let (meta, mark) = (json(&meta)?, mark(delivery));
        let (waiting, queue) = (WAITING_MAX.to_string(), QUEUE_MAX.to_string());
        let arguments = [
            id.as_str().as_bytes(),
            issue.as_str().as_bytes(),
            &mark,
            meta.as_bytes(),
            body,
            pin.as_bytes(),
            waiting.as_bytes(),
            queue.as_bytes(),
        ];
        let answer = self.ledger_call(migration, "accept", &arguments).await?;
        Ok(match text(of(&answer, 0)?)? {
            "new" => Accepted::New(owners(of(&answer, 1)?)?),
            "duplicate" => Accepted::Duplicate(owners(of(&answer, 1)?)?),
            "same_body" => Accepted::SameBody,
            "conflict" => Accepted::Conflict,
            "full_issue" => Accepted::Full("as many events of this issue wait as may"),
            "full_migration" => Accepted::Full("as many events wait in this migration as may"),
            other => return Err(misread(other)),
        })
    }

    async fn claim(
        &self,
        migration: &MigrationId,
        revision: u64,
        side: Side,
        limit: usize,
    ) -> Result<Taking, StoreError> {
        let numbers = [revision.to_string(), limit.min(CLAIMS_MAX).to_string(), CLAIM_BYTES_MAX.to_string()];
        let arguments = [&numbers[0], side.name(), &numbers[1], &numbers[2]].map(str::as_bytes);
        let answer = self.ledger_call(migration, "claim", &arguments).await?;
        if text(of(&answer, 0)?)? == "stale" {
            return Ok(Taking::Stale { actual: number(of(&answer, 1)?)? });
        }
        let generation = number(of(&answer, 1)?)?;
        let claims = parts(of(&answer, 2)?)?.iter().map(|one| claimed(one, generation)).collect::<Result<_, _>>()?;
        let moved = parts(of(&answer, 4)?)?.iter().map(|one| standing(one, generation)).collect::<Result<_, _>>()?;
        Ok(Taking::Taken { claims, parked: letters(of(&answer, 3)?)?, moved })
    }

    async fn settle(
        &self,
        migration: &MigrationId,
        claim: &Claim,
        answer: Answer,
        detail: &str,
    ) -> Result<Settled, StoreError> {
        let (at, token, kept) = (claim.at.to_text(), claim.token.to_string(), BODY_KEPT_S.to_string());
        let arguments = [&at, &token, answer.name(), detail, &kept].map(str::as_bytes);
        let answer = self.ledger_call(migration, "settle", &arguments).await?;
        Ok(match text(of(&answer, 0)?)? {
            "delivered" => Settled::Delivered,
            "again" => Settled::Again { at_ms: number(of(&answer, 1)?)? },
            "reassigned" => Settled::Reassigned { to: side(of(&answer, 2)?)?, epoch: number(of(&answer, 3)?)? },
            "dead" => Settled::Dead,
            "parked" => Settled::Parked,
            "fenced" => Settled::Fenced,
            other => return Err(misread(other)),
        })
    }

    async fn report(&self, migration: &MigrationId, report: &Report) -> Result<Reported, StoreError> {
        let word = json(&match report.word {
            Word::Heartbeat { max_ms } => SaidWord { heartbeat: true, max_ms, success: None },
            Word::Ended { success } => SaidWord { heartbeat: false, max_ms: None, success },
        })?;
        let (epoch, workflow) = (report.epoch.to_string(), report.workflow.as_deref().unwrap_or_default());
        let delivery = report.delivery.as_ref().map_or("", DeliveryId::as_str);
        let arguments =
            [report.issue.as_str(), report.side.name(), &epoch, &word, workflow, delivery].map(str::as_bytes);
        let answer = self.ledger_call(migration, "report", &arguments).await?;
        let owner = || side(of(&answer, 1)?);
        let epoch = || number(of(&answer, 2)?);
        Ok(match text(of(&answer, 0)?)? {
            "renewed" => Reported::Renewed { until_ms: number(of(&answer, 3)?)? },
            "ended" => Reported::Ended,
            "handed_over" => Reported::HandedOver { to: owner()?, epoch: epoch()? },
            "fenced" => Reported::Fenced { owner: owner()?, epoch: epoch()?, split_brain: owner()? != report.side },
            "unknown" => Reported::Unknown,
            other => return Err(misread(other)),
        })
    }

    async fn hand_over(
        &self,
        migration: &MigrationId,
        issue: &IssueId,
        epoch: u64,
        to: Side,
        person: Option<&Person>,
        why: Why,
    ) -> Result<Handed, StoreError> {
        let (epoch, by) = (epoch.to_string(), person.map(person_json).transpose()?.unwrap_or_default());
        let forced = if why == Why::Operator { "1" } else { "0" };
        let arguments = [issue.as_str(), &epoch, to.name(), &by, forced].map(str::as_bytes);
        let answer = self.ledger_call(migration, "hand_over", &arguments).await?;
        let epoch = || number(of(&answer, 1)?);
        let until = || number(of(&answer, 2)?);
        Ok(match text(of(&answer, 0)?)? {
            "over" => Handed::Over { epoch: epoch()? },
            "waiting" => Handed::Waiting { lease_until_ms: until()? },
            "busy" => Handed::Busy { until_ms: until()? },
            "already" => Handed::Already,
            "fenced" => Handed::Fenced { epoch: epoch()? },
            "parallel" => Handed::Parallel,
            "unknown" => Handed::Unknown,
            other => return Err(misread(other)),
        })
    }

    async fn sweep(&self, migration: &MigrationId) -> Result<Step, StoreError> {
        self.step(migration, "sweep", &[STEP_MAX.to_string().as_bytes()]).await
    }

    async fn roll_back(&self, migration: &MigrationId, revision: u64, after: Option<&str>) -> Result<Step, StoreError> {
        let (revision, limit) = (revision.to_string(), STEP_MAX.to_string());
        let arguments = [&revision, after.unwrap_or_default(), &limit].map(str::as_bytes);
        self.step(migration, "roll_back", &arguments).await
    }

    async fn standing(&self, migration: &MigrationId, issue: &IssueId) -> Result<Vec<Standing>, StoreError> {
        let answer = self.ledger_call(migration, "standing", &[issue.as_str().as_bytes()]).await?;
        let generation = number(of(&answer, 0)?)?;
        parts(of(&answer, 1)?)?.iter().map(|one| standing(one, generation)).collect()
    }

    async fn list(&self, migration: &MigrationId, filter: &Filter) -> Result<Page, StoreError> {
        let Filter { state, owner, prefix, after, limit } = filter;
        let (limit, looked) = ((*limit).clamp(1, PAGE_MAX).to_string(), LOOKED_MAX.to_string());
        let state = state.map_or("", |state| state.name());
        let owner = owner.map_or("", Side::name);
        let after = after.as_deref().unwrap_or_default();
        let arguments = [state, owner, prefix, after, &limit, &looked].map(str::as_bytes);
        let answer = self.ledger_call(migration, "list", &arguments).await?;
        let records = parts(of(&answer, 0)?)?.iter().map(read::listed).collect::<Result<_, _>>()?;
        let next = text(of(&answer, 1)?)?;
        Ok(Page { records, next: (!next.is_empty()).then(|| next.to_owned()) })
    }

    async fn show(&self, migration: &MigrationId, issue: &IssueId) -> Result<Option<Shown>, StoreError> {
        let waiting = EVENTS_SHOWN_MAX.to_string();
        let answer = self.ledger_call(migration, "show", &[issue.as_str().as_bytes(), waiting.as_bytes()]).await?;
        let (generation, now_ms) = (number(of(&answer, 0)?)?, number(of(&answer, 1)?)?);
        let records: Vec<_> = parts(of(&answer, 2)?)?.iter().map(read::shown).collect::<Result<_, _>>()?;
        if records.is_empty() {
            return Ok(None);
        }
        let events = self.stream(migration, "ev", "e", LOOKED_MAX).await?;
        let of_issue = events.into_iter().filter_map(|(_, text, _)| serde_json::from_str::<Event>(&text).ok());
        let of_issue = of_issue.filter(|event| event.issue.as_ref() == Some(issue)).take(EVENTS_SHOWN_MAX);
        Ok(Some(Shown { generation, now_ms, records, events: of_issue.collect() }))
    }

    async fn totals(&self, migration: &MigrationId) -> Result<Totals, StoreError> {
        read::totals(&self.ledger_call(migration, "totals", &[]).await?)
    }

    async fn dead_letters(&self, migration: &MigrationId, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX).to_string();
        letters(&Value::Array(self.ledger_call(migration, "dead_letters", &[limit.as_bytes()]).await?))
    }

    async fn replay(
        &self,
        migration: &MigrationId,
        choice: &Choice,
        person: &Person,
        dry_run: bool,
    ) -> Result<Touched, StoreError> {
        self.touch(migration, "replay", choice, person, dry_run).await
    }

    async fn resend(
        &self,
        migration: &MigrationId,
        deliveries: &[DeliveryId],
        as_of: (Mode, u64),
        person: &Person,
        dry_run: bool,
    ) -> Result<Vec<Again>, StoreError> {
        self.sent_again(migration, deliveries, as_of, person, dry_run).await
    }

    async fn discard(
        &self,
        migration: &MigrationId,
        choice: &Choice,
        person: &Person,
        dry_run: bool,
    ) -> Result<Touched, StoreError> {
        self.touch(migration, "discard", choice, person, dry_run).await
    }

    async fn quarantine(&self, migration: &MigrationId, what: &Quarantined) -> Result<(), StoreError> {
        let mut command = redis::cmd("XADD");
        command.arg(format!("{}:quarantine", self.key_of("issues", migration)));
        command.arg("MAXLEN").arg("~").arg(QUARANTINE_MAX).arg("*").arg("q").arg(json(what)?);
        let _: String = self.link.query(&command).await?;
        Ok(())
    }

    async fn quarantined(&self, migration: &MigrationId, limit: usize) -> Result<Vec<Quarantined>, StoreError> {
        let rows = self.stream(migration, "quarantine", "q", limit.min(QUARANTINE_MAX)).await?;
        let read = |(id, text, at_ms): (String, String, u64)| {
            Some(Quarantined { id, at_ms, ..serde_json::from_str(&text).ok()? })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    async fn events(&self, migration: &MigrationId, by_people: bool, limit: usize) -> Result<Vec<Event>, StoreError> {
        let name = if by_people { "audit" } else { "ev" };
        let rows = self.stream(migration, name, "e", limit.min(EVENTS_MAX)).await?;
        Ok(rows.into_iter().filter_map(|(_, text, _)| serde_json::from_str(&text).ok()).collect())
    }

    async fn take_duty(
        &self,
        migration: &MigrationId,
        duty: Duty,
        holder: &str,
        for_ms: u64,
    ) -> Result<bool, StoreError> {
        self.duty_taken(migration, duty, holder, for_ms).await
    }

    async fn leave_duty(&self, migration: &MigrationId, duty: Duty, holder: &str) -> Result<(), StoreError> {
        self.duty_left(migration, duty, holder).await
    }

    async fn trim(
        &self,
        migration: &MigrationId,
        policy: &Policy,
        after: Option<&str>,
    ) -> Result<(u64, Option<String>), StoreError> {
        let Policy { ended_s, ended_max, idle_s } = *policy;
        let ended = ended_s.saturating_mul(1_000).to_string();
        let (idle, most, limit) =
            (idle_s.saturating_mul(1_000).to_string(), ended_max.to_string(), STEP_MAX.to_string());
        let arguments = [&ended, &most, &idle, after.unwrap_or_default(), &limit].map(str::as_bytes);
        let answer = self.ledger_call(migration, "trim", &arguments).await?;
        let next = text(of(&answer, 1)?)?;
        Ok((number(of(&answer, 0)?)?, (!next.is_empty()).then(|| next.to_owned())))
    }
}
