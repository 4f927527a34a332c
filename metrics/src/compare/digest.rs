//! What is kept of a body that is too large to be kept: its length and a hash.

/// Of one whole body, after its content-encoding was taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest {
    pub length: u64,
    pub hash: [u8; 16],
}
