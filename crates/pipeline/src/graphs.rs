//! Graphs of further heads: made on first use from the checkpoint that the model was installed from.

use std::path::PathBuf;

use berth_encoder::{FileState, InstalledModel};
use berth_export::{ExportOptions, export};
use berth_types::{Head, Precision};

use crate::checkpoint::{check_hashes, find_checkpoint};
use crate::{Error, Home};

/// The model with its graph for `head`, which is exported when it is not there yet.
///
/// # Errors
/// `CheckpointNotFound` when the checkpoint is gone, `WrongHash` when it is another one, `DamagedModel`, or what the
/// exporter refuses.
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
    let card = model.card();
    // The list of files is written anew: what was damaged must not enter it.
    if let Some(damaged) = model.verify()?.into_iter().find(|verdict| verdict.state != FileState::Ok) {
        return Err(Error::DamagedModel { name: card.name.clone(), path: model.dir().join(damaged.path) });
    }
    let checkpoint = match card.source.folder.as_str() {
        "" => find_checkpoint(home, card, None)?,
        folder => find_checkpoint(home, card, Some(&PathBuf::from(folder)))?,
    };
    check_hashes(card, &checkpoint)?;
    let options =
        ExportOptions { head, precision, pooling: card.pooling, normalize: card.normalize, ..ExportOptions::default() };
    export(&checkpoint, &options, &model.dir().join(file))?;
    Ok(InstalledModel::seal(model.dir(), card, model.exporter())?)
}
