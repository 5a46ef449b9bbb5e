//! What is decided before an encoder is open: device, precision, graph, threads, memory, fingerprint.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use berth_types::{Device, Fingerprint, Head, ModelCard, Precision, ReadyMade};

use crate::batches::Ladder;
use crate::cpu::{CpuFeatures, cpu_features, plan_threads};
use crate::device::{GPU_PRECISION, gpu_names, is_gpu, tensorrt_version};
use crate::encoder::TOKENIZER;
use crate::interface::Wanted;
use crate::memory::{Needs, check_opening, plan_workers};
use crate::run::GraphRunner;
use crate::session::{Graph, GraphSource};
use crate::{EncoderOptions, Error, InstalledModel, Row, Runtime, ThreadPlan, resident_bytes};

/// Most ids in a batch on a GPU: 128 rows of 256. On an H200 the model alone is within a tenth of its fastest with these, and
/// a query waits no more than five milliseconds for one to end.
const GPU_TOKEN_BUDGET: usize = 32_768;

/// An open graph and how it is run.
pub(crate) struct Opened {
    pub(crate) graph: Arc<Graph>,
    pub(crate) plan: ThreadPlan,
    /// Shapes in which rows run together; `None` where each runs alone.
    pub(crate) ladder: Option<Ladder>,
}

/// What is decided from options, card and machine alone.
pub(crate) struct Decision<'a> {
    pub(crate) head: Head,
    pub(crate) precision: Precision,
    pub(crate) device: Device,
    pub(crate) graph_file: String,
    pub(crate) ready_made: Option<&'a ReadyMade>,
}

/// The device and the precision that [`Encoder::open`](crate::Encoder::open) would take, before any graph is there.
///
/// # Errors
/// `DeviceUnavailable`; `Int8Saturates` where this processor has no exact kernel for the precision.
pub fn settle(
    model: &InstalledModel,
    runtime: &Runtime,
    options: &EncoderOptions,
) -> Result<(Device, Precision), Error> {
    let Decision { device, precision, .. } = Decision::make(model, runtime, options)?;
    if !is_gpu(device) {
        cpu_features().kernel(precision)?;
    }
    Ok((device, precision))
}

impl<'a> Decision<'a> {
    /// Chooses what `options` leaves open.
    ///
    /// # Errors
    /// `DeviceUnavailable`.
    pub(crate) fn make(model: &'a InstalledModel, runtime: &Runtime, options: &EncoderOptions) -> Result<Self, Error> {
        let device = crate::device::resolve(options.device, runtime.path())?;
        let precision = options.precision.unwrap_or_else(|| default_precision_of(model.card(), device, cpu_features()));
        let (graph_file, ready_made) = graph_of(model, options.head, precision);
        Ok(Self { head: options.head, precision, device, graph_file, ready_made })
    }

    /// Opens the graph, and finds out how many workers fit into the limit of memory.
    ///
    /// # Errors
    /// What is wrong with the files; `MemoryLimit`.
    pub(crate) fn open(
        &self,
        model: &InstalledModel,
        runtime: &Runtime,
        options: &EncoderOptions,
    ) -> Result<Opened, Error> {
        let Self { head, device, ready_made, .. } = *self;
        let card = model.card();
        let mut plan = plan(options);
        let ladder = self.ladder(card, options)?;
        if is_gpu(device) {
            // Runs on a GPU queue up in its driver; the one thread that feeds it is never the limit.
            plan = ThreadPlan { workers: 1, intra_threads: 1 };
        }
        if let (Some(limit), Some(resident)) = (options.memory_limit_bytes, resident_bytes()) {
            let graph_bytes = model.files().get(&self.graph_file).map_or(0, |file| file.bytes);
            check_opening(limit, resident, graph_bytes)?;
        }
        let engines = self.engine_folder(model, runtime, options)?;
        let graph = {
            let path = &model.dir().join(&self.graph_file);
            let wanted = Wanted { head, card, ready_made, layers: options.layers.as_deref() };
            let external = external_files(model, &self.graph_file, ready_made)?;
            let bytes = &model.read_checked(&self.graph_file)?;
            let source = GraphSource {
                path,
                bytes,
                external,
                wanted,
                intra_threads: plan.intra_threads,
                device,
                engines: engines.as_deref(),
                precision: self.precision,
                ladder,
            };
            Graph::open(runtime, source)?
        };
        if let Some(limit) = options.memory_limit_bytes
            && let Some(needs) = measure(&graph, device, head, card)?
        {
            plan.workers = plan_workers(limit, plan.workers, needs)?;
        }
        Ok(Opened { graph, plan, ladder })
    }

