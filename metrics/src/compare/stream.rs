//! Reads JSON that comes in pieces, by the same grammar as [`super::json`], and keeps nothing of it but where it is.
//!
//! # Bounded
//!
//! One bit a level, and a buffer for the text or number that is being read. A longer one is told by the hash of its blocks, so
//! that a document of any length takes the same little memory. Each byte is looked at once.
//!
//! Deliberately not supported: telling whether texts are UTF-8, and where in the bytes something was.

use super::hash::{mix, of_bytes};
use super::json::{PLAIN, Unread, push, unit};

/// Of a text or a number; longer ones are hashed block by block.
const BLOCK_BYTES: usize = 4 << 10;

/// The seed under which a block is hashed.
const BLOCK: u64 = 12;

/// What is read, in the order of the document.
pub(super) trait Visit {
    /// An array or object begins; of the latter each value follows its key.
    fn open(&mut self, is_object: bool);
    fn close(&mut self);
    fn key(&mut self, text: Text<'_>);
    fn scalar(&mut self, scalar: Scalar<'_>);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar<'t> {
    Null,
    True,
    False,
    Number(Text<'t>),
    String(Text<'t>),
}

/// A text without its escapes, or a number as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text<'t> {
    Whole(&'t [u8]),
    /// Of one that is longer than a block.
    Hashed(u64),
}

/// What may come next, outside of texts and words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Value,
    /// After `[`.
    ValueOrEnd,
    /// After `{`.
    KeyOrEnd,
    Key,
    Colon,
    CommaOrEnd,
    End,
}

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Nothing,
    Text(Part),
    Number,
    Word,
}

/// Where in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Plain,
    /// Behind a backslash.
    Escape,
    /// In the four digits of an escape, of which these are there.
    Digits(u8, [u8; 4]),
}

#[derive(Debug)]
pub(super) struct Stream<V> {
    pub(super) visitor: V,
    depth_max: usize,
    /// Whether each level is an object.
    open: Vec<bool>,
    next: Next,
    within: Within,
    is_key: bool,
    block: Vec<u8>,
    /// Of the blocks before this one.
    before: Option<u64>,
    /// The first half of a surrogate pair whose other half may follow.
    high: Option<u32>,
}

impl<V: Visit> Stream<V> {
    pub(super) fn new(visitor: V, depth_max: usize) -> Self {
        Self {
            visitor,
            depth_max,
            open: Vec::new(),
            next: Next::Value,
            within: Within::Nothing,
            is_key: false,
            block: Vec::new(),
            before: None,
            high: None,
        }
    }

    /// Takes the next bytes; after an error there is no use in more.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Unread> {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            rest = match self.within {
                Within::Nothing => {
                    if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                        self.begin(*byte)?;
                    }
                    after
                }
                Within::Text(Part::Plain) => self.plain(rest)?,
                Within::Text(Part::Escape) => {
                    self.escape(*byte)?;
                    after
                }
                Within::Text(Part::Digits(count, digits)) => {
                    self.digit(*byte, count, digits)?;
                    after
                }
                // Its end is the first byte that is not of it, which is read again.
                Within::Number | Within::Word => {
                    let is_of_it = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                    let end = rest.iter().position(|byte| !is_of_it(byte)).unwrap_or(rest.len());
                    self.append(&rest[..end]);
                    if end < rest.len() {
                        self.bare()?;
                    }
                    &rest[end..]
                }
            };
        }
        Ok(())
    }

    /// No more follows.
    pub(super) fn finish(mut self) -> Result<V, Unread> {
        match self.within {
            Within::Number | Within::Word => self.bare()?,
            Within::Nothing => {}
            Within::Text(_) => return Err(Unread::NotJson("a text has no end")),
        }
        if self.next == Next::End { Ok(self.visitor) } else { Err(Unread::NotJson("it ends too early")) }
    }

    /// A byte that is no space, where none of a text or word is expected.
    fn begin(&mut self, byte: u8) -> Result<(), Unread> {
        match (self.next, byte) {
            (Next::ValueOrEnd, b']') | (Next::KeyOrEnd, b'}') => self.closed(),
            (Next::CommaOrEnd, b']') if self.open.last() == Some(&false) => self.closed(),
            (Next::CommaOrEnd, b'}') if self.open.last() == Some(&true) => self.closed(),
            (Next::CommaOrEnd, b',') => {
                self.next = if self.open.last() == Some(&true) { Next::Key } else { Next::Value };
            }
            (Next::CommaOrEnd, _) => return Err(Unread::NotJson("no comma or end after a value")),
            (Next::Colon, b':') => self.next = Next::Value,
            (Next::Colon, _) => return Err(Unread::NotJson("no colon after a key")),
            (Next::Key | Next::KeyOrEnd, b'"') => self.text(true),
            (Next::Key | Next::KeyOrEnd, _) => return Err(Unread::NotJson("a key is no text")),
            (Next::End, _) => return Err(Unread::NotJson("something follows the document")),
            (Next::Value | Next::ValueOrEnd, byte) => return self.value(byte),
        }
        Ok(())
    }

    fn value(&mut self, byte: u8) -> Result<(), Unread> {
        match byte {
            b'"' => self.text(false),
            b'{' | b'[' => {
                if self.open.len() >= self.depth_max {
                    return Err(Unread::Depth);
                }
                let is_object = byte == b'{';
                self.open.push(is_object);
                self.next = if is_object { Next::KeyOrEnd } else { Next::ValueOrEnd };
                self.visitor.open(is_object);
            }
            b'-' | b'0'..=b'9' => {
                self.within = Within::Number;
                self.block.push(byte);
            }
            b't' | b'f' | b'n' => {
                self.within = Within::Word;
                self.block.push(byte);
            }
            b'N' | b'I' => return Err(Unread::NotJson("NaN and Infinity are no numbers")),
            _ => return Err(Unread::NotJson("no value begins like this")),
        }
        Ok(())
    }

    fn closed(&mut self) {
        self.open.pop();
        self.visitor.close();
        self.ended();
    }

    /// A value has ended.
    fn ended(&mut self) {
        self.next = if self.open.is_empty() { Next::End } else { Next::CommaOrEnd };
    }

    fn text(&mut self, is_key: bool) {
        self.is_key = is_key;
        self.within = Within::Text(Part::Plain);
    }

    /// Reads on in a text; what is left behind its end, or behind the next backslash.
    fn plain<'b>(&mut self, rest: &'b [u8]) -> Result<&'b [u8], Unread> {
        let end = rest.iter().position(|byte| !PLAIN[*byte as usize]).unwrap_or(rest.len());
        if end > 0 {
            self.lone();
            self.append(&rest[..end]);
        }
        let Some((byte, after)) = rest[end..].split_first() else { return Ok(&[]) };
        match byte {
            b'\\' => self.within = Within::Text(Part::Escape),
            b'"' => self.text_ended(),
            _ => return Err(Unread::NotJson("a control character in a text")),
        }
        Ok(after)
    }

    fn escape(&mut self, name: u8) -> Result<(), Unread> {
        let byte = match name {
            b'u' => {
                self.within = Within::Text(Part::Digits(0, [0; 4]));
                return Ok(());
            }
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'"' | b'\\' | b'/' => name,
            _ => return Err(Unread::NotJson("an escape that there is not")),
        };
        self.lone();
        self.append(&[byte]);
        self.within = Within::Text(Part::Plain);
        Ok(())
    }

    fn digit(&mut self, byte: u8, count: u8, mut digits: [u8; 4]) -> Result<(), Unread> {
        if !byte.is_ascii_hexdigit() {
            return Err(Unread::NotJson("an escape without four hex digits"));
        }
        if let Some(place) = digits.get_mut(usize::from(count)) {
            *place = byte;
        }
        if count < 3 {
            self.within = Within::Text(Part::Digits(count + 1, digits));
            return Ok(());
        }
        self.within = Within::Text(Part::Plain);
        let low = unit(&digits);
        match self.high.take() {
            Some(high) if (0xdc00..0xe000).contains(&low) => {
                self.append_code(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            }
            high => {
                self.high = high;
                self.lone();
                if (0xd800..0xdc00).contains(&low) {
                    self.high = Some(low);
                } else {
                    self.append_code(low);
                }
            }
        }
        Ok(())
    }

    /// A half of a pair to which no other half has come.
    fn lone(&mut self) {
        if let Some(high) = self.high.take() {
            self.append_code(high);
        }
    }

    fn append_code(&mut self, code: u32) {
        let mut text = Vec::with_capacity(4);
        push(&mut text, code);
        self.append(&text);
    }

    /// Appends to what is being read. Where a block ends depends on what was read, and not on the pieces in which it came.
    fn append(&mut self, mut bytes: &[u8]) {
        while self.block.len() + bytes.len() > BLOCK_BYTES {
            let (now, later) = bytes.split_at(BLOCK_BYTES - self.block.len());
            self.block.extend_from_slice(now);
            self.before = Some(mix(self.before.unwrap_or(BLOCK), of_bytes(BLOCK, &self.block)));
            self.block.clear();
            bytes = later;
        }
        self.block.extend_from_slice(bytes);
    }

    fn text_ended(&mut self) {
        self.lone();
        self.within = Within::Nothing;
        let text = read(self.before, &self.block);
        if self.is_key {
            self.visitor.key(text);
            self.next = Next::Colon;
        } else {
            self.visitor.scalar(Scalar::String(text));
            self.ended();
        }
        self.block.clear();
        self.before = None;
    }

    /// A number or a word has ended.
    fn bare(&mut self) -> Result<(), Unread> {
        let text = read(self.before, &self.block);
        let scalar = match (self.within, text) {
            (Within::Number, Text::Whole(digits)) if !is_number(digits) => {
                return Err(Unread::NotJson("a number that is none"));
            }
            (Within::Number, text) => Scalar::Number(text),
            (_, Text::Whole(b"true")) => Scalar::True,
            (_, Text::Whole(b"false")) => Scalar::False,
            (_, Text::Whole(b"null")) => Scalar::Null,
            _ => return Err(Unread::NotJson("a word other than true, false and null")),
        };
        self.visitor.scalar(scalar);
        self.within = Within::Nothing;
        self.block.clear();
        self.before = None;
        self.ended();
        Ok(())
    }
}

