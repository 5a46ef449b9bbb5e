//! From a model folder to an encoder: tokenizer, sessions and workers put together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use berth_kernels::attention_numbers;
use berth_types::{Device, Embedding, Fingerprint, Head, ModelCard, OwnOperators, Precision};

use crate::cpu::{ROWS_KERNEL, cpu_features};
use crate::device::is_gpu;
use crate::heads::late::LateRows;
use crate::opening::{Decision, Opened, fingerprint, runner_of};
use crate::prompts::PromptIds;
use crate::session::Graph;
use crate::workers::{Pending, Together, Workers};
use crate::{Call, Error, InstalledModel, Lane, Product, Prompt, Row, Runtime, TextTokenizer, ThreadPlan, Work};

pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// How an encoder is opened. The default suits indexing; a single query is answered soonest with one worker.
#[derive(Debug, Clone)]
pub struct EncoderOptions {
    /// Numbers to compute in; by the processor when `None`.
    pub precision: Option<Precision>,
    /// What the model is asked for.
    pub head: Head,
    /// Layers whose outputs are fetched, from 0, in this order; all when `None`. Only for hidden states and attention.
    pub layers: Option<Vec<usize>>,
    /// Where it runs.
    pub device: Device,
    /// Rows in the model at the same time; by the cores when `None`. A GPU has one worker, which runs batches.
    pub workers: Option<usize>,
    /// Threads inside each run; one where `workers` is given, else what cores are left, when `None`.
    pub intra_threads: Option<usize>,
    /// Most resident memory that this process may have while rows run. Fewer workers are started than asked for where
    /// that keeps it; without it, as much is taken as is needed.
    pub memory_limit_bytes: Option<u64>,
    /// Most ids in a batch of rows that run together, padded to a common length; the device's own when `None`: on the
    /// processor each row runs alone. A row in a batch has the vector that it has alone only to within rounding; integers
    /// on the processor do not even keep that, and are refused with a budget.
    pub token_budget: Option<usize>,
    /// Folder in which TensorRT keeps its engines, so that they are made once; nowhere when `None`.
    pub engine_cache: Option<PathBuf>,
    /// Rows that wait in each lane for a worker before `submit` blocks; where rows run together at least
    /// [`Encoder::rows_under_way`].
    pub queue_rows: usize,
}

impl Default for EncoderOptions {
    fn default() -> Self {
        // Rows take tens of milliseconds each: a short queue keeps every worker busy and a stop prompt.
        Self {
            precision: None,
            head: Head::Sentence,
            layers: None,
            device: Device::Cpu,
            workers: None,
            intra_threads: None,
            memory_limit_bytes: None,
            token_budget: None,
            engine_cache: None,
            queue_rows: 64,
        }
    }
}

/// Runs a model for one head: turns strings into unit-norm rows, or rows of ids into whatever else the head gives.
///
/// Each row is run alone, so that its vector depends on its own ids and nothing else: not on order, number of workers
/// or neighbours. Clones share all of it. Dropping the last one finishes what is queued and still waited for, and joins the workers.
#[derive(Clone)]
pub struct Encoder {
    core: Arc<Core>,
    call: Call,
}

/// What clones of an encoder share.
pub(crate) struct Core {
    card: ModelCard,
    tokenizer: TextTokenizer,
    head: Head,
    precision: Precision,
    device: Device,
    plan: ThreadPlan,
    fingerprint: Fingerprint,
    prompts: PromptIds,
    /// Most resident memory of the process.
    memory_limit_bytes: Option<u64>,
    /// How rows of late interaction are made; for that head only.
    late: Option<LateRows>,
    graph: Arc<Graph>,
    workers: Workers,
    rows_under_way: usize,
}

/// A row that is becoming a vector.
#[derive(Debug)]
pub struct PendingRow(Pending);

impl PendingRow {
    /// Waits for the vector.
    ///
    /// # Errors
    /// `BadRow` when what the model gave has no direction; otherwise as [`Pending::wait`].
    pub fn wait(self) -> Result<Embedding, Error> {
        let values = self.0.wait()?.into_iter().next().unwrap_or_default().values;
        Ok(Embedding::normalized(values)?)
    }
}

/// A query's row, and how much of the query it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryRow {
    /// Unit-norm row.
    pub embedding: Embedding,
    /// Tokens of the query's own text.
    pub tokens: usize,
    /// How many of them, from the start, the model read; fewer than `tokens` only when it takes no more.
    pub read_tokens: usize,
    /// How many of `tokens` are outside the vocabulary.
    pub unknown: usize,
}

