//! Installs models: a card or a local folder in, a folder of graphs that the encoder opens out.
//!
//! An installed model appears by one rename, whole or not at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_encoder::{FileState, InstalledModel};
use berth_export::{find_graphs, inside, inspect, inspect_ready_made, ready_made, ready_made_of, tokenizer_json};
use berth_types::{Head, ModelCard, Precision, ReadyMade};
use serde::Serialize;

use crate::checkpoint::{check_hashes, derive_card, find_checkpoint, name_of};
use crate::chosen::{check_names, measure, same_model, settle};
use crate::graphs::{exporter, make_graph};
use crate::models::{EMBEDDED_CARDS, embedded_cards};
use crate::{Error, Home};

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
/// Files with the weights of a checkpoint: without them a folder can only hold graphs.
const WEIGHTS: [&str; 2] = ["model.safetensors", "model.safetensors.index.json"];
/// What a model is made in when nothing else is asked for.
const DEFAULT_PRECISIONS: [Precision; 2] = [Precision::Fp32, Precision::Int8];
/// What made the graphs of a model that others exported.
const FOREIGN_EXPORTER: &str = "ready-made";

/// How a model is imported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportOptions {
    /// Folder of a card's checkpoint; its usual places when `None`.
    pub from: Option<PathBuf>,
    /// Name of a folder's model; after the folder when `None`.
    pub name: Option<String>,
    /// Precisions of the graphs; fp32 and int8 when empty.
    pub precisions: Vec<Precision>,
    /// Heads that get graphs at once; what the model was trained for when empty. Others get theirs on first use.
    pub heads: Vec<Head>,
    /// Whether the folder's own graphs are taken although it has weights.
    pub ready_made: bool,
    /// The folder's graphs that are taken, as paths inside it; all whose names are known when empty.
    pub graphs: Vec<String>,
    /// Products that stay in fp32 in graphs of integers; as the installed model has it when `None`.
    pub keep_fp32: Option<BTreeSet<String>>,
    /// File of texts over which the ranges of `int8-static` are measured; those that were measured before when `None`.
    pub calibrate: Option<PathBuf>,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportReport {
    /// Name under which the model can be used.
    pub name: String,
    /// Its folder.
    pub directory: PathBuf,
    /// The checkpoint it was made from; none when the model was there already.
    pub checkpoint: Option<PathBuf>,
    /// Graphs that it has now.
    pub graphs: Vec<String>,
    /// Bytes of all installed files.
    pub bytes: u64,
    /// Weights in the checkpoint; 0 when nothing had to be done.
    pub parameters: u64,
    /// Whether the model was there already, intact and made by this exporter.
    pub already_installed: bool,
    /// Wall time.
    pub seconds: f64,
}

/// What is to be installed.
struct Plan {
    card: ModelCard,
    /// The named folder; none for a card.
    folder: Option<PathBuf>,
    graphs: BTreeSet<(Head, Precision)>,
    /// Texts over which the ranges of static graphs are still to be measured.
    texts: Option<Vec<String>>,
}

