//! What is kept of a body while it streams by: all of it, then a digest, then that there was more.
//!
//! # Why it cannot hold anything up
//!
//! It is shown the bytes that were handed on already, keeps what the budget of its migration has room for, and has no way to
//! say wait. A body is kept in one piece that doubles, and room is reserved before it grows, so that what is counted is what is
//! allocated.
//!
//! Of a request nothing is of use but all of it. Of an answer too long to be kept a digest is made by another thread, to which
//! the kept bytes go, and then what follows ([`super::digesting`]).

use std::cell::RefCell;

use std::sync::Arc;

use metrics::compare::{DIGESTED_BYTES_MAX, Digester};

use super::budget::Held;
use super::comparer::Comparer;
use super::digesting::{Digesting, Whole};
use crate::h1::framing::Framing;
use crate::h1::head::{Name, ResponseHead};

/// Room for the first bytes; then it doubles.
const ROOM_MIN: usize = 512;

/// How much of a body is kept, and of how much a digest is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) kept: usize,
    pub(crate) digested: u64,
}

/// Of answers: what the comparison takes, and what a digest is still worth its time for.
pub(super) const ANSWER: Extent = Extent { kept: 1 << 20, digested: DIGESTED_BYTES_MAX };

/// What there is of a body at its end.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) truncated: bool,
    /// All of it, where it was longer than is kept.
    pub(crate) whole: Option<Arc<Whole>>,
    /// How long it is at least: what went by, or what its head has said.
    pub(crate) length_min: u64,
    pub(crate) held: Held,
}

/// Why a body was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The budget has no room left.
    Memory,
    /// The thread that makes digests has too much to do.
    Busy,
}

#[derive(Debug)]
enum Keeping {
    Bytes(Vec<u8>),
    Digest(Box<Digesting>),
    /// There is more than is kept, and no digest.
    Truncated,
    Lost(Lost),
}

#[derive(Debug)]
struct State {
    keeping: Keeping,
    seen: u64,
    held: Held,
}

/// Watches one body.
#[derive(Debug)]
pub(crate) struct Tee {
    extent: Extent,
    /// The content-encoding, which a digest is made without.
    encoding: Box<str>,
    /// How long the head says that it is.
    announced: u64,
    /// Who makes digests.
    comparer: Option<Comparer>,
    state: RefCell<State>,
}

impl Tee {
    pub(crate) fn new(extent: Extent, encoding: &str, held: Held, comparer: Option<&Comparer>) -> Self {
        let state = State { keeping: Keeping::Bytes(Vec::new()), seen: 0, held };
        Self {
            extent,
            encoding: encoding.into(),
            announced: 0,
            comparer: comparer.cloned(),
            state: RefCell::new(state),
        }
    }

    /// Of an answer's body. Where its length is declared, nothing is kept that would be let go later.
    pub(crate) fn of_answer(answer: &ResponseHead, mut held: Held, comparer: &Comparer) -> Self {
        let value = answer.get(Name::ContentEncoding).unwrap_or_default();
        let encoding = String::from_utf8_lossy(value);
        let length = if let Framing::Length(length) = answer.framing { length } else { 0 };
        if length > ANSWER.digested {
            return Self { announced: length, ..Self::of_nothing(held) };
        }
        if length > ANSWER.kept as u64
            && let Some(digesting) = Digesting::new(&encoding, comparer, &held)
            && held.hold(Digester::bytes_max(&encoding))
        {
            let state = State { keeping: Keeping::Digest(Box::new(digesting)), seen: 0, held };
            let state = RefCell::new(state);
            return Self { extent: ANSWER, encoding: "".into(), announced: length, comparer: None, state };
        }
        Self { announced: length, ..Self::new(ANSWER, &encoding, held, Some(comparer)) }
    }

    /// Of a body that is not worth keeping.
    pub(crate) fn of_nothing(held: Held) -> Self {
        Self::new(Extent { kept: 0, digested: 0 }, "", held, None)
    }

    /// These bytes of the body went by.
    pub(crate) fn saw(&self, data: &[u8]) {
        let State { keeping, seen, held } = &mut *self.state.borrow_mut();
        *seen += data.len() as u64;
        let next = match keeping {
            Keeping::Bytes(bytes) if bytes.len() + data.len() <= self.extent.kept => {
                match grown(bytes, data, self.extent, held) {
                    Ok(()) => return,
                    Err(lost) => Keeping::Lost(lost),
                }
            }
            Keeping::Bytes(bytes) => self.digesting(std::mem::take(bytes), data, *seen, held),
            Keeping::Digest(digesting) => {
                let is_worth = *seen <= self.extent.digested && digesting.is_sound();
                match digesting.saw(data) {
                    Ok(()) if is_worth => return,
                    Ok(()) => Keeping::Truncated,
                    Err(lost) => Keeping::Lost(lost),
                }
            }
            Keeping::Truncated | Keeping::Lost(_) => return,
        };
        if !matches!(next, Keeping::Digest(_)) {
            held.hold(0);
        }
        *keeping = next;
    }