impl Encoder {
    /// Opens `model`: checks its graph and tokenizer against their hashes and starts the workers.
    ///
    /// # Errors
    /// `FileMissing`, `FileChanged` and others by what is wrong with a file; `Int8Saturates` or `GraphSaturates` when
    /// 8-bit products would lose accuracy here; `DeviceUnavailable`, `DeviceRefused` or `Placement` when a device cannot
    /// serve; `RowsDepend` for a token budget where rows would depend on their neighbours;
    /// `MemoryLimit` when not even one worker fits.
    pub fn open(model: &InstalledModel, runtime: &Runtime, options: &EncoderOptions) -> Result<Self, Error> {
        let card = model.card().clone();
        let decision = Decision::make(model, runtime, options)?;
        let Decision { head, precision, device, .. } = decision;
        let mut fingerprint = fingerprint(model, head, &decision.graph_file, precision, device)?;
        let (opened, tokenizer) = thread::scope(|scope| {
            let opened = scope.spawn(|| decision.open(model, runtime, options));
            let tokenizer = TextTokenizer::of(model, head);
            (opened.join().unwrap_or(Err(Error::WorkerLost)), tokenizer)
        });
        let (Opened { graph, plan, ladder }, tokenizer) = (opened?, tokenizer?);
        let kernel = fingerprint.parts.entry("kernel".to_owned()).or_default();
        if graph.own_operators == OwnOperators::Products {
            ROWS_KERNEL.clone_into(kernel);
        }
        if graph.multiplies_bytes && !is_gpu(device) && cpu_features().int8_kernel().is_none() {
            let path = model.dir().join(&decision.graph_file);
            return Err(Error::GraphSaturates { path, features: cpu_features().describe() });
        }
        if graph.own_operators.any() {
            *kernel = format!("{kernel}+{}", attention_numbers());
        }
        let runners = (0..plan.workers).map(|_| runner_of(&graph, device)).collect::<Result<Vec<_>, Error>>()?;
        let runs = runners.into_iter().map(|mut runner| move |rows: &[&Row]| runner.run_all(rows, ladder)).collect();
        let together = ladder.map_or(Together::ALONE, |ladder| ladder.together());
        let rows_under_way = match ladder {
            // Enough that no worker waits for the next row.
            None => 2 * plan.workers + 2,
            Some(ladder) => 2 * ladder.rows_for(head),
        };
        // With room for all of them the lane is never full, so that a worker that takes hundreds wakes nobody for each.
        let queue_rows = if ladder.is_some() { options.queue_rows.max(rows_under_way) } else { options.queue_rows };
        let workers = Workers::start(runs, together, queue_rows)?;

        let prompts = PromptIds::of(&card, &tokenizer)?;
        let late = match &card.late {
            Some(late) if head == Head::Late => Some(LateRows::of(late, &tokenizer)?),
            _ => None,
        };
        let core = Core {
            card,
            tokenizer,
            head,
            precision,
            device,
            plan,
            fingerprint,
            prompts,
            memory_limit_bytes: options.memory_limit_bytes,
            late,
            graph,
            workers,
            rows_under_way,
        };
        Ok(Self { core: Arc::new(core), call: Call::default() })
    }

    /// The same encoder for the rows of one request.
    #[must_use]
    pub fn for_call(&self, call: &Call) -> Self {
        Self { core: Arc::clone(&self.core), call: call.clone() }
    }

    /// How rows of late interaction are made; none unless it was opened for them.
    pub(crate) fn late(&self) -> Option<&LateRows> {
        self.core.late.as_ref()
    }

    /// Most resident memory of the process.
    pub(crate) fn memory_limit_bytes(&self) -> Option<u64> {
        self.core.memory_limit_bytes
    }

    /// The model's card.
    pub fn card(&self) -> &ModelCard {
        &self.core.card
    }

    /// What the model is asked for.
    pub fn head(&self) -> Head {
        self.core.head
    }

    /// Numbers that the graph computes in.
    pub fn precision(&self) -> Precision {
        self.core.precision
    }

    /// Where the graph runs; never `auto`.
    pub fn device(&self) -> Device {
        self.core.device
    }

