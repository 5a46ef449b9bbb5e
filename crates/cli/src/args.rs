//! The words that the command line understands.
//!
//! Every option is also an environment variable and a key of `berth.toml`; `config` adds both to what stands here.

use std::path::PathBuf;

use anyhow::Context;
use berth_pipeline::Home;
use berth_types::{
    ByteSize, Device, FieldDeclaration, Language, Mode, Normalize, Precision, Rerank, Reranker, RowKind,
};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bench_args::BenchArgs;
use crate::compare_args::CompareArgs;
use crate::curation_args::{CompleteArgs, PinArgs, PolicyCommandArgs, QueriesArgs, SynonymsArgs};
use crate::domain_args::DomainArgs;
use crate::eval_args::EvalArgs;
use crate::head_args::{
    AttentionArgs, ClassifyArgs, EmbedArgs, EntitiesArgs, FillMaskArgs, RerankDocumentsArgs, TokensArgs,
};
use crate::life_args::{ExportArgs, PurgeArgs, SnapshotArgs, WatchArgs};
use crate::migrate_args::MigrateArgs;
use crate::model_args::ModelArgs;
use crate::narrowing_args::{NarrowingArgs, PolicyArgs, ViewerArgs};
use crate::serve_args::{HealthArgs, KeyArgs, McpArgs, ServeArgs};
use crate::shaping_args::{DenseArgs, ShapingArgs};
use crate::sparse_args::SparseArgs;
use crate::tune_args::TuneArgs;
use crate::weights_args::{FusionArgs, WeightsArgs};

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 nothing found where something had to be, 4 corrupt or mismatched data,
5 refused by a guard, 130 interrupted (what was done is committed).

Every option is also an environment variable (--commit-seconds is BERTH_COMMIT_SECONDS) and a key of berth.toml
(commit_seconds): option before variable before file before default.";

