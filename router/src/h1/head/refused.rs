//! What is kept of a head that is refused, for its answer and its log line.

use super::{RequestHead, Span};

/// What is kept of the first line of a refused head.
const LINE_KEPT_BYTES_MAX: usize = 256;
const METHOD_KEPT_BYTES_MAX: usize = 32;

impl RequestHead {
    /// Keeps of a head that was refused what its answer and its log line need: the method, and a path that may be told.
    ///
    /// Whatever else it holds was not understood, so it may be a password in the wrong place.
    pub fn keep_line(&mut self, buf: &[u8]) {
        self.clear();
        let line = buf.trim_ascii_start();
        let line = &line[..memchr::memchr(b'\n', line).unwrap_or(line.len()).min(LINE_KEPT_BYTES_MAX)];
        let Some(method) = memchr::memchr(b' ', line).filter(|at| *at <= METHOD_KEPT_BYTES_MAX) else { return };
        let target = &line[method + 1..];
        let target = &target[..target.iter().position(u8::is_ascii_whitespace).unwrap_or(target.len())];
        self.method = Span::new(&(0..method));
        if target.starts_with(b"/") {
            self.target = Span::new(&(method + 1..method + 1 + target.len()));
        }
        self.bytes.extend_from_slice(line);
    }
}
