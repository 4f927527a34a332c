//! How entries lie in a file: each as a mark, its length, its checksum and itself.
//!
//! # Why a mark
//!
//! A crash leaves an end that is not whole, and that was never answered with success, so it is cut off. A disk that lost
//! something in the middle has taken what was: behind it there is a frame again, found by its mark. The two must
//! not be taken for each other, because what follows a damage was promised to somebody.

use std::ops::Range;

/// Before each frame; not a text, and not zeros, which a file system leaves behind.
const MARK: [u8; 4] = [0xcf, 0x15, 0x5e, 0x01];

/// Mark, length and checksum.
const HEAD_BYTES: usize = 12;

/// The longest entry that is read; a longer one is a damage.
const ENTRY_BYTES_MAX: usize = 128 << 20;

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Where each good entry lies, in order.
    pub(crate) entries: Vec<Range<usize>>,
    /// What between them is no entry.
    pub(crate) damage: Vec<Range<usize>>,
    /// Where an end begins that is not whole.
    pub(crate) torn: Option<usize>,
}

/// An entry as it is written.
pub(crate) fn frame(entry: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + entry.len());
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(entry).to_le_bytes());
    out.extend_from_slice(entry);
    out
}

/// Reads a whole file.
pub(crate) fn scan(bytes: &[u8]) -> Scan {
    let mut found = Scan::default();
    let mut at = 0;
    while at < bytes.len() {
        if let Some(entry) = entry_at(bytes, at) {
            at = entry.end;
            found.entries.push(entry);
            continue;
        }
        match next_mark(bytes, at + 1) {
            Some(next) => {
                found.damage.push(at..next);
                at = next;
            }
            None => {
                found.torn = Some(at);
                break;
            }
        }
    }
    found
}

fn entry_at(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let head = bytes.get(at..at + HEAD_BYTES)?;
    let number = |from: usize| Some(u32::from_le_bytes(head.get(from..from + 4)?.try_into().ok()?));
    if head[..4] != MARK {
        return None;
    }
    let (length, checksum) = (number(4)? as usize, number(8)?);
    let start = at + HEAD_BYTES;
    let entry = (length <= ENTRY_BYTES_MAX).then(|| bytes.get(start..start + length))??;
    (crc32fast::hash(entry) == checksum).then(|| start..start + length)
}

/// The next place at which a good frame begins.
fn next_mark(bytes: &[u8], from: usize) -> Option<usize> {
    let marks = memchr::memmem::find_iter(bytes.get(from..)?, &MARK);
    marks.map(|at| from + at).find(|at| entry_at(bytes, *at).is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(entries: &[Vec<u8>]) -> Vec<u8> {
        entries.iter().flat_map(|entry| frame(entry)).collect()
    }

    fn read(bytes: &[u8], scan: &Scan) -> Vec<Vec<u8>> {
        scan.entries.iter().map(|range| bytes[range.clone()].to_vec()).collect()
    }

    fn entries() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)
    }

    #[test]
    fn zeros_are_an_end_and_no_entry() {
        let mut bytes = file(&[b"a".to_vec()]);
        let whole = bytes.len();
        bytes.extend_from_slice(&[0; 4_096]);
        let found = scan(&bytes);
        assert_eq!((found.entries.len(), found.damage.len(), found.torn), (1, 0, Some(whole)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in entries()) {
            let bytes = file(&entries);
            let found = scan(&bytes);
            prop_assert_eq!(read(&bytes, &found), entries);
            prop_assert!(found.damage.is_empty() && found.torn.is_none());
        }

        /// A crash at any byte loses the entry that was being written and no other.
        #[test]
        fn a_file_cut_at_every_byte_holds_what_was_whole(entries in entries()) {
            let bytes = file(&entries);
            let mut ends = vec![0];
            for entry in &entries {
                ends.push(ends[ends.len() - 1] + HEAD_BYTES + entry.len());
            }
            for cut in 0..=bytes.len() {
                let found = scan(&bytes[..cut]);
                let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
                prop_assert_eq!(read(&bytes, &found), &entries[..whole]);
                prop_assert!(found.damage.is_empty());
                prop_assert_eq!(found.torn, (ends[whole] != cut).then_some(ends[whole]));
            }
        }

        /// A byte that changed in the middle is a damage, costs one entry, and is told apart from an end.
        #[test]
        fn a_damage_costs_one_entry(
            entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 2..8),
            at: prop::sample::Index,
            flip in 1..=255u8,
        ) {
            let mut bytes = file(&entries);
            let last = bytes.len() - HEAD_BYTES - entries[entries.len() - 1].len();
            let place = at.index(last);
            bytes[place] ^= flip;
            let found = scan(&bytes);
            prop_assert_eq!(found.entries.len(), entries.len() - 1);
            prop_assert_eq!(found.damage.len(), 1);
            prop_assert_eq!(found.torn, None);
        }
    }
}
