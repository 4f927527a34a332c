//! What is known of mismatches on this router: pairs of answers in, counts, findings and proposals out.
//!
//! # Who calls what
//!
//! The comparing thread is the only one that compares; it holds no lock while it does, and one for some microseconds when it
//! records. Workers count with [`RouteCells`], which take no lock. The admin side reads, and a task shares what is known with
//! the fleet ([`share`]).
//!
//! # What never leaves
//!
//! Bodies and values end here, but for those of places that the file allows. What is kept of a value is its type, length and
//! shape, and a hash under a key that is made when the process starts and is in its memory alone: equal hashes within what one
//! run of a router has found are equal values, and nobody can try values out who has the store, a log or the API.
//!
//! Deliberately not supported: findings that outlive a week without being seen, shares of other times than all of it and the last
//! hour (the totals of a window are in the fleet's counts), and telling apart what happened before and after a rule was accepted.

mod callers;
mod cells;
mod finding;
mod findings;
mod fold;
mod gate;
mod issued;
mod kept;
mod ledger;
mod proposal;
mod recent;
pub mod share;
mod standing;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use flags::accepted::AcceptedRule;
use flags::{MigrationId, Snapshot};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

pub use callers::{CALLERS_MAX, Callers};
pub use cells::{Compared, ComparisonCells, ComparisonTotals, NotPaired, RouteCells, Twin, reasons};
pub use finding::{Example, Finding, OfVersion, Request, VERSION_BYTES_MAX, Value, without_shape};
pub use findings::{
    FINDINGS_MAX, FINDINGS_PER_ROUTE_MAX, Findings, KEPT_FOR, OTHER, ROUTES_MAX, Recently, Route, Totals,
};
pub use gate::{Bar, Gate, gate};
use issued::Issued;
pub use kept::Kept;
pub use ledger::{Found, Ledger};
pub use proposal::{Proposal, path, propose};
pub use standing::{COMPARED_MIN, COMPARED_MIN_OF_STATUS, GAP_MIN, Standing, TWICE_MIN, gap};

use crate::compare::{
    Comparison, Difference, HashKey, Limits, NotCompared, Redaction, RuleEntry, RuleKind, Rules, carried,
    compare_unkept, one_sided,
};
use crate::observe::{Observer, lock};
use crate::simulate::Dice;

/// One request that both sides answered.
#[derive(Clone, Debug)]
pub struct Pair {
    pub migration: MigrationId,
    /// The route's path template.
    pub route: Arc<str>,
    pub method: String,
    /// Made by [`Mismatches::caller`] of the sticky key.
    pub caller: Option<u64>,
    pub request_id: String,
    /// Made by [`Mismatches::tokens`] of the query.
    pub tokens: Vec<u64>,
    /// By which it was decided.
    pub revision: u64,
    pub at: Timestamp,
    pub legacy: Kept,
    pub new: Kept,
    /// What legacy answered when it was asked a second time.
    pub again: Option<Kept>,
}

/// How the answers of one migration are compared.
#[derive(Clone, Debug, Default)]
pub struct CompareSettings {
    /// Of the file; accepted ones come with the snapshot and hold where both have one.
    pub rules: Rules,
    /// Patterns whose values may be shown, as `$.items[*].price` or `header:location`.
    pub raw_paths: Vec<String>,
    pub limits: Limits,
    /// The header in which new names its version.
    pub version_header: Option<String>,
}

/// Everything that is known of mismatches on this router; in an [`Arc`].
#[derive(Debug)]
pub struct Mismatches {
    observer: Arc<Observer>,
    /// Never leaves this process.
    secret: HashKey,
    known: Mutex<Known>,
    routes: Mutex<HashMap<(MigrationId, String), Arc<RouteCells>>>,
}

#[derive(Debug)]
struct Known {
    migrations: BTreeMap<MigrationId, OfMigration>,
    dice: Dice,
}

/// What is known of one migration.
#[derive(Debug, Default)]
struct OfMigration {
    settings: CompareSettings,
    accepted: Vec<AcceptedRule>,
    /// Rules ready to be used, by route, as of a day.
    ready: HashMap<Arc<str>, Arc<Ready>>,
    today: Date,
    ledger: Ledger,
    one_sided: Issued,
    /// What runs that are over had found, which this one has adopted.
    adopted: Findings,
    /// What was counted when it was told the fleet.
    shared: ComparisonTotals,
    /// When runs that are over were looked for, and whose names no live router had then.
    looked_at: Option<Timestamp>,
    missing: BTreeSet<String>,
}

