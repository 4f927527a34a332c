//! Numbers that look random and are the same for the same seed: xoshiro256++ of Blackman and Vigna, seeded by SplitMix64.
//!
//! Binomial and Poisson numbers come by inversion in pieces that cannot underflow. Not for secrets.

/// Means that are drawn at once; `exp` of minus this is far from zero.
const PIECE: f64 = 100.0;

#[derive(Clone, Debug)]
pub struct Dice([u64; 4]);

impl Dice {
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        Self([0, 1, 2, 3].map(next))
    }

    pub fn bits(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// At least 0 and below 1.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// How many of `n` happen that happen each with the chance `p`.
    pub fn binomial(&mut self, n: u32, p: f64) -> u32 {
        if p > 0.5 {
            return n - self.binomial(n, 1.0 - p);
        }
        if n == 0 || p <= 0.0 {
            return 0;
        }
        let piece = (PIECE / p).min(f64::from(n)) as u32;
        let (mut left, mut sum) = (n, 0);
        while left > 0 {
            let now = left.min(piece);
            sum += self.small_binomial(now, p);
            left -= now;
        }
        sum
    }

    fn small_binomial(&mut self, n: u32, p: f64) -> u32 {
        let odds = p / (1.0 - p);
        let mut chance = (f64::from(n) * (-p).ln_1p()).exp();
        let mut rest = self.uniform();
        for k in 0..n {
            if rest < chance {
                return k;
            }
            rest -= chance;
            chance *= f64::from(n - k) / f64::from(k + 1) * odds;
        }
        n
    }

    /// How many come of a stream that brings `mean` on average.
    pub fn poisson(&mut self, mean: f64) -> u32 {
        let (mut left, mut sum) = (mean, 0);
        while left > 0.0 {
            sum += self.small_poisson(left.min(PIECE));
            left -= PIECE;
        }
        sum
    }

    fn small_poisson(&mut self, mean: f64) -> u32 {
        let mut chance = (-mean).exp();
        let mut rest = self.uniform();
        // Ten times the mean and some is never reached but by rounding.
        let most = 10 * PIECE as u32;
        for k in 0..most {
            if rest < chance {
                return k;
            }
            rest -= chance;
            chance *= mean / f64::from(k + 1);
        }
        // Rounding has eaten the last of the chance; the mean is as good as any.
        mean as u32
    }
}