    /// Shapes in which rows run together; none where each runs alone.
    ///
    /// # Errors
    /// `RowsDepend` on the processor in integers: dynamic int8 has one scale for all states of a run, and kernels of the
    /// others, and those of fp16, give a row other bits in a batch on some processors (q4 with AVX2).
    fn ladder(&self, card: &ModelCard, options: &EncoderOptions) -> Result<Option<Ladder>, Error> {
        let Self { device, precision, .. } = *self;
        let depend = precision.is_quantized() || precision == Precision::Fp16;
        if !is_gpu(device) && options.token_budget.is_some() && depend {
            return Err(Error::RowsDepend { precision });
        }
        let budget = options.token_budget.or(is_gpu(device).then_some(GPU_TOKEN_BUDGET));
        let ladder = budget.map(|budget| Ladder::new(card.max_tokens, budget));
        Ok(match device {
            Device::TensorRt(_) => ladder.map(Ladder::within_one_profile),
            _ => ladder,
        })
    }

    /// The folder for TensorRT's engines of this graph on this machine, made when it is not there.
    fn engine_folder(
        &self,
        model: &InstalledModel,
        runtime: &Runtime,
        options: &EncoderOptions,
    ) -> Result<Option<PathBuf>, Error> {
        let (Device::TensorRt(gpu), Some(cache)) = (self.device, &options.engine_cache) else { return Ok(None) };
        let key = EngineKey {
            graph: model.hash_of(&self.graph_file)?,
            precision: self.precision,
            gpu,
            gpus: &gpu_names(),
            runtime: &runtime.version(),
            tensorrt: tensorrt_version(),
            max_tokens: model.card().max_tokens,
            token_budget: options.token_budget.unwrap_or(GPU_TOKEN_BUDGET),
        };
        let folder = cache.join(key.name());
        fs::create_dir_all(&folder).map_err(|source| Error::Write { path: folder.clone(), source })?;
        Ok(Some(folder))
    }
}

/// What an engine was made of and for: another of any of these must not find it.
#[derive(Debug, Clone, Copy)]
struct EngineKey<'a> {
    graph: &'a str,
    precision: Precision,
    gpu: u32,
    gpus: &'a [String],
    runtime: &'a str,
    /// Where its library tells.
    tensorrt: Option<i32>,
    max_tokens: usize,
    token_budget: usize,
}

impl EngineKey<'_> {
    /// The name of the engine's folder.
    fn name(&self) -> String {
        let Self { graph, precision, gpu, gpus, runtime, tensorrt, max_tokens, token_budget } = self;
        let (gpus, tensorrt) = (gpus.join("\n"), tensorrt.unwrap_or(0));
        let text = format!("{graph}\n{precision}\n{gpu}\n{gpus}\n{runtime}\n{tensorrt}\n{max_tokens}\n{token_budget}");
        blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
    }
}

/// A runner of `graph` as `device` wants it.
///
/// # Errors
/// `DeviceRefused` when no run can be bound to the device.
pub(crate) fn runner_of(graph: &Arc<Graph>, device: Device) -> Result<GraphRunner, Error> {
    GraphRunner::new(Arc::clone(graph), is_gpu(device))
        .map_err(|error| Error::DeviceRefused { device, message: error.to_string() })
}

