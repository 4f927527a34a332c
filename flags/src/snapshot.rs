//! The immutable state that the hot path reads: definitions of the file joined with the store.
//!
//! # Why everything is checked here
//!
//! `decide` must not fail, so whatever could be wrong is refused while a snapshot is built, off the
//! hot path: cycles, unknown names, ambiguous routes (in [`Definitions::build`], which refuses the
//! file) and unreadable documents (in [`Snapshot::build`], which refuses the document alone and
//! keeps what was last good).

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use thiserror::Error;

use crate::bucket::HashKind;
use crate::jwt::JwtVerifier;
use crate::key::KeySource;
use crate::migration::{Migration, MigrationId};
use crate::mirror::Mirrored;
use crate::mode::Mode;
use crate::route::{Ambiguous, Route, RouteTable};
use crate::state::{self, Document, Pin, Pins, Revision, SCHEMA};
use crate::store::{Loaded, Stored};

/// The position of a migration in [`Definitions`]; stable within one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MigrationIndex(pub usize);

/// Longest chain of prerequisites; deeper ones are a mistake or unreadable.
const PREREQUISITES_DEPTH_MAX: usize = 8;

/// What the file says, checked and indexed.
#[derive(Debug)]
pub struct Definitions {
    /// Counts the files this process has taken; 1 for the first.
    pub generation: u64,
    /// SHA-256 of the effective file, for comparing replicas.
    pub config_hash: String,
    migrations: Vec<Migration>,
    index: HashMap<MigrationId, MigrationIndex>,
    /// Every migration that must have a key on new before this one may, direct or not.
    prerequisites: Vec<Vec<MigrationIndex>>,
    routes: RouteTable,
    verifier: Option<JwtVerifier>,
}

/// What is wrong with the definitions; the index names the migration or route in the file's order.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DefinitionError {
    #[error("migration \"{id}\" is defined twice: ids are unique, so rename or remove one")]
    DuplicateMigration { migration: usize, id: MigrationId },
    #[error("migration \"{required}\" is required but not defined")]
    UnknownPrerequisite { migration: usize, required: MigrationId },
    #[error("prerequisites form a cycle: {}", .path.iter().map(ToString::to_string).collect::<Vec<_>>().join(" -> "))]
    Cycle { migration: usize, path: Vec<MigrationId> },
    #[error("prerequisites are more than {PREREQUISITES_DEPTH_MAX} deep")]
    TooDeep { migration: usize },
    #[error("two migrations are marked default: the story routes act on one, so unmark this one")]
    SecondDefault { migration: usize },
    #[error("route refers to migration \"{id}\", which is not defined")]
    UnknownMigration { route: usize, id: MigrationId },
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
}

impl Definitions {
    /// Checks and indexes; answers every error, not the first.
    pub fn build(
        mut migrations: Vec<Migration>,
        routes: Vec<Route>,
        verifier: Option<JwtVerifier>,
        config_hash: String,
    ) -> Result<Self, Vec<DefinitionError>> {
        let mut errors = Vec::new();
        share_keys(&mut migrations);
        let mut index = HashMap::new();
        let mut defaults = 0;
        for (at, migration) in migrations.iter().enumerate() {
            if index.insert(migration.id.clone(), MigrationIndex(at)).is_some() {
                errors.push(DefinitionError::DuplicateMigration { migration: at, id: migration.id.clone() });
            }
            defaults += usize::from(migration.default);
            if migration.default && defaults > 1 {
                errors.push(DefinitionError::SecondDefault { migration: at });
            }
        }
        let prerequisites = closures(&migrations, &index, &mut errors);
        let routes = match RouteTable::build(routes, &index) {
            Ok(routes) => routes,
            Err(found) => {
                errors.extend(found);
                RouteTable::default()
            }
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self { generation: 1, config_hash, migrations, index, prerequisites, routes, verifier })
    }

    /// The same definitions as the next file of this process.
    #[must_use]
    pub fn with_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    pub fn migrations(&self) -> &[Migration] {
        &self.migrations
    }

    /// The migrations that have plain keys.
    pub fn mirrored(&self) -> Vec<Mirrored> {
        self.migrations.iter().filter_map(Mirrored::of).collect()
    }

    pub fn routes(&self) -> &RouteTable {
        &self.routes
    }

    pub fn find(&self, id: &MigrationId) -> Option<MigrationIndex> {
        self.index.get(id).copied()
    }

    /// The migration that the story routes act on: the one marked, or the only one.
    pub fn default_migration(&self) -> Option<MigrationIndex> {
        let marked = self.migrations.iter().position(|migration| migration.default);
        marked.or_else(|| (self.migrations.len() == 1).then_some(0)).map(MigrationIndex)
    }
}

/// Lets migrations with the same key have it in one place: of a thousand, a request then finds it in the cache.
fn share_keys(migrations: &mut [Migration]) {
    let mut known: HashSet<Arc<[KeySource]>> = HashSet::new();
    for migration in migrations {
        match known.get(&migration.key) {
            Some(same) => migration.key = Arc::clone(same),
            None => _ = known.insert(Arc::clone(&migration.key)),
        }
    }
}

