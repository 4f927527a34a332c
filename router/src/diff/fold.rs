//! Folds a path to the pattern that many requests share.
//!
//! # Why more than digits
//!
//! A pattern is printed, kept and shared. What looks like an identity of somebody, or like a secret, is folded away as well as what would
//! make a pattern of every request.
//!
//! Not here: the routes of a configuration. A recording is compared without one.

/// Segments of a path that a pattern shows.
const SEGMENTS_MAX: usize = 16;

/// A segment that is longer is no name.
const SEGMENT_CHARS_MAX: usize = 64;

/// Hexadecimal digits that are no word.
const HEX_MIN: usize = 16;

/// Letters and digits mixed, without a dot, that are no word.
const OPAQUE_MIN: usize = 20;

const ID: &str = "{id}";

/// The pattern of a path; a query is left out.
pub(crate) fn fold(target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut pattern = String::new();
    for (at, segment) in path.split('/').enumerate() {
        pattern.push('/');
        if at == SEGMENTS_MAX {
            pattern.push_str("**");
            break;
        }
        // Behind a semicolon are parameters, such as `;jsessionid=...`.
        let name = segment.split(';').next().unwrap_or_default();
        pattern.push_str(if is_id(name) { ID } else { name });
    }
    pattern
}

fn is_id(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let all = |test: fn(&u8) -> bool| bytes.iter().all(test);
    let any = |test: fn(&u8) -> bool| bytes.iter().any(test);
    if bytes.is_empty() {
        return false;
    }
    let digits = all(u8::is_ascii_digit);
    let hex = bytes.len() >= HEX_MIN && all(u8::is_ascii_hexdigit);
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'%' | b'=' | b'+');
    let opaque = bytes.len() >= OPAQUE_MIN && all(word) && any(u8::is_ascii_digit);
    let address = segment.contains('@') || segment.to_ascii_lowercase().contains("%40");
    // Every token of three parts that holds JSON begins so.
    let token = segment.starts_with("eyJ");
    digits || hex || is_uuid(bytes) || opaque || address || token || bytes.len() > SEGMENT_CHARS_MAX
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { *byte == b'-' } else { byte.is_ascii_hexdigit() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str, pattern: &str) {
        assert_eq!(fold(target), pattern, "{target}");
    }

    #[test]
    fn what_differs_from_request_to_request_is_folded() {
        check("/orders/81", "/orders/{id}");
        check("/orders/81/lines/7", "/orders/{id}/lines/{id}");
        check("/orders/0b8ff9d2-6f2c-4a7e-9f53-111111111111", "/orders/{id}");
        check("/orders/abcdefab-abcd-abcd-abcd-abcdefabcdef", "/orders/{id}");
        check("/commits/9fceb02d0ae598e95dc970b74767f19372d61af8", "/commits/{id}");
        check("/o/507f1f77bcf86cd799439011?full=1", "/o/{id}");
        check("/keys/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/keys/{id}");
    }

    #[test]
    fn words_stay() {
        check("/", "/");
        check("/api/v2/orders", "/api/v2/orders");
        check("/api/orders/", "/api/orders/");
        check("/deadbeef", "/deadbeef");
        check("/static/bootstrap-5.3.0.bundle.min.js", "/static/bootstrap-5.3.0.bundle.min.js");
        check("/a//b", "/a//b");
        check("/internationalisation-of-everything", "/internationalisation-of-everything");
        check("/0b8ff9d2x6f2c", "/0b8ff9d2x6f2c");
    }

    #[test]
    fn what_may_be_a_secret_or_a_person_is_folded() {
        check("/a?token=s3cret", "/a");
        check("/reset/eyJhbGciOi.eyJzdWIi.c2ln", "/reset/{id}");
        check("/users/anna@example.com", "/users/{id}");
        check("/users/anna%40example.com/x", "/users/{id}/x");
        check("/a;jsessionid=0123/b", "/a/b");
        check(&format!("/{}", "a".repeat(65)), "/{id}");
    }

    #[test]
    fn a_pattern_ends() {
        check(&"/a".repeat(40), &format!("{}/**", "/a".repeat(16)));
    }
}
