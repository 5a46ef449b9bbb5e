//! Fits the joining of an index's lists to judgements: every list is asked once, and all settings are tried in memory.
//!
//! What is chosen is held against queries that had no say in it, and is only stored where it gains on them and not by chance.

mod gather;
mod space;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use berth_eval::{
    CompareOptions, Comparison, Dataset, EvalQuery, Measure, Qrels, Run, TuneOptions, Tuning, compare_values,
};
use berth_index::{IndexReader, Snapshot, store_weights, stored_weights};
use berth_types::{Lists, Profile, Rerank, RowKind};
use rayon::prelude::*;
use serde::Serialize;

use crate::collection_index::CollectionIndex;
use crate::encoding::{EncoderChoice, open_encoder};
use crate::judged::unknown_judgements;
use crate::lists::depth_for;
use crate::migrate::open_judgements;
use crate::profile::SavedProfile;
use crate::searcher::{Searcher, SearcherOptions};
use crate::{Circumstances, Encoders, Error, FusionChoice, Home, Progress, open_token_encoder};
use gather::{DEPTH, Gathered, Read, Reading};
use space::{Offers, Setting, Space};

/// Fewest queries that settings are fitted to: below, no gain of a likely size is told from chance (docs/tuning.md).
const LEAST_QUERIES: usize = 50;
/// Most queries that are asked, a seeded sample where there are more: their lists are kept in memory.
const MOST_QUERIES: usize = 3000;
/// Documents that a user sees, which settings are compared by unless a measure looks deeper.
const SHOWN: usize = 10;
/// Chance of a gain where there is none, from which on it does not count.
const SIGNIFICANT: f64 = 0.05;

/// Splits that judge what was fitted elsewhere begin so.
const JUDGING_SPLIT: &str = "test";
/// Deepest place that a measure may look at.
const DEEPEST_CUT: usize = 100;

/// What to fit, and to what.
#[derive(Debug, Clone)]
pub struct TuneSettings {
    /// Folder in BEIR layout.
    pub dataset: PathBuf,
    /// Which judgements; no others are read.
    pub split: String,
    /// The index to fit, and to store what was chosen in; none: that of the collection.
    pub index: Option<PathBuf>,
    /// Which model.
    pub encoder: EncoderChoice,
    /// What settings are compared by.
    pub measure: Measure,
    /// Whether late interaction is tried, of an index that has token rows.
    pub late: bool,
    /// Windows to try, as ids and overlap; empty: that of the index. The collection is indexed once for each.
    pub windows: Vec<(Option<usize>, Option<usize>)>,
    /// Folder in which indexes of collections are kept; `None`: in `BERTH_HOME/cache/eval`.
    pub cache: Option<PathBuf>,
    /// Whether what was chosen is stored in `index`.
    pub store: bool,
    /// Whether only the gain on held-out queries is wanted: then any split may be named, and nothing is stored.
    pub cross_validate_only: bool,
    /// Whether judgements of unknown queries and documents are an error.
    pub strict: bool,
    /// How the choice is made.
    pub search: TuneOptions,
}

impl TuneSettings {
    fn check(&self) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::InvalidSettings(message));
        if self.split.to_lowercase().starts_with(JUDGING_SPLIT) && !self.cross_validate_only {
            return refuse(format!(
                "a figure that was tuned on '{}' says nothing on it: name another split, or see with --cross-validate-only what \
                 tuning gains on held-out queries",
                self.split
            ));
        }
        if self.measure.cut().is_none_or(|cut| cut > DEEPEST_CUT) {
            let measure = self.measure;
            return refuse(format!(
                "tuning by {measure} is not possible; name a measure with a cut of at most {DEEPEST_CUT}, such as ndcg@10"
            ));
        }
        if self.index.is_some() && !self.windows.is_empty() {
            return refuse(
                "windows are tried on an index of the collection: leave out --index, or --windows and --overlaps"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// What was chosen, what it is worth, and whether that is enough.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TuneReport {
    /// Name of the collection.
    pub dataset: String,
    /// Which judgements.
    pub split: String,
    /// Queries that count.
    pub queries: usize,
    /// Whether the gain counts.
    pub ships: bool,
    /// Why, or why not.
    pub reason: String,
    /// What each query scores by default, and held out by what was chosen without it.
    pub held_out: Comparison,
    /// Mean of what was chosen on the queries that it was chosen by: more than it is worth.
    pub fitted: f64,
    /// What was chosen on all queries, with what it holds for.
    pub profile: SavedProfile,
    /// The window that was chosen, of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<TunedWindow>,
    /// Each held-out part of the first repetition.
    pub folds: Vec<FoldReport>,
    /// Settings that were tried.
    pub settings: usize,
    /// What parts were drawn by.
    pub seed: u64,
    /// Chance of such a gain or a higher one where choosing gains nothing (one-sided).
    pub p_of_gain: f64,
    /// How often parts were drawn; `held_out` is of means over them.
    pub repetitions: usize,
    /// Version of Berth.
    pub version: &'static str,
    /// Wall time.
    pub seconds: f64,
    /// Whether it is stored in the index.
    pub stored: bool,
    /// What the reader should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Each query with what it scores by default, and held out.
    #[serde(skip)]
    pub per_query: Vec<TunedQuery>,
}

/// A window to cut passages by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TunedWindow {
    /// Ids in a window; none: the card's.
    pub window_tokens: Option<usize>,
    /// Ids that neighbouring windows share; none: the default.
    pub overlap_tokens: Option<usize>,
}

