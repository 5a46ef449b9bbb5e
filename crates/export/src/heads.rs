//! What stands on the encoder: one head a graph, with the outputs that `Head` documents.

use std::path::Path;

use berth_types::{Head, Pooling};

use crate::assembly::{Assembly, Linear, Norm};
use crate::checkpoint::Weights;
use crate::dense::Step;
use crate::export::ExportOptions;
use crate::family::Family;
use crate::graph::{Length, Setting, Value};
use crate::modern::Modern;
use crate::onnx::Element;
use crate::sentence::Modules;
use crate::shape::{Activation, Shape};
use crate::trunk::{Trunk, Wanted};
use crate::{Error, pool};

const BATCH: Length = Length::Named("batch");
const SEQUENCE: Length = Length::Named("sequence");
/// The projection of ColBERT's own checkpoints.
const LATE_PROJECTION: &str = "linear.weight";

/// Names of a masked language model's head.
struct MaskedNames {
    dense: &'static str,
    norm: &'static str,
    activation: Option<Activation>,
    /// Candidates; the word table where none is there, because the two are tied.
    decoder: &'static [&'static str],
    /// Candidates; where both are there and differ, the decoder's own is the one that is added.
    bias: &'static [&'static str],
}

/// The hidden layer between the first token's state and a classifier.
struct Classifier {
    hidden: (String, Activation),
    output: &'static str,
}

/// What the head needs of the encoder.
pub(crate) fn wanted(options: &ExportOptions) -> Wanted {
    match options.head {
        Head::Attention => Wanted::Attentions,
        Head::Classify => Wanted::First,
        Head::Sentence if options.pooling == Pooling::Cls && !options.token_embeddings => Wanted::First,
        _ => Wanted::States,
    }
}

/// Adds the head to `trunk` and declares its outputs.
///
/// # Errors
/// `HeadMissing` when the checkpoint has no weights for it, or what is wrong with a tensor.
pub(crate) fn build(
    assembly: &mut Assembly<'_>,
    shape: &Shape,
    trunk: &Trunk,
    (options, modules, checkpoint): (&ExportOptions, &Modules, &Path),
) -> Result<(), Error> {
    check(assembly.weights, shape, modules, options.head, checkpoint)?;
    let graph = &mut assembly.graph;
    match options.head {
        Head::Sentence => {
            sentence(assembly, shape, trunk, options, &modules.steps);
            if options.token_embeddings {
                token_embeddings(assembly, shape, trunk);
            }
        }
        Head::Tokens => token_embeddings(assembly, shape, trunk),
        Head::Layers => {
            for (number, states) in trunk.states.iter().enumerate() {
                let output = graph.node("Identity", &[states], &format!("hidden_states.{number}"), &[]);
                graph.output(&output, &[BATCH, SEQUENCE, Length::Fixed(shape.hidden)]);
            }
        }
        Head::Attention => {
            for (number, weights) in trunk.attentions.iter().enumerate() {
                let output = graph.node("Identity", &[weights], &format!("attentions.{number}"), &[]);
                graph.output(&output, &[BATCH, Length::Fixed(shape.heads), SEQUENCE, SEQUENCE]);
            }
        }
        Head::FillMask => {
            let positions = graph.input("positions", Element::I64, &["count"]);
            let chosen = graph.node("Gather", &[trunk.last(), &positions], "head.chosen", &[Setting::Int("axis", 1)]);
            masked_logits(assembly, shape, &chosen, "logits")?;
            let vocabulary = Length::Fixed(shape.vocabulary);
            assembly.graph.output("logits", &[BATCH, Length::Named("count"), vocabulary]);
        }
        Head::Sparse => {
            let logits = masked_logits(assembly, shape, trunk.last(), "head.logits")?;
            sparse(assembly, &logits, shape);
        }
        Head::Classify => classify(assembly, shape, trunk)?,
        Head::Entities => {
            let labels = labels(assembly.weights, "classifier.weight");
            let states = match &shape.modern {
                Some(modern) => modern_head(assembly, shape, modern, trunk.last())?,
                None => trunk.last().to_owned(),
            };
            let linear = Linear { name: "classifier", inputs: shape.hidden, outputs: labels, bias: true };
            assembly.exact(linear, &states, "logits")?;
            assembly.graph.output("logits", &[BATCH, SEQUENCE, Length::Fixed(labels)]);
        }
        Head::Late => late(assembly, shape, trunk, &modules.token_steps)?,
        // `Head` may grow.
        head => unreachable!("check() refuses {head}"),
    }
    Ok(())
}

