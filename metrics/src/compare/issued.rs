//! Tokens that an answer gives its caller to ask on with: cursors, tokens of pages, links to what follows.
//!
//! A token that only one side has issued means nothing to the other, so a request that carries it says nothing of both. Tokens are texts
//! below members whose names say so, and values in the queries of links there and in a `link` header. What is handed on of them are
//! hashes of the caller's making.
//!
//! # Bounded
//!
//! [`TOKENS_MAX`] tokens of an answer, and an answer without any such name is not read.
//!
//! Deliberately not supported: ids of things that one side has made, which have no name in common, and tokens in paths.

use std::collections::BTreeSet;

use super::shape::Shape;
use super::stream::{Scalar, Stream, Text, Visit};
use super::{Answer, Limits, unpack};

/// Tokens of one answer, or one query, that are looked at.
const TOKENS_MAX: usize = 64;

/// What is shorter is a number of a page, and what is longer is no token.
const TOKEN_BYTES_MIN: usize = 8;
const TOKEN_BYTES_MAX: usize = 2 << 10;

/// What names of members that hold tokens contain, in lower case.
const NAMES: [&str; 5] = ["cursor", "token", "continuation", "next", "prev"];

/// What a document with such a member has somewhere, whatever case its names begin with.
const PARTS: [&str; 7] = ["ursor", "oken", "ontinuation", "\"next", "\"Next", "\"prev", "\"Prev"];

/// Hashes of the tokens that one of both answers has issued and the other has not.
pub fn one_sided(legacy: &Answer, new: &Answer, limits: &Limits, hash: &dyn Fn(&[u8]) -> u64) -> Vec<u64> {
    let (a, b) = (issued(legacy, limits, hash), issued(new, limits, hash));
    a.symmetric_difference(&b).copied().collect()
}

/// Hashes of what may be a token in the query of a request.
pub fn carried(query: &[u8], hash: &dyn Fn(&[u8]) -> u64) -> Vec<u64> {
    let mut tokens = Vec::new();
    each_of_query(query, &mut |token| {
        if tokens.len() < TOKENS_MAX {
            tokens.push(hash(token));
        }
    });
    tokens
}

fn issued(answer: &Answer, limits: &Limits, hash: &dyn Fn(&[u8]) -> u64) -> BTreeSet<u64> {
    let mut tokens = Tokens { hash, found: BTreeSet::new(), open: Vec::new(), is_named: false };
    let links = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("link"));
    for target in links.flat_map(|(_, value)| value.split('<').skip(1)) {
        tokens.text(target.split('>').next().unwrap_or_default().as_bytes());
    }
    if answer.truncated || answer.body.len() > limits.body_bytes {
        return tokens.found;
    }
    let Some(body) = unpack::in_the_clear(answer, limits) else { return tokens.found };
    let has_names = std::str::from_utf8(&body).is_ok_and(|text| PARTS.iter().any(|part| text.contains(part)));
    let is_document = body.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| b"{[".contains(byte));
    if !has_names || !is_document {
        return tokens.found;
    }
    let mut stream = Stream::new(tokens, limits.depth);
    // What was read until an error stands.
    let _ = stream.write(&body);
    stream.visitor.found
}

struct Tokens<'h> {
    hash: &'h dyn Fn(&[u8]) -> u64,
    found: BTreeSet<u64>,
    /// Whether each level is below such a name.
    open: Vec<bool>,
    is_named: bool,
}

impl Tokens<'_> {
    fn is_below(&self) -> bool {
        self.is_named || self.open.last() == Some(&true)
    }

    fn text(&mut self, text: &[u8]) {
        let Self { hash, found, .. } = self;
        let mut add = |token: &[u8]| {
            if found.len() < TOKENS_MAX {
                found.insert(hash(token));
            }
        };
        match text.iter().position(|byte| *byte == b'?') {
            Some(at) => {
                let query = text[at + 1..].split(|byte| *byte == b'#').next().unwrap_or_default();
                each_of_query(query, &mut add);
            }
            None if is_token(text) => add(text),
            None => {}
        }
    }
}

