//! Judges the notes of a run: was every request served, and was there one line of changes that everybody followed?
//!
//! # Why not a general checker of linearizability
//!
//! Searching for an order that explains a history is expensive where the order is unknown. Here the store numbers the
//! changes and each answer names the number it was decided by, so the order is given and only has to be checked: against
//! what operators were told, against real time, and against who was served where.
//!
//! # The rules
//!
//! Each is one [`Rule`]; a run is good when [`check`] finds nothing. What happens between a fault and the settled fleet
//! may be old, but never wrong: an answer must be the one that its revision stands for.
//!
//! Not judged here: how long anything took. That is measured, not asserted.

mod losses;
mod rollbacks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::RangeInclusive;

use crate::history::{Ask, Change, Entry, History, Line, Mode, Moment, Request, Side, State, Told};

/// What a fleet promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Every request is served by the side that the router names.
    Served,
    /// What a router serves by never runs backwards.
    Forward,
    /// Nothing is served by a revision that nobody wrote, or before somebody asked for it.
    Known,
    /// A key is on the side that its revision says, whichever router answers.
    Side,
    /// What an operator was told to be written is in the audit, once and as told, or reported lost.
    Kept,
    /// What an operator was told not to be written is not in the audit.
    Refused,
    /// The audit is one line of revisions, each asked for by somebody.
    OneLine,
    /// A change asked for after another was acknowledged comes after it.
    RealTime,
    /// A rollback holds on its router at once, and gets into the store.
    Rollback,
    /// In the end every router serves every key as the last revision says.
    Settled,
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// Everything that is wrong with a run; of each rule at most ten findings.
pub fn check(history: &History) -> Vec<Violation> {
    let judge = Judge::new(history);
    let rules: [(Rule, Vec<String>); 10] = [
        (Rule::Served, judge.served()),
        (Rule::Forward, judge.forward()),
        (Rule::Known, judge.known()),
        (Rule::Side, judge.side()),
        (Rule::Kept, judge.kept()),
        (Rule::Refused, judge.refused()),
        (Rule::OneLine, judge.one_line()),
        (Rule::RealTime, judge.real_time()),
        (Rule::Rollback, judge.rollbacks()),
        (Rule::Settled, judge.settled()),
    ];
    let found = rules
        .into_iter()
        .flat_map(|(rule, found)| found.into_iter().take(FINDINGS_MAX).map(move |what| Violation { rule, what }));
    found.collect()
}

/// One cause breaks a promise a thousand times.
const FINDINGS_MAX: usize = 10;

struct Judge<'a> {
    history: &'a History,
    /// What each revision stands for; several, where a line was lost and its numbers came again.
    states: BTreeMap<u64, Vec<State>>,
    by_reason: HashMap<&'a str, Vec<&'a Entry>>,
    /// Revisions that were acknowledged, lost in a fail-over and reported. What they stood for is not in the audit, and
    /// the same numbers may have come again.
    forked: Option<RangeInclusive<u64>>,
}

/// Something that has to be in order of time.
struct Placed {
    began: Moment,
    ended: Moment,
    revision: u64,
}

impl<'a> Judge<'a> {
    fn new(history: &'a History) -> Self {
        let mut states: BTreeMap<u64, Vec<State>> = BTreeMap::from([(0, vec![State::initial()])]);
        let mut by_reason: HashMap<&str, Vec<&Entry>> = HashMap::new();
        for line in history.lost.iter().chain([&history.line]) {
            for (revision, state) in line.states() {
                states.entry(revision).or_default().push(state);
            }
            for entry in &line.entries {
                // A line that lost its end begins like the one that goes on.
                let known = by_reason.entry(&entry.reason).or_default();
                if !known.contains(&entry) {
                    known.push(entry);
                }
            }
        }
        let mut judge = Self { history, states, by_reason, forked: None };
        judge.forked = judge.fork();
        judge
    }

    fn entries(&self, change: &Change) -> &[&'a Entry] {
        self.by_reason.get(change.reason.as_str()).map_or(&[], Vec::as_slice)
    }

