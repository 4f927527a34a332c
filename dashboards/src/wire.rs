//! The only types that leave by HTTP, so that a change inside does not change the API by accident.

mod decided;
mod freeze;
pub(crate) mod issues;
mod mismatches;
pub(crate) mod reconciled;
mod replicas;
pub(crate) mod resent;

use flags::decide::Decision;
use flags::migration::{Migration, MigrationId};
use flags::snapshot::{MigrationIndex, Snapshot};
use flags::state::{ChangeKind, HistoryEntry, Pin, PinChange, Position};
use flags::{BasisPoints, HashKind, Mode, Reason, Revision, Side};
use jiff::Timestamp;
use metrics::status::{Board, State};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};

pub(crate) use self::decided::Decided;
pub(crate) use self::freeze::{FreezeChangeView, FreezeStateView, FreezeView};
pub(crate) use self::mismatches::{
    ExampleView, MismatchPage, MismatchView, MismatchesView, PassesView, RuleChangeView, RuleView, RulesView,
    TotalsView,
};
pub(crate) use self::replicas::{ReplicaView, ReplicasView};
use crate::api::evidence::{ThresholdsView, action_name, thresholds};
use crate::health::{EndpointHealth, Health, UpstreamHealth};

fn words(names: impl IntoIterator<Item = &'static str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names))
}

pub(crate) fn mode_schema() -> ObjectBuilder {
    words(Mode::ALL.map(Mode::name))
}

pub(crate) fn side_schema() -> ObjectBuilder {
    words(Side::ALL.map(Side::name))
}

fn no_side_or_one_schema() -> ObjectBuilder {
    let names = Side::ALL.map(|side| Value::from(side.name()));
    let kinds = SchemaType::from_iter([Type::String, Type::Null]);
    ObjectBuilder::new().schema_type(kinds).enum_values(Some(names.into_iter().chain([Value::Null])))
}

fn reason_schema() -> ObjectBuilder {
    words(Reason::ALL.map(Reason::name))
}

fn hash_schema() -> ObjectBuilder {
    words([HashKind::Bucket.name(), HashKind::Modulo.name()])
}

pub(crate) fn state_schema() -> ObjectBuilder {
    words(State::ALL.map(State::name))
}

pub(crate) fn guard_action_schema() -> ObjectBuilder {
    words(["rollback", "hold", "off"])
}

fn kind_schema() -> ObjectBuilder {
    words([
        "mode",
        "rollout",
        "rollback",
        "acknowledge",
        "pin",
        "unpin",
        "accept_rule",
        "remove_rule",
        "undo",
        "reseed",
        "adopt",
    ])
}

/// One side of a migration: its names, and how this router meets it.
#[derive(Serialize, ToSchema)]
pub(crate) struct SideView {
    /// The name the operator gave it.
    pub(crate) label: String,
    pub(crate) upstream: String,
    /// Whether some endpoint answers; absent while nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) healthy: Option<bool>,
    pub(crate) endpoints: Vec<EndpointHealth>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LabelsView {
    pub(crate) legacy: String,
    pub(crate) new: String,
}

/// Who changed a migration last, when and why.
#[derive(Serialize, ToSchema)]
pub(crate) struct LastChange {
    pub(crate) actor: String,
    pub(crate) reason: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) time: Timestamp,
}

/// What this router saw of late, in first attempts.
#[derive(Serialize, ToSchema)]
pub(crate) struct ObservedView {
    pub(crate) window_seconds: u32,
    pub(crate) legacy: u64,
    pub(crate) new: u64,
    /// The share of new; absent without requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) percent: Option<f64>,
}

/// One migration: where it stands, what it is, and what this router sees of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Migration)]
pub(crate) struct MigrationView {
    #[schema(value_type = String)]
    pub(crate) id: MigrationId,
    /// As stored.
    #[schema(schema_with = mode_schema)]
    pub(crate) mode: Mode,
    /// The share of gradual mode, 0 to 100 with two decimals.
    pub(crate) percent: f64,
    /// The share of keys that new serves here and now, rules and pins aside.
    pub(crate) serves_new_percent: f64,
    /// Of this migration's last change; also its ETag.
    #[schema(value_type = u64)]
    pub(crate) revision: Revision,
    /// Whether it makes progress; `evidence` says why not.
    #[schema(schema_with = state_schema)]
    pub(crate) state: &'static str,
    /// Why it does not, in one sentence; absent where it does.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub(crate) why: String,
    /// What the guard does when it finds that new is worse.
    #[schema(schema_with = guard_action_schema)]
    pub(crate) guard_action: &'static str,
    /// What speaks against new, an e-value: 1 says nothing.
    pub(crate) evidence: f64,
    /// At which evidence the guard acts.
    pub(crate) thresholds: ThresholdsView,
    /// Until when progress should wait after a rollback that was acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) cooldown_until: Option<Timestamp>,
    /// In which this router serves; a kill file or a rollback on this router alone is ahead of the store.
    #[schema(schema_with = mode_schema)]
    pub(crate) effective_mode: Mode,
    pub(crate) labels: LabelsView,
    pub(crate) legacy: SideView,
    pub(crate) new: SideView,
    /// Where the sticky key comes from, in this order.
    pub(crate) key: Vec<String>,
    #[schema(schema_with = hash_schema)]
    pub(crate) hash: HashKind,
    pub(crate) program: Option<String>,
    #[schema(value_type = Vec<String>)]
    pub(crate) requires: Vec<MigrationId>,
    /// How many keys are pinned.
    pub(crate) pins: usize,
    /// Whether the routes under `/migration/` act on it.
    pub(crate) default: bool,
    pub(crate) reversible: bool,
    /// Absent while the store has no state for it and the file's initial state holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_change: Option<LastChange>,
    /// Why the stored state is not the one shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) observed: Option<ObservedView>,
}

