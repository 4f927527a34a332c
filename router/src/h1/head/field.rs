//! The parts of a head, as ranges into its bytes.

use std::ops::{Deref, DerefMut, Range};

use super::Name;

/// Where a part of a head lies in its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    #[allow(clippy::cast_possible_truncation, reason = "a head is at most a few megabytes, checked by the limits")]
    pub const fn new(range: &Range<usize>) -> Self {
        Self { start: range.start as u32, end: range.end as u32 }
    }

    pub fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub const fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    pub const fn is_empty(&self) -> bool {
        self.end == self.start
    }
}

/// One field of a head.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: Span,
    pub value: Span,
    pub known: Name,
    /// Nominated by `Connection`, or a disguise: not forwarded.
    pub dropped: bool,
}

impl Field {
    /// The whole line with its end, where it already is what would be written: `name: value CRLF`.
    pub(in crate::h1) fn line(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let (name, value) = (self.name, self.value);
        let (start, end) = (name.start as usize, value.end as usize + 2);
        let between = bytes.get(name.end as usize..value.start as usize)?;
        let written = between == b": " && bytes.get(value.end as usize..end)? == b"\r\n";
        written.then_some(start..end)
    }
}

/// The fields of a head in the order in which they came.
///
/// It notes which known names are there, so that asking for one that is not, as mostly happens, looks at no field.
#[derive(Debug, Default)]
pub struct Fields {
    list: Vec<Field>,
    /// One bit for each [`Name`].
    names: u32,
}

impl Fields {
    pub(super) fn push(&mut self, field: Field) {
        self.names |= 1 << field.known as u32;
        self.list.push(field);
    }

    pub(super) fn clear(&mut self) {
        self.names = 0;
        self.list.clear();
    }

    pub const fn holds(&self, known: Name) -> bool {
        self.names & 1 << known as u32 != 0
    }

    /// The fields with this name, dropped ones included.
    pub fn named(&self, known: Name) -> impl Iterator<Item = &Field> {
        let list = if self.holds(known) { self.list.as_slice() } else { &[] };
        list.iter().filter(move |field| field.known == known)
    }

    /// Their values in `head`.
    pub fn values<'a>(&'a self, head: &'a [u8], known: Name) -> impl Iterator<Item = &'a [u8]> {
        self.named(known).map(|field| field.value.of(head))
    }
}

impl Deref for Fields {
    type Target = [Field];

    fn deref(&self) -> &[Field] {
        &self.list
    }
}

impl DerefMut for Fields {
    fn deref_mut(&mut self) -> &mut [Field] {
        &mut self.list
    }
}
