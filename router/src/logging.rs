//! Where log lines go and what they look like.
//!
//! # Why lines are escaped once more
//!
//! Paths, hosts and header values of strangers end up in log lines. A line feed in one of them would
//! forge a line, and an escape sequence would command the terminal of whoever reads it. Whatever the
//! code that logs has done about it, text leaves here without control characters. JSON escapes them
//! by itself.
//!
//! Lines go to stderr, because stdout is for data. Not here: files and rotation, which the service
//! manager does better.

use std::borrow::Cow;
use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Log, LogFormat};

/// Installs the subscriber of this process. The second call does nothing.
///
/// `RUST_LOG` chooses what is logged; `info` where it says nothing.
pub fn init(log: &Log) {
    let written = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, mistake) = match EnvFilter::builder().parse(&written) {
        Ok(filter) if !written.trim().is_empty() => (filter, None),
        Ok(_) => (EnvFilter::new("info"), None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Escaped(io::stderr()));
    // An error means that another subscriber is there already, such as that of a test.
    let _ = match log.format {
        LogFormat::Text => lines.with_ansi(false).finish().try_init(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().try_init()
        }
    };
    if let Some(error) = mistake {
        tracing::warn!(%error, "RUST_LOG is not understood, so info is logged");
    }
}

/// Writes each event, which arrives whole, as one line without control characters.
struct Escaped<W>(W);

impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(&one_line(event))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn one_line(event: &[u8]) -> Cow<'_, [u8]> {
    let (text, end) = match event.strip_suffix(b"\n") {
        Some(text) => (text, &b"\n"[..]),
        None => (event, &b""[..]),
    };
    // C1 controls are two bytes in UTF-8: 0xC2 0x80 to 0xC2 0x9F.
    let c1 = |at: usize| text[at] == 0xc2 && text.get(at + 1).is_some_and(|next| (0x80..=0x9f).contains(next));
    let control = |at: usize| text[at].is_ascii_control() || c1(at);
    if !(0..text.len()).any(control) {
        return event.into();
    }
    let mut line = Vec::with_capacity(event.len() + 16);
    for (at, byte) in text.iter().enumerate() {
        if control(at) || (at > 0 && c1(at - 1)) {
            line.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        } else {
            line.push(*byte);
        }
    }
    line.extend_from_slice(end);
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(event: &str, expected: &str) {
        let mut written = Vec::new();
        Escaped(&mut written).write_all(event.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        check("INFO path=/a\n", "INFO path=/a\n");
        check("INFO path=/a\nINFO forged\n", "INFO path=/a\\x0aINFO forged\n");
        check("\u{1b}[31mred\r\u{7f}\u{9b}2J\n", "\\x1b[31mred\\x0d\\x7f\\xc2\\x9b2J\n");
        check("ä € tab\there", "ä € tab\\x09here");
    }
}
