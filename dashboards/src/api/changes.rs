//! Every change of a migration, from any route: asked of `Control`, then followed to the replicas.
//!
//! # Why the answer names replicas
//!
//! A change is made once the store has it, and works once every router has it. The second is what
//! an operator waits for, so the answer says who has applied it; with `?wait=` it is sent when
//! everybody has, or when the time is up and somebody has not.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::ETAG;
use axum::response::{IntoResponse, Response};
use flags::accepted::InvalidRule;
use flags::control::{Applied, Ask, Change, ControlError, InvalidPin, InvalidReason};
use flags::freeze::FreezeEntry;
use flags::migration::MigrationId;
use flags::state::ChangeKind;
use flags::store::StoreError;
use flags::store::records::RecordError;
use flags::{Mode, Revision};
use jiff::Timestamp;
use metrics::status::Status;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::movement::{Movement, movement};
use super::request::IfMatch;
use super::values;
use crate::Shared;
use crate::problem::{Code, Problem};
use crate::wire::{PassesView, PinChangeView, PositionView, RuleChangeView};

/// Between two looks at the replicas, who speak twice a second.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long an answer waits for this very router even unasked, so that the next GET shows the change.
const OWN_SWAP_MAX: Duration = Duration::from_secs(1);

/// How long a look at the replicas may take when nobody asked to wait.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// Parameters of every change.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChangeParams {
    /// Answer what would change and write nothing.
    pub(crate) dry_run: bool,
    /// Answer when every live replica has applied the change, or after this long: `10s`.
    pub(crate) wait: Option<String>,
}

/// A change as a handler hands it over.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) actor: String,
    pub(crate) reason: String,
    pub(crate) force: bool,
    pub(crate) if_match: IfMatch,
    pub(crate) dry_run: bool,
    pub(crate) wait: Option<Duration>,
}

impl Asked {
    pub(crate) fn new(
        actor: String,
        reason: Option<&str>,
        force: bool,
        if_match: IfMatch,
        params: &ChangeParams,
    ) -> Result<Self, Problem> {
        let wait = values::wait(params.wait.as_deref())?;
        let reason = values::reason(reason)?;
        Ok(Self { actor, reason, force, if_match, dry_run: params.dry_run, wait })
    }
}

/// How to take a change back.
#[derive(Serialize, ToSchema)]
pub(crate) struct UndoView {
    pub(crate) command: String,
    pub(crate) method: &'static str,
    pub(crate) path: String,
}

/// What a change did, or would do.
#[derive(Serialize, ToSchema)]
#[schema(as = Change)]
pub(crate) struct ChangeView {
    #[schema(value_type = String)]
    pub(crate) migration: MigrationId,
    /// After the change.
    #[schema(value_type = u64)]
    pub(crate) revision: Revision,
    #[schema(value_type = String)]
    pub(crate) kind: ChangeKind,
    pub(crate) before: PositionView,
    pub(crate) after: PositionView,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pin: Option<PinChangeView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<RuleChangeView>,
    /// How much of what was found a rule would let pass; only where one is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) passes: Option<PassesView>,
    pub(crate) moves: Movement,
    /// False: the state already was as asked, and nothing was written.
    pub(crate) changed: bool,
    pub(crate) dry_run: bool,
    /// True: the store is away; this router acts now, the others when the store is back.
    pub(crate) here_only: bool,
    /// Absent where nothing was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) undo: Option<UndoView>,
    /// What people should know before new gets more traffic: a freeze, and what the guard has found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    /// Live replicas that serve by the change.
    pub(crate) applied_by: Vec<String>,
    /// Live replicas that do not yet.
    pub(crate) pending: Vec<String>,
    /// Whether every live replica has applied it.
    pub(crate) converged: bool,
}

impl ChangeView {
    pub(crate) fn status(&self) -> StatusCode {
        if self.here_only { StatusCode::ACCEPTED } else { StatusCode::OK }
    }
}

impl IntoResponse for ChangeView {
    fn into_response(self) -> Response {
        let tag = format!("\"{}\"", self.revision);
        (self.status(), [(ETAG, tag)], Json(self)).into_response()
    }
}

