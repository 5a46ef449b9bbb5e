//! Products of 237 states with the matrices of a layer of all-MiniLM-L6-v2, on one thread.

use std::hint::black_box;

use berth_kernels::{PackedMatrix, PackedView, multiply_rows, pack};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const TOKENS: usize = 237;

fn products(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("product in bytes");
    for (name, inputs, outputs) in
        [("query, key, value", 384, 1152), ("output", 384, 384), ("wide", 384, 1536), ("narrow", 1536, 384)]
    {
        let values = |count: usize| (0..count).map(|at| (at as f32 * 0.37).sin()).collect::<Vec<f32>>();
        let (states, bias) = (values(TOKENS * inputs), values(outputs));
        let PackedMatrix { bytes, scales, sums } = pack(&values(inputs * outputs), inputs);
        let mut product = vec![0.0; TOKENS * outputs];
        // Multiplications and additions; criterion calls them elements.
        group.throughput(Throughput::Elements((2 * TOKENS * inputs * outputs) as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let view = PackedView { bytes: &bytes, scales: &scales, sums: &sums, bias: &bias };
                multiply_rows(black_box(&states), inputs, view, &mut product);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, products);
criterion_main!(benches);
