//! Documents line by line, read as the elements of one array, so that they are compared as those are.
//!
//! A line that is no document is told by its own kind. It is then left out, and so is what the other side has in its place where both
//! have as many lines, because that is only its echo. What both have to the byte is no difference, whatever it is.
//!
//! Deliberately not supported: documents over several lines, and bodies of which only a digest is known.

use std::collections::HashSet;

use foldhash::fast::FixedState;

use super::difference::{Difference, Kind, Place, Shown, Type};
use super::json::{Document, Unread};
use super::report::Report;

/// One pattern for all lines, the same as of elements.
const PATTERN: &str = "$[*]";

/// One line, and what is wrong with it.
struct Line<'t> {
    number: usize,
    text: &'t str,
    problem: Option<&'static str>,
}

pub(super) fn is_named(media: &str) -> bool {
    matches!(media, "application/x-ndjson" | "application/ndjson" | "application/jsonl")
}

/// Both bodies as arrays, after what is wrong with their lines was told; none where they are no text, have too many lines,
/// or no line is a document.
pub(super) fn arrays(legacy: &[u8], new: &[u8], report: &mut Report) -> Option<(String, String)> {
    let (Ok(legacy), Ok(new)) = (std::str::from_utf8(legacy), std::str::from_utf8(new)) else { return None };
    let most = report.limits.nodes;
    if legacy.lines().nth(most).is_some() || new.lines().nth(most).is_some() {
        return None;
    }
    let (a, b) = (lines(legacy, report), lines(new, report));
    let mut all = a.iter().chain(&b);
    if !(a.is_empty() && b.is_empty() || all.any(|line| line.problem.is_none())) {
        return None;
    }
    let broken = |lines: &[Line<'_>]| -> HashSet<String, FixedState> {
        lines.iter().filter(|line| line.problem.is_some()).map(|line| line.text.to_owned()).collect()
    };
    let (broken_a, broken_b) = (broken(&a), broken(&b));
    let is_alone =
        |line: &Line, others: &HashSet<String, FixedState>| line.problem.is_some() && !others.contains(line.text);
    let is_aligned = a.len() == b.len();
    let (mut left_a, mut left_b) = (Vec::new(), Vec::new());
    for at in 0..a.len().max(b.len()) {
        let (mine, other) = (a.get(at), b.get(at));
        let alone = (mine.filter(|line| is_alone(line, &broken_b)), other.filter(|line| is_alone(line, &broken_a)));
        if alone.0.is_some() || alone.1.is_some() {
            if is_aligned {
                tell((mine, other), report);
                continue;
            }
            alone.0.into_iter().for_each(|line| tell((Some(line), None), report));
            alone.1.into_iter().for_each(|line| tell((None, Some(line)), report));
        }
        left_a.extend(mine.filter(|line| line.problem.is_none()));
        left_b.extend(other.filter(|line| line.problem.is_none()));
    }
    Some((array(&left_a), array(&left_b)))
}

fn lines<'t>(text: &'t str, report: &Report) -> Vec<Line<'t>> {
    let (depth, nodes) = (report.limits.depth, report.limits.nodes);
    let own = text.split('\n').map(str::trim).enumerate().filter(|(_, text)| !text.is_empty());
    own.map(|(at, text)| {
        let problem = match Document::read(text, depth, nodes) {
            Err(Unread::NotJson(problem)) => Some(problem),
            // What is too deep, or too much, is so in the array as well.
            Ok(_) | Err(Unread::Depth | Unread::Nodes) => None,
        };
        Line { number: at + 1, text, problem }
    })
    .collect()
}

fn array(lines: &[&Line<'_>]) -> String {
    let texts: Vec<&str> = lines.iter().map(|line| line.text).collect();
    format!("[{}]", texts.join(","))
}

fn shown(line: &Line) -> Shown {
    Shown { kind: Type::Line, length: line.text.len(), form: line.problem.unwrap_or("json").to_owned() }
}

fn tell((legacy, new): (Option<&Line>, Option<&Line>), report: &mut Report) {
    report.difference(Kind::NotJson, || {
        let number = legacy.or(new).map_or(0, |line| line.number);
        let place = Place::Line(u32::try_from(number).unwrap_or(u32::MAX));
        let (pattern, kind, legacy, new) = (PATTERN.to_owned(), Kind::NotJson, legacy.map(shown), new.map(shown));
        Difference { place, pattern, kind, legacy, new, apart: None }
    });
}
