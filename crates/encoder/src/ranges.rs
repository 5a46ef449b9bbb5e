//! What the matrix products of a model take in: runs a calibration graph of the exporter over rows.
//!
//! Such a graph works in fp32 and is run once, when a model is imported, so that it needs neither workers nor what else an
//! encoder has.

use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;

use crate::{Error, Row, Runtime};

/// What the exporter calls the output that is read.
const RANGES: &str = "ranges";

/// Runs the calibration graph in the file `graph` on each of `rows`, one a run. Returns its output `ranges` for each row:
/// least and largest value that each product took in, `[products, 2]`, row-major.
///
/// # Errors
/// `GraphRefused` when ONNX Runtime does not take the graph, `Run` when it fails on a row.
pub fn observe_ranges(runtime: &Runtime, graph: &Path, rows: &[Row]) -> Result<Vec<Vec<f32>>, Error> {
    let mut session = open(runtime, graph)
        .map_err(|error| Error::GraphRefused { path: graph.to_path_buf(), message: error.to_string() })?;
    let failed = |row: &Row, message| Error::Run { tokens: row.ids.len(), message };
    rows.iter().map(|row| observe(&mut session, row).map_err(|error| failed(row, error.to_string()))).collect()
}

/// Opens the graph on all cores: there is one run at a time.
fn open(runtime: &Runtime, graph: &Path) -> ort::Result<Session> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Session::builder(runtime.environment())?
        .with_optimization_level(GraphOptimizationLevel::Level1)?
        .with_intra_threads(cores)?
        .with_inter_threads(1)?
        .with_memory_pattern(false)?
        .commit_from_file(graph)
}

fn observe(session: &mut Session, row: &Row) -> ort::Result<Vec<f32>> {
    let tokens = row.ids.len();
    let mut inputs: Vec<(String, Tensor<i64>)> = Vec::new();
    for input in session.inputs() {
        let (shape, values): (Vec<usize>, Vec<i64>) = match input.name() {
            "input_ids" => (vec![1, tokens], row.ids.iter().map(|&id| i64::from(id)).collect()),
            "attention_mask" => (vec![1, tokens], vec![1; tokens]),
            "token_type_ids" if row.types.is_empty() => (vec![1, tokens], vec![0; tokens]),
            "token_type_ids" => (vec![1, tokens], row.types.iter().map(|&kind| i64::from(kind)).collect()),
            "positions" => (vec![row.positions.len()], row.positions.iter().map(|&place| i64::from(place)).collect()),
            other => return Err(ort::Error::new(format!("the calibration graph has an input {other}"))),
        };
        inputs.push((input.name().to_owned(), Tensor::from_array((shape, values))?));
    }
    let outputs = session.run(inputs)?;
    let ranges = outputs.get(RANGES).ok_or_else(|| ort::Error::new("the calibration graph has no output ranges"))?;
    Ok(ranges.try_extract_tensor::<f32>()?.1.to_vec())
}
