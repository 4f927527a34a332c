//! Takes in what one request showed, and says what became of it.
//!
//! # What is counted how
//!
//! Shares are of requests: a request with forty differences of one pattern has it once. A value of which legacy's own values
//! have one shape, and new's has another, is a finding of its own, so that noise hides no broken value.
//!
//! A request whose findings are all noise by now is *ignored*, one with anything else *mismatched*: what is not known well
//! enough yet is not taken for equal.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::cells::Compared;
use super::finding::{Finding, Request, of_shape};
use super::findings::Findings;
use super::fold::Places;
use super::standing::Standing;
use crate::compare::{Difference, Fingerprint, Kind, Shown};

/// What the comparison of one request found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found<'a> {
    pub differences: &'a [Difference],
    /// Differences beyond these.
    pub more: u32,
    /// The same with raw values, at the same places of the list, where values may be shown.
    pub raw: &'a [Option<Difference>],
    /// Whether a rule let something pass that it does not check.
    pub is_ignored: bool,
    /// What legacy has with itself; none where it was asked once.
    pub own: Option<&'a [Difference]>,
}

/// What this router has found in one migration.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    findings: Findings,
    places: Places,
}

/// What a request has at one place in one way.
type Key = (String, Kind);

impl Ledger {
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    pub fn findings_mut(&mut self) -> &mut Findings {
        &mut self.findings
    }

    /// Takes in one request; `die` gives a number below the one it is given.
    pub fn record(&mut self, request: &Request<'_>, found: &Found<'_>, die: &mut dyn FnMut(u64) -> u64) -> Compared {
        let route = self.findings.route_name(request.route);
        let state = self.findings.routes.entry(route.clone()).or_default();
        state.compared += 1;
        state.twice += u64::from(found.own.is_some());
        state.recent.add(request.at.as_second(), (1, u64::from(found.own.is_some())));
        self.record_own(&route, request, found.own.unwrap_or_default());
        let mut seen: BTreeMap<Key, usize> = BTreeMap::new();
        for (at, difference) in found.differences.iter().enumerate() {
            let mut pattern = self.fold(&route, &difference.pattern);
            let plain = Fingerprint::of(&route, &pattern, difference.kind);
            if self.findings.found.get(&plain).is_some_and(|known| known.is_broken_by(difference)) {
                pattern = of_shape(&pattern);
            }
            seen.entry((pattern, difference.kind)).or_insert(at);
        }
        let (mut is_counted, mut is_beyond) = (false, found.more > 0);
        for ((pattern, kind), at) in seen {
            let Some(finding) = self.finding(&route, &pattern, kind, request) else {
                is_beyond = true;
                continue;
            };
            let raw = found.raw.get(at).and_then(Option::as_ref);
            finding.found(request, &found.differences[at], raw, die);
            let fingerprint = finding.fingerprint();
            let known = self.findings.found.get(&fingerprint);
            is_counted |= known.is_some_and(|finding| self.findings.standing(finding) != Standing::Noise);
        }
        if is_beyond && let Some(state) = self.findings.routes.get_mut(&route) {
            state.other += 1;
        }
        match (is_counted || is_beyond, found.differences.is_empty()) {
            (true, _) => Compared::Mismatched,
            (false, true) if !found.is_ignored => Compared::Matched,
            (false, _) => Compared::Ignored,
        }
    }

    fn record_own(&mut self, route: &str, request: &Request<'_>, own: &[Difference]) {
        let mut seen: BTreeMap<Key, (BTreeSet<String>, Option<u64>)> = BTreeMap::new();
        for difference in own {
            let pattern = self.fold(route, &difference.pattern);
            let (shapes, _) = match seen.entry((pattern, difference.kind)) {
                Entry::Vacant(entry) => entry.insert((BTreeSet::new(), difference.apart)),
                Entry::Occupied(entry) => {
                    let own = entry.into_mut();
                    own.1 = own.1.zip(difference.apart).map(|(a, b)| a.max(b));
                    own
                }
            };
            shapes.extend([&difference.legacy, &difference.new].into_iter().flatten().map(Shown::outline));
        }
        for ((pattern, kind), (shapes, apart)) in seen {
            if let Some(finding) = self.finding(route, &pattern, kind, request) {
                finding.found_in_legacy(&shapes, apart, request.at);
            }
        }
    }

    fn finding(&mut self, route: &str, pattern: &str, kind: Kind, request: &Request<'_>) -> Option<&mut Finding> {
        let fingerprint = Fingerprint::of(route, pattern, kind);
        let findings = &mut self.findings;
        if !findings.found.contains_key(&fingerprint) {
            if !findings.has_room(route) {
                return None;
            }
            findings.insert(Finding::new(route, pattern, kind, request.at));
        }
        findings.found.get_mut(&fingerprint)
    }

    fn fold(&mut self, route: &str, pattern: &str) -> String {
        let (folded, is_news) = self.places.fold(route, pattern);
        if is_news {
            self.fold_again(route);
        }
        folded
    }

    /// A place has turned out to be a map: what was found under its keys is one.
    fn fold_again(&mut self, route: &str) {
        let known: Vec<(Fingerprint, String)> = self
            .findings
            .found
            .iter()
            .filter(|(_, finding)| finding.route == route)
            .map(|(fingerprint, finding)| (*fingerprint, finding.pattern.clone()))
            .collect();
        for (fingerprint, pattern) in known {
            let (folded, _) = self.places.fold(route, &pattern);
            if folded == pattern {
                continue;
            }
            let Some(mut finding) = self.findings.remove(fingerprint) else { continue };
            finding.pattern = folded;
            match self.findings.found.get_mut(&finding.fingerprint()) {
                Some(same) => same.merge(&finding),
                None => self.findings.insert(finding),
            }
        }
    }
}