/// Heads for which the checkpoint has what they need.
pub(crate) fn available(weights: &Weights<'_>, shape: &Shape, modules: &Modules) -> Vec<Head> {
    let serves = |head| telling_tensor(weights, shape, modules, head).is_none_or(|tensor| weights.has(&tensor));
    Head::ALL.into_iter().filter(|&head| serves(head)).collect()
}

/// The tensor whose presence tells that a checkpoint has a head; none for heads that need no weights of their own.
fn telling_tensor(weights: &Weights<'_>, shape: &Shape, modules: &Modules, head: Head) -> Option<String> {
    let tensor = match head {
        Head::Sentence | Head::Tokens | Head::Layers | Head::Attention => return None,
        Head::Late if !modules.token_steps.is_empty() => return None,
        Head::FillMask | Head::Sparse if shape.family == Family::ModernBert => "decoder.bias".to_owned(),
        Head::FillMask | Head::Sparse => format!("{}.weight", masked_names(shape).dense),
        Head::Classify => {
            let classifier = classifier(weights, shape);
            let output = format!("{}.weight", classifier.output);
            if weights.has(&output) { format!("{}.weight", classifier.hidden.0) } else { output }
        }
        Head::Entities => "classifier.weight".to_owned(),
        _ => LATE_PROJECTION.to_owned(),
    };
    Some(tensor)
}

/// # Errors
/// `HeadMissing` when the checkpoint has no weights for `head`.
pub(crate) fn check(
    weights: &Weights<'_>,
    shape: &Shape,
    modules: &Modules,
    head: Head,
    checkpoint: &Path,
) -> Result<(), Error> {
    match telling_tensor(weights, shape, modules, head) {
        Some(tensor) if !weights.has(&tensor) => {
            let available = available(weights, shape, modules);
            Err(Error::HeadMissing { path: checkpoint.to_owned(), head, tensor, available })
        }
        _ => Ok(()),
    }
}

/// Scores that a head of labels gives; none when the checkpoint has no such head.
pub(crate) fn label_count(weights: &Weights<'_>, shape: &Shape, head: Head) -> Option<usize> {
    let tensor = match head {
        Head::Classify => format!("{}.weight", classifier(weights, shape).output),
        Head::Entities => "classifier.weight".to_owned(),
        _ => return None,
    };
    weights.shape(&tensor)?.first().copied()
}

/// Values in a token's vector for late interaction.
pub(crate) fn late_width(weights: &Weights<'_>, modules: &Modules) -> usize {
    modules.token_steps.last().map_or_else(|| labels(weights, LATE_PROJECTION), |step| step.outputs)
}

/// Rows of the matrix `tensor`, which its presence was checked for: the number of labels or dimensions.
fn labels(weights: &Weights<'_>, tensor: &str) -> usize {
    weights.shape(tensor).and_then(|shape| shape.first().copied()).unwrap_or_default()
}

fn sentence(assembly: &mut Assembly<'_>, shape: &Shape, trunk: &Trunk, options: &ExportOptions, steps: &[Step]) {
    let output = "sentence_embedding";
    let pooled = pool::pool(&mut assembly.graph, options.pooling, trunk.last(), "pooled");
    let vectors = dense(assembly, steps, pooled);
    let width = steps.last().map_or(shape.hidden, |step| step.outputs);
    if options.normalize {
        pool::normalize(&mut assembly.graph, &vectors, output);
    } else {
        assembly.graph.node("Identity", &[&vectors], output, &[]);
    }
    assembly.graph.output(output, &[BATCH, Length::Fixed(width)]);
}

/// `Dense` modules one after the other, over the last axis of `values`.
fn dense(assembly: &mut Assembly<'_>, steps: &[Step], mut values: Value) -> Value {
    for (number, step) in steps.iter().enumerate() {
        let at = format!("dense.{number}");
        let linear = Linear { name: &at, inputs: step.inputs, outputs: step.outputs, bias: step.bias.is_some() };
        values = assembly.exact_values(linear, &step.weight, step.bias.as_deref(), &values, &format!("{at}.output"));
        if let Some(activation) = step.activation {
            values = assembly.activation(activation, &values, &format!("{at}.bent"));
        }
    }
    values
}

