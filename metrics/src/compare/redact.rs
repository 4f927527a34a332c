//! How much of a value is shown, and which keys are not.

use sha2::{Digest, Sha256};

use super::difference::{HASH_MARK, Shown, Type};
use super::shape::{Shape, characters, is_email};
use super::{HashKey, Redaction};

/// Characters of a value that are shown at most.
const SHOWN_MAX: usize = 120;

/// What names of places whose values are nobody's business contain.
const SECRET: [&str; 20] = [
    "authorization",
    "cookie",
    "token",
    "passw",
    "passphrase",
    "secret",
    "apikey",
    "api_key",
    "api-key",
    "credential",
    "session",
    "signature",
    "private",
    "email",
    "e-mail",
    "card",
    "iban",
    "cvv",
    "cvc",
    "ssn",
];

/// Whether values at a place of this name are never shown.
pub(super) fn is_secret_name(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    SECRET.iter().any(|word| name.contains(word))
}

/// Whether a text may hold a credential or a person's address, whatever it is called.
pub(super) fn is_secret_text(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_token = |word: &str| {
        let parts: Vec<&str> = word.split('.').collect();
        word.starts_with("eyJ") && parts.len() == 3
    };
    let words = || text.split(|c: char| c.is_whitespace() || "\"'<>(),;=".contains(c));
    lower.contains("bearer ")
        || lower.contains("basic ")
        || lower.contains("-----begin")
        || SECRET.iter().any(|word| lower.contains(word))
        || words().any(|word| is_token(word) || is_email(word.as_bytes()) || is_key(word) || is_card(word))
        // Credentials in a URL, and anything else with an address in it.
        || text.contains('@')
}

/// Characters from which on a word of letters of both cases and digits is taken for a key.
const KEY_CHARS_MIN: usize = 20;

/// A word as keys are made: long, without a meaning, of all kinds of characters.
fn is_key(word: &str) -> bool {
    let has = |is: fn(&u8) -> bool| word.as_bytes().iter().any(is);
    word.len() >= KEY_CHARS_MIN
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-+/".contains(&byte))
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}

/// The number of a payment card: 13 to 19 digits whose last one is right (Luhn's sum, ISO/IEC 7812-1).
fn is_card(word: &str) -> bool {
    let digits = word.bytes().filter(|byte| *byte != b'-').map(|byte| byte.wrapping_sub(b'0'));
    let sum = digits.clone().rev().enumerate().map(|(at, digit)| {
        let doubled = u32::from(digit) * (1 + (at as u32) % 2);
        doubled / 10 + doubled % 10
    });
    (13..=19).contains(&digits.clone().count()) && digits.clone().all(|digit| digit < 10) && sum.sum::<u32>() % 10 == 0
}

/// Whether a key is shown as `*`, also where places are exact.
pub(super) fn is_private_key(key: &[u8]) -> bool {
    key.contains(&b'@') || key.len() > 64 || key.starts_with(b"eyJ")
}

/// A text, by its shape or shortened.
pub(super) fn text(kind: Type, value: &[u8], is_secret: bool, redaction: Redaction) -> Shown {
    let length = characters(value);
    if is_secret {
        return Shown { kind, length, form: "redacted".to_owned() };
    }
    let form = match redaction {
        Redaction::Shapes => Shape::of(value).to_string(),
        Redaction::Keyed(key) => format!("{}{HASH_MARK}{}", Shape::of(value), keyed(key, value)),
        Redaction::Raw => raw(&String::from_utf8_lossy(value)),
    };
    Shown { kind, length, form }
}

/// Tells equal values from others to who sees several, and nothing to who has no key.
fn keyed(HashKey(key): HashKey, value: &[u8]) -> String {
    let hash = Sha256::new().chain_update(key).chain_update(value).finalize();
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

fn raw(value: &str) -> String {
    if is_secret_text(value) {
        return "redacted".to_owned();
    }
    // What follows the question mark of a URL is data of a caller.
    let is_url = matches!(Shape::of(value.as_bytes()), Shape::Url) || value.starts_with('/');
    let (shown, cut) = match value.split_once('?') {
        Some((before, _)) if is_url => (before, "?…"),
        _ => (value, ""),
    };
    let mut form: String = shown.chars().take(SHOWN_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if form.len() < shown.len() && shown.chars().nth(SHOWN_MAX).is_some() {
        form.push('…');
    }
    form + cut
}
