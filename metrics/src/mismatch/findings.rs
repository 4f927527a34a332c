//! Findings of one migration with what they are shares of: summed over routers, written within a bound, read without trust.
//!
//! # Bounded
//!
//! [`ROUTES_MAX`] routes, [`FINDINGS_PER_ROUTE_MAX`] findings of each and [`FINDINGS_MAX`] of all; what is beyond is counted in
//! `other` of its route. A finding has at most 11 KiB in memory and usually 2, so that a migration has at most 24 MiB whatever a side says, and what a router writes of it
//! has as many bytes as its store takes. What has not been seen for a week is forgotten.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::cells::{Compared, ComparisonTotals};
use super::finding::Finding;
use super::fold::cut_to;
use super::recent::Recent;
use super::standing::{Standing, gap};
use crate::compare::Fingerprint;

pub const ROUTES_MAX: usize = 200;
pub const FINDINGS_PER_ROUTE_MAX: usize = 500;
pub const FINDINGS_MAX: usize = 2_000;

/// The longest path template, in bytes.
pub(super) const ROUTE_BYTES_MAX: usize = 256;

/// The route of everything beyond the limits.
pub const OTHER: &str = "other";

/// What has not been seen for as long is forgotten.
pub const KEPT_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Examples of a finding that are written: those of other routers come beside them.
const WRITTEN_EXAMPLES_MAX: usize = 2;

/// What became of eligible requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    #[serde(default)]
    pub eligible: u64,
    #[serde(default)]
    pub matched: u64,
    #[serde(default)]
    pub ignored: u64,
    #[serde(default)]
    pub mismatched: u64,
    /// By reason; those that never happened are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_compared_by: BTreeMap<String, u64>,
}

impl From<&ComparisonTotals> for Totals {
    fn from(totals: &ComparisonTotals) -> Self {
        let happened = totals.by_reason().filter(|(_, count)| *count > 0);
        Self {
            eligible: totals.eligible,
            matched: totals.result(Compared::Matched),
            ignored: totals.result(Compared::Ignored),
            mismatched: totals.result(Compared::Mismatched),
            not_compared_by: happened.map(|(name, count)| (name.to_owned(), count)).collect(),
        }
    }
}

impl Totals {
    pub fn compared(&self) -> u64 {
        self.matched.saturating_add(self.ignored).saturating_add(self.mismatched)
    }

    pub fn not_compared(&self) -> u64 {
        self.not_compared_by.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The share of eligible requests that were compared; none without any.
    pub fn coverage(&self) -> Option<f64> {
        let ended = self.compared().saturating_add(self.not_compared());
        (ended > 0).then(|| self.compared() as f64 / ended as f64)
    }

    pub fn add(&mut self, other: &Self) {
        self.eligible = self.eligible.saturating_add(other.eligible);
        self.matched = self.matched.saturating_add(other.matched);
        self.ignored = self.ignored.saturating_add(other.ignored);
        self.mismatched = self.mismatched.saturating_add(other.mismatched);
        let known = super::cells::reasons().collect::<Vec<_>>();
        for (why, count) in &other.not_compared_by {
            let why = if known.contains(&why.as_str()) { why.as_str() } else { OTHER };
            let sum = self.not_compared_by.entry(why.to_owned()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
}

/// What findings of one route are shares of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Requests that were compared, and those of them that legacy was asked twice.
    #[serde(default)]
    pub compared: u64,
    #[serde(default)]
    pub twice: u64,
    /// Both of the last hour.
    #[serde(default, skip_serializing_if = "Recent::is_empty")]
    pub(super) recent: Recent,
    /// Requests with differences beyond those that are kept.
    #[serde(default, skip_serializing_if = "crate::sequential::is_unused")]
    pub other: u64,
    #[serde(default)]
    pub totals: Totals,
    /// Findings of it that are kept.
    #[serde(skip)]
    kept: usize,
}

impl Route {
    fn add(&mut self, more: &Self) {
        self.compared = self.compared.saturating_add(more.compared);
        self.twice = self.twice.saturating_add(more.twice);
        self.recent.merge(&more.recent);
        self.other = self.other.saturating_add(more.other);
        self.totals.add(&more.totals);
    }
}

/// What was found in the last hour: of new, and of legacy with itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recently {
    pub raw: u64,
    pub compared: u64,
    pub noise: u64,
    pub twice: u64,
}

/// Everything that was found in one migration.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub(super) routes: BTreeMap<String, Route>,
    pub(super) found: HashMap<Fingerprint, Finding>,
}

/// As it is stored and sent between routers.
#[derive(Serialize, Deserialize)]
struct Written {
    v: u8,
    routes: BTreeMap<String, Route>,
    findings: Vec<Finding>,
}

const VERSION: u8 = 1;

impl Findings {
    pub fn routes(&self) -> &BTreeMap<String, Route> {
        &self.routes
    }

