//! The encoder over the real library and the real model, and over damaged ones.

mod engine;
mod fault_table;
mod faults;
mod laws;
mod parity;
mod tokenizing;

use std::path::PathBuf;

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, Runtime};
use berth_types::Precision;

/// Where `scripts/setup` installs.
fn home() -> PathBuf {
    std::env::var_os("BERTH_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".local/share/berth"),
        PathBuf::from,
    )
}

fn runtime() -> Runtime {
    let library = std::env::var_os("ORT_DYLIB_PATH")
        .map_or_else(|| home().join("runtime/libonnxruntime.so.1.31.1"), PathBuf::from);
    Runtime::load(&library).unwrap_or_else(|error| panic!("these tests need scripts/setup to have run: {error}"))
}

fn model() -> InstalledModel {
    InstalledModel::open(&home().join("models/all-minilm-l6-v2"))
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