impl Visit for Tokens<'_> {
    fn open(&mut self, _: bool) {
        self.open.push(self.is_below());
        self.is_named = false;
    }

    fn close(&mut self) {
        self.open.pop();
        self.is_named = false;
    }

    fn key(&mut self, text: Text<'_>) {
        self.is_named = match text {
            Text::Whole(key) if key.len() <= 64 => {
                let key = String::from_utf8_lossy(key).to_ascii_lowercase();
                NAMES.iter().any(|name| key.contains(name))
            }
            Text::Whole(_) | Text::Hashed(_) => false,
        };
    }

    fn scalar(&mut self, scalar: Scalar<'_>) {
        if let (true, Scalar::String(Text::Whole(text))) = (self.is_below(), scalar) {
            self.text(text);
        }
        self.is_named = false;
    }
}

/// Whether a text is opaque: no word, no number, no time, no address.
fn is_token(text: &[u8]) -> bool {
    let is_long = (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&text.len());
    is_long
        && text.iter().all(u8::is_ascii_graphic)
        && !matches!(Shape::of(text), Shape::Integer(_) | Shape::Decimal | Shape::Time | Shape::Date | Shape::Url)
}

fn each_of_query(query: &[u8], take: &mut dyn FnMut(&[u8])) {
    for pair in query.split(|byte| *byte == b'&').take(TOKENS_MAX) {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else { continue };
        let value = &pair[at + 1..];
        if (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&value.len()) {
            let value = decoded(value);
            if is_token(&value) {
                take(&value);
            }
        }
    }
}

fn decoded(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (byte, digit(0).zip(digit(1))) {
            (b'%', Some((high, low))) => {
                plain.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            (byte, _) => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::super::hash::of_bytes;
    use super::*;

    fn hash(token: &[u8]) -> u64 {
        of_bytes(0, token)
    }

    #[track_caller]
    fn check(link: &str, legacy: &str, new: &str, expected: &[&str]) {
        let headers = [("Link".to_owned(), link.to_owned())];
        let legacy = Answer { status: 200, headers: &headers, body: legacy.as_bytes(), truncated: false };
        let new = Answer { status: 200, headers: &[], body: new.as_bytes(), truncated: false };
        let mut expected: Vec<u64> = expected.iter().map(|token| hash(token.as_bytes())).collect();
        expected.sort_unstable();
        assert_eq!(one_sided(&legacy, &new, &Limits::default(), &hash), expected);
    }

    #[test]
    fn tokens_are_texts_below_names_that_say_so() {
        check("", r#"{"cursor":"abcdefgh"}"#, r#"{"cursor":"abcdefgh"}"#, &[]);
        check("", r#"{"nextCursor":"abcdefgh"}"#, r#"{"nextCursor":"ijklmnop"}"#, &["abcdefgh", "ijklmnop"]);
        check("", r#"{"paging":{"cursors":{"after":"abc+d/=="}}}"#, "{}", &["abc+d/=="]);
        check("", r#"{"_links":{"next":{"href":"/a?page=2&c=ab%2Bcdefg#x"}}}"#, "<html>", &["ab+cdefg"]);
        check("<https://a/b?after=abcdefgh>; rel=\"next\", </c>", "{}", "{}", &["abcdefgh"]);
        // No names, no tokens.
        check("", r#"{"id":"abcdefgh","next":20,"next_at":"2026-05-04T03:02:01Z","token":"short"}"#, "{}", &[]);
        check("", r#"{"next":{"id":"abcdefgh"},"name":"abcdefgij"}"#, "{}", &["abcdefgh"]);
        check("", r#"{"next":"abcdefgh","x"#, "{}", &["abcdefgh"]);
    }

    #[test]
    fn a_query_carries_what_may_be_a_token() {
        let tokens = |query: &str| carried(query.as_bytes(), &hash);
        assert_eq!(
            tokens("cursor=ab%2Bcdefg&page=12&q=two+words+in+it"),
            [hash(b"ab+cdefg"), hash(b"two+words+in+it")]
        );
        assert!(tokens("since=2026-05-04&n=123456789&a&=&x=%2").is_empty());
        assert_eq!(tokens(&"a=abcdefgh&".repeat(1_000)).len(), TOKENS_MAX);
    }
}