/// Installs the model that `what` names: a card, or a local folder in Hugging Face layout.
///
/// A card's checkpoint is looked for in the folder of the options, in `BERTH_HOME/checkpoints/NAME` and in the local cache
/// of the Hugging Face hub; nothing is fetched. Every file that the card lists is checked against its sha256. A folder's
/// model is named after the folder unless the options name it. Graphs that the model has already are made again with
/// those that are asked for, and what was chosen for its graphs in integers holds until it is chosen anew.
///
/// # Errors
/// `UnknownModel`, `BadModelName`, `ModelNameTaken`, `CheckpointNotFound`, `WrongHash`, `CalibrationNeeded`,
/// `InvalidSettings`, or what the exporter refuses, such as an unknown product. The model that was installed before stays
/// until the new one is complete.
pub fn import(home: &Home, what: &str, options: &ImportOptions) -> Result<ImportReport, Error> {
    let started = Instant::now();
    let mut plan = plan(what, options)?;
    let directory = home.model(&plan.card.name);
    let report = |card: &ModelCard, checkpoint: Option<PathBuf>, parameters| -> Result<ImportReport, Error> {
        let model = InstalledModel::open(&directory)?;
        let graphs = model.files().keys().filter(|file| Path::new(file).extension().is_some_and(|end| end == "onnx"));
        Ok(ImportReport {
            name: card.name.clone(),
            directory: directory.clone(),
            checkpoint: checkpoint.clone(),
            graphs: graphs.cloned().collect(),
            bytes: model.files().values().map(|file| file.bytes).sum(),
            parameters,
            already_installed: checkpoint.is_none(),
            seconds: started.elapsed().as_secs_f64(),
        })
    };
    let former = InstalledModel::open(&directory).ok();
    if let Some(former) = &former {
        refuse_another(former, &plan.card)?;
    }
    let installed = former.as_ref().and_then(|former| installed_graphs(former, &plan.card));
    let all: BTreeSet<_> = plan.graphs.iter().chain(installed.iter().flatten()).copied().collect();
    if plan.card.ready_made.is_none() {
        (plan.card.quantization, plan.texts) = settle(options, &plan.card, former.as_ref(), &all)?;
    }
    let as_chosen = plan.texts.is_none() && former.as_ref().is_some_and(|former| *former.card() == plan.card);
    if as_chosen && installed.is_some_and(|installed| installed == all) {
        return report(&plan.card, None, 0);
    }
    plan.graphs = all;
    let checkpoint = match &plan.folder {
        Some(folder) => folder.clone(),
        None => find_checkpoint(home, &plan.card, options.from.as_deref())?,
    };
    check_hashes(&plan.card, &checkpoint)?;

    fs::create_dir_all(home.models()).map_err(Error::io("create", &home.models()))?;
    clear_leftovers(home, &plan.card.name);
    let building = home.models().join(format!(".{}.{}.building", plan.card.name, std::process::id()));
    let made = build(home, &plan, &checkpoint, &building).and_then(|parameters| {
        let former = building.with_extension("former");
        if directory.exists() {
            fs::rename(&directory, &former).map_err(Error::io("replace", &directory))?;
        }
        if let Err(error) = fs::rename(&building, &directory) {
            // The model that was there comes back.
            let _ = fs::rename(&former, &directory);
            return Err(Error::io("write", &directory)(error));
        }
        let _ = fs::remove_dir_all(&former);
        Ok(parameters)
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(&building);
    }
    report(&plan.card, Some(checkpoint), made?)
}

/// Reads what is named and settles what will be made of it.
fn plan(what: &str, options: &ImportOptions) -> Result<Plan, Error> {
    let refused = |message: String| Err(Error::InvalidSettings(message));
    let foreign = options.ready_made || !options.graphs.is_empty();
    if let Some(card) = embedded_cards().into_iter().find(|card| card.name == what) {
        if options.name.is_some() {
            return refused(format!("'{what}' is a card and keeps its name; --name is for folders"));
        }
        if foreign {
            return refused(format!(
                "'{what}' is a card and made from weights; --ready-made and --graph are for folders"
            ));
        }
        let graphs = wanted_graphs(&card, options);
        return Ok(Plan { card, folder: None, graphs, texts: None });
    }
    let folder = Path::new(what);
    if !folder.join(CONFIG).is_file() {
        let cards = EMBEDDED_CARDS.map(|(name, _)| name).join(", ");
        return Err(Error::UnknownModel { name: what.to_owned(), cards });
    }
    if options.from.is_some() {
        return refused(format!("{what} is a folder, and its model is made from what is in it; --from is for cards"));
    }
    let folder = fs::canonicalize(folder).map_err(Error::io("read", folder))?;
    // A name that cannot be is said before anything large is read.
    let name = name_of(&folder, options.name.as_deref())?;
    let has_weights = WEIGHTS.iter().any(|name| folder.join(name).exists());
    if foreign || (!has_weights && !find_graphs(&folder).is_empty()) {
        let chosen = options.calibrate.is_some() || options.keep_fp32.is_some();
        if chosen || !options.precisions.is_empty() || !options.heads.is_empty() {
            let needing = "--precision, --heads, --calibrate and --keep-fp32 need weights";
            return refused(format!("a ready-made graph is taken as it is; {needing}"));
        }
        let ready =
            if options.graphs.is_empty() { ready_made(&folder)? } else { ready_made_of(&folder, &options.graphs)? };
        let inspection = inspect_ready_made(&folder, &ready)?;
        let card = derive_card(&folder, name, inspection, Some(ready))?;
        return Ok(Plan { card, folder: Some(folder), graphs: BTreeSet::new(), texts: None });
    }
    let card = derive_card(&folder, name, inspect(&folder)?, None)?;
    let graphs = wanted_graphs(&card, options);
    Ok(Plan { card, folder: Some(folder), graphs, texts: None })
}

fn wanted_graphs(card: &ModelCard, options: &ImportOptions) -> BTreeSet<(Head, Precision)> {
    let heads = match &options.heads[..] {
        [] => vec![main_head(card)],
        heads => heads.to_vec(),
    };
    let precisions = match &options.precisions[..] {
        [] => DEFAULT_PRECISIONS.to_vec(),
        precisions => precisions.to_vec(),
    };
    heads.iter().flat_map(|&head| precisions.iter().map(move |&precision| (head, precision))).collect()
}

/// What a model was trained for.
pub(crate) fn main_head(card: &ModelCard) -> Head {
    card.heads.first().copied().unwrap_or(Head::Sentence)
}

/// The graphs of an installed model; none unless it is `card`'s, intact, and of the exporter that would make it now.
fn installed_graphs(model: &InstalledModel, card: &ModelCard) -> Option<BTreeSet<(Head, Precision)>> {
    let exporter = if card.ready_made.is_some() { FOREIGN_EXPORTER.to_owned() } else { exporter() };
    let intact = model.verify().ok()?.iter().all(|file| file.state == FileState::Ok);
    if !same_model(model.card(), card) || model.exporter() != exporter || !intact {
        return None;
    }
    let all = Head::ALL.into_iter().flat_map(|head| Precision::ALL.map(|precision| (head, precision)));
    Some(all.filter(|(head, precision)| model.files().contains_key(&head.graph_file(*precision))).collect())
}

/// Refuses to replace a model that came from elsewhere and only happens to have the same name.
fn refuse_another(installed: &InstalledModel, card: &ModelCard) -> Result<(), Error> {
    let other = &installed.card().source;
    if *other == card.source {
        return Ok(());
    }
    let other = [&other.folder, &other.hugging_face].into_iter().find(|place| !place.is_empty());
    Err(Error::ModelNameTaken {
        name: card.name.clone(),
        other: other.map_or_else(|| "an unknown place".to_owned(), Clone::clone),
        directory: installed.dir().to_path_buf(),
    })
}

/// Clears up after imports of this model that were killed: a model that was moved aside comes back where none is in its
/// place, and what is older than an hour goes.
fn clear_leftovers(home: &Home, name: &str) {
    const OLD: Duration = Duration::from_secs(3_600);
    let Ok(entries) = fs::read_dir(home.models()) else {
        return;
    };
    for entry in entries.flatten() {
        let file_name = entry.file_name().to_string_lossy().into_owned();
        if !file_name.starts_with(&format!(".{name}.")) {
            continue;
        }
        if file_name.ends_with(".former") && !home.model(name).exists() {
            let _ = fs::rename(entry.path(), home.model(name));
            continue;
        }
        let ours = file_name.ends_with(".building") || file_name.ends_with(".former");
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
        if ours && age.is_some_and(|age| age > OLD) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Fills `building` with everything that belongs to the model and seals it. Returns the number of weights.
fn build(home: &Home, plan: &Plan, checkpoint: &Path, building: &Path) -> Result<u64, Error> {
    fs::create_dir_all(building).map_err(Error::io("create", building))?;
    copy(checkpoint, CONFIG, building)?;
    let tokenizer = building.join(TOKENIZER);
    fs::write(&tokenizer, tokenizer_json(checkpoint)?).map_err(Error::io("write", &tokenizer))?;
    if let Some(ready) = &plan.card.ready_made {
        copy_graphs(ready, checkpoint, building)?;
        InstalledModel::seal(building, &plan.card, FOREIGN_EXPORTER)?;
        return Ok(0);
    }
    let mut card = plan.card.clone();
    check_names(&card.quantization.keep_fp32, checkpoint)?;
    if let Some(texts) = &plan.texts {
        card.quantization.ranges = Some(measure(home, building, &card, checkpoint, texts)?);
    }
    let mut parameters = 0;
    for &(head, precision) in &plan.graphs {
        let graph = building.join(head.graph_file(precision));
        parameters = make_graph(&card, checkpoint, (head, precision), &graph)?.parameters.max(parameters);
    }
    InstalledModel::seal(building, &card, &exporter())?;
    Ok(parameters)
}

/// Copies graphs and the files in which they keep weights, each under its own name.
fn copy_graphs(ready: &ReadyMade, folder: &Path, building: &Path) -> Result<(), Error> {
    for file in ready.graphs.values().chain(&ready.external) {
        copy(folder, file, building)?;
    }
    // What lies there now is what will be run: it is looked at once more, not what was copied.
    let files: Vec<String> = ready.graphs.values().cloned().collect();
    if ready_made_of(building, &files)? == *ready {
        return Ok(());
    }
    Err(Error::BadCheckpoint {
        path: folder.to_path_buf(),
        reason: "its graphs changed while they were copied".to_owned(),
    })
}

fn copy(from: &Path, file: &str, to: &Path) -> Result<(), Error> {
    let (original, copied) = (inside(from, file)?, to.join(file));
    if let Some(parent) = copied.parent() {
        fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    }
    fs::copy(&original, &copied).map_err(Error::io("copy", &original))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{installed, installed_names};

    #[test]
    fn a_checkpoint_that_differs_from_its_card_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), "{}").unwrap();
        let home = Home::at(dir.path().join("home"));
        let options = ImportOptions { from: Some(dir.path().to_path_buf()), ..ImportOptions::default() };
        let error = import(&home, "all-minilm-l6-v2", &options).unwrap_err();
        assert!(matches!(&error, Error::WrongHash { path, .. } if path.ends_with("config.json")), "{error}");
        assert!(installed_names(&home).unwrap().is_empty());
    }

    #[test]
    fn unknown_names_are_told_what_is_known() {
        let home = Home::at("nowhere");
        let error = import(&home, "no-such-model", &ImportOptions::default()).unwrap_err().to_string();
        assert!(error.contains("all-minilm-l6-v2"), "{error}");
        let error = installed(&home, "../x").unwrap_err().to_string();
        assert!(error.contains("not installed"), "{error}");
    }
}
