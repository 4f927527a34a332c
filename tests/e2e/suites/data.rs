//! Reads the public suites; what is absent is skipped, visibly.

use std::fs;
use std::path::Path;

/// The text of one file of a suite, or none where the suites are not beside the repository.
pub(super) fn text(path: &str) -> Option<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/suites").join(path);
    let text = fs::read_to_string(&file).ok();
    if text.is_none() {
        eprintln!("SKIP: {} is not there, so it is not replayed", file.display());
    }
    text
}

/// One message of llhttp's tests.
pub(super) struct Llhttp {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    /// Its own parser, at its strictest, reports an error.
    pub(super) is_error: bool,
    /// It is read by lenient rules, which are not ours.
    pub(super) is_lenient: bool,
}

/// The messages of one file in llhttp's Markdown: a heading, a `meta` comment, the message, the log of the parser.
pub(super) fn llhttp(file: &str, markdown: &str) -> Vec<Llhttp> {
    let (mut found, mut title, mut kind) = (Vec::new(), "", "");
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix('#') {
            title = heading.trim_start_matches('#').trim();
        } else if line.starts_with("<!-- meta=") {
            kind = line;
        } else if line == "```http" {
            let message: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            found.push(Llhttp {
                name: format!("{file}: {title}"),
                bytes: unescaped(&message.join("\r\n")),
                is_error: false,
                is_lenient: kind.contains("lenient"),
            });
        } else if line == "```log" {
            let log: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            // 21 and 22 are pauses.
            let is_error = |line: &&str| {
                line.contains("error code=") && !line.contains("error code=21") && !line.contains("error code=22")
            };
            if let Some(last) = found.last_mut() {
                last.is_error = log.iter().any(is_error);
            }
        }
    }
    found
}

/// A backslash before a line end joins lines; `\r` and the like are the bytes they name.
fn unescaped(text: &str) -> Vec<u8> {
    let text = text.replace("\\\r\n", "");
    let (mut bytes, mut rest) = (Vec::new(), text.chars());
    while let Some(char) = rest.next() {
        let escaped = if char == '\\' { rest.clone().next() } else { None };
        let byte = match escaped {
            Some('r') => Some(b'\r'),
            Some('n') => Some(b'\n'),
            Some('t') => Some(b'\t'),
            Some('f') => Some(0x0c),
            Some('x') => u8::from_str_radix(&rest.as_str()[1..3], 16).ok(),
            _ => None,
        };
        match (byte, escaped) {
            (Some(byte), Some(escape)) => {
                bytes.push(byte);
                rest.nth(if escape == 'x' { 2 } else { 0 });
            }
            _ => bytes.push(u8::try_from(char).unwrap_or(b'?')),
        }
    }
    bytes
}

/// One request that AWS classified.
#[derive(Default)]
pub(super) struct Classified {
    pub(super) name: String,
    pub(super) tier: String,
    method: String,
    uri: String,
    version: String,
    fields: Vec<(String, String)>,
}

/// The requests of one file; its YAML has one key a line, and nothing else is understood here.
pub(super) fn classified(yaml: &str) -> Vec<Classified> {
    let mut found: Vec<Classified> = Vec::new();
    let mut in_expected = false;
    for line in yaml.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if let Some(name) = line.strip_prefix("- name:") {
            found.push(Classified { name: scalar(name), ..Classified::default() });
            in_expected = false;
        }
        let Some((last, (key, value))) = found.last_mut().zip(line.trim_start().split_once(':')) else { continue };
        match key {
            "method" => last.method = scalar(value),
            "uri" => last.uri = scalar(value),
            "version" => last.version = scalar(value),
            "expected" => in_expected = true,
            "tier" if in_expected => last.tier = scalar(value),
            "- name" if line.starts_with(' ') => last.fields.push((scalar(value), String::new())),
            "value" => last.fields.last_mut().unwrap().1 = scalar(value),
            _ => {}
        }
    }
    found
}

/// A YAML scalar as the bytes it stands for, one char each.
fn scalar(text: &str) -> String {
    let text = text.trim();
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|inner| inner.strip_suffix(quote));
    if let Some(inner) = quoted('\'') {
        return inner.replace("''", "'");
    }
    let Some(inner) = quoted('"') else { return text.to_owned() };
    let inner = inner.replace("\\\\", "\u{1_0000}").replace("\\\"", "\"").replace("\\0", "\\x00");
    let bytes = unescaped(&inner.replace('\u{1_0000}', "\u{1}BACKSLASH"));
    bytes.iter().map(|byte| char::from(*byte)).collect::<String>().replace("\u{1}BACKSLASH", "\\")
}

impl Classified {
    /// The request with a Host, if it has none, and the body that its fields announce.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let Self { method, uri, version, fields, .. } = self;
        let mut text = format!("{method} {uri}{}{version}\r\n", if version.is_empty() { "" } else { " " });
        let mut body = String::new();
        for (name, value) in fields {
            text += &format!("{name}: {value}\r\n");
            if name.eq_ignore_ascii_case("content-length") && body.is_empty() {
                body = "x".repeat(value.trim().parse().unwrap_or(0).min(20_000));
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                body = "5\r\nhello\r\n0\r\n\r\n".to_owned();
            }
        }
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text += "Host: a\r\n";
        }
        format!("{text}\r\n{body}").chars().map(|char| u8::try_from(char).unwrap_or(b'?')).collect()
    }
}

/// A text with one char a byte, as bytes.
pub(super) fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(char).unwrap_or(b'?')).collect()
}

pub(super) const CLASSIFIED: &[&str] = &[
    "acceptable",
    "ambiguous",
    "bad-header-characters",
    "edge-cases",
    "more-compliant-tests",
    "real-life-test-cases",
    "rfc-compliant",
    "severe",
    "single-case",
    "uri-specific-test-cases",
];

pub(super) const LLHTTP_REQUESTS: &[&str] = &[
    "connection",
    "content-length",
    "finish",
    "invalid",
    "lenient-header-value-relaxed",
    "lenient-headers",
    "lenient-version",
    "method",
    "pausing",
    "pipelining",
    "sample",
    "transfer-encoding",
    "uri",
];

pub(super) const LLHTTP_ANSWERS: &[&str] = &[
    "connection",
    "content-length",
    "finish",
    "invalid",
    "lenient-version",
    "pausing",
    "pipelining",
    "sample",
    "transfer-encoding",
];
