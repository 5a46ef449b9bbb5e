//! `berth weights set | show | clear --index DIR`: how an index joins its halves unless a question says otherwise.

use std::path::Path;

use berth_pipeline::{Error, IndexError, IndexReader, StoredWeights, clear_weights, store_weights, stored_weights};
use berth_types::{Fusion, Normalize, SPARSE_WEIGHT};
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
            let (stored, has_sparse) = of_index(&args.place.index)?;
            if args.fusion.sparse_weight.is_some() && !has_sparse {
                return Err(Error::from(IndexError::NoSparseVectors { path: args.place.index.clone() }).into());
            }
            let kept = stored.filter(|stored| stored.for_this_model).and_then(|stored| stored.sparse_weight);
            let fusion = args.fusion.resolved(stored.as_ref(), has_sparse).fusion;
            store_weights(&args.place.index, fusion, args.fusion.sparse_weight.or(kept)).map_err(Error::from)?;
            (&args.place.index, args.place.json)
        }
        WeightsAction::Show(place) => (&place.index, place.json),
        WeightsAction::Clear(place) => {
            clear_weights(&place.index).map_err(Error::from)?;
            (&place.index, place.json)
        }
    };
    let (weights, has_sparse) = of_index(index)?;
    if json {
        output::print_json(&Line { index, weights })?;
    } else {
        let built_in = || {
            let sparse_weight = has_sparse.then_some(SPARSE_WEIGHT);
            format!("none of its own; {}", words(Fusion::default(), sparse_weight))
        };
        let what = weights.map_or_else(built_in, described);
        output::print(&format!("{}: {what}\n", index.display()))?;
    }
    Ok(Outcome::Done)
}

/// What an index stores, with whether it still holds for the index's vectors; and whether it has a sparse list.
pub(crate) fn of_index(index: &Path) -> Result<(Option<StoredWeights>, bool), Error> {
    let snapshot = IndexReader::open(index)?.snapshot();
    let settings = snapshot.settings();
    Ok((stored_weights(index, &settings.fingerprint)?, settings.sparse.is_some()))
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
pub(crate) fn described(stored: StoredWeights) -> String {
    let note = if stored.for_this_model { "" } else { " (of another model: the weights do not count)" };
    format!("{}{note}", words(stored.fusion, stored.sparse_weight))
}

/// `convex, dense weight 0.7, max, sparse weight 0.3`
pub(crate) fn words(fusion: Fusion, sparse_weight: Option<f32>) -> String {
    let of_halves = match fusion {
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
    match sparse_weight {
        Some(weight) => format!("{of_halves}, sparse weight {weight}"),
        None => of_halves,
    }
}