/// One held-out part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoldReport {
    /// Its queries.
    pub queries: usize,
    /// What they score by default.
    pub default: f64,
    /// What they score by what was chosen on all others.
    pub tuned: f64,
    /// That choice.
    pub chosen: Profile,
}

/// What one query scores.
#[derive(Debug, Clone, PartialEq)]
pub struct TunedQuery {
    /// Its id.
    pub id: String,
    /// What it asks.
    pub text: String,
    /// By default.
    pub default: f64,
    /// By what was chosen without it.
    pub held_out: f64,
}

/// Fits how an index is searched to judgements of its documents, and stores it where it gains on queries that it was not fitted
/// to. `Ok(None)`: interrupted, and nothing stored.
///
/// # Errors
/// A folder that is no collection; `OtherDocuments`; `InvalidSettings` for too few queries, a split that is to judge and not to fit, a
/// measure without a cut, windows for an index that is there; a model that is not installed; a damaged index.
pub fn tune(
    home: &Home,
    settings: &TuneSettings,
    progress: &mut dyn Progress,
    cancel: &AtomicBool,
) -> Result<Option<TuneReport>, Error> {
    let started = Instant::now();
    settings.check()?;
    let dataset = match &settings.index {
        Some(index) => open_judgements(index, &settings.dataset, &settings.split)?,
        None => Dataset::open(&settings.dataset, &settings.split)?,
    };
    let Some(mut sides) = open_sides(home, settings, progress, cancel)? else { return Ok(None) };
    let mut warnings = unknown_judgements(&dataset, &sides[0].snapshot, settings.strict)?;
    let answerable = answerable(&dataset, &sides[0].snapshot)?;
    if answerable.len() < LEAST_QUERIES {
        return Err(Error::InvalidSettings(format!(
            "tuning needs {LEAST_QUERIES} queries with a relevant document, and '{}' of {} has {}; below that no gain is told \
             from chance",
            dataset.split,
            dataset.dir.display(),
            answerable.len()
        )));
    }
    let queries = sampled(&answerable, MOST_QUERIES / sides.len(), settings.search.seed);
    if queries.len() < answerable.len() {
        warnings.push(format!("{} of {} queries were drawn", queries.len(), answerable.len()));
    }
    for side in &mut sides {
        side.judge(&queries, &dataset.qrels)?;
    }
    let baseline = sides[0].baseline(settings)?;
    let offers = Offers {
        sparse: sides[0].searcher.sparse.is_some(),
        several_chunks: sides.iter().any(Side::has_several_chunks),
        titles: sides[0].has_titles,
        late: settings.late,
        windows: sides.len(),
    };
    let space = Space::of(offers, &baseline);
    let axes = space.axes();
    progress.stage(&format!("asking {} queries", queries.len() * sides.len()));
    let mut asked = Vec::with_capacity(sides.len());
    for side in &sides {
        let Some(of_side) = ask(side, &queries, &space, settings.measure, cancel)? else { return Ok(None) };
        asked.push(of_side);
    }
    progress.stage("trying settings in memory");
    let mut scorer = Scorer { queries: &queries, sides: &sides, asked: &asked, measure: settings.measure, read: None };
    let mut of_setting = |point: &[usize]| {
        if cancel.load(Ordering::Relaxed) {
            return Err(Stopped::Cancelled);
        }
        Ok(scorer.scores(&space.setting(point), point[BOOST_AXIS])?)
    };
    let tuning = match berth_eval::tune(&axes, &settings.search, &mut of_setting) {
        Ok(tuning) => tuning,
        Err(Stopped::Cancelled) => return Ok(None),
        Err(Stopped::Failed(error)) => return Err(error),
    };
    let mut report = report(&dataset, &queries, settings, (&space, &tuning), &sides[0])?;
    report.warnings = warnings;
    if sides.len() > 1 {
        let side = &sides[space.setting(&tuning.chosen).window];
        let of_index = side.snapshot.settings();
        report.profile.window_tokens = Some(of_index.window_tokens);
        report.profile.overlap_tokens = Some(of_index.overlap_tokens);
        report.window = Some(side.window);
    }
    let may_store = settings.store && !settings.cross_validate_only && report.ships;
    if let Some(index) = settings.index.as_ref().filter(|_| may_store) {
        store_weights(index, report.profile.profile.clone())?;
        report.stored = true;
    }
    report.seconds = started.elapsed().as_secs_f64();
    Ok(Some(report))
}

