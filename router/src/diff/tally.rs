//! Counts what became of each request, by route and by fingerprint of what differs.
//!
//! # Four numbers
//!
//! Matched, ignored, mismatched, not compared. A request that was not compared is never counted as equal: whoever reads "0 mismatched"
//! must also read how much nobody has looked at.
//!
//! # What noise is
//!
//! A difference is left out where legacy has the same one with itself in the same request, unless both of legacy's values are of one
//! shape and new's is not. It is also left out where legacy has it with itself at times, and over the whole run new does not have it more
//! often: the 95 % intervals of both shares overlap. A field that legacy never changes by itself is never noise.
//!
//! Bounded: so many routes, so many fingerprints a route, and the rest under one name.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use metrics::compare::{Comparison, Difference, Fingerprint, Kind, Shown};
use metrics::wilson::wilson;

use super::run::Outcome;
use super::select::Selected;

const ROUTES_MAX: usize = 200;
const FINDINGS_PER_ROUTE_MAX: usize = 500;
const REASONS_MAX: usize = 50;

/// Where everything beyond a limit is counted.
const OTHER: &str = "other";

/// How often everything ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) matched: u64,
    pub(crate) ignored: u64,
    pub(crate) mismatched: u64,
    pub(crate) not_compared: u64,
}

impl Totals {
    pub(crate) const fn compared(self) -> u64 {
        self.matched + self.ignored + self.mismatched
    }
}

/// The first place, in the order of the recording, where something differed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Example {
    pub(crate) line: usize,
    pub(crate) place: String,
    pub(crate) legacy: Option<Shown>,
    pub(crate) new: Option<Shown>,
}

/// What differs in one way at one place of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) route: String,
    pub(crate) pattern: String,
    pub(crate) kind: Kind,
    /// Requests that it was found in and that count.
    pub(crate) requests: u64,
    /// How often it was found in them and in those that it was left out of.
    pub(crate) differences: u64,
    /// Requests in which legacy had it with itself.
    pub(crate) noise: u64,
    /// None where only legacy has it, with itself.
    pub(crate) example: Option<Example>,
    /// Requests that it was found in, whether they count or not.
    pub(super) seen: u64,
}

impl Finding {
    pub(super) fn new(route: &str, pattern: &str, kind: Kind) -> Self {
        Self {
            fingerprint: Fingerprint::of(route, pattern, kind),
            route: route.to_owned(),
            pattern: pattern.to_owned(),
            kind,
            requests: 0,
            differences: 0,
            noise: 0,
            example: None,
            seen: 0,
        }
    }

    fn exemplify(&mut self, line: usize, difference: &Difference) {
        if self.example.as_ref().is_none_or(|example| line < example.line) {
            let place = difference.place.to_string();
            let (legacy, new) = (difference.legacy.clone(), difference.new.clone());
            self.example = Some(Example { line, place, legacy, new });
        }
    }
}

/// What the report is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) totals: Totals,
    pub(crate) routes: BTreeMap<String, Totals>,
    /// Those that count, the most requests first.
    pub(crate) findings: Vec<Finding>,
    /// Those that were left out because legacy has them with itself.
    pub(crate) noise: Vec<Finding>,
    /// Requests that are ignored and would have been mismatched without noise.
    pub(crate) by_noise: u64,
    /// Requests that differ beyond what was kept by fingerprint.
    pub(crate) beyond: u64,
    /// Numbers of the same value that are written otherwise.
    pub(crate) notations: u64,
    pub(crate) reasons: BTreeMap<String, u64>,
}

/// A request that differs, until it is known what is noise.
#[derive(Debug)]
struct Pending {
    route: String,
    /// Legacy does not have these with itself in this request.
    doubtful: Vec<Fingerprint>,
    /// Legacy has them in one shape and new in another, or there were more than are kept.
    certain: Vec<Fingerprint>,
    beyond: bool,
}

/// Counts as long as requests end.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counted: Counted,
    found: HashMap<Fingerprint, Finding>,
    per_route: HashMap<String, Route>,
    pending: Vec<Pending>,
}

#[derive(Debug, Default)]
struct Route {
    findings: usize,
    compared: u64,
    /// Requests that legacy was asked twice and comparably.
    twice: u64,
}

