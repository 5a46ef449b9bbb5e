//! The words of commands that say who may find what, and that make an index answer better.

use std::path::PathBuf;

use berth_pipeline::TimeToLive;
use berth_types::{NotASpan, TimeSpan};
use clap::{Args, Subcommand};

use crate::args::parse_k;
use crate::narrowing_args::ViewerArgs;

#[derive(Debug, Args)]
pub(crate) struct PolicyCommandArgs {
    #[command(subcommand)]
    pub(crate) action: PolicyAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyAction {
    /// Show who may find the documents of an index, and until when
    Show(PolicyShowArgs),
    /// Change who may find the documents of an index, and until when
    Set(PolicySetArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PolicyShowArgs {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PolicySetArgs {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Metadata field that names who may find a document; 'none' opens the index to everyone
    #[arg(long, value_name = "FIELD")]
    pub(crate) access_field: Option<String>,
    /// Metadata field with the date at which a document expires; 'none' for no such field
    #[arg(long, value_name = "FIELD")]
    pub(crate) expires_field: Option<String>,
    /// How long after the modification of its file a document expires, such as 12h, 30d or 8w; 'none' for ever
    #[arg(long, value_name = "SPAN", value_parser = parse_ttl)]
    pub(crate) ttl: Option<TimeToLive>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_ttl(word: &str) -> Result<TimeToLive, NotASpan> {
    if word == "none" { Ok(TimeToLive::Forever) } else { word.parse().map(TimeToLive::Span) }
}

#[derive(Debug, Args)]
pub(crate) struct SynonymsArgs {
    #[command(subcommand)]
    pub(crate) action: SynonymsAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SynonymsAction {
    /// Put the synonyms of a file in the place of those that an index has
    Set(SynonymsSetArgs),
    /// Print the synonyms of an index, as they were given
    List(SynonymsListArgs),
    /// Remove the synonyms of an index
    Clear(SynonymsClearArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SynonymsSetArgs {
    /// Lines such as 'car, automobile, motor car' (each finds the others) or 'js => javascript' (one way); - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SynonymsListArgs {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SynonymsClearArgs {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    #[command(subcommand)]
    pub(crate) action: PinAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PinAction {
    /// Put documents first for a question, in the place of those that are
    Set(PinSetArgs),
    /// Show what is pinned in an index
    List(PinListArgs),
    /// Unpin what is pinned to a question
    Remove(PinRemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PinSetArgs {
    /// The question; it is the same one in every form of its words
    #[arg(value_name = "QUERY")]
    pub(crate) query: String,
    /// Documents in their order, by id or the end of their path
    #[arg(required = true, value_name = "DOCUMENT")]
    pub(crate) documents: Vec<String>,
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PinListArgs {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PinRemoveArgs {
    /// The question
    #[arg(value_name = "QUERY")]
    pub(crate) query: String,
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompleteArgs {
    /// The beginning of a word, or words of which the last is to be completed
    #[arg(required = true, value_name = "TEXT")]
    pub(crate) typed: Vec<String>,
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Most completions
    #[arg(short, long = "k", value_name = "N", default_value_t = 10, value_parser = parse_k)]
    pub(crate) k: usize,
    #[command(flatten)]
    pub(crate) viewer: ViewerArgs,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct QueriesArgs {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Show only questions that found nothing
    #[arg(long)]
    pub(crate) nothing: bool,
    /// Count only what was asked in this last span, such as 24h or 7d
    #[arg(long, value_name = "SPAN")]
    pub(crate) since: Option<TimeSpan>,
    /// Most questions to show of each sort
    #[arg(short, long = "k", value_name = "N", default_value_t = 10, value_parser = parse_k)]
    pub(crate) k: usize,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
