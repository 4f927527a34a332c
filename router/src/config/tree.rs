//! The file as a tree in which every key and value knows its place.
//!
//! # Why a tree of our own
//!
//! A deserializer stops at its first error, and an operator wants all of them. So the text becomes
//! a tree first, which only a syntax error can prevent; `read` then reads structs from the tree and
//! goes on after what is wrong. Variables are filled in on the way ([`super::variables`]), after
//! the structure is known, so that a value of the environment cannot add keys.
//!
//! Not here: tags, merge keys and several documents in one file. They are refused by name.

use std::collections::HashMap;
use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span};

use super::errors::{Problem, quoted};
use super::variables::Variables;

/// Values in one file, aliases counted as often as they are used.
const NODES_MAX: usize = 4_000_000;

/// Nested lists and maps; the format itself needs eight.
const DEPTH_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) at: Range<usize>,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    /// Not readable, which has been told already.
    Wrong,
    Scalar {
        text: String,
        /// Written without quotes, so that it may be a number or a truth value.
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the file; keys are scalars.
    Map(Vec<(Node, Node)>),
}

impl Node {
    pub(super) fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            Value::Null | Value::Wrong | Value::List(_) | Value::Map(_) => None,
        }
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Null | Value::Wrong | Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Self::size).sum(),
            Value::Map(entries) => entries.iter().map(|(_, value)| 1 + value.size()).sum(),
        }
    }
}

/// Reads a text. The tree is none where the syntax is broken; problems may come with a tree.
pub(super) fn parse(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
) -> Option<Node> {
    let variables = Variables::mask(text);
    let mut builder = Builder { variables: &variables, environment, problems, anchors: HashMap::new(), nodes: 0 };
    match builder.document() {
        Ok(node) => Some(node),
        Err(problem) => {
            builder.problems.push(problem);
            None
        }
    }
}

struct Builder<'a> {
    variables: &'a Variables,
    environment: &'a dyn Fn(&str) -> Option<String>,
    problems: &'a mut Vec<Problem>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

type Events<'a> = Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>;

impl Builder<'_> {
    fn document(&mut self) -> Result<Node, Problem> {
        let masked = self.variables.masked();
        let mut events = Parser::new_from_str(masked);
        let mut root: Option<Node> = None;
        loop {
            let (event, span) = next(&mut events, masked)?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(Problem::new(&range(span), "a second document starts here: one file is one document"));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, span, &mut events, 0)?),
            }
        }
        Ok(root.unwrap_or(Node { at: 0..0, value: Value::Null }))
    }

    fn node(&mut self, event: Event<'_>, span: Span, events: &mut Events<'_>, depth: usize) -> Result<Node, Problem> {
        let at = range(span);
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Problem::new(&at, format!("the file holds more than {NODES_MAX} values")));
        }
        if depth > DEPTH_MAX {
            return Err(Problem::new(&at, format!("lists and maps are nested more than {DEPTH_MAX} deep")));
        }
        let (value, anchor, tagged) = match event {
            Event::Scalar(text, style, anchor, tag) => (self.scalar(&text, style, &at), anchor, tag.is_some()),
            Event::SequenceStart(_, anchor, tag) => (self.list(events, depth)?, anchor, tag.is_some()),
            Event::MappingStart(_, anchor, tag) => (self.map(events, depth)?, anchor, tag.is_some()),
            Event::Alias(id) => {
                let Some(target) = self.anchors.get(&id) else {
                    return Err(Problem::new(&at, "this alias refers to the value that it is in"));
                };
                self.nodes = self.nodes.saturating_add(target.size());
                return Ok(Node { at, value: target.value.clone() });
            }
            _ => return Err(Problem::new(&at, "this is not a value")),
        };
        if tagged {
            self.problems.push(Problem::new(&at, "tags (`!...`) are not supported: write the value alone"));
        }
        let node = Node { at, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, at: &Range<usize>) -> Value {
        let plain = style == ScalarStyle::Plain;
        if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
            return Value::Null;
        }
        match self.variables.fill(text, at, self.environment) {
            Ok(text) => Value::Scalar { text, plain },
            Err(problems) => {
                self.problems.extend(problems);
                Value::Wrong
            }
        }
    }

    fn list(&mut self, events: &mut Events<'_>, depth: usize) -> Result<Value, Problem> {
        let mut items = Vec::new();
        loop {
            let (event, span) = next(events, self.variables.masked())?;
            match event {
                Event::SequenceEnd => return Ok(Value::List(items)),
                event => items.push(self.node(event, span, events, depth + 1)?),
            }
        }
    }

    fn map(&mut self, events: &mut Events<'_>, depth: usize) -> Result<Value, Problem> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut places: HashMap<String, Range<usize>> = HashMap::new();
        loop {
            let (event, span) = next(events, self.variables.masked())?;
            if event == Event::MappingEnd {
                return Ok(Value::Map(entries));
            }
            if self.variables.has_variable(&range(span)) && matches!(event, Event::Scalar(..)) {
                self.problems.push(Problem::new(&range(span), "a key cannot hold a variable of the environment"));
            }
            let key = self.node(event, span, events, depth + 1)?;
            let (event, span) = next(events, self.variables.masked())?;
            let value = self.node(event, span, events, depth + 1)?;
            let Some(name) = key.scalar() else {
                self.problems.push(Problem::new(&key.at, "a key is a single word or a quoted text"));
                continue;
            };
            if name == "<<" {
                self.problems.push(Problem::new(&key.at, "merge keys (`<<`) are not supported: repeat the keys"));
                continue;
            }
            if let Some(first) = places.get(name) {
                let problem = Problem::new(&key.at, format!("the key {} stands here twice", quoted(name)));
                self.problems.push(problem.also(first, "first here"));
                continue;
            }
            places.insert(name.into(), key.at.clone());
            entries.push((key, value));
        }
    }
}

fn next<'a>(events: &mut Events<'a>, text: &str) -> Result<(Event<'a>, Span), Problem> {
    match events.next_event() {
        Some(Ok(event)) => Ok(event),
        Some(Err(error)) => {
            let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
            let end = text[at..].chars().next().map_or(at, |character| at + character.len_utf8());
            let help = text[..at].lines().last().is_some_and(|line| line.contains('\t'));
            let problem = Problem::new(&(at..end), format!("this is not YAML: {}", error.info()));
            Err(if help { problem.help("indent with spaces, not with tabs") } else { problem })
        }
        None => Err(Problem::new(&(text.len()..text.len()), "the file ends in the middle of a value")),
    }
}

fn range(span: Span) -> Range<usize> {
    span.byte_range().unwrap_or(0..0)
}