/// Position of the title boost in a point of the space.
const BOOST_AXIS: usize = 2;

/// Why the search for settings ended early.
enum Stopped {
    Cancelled,
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// An index to ask, the collection's documents cut by one window.
struct Side {
    searcher: Searcher,
    snapshot: Arc<Snapshot>,
    window: TunedWindow,
    has_titles: bool,
    qrels: Qrels,
}

fn open_sides(
    home: &Home,
    settings: &TuneSettings,
    progress: &mut dyn Progress,
    cancel: &AtomicBool,
) -> Result<Option<Vec<Side>>, Error> {
    if let Some(index) = &settings.index {
        let of_index = IndexReader::open(index)?.snapshot().settings().clone();
        let stored = stored_weights(index, &of_index.fingerprint)?;
        let stored = FusionChoice::default().resolved(stored.as_ref(), Circumstances::of(&of_index)).rerank;
        let rerank = stored.or(settings.late.then(Rerank::default));
        let options = SearcherOptions { rerank, ..SearcherOptions::default() };
        let searcher = Searcher::open(home, index, &settings.encoder, &options)?;
        let window = TunedWindow { window_tokens: None, overlap_tokens: None };
        return Ok(Some(vec![Side::of(searcher, window)]));
    }
    let encoder = open_encoder(home, &settings.encoder, None)?;
    let tokens = open_token_encoder(home, &settings.encoder, None, settings.late)?;
    let encoders = Encoders { dense: &encoder, tokens: tokens.as_ref(), sparse: None };
    let windows = if settings.windows.is_empty() { &[(None, None)][..] } else { &settings.windows };
    let mut sides = Vec::with_capacity(windows.len());
    for &(window_tokens, overlap_tokens) in windows {
        let collection = CollectionIndex {
            dir: &settings.dataset,
            window_tokens,
            overlap_tokens,
            rows: RowKind::default(),
            cache: settings.cache.as_deref(),
            rebuild: false,
        };
        let Some((index, _)) = collection.built(home, encoders, progress, cancel)? else { return Ok(None) };
        let searcher = Searcher::with_encoders(&index, Some(encoder.clone()), tokens.clone(), None)?;
        sides.push(Side::of(searcher, TunedWindow { window_tokens, overlap_tokens }));
    }
    Ok(Some(sides))
}

impl Side {
    fn of(searcher: Searcher, window: TunedWindow) -> Self {
        let snapshot = searcher.reader().snapshot();
        Self { searcher, snapshot, window, has_titles: false, qrels: Qrels::default() }
    }

