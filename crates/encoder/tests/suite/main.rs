//! The encoder over the real library and the real model, and over damaged ones.

mod engine;
mod fault_table;
mod faults;
#[path = "../installed/mod.rs"]
mod installed;
mod laws;
mod parity;
mod tokenizing;

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, Runtime};
use berth_types::Precision;

fn runtime() -> Runtime {
    Runtime::load(&installed::library())
        .unwrap_or_else(|error| panic!("these tests need scripts/setup to have run: {error}"))
}

fn model() -> InstalledModel {
    InstalledModel::open(&installed::home().join("models/all-minilm-l6-v2"))
        .unwrap_or_else(|error| panic!("these tests need scripts/setup to have run: {error}"))
}

fn encoder(precision: Precision, workers: usize) -> Encoder {
    let options = EncoderOptions { precision: Some(precision), workers: Some(workers), ..EncoderOptions::default() };
    Encoder::open(&model(), &runtime(), &options).unwrap()
}

/// The precisions that this processor computes without saturating.
fn precisions() -> Vec<Precision> {
    let here = |precision: &Precision| berth_encoder::cpu_features().computes(*precision);
    [Precision::Int8, Precision::Fp32].into_iter().filter(here).collect()
}
