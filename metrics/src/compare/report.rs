//! Collects what is found, within limits: the first of each pattern and kind, and the number of the others.

use std::collections::BTreeMap;

use super::difference::{Difference, Kind};
use super::{Comparison, Limits, NotCompared};

/// Differences whose pattern is looked at; beyond that they are only counted, so that a hostile answer costs no more.
const LOOKED_AT_MAX: u32 = 4096;

#[derive(Debug)]
pub(super) struct Report<'l> {
    pub(super) limits: &'l Limits,
    differences: Vec<Difference>,
    notations: Vec<Difference>,
    kept: BTreeMap<(String, Kind), usize>,
    looked_at: u32,
    more: u32,
    /// Let pass by a rule that still checks, and by `ignore`.
    checked: u32,
    ruled_out: u32,
}

impl<'l> Report<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            differences: Vec::new(),
            notations: Vec::new(),
            kept: BTreeMap::new(),
            looked_at: 0,
            more: 0,
            checked: 0,
            ruled_out: 0,
        }
    }

    /// `make` is asked only while there is room for what it would make.
    pub(super) fn difference(&mut self, kind: Kind, make: impl FnOnce() -> Difference) {
        if self.looked_at >= LOOKED_AT_MAX {
            self.count_more(kind);
            return;
        }
        self.looked_at += 1;
        let difference = make();
        let of_kind = if kind == Kind::Notation { &mut self.notations } else { &mut self.differences };
        let kept = self.kept.entry((difference.pattern.clone(), kind)).or_default();
        if *kept < self.limits.differences_per_pattern && of_kind.len() < self.limits.differences {
            *kept += 1;
            of_kind.push(difference);
        } else {
            self.count_more(kind);
        }
    }

    fn count_more(&mut self, kind: Kind) {
        if kind != Kind::Notation {
            self.more = self.more.saturating_add(1);
        }
    }

    pub(super) fn checked(&mut self) {
        self.checked = self.checked.saturating_add(1);
    }

    pub(super) fn ruled_out(&mut self) {
        self.ruled_out = self.ruled_out.saturating_add(1);
    }

    /// `body` is why the bodies were not compared, if they were not.
    pub(super) fn close(self, body: Option<NotCompared>) -> Comparison {
        let Self { differences, notations, more, checked, ruled_out, .. } = self;
        let ignored = checked.saturating_add(ruled_out);
        match body {
            _ if !differences.is_empty() || more > 0 => {
                Comparison::Mismatched { differences, more, ignored, notations, body }
            }
            Some(why) => Comparison::NotCompared { why },
            None if ruled_out > 0 => Comparison::Ignored { ignored, notations },
            None => Comparison::Matched { ignored, notations },
        }
    }
}