/// Runs the longest row once and sees what it needs; nothing where the system does not say.
fn measure(graph: &Arc<Graph>, device: Device, head: Head, card: &ModelCard) -> Result<Option<Needs>, Error> {
    let Some(open) = resident_bytes() else { return Ok(None) };
    let tokens = card.max_tokens as u32;
    let positions = if head == Head::FillMask { (0..tokens).collect() } else { Vec::new() };
    // Every vocabulary has an id 0.
    let row = Row { positions, ..Row::from(vec![0; card.max_tokens]) };
    let answer = runner_of(graph, device)?.run(&row)?;
    // The answer is still held, as one that waits to be taken would be.
    let run = resident_bytes().unwrap_or(open).saturating_sub(open);
    drop(answer);
    Ok(Some(Needs { open, run }))
}

/// The device's own precision, unless the model comes with graphs of others only: then the most exact of those. A ready-made
/// graph in int8 has products of ONNX Runtime's.
fn default_precision_of(card: &ModelCard, device: Device, processor: CpuFeatures) -> Precision {
    let default = match device {
        device if is_gpu(device) => GPU_PRECISION,
        _ if card.ready_made.is_some() && processor.int8_kernel().is_none() => Precision::Fp32,
        _ => processor.default_precision(),
    };
    match &card.ready_made {
        Some(ready) if !ready.graphs.contains_key(&default) => {
            ready.graphs.keys().next_back().copied().unwrap_or(default)
        }
        _ => default,
    }
}

fn plan(options: &EncoderOptions) -> ThreadPlan {
    let plan = match options.workers {
        Some(workers) => ThreadPlan { workers: workers.max(1), intra_threads: 1 },
        None => plan_threads(thread::available_parallelism().map_or(1, NonZeroUsize::get)),
    };
    ThreadPlan { intra_threads: options.intra_threads.unwrap_or(plan.intra_threads).max(1), ..plan }
}

/// The file of the graph for `head`, and what is known of it when it was not made here. A graph that was made for the
/// head goes before one that serves it in part.
pub(crate) fn graph_of(model: &InstalledModel, head: Head, precision: Precision) -> (String, Option<&ReadyMade>) {
    let own = head.graph_file(precision);
    let ready = model.card().ready_made.as_ref();
    match ready.and_then(|ready| Some((ready, ready.graphs.get(&precision)?))) {
        Some((ready, file)) if !model.files().contains_key(&own) => (file.clone(), Some(ready)),
        _ => (own, None),
    }
}

/// The files that the graph keeps weights in, under the names that it has for them: paths from its own folder.
pub(crate) fn external_files(
    model: &InstalledModel,
    graph_file: &str,
    ready: Option<&ReadyMade>,
) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let folder = graph_file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let named = |file: &String| {
        let name = file.strip_prefix(folder).map_or(file.as_str(), |name| name.trim_start_matches('/'));
        Ok((name.to_owned(), model.read_checked(file)?))
    };
    ready.map_or(&[][..], |ready| &ready.external).iter().map(named).collect()
}

