//! What a request pays for being counted: one decision and one answer, with held cells.
//!
//! `cargo bench -p crossfade-metrics`; the goal is 30 ns for both together.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use flags::{MigrationId, Reason, Side};
use metrics::Observer;

fn observe(criterion: &mut Criterion) {
    let observer = Observer::new(&["no_route"]).expect("the families are valid, which a test checks");
    let id = MigrationId::new("sessions").expect("a valid id");
    let cells = observer.shard().migration(&id);
    criterion.bench_function("decided and answered", |bencher| {
        let mut micros = 0;
        bencher.iter(|| {
            // Durations as they come: over many cells, so that no branch or line stays warm by chance.
            micros = (micros * 7 + 13) % 50_000;
            let side = if micros % 2 == 0 { Side::Legacy } else { Side::New };
            cells.decided(black_box(side), black_box(Reason::Percent), None);
            cells.answered(
                black_box(side),
                black_box(200),
                black_box(Duration::from_micros(micros)),
                black_box(Duration::from_micros(micros / 100)),
            );
        });
    });
    let ids: Vec<_> = (0..100).filter_map(|n| MigrationId::new(&format!("m{n}")).ok()).collect();
    observer.declare_migrations(&ids);
    criterion.bench_function("a scrape of 100 migrations", |bencher| {
        bencher.iter(|| observer.gather().map(|text| text.len()))
    });
}

criterion_group!(benches, observe);
criterion_main!(benches);