/// The identifier of a path, when the file defines such a migration.
pub(crate) fn known(shared: &Shared, id: &str) -> Result<MigrationId, Problem> {
    let defined = MigrationId::new(id).ok().filter(|id| shared.watch.current().find(id).is_some());
    defined.ok_or_else(|| unknown(id))
}

pub(crate) fn unknown(id: &str) -> Problem {
    let shown: String = id.chars().take(80).collect();
    let shown = shown.escape_debug();
    let detail = format!("migration \"{shown}\" is not in the file: GET /api/v1/migrations lists those that are");
    Problem::new(Code::UnknownMigration, detail)
}

/// Makes one change and follows it.
pub(crate) async fn change(shared: &Shared, id: &MigrationId, ask: Ask, asked: Asked) -> Result<ChangeView, Problem> {
    let wait = asked.wait;
    let applied = apply(shared, id, ask, asked).await?;
    Ok(follow(shared, applied, wait).await)
}

/// Makes one change.
pub(crate) async fn apply(shared: &Shared, id: &MigrationId, ask: Ask, asked: Asked) -> Result<Applied, Problem> {
    let status = shared.board.get(id).unwrap_or_default();
    let change = Change {
        ask,
        held: status
            .state
            .stops_progress()
            .then(|| format!("migration \"{id}\" is {}: {}", status.state.name(), status.why)),
        if_revision: if_revision(shared, id, &asked.if_match)?,
        actor: asked.actor,
        reason: asked.reason,
        dry_run: asked.dry_run,
        force: asked.force,
        evidence: None,
    };
    shared.control.apply(id, change).await.map_err(problem)
}

/// Watches a change arrive at the replicas.
pub(crate) async fn follow(shared: &Shared, applied: Applied, wait: Option<Duration>) -> ChangeView {
    let arrival = if applied.dry_run {
        Arrival::default()
    } else if applied.here_only {
        Arrival { applied_by: vec![shared.replica.clone()], pending: Vec::new(), known: false }
    } else {
        arrival(shared, applied.revision, wait).await
    };
    view(shared, &applied, arrival).await
}

/// Watches several changes of one write arrive, which they do together.
pub(crate) async fn follow_all(shared: &Shared, applied: Vec<Applied>, wait: Option<Duration>) -> Vec<ChangeView> {
    let newest = applied.iter().filter(|one| !one.dry_run).map(|one| one.revision).max();
    let arrival = match newest {
        Some(revision) => arrival(shared, revision, wait).await,
        None => Arrival::default(),
    };
    let mut views = Vec::with_capacity(applied.len());
    for one in &applied {
        views.push(view(shared, one, arrival.clone()).await);
    }
    views
}

/// The one revision that `Control` compares; of several, the current one where it is among them.
fn if_revision(shared: &Shared, id: &MigrationId, if_match: &IfMatch) -> Result<Option<Revision>, Problem> {
    let IfMatch::Revisions(revisions) = if_match else { return Ok(None) };
    let snapshot = shared.watch.current();
    let current = snapshot.find(id).map(|at| snapshot.placed(at).document.revision);
    let found = revisions.iter().find(|revision| Some(**revision) == current).or_else(|| revisions.first());
    found.copied().map(Some).ok_or_else(|| {
        let detail =
            "If-Match holds no revision of this migration: send the ETag of GET /api/v1/migrations/ID as it came";
        Problem::new(Code::StaleRevision, detail)
    })
}

/// Who has a revision.
#[derive(Clone, Debug, Default)]
struct Arrival {
    applied_by: Vec<String>,
    pending: Vec<String>,
    /// Whether the replicas could be asked at all.
    known: bool,
}

