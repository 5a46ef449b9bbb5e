//! Installs models: a card or a local checkpoint in, a folder of graphs that the encoder opens out.
//!
//! An installed model appears by one rename, whole or not at all.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use berth_encoder::{FileState, InstalledModel};
use berth_export::{EXPORTER_VERSION, ExportOptions, Precision, export};
use berth_types::{CardSource, ModelCard, Pooling, Prompts};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

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
    /// The checkpoint it was made from.
    pub checkpoint: PathBuf,
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
/// Hugging Face hub; nothing is fetched. Every file that the card lists is checked against its sha256.
///
/// # Errors
/// `UnknownModel`, `CheckpointNotFound`, `WrongHash`, `BadCheckpoint`, or what the exporter refuses.
pub fn import(home: &Home, what: &str, from: Option<&Path>) -> Result<ImportReport, Error> {
    let started = Instant::now();
    let known = embedded_cards().into_iter().find(|card| card.name == what);
    let (card, checkpoint) = match known {
        Some(card) => {
            let checkpoint = find_checkpoint(home, &card, from)?;
            (card, checkpoint)
        }
        None => {
            let folder = Path::new(what);
            if !folder.join("config.json").is_file() {
                let cards = EMBEDDED_CARDS.map(|(name, _)| name).join(", ");
                return Err(Error::UnknownModel { name: what.to_owned(), cards });
            }
            let folder = fs::canonicalize(folder).map_err(Error::io("read", folder))?;
            (derive_card(&folder)?, folder)
        }
    };
    let directory = home.model(&card.name);
    let report = |parameters, already_installed| -> Result<ImportReport, Error> {
        let model = InstalledModel::open(&directory)?;
        Ok(ImportReport {
            name: card.name.clone(),
            directory: directory.clone(),
            checkpoint: checkpoint.clone(),
            bytes: model.files().values().map(|file| file.bytes).sum(),
            parameters,
            already_installed,
            seconds: started.elapsed().as_secs_f64(),
        })
    };
    if is_current(&directory, &card) {
        return report(0, true);
    }
    check_hashes(&card, &checkpoint)?;

    fs::create_dir_all(home.models()).map_err(Error::io("create", &home.models()))?;
    let building = home.models().join(format!(".{}.{}.building", card.name, std::process::id()));
    let made = build(&card, &checkpoint, &building).and_then(|parameters| {
        if directory.exists() {
            fs::remove_dir_all(&directory).map_err(Error::io("replace", &directory))?;
        }
        fs::rename(&building, &directory).map_err(Error::io("write", &directory))?;
        Ok(parameters)
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(&building);
    }
    report(made?, false)
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
        let options =
            ExportOptions { precision, pooling: card.pooling, normalize: card.normalize, token_embeddings: false };
        let graph = building.join(format!("{}.onnx", precision.as_str()));
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

/// A name that stays inside the folder of models.
fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

fn find_checkpoint(home: &Home, card: &ModelCard, from: Option<&Path>) -> Result<PathBuf, Error> {
    let candidates = match from {
        Some(folder) => vec![folder.to_path_buf()],
        None => {
            let mut folders = vec![home.checkpoint(&card.name)];
            folders.extend(hub_snapshots(&card.source.hugging_face));
            folders
        }
    };
    if let Some(folder) = candidates.iter().find(|folder| folder.join("config.json").is_file()) {
        return Ok(folder.clone());
    }
    let tried = candidates.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
    Err(Error::CheckpointNotFound { name: card.name.clone(), tried })
}

/// Snapshots of a model in the local cache of the Hugging Face hub (`HF_HOME`, else `~/.cache/huggingface`).
fn hub_snapshots(id: &str) -> Vec<PathBuf> {
    let hub = std::env::var_os("HF_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/huggingface")));
    let Some(hub) = hub.filter(|_| !id.is_empty()) else {
        return Vec::new();
    };
    let snapshots = hub.join("hub").join(format!("models--{}", id.replace('/', "--"))).join("snapshots");
    let Ok(entries) = fs::read_dir(snapshots) else {
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort_unstable();
    folders
}

/// Checks every file that the card lists; a listed file that is absent only matters if the model needs it.
fn check_hashes(card: &ModelCard, checkpoint: &Path) -> Result<(), Error> {
    for file in &card.files {
        let path = checkpoint.join(&file.path);
        let Ok(mut reader) = fs::File::open(&path) else {
            continue;
        };
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = reader.read(&mut buffer).map_err(Error::io("read", &path))?;
            if length == 0 {
                break;
            }
            hasher.update(&buffer[..length]);
        }
        let received = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        if received != file.sha256 {
            let (model, expected) = (card.name.clone(), file.sha256.clone());
            return Err(Error::WrongHash { model, path, expected, received });
        }
    }
    Ok(())
}

/// Reads from a checkpoint's own files what a card would say.
fn derive_card(folder: &Path) -> Result<ModelCard, Error> {
    let config = read_json(folder, "config.json")?.unwrap_or_default();
    let number = |name: &str| -> Result<usize, Error> {
        let value = config[name].as_u64().filter(|&value| value > 0);
        value.map(|value| value as usize).ok_or_else(|| Error::BadCheckpoint {
            path: folder.join("config.json"),
            reason: format!("\"{name}\" is missing or not a positive number"),
        })
    };
    let (dimensions, max_tokens) = (number("hidden_size")?, number("max_position_embeddings")?);
    refuse_unknown_modules(folder)?;
    let sentence = read_json(folder, "sentence_bert_config.json")?.unwrap_or_default();
    let recommended = sentence["max_seq_length"].as_u64().map_or(256, |tokens| tokens as usize);
    let folder_name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String = folder_name.chars().map(|c| if is_plain_name(&c.to_string()) { c } else { '-' }).collect();
    Ok(ModelCard {
        name: name.trim_matches(['-', '.']).to_owned(),
        description: format!("imported from {}", folder_name),
        licence: String::new(),
        dimensions,
        pooling: read_pooling(folder)?,
        normalize: true,
        recommended_window_tokens: recommended.min(max_tokens),
        max_tokens,
        prompts: read_prompts(folder)?,
        source: CardSource::default(),
        files: Vec::new(),
    })
}

