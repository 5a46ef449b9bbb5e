//! The words of `berth compare`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use berth_pipeline::Measure;
use clap::Args;

/// Most samples: beyond, p values gain digits that nobody reads.
const MOST_ROUNDS: u32 = 1_000_000;

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// TREC run file that the other is held against, such as `berth eval --run` writes
    #[arg(value_name = "RUN_A")]
    pub(crate) a: PathBuf,
    /// TREC run file
    #[arg(value_name = "RUN_B")]
    pub(crate) b: PathBuf,
    /// Collection in BEIR layout by whose judgements both are compared; this or --qrels is needed
    #[arg(long, value_name = "DIR")]
    pub(crate) dataset: Option<PathBuf>,
    /// Which judgements of the collection
    #[arg(long, value_name = "SPLIT", default_value = "test")]
    pub(crate) split: String,
    /// File of judgements instead, as of a collection or of TREC
    #[arg(long, value_name = "FILE")]
    pub(crate) qrels: Option<PathBuf>,
    /// What to compare by, separated by commas, as of `berth eval`
    /// [default: ndcg@10,recall@100,mrr@10,map,recall@10,precision@10,success@1]
    #[arg(long, value_name = "MEASURES", value_delimiter = ',')]
    pub(crate) measures: Vec<Measure>,
    /// Share of samples inside the interval, above 0 and below 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = parse_level)]
    pub(crate) level: f64,
    /// Samples of the test and of the interval
    #[arg(long, value_name = "N", default_value = "10000", value_parser = parse_rounds)]
    pub(crate) rounds: NonZeroUsize,
    /// What samples are drawn by
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Leave out queries that only one run answers, instead of counting them as 0 in the other
    #[arg(long)]
    pub(crate) common: bool,
    /// Write a report for the browser
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_level(word: &str) -> Result<f64, String> {
    let level: f64 = word.parse().map_err(|_| "not a number".to_owned())?;
    if level > 0.0 && level < 1.0 { Ok(level) } else { Err("must be above 0 and below 1, such as 0.95".to_owned()) }
}

fn parse_rounds(word: &str) -> Result<NonZeroUsize, String> {
    let rounds: u32 = word.parse().map_err(|_| "not a whole number".to_owned())?;
    let fits = NonZeroUsize::new(rounds as usize).filter(|_| rounds <= MOST_ROUNDS);
    fits.ok_or_else(|| format!("must be from 1 to {MOST_ROUNDS}"))
}
