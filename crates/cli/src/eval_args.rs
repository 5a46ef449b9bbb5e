//! The words of `berth eval`: of a collection, or of the model alone.

use std::path::PathBuf;

use berth_pipeline::Measure;
use berth_types::{Aggregate, Mode, RowKind};
use clap::{Args, Subcommand};

use crate::args::{EncoderArgs, RerankArgs, parse_k, parse_mode};
use crate::shaping_args::DenseArgs;
use crate::sparse_args::SparseArgs;
use crate::weights_args::FusionArgs;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct EvalArgs {
    #[command(subcommand)]
    pub(crate) of_model: Option<EvalOfModel>,
    /// Collection in BEIR layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) dataset: Option<PathBuf>,
    /// Which judgements to score against
    #[arg(long, value_name = "SPLIT", default_value = "test")]
    pub(crate) split: String,
    /// What to measure, separated by commas: ndcg, ndcg@K, recall@K, precision@K or p@K, mrr, mrr@K, map, map@K, success@K
    /// [default: ndcg@10,recall@100,mrr@10,map,recall@10,precision@10,success@1]
    #[arg(long, value_name = "MEASURES", value_delimiter = ',')]
    pub(crate) measures: Vec<Measure>,
    /// Halves to measure, separated by commas [default: lexical,dense,hybrid, and sparse where the index has it]
    #[arg(long, value_name = "MODES", value_delimiter = ',', value_parser = parse_mode)]
    pub(crate) modes: Vec<Mode>,
    /// Measure this index of the judged documents as it is searched [default: an index of the collection, kept in a cache].
    /// The variable is BERTH_EVAL_INDEX and the key eval_index: the index that other commands share is not meant
    #[arg(
        long,
        value_name = "DIR",
        env = "BERTH_EVAL_INDEX",
        conflicts_with_all = ["window", "overlap", "rows", "sparse_model", "rebuild"]
    )]
    pub(crate) index: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) dense: DenseArgs,
    #[command(flatten)]
    pub(crate) fusion: FusionArgs,
    /// What a document scores by its passages: max, top-mean[:N] (the mean of the best N, 3 unless said), sum or first
    /// [default: max]
    #[arg(long, value_name = "RULE")]
    pub(crate) aggregate: Option<Aggregate>,
    /// Search only documents that fulfil this, such as 'lang:ko AND year:[2020 TO *]'; judgements of others count as missed
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    #[command(flatten)]
    pub(crate) rerank: RerankArgs,
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    #[command(flatten)]
    pub(crate) sparse: SparseArgs,
    /// How vectors are kept: f32, f16 or int8
    #[arg(long, value_name = "KIND", default_value_t)]
    pub(crate) rows: RowKind,
    /// Tokens in a window [default: the model card's]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) window: Option<usize>,
    /// Tokens that neighbouring windows share [default: 64]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) overlap: Option<usize>,
    /// Folder in which the indexes of collections are kept [default: BERTH_HOME/cache/eval]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Build the collection's index again
    #[arg(long)]
    pub(crate) rebuild: bool,
    /// Write the ranked lists as TREC run files: FILE.lexical, FILE.dense, FILE.hybrid
    #[arg(long, value_name = "FILE")]
    pub(crate) run: Option<PathBuf>,
    /// Score the answers of this TREC run file, of another engine for instance; no index and no model is asked
    #[arg(long, value_name = "FILE", conflicts_with_all = ["index", "modes", "run", "rebuild", "filter", "rerank"])]
    pub(crate) from_run: Option<PathBuf>,
    /// Write what became of each query in each mode: between tabs, or as JSON lines to a FILE.jsonl
    #[arg(long, value_name = "FILE")]
    pub(crate) per_query: Option<PathBuf>,
    /// Show the N queries that hybrid search (else the last mode) answers worst by the first measure, and what it missed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) worst: usize,
    /// First passages that are held against the answers, where the collection has spans.jsonl
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = parse_k)]
    pub(crate) span_k: usize,
    /// Write a report for the browser
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Fail when judgements name queries or documents that are not there
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Print no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// What of a model can be measured without a collection.
#[derive(Debug, Subcommand)]
pub(crate) enum EvalOfModel {
    /// Compare cosines of sentence pairs with scores that people gave them (semantic textual similarity)
    Sts(StsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StsArgs {
    /// Sentence pairs: sentence1, sentence2 and score between tabs, or as JSON lines in a FILE.jsonl
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    /// Which of the model's prompts stands before each sentence: query, passage, none, or a name that `model info` shows
    #[arg(long, value_name = "NAME", default_value = "passage")]
    pub(crate) prompt: String,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
