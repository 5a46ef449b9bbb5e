//! What can go wrong between a model folder and a row.

use std::io;
use std::path::PathBuf;

use berth_types::{ByteSize, Device, EmbeddingError, ErrorKind, Head, Precision};
use thiserror::Error;

/// Why a model could not be opened, or a text could not become a row.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// An id that no piece of the vocabulary has.
    #[error("token {id} is not in the vocabulary of '{model}'")]
    UnknownToken {
        /// As given.
        id: u32,
        /// Name of the model.
        model: String,
    },
    /// Time ran out while a row waited for the model.
    #[error("the deadline passed before the model came to it")]
    DeadlinePassed,
    /// Whoever asked has taken the request back.
    #[error("the request was taken back")]
    Cancelled,
    /// The folder holds no installed model.
    #[error("no installed model in {}: run scripts/setup, or `berth model import`", path.display())]
    ModelMissing {
        /// The folder.
        path: PathBuf,
    },
    /// The card is no valid TOML, or lacks a key.
    #[error("{} line {line}: {message}", path.display())]
    CardSyntax {
        /// The card.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A value of the card cannot be right.
    #[error("{}: {field} is {value}, but {rule}", path.display())]
    CardValue {
        /// The card.
        path: PathBuf,
        /// Key of the value.
        field: &'static str,
        /// The value.
        value: String,
        /// What it has to satisfy.
        rule: &'static str,
    },
    /// The list of the model's files cannot be read.
    #[error("{}: {message}; import the model again", path.display())]
    ManifestSyntax {
        /// The list.
        path: PathBuf,
        /// What the parser says.
        message: String,
    },
    /// The list of the model's files has a format that this version does not know.
    #[error("{} has format {found}, this version reads format {supported}; import the model again", path.display())]
    ManifestFormat {
        /// The list.
        path: PathBuf,
        /// Format found there.
        found: u32,
        /// Format that can be read.
        supported: u32,
    },
    /// A file is asked for that the model does not have.
    #[error("the model has no file {}; import it again", path.display())]
    FileUnlisted {
        /// The file.
        path: PathBuf,
    },
    /// A file of the model is gone.
    #[error("{} is missing; import the model again", path.display())]
    FileMissing {
        /// The file.
        path: PathBuf,
    },
    /// A file of the model is not the one that was installed.
    #[error("{} changed since it was installed (blake3 {received}, installed {expected}); import the model again", path.display())]
    FileChanged {
        /// The file.
        path: PathBuf,
        /// Hash when it was installed.
        expected: String,
        /// Hash now.
        received: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        r#source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        r#source: io::Error,
    },
    /// There is no ONNX Runtime library.
    #[error("no ONNX Runtime library at {}: run scripts/setup, or set ORT_DYLIB_PATH to one", path.display())]
    RuntimeMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file is there, but it is no usable ONNX Runtime library.
    #[error("{} is no usable ONNX Runtime library ({reason}): run scripts/setup, or set ORT_DYLIB_PATH to one", path.display())]
    RuntimeUnusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The library is older than the interface that is needed.
    #[error("{} is ONNX Runtime {version}, but 1.{needed} or newer is needed: run scripts/setup, or set ORT_DYLIB_PATH to one", path.display())]
    RuntimeTooOld {
        /// The library.
        path: PathBuf,
        /// Its version.
        version: String,
        /// The oldest minor version that serves.
        needed: u32,
    },
    /// A process can hold one library, and it holds another.
    #[error("{} cannot be loaded: this process already runs {}", asked.display(), loaded.display())]
    RuntimeConflict {
        /// The library in use.
        loaded: PathBuf,
        /// The library asked for.
        asked: PathBuf,
    },
    /// Products of 8-bit numbers would saturate on this processor.
    #[error(
        "{precision} would lose accuracy on this processor ({features}): it needs {}; use fp32",
        if *precision == Precision::Int8 { "AVX2 with FMA, or ARM dot products" } else { "AVX512-VNNI, AVX-VNNI or ARM dot products" }
    )]
    Int8Saturates {
        /// What was asked for.
        precision: Precision,
        /// What the processor has.
        features: String,
    },
    /// A graph's products of 8-bit numbers would saturate on this processor, for which a graph can be made that does not.
    #[error(
        "{} was made for other processors: its 8-bit products would lose accuracy on this one ({features}); import the \
         model from its weights on this machine, or use fp32",
        path.display()
    )]
    GraphSaturates {
        /// The graph.
        path: PathBuf,
        /// What the processor has.
        features: String,
    },
    /// The tokenizer's file cannot be used.
    #[error("{} is no usable tokenizer: {message}", path.display())]
    TokenizerFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The tokenizer failed on a text.
    #[error("cannot tokenise the text: {message}")]
    Tokenize {
        /// What the tokenizer says.
        message: String,
    },
    /// ONNX Runtime does not take the graph.
    #[error("ONNX Runtime refuses {}: {message}", path.display())]
    GraphRefused {
        /// The graph.
        path: PathBuf,
        /// What ONNX Runtime says.
        message: String,
    },
    /// The graph's inputs or outputs are not those of its head.
    #[error("{} does not serve head {head}: {problem}", path.display())]
    GraphInterface {
        /// The graph.
        path: PathBuf,
        /// What it was opened for.
        head: Head,
        /// What is missing or unknown.
        problem: String,
    },
    /// A graph that was made elsewhere gives something else than what is asked for.
    #[error("{} does not serve head {head}: its output {output} gives head {given}", path.display())]
    HeadNotServed {
        /// The graph.
        path: PathBuf,
        /// What it was opened for.
        head: Head,
        /// The output.
        output: String,
        /// What it serves.
        given: Head,
    },
    /// An output of the graph does not have the size that the card says.
    #[error("{} gives {received} values in {output}, the model card says {expected}", path.display())]
    DimensionMismatch {
        /// The graph.
        path: PathBuf,
        /// The output.
        output: String,
        /// Size in the card.
        expected: usize,
        /// Size in the graph.
        received: i64,
    },
    /// A device was asked for that cannot serve here.
    #[error("device {device} cannot serve: {library} is missing ({reason}); see docs/devices.md, or use device cpu")]
    DeviceUnavailable {
        /// The device.
        device: Device,
        /// The first library that is missing.
        library: String,
        /// Where it was looked for, or what needs it.
        reason: String,
    },
    /// The libraries of a device are there, but it does not start.
    #[error("device {device} does not start: {message}")]
    DeviceRefused {
        /// The device.
        device: Device,
        /// What ONNX Runtime says.
        message: String,
    },
    /// ONNX Runtime put a part of the model elsewhere than on the device that was asked for.
    #[error("{} does not run on {device} alone: node '{node}' ({operator}) was put on {provider}", path.display())]
    Placement {
        /// The graph.
        path: PathBuf,
        /// The device.
        device: Device,
        /// Name of the node.
        node: String,
        /// Its operator.
        operator: String,
        /// Where it was put.
        provider: String,
    },
    /// The product by which the machine is measured does not run.
    #[error("ONNX Runtime does not run the product that calibrates: {message}")]
    Calibration {
        /// What ONNX Runtime says.
        message: String,
    },
    /// The limit of memory is too small for even one row at a time.
    #[error("a memory limit of {limit} is too small for this model: it needs at least {needed}")]
    MemoryLimit {
        /// The limit.
        limit: ByteSize,
        /// What is needed at least.
        needed: ByteSize,
    },
    /// What a text would be answered with is more than the limit of memory leaves.
    #[error(
        "the answer to a text of {tokens} tokens takes {needed}, more than a memory limit of {limit} leaves; hand the \
         text in in parts"
    )]
    AnswerTooLarge {
        /// Tokens of the text.
        tokens: usize,
        /// What its answer takes.
        needed: ByteSize,
        /// The limit.
        limit: ByteSize,
    },
    /// A row has more ids than the model takes.
    #[error("a row of {tokens} tokens does not fit the model's {max_tokens}")]
    RowTooLong {
        /// Ids in the row.
        tokens: usize,
        /// Most ids that the model takes.
        max_tokens: usize,
    },
    /// A text has more tokens than the model takes at once, and was not to be cut.
    #[error(
        "the text has {tokens} tokens, but the model takes {max_tokens} of a text at once; cut it with --truncate, or \
         hand it in in parts"
    )]
    TextTooLong {
        /// Tokens of the text.
        tokens: usize,
        /// Most tokens of a text that a row holds beside the special ones.
        max_tokens: usize,
    },
    /// There is no place to fill.
    #[error("the text has no {mask}; write it where a token is to be guessed")]
    NoMask {
        /// The model's mask token.
        mask: String,
    },
    /// The vocabulary lacks a token that the card names.
    #[error("the vocabulary has no token '{marker}', which the model card needs for late interaction")]
    LateMarker {
        /// The token.
        marker: String,
    },
    /// The model has no prompt of that name.
    #[error("'{model}' has no prompt '{name}'; it has {}", known.join(", "))]
    UnknownPrompt {
        /// Name of the model.
        model: String,
        /// What was asked for.
        name: String,
        /// Names that it has.
        known: Vec<String>,
    },
    /// Rows that share a run would depend on each other.
    #[error(
        "rows cannot share runs in {precision} on the processor, where a row's numbers would depend on its neighbours; \
         leave token_budget out, or take fp32"
    )]
    RowsDepend {
        /// Numbers that were asked for.
        precision: Precision,
    },
    /// The card does not say how the model reads queries and passages.
    #[error("'{model}' is no model of late interaction: its card has no [late]")]
    NotLate {
        /// Name of the model.
        model: String,
    },
    /// The tokenizer has ids for which the model has no embedding.
    #[error(
        "{} gives ids up to {largest}, but config.json says vocab_size {vocabulary}: tokenizer and weights are not of \
         one model", path.display()
    )]
    VocabularyTooSmall {
        /// The tokenizer's file.
        path: PathBuf,
        /// The largest id.
        largest: u32,
        /// Ids that the model has.
        vocabulary: u64,
    },
    /// There is nothing in a text whose likelihood could be measured.
    #[error("the text has no tokens to measure")]
    NothingToMeasure,
    /// A row has no ids at all.
    #[error("a row without tokens cannot be encoded")]
    RowEmpty,
    /// A row does not have one token type for each id.
    #[error("a row of {tokens} tokens comes with {types} token types")]
    RowTypes {
        /// Ids in the row.
        tokens: usize,
        /// Types in the row.
        types: usize,
    },
    /// A row asks for the scores of a position that it does not have.
    #[error("a row of {tokens} tokens has no position {position}")]
    RowPositions {
        /// Ids in the row.
        tokens: usize,
        /// The position, from 0.
        position: u32,
    },
    /// The encoder was opened for something else.
    #[error("this encoder was opened for head {opened}, but head {needed} is needed")]
    WrongHead {
        /// What it was opened for.
        opened: Head,
        /// What was asked.
        needed: Head,
    },
    /// ONNX Runtime failed on a row.
    #[error("ONNX Runtime failed on a row of {tokens} tokens: {message}")]
    Run {
        /// Ids in the row.
        tokens: usize,
        /// What ONNX Runtime says.
        message: String,
    },
    /// What the model gave for a row holds infinities, or what is no number at all.
    #[error("the model gave no usable numbers in its output {output} for a row of {tokens} tokens (NaN or infinite)")]
    NotFinite {
        /// The output.
        output: String,
        /// Ids in the row.
        tokens: usize,
    },
    /// What the model gave for a row is no vector.
    #[error("the model gave no usable row: {0}")]
    BadRow(#[from] EmbeddingError),
    /// The thread that had the row died.
    #[error("the worker that encoded this row died")]
    WorkerLost,
    /// A worker's thread could not be started.
    #[error("cannot start a worker: {0}")]
    Spawn(io::Error),
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::ModelMissing { .. } => ErrorKind::NotFound,
            Self::Int8Saturates { .. }
            | Self::GraphSaturates { .. }
            | Self::HeadNotServed { .. }
            | Self::RowTooLong { .. }
            | Self::RowTypes { .. }
            | Self::RowPositions { .. }
            | Self::WrongHead { .. }
            | Self::TextTooLong { .. }
            | Self::NoMask { .. }
            | Self::MemoryLimit { .. }
            | Self::AnswerTooLarge { .. }
            | Self::NotLate { .. }
            | Self::UnknownPrompt { .. }
            | Self::RowsDepend { .. }
            | Self::NothingToMeasure
            | Self::UnknownToken { .. }
            | Self::RowEmpty => ErrorKind::InvalidInput,
            Self::DeadlinePassed | Self::Cancelled => ErrorKind::DeadlineExceeded,
            Self::CardSyntax { .. }
            | Self::CardValue { .. }
            | Self::ManifestSyntax { .. }
            | Self::ManifestFormat { .. }
            | Self::FileUnlisted { .. }
            | Self::FileMissing { .. }
            | Self::FileChanged { .. }
            | Self::TokenizerFile { .. }
            | Self::LateMarker { .. }
            | Self::VocabularyTooSmall { .. }
            | Self::GraphRefused { .. }
            | Self::GraphInterface { .. }
            | Self::DimensionMismatch { .. } => ErrorKind::Corrupted,
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Read { .. }
            | Self::Write { .. }
            | Self::RuntimeMissing { .. }
            | Self::RuntimeUnusable { .. }
            | Self::RuntimeTooOld { .. }
            | Self::DeviceUnavailable { .. }
            | Self::DeviceRefused { .. }
            | Self::Placement { .. }
            | Self::Spawn(_) => ErrorKind::Unavailable,
            Self::RuntimeConflict { .. }
            | Self::Tokenize { .. }
            | Self::Run { .. }
            | Self::NotFinite { .. }
            | Self::BadRow(_)
            | Self::Calibration { .. }
            | Self::WorkerLost => ErrorKind::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    /// A message and the chain of causes below it are printed one after the other: the cause stands in one of them.
    #[test]
    fn what_the_system_said_is_said_once() {
        let source = io::Error::other("the disk is on fire");
        let error = Error::Read { path: "file".into(), source };
        assert!(error.to_string().ends_with(": the disk is on fire"), "{error}");
        assert!(error.source().is_none());
    }
}
