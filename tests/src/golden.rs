//! Where a key stands on the scale of shares: an own reading of the frozen hash, so that the fleet is not its own witness.

/// The bucket of a key, 0 to 9999: MurmurHash3 (x86, 32 bit, seed 0) of `salt:key`, scaled.
pub fn bucket(salt: &str, key: &str) -> u16 {
    let hash = murmur3(format!("{salt}:{key}").as_bytes());
    u16::try_from((u64::from(hash) * 10_000) >> 32).expect("less than ten thousand")
}

fn murmur3(bytes: &[u8]) -> u32 {
    let mix = |word: u32| word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut hash = 0_u32;
    let mut words = bytes.chunks_exact(4);
    for word in words.by_ref() {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        hash = (hash ^ mix(word)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let tail = words.remainder().iter().rev().fold(0_u32, |tail, byte| (tail << 8) | u32::from(*byte));
    hash ^= mix(tail);
    hash ^= u32::try_from(bytes.len()).expect("keys are short");
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_golden_vectors() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../flags/src/golden/bucket-v1.json")).expect("it is JSON");
        let cases = golden["bucket"].as_array().expect("cases");
        assert!(cases.len() >= 30);
        for case in cases {
            let text = |name: &str| case[name].as_str().expect("a text");
            assert_eq!(Some(u64::from(bucket(text("salt"), text("key")))), case["bucket"].as_u64(), "{case}");
        }
    }
}
