//! Checkpoints in Hugging Face layout: where they lie, whether they are the right ones, what they say of themselves.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use berth_types::{CardFile, CardSource, Head, ModelCard, Pooling, Problem, Prompts};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::home::is_plain_name;
use crate::{Error, Home};

/// Files that make a local checkpoint the one that it is.
const IDENTIFYING_FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// Looks for the checkpoint of a card in `from`, else in its usual places.
pub(crate) fn find_checkpoint(home: &Home, card: &ModelCard, from: Option<&Path>) -> Result<PathBuf, Error> {
    let mut candidates = vec![from.map_or_else(|| home.checkpoint(&card.name), Path::to_path_buf)];
    if from.is_none() {
        candidates.extend(hub_snapshots(&card.source.hugging_face));
    }
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

/// Checks every file that the card lists and that is there; what is missing the exporter names, if it needs it.
pub(crate) fn check_hashes(card: &ModelCard, checkpoint: &Path) -> Result<(), Error> {
    for file in &card.files {
        let path = checkpoint.join(&file.path);
        let Some(received) = sha256(&path)? else {
            continue;
        };
        if received != file.sha256 {
            let (model, expected) = (card.name.clone(), file.sha256.clone());
            return Err(Error::WrongHash { model, path, expected, received });
        }
    }
    Ok(())
}

/// Sha256 of a file as lower-case hex; none when there is no such file.
fn sha256(path: &Path) -> Result<Option<String>, Error> {
    let mut reader = match fs::File::open(path) {
        Ok(reader) => reader,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = reader.read(&mut buffer).map_err(Error::io("read", path))?;
        if length == 0 {
            break;
        }
        hasher.update(&buffer[..length]);
    }
    Ok(Some(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// Reads from a checkpoint's own files what a card would say.
pub(crate) fn derive_card(folder: &Path, name: Option<&str>) -> Result<ModelCard, Error> {
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
    let plain: String = folder_name.chars().map(|c| if is_plain_name(&c.to_string()) { c } else { '-' }).collect();
    let name = name.unwrap_or(plain.trim_matches(['-', '.'])).to_owned();
    let mut files = Vec::new();
    for path in IDENTIFYING_FILES {
        if let Some(sha256) = sha256(&folder.join(path))? {
            files.push(CardFile { path: path.to_owned(), sha256 });
        }
    }
    Ok(ModelCard {
        description: format!("imported from {}", folder.display()),
        name,
        licence: String::new(),
        dimensions,
        pooling: read_pooling(folder)?,
        normalize: true,
        recommended_window_tokens: recommended.min(max_tokens),
        max_tokens,
        lowercase: false,
        heads: vec![Head::Sentence],
        labels: Vec::new(),
        problem: Problem::default(),
        matryoshka: Vec::new(),
        prompts: read_prompts(folder)?,
        late: None,
        ready_made: None,
        source: CardSource { folder: folder.display().to_string(), ..CardSource::default() },
        files,
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
    fn derives_a_card_from_a_checkpoint() {
        let prompts = r#"{"prompts":{"query":"query: ","document":"passage: "}}"#;
        let pooling = r#"{"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":false}"#;
        let dir =
            checkpoint(&[CONFIG, ("config_sentence_transformers.json", prompts), ("1_Pooling/config.json", pooling)]);
        let card = derive_card(dir.path(), None).unwrap();
        assert_eq!((card.dimensions, card.max_tokens, card.recommended_window_tokens), (32, 64, 64));
        assert_eq!(card.pooling, Pooling::Cls);
        assert_eq!(card.prompts, Prompts { query: "query: ".into(), passage: "passage: ".into() });
        assert!(is_plain_name(&card.name), "{}", card.name);
    }

    #[test]
    fn refuses_by_name_what_it_cannot_run() {
        let check = |files: &[(&str, &str)], part: &str| {
            let error = derive_card(checkpoint(files).path(), None).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        check(&[("config.json", "{}")], "hidden_size");
        check(&[("config.json", "{")], "not JSON");
        check(&[CONFIG, ("modules.json", r#"[{"type":"sentence_transformers.models.Dense"}]"#)], "Dense");
        check(&[CONFIG, ("1_Pooling/config.json", r#"{"pooling_mode_max_tokens":true}"#)], "pooling");
    }
}
