//! Paths of rules, and which rules hold at a place while a document is walked.
//!
//! A walk carries the positions that rules have reached, so a place costs as many steps as there are rules that may still match
//! below it, and none where there are no rules.

use std::cmp::Reverse;

use super::rules::RuleKind;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Key(String),
    AnyKey,
    AnyIndex,
    /// A key at any depth.
    Below(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Status,
    Header(String),
    Body(Vec<Segment>),
}

/// Reads a path; the error says what to write instead.
pub(super) fn parse(path: &str) -> Result<Target, String> {
    if path == "status" {
        return Ok(Target::Status);
    }
    if let Some(name) = path.strip_prefix("header:") {
        let valid = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let named = || Target::Header(name.to_ascii_lowercase());
        return valid.then(named).ok_or_else(|| format!("{name:?} is no name of a header; write header:location"));
    }
    let rest = path.strip_prefix('$').ok_or("a path begins with $, header: or is status; write $.items[*].id")?;
    let mut segments = Vec::new();
    let mut rest = rest;
    while !rest.is_empty() {
        let (segment, after) = segment(rest)?;
        segments.push(segment);
        rest = after;
    }
    Ok(Target::Body(segments))
}

fn segment(rest: &str) -> Result<(Segment, &str), String> {
    if let Some(after) = rest.strip_prefix("[*]") {
        return Ok((Segment::AnyIndex, after));
    }
    if let Some(quoted) = rest.strip_prefix("[\"") {
        let (key, after) = quoted.split_once("\"]").ok_or("a quoted key has no end; write $[\"a key\"]")?;
        return Ok((Segment::Key(key.to_owned()), after));
    }
    if rest.starts_with('[') {
        return Err("positions in arrays move; write [*], or keyed_by on the array".to_owned());
    }
    let below = rest.starts_with("..");
    let name = rest.strip_prefix("..").or_else(|| rest.strip_prefix('.'));
    let name = name.ok_or_else(|| format!("{rest:?} is no step; write .key, ..key, .*, [*] or [\"a key\"]"))?;
    let (key, after) = name.split_at(name.find(['.', '[']).unwrap_or(name.len()));
    match (key, below) {
        ("", _) => Err("a step has no name; write .key, ..key, .*, [*] or [\"a key\"]".to_owned()),
        ("*", true) => Err("..* is everything; write $ for the whole body".to_owned()),
        ("*", false) => Ok((Segment::AnyKey, after)),
        (key, true) => Ok((Segment::Below(key.to_owned()), after)),
        (key, false) => Ok((Segment::Key(key.to_owned()), after)),
    }
}

/// How far below a target a pattern is, as differences have them; none where it is elsewhere.
pub(super) fn reach(target: &Target, pattern: &str) -> Option<usize> {
    match target {
        Target::Status => (pattern == "status").then_some(0),
        Target::Header(name) => {
            let header = pattern.strip_prefix("header:")?;
            let header = header.split('[').next().unwrap_or(header);
            (header == name).then_some(0)
        }
        Target::Body(wanted) if pattern.starts_with('$') => {
            let Ok(Target::Body(found)) = parse(pattern) else { return None };
            (0..=found.len()).rev().find(|end| fits(wanted, &found[..*end])).map(|end| found.len() - end)
        }
        // A body that is no JSON is one place.
        Target::Body(wanted) => {
            (wanted.is_empty() && !pattern.starts_with("header:") && pattern != "status").then_some(0)
        }
    }
}

/// Whether a rule's steps end exactly where these do.
fn fits(wanted: &[Segment], found: &[Segment]) -> bool {
    let Some((first, rest)) = wanted.split_first() else { return found.is_empty() };
    let Some((here, below)) = found.split_first() else { return false };
    let is_here = match (first, here) {
        (Segment::Key(a) | Segment::Below(a), Segment::Key(b)) => a == b,
        (Segment::AnyKey, Segment::Key(_) | Segment::AnyKey) | (Segment::AnyIndex, Segment::AnyIndex) => true,
        _ => false,
    };
    (is_here && fits(rest, below)) || (matches!(first, Segment::Below(_)) && fits(wanted, below))
}

/// The steps of a pattern as they are written, the first of which is `$`; none where it is no path in a document.
pub(crate) fn steps(pattern: &str) -> Option<Vec<&str>> {
    let mut rest = pattern.strip_prefix('$')?;
    let mut steps = vec!["$"];
    while !rest.is_empty() {
        let (_, after) = segment(rest).ok()?;
        steps.push(&rest[..rest.len() - after.len()]);
        rest = after;
    }
    Some(steps)
}

