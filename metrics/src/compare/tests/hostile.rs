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
    check_packed("gzip", legacy, new, expected);
}

#[track_caller]
fn check_packed(encoding: &str, legacy: &[u8], new: &[u8], expected: &[&str]) {
    let mut headers = json_headers();
    let plain = Answer { status: 200, headers: &headers.clone(), body: legacy, truncated: false };
    headers.push(("Content-Encoding".to_owned(), encoding.to_owned()));
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
    check(b"[]", many.as_bytes(), &["$ length_changed"]);
    let lines = "a\n".repeat(100_001);
    check(b"b", lines.as_bytes(), &["not compared: nodes"]);
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

/// Bytes that another packer has made, because none is among our packages.
fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    hexadecimal.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

#[test]
fn unpacking_brotli_is_bounded() {
    let document = format!("[{}1]", "1,".repeat(100));
    let packed = bytes("1bca00f8a55962b6ba94229b8501038901");
    let check = |legacy: &[u8], new: &[u8], expected: &[&str]| check_packed("br", legacy, new, expected);
    check(document.as_bytes(), &packed, &["matched"]);
    check(b"[1]", &bytes("0b01805b325d03"), &["$[*] value_changed"]);
    // 8 MiB of spaces in 14 bytes.
    check(b"{}", &bytes("9bffff7ff82540e2b14020f7fe0f"), &["not compared: inflated"]);
    check(b"{}", b"not brotli at all", &["$ undecodable"]);
    check(document.as_bytes(), &packed[..packed.len() - 2], &["$ undecodable"]);
    // A window of a gigabyte, which HTTP does not know.
    check(b"[2]", &bytes("115eac04e09794d9ea8acd8200e30c"), &["$ undecodable"]);
    check(b"", b"", &["matched"]);
}

#[test]
fn what_was_too_long_is_compared_by_its_digest() {
    let limits = Limits::default();
    let long = vec![b'x'; (1 << 20) + 1];
    let compared = |media: &str, (legacy, new): (&[u8], &[u8])| {
        let headers = [("Content-Type".to_owned(), media.to_owned())];
        let digest = |body: &[u8]| (body.len() > 1 << 20).then(|| Digest::of(body, "", &limits)).flatten();
        let (a, b) = (digest(legacy), digest(new));
        let answer = |body, digest: &Option<Digest>| match digest {
            Some(_) => Answer { status: 200, headers: &headers, body: b"", truncated: true },
            None => Answer { status: 200, headers: &headers, body, truncated: false },
        };
        let (legacy, new) = (answer(legacy, &a), answer(new, &b));
        let known = |digest| Unkept { digest, length_min: 0 };
        told(&compare_unkept(&legacy, &new, [known(a.as_ref()), known(b.as_ref())], &Rules::default(), &limits))
    };
    let other = vec![b'y'; long.len()];
    assert_eq!(compared("image/png", (&long, &long)), ["matched"]);
    assert_eq!(compared("image/png", (&long, &other)), ["$ binary"]);
    assert_eq!(compared("image/png", (&long, b"x")), ["$ binary"]);
    // Unequal bytes of a document may mean the same.
    assert_eq!(compared("application/json", (&long, &long)), ["matched"]);
    assert_eq!(compared("application/json", (&long, &other)), ["not compared: too_large"]);
    let headers = json_headers();
    let cut = Answer { status: 200, headers: &headers, body: b"", truncated: true };
    let one = Digest::of(&long, "", &limits);
    let known = [Unkept { digest: one.as_ref(), length_min: 0 }, Unkept::default()];
    assert_eq!(told(&compare_unkept(&cut, &cut, known, &Rules::default(), &limits)), ["not compared: truncated"]);
}

/// Of one side all is there, of the other only how long it is at least.
#[track_caller]
fn check_length(whole: (&str, &[u8]), cut: (&str, u64), rules: &Rules, expected: &[&str]) {
    let headers = |encoding: &str| {
        let mut headers = json_headers();
        headers.push(("content-encoding".to_owned(), encoding.to_owned()));
        headers
    };
    let (of_whole, of_cut) = (headers(whole.0), headers(cut.0));
    let whole = Answer { status: 200, headers: &of_whole, body: whole.1, truncated: false };
    let known = Unkept { digest: None, length_min: cut.1 };
    let cut = Answer { status: 200, headers: &of_cut, body: b"", truncated: true };
    let limits = Limits::default();
    let there = compare_unkept(&whole, &cut, [Unkept::default(), known], rules, &limits);
    let back = compare_unkept(&cut, &whole, [known, Unkept::default()], rules, &limits);
    assert_eq!((told(&there), told(&back)), (expected.iter().map(|own| (*own).to_owned()).collect(), told(&there)));
}

#[test]
fn what_is_many_times_as_long_is_not_the_same() {
    let (none, page) = (Rules::default(), b"[1, 2, 3]".repeat(1_000));
    let unknown = &["not compared: truncated"][..];
    let longer = &["$ body_length"][..];
    check_length(("", b"{}"), ("", (16 << 10) + 1), &none, longer);
    check_length(("", b"{}"), ("", 10 << 30), &none, longer);
    check_length(("identity", b""), ("", 1 << 20), &none, longer);
    check_length(("", b"{}"), ("", 16 << 10), &none, unknown);
    check_length(("", &page), ("", 72_001), &none, longer);
    check_length(("", &page), ("", 72_000), &none, unknown);
    // What is packed may be anything.
    check_length(("", b"{}"), ("gzip", 10 << 30), &none, unknown);
    check_length(("gzip", &gzipped(&page)), ("", 72_001), &none, longer);
    check_length(("gzip", b"no gzip"), ("", 72_001), &none, unknown);
    // What is ignored may be as long as it likes, and so may what has only to have a shape.
    check_length(("", b"{}"), ("", 1 << 20), &rules(&[("$", RuleKind::Ignore)]), &["ignored"]);
    for kind in [RuleKind::Ignore, RuleKind::Shape] {
        check_length(("", b"{}"), ("", 1 << 20), &rules(&[("$.debug", kind)]), unknown);
    }
    check_length(("", b"{}"), ("", 1 << 20), &rules(&[("$.items", RuleKind::Unordered)]), longer);
    let either = Unkept { digest: None, length_min: 1 << 40 };
    let headers = json_headers();
    let cut = Answer { status: 200, headers: &headers, body: b"", truncated: true };
    let told = told(&compare_unkept(&cut, &cut, [Unkept::default(), either], &none, &Limits::default()));
    assert_eq!(told, unknown, "nobody knows how long the other is");
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
