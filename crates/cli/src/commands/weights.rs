//! `berth weights set | fit | show | clear --index DIR`: how an index joins its halves unless a question says otherwise, and
//! what it calls relevant.

use std::fmt::Write;
use std::path::Path;

use berth_pipeline::{
    Calibration, Circumstances, Curve, Error, FittedCurve, FusionChoice, Home, IndexError, IndexReader, IndexSettings,
    StoredWeights, clear_weights, fit_relevance, store_weights, stored_weights,
};
use berth_types::{Aggregate, Fusion, Normalize, Profile, Rerank, SPARSE_WEIGHT};
use serde::Serialize;

use crate::Outcome;
use crate::commands::index::{cancel_on_signals, encoder_choice};
use crate::output::{self, grouped, say};
use crate::weights_args::{WeightsAction, WeightsArgs, WeightsFitArgs};

/// The contract of `--json`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    index: &'a Path,
    /// Null where the index has none of its own.
    weights: Option<StoredWeights>,
}

pub(crate) fn run(home: &Home, args: &WeightsArgs) -> anyhow::Result<Outcome> {
    let (index, json) = match &args.action {
        WeightsAction::Fit(args) => return fit(home, args),
        WeightsAction::Set(args) => {
            let OfIndex { stored, settings } = of_index(&args.place.index)?;
            if args.fusion.sparse_weight.is_some() && settings.sparse.is_none() {
                return Err(Error::from(IndexError::NoSparseVectors { path: args.place.index.clone() }).into());
            }
            let choice = FusionChoice { aggregate: args.aggregate, ..args.fusion.choice() };
            let base = args.fusion.base(stored, &settings)?;
            let mut profile = choice.profile(base.as_ref(), Circumstances::of(&settings));
            // What is changed by hand is not what was tuned.
            if choice != FusionChoice::default() {
                profile.origin = None;
            }
            store_weights(&args.place.index, profile).map_err(Error::from)?;
            (&args.place.index, args.place.json)
        }
        WeightsAction::Show(place) => (&place.index, place.json),
        WeightsAction::Clear(place) => {
            clear_weights(&place.index).map_err(Error::from)?;
            (&place.index, place.json)
        }
    };
    let OfIndex { stored: weights, settings } = of_index(index)?;
    let has_sparse = settings.sparse.is_some();
    if json {
        output::print_json(&Line { index, weights })?;
    } else {
        let built_in = || {
            let sparse_weight = has_sparse.then_some(SPARSE_WEIGHT);
            format!("none of its own; {}", words(&Profile { sparse_weight, ..Profile::default() }))
        };
        let what = weights.as_ref().map_or_else(built_in, described);
        output::print(&format!("{}: {what}\n", index.display()))?;
    }
    Ok(Outcome::Done)
}

fn fit(home: &Home, args: &WeightsFitArgs) -> anyhow::Result<Outcome> {
    let WeightsFitArgs { dataset, split, encoder, place } = args;
    let cancel = cancel_on_signals()?;
    let fitted = fit_relevance(home, &place.index, &encoder_choice(encoder), (dataset, split), &cancel)?;
    let Some(fitted) = fitted else { return Ok(Outcome::Interrupted) };
    if place.json {
        output::print_json(&fitted)?;
    } else {
        output::print(&table(&fitted))?;
    }
    Ok(Outcome::Done)
}

