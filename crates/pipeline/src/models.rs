//! Installs models: a card or a local checkpoint in, a folder of graphs that the encoder opens out.
//!
//! An installed model appears by one rename, whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_encoder::{FileState, InstalledModel};
use berth_export::{EXPORTER_VERSION, ExportOptions, export};
use berth_types::{ModelCard, Precision};
use serde::Serialize;

use crate::checkpoint::{check_hashes, derive_card, find_checkpoint};
use crate::home::is_plain_name;
use crate::{Error, Home};

/// Cards that come with Berth, as (name, TOML).
const EMBEDDED_CARDS: [(&str, &str); 1] = [("all-minilm-l6-v2", include_str!("../../../models/all-minilm-l6-v2.toml"))];

/// Files that the encoder needs beside the graphs.
const COPIED_FILES: [&str; 2] = ["config.json", "tokenizer.json"];

/// What an import did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportReport {
    /// Name under which the model can be used.
    pub name: String,
    /// Its folder.
    pub directory: PathBuf,
    /// The checkpoint it was made from; none when the model was there already.
    pub checkpoint: Option<PathBuf>,
    /// Bytes of all installed files.
    pub bytes: u64,
    /// Weights in the checkpoint; 0 when nothing had to be done.
    pub parameters: u64,
    /// Whether the model was there already, intact and made by this exporter.
    pub already_installed: bool,
    /// Wall time.
    pub seconds: f64,
}

/// One line of `berth model list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelListing {
    /// Name to import or use.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// Values in an embedding.
    pub dimensions: usize,
    /// Recommended window in tokens.
    pub window_tokens: usize,
    /// Whether it can be used now.
    pub installed: bool,
}

/// The cards that come with Berth.
pub fn embedded_cards() -> Vec<ModelCard> {
    let parse = |(name, text): &(&str, &str)| {
        toml::from_str::<ModelCard>(text)
            .unwrap_or_else(|error| panic!("the built-in card {name} is malformed: {error}"))
    };
    EMBEDDED_CARDS.iter().map(parse).collect()
}

/// Cards and installed models, by name.
///
/// # Errors
/// When the folder of models cannot be read.
pub fn list(home: &Home) -> Result<Vec<ModelListing>, Error> {
    let listing = |card: &ModelCard, installed| ModelListing {
        name: card.name.clone(),
        description: card.description.clone(),
        dimensions: card.dimensions,
        window_tokens: card.recommended_window_tokens,
        installed,
    };
    let installed = installed_names(home)?;
    let mut models = Vec::new();
    for name in &installed {
        models.push(listing(InstalledModel::open(&home.model(name))?.card(), true));
    }
    models.extend(
        embedded_cards().iter().filter(|card| !installed.contains(&card.name)).map(|card| listing(card, false)),
    );
    models.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(models)
}

/// Opens an installed model by name.
///
/// # Errors
/// `ModelNotInstalled` with the names that are; otherwise what the encoder says of the folder.
pub fn installed(home: &Home, name: &str) -> Result<InstalledModel, Error> {
    let directory = home.model(name);
    if !is_plain_name(name) || !directory.is_dir() {
        let names = installed_names(home)?;
        let installed = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(Error::ModelNotInstalled { name: name.to_owned(), models: home.models(), installed });
    }
    Ok(InstalledModel::open(&directory)?)
}

/// Reads every file of an installed model again and compares it with the hash recorded at import.
///
/// # Errors
/// As [`installed`].
pub fn verify_model(home: &Home, name: &str) -> Result<Vec<berth_encoder::FileVerdict>, Error> {
    Ok(installed(home, name)?.verify()?)
}