/// A vector of unit norm for each token: by the modules that say how, else by the projection among the weights.
fn late(assembly: &mut Assembly<'_>, shape: &Shape, trunk: &Trunk, steps: &[Step]) -> Result<(), Error> {
    let (vectors, dimensions) = if let Some(last) = steps.last() {
        (dense(assembly, steps, trunk.last().to_owned()), last.outputs)
    } else {
        let dimensions = labels(assembly.weights, LATE_PROJECTION);
        let linear = Linear { name: "linear", inputs: shape.hidden, outputs: dimensions, bias: false };
        (assembly.exact(linear, trunk.last(), "head.vectors")?, dimensions)
    };
    pool::normalize(&mut assembly.graph, &vectors, "token_vectors");
    assembly.graph.output("token_vectors", &[BATCH, SEQUENCE, Length::Fixed(dimensions)]);
    Ok(())
}

fn token_embeddings(assembly: &mut Assembly<'_>, shape: &Shape, trunk: &Trunk) {
    let output = assembly.graph.node("Identity", &[trunk.last()], "token_embeddings", &[]);
    assembly.graph.output(&output, &[BATCH, SEQUENCE, Length::Fixed(shape.hidden)]);
}

fn masked_names(shape: &Shape) -> MaskedNames {
    let gelu = Some(Activation::Gelu);
    match shape.family {
        Family::Bert => MaskedNames {
            dense: "cls.predictions.transform.dense",
            norm: "cls.predictions.transform.LayerNorm",
            activation: None,
            decoder: &["cls.predictions.decoder.weight"],
            bias: &["cls.predictions.decoder.bias", "cls.predictions.bias"],
        },
        Family::Roberta | Family::Mpnet => MaskedNames {
            dense: "lm_head.dense",
            norm: "lm_head.layer_norm",
            activation: gelu,
            decoder: &["lm_head.decoder.weight"],
            bias: &["lm_head.decoder.bias", "lm_head.bias"],
        },
        Family::DistilBert => MaskedNames {
            dense: "vocab_transform",
            norm: "vocab_layer_norm",
            activation: None,
            decoder: &["vocab_projector.weight"],
            bias: &["vocab_projector.bias"],
        },
        Family::Albert => MaskedNames {
            dense: "predictions.dense",
            norm: "predictions.LayerNorm",
            activation: None,
            decoder: &["predictions.decoder.weight"],
            bias: &["predictions.decoder.bias", "predictions.bias"],
        },
        Family::Electra => MaskedNames {
            dense: "generator_predictions.dense",
            norm: "generator_predictions.LayerNorm",
            activation: gelu,
            decoder: &["generator_lm_head.weight"],
            bias: &["generator_lm_head.bias"],
        },
        Family::ModernBert => MaskedNames {
            dense: "head.dense",
            norm: "head.norm",
            activation: None,
            decoder: &["decoder.weight"],
            bias: &["decoder.bias"],
        },
    }
}

/// Scores of the vocabulary for `states`, `[…, vocabulary]`.
fn masked_logits(assembly: &mut Assembly<'_>, shape: &Shape, states: &str, output: &str) -> Result<Value, Error> {
    let names = masked_names(shape);
    // The head works in the width of the word table where that is another one.
    let width = shape.embedding;
    let states = if let Some(modern) = &shape.modern {
        modern_head(assembly, shape, modern, states)?
    } else {
        let dense = Linear { name: names.dense, inputs: shape.hidden, outputs: width, bias: true };
        let turned = assembly.linear(dense, states, "head.dense")?;
        let bent = assembly.activation(names.activation.unwrap_or(shape.activation), &turned, "head.bent");
        let norm = Norm { name: names.norm, width, epsilon: shape.epsilon, bias: true };
        assembly.norm(norm, &bent, "head.states")?
    };

    let weights = assembly.weights;
    let word_table = weights.full(shape.family.word_table());
    let decoder = names.decoder.iter().copied().find(|name| weights.has(name)).unwrap_or(&word_table);
    let bias = names.bias.iter().copied().find(|name| weights.has(name)).unwrap_or(names.bias[0]);
    let matrix = weights.values(decoder, &[shape.vocabulary, width])?;
    let bias = match &shape.modern {
        Some(modern) if !modern.decoder_bias => vec![0.0; shape.vocabulary],
        _ => weights.values(bias, &[shape.vocabulary])?,
    };
    let linear = Linear { name: "head.decoder", inputs: width, outputs: shape.vocabulary, bias: true };
    assembly.product_of(linear, &matrix, &bias, &states, output)
}

