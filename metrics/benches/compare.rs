//! What comparing two answers costs: a page of orders as an API gives it, read and compared.
//!
//! `cargo bench -p crossfade-metrics --bench compare`; the goal is 100 MB/s a core, of the bytes of both sides.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flags::MigrationId;
use jiff::Timestamp;
use metrics::compare::{Answer, Digest, Limits, RuleEntry, RuleKind, Rules, compare};
use metrics::mismatch::{CompareSettings, Kept, Mismatches, Pair};
use metrics::observe::Observer;

/// A page of 400 orders; `noise` is what a side makes anew.
fn page(noise: u64) -> String {
    let mut page = String::from("{\"items\":[");
    for n in 0..400u64 {
        let made_up = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ noise.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(
            page,
            "{comma}{{\"id\":\"{made_up:016x}\",\"number\":{},\"created_at\":\"2026-01-{:02}T10:00:{:02}Z\",\"customer\":{{\"name\":\"Ada \
             Lovelace {n}\",\"city\":\"Zürich\",\"note\":null,\"vip\":{}}},\"lines\":[{{\"sku\":\"SKU-{n}\",\"quantity\":2,\"price\":{}.{:02},\
             \"tags\":[\"a\",\"b\"]}},{{\"sku\":\"SKU-x{n}\",\"quantity\":1,\"price\":12.50,\"tags\":[]}}],\"text\":\"A text of the length that \
             descriptions have, with a \\\"quote\\\" in it and an é.\"}}",
            9_000_000 + n,
            n % 28 + 1,
            made_up % 60,
            n % 7 == 0,
            n % 100,
            n % 97,
        );
    }
    page.push_str("],\"page\":{\"number\":1,\"of\":25,\"total\":9876}}");
    page
}

fn rules() -> Rules {
    let entry = |path: &str| RuleEntry {
        path: path.to_owned(),
        kind: RuleKind::Shape,
        owner: "orders".to_owned(),
        reason: "made anew by each side".to_owned(),
        expires: None,
        route: None,
    };
    Rules::parse(vec![entry("$.items[*].id"), entry("$..created_at")]).expect("the rules are sound")
}

fn bench(criterion: &mut Criterion) {
    let headers = [("content-type".to_owned(), "application/json".to_owned())];
    let answer = |body| Answer { status: 200, headers: &headers, body, truncated: false };
    let (legacy, noisy) = (page(1), page(2));
    // Equal, but for a space that keeps it from being so byte by byte.
    let spaced = legacy.replace("},{", "}, {");
    let changed = spaced.replacen("\"quantity\":2", "\"quantity\":3", 1).replacen(",\"vip\":false", "", 1);
    let (none, shapes, limits) = (Rules::default(), rules(), Limits::default());
    let mut group = criterion.benchmark_group("compare");
    for (name, new, rules) in [
        ("equal, otherwise written", &spaced, &none),
        ("two differences", &changed, &none),
        ("ids and times under shape", &noisy, &shapes),
    ] {
        group.throughput(Throughput::Bytes((legacy.len() + new.len()) as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                compare(&answer(black_box(legacy.as_bytes())), &answer(black_box(new.as_bytes())), rules, &limits)
            });
        });
    }
    group.finish();
}

/// Pairs made to cost as much as they can, each at most a megabyte a side: the goal is 20 ms.
fn hostile(criterion: &mut Criterion) {
    let list =
        |of: &dyn Fn(usize) -> String, count: usize| format!("[{}]", (0..count).map(of).collect::<Vec<_>>().join(","));
    let deep = |leaf: &str| (0..60).fold(leaf.to_owned(), |inner, _| format!("[{inner},{}1]", "7,".repeat(800)));
    let object = |from: usize| {
        let members: Vec<String> = (0..45_000).map(|n| format!("\"k{}\":{n}", n + from)).collect();
        format!("{{{}}}", members.join(","))
    };
    let long = |value: &str| format!("{{\"{}\":[{}1]}}", "k".repeat(500_000), format!("{value},").repeat(50_000));
    let escapes = |last: &str| format!("[\"{}{last}\"]", "\\u00e9".repeat(170_000));
    let digits = |last: &str| list(&|_| format!("{}{last}", "9".repeat(390)), 2_500);
    let pairs = [
        ("an array of one value, and of two", list(&|_| "1".into(), 90_000), list(&|n| (n % 2).to_string(), 80_000)),
        ("an array turned around", list(&|n| n.to_string(), 90_000), list(&|n| (90_000 - n).to_string(), 90_000)),
        ("an object of other names", object(0), object(100_000)),
        ("arrays within arrays", deep("1"), deep("2")),
        ("a name of half a megabyte", long("1"), long("2")),
        ("a text of escapes", escapes("a"), escapes("b")),
        ("numbers of many digits", digits("1"), digits("2")),
        (
            "objects that differ",
            list(&|n| format!("{{\"a\":{n}}}"), 45_000),
            list(&|n| format!("{{\"a\":{}}}", n + 1), 45_000),
        ),
    ];
    let headers = [("content-type".to_owned(), "application/json".to_owned())];
    let (none, limits) = (Rules::default(), Limits::default());
    let mut group = criterion.benchmark_group("hostile");
    group.sample_size(10);
    for (name, legacy, new) in &pairs {
        let answer = |body| Answer { status: 200, headers: &headers, body, truncated: false };
        group.bench_function(*name, |bencher| {
            bencher.iter(|| compare(&answer(black_box(legacy.as_bytes())), &answer(new.as_bytes()), &none, &limits))
        });
    }
    group.finish();
}

/// An answer that is too long to be kept: hashed, and read for what it has at each place.
fn digests(criterion: &mut Criterion) {
    let (document, limits) = (page(1), Limits::default());
    let bytes = vec![0x89; document.len()];
    let mut group = criterion.benchmark_group("digest");
    for (name, body) in [("a document", document.as_bytes()), ("bytes", &bytes[..])] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| Digest::of(black_box(body), "", &limits)));
    }
    group.finish();
}

/// A pair as the comparing thread takes it in: compared, folded, counted, exemplified.
fn pairs(criterion: &mut Criterion) {
    let id = MigrationId::new("orders").expect("it is one");
    let observer = Observer::new(&[]).expect("names are unique");
    let mismatches = Mismatches::new(observer, [7; 32]);
    let settings = CompareSettings { rules: rules(), ..CompareSettings::default() };
    mismatches.configure(vec![(id.clone(), settings)]);
    let kept = |body: &str| Kept {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.as_bytes().to_vec(),
        ..Kept::default()
    };
    let (legacy, noisy) = (page(1), page(2));
    let changed = noisy.replacen("\"quantity\":2", "\"quantity\":3", 40).replacen(",\"vip\":false", "", 8);
    let pair = |new: &str| Pair {
        migration: id.clone(),
        route: "/orders".into(),
        method: "GET".into(),
        caller: Some(7),
        request_id: "r-1".into(),
        tokens: Vec::new(),
        revision: 1,
        at: Timestamp::UNIX_EPOCH,
        legacy: kept(&legacy),
        new: kept(new),
        again: None,
    };
    let mut group = criterion.benchmark_group("pair");
    for (name, pair) in [("sound", pair(&noisy)), ("48 differences", pair(&changed))] {
        group.throughput(Throughput::Bytes((pair.legacy.body.len() + pair.new.body.len()) as u64));
        group.bench_function(name, |bencher| bencher.iter(|| mismatches.compare(black_box(&pair))));
    }
    group.finish();
}

criterion_group!(benches, bench, pairs, digests, hostile);
criterion_main!(benches);
