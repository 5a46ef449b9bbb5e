//! What a checkpoint folder says of itself. Nothing is written, and of the weights only names and shapes are read.

use std::path::Path;

use berth_types::{Head, LateCard, Pooling, Problem, Prompts, ReadyMade};
use serde_json::Value;

use crate::checkpoint::Weights;
use crate::export::CONFIG;
use crate::paths::inside;
use crate::sentence::{Kind, Modules};
use crate::shape::Shape;
use crate::shards::WeightsFiles;
use crate::{Error, files, heads, labels, late, manners, sentence};

/// Endings of `architectures` whose heads are not run; their checkpoints have no other use.
const OTHER_HEADS: [&str; 3] = ["ForQuestionAnswering", "ForMultipleChoice", "ForNextSentencePrediction"];
const HEADS: &[&str] = &[
    "…Model",
    "…ForMaskedLM",
    "…ForPreTraining",
    "…ForSequenceClassification",
    "…ForTokenClassification",
    "HF_ColBERT",
];
/// Fields of a `config.json` of any family that hold the width of the states, and the most positions.
const WIDTHS: [&str; 4] = ["hidden_size", "dim", "d_model", "n_embd"];
const POSITIONS: [&str; 4] = ["max_position_embeddings", "n_positions", "max_trained_positions", "max_seq_len"];

/// What a checkpoint folder says of itself.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Inspection {
    /// `model_type` of `config.json`.
    pub model_type: String,
    /// What the model was trained for.
    pub head: Head,
    /// Heads that can be exported, in the order of [`Head::ALL`].
    pub heads: Vec<Head>,
    /// Values in a sentence embedding, after all modules.
    pub dimensions: usize,
    /// Values in a token's state; 0 where only a ready-made graph knows.
    pub hidden: usize,
    /// Transformer layers; 0 where only a ready-made graph knows.
    pub layers: usize,
    /// Attention heads; 0 where only a ready-made graph knows.
    pub attention_heads: usize,
    /// Token ids that exist; 0 where only a ready-made graph knows.
    pub vocabulary: usize,
    /// Most ids of a row.
    pub max_tokens: usize,
    /// Ids of a row that the folder recommends, at most `max_tokens`.
    pub recommended_tokens: Option<usize>,
    /// How token states become one vector.
    pub pooling: Pooling,
    /// Whether that vector is scaled to unit norm.
    pub normalize: bool,
    /// Texts before queries, passages, and whatever else the folder has a name for.
    pub prompts: Prompts,
    /// Whether text is lower-cased before the tokenizer sees it.
    pub lowercase: bool,
    /// Lengths to which a vector may be cut, the longest first.
    pub matryoshka: Vec<usize>,
    /// Labels in the order of their scores; empty unless `head` gives labels.
    pub labels: Vec<String>,
    /// How the scores of labels are read.
    pub problem: Problem,
    /// Late interaction, where `head` is that.
    pub late: Option<LateCard>,
    /// Files that make the checkpoint what it is, as paths inside the folder with `/`.
    pub files: Vec<String>,
}

