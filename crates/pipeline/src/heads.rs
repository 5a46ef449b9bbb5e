//! Opens a model for a head. A graph that an installed model does not have yet is made from its checkpoint on first use.

use std::fs;

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, TextTokenizer};
use berth_types::Head;
use serde_json::Value;

use crate::encoding::{DEFAULT_MODEL, Prepared, opened, options_for, prepare};
use crate::{EncoderChoice, Error, Home, models};

/// Opens the model that `choice` names for `head`; of hidden states and attention only `layers` where it names some.
///
/// A graph that is missing is made from the checkpoint, which takes seconds and happens once.
///
/// # Errors
/// A model that is not installed or damaged, one whose checkpoint is gone (`CheckpointGone`) or has no weights for the
/// head, a runtime that cannot be loaded.
pub fn open_head(
    home: &Home,
    choice: &EncoderChoice,
    head: Head,
    layers: Option<Vec<usize>>,
) -> Result<Encoder, Error> {
    let model = models::installed(home, choice.model.as_deref().unwrap_or(DEFAULT_MODEL))?;
    check_layers(&model, head, layers.as_deref().unwrap_or_default())?;
    let options = EncoderOptions { head, layers, ..options_for(home, choice) };
    let Prepared { model, runtime, options } = prepare(home, model, options)?;
    opened(home, Encoder::open(&model, &runtime, &options), &model)
}

/// The tokenizer of an installed model alone, without its graph.
///
/// # Errors
/// A model that is not installed or damaged.
pub fn open_tokenizer(home: &Home, model: Option<&str>) -> Result<TextTokenizer, Error> {
    let model = models::installed(home, model.unwrap_or(DEFAULT_MODEL))?;
    Ok(TextTokenizer::of(&model, Head::Sentence)?)
}

/// Refuses numbers of layers that stand twice, or that the model does not have, as far as its `config.json` tells.
fn check_layers(model: &InstalledModel, head: Head, layers: &[usize]) -> Result<(), Error> {
    let Some(&highest) = layers.iter().max() else { return Ok(()) };
    if let Some((place, twice)) = layers.iter().enumerate().find(|(place, layer)| layers[..*place].contains(layer)) {
        return Err(Error::InvalidSettings(format!("layer {twice} is named twice, again at place {}", place + 1)));
    }
    let path = model.dir().join("config.json");
    let config = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let count = ["num_hidden_layers", "n_layers"].iter().find_map(|name| config.as_ref()?[name].as_u64());
    // Hidden states count the embeddings as number 0.
    let last = count.map(|count| if head == Head::Layers { count } else { count.saturating_sub(1) });
    match last {
        Some(last) if highest as u64 > last => {
            let name = &model.card().name;
            Err(Error::InvalidSettings(format!("'{name}' has no layer {highest} for {head}; the last one is {last}")))
        }
        _ => Ok(()),
    }
}