/// Turns documents into a search engine that understands meaning.
#[derive(Debug, Parser)]
#[command(name = "berth", version, about, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Folder of runtime, models and caches [default: the platform's data directory + /berth]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Configuration file [default: ./berth.toml, else BERTH_HOME/berth.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Whether to colour the output
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub(crate) color: ColorChoice,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    pub(crate) fn home(&self) -> anyhow::Result<Home> {
        let root = self.home.clone().or_else(Home::default_root);
        Ok(Home::at(root.context("no home folder is known; set BERTH_HOME")?))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Index folders, plain-text files, JSONL and Parquet files
    Index(IndexArgs),
    /// Keep an index in step with folders: index, and again after every change
    Watch(WatchArgs),
    /// Ask an index a question
    Search(SearchArgs),
    /// Serve indexes and models over gRPC and HTTP, with a page for people
    Serve(ServeArgs),
    /// Serve indexes to an assistant on standard input and output (Model Context Protocol)
    Mcp(McpArgs),
    /// Say whether a server is ready, for containers and scripts
    Health(HealthArgs),
    /// Make, list and revoke the API keys of a server
    Key(KeyArgs),
    /// Show words of an index that begin with what was typed
    Complete(CompleteArgs),
    /// Turn texts into vectors: one each, one a window, one a token, or weights of terms
    Embed(EmbedArgs),
    /// Score how well documents answer a query, with a cross-encoder or by late interaction
    Rerank(RerankDocumentsArgs),
    /// Give texts the labels of a classifier
    Classify(ClassifyArgs),
    /// Guess masked tokens, or measure how well a model foresees a text
    FillMask(FillMaskArgs),
    /// Find names, places and other entities in texts of any length
    Entities(EntitiesArgs),
    /// Show how a model's tokenizer reads a text
    Tokens(TokensArgs),
    /// Show which token looks at which, as numbers or as a page for the browser
    Attention(AttentionArgs),
    /// Measure search quality on a collection with judgements
    Eval(EvalArgs),
    /// Compare two runs by the same judgements: which one is better, and whether that may be luck
    Compare(CompareArgs),
    /// Say how foreign documents are to a model
    Domain(DomainArgs),
    /// Fit how an index is searched to judgements, and keep it where it gains
    Tune(TuneArgs),
    /// Measure how fast this machine embeds and searches
    Bench(BenchArgs),
    /// Show what an index holds
    Status(StatusArgs),
    /// Print a stored document
    Get(GetArgs),
    /// Say who may find the documents of an index, and until when
    Policy(PolicyCommandArgs),
    /// Say which words of an index mean the same
    Synonyms(SynonymsArgs),
    /// Put documents first for a question
    Pin(PinArgs),
    /// Show what an index was asked, and what found nothing
    Queries(QueriesArgs),
    /// Read every byte of an index and check it
    Verify(VerifyArgs),
    /// Merge the segments of an index and drop what was deleted
    Compact(CompactArgs),
    /// Move an index to another model: build beside it, compare, swap, bring back
    Migrate(MigrateArgs),
    /// Keep, restore, check and list copies of an index
    Snapshot(SnapshotArgs),
    /// Write documents, chunks and vectors of an index to a file
    Export(ExportArgs),
    /// Make deleted documents physically gone
    Purge(PurgeArgs),
    /// Store how an index joins its halves unless a question says otherwise
    Weights(WeightsArgs),
    /// List, import, describe and check models
    Model(ModelArgs),
    /// Examine this installation and say what to do about what is wrong
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// Which model runs, and how.
#[derive(Debug, Args)]
pub(crate) struct EncoderArgs {
    /// Installed model [default: the index's own, else all-minilm-l6-v2]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Arithmetic of the model: int8 or fp32 [default: the index's own, else int8 where this CPU is exact in it]
    #[arg(long, value_name = "PRECISION")]
    pub(crate) precision: Option<Precision>,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

/// What of the machine a model may use.
#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// Model runs at the same time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Where the model runs: cpu, cuda[:N], tensorrt[:N], or auto for a GPU where one can serve
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: Device,
    /// Most memory of the process while the model runs, such as 800MB or 1GiB [default: as much as all cores need]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_limit: Option<ByteSize>,
}

#[derive(Debug, Args)]
pub(crate) struct IndexArgs {
    /// Folders, files, JSONL or Parquet files with `_id`, `title` and `text`, or - for rows of JSON on standard input
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Folder of the index; made when it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    /// Tokens in a window, special tokens and title included [default: the index's own, else the model card's]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) window: Option<usize>,
    /// Tokens that neighbouring windows share [default: the index's own, else 64]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) overlap: Option<usize>,
    /// How vectors are kept: f32, f16 in half the room, or int8 in a quarter [default: the index's own, else f32]
    #[arg(long, value_name = "KIND")]
    pub(crate) rows: Option<RowKind>,
    /// Store a vector for each token too, for `search --rerank late`; an index has them for all its chunks or for none
    #[arg(long)]
    pub(crate) token_rows: bool,
    #[command(flatten)]
    pub(crate) sparse: SparseArgs,
    /// Kind of a metadata field: text, keyword, integer, float, date or boolean [default: as its first value is]
    #[arg(long, value_name = "NAME:KIND", value_delimiter = ',')]
    pub(crate) field: Vec<FieldDeclaration>,
    /// Language of the documents, such as en or de, for their words' stems [default: told by each document's text]
    #[arg(long, value_name = "CODE")]
    pub(crate) language: Option<Language>,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Seconds between commits
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) commit_seconds: u64,
    /// Remove documents that are gone from below the named paths
    #[arg(long)]
    pub(crate) sync: bool,
    /// Let a sync remove more than half, or everything below a missing path, and let go of more than half that has expired
    #[arg(long)]
    pub(crate) force: bool,
    /// Only print what would be done: nothing is written, and the model does not run
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Exit with 1 when an input was malformed (all others are indexed all the same)
    #[arg(long)]
    pub(crate) strict: bool,
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

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// The question; several words need no quotes. Without one, what the filter lets through is listed
    #[arg(required_unless_present_any = ["filter", "facet", "sort"], value_name = "QUERY")]
    pub(crate) query: Vec<String>,
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Most documents to show
    #[arg(short, long = "k", value_name = "N", default_value_t = 10, value_parser = parse_k)]
    pub(crate) k: usize,
    #[command(flatten)]
    pub(crate) ranking: RankingArgs,
    #[command(flatten)]
    pub(crate) rerank: RerankArgs,
    #[command(flatten)]
    pub(crate) shaping: ShapingArgs,
    #[command(flatten)]
    pub(crate) narrowing: NarrowingArgs,
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    /// Show how each score came about
    #[arg(long)]
    pub(crate) explain: bool,
    /// Keep the question, what it found and how long it took in the folder of the index, for `berth queries`
    #[arg(long)]
    pub(crate) log: bool,
    /// Print the answer as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// How the halves of the index are joined.
#[derive(Debug, Args)]
pub(crate) struct RankingArgs {
    /// Which halves answer: hybrid, dense or lexical; or sparse, of an index that was built with --sparse-model
    #[arg(long, value_name = "MODE", default_value = "hybrid", value_parser = parse_mode)]
    pub(crate) mode: Mode,
    #[command(flatten)]
    pub(crate) dense: DenseArgs,
    #[command(flatten)]
    pub(crate) fusion: FusionArgs,
}

/// What orders the first documents anew.
#[derive(Debug, Args)]
pub(crate) struct RerankArgs {
    /// Order the first documents anew: late (token by token; the index needs --token-rows), cross (by a cross-encoder), or off
    /// [default: as the index stores it, else off]
    #[arg(long, value_name = "HOW", value_parser = parse_reranker)]
    pub(crate) rerank: Option<RerankWord>,
    /// How many of the first documents are ordered anew, at least as many as are shown
    #[arg(long, value_name = "N", default_value_t = Rerank::default().depth, value_parser = parse_k)]
    pub(crate) rerank_depth: usize,
    /// Share of what orders anew in the score, 0 to 1; the rest is the score before [default: 1 for a cross-encoder and for
    /// models that were trained for late interaction, else 0.5]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub(crate) rerank_weight: Option<f32>,
    /// Installed cross-encoder for `--rerank cross`
    #[arg(long, value_name = "NAME")]
    pub(crate) reranker: Option<String>,
    /// Milliseconds after which the cross-encoder begins with no further document [default: it reads all]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) rerank_budget_ms: Option<u64>,
}

/// What was said of ordering anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RerankWord {
    Off,
    By(Reranker),
}

