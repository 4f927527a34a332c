//! Aligns two lists by the hashes of their elements, so that one inserted element does not shift all that follow.
//!
//! What both begin and end with is set aside; elements that are there once on both sides are anchors (patience diff); short gaps
//! between them get a longest common subsequence, long ones none. So work is `n log n` and a bounded square per gap.

use std::num::NonZeroU32;

/// Cells of the table for one gap.
const CELLS_MAX: usize = 4096;

/// Pairs of positions with equal hashes, ascending on both sides, and where all that both begin and end with was set aside.
fn matches<'l>(legacy: &'l [u64], new: &'l [u64]) -> (Vec<(usize, usize)>, Option<Sorted<'l>>) {
    let mut found = Vec::with_capacity(legacy.len().min(new.len()));
    let all = Gap { legacy: (0, legacy.len()), new: (0, new.len()) };
    let mut sorted = None;
    trimmed(legacy, new, all, &mut found, |gap, found| {
        let sorted = sorted.insert(Sorted::new(legacy, new, gap));
        let mut from = (gap.legacy.0, gap.new.0);
        for (i, j) in sorted.anchors() {
            small(legacy, new, Gap { legacy: (from.0, i), new: (from.1, j) }, found);
            found.push((i, j));
            from = (i + 1, j + 1);
        }
        small(legacy, new, Gap { legacy: (from.0, gap.legacy.1), new: (from.1, gap.new.1) }, found);
    });
    (found, sorted)
}

#[derive(Clone, Copy)]
struct Gap {
    legacy: (usize, usize),
    new: (usize, usize),
}

/// Matches both ends of a gap and leaves what is between them to `middle`.
fn trimmed(
    legacy: &[u64],
    new: &[u64],
    gap: Gap,
    found: &mut Vec<(usize, usize)>,
    middle: impl FnOnce(Gap, &mut Vec<(usize, usize)>),
) {
    let (a, b) = (&legacy[gap.legacy.0..gap.legacy.1], &new[gap.new.0..gap.new.1]);
    let prefix = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let suffix = a[prefix..].iter().rev().zip(b[prefix..].iter().rev()).take_while(|(a, b)| a == b).count();
    found.extend((0..prefix).map(|at| (gap.legacy.0 + at, gap.new.0 + at)));
    let rest =
        Gap { legacy: (gap.legacy.0 + prefix, gap.legacy.1 - suffix), new: (gap.new.0 + prefix, gap.new.1 - suffix) };
    if rest.legacy.0 < rest.legacy.1 && rest.new.0 < rest.new.1 {
        middle(rest, found);
    }
    found.extend((0..suffix).map(|at| (rest.legacy.1 + at, rest.new.1 + at)));
}

/// The elements of a gap by their hashes.
///
/// A word holds the upper bits of a hash and, in the lower ones, the position; words are sorted in a fraction of the time that pairs
/// take. Elements that share the upper bits alone are told apart when they are shown.
struct Sorted<'l> {
    lists: [&'l [u64]; 2],
    gap: Gap,
    words: [Vec<u64>; 2],
    /// The bits of a position.
    positions: u64,
}

impl<'l> Sorted<'l> {
    fn new(legacy: &'l [u64], new: &'l [u64], gap: Gap) -> Self {
        let longest = legacy.len().max(new.len()) as u64;
        let positions = longest.checked_next_power_of_two().map_or(u64::MAX, |beyond| beyond - 1);
        let words = |list: &[u64], (from, to): (usize, usize)| -> Vec<u64> {
            let mut words: Vec<u64> = (from..to).map(|at| (list[at] & !positions) | at as u64).collect();
            words.sort_unstable();
            words
        };
        let words = [words(legacy, gap.legacy), words(new, gap.new)];
        Self { lists: [legacy, new], gap, words, positions }
    }

    /// Elements that are there once on both sides, in the longest row that ascends on both.
    fn anchors(&self) -> Vec<(usize, usize)> {
        let mut once = Partners::new(self.gap.legacy);
        self.each_of_both(|these, those| {
            if let ([i], [j]) = (these, those) {
                once.set(*i, *j);
            }
        });
        ascending(&once.pairs())
    }

    /// Pairs equal elements that are still unmatched, whatever their order, and marks them as matched.
    fn equal_anywhere(&self, unmatched: &mut [Vec<bool>; 2]) -> Vec<(usize, usize)> {
        let mut equal = Partners::new(self.gap.legacy);
        let [legacy, new] = unmatched;
        self.each_of_both(|these, those| {
            let mut those = those.iter().filter(|at| std::mem::take(&mut new[**at]));
            for i in these.iter().filter(|at| legacy[**at]) {
                let Some(j) = those.next() else { break };
                equal.set(*i, *j);
            }
        });
        let pairs = equal.pairs();
        pairs.iter().for_each(|(i, _)| legacy[*i] = false);
        pairs
    }

