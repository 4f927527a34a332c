//! Places a sticky key on a scale of 10 000 and compares it with a share.
//!
//! # Why named, frozen hashes
//!
//! The split must be the same on every router, in every version, for the whole life of a
//! migration: flagd changed its hash twice, and each change moved 10 to 18 % of users to the other
//! variant. So a hash has a name, golden vectors pin it, and a change of it is a new name.
//!
//! - `bucket`: `(murmur3_x86_32(salt ":" key, seed 0) * 10 000) >> 32`, the split of OpenFeature
//!   flagd's second `fractional`. MurmurHash3 is Austin Appleby's, public domain
//!   (<https://github.com/aappleby/smhasher>, `MurmurHash3_x86_32`).
//! - `modulo`: the key's last two decimal digits, the rule of the issue-agents story, which a person
//!   can check by hand. Whole percents only; a key that is not all digits counts as missing.
//!
//! Both are monotone: raising the share only ever adds keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A share of traffic in hundredths of a percent: `2_500` is 25 %.
///
/// An integer, because a rollout must be `Eq`, hashable and the same on every router; a float is
/// none of these. Invariant: at most `10_000`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct BasisPoints(u16);

/// Where one key stands on the scale of [`BasisPoints`]: `0..10_000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Bucket(u16);

/// A number that is no share.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0} is not a share: use 0 to 100 percent with at most two decimals")]
pub struct OutOfRange(String);

impl BasisPoints {
    pub const ZERO: Self = Self(0);
    pub const ALL: Self = Self(10_000);

    pub fn new(value: u16) -> Result<Self, OutOfRange> {
        if value <= Self::ALL.0 { Ok(Self(value)) } else { Err(OutOfRange(format!("{value} basis points"))) }
    }

    /// Reads percent as an API or a file gives it: `12.5` is 1 250. More than two decimals is
    /// refused rather than rounded, because a rounded rollout is not the one that was asked for.
    pub fn from_percent(percent: f64) -> Result<Self, OutOfRange> {
        let scaled = percent * 100.0;
        let rounded = scaled.round();
        let exact = percent.is_finite() && (scaled - rounded).abs() < 1e-6;
        if exact && (0.0..=10_000.0).contains(&rounded) {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "in 0..=10_000 by the line above"
            )]
            let value = rounded as u16;
            Ok(Self(value))
        } else {
            Err(OutOfRange(percent.to_string()))
        }
    }

    pub const fn get(self) -> u16 {
        self.0
    }

    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Admits the buckets below the share, so a larger share only ever adds keys.
    pub const fn admits(self, bucket: Bucket) -> bool {
        bucket.0 < self.0
    }

    /// Whether everybody is on one side, so that the hash and the salt do not matter.
    pub const fn is_an_end(self) -> bool {
        self.0 == Self::ZERO.0 || self.0 == Self::ALL.0
    }

    pub const fn is_whole_percent(self) -> bool {
        self.0.is_multiple_of(100)
    }
}

impl TryFrom<u16> for BasisPoints {
    type Error = OutOfRange;

    fn try_from(value: u16) -> Result<Self, Self::Error> {
        Self::new(value)
    }
}

impl From<BasisPoints> for u16 {
    fn from(share: BasisPoints) -> Self {
        share.0
    }
}

/// Percent with as many decimals as needed: `25`, `12.5`, `0.01`.
impl fmt::Display for BasisPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.percent())
    }
}

impl FromStr for BasisPoints {
    type Err = OutOfRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_suffix('%').unwrap_or(text).trim();
        let percent: f64 = digits.parse().map_err(|_| OutOfRange(format!("\"{}\"", text.escape_debug())))?;
        Self::from_percent(percent)
    }
}

