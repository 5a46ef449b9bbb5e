//! A graph opened in ONNX Runtime: one set of weights, run by any number of threads.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;

use berth_types::{Device, Head, OwnOperators, Precision};
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
    /// Those of them that are operators of Berth's own.
    pub(crate) own_operators: OwnOperators,
    /// Whether others are products of 8-bit numbers by ONNX Runtime.
    pub(crate) multiplies_bytes: bool,
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
    /// Numbers that it computes in.
    pub(crate) precision: Precision,
    /// Shapes in which rows run together; none where each runs alone.
    pub(crate) ladder: Option<Ladder>,
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
        if let Some(node) = placement::stray(&placed, provider(device), bytes) {
            let Placed { provider, name, operator } = node.clone();
            return Err(Error::Placement { path: path.to_path_buf(), device, node: name, operator, provider });
        }

        let own_operators = operators::own_among(placed.iter().map(|node| node.operator.as_str()));
        let multiplies_bytes = placed.iter().any(|node| operators::multiplies_bytes(&node.operator));
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
        Ok(Arc::new(Self {
            session,
            interface,
            input_names,
            output_names,
            placement,
            own_operators,
            multiplies_bytes,
            counters,
        }))
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
            // Or products of fp32 would round what they take to eleven bits, as fp16 does, and still be no faster than that.
            .with_tf32(false)
            .build()
            .error_on_failure()
    };
    match source.device {
        Device::Cuda(gpu) => Ok(vec![cuda(gpu)]),
        Device::TensorRt(gpu) => {
            let mut tensorrt = ep::TensorRT::default()
                .with_device_id(gpu as i32)
                // Or it would compute a graph of fp32 in fp16 where that is faster.
                .with_fp16(source.precision == Precision::Fp16);
            if let Some(ladder) = source.ladder {
                let [least, usual, most] = profile(ladder, &input_names(runtime, source.bytes)?);
                tensorrt = tensorrt
                    .with_profile_min_shapes(least)
                    .with_profile_opt_shapes(usual)
                    .with_profile_max_shapes(most);
            }
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

/// The least, the usual and the largest shape of the inputs `names`: one engine serves every shape of the ladder.
fn profile(ladder: Ladder, names: &[String]) -> [String; 3] {
    let longest = ladder.length_for(ladder.max_tokens);
    let usual = ladder.length_for(longest / 2);
    [(1, 1), (ladder.slots_for(usual), usual), (ladder.together().rows, longest)]
        .map(|(rows, tokens)| names.iter().map(|name| format!("{name}:{rows}x{tokens}")).collect::<Vec<_>>().join(","))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_shape_of_a_profile_is_within_the_budget() {
        let ladder = Ladder::new(512, 16_384).within_one_profile();
        let names = ["ids", "mask"].map(str::to_owned);
        assert_eq!(profile(ladder, &names), ["ids:1x1,mask:1x1", "ids:32x256,mask:32x256", "ids:32x512,mask:32x512"]);
    }
}
