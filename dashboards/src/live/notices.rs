//! What happened to migrations since the last look: changes, whoever made them, and what guards did.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use flags::state::{ChangeKind, Document, HistoryEntry};
use flags::store::Page;
use flags::{MigrationId, Mode, Revision};
use jiff::Timestamp;
use metrics::status::{State, Status};
use serde_json::{Value, json};

use super::STORE_WAIT;
use crate::Shared;
use crate::wire::PositionView;

/// Changes of one migration that are told one by one; of more within a second the newest.
const CHANGES_MAX: usize = 20;

/// A rollback holds on a router before it is stored: only one that stays ahead of the store is worth a word of its own.
const AHEAD_MAX: Duration = Duration::from_secs(2);

/// What the last look knew of each migration.
pub(super) struct Noticed(BTreeMap<MigrationId, Known>);

struct Known {
    document: Document,
    effective: Mode,
    /// Since when this router serves otherwise than it did, without a change of the document.
    differs: Option<Instant>,
    state: State,
}

impl Noticed {
    pub(super) fn new(shared: &Shared) -> Self {
        Self(known(shared))
    }

    pub(super) async fn look(&mut self, shared: &Shared) -> Vec<Value> {
        let before = std::mem::replace(&mut self.0, known(shared));
        let mut notices = Vec::new();
        for (id, now) in &mut self.0 {
            let Some(was) = before.get(id) else { continue };
            let (from, to) = (was.document.revision, now.document.revision);
            if from < to {
                notices.extend(changes(shared, id, from, now, was).await);
            } else if was.effective != now.effective {
                let since = was.differs.unwrap_or_else(Instant::now);
                if since.elapsed() >= AHEAD_MAX {
                    notices.push(of_this_router(shared, id, was, now));
                } else {
                    (now.effective, now.differs) = (was.effective, Some(since));
                }
            }
            let is_latched = now.document.mode == Mode::EmergencyRollback;
            if was.state != now.state && !is_latched {
                notices.extend(of_guard(id, was.state, &shared.board.get(id).unwrap_or_default(), to));
            }
        }
        notices
    }
}

fn known(shared: &Shared) -> BTreeMap<MigrationId, Known> {
    let snapshot = shared.watch.current();
    let one = |(at, definition, placed): (_, &flags::Migration, &flags::snapshot::Placed)| {
        let state = shared.board.get(&definition.id).unwrap_or_default().state;
        let known =
            Known { document: placed.document.clone(), effective: snapshot.effective_mode(at), differs: None, state };
        (definition.id.clone(), known)
    };
    snapshot.iter().map(one).collect()
}

/// Oldest first. Where the history does not answer, what the newest document says.
async fn changes(shared: &Shared, id: &MigrationId, from: Revision, now: &Known, was: &Known) -> Vec<Value> {
    let page = Page { before: None, limit: CHANGES_MAX };
    let history = tokio::time::timeout(STORE_WAIT, shared.control.history(id, page)).await;
    let entries = history.ok().and_then(Result::ok).unwrap_or_default();
    let mut notices: Vec<_> =
        entries.iter().rev().filter(|entry| entry.revision > from).map(|entry| of_entry(id, entry)).collect();
    if notices.is_empty() {
        let document = &now.document;
        let kind = if document.mode == Mode::EmergencyRollback { ChangeKind::Rollback } else { ChangeKind::Mode };
        let (before, after) = (was.document.position().into(), document.position().into());
        let told = Told { kind: kind_name(kind), actor: &document.actor, text: &document.reason, time: document.time };
        notices.push(notice(id, document.revision, &told, before, after));
    }
    notices
}

fn of_entry(id: &MigrationId, entry: &HistoryEntry) -> Value {
    let told = Told { kind: kind_name(entry.kind), actor: &entry.actor, text: &entry.reason, time: entry.time };
    notice(id, entry.revision, &told, entry.before.into(), entry.after.into())
}

/// A rollback that is not stored, the kill file, or the end of either.
fn of_this_router(shared: &Shared, id: &MigrationId, was: &Known, now: &Known) -> Value {
    let is_over = now.effective == now.document.mode;
    let percent = now.document.share.percent();
    let position = |mode| PositionView { mode, percent };
    let (kind, text) = if is_over {
        ("here_only_over", "this router serves as the store says again")
    } else {
        (
            "here_only",
            "this router alone serves otherwise than the store says, by the kill file or because the store is away: remove the file, or look what the store lacks",
        )
    };
    let told = Told { kind: kind.into(), actor: &shared.replica, text, time: Timestamp::now() };
    notice(id, now.document.revision, &told, position(was.effective), position(now.effective))
}

/// What a guard says; that it has seen nothing of late is nobody's alarm.
fn of_guard(id: &MigrationId, was: State, status: &Status, revision: Revision) -> Option<Value> {
    let (kind, severity) = match (was, status.state) {
        (_, State::Held) => ("hold", "ticket"),
        (_, State::Braked) => ("brake", "page"),
        (State::Held | State::Braked, State::Running) => ("release", "info"),
        _ => return None,
    };
    let time = status.since.unwrap_or_else(Timestamp::now);
    Some(json!({
        "id": format!("{id}-{revision}-{kind}-{}", time.as_millisecond()), "migration": id, "kind": kind, "severity": severity,
        "text": status.why, "actor": "guard", "revision": revision.0, "time": time,
    }))
}

/// What differs between one notice and another.
struct Told<'a> {
    kind: String,
    actor: &'a str,
    text: &'a str,
    time: Timestamp,
}

fn notice(id: &MigrationId, revision: Revision, told: &Told<'_>, before: PositionView, after: PositionView) -> Value {
    let Told { kind, actor, text, time } = told;
    let rolls_back = after.mode == Mode::EmergencyRollback && before.mode != Mode::EmergencyRollback;
    let severity = if rolls_back { "page" } else { "info" };
    json!({
        "id": format!("{id}-{revision}-{kind}"), "migration": id, "kind": kind, "severity": severity, "text": text,
        "actor": actor, "revision": revision.0, "time": time, "before": before, "after": after,
    })
}

/// As the history names it.
fn kind_name(kind: ChangeKind) -> String {
    serde_json::to_value(kind).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
}
