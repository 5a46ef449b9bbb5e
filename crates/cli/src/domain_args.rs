//! The words of `berth domain`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::EncoderArgs;

#[derive(Debug, Args)]
pub(crate) struct DomainArgs {
    #[command(subcommand)]
    pub(crate) action: DomainAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DomainAction {
    /// Say how foreign documents are to a model, by how it cuts their words; nothing is embedded
    Report(DomainReportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DomainReportArgs {
    /// Folders, files, JSONL or Parquet files, as of `berth index`, or - for rows of JSON on standard input
    #[arg(required_unless_present = "index", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Index whose documents are measured; with paths, only its model and windows count
    #[arg(long, value_name = "DIR")]
    pub(crate) index: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    /// Tokens in a window, special tokens and title included [default: the index's own, else the model card's]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) window: Option<usize>,
    /// Most documents whose words are counted; of more, between half as many and so many are drawn
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sample_documents: u32,
    /// Most passages that a model with a head for it is asked to foresee; 0 asks nothing
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) sample_passages: u32,
    /// Decides which ones
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Words to name that the model knows only in pieces
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    pub(crate) split_words: u16,
    /// Write a report for the browser
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Follow symbolic links
    #[arg(long)]
    pub(crate) follow: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Print no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
