//! What is told of documents that were too long to be kept: the same as of those that were, as far as counts and sums go.

use super::*;

/// As if both were too long.
fn of_digests(legacy: &str, new: &str, rules: &Rules) -> Comparison {
    let limits = Limits::default();
    let headers = json_headers();
    let cut = Answer { status: 200, headers: &headers, body: b"", truncated: true };
    let digests = [legacy, new].map(|text| Digest::of(text.as_bytes(), "", &limits));
    let [a, b] = digests.each_ref().map(|digest| Unkept { digest: digest.as_ref(), length_min: 0 });
    compare_unkept(&cut, &cut, [a, b], rules, &limits)
}

#[track_caller]
fn check_with(legacy: &str, new: &str, entries: &[(&str, RuleKind)], expected: &[&str]) {
    let rules = rules(entries);
    assert_eq!(told(&of_digests(legacy, new, &rules)), expected, "{legacy} and {new}");
    let back: Vec<String> = expected
        .iter()
        .map(|own| match own.rsplit_once(' ') {
            Some((pattern, "missing")) => format!("{pattern} added"),
            Some((pattern, "added")) => format!("{pattern} missing"),
            _ => (*own).to_owned(),
        })
        .collect();
    assert_eq!(told(&of_digests(new, legacy, &rules)), back, "{new} and {legacy}");
}

#[track_caller]
fn check(legacy: &str, new: &str, expected: &[&str]) {
    check_with(legacy, new, &[], expected);
}

