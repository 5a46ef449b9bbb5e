//! What can go wrong between a checkpoint and a graph.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use berth_types::{ErrorKind, Head};
use safetensors::SafeTensorError;
use thiserror::Error;

/// Why no graph was written. Nothing is left behind in any of these cases.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the checkpoint is missing.
    #[error("{} is missing: a checkpoint needs config.json and model.safetensors in one folder{}", path.display(),
        hint.map(|hint| format!(" ({hint})")).unwrap_or_default())]
    FileMissing {
        /// The file that had to be there.
        path: PathBuf,
        /// What was found in its stead, where that explains it.
        hint: Option<&'static str>,
    },
    /// A file of the checkpoint cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        r#source: io::Error,
    },
    /// A file that the checkpoint names is not inside its folder, or is no file.
    #[error("{}: the name {named:?} {problem}; put the file itself into the folder", folder.display())]
    PathOutside {
        /// The checkpoint.
        folder: PathBuf,
        /// The name, as it was found.
        named: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// `config.json` is not a JSON object.
    #[error("{} is not a JSON object", path.display())]
    ConfigSyntax {
        /// The file.
        path: PathBuf,
        /// Where and why parsing ended; none where the JSON is of another kind.
        source: Option<serde_json::Error>,
    },
    /// A field of `config.json` that shapes the model is missing.
    #[error("{} has no field {field}, which shapes the model", path.display())]
    ConfigMissing {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
    },
    /// A field of `config.json` holds what it cannot hold.
    #[error("{}: {field} is {value}, expected {expected}", path.display())]
    ConfigValue {
        /// The file.
        path: PathBuf,
        /// The field.
        field: Cow<'static, str>,
        /// Its value, as JSON.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// The checkpoint is of a kind that cannot be exported.
    #[error("{}: {field} is {value:?}, which is not supported; supported: {}", path.display(), supported.join(", "))]
    Unsupported {
        /// The file that says so.
        path: PathBuf,
        /// The field that says so.
        field: &'static str,
        /// Its value.
        value: String,
        /// Values that can be exported.
        supported: &'static [&'static str],
    },
    /// The safetensors container is truncated or damaged.
    #[error("{} is no intact safetensors file; download it again", path.display())]
    Container {
        /// The file.
        path: PathBuf,
        /// What does not add up.
        source: SafeTensorError,
    },
    /// The index of weights in several files cannot be read.
    #[error("{} is no index of weights: {message}", path.display())]
    IndexSyntax {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A file of weights lacks a tensor that the index says it has.
    #[error("{} has no tensor {tensor}, which {} says it has; download both again", shard.display(), index.display())]
    ShardLacks {
        /// The index.
        index: PathBuf,
        /// The file that lacks it.
        shard: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor of one name stands in the weights twice, in one file or in two.
    #[error("{} holds tensor {tensor}, which the weights hold already; the files are damaged", path.display())]
    TensorTwice {
        /// The second file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// The checkpoint has no weights for the head that is asked for.
    #[error("{} has no weights for the head '{head}' (tensor {tensor} is not there); it serves {}", path.display(),
        available.iter().map(|head| head.as_str()).collect::<Vec<_>>().join(", "))]
    HeadMissing {
        /// The checkpoint.
        path: PathBuf,
        /// The head.
        head: Head,
        /// The tensor that tells the head.
        tensor: String,
        /// Heads that it has weights for.
        available: Vec<Head>,
    },
    /// A tensor that the configuration implies is not in the file.
    #[error("{} has no tensor {tensor}, which config.json implies", path.display())]
    TensorMissing {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor has another shape than the configuration implies.
    #[error("{}: tensor {tensor} has shape {received:?}, but config.json implies {expected:?}", path.display())]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The shape that follows from the configuration.
        expected: Vec<usize>,
        /// The shape in the file.
        received: Vec<usize>,
    },
    /// A tensor's element type cannot be converted.
    #[error("{}: tensor {tensor} holds {received}, expected F32, F16 or BF16", path.display())]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The element type in the file.
        received: String,
    },
    /// A weight is NaN or infinite.
    #[error("{}: tensor {tensor} holds {value} at position {position}; the checkpoint is damaged", path.display())]
    TensorNotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// Index of the first such value, row-major.
        position: usize,
        /// The value.
        value: f32,
    },
    /// The file holds more layers than the configuration says, so that one of them is wrong.
    #[error("{} holds tensor {tensor}, but config.json says {field} {layers}", path.display())]
    LayerBeyondConfig {
        /// The file.
        path: PathBuf,
        /// The first tensor beyond.
        tensor: String,
        /// The field that says otherwise.
        field: &'static str,
        /// Layers in the configuration.
        layers: usize,
    },
    /// The file only names the real one, as a repository keeps large files.
    #[error("{} is a pointer of git-lfs, not the file itself; fetch it with `git lfs pull`", path.display())]
    Pointer {
        /// The file.
        path: PathBuf,
    },
    /// The tokenizer's file cannot be read.
    #[error("{} is no usable tokenizer: {message}", path.display())]
    TokenizerSyntax {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        message: String,
    },
    /// The tokenizer knows more tokens than the model has embeddings of.
    #[error("{}: token {token:?} has id {id}, but the model has {rows} word embeddings; the files are of two models", path.display())]
    TokenBeyondTable {
        /// The tokenizer's file.
        path: PathBuf,
        /// The token of the largest id.
        token: String,
        /// Its id.
        id: u64,
        /// Rows of the table of word embeddings.
        rows: usize,
    },
    /// A ready-made graph, or a file of its weights, is missing.
    #[error("{} is missing, which a ready-made model needs", path.display())]
    GraphFileMissing {
        /// The file that had to be there.
        path: PathBuf,
    },
    /// The bytes of a ready-made graph are no intact protobuf of the ONNX schema.
    #[error("{} is no intact ONNX graph: at byte {at}: {problem}", path.display())]
    GraphDamaged {
        /// The graph.
        path: PathBuf,
        /// Offset of the field at fault.
        at: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A tensor of a ready-made graph is not what it declares.
    #[error("{}: tensor {tensor} {problem}", path.display())]
    GraphTensor {
        /// The graph.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A node of a ready-made graph does not fit the rest.
    #[error("{}: node {node} {problem}", path.display())]
    GraphNode {
        /// The graph.
        path: PathBuf,
        /// The node's name and operator.
        node: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The inputs or outputs of a ready-made graph are not those of an encoder, or it is not clear what they are.
    #[error("{}: {problem}", path.display())]
    GraphInterface {
        /// The graph.
        path: PathBuf,
        /// What is unknown or unclear.
        problem: String,
    },
    /// A ready-made graph needs what is not run here.
    #[error("{}: {what} {value} is not supported; supported: {supported}", path.display())]
    GraphUnsupported {
        /// The graph.
        path: PathBuf,
        /// The kind of thing.
        what: &'static str,
        /// Which one.
        value: String,
        /// What is run.
        supported: String,
    },
    /// A checkpoint has no tokenizer that can be used.
    #[error("{} is missing, and it cannot be made: {}", path.display(), match sentencepiece {
        Some(name) => format!(
            "{name} is a sentencepiece model, which is not read; convert it once in Python: \
             AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        ),
        None => "there is neither vocab.txt, nor vocab.json with merges.txt".to_owned(),
    })]
    TokenizerMissing {
        /// Where `tokenizer.json` had to be.
        path: PathBuf,
        /// A sentencepiece model that is there instead.
        sentencepiece: Option<&'static str>,
    },
    /// A vocabulary cannot become a tokenizer.
    #[error("{}: {problem}", path.display())]
    TokenizerSource {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A name of a product that is to stay in fp32 is no product of this checkpoint.
    #[error("there is no product {product} to keep in fp32; the products are: {}", products.join(", "))]
    ProductUnknown {
        /// The name.
        product: String,
        /// Names of the checkpoint's products.
        products: Vec<String>,
    },
    /// A precision with static scales has no range for a product.
    #[error("the calibration has no range for the product {product}; calibrate this checkpoint for this head")]
    CalibrationMissing {
        /// The product.
        product: String,
    },
    /// A range of a calibration is none.
    #[error("the calibration of the product {product} is no range: from {least} to {most}")]
    CalibrationRange {
        /// The product.
        product: String,
        /// Where it is said to begin.
        least: f32,
        /// Where it is said to end.
        most: f32,
    },
    /// What the calibration graph gave for some texts makes no calibration.
    #[error("a calibration needs texts with {expected} values each{}", match received {
        Some(received) => format!(", and one of {texts} has {received}"),
        None => ", and there is no text".to_owned(),
    })]
    CalibrationTexts {
        /// Texts that were given.
        texts: usize,
        /// Values that each should have.
        expected: usize,
        /// Values of the first that has another number.
        received: Option<usize>,
    },
    /// The graph would pass the limit of one protobuf message.
    #[error("{} would become a graph of {bytes} bytes, beyond the {limit} of one ONNX file", path.display())]
    TooLarge {
        /// The checkpoint.
        path: PathBuf,
        /// Bytes of the graph.
        bytes: u64,
        /// Bytes that a protobuf message may have.
        limit: u64,
    },
    /// The graph cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        r#source: io::Error,
    },
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::FileMissing { .. } | Self::TokenizerMissing { .. } | Self::GraphFileMissing { .. } => {
                ErrorKind::NotFound
            }
            Self::Read { .. } | Self::Write { .. } => ErrorKind::Unavailable,
            Self::Unsupported { .. }
            | Self::HeadMissing { .. }
            | Self::ProductUnknown { .. }
            | Self::CalibrationMissing { .. }
            | Self::CalibrationRange { .. }
            | Self::CalibrationTexts { .. }
            | Self::TooLarge { .. }
            | Self::GraphUnsupported { .. } => ErrorKind::InvalidInput,
            Self::PathOutside { .. }
            | Self::TokenizerSource { .. }
            | Self::Pointer { .. }
            | Self::TokenizerSyntax { .. }
            | Self::TokenBeyondTable { .. }
            | Self::GraphDamaged { .. }
            | Self::GraphTensor { .. }
            | Self::GraphNode { .. }
            | Self::GraphInterface { .. }
            | Self::ConfigSyntax { .. }
            | Self::ConfigMissing { .. }
            | Self::ConfigValue { .. }
            | Self::Container { .. }
            | Self::IndexSyntax { .. }
            | Self::ShardLacks { .. }
            | Self::TensorTwice { .. }
            | Self::TensorMissing { .. }
            | Self::TensorShape { .. }
            | Self::TensorType { .. }
            | Self::TensorNotFinite { .. }
            | Self::LayerBeyondConfig { .. } => ErrorKind::Corrupted,
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
