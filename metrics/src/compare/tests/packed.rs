//! Lists that pack very well are compared, and bombs are not.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// `orders(1_500, Some(700))`, by brotli, which no package of ours packs.
const ORDERS: &[u8] = include_bytes!("orders.br");

/// A list as APIs answer it. One order may have another total.
fn orders(count: usize, changed: Option<usize>) -> String {
    let order = |at: usize| {
        let total = if changed == Some(at) { 999 } else { at * 37 % 101 };
        let (status, country) = (["paid", "shipped", "returned"][at % 3], ["DE", "FR", "PL", "IT"][at * 7 % 4]);
        let customer = format!(r#"{{"country":"{country}","vat":null,"newsletter":false}}"#);
        let line = format!(r#"{{"sku":"article-{}","quantity":{},"discounts":[]}}"#, at * 13 % 50, 1 + at % 4);
        format!(
            r#"{{"id":{},"status":"{status}","customer":{customer},"currency":"EUR","lines":[{line}],"total":{total}}}"#,
            100_000 + at
        )
    };
    format!("[{}]", (0..count).map(order).collect::<Vec<_>>().join(","))
}

fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn headers(encoding: &str) -> Vec<(String, String)> {
    let mut headers = json_headers();
    headers.push(("content-encoding".to_owned(), encoding.to_owned()));
    headers
}

type Packed<'a> = (&'a str, &'a [u8]);

/// As answers that are kept.
#[track_caller]
fn check(legacy: Packed, new: Packed, limits: &Limits, expected: &[&str]) {
    let (a, b) = (headers(legacy.0), headers(new.0));
    let legacy = Answer { status: 200, headers: &a, body: legacy.1, truncated: false };
    let new = Answer { status: 200, headers: &b, body: new.1, truncated: false };
    assert_eq!(told(&compare(&legacy, &new, &Rules::default(), limits)), expected);
}

/// As answers that stream by, in pieces.
#[track_caller]
fn check_digested(legacy: Packed, new: Packed, limits: &Limits, expected: &[&str]) {
    let digest = |(encoding, body): Packed| {
        let mut digester = Digester::new(encoding, limits)?;
        body.chunks(100_000).for_each(|piece| digester.update(piece));
        digester.finish()
    };
    let (of_legacy, of_new) = (digest(legacy), digest(new));
    let (a, b) = (headers(legacy.0), headers(new.0));
    let legacy = Answer { status: 200, headers: &a, body: b"", truncated: true };
    let new = Answer { status: 200, headers: &b, body: b"", truncated: true };
    let unkept = [&of_legacy, &of_new].map(|digest| Unkept { digest: digest.as_ref(), length_min: 0 });
    assert_eq!(told(&compare_unkept(&legacy, &new, unkept, &Rules::default(), limits)), expected);
}

#[test]
fn a_list_that_packs_well_is_compared() {
    let limits = Limits::default();
    let (plain, other) = (orders(1_500, None), orders(1_500, Some(700)));
    let (gzip, other_gzip) = (gzipped(plain.as_bytes()), gzipped(other.as_bytes()));
    assert!(gzip.len() * 20 < plain.len() && ORDERS.len() * 30 < plain.len());
    let total = &["$[*].total value_changed"][..];
    for check in [check, check_digested] {
        check(("gzip", &gzip), ("gzip", &other_gzip), &limits, total);
        check(("gzip", &gzip), ("br", ORDERS), &limits, total);
        check(("", plain.as_bytes()), ("br", ORDERS), &limits, total);
        check(("", other.as_bytes()), ("br", ORDERS), &limits, &["matched"]);
        check(("gzip", &other_gzip), ("br", ORDERS), &limits, &["matched"]);
    }
}

#[test]
fn one_that_is_too_long_to_be_unpacked_whole_is_told_by_its_digest() {
    let plain = orders(1_500, None);
    let limits = Limits { decoded_bytes: 64 << 10, ..Limits::default() };
    let gzip = gzipped(plain.as_bytes());
    check(("gzip", &gzip), ("br", ORDERS), &limits, &["$[*].total value_changed"]);
    check(("", plain.as_bytes()), ("br", ORDERS), &limits, &["$[*].total value_changed"]);
    // Where a ratio is asked for.
    let limits = Limits { inflation_free_bytes: 64 << 10, ..limits };
    check(("gzip", &gzip), ("br", ORDERS), &limits, &["$[*].total value_changed"]);
    // As it is without settings.
    let (plain, other) = (orders(27_000, None), orders(27_000, Some(26_999)));
    assert!(plain.len() > Limits::default().decoded_bytes);
    let (gzip, other) = (gzipped(plain.as_bytes()), gzipped(other.as_bytes()));
    check(("gzip", &gzip), ("gzip", &other), &Limits::default(), &["$[*].total value_changed"]);
}

#[test]
fn a_list_of_very_many_values_is_told_by_its_digest() {
    let list = |last: u8| format!("[{}{last}]", "1,".repeat(100_000));
    let (a, b) = (list(1), list(2));
    check(("", a.as_bytes()), ("", b.as_bytes()), &Limits::default(), &["$[*] value_changed"]);
    check(("", a.as_bytes()), ("", a.replace(',', " ,").as_bytes()), &Limits::default(), &["matched"]);
}

/// 8 MiB of spaces by brotli in 14 bytes.
const SPACES: &[u8] = b"\x9b\xff\xff\x7f\xf8\x25\x40\xe2\xb1\x40\x20\xf7\xfe\x0f";

#[test]
fn a_bomb_is_one_however_it_is_sent() {
    let limits = Limits::default();
    let bomb = gzipped(&vec![b' '; 8 << 20]);
    let inflated = &["not compared: inflated"][..];
    check(("gzip", &bomb), ("br", SPACES), &limits, inflated);
    for new in [("gzip", bomb.as_slice()), ("br", SPACES)] {
        check(("", b"{}"), new, &limits, inflated);
        check(new, ("", b"{}"), &limits, inflated);
        check_digested(("", b"{}"), new, &limits, &["not compared: truncated"]);
    }
    // What follows is not read any more: 64 such, one after the other, cost no more than one.
    let bombs = bomb.repeat(64);
    check(("", b"{}"), ("gzip", &bombs), &limits, inflated);
    let mut digester = Digester::new("gzip", &limits).unwrap();
    digester.update(&bombs[..bomb.len()]);
    assert!(!digester.is_sound());
    // A bomb beside what is damaged, and one that is damaged itself.
    check(("gzip", b"not gzip"), ("gzip", &bomb), &limits, inflated);
    let small = Limits { decoded_bytes: 64 << 10, ..Limits::default() };
    let damaged = [&gzipped(orders(1_500, None).as_bytes()), &b"\0\0\0\0"[..]].concat();
    check(("", b"{}"), ("gzip", &damaged), &small, &["$ undecodable"]);
}
