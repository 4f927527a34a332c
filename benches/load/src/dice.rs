//! Numbers that look random and are the same in every run (SplitMix64).

pub struct Dice(u64);

impl Dice {
    /// Seeded by a name, so that no two systems fail in step.
    pub fn new(name: &str) -> Self {
        // FNV-1a.
        Self(
            name.bytes()
                .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)),
        )
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// At least 0 and less than 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_numbers_is_below_it_whatever_the_name() {
        for name in ["legacy", "new", ""] {
            let mut dice = Dice::new(name);
            let below = (0..10_000).filter(|_| dice.share() < 0.3).count();
            assert!((2_800..3_200).contains(&below), "{name}: {below}");
        }
    }
}
