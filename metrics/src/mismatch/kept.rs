//! What one side answered, as far as it was kept.

use crate::compare::{Answer, Digest, Unkept};

/// What one side answered, as far as it was kept.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    pub status: u16,
    /// Names in any case.
    pub headers: Vec<(String, String)>,
    /// As it was received, with its content-encoding.
    pub body: Vec<u8>,
    /// Whether there was more than `body` holds.
    pub truncated: bool,
    /// Of the whole body, where it was larger than is kept.
    pub digest: Option<Digest>,
    /// Bytes that the body had at least, where it was truncated.
    pub length_min: u64,
}

impl Kept {
    pub fn answer(&self) -> Answer<'_> {
        Answer { status: self.status, headers: &self.headers, body: &self.body, truncated: self.truncated }
    }

    /// Whether it has to be unpacked to be compared.
    pub fn is_packed(&self) -> bool {
        !self.truncated && self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-encoding"))
    }

    pub fn unkept(&self) -> Unkept<'_> {
        Unkept { digest: self.digest.as_ref(), length_min: self.length_min }
    }
}