    fn lines(&self) -> impl Iterator<Item = &'a Line> {
        self.history.lost.iter().chain([&self.history.line])
    }

    fn all_requests(&self) -> impl Iterator<Item = &'a Request> {
        self.history.requests.iter().chain(&self.history.settled)
    }

    fn served(&self) -> Vec<String> {
        let failed = self.all_requests().filter_map(|request| {
            let error = request.outcome.as_ref().err()?;
            Some(format!("{} failed: {error}", shown(request)))
        });
        failed.collect()
    }

    fn forward(&self) -> Vec<String> {
        let of_router = |router: usize| {
            let served = self.all_requests().filter(move |request| request.router == router);
            let placed = served.filter_map(|request| {
                let revision = request.outcome.as_ref().ok()?.revision;
                Some(Placed { began: request.began, ended: request.ended, revision })
            });
            backwards(placed.collect(), |before, after| before > after)
                .into_iter()
                .map(move |(before, after)| format!("router {router} served revision {before}, and later {after}"))
        };
        (0..self.history.routers).flat_map(of_router).collect()
    }

    fn known(&self) -> Vec<String> {
        let mut found = Vec::new();
        let asked: HashMap<u64, Moment> = self
            .history
            .changes
            .iter()
            .flat_map(|change| self.entries(change).iter().map(|entry| (entry.revision, change.began)))
            .collect();
        for request in self.all_requests() {
            let Ok(served) = &request.outcome else { continue };
            if self.is_forked(served.revision) {
                continue;
            }
            if !self.states.contains_key(&served.revision) {
                found.push(format!(
                    "{} was decided by revision {}, which nobody wrote",
                    shown(request),
                    served.revision
                ));
            }
            if asked.get(&served.revision).is_some_and(|began| request.ended < *began) {
                found.push(format!(
                    "{} was decided by revision {} before it was asked for",
                    shown(request),
                    served.revision
                ));
            }
        }
        found
    }

    fn side(&self) -> Vec<String> {
        let mut found = Vec::new();
        for request in self.all_requests() {
            let Ok(served) = &request.outcome else { continue };
            let Some(states) = self.states.get(&served.revision) else { continue };
            let by_local_rollback = served.rolled_back && served.side == Side::Legacy && self.may_hold(request);
            if !by_local_rollback
                && !self.is_forked(served.revision)
                && !states.iter().any(|state| state.side_of(&request.key) == served.side)
            {
                found.push(format!(
                    "{} was served by {}, which is not the side of its key at revision {}",
                    shown(request),
                    served.side.name(),
                    served.revision
                ));
            }
        }
        found
    }

    /// Whether a rollback had been asked of the router of this request, so that it may hold there alone.
    fn may_hold(&self, request: &Request) -> bool {
        let asked = |change: &Change| {
            change.ask == Ask::RollBack && change.router == request.router && change.began <= request.ended
        };
        self.history.changes.iter().any(asked)
    }

    fn kept(&self) -> Vec<String> {
        let mut found = Vec::new();
        for change in &self.history.changes {
            let entries = self.entries(change);
            if entries.len() > 1 {
                found.push(format!("{} was written {} times", told(change), entries.len()));
            }
            if let Some(entry) = entries.first()
                && !fits(&change.ask, entry)
            {
                found.push(format!("{} was written as something else: {entry:?}", told(change)));
            }
            let Told::Made(revision) = change.answer else { continue };
            let is_there = entries.iter().any(|entry| entry.revision == revision);
            if !is_there && !self.is_forked(revision) {
                found.push(format!("{} is not in the audit, and nobody reported it lost", told(change)));
            }
            if self.is_gone(revision) && !self.is_reported(revision) {
                found.push(format!("{} was lost with its store, and nobody reported it", told(change)));
            }
        }
        found
    }

    fn refused(&self) -> Vec<String> {
        let written = self.history.changes.iter().filter(|change| match &change.answer {
            Told::Refused(_) | Told::Already(_) => !self.entries(change).is_empty(),
            Told::Made(_) | Told::HereOnly | Told::Unknown(_) => false,
        });
        written.map(|change| format!("{} was written all the same", told(change))).collect()
    }

    fn one_line(&self) -> Vec<String> {
        let mut found = Vec::new();
        for line in self.lines() {
            for pair in line.entries.windows(2) {
                // Only one migration is there, so its audit has no gaps, but for what was lost before it was written back.
                let goes_on = match &pair[1].restored {
                    Some(_) => pair[1].revision > pair[0].revision,
                    None => pair[1].revision == pair[0].revision + 1,
                };
                if !goes_on {
                    found.push(format!(
                        "revision {} of the audit is followed by {}",
                        pair[0].revision, pair[1].revision
                    ));
                }
            }
            let asked = |entry: &&Entry| self.history.changes.iter().any(|change| change.reason == entry.reason);
            let unasked = line.entries.iter().filter(|entry| entry.restored.is_none() && !asked(entry));
            found.extend(unasked.map(|entry| format!("nobody asked for revision {}: {entry:?}", entry.revision)));
        }
        found
    }

    fn real_time(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut acknowledged = Vec::new();
        for change in &self.history.changes {
            let (Told::Made(revision) | Told::Already(revision)) = change.answer else { continue };
            if !self.is_forked(revision) {
                acknowledged.push((change, revision));
            }
        }
        for (before, earlier) in &acknowledged {
            for after in self.history.changes.iter().filter(|after| before.ended < after.began) {
                // What was already so may be what was written before; what was written came after it.
                let told_already = if let Told::Already(revision) = after.answer { Some(revision) } else { None };
                let stale = told_already.filter(|later| later < earlier);
                let written = self.entries(after).iter().map(|entry| entry.revision).find(|later| later <= earlier);
                if let Some(later) = stale.or(written) {
                    found.push(format!("{}, and then {} got revision {later}", told(before), told(after)));
                }
            }
        }
        found
    }

    fn settled(&self) -> Vec<String> {
        let mut found = Vec::new();
        let (revision, state) = self.history.line.states().pop().unwrap_or((0, State::initial()));
        for router in 0..self.history.routers {
            for key in &self.history.keys {
                let expected = state.side_of(key);
                let mut of_both = self.history.settled.iter().filter(|r| r.router == router && r.key == *key);
                let Some(Ok(served)) = of_both.next().map(|request| &request.outcome) else {
                    found.push(format!("router {router} was not asked for {key} in the end"));
                    continue;
                };
                if served.side != expected || served.revision != revision {
                    found.push(format!(
                        "router {router} serves {key} by {} at revision {} in the end; the store says {} at {revision}",
                        served.side.name(),
                        served.revision,
                        expected.name(),
                    ));
                }
            }
        }
        found
    }
}

