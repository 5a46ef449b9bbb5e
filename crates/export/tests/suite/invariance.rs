//! A row's vector does not depend on the rows that share its run: bit for bit, at every precision that may be batched.
//!
//! Dynamic int8 is not among them: it has one scale for all states of a run. Nor is fp16, which is for GPUs: on a CPU ONNX
//! Runtime turns its weights to fp32 in each run, and has another product for one state than for several. Both are only
//! ever given one row on a CPU.

use std::cell::RefCell;
use std::path::Path;

use berth_export::{ExportOptions, export};
use berth_types::Precision;
use ort::session::Session;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::precisions::calibrated;
use crate::runtime::{self, Batch};
use crate::synthetic::{Checkpoint, POSITIONS, VOCABULARY};

const BATCHED: [Precision; 4] = [Precision::Fp32, Precision::Q8, Precision::Q4, Precision::Int8Static];

/// Those of them that run on this processor.
fn batched() -> impl Iterator<Item = Precision> {
    let here = |precision: &Precision| *precision == Precision::Fp32 || runtime::multiplies_bytes_exactly();
    BATCHED.into_iter().filter(here)
}

fn open(checkpoint: &Path, precision: Precision, row: &[i64]) -> Session {
    let folder = tempfile::tempdir().unwrap();
    let graph = folder.path().join("graph.onnx");
    let options = ExportOptions { precision, ..ExportOptions::default() };
    let options = match precision {
        Precision::Int8Static => calibrated(checkpoint, &options, &[row]),
        _ => options,
    };
    export(checkpoint, &options, &graph).unwrap();
    runtime::open(&graph)
}

/// Rows to try: of up to `longest` tokens, with ids below `vocabulary`, in `cases` batches of 8 and 32.
#[derive(Debug, Clone, Copy)]
struct Trial {
    longest: usize,
    vocabulary: i64,
    cases: u32,
}

const TINY: Trial = Trial { longest: POSITIONS, vocabulary: VOCABULARY as i64, cases: 64 };
const MODEL: Trial = Trial { longest: 40, vocabulary: 30_522, cases: 8 };

/// Runs batches, and one row of each alone.
fn check(checkpoint: &Path, precision: Precision, trial: Trial) {
    let Trial { longest, vocabulary, cases } = trial;
    let row: Vec<i64> = (0..longest as i64).map(|at| at % vocabulary).collect();
    let session = RefCell::new(open(checkpoint, precision, &row));
    let rows = (1..=longest, prop_oneof![Just(8_usize), Just(32)])
        .prop_flat_map(move |(length, rows)| prop::collection::vec(prop::collection::vec(0..vocabulary, length), rows));
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 64, ..Config::default() });
    let law = |rows: Vec<Vec<i64>>, place: prop::sample::Index| {
        let mut session = session.borrow_mut();
        let place = place.index(rows.len());
        let borrowed: Vec<&[i64]> = rows.iter().map(Vec::as_slice).collect();
        let (_, together) = runtime::run(&mut session, &Batch::padded(&borrowed, 0), "sentence_embedding");
        let alone = runtime::embed(&mut session, &rows[place]);
        let width = alone.len();
        let row = &together[place * width..(place + 1) * width];
        prop_assert!(bits(row).eq(bits(&alone)), "row {place} of {} differs at {precision}", rows.len());
        Ok(())
    };
    runner.run(&(rows, any::<prop::sample::Index>()), |(rows, place)| law(rows, place)).unwrap();
}

fn bits(row: &[f32]) -> impl Iterator<Item = u32> {
    row.iter().map(|value| value.to_bits())
}

#[test]
fn rows_of_a_tiny_model_do_not_see_their_neighbours() {
    let folder = Checkpoint::tiny().write();
    for precision in batched() {
        check(folder.path(), precision, TINY);
    }
}

#[test]
fn rows_of_a_model_do_not_see_their_neighbours() {
    for precision in batched() {
        check(&runtime::checkpoint(), precision, MODEL);
    }
}
