//! Every byte at every place around a framing field, as scanners for smuggling try them.

use super::{HIDDEN, Mutation, Verdict, post};

/// Every value of a byte, as a char.
fn bytes() -> impl Iterator<Item = char> {
    (0..=0xff_u8).map(char::from)
}

/// What may stand in a value.
fn is_text(byte: char) -> bool {
    matches!(byte, '\t' | ' '..='~' | '\u{80}'..)
}

pub(super) fn all() -> Vec<Mutation> {
    let mut found = Vec::new();
    let body = format!("0\r\n\r\n{HIDDEN}");
    let whole = format!("Content-Length: {}\r\n", body.len());
    let by_length = Verdict::Forwarded(body.clone());
    for byte in bytes() {
        let (named, text) = (byte.is_ascii_alphanumeric(), is_text(byte));
        for (line, goes_on) in [
            (format!("{byte}Transfer-Encoding: chunked"), named),
            (format!("Transfer-Encoding{byte}: chunked"), named),
            (format!("Transfer-Encoding:{byte}chunked"), false),
            (format!("Transfer-Encoding: {byte}chunked"), false),
            (format!("Transfer-Encoding: chunked{byte}"), false),
            (format!("X: x{byte}Transfer-Encoding: chunked"), text),
            (format!("X: x\r{byte}Transfer-Encoding: chunked"), false),
            (format!("X: x{byte}\nTransfer-Encoding: chunked"), false),
        ] {
            let verdict = if goes_on { &by_length } else { &Verdict::Refused };
            found.push(Mutation::new("byte", post(&format!("{whole}{line}\r\n"), &body), verdict));
        }
        // A digit makes another number, and behind it an incomplete body.
        for (line, goes_on) in [
            (format!("{byte}Content-Length: 5"), named),
            (format!("Content-Length{byte}: 5"), named),
            (format!("Content-Length:{byte}5"), matches!(byte, ' ' | '\t' | '0'..='9')),
            (format!("Content-Length: 5{byte}"), matches!(byte, ' ' | '\t' | '0'..='9')),
            (format!("X: x\r{byte}Content-Length: 5"), byte == '\n'),
            (format!("X: x{byte}\nContent-Length: 5"), byte == '\r'),
        ] {
            let verdict = if goes_on { &Verdict::Apart } else { &Verdict::Refused };
            found.push(Mutation::new("byte", post(&format!("{line}\r\n"), &format!("hello{HIDDEN}")), verdict));
        }
    }
    found
}
