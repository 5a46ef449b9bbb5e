//! What the engine promises beside vectors: devices that say what is missing, outputs by head, batches.

use std::path::Path;
use std::time::Duration;

use berth_encoder::{Encoder, EncoderOptions, Error, Lane, Product, Row, Work, matmul_peak};
use berth_types::{Device, ErrorKind, Head, Precision};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::{encoder, model, precisions, runtime};

/// How far a value of a padded row may lie from that of the row alone, in fp32.
const PADDING_DIFFERENCE: f32 = 1e-5;

fn open(options: &EncoderOptions) -> Result<Encoder, Error> {
    Encoder::open(&model(), &runtime(), options)
}

fn words(tokens: usize) -> Vec<u32> {
    (0..tokens as u32).map(|id| 2_000 + id * 7 % 20_000).collect()
}

fn bits(encoder: &Encoder, rows: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let embeddings = encoder.encode_rows(rows.to_vec()).unwrap();
    embeddings.iter().map(|row| row.as_slice().iter().map(|value| value.to_bits()).collect()).collect()
}

#[test]
fn a_gpu_that_is_not_there_is_refused_by_the_library_that_is_missing() {
    for device in [Device::Cuda(0), Device::TensorRt(0)] {
        let error = match open(&EncoderOptions { device, ..EncoderOptions::default() }) {
            Err(error) => error,
            // On a machine where the device serves there is nothing to refuse.
            Ok(encoder) => {
                assert_eq!(encoder.device(), device);
                continue;
            }
        };
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let message = error.to_string();
        let beside = runtime().path().parent().unwrap_or(Path::new("")).join("libonnxruntime_providers_cuda.so");
        if !beside.is_file() && cfg!(target_os = "linux") {
            assert!(
                message.contains("libonnxruntime_providers_shared.so") || message.contains("providers_cuda"),
                "{message}"
            );
        }
        assert!(message.contains(&device.to_string()) && message.contains("docs/devices.md"), "{message}");
    }
}

#[test]
fn nodes_are_where_they_were_asked_to_be() {
    for precision in precisions() {
        let encoder = encoder(precision, 1);
        let providers: Vec<&str> = encoder.placement().keys().map(String::as_str).collect();
        assert_eq!(providers, ["CPUExecutionProvider"]);
        assert!(encoder.placement()["CPUExecutionProvider"] > 20, "{:?}", encoder.placement());
    }
}

#[test]
fn auto_says_what_it_took() {
    let encoder =
        open(&EncoderOptions { device: Device::Auto, workers: Some(1), ..EncoderOptions::default() }).unwrap();
    assert!(matches!(encoder.device(), Device::Cpu | Device::Cuda(0)));
    assert!(encoder.submit_passage(vec![101, 2_000, 102]).unwrap().wait().is_ok());
}

#[test]
fn an_encoder_of_another_head_gives_no_vectors() {
    let encoder = encoder(Precision::Fp32, 1);
    assert_eq!(encoder.head(), Head::Sentence);
    let tensors = encoder.submit(Row::from(vec![101, 2_000, 102]), Lane::Query).unwrap().wait().unwrap();
    assert_eq!((tensors.len(), &tensors[0].shape[..], tensors[0].values.len()), (1, &[384][..], 384));
    let missing = open(&EncoderOptions { head: Head::Classify, ..EncoderOptions::default() }).err().unwrap();
    assert!(
        matches!(&missing, Error::FileUnlisted { path } if path.ends_with("int8.classify.onnx")
        || path.ends_with("fp32.classify.onnx")),
        "{missing}"
    );
}

#[test]
fn padded_batches_give_the_rows_of_single_runs_within_rounding() {
    let alone = encoder(Precision::Fp32, 1);
    let together = open(&EncoderOptions {
        precision: Some(Precision::Fp32),
        workers: Some(1),
        token_budget: Some(1_024),
        ..EncoderOptions::default()
    })
    .unwrap();
    let rows: Vec<Vec<u32>> = [3, 9, 9, 17, 40, 100, 128, 129, 500, 512, 5, 64].map(words).to_vec();
    let (alone, together) = (alone.encode_rows(rows.clone()).unwrap(), together.encode_rows(rows).unwrap());
    for (single, padded) in alone.iter().zip(&together) {
        let pairs = single.as_slice().iter().zip(padded.as_slice());
        let difference = pairs.map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
        assert!(difference <= PADDING_DIFFERENCE, "{difference}");
    }
}

/// Rows in hand-ins of 1, 8 and 32, in any order, on any number of workers and threads: always the same bits.
#[test]
fn a_row_is_bit_equal_whatever_runs_beside_it() {
    for precision in precisions() {
        let reference = encoder(precision, 1);
        let others: Vec<Encoder> = [2, 3].map(|workers| encoder(precision, workers)).into();
        let threaded = open(&EncoderOptions {
            precision: Some(precision),
            workers: Some(1),
            intra_threads: Some(2),
            ..EncoderOptions::default()
        })
        .unwrap();
        let lengths = proptest::collection::vec(1_usize..48, 32);
        let strategy = (lengths, Just((0..32).collect::<Vec<usize>>()).prop_shuffle());
        TestRunner::new(Config { cases: 4, ..Config::default() })
            .run(&strategy, |(lengths, order)| {
                let rows: Vec<Vec<u32>> = lengths.into_iter().map(words).collect();
                let expected: Vec<_> =
                    rows.iter().flat_map(|row| bits(&reference, std::slice::from_ref(row))).collect();
                let shuffled: Vec<Vec<u32>> = order.iter().map(|&row| rows[row].clone()).collect();
                for encoder in others.iter().chain([&threaded, &reference]) {
                    for together in [1, 8, 32] {
                        let found: Vec<_> = shuffled.chunks(together).flat_map(|rows| bits(encoder, rows)).collect();
                        for (&row, found) in order.iter().zip(&found) {
                            prop_assert_eq!(found, &expected[row], "row {} of {}", row, together);
                        }
                    }
                }
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn both_products_of_the_calibration_run() {
    for product in [Product::Fp32, Product::Int8, Product::Int8Rows] {
        let peak = matmul_peak(&runtime(), product, 2, Duration::from_millis(50)).unwrap();
        // A thousandth of what any processor of these days reaches.
        assert!(peak > 1e7, "{product:?}: {peak}");
    }
}

#[test]
fn padding_is_counted() {
    let alone = encoder(Precision::Fp32, 1);
    alone.encode_rows([3, 9].map(words).to_vec()).unwrap();
    assert_eq!(alone.work(), Work { tokens: 12, padding: 0 });
    let together = open(&EncoderOptions {
        precision: Some(Precision::Fp32),
        workers: Some(1),
        token_budget: Some(64),
        ..EncoderOptions::default()
    })
    .unwrap();
    together.encode_rows(vec![words(9)]).unwrap();
    assert_eq!(together.work(), Work { tokens: 9, padding: 7 });
}