    /// Shows where the elements of each hash stand that both have, ascending.
    fn each_of_both(&self, mut show: impl FnMut(&[usize], &[usize])) {
        let upper = |word: &u64| word & !self.positions;
        let (mut a, mut b) = (self.words[0].as_slice(), self.words[1].as_slice());
        let (mut these, mut those) = (Vec::new(), Vec::new());
        while let (Some(x), Some(y)) = (a.first().map(upper), b.first().map(upper)) {
            let own = x.min(y);
            let count = |words: &[u64]| words.iter().take_while(|word| upper(word) == own).count();
            let (of_a, of_b) = (a.split_at(count(a)), b.split_at(count(b)));
            (a, b) = (of_a.1, of_b.1);
            if x == y {
                let position = |word: &u64| (word & self.positions) as usize;
                these.clear();
                these.extend(of_a.0.iter().map(position));
                those.clear();
                those.extend(of_b.0.iter().map(position));
                self.told_apart(&mut these, &mut those, &mut show);
            }
        }
    }

    /// Elements that share the upper bits of their hashes, by the whole of them.
    fn told_apart(&self, these: &mut [usize], those: &mut [usize], show: &mut impl FnMut(&[usize], &[usize])) {
        let [legacy, new] = self.lists;
        let Some(first) = these.first().map(|at| legacy[*at]) else { return };
        if these.iter().all(|at| legacy[*at] == first) && those.iter().all(|at| new[*at] == first) {
            return show(these, those);
        }
        these.sort_by_key(|at| legacy[*at]);
        those.sort_by_key(|at| new[*at]);
        for these in these.chunk_by(|one, other| legacy[*one] == legacy[*other]) {
            let own = these.first().map_or(0, |at| legacy[*at]);
            let from = those.partition_point(|at| new[*at] < own);
            let equal = &those[from..];
            let to = equal.partition_point(|at| new[*at] == own);
            if to > 0 {
                show(these, &equal[..to]);
            }
        }
    }
}

/// What belongs to each element of legacy's, so that nothing is sorted to have it in its order.
struct Partners {
    from: usize,
    of: Vec<Option<NonZeroU32>>,
}

impl Partners {
    fn new((from, to): (usize, usize)) -> Self {
        Self { from, of: vec![None; to - from] }
    }

    /// A document has fewer elements than a `u32` counts.
    fn set(&mut self, i: usize, j: usize) {
        self.of[i - self.from] = u32::try_from(j + 1).ok().and_then(NonZeroU32::new);
    }

    fn pairs(&self) -> Vec<(usize, usize)> {
        let of = self.of.iter().enumerate();
        of.filter_map(|(at, j)| j.map(|j| (self.from + at, j.get() as usize - 1))).collect()
    }
}

/// The longest part of pairs, ascending in the first, that ascends in the second.
fn ascending(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // The last pair of the best row of each length, and for each pair the one before it.
    let mut last: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (at, (_, j)) in pairs.iter().enumerate() {
        // Most rows go on where they end.
        let goes_on = last.last().is_none_or(|other| pairs[*other].1 < *j);
        let length = if goes_on { last.len() } else { last.partition_point(|other| pairs[*other].1 < *j) };
        before.push(length.checked_sub(1).map(|shorter| last[shorter]));
        if length == last.len() { last.push(at) } else { last[length] = at }
    }
    let mut row = Vec::with_capacity(last.len());
    let mut next = last.last().copied();
    while let Some(at) = next {
        row.push(pairs[at]);
        next = before[at];
    }
    row.reverse();
    row
}

/// A longest common subsequence, if that is little work.
fn small(legacy: &[u64], new: &[u64], gap: Gap, found: &mut Vec<(usize, usize)>) {
    trimmed(legacy, new, gap, found, |gap, found| {
        let (a, b) = (&legacy[gap.legacy.0..gap.legacy.1], &new[gap.new.0..gap.new.1]);
        let width = b.len() + 1;
        if a.len().saturating_mul(b.len()) > CELLS_MAX {
            return;
        }
        let mut longest = vec![0u16; (a.len() + 1) * width];
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                longest[i * width + j] = if a[i] == b[j] {
                    longest[(i + 1) * width + j + 1] + 1
                } else {
                    longest[(i + 1) * width + j].max(longest[i * width + j + 1])
                };
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < a.len() && j < b.len() {
            if a[i] == b[j] {
                found.push((gap.legacy.0 + i, gap.new.0 + j));
                (i, j) = (i + 1, j + 1);
            } else if longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
                i += 1;
            } else {
                j += 1;
            }
        }
    });
}

