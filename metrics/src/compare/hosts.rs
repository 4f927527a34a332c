//! The host of URLs in a text, read as another.

use std::borrow::Cow;

/// The text with `legacy` as host of a URL replaced by `new`; a host that only begins or ends like it is another one.
pub(super) fn mapped<'t>(text: &'t [u8], legacy: &str, new: &str) -> Cow<'t, [u8]> {
    let wanted = legacy.as_bytes();
    let mut out: Vec<u8> = Vec::new();
    let mut copied = 0;
    for at in 0..text.len() {
        let is_host = at >= copied
            && text[..at].ends_with(b"//")
            && text[at..].len() >= wanted.len()
            && text[at..at + wanted.len()].eq_ignore_ascii_case(wanted)
            && text.get(at + wanted.len()).is_none_or(|next| b"/:?#\"' \t\r\n<>),".contains(next));
        if is_host {
            out.extend(&text[copied..at]);
            out.extend(new.as_bytes());
            copied = at + wanted.len();
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.extend(&text[copied..]);
    Cow::Owned(out)
}