fn table(fitted: &Calibration) -> String {
    let Calibration { dataset, split, queries, modes } = fitted;
    let mut table = format!(
        "{} queries of {dataset}, {split}\n\nmode     relevant   others   log loss, built in   fitted, held out   stored\n",
        grouped(*queries as u64)
    );
    for (mode, fitted) in modes {
        let FittedCurve { relevant, others, built_in_loss, fitted_loss, curve } = fitted;
        let stored = match (curve, fitted_loss) {
            (Some(curve), _) => formula(*curve),
            (None, Some(_)) => "nothing: the built-in one is better".to_owned(),
            (None, None) => "nothing: too few judged answers".to_owned(),
        };
        let loss = |loss: &Option<f64>| loss.map_or_else(String::new, |loss| format!("{loss:.3}"));
        let (built_in_loss, fitted_loss) = (loss(built_in_loss), loss(fitted_loss));
        let (relevant, others) = (grouped(*relevant as u64), grouped(*others as u64));
        let line = format!("{mode:<8} {relevant:>8} {others:>8} {built_in_loss:>20} {fitted_loss:>18}   {stored}\n");
        table.push_str(&line);
    }
    table
}

/// `−8.6 + 7.8 · cosine + 5.8 · coverage`
fn formula(curve: Curve) -> String {
    let Curve { bias, cosine, coverage } = curve;
    let parts = [(cosine, "cosine"), (coverage, "coverage")].into_iter().filter(|(slope, _)| *slope > 0.0);
    let parts: String = parts.map(|(slope, name)| format!(" + {slope:.1} · {name}")).collect();
    format!("{bias:.1}{parts}")
}

/// What an index stores, with whether it still holds for the index's vectors; and whether it has a sparse list.
pub(crate) fn of_index(index: &Path) -> Result<OfIndex, Error> {
    let snapshot = IndexReader::open(index)?.snapshot();
    let settings = snapshot.settings();
    let stored = stored_weights(index, &settings.fingerprint)?;
    Ok(OfIndex { stored, settings: settings.clone() })
}

/// What of an index says how it is searched.
pub(crate) struct OfIndex {
    pub(crate) stored: Option<StoredWeights>,
    pub(crate) settings: IndexSettings,
}

/// Says that a part of what is stored does not count.
pub(crate) fn warn(stored: &StoredWeights, index: &Path) {
    if !stored.for_this_model {
        say(&format!(
            "berth: the weights that {} stores were chosen for another model and do not count; \
             `berth weights set` stores some for this model, `berth weights clear` forgets it",
            index.display()
        ));
    }
}

/// As a line of `status`.
pub(crate) fn described(stored: &StoredWeights) -> String {
    let note = if stored.for_this_model { "" } else { " (of another model: the weights do not count)" };
    let fitted = if stored.relevance.is_some() { "; relevance fitted to judgements" } else { "" };
    let origin = stored.profile.origin.as_ref().map_or_else(String::new, |origin| format!("; {origin}"));
    format!("{}{fitted}{note}{origin}", words(&stored.profile))
}

/// `convex, dense weight 0.7, max, sparse weight 0.3`
pub(crate) fn words(profile: &Profile) -> String {
    let mut words = match profile.fusion {
        Fusion::Adaptive { dense_weight } => format!("adaptive, dense weight {dense_weight}"),
        Fusion::Convex { dense_weight, normalize } => {
            let scale = match normalize {
                Normalize::Max => "max",
                Normalize::MinMax => "min-max",
                Normalize::ZScore => "z-score",
                Normalize::Bounds => "bounds",
            };
            format!("convex, dense weight {dense_weight}, {scale}")
        }
        Fusion::Rrf { k, dense_weight } => format!("rrf, dense weight {dense_weight}, k {k}"),
    };
    if let Some(weight) = profile.sparse_weight {
        let _ = write!(words, ", sparse weight {weight}");
    }
    if let Some(aggregate) = profile.aggregate.filter(|aggregate| *aggregate != Aggregate::default()) {
        let _ = write!(words, ", documents by {aggregate}");
    }
    let lists = profile.lists.unwrap_or_default();
    if let Some(depth) = lists.depth {
        let _ = write!(words, ", lists of {depth}");
    }
    if lists.title_boost > 0.0 {
        let _ = write!(words, ", title boost {}", lists.title_boost);
    }
    if let Some(Rerank { by, depth, .. }) = profile.rerank {
        let _ = write!(words, ", first {depth} anew by {}", by.as_str());
    }
    words
}
