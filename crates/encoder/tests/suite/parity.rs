//! Text in, row out, against what sentence-transformers recorded (scripts/record_encoder_goldens.py).

use berth_types::Precision;
use serde::Deserialize;

use crate::{encoder, precisions};

const RECORDED: &str = include_str!("../goldens/rows.json");
/// Mean cosine of this model in int8 is .995; short texts lie lower.
const INT8_COSINE: f32 = 0.98;
const FP32_DIFFERENCE: f32 = 1e-5;

#[derive(Deserialize)]
struct Golden {
    rows: Vec<GoldenRow>,
}

#[derive(Deserialize)]
struct GoldenRow {
    text: String,
    ids: Vec<u32>,
    row: Vec<f32>,
}

fn golden() -> Vec<GoldenRow> {
    serde_json::from_str::<Golden>(RECORDED).unwrap().rows
}

#[test]
fn rows_are_those_of_sentence_transformers() {
    for precision in precisions() {
        let encoder = encoder(precision, 1);
        for golden in golden() {
            let query = encoder.encode_query(&golden.text).unwrap();
            let pairs = || query.embedding.as_slice().iter().zip(&golden.row);
            let cosine: f32 = pairs().map(|(ours, theirs)| ours * theirs).sum();
            let difference = pairs().map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max);
            match precision {
                Precision::Fp32 => assert!(difference <= FP32_DIFFERENCE, "{difference} for {:?}", golden.text),
                _ => assert!(cosine >= INT8_COSINE, "{cosine} for {:?}", golden.text),
            }
        }
    }
}

#[test]
fn ids_are_those_of_sentence_transformers() {
    let encoder = encoder(Precision::Fp32, 1);
    for golden in golden() {
        let tokens = encoder.tokenizer().tokenize(&golden.text).unwrap();
        assert_eq!(encoder.passage_row(&[], &tokens.ids).unwrap(), golden.ids, "{:?}", golden.text);
    }
}
