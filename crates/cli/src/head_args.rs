//! The words of the commands that ask a model about texts: embed, rerank, classify, fill-mask, entities, tokens, attention.

use std::path::PathBuf;

use berth_pipeline::{Dtype, EncoderChoice, Overlong, Strategy};
use berth_types::{Pooling, Precision};
use clap::{Args, ValueEnum};

use crate::args::MachineArgs;

/// Where the texts of most of these commands come from; said below their options.
const INPUT_HELP: &str = "\
Texts are arguments, or lines of standard input when there are none. A line is a JSON string or an object: {\"text\"}, with
\"id\" (or \"_id\") where it has one. With --lines each line is a text as it stands. Results come in the order of the texts,
as a table on a terminal and otherwise one JSON object a line, with the text's id, else the number of its line or argument.
A line that cannot be read or answered is reported with its number; the others are answered all the same, and the exit
code is then 1.";
const CLASSIFY_HELP: &str = "\
Texts are arguments, or lines of standard input when there are none. A line is a JSON string, {\"text\"}, or a pair
{\"text\",\"text_pair\"}, with \"id\" (or \"_id\") where it has one. With --lines each line is a text as it stands. Results come
in the order of the texts, as a table on a terminal and otherwise one JSON object a line, with the text's id, else the
number of its line or argument. A line that cannot be read or answered is reported with its number; the others are answered
all the same, and the exit code is then 1.";
const RERANK_HELP: &str = "\
With QUERY and documents, or QUERY and documents as lines of standard input (JSON strings or {\"id\",\"text\"}): one result a
document, best first. Without arguments each line is {\"query\",\"documents\":[…]} with an \"id\" where it has one, and one
result a line lists its documents, best first. A line that cannot be read is reported with its number.";

/// Which model runs, and how.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Installed model [default: all-minilm-l6-v2]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Arithmetic of the model [default: int8 where this CPU is exact in it, else fp32]
    #[arg(long, value_name = "PRECISION")]
    pub(crate) precision: Option<Precision>,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

impl RunArgs {
    pub(crate) fn choice(&self) -> EncoderChoice {
        EncoderChoice {
            model: self.model.clone(),
            precision: self.precision,
            workers: self.machine.threads.map(usize::from),
            device: self.machine.device,
            memory_limit_bytes: self.machine.memory_limit.map(|size| size.0),
        }
    }
}

/// The texts, and how their results are shown.
#[derive(Debug, Args)]
pub(crate) struct TextArgs {
    /// Texts; lines of standard input when there are none
    #[arg(value_name = "TEXT")]
    pub(crate) texts: Vec<String>,
    #[command(flatten)]
    pub(crate) lines: LineArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// How lines are read and results shown.
#[derive(Debug, Args)]
pub(crate) struct LineArgs {
    /// Take each line of standard input as a text, not as JSON
    #[arg(long)]
    pub(crate) lines: bool,
    /// Stop at the first line that cannot be read or answered
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print one JSON object a line, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do with a text that is too long.
#[derive(Debug, Args)]
pub(crate) struct TruncateArgs {
    /// Cut a text that is longer than the model takes, and say in its result by how many tokens
    #[arg(long)]
    pub(crate) truncate: bool,
}

impl TruncateArgs {
    pub(crate) fn overlong(&self) -> Overlong {
        if self.truncate { Overlong::Cut } else { Overlong::Refuse }
    }
}

#[derive(Debug, Args)]
#[command(after_help = INPUT_HELP)]
pub(crate) struct EmbedArgs {
    #[command(flatten)]
    pub(crate) text: TextArgs,
    #[command(flatten)]
    pub(crate) truncate: TruncateArgs,
    /// One vector for each window of a text, so that a text may have any length
    #[arg(long, conflicts_with_all = ["sparse", "late", "tokens", "pooling"])]
    pub(crate) windows: bool,
    /// Which of the model's prompts stands before each text: query, passage, none, or a name that `model info` shows
    #[arg(long, value_name = "NAME", default_value = "passage", conflicts_with_all = ["windows", "sparse", "tokens", "layers"])]
    pub(crate) prompt: String,
    /// Values that are kept of a vector, scaled to unit norm again; for models that were trained for it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) dimensions: Option<u32>,
    /// Numbers: int8 comes with a scale a vector, binary is one bit a value, eight a byte, the first in the highest bit
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) dtype: DtypeWord,
    /// How token states become one vector [default: as the model card says]
    #[arg(long, value_name = "POOLING", value_parser = parse_pooling)]
    pub(crate) pooling: Option<Pooling>,
    /// Weights of vocabulary terms instead (SPLADE), the heaviest first
    #[arg(long, conflicts_with_all = ["late", "tokens", "pooling", "dimensions"])]
    pub(crate) sparse: bool,
    /// A vector a token for late interaction instead (ColBERT); --prompt query fills a query up
    #[arg(long, conflicts_with_all = ["tokens", "pooling", "dimensions"])]
    pub(crate) late: bool,
    /// The last state of each token instead, with its bytes in the text; texts may have any length
    #[arg(long, conflicts_with_all = ["pooling", "dimensions"])]
    pub(crate) tokens: bool,
    /// The states of each token after these layers instead, separated by commas; 0 are the embeddings
    #[arg(long, value_name = "LAYERS", value_delimiter = ',', conflicts_with_all = ["windows", "sparse", "late", "tokens", "pooling", "dimensions"])]
    pub(crate) layers: Vec<usize>,
    /// Weights of --sparse that are not above this are left out
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0, value_parser = parse_floor)]
    pub(crate) floor: f32,
    /// Form of the results; npy and parquet need --out
    #[arg(long, value_enum, default_value = "jsonl")]
    pub(crate) format: FormatWord,
    /// File for the results; it appears once it is complete [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DtypeWord {
    F32,
    F16,
    Int8,
    Binary,
}

impl DtypeWord {
    pub(crate) fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Int8 => Dtype::Int8,
            Self::Binary => Dtype::Binary,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatWord {
    /// One JSON object a line
    Jsonl,
    /// A NumPy array, with ids beside it in FILE.ids
    Npy,
    /// A Parquet table with columns id, text and embedding
    Parquet,
}

#[derive(Debug, Args)]
#[command(after_help = RERANK_HELP)]
pub(crate) struct RerankDocumentsArgs {
    /// The query
    #[arg(value_name = "QUERY")]
    pub(crate) query: Option<String>,
    /// Documents; lines of standard input when there are none
    #[arg(value_name = "DOC")]
    pub(crate) documents: Vec<String>,
    /// Most documents to show
    #[arg(short, long = "k", value_name = "N")]
    pub(crate) k: Option<usize>,
    /// Scores as the model gives them, without the sigmoid
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) lines: LineArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Args)]
#[command(after_help = CLASSIFY_HELP)]
pub(crate) struct ClassifyArgs {
    #[command(flatten)]
    pub(crate) text: TextArgs,
    #[command(flatten)]
    pub(crate) truncate: TruncateArgs,
    /// Most labels to show [default: all]
    #[arg(short, long = "k", value_name = "N")]
    pub(crate) k: Option<usize>,
}

