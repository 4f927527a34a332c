//! Bodies of several parts, without the boundary between them, which most who make one make anew for each answer.
//!
//! Deliberately not supported: parts as what they are; they are compared by their bytes.

/// The longest boundary that there is (RFC 2046, 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// Whether both are the same once the lines that are boundaries are read as such.
pub(super) fn are_same(legacy: (&[u8], &str), new: (&[u8], &str)) -> bool {
    let is_one = |boundary: &str| (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len());
    is_one(legacy.1) && is_one(new.1) && lines(legacy).eq(lines(new))
}

#[derive(Debug, PartialEq, Eq)]
enum Line<'b> {
    Other(&'b [u8]),
    /// With what follows it: space, or the two hyphens of the end.
    Boundary(&'b [u8]),
}

fn lines<'b>((body, boundary): (&'b [u8], &'b str)) -> impl Iterator<Item = Line<'b>> {
    body.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let after = line.strip_prefix(b"--").and_then(|own| own.strip_prefix(boundary.as_bytes()));
        match after {
            Some(after) if matches!(after.trim_ascii(), b"" | b"--") => Line::Boundary(after.trim_ascii()),
            _ => Line::Other(line),
        }
    })
}
