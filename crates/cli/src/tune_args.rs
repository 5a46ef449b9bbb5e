//! The words of `berth tune`.

use std::path::PathBuf;

use berth_pipeline::Measure;
use clap::Args;

use crate::args::EncoderArgs;

#[derive(Debug, Args)]
pub(crate) struct TuneArgs {
    /// Collection in BEIR layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv
    #[arg(long, value_name = "DIR")]
    pub(crate) dataset: PathBuf,
    /// Which judgements to fit to; no others are read
    #[arg(long, value_name = "SPLIT", default_value = "train")]
    pub(crate) split: String,
    /// Fit to the judgements of a test split all the same; what is chosen is measured on held-out queries, and neither stored nor
    /// written
    #[arg(long)]
    pub(crate) cross_validate_only: bool,
    /// Index of the judged documents, in which what was chosen is stored [default: an index of the collection, kept in a cache;
    /// then nothing is stored]
    #[arg(long, value_name = "DIR")]
    pub(crate) index: Option<PathBuf>,
    /// Store nothing in the index
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What settings are compared by: ndcg@K, recall@K, precision@K, mrr@K, map@K, success@K
    #[arg(long, value_name = "MEASURE", default_value = "ndcg@10")]
    pub(crate) measure: Measure,
    /// Try late interaction, too; the index needs --token-rows
    #[arg(long)]
    pub(crate) late: bool,
    /// Windows to try, in tokens, separated by commas; the collection is indexed once for each [default: that of the index]
    #[arg(long, value_name = "TOKENS", value_delimiter = ',')]
    pub(crate) windows: Vec<usize>,
    /// Overlaps to try with each window, in tokens, separated by commas [default: 64]
    #[arg(long, value_name = "TOKENS", value_delimiter = ',')]
    pub(crate) overlaps: Vec<usize>,
    /// Parts that are held out in turn
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(2..=20))]
    pub(crate) folds: u8,
    /// What parts are drawn by
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Write what was chosen to this file, for --profile of other commands, where it gains
    #[arg(long, value_name = "FILE", conflicts_with = "cross_validate_only")]
    pub(crate) out: Option<PathBuf>,
    /// Write a report for the browser
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Fail when judgements name queries or documents that are not there
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    /// Folder in which the indexes of collections are kept [default: BERTH_HOME/cache/eval]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Print no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
