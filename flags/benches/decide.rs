//! What a request pays for being routed and decided, and what a change of the state costs beside it.
//!
//! To reach, on one core: 25 ns for a fixed mode with the read of the snapshot, 80 ns for a gradual
//! one with a key of 36 bytes, 250 ns with 10 rules, 10,000 pins and a prerequisite; 100 ms to read
//! and compile 10,000 migrations, 200 us from a change of one document to the swapped snapshot.
//!
//! `cargo bench -p crossfade-flags`. That nothing is allocated is a test: `tests/allocations.rs`.

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::hint::black_box;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use flags::snapshot::{Local, Snapshot};
use flags::state::{Pins, Revision};
use flags::store::{Loaded, Stored};
use flags::{Migration, MigrationId, Mode};

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for count in [1, 100, 1_000] {
        let snapshot = sample::snapshot(count);
        let requests: Vec<_> = (0..count).map(sample::Get::of).collect();
        group.bench_with_input(BenchmarkId::new("route, key and decision", count), &snapshot, |bencher, snapshot| {
            let mut number = 0;
            bencher.iter(|| {
                number = (number + 37) % count;
                sample::route_and_decide(black_box(snapshot), black_box(&requests[number]))
            });
        });
    }
    group.finish();
}

/// A decision alone, its key at hand, with the read of the snapshot that a worker does first.
fn decision(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decision");
    let request = sample::Get::of(1);
    let key = b"0189f7ea-ae2c-7809-8aeb-b819cf5e9e7f";
    for (name, snapshot) in [
        ("fixed mode", sample::alone(Mode::NewOnly)),
        ("gradual", sample::alone(Mode::Gradual)),
        ("10 rules, 10,000 pins, 1 prerequisite", sample::laden()),
    ] {
        let mut current = Cache::new(Arc::new(ArcSwap::from_pointee(snapshot)));
        group.bench_function(name, |bencher| {
            bencher.iter(|| sample::decide_first(current.load(), black_box(&request), black_box(key)));
        });
    }
    group.finish();
}

/// Definitions and stored state of as many migrations, each at half of the traffic.
fn many(count: usize) -> (Vec<Migration>, Loaded) {
    let migrations: Vec<_> = (0..count).map(|n| sample::migration(&format!("m{n}"))).collect();
    let stored = migrations.iter().map(|migration| sample::stored(migration, Mode::Gradual, Pins::new()));
    let loaded = Loaded { revision: Revision(1), migrations: stored.collect(), ..Loaded::default() };
    (migrations, loaded)
}

/// From stored text to a snapshot, and from one changed document to the next.
fn state(criterion: &mut Criterion) {
    const COUNT: usize = 10_000;
    let mut group = criterion.benchmark_group("state");
    group.sample_size(10);
    let (migrations, loaded) = many(COUNT);
    let texts: Vec<_> = loaded
        .migrations
        .iter()
        .map(|(id, stored)| match stored {
            Stored::State { document, .. } => (id.clone(), serde_json::to_string(document).expect("it serializes")),
            Stored::Unreadable(why) => unreachable!("{why}"),
        })
        .collect();
    let read = |(id, text): &(MigrationId, String)| {
        let document = serde_json::from_str(text).expect("it was written above");
        (id.clone(), Stored::State { document, pins: Pins::new() })
    };
    group.bench_function("10,000 migrations, read and compiled", |bencher| {
        let compile = |migrations| {
            let loaded =
                Loaded { revision: Revision(1), migrations: texts.iter().map(read).collect(), ..Loaded::default() };
            Snapshot::build(sample::definitions(migrations), &loaded, Local::default(), None)
        };
        bencher.iter_batched(|| migrations.clone(), compile, BatchSize::LargeInput);
    });
    for count in [1, 100, COUNT] {
        let (migrations, mut loaded) = many(count);
        let swap =
            ArcSwap::from_pointee(Snapshot::build(sample::definitions(migrations), &loaded, Local::default(), None));
        group.bench_function(BenchmarkId::new("one document of so many to the swap", count), |bencher| {
            bencher.iter(|| {
                loaded.revision = loaded.revision.next();
                if let Some(Stored::State { document, .. }) = loaded.migrations.values_mut().next() {
                    document.revision = loaded.revision;
                }
                let previous = swap.load_full();
                let definitions = Arc::clone(previous.definitions());
                let next = Snapshot::build(definitions, &loaded, Local::default(), Some(&previous));
                swap.store(Arc::new(next));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decide, decision, state);
criterion_main!(benches);