/// Everything that shapes a row of this model, as it is opened.
pub(crate) fn fingerprint(
    model: &InstalledModel,
    head: Head,
    graph_file: &str,
    precision: Precision,
    device: Device,
) -> Result<Fingerprint, Error> {
    let card = model.card();
    let kernel = match device {
        Device::Cuda(_) => "cuda",
        Device::TensorRt(_) => "tensorrt",
        _ => cpu_features().kernel(precision)?,
    };
    let parts = [
        ("graph", model.hash_of(graph_file)?.to_owned()),
        ("tokenizer", model.hash_of(TOKENIZER)?.to_owned()),
        ("precision", precision.as_str().to_owned()),
        ("kernel", kernel.to_owned()),
        ("pooling", card.pooling.to_string()),
        ("normalize", card.normalize.to_string()),
        ("dimensions", card.dimensions.to_string()),
        ("max_tokens", card.max_tokens.to_string()),
        ("query_prompt", card.prompts.query.clone()),
        ("passage_prompt", card.prompts.passage.clone()),
    ];
    let mut parts: BTreeMap<String, String> = parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    // Indexes that were built before there were heads are of sentences, and name none.
    if head != Head::Sentence {
        parts.insert("head".to_owned(), head.to_string());
    }
    Ok(Fingerprint { model: card.name.clone(), parts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_of_one_graph_gpu_version_and_profile() {
        let h100 = ["NVIDIA H100".to_owned()];
        let key = EngineKey {
            graph: "abc",
            precision: Precision::Fp16,
            gpu: 0,
            gpus: &h100,
            runtime: "1.31.1",
            tensorrt: Some(101_300),
            max_tokens: 512,
            token_budget: GPU_TOKEN_BUDGET,
        };
        assert_eq!(key.name(), key.name());
        for other in [
            EngineKey { graph: "abd", ..key },
            EngineKey { precision: Precision::Fp32, ..key },
            EngineKey { gpu: 1, ..key },
            EngineKey { gpus: &["NVIDIA L4".to_owned()], ..key },
            EngineKey { runtime: "1.31.2", ..key },
            EngineKey { tensorrt: Some(101_400), ..key },
            EngineKey { tensorrt: None, ..key },
            EngineKey { max_tokens: 256, ..key },
            EngineKey { token_budget: 64, ..key },
        ] {
            assert_ne!(key.name(), other.name(), "{other:?}");
        }
    }

    #[test]
    fn a_ready_made_model_opens_in_the_fastest_precision_that_is_exact_here() {
        let card = |graphs: &str| {
            toml::from_str::<ModelCard>(&format!(
                "name = 'x'\ndimensions = 4\npooling = 'mean'\nnormalize = true\nmax_tokens = 512\n\
                 recommended_window_tokens = 512\n{graphs}"
            ))
            .unwrap()
        };
        let ready = |graphs: &str| {
            card(&format!(
                "[ready_made]\noutput = 'last_hidden_state'\nhead = 'tokens'\nrank = 3\ngraphs = {{ {graphs} }}\n\
                 inputs = {{ input_ids = 'ids' }}\n"
            ))
        };
        let both = ready("fp32 = 'onnx/model.onnx', int8 = 'onnx/model_quantized.onnx'");
        let (own, fp16) = (card(""), ready("fp32 = 'model.onnx', fp16 = 'model_fp16.onnx'"));
        let older = CpuFeatures { avx2: true, fma: true, ..CpuFeatures::default() };
        let newer = CpuFeatures { avx512_vnni: true, ..older };
        let on = |card, features| default_precision_of(card, Device::Cpu, features);
        // Without VNNI the products of a ready-made graph would saturate; those of a graph made here do not.
        assert_eq!((on(&both, older), on(&both, newer)), (Precision::Fp32, Precision::Int8));
        assert_eq!((on(&own, older), on(&own, newer)), (Precision::Int8, Precision::Int8));
        assert_eq!((on(&fp16, older), on(&fp16, newer)), (Precision::Fp32, Precision::Fp32));
        let on_gpu = |card| default_precision_of(card, Device::Cuda(0), newer);
        assert_eq!((on_gpu(&both), on_gpu(&fp16)), (Precision::Fp32, Precision::Fp16));
    }

    #[test]
    fn rows_share_runs_on_the_processor_only_where_they_do_not_depend_on_each_other() {
        let card = toml::from_str(
            "name = 'x'\ndimensions = 4\npooling = 'mean'\nnormalize = true\nmax_tokens = 512\n\
             recommended_window_tokens = 512\n",
        )
        .unwrap();
        let ladder = |device, precision, token_budget| {
            let decision =
                Decision { head: Head::Sentence, precision, device, graph_file: String::new(), ready_made: None };
            decision.ladder(&card, &EncoderOptions { token_budget, ..EncoderOptions::default() })
        };
        for precision in Precision::ALL.into_iter().filter(|precision| precision.is_quantized()) {
            let refusal = ladder(Device::Cpu, precision, Some(64)).unwrap_err();
            assert!(matches!(refusal, Error::RowsDepend { precision: named } if named == precision), "{refusal}");
        }
        assert_eq!(ladder(Device::Cpu, Precision::Int8, None).unwrap(), None);
        assert_eq!(ladder(Device::Cpu, Precision::Fp32, Some(64)).unwrap(), Some(Ladder::new(512, 64)));
        let longest = |device| ladder(device, Precision::Fp16, None).unwrap().unwrap().most_rows;
        assert_eq!(longest(Device::TensorRt(0)), 64);
        assert!(longest(Device::Cuda(0)) > 4_096);
    }
}
