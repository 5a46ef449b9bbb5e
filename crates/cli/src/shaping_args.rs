//! The words that say how closely a search looks, and what is shown of what it found.

use std::num::NonZeroUsize;

use berth_types::{Aggregate, DenseSearch, FirstStage, Shaping};
use clap::{Args, ValueEnum};

use crate::args::parse_share;

/// How the dense half looks for what it compares in full.
#[derive(Debug, Args)]
pub(crate) struct DenseArgs {
    /// By what vectors are found before they are compared in full: auto (the graph), full (all are compared), half or
    /// prefix:N (the first values, for models trained so), binary (the signs)
    #[arg(long, value_name = "STAGE", default_value_t)]
    pub(crate) first_stage: FirstStage,
    /// Vectors that half, prefix:N and binary hand on for each one wanted [default: 4, binary 8]
    #[arg(long, value_name = "N")]
    pub(crate) oversample: Option<NonZeroUsize>,
}

impl DenseArgs {
    pub(crate) fn search(&self) -> DenseSearch {
        DenseSearch { first_stage: self.first_stage, oversample: self.oversample }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ShapingArgs {
    /// What a document scores by its passages: max, top-mean[:N] (the mean of the best N, 3 unless said), sum or first
    /// [default: as the index stores it, else max]
    #[arg(long, value_name = "RULE")]
    pub(crate) aggregate: Option<Aggregate>,
    /// Show passages, several of a document where they are good, instead of documents
    #[arg(long)]
    pub(crate) passages: bool,
    /// How much likeness to hits above costs, 0 to 1; 0 orders by score alone
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    pub(crate) diversity: f32,
    /// Fold hits into those above that they repeat, when so much of their words is shared, 0 to 1 [without a value: 0.8]
    #[arg(long, value_name = "SHARE", num_args = 0..=1, require_equals = true, default_missing_value = "0.8", value_parser = parse_share)]
    pub(crate) collapse: Option<f32>,
    /// Leave out hits of less relevance, 0 to 1
    #[arg(long, value_name = "RELEVANCE", value_parser = parse_share)]
    pub(crate) min_relevance: Option<f32>,
    /// What is highlighted: lexical (the question's words), or semantic (also the sentence and words that carry the match in
    /// meaning; the model runs once more for each hit)
    #[arg(long, value_name = "KIND", value_enum, default_value = "lexical")]
    pub(crate) highlight: HighlightKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HighlightKind {
    /// The question's words
    Lexical,
    /// Also the sentence and words that carry the match in meaning
    Semantic,
}

impl ShapingArgs {
    /// With the rule for a document's score, which the index may have a say in.
    pub(crate) fn shaping(&self, aggregate: Aggregate) -> Shaping {
        let Self { passages, diversity, collapse, min_relevance, highlight, .. } = *self;
        let semantic_highlights = highlight == HighlightKind::Semantic;
        Shaping { aggregate, passages, diversity, collapse, min_relevance, semantic_highlights }
    }
}
