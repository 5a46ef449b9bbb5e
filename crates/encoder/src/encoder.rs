//! From a model folder to an encoder: tokenizer, sessions and workers put together.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use berth_types::{Device, Embedding, Fingerprint, Head, ModelCard, Precision, ReadyMade};

use crate::cpu::{CpuFeatures, cpu_features, plan_threads};
use crate::heads::late::LateRows;
use crate::interface::Wanted;
use crate::run::GraphRunner;
use crate::session::{Graph, GraphSource};
use crate::workers::{Pending, Workers};
use crate::{Error, InstalledModel, Lane, Prompt, Row, Runtime, TextTokenizer, ThreadPlan};

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
    /// Rows in the model at the same time; by the cores when `None`.
    pub workers: Option<usize>,
    /// Most memory that model and runs may take; as much as they need when `None`.
    pub memory_limit_bytes: Option<u64>,
    /// Rows that wait in each lane for a worker before `submit` blocks.
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
            memory_limit_bytes: None,
            queue_rows: 64,
        }
    }
}

/// Runs a model for one head: turns strings into unit-norm rows, or rows of ids into whatever else the head gives.
///
/// Each row is run alone, so that its vector depends on its own ids and nothing else: not on order, number of workers
/// or neighbours. Dropping the encoder finishes what is queued and still waited for, and joins the workers.
pub struct Encoder {
    card: ModelCard,
    tokenizer: TextTokenizer,
    head: Head,
    precision: Precision,
    plan: ThreadPlan,
    fingerprint: Fingerprint,
    query_prompt: Vec<u32>,
    passage_prompt: Vec<u32>,
    /// How rows of late interaction are made; for that head only.
    pub(crate) late: Option<LateRows>,
    workers: Workers,
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
    /// `FileMissing`, `FileChanged` and others by what is wrong with a file; `Int8Saturates` when int8 is asked for
    /// where it would lose accuracy.
    pub fn open(model: &InstalledModel, runtime: &Runtime, options: &EncoderOptions) -> Result<Self, Error> {
        let features = cpu_features();
        let (card, head) = (model.card().clone(), options.head);
        let precision = options.precision.unwrap_or_else(|| default_for(&card, features));
        let (graph_file, ready_made) = graph_of(model, head, precision);
        let fingerprint = fingerprint(model, head, &graph_file, precision, features)?;
        let plan = plan(options.workers);

        let open_graph = || {
            let path = &model.dir().join(&graph_file);
            let wanted = Wanted { head, card: &card, ready_made, layers: options.layers.as_deref() };
            let external = external_files(model, &graph_file, ready_made)?;
            let bytes = &model.read_checked(&graph_file)?;
            Graph::open(runtime, GraphSource { path, bytes, external, wanted, intra_threads: plan.intra_threads })
        };
        let (graph, tokenizer) = thread::scope(|scope| {
            let graph = scope.spawn(open_graph);
            let tokenizer = TextTokenizer::of(model, head);
            (graph.join().unwrap_or(Err(Error::WorkerLost)), tokenizer)
        });
        let (graph, tokenizer) = (graph?, tokenizer?);
        let runs = (0..plan.workers).map(|_| GraphRunner::new(Arc::clone(&graph)));
        let runs = runs.map(|mut runner| move |row: &Row| runner.run(row)).collect();
        let workers = Workers::start(runs, options.queue_rows)?;

        let query_prompt = tokenizer.tokenize(&card.prompts.query)?.ids;
        let passage_prompt = tokenizer.tokenize(&card.prompts.passage)?.ids;
        let late = match &card.late {
            Some(late) if head == Head::Late => Some(LateRows::of(late, &tokenizer)?),
            _ => None,
        };
        Ok(Self { card, tokenizer, head, precision, plan, fingerprint, query_prompt, passage_prompt, late, workers })
    }