#[test]
fn what_means_the_same_matches() {
    check(r#"{"a":1,"b":[1,2]}"#, r#"{ "b" : [1.0, 2e0], "a" : 1 }"#, &["matched"]);
    check(r#"["\u00e9"]"#, r#"["é"]"#, &["matched"]);
    check("\u{feff}[1]", "\u{feff}[1.0]", &["matched"]);
    check("[-0,1e400]", "[0.0, 10e399]", &["matched"]);
}

/// The same kinds as of bodies that are kept, in whatever pieces they come.
#[track_caller]
fn check_bytes(media: &str, legacy: &[u8], new: &[u8], expected: &[&str]) {
    let limits = Limits::default();
    let headers = [("content-type".to_owned(), media.to_owned())];
    let kept = |body| Answer { status: 200, headers: &headers, body, truncated: false };
    let whole = told(&compare(&kept(legacy), &kept(new), &Rules::default(), &limits));
    let cut = Answer { status: 200, headers: &headers, body: b"", truncated: true };
    for piece in 1..6 {
        let digests = [legacy, new].map(|body| {
            let mut digester = Digester::new("", &limits).unwrap();
            body.chunks(piece).for_each(|piece| digester.update(piece));
            digester.finish()
        });
        let unkept = digests.each_ref().map(|digest| Unkept { digest: digest.as_ref(), length_min: 0 });
        assert_eq!(told(&compare_unkept(&cut, &cut, unkept, &Rules::default(), &limits)), expected, "of {piece} bytes");
    }
    assert_eq!(whole, expected, "as they are kept");
}

#[test]
fn what_is_not_utf_8_is_no_document() {
    let (json, latin) = ("application/json", "application/json; charset=ISO-8859-1");
    let (right, wrong) = ("[\"é😀\"]".as_bytes(), b"[\"\xe9\"]".as_slice());
    check_bytes(json, right, wrong, &["$ not_json"]);
    check_bytes(json, wrong, right, &["$ not_json"]);
    check_bytes(json, right, right, &["matched"]);
    check_bytes(json, right, b"[\"\xed\xa0\x80\"]", &["$ not_json"]);
    check_bytes(json, right, &right[..5], &["$ not_json"]);
    check_bytes(json, right, &[&right[..5], b"\"]"].concat(), &["$ not_json"]);
    check_bytes(json, wrong, b"[\"\xe8\"]", &["$ binary"]);
    check_bytes("text/plain", b"\xe9", b"\xe8", &["$ binary"]);
    check_bytes(latin, wrong, b"[\"\xe8\"]", &["not compared: charset"]);
    check_bytes(latin, wrong, wrong, &["matched"]);
}

#[test]
fn a_difference_is_told_by_its_place_and_kind() {
    check(r#"{"a":1,"b":2}"#, r#"{"b":3,"a":1}"#, &["$.b value_changed"]);
    check(r#"{"a":1,"b":2}"#, r#"{"a":1}"#, &["$.b missing"]);
    check(r#"{"a":null}"#, "{}", &["$.a missing"]);
    check(r#"{"a":1}"#, r#"{"a":"1"}"#, &["$.a type_changed"]);
    check(r#"{"a":{"b":1}}"#, r#"{"a":null}"#, &["$.a type_changed"]);
    check(r#"{"a":{"b":1,"c":2}}"#, "{}", &["$.a missing"]);
    check(r#"[{"p":1},{"p":2}]"#, r#"[{"p":1},{"p":3}]"#, &["$[*].p value_changed"]);
    check(r#"[{"p":1},{"p":2}]"#, r#"[{"p":1},{}]"#, &["$[*].p missing"]);
    check(r#"[{"p":1},{"p":2}]"#, r#"[{"p":1}]"#, &["$[*] missing"]);
    check(r#"{"l":[1]}"#, r#"{"l":[]}"#, &["$.l[*] missing"]);
    check("[1,2,3,4,5,6,7,8,9]", "[]", &["$ length_changed"]);
    check("[[1],[2,3,4]]", "[[1,2],[3,4]]", &["$[*] length_changed"]);
    check(r#"{"l":[1]}"#, r#"{"l":null}"#, &["$.l type_changed"]);
    // One of several, and what it had within.
    check(r#"[{"a":null},{"a":{"b":1}}]"#, r#"[{"a":null},{"a":null}]"#, &["$[*].a type_changed"]);
    check(r#"[{"a":null},{"a":{"b":1}},{"a":{"b":2}}]"#, r#"[{"a":null},{"a":{"b":1}}]"#, &["$[*] missing"]);
    // What is within elements that have moved has moved with them.
    check(r#"[{"a":[1,2],"z":1},{"a":[3],"z":2}]"#, r#"[{"a":[3],"z":2},{"a":[1,2],"z":1}]"#, &["$ order_changed"]);
    check(r#"[{"a":[1,2],"z":1},{"a":[3],"z":2}]"#, r#"[0,{"a":[1,2],"z":1},{"a":[3],"z":2}]"#, &["$[*] added"]);
    check(r#"[{"p":1},{"p":2}]"#, r#"[{"p":2},{"p":1}]"#, &["$ order_changed"]);
    check("[true,false]", "[true,true]", &["$[*] value_changed"]);
    // Two values have changed places: a price goes to another order.
    check(r#"[{"i":1,"p":5},{"i":2,"p":6}]"#, r#"[{"i":1,"p":6},{"i":2,"p":5}]"#, &["$ order_changed"]);
    // Both an element more and a member lost.
    check(r#"[{"p":1,"q":1},{"p":2,"q":1}]"#, r#"[{"p":1,"q":1},{"p":2},{"p":2}]"#, &["$[*] added", "$[*].q missing"]);
    let map = |value: u8| format!("{{\"3f2504e0-4f89-11d3-9a0c-0305e82c3301\":{value}}}");
    check(&map(1), &map(2), &["$.* value_changed"]);
    check("{}", "{\"a\":", &["$ not_json"]);
    check("[1]", "\u{feff}[1]", &["$ not_json"]);
    for wrong in ["NaN", "{}x", "{}{}", "[1,]", "\u{ffff}", ""] {
        check("{}", wrong, &["$ not_json"]);
    }
    check(r#"{"a":1,"a":2}"#, r#"{"a":2}"#, &["$.a duplicate_key"]);
    check(r#"[{"a":1},{"a":1,"a":2}]"#, r#"[{"a":1},{"a":2}]"#, &["$[*].a duplicate_key"]);
    // Which is the last of both, and so counts, nobody knows.
    check(r#"{"a":1,"a":2}"#, r#"{"a":9,"a":2}"#, &["not compared: too_large"]);
    check(r#"{"a":1,"a":2,"b":1}"#, r#"{"a":9,"a":2,"b":2}"#, &["$.b value_changed"]);
    check(r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#, &["not compared: too_large"]);
    check(r#""x\ud800""#, r#""x\ufffd""#, &["$ lone_surrogate"]);
    check("9007199254740993", "9007199254740992", &["$ value_changed"]);
    check("1e400", "1e401", &["$ value_changed"]);
    check(&"[".repeat(65), "[]", &["not compared: depth"]);
}

#[test]
fn rules_hold_as_far_as_shapes_tell() {
    use RuleKind::{Ignore, KeyedBy, MapHost, Shape, Tolerance, Unordered};
    let times = [r#"{"at":"2026-01-01T10:00:00Z"}"#, r#"{"at":"2026-01-02T10:00:00Z"}"#];
    check(times[0], times[1], &["$.at value_changed"]);
    check_with(times[0], times[1], &[("$.at", Shape)], &["matched"]);
    check_with(times[0], times[1], &[("$.at", Ignore)], &["ignored"]);
    check_with(times[0], times[1], &[("$", Ignore)], &["ignored"]);
    check_with(times[0], r#"{"at":"soon"}"#, &[("$.at", Shape)], &["$.at value_changed"]);
    check_with(times[0], "{}", &[("$.at", Ignore)], &["ignored"]);
    check_with(times[0], "{}", &[("$.at", Shape)], &["$.at missing"]);
    check_with(r#"{"a":{"b":[1]}}"#, r#"{"a":{"b":[2]}}"#, &[("$.a", Ignore)], &["ignored"]);
    check_with("[1,2]", "[2,1]", &[("$", Unordered)], &["matched"]);
    check_with(r#"[{"i":1},{"i":2}]"#, r#"[{"i":2},{"i":1}]"#, &[("$", KeyedBy { key: "i".to_owned() })], &["matched"]);
    check_with("[1,2]", "[2,3]", &[("$", Unordered)], &["$[*] value_changed"]);
    // How far apart numbers are is not known.
    let near = Tolerance { absolute: Decimal::parse(b"0.1"), relative: None };
    check_with(r#"{"n":1}"#, r#"{"n":1.0}"#, &[("$.n", near.clone())], &["matched"]);
    check_with(r#"{"n":1}"#, r#"{"n":2}"#, &[("$.n", near.clone())], &["not compared: needs_values"]);
    check_with(r#"{"n":1}"#, r#"{"n":"1"}"#, &[("$.n", near.clone())], &["$.n type_changed"]);
    check_with(r#"{"n":1}"#, "{}", &[("$.n", near.clone())], &["$.n missing"]);
    check_with(r#"{"n":true}"#, r#"{"n":false}"#, &[("$.n", near.clone())], &["$.n value_changed"]);
    check_with(r#"{"n":1,"m":1}"#, r#"{"n":2,"m":2}"#, &[("$.n", near)], &["$.m value_changed"]);
    let hosts = MapHost { legacy: "old.example".to_owned(), new: "new.example".to_owned() };
    let next = |host: &str| format!("{{\"next\":\"https://{host}.example/2\"}}");
    check_with(&next("old"), &next("new"), &[("$.next", hosts.clone())], &["not compared: needs_values"]);
    check_with(&next("old"), r#"{"next":null}"#, &[("$.next", hosts)], &["$.next type_changed"]);
    // A type that changes, and an array of another length, are no matter of shape.
    check_with(
        r#"[{"i":"a"},{"i":null}]"#,
        r#"[{"i":null},{"i":null}]"#,
        &[("$[*].i", Shape)],
        &["$[*].i type_changed"],
    );
    check_with(r#"{"l":[1]}"#, r#"{"l":[1,1]}"#, &[("$.l", Shape)], &["$.l[*] added"]);
}

#[test]
fn what_is_beyond_the_limits_is_no_equality() {
    let many = |from: usize, last: &str| {
        let members: Vec<String> = (from..from + 1_500).map(|n| format!("\"k_{}\":1", words(n))).collect();
        format!("{{{},\"last\":{last}}}", members.join(","))
    };
    check(&many(0, "1"), &many(0, "1"), &["matched"]);
    check(&many(0, "1"), &many(0, "2"), &["not compared: nodes"]);
    let long = "x".repeat(100_000);
    check(&format!("[\"{long}\"]"), &format!("[\"{long}y\"]"), &["$[*] value_changed"]);
}

/// A number in letters, which no key is folded for.
fn words(mut number: usize) -> String {
    let mut word = String::new();
    for _ in 0..4 {
        word.push(char::from(b'a' + u8::try_from(number % 26).unwrap()));
        number /= 26;
    }
    word
}

#[test]
fn every_regression_of_the_corpus_is_found_under_its_own_name() {
    let (mut all, mut exact, mut missed) = (0, 0, Vec::new());
    for seed in 0..480 {
        let Some((legacy, new, pattern, kind)) = corpus::regression(seed) else { continue };
        all += 1;
        let comparison = of_digests(&legacy, &new, &corpus::noise_rules());
        assert!(matches!(comparison, Comparison::Mismatched { .. }), "{legacy} and {new}: {comparison:?}");
        let expected = format!("{pattern} {kind}");
        let found = told(&comparison);
        if found == [expected.as_str()] {
            exact += 1;
        } else {
            missed.push(format!("seed {seed}: {expected}, found {found:?}"));
        }
    }
    assert!(all >= 300 && exact * 100 >= all * 99, "{exact} of {all}: {missed:#?}");
}

#[test]
fn two_sound_systems_do_not_differ() {
    for seed in 0..120 {
        let (legacy, new) = corpus::both(seed);
        let comparison = of_digests(&legacy.json(), &new.json(), &corpus::noise_rules());
        assert_eq!(told(&comparison), ["matched"], "seed {seed}");
    }
}

#[test]
fn brotli_is_unpacked_within_a_window() {
    let limits = Limits::default();
    let bytes = |hexadecimal: &str| -> Vec<u8> {
        let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
        hexadecimal.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    };
    let document = format!("[{}1]", "1,".repeat(100));
    let packed = bytes("1bca00f8a55962b6ba94229b8501038901");
    let plain = Digest::of(document.as_bytes(), "", &limits);
    assert!(plain.is_some());
    assert_eq!(Digest::of(&packed, "br", &limits), plain);
    let mut digester = Digester::new("BR", &limits).unwrap();
    packed.chunks(1).for_each(|piece| digester.update(piece));
    assert_eq!(digester.finish(), plain);
    for wrong in [&packed[..packed.len() - 2], b"not brotli at all", &bytes("9bffff7ff82540e2b14020f7fe0f")[..]] {
        assert_eq!(Digest::of(wrong, "br", &limits), None);
    }
    // A window of a gigabyte, and one of 16 MiB.
    assert_eq!(Digest::of(&bytes("115eac04e09794d9ea8acd8200e30c"), "br", &limits), None);
    assert_eq!(Digest::of(&[0x0f, packed[1], packed[2]], "br", &limits), None);
}

#[test]
fn a_byte_order_mark_is_one_in_whatever_pieces_it_comes() {
    let limits = Limits::default();
    let headers = json_headers();
    let cut = Answer { status: 200, headers: &headers, body: b"", truncated: true };
    for piece in 1..6 {
        let digest = |text: &str| {
            let mut digester = Digester::new("", &limits).unwrap();
            text.as_bytes().chunks(piece).for_each(|piece| digester.update(piece));
            digester.finish()
        };
        let compared = |legacy: &str, new: &str| {
            let (a, b) = (digest(legacy), digest(new));
            let [a, b] = [&a, &b].map(|digest| Unkept { digest: digest.as_ref(), length_min: 0 });
            told(&compare_unkept(&cut, &cut, [a, b], &Rules::default(), &limits))
        };
        assert_eq!(compared("\u{feff}[1]", "\u{feff}[1.0]"), ["matched"], "in pieces of {piece}");
        assert_eq!(compared("[1]", "\u{feff}[1]"), ["$ not_json"]);
        assert_eq!(compared("\u{feff}[1]", "\u{feff}\u{feff}[1]"), ["$ not_json"]);
        assert_eq!(compared("\u{fec0}", "[1]"), ["$ not_json"]);
    }
}
