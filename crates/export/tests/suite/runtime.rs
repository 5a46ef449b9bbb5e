//! Finds ONNX Runtime and the checkpoint where scripts/setup puts them, and runs graphs.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;

/// Rows of ids under one mask, as the graph takes them.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    rows: usize,
    ids: Vec<i64>,
    mask: Vec<i64>,
    types: Vec<i64>,
    /// Positions whose vocabulary scores are wanted.
    positions: Vec<i64>,
}

impl Batch {
    /// Rows padded with id 0 to the longest one, or to `length` where that is more.
    pub(crate) fn padded(rows: &[&[i64]], length: usize) -> Self {
        let length = rows.iter().map(|row| row.len()).max().unwrap_or(0).max(length);
        let mut batch = Self { rows: rows.len(), ids: vec![], mask: vec![], types: vec![], positions: vec![] };
        for row in rows {
            let padding = length - row.len();
            batch.ids.extend(row.iter().copied().chain(vec![0; padding]));
            batch.mask.extend(vec![1; row.len()].into_iter().chain(vec![0; padding]));
            batch.types.extend(vec![0; length]);
        }
        batch
    }

    pub(crate) fn single(ids: &[i64]) -> Self {
        Self::padded(&[ids], 0)
    }

    /// Attends only to the ids where `mask` is one.
    pub(crate) fn attending(mut self, mask: &[i64]) -> Self {
        assert_eq!(mask.len(), self.mask.len());
        self.mask = mask.to_vec();
        self
    }

    pub(crate) fn at(mut self, positions: &[i64]) -> Self {
        self.positions = positions.to_vec();
        self
    }

    pub(crate) fn with_types(mut self, types: &[i64]) -> Self {
        assert_eq!(types.len(), self.types.len());
        self.types = types.to_vec();
        self
    }
}

/// Whether ONNX Runtime multiplies unsigned with signed bytes exactly on this processor. Elsewhere its products saturate, what
/// comes of them depends on how many rows there are, and Berth refuses to run such graphs; so nothing is said of them.
pub(crate) fn multiplies_bytes_exactly() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni")
    }
    #[cfg(target_arch = "aarch64")]
    {
        std::arch::is_aarch64_feature_detected!("dotprod")
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        false
    }
}

/// Opens a graph on one thread.
pub(crate) fn open(graph: &Path) -> Session {
    let builder = Session::builder(environment()).unwrap();
    let builder = builder.with_optimization_level(GraphOptimizationLevel::Level1).unwrap();
    builder.with_intra_threads(1).unwrap().commit_from_file(graph).unwrap()
}

/// Whether ONNX Runtime takes these bytes for a graph.
pub(crate) fn loads(graph: &[u8]) -> bool {
    Session::builder(environment()).unwrap().commit_from_memory(graph).is_ok()
}

/// Runs a batch and returns shape and values of the output `name`.
pub(crate) fn run(session: &mut Session, batch: &Batch, name: &str) -> (Vec<i64>, Vec<f32>) {
    let shape = [batch.rows, batch.ids.len() / batch.rows];
    let tensor = |values: &Vec<i64>| Tensor::from_array((shape, values.clone())).unwrap();
    let inputs: Vec<(String, Tensor<i64>)> = session
        .inputs()
        .iter()
        .map(|input| {
            let value = match input.name() {
                "input_ids" => tensor(&batch.ids),
                "attention_mask" => tensor(&batch.mask),
                "token_type_ids" => tensor(&batch.types),
                "positions" => Tensor::from_array(([batch.positions.len()], batch.positions.clone())).unwrap(),
                other => panic!("an input {other}"),
            };
            (input.name().to_owned(), value)
        })
        .collect();
    let outputs = session.run(inputs).unwrap();
    let (shape, values) = outputs[name].try_extract_tensor::<f32>().unwrap();
    (shape.to_vec(), values.to_vec())
}

/// One text's embedding.
pub(crate) fn embed(session: &mut Session, ids: &[i64]) -> Vec<f32> {
    run(session, &Batch::single(ids), "sentence_embedding").1
}

/// The folder of all-MiniLM-L6-v2.
pub(crate) fn checkpoint() -> PathBuf {
    let folder = home().join("checkpoints/all-minilm-l6-v2");
    assert!(folder.join("model.safetensors").is_file(), "no checkpoint in {}: run scripts/setup", folder.display());
    folder
}

fn environment() -> &'static Environment {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let library = env::var_os("ORT_DYLIB_PATH").map_or_else(|| runtime_in(&home()), PathBuf::from);
        assert!(library.is_file(), "no ONNX Runtime at {}: run scripts/setup", library.display());
        ort::init_from(&library).unwrap().with_telemetry(false).build().unwrap()
    })
}

fn runtime_in(home: &Path) -> PathBuf {
    home.join("runtime/libonnxruntime.so.1.31.1")
}

fn home() -> PathBuf {
    let user = || PathBuf::from(env::var_os("HOME").expect("BERTH_HOME or HOME is set"));
    let data = || env::var_os("XDG_DATA_HOME").map_or_else(|| user().join(".local/share"), PathBuf::from);
    env::var_os("BERTH_HOME").map_or_else(|| data().join("berth"), PathBuf::from)
}