fn read_pooling(folder: &Path) -> Result<Pooling, Error> {
    let Some(config) = read_json(folder, "1_Pooling/config.json")? else {
        return Ok(Pooling::Mean);
    };
    let modes = [("pooling_mode_mean_tokens", Some(Pooling::Mean)), ("pooling_mode_cls_token", Some(Pooling::Cls))];
    let mut chosen = modes.iter().filter(|(name, _)| config[name].as_bool() == Some(true));
    let other = config.as_object().into_iter().flatten().find(|(name, value)| {
        name.starts_with("pooling_mode_")
            && value.as_bool() == Some(true)
            && !modes.iter().any(|(known, _)| known == name)
    });
    match (chosen.next(), chosen.next(), other) {
        (Some((_, Some(pooling))), None, None) => Ok(*pooling),
        _ => Err(Error::BadCheckpoint {
            path: folder.join("1_Pooling/config.json"),
            reason: "asks for a pooling that is not supported; supported are mean and cls, one of them".to_owned(),
        }),
    }
}

fn refuse_unknown_modules(folder: &Path) -> Result<(), Error> {
    const SUPPORTED: [&str; 3] = ["Transformer", "Pooling", "Normalize"];
    let modules = read_json(folder, "modules.json")?.unwrap_or_default();
    for module in modules.as_array().into_iter().flatten() {
        let kind = module["type"].as_str().unwrap_or_default().rsplit('.').next().unwrap_or_default();
        if !SUPPORTED.contains(&kind) {
            return Err(Error::BadCheckpoint {
                path: folder.join("modules.json"),
                reason: format!("module '{kind}' is not supported; supported are {}", SUPPORTED.join(", ")),
            });
        }
    }
    Ok(())
}

fn read_prompts(folder: &Path) -> Result<Prompts, Error> {
    let config = read_json(folder, "config_sentence_transformers.json")?.unwrap_or_default();
    let prompt = |names: &[&str]| {
        let found = names.iter().find_map(|name| config["prompts"][name].as_str());
        found.unwrap_or_default().to_owned()
    };
    Ok(Prompts { query: prompt(&["query"]), passage: prompt(&["passage", "document"]) })
}

fn read_json(folder: &Path, name: &str) -> Result<Option<Value>, Error> {
    let path = folder.join(name);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", &path)(error)),
    };
    let value = serde_json::from_str(&text);
    value.map(Some).map_err(|error| Error::BadCheckpoint { path, reason: format!("not JSON: {error}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    const CONFIG: (&str, &str) = ("config.json", r#"{"hidden_size":32,"max_position_embeddings":64}"#);

    #[test]
    fn built_in_cards_parse_and_name_themselves() {
        let names: Vec<String> = embedded_cards().into_iter().map(|card| card.name).collect();
        assert_eq!(names, EMBEDDED_CARDS.map(|(name, _)| name));
    }

    #[test]
    fn derives_a_card_from_a_checkpoint() {
        let prompts = r#"{"prompts":{"query":"query: ","document":"passage: "}}"#;
        let pooling = r#"{"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":false}"#;
        let dir =
            checkpoint(&[CONFIG, ("config_sentence_transformers.json", prompts), ("1_Pooling/config.json", pooling)]);
        let card = derive_card(dir.path()).unwrap();
        assert_eq!((card.dimensions, card.max_tokens, card.recommended_window_tokens), (32, 64, 64));
        assert_eq!(card.pooling, Pooling::Cls);
        assert_eq!(card.prompts, Prompts { query: "query: ".into(), passage: "passage: ".into() });
        assert!(is_plain_name(&card.name), "{}", card.name);
    }

    #[test]
    fn refuses_by_name_what_it_cannot_run() {
        let check = |files: &[(&str, &str)], part: &str| {
            let error = derive_card(checkpoint(files).path()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        check(&[("config.json", "{}")], "hidden_size");
        check(&[("config.json", "{")], "not JSON");
        check(&[CONFIG, ("modules.json", r#"[{"type":"sentence_transformers.models.Dense"}]"#)], "Dense");
        check(&[CONFIG, ("1_Pooling/config.json", r#"{"pooling_mode_max_tokens":true}"#)], "pooling");
    }

    #[test]
    fn a_checkpoint_that_differs_from_its_card_is_named() {
        let dir = checkpoint(&[CONFIG]);
        let home = Home::at(dir.path().join("home"));
        let error = import(&home, "all-minilm-l6-v2", Some(dir.path())).unwrap_err();
        assert!(matches!(&error, Error::WrongHash { path, .. } if path.ends_with("config.json")), "{error}");
        assert!(installed_names(&home).unwrap().is_empty());
    }

    #[test]
    fn unknown_names_are_told_what_is_known() {
        let home = Home::at("nowhere");
        let error = import(&home, "no-such-model", None).unwrap_err().to_string();
        assert!(error.contains("all-minilm-l6-v2"), "{error}");
        let error = installed(&home, "../x").unwrap_err().to_string();
        assert!(error.contains("not installed"), "{error}");
    }
}
