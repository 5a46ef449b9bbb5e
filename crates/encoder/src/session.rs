//! The only file that names `ort`: ONNX Runtime is loaded, told to keep quiet, and run on one row at a time.

use std::borrow::Cow;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{TensorElementType, TensorRef, ValueType};

use crate::{Error, library};

/// What the graph calls its result: `[1, dimensions]`, 32-bit floats.
const OUTPUT: &str = "sentence_embedding";

/// ONNX Runtime, loaded into this process.
#[derive(Debug, Clone)]
pub struct Runtime {
    path: PathBuf,
    version: String,
    environment: Environment,
}

/// A process holds one ONNX Runtime, from the first successful load to its end.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Loads the shared library at `library`, or returns it again when this process runs it already. Its telemetry is
    /// switched off before anything else happens.
    ///
    /// # Errors
    /// `RuntimeMissing`, `RuntimeUnusable` or `RuntimeTooOld` by what is at `library`; `RuntimeConflict` when the
    /// process runs another one.
    pub fn load(library: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(library).unwrap_or_else(|_| library.to_path_buf());
        if !path.is_file() {
            return Err(Error::RuntimeMissing { path });
        }
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = loaded.as_ref() {
            let same = runtime.path == path || same_file(&runtime.path, &path);
            return if same {
                Ok(runtime.clone())
            } else {
                Err(Error::RuntimeConflict { loaded: runtime.path.clone(), asked: path })
            };
        }
        let version = library::inspect(&path, ort::MINOR_VERSION)?;
        let unusable = |reason: String| Error::RuntimeUnusable { path: path.clone(), reason };
        let environment = ort::init_from(&path)
            .map_err(|error| unusable(error.to_string()))?
            .with_name("berth")
            .with_telemetry(false)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        environment.set_log_level(ort::logging::LogLevel::Error);
        let runtime = Self { path, version, environment };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The library's version, such as `1.31.1`.
    pub fn version(&self) -> String {
        self.version.clone()
    }

    /// The library's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the execution providers that the library was built with.
    pub fn providers(&self) -> Vec<String> {
        let (mut names, mut count) = (ptr::null_mut(), 0);
        // SAFETY: the call fills both places with a list of C strings that belongs to the caller, or returns an error
        // status, which becomes an `Err` that frees it.
        let listed = unsafe {
            ort::Error::result_from_status((ort::api().GetAvailableProviders)(&raw mut names, &raw mut count))
        };
        if listed.is_err() || names.is_null() {
            return Vec::new();
        }
        let count_usize = usize::try_from(count).unwrap_or(0);
        // SAFETY: the list holds `count` pointers to C strings and is only freed below.
        let providers = unsafe { std::slice::from_raw_parts(names, count_usize) }
            .iter()
            // SAFETY: as above.
            .map(|&name| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
            .collect();
        // SAFETY: the list came from `GetAvailableProviders` with this length and is not used after this.
        // A list that cannot be freed is leaked; there is nothing else to do about it.
        let _ = unsafe { ort::Error::result_from_status((ort::api().ReleaseAvailableProviders)(names, count)) };
        providers
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// What an input of the graph is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filling {
    /// The row's ids.
    Ids,
    /// Ones: every position is a real token, since rows are never padded.
    Mask,
    /// Zeros: one sequence.
    Types,
}

/// Buffer of one input, in the integer type that the graph declares.
#[derive(Debug)]
enum Buffer {
    I32(Vec<i32>),
    I64(Vec<i64>),
}

#[derive(Debug)]
struct Input {
    name: String,
    filling: Filling,
    buffer: Buffer,
}

/// A graph that turns one row of ids into one row of numbers.
pub(crate) struct GraphSession {
    session: Session,
    inputs: Vec<Input>,
    options: RunOptions<HasSelectedOutputs>,
    dimensions: usize,
}

/// What a session is opened with.
pub(crate) struct GraphSource<'a> {
    /// Where `bytes` come from, for messages.
    pub(crate) path: &'a Path,
    /// The graph, already checked against its hash.
    pub(crate) bytes: &'a [u8],
    /// Values in a row, by the card.
    pub(crate) dimensions: usize,
    /// Threads inside the session.
    pub(crate) intra_threads: usize,
}

impl GraphSession {
    /// Opens a session over `source`.
    ///
    /// # Errors
    /// `GraphRefused`, `GraphInterface` or `DimensionMismatch` when the graph is not the one that the card describes.
    pub(crate) fn open(runtime: &Runtime, source: &GraphSource<'_>) -> Result<Self, Error> {
        let path = source.path;
        let refused = |error: ort::Error| Error::GraphRefused { path: path.to_path_buf(), message: error.to_string() };
        let mut builder = configure(runtime, source.intra_threads).map_err(refused)?;
        let session = builder.commit_from_memory(source.bytes).map_err(refused)?;

        let inputs = session
            .inputs()
            .iter()
            .map(|input| describe_input(path, input.name(), input.dtype()))
            .collect::<Result<Vec<_>, Error>>()?;
        if !inputs.iter().any(|input| input.filling == Filling::Ids) {
            return Err(Error::GraphInterface {
                path: path.to_path_buf(),
                problem: "it has no input input_ids".to_owned(),
            });
        }
        check_output(path, &session, source.dimensions)?;
        let options = RunOptions::new().map_err(refused)?.with_outputs(OutputSelector::no_default().with(OUTPUT));
        Ok(Self { session, inputs, options, dimensions: source.dimensions })
    }

    /// Runs the graph on one row of ids.
    ///
    /// Returns `dimensions` values. `row` has no padding, so that what comes out depends on nothing else.
    ///
    /// # Errors
    /// `Run` when ONNX Runtime fails or gives another shape.
    pub(crate) fn run(&mut self, row: &[u32]) -> Result<Vec<f32>, Error> {
        let failed = |error: ort::Error| Error::Run { tokens: row.len(), message: error.to_string() };
        let shape = [1, row.len()];
        let mut values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(self.inputs.len());
        for input in &mut self.inputs {
            let value = match &mut input.buffer {
                Buffer::I32(buffer) => {
                    fill(buffer, input.filling, row, |id| id as i32);
                    SessionInputValue::from(TensorRef::from_array_view((shape, buffer.as_slice())).map_err(failed)?)
                }
                Buffer::I64(buffer) => {
                    fill(buffer, input.filling, row, i64::from);
                    SessionInputValue::from(TensorRef::from_array_view((shape, buffer.as_slice())).map_err(failed)?)
                }
            };
            values.push((Cow::Borrowed(input.name.as_str()), value));
        }
        let outputs = self.session.run_with_options(values, &self.options).map_err(failed)?;
        let (shape, numbers) = outputs[OUTPUT].try_extract_tensor::<f32>().map_err(failed)?;
        if numbers.len() != self.dimensions {
            let message = format!("it gave shape {shape}, not [1, {}]", self.dimensions);
            return Err(Error::Run { tokens: row.len(), message });
        }
        Ok(numbers.to_vec())
    }
}

/// Settings of every session.
fn configure(runtime: &Runtime, intra_threads: usize) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(&runtime.environment)?
        // Graphs come fused as they measure fastest. The next level takes as long to load and no less to run, and would
        // fuse SkipLayerNormalization, whose kernel costs seven times its parts (measured, ONNX Runtime 1.31.1).
        .with_optimization_level(GraphOptimizationLevel::Level1)?
        .with_intra_threads(intra_threads)?
        .with_inter_threads(1)?
        // Threads that wait for the next row must not burn the cores of those that have one.
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        // Rows differ in length: a plan per length would be kept for each, and gains nothing. The arena stays: without it
        // a run takes 4 % longer, and two int8 sessions peak at 140 MB either way (measured).
        .with_memory_pattern(false)?;
    Ok(builder)
}