/// What belongs together once equal elements are found wherever they are.
#[derive(Debug, Default)]
pub(super) struct Alignment {
    pub(super) pairs: Vec<(usize, usize)>,
    /// Equal, but elsewhere among the others.
    pub(super) moved: Vec<(usize, usize)>,
    pub(super) only_legacy: Vec<usize>,
    pub(super) only_new: Vec<usize>,
}

/// Aligns two ordered lists: in a gap, what is left on both sides is paired in its order.
pub(super) fn ordered(legacy: &[u64], new: &[u64]) -> Alignment {
    let (matches, sorted) = matches(legacy, new);
    let mut unmatched = [vec![true; legacy.len()], vec![true; new.len()]];
    for (i, j) in &matches {
        unmatched[0][*i] = false;
        unmatched[1][*j] = false;
    }
    let moved = sorted.map(|sorted| sorted.equal_anywhere(&mut unmatched)).unwrap_or_default();
    let mut alignment = Alignment { moved, ..Alignment::default() };
    let mut from = (0, 0);
    for (i, j) in matches.iter().copied().chain([(legacy.len(), new.len())]) {
        let left: Vec<usize> = (from.0..i).filter(|at| unmatched[0][*at]).collect();
        let right: Vec<usize> = (from.1..j).filter(|at| unmatched[1][*at]).collect();
        alignment.gap(&left, &right);
        if i < legacy.len() && j < new.len() {
            alignment.pairs.push((i, j));
        }
        from = (i + 1, j + 1);
    }
    alignment
}

/// Aligns two lists whose order means nothing. What is left on both sides is paired only if it is as much, and not if hashes are of keys.
pub(super) fn unordered(legacy: &[u64], new: &[u64], are_keys: bool) -> Alignment {
    let mut unmatched = [vec![true; legacy.len()], vec![true; new.len()]];
    let all = Gap { legacy: (0, legacy.len()), new: (0, new.len()) };
    let pairs = Sorted::new(legacy, new, all).equal_anywhere(&mut unmatched);
    let mut alignment = Alignment { pairs, ..Alignment::default() };
    let left = |side: &[bool]| -> Vec<usize> { (0..side.len()).filter(|at| side[*at]).collect() };
    let (legacy, new) = (left(&unmatched[0]), left(&unmatched[1]));
    if legacy.len() == new.len() && !are_keys {
        alignment.gap(&legacy, &new);
    } else {
        (alignment.only_legacy, alignment.only_new) = (legacy, new);
    }
    alignment
}

impl Alignment {
    fn gap(&mut self, left: &[usize], right: &[usize]) {
        let both = left.len().min(right.len());
        self.pairs.extend(left.iter().copied().zip(right.iter().copied()));
        self.only_legacy.extend(&left[both..]);
        self.only_new.extend(&right[both..]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn counts(list: &[u64]) -> BTreeMap<u64, usize> {
        list.iter().fold(BTreeMap::new(), |mut counts, hash| {
            *counts.entry(*hash).or_default() += 1;
            counts
        })
    }

    /// Hashes that are told apart by their upper bits, by their lower ones, or by neither.
    fn hashes() -> impl Strategy<Value = Vec<u64>> {
        let hash = (0u64..4, 0u64..4).prop_map(|(upper, lower)| upper << 60 | lower);
        prop::collection::vec(hash, 0..40)
    }

    proptest! {
        #[test]
        fn each_element_has_one_place_and_no_equal_one_is_left(legacy in hashes(), new in hashes(), is_ordered: bool) {
            let alignment =
                if is_ordered { ordered(&legacy, &new) } else { unordered(&legacy, &new, false) };
            let both = || alignment.pairs.iter().chain(&alignment.moved);
            let mut own: Vec<usize> = both().map(|(i, _)| *i).chain(alignment.only_legacy.iter().copied()).collect();
            let mut others: Vec<usize> = both().map(|(_, j)| *j).chain(alignment.only_new.iter().copied()).collect();
            own.sort_unstable();
            others.sort_unstable();
            prop_assert!(own.into_iter().eq(0..legacy.len()) && others.into_iter().eq(0..new.len()));
            prop_assert!(alignment.moved.iter().all(|(i, j)| legacy[*i] == new[*j]));
            let equal = both().filter(|(i, j)| legacy[*i] == new[*j]).count();
            let of_new = counts(&new);
            let most: usize = counts(&legacy).iter().map(|(hash, count)| *count.min(of_new.get(hash).unwrap_or(&0))).sum();
            prop_assert_eq!(equal, most);
        }
    }
}