    /// Takes the judgements of queries. They name documents by their number in the index, so that what is found need not be read;
    /// what the index lacks keeps a name that no document has.
    fn judge(&mut self, queries: &[EvalQuery], judged: &Qrels) -> Result<(), Error> {
        for query in queries {
            for (document, &grade) in judged.get(&query.id).into_iter().flatten() {
                let number = self.snapshot.document_number(document)?;
                let name = number.map_or_else(|| format!("missing {document}"), |number| number.to_string());
                self.qrels.insert(&query.id, &name, grade);
                if !self.has_titles && number.is_some() {
                    let stored = self.snapshot.document(document)?;
                    self.has_titles = stored.is_some_and(|stored| !stored.document.title.is_empty());
                }
            }
        }
        Ok(())
    }

    /// How the index is searched now: as it stores it for its model, else as it is built in.
    fn baseline(&self, settings: &TuneSettings) -> Result<Profile, Error> {
        let Some(index) = &settings.index else { return Ok(Profile::default()) };
        let of_index = self.snapshot.settings();
        let stored = stored_weights(index, &of_index.fingerprint)?.filter(|stored| stored.for_this_model);
        let profile = FusionChoice::default().profile(stored.as_ref(), Circumstances::of(of_index));
        Ok(Profile { origin: None, ..profile })
    }

    fn has_several_chunks(&self) -> bool {
        let status = self.snapshot.status();
        status.chunks > status.documents
    }
}

/// Queries with a relevant document that the index has.
fn answerable(dataset: &Dataset, snapshot: &Snapshot) -> Result<Vec<EvalQuery>, Error> {
    let mut answerable = Vec::new();
    for query in &dataset.queries {
        let relevant = dataset.qrels.get(&query.id).into_iter().flatten().filter(|(_, grade)| **grade > 0);
        for (document, _) in relevant {
            if snapshot.document_number(document)?.is_some() {
                answerable.push(query.clone());
                break;
            }
        }
    }
    Ok(answerable)
}

/// A seeded draw where there are too many; in their own order.
fn sampled(queries: &[EvalQuery], most: usize, seed: u64) -> Vec<EvalQuery> {
    let drawn = |query: &EvalQuery| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).update(query.id.as_bytes());
        *hasher.finalize().as_bytes()
    };
    let mut keys: Vec<_> = queries.iter().map(drawn).collect();
    if keys.len() <= most {
        return queries.to_vec();
    }
    let last = *keys.select_nth_unstable(most - 1).1;
    queries.iter().filter(|query| drawn(query) <= last).cloned().collect()
}

fn ask(
    side: &Side,
    queries: &[EvalQuery],
    space: &Space,
    measure: Measure,
    cancel: &AtomicBool,
) -> Result<Option<Vec<Option<Gathered>>>, Error> {
    let boosts = space.title_boosts();
    let built_in = depth_for(shown(measure), Lists::default());
    let mut depths: Vec<usize> = space.depths().chain([built_in, DEPTH]).map(|depth| depth.min(DEPTH)).collect();
    depths.sort_unstable();
    depths.dedup();
    let late = side.searcher.tokens.is_some();
    let gather = |query: &EvalQuery| {
        if cancel.load(Ordering::Relaxed) {
            Ok(None)
        } else {
            side.searcher.gather(&query.text, (boosts, &depths), late)
        }
    };
    let asked: Vec<Option<Gathered>> = queries.par_iter().map(gather).collect::<Result<_, Error>>()?;
    Ok((!cancel.load(Ordering::Relaxed)).then_some(asked))
}

/// Documents that an answer has, for a measure.
fn shown(measure: Measure) -> usize {
    measure.cut().unwrap_or(SHOWN).max(SHOWN)
}

/// Tells what each query scores under a setting. Lists that were read in one way are kept until they are read in another: most
/// settings that follow each other differ in how lists are joined.
struct Scorer<'a> {
    queries: &'a [EvalQuery],
    sides: &'a [Side],
    asked: &'a [Vec<Option<Gathered>>],
    measure: Measure,
    read: Option<(usize, Reading, Vec<Option<Read>>)>,
}

