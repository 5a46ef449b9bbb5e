//! Checkpoints in Hugging Face layout: where they lie, whether they are the right ones, what they say of themselves.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use berth_export::{Inspection, inside};
use berth_types::{CardFile, CardSource, ModelCard, Quantization, ReadyMade};
use sha2::{Digest, Sha256};

use crate::home::is_plain_name;
use crate::{Error, Home};

/// Widest window that is recommended without being measured: a longer text in one vector is found less well, whatever the
/// model can take.
const WIDEST_WINDOW: usize = 512;

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
        let path = inside(checkpoint, &file.path)?;
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

/// The name of a local folder's model: the one that is given, else the folder's.
///
/// # Errors
/// `BadModelName`.
pub(crate) fn name_of(folder: &Path, given: Option<&str>) -> Result<String, Error> {
    let folder_name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain: String = folder_name.chars().map(|c| if is_plain_name(&c.to_string()) { c } else { '-' }).collect();
    let name = given.unwrap_or(plain.trim_matches(['-', '.'])).to_owned();
    if is_plain_name(&name) { Ok(name) } else { Err(Error::BadModelName { name }) }
}

/// The card of a local folder, from what the folder says of itself.
///
/// # Errors
/// `Io` when a file cannot be read.
pub(crate) fn derive_card(
    folder: &Path,
    name: String,
    inspection: Inspection,
    ready_made: Option<ReadyMade>,
) -> Result<ModelCard, Error> {
    let mut files = Vec::new();
    for path in inspection.files {
        if let Some(sha256) = sha256(&inside(folder, &path)?)? {
            files.push(CardFile { path, sha256 });
        }
    }
    let window = inspection.recommended_tokens.unwrap_or(inspection.max_tokens);
    Ok(ModelCard {
        description: format!("imported from {}", folder.display()),
        name,
        licence: String::new(),
        dimensions: inspection.dimensions,
        pooling: inspection.pooling,
        normalize: inspection.normalize,
        recommended_window_tokens: window.min(inspection.max_tokens).min(WIDEST_WINDOW),
        max_tokens: inspection.max_tokens,
        trained_tokens: None,
        languages: Vec::new(),
        lowercase: inspection.lowercase,
        heads: vec![inspection.head],
        labels: inspection.labels,
        problem: inspection.problem,
        matryoshka: inspection.matryoshka,
        prompts: inspection.prompts,
        late: inspection.late,
        ready_made,
        quantization: Quantization::default(),
        source: CardSource { folder: folder.display().to_string(), ..CardSource::default() },
        files,
    })
}
