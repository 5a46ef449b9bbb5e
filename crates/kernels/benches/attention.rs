//! Attention of 237 tokens with the twelve heads of all-MiniLM-L6-v2, on one thread.

use std::hint::black_box;

use berth_kernels::{AttentionShape, attend};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const TOKENS: usize = 237;

fn attention(criterion: &mut Criterion) {
    let shape = AttentionShape { heads: 12, width: 32 };
    let states: Vec<f32> = (0..TOKENS * 3 * shape.hidden()).map(|at| (at as f32 * 0.37).sin()).collect();
    let mut context = vec![0.0; TOKENS * shape.hidden()];
    let mut group = criterion.benchmark_group("attention");
    // Multiplications and additions of both products; criterion calls them elements.
    group.throughput(Throughput::Elements((4 * TOKENS * TOKENS * shape.hidden()) as u64));
    group.bench_function("237 tokens", |bencher| {
        bencher.iter(|| attend(black_box(&states), None, shape, &mut context));
    });
    group.finish();
}

criterion_group!(benches, attention);
criterion_main!(benches);
