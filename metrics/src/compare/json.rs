//! Reads JSON strictly and without copying: a flat list of values that point into the bytes.
//!
//! # Why not a library
//!
//! A library makes a tree that has already decided: a float for a number, the last of two equal keys, an error or a replacement for
//! half a surrogate pair. Those are what is looked for here. Nothing is decoded unless two texts are unequal, and depth and
//! number of values are bounded while reading, without recursion.

use std::borrow::Cow;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    True,
    False,
    Number,
    String,
    Array,
    Object,
}

/// A part of the bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    from: u32,
    to: u32,
    /// Whether it is a text with an escape in it.
    escaped: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    /// Its name in the object around it, without quotes; empty elsewhere.
    pub(super) key: Span,
    /// All of it; a text is without its quotes.
    pub(super) text: Span,
    /// The index behind the last value within it.
    pub(super) after: u32,
    /// Elements of an array, members of an object.
    pub(super) count: u32,
}

#[derive(Debug)]
pub(super) struct Document<'a> {
    bytes: &'a [u8],
    pub(super) nodes: Vec<Node>,
}

/// Why bytes are no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    NotJson(&'static str),
    Depth,
    Nodes,
}

impl<'a> Document<'a> {
    /// Reads bytes that are known to be UTF-8.
    pub(super) fn read(text: &'a str, depth: usize, nodes: usize) -> Result<Self, Unread> {
        let bytes = text.as_bytes();
        if u32::try_from(bytes.len()).is_err() {
            return Err(Unread::Nodes);
        }
        let reader = Reader { bytes, at: 0, nodes: Vec::with_capacity((bytes.len() / 6).min(nodes)), open: Vec::new() };
        Ok(Self { bytes, nodes: reader.read(depth, nodes)? })
    }

    pub(super) fn node(&self, index: usize) -> Node {
        self.nodes[index]
    }

    pub(super) fn raw(&self, span: Span) -> &'a [u8] {
        self.bytes.get(span.from as usize..span.to as usize).unwrap_or_default()
    }

    pub(super) fn text(&self, span: Span) -> Cow<'a, [u8]> {
        let raw = self.raw(span);
        if span.escaped { Cow::Owned(unescaped(raw)) } else { Cow::Borrowed(raw) }
    }

    /// The indexes of the values directly within one.
    pub(super) fn children(&self, index: usize) -> Children<'_> {
        Children { nodes: &self.nodes, next: index + 1, end: self.nodes[index].after as usize }
    }
}

/// Whether two texts are the same once their escapes are read.
pub(super) fn same_text(a: (&Document, Span), b: (&Document, Span)) -> bool {
    let (raw_a, raw_b) = (a.0.raw(a.1), b.0.raw(b.1));
    raw_a == raw_b || ((a.1.escaped || b.1.escaped) && a.0.text(a.1) == b.0.text(b.1))
}

#[derive(Clone, Debug)]
pub(super) struct Children<'d> {
    nodes: &'d [Node],
    next: usize,
    end: usize,
}

impl Iterator for Children<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let index = self.next;
        if index >= self.end {
            return None;
        }
        self.next = self.nodes.get(index)?.after as usize;
        Some(index)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// Indexes of the arrays and objects that are not closed yet.
    open: Vec<u32>,
}

/// Bytes that go on a text: no quote, no backslash, no control character.
pub(super) const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        plain[byte] = false;
        byte += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain
};

