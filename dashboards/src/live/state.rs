//! Where everything stands, and what of it has changed since the last look.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::Shared;
use crate::api::upstreams::upstreams;
use crate::probes::degradations;
use crate::wire::{FreezeView, MigrationView, ReplicaView, ReplicasView};

/// What moves each second by itself, and is told with the counts.
const RESTLESS: [&str; 2] = ["observed", "evidence"];

/// One look.
pub(super) struct Seen {
    migrations: BTreeMap<String, Shown>,
    /// In the order of the file.
    order: Vec<String>,
    /// What there is besides migrations; a part that could not be read is not in it.
    rest: Map<String, Value>,
}

/// One migration, whole, and as a text of what does not move by itself, which is what looks are compared by.
struct Shown {
    whole: Value,
    at_rest: String,
}

impl Shown {
    fn new(whole: Value) -> Self {
        let members = whole.as_object().into_iter().flatten();
        let at_rest: BTreeMap<_, _> = members.filter(|(name, _)| !RESTLESS.contains(&name.as_str())).collect();
        Self { at_rest: serde_json::to_string(&at_rest).unwrap_or_default(), whole }
    }
}

impl Seen {
    /// Replicas are told as far as the store tells of them within `wait`.
    pub(super) async fn look(shared: &Shared, wait: Duration) -> Self {
        let snapshot = shared.watch.current();
        let health = shared.health.upstreams();
        let (mut migrations, mut order) = (BTreeMap::new(), Vec::new());
        for (at, definition, _) in snapshot.iter() {
            let view = MigrationView::new(&snapshot, at, shared.health.as_ref(), &shared.board, &health);
            order.push(definition.id.to_string());
            migrations.insert(definition.id.to_string(), Shown::new(serde_json::to_value(view).unwrap_or_default()));
        }
        let mut rest = Map::new();
        rest.insert("revision".into(), snapshot.revision().0.into());
        rest.insert("degraded".into(), degradations(shared).into());
        let freeze = shared.watch.freeze().map(FreezeView::from);
        rest.insert("freeze".into(), serde_json::to_value(freeze).unwrap_or_default());
        rest.insert("upstreams".into(), serde_json::to_value(upstreams(shared)).unwrap_or_default());
        if let Some(replicas) = replicas(shared, wait).await {
            rest.insert("replicas".into(), replicas);
        }
        Self { migrations, order, rest }
    }

    pub(super) fn whole(&self) -> Value {
        let migrations: Vec<_> = self.order.iter().filter_map(|id| Some(&self.migrations.get(id)?.whole)).collect();
        let mut whole = json!({ "migrations": migrations });
        if let Value::Object(members) = &mut whole {
            members.extend(self.rest.clone());
        }
        whole
    }

    /// What has changed, if anything has.
    pub(super) fn since(&self, before: &Self) -> Option<Value> {
        let is_as_before =
            |id: &str, now: &Shown| before.migrations.get(id).is_some_and(|was| was.at_rest == now.at_rest);
        let known = self.order.iter().filter_map(|id| Some((id, self.migrations.get(id)?)));
        let changed: Vec<_> =
            known.filter(|(id, now)| !is_as_before(id, now)).map(|(_, now)| now.whole.clone()).collect();
        let removed: Vec<_> = before.order.iter().filter(|id| !self.migrations.contains_key(*id)).cloned().collect();
        let mut members = Map::new();
        for (name, value) in self.rest.iter().filter(|(name, value)| before.rest.get(*name) != Some(value)) {
            members.insert(name.clone(), value.clone());
        }
        if changed.is_empty() && removed.is_empty() && members.is_empty() {
            return None;
        }
        members.insert("partial".into(), true.into());
        members.insert("migrations".into(), changed.into());
        members.insert("removed".into(), removed.into());
        Some(members.into())
    }
}

/// As `GET /replicas` has them, but for when each spoke last, which would be a change each second.
async fn replicas(shared: &Shared, wait: Duration) -> Option<Value> {
    let heartbeats = tokio::time::timeout(wait, shared.control.replicas()).await.ok()?.ok()?;
    let now = Timestamp::now();
    let views = heartbeats.into_iter().map(|word| ReplicaView::new(word, now, &shared.replica)).collect();
    let view = ReplicasView::new(views, shared.watch.current().revision());
    let mut replicas = serde_json::to_value(view.replicas).ok()?;
    for replica in replicas.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        replica.remove("time");
    }
    Some(replicas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(migrations: &[(&str, Value)], rest: &Value) -> Seen {
        Seen {
            migrations: migrations.iter().map(|(id, value)| ((*id).to_owned(), Shown::new(value.clone()))).collect(),
            order: migrations.iter().map(|(id, _)| (*id).to_owned()).collect(),
            rest: rest.as_object().cloned().unwrap_or_default(),
        }
    }

    #[test]
    fn only_what_has_changed_is_told() {
        let (one, other) = (json!({ "id": "a", "mode": "gradual" }), json!({ "id": "b", "mode": "gradual" }));
        let before = seen(&[("a", one.clone()), ("b", other.clone())], &json!({ "revision": 1, "replicas": [] }));
        assert_eq!(before.since(&before), None);
        let restless = seen(
            &[("a", json!({ "id": "a", "mode": "gradual", "evidence": 2.0, "observed": {} })), ("b", other.clone())],
            &json!({ "revision": 1 }),
        );
        assert_eq!(restless.since(&before), None, "a part that could not be read has not changed");
        let moved = seen(&[("a", json!({ "id": "a", "mode": "new_only" }))], &json!({ "revision": 2, "replicas": [] }));
        let expected = json!({
            "partial": true, "revision": 2, "migrations": [{ "id": "a", "mode": "new_only" }], "removed": ["b"],
        });
        assert_eq!(moved.since(&before), Some(expected));
    }
}