impl Tally {
    pub(crate) fn ended(&self) -> u64 {
        let Totals { not_compared, .. } = self.counted.totals;
        self.counted.totals.compared() + not_compared + self.pending.len() as u64
    }

    /// Requests that differ, noise among them.
    pub(crate) fn differing(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn add(&mut self, request: &Selected, outcome: Outcome) {
        let route = self.route(&request.route);
        match outcome {
            Outcome::Compared { comparison, raw, noise } => {
                self.compared(request, &route, comparison, raw, noise);
            }
            Outcome::Unanswered { legacy, new } => {
                let reasons = [("legacy", legacy), ("new", new)];
                let told = reasons.into_iter().filter_map(|(side, why)| Some(format!("{side} {}", why?)));
                let reason = told.collect::<Vec<_>>().join("; ");
                self.not_compared(&route, reason);
            }
            Outcome::Written(Ok(status)) => {
                self.not_compared(&route, format!("sent to new alone, which answered {}xx", status / 100));
            }
            Outcome::Written(Err(why)) => self.not_compared(&route, format!("sent to new alone, which {why}")),
            Outcome::Broken => self.not_compared(&route, "crossfade failed: its message is on stderr".into()),
            Outcome::NotSent => self.not_compared(&route, "not sent: one system has never answered".into()),
        }
    }

    fn route(&mut self, name: &str) -> String {
        let known = self.counted.routes.contains_key(name) || self.counted.routes.len() < ROUTES_MAX;
        let name = if known { name } else { OTHER };
        self.counted.routes.entry(name.to_owned()).or_default();
        name.to_owned()
    }

    fn count(&mut self, route: &str, one: impl Fn(&mut Totals)) {
        one(&mut self.counted.totals);
        one(self.counted.routes.entry(route.to_owned()).or_default());
    }

    fn not_compared(&mut self, route: &str, reason: String) {
        let reasons = &mut self.counted.reasons;
        let reason =
            if reasons.contains_key(&reason) || reasons.len() < REASONS_MAX { reason } else { OTHER.to_owned() };
        *reasons.entry(reason).or_insert(0) += 1;
        self.count(route, |totals| totals.not_compared += 1);
    }

    fn compared(
        &mut self,
        request: &Selected,
        route: &str,
        comparison: Comparison,
        raw: Option<Comparison>,
        noise: Option<Comparison>,
    ) {
        if let Comparison::NotCompared { why } = comparison {
            return self.not_compared(route, why.name().replace('_', " "));
        }
        let own = noise.and_then(own_differences);
        let state = self.per_route.entry(route.to_owned()).or_default();
        state.compared += 1;
        state.twice += u64::from(own.is_some());
        let own_shapes = self.count_own(route, &own.unwrap_or_default());
        let (differences, more, notations) = match comparison {
            Comparison::Mismatched { differences, more, notations, .. } => (differences, more, notations),
            Comparison::Matched { notations, .. } => {
                self.count(route, |totals| totals.matched += 1);
                (Vec::new(), 0, notations)
            }
            Comparison::Ignored { notations, .. } => {
                self.count(route, |totals| totals.ignored += 1);
                (Vec::new(), 0, notations)
            }
            Comparison::NotCompared { .. } => return,
        };
        self.counted.notations += notations.len() as u64;
        let shown = match raw {
            Some(Comparison::Mismatched { differences, .. }) => differences,
            Some(_) | None => Vec::new(),
        };
        let mut pending =
            Pending { route: route.to_owned(), doubtful: Vec::new(), certain: Vec::new(), beyond: more > 0 };
        let mut seen: HashSet<Fingerprint> = HashSet::new();
        for (at, difference) in differences.iter().enumerate() {
            let fingerprint = difference.fingerprint(route);
            let first = seen.insert(fingerprint);
            let example = shown.get(at).filter(|raw| raw.place == difference.place).unwrap_or(difference);
            let Some(finding) = self.finding(route, difference) else {
                pending.beyond = true;
                continue;
            };
            finding.differences += 1;
            finding.seen += u64::from(first);
            finding.exemplify(request.line, example);
            let shapes = own_shapes.get(&fingerprint);
            let broken = shapes.is_some_and(|shapes| breaks(shapes, difference));
            if broken && !pending.certain.contains(&fingerprint) {
                pending.certain.push(fingerprint);
            } else if first && shapes.is_none() {
                pending.doubtful.push(fingerprint);
            }
        }
        if !differences.is_empty() || more > 0 {
            self.pending.push(pending);
        }
    }

    /// Counts what legacy has with itself, and gives the shapes that it has there.
    fn count_own(&mut self, route: &str, own: &[Difference]) -> HashMap<Fingerprint, HashSet<String>> {
        let mut shapes: HashMap<Fingerprint, HashSet<String>> = HashMap::new();
        for difference in own {
            let fingerprint = difference.fingerprint(route);
            let known = shapes.contains_key(&fingerprint);
            let forms = shapes.entry(fingerprint).or_default();
            forms.extend([&difference.legacy, &difference.new].into_iter().map(form));
            if !known && let Some(finding) = self.finding(route, difference) {
                finding.noise += 1;
            }
        }
        shapes
    }

    /// The finding of a difference; none where there are too many of its route.
    fn finding(&mut self, route: &str, difference: &Difference) -> Option<&mut Finding> {
        let fingerprint = difference.fingerprint(route);
        let state = self.per_route.entry(route.to_owned()).or_default();
        match self.found.entry(fingerprint) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(_) if state.findings >= FINDINGS_PER_ROUTE_MAX => None,
            Entry::Vacant(place) => {
                state.findings += 1;
                Some(place.insert(Finding::new(route, &difference.pattern, difference.kind)))
            }
        }
    }