impl Reader<'_> {
    fn read(mut self, depth: usize, nodes: usize) -> Result<Vec<Node>, Unread> {
        let mut key = Span::default();
        loop {
            if self.nodes.len() >= nodes {
                return Err(Unread::Nodes);
            }
            if self.value(key, depth)? {
                key = self.first_key()?;
                continue;
            }
            loop {
                let Some(open) = self.open.last().map(|open| *open as usize) else {
                    self.space();
                    let ended = self.at == self.bytes.len();
                    return if ended { Ok(self.nodes) } else { Err(Unread::NotJson("something follows the document")) };
                };
                self.nodes[open].count += 1;
                let is_object = self.nodes[open].value == Value::Object;
                self.space();
                match (self.take(), is_object) {
                    (Some(b','), true) => key = self.key()?,
                    (Some(b','), false) => key = Span::default(),
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.close(open);
                        continue;
                    }
                    _ => return Err(Unread::NotJson("no comma or end after a value")),
                }
                break;
            }
        }
    }

    /// Reads a value, of an array or object its beginning; whether it has values within.
    fn value(&mut self, key: Span, depth: usize) -> Result<bool, Unread> {
        self.space();
        let from = self.at;
        let (value, text) = match self.peek() {
            Some(b'"') => (Value::String, self.string()?),
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                (Value::Number, self.since(from))
            }
            Some(b'{') => (Value::Object, self.since(from)),
            Some(b'[') => (Value::Array, self.since(from)),
            Some(b't') => (Value::True, self.word(b"true")?),
            Some(b'f') => (Value::False, self.word(b"false")?),
            Some(b'n') => (Value::Null, self.word(b"null")?),
            Some(b'N' | b'I') => return Err(Unread::NotJson("NaN and Infinity are no numbers")),
            Some(_) => return Err(Unread::NotJson("no value begins like this")),
            None => return Err(Unread::NotJson("it ends too early")),
        };
        let index = self.nodes.len() as u32;
        self.nodes.push(Node { value, key, text, after: index + 1, count: 0 });
        let closing = match value {
            Value::Object => b'}',
            Value::Array => b']',
            Value::Null | Value::True | Value::False | Value::Number | Value::String => return Ok(false),
        };
        if self.open.len() >= depth {
            return Err(Unread::Depth);
        }
        self.at += 1;
        self.space();
        if self.peek() == Some(closing) {
            self.at += 1;
            self.nodes[index as usize].text = self.since(from);
            return Ok(false);
        }
        self.open.push(index);
        Ok(true)
    }

    fn first_key(&mut self) -> Result<Span, Unread> {
        let is_object = self.nodes.last().is_some_and(|node| node.value == Value::Object);
        if is_object { self.key() } else { Ok(Span::default()) }
    }

    fn key(&mut self) -> Result<Span, Unread> {
        self.space();
        if self.peek() != Some(b'"') {
            return Err(Unread::NotJson("a key is no text"));
        }
        let key = self.string()?;
        self.space();
        if self.take() == Some(b':') { Ok(key) } else { Err(Unread::NotJson("no colon after a key")) }
    }

    fn close(&mut self, open: usize) {
        let after = self.nodes.len() as u32;
        let to = self.at as u32;
        let node = &mut self.nodes[open];
        node.after = after;
        node.text.to = to;
        self.open.pop();
    }

    fn string(&mut self) -> Result<Span, Unread> {
        self.at += 1;
        let from = self.at;
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            self.at += rest.iter().position(|byte| !PLAIN[*byte as usize]).unwrap_or(rest.len());
            match self.take() {
                Some(b'"') => return Ok(Span { from: from as u32, to: self.at as u32 - 1, escaped }),
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(Unread::NotJson("a control character in a text")),
                None => return Err(Unread::NotJson("a text has no end")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Unread> {
        match self.take() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => {
                let digits = self.bytes.get(self.at..self.at + 4).unwrap_or_default();
                self.at += 4;
                let are_hex = digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit);
                if are_hex { Ok(()) } else { Err(Unread::NotJson("an escape without four hex digits")) }
            }
            _ => Err(Unread::NotJson("an escape that there is not")),
        }
    }

    fn number(&mut self) -> Result<(), Unread> {
        const WRONG: Unread = Unread::NotJson("a number that is none");
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.take() {
            Some(b'0') => {}
            Some(b'1'..=b'9') => {
                self.digits();
            }
            _ => return Err(WRONG),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(WRONG);
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(WRONG);
            }
        }
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - from
    }

    fn word(&mut self, word: &[u8]) -> Result<Span, Unread> {
        let from = self.at;
        self.at += word.len();
        let found = self.bytes.get(from..self.at) == Some(word);
        if found { Ok(self.since(from)) } else { Err(Unread::NotJson("a word other than true, false and null")) }
    }

    fn since(&self, from: usize) -> Span {
        Span { from: from as u32, to: self.at as u32, escaped: false }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

/// Reads escapes that were found sound. Half a surrogate pair becomes the three bytes that UTF-8 would have for it, which no text has.
fn unescaped(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        let plain = rest.iter().position(|byte| *byte == b'\\').unwrap_or(rest.len());
        if plain > 0 {
            text.extend_from_slice(&rest[..plain]);
        }
        let Some((_, after)) = rest[plain..].split_first() else { break };
        rest = after;
        let Some((name, after)) = rest.split_first() else { break };
        rest = after;
        match name {
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'u' => {
                let unit = unit(rest);
                rest = rest.get(4..).unwrap_or_default();
                let low = rest.strip_prefix(b"\\u").map(self::unit).filter(|low| (0xdc00..0xe000).contains(low));
                let code = match low {
                    Some(low) if (0xd800..0xdc00).contains(&unit) => {
                        rest = rest.get(6..).unwrap_or_default();
                        0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                    }
                    _ => unit,
                };
                push(&mut text, code);
            }
            other => text.push(*other),
        }
    }
    text
}

/// Of four digits that were found to be hexadecimal.
pub(super) fn unit(digits: &[u8]) -> u32 {
    let value =
        |digit: &u8| u32::from(if *digit > b'9' { (digit | 0x20).wrapping_sub(b'a' - 10) } else { digit & 0xf });
    digits.iter().take(4).fold(0, |sum, digit| (sum << 4) | value(digit))
}

pub(super) fn push(text: &mut Vec<u8>, code: u32) {
    let low = |shift: u32| 0x80 | ((code >> shift) & 0x3f) as u8;
    match code {
        0..0x80 => text.push(code as u8),
        0x80..0x800 => text.extend([0xc0 | (code >> 6) as u8, low(0)]),
        0x800..0x1_0000 => text.extend([0xe0 | (code >> 12) as u8, low(6), low(0)]),
        _ => text.extend([0xf0 | (code >> 18) as u8, low(12), low(6), low(0)]),
    }
}

/// Whether a decoded text holds half a surrogate pair.
pub(super) fn has_lone_surrogate(text: &[u8]) -> bool {
    text.windows(2).any(|pair| pair[0] == 0xed && pair[1] >= 0xa0)
}
