//! Answers that mean harm: they cost little and are told for what they are.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn check(legacy: &[u8], new: &[u8], expected: &[&str]) {
    let headers = json_headers();
    let answer = |body| Answer { status: 200, headers: &headers, body, truncated: false };
    assert_eq!(told(&compare(&answer(legacy), &answer(new), &Rules::default(), &Limits::default())), expected);
}

#[track_caller]
fn check_gzip(legacy: &[u8], new: &[u8], expected: &[&str]) {
    let mut headers = json_headers();
    let plain = Answer { status: 200, headers: &headers.clone(), body: legacy, truncated: false };
    headers.push(("Content-Encoding".to_owned(), "gzip".to_owned()));
    let packed = Answer { status: 200, headers: &headers, body: new, truncated: false };
    assert_eq!(told(&compare(&plain, &packed, &Rules::default(), &Limits::default())), expected);
}

#[test]
fn depth_and_number_are_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    check(b"[]", &nested(64), &["$[*] added"]);
    check(b"[]", &nested(65), &["not compared: depth"]);
    check(b"[]", "[".repeat(1 << 20).as_bytes(), &["not compared: depth"]);
    check(b"[]", "{\"a\":".repeat(100_000).as_bytes(), &["not compared: depth"]);
    let many = format!("[{}1]", "1,".repeat(100_000));
    check(b"[]", many.as_bytes(), &["not compared: nodes"]);
}

#[test]
fn what_is_no_json_is_told() {
    for wrong in [
        &b"NaN"[..],
        b"[1,]",
        b"{\"a\":Infinity}",
        b"01",
        b"1.",
        b"-",
        b"+1",
        b".5",
        b"1e",
        b"{} x",
        b"{}{}",
        b"\"a",
        b"\"\\x\"",
        b"\"\\u12\"",
        b"\"\x01\"",
        b"{a:1}",
        b"{'a':1}",
        b"tru",
        b"\"\xff\"",
        b"\"\xed\xa0\x80\"",
        b"[1 2]",
        b"{\"a\" 1}",
        b"",
        b"// x\n1",
    ] {
        check(b"{}", wrong, &["$ not_json"]);
        check(wrong, b"{}", &["$ not_json"]);
    }
    check(b"NaN", b"Infinity", &["lines[*] text_line"]);
}

#[test]
fn unpacking_is_bounded() {
    let document = format!("[{}1]", "1,".repeat(100));
    check_gzip(document.as_bytes(), &gzipped(document.as_bytes()), &["matched"]);
    check_gzip(b"[1]", &gzipped(b"[2]"), &["$[*] value_changed"]);
    check_gzip(b"{}", &gzipped(&vec![b' '; 8 << 20]), &["not compared: inflated"]);
    check_gzip(b"{}", b"not gzip at all", &["$ undecodable"]);
    let packed = gzipped(document.as_bytes());
    check_gzip(document.as_bytes(), &packed[..packed.len() - 9], &["$ undecodable"]);
    check_gzip(b"", b"", &["matched"]);
}

/// Each of these took a square of the size, or more, with the obvious algorithm.
#[test]
fn work_does_not_explode() {
    let list = |of: &dyn Fn(usize) -> String, count| format!("[{}]", (0..count).map(of).collect::<Vec<_>>().join(","));
    let same = list(&|_| "1".to_owned(), 90_000);
    let other = list(&|n| (n % 2).to_string(), 80_000);
    check(same.as_bytes(), other.as_bytes(), &["$ length_changed", "$ order_changed", "$[*] value_changed"]);
    let up = list(&|n| n.to_string(), 90_000);
    let down = list(&|n| (90_000 - n).to_string(), 90_000);
    check(up.as_bytes(), down.as_bytes(), &["$ order_changed", "$[*] value_changed"]);
    let object = |from: usize| {
        let members: Vec<String> = (0..45_000).map(|n| format!("\"k{}\":{n}", n + from)).collect();
        format!("{{{}}}", members.join(","))
    };
    let told = told(&of_json(&object(0), &object(100_000), &Rules::default()));
    assert!(told.len() > 8, "{told:?}");
    let twice = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(90_000));
    check(twice.as_bytes(), b"{\"a\":1}", &["$.a duplicate_key"]);
    let long = |value: &str| format!("{{\"{}\":[{}1]}}", "k".repeat(500_000), format!("{value},").repeat(50_000));
    check(long("1").as_bytes(), long("2").as_bytes(), &["$.*[*] value_changed"]);
    // Arrays within arrays that differ on every level are hashed once, not once a level.
    let deep = |leaf: &str| (0..60).fold(leaf.to_owned(), |inner, _| format!("[{inner},{}1]", "7,".repeat(800)));
    check(deep("1").as_bytes(), deep("2").as_bytes(), &[&format!("${} value_changed", "[*]".repeat(60))]);
}

#[test]
fn many_differences_are_counted_and_few_are_kept() {
    let list = |value: &str| format!("[{}]", vec![format!("{{\"v\":{value}}}"); 5_000].join(","));
    match of_json(&list("1"), &list("2"), &Rules::default()) {
        Comparison::Mismatched { differences, more, .. } => assert_eq!((differences.len(), more), (8, 4_992)),
        other => panic!("{other:?}"),
    }
}
