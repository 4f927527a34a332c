//! Everything that is wrong with a file, told at once and where it stands.
//!
//! # Why two forms
//!
//! A person at a terminal gets the line, a caret and a suggestion. A log gets one line for each
//! problem without the source, because a line of the file may hold a secret.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

/// Problems that are shown in full; the rest is counted, because nobody reads a thousand.
const SHOWN_MAX: usize = 100;

/// Problems that are kept at all, for machines.
const KEPT_MAX: usize = 1_000;

/// One thing that is wrong, at a range of bytes of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) help: Option<String>,
    /// A second place that the message speaks of.
    pub(crate) also: Option<(Range<usize>, String)>,
}

impl Problem {
    pub(crate) fn new(at: &Range<usize>, message: impl Into<String>) -> Self {
        Self { at: at.clone(), message: message.into(), help: None, also: None }
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub(crate) fn also(mut self, at: &Range<usize>, label: impl Into<String>) -> Self {
        self.also = Some((at.clone(), label.into()));
        self
    }
}

/// What an operator has to mend before a file can be used.
#[derive(Clone, Debug)]
pub struct ConfigErrors {
    name: String,
    /// None where the file could not be read at all.
    source: Option<String>,
    problems: Vec<Problem>,
    /// How many there were before the list was cut.
    total: usize,
}

/// One problem with its place, lines and columns counted from 1; the machine-readable form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub line: usize,
    pub column: usize,
    pub message: String,
    pub help: Option<String>,
}

impl ConfigErrors {
    pub(crate) fn of_file(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.into(), source: None, problems: vec![Problem::new(&(0..0), message)], total: 1 }
    }

    /// Sorted by place, each told once.
    pub(crate) fn new(name: &str, source: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.at.start, problem.at.end));
        problems.dedup();
        let total = problems.len();
        problems.truncate(KEPT_MAX);
        Self { name: name.into(), source: Some(source.into()), problems, total }
    }

    /// The name of the file as messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn findings(&self) -> impl Iterator<Item = Finding> {
        self.problems.iter().map(|problem| {
            let (line, column) = self.source.as_deref().map_or((1, 1), |text| position(text, problem.at.start));
            Finding { line, column, message: problem.message.clone(), help: problem.help.clone() }
        })
    }

    /// For a person: each problem with its line, a caret and a suggestion.
    pub fn render(&self, colour: bool) -> String {
        let Some(source) = &self.source else {
            return self.to_string();
        };
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for problem in self.problems.iter().take(SHOWN_MAX) {
            text.push_str(&renderer.render(&self.report(problem, source)));
            text.push_str("\n\n");
        }
        text.push_str(&self.summary());
        text
    }

    fn report<'a>(&'a self, problem: &'a Problem, source: &'a str) -> Vec<Group<'a>> {
        let caret = AnnotationKind::Primary.span(clamped(&problem.at, source));
        let mut snippet = Snippet::source(source).path(self.name.as_str()).annotation(caret);
        if let Some((at, label)) = &problem.also {
            snippet = snippet.annotation(AnnotationKind::Context.span(clamped(at, source)).label(label.as_str()));
        }
        let mut group = Level::ERROR.primary_title(problem.message.as_str()).element(snippet);
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        vec![group]
    }

    fn summary(&self) -> String {
        match self.total {
            1 => format!("error: 1 problem in {}", self.name),
            count if count > SHOWN_MAX => {
                format!("error: {count} problems in {}, the first {SHOWN_MAX} shown", self.name)
            }
            count => format!("error: {count} problems in {}", self.name),
        }
    }
}

/// All in one line, for logs, and without the source.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, finding) in self.findings().take(SHOWN_MAX).enumerate() {
            let Finding { line, column, message, help } = finding;
            let separator = if at == 0 { "" } else { "; " };
            match &self.source {
                Some(_) => write!(f, "{separator}{}:{line}:{column}: {message}", self.name)?,
                None => write!(f, "{separator}{}: {message}", self.name)?,
            }
            if let Some(help) = help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Line and column, in characters, of a byte of the text; both from 1.
pub(crate) fn position(text: &str, byte: usize) -> (usize, usize) {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    let before = &text[..byte];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// A range that the renderer can underline: inside the text, on one line, not empty if possible.
fn clamped(at: &Range<usize>, source: &str) -> Range<usize> {
    let start = at.start.min(source.len());
    let end = at.end.clamp(start, source.len());
    let line_end = source.get(start..end).and_then(|text| text.find('\n')).map_or(end, |newline| start + newline);
    start..line_end
}

/// `did you mean ...` where a known word is close to what was written.
pub(crate) fn closest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lowered = written.to_lowercase();
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&lowered, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= (word.len().max(written.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The suggestion, or the whole list where nothing is close and the list is short.
pub(crate) fn suggestion(written: &str, known: &[&str]) -> Option<String> {
    const LISTED_MAX: usize = 40;
    match closest(written, known.iter().copied()) {
        Some(word) => Some(format!("did you mean `{word}`?")),
        None if known.is_empty() || known.len() > LISTED_MAX => None,
        None => Some(format!("known here: {}", known.join(", "))),
    }
}

/// Text of the file inside a message: bounded and without control characters.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    format!("`{shown}`")
}
