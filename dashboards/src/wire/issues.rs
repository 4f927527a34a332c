//! The ledger of issues as it leaves by HTTP.

use std::collections::BTreeMap;

use flags::Side;
use flags::ledger::rules::{Parked, Record, State};
use flags::ledger::view::{DeadLetter, Event, Listed, Quarantined, Shown, Totals};
use flags::ledger::{IssueLane, Lane};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::ObjectBuilder;

use super::{mode_schema, side_schema, words};

fn issue_state_schema() -> ObjectBuilder {
    words(State::ALL.map(State::name))
}

fn lane_schema() -> ObjectBuilder {
    words(Lane::ALL.map(Lane::name))
}

fn parked_schema() -> ObjectBuilder {
    words(Parked::ALL.map(Parked::name))
}

/// A time of the store's clock.
pub(crate) fn time(ms: u64) -> Timestamp {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

fn some_time(ms: u64) -> Option<Timestamp> {
    (ms > 0).then(|| time(ms))
}

/// One issue, or in parallel mode one side's part of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Issue)]
pub(crate) struct IssueView {
    /// To be percent-encoded in a path: `owner%2Frepo%23123`.
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repository: Option<String>,
    pub(crate) number: String,
    /// `only`, or the side whose part this is in parallel mode.
    #[schema(schema_with = lane_schema)]
    pub(crate) lane: &'static str,
    #[schema(schema_with = issue_state_schema)]
    pub(crate) state: &'static str,
    #[schema(schema_with = side_schema)]
    pub(crate) owner: &'static str,
    pub(crate) epoch: u64,
    /// Why it is where it is, in words.
    pub(crate) why: String,
    /// Events that wait.
    pub(crate) waiting: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) oldest: Option<Timestamp>,
    /// Tries of the first of them.
    pub(crate) attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) due: Option<Timestamp>,
    /// Until when its owner need not say anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) lease_until: Option<Timestamp>,
    /// Where it is to go as soon as that is safe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) moving_to: Option<&'static str>,
    /// The name of the work, as its system says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workflow: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) success: Option<bool>,
    pub(crate) pinned: PinnedView,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) changed: Timestamp,
}

/// What was decided when an issue got its first owner.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuePinned)]
pub(crate) struct PinnedView {
    #[schema(schema_with = mode_schema)]
    mode: &'static str,
    percent: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<u16>,
    revision: u64,
}

/// Why a record is where it is.
fn why(lane: Lane, record: &Record) -> String {
    let Record { owner, epoch, mode, .. } = record;
    let percent = record.share.percent();
    let pinned = match (lane, record.bucket) {
        (Lane::Legacy | Lane::New, _) => format!("{owner}'s part in parallel mode"),
        (Lane::Only, Some(bucket)) => format!("pinned in {} at {percent} %, bucket {bucket}", mode.name()),
        (Lane::Only, None) => format!("pinned in {} at {percent} %", mode.name()),
    };
    let moved =
        if *epoch > 1 && lane == Lane::Only { format!(", handed over since: epoch {epoch}") } else { String::new() };
    let waits = match (record.state(), record.parked) {
        (State::Parked, Some(Parked::Rejected)) => "; its system refused the first event, so it waits for a person",
        (State::Parked, Some(Parked::Dead)) => {
            "; the first event was tried as often as it is, so it waits for a person"
        }
        (State::Parked, Some(Parked::RolledBack) | None) => "; stopped by an emergency rollback",
        (State::Moving, _) => "; it goes to the other side when its owner reports the end or the lease has run out",
        (State::Unsure, _) => "; nobody knows whether its owner has the event, so it is not given to the other side",
        _ => "",
    };
    format!("{pinned}{moved}{waits}")
}

impl From<&Listed> for IssueView {
    fn from(listed: &Listed) -> Self {
        let Listed { at: IssueLane { issue, lane }, record, oldest_ms } = listed;
        Self {
            id: issue.to_string(),
            repository: issue.repository().map(str::to_owned),
            number: issue.number().to_owned(),
            lane: lane.name(),
            state: record.state().name(),
            owner: record.owner.name(),
            epoch: record.epoch,
            why: why(*lane, record),
            waiting: record.waiting,
            oldest: oldest_ms.map(time),
            attempt: record.attempt,
            due: record.ready_at().and_then(some_time),
            lease_until: record.leased_until().and_then(some_time),
            moving_to: record.moving.map(Side::name),
            workflow: record.workflow.clone(),
            success: record.success,
            pinned: PinnedView {
                mode: record.mode.name(),
                percent: record.share.percent(),
                bucket: record.bucket,
                revision: record.revision,
            },
            changed: time(record.changed_ms),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Issues)]
pub(crate) struct IssuesView {
    pub(crate) issues: Vec<IssueView>,
    /// Where the next page is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = IssueShown)]
pub(crate) struct ShownView {
    /// One, or in parallel mode one for each side.
    records: Vec<ShownRecordView>,
    /// What happened to it, newest first, as far as it is kept.
    events: Vec<IssueEventView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = IssueRecord)]
pub(crate) struct ShownRecordView {
    #[serde(flatten)]
    issue: IssueView,
    /// What an event of it carries in `Crossfade-Fence`.
    fence: String,
    /// The first of the events that wait, oldest first.
    deliveries: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = IssueEvent)]