    /// The model's card.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// What the model is asked for.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Numbers that the graph computes in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Everything that shapes a row.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Threads in use.
    pub fn plan(&self) -> ThreadPlan {
        self.plan
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// Ids that a passage's row has beside its text: special tokens, prompt and title.
    pub fn reserved_tokens(&self, title_tokens: usize) -> usize {
        self.tokenizer.special_tokens() + self.passage_prompt.len() + title_tokens
    }

    /// Ids of the card's prompt.
    pub(crate) fn prompt(&self, prompt: Prompt) -> &[u32] {
        match prompt {
            Prompt::Query => &self.query_prompt,
            Prompt::Passage => &self.passage_prompt,
            Prompt::None => &[],
        }
    }

    /// The row of a passage: special tokens around prompt, title and body.
    ///
    /// # Errors
    /// `RowTooLong` when the model does not take as many ids; nothing is ever cut off here.
    pub fn passage_row(&self, title: &[u32], body: &[u32]) -> Result<Vec<u32>, Error> {
        let row = [self.tokenizer.prefix(), &self.passage_prompt, title, body, self.tokenizer.suffix()].concat();
        self.check_length(&row)?;
        Ok(row)
    }

    /// The row of a passage for late interaction, of the ids of its text, and the positions whose vectors it keeps.
    ///
    /// # Errors
    /// `WrongHead` unless the encoder was opened for late interaction, `LateMarker` when the card does not say how rows
    /// are made, `RowTooLong` when the model does not take as many ids.
    pub fn late_passage_row(&self, text: &[u32]) -> Result<(Row, Vec<usize>), Error> {
        if self.head != Head::Late {
            return Err(Error::WrongHead { opened: self.head, needed: Head::Late });
        }
        let late = self.late.as_ref().ok_or_else(|| Error::LateMarker { marker: "[late]".to_owned() })?;
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
        row.check(self.card.max_tokens)?;
        self.workers.submit(row, lane)
    }

    /// Hands a row of ids to the workers, to become a vector; blocks while the lane of bulk work is full.
    ///
    /// # Errors
    /// `WrongHead` unless the encoder was opened for sentences, otherwise as [`submit`](Self::submit).
    pub fn submit_passage(&self, row: Vec<u32>) -> Result<PendingRow, Error> {
        self.submit_sentence(row, Lane::Bulk)
    }

    fn submit_sentence(&self, row: Vec<u32>, lane: Lane) -> Result<PendingRow, Error> {
        if self.head != Head::Sentence {
            return Err(Error::WrongHead { opened: self.head, needed: Head::Sentence });
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
        let tokens = self.tokenizer.tokenize(text)?;
        let reserved = self.tokenizer.special_tokens() + self.query_prompt.len();
        let read_tokens = tokens.ids.len().min(self.card.max_tokens.saturating_sub(reserved));
        let read = &tokens.ids[..read_tokens];
        let row = [self.tokenizer.prefix(), &self.query_prompt, read, self.tokenizer.suffix()].concat();
        let embedding = self.submit_sentence(row, Lane::Query)?.wait()?;
        Ok(QueryRow { embedding, tokens: tokens.ids.len(), read_tokens, unknown: tokens.unknown })
    }

    fn check_length(&self, row: &[u32]) -> Result<(), Error> {
        if row.len() > self.card.max_tokens {
            return Err(Error::RowTooLong { tokens: row.len(), max_tokens: self.card.max_tokens });
        }
        Ok(())
    }
}

fn plan(workers: Option<usize>) -> ThreadPlan {
    match workers {
        Some(workers) => ThreadPlan { workers: workers.max(1), intra_threads: 1 },
        None => plan_threads(thread::available_parallelism().map_or(1, NonZeroUsize::get)),
    }
}

/// The file of the graph for `head`, and what is known of it when it was not made here. A graph that was made for the
/// head goes before one that serves it in part.
fn graph_of(model: &InstalledModel, head: Head, precision: Precision) -> (String, Option<&ReadyMade>) {
    let own = head.graph_file(precision);
    let ready = model.card().ready_made.as_ref();
    match ready.and_then(|ready| Some((ready, ready.graphs.get(&precision)?))) {
        Some((ready, file)) if !model.files().contains_key(&own) => (file.clone(), Some(ready)),
        _ => (own, None),
    }
}

/// The processor's own precision, unless the model comes with graphs of others only: then the most exact of those.
fn default_for(card: &ModelCard, features: CpuFeatures) -> Precision {
    let default = features.default_precision();
    match &card.ready_made {
        Some(ready) if !ready.graphs.contains_key(&default) => {
            ready.graphs.keys().next_back().copied().unwrap_or(default)
        }
        _ => default,
    }
}

/// The files that the graph keeps weights in, under the names that it has for them: paths from its own folder.
fn external_files(
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

fn fingerprint(
    model: &InstalledModel,
    head: Head,
    graph_file: &str,
    precision: Precision,
    features: CpuFeatures,
) -> Result<Fingerprint, Error> {
    let card = model.card();
    let parts = [
        ("graph", model.hash_of(graph_file)?.to_owned()),
        ("tokenizer", model.hash_of(TOKENIZER)?.to_owned()),
        ("precision", precision.as_str().to_owned()),
        ("kernel", features.kernel(precision)?.to_owned()),
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