#[derive(Debug, Args)]
#[command(after_help = INPUT_HELP)]
pub(crate) struct FillMaskArgs {
    #[command(flatten)]
    pub(crate) text: TextArgs,
    #[command(flatten)]
    pub(crate) truncate: TruncateArgs,
    /// Guesses for each mask
    #[arg(short, long = "k", value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) k: u32,
    /// Measure instead how well the model foresees each text: mask every token once (pseudo-perplexity)
    #[arg(long)]
    pub(crate) perplexity: bool,
}

#[derive(Debug, Args)]
#[command(after_help = INPUT_HELP)]
pub(crate) struct EntitiesArgs {
    #[command(flatten)]
    pub(crate) text: TextArgs,
    /// What decides the tag of a word
    #[arg(long, value_enum, default_value = "simple")]
    pub(crate) strategy: StrategyWord,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyWord {
    /// Nothing: each token has its own tag
    Simple,
    /// Its first token
    First,
    /// Its surest token
    Max,
    /// The average of its tokens
    Average,
}

impl StrategyWord {
    pub(crate) fn strategy(self) -> Strategy {
        match self {
            Self::Simple => Strategy::Simple,
            Self::First => Strategy::First,
            Self::Max => Strategy::Max,
            Self::Average => Strategy::Average,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = CLASSIFY_HELP)]
pub(crate) struct TokensArgs {
    /// Texts; lines of standard input when there are none
    #[arg(value_name = "TEXT")]
    pub(crate) texts: Vec<String>,
    #[command(flatten)]
    pub(crate) lines: LineArgs,
    /// Installed model [default: all-minilm-l6-v2]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = INPUT_HELP)]
pub(crate) struct AttentionArgs {
    #[command(flatten)]
    pub(crate) text: TextArgs,
    #[command(flatten)]
    pub(crate) truncate: TruncateArgs,
    /// Layers to look at, from 0, separated by commas [default: all]
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    pub(crate) layers: Vec<usize>,
    /// Write a page for the browser, of one text
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

fn parse_floor(word: &str) -> Result<f32, String> {
    let floor = word.parse().ok().filter(|floor: &f32| floor.is_finite());
    floor.ok_or_else(|| "use a number".to_owned())
}

fn parse_pooling(word: &str) -> Result<Pooling, String> {
    let found = Pooling::ALL.into_iter().find(|pooling| pooling.as_str() == word);
    found.ok_or_else(|| format!("use {}", Pooling::ALL.map(Pooling::as_str).join(", ")))
}
