//! The plainest reader of a message, and the places at which a message is cut in two.
//!
//! It knows nothing of what the router forgives or refuses: it cuts lines at CRLF and fields at the first colon. Where the
//! router accepts a head, both must have read the same.

use router::h1::head::HeadLimits;

/// What the router is started with unless the file says otherwise.
pub(super) const USUAL: HeadLimits = HeadLimits { bytes: 65_536, fields: 100, target: 8_192 };

/// So small that an input of some hundred bytes meets every limit.
pub(super) const TIGHT: HeadLimits = HeadLimits { bytes: 192, fields: 6, target: 24 };

/// What this router writes is never too large for this.
pub(super) const AMPLE: HeadLimits = HeadLimits { bytes: 1 << 20, fields: 1000, target: 1 << 18 };

/// A head as lines: the first one, then name and value of each field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lines<'a> {
    pub(super) first: &'a [u8],
    pub(super) fields: Vec<(&'a [u8], &'a [u8])>,
}

/// Reads a whole head, which must hold nothing but lines that end with CRLF.
pub(super) fn lines(head: &[u8]) -> Lines<'_> {
    let content =
        head.strip_suffix(b"\r\n\r\n").unwrap_or_else(|| panic!("no empty line ends {}", head.escape_ascii()));
    let mut lines = Vec::new();
    let mut start = 0;
    for at in 0..content.len() {
        if content[at..].starts_with(b"\r\n") {
            lines.push(&content[start..at]);
            start = at + 2;
        }
    }
    lines.push(&content[start..]);
    for line in &lines {
        let clean = !line.is_empty() && !line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        assert!(clean, "a line of {} is empty or holds a bare CR, LF or NUL", head.escape_ascii());
    }
    Lines { first: lines[0], fields: lines[1..].iter().map(|line| field(line)).collect() }
}

/// `name: value`, white space around the value left out.
pub(super) fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = line.iter().position(|byte| *byte == b':');
    let colon = colon.unwrap_or_else(|| panic!("no colon in {}", line.escape_ascii()));
    let (name, mut value) = (&line[..colon], &line[colon + 1..]);
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    assert!(!name.is_empty() && name.iter().all(token), "{} is no token", name.escape_ascii());
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    (name, value)
}

/// A dozen places to cut an input at: all of a short one, else line ends and a spread that depends on the bytes.
pub(super) fn cuts(input: &[u8]) -> Vec<usize> {
    if input.len() <= 24 {
        return (0..input.len()).collect();
    }
    let ends = input.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let mut cuts: Vec<usize> = ends.take(4).flat_map(|at| [at, at + 1]).collect();
    let mut dice = Dice::of(input);
    cuts.extend((0..6).map(|_| dice.below(input.len())));
    cuts
}

/// Numbers that look random and depend only on the input.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn of(input: &[u8]) -> Self {
        let folded = input
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        Self(folded | 1)
    }

    /// 0 for a bound of 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default().checked_rem(bound).unwrap_or_default()
    }
}