    /// A digest of what was kept and what comes now, where one can be made.
    fn digesting(&self, kept: Vec<u8>, data: &[u8], seen: u64, held: &mut Held) -> Keeping {
        let begin = |comparer: &Comparer| Digesting::new(&self.encoding, comparer, held);
        let digesting = self.comparer.as_ref().filter(|_| seen <= self.extent.digested).and_then(begin);
        let Some(mut digesting) = digesting else { return Keeping::Truncated };
        let mut of_digest = held.another();
        if !of_digest.hold(Digester::bytes_max(&self.encoding)) {
            return Keeping::Lost(Lost::Memory);
        }
        let of_bytes = std::mem::replace(held, of_digest);
        match digesting.begin(kept, of_bytes).and_then(|()| digesting.saw(data)) {
            Ok(()) => Keeping::Digest(Box::new(digesting)),
            Err(lost) => Keeping::Lost(lost),
        }
    }

    /// Lets go of a body of which more would tell nothing.
    pub(crate) fn leave(&self) {
        let State { keeping, held, .. } = &mut *self.state.borrow_mut();
        if let Keeping::Bytes(_) | Keeping::Digest(_) = keeping {
            *keeping = Keeping::Truncated;
            held.hold(0);
        }
    }

    /// Whether nothing that could still come would be kept.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state.borrow().keeping, Keeping::Truncated | Keeping::Lost(_))
    }

    /// What there is of the body, now that it is whole.
    pub(crate) fn end(self) -> Result<Body, Lost> {
        let State { keeping, held, seen } = self.state.into_inner();
        let length_min = seen.max(self.announced);
        let body = |bytes, truncated, whole| Ok(Body { bytes, truncated, whole, length_min, held });
        match keeping {
            Keeping::Bytes(bytes) => body(bytes, false, None),
            Keeping::Digest(digesting) => body(Vec::new(), true, Some(digesting.end()?)),
            Keeping::Truncated => body(Vec::new(), true, None),
            Keeping::Lost(lost) => Err(lost),
        }
    }
}

/// Appends, with room that was reserved before.
fn grown(bytes: &mut Vec<u8>, data: &[u8], extent: Extent, held: &mut Held) -> Result<(), Lost> {
    let needed = bytes.len() + data.len();
    if needed > bytes.capacity() {
        let room = needed.max((2 * bytes.capacity()).max(ROOM_MIN).min(extent.kept));
        if !held.hold(room) {
            return Err(Lost::Memory);
        }
        bytes.reserve_exact(room - bytes.len());
    }
    bytes.extend_from_slice(data);
    Ok(())
}

#[cfg(test)]
mod tests {
    use metrics::mismatch::Mismatches;
    use metrics::observe::Observer;

    use super::*;
    use crate::mirror::budget::Budget;

    const EXTENT: Extent = Extent { kept: 10_000, digested: 100_000 };

    /// Bytes that are kept, whether there was more, and the length that a digest names.
    type Seen = Result<(usize, bool, Option<u64>), Lost>;

    #[track_caller]
    fn check(memory: usize, length: usize, encoding: &str, expected: Seen) {
        for piece in [1, 7, 1_000, 1 << 20] {
            let budget = Budget::new(memory, 1);
            let observer = Observer::new(&[]).unwrap();
            let mismatches = Arc::new(Mismatches::new(observer, [0; 32]));
            let (comparer, tasks) = Comparer::new(Arc::clone(&mismatches));
            let tee = Tee::new(EXTENT, encoding, budget.nothing(), Some(&comparer));
            vec![b'x'; length].chunks(piece).for_each(|piece| tee.saw(piece));
            let body = tee.end();
            tasks.try_iter().for_each(|task| comparer.perform(task));
            let digest = |whole: Arc<Whole>| whole.finish().map(|own| own.length);
            let body = body.map(|body| (body.bytes.len(), body.truncated, body.whole.and_then(digest)));
            assert_eq!(body, expected, "{length} bytes of {encoding:?} in pieces of {piece}");
            let mut all = budget.nothing();
            assert!(all.hold(memory), "what was held is given back");
        }
    }

    #[test]
    fn short_is_kept_long_is_digested_and_longer_is_neither() {
        check(1 << 20, 0, "", Ok((0, false, None)));
        check(1 << 20, 10_000, "", Ok((10_000, false, None)));
        check(1 << 20, 10_001, "", Ok((0, true, Some(10_001))));
        check(1 << 20, 100_000, "", Ok((0, true, Some(100_000))));
        check(1 << 20, 100_001, "", Ok((0, true, None)));
        check(8 << 20, 10_001, "br", Ok((0, true, None)));
        check(1 << 20, 10_001, "gzip", Ok((0, true, None)));
    }

    #[test]
    fn what_has_no_room_is_lost() {
        check(9_000, 10_000, "", Err(Lost::Memory));
        check(20_000, 10_001, "", Err(Lost::Memory));
        check(0, 1, "", Err(Lost::Memory));
        check(0, 0, "", Ok((0, false, None)));
    }

    #[test]
    fn what_is_held_is_what_is_allocated() {
        let budget = Budget::new(1 << 20, 1);
        let tee = Tee::new(EXTENT, "", budget.nothing(), None);
        for length in 1..5_000 {
            tee.saw(b"x");
            let State { keeping: Keeping::Bytes(bytes), .. } = &*tee.state.borrow() else { panic!() };
            let mut rest = budget.nothing();
            assert!(
                rest.hold((1 << 20) - bytes.capacity()) && !rest.hold((1 << 20) - bytes.capacity() + 1),
                "{length}"
            );
        }
    }
}
