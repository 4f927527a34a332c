//! Aligns two lists by the hashes of their elements, so that one inserted element does not shift all that follow.
//!
//! What both begin and end with is set aside; elements that are there once on both sides are anchors (patience diff); short gaps
//! between them get a longest common subsequence, long ones none. So work is `n log n` and a bounded square per gap.

/// Cells of the table for one gap.
const CELLS_MAX: usize = 4096;

/// Pairs of positions with equal hashes, ascending on both sides.
pub(super) fn matches(legacy: &[u64], new: &[u64]) -> Vec<(usize, usize)> {
    let mut found = Vec::with_capacity(legacy.len().min(new.len()));
    let all = Gap { legacy: (0, legacy.len()), new: (0, new.len()) };
    trimmed(legacy, new, all, &mut found, |gap, found| {
        let mut from = (gap.legacy.0, gap.new.0);
        for (i, j) in anchors(legacy, new, gap) {
            small(legacy, new, Gap { legacy: (from.0, i), new: (from.1, j) }, found);
            found.push((i, j));
            from = (i + 1, j + 1);
        }
        small(legacy, new, Gap { legacy: (from.0, gap.legacy.1), new: (from.1, gap.new.1) }, found);
    });
    found
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

/// Elements that are there once on both sides, in the longest row that ascends on both.
fn anchors(legacy: &[u64], new: &[u64], gap: Gap) -> Vec<(usize, usize)> {
    let (a, b) = (by_hash(legacy, gap.legacy, |_| true), by_hash(new, gap.new, |_| true));
    let mut once = Vec::new();
    each_of_both(&a, &b, |these, those| {
        if let ([(_, i)], [(_, j)]) = (these, those) {
            once.push((*i, *j));
        }
    });
    once.sort_unstable();
    ascending(&once)
}

/// Elements with their hashes, sorted: those of one hash stand together, in their order.
fn by_hash(list: &[u64], (from, to): (usize, usize), is_wanted: impl Fn(usize) -> bool) -> Vec<(u64, usize)> {
    let mut sorted: Vec<(u64, usize)> = (from..to).filter(|at| is_wanted(*at)).map(|at| (list[at], at)).collect();
    sorted.sort_unstable();
    sorted
}

/// Elements of one hash.
type Equal<'a> = &'a [(u64, usize)];

/// Shows what both sides have of each hash that both have.
fn each_of_both(mut a: Equal<'_>, mut b: Equal<'_>, mut show: impl FnMut(Equal<'_>, Equal<'_>)) {
    while let (Some((x, _)), Some((y, _))) = (a.first(), b.first()) {
        let hash = (*x).min(*y);
        let count = |list: Equal<'_>| list.iter().take_while(|(own, _)| *own == hash).count();
        let (these, those) = (a.split_at(count(a)), b.split_at(count(b)));
        if !these.0.is_empty() && !those.0.is_empty() {
            show(these.0, those.0);
        }
        (a, b) = (these.1, those.1);
    }
}

/// The longest part of pairs, ascending in the first, that ascends in the second.
fn ascending(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // The last pair of the best row of each length, and for each pair the one before it.
    let mut last: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (at, (_, j)) in pairs.iter().enumerate() {
        let length = last.partition_point(|other| pairs[*other].1 < *j);
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
    let matches = matches(legacy, new);
    let mut unmatched = [vec![true; legacy.len()], vec![true; new.len()]];
    for (i, j) in &matches {
        unmatched[0][*i] = false;
        unmatched[1][*j] = false;
    }
    let moved = equal_anywhere(legacy, new, &mut unmatched);
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
    let mut alignment = Alignment { pairs: equal_anywhere(legacy, new, &mut unmatched), ..Alignment::default() };
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

/// Pairs equal elements that are still unmatched, whatever their order, and marks them as matched.
fn equal_anywhere(legacy: &[u64], new: &[u64], unmatched: &mut [Vec<bool>; 2]) -> Vec<(usize, usize)> {
    let a = by_hash(legacy, (0, legacy.len()), |at| unmatched[0][at]);
    let b = by_hash(new, (0, new.len()), |at| unmatched[1][at]);
    let mut pairs = Vec::new();
    each_of_both(&a, &b, |these, those| pairs.extend(these.iter().zip(those).map(|((_, i), (_, j))| (*i, *j))));
    for (i, j) in &pairs {
        unmatched[0][*i] = false;
        unmatched[1][*j] = false;
    }
    pairs.sort_unstable();
    pairs
}