    pub fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        self.routes.values().for_each(|route| sum.add(&route.totals));
        sum
    }

    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    pub fn get(&self, fingerprint: &str) -> Option<&Finding> {
        self.found.values().find(|finding| finding.fingerprint().to_string() == fingerprint)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.found.values()
    }

    /// What a finding's counts are shares of: compared requests, and those that legacy was asked twice.
    pub fn bases(&self, finding: &Finding) -> (u64, u64) {
        self.routes.get(&finding.route).map_or((0, 0), |route| (route.compared, route.twice))
    }

    pub fn standing(&self, finding: &Finding) -> Standing {
        let (compared, twice) = self.bases(finding);
        let own = finding.kind;
        let all = Standing::of(own, (finding.raw, compared), (finding.noise, twice));
        let Recently { raw, compared: of, noise, twice: of_twice } = self.recently(finding);
        let lately = Standing::of(own, (raw, of), (noise, of_twice));
        all.with_lately(lately, (raw, of), (finding.raw, compared))
    }

    /// What was found in the last hour in which anything of its route was compared.
    pub fn recently(&self, finding: &Finding) -> Recently {
        let Some(route) = self.routes.get(&finding.route) else { return Recently::default() };
        let Some(latest) = route.recent.latest() else { return Recently::default() };
        let ((raw, noise), (compared, twice)) = (finding.recent.until(latest), route.recent.until(latest));
        Recently { raw, compared, noise, twice }
    }

    /// How sure it is that new differs more often than legacy does by itself: a share, below zero where it may not be.
    pub fn gap(&self, finding: &Finding) -> f64 {
        let (compared, twice) = self.bases(finding);
        gap((finding.raw, compared), (finding.noise, twice))
    }

    /// The name under which a route is counted.
    pub(super) fn route_name(&self, route: &str) -> String {
        let name = cut_to(route, ROUTE_BYTES_MAX);
        let is_known = self.routes.contains_key(&name) || self.routes.len() < ROUTES_MAX;
        if is_known { name } else { OTHER.to_owned() }
    }

    /// Whether one more finding of a route is kept.
    pub(super) fn has_room(&self, route: &str) -> bool {
        let of_route = self.routes.get(route).map_or(0, |route| route.kept);
        self.found.len() < FINDINGS_MAX && of_route < FINDINGS_PER_ROUTE_MAX
    }

    /// Keeps one more, for which there is room.
    pub(super) fn insert(&mut self, finding: Finding) {
        self.routes.entry(finding.route.clone()).or_default().kept += 1;
        self.found.insert(finding.fingerprint(), finding);
    }

    pub(super) fn remove(&mut self, fingerprint: Fingerprint) -> Option<Finding> {
        let finding = self.found.remove(&fingerprint)?;
        if let Some(route) = self.routes.get_mut(&finding.route) {
            route.kept = route.kept.saturating_sub(1);
        }
        Some(finding)
    }

