//! Measures search quality on a collection with judgements: index it once, ask every query, score the answers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use berth_eval::{DEFAULT_MEASURES, Dataset, Run, Scores};
use berth_index::StoredWeights;
use berth_types::{Aggregate, DenseSearch, Fingerprint, Mode, Narrowing, Query, Rerank, Reranker, RowKind, Shaping};
use serde::Serialize;

use crate::bench::quantile;
use crate::collection_index::{CollectionIndex, EncodeCost};
use crate::encoding::{EncoderChoice, open_encoder};
use crate::searcher::Searcher;
use crate::{
    Circumstances, Encoders, Error, FusionChoice, Home, Progress, ResolvedFusion, SavedProfile, open_sparse_encoder,
    open_token_encoder,
};

/// Documents asked for with each query: recall is measured at 100.
const RANKED_DOCUMENTS: usize = 100;

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
    /// How they are asked and joined.
    pub joining: FusionChoice,
    /// What counts where `joining` names nothing; none: what is built in.
    pub profile: Option<PathBuf>,
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
    pub metrics: Scores,
    /// Median time of a query, encoding included, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of the same.
    pub p99_ms: f64,
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
    let resolved = resolve(options, encoder.fingerprint())?;
    let tokens = open_token_encoder(home, &options.encoder, None, resolved.rerank.is_some())?;
    let sparse = open_sparse_encoder(home, &options.encoder, None, options.sparse.as_deref())?;
    let encoders = Encoders { dense: &encoder, tokens: tokens.as_ref(), sparse: sparse.as_ref() };
    let collection = CollectionIndex {
        dir: &options.dataset,
        window_tokens: options.window_tokens,
        overlap_tokens: options.overlap_tokens,
        rows: options.rows,
        cache: options.cache.as_deref(),
        rebuild: options.rebuild,
    };
    let Some((index, encode)) = collection.built(home, encoders, progress, cancel)? else { return Ok(None) };
    let searcher = Searcher::with_encoders(&index, Some(encoder), tokens, sparse)?;
    let mut report = EvalReport {
        dataset: dataset.name.clone(),
        split: options.split.clone(),
        queries: 0,
        modes: BTreeMap::new(),
        aggregate: Some(resolved.aggregate).filter(|aggregate| *aggregate != Aggregate::default()),
        filter: options.filter.clone(),
        encode,
        warnings: warnings(&dataset),
    };
    for (mode, rerank) in passes(&options.modes, resolved.rerank) {
        let name =
            rerank.map_or(mode.as_str().to_owned(), |rerank| format!("{}+{}", mode.as_str(), rerank.by.as_str()));
        let mut run = Run::new();
        let mut times_ms = Vec::with_capacity(dataset.queries.len());
        for query in &dataset.queries {
            if cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let started = Instant::now();
            let ranking = rank(&searcher, &query.text, options, (mode, ResolvedFusion { rerank, ..resolved }))?;
            times_ms.push(started.elapsed().as_secs_f64() * 1e3);
            run.insert(&query.id, ranking)?;
        }
        let evaluation = berth_eval::evaluate(&run, &dataset.qrels, &DEFAULT_MEASURES);
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
fn passes(modes: &[Mode], rerank: Option<Rerank>) -> impl Iterator<Item = (Mode, Option<Rerank>)> {
    let anew = move |&mode| rerank.map(|rerank| (mode, Some(rerank)));
    modes.iter().flat_map(move |mode| std::iter::once((*mode, None)).chain(anew(mode)))
}

/// What was named, then what the profile says, then what is built in.
fn resolve(options: &EvalOptions, fingerprint: &Fingerprint) -> Result<ResolvedFusion, Error> {
    let profile = options.profile.as_ref();
    let profile = profile.map(|path| SavedProfile::read(path)?.for_model(path, fingerprint)).transpose()?;
    let base = profile.map(|profile| StoredWeights { profile, relevance: None, for_this_model: true });
    let (has_sparse, has_tokens) = (options.sparse.is_some(), true);
    let circumstances = Circumstances { has_sparse, has_tokens, mode: Mode::Hybrid, is_sorted: false };
    Ok(options.joining.resolved(base.as_ref(), &circumstances))
}

fn rank(
    searcher: &Searcher,
    text: &str,
    options: &EvalOptions,
    (mode, resolved): (Mode, ResolvedFusion),
) -> Result<Vec<(String, f32)>, Error> {
    let query = Query {
        text: text.to_owned(),
        k: RANKED_DOCUMENTS,
        mode,
        dense: options.dense,
        lists: resolved.lists,
        fusion: resolved.fusion,
        sparse_weight: resolved.sparse_weight.unwrap_or(0.0),
        rerank: resolved.rerank,
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
    if !dataset.unknown_queries.is_empty() {
        warnings.push(format!("{} judged queries have no text and are left out", dataset.unknown_queries.len()));
    }
    warnings
}
