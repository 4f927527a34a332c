//! What a request pays for being routed and decided, with 1 and with 1,000 routes and migrations.
//!
//! `cargo bench -p crossfade-flags`. That nothing is allocated is a test: `tests/allocations.rs`.

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

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

criterion_group!(benches, decide);
criterion_main!(benches);