impl Bucket {
    /// Scales a 32-bit hash to the 10 000 buckets by multiplication, which is even to 1 in 400 000.
    pub const fn from_hash(hash: u32) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "(2^32 - 1) * 10_000 >> 32 is at most 9_999")]
        Self(((hash as u64 * 10_000) >> 32) as u16)
    }

    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A named way from a key to its [`Bucket`]. The names are stored and never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashKind {
    #[default]
    Bucket,
    Modulo,
}

impl HashKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bucket => "bucket",
            Self::Modulo => "modulo",
        }
    }

    /// The bucket of `key`, or `None` when the key counts as missing under this hash.
    pub fn place(self, salt: &str, key: &[u8]) -> Option<Bucket> {
        match self {
            Self::Bucket => Some(Bucket::from_hash(salted_hash(salt.as_bytes(), key))),
            Self::Modulo => last_two_digits(key).map(|digits| Bucket(digits * 100)),
        }
    }
}

impl fmt::Display for HashKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The hash of `salt:key`.
fn salted_hash(salt: &[u8], key: &[u8]) -> u32 {
    let mut hash = Murmur3::default();
    hash.update(salt);
    hash.update(b":");
    hash.update(key);
    hash.finish()
}

/// `key % 100` of a decimal number of any length, without parsing it.
fn last_two_digits(key: &[u8]) -> Option<u16> {
    if key.is_empty() || !key.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |from_end: usize| key.len().checked_sub(from_end).map_or(0, |at| u16::from(key[at] - b'0'));
    Some(digit(2) * 10 + digit(1))
}

/// `MurmurHash3_x86_32` with seed 0, fed in pieces so that `salt:key` needs no allocation.
#[derive(Debug, Default)]
struct Murmur3 {
    hash: u32,
    /// Bytes that make no whole block yet, the first as the lowest, and how many bits they are.
    waiting: u64,
    waiting_bits: u32,
    total: u32,
}

