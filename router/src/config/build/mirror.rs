//! Plain keys: which, whether they can be kept, and where they tell less than the state.

use std::ops::Range;

use flags::HashKind;
use flags::migration::{Labels, MigrationId};
use flags::mirror::{MIRRORED_MAX, MirrorKeys, check_key, only};

use super::super::errors::{Problem, quoted};
use super::super::file;
use super::super::read::At;
use super::Building;
use super::migrations::Migrations;

impl Building<'_> {
    /// The plain keys of a migration; told where they cannot be kept as the file asks.
    pub(super) fn mirror_keys(
        &mut self,
        field: Option<At<file::MirrorKeys>>,
        id: &MigrationId,
        labels: &Labels,
        hash: HashKind,
        all: &mut Migrations,
    ) -> Option<MirrorKeys> {
        let At { at, value: Some(file) } = field? else { return None };
        if !self.store_is_shared {
            let message = "plain keys are in Redis, and the store of this file is not";
            let help =
                "write `store: {redis: redis://HOST}` with the Redis whose keys these are, or remove `mirror_keys`";
            self.tell(Problem::new(&at, message).help(help));
        }
        for (key, missing) in [("mode", file.mode.is_none()), ("percent", file.percent.is_none())] {
            if missing {
                self.missing(&at, key, "name both, such as {mode: system_mode, percent: rollout_percentage}");
            }
        }
        if all.plain_keys.len() / 2 >= MIRRORED_MAX {
            let message = format!("more than {MIRRORED_MAX} migrations have `mirror_keys`");
            self.tell(Problem::new(&at, message));
            return None;
        }
        let legacy = only(&labels.legacy);
        if legacy == only(&labels.new) {
            let message = format!("both sides are {} in a plain key, because of their labels", quoted(&legacy));
            self.tell(Problem::new(&at, message).help("give them labels that differ in letters or digits"));
        }
        self.told_less(&at, id, hash);
        let mode = self.plain_key(file.mode?, all);
        let percent = self.plain_key(file.percent?, all);
        Some(MirrorKeys { mode: mode?, percent: percent? })
    }

    fn plain_key(&mut self, field: At<String>, all: &mut Migrations) -> Option<String> {
        let At { at, value: Some(key) } = field else { return None };
        if let Err(error) = check_key(&key) {
            self.tell(Problem::new(&at, format!("{} is no plain key: {error}", quoted(&key))));
            return None;
        }
        if let Some(first) = all.plain_keys.get(&key) {
            let message = format!("the plain key {} is written twice, and can hold one value", quoted(&key));
            self.tell(Problem::new(&at, message).also(first, "first here"));
            return None;
        }
        all.plain_keys.insert(key.clone(), at);
        Some(key)
    }

    fn told_less(&mut self, at: &Range<usize>, id: &MigrationId, hash: HashKind) {
        if hash == HashKind::Bucket {
            self.warn(
                at,
                &format!("{id} has `mirror_keys` and the hash `bucket`: code that places by number % 100 places other keys on new than the router does, and a percentage such as 12.5 is written as 12; `hash: modulo` places alike and knows whole percents only"),
            );
        }
    }
}
