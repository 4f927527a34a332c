//! Holds two documents against each other of which only a census is known, under rules.
//!
//! A difference is told by its pattern and kind, as it would be of documents that are kept, so that both are one finding. What
//! follows of another is not told: members that are lost with their object, counts that differ because an array is longer, and the
//! order within an array that has another length, or of which the whole stands elsewhere.
//!
//! Deliberately not supported: `tolerance` and `map_host`, which need values. Where such places differ, nobody knows
//! ([`NotCompared::NeedsValues`]). Arrays of arrays that have changed places are told as values that have.

use std::collections::{BTreeMap, BTreeSet};

use super::NotCompared;
use super::census::{ARRAYS, Census, DECIMAL, DIGITS, HEX, LONE, LOOKS, Looks, OBJECTS, ROOT, Seen, TEXT};
use super::difference::{Difference, Kind, Place, Shown, Type};
use super::path::{At, Follower};
use super::report::Report;
use super::rules::RuleKind;
use super::walk::SINGLE_MAX;

/// The same pattern in both, where they have it.
type Both = (Option<u32>, Option<u32>);

struct Walk<'a, 'r, 'l> {
    legacy: &'a Census,
    new: &'a Census,
    rules: Follower<'r>,
    /// The steps down to here.
    path: Vec<&'a str>,
    /// Arrays with values in another order, and arrays of another length.
    reordered: BTreeMap<String, (Seen, Seen)>,
    resized: BTreeSet<String>,
    report: &'a mut Report<'l>,
    told: u64,
    /// Something may differ, or not: beyond the limits, or under a rule that needs values.
    is_unknown: bool,
    needs_values: bool,
}

/// Compares what both documents have; the error says why that is not enough.
pub(super) fn compare(
    legacy: &Census,
    new: &Census,
    rules: Follower<'_>,
    report: &mut Report<'_>,
) -> Result<(), NotCompared> {
    if legacy.total == new.total {
        // The last of them counts, and the order within an object is not known.
        return if legacy.has_duplicates() { Err(NotCompared::TooLarge) } else { Ok(()) };
    }
    let (path, reordered, resized) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
    let (told, is_unknown, needs_values) = (0, false, false);
    let mut walk = Walk { legacy, new, rules, path, reordered, resized, report, told, is_unknown, needs_values };
    let root = walk.rules.root();
    walk.pattern((Some(ROOT), Some(ROOT)), (1, 1), root, false);
    walk.tell_orders();
    let is_beyond = legacy.is_beyond || new.is_beyond;
    match (walk.needs_values, walk.is_unknown || walk.told == 0) {
        (true, _) => Err(NotCompared::NeedsValues),
        (false, true) if is_beyond => Err(NotCompared::Nodes),
        (false, true) => Err(NotCompared::TooLarge),
        (false, false) => Ok(()),
    }
}

impl<'a> Walk<'a, '_, '_> {
    fn seen(&self, (i, j): Both) -> (Seen, Seen) {
        let of = |census: &Census, at: Option<u32>| {
            at.and_then(|at| census.pattern(at)).map(|pattern| pattern.own).unwrap_or_default()
        };
        (of(self.legacy, i), of(self.new, j))
    }

    /// `above` is how many objects, or arrays, there are above it on each side.
    fn pattern(&mut self, both: Both, above: (u64, u64), at: At, is_unordered: bool) {
        let (a, b) = self.seen(both);
        if self.rules.is_ignored(at) {
            if a != b || self.differs_below(both) {
                self.ruled_out();
            }
            return;
        }
        let is_element = self.path.last() == Some(&"[*]");
        if a.count == 0 || b.count == 0 {
            // What was in an object that is none any more follows of that.
            let follows = is_element || above.0 == 0 || above.1 == 0;
            if !follows && a.count + b.count > 0 {
                self.one_side(both, (a, b), at);
            }
            return;
        }
        if a.count != b.count {
            // As many more as there are more above is only what follows of that.
            let follows = is_element || (a.count == above.0 && b.count == above.1);
            if !follows && self.is_named(both) && (a.count > above.0 || b.count > above.1) {
                // More than there are objects to have it.
                self.tell_unless_ignored(Kind::DuplicateKey, (a, b), at);
            } else if !follows {
                let is_lost = u128::from(a.count) * u128::from(above.1) > u128::from(b.count) * u128::from(above.0);
                self.tell_unless_ignored(if is_lost { Kind::Missing } else { Kind::Added }, (a, b), at);
            }
        } else if a.sum != b.sum && self.is_named(both) && a.count > above.0 {
            // Both have it more than once, and the last of each object, which counts, is not known.
            self.is_unknown = true;
        } else if a.sum != b.sum {
            self.changed(both, (a, b), at);
        } else if a.placed != b.placed {
            self.moved((a, b), is_unordered);
        }
        self.below(both, (a, b), at, is_unordered);
    }

