//! The interval in which a share lies 19 times of 20, after Wilson: also of few, and of shares near 0 and 1.

/// 95 %, both sides.
const Z: f64 = 1.96;

/// The lower and the upper bound of `hits` in `of`; of nothing, nearly everything is possible.
pub fn wilson(hits: u64, of: u64) -> (f64, f64) {
    let n = of.max(1) as f64;
    let share = hits.min(of) as f64 / n;
    let centre = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hits: u64, of: u64, low: f64, high: f64) {
        let (a, b) = wilson(hits, of);
        assert!((a - low).abs() < 5e-4 && (b - high).abs() < 5e-4, "{hits} of {of}: {a} {b}");
    }

    #[test]
    fn intervals_are_those_of_the_textbook() {
        check(0, 0, 0.0, 0.7935);
        check(0, 10, 0.0, 0.278);
        check(10, 10, 0.722, 1.0);
        check(5, 10, 0.237, 0.763);
        check(10, 1_000, 0.0054, 0.0183);
    }
}
