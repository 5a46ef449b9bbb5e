//! Graphs as their model's card says; those of further heads and precisions are made on first use, from the checkpoint
//! that the model was installed from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use berth_encoder::{FileState, InstalledModel, cpu_features};
use berth_export::{Calibration, EXPORTER_VERSION, ExportOptions, ExportReport, export};
use berth_types::{Head, ModelCard, OwnOperators, Precision};

use crate::checkpoint::{check_hashes, find_checkpoint};
use crate::chosen::kept_in;
use crate::models::remedy;
use crate::{Error, Home};

/// Held while a graph is added to a model.
const LOCK: &str = ".lock";

/// The model with its graph for `head`, which is exported when it is not there yet: the checkpoint's files are compared
/// with the hashes in the card, and the model's folder has the graph whole or not at all.
///
/// # Errors
/// `CheckpointGone` or `CheckpointNotFound` when the checkpoint is gone, `WrongHash` when it is another one,
/// `DamagedModel`, `CalibrationNeeded` for a static graph without ranges that hold, or what the exporter refuses.
pub(crate) fn with_graph(
    home: &Home,
    model: InstalledModel,
    head: Head,
    precision: Precision,
) -> Result<InstalledModel, Error> {
    let file = head.graph_file(precision);
    if model.files().contains_key(&file) || model.card().ready_made.is_some() {
        return Ok(model);
    }
    let directory = model.dir().to_path_buf();
    let lock_path = directory.join(LOCK);
    let lock = File::create(&lock_path).map_err(Error::io("write", &lock_path))?;
    lock.lock().map_err(Error::io("lock", &lock_path))?;
    // Another process may have made it while this one waited.
    let model = InstalledModel::open(&directory)?;
    if model.files().contains_key(&file) {
        return Ok(model);
    }
    let card = model.card();
    // The list of files is written anew: what was damaged must not enter it.
    if let Some(damaged) = model.verify()?.into_iter().find(|verdict| verdict.state != FileState::Ok) {
        let (name, path) = (card.name.clone(), directory.join(damaged.path));
        return Err(Error::DamagedModel { remedy: remedy(home, &name), name, path });
    }
    // Another exporter may have scaled what a product takes in.
    let ranges_hold = card.quantization.ranges.is_some() && model.exporter() == exporter();
    if precision == Precision::Int8Static && !ranges_hold {
        return Err(Error::CalibrationNeeded { model: card.name.clone() });
    }
    let checkpoint = checkpoint_of(home, &model, head)?;
    check_hashes(card, &checkpoint)?;
    let graph = directory.join(&file);
    make_graph(card, &checkpoint, (head, precision), &graph)?;
    // The name of the exporter stays: where it is not this one's, the next import makes all graphs again.
    InstalledModel::seal(&directory, card, model.exporter()).map_err(|error| {
        // A graph that the list does not name is of no use.
        let _ = fs::remove_file(&graph);
        error.into()
    })
}

/// What makes graphs here: the exporter's version, and for which kind of processor it chooses operators. Where an installed
/// model's is another, an import makes its graphs again.
pub(crate) fn exporter() -> String {
    let suffix = match cpu_features().own_operators() {
        OwnOperators::None => "",
        OwnOperators::Attention => "+attention",
        OwnOperators::Products => "+products",
    };
    format!("{EXPORTER_VERSION}{suffix}")
}

/// Writes the graph of a checkpoint to the file `out`, as `card` says.
///
/// # Errors
/// What the exporter refuses.
pub(crate) fn make_graph(
    card: &ModelCard,
    checkpoint: &Path,
    (head, precision): (Head, Precision),
    out: &Path,
) -> Result<ExportReport, Error> {
    let chosen = &card.quantization;
    let mut options = ExportOptions {
        head,
        precision,
        pooling: card.pooling,
        normalize: card.normalize,
        own_operators: cpu_features().own_operators(),
        ..ExportOptions::default()
    };
    if precision.is_quantized() {
        options.keep_fp32 = kept_in(&chosen.keep_fp32, checkpoint, head)?;
    }
    if precision == Precision::Int8Static {
        options.calibration = chosen.ranges.as_ref().map(|ranges| Calibration { ranges: ranges.products.clone() });
    }
    Ok(export(checkpoint, &options, out)?)
}

/// The folder that the model was made from.
pub(crate) fn checkpoint_of(home: &Home, model: &InstalledModel, head: Head) -> Result<PathBuf, Error> {
    let card = model.card();
    if card.source.folder.is_empty() {
        return find_checkpoint(home, card, None);
    }
    let (folder, kept) = (PathBuf::from(&card.source.folder), home.checkpoint(&card.name));
    for candidate in [&folder, &kept] {
        if candidate.join("config.json").is_file() {
            return Ok(candidate.clone());
        }
    }
    Err(Error::CheckpointGone { model: card.name.clone(), head, folder, kept })
}
