//! `${VAR}` and `${VAR:-default}` in values of the file, and `/{id}` where YAML would not have it.
//!
//! # Why masked before the parser
//!
//! In `{secret: ${TOKEN}}` YAML reads the brace as a map of its own, and a quoted value is not
//! offered to a parser's own substitution. So each `${` ... `}` becomes `$(` ... `)` of the same
//! length for the parser, places stay true, and values are filled in afterwards, quoted or not. A
//! value of the environment is never parsed: it can add no keys. `$${` stands for `${` itself.
//!
//! The same is done for the variables of path templates, because `{path: /api/{id}}` is what people
//! write, and the syntax error it would be helps nobody.
//!
//! Not here: nesting, and variables of the environment in keys.

use std::ops::Range;

use super::errors::{Problem, quoted};

/// The text for the parser and what was masked in it.
#[derive(Debug)]
pub(super) struct Variables {
    masked: String,
    /// What looks masked in the masked text, in its order.
    openings: Vec<Opening>,
}

#[derive(Debug)]
struct Opening {
    place: usize,
    kind: Kind,
    /// The text between the braces.
    inside: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Variable,
    /// `$${`: written out as `${`.
    Escaped,
    /// `/{id}`
    Template,
    /// `$(` of the operator's own.
    LiteralVariable,
    /// `/(` of the operator's own.
    LiteralTemplate,
}

impl Opening {
    /// What stands in the masked text.
    fn masked(&self) -> String {
        match self.kind {
            Kind::Variable | Kind::Escaped => format!("$({})", self.inside),
            Kind::Template => format!("/({})", self.inside),
            Kind::LiteralVariable => "$(".into(),
            Kind::LiteralTemplate => "/(".into(),
        }
    }

    const fn is_literal(&self) -> bool {
        matches!(self.kind, Kind::LiteralVariable | Kind::LiteralTemplate)
    }
}

impl Variables {
    pub(super) fn mask(text: &str) -> Self {
        let mut masked = text.as_bytes().to_vec();
        let mut openings = Vec::new();
        let mut at = 0;
        while let Some(found) = text[at..].find(['$', '/']) {
            let place = at + found;
            let rest = &text[place..];
            at = place + 1;
            let mut literal = |kind| openings.push(Opening { place, kind, inside: String::new() });
            let (open, kind) = if rest.starts_with("$${") {
                (place + 2, Kind::Escaped)
            } else if rest.starts_with("${") {
                (place + 1, Kind::Variable)
            } else if rest.starts_with("/{") {
                (place + 1, Kind::Template)
            } else {
                match rest.get(..2) {
                    Some("$(") => literal(Kind::LiteralVariable),
                    Some("/(") => literal(Kind::LiteralTemplate),
                    Some(_) | None => {}
                }
                continue;
            };
            // A variable ends on its line; what does not end is left to the parser.
            let line = text[open..].lines().next().unwrap_or_default();
            let Some(close) = line.find('}') else { continue };
            let inside = &line[1..close];
            if kind == Kind::Template && (inside.is_empty() || !inside.bytes().all(is_template_byte)) {
                continue;
            }
            masked[open] = b'(';
            masked[open + close] = b')';
            openings.push(Opening { place: open - 1, kind, inside: inside.into() });
            at = open + close + 1;
        }
        // Only ASCII bytes were replaced by ASCII bytes, so this cannot fail.
        let masked = String::from_utf8(masked).unwrap_or_else(|_| text.into());
        Self { masked, openings }
    }

    pub(super) fn masked(&self) -> &str {
        &self.masked
    }

    /// Whether a variable of the environment stands there.
    pub(super) fn has_variable(&self, at: &Range<usize>) -> bool {
        self.within(at).iter().any(|opening| opening.kind == Kind::Variable)
    }

    fn within(&self, at: &Range<usize>) -> &[Opening] {
        let first = self.openings.partition_point(|opening| opening.place < at.start);
        let inside = &self.openings[first..];
        &inside[..inside.partition_point(|opening| opening.place < at.end)]
    }

    /// The value of a scalar that stands at `at` and that the parser read as `text`.
    pub(super) fn fill(
        &self,
        text: &str,
        at: &Range<usize>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String, Vec<Problem>> {
        let inside = self.within(at);
        if inside.iter().all(Opening::is_literal) {
            return Ok(text.into());
        }
        let mut filled = String::with_capacity(text.len());
        let mut problems = Vec::new();
        let mut rest = text;
        for opening in inside {
            let Opening { place, kind, inside } = opening;
            let written = opening.masked();
            let Some(open) = rest.find(&written) else {
                let message =
                    "variables cannot be filled in here: `${...}` does not go with escapes or folds inside it";
                return Err(vec![Problem::new(at, message)]);
            };
            filled.push_str(&rest[..open]);
            rest = &rest[open + written.len()..];
            match kind {
                Kind::LiteralVariable | Kind::LiteralTemplate => filled.push_str(&written),
                Kind::Template => filled.push_str(&format!("/{{{inside}}}")),
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

const fn is_template_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
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
