//! What tuning found, and its verdict.

use std::collections::HashMap;

use berth_eval::{CompareOptions, Comparison, Dataset, EvalQuery, Tuning, compare_values};
use berth_types::Profile;
use serde::Serialize;

use super::TuneSettings;
use super::side::Side;
use super::space::Space;
use crate::Error;
use crate::profile::SavedProfile;

/// Chance of a gain where there is none, from which on it does not count.
const SIGNIFICANT: f64 = 0.05;

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

/// Holds the held-out figures against those of now.
///
/// # Errors
/// Figures that cannot be compared.
pub(super) fn report(
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
