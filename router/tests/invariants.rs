//! The invariants of the fuzz targets, held briefly: every seed, and inputs made from seeds by a fixed order of chances.
//!
//! They stand in `fuzz/src`, written once. A fuzzer looks for what nobody thought of; this run only keeps what was found from
//! coming back unseen, and takes a second or two.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as the test itself does")]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/lib.rs"]
pub mod invariants;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fuzz")
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        fs::read_dir(folder().join("seeds").join(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 3, "{target} has {} seeds", paths.len());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The words of the dictionary: `"text"` a line, other bytes as `\x0d`.
fn words() -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder().join("tokens.dict")).unwrap();
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(unescape).collect()
}

fn unescape(word: &str) -> Vec<u8> {
    let mut pieces = word.split("\\x");
    let mut bytes = pieces.next().unwrap().as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    bytes
}

/// Chances in a fixed order.
struct Chances(u64);

impl Chances {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }
}

/// One to four damages: a byte changed, a piece cut, doubled or moved, a word or a piece of another seed put in.
fn damage(seeds: &[Vec<u8>], words: &[Vec<u8>], chances: &mut Chances) -> Vec<u8> {
    let mut input = seeds[chances.below(seeds.len())].clone();
    for _ in 0..=chances.below(4) {
        let at = chances.below(input.len() + 1);
        let end = (at + chances.below(24)).min(input.len());
        match chances.below(6) {
            0 if at < input.len() => input[at] = u8::try_from(chances.below(256)).unwrap(),
            1 => drop(input.drain(at..end)),
            2 => {
                let piece = input[at..end].to_vec();
                let to = chances.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            3 => {
                let other = &seeds[chances.below(seeds.len())];
                let from = chances.below(other.len());
                let to = (from + chances.below(64)).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
            _ => drop(input.splice(at..at, words[chances.below(words.len())].iter().copied())),
        }
    }
    input
}

/// Holds every seed, every start of one, and many damaged ones against the invariants of one target.
fn check(target: &str, inputs: usize, holds: fn(&[u8])) {
    let (seeds, words) = (seeds(target), words());
    for seed in &seeds {
        for end in 0..=seed.len() {
            holds(&seed[..end]);
        }
    }
    let mut chances = Chances(0x5eed);
    for _ in 0..inputs {
        holds(&damage(&seeds, &words, &mut chances));
    }
}

#[test]
fn request_heads_keep_their_invariants() {
    check("request_head", 1_500, invariants::request_head);
}

#[test]
fn heads_of_answers_keep_their_invariants() {
    check("response_head", 1_500, invariants::response_head);
}

#[test]
fn chunked_bodies_keep_their_invariants() {
    check("chunks", 3_000, invariants::chunks);
}

#[test]
fn routes_keep_their_invariants() {
    check("routes", 1_000, invariants::routes);
}

#[test]
fn exchanges_keep_their_invariants() {
    check("exchange", 1_500, invariants::exchange);
}

#[test]
fn the_file_keeps_its_invariants() {
    check("file", 200, invariants::file);
}

/// What grows faster than the text would take a router down at a reload.
#[test]
fn a_file_that_was_made_to_hurt_is_told_so_in_time() {
    let deep = |open: &str| open.repeat(100_000);
    let aliases: String = (1..30).map(|n| format!("a{n}: &a{n} [*a{m}, *a{m}, *a{m}]\n", m = n - 1)).collect();
    for text in
        [deep("["), deep("{a: "), deep("- "), deep("? "), deep("&a "), deep("${"), format!("a0: &a0 x\n{aliases}")]
    {
        invariants::file(text.as_bytes());
    }
}
