//! Measures search quality on a collection with judgements: index it once, ask every query, score the answers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use berth_eval::{Dataset, Metrics, Run};
use berth_types::{Aggregate, DenseSearch, Mode, Narrowing, Query, Rerank, Reranker, RowKind, Shaping};
use serde::{Deserialize, Serialize};

use crate::bench::quantile;
use crate::encoding::{EncoderChoice, open_encoder};
use crate::searcher::Searcher;
use crate::{
    Encoders, Error, FusionChoice, Home, IngestOptions, Progress, ingest, open_sparse_encoder, open_token_encoder,
};

/// Documents asked for with each query: recall is measured at 100.
const RANKED_DOCUMENTS: usize = 100;
/// Digits of the hash in the name of an index.
const HASH_DIGITS: usize = 16;

/// What to measure and how.
#[derive(Debug, Clone)]
pub struct EvalOptions {
    /// Folder in BEIR layout.
    pub dataset: PathBuf,
    /// Which judgements.
    pub split: String,
    /// Which lists, each alone or joined.
    pub modes: Vec<Mode>,
    /// How the dense half looks for what it compares in full.
    pub dense: DenseSearch,
    /// How they are asked and joined; what is not named is as it is built in.
    pub joining: FusionChoice,
    /// Model of sparse vectors; none: the index has none.
    pub sparse: Option<String>,
    /// Which documents may be found; judgements of others count as missed.
    pub filter: Option<String>,
    /// Which model.
    pub encoder: EncoderChoice,
    /// Ids in a window; `None`: the card's.
    pub window_tokens: Option<usize>,
    /// Ids that neighbouring windows share; `None`: the default.
    pub overlap_tokens: Option<usize>,
    /// How the values of vectors are kept.
    pub rows: RowKind,
    /// Folder in which indexes of collections are kept; `None`: in `BERTH_HOME/cache/eval`.
    pub cache: Option<PathBuf>,
    /// Build the index again.
    pub rebuild: bool,
    /// Write the ranked lists to `FILE.MODE` and `FILE.MODE+late`.
    pub run_file: Option<PathBuf>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalReport {
    /// Name of the collection.
    pub dataset: String,
    /// Which judgements.
    pub split: String,
    /// Queries that were scored.
    pub queries: usize,
    /// Figures of each list and of all, and, as `hybrid+late`, of what was ordered anew.
    pub modes: BTreeMap<String, ModeReport>,
    /// What documents scored by their passages, where it was not the best one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<Aggregate>,
    /// Which documents could be found, where not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// What embedding the collection cost when its index was built.
    pub encode: EncodeCost,
    /// What the reader should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Figures of one mode.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModeReport {
    /// Quality, mean over queries.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Median time of a query, encoding included, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of the same.
    pub p99_ms: f64,
}

/// What embedding a collection cost, end to end: read, tokenise, embed, commit; summed over runs when it was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct EncodeCost {
    /// Ids handed to the model.
    pub tokens: u64,
    /// Wall time.
    pub seconds: f64,
    /// The quotient.
    pub tokens_per_second: f64,
    /// Documents of the collection.
    pub documents: usize,
    /// Chunks of the collection.
    pub chunks: usize,
}