/// `max over real tokens of log(1 + relu(logits))`. The maximum comes first: both functions rise with their argument.
fn sparse(assembly: &mut Assembly<'_>, logits: &str, shape: &Shape) {
    let graph = &mut assembly.graph;
    let largest = pool::pool(graph, Pooling::Max, logits, "head.largest");
    let positive = graph.node("Relu", &[&largest], "head.positive", &[]);
    let one = graph.f32("constant.one_f32", &[], &[1.0]);
    let shifted = graph.node("Add", &[&positive, &one], "head.shifted", &[]);
    let output = graph.node("Log", &[&shifted], "sparse_embedding", &[]);
    graph.output(&output, &[BATCH, Length::Fixed(shape.vocabulary)]);
}

fn classifier(weights: &Weights<'_>, shape: &Shape) -> Classifier {
    let (hidden, activation, output) = match shape.family {
        Family::Bert => (weights.full("pooler.dense"), Activation::Tanh, "classifier"),
        Family::Albert => (weights.full("pooler"), Activation::Tanh, "classifier"),
        Family::DistilBert => ("pre_classifier".to_owned(), Activation::Relu, "classifier"),
        Family::Roberta | Family::Mpnet => ("classifier.dense".to_owned(), Activation::Tanh, "classifier.out_proj"),
        Family::Electra => ("classifier.dense".to_owned(), Activation::Gelu, "classifier.out_proj"),
        Family::ModernBert => {
            let modern = shape.modern.as_ref().map_or(Activation::Gelu, |modern| modern.classifier_activation);
            ("head.dense".to_owned(), modern, "classifier")
        }
    };
    Classifier { hidden: (hidden, activation), output }
}

fn classify(assembly: &mut Assembly<'_>, shape: &Shape, trunk: &Trunk) -> Result<(), Error> {
    let classifier = classifier(assembly.weights, shape);
    let mean = shape.modern.as_ref().is_some_and(|modern| modern.classifier_mean);
    let pooling = if mean { Pooling::Mean } else { Pooling::Cls };
    let pooled = pool::pool(&mut assembly.graph, pooling, trunk.last(), "head.pooled");
    let states = if let Some(modern) = &shape.modern {
        modern_head(assembly, shape, modern, &pooled)?
    } else {
        let (name, activation) = &classifier.hidden;
        let linear = Linear { name, inputs: shape.hidden, outputs: shape.hidden, bias: true };
        let turned = assembly.exact(linear, &pooled, "head.dense")?;
        assembly.activation(*activation, &turned, "head.bent")
    };
    let labels = labels(assembly.weights, &format!("{}.weight", classifier.output));
    let linear = Linear { name: classifier.output, inputs: shape.hidden, outputs: labels, bias: true };
    assembly.exact(linear, &states, "logits")?;
    assembly.graph.output("logits", &[BATCH, Length::Fixed(labels)]);
    Ok(())
}

/// What ModernBERT puts between its encoder and any head that predicts: a product, a nonlinearity and a norm.
fn modern_head(assembly: &mut Assembly<'_>, shape: &Shape, modern: &Modern, states: &str) -> Result<Value, Error> {
    let width = shape.hidden;
    let dense = Linear { name: "head.dense", inputs: width, outputs: width, bias: modern.classifier_bias };
    let turned = assembly.exact(dense, states, "head.turned")?;
    let bent = assembly.activation(modern.classifier_activation, &turned, "head.bent");
    let norm = Norm { name: "head.norm", width, epsilon: shape.epsilon, bias: modern.norm_bias };
    assembly.norm(norm, &bent, "head.states")
}