async fn arrival(shared: &Shared, revision: Revision, wait: Option<Duration>) -> Arrival {
    let deadline = Instant::now() + wait.unwrap_or_default();
    own_swap(shared, revision, deadline.max(Instant::now() + OWN_SWAP_MAX)).await;
    loop {
        let look_until = deadline.max(Instant::now() + LOOK_MAX);
        let looked = tokio::time::timeout_at(look_until, look(shared, revision)).await;
        let arrival = looked.unwrap_or_else(|_elapsed| own_word(shared, revision));
        let arrived = arrival.known && arrival.pending.is_empty();
        if arrived || Instant::now() + LOOK_EVERY > deadline {
            return arrival;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until this router serves by the revision.
async fn own_swap(shared: &Shared, revision: Revision, until: Instant) {
    let mut swaps = shared.watch.subscribe();
    // Late is told by the answer, and a closed channel means that the router is going down.
    let _ = tokio::time::timeout_at(until, swaps.wait_for(|current| *current >= revision)).await;
}

/// What this router knows without asking anybody.
fn own_word(shared: &Shared, revision: Revision) -> Arrival {
    let own = vec![shared.replica.clone()];
    if shared.watch.current().revision() >= revision {
        Arrival { applied_by: own, pending: Vec::new(), known: false }
    } else {
        Arrival { applied_by: Vec::new(), pending: own, known: false }
    }
}

async fn look(shared: &Shared, revision: Revision) -> Arrival {
    let mut arrival = own_word(shared, revision);
    let Ok(replicas) = shared.control.replicas().await else { return arrival };
    let now = Timestamp::now();
    for replica in replicas.into_iter().filter(|word| word.is_live(now) && word.replica != shared.replica) {
        let list = if replica.revision >= revision { &mut arrival.applied_by } else { &mut arrival.pending };
        list.push(replica.replica);
    }
    arrival.applied_by.sort_unstable();
    arrival.pending.sort_unstable();
    arrival.known = true;
    arrival
}

async fn view(shared: &Shared, applied: &Applied, arrival: Arrival) -> ChangeView {
    let snapshot = shared.watch.current();
    let definition = snapshot.find(&applied.migration).map(|at| snapshot.migration(at));
    let moves = match definition {
        Some(migration) => movement(shared, migration, applied).await,
        None => Movement::NONE,
    };
    let status = shared.board.get(&applied.migration).unwrap_or_default();
    ChangeView {
        migration: applied.migration.clone(),
        revision: applied.revision,
        kind: applied.kind,
        before: applied.before.into(),
        after: applied.after.into(),
        pin: applied.pin.as_ref().map(|pin| PinChangeView::new(pin, Timestamp::now())),
        rule: applied.rule.as_ref().map(|rule| RuleChangeView::new(rule, Timestamp::now())),
        passes: None,
        warnings: if moves.direction == "toward_new" { warnings(shared, &status) } else { Vec::new() },
        moves,
        changed: applied.changed,
        dry_run: applied.dry_run,
        here_only: applied.here_only,
        undo: (applied.changed && !applied.dry_run && !applied.here_only).then(|| undo(applied)),
        converged: !applied.dry_run && arrival.known && arrival.pending.is_empty(),
        applied_by: arrival.applied_by,
        pending: arrival.pending,
    }
}

/// Why giving new more traffic now may be too early.
fn warnings(shared: &Shared, status: &Status) -> Vec<String> {
    let now = Timestamp::now();
    let cooldown = status.cooldown_until().filter(|until| now < *until).map(|until| {
        let times = match status.rollbacks.len() {
            1 => "once".to_owned(),
            times => format!("{times} times"),
        };
        format!("this migration was rolled back {times} within 7 days and should rest until {until}")
    });
    let held =
        status.state.stops_progress().then(|| format!("this migration is {}: {}", status.state.name(), status.why));
    let frozen = shared.watch.freeze().map(|freeze| format!("the environment is frozen {freeze}"));
    frozen.into_iter().chain(cooldown).chain(held).collect()
}

fn undo(applied: &Applied) -> UndoView {
    let id = &applied.migration;
    let latched = applied.after.mode == Mode::EmergencyRollback && applied.before.mode != Mode::EmergencyRollback;
    let (verb, option) = if latched { ("acknowledge", " --to legacy_only") } else { ("undo", "") };
    UndoView {
        command: format!("crossfade {verb} {id}{option} --reason TEXT"),
        method: "POST",
        path: format!("/api/v1/migrations/{id}/{verb}"),
    }
}

/// Which problem a refused change is.
pub(crate) fn problem(error: ControlError) -> Problem {
    let detail = error.to_string();
    match error {
        ControlError::Unknown(_) => Problem::new(Code::UnknownMigration, detail),
        ControlError::InvalidReason(InvalidReason::Blank) => Problem::new(Code::ReasonRequired, detail),
        ControlError::InvalidReason(InvalidReason::TooLong(_) | InvalidReason::ControlCharacter)
        | ControlError::InvalidPin(InvalidPin::EmptyKey | InvalidPin::KeyTooLong(_) | InvalidPin::AlreadyOver(_))
        | ControlError::NotWholePercent(_)
        | ControlError::InvalidFreeze
        | ControlError::NotRecorded(RecordError::Invalid(_) | RecordError::TooLarge { .. }) => {
            Problem::new(Code::InvalidValue, detail)
        }
        ControlError::InvalidRule(InvalidRule::Unknown) => Problem::new(Code::UnknownRule, detail),
        ControlError::InvalidRule(InvalidRule::TooMany) => Problem::new(Code::Refused, detail),
        ControlError::InvalidRule(_) => Problem::new(Code::InvalidValue, detail),
        ControlError::InvalidPin(InvalidPin::TooMany) | ControlError::Refused(_) => Problem::new(Code::Refused, detail),
        ControlError::NotRecorded(RecordError::SideDiffers { .. }) => Problem::new(Code::SideDiffers, detail),
        ControlError::NotRecorded(RecordError::Full { .. }) => Problem::new(Code::OutcomesFull, detail),
        ControlError::NotRecorded(RecordError::Store(error)) => store_problem(&error),
        ControlError::Stale { expected, actual, actor, time } => Problem::new(Code::StaleRevision, detail)
            .with("expected", expected.0)
            .with("actual", actual.0)
            .with("actor", actor)
            .with("time", time.to_string()),
        ControlError::Held(_) => Problem::new(Code::Held, detail),
        ControlError::Frozen(freeze) => frozen(freeze, detail),
        ControlError::NotConverged { revision, replicas } => {
            Problem::new(Code::NotConverged, detail).with("revision", revision.0).with("replicas", replicas)
        }
        ControlError::NotTheNewest { revision, replicas } => {
            Problem::new(Code::NotConverged, detail).with("revision", revision.0).with("replicas", replicas)
        }
        ControlError::NothingLost => Problem::new(Code::Refused, detail),
        ControlError::NothingToUndo(_) => Problem::new(Code::NothingToUndo, detail),
        ControlError::Busy(_) => Problem::new(Code::Conflict, detail).retry_after(1),
        ControlError::Unconfirmed(error) => {
            tracing::warn!(
                error = error.to_string().escape_debug().to_string(),
                "it is not known whether a change was written"
            );
            Problem::new(Code::OutcomeUnknown, detail)
        }
        ControlError::Store(error) => store_problem(&error),
    }
}

/// What a script may want to know of a freeze besides the sentence.
fn frozen(freeze: FreezeEntry, detail: String) -> Problem {
    let FreezeEntry { actor, reason, time, until, .. } = freeze;
    let problem = Problem::new(Code::Frozen, detail).with("actor", actor).with("reason", reason);
    problem.with("time", time.to_string()).with("until", until.map(|until| until.to_string()))
}

/// Which problem a store that does not answer is.
pub(crate) fn store_problem(error: &StoreError) -> Problem {
    match error {
        // Who changes migrations can see to it that the file is mended; the words hold no secret.
        StoreError::Refused(_) => {
            let detail = format!("{error}. Nothing was written; an emergency rollback works all the same");
            Problem::new(Code::StoreUnavailable, detail).retry_after(2)
        }
        StoreError::Unavailable(_) | StoreError::Unanswered(_) => {
            // That the store is away is logged once, when it goes; open pages would repeat it each second.
            tracing::debug!(
                error = error.to_string().escape_debug().to_string(),
                "a request of the admin side met no store"
            );
            let detail = "the store does not answer, so nothing was written; traffic goes on by the last known state. An emergency rollback works all the same";
            Problem::new(Code::StoreUnavailable, detail).retry_after(2)
        }
        StoreError::Conflict { .. } => {
            Problem::new(Code::Conflict, "others changed the state meanwhile; nothing was written, repeat the change")
        }
        StoreError::Corrupt(_) => Problem::new(Code::StateUnreadable, error.to_string()),
    }
}