impl RerankArgs {
    pub(crate) fn rerank(&self) -> Option<Rerank> {
        let (depth, weight, budget_ms) = (self.rerank_depth, self.rerank_weight, self.rerank_budget_ms);
        match self.rerank {
            Some(RerankWord::By(by)) => Some(Rerank { by, depth, weight, budget_ms }),
            Some(RerankWord::Off) | None => None,
        }
    }

    /// Whether it was said that nothing orders anew.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self.rerank, Some(RerankWord::Off))
    }
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The document's id, or the end of its path where that is unambiguous
    #[arg(value_name = "DOCUMENT")]
    pub(crate) document: String,
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    #[command(flatten)]
    pub(crate) viewer: ViewerArgs,
    /// Print the document as one JSON object, with title, metadata and source
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompactArgs {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Remove what has expired even where that is more than half
    #[arg(long)]
    pub(crate) force: bool,
    /// Print what the index was and is as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Also examine this index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: Option<PathBuf>,
    /// Model to examine
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Where the model shall run: cpu, cuda[:N], tensorrt[:N], or auto for a GPU where one can serve
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: Device,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

pub(crate) fn parse_mode(word: &str) -> Result<Mode, String> {
    match word {
        "hybrid" => Ok(Mode::Hybrid),
        "dense" => Ok(Mode::Dense),
        "lexical" => Ok(Mode::Lexical),
        "sparse" => Ok(Mode::Sparse),
        _ => Err("possible values: hybrid, dense, lexical, sparse".to_owned()),
    }
}

pub(crate) fn parse_normalize(word: &str) -> Result<Normalize, String> {
    match word {
        "max" => Ok(Normalize::Max),
        "min-max" => Ok(Normalize::MinMax),
        "z-score" => Ok(Normalize::ZScore),
        "bounds" => Ok(Normalize::Bounds),
        _ => Err("possible values: max, min-max, z-score, bounds".to_owned()),
    }
}

fn parse_reranker(word: &str) -> Result<RerankWord, String> {
    match word {
        "late" => Ok(RerankWord::By(Reranker::Late)),
        "cross" => Ok(RerankWord::By(Reranker::Cross)),
        "off" => Ok(RerankWord::Off),
        _ => Err("possible values: late, cross, off".to_owned()),
    }
}

/// Hits are shown or read one by one; ten thousand is far beyond both.
pub(crate) fn parse_k(word: &str) -> Result<usize, String> {
    let k: usize = word.parse().map_err(|_| "not a whole number".to_owned())?;
    if (1..=10_000).contains(&k) { Ok(k) } else { Err("must be from 1 to 10000".to_owned()) }
}

pub(crate) fn parse_seconds(word: &str) -> Result<f64, String> {
    let seconds: f64 = word.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("must be from 0.1 to 3600".to_owned()) }
}

pub(crate) fn parse_share(word: &str) -> Result<f32, String> {
    let share: f32 = word.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("must be from 0 to 1".to_owned()) }
}

pub(crate) fn parse_boost(word: &str) -> Result<f32, String> {
    let boost: f32 = word.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=100.0).contains(&boost) { Ok(boost) } else { Err("must be from 0 to 100".to_owned()) }
}

pub(crate) fn parse_rrf_k(word: &str) -> Result<f32, String> {
    let k: f32 = word.parse().map_err(|_| "not a number".to_owned())?;
    if k.is_finite() && k >= 0.0 { Ok(k) } else { Err("must be zero or more".to_owned()) }
}
