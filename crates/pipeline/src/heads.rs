//! Opens a model for a head. A graph that an installed model does not have yet is made from its checkpoint on first use.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, Runtime, TextTokenizer, default_precision};
use berth_export::{EXPORTER_VERSION, ExportOptions, export};
use berth_types::{Head, Precision};
use serde_json::Value;

use crate::checkpoint::{check_hashes, find_checkpoint};
use crate::encoding::DEFAULT_MODEL;
use crate::{EncoderChoice, Error, FileState, Home, models};

/// Held while a graph is added to a model.
const LOCK: &str = ".lock";

/// Opens the model that `choice` names for `head`; of hidden states and attention only `layers` where it names some.
///
/// A graph that is missing is made from the checkpoint, which takes seconds and happens once: the checkpoint's files are
/// compared with the hashes that the card has, and the model's folder has the graph whole or not at all.
///
/// # Errors
/// A model that is not installed or damaged, one whose checkpoint is gone (`CheckpointGone`) or has no weights for the
/// head, one that another version installed (`InstalledByAnother`), a runtime that cannot be loaded.
pub fn open_head(
    home: &Home,
    choice: &EncoderChoice,
    head: Head,
    layers: Option<Vec<usize>>,
) -> Result<Encoder, Error> {
    let mut model = models::installed(home, choice.model.as_deref().unwrap_or(DEFAULT_MODEL))?;
    check_layers(&model, head, layers.as_deref().unwrap_or_default())?;
    if model.card().ready_made.is_none() {
        let precision = choice.precision.unwrap_or_else(default_precision);
        if !model.files().contains_key(&head.graph_file(precision)) {
            model = add_graph(home, &model, head, precision)?;
        }
    }
    let options = EncoderOptions {
        precision: choice.precision,
        head,
        layers,
        workers: choice.workers,
        ..EncoderOptions::default()
    };
    let runtime = Runtime::load(&home.runtime_library())?;
    Ok(Encoder::open(&model, &runtime, &options)?)
}

/// Refuses numbers of layers that the model does not have, as far as its `config.json` tells.
fn check_layers(model: &InstalledModel, head: Head, layers: &[usize]) -> Result<(), Error> {
    let Some(&highest) = layers.iter().max() else { return Ok(()) };
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

/// The tokenizer of an installed model alone, without its graph.
///
/// # Errors
/// A model that is not installed or damaged.
pub fn open_tokenizer(home: &Home, model: Option<&str>) -> Result<TextTokenizer, Error> {
    let model = models::installed(home, model.unwrap_or(DEFAULT_MODEL))?;
    Ok(TextTokenizer::of(&model, Head::Sentence)?)
}

/// Makes the graph of `head` and returns the model with it.
fn add_graph(home: &Home, model: &InstalledModel, head: Head, precision: Precision) -> Result<InstalledModel, Error> {
    let directory = model.dir().to_path_buf();
    let lock_path = directory.join(LOCK);
    let lock = File::create(&lock_path).map_err(Error::io("write", &lock_path))?;
    lock.lock().map_err(Error::io("lock", &lock_path))?;
    // Another process may have made it while this one waited.
    let model = InstalledModel::open(&directory)?;
    let file = head.graph_file(precision);
    if model.files().contains_key(&file) {
        return Ok(model);
    }
    let card = model.card();
    if model.exporter() != EXPORTER_VERSION {
        return Err(Error::InstalledByAnother {
            model: card.name.clone(),
            found: model.exporter().to_owned(),
            own: EXPORTER_VERSION,
        });
    }
    // The list of files is written anew from what lies in the folder: that must be what was installed.
    if let Some(changed) = model.verify()?.into_iter().find(|verdict| verdict.state != FileState::Ok) {
        let path = directory.join(changed.path);
        return Err(Error::ModelDamaged { model: card.name.clone(), path });
    }
    let checkpoint = checkpoint_of(home, &model, head)?;
    check_hashes(card, &checkpoint)?;
    let (pooling, normalize) = (card.pooling, card.normalize);
    let options = ExportOptions { head, precision, pooling, normalize, ..ExportOptions::default() };
    let graph = directory.join(&file);
    export(&checkpoint, &options, &graph)?;
    InstalledModel::seal(&directory, card, EXPORTER_VERSION).map_err(|error| {
        // A graph that the list does not name is of no use.
        let _ = fs::remove_file(&graph);
        error.into()
    })
}

/// The folder that the model was made from.
fn checkpoint_of(home: &Home, model: &InstalledModel, head: Head) -> Result<PathBuf, Error> {
    let card = model.card();
    if card.source.folder.is_empty() {
        return find_checkpoint(home, card, None);
    }
    let named = Path::new(&card.source.folder);
    let kept = home.checkpoint(&card.name);
    [named, &kept].into_iter().find(|folder| folder.join("config.json").is_file()).map(Path::to_path_buf).ok_or_else(
        || Error::CheckpointGone { model: card.name.clone(), head, folder: named.to_path_buf(), kept: kept.clone() },
    )
}
