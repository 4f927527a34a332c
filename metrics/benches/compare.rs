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

criterion_group!(benches, bench, pairs, digests);
criterion_main!(benches);
