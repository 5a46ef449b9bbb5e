//! How the halves of an index are joined: the words of questions, and those of `berth weights`.

use std::path::PathBuf;

use berth_pipeline::StoredWeights;
use berth_types::{Fusion, Normalize, SPARSE_WEIGHT};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::args::{EncoderArgs, parse_normalize, parse_rrf_k, parse_share};

/// Share of the dense half in convex fusion where nobody says it.
const CONVEX_WEIGHT: f32 = 0.7;
/// The same in the others.
const DENSE_WEIGHT: f32 = 0.5;
/// The constant of reciprocal rank fusion where nobody says it.
const RRF_K: f32 = 60.0;

#[derive(Debug, Args)]
pub(crate) struct FusionArgs {
    /// How two lists become one: adaptive, convex or rrf [default: as the index stores it, else adaptive]
    #[arg(long, value_name = "KIND", value_enum)]
    pub(crate) fusion: Option<FusionKind>,
    /// Share of the dense half, 0 to 1 [default: as the index stores it for this fusion, else 0.7 in convex fusion, 0.5 in
    /// the others]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub(crate) dense_weight: Option<f32>,
    /// How convex fusion puts both halves on one scale: max, min-max, z-score or bounds [default: as the index stores it,
    /// else max]
    #[arg(long, value_name = "SCALE", value_parser = parse_normalize)]
    pub(crate) normalize: Option<Normalize>,
    /// The constant k of reciprocal rank fusion [default: as the index stores it, else 60]
    #[arg(long, value_name = "K", value_parser = parse_rrf_k)]
    pub(crate) rrf_k: Option<f32>,
    /// Share of the sparse list, 0 to 1, of an index that was built with --sparse-model; 0 does without it [default: as the
    /// index stores it, else 0.1]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub(crate) sparse_weight: Option<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FusionKind {
    /// Trusts the lexical half as far as its best answer stands out
    Adaptive,
    /// Fixed shares
    Convex,
    /// Reciprocal ranks
    Rrf,
}

/// How the halves are joined in the end, and whether anything of it comes from the index.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Resolved {
    #[serde(flatten)]
    pub(crate) fusion: Fusion,
    /// Share of the sparse list, in an index that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sparse_weight: Option<f32>,
    pub(crate) from_index: bool,
}

impl FusionArgs {
    /// What was named counts; then what the index stores, as far as it is of the same kind of fusion, and weights only for the
    /// model that they were chosen for; then what is built in. `has_sparse`: whether the index has a sparse list.
    pub(crate) fn resolved(&self, stored: Option<&StoredWeights>, has_sparse: bool) -> Resolved {
        let kind = self.fusion.or(stored.map(|stored| kind_of(stored.fusion))).unwrap_or(FusionKind::Adaptive);
        let same_kind = stored.filter(|stored| kind_of(stored.fusion) == kind);
        let stored_weight = same_kind.filter(|stored| stored.for_this_model).map(|stored| weight_of(stored.fusion));
        let dense_weight = |built_in| self.dense_weight.or(stored_weight).unwrap_or(built_in);
        let fusion = match kind {
            FusionKind::Adaptive => Fusion::Adaptive { dense_weight: dense_weight(DENSE_WEIGHT) },
            FusionKind::Convex => {
                let stored = same_kind.and_then(|stored| match stored.fusion {
                    Fusion::Convex { normalize, .. } => Some(normalize),
                    _ => None,
                });
                let normalize = self.normalize.or(stored).unwrap_or_default();
                Fusion::Convex { dense_weight: dense_weight(CONVEX_WEIGHT), normalize }
            }
            FusionKind::Rrf => {
                let stored = same_kind.and_then(|stored| match stored.fusion {
                    Fusion::Rrf { k, .. } => Some(k),
                    _ => None,
                });
                let k = self.rrf_k.or(stored).unwrap_or(RRF_K);
                Fusion::Rrf { k, dense_weight: dense_weight(DENSE_WEIGHT) }
            }
        };
        let of_this_model = stored.filter(|stored| stored.for_this_model);
        let stored_sparse = of_this_model.and_then(|stored| stored.sparse_weight).filter(|_| has_sparse);
        let sparse_weight = has_sparse.then(|| self.sparse_weight.or(stored_sparse).unwrap_or(SPARSE_WEIGHT));
        let from_index = self.fusion.is_none() && stored.is_some()
            || stored_weight.is_some() && self.dense_weight.is_none()
            || stored_sparse.is_some() && self.sparse_weight.is_none();
        Resolved { fusion, sparse_weight, from_index }
    }

    /// The same where no index has a say.
    pub(crate) fn fusion(&self) -> Fusion {
        self.resolved(None, false).fusion
    }