fn fill<T: From<u8>>(buffer: &mut Vec<T>, filling: Filling, row: &[u32], id: impl Fn(u32) -> T) {
    buffer.clear();
    match filling {
        Filling::Ids => buffer.extend(row.iter().map(|&token| id(token))),
        Filling::Mask => buffer.extend(row.iter().map(|_| T::from(1))),
        Filling::Types => buffer.extend(row.iter().map(|_| T::from(0))),
    }
}

fn describe_input(path: &Path, name: &str, dtype: &ValueType) -> Result<Input, Error> {
    let problem = |problem: String| Error::GraphInterface { path: path.to_path_buf(), problem };
    let filling = match name {
        "input_ids" => Filling::Ids,
        "attention_mask" => Filling::Mask,
        "token_type_ids" => Filling::Types,
        _ => return Err(problem(format!("nothing is known to put into its input {name}"))),
    };
    let buffer = match dtype {
        ValueType::Tensor { ty: TensorElementType::Int32, .. } => Buffer::I32(Vec::new()),
        ValueType::Tensor { ty: TensorElementType::Int64, .. } => Buffer::I64(Vec::new()),
        _ => return Err(problem(format!("its input {name} holds {dtype}, not 32-bit or 64-bit integers"))),
    };
    Ok(Input { name: name.to_owned(), filling, buffer })
}

fn check_output(path: &Path, session: &Session, dimensions: usize) -> Result<(), Error> {
    let problem = |problem: String| Error::GraphInterface { path: path.to_path_buf(), problem };
    let output = session
        .outputs()
        .iter()
        .find(|output| output.name() == OUTPUT)
        .ok_or_else(|| problem(format!("it has no output {OUTPUT}")))?;
    let ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } = output.dtype() else {
        return Err(problem(format!("its output {OUTPUT} holds {}, not 32-bit floats", output.dtype())));
    };
    let &[_, received] = &shape[..] else {
        return Err(problem(format!("its output {OUTPUT} has shape {shape}, not [1, {dimensions}]")));
    };
    // A graph may leave the dimension open (-1); then each row is checked.
    if received >= 0 && received != dimensions as i64 {
        return Err(Error::DimensionMismatch { path: path.to_path_buf(), expected: dimensions, received });
    }
    Ok(())
}
