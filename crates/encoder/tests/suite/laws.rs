//! What holds for every row: it depends on its own ids and nothing else, and nothing is cut off unseen.

use berth_encoder::{Encoder, EncoderOptions, Error};
use berth_types::Precision;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::{encoder, model, precisions, runtime};

fn bits(embedding: &berth_types::Embedding) -> Vec<u32> {
    embedding.as_slice().iter().map(|value| value.to_bits()).collect()
}

/// Rows of ids that are words of the vocabulary, between special tokens.
fn rows() -> impl Strategy<Value = Vec<Vec<u32>>> {
    let row = proptest::collection::vec(1000_u32..30000, 0..60).prop_map(|body| [vec![101], body, vec![102]].concat());
    proptest::collection::vec(row, 1..6)
}

#[test]
fn a_row_never_depends_on_its_neighbours() {
    for precision in precisions() {
        let (alone, together) = (encoder(precision, 1), encoder(precision, 3));
        let mut runner = TestRunner::new(Config { cases: 12, ..Config::default() });
        runner
            .run(&rows(), |rows| {
                let backwards: Vec<Vec<u32>> = rows.iter().rev().cloned().collect();
                let mut reversed = together.encode_rows(backwards).unwrap();
                reversed.reverse();
                let ordered = together.encode_rows(rows.clone()).unwrap();
                for (position, row) in rows.into_iter().enumerate() {
                    let single = bits(&alone.submit_passage(row).unwrap().wait().unwrap());
                    prop_assert_eq!(&single, &bits(&ordered[position]));
                    prop_assert_eq!(&single, &bits(&reversed[position]));
                }
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn a_row_at_the_limit_is_encoded_and_one_over_is_refused() {
    let encoder = encoder(Precision::Fp32, 1);
    let room = encoder.card().max_tokens - encoder.reserved_tokens(3);
    let full = encoder.passage_row(&[2000; 3], &vec![2001; room]).unwrap();
    assert_eq!(full.len(), encoder.card().max_tokens);
    assert!(encoder.submit_passage(full).unwrap().wait().is_ok());
    let over = encoder.passage_row(&[2000; 3], &vec![2001; room + 1]);
    assert!(matches!(over, Err(Error::RowTooLong { tokens: 513, max_tokens: 512 })));
    assert!(matches!(encoder.submit_passage(vec![2000; 513]), Err(Error::RowTooLong { .. })));
    assert!(matches!(encoder.submit_passage(Vec::new()), Err(Error::RowEmpty)));
}

#[test]
fn a_long_query_says_how_much_of_it_was_read() {
    let encoder = encoder(Precision::Fp32, 1);
    let short = encoder.encode_query("cats and dogs").unwrap();
    assert_eq!((short.tokens, short.read_tokens, short.unknown), (3, 3, 0));
    let long = encoder.encode_query(&"cats ".repeat(20_000)).unwrap();
    assert_eq!((long.tokens, long.read_tokens), (20_000, encoder.card().max_tokens - 2));
    assert!(encoder.encode_query("").is_ok(), "an empty query is only special tokens");
}

#[test]
fn an_id_outside_the_vocabulary_fails_its_row_alone() {
    for precision in precisions() {
        let encoder = encoder(precision, 1);
        let bad = encoder.submit_passage(vec![101, 4_000_000, 102]).unwrap();
        let good = encoder.submit_passage(vec![101, 2000, 102]).unwrap();
        assert!(matches!(bad.wait(), Err(Error::Run { tokens: 3, .. })));
        assert!(good.wait().is_ok());
    }
}

#[test]
fn a_fingerprint_tells_precisions_apart_and_nothing_else() {
    let open = |precision| {
        let options = EncoderOptions { precision: Some(precision), workers: Some(1), ..EncoderOptions::default() };
        Encoder::open(&model(), &runtime(), &options).unwrap()
    };
    let (one, same) = (open(Precision::Fp32), open(Precision::Fp32));
    assert_eq!(one.fingerprint(), same.fingerprint());
    if let Some(Precision::Int8) = precisions().first() {
        let int8 = open(Precision::Int8);
        let names: Vec<&str> = one.fingerprint().differences(int8.fingerprint()).iter().map(|part| part.0).collect();
        assert_eq!(names, ["graph", "kernel", "precision"]);
    }
}