impl Scorer<'_> {
    /// Of each query that counts, by query id.
    fn scores(&mut self, setting: &Setting, boost: usize) -> Result<Vec<f64>, Error> {
        let (side, asked) = (&self.sides[setting.window], &self.asked[setting.window]);
        let k = shown(self.measure);
        let reading = Reading { boost, aggregate: setting.aggregate, lists: setting.lists };
        let is_read = self.read.as_ref().is_some_and(|(window, of, _)| (*window, *of) == (setting.window, reading));
        if !is_read {
            let read = asked.par_iter().map(|of_query| of_query.as_ref().map(|gathered| gathered.read(&reading, k)));
            self.read = Some((setting.window, reading, read.collect()));
        }
        let Some((_, _, read)) = &self.read else { unreachable!("read above") };
        let late_weight = side.searcher.tokens.as_ref().map_or(0.0, crate::TokenEncoder::weight);
        let answer = |(gathered, read): (&Option<Gathered>, &Option<Read>)| match (gathered, read) {
            (Some(gathered), Some(read)) => gathered.ranked(&side.snapshot, (read, setting), late_weight, k),
            _ => Ok(Vec::new()),
        };
        let rankings: Vec<Vec<(u64, f32)>> = asked.par_iter().zip(read).map(answer).collect::<Result<_, Error>>()?;
        let mut run = Run::new();
        for (query, ranking) in self.queries.iter().zip(rankings) {
            run.insert(&query.id, ranking.into_iter().map(|(number, score)| (number.to_string(), score)).collect())?;
        }
        Ok(berth_eval::evaluate(&run, &side.qrels, &[self.measure]).values(self.measure).unwrap_or_default())
    }
}

fn report(
    dataset: &Dataset,
    queries: &[EvalQuery],
    settings: &TuneSettings,
    (space, tuning): (&Space, &Tuning),
    side: &Side,
) -> Result<TuneReport, Error> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let options = CompareOptions { seed: settings.search.seed, ..CompareOptions::default() };
    let held_out = compare_values(&tuning.default, &tuning.held_out, settings.measure, &options)?;
    let is_default = tuning.chosen.iter().all(|&position| position == 0);
    let Comparison { difference, p_value, .. } = held_out;
    // Nobody asks whether it is worse by more than chance: then it is refused anyway.
    let p_of_gain = if difference > 0.0 { p_value / 2.0 } else { 1.0 - p_value / 2.0 };
    let (ships, reason) = if is_default {
        (false, "nothing that was tried gains on queries that it was not chosen by".to_owned())
    } else if difference <= 0.0 {
        (false, format!("on held-out queries it does not gain ({difference:+.4})"))
    } else if p_of_gain >= SIGNIFICANT {
        (false, format!("its gain on held-out queries, {difference:+.4}, may be chance (p = {p_of_gain:.3})"))
    } else {
        (true, format!("it gains {difference:+.4} on held-out queries (p = {p_of_gain:.3})"))
    };
    let origin = format!(
        "tuned on {} {} ({} queries, seed {}): {} {:.4} to {:.4} held out, p {p_of_gain:.3}",
        dataset.name,
        dataset.split,
        tuning.default.len(),
        settings.search.seed,
        settings.measure,
        held_out.mean_a,
        held_out.mean_b
    );
    let folds = tuning.folds.first().into_iter().flatten().map(|fold| FoldReport {
        queries: fold.queries.len(),
        default: fold.means.0,
        tuned: fold.means.1,
        chosen: space.profile(&fold.chosen, None),
    });
    let texts: HashMap<&str, &str> = queries.iter().map(|query| (query.id.as_str(), query.text.as_str())).collect();
    let relevant = side.qrels.iter().filter(|(_, judgements)| judgements.values().any(|&grade| grade > 0));
    let counted = relevant.filter_map(|(id, _)| Some((id, *texts.get(id)?)));
    let per_query =
        counted.zip(tuning.default.iter().zip(&tuning.held_out)).map(|((id, text), (&default, &held_out))| {
            TunedQuery { id: id.to_owned(), text: text.to_owned(), default, held_out }
        });
    let fingerprint = &side.snapshot.settings().fingerprint;
    Ok(TuneReport {
        dataset: dataset.name.clone(),
        split: dataset.split.clone(),
        queries: tuning.default.len(),
        ships,
        reason,
        held_out,
        fitted: mean(&tuning.fitted),
        profile: SavedProfile::new(space.profile(&tuning.chosen, Some(origin)), fingerprint),
        window: None,
        folds: folds.collect(),
        settings: tuning.settings,
        seed: settings.search.seed,
        p_of_gain,
        repetitions: settings.search.repetitions,
        version: env!("CARGO_PKG_VERSION"),
        seconds: 0.0,
        stored: false,
        warnings: Vec::new(),
        per_query: per_query.collect(),
    })
}