    /// Everything that shapes a row.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.core.fingerprint
    }

    /// Threads in use.
    pub fn plan(&self) -> ThreadPlan {
        self.core.plan
    }

    /// Rows to keep handed in ahead of the answer that is waited for, so that the model never waits: a few for each worker
    /// on the processor, two full batches on a GPU.
    pub fn rows_under_way(&self) -> usize {
        self.core.rows_under_way
    }

    /// The products by which most of the graph's time goes.
    pub fn product(&self) -> Product {
        match (self.core.precision, self.core.graph.own_operators) {
            (Precision::Fp32 | Precision::Fp16, _) => Product::Fp32,
            (_, OwnOperators::Products) => Product::Int8Rows,
            _ => Product::Int8,
        }
    }

    /// How many nodes of the graph are on each of ONNX Runtime's execution providers, by its account.
    pub fn placement(&self) -> &BTreeMap<String, usize> {
        &self.core.graph.placement
    }

    /// What went through the model so far, and how much of it was padding.
    pub fn work(&self) -> Work {
        self.core.graph.counters.read()
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.core.tokenizer
    }

    /// Ids that a passage's row has beside its text: special tokens, prompt and title.
    pub fn reserved_tokens(&self, title_tokens: usize) -> usize {
        self.core.tokenizer.special_tokens() + self.prompt(Prompt::Passage).len() + title_tokens
    }

    /// The prompt that people call `name`: `query`, `passage`, `none`, or a name in the card.
    ///
    /// # Errors
    /// `UnknownPrompt` with the names that there are.
    pub fn prompt_named(&self, name: &str) -> Result<Prompt, Error> {
        self.core.prompts.find(name).map_err(|known| {
            let (model, name) = (self.core.card.name.clone(), name.to_owned());
            Error::UnknownPrompt { model, name, known }
        })
    }

    /// Ids of the card's prompt.
    pub(crate) fn prompt(&self, prompt: Prompt) -> &[u32] {
        self.core.prompts.ids(prompt)
    }

    /// The row of a passage: special tokens around prompt, title and body.
    ///
    /// # Errors
    /// `RowTooLong` when the model does not take as many ids; nothing is ever cut off here.
    pub fn passage_row(&self, title: &[u32], body: &[u32]) -> Result<Vec<u32>, Error> {
        let row =
            [self.core.tokenizer.prefix(), self.prompt(Prompt::Passage), title, body, self.core.tokenizer.suffix()]
                .concat();
        self.check_length(&row)?;
        Ok(row)
    }

    /// The row of a passage for late interaction, of the ids of its text, and the positions whose vectors it keeps.
    ///
    /// # Errors
    /// `WrongHead` unless the encoder was opened for late interaction, `LateMarker` when the card does not say how rows
    /// are made, `RowTooLong` when the model does not take as many ids.
    pub fn late_passage_row(&self, text: &[u32]) -> Result<(Row, Vec<usize>), Error> {
        if self.core.head != Head::Late {
            return Err(Error::WrongHead { opened: self.core.head, needed: Head::Late });
        }
        let late = self.late().ok_or_else(|| Error::LateMarker { marker: "[late]".to_owned() })?;
        let row = late.passage(text);
        self.check_length(&row.ids)?;
        let kept = late.kept(&row);
        Ok((row, kept))
    }

    /// Hands `row` to the workers; blocks while its lane is full. Returns the outputs of the encoder's head once waited
    /// for; dropping what is returned takes the row back.
    ///
    /// # Errors
    /// `RowEmpty`, `RowTooLong`, `RowTypes` or `RowPositions` for a row that the model does not take, `WorkerLost` when
    /// all workers died.
    pub fn submit(&self, row: Row, lane: Lane) -> Result<Pending, Error> {
        row.check(self.core.card.max_tokens)?;
        self.core.workers.submit(row, lane, &self.call)
    }

    /// Hands a row of ids to the workers, to become a vector; blocks while the lane of bulk work is full.
    ///
    /// # Errors
    /// `WrongHead` unless the encoder was opened for sentences, otherwise as [`submit`](Self::submit).
    pub fn submit_passage(&self, row: Vec<u32>) -> Result<PendingRow, Error> {
        self.submit_sentence(row, Lane::Bulk)
    }

    fn submit_sentence(&self, row: Vec<u32>, lane: Lane) -> Result<PendingRow, Error> {
        if self.core.head != Head::Sentence {
            return Err(Error::WrongHead { opened: self.core.head, needed: Head::Sentence });
        }
        Ok(PendingRow(self.submit(Row::from(row), lane)?))
    }

    /// Encodes `rows` on all workers; answers in the order of `rows`.
    ///
    /// # Errors
    /// The first row's failure.
    pub fn encode_rows(&self, rows: Vec<Vec<u32>>) -> Result<Vec<Embedding>, Error> {
        let pending = rows.into_iter().map(|row| self.submit_passage(row)).collect::<Result<Vec<_>, Error>>()?;
        pending.into_iter().map(PendingRow::wait).collect()
    }

    /// Encodes a query, with the card's prompt for queries. Of a query that is longer than the model takes, the
    /// beginning is read, and the answer says how much.
    ///
    /// # Errors
    /// `Tokenize`, or what went wrong with the row.
    pub fn encode_query(&self, text: &str) -> Result<QueryRow, Error> {
        let tokens = self.core.tokenizer.tokenize(text)?;
        let prompt = self.prompt(Prompt::Query);
        let reserved = self.core.tokenizer.special_tokens() + prompt.len();
        let read_tokens = tokens.ids.len().min(self.core.card.max_tokens.saturating_sub(reserved));
        let read = &tokens.ids[..read_tokens];
        let row = [self.core.tokenizer.prefix(), prompt, read, self.core.tokenizer.suffix()].concat();
        let embedding = self.submit_sentence(row, Lane::Query)?.wait()?;
        Ok(QueryRow { embedding, tokens: tokens.ids.len(), read_tokens, unknown: tokens.unknown })
    }

    fn check_length(&self, row: &[u32]) -> Result<(), Error> {
        if row.len() > self.core.card.max_tokens {
            return Err(Error::RowTooLong { tokens: row.len(), max_tokens: self.core.card.max_tokens });
        }
        Ok(())
    }
}