impl MigrationView {
    pub(crate) fn new(
        snapshot: &Snapshot,
        at: MigrationIndex,
        health: &dyn Health,
        board: &Board,
        upstreams: &[UpstreamHealth],
    ) -> Self {
        let migration = snapshot.migration(at);
        let status = board.get(&migration.id).unwrap_or_default();
        let placed = snapshot.placed(at);
        let document = &placed.document;
        let written = document.revision > Revision::ZERO;
        let why = if status.state == State::Running { String::new() } else { status.why.clone() };
        Self {
            id: migration.id.clone(),
            mode: document.mode,
            percent: document.share.percent(),
            serves_new_percent: on_new(migration, snapshot.effective_mode(at), document.share).percent(),
            revision: document.revision,
            state: status.state.name(),
            why,
            guard_action: action_name(migration.guard.action),
            evidence: status.e_value(),
            thresholds: thresholds(&migration.guard).into(),
            cooldown_until: status.cooldown_until().filter(|until| Timestamp::now() < *until),
            effective_mode: snapshot.effective_mode(at),
            labels: LabelsView { legacy: migration.labels.legacy.clone(), new: migration.labels.new.clone() },
            legacy: SideView::new(migration, Side::Legacy, upstreams),
            new: SideView::new(migration, Side::New, upstreams),
            key: migration.key.iter().map(ToString::to_string).collect(),
            hash: document.hash,
            program: migration.program.clone(),
            requires: migration.requires.clone(),
            pins: placed.pins.len(),
            default: snapshot.definitions().default_migration() == Some(at),
            reversible: migration.reversible,
            last_change: written.then(|| LastChange {
                actor: document.actor.clone(),
                reason: document.reason.clone(),
                time: document.time,
            }),
            problem: placed.problem.clone(),
            observed: health.observed(&migration.id).map(|seen| ObservedView {
                window_seconds: seen.window_seconds,
                legacy: seen.legacy,
                new: seen.new,
                percent: seen.percent_new(),
            }),
        }
    }
}

/// The share of keys that new serves, rules and pins aside.
pub(crate) fn on_new(migration: &Migration, mode: Mode, share: BasisPoints) -> BasisPoints {
    match mode {
        Mode::LegacyOnly | Mode::EmergencyRollback => BasisPoints::ZERO,
        Mode::Parallel => match migration.parallel.serve {
            Side::New => BasisPoints::ALL,
            Side::Legacy => BasisPoints::ZERO,
        },
        Mode::Gradual => share,
        Mode::NewOnly => BasisPoints::ALL,
    }
}