fn read(before: Option<u64>, block: &[u8]) -> Text<'_> {
    match before {
        None => Text::Whole(block),
        Some(before) => Text::Hashed(mix(before, of_bytes(BLOCK, block))),
    }
}

/// Whether a text is a number by the grammar of JSON.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.first() == Some(&b'0')) {
        return false;
    }
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::json::Document;
    use super::*;

    /// Writes what it is told, so that two readings can be held against each other.
    #[derive(Debug, Default)]
    struct Told(Vec<String>);

    impl Visit for Told {
        fn open(&mut self, is_object: bool) {
            self.0.push(if is_object { "{" } else { "[" }.to_owned());
        }

        fn close(&mut self) {
            self.0.push("end".to_owned());
        }

        fn key(&mut self, text: Text<'_>) {
            self.0.push(format!("key {text:?}"));
        }

        fn scalar(&mut self, scalar: Scalar<'_>) {
            self.0.push(format!("{scalar:?}"));
        }
    }

    fn told(bytes: &[u8], piece: usize) -> Result<Vec<String>, Unread> {
        let mut stream = Stream::new(Told::default(), 64);
        for piece in bytes.chunks(piece) {
            stream.write(piece)?;
        }
        stream.finish().map(|told| told.0)
    }

    #[track_caller]
    fn check(text: &str, expected: Option<&[&str]>) {
        let whole = told(text.as_bytes(), usize::MAX);
        for piece in 1..8 {
            assert_eq!(told(text.as_bytes(), piece), whole, "{text} in pieces of {piece}");
        }
        let expected = expected.map(|own| own.iter().map(|own| (*own).to_owned()).collect());
        assert_eq!(whole.ok(), expected, "{text}");
    }

    #[test]
    fn a_document_is_told_in_its_order_in_whatever_pieces_it_comes() {
        check(" [ ] ", Some(&["[", "end"]));
        check("12", Some(&["Number(Whole([49, 50]))"]));
        check("[true,null]", Some(&["[", "True", "Null", "end"]));
        check(r#"{"a":{}}"#, Some(&["{", "key Whole([97])", "{", "end", "end"]));
        check(r#""\u0061\n""#, Some(&["String(Whole([97, 10]))"]));
        check(r#""\ud83d\ude00""#, Some(&["String(Whole([240, 159, 152, 128]))"]));
        check(r#""\ud83d""#, Some(&["String(Whole([237, 160, 189]))"]));
        check(r#""\ud83dx\ude00""#, Some(&["String(Whole([237, 160, 189, 120, 237, 184, 128]))"]));
    }

    #[test]
    fn what_is_no_document_is_none() {
        for wrong in ["", "[", "[1", "[1,]", "{\"a\"}", "{\"a\":1,}", "[1}", "{]", "1 2", "01", "1.", "-", "1e", "tru"]
        {
            check(wrong, None);
        }
        for wrong in ["\"a", "\"\\x\"", "\"\\u12\"", "\"\x01\"", "{a:1}", "NaN", "[1 2]", "{\"a\" 1}", "+1", ".5"] {
            check(wrong, None);
        }
        assert_eq!(told("[".repeat(65).as_bytes(), 7), Err(Unread::Depth));
    }

    #[test]
    fn a_long_text_is_told_by_its_hash() {
        let long = |last: char| format!("\"{}{last}\"", "é\\n".repeat(10_000));
        let (a, b) = (told(long('a').as_bytes(), 1_000), told(long('b').as_bytes(), 1_000));
        assert!(a.is_ok() && a != b);
        assert_eq!(told(long('a').as_bytes(), 3), a);
    }

    proptest! {
        /// What one reader takes for a document the other does, too.
        #[test]
        fn the_grammar_is_that_of_the_other_reader(
            text in "[\\[\\]{}\",:0-2.eE+\\-atrufalsn\\\\ ]{0,24}", piece in 1usize..9,
        ) {
            let whole = Document::read(&text, 64, 1_000).is_ok();
            prop_assert_eq!(told(text.as_bytes(), piece).is_ok(), whole, "{}", text);
        }
    }
}
