//! A graph opened in ONNX Runtime: one set of weights, run by any number of threads.

use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;

use berth_types::Head;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, TensorElementType, ValueType};

use crate::interface::{Element, Interface, Misfit, Port, Wanted};
use crate::{Error, Runtime};

/// A graph that is open. It holds the weights; what a run needs beside them is in a [`GraphRunner`](crate::run::GraphRunner).
pub(crate) struct Graph {
    pub(crate) session: Session,
    pub(crate) interface: Interface,
    pub(crate) input_names: Vec<CString>,
    pub(crate) output_names: Vec<CString>,
}

/// What a graph is opened with.
pub(crate) struct GraphSource<'a> {
    /// Where `bytes` come from, for messages.
    pub(crate) path: &'a Path,
    /// The graph, already checked against its hash.
    pub(crate) bytes: &'a [u8],
    /// Files in which the graph keeps weights outside of itself, by the names that it has for them; checked likewise.
    pub(crate) external: Vec<(String, Vec<u8>)>,
    /// What it is asked for.
    pub(crate) wanted: Wanted<'a>,
    /// Threads inside a run.
    pub(crate) intra_threads: usize,
}

impl Graph {
    /// Opens `source`.
    ///
    /// # Errors
    /// `GraphRefused`, `GraphInterface` or `DimensionMismatch` when the graph is not the one that the card describes.
    pub(crate) fn open(runtime: &Runtime, source: GraphSource<'_>) -> Result<Arc<Self>, Error> {
        let GraphSource { path, bytes, external, wanted, intra_threads } = source;
        let refused = |error: ort::Error| Error::GraphRefused { path: path.to_path_buf(), message: error.to_string() };
        let mut builder = configure(runtime, intra_threads).map_err(refused)?;
        for (name, bytes) in external {
            builder = builder
                .with_external_initializer_file_in_memory(name, bytes.into())
                .map_err(|error| refused(error.into()))?;
        }
        let session = builder.commit_from_memory(bytes).map_err(refused)?;

        let ports = |outlets: &[Outlet]| outlets.iter().map(port).collect::<Vec<Port>>();
        let (inputs, outputs) = (ports(session.inputs()), ports(session.outputs()));
        let misfit = |misfit| misfit_error(path, wanted.head, misfit);
        let interface = Interface::of(wanted, &inputs, &outputs).map_err(misfit)?;
        let name = |name: &String| {
            let problem = format!("the name {name:?} has a zero byte");
            CString::new(name.as_str()).map_err(|_| misfit(Misfit::Problem(problem)))
        };
        let input_names = interface.inputs.iter().map(|input| name(&input.name)).collect::<Result<_, Error>>()?;
        let output_names = interface.outputs.iter().map(|output| name(&output.name)).collect::<Result<_, Error>>()?;
        Ok(Arc::new(Self { session, interface, input_names, output_names }))
    }
}

fn misfit_error(path: &Path, head: Head, misfit: Misfit) -> Error {
    let path = path.to_path_buf();
    match misfit {
        Misfit::Problem(problem) => Error::GraphInterface { path, head, problem },
        Misfit::Size { output, expected, received } => Error::DimensionMismatch { path, output, expected, received },
    }
}

/// Settings of every session.
fn configure(runtime: &Runtime, intra_threads: usize) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(runtime.environment())?
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

fn port(outlet: &Outlet) -> Port {
    let (element, shape) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            let element = match ty {
                TensorElementType::Int32 => Element::I32,
                TensorElementType::Int64 => Element::I64,
                TensorElementType::Float16 => Element::F16,
                TensorElementType::Float32 => Element::F32,
                other => Element::Other(other.to_string()),
            };
            (element, shape.to_vec())
        }
        other => (Element::Other(other.to_string()), Vec::new()),
    };
    Port { name: outlet.name().to_owned(), element, shape }
}
