//! What the inputs and outputs of a foreign graph are, from their names, types and shapes.
//!
//! Names are those that optimum, sentence-transformers, text-embeddings-inference, fastembed, tf2onnx and the exports of
//! the TensorFlow hub use. What stays unclear is refused by name: a wrong guess would be a wrong vector.

use std::path::Path;

use berth_types::{Head, InputMeaning};

use super::ElementType;
use super::schema::{Graph, Kind, Length, ValueInfo};
use super::tensor::shown;
use crate::Error;

/// Outputs narrower than this could as well be scores of labels. The narrowest published sentence encoder has 64.
const NARROWEST_STATE: usize = 32;

/// An input or output as the graph declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphValue {
    /// Its name.
    pub name: String,
    /// Type of its values.
    pub element: ElementType,
    /// Its shape, where the graph states one; open lengths are none.
    pub shape: Option<Vec<Option<u64>>>,
}

/// The output that is read, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphRole {
    /// Name of the output.
    pub output: String,
    /// What it holds.
    pub head: Head,
    /// Lengths in its shape.
    pub rank: usize,
    /// Values in its last axis; none where that is open.
    pub width: Option<usize>,
}

impl GraphValue {
    fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(Vec::len)
    }

    fn width(&self) -> Option<usize> {
        self.shape.as_ref()?.last().copied().flatten().map(|width| width as usize)
    }

    /// Name, type and shape, for messages.
    fn described(&self) -> String {
        let lengths = self.shape.as_ref().map_or_else(
            || "of unknown shape".to_owned(),
            |shape| {
                let length = |length: &Option<u64>| length.map_or_else(|| "?".to_owned(), |length| length.to_string());
                format!("[{}]", shape.iter().map(length).collect::<Vec<_>>().join(", "))
            },
        );
        format!("{} {} {lengths}", shown(&self.name), self.element)
    }
}

/// The inputs that have to be filled, each with its meaning. Those with a default are left out.
///
/// # Errors
/// `GraphInterface` for an input of unknown name, another type than int32 or int64, or another rank than 2, and when two
/// inputs mean the same or none takes ids.
pub(super) fn inputs(path: &Path, graph: &Graph<'_>) -> Result<Vec<(GraphValue, InputMeaning)>, Error> {
    let refused = |problem: String| Error::GraphInterface { path: path.to_owned(), problem };
    let mut inputs: Vec<(GraphValue, InputMeaning)> = Vec::new();
    for input in &graph.inputs {
        if graph.initializers.iter().any(|initializer| initializer.name == input.name) {
            continue;
        }
        let value = value(input).map_err(|problem| refused(format!("the input {problem}")))?;
        let described = value.described();
        let Some(meaning) = input_meaning(&value.name) else {
            return Err(refused(format!("nothing is known to put into the input {described}")));
        };
        if !matches!(value.element, ElementType::I32 | ElementType::I64) {
            return Err(refused(format!("the input {described} does not hold 32-bit or 64-bit integers")));
        }
        if value.rank().is_some_and(|rank| rank != 2) {
            return Err(refused(format!("the input {described} is not of shape [batch, sequence]")));
        }
        if let Some((other, _)) = inputs.iter().find(|(_, other)| *other == meaning) {
            let other = shown(&other.name);
            return Err(refused(format!("the inputs {other} and {} mean the same", shown(&value.name))));
        }
        inputs.push((value, meaning));
    }
    if !inputs.iter().any(|(_, meaning)| *meaning == InputMeaning::Ids) {
        return Err(refused("no input takes token ids".to_owned()));
    }
    Ok(inputs)
}

fn input_meaning(name: &str) -> Option<InputMeaning> {
    // TensorFlow numbers the outputs of its operators.
    let name = name.strip_suffix(":0").unwrap_or(name);
    Some(match name {
        "input_ids" | "input.1" | "ids" | "token_ids" | "tokens" | "input_word_ids" => InputMeaning::Ids,
        "attention_mask" | "input_mask" | "mask" => InputMeaning::Mask,
        "token_type_ids" | "segment_ids" | "input_type_ids" | "type_ids" => InputMeaning::Types,
        "position_ids" => InputMeaning::Positions,
        _ => return None,
    })
}

/// All outputs as declared.
///
/// # Errors
/// `GraphInterface` for an output that is no tensor.
pub(super) fn outputs(path: &Path, graph: &Graph<'_>) -> Result<Vec<GraphValue>, Error> {
    let refused = |problem| Error::GraphInterface { path: path.to_owned(), problem: format!("the output {problem}") };
    graph.outputs.iter().map(|output| value(output).map_err(refused)).collect()
}