    /// The share of the sparse list where no index has a say.
    pub(crate) fn sparse_weight(&self) -> f32 {
        self.sparse_weight.unwrap_or(SPARSE_WEIGHT)
    }

    /// Whether a dense weight that the index stores would count, were it of this model.
    pub(crate) fn asks_for_weight(&self, stored: &StoredWeights) -> bool {
        self.dense_weight.is_none() && self.fusion.is_none_or(|kind| kind == kind_of(stored.fusion))
    }
}

fn kind_of(fusion: Fusion) -> FusionKind {
    match fusion {
        Fusion::Adaptive { .. } => FusionKind::Adaptive,
        Fusion::Convex { .. } => FusionKind::Convex,
        Fusion::Rrf { .. } => FusionKind::Rrf,
    }
}

fn weight_of(fusion: Fusion) -> f32 {
    match fusion {
        Fusion::Adaptive { dense_weight } | Fusion::Convex { dense_weight, .. } | Fusion::Rrf { dense_weight, .. } => {
            dense_weight
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct WeightsArgs {
    #[command(subcommand)]
    pub(crate) action: WeightsAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WeightsAction {
    /// Store how this index joins its halves; what is not named stays as it is stored
    Set(WeightsSetArgs),
    /// Fit what hits are called relevant by to judgements of the documents of this index, and store it
    Fit(WeightsFitArgs),
    /// Show what is stored
    Show(WeightsPlace),
    /// Forget what is stored
    Clear(WeightsPlace),
}

#[derive(Debug, Args)]
pub(crate) struct WeightsSetArgs {
    #[command(flatten)]
    pub(crate) fusion: FusionArgs,
    #[command(flatten)]
    pub(crate) place: WeightsPlace,
}

#[derive(Debug, Args)]
pub(crate) struct WeightsFitArgs {
    /// Collection in BEIR layout whose documents are those of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) dataset: PathBuf,
    /// Which judgements
    #[arg(long, value_name = "SPLIT", default_value = "train")]
    pub(crate) split: String,
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    #[command(flatten)]
    pub(crate) place: WeightsPlace,
}

#[derive(Debug, Args)]
pub(crate) struct WeightsPlace {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(fusion: Option<FusionKind>, dense_weight: Option<f32>) -> FusionArgs {
        FusionArgs { fusion, dense_weight, normalize: None, rrf_k: None, sparse_weight: None }
    }

    #[test]
    fn what_was_named_counts_then_the_index_then_what_is_built_in() {
        let fusion = Fusion::Convex { dense_weight: 0.9, normalize: Normalize::ZScore };
        let stored = StoredWeights { fusion, sparse_weight: Some(0.1), relevance: None, for_this_model: true };
        let check = |args: FusionArgs, stored: Option<&StoredWeights>, fusion: Fusion, from_index: bool| {
            assert_eq!(args.resolved(stored, false), Resolved { fusion, sparse_weight: None, from_index });
        };
        check(args(None, None), None, Fusion::default(), false);
        check(args(None, None), Some(&stored), fusion, true);
        let named = Fusion::Convex { dense_weight: 0.2, normalize: Normalize::ZScore };
        check(args(None, Some(0.2)), Some(&stored), named, true);
        check(args(Some(FusionKind::Convex), None), Some(&stored), fusion, true);
        let adaptive = Fusion::Adaptive { dense_weight: 0.5 };
        check(args(Some(FusionKind::Adaptive), None), Some(&stored), adaptive, false);
        check(args(Some(FusionKind::Rrf), None), None, Fusion::Rrf { k: 60.0, dense_weight: 0.5 }, false);
        check(
            args(Some(FusionKind::Convex), None),
            None,
            Fusion::Convex { dense_weight: 0.7, normalize: Normalize::Max },
            false,
        );
        let of_another = StoredWeights { for_this_model: false, ..stored };
        let kind_alone = Fusion::Convex { dense_weight: 0.7, normalize: Normalize::ZScore };
        check(args(None, None), Some(&of_another), kind_alone, true);
        let sparse = |args: FusionArgs, stored| args.resolved(stored, true).sparse_weight;
        assert_eq!(sparse(args(None, None), None), Some(SPARSE_WEIGHT));
        assert_eq!(sparse(args(None, None), Some(&stored)), Some(0.1));
        assert_eq!(sparse(args(Some(FusionKind::Rrf), None), Some(&stored)), Some(0.1), "of whichever fusion");
        assert_eq!(sparse(args(None, None), Some(&of_another)), Some(SPARSE_WEIGHT));
        let named = FusionArgs { sparse_weight: Some(0.0), ..args(None, None) };
        assert_eq!(sparse(named, Some(&stored)), Some(0.0));
        assert!(args(None, None).asks_for_weight(&of_another) && !args(None, Some(0.1)).asks_for_weight(&of_another));
    }
}
