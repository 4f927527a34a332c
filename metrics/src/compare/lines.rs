//! Texts that are no JSON, by lines.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::difference::{Difference, Kind, Place, Type};
use super::report::Report;
use super::{NotCompared, align, redact};

/// One pattern for all lines: a text has no places that mean the same in every answer.
const PATTERN: &str = "lines[*]";

pub(super) fn compare(legacy: &str, new: &str, report: &mut Report) -> Result<(), NotCompared> {
    let most = report.limits.nodes;
    let lines = |text| -> Vec<&str> { str::lines(text).take(most + 1).collect() };
    let (a, b) = (lines(legacy), lines(new));
    if a.len().max(b.len()) > most {
        return Err(NotCompared::Nodes);
    }
    let hashes = |lines: &[&str]| -> Vec<u64> {
        lines.iter().map(|line| FixedState::with_seed(0).hash_one(line.as_bytes())).collect()
    };
    let alignment = align::ordered(&hashes(&a), &hashes(&b));
    let mut found = false;
    if let Some((i, j)) = alignment.moved.first() {
        found = true;
        tell(Kind::OrderChanged, (Some((*i, a[*i])), Some((*j, b[*j]))), report);
    }
    for (i, j) in alignment.pairs.iter().filter(|(i, j)| a[*i] != b[*j]) {
        found = true;
        tell(Kind::TextLine, (Some((*i, a[*i])), Some((*j, b[*j]))), report);
    }
    for i in &alignment.only_legacy {
        found = true;
        tell(Kind::TextLine, (Some((*i, a[*i])), None), report);
    }
    for j in &alignment.only_new {
        found = true;
        tell(Kind::TextLine, (None, Some((*j, b[*j]))), report);
    }
    if !found {
        // The lines are the same, so their ends are not.
        let (a, b) = (legacy.lines().next().unwrap_or_default(), new.lines().next().unwrap_or_default());
        tell(Kind::Notation, (Some((0, a)), Some((0, b))), report);
    }
    Ok(())
}

type Line<'t> = Option<(usize, &'t str)>;

fn tell(kind: Kind, (legacy, new): (Line, Line), report: &mut Report) {
    let redaction = report.limits.redaction;
    report.difference(kind, || {
        let at = legacy.or(new).map_or(0, |(at, _)| at);
        let shown = |line: Line| line.map(|(_, text)| redact::text(Type::Line, text.as_bytes(), false, redaction));
        let place = Place::Line(u32::try_from(at + 1).unwrap_or(u32::MAX));
        Difference { place, pattern: PATTERN.to_owned(), kind, legacy: shown(legacy), new: shown(new), apart: None }
    });
}