    /// Decides what is noise and adds everything up.
    pub(crate) fn finish(mut self) -> Counted {
        let noisy: HashSet<Fingerprint> =
            self.found.values().filter(|f| self.is_noise(f)).map(|f| f.fingerprint).collect();
        for pending in std::mem::take(&mut self.pending) {
            let doubtful = pending.doubtful.iter().filter(|fingerprint| !noisy.contains(fingerprint));
            let counting: HashSet<Fingerprint> = doubtful.chain(&pending.certain).copied().collect();
            for fingerprint in &counting {
                if let Some(finding) = self.found.get_mut(fingerprint) {
                    finding.requests += 1;
                }
            }
            if counting.is_empty() && !pending.beyond {
                self.counted.by_noise += 1;
                self.count(&pending.route, |totals| totals.ignored += 1);
            } else {
                self.counted.beyond += u64::from(pending.beyond);
                self.count(&pending.route, |totals| totals.mismatched += 1);
            }
        }
        let (mut counting, mut left_out): (Vec<Finding>, Vec<Finding>) =
            self.found.into_values().partition(|finding| finding.requests > 0);
        let order =
            |f: &Finding| (std::cmp::Reverse(f.requests.max(f.noise)), f.route.clone(), f.pattern.clone(), f.kind);
        counting.sort_by_cached_key(order);
        left_out.sort_by_cached_key(order);
        Counted { findings: counting, noise: left_out, ..self.counted }
    }

    /// Whether legacy has it with itself about as often as new has it.
    fn is_noise(&self, finding: &Finding) -> bool {
        let Some(state) = self.per_route.get(&finding.route) else { return false };
        if finding.noise == 0 || state.twice == 0 {
            return false;
        }
        wilson(finding.seen, state.compared).0 <= wilson(finding.noise, state.twice).1
    }
}

/// What legacy has with itself; none where its second answer says nothing.
fn own_differences(noise: Comparison) -> Option<Vec<Difference>> {
    match noise {
        Comparison::NotCompared { .. } => None,
        Comparison::Matched { .. } | Comparison::Ignored { .. } => Some(Vec::new()),
        Comparison::Mismatched { differences, .. } => Some(differences),
    }
}

/// What a value looks like; nothing where there is none.
fn form(shown: &Option<Shown>) -> String {
    shown.as_ref().map(Shown::outline).unwrap_or_default()
}

/// Whether legacy's own values are of one shape and new's is of another.
fn breaks(own: &HashSet<String>, difference: &Difference) -> bool {
    let digest = difference.new.as_ref().map(Shown::outline_of_digest);
    let like = own.contains(&form(&difference.new)) || digest.is_some_and(|digest| own.contains(&digest));
    own.len() == 1 && !like
}

#[cfg(test)]
mod tests;