/// Installs the model that `what` names: a card, or a local folder in Hugging Face layout.
///
/// A card's checkpoint is looked for in `from`, in `BERTH_HOME/checkpoints/NAME` and in the local cache of the
/// Hugging Face hub; nothing is fetched. Every file that the card lists is checked against its sha256. A folder's model
/// is named `name`, else after the folder.
///
/// # Errors
/// `UnknownModel`, `BadModelName`, `ModelNameTaken`, `CheckpointNotFound`, `WrongHash`, `BadCheckpoint`, or what the
/// exporter refuses. The model that was installed before stays until the new one is complete.
pub fn import(home: &Home, what: &str, from: Option<&Path>, name: Option<&str>) -> Result<ImportReport, Error> {
    let started = Instant::now();
    let known = embedded_cards().into_iter().find(|card| card.name == what);
    if known.is_some() && name.is_some() {
        return Err(Error::InvalidSettings(format!("'{what}' is a card and keeps its name; --name is for folders")));
    }
    let (card, folder) = if let Some(card) = known {
        (card, None)
    } else {
        let folder = Path::new(what);
        if !folder.join("config.json").is_file() {
            let cards = EMBEDDED_CARDS.map(|(name, _)| name).join(", ");
            return Err(Error::UnknownModel { name: what.to_owned(), cards });
        }
        let folder = fs::canonicalize(folder).map_err(Error::io("read", folder))?;
        (derive_card(&folder, name)?, Some(folder))
    };
    if !is_plain_name(&card.name) {
        return Err(Error::BadModelName { name: card.name });
    }
    let directory = home.model(&card.name);
    let report = |checkpoint: Option<PathBuf>, parameters| -> Result<ImportReport, Error> {
        let model = InstalledModel::open(&directory)?;
        Ok(ImportReport {
            name: card.name.clone(),
            directory: directory.clone(),
            checkpoint: checkpoint.clone(),
            bytes: model.files().values().map(|file| file.bytes).sum(),
            parameters,
            already_installed: checkpoint.is_none(),
            seconds: started.elapsed().as_secs_f64(),
        })
    };
    if is_current(&directory, &card) {
        return report(None, 0);
    }
    refuse_another(&directory, &card)?;
    let checkpoint = match folder {
        Some(folder) => folder,
        None => find_checkpoint(home, &card, from)?,
    };
    check_hashes(&card, &checkpoint)?;

    fs::create_dir_all(home.models()).map_err(Error::io("create", &home.models()))?;
    clear_leftovers(home, &card.name);
    let building = home.models().join(format!(".{}.{}.building", card.name, std::process::id()));
    let made = build(&card, &checkpoint, &building).and_then(|parameters| {
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
    report(Some(checkpoint), made?)
}

/// Refuses to replace a model that came from elsewhere and only happens to have the same name.
fn refuse_another(directory: &Path, card: &ModelCard) -> Result<(), Error> {
    let Ok(installed) = InstalledModel::open(directory) else {
        return Ok(());
    };
    let other = &installed.card().source;
    if *other == card.source {
        return Ok(());
    }
    let other = [&other.folder, &other.hugging_face].into_iter().find(|place| !place.is_empty());
    Err(Error::ModelNameTaken {
        name: card.name.clone(),
        other: other.map_or_else(|| "an unknown place".to_owned(), Clone::clone),
        directory: directory.to_path_buf(),
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
fn build(card: &ModelCard, checkpoint: &Path, building: &Path) -> Result<u64, Error> {
    fs::create_dir_all(building).map_err(Error::io("create", building))?;
    for name in COPIED_FILES {
        let original = checkpoint.join(name);
        fs::copy(&original, building.join(name)).map_err(Error::io("copy", &original))?;
    }
    let mut parameters = 0;
    for precision in [Precision::Fp32, Precision::Int8] {
        let (pooling, normalize) = (card.pooling, card.normalize);
        let options = ExportOptions { precision, pooling, normalize, ..ExportOptions::default() };
        let graph = building.join(precision.graph_file());
        parameters = export(checkpoint, &options, &graph)?.parameters;
    }
    InstalledModel::seal(building, card, EXPORTER_VERSION)?;
    Ok(parameters)
}

fn is_current(directory: &Path, card: &ModelCard) -> bool {
    InstalledModel::open(directory).is_ok_and(|model| {
        let intact = model.verify().is_ok_and(|files| files.iter().all(|file| file.state == FileState::Ok));
        model.card() == card && model.exporter() == EXPORTER_VERSION && intact
    })
}

fn installed_names(home: &Home) -> Result<Vec<String>, Error> {
    let models = home.models();
    let entries = match fs::read_dir(&models) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", &models)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("read", &models))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_plain_name(&name) && entry.path().join("card.toml").is_file() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_cards_parse_and_name_themselves() {
        let names: Vec<String> = embedded_cards().into_iter().map(|card| card.name).collect();
        assert_eq!(names, EMBEDDED_CARDS.map(|(name, _)| name));
    }

    #[test]
    fn a_checkpoint_that_differs_from_its_card_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), "{}").unwrap();
        let home = Home::at(dir.path().join("home"));
        let error = import(&home, "all-minilm-l6-v2", Some(dir.path()), None).unwrap_err();
        assert!(matches!(&error, Error::WrongHash { path, .. } if path.ends_with("config.json")), "{error}");
        assert!(installed_names(&home).unwrap().is_empty());
    }

    #[test]
    fn unknown_names_are_told_what_is_known() {
        let home = Home::at("nowhere");
        let error = import(&home, "no-such-model", None, None).unwrap_err().to_string();
        assert!(error.contains("all-minilm-l6-v2"), "{error}");
        let error = installed(&home, "../x").unwrap_err().to_string();
        assert!(error.contains("not installed"), "{error}");
    }
}
