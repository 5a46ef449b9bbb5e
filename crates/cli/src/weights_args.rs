//! How the halves of an index are joined: the words of questions, and those of `berth weights`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use berth_pipeline::{Error, FusionChoice, IndexSettings, SavedProfile, StoredWeights};
use berth_types::{Aggregate, Normalize};
use clap::{Args, Subcommand, ValueEnum};

use crate::args::{EncoderArgs, parse_boost, parse_normalize, parse_rrf_k, parse_share};

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
    /// Fewest chunks asked of each list before they are joined [default: as the index stores it, else 500, or five for each hit]
    #[arg(long, value_name = "CHUNKS")]
    pub(crate) list_depth: Option<NonZeroUsize>,
    /// What BM25 of titles adds to that of passages, which have the title already; 0 is nothing [default: as the index stores
    /// it, else 0]
    #[arg(long, value_name = "FACTOR", value_parser = parse_boost)]
    pub(crate) title_boost: Option<f32>,
    /// Profile that `berth tune --out` wrote, in the place of what the index stores; options named beside it win
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
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
        let &Self { fusion, dense_weight, normalize, rrf_k, sparse_weight, list_depth, title_boost, .. } = self;
        let kind = fusion.map(|kind| match kind {
            FusionKind::Adaptive => berth_pipeline::FusionKind::Adaptive,
            FusionKind::Convex => berth_pipeline::FusionKind::Convex,
            FusionKind::Rrf => berth_pipeline::FusionKind::Rrf,
        });
        let halves = FusionChoice { kind, dense_weight, normalize, rrf_k, ..FusionChoice::default() };
        FusionChoice { sparse_weight, list_depth, title_boost, ..halves }
    }

    /// What counts unless it is named here: the profile of the file, where there is one, else what the index stores.
    pub(crate) fn base(
        &self,
        stored: Option<StoredWeights>,
        settings: &IndexSettings,
    ) -> Result<Option<StoredWeights>, Error> {
        let Some(path) = &self.profile else { return Ok(stored) };
        Ok(Some(StoredWeights::of_file(SavedProfile::read(path)?.for_index(path, settings)?)))
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
    /// What a document scores by its passages: max, top-mean[:N] (the mean of the best N, 3 unless said), sum or first
    #[arg(long, value_name = "RULE")]
    pub(crate) aggregate: Option<Aggregate>,
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
