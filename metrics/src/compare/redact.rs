//! How much of a value is shown, and which keys are not.

use sha2::{Digest, Sha256};

use super::difference::{HASH_MARK, Shown, Type};
use super::shape::{Shape, characters, is_email};
use super::{HashKey, Redaction};

/// Characters of a value that are shown at most.
const SHOWN_MAX: usize = 120;

/// What names of places whose values are nobody's business contain.
const SECRET: [&str; 15] = [
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
        || words().any(|word| is_token(word) || is_email(word.as_bytes()))
        // Credentials in a URL, and anything else with an address in it.
        || text.contains('@')
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
