//! What is known to differ and may: rules with an owner, a reason and an end, the most specific path first.

use std::cmp::Reverse;

use jiff::civil::Date;
use serde::Deserialize;
use thiserror::Error;

pub use super::decimal::Decimal;
use super::difference::Kind;
use super::path::{self, BodyRule, Target};

/// Rules that a migration may have: what is walked carries each of them.
const RULES_MAX: usize = 256;

/// One rule as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleEntry {
    /// `$.a.b[*].c`, `$.a.*.c`, `$..c`, `$.a["a key"]`, `header:NAME` or `status`.
    pub path: String,
    pub kind: RuleKind,
    /// Who answers for it.
    pub owner: String,
    pub reason: String,
    /// The last day on which it holds.
    #[serde(default)]
    pub expires: Option<Date>,
    /// The route it is bound to; all without it.
    #[serde(default)]
    pub route: Option<String>,
}

/// What may differ. All but `unordered` and `keyed_by` also hold for what is below their path, unless that has a rule of its own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RuleKind {
    /// Anything.
    Ignore,
    /// The value, not the type or the shape: uuid, RFC 3339, hex-N, integer, URL, length.
    Shape,
    /// A number, or a text that is one, by so much: `absolute`, or `relative` to the larger of both. One that allows it is enough.
    Tolerance {
        #[serde(default)]
        absolute: Option<Decimal>,
        #[serde(default)]
        relative: Option<Decimal>,
    },
    /// The order of an array.
    Unordered,
    /// The order of an array, whose elements belong together by this member of theirs.
    KeyedBy { key: String },
    /// The host of URLs: legacy's is read as new's.
    MapHost { legacy: String, new: String },
}

/// Rules that were found sound together.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    entries: Vec<RuleEntry>,
    /// The route whose rules are among those that apply.
    route: Option<String>,
    /// The most specific first.
    body: Vec<BodyRule>,
    headers: Vec<(String, RuleKind)>,
    status: Option<RuleKind>,
}

/// Why a rule was refused; the text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("rule {number} ({path}): {problem}")]
pub struct RuleError {
    /// Of the entry, from 1.
    pub number: usize,
    pub path: String,
    pub problem: String,
}

impl Rules {
    /// Accepts all or tells everything that is wrong.
    pub fn parse(entries: Vec<RuleEntry>) -> Result<Self, Vec<RuleError>> {
        let mut errors = Vec::new();
        let mut seen: Vec<(usize, Target, &RuleEntry)> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let number = index + 1;
            let error = |problem| RuleError { number, path: entry.path.clone(), problem };
            let target = match path::parse(&entry.path) {
                Ok(target) => target,
                Err(problem) => {
                    errors.push(error(problem));
                    continue;
                }
            };
            errors.extend(entry.problems(&target).into_iter().map(error));
            let overlaps = |(_, other, earlier): &&(usize, Target, &RuleEntry)| {
                let is_of_order = earlier.kind.is_of_order() == entry.kind.is_of_order();
                *other == target && earlier.route == entry.route && is_of_order
            };
            if let Some((other, _, earlier)) = seen.iter().find(overlaps) {
                let (a, b) = (earlier.kind.name(), entry.kind.name());
                errors.push(error(format!("rule {other} is for this path too; keep one of {a} and {b}")));
            }
            seen.push((number, target, entry));
        }
        if entries.len() > RULES_MAX {
            let problem =
                format!("there are more than {RULES_MAX} rules; let one on the object or array stand for those below");
            errors.push(RuleError { number: RULES_MAX + 1, path: entries[RULES_MAX].path.clone(), problem });
        }
        if errors.is_empty() { Ok(Self::of(entries, None)) } else { Err(errors) }
    }

    /// Of entries whose paths were read before.
    fn of(entries: Vec<RuleEntry>, route: Option<String>) -> Self {
        let mut rules = Self { route, ..Self::default() };
        let applies = |entry: &&RuleEntry| entry.route.is_none() || entry.route == rules.route;
        let mut applying: Vec<&RuleEntry> = entries.iter().filter(applies).collect();
        // Those of the route first, so that they are found before those of all routes.
        applying.sort_by_key(|entry| entry.route.is_none());
        for entry in applying {
            let kind = entry.kind.clone();
            match path::parse(&entry.path) {
                Ok(Target::Status) => rules.status = rules.status.or(Some(kind)),
                Ok(Target::Header(name)) => rules.headers.push((name, kind)),
                Ok(Target::Body(segments)) => {
                    rules.body.push(BodyRule { segments, kind, is_bound: entry.route.is_some() });
                }
                Err(_) => {}
            }
        }
        rules.body.sort_by_cached_key(|rule| Reverse(rule.specificity()));
        rules.entries = entries;
        rules
    }

    /// With further ones, which hold where both have one for the same path of the same route. What is unsound of them is left out.
    #[must_use]
    pub fn with(&self, more: Vec<RuleEntry>) -> Self {
        let mut taken: Vec<RuleEntry> = Vec::new();
        for entry in more {
            let is_sound = Self::parse(vec![entry.clone()]).is_ok();
            if is_sound && !taken.iter().any(|other| other.overlaps(&entry)) {
                taken.push(entry);
            }
        }
        let kept = self.entries.iter().filter(|own| !taken.iter().any(|other| other.overlaps(own))).cloned();
        let all = kept.chain(taken.iter().cloned()).collect();
        Self::of(all, self.route.clone())
    }

    /// The same without hosts that stand for each other, for comparing one side with itself.
    #[must_use]
    pub fn of_one_side(&self) -> Self {
        let kept = self.entries.iter().filter(|own| !matches!(own.kind, RuleKind::MapHost { .. }));
        Self::of(kept.cloned().collect(), self.route.clone())
    }

    /// Without what is expired; a rule holds through the day it names.
    #[must_use]
    pub fn as_of(&self, today: Date) -> Self {
        let holding = self.entries.iter().filter(|entry| !entry.is_expired(today)).cloned().collect();
        Self::of(holding, self.route.clone())
    }

    /// With the rules that are bound to `route`, and without those of others.
    #[must_use]
    pub fn for_route(&self, route: &str) -> Self {
        Self::of(self.entries.clone(), Some(route.to_owned()))
    }

    pub fn expired(&self, today: Date) -> Vec<&RuleEntry> {
        self.entries.iter().filter(|entry| entry.is_expired(today)).collect()
    }

    pub fn entries(&self) -> &[RuleEntry] {
        &self.entries
    }

    pub(super) fn body(&self) -> &[BodyRule] {
        &self.body
    }

    pub(super) fn header(&self, name: &str) -> Option<&RuleKind> {
        self.headers.iter().find(|(of, _)| of == name).map(|(_, kind)| kind)
    }

    pub(super) fn status(&self) -> Option<&RuleKind> {
        self.status.as_ref()
    }
}