/// What one route's answers are compared with, and counted by.
#[derive(Debug)]
struct Ready {
    cells: Arc<RouteCells>,
    rules: Rules,
    /// For legacy with itself.
    own: Rules,
    limits: Limits,
    raw_paths: Vec<String>,
    version_header: Option<String>,
}

/// A rule as the engine reads it; none where an older or newer version wrote something else.
pub fn entry(rule: &AcceptedRule) -> Option<RuleEntry> {
    let kind: RuleKind = serde_json::from_str(&rule.kind).ok()?;
    let AcceptedRule { path, owner, reason, route, expires, .. } = rule.clone();
    Some(RuleEntry { path, kind, owner, reason, expires: Some(expires), route })
}

/// The day in UTC, by which rules end.
pub fn day_of(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

impl OfMigration {
    fn ready(&mut self, route: &Arc<str>, today: Date, cells: impl FnOnce() -> Arc<RouteCells>) -> Arc<Ready> {
        if self.today != today || self.ready.len() > ROUTES_MAX {
            self.today = today;
            self.ready.clear();
        }
        if let Some(ready) = self.ready.get(route) {
            return Arc::clone(ready);
        }
        // One that is over must not keep one of the file from holding.
        let accepted = self.accepted.iter().filter_map(entry).filter(|own| !own.is_expired(today)).collect();
        let rules = self.settings.rules.as_of(today).with(accepted).for_route(route);
        let CompareSettings { raw_paths, limits, version_header, .. } = self.settings.clone();
        let own = rules.of_one_side();
        let ready = Arc::new(Ready { cells: cells(), own, rules, limits, raw_paths, version_header });
        self.ready.insert(Arc::clone(route), Arc::clone(&ready));
        ready
    }
}

impl Mismatches {
    /// `secret` is of a good source of randomness; what is hashed with it says nothing to who does not have it.
    pub fn new(observer: Arc<Observer>, secret: [u8; 32]) -> Self {
        let seed = secret.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        let known = Mutex::new(Known { migrations: BTreeMap::new(), dice: Dice::new(seed) });
        Self { observer, secret: HashKey(secret), known, routes: Mutex::default() }
    }

    /// At the start and after a reload. What was found of a migration that is still there is kept.
    pub fn configure(&self, settings: Vec<(MigrationId, CompareSettings)>) {
        let mut known = lock(&self.known);
        let mut before = std::mem::take(&mut known.migrations);
        for (id, settings) in settings {
            let of = before.remove(&id).unwrap_or_default();
            known.migrations.insert(id, OfMigration { settings, ready: HashMap::new(), ..of });
        }
        // With them go what they have of the counters of their routes.
        drop(before);
        let is_named = |id: &MigrationId| known.migrations.contains_key(id);
        lock(&self.routes).retain(|(id, _), cells| is_named(id) || Arc::strong_count(cells) > 1);
    }

    /// Takes the accepted rules of a snapshot.
    pub fn follow(&self, snapshot: &Snapshot) {
        let mut known = lock(&self.known);
        for (_, definition, placed) in snapshot.iter() {
            let Some(of) = known.migrations.get_mut(&definition.id) else { continue };
            if of.accepted != placed.document.rules {
                of.accepted.clone_from(&placed.document.rules);
                of.ready.clear();
            }
        }
    }

    /// The hash of a sticky key, for [`Pair::caller`]: the same on every router of an environment, so that a caller of two
    /// routers is counted once. It never leaves the process; what is kept of it are 10 bits.
    pub fn caller(environment: &str, key: &[u8]) -> u64 {
        let hash = Sha256::new().chain_update(environment).chain_update([0]).chain_update(key).finalize();
        hash.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }

    /// Compares one pair and counts what comes of it; on the comparing thread.
    pub fn compare(&self, pair: &Pair) {
        self.compare_within(pair, usize::MAX);
    }

    /// [`Mismatches::compare`] with no more than this much memory for each of the two bodies that are unpacked at a time.
    pub fn compare_within(&self, pair: &Pair, unpacked_bytes: usize) {
        let ready = {
            let mut known = lock(&self.known);
            let of = known.migrations.entry(pair.migration.clone()).or_default();
            of.ready(&pair.route, day_of(pair.at), || self.route(&pair.migration, &pair.route))
        };
        let cells = &ready.cells;
        let decoded_bytes = ready.limits.decoded_bytes.min(unpacked_bytes);
        let limits = Limits { redaction: Redaction::Keyed(self.secret), decoded_bytes, ..ready.limits.clone() };
        if self.is_one_sided(pair, &limits) {
            return cells.not_comparable(NotCompared::OneSided);
        }
        let seen = Seen::of(pair, &ready, &limits);
        if let Some(twin) = seen.twin() {
            cells.migration().twin(twin);
        }
        if let Comparison::NotCompared { why } = seen.comparison {
            return cells.not_comparable(why);
        }
        let result = self.record(pair, &ready, &seen);
        cells.compared(result);
    }

    /// Hashes of what may be a token in the query of a request, for [`Pair::tokens`].
    pub fn tokens(&self, query: &[u8]) -> Vec<u64> {
        carried(query, &|token| self.token(token))
    }

    fn token(&self, token: &[u8]) -> u64 {
        let hash = Sha256::new().chain_update(self.secret.0).chain_update(token).finalize();
        hash.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }

    /// Whether a request carries what only one side had issued. Remembers what only one side issues now, so that the page behind is known, too.
    fn is_one_sided(&self, pair: &Pair, limits: &Limits) -> bool {
        let (legacy, new) = (pair.legacy.answer(), pair.new.answer());
        let is_same = legacy.body == new.body && legacy.headers == new.headers;
        let token = |token: &[u8]| self.token(token);
        let issued = if is_same { Vec::new() } else { one_sided(&legacy, &new, limits, &token) };
        if issued.is_empty() && pair.tokens.is_empty() {
            return false;
        }
        let mut known = lock(&self.known);
        let Some(of) = known.migrations.get_mut(&pair.migration) else { return false };
        let is_one_sided = of.one_sided.has_any(&pair.tokens);
        issued.into_iter().for_each(|token| of.one_sided.add(token));
        is_one_sided
    }

    fn record(&self, pair: &Pair, ready: &Ready, seen: &Seen) -> Compared {
        let version = ready.version_header.as_deref().and_then(|name| header(&pair.new, name));
        let request = Request {
            route: &pair.route,
            method: &pair.method,
            id: &pair.request_id,
            caller: pair.caller,
            revision: pair.revision,
            version,
            at: pair.at,
        };
        let mut known = lock(&self.known);
        let Known { migrations, dice } = &mut *known;
        let of = migrations.entry(pair.migration.clone()).or_default();
        of.ledger.record(&request, &seen.found(), &mut |bound| dice.below(bound))
    }

    /// The counters of a route; resolved when tables are built, and never by a request.
    pub fn route(&self, migration: &MigrationId, route: &str) -> Arc<RouteCells> {
        let mut routes = lock(&self.routes);
        let key = (migration.clone(), route.to_owned());
        if let Some(cells) = routes.get(&key) {
            return Arc::clone(cells);
        }
        let of_migration = routes.keys().filter(|(id, _)| id == migration).count();
        let key = if of_migration < ROUTES_MAX { key } else { (migration.clone(), OTHER.to_owned()) };
        let cells = || Arc::new(RouteCells::new(self.observer.comparisons(migration)));
        Arc::clone(routes.entry(key).or_insert_with(cells))
    }

    /// What this run of this router has found, and what it has adopted.
    pub fn findings(&self, migration: &MigrationId) -> Findings {
        let mut found = self.own(migration);
        if let Some(of) = lock(&self.known).migrations.get(migration) {
            found.merge(&of.adopted);
        }
        found
    }

    /// What this run has found itself.
    fn own(&self, migration: &MigrationId) -> Findings {
        let totals: Vec<(String, Totals)> = {
            let routes = lock(&self.routes);
            let of = routes.iter().filter(|((id, _), _)| id == migration);
            of.map(|((_, route), cells)| (route.clone(), Totals::from(&cells.totals()))).collect()
        };
        let mut found = {
            let known = lock(&self.known);
            known.migrations.get(migration).map(|of| of.ledger.findings().clone()).unwrap_or_default()
        };
        for (route, totals) in totals.into_iter().filter(|(_, totals)| totals.eligible > 0 || totals.compared() > 0) {
            let name = found.route_name(&route);
            found.routes.entry(name).or_default().totals.add(&totals);
        }
        found
    }

    /// Rules that hold in a migration now: those of the file, then the accepted ones.
    pub fn rules(&self, migration: &MigrationId) -> Vec<RuleEntry> {
        let known = lock(&self.known);
        known.migrations.get(migration).map(|of| of.settings.rules.entries().to_vec()).unwrap_or_default()
    }

    pub fn migrations(&self) -> Vec<MigrationId> {
        lock(&self.known).migrations.keys().cloned().collect()
    }

    /// How many findings there are of each standing, for the metrics; asked by each scrape.
    pub fn by_standing(&self) -> BTreeMap<MigrationId, [u64; Standing::ALL.len()]> {
        let known = lock(&self.known);
        let count = |of: &OfMigration| {
            let found = of.ledger.findings();
            let mut counts = [0; Standing::ALL.len()];
            for finding in found.iter() {
                counts[found.standing(finding) as usize] += 1;
            }
            counts
        };
        known.migrations.iter().map(|(id, of)| (id.clone(), count(of))).collect()
    }
}

/// What the comparisons of one pair gave.
#[derive(Debug)]
struct Seen {
    comparison: Comparison,
    raw: Vec<Option<Difference>>,
    /// Legacy with itself; none where it was asked once.
    own: Option<Comparison>,
}

impl Seen {
    fn of(pair: &Pair, ready: &Ready, limits: &Limits) -> Self {
        let (legacy, new) = (pair.legacy.answer(), pair.new.answer());
        let unkept = [pair.legacy.unkept(), pair.new.unkept()];
        let comparison = compare_unkept(&legacy, &new, unkept, &ready.rules, limits);
        let raw = match &comparison {
            Comparison::Mismatched { differences, .. } if !ready.raw_paths.is_empty() => {
                let limits = Limits { redaction: Redaction::Raw, ..limits.clone() };
                let again = compare_unkept(&legacy, &new, unkept, &ready.rules, &limits);
                allowed(differences, again, &ready.raw_paths)
            }
            _ => Vec::new(),
        };
        let own = pair.again.as_ref().map(|again| {
            let unkept = [pair.legacy.unkept(), again.unkept()];
            compare_unkept(&legacy, &again.answer(), unkept, &ready.own, limits)
        });
        Self { comparison, raw, own }
    }

    /// Who differed from legacy's first answer; none where one of both comparisons says nothing.
    fn twin(&self) -> Option<Twin> {
        let differs = |comparison: &Comparison| match comparison {
            Comparison::NotCompared { .. } => None,
            Comparison::Matched { .. } | Comparison::Ignored { .. } => Some(false),
            Comparison::Mismatched { .. } => Some(true),
        };
        Some(match (differs(&self.comparison)?, differs(self.own.as_ref()?)?) {
            (true, false) => Twin::OnlyNew,
            (false, true) => Twin::OnlyLegacy,
            (true, true) | (false, false) => Twin::Same,
        })
    }

    fn found(&self) -> Found<'_> {
        let own = match &self.own {
            Some(Comparison::Mismatched { differences, .. }) => Some(differences.as_slice()),
            Some(Comparison::Matched { .. } | Comparison::Ignored { .. }) => Some(&[][..]),
            Some(Comparison::NotCompared { .. }) | None => None,
        };
        let (differences, more, is_ignored) = match &self.comparison {
            Comparison::Mismatched { differences, more, .. } => (differences.as_slice(), *more, false),
            Comparison::Ignored { .. } => (&[][..], 0, true),
            Comparison::Matched { .. } | Comparison::NotCompared { .. } => (&[][..], 0, false),
        };
        Found { differences, more, raw: &self.raw, is_ignored, own }
    }
}

/// The raw form of differences of places that may be shown.
fn allowed(differences: &[Difference], raw: Comparison, paths: &[String]) -> Vec<Option<Difference>> {
    let Comparison::Mismatched { differences: raw, .. } = raw else { return Vec::new() };
    let is_allowed = |pattern: &String| paths.contains(pattern);
    // The same order, since the same was compared; a place that differs is not guessed at.
    let both = differences.iter().zip(raw);
    both.map(|(own, raw)| (own.place == raw.place && is_allowed(&own.pattern)).then_some(raw)).collect()
}

fn header<'k>(kept: &'k Kept, name: &str) -> Option<&'k str> {
    let mut named = kept.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
    named.next().map(|(_, value)| value.as_str())
}
