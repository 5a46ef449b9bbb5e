//! How the halves of an index are joined: the words of questions, and those of `berth weights`.

use std::path::PathBuf;

use berth_pipeline::{FusionChoice, ResolvedFusion, StoredWeights};
use berth_types::{Fusion, Normalize, SPARSE_WEIGHT};
use clap::{Args, Subcommand, ValueEnum};

use crate::args::{EncoderArgs, parse_normalize, parse_rrf_k, parse_share};

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

impl FusionArgs {
    /// What was named.
    pub(crate) fn choice(&self) -> FusionChoice {
        let Self { fusion, dense_weight, normalize, rrf_k, sparse_weight } = *self;
        let kind = fusion.map(|kind| match kind {
            FusionKind::Adaptive => berth_pipeline::FusionKind::Adaptive,
            FusionKind::Convex => berth_pipeline::FusionKind::Convex,
            FusionKind::Rrf => berth_pipeline::FusionKind::Rrf,
        });
        FusionChoice { kind, dense_weight, normalize, rrf_k, sparse_weight }
    }

    /// What was named counts; then what the index stores; then what is built in.
    pub(crate) fn resolved(&self, stored: Option<&StoredWeights>, has_sparse: bool) -> ResolvedFusion {
        self.choice().resolved(stored, has_sparse)
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
        self.choice().asks_for_weight(stored)
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
