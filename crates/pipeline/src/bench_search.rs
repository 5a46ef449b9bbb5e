//! Measures how long questions to an index take: the model, each half's list, and the whole answer.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use berth_index::IndexReader;
use berth_types::{DenseSearch, Embedding, Lists, Mode, Query, SparseVector};
use serde::Serialize;

use crate::bench::quantile;
use crate::encoding::{EncoderChoice, open_encoder};
use crate::lists::depth_for;
use crate::samples::read_texts;
use crate::searcher::Searcher;
use crate::{Error, Home, open_sparse_encoder};

/// What to measure.
#[derive(Debug, Clone)]
pub struct BenchSearchOptions {
    /// Folder of the index.
    pub index: PathBuf,
    /// Which model and where; one worker unless said, since one question comes after the other.
    pub encoder: EncoderChoice,
    /// Questions, a line or a JSONL row each.
    pub questions: Vec<PathBuf>,
    /// Most questions; of more, some from everywhere.
    pub limit: usize,
    /// Which halves the whole answer asks.
    pub mode: Mode,
    /// How the dense half looks for what it compares in full.
    pub dense: DenseSearch,
    /// Documents of an answer.
    pub k: usize,
    /// How often each question is asked; its fastest answer counts.
    pub rounds: usize,
    /// What documents have to fulfil.
    pub filter: Option<String>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchSearchReport {
    /// Passages of the index.
    pub chunks: u64,
    /// Questions that were asked, one after the other.
    pub questions: usize,
    /// How often each was asked; the fastest of its answers counts.
    pub rounds: usize,
    /// Which halves the whole answer asked.
    pub mode: Mode,
    /// Documents of an answer.
    pub k: usize,
    /// Passages that each half's list has at most.
    pub depth: usize,
    /// The question's vector; absent in lexical and sparse mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encode: Option<Times>,
    /// The list of the dense half; absent in lexical and sparse mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dense: Option<Times>,
    /// The list of the lexical half; absent in dense and sparse mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lexical: Option<Times>,
    /// The question's sparse vector; absent where the sparse list is not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encode_sparse: Option<Times>,
    /// The sparse list; absent where it is not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparse: Option<Times>,
    /// The whole answer: all of that, fusion, and the hits with their texts and highlights.
    pub answer: Times,
}

/// Times of many questions, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// Nine of ten took no longer.
    pub p90_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Times {
    fn of(mut times_ms: Vec<f64>) -> Self {
        times_ms.sort_unstable_by(f64::total_cmp);
        let at = |share| quantile(&times_ms, share);
        Self { p50_ms: at(0.5), p90_ms: at(0.9), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

/// Asks all questions once to warm up, and then in rounds to measure. `Ok(None)` means that `cancel` became true.
///
/// # Errors
/// An index or a model that is not there, damaged, or does not fit the other; a file of questions that cannot be read.
pub fn bench_search(
    home: &Home,
    options: &BenchSearchOptions,
    cancel: &AtomicBool,
) -> Result<Option<BenchSearchReport>, Error> {
    let questions = read_questions(options)?;
    let choice = EncoderChoice { workers: options.encoder.workers.or(Some(1)), ..options.encoder.clone() };
    let has_sparse = IndexReader::open(&options.index)?.snapshot().settings().sparse.is_some();
    let asks = |mode| options.mode == mode || options.mode == Mode::Hybrid;
    let (asks_dense, asks_lexical) = (asks(Mode::Dense), asks(Mode::Lexical));
    let (mut encode, mut rows, mut encoder) = (None, Vec::new(), None);
    if asks_dense {
        let opened = encoder.insert(open_encoder(home, &choice, Some(&options.index))?);
        let vector = |text: &str| Ok(opened.encode_query(text)?.embedding);
        let Some((times, found)) = encoded(&questions, options.rounds, cancel, vector)? else { return Ok(None) };
        (encode, rows) = (Some(times), found);
    }
    let (mut encode_sparse, mut vectors, mut sparse_encoder) = (None, Vec::new(), None);
    if asks(Mode::Sparse) && has_sparse {
        sparse_encoder = open_sparse_encoder(home, &choice, Some(&options.index), None)?;
    }
    if let Some(opened) = &sparse_encoder {
        let vector = |text: &str| Ok(opened.query(text)?.0);
        let Some((times, found)) = encoded(&questions, options.rounds, cancel, vector)? else { return Ok(None) };
        (encode_sparse, vectors) = (Some(times), found);
    }
    let searcher = Searcher::with_encoders(&options.index, encoder, None, sparse_encoder)?;
    let unknown = vec![f64::INFINITY; questions.len()];
    let fresh = || [unknown.clone(), unknown.clone(), unknown.clone(), unknown.clone()];
    let mut least = fresh();
    for round in 0..=options.rounds {
        let [dense, lexical, sparse, answer] = &mut least;
        for (at, text) in questions.iter().enumerate() {
            if cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if let Some(row) = rows.get(at) {
                timed(&mut dense[at], || dense_list(&searcher, options, text, row))?;
            }
            if let Some(vector) = vectors.get(at) {
                timed(&mut sparse[at], || sparse_list(&searcher, options, text, vector))?;
            }
            if asks_lexical {
                timed(&mut lexical[at], || lexical_list(&searcher, options, text))?;
            }
            timed(&mut answer[at], || searcher.search(&query(options, text)).map(drop))?;
        }
        // In the first round blocks are read and verified.
        if round == 0 {
            least = fresh();
        }
    }
    let [dense, lexical, sparse, answer] = least;
    Ok(Some(BenchSearchReport {
        chunks: searcher.reader().snapshot().status().chunks,
        questions: questions.len(),
        rounds: options.rounds,
        mode: options.mode,
        k: options.k,
        depth: depth_for(options.k, Lists::default()),
        encode,
        dense: asks_dense.then(|| Times::of(dense)),
        lexical: asks_lexical.then(|| Times::of(lexical)),
        sparse: encode_sparse.is_some().then(|| Times::of(sparse)),
        encode_sparse,
        answer: Times::of(answer),
    }))
}

/// The vector of each question, and how long it took, the fastest of so many rounds. `Ok(None)` means that `cancel` became true.
fn encoded<T>(
    questions: &[String],
    rounds: usize,
    cancel: &AtomicBool,
    vector: impl Fn(&str) -> Result<T, Error>,
) -> Result<Option<(Times, Vec<T>)>, Error> {
    // The first runs make the arena grow.
    questions.iter().take(20).try_for_each(|text| vector(text).map(drop))?;
    let mut times = vec![f64::INFINITY; questions.len()];
    let mut vectors = Vec::new();
    for _ in 0..rounds {
        vectors.clear();
        for (text, time) in questions.iter().zip(&mut times) {
            if cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            vectors.push(timed(time, || vector(text))?);
        }
    }
    Ok(Some((Times::of(times), vectors)))
}

/// What has a word, at most `limit`, spread over all.
fn read_questions(options: &BenchSearchOptions) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for path in &options.questions {
        all.extend(read_texts(path)?);
    }
    all.retain(|text| text.chars().any(char::is_alphanumeric));
    let count = all.len().min(options.limit);
    if count == 0 {
        return Err(Error::InvalidSettings("there is no question to measure with".to_owned()));
    }
    Ok((0..count).map(|at| all[at * all.len() / count].clone()).collect())
}

/// Does the work, and keeps its time in milliseconds where none was shorter.
fn timed<T>(least_ms: &mut f64, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let started = Instant::now();
    let done = work()?;
    *least_ms = least_ms.min(started.elapsed().as_secs_f64() * 1e3);
    Ok(done)
}

fn lexical_list(searcher: &Searcher, options: &BenchSearchOptions, text: &str) -> Result<(), Error> {
    let snapshot = searcher.reader().snapshot();
    let question = snapshot.question(text);
    snapshot.lexical_within(&question, options.filter.as_deref(), depth_for(options.k, Lists::default()))?;
    Ok(())
}

fn dense_list(searcher: &Searcher, options: &BenchSearchOptions, text: &str, row: &Embedding) -> Result<(), Error> {
    let snapshot = searcher.reader().snapshot();
    let selection = snapshot.selection(options.filter.as_deref(), Some(&snapshot.question(text)))?;
    snapshot.dense_by(row, selection.as_deref(), depth_for(options.k, Lists::default()), options.dense)?;
    Ok(())
}

fn sparse_list(
    searcher: &Searcher,
    options: &BenchSearchOptions,
    text: &str,
    vector: &SparseVector,
) -> Result<(), Error> {
    let snapshot = searcher.reader().snapshot();
    let selection = snapshot.selection(options.filter.as_deref(), Some(&snapshot.question(text)))?;
    snapshot.sparse_within(vector, selection.as_deref(), depth_for(options.k, Lists::default()))?;
    Ok(())
}

fn query(options: &BenchSearchOptions, text: &str) -> Query {
    let mut query = Query { dense: options.dense, ..Query::of_owner(text, options.k, options.mode) };
    query.narrowing.filter.clone_from(&options.filter);
    query
}