    /// Adds what others found.
    pub fn merge(&mut self, other: &Self) {
        for (name, route) in &other.routes {
            let name = self.route_name(name);
            self.routes.entry(name).or_default().add(route);
        }
        // In an order that is the same everywhere, should there be no room for all.
        let mut found: Vec<_> = other.found.values().collect();
        found.sort_by_key(|finding| (std::cmp::Reverse(finding.raw), finding.fingerprint()));
        for finding in found {
            let route = self.route_name(&finding.route);
            let fingerprint = Fingerprint::of(&route, &finding.pattern, finding.kind);
            if let Some(known) = self.found.get_mut(&fingerprint) {
                known.merge(finding);
            } else if self.has_room(&route) {
                self.insert(Finding { route, ..finding.clone() });
            } else {
                let of = self.routes.entry(route).or_default();
                of.other = of.other.saturating_add(finding.raw);
            }
        }
    }

    /// Forgets findings and examples that are older than [`KEPT_FOR`].
    pub fn forget(&mut self, now: Timestamp) {
        let is_kept = |at: Timestamp| now.duration_since(at) < KEPT_FOR;
        let old =
            self.found.iter().filter(|(_, finding)| !is_kept(finding.latest)).map(|(fingerprint, _)| *fingerprint);
        for fingerprint in old.collect::<Vec<_>>() {
            self.remove(fingerprint);
        }
        self.found.values_mut().for_each(|finding| finding.examples.retain(|example| is_kept(example.at)));
    }

    /// The text of it in at most so many bytes: the routes with most requests, and of their findings those that most requests had.
    pub fn written(&self, bytes_max: usize) -> String {
        let mut routes: Vec<_> = self.routes.iter().collect();
        routes.sort_by_key(|(name, route)| (std::cmp::Reverse(route.totals.eligible.max(route.compared)), *name));
        let mut kept: BTreeMap<String, Route> = BTreeMap::new();
        let mut left = bytes_max.saturating_sub(64);
        let mut others = Route::default();
        for (name, route) in routes {
            let bytes = name.len() * 2 + json(route).len() + 8;
            if *name != OTHER && bytes < left.saturating_sub(bytes_max / 2) {
                left -= bytes;
                kept.insert(name.clone(), route.clone());
            } else {
                others.add(route);
            }
        }
        let mut found: Vec<_> = self.found.values().filter(|finding| kept.contains_key(&finding.route)).collect();
        found.sort_by_key(|finding| (std::cmp::Reverse(finding.raw.max(finding.noise)), finding.fingerprint()));
        if others != Route::default() {
            left = left.saturating_sub(json(&others).len() + 16);
            kept.insert(OTHER.to_owned(), others);
        }
        let mut findings = Vec::new();
        for finding in found {
            let mut finding = finding.clone();
            finding.examples.truncate(WRITTEN_EXAMPLES_MAX);
            let bytes = json(&finding).len() + 1;
            if bytes <= left {
                left -= bytes;
                findings.push(finding);
            } else if let Some(of) = kept.get_mut(&finding.route) {
                of.other = of.other.saturating_add(finding.raw);
                // The number may have become longer.
                left = left.saturating_sub(20);
            }
        }
        json(&Written { v: VERSION, routes: kept, findings })
    }

    /// Reads [`Findings::written`]; what is damaged, or of another version, is as good as absent.
    pub fn read(text: &str) -> Option<Self> {
        let written: Written = serde_json::from_str(text).ok().filter(|written: &Written| written.v == VERSION)?;
        let mut read = Self::default();
        let mut found = Self { routes: written.routes, found: HashMap::new() };
        for finding in written.findings.into_iter().take(FINDINGS_MAX) {
            let finding = finding.bounded();
            found.found.insert(finding.fingerprint(), finding);
        }
        read.merge(&found);
        Some(read)
    }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