impl RuleKind {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Shape => "shape",
            Self::Tolerance { .. } => "tolerance",
            Self::Unordered => "unordered",
            Self::KeyedBy { .. } => "keyed_by",
            Self::MapHost { .. } => "map_host",
        }
    }

    fn is_of_order(&self) -> bool {
        matches!(self, Self::Unordered | Self::KeyedBy { .. })
    }
}

impl RuleEntry {
    /// Whether both are for the same path of the same route, so that one of them has to go.
    pub fn overlaps(&self, other: &Self) -> bool {
        let same = self.route == other.route && self.kind.is_of_order() == other.kind.is_of_order();
        same && matches!((path::parse(&self.path), path::parse(&other.path)), (Ok(a), Ok(b)) if a == b)
    }

    /// Whether differences of a kind under a pattern of this route are what it is there for. `tolerance` covers what it may
    /// let pass; whether it does depends on values.
    pub fn covers(&self, route: &str, pattern: &str, kind: Kind) -> bool {
        let is_here = self.route.as_deref().is_none_or(|own| own == route);
        let Some(depth) = path::parse(&self.path).ok().and_then(|target| path::reach(&target, pattern)) else {
            return false;
        };
        let changed = matches!(kind, Kind::ValueChanged | Kind::HeaderChanged);
        is_here
            && match self.kind {
                RuleKind::Ignore => true,
                RuleKind::Shape | RuleKind::Tolerance { .. } | RuleKind::MapHost { .. } => changed,
                RuleKind::Unordered | RuleKind::KeyedBy { .. } => depth == 0 && kind == Kind::OrderChanged,
            }
    }

    pub fn is_expired(&self, today: Date) -> bool {
        self.expires.is_some_and(|last| last < today)
    }

    /// What is wrong with an entry whose path can be read.
    fn problems(&self, target: &Target) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, text) in [("owner", &self.owner), ("reason", &self.reason)] {
            if text.trim().is_empty() {
                problems.push(format!("{name} is empty; say who answers for the rule and why it is there"));
            }
        }
        let is_possible = match (target, &self.kind) {
            (Target::Body(_), _) | (_, RuleKind::Ignore) => true,
            (Target::Header(_), kind) => matches!(kind, RuleKind::Shape | RuleKind::MapHost { .. }),
            (Target::Status, _) => false,
        };
        if !is_possible {
            let kind = self.kind.name();
            problems.push(format!(
                "{kind} means nothing here; status takes ignore, headers take ignore, shape and map_host"
            ));
        }
        match &self.kind {
            RuleKind::Tolerance { absolute: None, relative: None } => {
                problems.push("a tolerance needs absolute or relative; write {absolute: 0.01}".to_owned());
            }
            RuleKind::Tolerance { absolute, relative }
                if [absolute, relative].into_iter().flatten().any(Decimal::is_negative) =>
            {
                problems.push("a tolerance is not below zero".to_owned());
            }
            RuleKind::KeyedBy { key } if key.is_empty() => {
                problems.push("keyed_by needs the name of a member; write {key: id}".to_owned());
            }
            RuleKind::MapHost { legacy, new } if !is_host(legacy) || !is_host(new) => {
                problems.push(
                    "map_host needs two hosts without scheme and path; write {legacy: old.example, new: new.example}"
                        .to_owned(),
                );
            }
            _ => {}
        }
        problems
    }
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "/?#@".contains(c))
}