impl Murmur3 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;

    fn update(&mut self, bytes: &[u8]) {
        #[allow(clippy::cast_possible_truncation, reason = "the algorithm takes the length modulo 2^32")]
        let len = bytes.len() as u32;
        self.total = self.total.wrapping_add(len);
        let (blocks, rest) = bytes.as_chunks::<4>();
        for block in blocks {
            self.waiting |= u64::from(u32::from_le_bytes(*block)) << self.waiting_bits;
            self.block();
        }
        for byte in rest {
            self.waiting |= u64::from(*byte) << self.waiting_bits;
            self.waiting_bits += 8;
            if self.waiting_bits == u32::BITS {
                self.block();
                self.waiting_bits = 0;
            }
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "the lower half is the block that is whole")]
    const fn block(&mut self) {
        let mixed = Self::mix(self.waiting as u32);
        self.waiting >>= u32::BITS;
        self.hash = (self.hash ^ mixed).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }

    const fn mix(block: u32) -> u32 {
        block.wrapping_mul(Self::C1).rotate_left(15).wrapping_mul(Self::C2)
    }

    #[allow(clippy::cast_possible_truncation, reason = "less than a block is left")]
    const fn finish(mut self) -> u32 {
        if self.waiting_bits > 0 {
            self.hash ^= Self::mix(self.waiting as u32);
        }
        let mut hash = self.hash ^ self.total;
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        hash ^ (hash >> 16)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn golden() -> Value {
        serde_json::from_str(include_str!("golden/bucket-v1.json")).unwrap()
    }

    fn text<'a>(case: &'a Value, name: &str) -> &'a str {
        case[name].as_str().unwrap()
    }

    #[test]
    fn bucket_matches_the_golden_vectors() {
        let golden = golden();
        let cases = golden["bucket"].as_array().unwrap();
        assert!(cases.len() >= 30);
        for case in cases {
            let placed = HashKind::Bucket.place(text(case, "salt"), text(case, "key").as_bytes()).unwrap();
            assert_eq!(u64::from(placed.get()), case["bucket"].as_u64().unwrap(), "{case}");
        }
    }

    #[test]
    fn modulo_matches_the_golden_vectors() {
        let golden = golden();
        for case in golden["modulo100"].as_array().unwrap() {
            let placed = HashKind::Modulo.place("ignored", text(case, "key").as_bytes()).unwrap();
            assert_eq!(u64::from(placed.get()), case["key_mod_100"].as_u64().unwrap() * 100, "{case}");
        }
        for key in golden["modulo_non_numeric"].as_array().unwrap() {
            assert_eq!(HashKind::Modulo.place("", key.as_str().unwrap().as_bytes()), None, "{key}");
        }
    }

    /// The story's own words: at 25 %, issues 1..24 and 100..124 go to Python, 25..99 do not.
    #[test]
    fn modulo_is_the_rule_of_the_story() {
        let share = BasisPoints::new(2_500).unwrap();
        let on_new = |issue: u32| {
            let bucket = HashKind::Modulo.place("", issue.to_string().as_bytes()).unwrap();
            share.admits(bucket)
        };
        assert!((1..=24).chain(100..=124).all(on_new));
        assert!(!(25..=99).any(on_new));
    }

    #[track_caller]
    fn check_share(text: &str, expected: Option<u16>) {
        assert_eq!(text.parse::<BasisPoints>().ok().map(BasisPoints::get), expected, "{text:?}");
    }

    #[test]
    fn a_share_is_percent_with_two_decimals() {
        check_share("0", Some(0));
        check_share("25", Some(2_500));
        check_share("12.5%", Some(1_250));
        check_share("0.01", Some(1));
        check_share("33.33", Some(3_333));
        check_share("100", Some(10_000));
        for text in ["100.01", "101", "-1", "0.001", "NaN", "inf", "", "ten", "1 0"] {
            check_share(text, None);
        }
    }

    proptest! {
        /// However long a salt and a key are, they hash as the one text that they make.
        #[test]
        fn a_short_and_a_long_key_hash_alike(
            salt in "[a-z0-9._-]{1,63}",
            key in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut whole = Murmur3::default();
            whole.update(&[salt.as_bytes(), b":", &key].concat());
            prop_assert_eq!(salted_hash(salt.as_bytes(), &key), whole.finish());
        }

        /// Raising a rollout never takes a caller back from the new backend.
        #[test]
        fn a_larger_share_keeps_every_caller(hash: u32, a in 0..=10_000u16, b in 0..=10_000u16) {
            let smaller = BasisPoints::new(a.min(b)).unwrap();
            let larger = BasisPoints::new(a.max(b)).unwrap();
            let bucket = Bucket::from_hash(hash);
            prop_assert!(!smaller.admits(bucket) || larger.admits(bucket), "{bucket:?} was lost");
        }

        /// 0 % means nobody and 100 % means everybody, without an off-by-one at either end.
        #[test]
        fn the_ends_are_exact(hash: u32) {
            let bucket = Bucket::from_hash(hash);
            prop_assert!(!BasisPoints::ZERO.admits(bucket));
            prop_assert!(BasisPoints::ALL.admits(bucket));
        }

        /// The key arrives as salt, colon and key; the hash must not see where the pieces end.
        #[test]
        fn pieces_hash_as_the_whole(bytes: Vec<u8>, a: prop::sample::Index, b: prop::sample::Index) {
            let mut ends = [a.index(bytes.len() + 1), b.index(bytes.len() + 1)];
            ends.sort_unstable();
            let mut pieces = Murmur3::default();
            pieces.update(&bytes[..ends[0]]);
            pieces.update(&bytes[ends[0]..ends[1]]);
            pieces.update(&bytes[ends[1]..]);
            let mut whole = Murmur3::default();
            whole.update(&bytes);
            prop_assert_eq!(pieces.finish(), whole.finish());
        }

        #[test]
        fn every_share_prints_as_it_parses(value in 0..=10_000u16) {
            let share = BasisPoints::new(value).unwrap();
            prop_assert_eq!(share.to_string().parse::<BasisPoints>().unwrap(), share);
        }
    }
}
