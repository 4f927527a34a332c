//! `${VAR}` and `${VAR:-default}` in values of the file.
//!
//! # Why masked before the parser
//!
//! In `{secret: ${TOKEN}}` YAML reads the brace as a map of its own, and a quoted value is not
//! offered to a parser's own substitution. So each `${` ... `}` becomes `$(` ... `)` of the same
//! length for the parser, places stay true, and values are filled in afterwards, quoted or not. A
//! value of the environment is never parsed: it can add no keys. `$${` stands for `${` itself.
//!
//! Not here: nesting, and variables in keys.

use std::ops::Range;

use super::errors::{Problem, quoted};

/// The text for the parser and what was masked in it.
#[derive(Debug)]
pub(super) struct Variables {
    masked: String,
    /// The places of `$(` in the masked text, what each was before, and the text between the braces.
    openings: Vec<Opening>,
}

#[derive(Debug)]
struct Opening {
    place: usize,
    kind: Kind,
    inside: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Variable,
    /// `$${`: written out as `${`.
    Escaped,
    /// `$(` of the operator's own.
    Literal,
}

impl Variables {
    pub(super) fn mask(text: &str) -> Self {
        let mut masked = text.as_bytes().to_vec();
        let mut openings = Vec::new();
        let mut at = 0;
        while let Some(found) = text[at..].find('$') {
            let dollar = at + found;
            let rest = &text[dollar..];
            at = dollar + 1;
            let escaped = rest.starts_with("$${");
            if rest.starts_with("$(") {
                openings.push(Opening { place: dollar, kind: Kind::Literal, inside: String::new() });
            } else if escaped || rest.starts_with("${") {
                let open = dollar + 1 + usize::from(escaped);
                // A variable ends on its line; what does not end is left to the parser.
                let line = text[open..].lines().next().unwrap_or_default();
                if let Some(close) = line.find('}') {
                    masked[open] = b'(';
                    masked[open + close] = b')';
                    let kind = if escaped { Kind::Escaped } else { Kind::Variable };
                    openings.push(Opening { place: open - 1, kind, inside: line[1..close].into() });
                    at = open + close + 1;
                }
            }
        }
        // Only ASCII bytes were replaced by ASCII bytes, so this cannot fail.
        let masked = String::from_utf8(masked).unwrap_or_else(|_| text.into());
        Self { masked, openings }
    }

    pub(super) fn masked(&self) -> &str {
        &self.masked
    }

    /// The value of a scalar that stands at `at` and that the parser read as `text`.
    pub(super) fn fill(
        &self,
        text: &str,
        at: &Range<usize>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String, Vec<Problem>> {
        let first = self.openings.partition_point(|opening| opening.place < at.start);
        let inside = &self.openings[first..];
        let inside = &inside[..inside.partition_point(|opening| opening.place < at.end)];
        if inside.iter().all(|opening| opening.kind == Kind::Literal) {
            return Ok(text.into());
        }
        let mut filled = String::with_capacity(text.len());
        let mut problems = Vec::new();
        let mut rest = text;
        for Opening { place, kind, inside } in inside {
            let written = if *kind == Kind::Literal { "$(".into() } else { format!("$({inside})") };
            let Some(open) = rest.find(&written) else {
                let message =
                    "variables cannot be filled in here: `${...}` does not go with escapes or folds inside it";
                return Err(vec![Problem::new(at, message)]);
            };
            filled.push_str(&rest[..open]);
            rest = &rest[open + written.len()..];
            match kind {
                Kind::Literal => filled.push_str(&written),
                Kind::Escaped => {
                    // The first of the two dollars came with the text before the second.
                    filled.pop();
                    filled.push_str("${");
                    filled.push_str(inside);
                    filled.push('}');
                }
                Kind::Variable => match value(inside, *place, environment) {
                    Ok(value) => filled.push_str(&value),
                    Err(problem) => problems.push(problem),
                },
            }
        }
        filled.push_str(rest);
        if problems.is_empty() { Ok(filled) } else { Err(problems) }
    }
}

fn value(written: &str, place: usize, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, Problem> {
    let at = place..place + written.len() + 3;
    let (name, default) = match written.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (written, None),
    };
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if !starts || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let message = format!("{} is not the name of a variable", quoted(name));
        return Err(Problem::new(&at, message).help("write ${NAME}, ${NAME:-default}, or $${ for the two characters"));
    }
    // As in a shell, `:-` also stands in for an empty value.
    match (environment(name), default) {
        (Some(value), _) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.into()),
        (Some(empty), None) => Ok(empty),
        (None, None) => {
            let help = format!("set it, or give a default: ${{{name}:-default}}");
            Err(Problem::new(&at, format!("the environment variable {name} is not set")).help(help))
        }
    }
}
