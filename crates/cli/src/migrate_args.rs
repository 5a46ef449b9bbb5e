//! The words of `berth migrate`.

use std::path::PathBuf;

use clap::Args;

use crate::args::EncoderArgs;

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    /// Tokens in a window of the next index [default: the index's own where the model stays, else the model card's]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) window: Option<usize>,
    /// Tokens that neighbouring windows share [default: the index's own where model and window stay, else 64]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) overlap: Option<usize>,
    /// Put the next index in the place of this one, which stays as the former one
    #[arg(long, conflicts_with_all = ["rollback", "drop", "yes"])]
    pub(crate) swap: bool,
    /// Bring the former index back; this one stays as the next one
    #[arg(long, conflicts_with_all = ["drop", "yes"])]
    pub(crate) rollback: bool,
    /// Remove the next and the former index
    #[arg(long, conflicts_with = "yes")]
    pub(crate) drop: bool,
    /// Swap as soon as the next index is built, unless judgements (--dataset) speak against it
    #[arg(long)]
    pub(crate) yes: bool,
    /// Most documents whose title or first sentence both indexes are asked, and most recorded queries; 0 asks nothing
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) sample: u32,
    /// Decides which documents are sampled
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Also compare by judgements: a collection in BEIR layout whose documents are those of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) dataset: Option<PathBuf>,
    /// Which judgements
    #[arg(long, value_name = "SPLIT", default_value = "test")]
    pub(crate) split: String,
    /// Build anew what the index is built with already, also where there seems to be too little room; with --yes, swap
    /// whatever the judgements say
    #[arg(long)]
    pub(crate) force: bool,
    /// Seconds between commits
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) commit_seconds: u64,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Print no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