/// Pairs in the wrong order: one ended before the other began, and yet `is_wrong(first, second)`.
fn backwards(mut placed: Vec<Placed>, is_wrong: impl Fn(u64, u64) -> bool) -> Vec<(u64, u64)> {
    let mut by_end: Vec<(Moment, u64)> = placed.iter().map(|one| (one.ended, one.revision)).collect();
    by_end.sort_unstable();
    placed.sort_unstable_by_key(|one| one.began);
    let (mut highest, mut seen) = (None, 0);
    let mut found = Vec::new();
    for one in &placed {
        while seen < by_end.len() && by_end[seen].0 < one.began {
            highest = highest.max(Some(by_end[seen].1));
            seen += 1;
        }
        found.extend(highest.filter(|before| is_wrong(*before, one.revision)).map(|before| (before, one.revision)));
    }
    found
}

/// Whether an entry is what was asked for; what an undo makes depends on what came before.
fn fits(ask: &Ask, entry: &Entry) -> bool {
    let pinned = |key: &str, side: Option<Side>| entry.pin.as_ref().is_some_and(|pin| pin.0 == *key && pin.1 == side);
    match ask {
        Ask::Mode(mode) | Ask::Acknowledge(mode) => entry.after.mode == *mode,
        Ask::Rollout(share) => entry.after.share == *share,
        Ask::Pin(key, side) => pinned(key, Some(*side)),
        Ask::Unpin(key) => pinned(key, None),
        Ask::RollBack => entry.after.mode == Mode::EmergencyRollback,
        Ask::Undo => true,
    }
}

fn shown(request: &Request) -> String {
    let Request { router, key, began, ended, .. } = request;
    format!("{key} on router {router} ({began}..{ended} us)")
}

fn told(change: &Change) -> String {
    let Change { reason, router, ask, began, ended, answer } = change;
    format!("{reason} \"{ask}\" on router {router} ({began}..{ended} us), told {answer:?}")
}
