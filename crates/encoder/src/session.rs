//! A graph opened in ONNX Runtime: one set of weights, run by any number of threads.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;

use berth_types::{Device, Head};
use ort::ep::{self, ArenaExtendStrategy, ExecutionProviderDispatch};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, TensorElementType, ValueType};

use crate::batches::Ladder;
use crate::device::{is_gpu, provider};
use crate::interface::{Element, Interface, Misfit, Port, Wanted};
use crate::placement::{self, Placed};
use crate::run::Counters;
use crate::{Error, Runtime, operators};

/// A graph that is open. It holds the weights; what a run needs beside them is in a [`GraphRunner`](crate::run::GraphRunner).
pub(crate) struct Graph {
    pub(crate) session: Session,
    pub(crate) interface: Interface,
    pub(crate) input_names: Vec<CString>,
    pub(crate) output_names: Vec<CString>,
    /// Nodes on each execution provider, by its name.
    pub(crate) placement: BTreeMap<String, usize>,
    /// Whether some are operators of Berth's own.
    pub(crate) has_own_operators: bool,
    pub(crate) counters: Counters,
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
    /// Where it runs; no `auto`.
    pub(crate) device: Device,
    /// Folder in which TensorRT keeps what it made of this graph; it is none of another graph, GPU or version.
    pub(crate) engines: Option<&'a Path>,
    /// Shapes in which rows run together on a GPU.
    pub(crate) ladder: Ladder,
}

impl Graph {
    /// Opens `source`.
    ///
    /// # Errors
    /// `GraphRefused`, `GraphInterface` or `DimensionMismatch` when the graph is not the one that the card describes.
    pub(crate) fn open(runtime: &Runtime, mut source: GraphSource<'_>) -> Result<Arc<Self>, Error> {
        let external = std::mem::take(&mut source.external);
        let GraphSource { path, bytes, wanted, device, .. } = source;
        let refused = |error: ort::Error| Error::GraphRefused { path: path.to_path_buf(), message: error.to_string() };
        let mut builder = configure(runtime, source.intra_threads).map_err(refused)?;
        if is_gpu(device) {
            let providers = gpu_providers(runtime, &source).map_err(refused)?;
            builder = builder
                .with_execution_providers(providers)
                .map_err(|error| Error::DeviceRefused { device, message: error.to_string() })?;
        }
        for (name, bytes) in external {
            builder = builder
                .with_external_initializer_file_in_memory(name, bytes.into())
                .map_err(|error| refused(error.into()))?;
        }
        let session = builder.commit_from_memory(bytes).map_err(refused)?;
        let placed = placement::read(&session).map_err(refused)?;
        if is_gpu(device) && placed.is_empty() {
            let message = "ONNX Runtime does not say where it put the model's nodes".to_owned();
            return Err(Error::DeviceRefused { device, message });
        }
        if let Some(node) = placement::stray(&placed, provider(device)) {
            let Placed { provider, name, operator } = node.clone();
            return Err(Error::Placement { path: path.to_path_buf(), device, node: name, operator, provider });
        }

        let has_own_operators = placed.iter().any(|node| operators::is_own(&node.operator));
        let mut placement = BTreeMap::new();
        for node in placed {
            *placement.entry(node.provider).or_default() += 1;
        }

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
        let counters = Counters::default();
        Ok(Arc::new(Self { session, interface, input_names, output_names, placement, has_own_operators, counters }))
    }
}

fn misfit_error(path: &Path, head: Head, misfit: Misfit) -> Error {
    let path = path.to_path_buf();
    match misfit {
        Misfit::Problem(problem) => Error::GraphInterface { path, head, problem },
        Misfit::Head { output, given } => Error::HeadNotServed { path, head, output, given },
        Misfit::Size { output, expected, received } => Error::DimensionMismatch { path, output, expected, received },
    }
}

/// The providers for a GPU. With TensorRT comes CUDA, for the arithmetic of shapes beside the engine.
fn gpu_providers(runtime: &Runtime, source: &GraphSource<'_>) -> ort::Result<Vec<ExecutionProviderDispatch>> {
    let cuda = |gpu: u32| {
        ep::CUDA::default()
            .with_device_id(gpu as i32)
            // By powers of two the arena would take most of the GPU for itself.
            .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
            .build()
            .error_on_failure()
    };
    match source.device {
        Device::Cuda(gpu) => Ok(vec![cuda(gpu)]),
        Device::TensorRt(gpu) => {
            let names = input_names(runtime, source.bytes)?;
            let longest = source.ladder.length_for(source.ladder.max_tokens);
            let profile = |rows: usize, tokens: usize| {
                names.iter().map(|name| format!("{name}:{rows}x{tokens}")).collect::<Vec<_>>().join(",")
            };
            // One engine serves every shape of the ladder: most rows of the shortest length, fewest of the longest.
            let most_rows = source.ladder.slots_for(source.ladder.length_for(1));
            let usual = source.ladder.length_for(longest / 2);
            let mut tensorrt = ep::TensorRT::default()
                .with_device_id(gpu as i32)
                .with_fp16(true)
                .with_profile_min_shapes(profile(1, 1))
                .with_profile_opt_shapes(profile(source.ladder.slots_for(usual), usual))
                .with_profile_max_shapes(profile(most_rows, longest));
            if let Some(engines) = source.engines {
                let folder = engines.display();
                tensorrt = tensorrt
                    .with_engine_cache(true)
                    .with_engine_cache_path(&folder)
                    .with_timing_cache(true)
                    .with_timing_cache_path(&folder);
            }
            Ok(vec![tensorrt.build().error_on_failure(), cuda(gpu)])
        }
        _ => Ok(Vec::new()),
    }
}

/// Names of the graph's inputs, which TensorRT wants to know before the graph is opened on it.
fn input_names(runtime: &Runtime, bytes: &[u8]) -> ort::Result<Vec<String>> {
    let mut builder = Session::builder(runtime.environment())?
        .with_optimization_level(GraphOptimizationLevel::Disable)?
        .with_prepacking(false)?;
    let session = builder.commit_from_memory(bytes)?;
    Ok(session.inputs().iter().map(|input| input.name().to_owned()).collect())
}

/// Settings of every session.
fn configure(runtime: &Runtime, intra_threads: usize) -> ort::Result<SessionBuilder> {
    let mut builder = Session::builder(runtime.environment())?
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
        .with_memory_pattern(false)?
        .with_config_entry(placement::RECORD, "1")?;
    operators::register(&mut builder)?;
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