/// Finds the output to read.
///
/// # Errors
/// `GraphInterface` when names and shapes leave it open, listing the outputs.
pub(super) fn role(path: &Path, outputs: &[GraphValue], vocabulary: Option<u64>) -> Result<GraphRole, Error> {
    let refused = |problem: &str| {
        let outputs = outputs.iter().map(GraphValue::described).collect::<Vec<_>>().join(", ");
        Error::GraphInterface { path: path.to_owned(), problem: format!("{problem}; its outputs: {outputs}") }
    };
    let named = |names: &[&str]| outputs.iter().find(|output| names.contains(&plain(&output.name)));
    let sentence = named(&["sentence_embedding", "sentence_embeddings", "text_embeds", "text_embedding"]);
    let embeddings = named(&["embeddings", "embedding"]);
    let tokens = named(&["token_embeddings", "last_hidden_state", "last_hidden_states"]);
    let read = |output: &GraphValue, head: Head, rank: usize| {
        if !matches!(output.element, ElementType::F32 | ElementType::F16) {
            return Err(refused(&format!("{} does not hold 32-bit or 16-bit floats", output.described())));
        }
        if output.rank().is_some_and(|found| found != rank) {
            return Err(refused(&format!("{} is not of rank {rank}, as its name says", output.described())));
        }
        Ok(GraphRole { output: output.name.clone(), head, rank, width: output.width() })
    };
    if let Some(logits) = named(&["logits"]) {
        return match (logits.rank(), logits.width(), vocabulary) {
            (Some(2), ..) => read(logits, Head::Classify, 2),
            (Some(3), Some(width), Some(rows)) if width as u64 * 2 >= rows => read(logits, Head::FillMask, 3),
            (Some(3), Some(_), Some(_)) => read(logits, Head::Entities, 3),
            _ => Err(refused("it is not clear whether its logits are of texts, tokens or the vocabulary")),
        };
    }
    if let Some(output) = sentence {
        return read(output, Head::Sentence, 2);
    }
    if let Some(output) = tokens {
        return read(output, Head::Tokens, 3);
    }
    match embeddings.map(|output| (output, output.rank())) {
        Some((output, Some(3))) => return read(output, Head::Tokens, 3),
        Some((output, Some(2))) => return read(output, Head::Sentence, 2),
        _ => {}
    }
    by_shape(outputs, vocabulary).map_or_else(
        || Err(refused("it is not clear which of its outputs is an embedding")),
        |(output, head, rank)| read(output, head, rank),
    )
}

/// An output whose name says nothing, where shapes leave one reading: one alone, or states of tokens beside vectors of
/// texts of the same width, as `BertModel` gives them. Outputs of integers are inputs that were passed through.
fn by_shape(outputs: &[GraphValue], vocabulary: Option<u64>) -> Option<(&GraphValue, Head, usize)> {
    let labels = |width: usize| vocabulary.is_some_and(|rows| width as u64 * 2 >= rows);
    let wide_enough =
        |output: &GraphValue| output.width().is_some_and(|width| width >= NARROWEST_STATE && !labels(width));
    let floats: Vec<&GraphValue> = outputs.iter().filter(|output| output.element.is_float()).collect();
    let (states, others): (Vec<&GraphValue>, Vec<&GraphValue>) =
        floats.iter().partition(|output| output.rank() == Some(3));
    match (&states[..], &others[..]) {
        ([], [only]) if only.rank() == Some(2) && wide_enough(only) => Some((only, Head::Sentence, 2)),
        ([states], others) if wide_enough(states) => {
            let of_texts = |other: &&GraphValue| {
                other.rank() == Some(2) && other.width().is_none_or(|width| Some(width) == states.width())
            };
            others.iter().all(of_texts).then_some((*states, Head::Tokens, 3))
        }
        _ => None,
    }
}

fn plain(name: &str) -> &str {
    name.strip_suffix(":0").unwrap_or(name)
}

fn value(info: &ValueInfo<'_>) -> Result<GraphValue, String> {
    let name = info.name.unwrap_or_default();
    let (element, lengths) = match &info.kind {
        Some(Kind::Tensor { element, lengths }) => (*element, lengths),
        Some(Kind::Other(kind)) => return Err(format!("{} is {kind}, not a tensor", shown(name))),
        None => return Err(format!("{} has no type", shown(name))),
    };
    let Some(element) = ElementType::from_code(element) else {
        return Err(format!("{} has element type {element}, which is not supported", shown(name)));
    };
    // Some exporters write -1 or 0 for a length that is open.
    let open = |length: &Length<'_>| match length {
        Length::Fixed(length) => u64::try_from(*length).ok().filter(|&length| length > 0),
        Length::Named(_) | Length::Open => None,
    };
    let shape = lengths.as_ref().map(|lengths| lengths.iter().map(open).collect());
    Ok(GraphValue { name: name.to_owned(), element, shape })
}
