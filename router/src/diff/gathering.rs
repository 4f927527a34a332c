//! What is kept of a body that comes in pieces: all of it, then a digest of it, then how long it is at least.
//!
//! The router keeps the same of answers ([`crate::mirror`]), with a budget and a thread for digests, because callers wait. Here nobody does, so
//! that more is kept whole.

use metrics::compare::{DIGESTED_BYTES_MAX, Digester, Limits};
use metrics::mismatch::Kept;

/// Of a body as it was received, beyond which a digest is made of it.
pub(crate) const KEPT_BYTES_MAX: usize = 4 << 20;

#[derive(Debug)]
enum Keeping {
    Bytes(Vec<u8>),
    Digest(Box<Digester>),
    /// There is more than anything is made of.
    Cut,
}

/// Gathers one body.
#[derive(Debug)]
pub(crate) struct Gathering<'l> {
    keeping: Keeping,
    encoding: &'l str,
    limits: &'l Limits,
    seen: u64,
    announced: u64,
}

impl<'l> Gathering<'l> {
    /// `announced` is how long the head says that it is.
    pub(crate) fn new(encoding: &'l str, announced: u64, limits: &'l Limits) -> Self {
        let room = usize::try_from(announced).unwrap_or(usize::MAX);
        let keeping = if announced > DIGESTED_BYTES_MAX {
            Keeping::Cut
        } else if room > KEPT_BYTES_MAX {
            digester(encoding, &[], limits)
        } else {
            Keeping::Bytes(Vec::with_capacity(room))
        };
        Self { keeping, encoding, limits, seen: 0, announced }
    }

    pub(crate) fn saw(&mut self, data: &[u8]) {
        self.seen += data.len() as u64;
        match &mut self.keeping {
            Keeping::Bytes(bytes) if bytes.len() + data.len() <= KEPT_BYTES_MAX => bytes.extend_from_slice(data),
            _ if self.seen > DIGESTED_BYTES_MAX => self.keeping = Keeping::Cut,
            Keeping::Bytes(bytes) => {
                let begun = std::mem::take(bytes);
                self.keeping = digester(self.encoding, &begun, self.limits);
                self.digest(data);
            }
            Keeping::Digest(_) => self.digest(data),
            Keeping::Cut => {}
        }
    }

    fn digest(&mut self, data: &[u8]) {
        let Keeping::Digest(digester) = &mut self.keeping else { return };
        digester.update(data);
        if !digester.is_sound() {
            self.keeping = Keeping::Cut;
        }
    }

    /// Whether nothing is made of what could still come.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.keeping, Keeping::Cut)
    }

    /// An answer with this body.
    pub(crate) fn end(self, status: u16, headers: Vec<(String, String)>) -> Kept {
        let length_min = self.seen.max(self.announced);
        let (body, truncated, digest) = match self.keeping {
            Keeping::Bytes(bytes) => (bytes, false, None),
            Keeping::Digest(digester) => (Vec::new(), true, digester.finish()),
            Keeping::Cut => (Vec::new(), true, None),
        };
        Kept { status, headers, body, truncated, digest, length_min }
    }
}

fn digester(encoding: &str, begun: &[u8], limits: &Limits) -> Keeping {
    let Some(mut digester) = Digester::new(encoding, limits) else { return Keeping::Cut };
    digester.update(begun);
    if digester.is_sound() { Keeping::Digest(Box::new(digester)) } else { Keeping::Cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that are kept, whether there was more, the length that a digest names, and that which is known at least.
    type Seen = (usize, bool, Option<u64>, u64);

    #[track_caller]
    fn check(length: usize, encoding: &str, announced: u64, expected: Seen) {
        let limits = Limits::default();
        let mut gathering = Gathering::new(encoding, announced, &limits);
        for piece in vec![b'x'; length].chunks(300_000) {
            if !gathering.is_done() {
                gathering.saw(piece);
            }
        }
        let kept = gathering.end(200, Vec::new());
        let digest = kept.digest.map(|digest| digest.length);
        let told = (kept.body.len(), kept.truncated, digest, kept.length_min);
        assert_eq!(told, expected, "{length} bytes of {encoding:?}, {announced} announced");
    }

    #[test]
    fn short_is_kept_long_is_digested_and_longer_is_neither() {
        const KEPT: u64 = KEPT_BYTES_MAX as u64;
        check(0, "", 0, (0, false, None, 0));
        check(KEPT_BYTES_MAX, "", 0, (KEPT_BYTES_MAX, false, None, KEPT));
        check(KEPT_BYTES_MAX + 1, "", 0, (0, true, Some(KEPT + 1), KEPT + 1));
        check(KEPT_BYTES_MAX + 1, "", KEPT + 1, (0, true, Some(KEPT + 1), KEPT + 1));
        check(DIGESTED_BYTES_MAX as usize, "", 0, (0, true, Some(DIGESTED_BYTES_MAX), DIGESTED_BYTES_MAX));
        check(17 << 20, "", 0, (0, true, None, 16_800_000));
        check(1, "", 10 << 30, (0, true, None, 10 << 30));
        check(KEPT_BYTES_MAX + 1, "zstd", 0, (0, true, None, KEPT + 1));
        check(KEPT_BYTES_MAX + 1, "gzip", KEPT + 1, (0, true, None, KEPT + 1));
    }
}
