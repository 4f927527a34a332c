//! Numbers as exact decimals: compared, and told apart by so much, without a float in between.
//!
//! Deliberately not supported: arithmetic over more than [`DIGITS_MAX`] digits. Two numbers that need more are within no tolerance.

use std::cmp::Ordering;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Digits that arithmetic is done over; beyond it a distance is not computed.
const DIGITS_MAX: usize = 400;

/// `digits * 10^exponent`, exactly. Digits are 0..=9, without zeros at either end; zero has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Reads what JSON allows as a number; `None` for anything else and for exponents beyond 18 digits.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, text) = match text.split_first() {
            Some((b'-', rest)) => (true, rest),
            _ => (false, text),
        };
        let at = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (mantissa, exponent) = match at {
            Some(at) => (text.get(..at)?, exponent(text.get(at + 1..)?)?),
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
            Some(point) => (mantissa.get(..point)?, mantissa.get(point + 1..)?),
            None => (mantissa, &b""[..]),
        };
        let leading_zero = whole.len() > 1 && whole.first() == Some(&b'0');
        if whole.is_empty() || leading_zero || (fraction.is_empty() && whole.len() != mantissa.len()) {
            return None;
        }
        let mut digits = Vec::with_capacity(whole.len() + fraction.len());
        for byte in whole.iter().chain(fraction) {
            digits.push(byte.is_ascii_digit().then(|| byte - b'0')?);
        }
        let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        Self { negative, digits, exponent }.normal()
    }

    fn normal(mut self) -> Option<Self> {
        let trailing = self.digits.iter().rev().take_while(|digit| **digit == 0).count();
        self.digits.truncate(self.digits.len() - trailing);
        self.exponent = self.exponent.checked_add(i64::try_from(trailing).ok()?)?;
        let leading = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..leading);
        if self.digits.is_empty() {
            return Some(Self { negative: false, digits: Vec::new(), exponent: 0 });
        }
        Some(self)
    }

    pub(super) fn is_negative(&self) -> bool {
        self.negative
    }

    /// What a number is, apart from how it is written: for hashing.
    pub(super) fn parts(&self) -> (bool, &[u8], i64) {
        (self.negative, &self.digits, self.exponent)
    }

    /// Whether both are apart by no more than `absolute`, or by no more than `relative` times the larger.
    pub(super) fn is_near(&self, other: &Self, absolute: Option<&Self>, relative: Option<&Self>) -> bool {
        let Some(distance) = self.distance(other) else { return false };
        let within = |bound: Option<Self>| bound.is_some_and(|bound| distance.cmp_size(&bound) != Ordering::Greater);
        let larger = if self.cmp_size(other) == Ordering::Greater { self } else { other };
        within(absolute.cloned()) || within(relative.and_then(|relative| larger.times(relative)))
    }

    /// Compares without the sign.
    fn cmp_size(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        // Where the first digit stands decides, then the digits from the first on.
        let top = |number: &Self| i128::from(number.exponent) + number.digits.len() as i128;
        top(self).cmp(&top(other)).then_with(|| self.digits.cmp(&other.digits))
    }

    /// The digits as multiples of `10^exponent`, lowest first.
    fn scaled(&self, exponent: i64) -> Option<Vec<u8>> {
        if self.digits.is_empty() {
            return Some(Vec::new());
        }
        let zeros = usize::try_from(self.exponent.checked_sub(exponent)?).ok()?;
        let length = zeros.checked_add(self.digits.len()).filter(|length| *length <= DIGITS_MAX)?;
        let mut digits = vec![0; zeros];
        digits.reserve(length - zeros);
        digits.extend(self.digits.iter().rev());
        Some(digits)
    }

    /// `|self - other|`, or `None` if that takes too many digits.
    fn distance(&self, other: &Self) -> Option<Self> {
        let exponent = match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, _) => other.exponent,
            (_, true) => self.exponent,
            _ => self.exponent.min(other.exponent),
        };
        let (a, b) = (self.scaled(exponent)?, other.scaled(exponent)?);
        let (larger, smaller) = if self.cmp_size(other) == Ordering::Less { (b, a) } else { (a, b) };
        let apart = self.negative != other.negative;
        let mut digits = Vec::with_capacity(larger.len() + 1);
        let mut carry = 0i8;
        for place in 0..larger.len() {
            let digit = |of: &[u8]| of.get(place).map_or(0, |digit| *digit as i8);
            let sum = if apart { digit(&larger) + digit(&smaller) } else { digit(&larger) - digit(&smaller) } + carry;
            carry = sum.div_euclid(10);
            digits.push(sum.rem_euclid(10) as u8);
        }
        if carry > 0 {
            digits.push(1);
        }
        digits.reverse();
        Self { negative: false, digits, exponent }.normal()
    }

    fn times(&self, other: &Self) -> Option<Self> {
        let length = self.digits.len() + other.digits.len();
        if length > DIGITS_MAX {
            return None;
        }
        let mut sums = vec![0u32; length];
        for (i, a) in self.digits.iter().rev().enumerate() {
            for (j, b) in other.digits.iter().rev().enumerate() {
                sums[i + j] += u32::from(*a) * u32::from(*b);
            }
        }
        let mut carry = 0;
        let mut digits: Vec<u8> = Vec::with_capacity(length);
        for sum in sums {
            carry += sum;
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
        digits.reverse();
        let exponent = self.exponent.checked_add(other.exponent)?;
        Self { negative: self.negative != other.negative, digits, exponent }.normal()
    }
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits =
        digits.get(zeros.min(digits.len().saturating_sub(1))..).filter(|digits| (1..=18).contains(&digits.len()))?;
    let mut value = 0i64;
    for digit in digits {
        value = value * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some(if negative { -value } else { value })
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let digits: String = self.digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        match (digits.as_str(), self.exponent) {
            ("", _) => f.write_str("0"),
            (digits, 0) => write!(f, "{sign}{digits}"),
            (digits, exponent) => write!(f, "{sign}{digits}e{exponent}"),
        }
    }
}

/// From a number or a text; a float is read by its shortest notation, which is what was written.
impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsWritten;
        fn read<E: Error>(text: &str) -> Result<Decimal, E> {
            Decimal::parse(text.as_bytes())
                .ok_or_else(|| E::custom(format_args!("{text:?} is not a number; write 0.01")))
        }
        impl Visitor<'_> for AsWritten {
            type Value = Decimal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Decimal, E> {
                read(&value.to_string())
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Decimal, E> {
                read(&value.to_string())
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Decimal, E> {
                read(&value.to_string())
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Decimal, E> {
                read(value)
            }
        }
        deserializer.deserialize_any(AsWritten)
    }
}
