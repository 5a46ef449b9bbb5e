//! `berth weights set | show | clear --index DIR`: how an index joins its halves unless a question says otherwise.

use std::path::Path;

use berth_pipeline::{Error, IndexReader, StoredWeights, clear_weights, store_weights, stored_weights};
use berth_types::{Fusion, Normalize};
use serde::Serialize;

use crate::Outcome;
use crate::output::{self, say};
use crate::weights_args::{WeightsAction, WeightsArgs};

/// The contract of `--json`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    index: &'a Path,
    /// Null where the index has none of its own.
    weights: Option<StoredWeights>,
}

pub(crate) fn run(args: &WeightsArgs) -> anyhow::Result<Outcome> {
    let (index, json) = match &args.action {
        WeightsAction::Set(args) => {
            let stored = of_index(&args.place.index)?;
            store_weights(&args.place.index, args.fusion.resolved(stored.as_ref()).fusion).map_err(Error::from)?;
            (&args.place.index, args.place.json)
        }
        WeightsAction::Show(place) => (&place.index, place.json),
        WeightsAction::Clear(place) => {
            clear_weights(&place.index).map_err(Error::from)?;
            (&place.index, place.json)
        }
    };
    let weights = of_index(index)?;
    if json {
        output::print_json(&Line { index, weights })?;
    } else {
        let what = weights.map_or_else(|| format!("none of its own; {}", words(Fusion::default())), described);
        output::print(&format!("{}: {what}\n", index.display()))?;
    }
    Ok(Outcome::Done)
}

/// What an index stores, with whether it still holds for the index's vectors.
pub(crate) fn of_index(index: &Path) -> Result<Option<StoredWeights>, Error> {
    let snapshot = IndexReader::open(index)?.snapshot();
    Ok(stored_weights(index, &snapshot.settings().fingerprint)?)
}

/// Says that a part of what is stored does not count.
pub(crate) fn warn(stored: &StoredWeights, index: &Path) {
    if !stored.for_this_model {
        say(&format!(
            "berth: the dense weight that {} stores was chosen for another model and does not count; \
             `berth weights set` stores one for this model, `berth weights clear` forgets it",
            index.display()
        ));
    }
}

/// As a line of `status`.
pub(crate) fn described(stored: StoredWeights) -> String {
    let note = if stored.for_this_model { "" } else { " (of another model: the dense weight does not count)" };
    format!("{}{note}", words(stored.fusion))
}

/// `convex, dense weight 0.7, max`
pub(crate) fn words(fusion: Fusion) -> String {
    match fusion {
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
    }
}