/// The transitive prerequisites of every migration.
fn closures(
    migrations: &[Migration],
    index: &HashMap<MigrationId, MigrationIndex>,
    errors: &mut Vec<DefinitionError>,
) -> Vec<Vec<MigrationIndex>> {
    (0..migrations.len())
        .map(|at| {
            let mut closure = Vec::new();
            let mut path = vec![at];
            if let Err(error) = visit(at, migrations, index, &mut path, &mut closure) {
                // A cycle shows from each of its members; it is told once, by the first of the file.
                let told = matches!(&error, DefinitionError::Cycle { path, .. }
                    if errors.iter().any(|e| matches!(e, DefinitionError::Cycle { path: p, .. } if p.contains(&path[0]))));
                if !told {
                    errors.push(error);
                }
            }
            closure
        })
        .collect()
}

fn visit(
    root: usize,
    migrations: &[Migration],
    index: &HashMap<MigrationId, MigrationIndex>,
    path: &mut Vec<usize>,
    closure: &mut Vec<MigrationIndex>,
) -> Result<(), DefinitionError> {
    if path.len() > PREREQUISITES_DEPTH_MAX {
        return Err(DefinitionError::TooDeep { migration: root });
    }
    let at = *path.last().unwrap_or(&root);
    for required in &migrations[at].requires {
        let Some(found) = index.get(required) else {
            let migration = at;
            // Reported by the migration that names it, not again by those that depend on it.
            if at == root {
                return Err(DefinitionError::UnknownPrerequisite { migration, required: required.clone() });
            }
            continue;
        };
        if let Some(start) = path.iter().position(|seen| *seen == found.0) {
            let names = path[start..].iter().chain([&found.0]).map(|seen| migrations[*seen].id.clone()).collect();
            return Err(DefinitionError::Cycle { migration: root, path: names });
        }
        if !closure.contains(found) {
            closure.push(*found);
            path.push(found.0);
            visit(root, migrations, index, path, closure)?;
            path.pop();
        }
    }
    Ok(())
}

/// Pins by the bytes of their key, as the hot path looks them up.
pub type PinIndex = HashMap<Box<[u8]>, Pin>;

/// Where one migration stands in one snapshot.
#[derive(Debug)]
pub struct Placed {
    pub document: Document,
    pub pins: Arc<PinIndex>,
    /// Rolled back on this router although the store does not say so (yet).
    pub rolled_back_here: bool,
    /// Why the stored state is not the one shown here, in words for an operator.
    pub problem: Option<String>,
}

impl Placed {
    pub fn rolled_back(&self) -> bool {
        self.rolled_back_here || self.document.mode == Mode::EmergencyRollback
    }

    /// Whether this is neither stored nor of the file but legacy for want of anything known.
    pub(crate) fn is_a_guess(&self) -> bool {
        self.document.revision == Revision::ZERO && self.document.actor == state::GUESS
    }

    /// The mode in which this router serves, which a local rollback may put ahead of the store's.
    pub fn effective_mode(&self) -> Mode {
        if self.rolled_back_here { Mode::EmergencyRollback } else { self.document.mode }
    }
}

/// What only this router knows and what outlives no restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// The kill file exists.
    pub killed: bool,
    /// Migrations rolled back here while the store was away.
    pub rolled_back: Vec<MigrationId>,
}

/// Definitions and state at one revision, ready to decide from.
#[derive(Debug)]
pub struct Snapshot {
    revision: Revision,
    definitions: Arc<Definitions>,
    placed: Vec<Arc<Placed>>,
    local: Local,
}

impl Snapshot {
    /// Joins definitions and state.
    ///
    /// What did not change since `previous` is shared with it. A document that cannot be used is
    /// replaced by the last good one, or by legacy, and says so in [`Placed::problem`].
    pub fn build(definitions: Arc<Definitions>, loaded: &Loaded, local: Local, previous: Option<&Self>) -> Self {
        let placed = definitions
            .migrations()
            .iter()
            .enumerate()
            .map(|(at, migration)| {
                let before = previous.and_then(|previous| {
                    let same_file = Arc::ptr_eq(&previous.definitions, &definitions);
                    let at = if same_file { Some(MigrationIndex(at)) } else { previous.find(&migration.id) };
                    at.map(|at| previous.shared(at))
                });
                let here = local.rolled_back.contains(&migration.id);
                place(migration, loaded, here, before)
            })
            .collect();
        Self { revision: loaded.revision, definitions, placed, local }
    }

    pub const fn revision(&self) -> Revision {
        self.revision
    }

    pub fn generation(&self) -> u64 {
        self.definitions.generation
    }

    pub const fn definitions(&self) -> &Arc<Definitions> {
        &self.definitions
    }

    pub const fn local(&self) -> &Local {
        &self.local
    }

    pub const fn killed(&self) -> bool {
        self.local.killed
    }

    pub fn routes(&self) -> &RouteTable {
        &self.definitions.routes
    }