/// Measures. `Ok(None)` means that `cancel` became true; what was indexed until then is kept.
///
/// # Errors
/// A folder that is no collection, a split that is not there, a model that is not installed, a damaged index.
pub fn evaluate(
    home: &Home,
    options: &EvalOptions,
    progress: &mut dyn Progress,
    cancel: &AtomicBool,
) -> Result<Option<EvalReport>, Error> {
    if options.joining.rerank.is_some_and(|rerank| rerank.by != Reranker::Late) {
        return Err(Error::InvalidSettings("an evaluation measures late interaction only".to_owned()));
    }
    if options.sparse.is_none() && options.modes.contains(&Mode::Sparse) {
        let message = "mode sparse needs an index with sparse vectors; name a model for them with --sparse-model";
        return Err(Error::InvalidSettings(message.to_owned()));
    }
    let dataset = Dataset::open(&options.dataset, &options.split)?;
    let encoder = open_encoder(home, &options.encoder, None)?;
    let tokens = open_token_encoder(home, &options.encoder, None, options.joining.rerank.is_some())?;
    let sparse = open_sparse_encoder(home, &options.encoder, None, options.sparse.as_deref())?;
    let encoders = Encoders { dense: &encoder, tokens: tokens.as_ref(), sparse: sparse.as_ref() };
    let index = cached_index(home, encoders, &dataset, options)?;
    let Some(encode) = build(encoders, &dataset, &index, options, progress, cancel)? else {
        return Ok(None);
    };
    let searcher = Searcher::with_encoders(&index, Some(encoder), tokens, sparse)?;
    let mut report = EvalReport {
        dataset: dataset.name.clone(),
        split: options.split.clone(),
        queries: 0,
        modes: BTreeMap::new(),
        aggregate: options.joining.aggregate.filter(|aggregate| *aggregate != Aggregate::default()),
        filter: options.filter.clone(),
        encode,
        warnings: warnings(&dataset),
    };
    for (mode, rerank) in passes(options) {
        let name =
            rerank.map_or(mode.as_str().to_owned(), |rerank| format!("{}+{}", mode.as_str(), rerank.by.as_str()));
        let mut run = Run::new();
        let mut times_ms = Vec::with_capacity(dataset.queries.len());
        for query in &dataset.queries {
            if cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let started = Instant::now();
            let ranking = rank(&searcher, &query.text, options, (mode, rerank))?;
            times_ms.push(started.elapsed().as_secs_f64() * 1e3);
            run.insert(&query.id, ranking)?;
        }
        let evaluation = berth_eval::evaluate(&run, &dataset.qrels);
        report.queries = evaluation.per_query.len();
        times_ms.sort_unstable_by(f64::total_cmp);
        let (p50_ms, p99_ms) = (quantile(&times_ms, 0.5), quantile(&times_ms, 0.99));
        report.modes.insert(name.clone(), ModeReport { metrics: evaluation.mean, p50_ms, p99_ms });
        if let Some(file) = &options.run_file {
            write_run(&run, file, &name)?;
        }
    }
    Ok(Some(report))
}

/// Every mode as it is, and, where documents are ordered anew, with that too.
fn passes(options: &EvalOptions) -> impl Iterator<Item = (Mode, Option<Rerank>)> {
    let anew = move |&mode| options.joining.rerank.map(|rerank| (mode, Some(rerank)));
    options.modes.iter().flat_map(move |mode| std::iter::once((*mode, None)).chain(anew(mode)))
}

fn rank(
    searcher: &Searcher,
    text: &str,
    options: &EvalOptions,
    (mode, rerank): (Mode, Option<Rerank>),
) -> Result<Vec<(String, f32)>, Error> {
    let resolved = options.joining.resolved(None, options.sparse.is_some());
    let query = Query {
        text: text.to_owned(),
        k: RANKED_DOCUMENTS,
        mode,
        dense: options.dense,
        lists: resolved.lists,
        fusion: resolved.fusion,
        sparse_weight: resolved.sparse_weight.unwrap_or(0.0),
        rerank,
        shaping: Shaping { aggregate: resolved.aggregate, ..Shaping::default() },
        explain: false,
        narrowing: Narrowing { filter: options.filter.clone(), ..Narrowing::default() },
    };
    match searcher.rank(&query) {
        // A query without words finds nothing; it counts as such.
        Err(Error::EmptyQuery) => Ok(Vec::new()),
        other => other,
    }
}