/// Reads what the folder `checkpoint` says of itself.
///
/// # Errors
/// What is wrong with a file, or what is not supported, by name.
pub fn inspect(checkpoint: &Path) -> Result<Inspection, Error> {
    let config_path = inside(checkpoint, CONFIG)?;
    let shape = Shape::read(&config_path)?;
    let config = sentence::read_json(checkpoint, CONFIG)?.unwrap_or_default();
    let weights_files = WeightsFiles::open(checkpoint)?;
    let weights = Weights::read(&weights_files, shape.family.word_table())?;
    let modules = sentence::read(checkpoint, shape.hidden)?;

    let mut available = heads::available(&weights, &shape, &modules);
    let head = main_head(checkpoint, &config, &modules, &available)?;
    heads::check(&weights, &shape, &modules, head, checkpoint)?;
    // Both kinds of classifier call their weights the same.
    match head {
        Head::Classify => available.retain(|&other| other != Head::Entities),
        Head::Entities => available.retain(|&other| other != Head::Classify),
        _ => {}
    }
    let manners = manners::read(checkpoint, &config)?;
    check_prompts(checkpoint, &modules, &manners.prompts)?;
    let count = heads::label_count(&weights, &shape, head);
    let mut recommended = manners.recommended_tokens;
    let mut late_card = None;
    if head == Head::Late {
        let (card, window) = late::read(checkpoint, &modules, heads::late_width(&weights, &modules))?;
        recommended = window.or(recommended);
        late_card = Some(card);
    }
    let dimensions = modules.steps.last().map_or(shape.hidden, |step| step.outputs);
    check_matryoshka(checkpoint, &manners.matryoshka, dimensions)?;
    Ok(Inspection {
        model_type: config["model_type"].as_str().unwrap_or_default().to_owned(),
        head,
        heads: available,
        dimensions,
        hidden: shape.hidden,
        layers: shape.layers,
        attention_heads: shape.heads,
        vocabulary: shape.vocabulary,
        max_tokens: shape.max_tokens(),
        recommended_tokens: recommended.map(|tokens| tokens.min(shape.max_tokens())),
        pooling: modules.pooling,
        normalize: modules.normalize,
        // The markers of late interaction stand in its own card.
        prompts: if head == Head::Late { Prompts::default() } else { manners.prompts },
        lowercase: manners.lowercase,
        matryoshka: manners.matryoshka,
        labels: count.map(|count| labels::read(checkpoint, &config, count)).transpose()?.unwrap_or_default(),
        problem: count.map(|count| labels::problem(checkpoint, &config, count)).transpose()?.unwrap_or_default(),
        late: late_card,
        files: files::identifying(checkpoint, &modules, &weights_files.names(checkpoint)),
    })
}

/// Reads what a folder says whose graphs others exported: of any family, and without weights of its own.
///
/// # Errors
/// As [`inspect`]; `ConfigMissing` where neither graph nor files tell a size, `Unsupported` where the folder has modules
/// after the pooling that such a graph leaves out.
pub fn inspect_ready_made(folder: &Path, ready: &ReadyMade) -> Result<Inspection, Error> {
    let path = inside(folder, CONFIG)?;
    let config =
        sentence::read_json(folder, CONFIG)?.ok_or_else(|| Error::FileMissing { path: path.clone(), hint: None })?;
    let size = |fields: &[&str]| fields.iter().find_map(|field| config[*field].as_u64()).filter(|&size| size > 0);
    let shape = Shape::read(&path).ok();
    let hidden = ready.width.or(size(&WIDTHS).map(|size| size as usize));
    let labelled = matches!(ready.head, Head::Classify | Head::Entities);
    let missing = |field| Error::ConfigMissing { path: path.clone(), field };
    let width = hidden.ok_or_else(|| missing("hidden_size"))?;
    let modules = sentence::read(folder, size(&WIDTHS).map_or(width, |size| size as usize))?;
    let head = if ready.head == Head::Tokens { Head::Sentence } else { ready.head };
    if ready.head == Head::Tokens && !modules.steps.is_empty() {
        let (path, value) = (folder.join(sentence::MODULES), "Dense".to_owned());
        let supported = &["Transformer", "Pooling", "Normalize"];
        return Err(Error::Unsupported { path, field: "type", value, supported });
    }
    let manners = manners::read(folder, &config)?;
    check_prompts(folder, &modules, &manners.prompts)?;
    let limit = match &shape {
        Some(shape) => Some(shape.max_tokens()),
        None => size(&POSITIONS).map(|size| size as usize).or(manners.recommended_tokens),
    };
    let max_tokens = limit.ok_or_else(|| missing("max_position_embeddings"))?;
    let count = match ready.width.or_else(|| labels::named(&config)) {
        Some(count) if labelled => Some(count),
        None if labelled => return Err(missing("id2label")),
        _ => None,
    };
    let mut names: Vec<String> = ready.graphs.values().chain(&ready.external).cloned().collect();
    names.sort_unstable();
    let late_card = match head {
        Head::Late => Some(late::read(folder, &modules, width)?),
        _ => None,
    };
    let (late_card, late_window) = late_card.map_or((None, None), |(card, window)| (Some(card), window));
    let recommended = late_window.or(manners.recommended_tokens).map(|tokens| tokens.min(max_tokens));
    Ok(Inspection {
        model_type: config["model_type"].as_str().unwrap_or_default().to_owned(),
        head,
        heads: if ready.head == Head::Tokens { vec![Head::Sentence, Head::Tokens] } else { vec![head] },
        dimensions: if labelled { size(&WIDTHS).map_or(width, |size| size as usize) } else { width },
        hidden: shape.as_ref().map_or(0, |shape| shape.hidden),
        layers: shape.as_ref().map_or(0, |shape| shape.layers),
        attention_heads: shape.as_ref().map_or(0, |shape| shape.heads),
        vocabulary: shape.as_ref().map_or(0, |shape| shape.vocabulary),
        max_tokens,
        recommended_tokens: recommended,
        pooling: modules.pooling,
        normalize: modules.normalize,
        prompts: if head == Head::Late { Prompts::default() } else { manners.prompts },
        lowercase: manners.lowercase,
        matryoshka: manners.matryoshka,
        labels: count.map(|count| labels::read(folder, &config, count)).transpose()?.unwrap_or_default(),
        problem: count.map(|count| labels::problem(folder, &config, count)).transpose()?.unwrap_or_default(),
        late: late_card,
        files: files::identifying(folder, &modules, &names),
    })
}