    fn below(&mut self, (i, j): Both, (a, b): (Seen, Seen), at: At, is_unordered: bool) {
        let of = |census: &'a Census, at: Option<u32>| at.and_then(|at| census.pattern(at)).map(|own| &own.below);
        let (legacy, new) = (of(self.legacy, i), of(self.new, j));
        let mut steps: BTreeMap<&'a str, Both> = BTreeMap::new();
        legacy.into_iter().flatten().for_each(|(step, at)| steps.entry(step).or_default().0 = Some(*at));
        new.into_iter().flatten().for_each(|(step, at)| steps.entry(step).or_default().1 = Some(*at));
        for (step, both) in steps {
            self.path.push(step);
            let inner =
                if step == "[*]" { self.rules.element(at) } else { self.rules.member(at, self.key(both, step)) };
            let is_unordered = is_unordered || (step == "[*]" && self.rules.order(at).is_some());
            let above = if step == "[*]" { ARRAYS } else { OBJECTS };
            self.pattern(both, (a.of_type(above), b.of_type(above)), inner, is_unordered);
            self.rules.leave(inner);
            self.path.pop();
        }
    }

    /// Whether it is a member of a name of its own, which an object has once.
    fn is_named(&self, (i, j): Both) -> bool {
        let of = |census: &Census, at: Option<u32>| {
            at.and_then(|at| census.pattern(at)).is_some_and(|own| own.key.is_some())
        };
        of(self.legacy, i) || of(self.new, j)
    }

