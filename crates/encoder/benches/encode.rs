//! Tokenising an abstract, and encoding a row of 237 tokens (the mean of SciFact's 256-token windows).
//!
//! Needs the library and the model where `scripts/setup` puts them.

#[path = "../tests/installed/mod.rs"]
mod installed;

use std::hint::black_box;

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, Runtime};
use berth_types::Precision;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const SENTENCE: &str = "Alterations of the architecture of cerebral white matter in the developing human brain can affect \
    cortical development and result in functional disabilities. ";
const ROW_TOKENS: usize = 237;

fn encode(criterion: &mut Criterion) {
    let runtime = Runtime::load(&installed::library()).expect("run scripts/setup first");
    let model =
        InstalledModel::open(&installed::home().join("models/all-minilm-l6-v2")).expect("run scripts/setup first");
    let mut group = criterion.benchmark_group("encode");
    for precision in [Precision::Int8, Precision::Fp32] {
        let options = EncoderOptions { precision: Some(precision), workers: Some(1), ..EncoderOptions::default() };
        let Ok(encoder) = Encoder::open(&model, &runtime, &options) else { continue };
        let body: Vec<u32> = (0..ROW_TOKENS - encoder.reserved_tokens(0)).map(|id| 2000 + id as u32).collect();
        let row = encoder.passage_row(&[], &body).expect("the row fits");
        group.throughput(Throughput::Elements(row.len() as u64));
        group.bench_function(precision.as_str(), |bencher| {
            bencher.iter(|| encoder.submit_passage(black_box(row.clone())).and_then(berth_encoder::PendingRow::wait));
        });
        if precision == Precision::Fp32 {
            let text = SENTENCE.repeat(10);
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function("tokenise", |bencher| bencher.iter(|| encoder.tokenizer().tokenize(black_box(&text))));
        }
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