/// What a checkpoint was trained for: by what it was saved as, else by the class that `architectures` names.
fn main_head(checkpoint: &Path, config: &Value, modules: &Modules, available: &[Head]) -> Result<Head, Error> {
    let architecture = config["architectures"][0].as_str().unwrap_or_default();
    let names = |ending: &str| architecture.ends_with(ending);
    if OTHER_HEADS.iter().any(|ending| names(ending)) {
        let (path, value) = (checkpoint.join(CONFIG), architecture.to_owned());
        return Err(Error::Unsupported { path, field: "architectures", value, supported: HEADS });
    }
    Ok(match modules.kind {
        Kind::Sentence => Head::Sentence,
        Kind::Sparse => Head::Sparse,
        Kind::Pair => Head::Classify,
        Kind::Late => Head::Late,
        Kind::Plain if architecture == "HF_ColBERT" => Head::Late,
        Kind::Plain if names("ForSequenceClassification") => Head::Classify,
        Kind::Plain if names("ForTokenClassification") => Head::Entities,
        // Encoders are often cut out of language models without a change of the name.
        Kind::Plain if names("ForMaskedLM") || names("ForPreTraining") => {
            if available.contains(&Head::FillMask) {
                Head::FillMask
            } else {
                Head::Sentence
            }
        }
        Kind::Plain => Head::Sentence,
    })
}

/// Prompts whose tokens are left out of the average would need a mask of their own.
fn check_prompts(checkpoint: &Path, modules: &Modules, prompts: &Prompts) -> Result<(), Error> {
    if modules.pools_prompt || prompts.are_empty() {
        return Ok(());
    }
    let path = checkpoint.join(sentence::MODULES);
    Err(Error::Unsupported { path, field: "include_prompt", value: "false".to_owned(), supported: &["true"] })
}

/// A vector cannot be cut to more than it has.
fn check_matryoshka(checkpoint: &Path, lengths: &[usize], dimensions: usize) -> Result<(), Error> {
    match lengths.first() {
        Some(&longest) if longest > dimensions => Err(Error::ConfigValue {
            path: checkpoint.join(sentence::SETTINGS),
            field: "matryoshka_dims".into(),
            value: longest.to_string(),
            expected: format!("at most {dimensions}, the values in a vector"),
        }),
        _ => Ok(()),
    }
}
