//! Fits the joining of an index's lists to judgements: every list is asked once, and all settings are tried in memory.
//!
//! What is chosen is held against queries that had no say in it, and is only stored where it gains on them and not by chance.

mod gather;
mod report;
mod side;
mod space;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use berth_eval::{Dataset, EvalQuery, Measure, Run, TuneOptions};
use berth_index::{Snapshot, store_weights};
use berth_types::Lists;
use rayon::prelude::*;

pub use report::{FoldReport, TuneReport, TunedQuery, TunedWindow};

use crate::encoding::EncoderChoice;
use crate::judged::unknown_judgements;
use crate::lists::depth_for;
use crate::migrate::open_judgements;
use crate::{Error, Home, Progress};
use gather::{DEPTH, Gathered, Read, Reading};
use side::{Side, open_sides};
use space::{Offers, Setting, Space};

/// Fewest queries that settings are fitted to: below, no gain of a likely size is told from chance (docs/tuning.md).
const LEAST_QUERIES: usize = 50;
/// Most queries that are asked, a seeded sample where there are more: their lists are kept in memory.
const MOST_QUERIES: usize = 3000;
/// Documents that a user sees, which settings are compared by unless a measure looks deeper.
const SHOWN: usize = 10;

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
    let mut report = report::report(&dataset, &queries, settings, (&space, &tuning), &sides[0])?;
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
