//! The parts of a head, as ranges into its bytes.

use std::ops::Range;

use super::Name;

/// Where a part of a head lies in its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
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