impl SideView {
    fn new(migration: &Migration, side: Side, upstreams: &[UpstreamHealth]) -> Self {
        let upstream = migration.upstream(side);
        let endpoints = upstreams.iter().find(|known| known.name == upstream).map(|known| known.endpoints.clone());
        let healthy = endpoints.as_ref().map(|endpoints| endpoints.iter().any(|endpoint| endpoint.healthy));
        Self {
            label: migration.labels.of(side).into(),
            upstream: upstream.into(),
            healthy,
            endpoints: endpoints.unwrap_or_default(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Migrations)]
pub(crate) struct MigrationsView {
    pub(crate) migrations: Vec<MigrationView>,
    /// Of the whole environment.
    #[schema(value_type = u64)]
    pub(crate) revision: Revision,
    /// What works only partly on this router, in sentences: a store that is away or has lost something.
    pub(crate) degraded: Vec<String>,
    /// While the environment is frozen, as this router has last read it.
    pub(crate) freeze: Option<FreezeView>,
}

/// What of a migration's state moves traffic.
#[derive(Clone, Copy, PartialEq, Serialize, ToSchema)]
#[schema(as = Position)]
pub(crate) struct PositionView {
    #[schema(schema_with = mode_schema)]
    pub(crate) mode: Mode,
    pub(crate) percent: f64,
}

impl From<Position> for PositionView {
    fn from(position: Position) -> Self {
        Self { mode: position.mode, percent: position.share.percent() }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Pin)]
pub(crate) struct PinView {
    pub(crate) key: String,
    #[schema(schema_with = side_schema)]
    pub(crate) side: Side,
    pub(crate) reason: String,
    pub(crate) actor: String,
    /// The first instant at which it no longer applies; absent for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) until: Option<Timestamp>,
    pub(crate) expired: bool,
}

impl PinView {
    pub(crate) fn new(key: &str, pin: &Pin, now: Timestamp) -> Self {
        Self {
            key: key.into(),
            side: pin.side,
            reason: pin.reason.clone(),
            actor: pin.actor.clone(),
            until: pin.until,
            expired: !pin.applies_at(now.as_second()),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Pins)]
pub(crate) struct PinsView {
    /// Sorted by key.
    pub(crate) pins: Vec<PinView>,
    /// How many there are in all.
    pub(crate) total: usize,
    /// Where the next page is; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A pin before and after a change.
#[derive(Serialize, ToSchema)]
#[schema(as = PinChange)]
pub(crate) struct PinChangeView {
    pub(crate) key: String,
    pub(crate) before: Option<PinView>,
    pub(crate) after: Option<PinView>,
}

impl PinChangeView {
    pub(crate) fn new(change: &PinChange, now: Timestamp) -> Self {
        let view = |pin: &Option<Pin>| pin.as_ref().map(|pin| PinView::new(&change.key, pin, now));
        Self { key: change.key.clone(), before: view(&change.before), after: view(&change.after) }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = HistoryEntry)]
pub(crate) struct HistoryView {
    #[schema(value_type = u64)]
    pub(crate) revision: Revision,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) time: Timestamp,
    /// The token's name, `guard` or `plan`.
    pub(crate) actor: String,
    pub(crate) reason: String,
    #[schema(schema_with = kind_schema)]
    pub(crate) kind: ChangeKind,
    pub(crate) before: PositionView,
    pub(crate) after: PositionView,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pin: Option<PinChangeView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<RuleChangeView>,
    /// What a guard saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) evidence: Option<Value>,
    /// SHA-256 of this entry, in hexadecimal.
    pub(crate) hash: String,
    /// Of the entry before it; empty for the first.
    pub(crate) previous_hash: String,
}

impl HistoryView {
    pub(crate) fn new(entry: &HistoryEntry, now: Timestamp) -> Self {
        Self {
            revision: entry.revision,
            time: entry.time,
            actor: entry.actor.clone(),
            reason: entry.reason.clone(),
            kind: entry.kind,
            before: entry.before.into(),
            after: entry.after.into(),
            pin: entry.pin.as_ref().map(|pin| PinChangeView::new(pin, now)),
            rule: entry.rule.as_ref().map(|rule| RuleChangeView::new(rule, now)),
            evidence: entry.evidence.clone(),
            hash: entry.hash.clone(),
            previous_hash: entry.previous_hash.clone(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = History)]
pub(crate) struct HistoryPage {
    /// Newest first.
    pub(crate) history: Vec<HistoryView>,
    /// `ok`, or `broken` where an entry of this page was edited or is missing.
    pub(crate) chain: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub(crate) broken_at: Option<Revision>,
    /// Where older entries are; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Decision)]
pub(crate) struct DecisionView {
    #[schema(schema_with = side_schema)]
    pub(crate) serve: Side,
    #[schema(schema_with = no_side_or_one_schema)]
    pub(crate) mirror: Option<Side>,
    #[schema(schema_with = reason_schema)]
    pub(crate) reason: Reason,
    /// 0 to 9999; absent without a key that the hash can place.
    pub(crate) bucket: Option<u16>,
    #[schema(value_type = u64)]
    pub(crate) revision: Revision,
    pub(crate) key: Option<String>,
    /// The template of the matched route.
    pub(crate) route: Option<String>,
    /// What else to know, such as that the path belongs to another migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl DecisionView {
    pub(crate) fn new(decision: &Decision, key: Option<&[u8]>, route: Option<String>, note: Option<String>) -> Self {
        Self {
            serve: decision.serve,
            mirror: decision.mirror,
            reason: decision.reason,
            bucket: decision.bucket.map(flags::Bucket::get),
            revision: decision.revision,
            key: key.map(|key| String::from_utf8_lossy(key).into_owned()),
            route,
            note,
        }
    }
}
