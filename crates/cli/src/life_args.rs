//! The words of commands that keep, move and clean an index.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::{EncoderArgs, parse_seconds};
use crate::narrowing_args::PolicyArgs;

#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    #[command(subcommand)]
    pub(crate) action: SnapshotAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotAction {
    /// Keep the last commit of an index in a new folder; a writer may go on meanwhile
    Create(SnapshotCreateArgs),
    /// Make a new index of a snapshot, after checking every byte of it
    Restore(SnapshotRestoreArgs),
    /// Read every byte of a snapshot and check it
    Verify(SnapshotVerifyArgs),
    /// Show the snapshots in a folder
    List(SnapshotListArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotCreateArgs {
    /// Folder of the snapshot; must not exist
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: PathBuf,
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Copy the files also where they could share their bytes with those of the index
    #[arg(long)]
    pub(crate) copy: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotRestoreArgs {
    /// Folder of the snapshot
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: PathBuf,
    /// Folder of the index; must not hold anything else
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Copy the files also where they could share their bytes with those of the snapshot
    #[arg(long)]
    pub(crate) copy: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotVerifyArgs {
    /// Folder of the snapshot
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotListArgs {
    /// Folder that holds snapshots
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PurgeArgs {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Also remove the log of questions
    #[arg(long)]
    pub(crate) queries: bool,
    /// Remove what has expired even where that is more than half
    #[arg(long)]
    pub(crate) force: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// File to write: .jsonl (a document a line) or .parquet (a passage a row); `berth index` reads both back
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Write the vectors too; .parquet has them always
    #[arg(long)]
    pub(crate) vectors: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Folders and files, as of `berth index`
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Folder of the index; made when it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Seconds between two looks; a change is taken up when it has rested for one
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = parse_seconds)]
    pub(crate) interval: f64,
    /// Let a sync remove more than half, and let go of more than half that has expired
    #[arg(long)]
    pub(crate) force: bool,
    /// Follow symbolic links
    #[arg(long)]
    pub(crate) follow: bool,
    /// Print the report of each run as one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Print no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
