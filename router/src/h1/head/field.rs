//! The parts of a head, as ranges into its bytes.

use std::ops::{Deref, DerefMut, Range};

use super::Name;
use super::line::{BadField, Feeds, field, spaced_name};

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
    /// The name holds `_` or `%`, or has white space behind it, which some readers take for something else.
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
    /// White space before a colon was left out.
    pub(super) is_spaced: bool,
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

    /// The same of an answer: white space before the colon is left out, as a proxy must (RFC 9112 section 5.1).
    #[inline]
    pub(super) fn read_of_answer(&mut self, buf: &[u8], start: usize) -> Result<Option<usize>, BadField> {
        match self.read(buf, start, Feeds::Bare) {
            Ok(next) => Ok(next),
            Err(bad) => self.read_spaced(bad, buf, start),
        }
    }

    /// Reads a line whose name has white space behind it as the line that it would be without, apart from all others, which it
    /// must not slow down.
    #[cold]
    fn read_spaced(&mut self, bad: BadField, buf: &[u8], start: usize) -> Result<Option<usize>, BadField> {
        if bad != BadField::Name {
            return Err(bad);
        }
        let Some((name_end, colon)) = spaced_name(buf, start)? else { return Ok(None) };
        let end = memchr::memchr(b'\n', &buf[colon..]).map_or(buf.len(), |at| colon + at + 1);
        let line = [&buf[start..name_end], &buf[colon..end]].concat();
        let Some(next) = self.read(&line, 0, Feeds::Bare)? else { return Ok(None) };
        let left_out = start + colon - name_end;
        if let Some(field) = self.list.last_mut() {
            let value = field.value.range();
            field.name = Span::new(&(start..name_end));
            field.value = Span::new(&(value.start + left_out..value.end + left_out));
            (field.is_plain, field.is_spelt_oddly) = (false, true);
            self.is_spaced = true;
        }
        Ok(Some(next + left_out))
    }

    /// The field that was read last.
    pub(in crate::h1) fn newest(&mut self) -> Option<&mut Field> {
        self.list.last_mut()
    }

    pub(super) fn clear(&mut self) {
        self.names = 0;
        self.is_spaced = false;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_before_a_colon_is_left_out_of_answers() {
        for text in ["Age : 5\r\n", "Age\t \t:5 \r\n", "Age :\t5\n"] {
            let (mut fields, bytes) = (Fields::default(), format!("X\r\n{text}Y"));
            assert_eq!(fields.read_of_answer(bytes.as_bytes(), 3), Ok(Some(bytes.len() - 1)), "{text:?}");
            let own = fields.newest().unwrap();
            assert_eq!(
                (own.name.of(bytes.as_bytes()), own.value.of(bytes.as_bytes())),
                (&b"Age"[..], &b"5"[..]),
                "{text:?}"
            );
            assert_eq!((own.is_plain, own.is_spelt_oddly), (false, true), "{text:?}");
            assert_eq!(Fields::default().read(bytes.as_bytes(), 3, Feeds::Strict), Err(BadField::Name), "{text:?}");
        }
        for bad in [" a:b", " :b", ":b", "a b:c", "a \r\n", "a \u{b}:b"] {
            assert_eq!(Fields::default().read_of_answer(bad.as_bytes(), 0), Err(BadField::Name), "{bad:?}");
        }
    }
}