    pub fn find(&self, id: &MigrationId) -> Option<MigrationIndex> {
        self.definitions.find(id)
    }

    /// The mode that callers meet: a kill file and a local rollback are both ahead of the store.
    pub fn effective_mode(&self, at: MigrationIndex) -> Mode {
        if self.killed() { Mode::EmergencyRollback } else { self.placed(at).effective_mode() }
    }

    pub fn migration(&self, at: MigrationIndex) -> &Migration {
        &self.definitions.migrations[at.0]
    }

    pub fn placed(&self, at: MigrationIndex) -> &Placed {
        &self.placed[at.0]
    }

    pub fn iter(&self) -> impl Iterator<Item = (MigrationIndex, &Migration, &Placed)> {
        let pairs = self.definitions.migrations.iter().zip(&self.placed).enumerate();
        pairs.map(|(at, (migration, placed))| (MigrationIndex(at), migration, placed.as_ref()))
    }

    pub(crate) fn prerequisites(&self, at: MigrationIndex) -> &[MigrationIndex] {
        &self.definitions.prerequisites[at.0]
    }

    pub fn verifier(&self) -> Option<&JwtVerifier> {
        self.definitions.verifier.as_ref()
    }

    fn shared(&self, at: MigrationIndex) -> Arc<Placed> {
        Arc::clone(&self.placed[at.0])
    }
}

/// A migration that the store knows nothing about.
fn settled(document: Document, rolled_back_here: bool) -> Arc<Placed> {
    Arc::new(Placed { document, pins: no_pins(), rolled_back_here, problem: None })
}

fn place(migration: &Migration, loaded: &Loaded, rolled_back_here: bool, before: Option<Arc<Placed>>) -> Arc<Placed> {
    let refused = |problem: String| {
        if let Some(same) = &before
            && same.problem.as_ref() == Some(&problem)
            && same.rolled_back_here == rolled_back_here
        {
            return Arc::clone(same);
        }
        let (document, pins) = match &before {
            Some(last_good) => (last_good.document.clone(), Arc::clone(&last_good.pins)),
            None => (Document::unreadable(migration), no_pins()),
        };
        Arc::new(Placed { document, pins, rolled_back_here, problem: Some(problem) })
    };
    match (loaded.migrations.get(&migration.id), &loaded.incomplete) {
        (None, Some(problem)) => refused(problem.clone()),
        (None, None) => match &before {
            // A document does not go away by itself, and what replaced it is not the file's initial state.
            Some(stored) if stored.document.revision > Revision::ZERO => {
                refused("its document is gone from the store; the last one holds".into())
            }
            Some(initial) if !initial.is_a_guess() => settled(initial.document.clone(), rolled_back_here),
            Some(_) | None => settled(Document::initial(migration), rolled_back_here),
        },
        (Some(Stored::Unreadable(problem)), _) => refused(problem.clone()),
        (Some(Stored::State { document, pins }), _) => {
            if let Some(problem) = unusable(document, loaded.revision) {
                return refused(problem);
            }
            match before {
                Some(same)
                    if same.document == *document
                        && same.rolled_back_here == rolled_back_here
                        && same.problem.is_none() =>
                {
                    same
                }
                _ => {
                    let problem = frozen_hash(migration, document);
                    let pins = index_pins(pins);
                    Arc::new(Placed { document: document.clone(), pins, rolled_back_here, problem })
                }
            }
        }
    }
}

/// Why a document that reads cannot be served from, in a store that is at `revision`.
pub(crate) fn unusable(document: &Document, revision: Revision) -> Option<String> {
    if document.schema != SCHEMA {
        return Some(format!("its schema is {}, this version reads {SCHEMA}", document.schema));
    }
    if document.revision > revision {
        return Some(format!("its revision {} is beyond that of the store, {revision}", document.revision));
    }
    if document.hash == HashKind::Modulo && !document.share.is_whole_percent() {
        return Some(format!(
            "a share of {} % cannot be split by the modulo hash, which knows whole percents",
            document.share
        ));
    }
    None
}

/// Keys must not change sides because a file changed, so the stored hash holds while it matters.
fn frozen_hash(migration: &Migration, document: &Document) -> Option<String> {
    let differs = migration.hash != document.hash || migration.salt() != document.salt;
    (differs && !document.share.is_an_end()).then(|| {
        format!(
            "the file places keys by hash {} with salt \"{}\", the running rollout by {} with \"{}\"; the latter holds until the share is 0 or 100 %",
            migration.hash,
            migration.salt(),
            document.hash,
            document.salt
        )
    })
}

fn index_pins(pins: &Pins) -> Arc<PinIndex> {
    if pins.is_empty() {
        return no_pins();
    }
    Arc::new(pins.iter().map(|(key, pin)| (key.as_bytes().into(), pin.clone())).collect())
}

/// The one empty index of all migrations without pins: most have none, and every request of theirs looks.
fn no_pins() -> Arc<PinIndex> {
    static NO_PINS: LazyLock<Arc<PinIndex>> = LazyLock::new(Arc::default);
    Arc::clone(&NO_PINS)
}
