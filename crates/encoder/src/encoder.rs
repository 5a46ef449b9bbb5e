//! From a model folder to an encoder: tokenizer, sessions and workers put together.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use berth_types::{Embedding, Fingerprint, ModelCard, Precision};

use crate::cpu::{CpuFeatures, cpu_features, plan_threads};
use crate::session::{GraphSession, GraphSource};
use crate::workers::{PendingRow, Workers};
use crate::{Error, InstalledModel, Runtime, TextTokenizer, ThreadPlan};

const TOKENIZER: &str = "tokenizer.json";

/// How an encoder is opened. The default suits indexing; a single query is answered soonest with one worker.
#[derive(Debug, Clone)]
pub struct EncoderOptions {
    /// Numbers to compute in; by the processor when `None`.
    pub precision: Option<Precision>,
    /// Sessions that work at the same time; by the cores when `None`.
    pub workers: Option<usize>,
    /// Rows that wait for a worker before `submit` blocks.
    pub queue_rows: usize,
}

impl Default for EncoderOptions {
    fn default() -> Self {
        // Rows take tens of milliseconds each: a short queue keeps every worker busy and a stop prompt.
        Self { precision: None, workers: None, queue_rows: 64 }
    }
}

/// Turns strings into unit-norm rows.
///
/// Each row is run alone, so that its vector depends on its own ids and nothing else: not on order, number of workers
/// or neighbours. Dropping the encoder finishes what is queued and joins the workers.
pub struct Encoder {
    card: ModelCard,
    tokenizer: TextTokenizer,
    precision: Precision,
    plan: ThreadPlan,
    fingerprint: Fingerprint,
    query_prompt: Vec<u32>,
    passage_prompt: Vec<u32>,
    workers: Workers,
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
        let precision = options.precision.unwrap_or_else(|| features.default_precision());
        let fingerprint = fingerprint(model, precision, features)?;
        let plan = plan(options.workers);
        let card = model.card().clone();

        let graph_file = precision.graph_file();
        let graph = Arc::new(model.read_checked(&graph_file)?);
        let graph_path = model.dir().join(&graph_file);
        let (runtime, dimensions) = (runtime.clone(), card.dimensions);
        let open_session = move || {
            let source =
                GraphSource { path: &graph_path, bytes: &graph, dimensions, intra_threads: plan.intra_threads };
            let mut session = GraphSession::open(&runtime, &source)?;
            Ok(move |row: &[u32]| session.run(row))
        };
        let open_tokenizer =
            || TextTokenizer::from_bytes(&model.dir().join(TOKENIZER), &model.read_checked(TOKENIZER)?);
        let (workers, tokenizer) = Workers::start(plan.workers, options.queue_rows, open_session, open_tokenizer)?;

        let query_prompt = tokenizer.tokenize(&card.prompts.query)?.ids;
        let passage_prompt = tokenizer.tokenize(&card.prompts.passage)?.ids;
        Ok(Self { card, tokenizer, precision, plan, fingerprint, query_prompt, passage_prompt, workers })
    }

    /// The model's card.
    pub fn card(&self) -> &ModelCard {
        &self.card
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

    /// The row of a passage: special tokens around prompt, title and body.
    ///
    /// # Errors
    /// `RowTooLong` when the model does not take as many ids; nothing is ever cut off here.
    pub fn passage_row(&self, title: &[u32], body: &[u32]) -> Result<Vec<u32>, Error> {
        let row = [self.tokenizer.prefix(), &self.passage_prompt, title, body, self.tokenizer.suffix()].concat();
        self.check_length(&row)?;
        Ok(row)
    }

    /// Hands `row` to the workers; blocks while their queue is full.
    ///
    /// # Errors
    /// `RowEmpty` or `RowTooLong` for a row that the model does not take, `WorkerLost` when all workers died.
    pub fn submit(&self, row: Vec<u32>) -> Result<PendingRow, Error> {
        if row.is_empty() {
            return Err(Error::RowEmpty);
        }
        self.check_length(&row)?;
        self.workers.submit(row)
    }

    /// Encodes `rows` on all workers; answers in the order of `rows`.
    ///
    /// # Errors
    /// The first row's failure.
    pub fn encode_rows(&self, rows: Vec<Vec<u32>>) -> Result<Vec<Embedding>, Error> {
        let pending = rows.into_iter().map(|row| self.submit(row)).collect::<Result<Vec<_>, Error>>()?;
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
        let embedding = self.submit(row)?.wait()?;
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

fn fingerprint(model: &InstalledModel, precision: Precision, features: CpuFeatures) -> Result<Fingerprint, Error> {
    let card = model.card();
    let parts = [
        ("graph", model.hash_of(&precision.graph_file())?.to_owned()),
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
    let parts: BTreeMap<String, String> = parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(Fingerprint { model: card.name.clone(), parts })
}