/// A folder named by everything that shapes the index: vectors, windows and the corpus itself. So an index is used again
/// for what it was built from and nothing else, and no folder of a user's is ever written to.
fn cached_index(
    home: &Home,
    encoders: Encoders<'_>,
    dataset: &Dataset,
    options: &EvalOptions,
) -> Result<PathBuf, Error> {
    let corpus = dataset.corpus_path();
    let mut hasher = blake3::Hasher::new();
    let mut reader = File::open(&corpus).map_err(Error::io("read", &corpus))?;
    std::io::copy(&mut reader, &mut hasher).map_err(Error::io("read", &corpus))?;
    hasher.update(encoders.dense.fingerprint().canonical().as_bytes());
    if let Some(tokens) = encoders.tokens {
        hasher.update(tokens.settings().fingerprint.canonical().as_bytes());
    }
    if let Some(sparse) = encoders.sparse {
        hasher.update(b"sparse").update(sparse.settings().fingerprint.canonical().as_bytes());
    }
    hasher.update(format!("{:?} {:?}", options.window_tokens, options.overlap_tokens).as_bytes());
    if !options.rows.is_default() {
        hasher.update(options.rows.as_str().as_bytes());
    }
    let hash = hasher.finalize().to_hex();
    let cache = options.cache.clone().unwrap_or_else(|| home.cache().join("eval"));
    Ok(cache.join(format!("{}-{}", dataset.name, &hash[..HASH_DIGITS])))
}

/// Indexes the collection unless that is done. `Ok(None)`: interrupted.
fn build(
    encoders: Encoders<'_>,
    dataset: &Dataset,
    index: &Path,
    options: &EvalOptions,
    progress: &mut dyn Progress,
    cancel: &AtomicBool,
) -> Result<Option<EncodeCost>, Error> {
    // Beside the index: what building it has cost so far.
    let mut cost_file = index.as_os_str().to_owned();
    cost_file.push(".json");
    let cost_file = PathBuf::from(cost_file);
    if options.rebuild {
        remove(&cost_file, |path| fs::remove_file(path))?;
        remove(index, |path| fs::remove_dir_all(path))?;
    }
    let mut built: Built =
        fs::read(&cost_file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    if !berth_index::exists(index) {
        remove(&cost_file, |path| fs::remove_file(path))?;
        built = Built::default();
    }
    if built.complete {
        return Ok(Some(built.cost));
    }
    let ingest_options = IngestOptions {
        paths: vec![dataset.corpus_path()],
        window_tokens: options.window_tokens,
        overlap_tokens: options.overlap_tokens,
        rows: Some(options.rows),
        ..IngestOptions::default()
    };
    let report = ingest(encoders, index, &ingest_options, progress, cancel)?;
    if report.documents == 0 && !report.interrupted {
        return Err(Error::NothingToIndex { path: dataset.corpus_path() });
    }
    let cost = &mut built.cost;
    cost.tokens += report.tokens;
    cost.seconds += report.seconds;
    cost.tokens_per_second = cost.tokens as f64 / cost.seconds;
    cost.documents = report.documents;
    cost.chunks = report.chunks;
    built.complete = !report.interrupted;
    let json = serde_json::to_vec(&built).unwrap_or_default();
    fs::write(&cost_file, json).map_err(Error::io("write", &cost_file))?;
    Ok(built.complete.then_some(built.cost))
}

/// What is known of an index in the cache.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Built {
    complete: bool,
    cost: EncodeCost,
}

/// Removes what may be there.
fn remove(path: &Path, how: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<(), Error> {
    match how(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn write_run(run: &Run, file: &Path, pass: &str) -> Result<(), Error> {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{pass}"));
    let path = PathBuf::from(name);
    let mut writer = BufWriter::new(File::create(&path).map_err(Error::io("create", &path))?);
    run.write_trec(&mut writer, &format!("berth-{pass}"))?;
    writer.into_inner().map_err(|error| Error::io("write", &path)(error.into_error()))?;
    Ok(())
}

fn warnings(dataset: &Dataset) -> Vec<String> {
    let mut warnings = Vec::new();
    if dataset.unknown_queries > 0 {
        warnings.push(format!("{} judged queries have no text and are left out", dataset.unknown_queries));
    }
    warnings
}
