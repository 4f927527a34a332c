//! The fleet as its routers tell of themselves, and who of them lags.

use std::collections::BTreeMap;

use flags::Revision;
use flags::state::Heartbeat;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = Replica)]
pub(crate) struct ReplicaView {
    pub(crate) name: String,
    /// Of the snapshot it serves from.
    #[schema(value_type = u64)]
    pub(crate) revision: Revision,
    /// Whether it was heard of within 5 s.
    pub(crate) live: bool,
    /// Live, and at an older revision than the newest of the fleet.
    pub(crate) behind: bool,
    /// Live, and of another file than most.
    pub(crate) other_file: bool,
    pub(crate) draining: bool,
    /// Replicas with different hashes run different files.
    pub(crate) config_hash: String,
    pub(crate) version: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) time: Timestamp,
    /// Whether this is the router that answers.
    pub(crate) this: bool,
}

impl ReplicaView {
    pub(crate) fn new(heartbeat: Heartbeat, now: Timestamp, this: &str) -> Self {
        Self {
            live: heartbeat.is_live(now),
            behind: false,
            other_file: false,
            this: heartbeat.replica == this,
            name: heartbeat.replica,
            revision: heartbeat.revision,
            draining: heartbeat.draining,
            config_hash: heartbeat.config_hash,
            version: heartbeat.version,
            time: heartbeat.time,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Replicas)]
pub(crate) struct ReplicasView {
    pub(crate) replicas: Vec<ReplicaView>,
    /// Of the snapshot of the router that answers.
    #[schema(value_type = u64)]
    pub(crate) revision: Revision,
    /// The newest revision that a live replica serves.
    #[schema(value_type = u64)]
    pub(crate) newest_revision: Revision,
    /// Replicas that were heard of within 5 s.
    pub(crate) live: usize,
    /// Those of them that serve the newest revision.
    pub(crate) current: usize,
    /// Those that do not, by name.
    pub(crate) behind: Vec<String>,
    /// Live replicas of another file than most, by name.
    pub(crate) other_file: Vec<String>,
}

impl ReplicasView {
    /// Judges who lags; `revision` is that of the router that answers, whatever it last said of itself.
    pub(crate) fn new(mut replicas: Vec<ReplicaView>, revision: Revision) -> Self {
        replicas.sort_by(|a, b| a.name.cmp(&b.name));
        for own in replicas.iter_mut().filter(|replica| replica.this) {
            own.revision = revision;
        }
        let live = || replicas.iter().filter(|replica| replica.live);
        let newest_revision = live().map(|replica| replica.revision).max().unwrap_or(revision).max(revision);
        let mut files = BTreeMap::<&str, usize>::new();
        for replica in live() {
            *files.entry(&replica.config_hash).or_default() += 1;
        }
        // Among equals the file of the router that answers is not the odd one.
        let own_file = replicas.iter().find(|replica| replica.this).map(|replica| replica.config_hash.as_str());
        let usual = files.iter().max_by_key(|(file, count)| (**count, Some(**file) == own_file));
        let usual = usual.map(|(file, _)| (*file).to_owned());
        for replica in &mut replicas {
            replica.behind = replica.live && replica.revision < newest_revision;
            replica.other_file = replica.live && Some(&replica.config_hash) != usual.as_ref();
        }
        let names = |of: fn(&ReplicaView) -> bool| {
            replicas.iter().filter(|replica| of(replica)).map(|replica| replica.name.clone()).collect::<Vec<_>>()
        };
        let behind = names(|replica| replica.behind);
        let other_file = names(|replica| replica.other_file);
        let live = replicas.iter().filter(|replica| replica.live).count();
        Self { revision, newest_revision, live, current: live - behind.len(), behind, other_file, replicas }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, revision, whether it is live, and file of each replica; `r1` answers and serves 42.
    #[track_caller]
    fn check(replicas: &[(&str, u64, bool, &str)], newest: u64, current: usize, behind: &[&str], other_file: &[&str]) {
        let view = |(name, revision, live, file): &(&str, u64, bool, &str)| ReplicaView {
            name: (*name).into(),
            revision: Revision(*revision),
            live: *live,
            behind: false,
            other_file: false,
            draining: false,
            config_hash: (*file).into(),
            version: String::new(),
            time: Timestamp::UNIX_EPOCH,
            this: *name == "r1",
        };
        let fleet = ReplicasView::new(replicas.iter().map(view).collect(), Revision(42));
        assert_eq!((fleet.newest_revision, fleet.current), (Revision(newest), current), "{replicas:?}");
        assert_eq!(
            (&fleet.behind[..], &fleet.other_file[..]),
            (&own(behind)[..], &own(other_file)[..]),
            "{replicas:?}"
        );
    }

    fn own(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_fleet_names_who_lags_and_who_has_another_file() {
        check(&[], 42, 0, &[], &[]);
        check(&[("r1", 41, true, "a"), ("r2", 42, true, "a")], 42, 2, &[], &[]);
        check(&[("r2", 41, true, "a"), ("r1", 42, true, "a"), ("r3", 40, false, "b")], 42, 1, &["r2"], &[]);
        check(&[("r1", 42, true, "a"), ("r2", 43, true, "a")], 43, 1, &["r1"], &[]);
        check(&[("r1", 42, true, "a"), ("r2", 42, true, "b")], 42, 2, &[], &["r2"]);
        check(&[("r1", 42, true, "a"), ("r2", 42, true, "b"), ("r3", 42, true, "b")], 42, 3, &[], &["r1"]);
    }
}
