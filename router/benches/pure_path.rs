//! Passes requests through what the router computes for each, for `benches/guard`, which counts the instructions.
//!
//! `pure_path PASSES`; without a number it only shows that it runs.

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::hint::black_box;

fn main() {
    let passes = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1);
    let mut path = sample::pure_path();
    let requests: Vec<_> = (0..512).map(sample::request).collect();
    for number in 0..passes {
        let passed = path.pass(black_box(&requests[number % 512]), black_box(sample::ANSWER));
        assert!(passed.is_some(), "request {number} did not pass");
        black_box(passed);
    }
}
