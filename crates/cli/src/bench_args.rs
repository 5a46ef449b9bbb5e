//! The words of `berth bench`.

use std::path::PathBuf;

use berth_types::Mode;
use clap::{Args, Subcommand};

use crate::args::{EncoderArgs, parse_k, parse_mode, parse_seconds};
use crate::shaping_args::DenseArgs;

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) action: BenchAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchAction {
    /// Embed texts with one worker, with one a core, and with all cores in one run
    Encode(BenchEncodeArgs),
    /// Ask an index many questions, one after the other
    Search(BenchSearchArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BenchSearchArgs {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Files of questions: a line each, or JSONL rows with `text`; several are separated by commas
    #[arg(long, value_name = "FILE", value_delimiter = ',', required = true)]
    pub(crate) questions: Vec<PathBuf>,
    /// Most questions to ask; of more, some from everywhere in the files
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = parse_k)]
    pub(crate) limit: usize,
    /// How often each question is asked; its fastest answer counts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse_k)]
    pub(crate) rounds: usize,
    /// Documents of an answer
    #[arg(short, long = "k", value_name = "N", default_value_t = 10, value_parser = parse_k)]
    pub(crate) k: usize,
    /// Which halves answer: hybrid, dense or lexical
    #[arg(long, value_name = "MODE", default_value = "hybrid", value_parser = parse_mode)]
    pub(crate) mode: Mode,
    #[command(flatten)]
    pub(crate) dense: DenseArgs,
    /// Find only documents that fulfil this
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchEncodeArgs {
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    /// JSONL file with `text`, and `title` where there is one [default: made-up texts of mixed length]
    #[arg(long, value_name = "FILE", conflicts_with = "dataset")]
    pub(crate) texts: Option<PathBuf>,
    /// Collection in BEIR layout, of which the corpus is embedded
    #[arg(long, value_name = "DIR")]
    pub(crate) dataset: Option<PathBuf>,
    /// Most texts to read
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(crate) limit: usize,
    /// Seconds for each way to use the cores
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = parse_seconds)]
    pub(crate) seconds: f64,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