pub(crate) struct IssueEventView {
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    issue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<&'static str>,
    what: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<Event> for IssueEventView {
    fn from(event: Event) -> Self {
        let Event { at_ms, lane, issue, what, detail, actor, reason } = event;
        let (issue, lane) = (issue.map(String::from), lane.map(Lane::name));
        Self { time: time(at_ms), issue, lane, what: what.name(), detail, actor, reason }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = IssueEvents)]
pub(crate) struct IssueEventsView {
    pub(crate) events: Vec<IssueEventView>,
}

impl From<Shown> for ShownView {
    fn from(shown: Shown) -> Self {
        let Shown { generation, records, events, .. } = shown;
        let record = |lane: &flags::ledger::view::ShownLane| ShownRecordView {
            issue: (&lane.listed).into(),
            fence: format!("{generation}.{}", lane.listed.record.epoch),
            deliveries: lane.waiting.iter().map(ToString::to_string).collect(),
        };
        Self { records: records.iter().map(record).collect(), events: events.into_iter().map(Into::into).collect() }
    }
}

/// The ledger in numbers.
#[derive(Serialize, ToSchema)]
#[schema(as = IssueTotals)]
pub(crate) struct TotalsView {
    migration: String,
    /// Issues by state and owner; what is not named is 0.
    issues: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Events that are not delivered.
    waiting: u64,
    oldest_waiting_seconds: f64,
    dead_letters: u64,
    quarantined: u64,
    /// Issues with a lease that holds.
    leased: u64,
    /// Leases that have run out without a word.
    lapsed: u64,
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
}

impl TotalsView {
    pub(crate) fn new(migration: &str, totals: &Totals) -> Self {
        let mut issues: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (state, side, count) in &totals.records {
            issues.entry(state.name()).or_default().insert(side.name(), *count);
        }
        let oldest = totals.oldest_ms.map_or(0, |oldest| totals.now_ms.saturating_sub(oldest));
        #[allow(clippy::cast_precision_loss, reason = "milliseconds of some days")]
        let oldest_waiting_seconds = oldest as f64 / 1_000.0;
        Self {
            migration: migration.to_owned(),
            issues,
            waiting: totals.waiting,
            oldest_waiting_seconds,
            dead_letters: totals.dead,
            quarantined: totals.quarantined,
            leased: totals.leased,
            lapsed: totals.lapsed,
            time: time(totals.now_ms),
        }
    }
}

/// An event that waits for a person.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(crate) struct LetterView {
    issue: String,
    #[schema(schema_with = lane_schema)]
    lane: &'static str,
    #[schema(schema_with = side_schema)]
    owner: &'static str,
    delivery: String,
    #[schema(schema_with = parked_schema)]
    why: &'static str,
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

impl From<&DeadLetter> for LetterView {
    fn from(letter: &DeadLetter) -> Self {
        let DeadLetter { at: IssueLane { issue, lane }, owner, delivery, why, since_ms } = letter;
        let (issue, delivery) = (issue.to_string(), delivery.to_string());
        Self { issue, lane: lane.name(), owner: owner.name(), delivery, why: why.name(), since: time(*since_ms) }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetters)]
pub(crate) struct LettersView {
    pub(crate) dead_letters: Vec<LetterView>,
}

/// What a replay or a discarding did, or would do.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuesTouched)]
pub(crate) struct TouchedView {
    pub(crate) dry_run: bool,
    pub(crate) events: Vec<LetterView>,
    /// There are more than one call takes: call again.
    pub(crate) more: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Quarantined)]
pub(crate) struct QuarantinedView {
    id: String,
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    reason: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<String>,
    body_bytes: u64,
    /// Its beginning.
    body: String,
}

impl From<Quarantined> for QuarantinedView {
    fn from(what: Quarantined) -> Self {
        let Quarantined { id, at_ms, reason, detail, delivery, headers: _, body, body_bytes } = what;
        Self { id, time: time(at_ms), reason, detail, delivery, body_bytes, body }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Quarantine)]
pub(crate) struct QuarantineView {
    pub(crate) quarantined: Vec<QuarantinedView>,
}
