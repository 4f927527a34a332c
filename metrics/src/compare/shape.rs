//! What a text looks like, for rules of kind `shape` and for showing values without showing them.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Uuid,
    /// RFC 3339: a date, or a date with a time.
    Time,
    Date,
    /// Hex digits, at least eight and an even number, as digests and object ids are.
    Hex(usize),
    Integer(usize),
    Decimal,
    Url,
    Email,
    Text(usize),
}

impl Shape {
    pub(super) fn of(text: &[u8]) -> Self {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
            return Self::Integer(digits.len());
        }
        if text.len() >= 8 && text.len().is_multiple_of(2) && text.iter().all(u8::is_ascii_hexdigit) {
            return Self::Hex(text.len());
        }
        if is_uuid(text) {
            return Self::Uuid;
        }
        match time(text) {
            Some(true) => return Self::Time,
            Some(false) => return Self::Date,
            None => {}
        }
        if is_url(text) {
            return Self::Url;
        }
        if is_email(text) {
            return Self::Email;
        }
        if super::Decimal::parse(text).is_some() { Self::Decimal } else { Self::Text(characters(text)) }
    }

    /// Whether values of both shapes may stand for each other: made anew by the same rule, not by another.
    pub(super) fn is_like(self, other: Self) -> bool {
        match (self, other) {
            // One digest in a few hundred has no letters in it.
            (Self::Hex(a), Self::Integer(b)) | (Self::Integer(b), Self::Hex(a)) => a == b,
            (Self::Integer(_), Self::Integer(_) | Self::Decimal) | (Self::Decimal, Self::Integer(_)) => true,
            (Self::Text(a), Self::Text(b)) => a.max(b) <= 2 * a.min(b) + 8,
            (a, b) => a == b,
        }
    }

    /// Whether a key of this shape is one of many that a system made up.
    pub(super) fn is_made_up(self) -> bool {
        match self {
            Self::Uuid
            | Self::Time
            | Self::Date
            | Self::Hex(_)
            | Self::Integer(_)
            | Self::Decimal
            | Self::Url
            | Self::Email => true,
            Self::Text(length) => length > 64 || length == 0,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid => f.write_str("uuid"),
            Self::Time => f.write_str("rfc3339"),
            Self::Date => f.write_str("date"),
            Self::Hex(length) => write!(f, "hex-{length}"),
            Self::Integer(length) => write!(f, "integer({length})"),
            Self::Decimal => f.write_str("decimal"),
            Self::Url => f.write_str("url"),
            Self::Email => f.write_str("email"),
            Self::Text(length) => write!(f, "text({length})"),
        }
    }
}

/// Characters, where a sequence that is no UTF-8 counts as it can.
pub(super) fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// `d` is a digit, `x` a hex digit, anything else itself.
fn fits(text: &[u8], form: &[u8]) -> bool {
    let one = |(byte, form): (&u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        b'x' => byte.is_ascii_hexdigit(),
        _ => byte == form,
    };
    text.len() == form.len() && text.iter().zip(form).all(one)
}

fn is_uuid(text: &[u8]) -> bool {
    fits(text, b"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
}

/// Whether it is a date with a time, or without one.
fn time(text: &[u8]) -> Option<bool> {
    let (date, rest) = text.split_at_checked(10)?;
    if !fits(date, b"dddd-dd-dd") {
        return None;
    }
    let Some((separator, rest)) = rest.split_first() else { return Some(false) };
    let (clock, rest) = rest.split_at_checked(8)?;
    if !b"Tt ".contains(separator) || !fits(clock, b"dd:dd:dd") {
        return None;
    }
    let zone = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            fraction.get(digits..).filter(|_| digits > 0)?
        }
        None => rest,
    };
    let is_zone = zone == b"Z" || zone == b"z" || fits(zone, b"+dd:dd") || fits(zone, b"-dd:dd");
    is_zone.then_some(true)
}

fn is_url(text: &[u8]) -> bool {
    let after = text.strip_prefix(b"https://").or_else(|| text.strip_prefix(b"http://"));
    after.is_some_and(|rest| !rest.is_empty() && !rest.iter().any(u8::is_ascii_whitespace))
}

pub(super) fn is_email(text: &[u8]) -> bool {
    let mut parts = text.splitn(2, |byte| *byte == b'@');
    let (Some(name), Some(host)) = (parts.next(), parts.next()) else { return false };
    let no_space = !text.iter().any(u8::is_ascii_whitespace);
    no_space && !name.is_empty() && host.contains(&b'.') && !host.contains(&b'@') && !host.contains(&b'/')
}
