//! The parts of a head, as ranges into its bytes.

use std::ops::{Deref, DerefMut, Range};

use super::Name;
use super::line::{BadField, Feeds, field};

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
        bytes.get(self.range()).unwrap_or_default()
    }

    pub(in crate::h1) const fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
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
    /// The name holds `_` or `%`, which some readers take for something else.
    pub(in crate::h1) is_spelt_oddly: bool,
    /// Its line already is what would be written: `name: value CRLF`.
    pub(in crate::h1) is_plain: bool,
}

impl Field {
    /// The whole line with its end, where it already is what would be written.
    pub(in crate::h1) fn line(&self) -> Option<Range<usize>> {
        self.is_plain.then_some(self.name.start as usize..self.value.end as usize + 2)
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
    /// Reads one more field line, which begins at `start`; where the next line begins, or `None` while bytes are missing.
    #[inline]
    pub(in crate::h1) fn read(&mut self, buf: &[u8], start: usize, feeds: Feeds) -> Result<Option<usize>, BadField> {
        let Some((field, next)) = field(buf, start, feeds)? else { return Ok(None) };
        self.names |= 1 << field.known as u32;
        self.list.push(field);
        Ok(Some(next))
    }

    /// The field that was read last.
    pub(in crate::h1) fn newest(&mut self) -> Option<&mut Field> {
        self.list.last_mut()
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