    fn key(&self, (i, j): Both, step: &'a str) -> &'a [u8] {
        let of = |census: &'a Census, at: Option<u32>| at.and_then(|at| census.pattern(at)?.key.as_deref());
        of(self.legacy, i).or_else(|| of(self.new, j)).unwrap_or(step.trim_start_matches('.').as_bytes())
    }

    fn differs_below(&self, (i, j): Both) -> bool {
        let mut left = vec![(i, j)];
        while let Some(both) = left.pop() {
            let (a, b) = self.seen(both);
            if a != b {
                return true;
            }
            let of = |census: &'a Census, at: Option<u32>| at.and_then(|at| census.pattern(at)).map(|own| &own.below);
            let (Some(a), Some(b)) = (of(self.legacy, both.0), of(self.new, both.1)) else { continue };
            if a.len() != b.len() {
                return true;
            }
            left.extend(a.iter().map(|(step, at)| (Some(*at), b.get(step).copied())));
        }
        false
    }

    /// Something that only one side has.
    fn one_side(&mut self, both: Both, (a, b): (Seen, Seen), at: At) {
        let other = if a.count == 0 { self.legacy } else { self.new };
        let is_absent = if a.count == 0 { both.0.is_none() } else { both.1.is_none() };
        if is_absent && other.is_beyond {
            self.is_unknown = true;
            return;
        }
        self.tell_unless_ignored(if b.count == 0 { Kind::Missing } else { Kind::Added }, (a, b), at);
    }

    /// As many values as before, and not the same.
    fn changed(&mut self, both: Both, (a, b): (Seen, Seen), at: At) {
        let is_text_or_number = |looks: Looks| looks.0 & !0b111_1111_1110_0100 == 0;
        let (has_same_types, has_arrays) = (a.types == b.types, a.of_type(ARRAYS) > 0);
        match self.rules.value(at) {
            Some(RuleKind::Ignore) => return self.ruled_out(),
            Some(RuleKind::Shape) if has_same_types && !has_arrays && alike(a.looks) == alike(b.looks) => {
                return self.checked();
            }
            Some(RuleKind::Tolerance { .. } | RuleKind::MapHost { .. })
                if has_same_types && is_text_or_number(a.looks) && is_text_or_number(b.looks) =>
            {
                self.needs_values = true;
                return;
            }
            _ => {}
        }
        if !has_same_types {
            return self.tell(Kind::TypeChanged, (a, b), None);
        }
        if (a.looks.0 ^ b.looks.0) & LONE != 0 {
            return self.tell(Kind::LoneSurrogate, (a, b), None);
        }
        if !has_arrays || a.scalars() > 0 {
            return self.tell(Kind::ValueChanged, (a, b), None);
        }
        let array = written(&self.path);
        self.resized.insert(array.clone());
        let elements = self.elements(both);
        match (elements.0.count, elements.1.count) {
            // As many as are each a difference of its own where all is kept.
            (own, other) if own != other && own.abs_diff(other) <= SINGLE_MAX as u64 => {
                let kind = if own > other { Kind::Missing } else { Kind::Added };
                self.tell(kind, elements, Some(array + "[*]"));
            }
            _ => self.tell(Kind::LengthChanged, (a, b), Some(array)),
        }
    }

    /// What the arrays of a pattern have.
    fn elements(&self, (i, j): Both) -> (Seen, Seen) {
        let of = |census: &Census, at: Option<u32>| census.pattern(at?)?.below.get("[*]").copied();
        self.seen((of(self.legacy, i), of(self.new, j)))
    }

    /// The same values in other places: of the innermost array around them.
    fn moved(&mut self, both: (Seen, Seen), is_unordered: bool) {
        if is_unordered {
            return self.checked();
        }
        let end = self.path.iter().rposition(|step| *step == "[*]").unwrap_or_default();
        self.reordered.entry(written(&self.path[..end])).or_insert(both);
    }

    /// Once all are known: what stands in an array that has changed as a whole has moved with it.
    fn tell_orders(&mut self) {
        let reordered = std::mem::take(&mut self.reordered);
        let is_within =
            |array: &str, other: &str| array.strip_prefix(other).is_some_and(|rest| rest.starts_with("[*]"));
        for (array, both) in &reordered {
            let follows = self.resized.iter().any(|other| other == array || is_within(array, other))
                || reordered.keys().any(|other| is_within(array, other));
            if !follows {
                self.tell(Kind::OrderChanged, *both, Some(array.clone()));
            }
        }
    }

    fn tell_unless_ignored(&mut self, kind: Kind, both: (Seen, Seen), at: At) {
        if matches!(self.rules.value(at), Some(RuleKind::Ignore)) {
            return self.ruled_out();
        }
        self.tell(kind, both, None);
    }

    fn ruled_out(&mut self) {
        self.told += 1;
        self.report.ruled_out();
    }

    fn checked(&mut self) {
        self.told += 1;
        self.report.checked();
    }

    fn tell(&mut self, kind: Kind, (a, b): (Seen, Seen), pattern: Option<String>) {
        self.told += 1;
        let pattern = pattern.unwrap_or_else(|| written(&self.path));
        self.report.difference(kind, || {
            let (legacy, new) = (shown(a), shown(b));
            Difference { place: Place::Body(pattern.clone()), pattern, kind, legacy, new, apart: None }
        });
    }
}

fn written(path: &[&str]) -> String {
    path.iter().fold("$".to_owned(), |text, step| text + step)
}

fn each(looks: Looks) -> impl Iterator<Item = (Type, &'static str)> {
    LOOKS.into_iter().enumerate().filter(move |(bit, _)| looks.0 & (1 << bit) != 0).map(|(_, look)| look)
}

/// The same for shapes that may stand for each other: one digest in a few hundred has no letters in it.
fn alike(looks: Looks) -> u16 {
    let all = if looks.0 & LONE != 0 { (looks.0 & !LONE) | TEXT } else { looks.0 };
    let digits = if all & DECIMAL != 0 { (all & !DECIMAL) | DIGITS } else { all };
    if all & HEX != 0 { digits & !DIGITS } else { digits }
}

/// How many there are and what they look like, which is all that is known.
fn shown(seen: Seen) -> Option<Shown> {
    let length = usize::try_from(seen.count).unwrap_or(usize::MAX);
    let mut looks = each(seen.looks);
    let (kind, form) = looks.next()?;
    let form = if looks.next().is_some() { "several shapes" } else { form };
    Some(Shown { kind, length, form: form.to_owned() })
}