/// A rule over bodies, ready to be followed.
#[derive(Clone, Debug)]
pub(super) struct BodyRule {
    pub(super) segments: Vec<Segment>,
    pub(super) kind: RuleKind,
    pub(super) is_bound: bool,
}

impl BodyRule {
    /// The largest goes first: few steps to any depth, few wildcards, bound to a route, long.
    pub(super) fn specificity(&self) -> impl Ord + use<> {
        let count = |wanted: fn(&Segment) -> bool| self.segments.iter().filter(|segment| wanted(segment)).count();
        let below = count(|segment| matches!(segment, Segment::Below(_)));
        let any = count(|segment| matches!(segment, Segment::AnyKey));
        (Reverse(below), Reverse(any), self.is_bound, self.segments.len())
    }

    fn is_of_order(&self) -> bool {
        matches!(self.kind, RuleKind::Unordered | RuleKind::KeyedBy { .. })
    }
}

/// The rules that hold at a place, by their position in the list, and what may match below it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct At {
    from: usize,
    to: usize,
    value: Option<usize>,
    order: Option<usize>,
}

/// Follows a walk. Places must be left in the reverse order of entering.
#[derive(Debug)]
pub(super) struct Follower<'r> {
    /// The most specific first.
    rules: &'r [BodyRule],
    /// A rule and how many of its steps are done.
    states: Vec<(usize, usize)>,
}

impl<'r> Follower<'r> {
    pub(super) fn new(rules: &'r [BodyRule]) -> Self {
        Self { rules, states: Vec::new() }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.rules.is_empty()
    }

    pub(super) fn root(&mut self) -> At {
        let mut at = At::default();
        for rule in 0..self.rules.len() {
            self.reach(rule, 0, &mut at, 0);
        }
        at.to = self.states.len();
        at
    }

    pub(super) fn member(&mut self, parent: At, key: &[u8]) -> At {
        self.enter(parent, |segment| match segment {
            Segment::Key(wanted) | Segment::Below(wanted) => wanted.as_bytes() == key,
            Segment::AnyKey => true,
            Segment::AnyIndex => false,
        })
    }

    pub(super) fn element(&mut self, parent: At) -> At {
        self.enter(parent, |segment| matches!(segment, Segment::AnyIndex))
    }

    fn enter(&mut self, parent: At, matches: impl Fn(&Segment) -> bool) -> At {
        let from = self.states.len();
        let mut at = At { from, to: from, value: parent.value, order: None };
        let mut is_own = false;
        for index in parent.from..parent.to {
            let (rule, done) = self.states[index];
            let segment = &self.rules[rule].segments[done];
            if matches!(segment, Segment::Below(_)) {
                self.keep(from, rule, done);
            }
            if matches(segment) {
                if !is_own && done + 1 == self.rules[rule].segments.len() && !self.rules[rule].is_of_order() {
                    // A rule of this very place is more specific than one from above.
                    at.value = None;
                    is_own = true;
                }
                self.reach(rule, done + 1, &mut at, from);
            }
        }
        at.to = self.states.len();
        at
    }

    fn reach(&mut self, rule: usize, done: usize, at: &mut At, from: usize) {
        if done < self.rules[rule].segments.len() {
            return self.keep(from, rule, done);
        }
        let held = if self.rules[rule].is_of_order() { &mut at.order } else { &mut at.value };
        *held = Some(held.map_or(rule, |other| other.min(rule)));
    }

    fn keep(&mut self, from: usize, rule: usize, done: usize) {
        if !self.states[from..].contains(&(rule, done)) {
            self.states.push((rule, done));
        }
    }

    pub(super) fn leave(&mut self, at: At) {
        self.states.truncate(at.from);
    }

    /// What may differ about the value here.
    pub(super) fn value(&self, at: At) -> Option<&'r RuleKind> {
        at.value.map(|rule| &self.rules[rule].kind)
    }

    /// Whether all there is here is ignored, and nothing below has a rule of its own.
    pub(super) fn is_ignored(&self, at: At) -> bool {
        at.from == at.to && matches!(self.value(at), Some(RuleKind::Ignore))
    }

    /// How the array here is ordered.
    pub(super) fn order(&self, at: At) -> Option<&'r RuleKind> {
        at.order.map(|rule| &self.rules[rule].kind)
    }
}
