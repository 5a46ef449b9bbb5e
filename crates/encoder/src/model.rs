//! An installed model: a folder whose files are known by hash.
//!
//! ```text
//! card.toml  tokenizer.json  config.json  int8.onnx  fp32.onnx  model.json
//! ```
//!
//! `model.json` lists every other file with its length and blake3 hash and is written last. Opening reads the card and
//! the list; each further file is checked when it is used, so that what ONNX Runtime parses is what was installed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use berth_types::ModelCard;
use serde::{Deserialize, Serialize};

use crate::Error;

const FORMAT: u32 = 1;
const CARD: &str = "card.toml";
const MANIFEST: &str = "model.json";
/// Bytes of a card or list of files; one that names the labels of 100,000 classes has a tenth of this.
const LARGEST_LIST: u64 = 32 << 20;
/// Special tokens alone take two ids; a model that takes fewer than this cannot read a word.
const SMALLEST_MAX_TOKENS: usize = 4;

/// A model folder whose card and file list were read.
#[derive(Debug, Clone)]
pub struct InstalledModel {
    dir: PathBuf,
    card: ModelCard,
    manifest: Manifest,
}

/// What `model.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    exporter: String,
    files: BTreeMap<String, FileEntry>,
}

/// One file of an installed model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Hash of the whole file, lower-case hex.
    pub blake3: String,
    /// Length.
    pub bytes: u64,
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileVerdict {
    /// Name inside the model folder.
    pub path: String,
    /// As installed, missing or changed.
    pub state: FileState,
}

/// How a file compares with what was installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// Byte for byte as installed.
    Ok,
    /// Not there.
    Missing,
    /// There, with other bytes.
    Changed,
}

impl FileState {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Changed => "changed",
        }
    }
}

impl InstalledModel {
    /// Reads the card and the file list of the model in `dir`.
    ///
    /// # Errors
    /// `ModelMissing` when there is none; `CardSyntax`, `CardValue`, `ManifestSyntax`, `ManifestFormat` or
    /// `FileChanged` when what is there cannot be trusted.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let manifest = read_manifest(dir)?;
        let card_path = dir.join(CARD);
        let card_bytes = read_at_most(&card_path, LARGEST_LIST)?;
        let card = parse_card(&card_path, &card_bytes)?;
        let model = Self { dir: dir.to_path_buf(), card, manifest };
        model.check(CARD, &card_bytes)?;
        Ok(model)
    }

    /// Writes `card` and the file list into `dir`, over the files that are there.
    ///
    /// `exporter` names what made the graphs, with its version.
    ///
    /// # Errors
    /// `CardValue` when the card cannot be right, `Read` or `Write` when the disk refuses.
    pub fn seal(dir: &Path, card: &ModelCard, exporter: &str) -> Result<Self, Error> {
        let card_path = dir.join(CARD);
        check_card(&card_path, card)?;
        let card_text = toml::to_string_pretty(card)
            .map_err(|error| Error::Write { path: card_path.clone(), source: io::Error::other(error) })?;
        replace(&card_path, card_text.as_bytes())?;

        let mut files = BTreeMap::new();
        list(dir, "", &mut files)?;
        files.remove(MANIFEST);
        let manifest = Manifest { format: FORMAT, exporter: exporter.to_owned(), files };
        let path = dir.join(MANIFEST);
        let text = serde_json::to_string_pretty(&manifest)
            .map_err(|error| Error::Write { path: path.clone(), source: error.into() })?;
        replace(&path, text.as_bytes())?;
        Self::open(dir)
    }

    /// Hashes every listed file again.
    ///
    /// # Errors
    /// `Read` when a file is there but cannot be read.
    pub fn verify(&self) -> Result<Vec<FileVerdict>, Error> {
        let mut verdicts = Vec::with_capacity(self.manifest.files.len());
        for (name, installed) in &self.manifest.files {
            let state = match hash_file(&self.dir.join(name)) {
                Ok(found) if found == *installed => FileState::Ok,
                Ok(_) => FileState::Changed,
                Err(Error::FileMissing { .. }) => FileState::Missing,
                Err(error) => return Err(error),
            };
            verdicts.push(FileVerdict { path: name.clone(), state });
        }
        Ok(verdicts)
    }

    /// The model's card.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What made the graphs, with its version.
    pub fn exporter(&self) -> &str {
        &self.manifest.exporter
    }

    /// Every file but the list itself, by name.
    pub fn files(&self) -> &BTreeMap<String, FileEntry> {
        &self.manifest.files
    }

    /// Hash of the listed file `name`.
    pub(crate) fn hash_of(&self, name: &str) -> Result<&str, Error> {
        match self.manifest.files.get(name) {
            Some(entry) => Ok(&entry.blake3),
            None => Err(Error::FileUnlisted { path: self.dir.join(name) }),
        }
    }

    /// The bytes of the listed file `name`, which hash to what was installed.
    pub(crate) fn read_checked(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = self.dir.join(name);
        let Some(entry) = self.manifest.files.get(name) else { return Err(Error::FileUnlisted { path }) };
        // One byte more than was installed tells a longer file from the right one; the rest of it need not be read.
        let bytes = read_beginning(&path, entry.bytes.saturating_add(1))?;
        self.check(name, &bytes)?;
        Ok(bytes)
    }

    fn check(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let expected = self.hash_of(name)?;
        let received = blake3::hash(bytes).to_hex();
        if received.as_str() == expected {
            return Ok(());
        }
        Err(Error::FileChanged {
            path: self.dir.join(name),
            expected: expected.to_owned(),
            received: received.to_string(),
        })
    }
}

/// Hashes the files below `dir` and makes them last; names are paths with `/`, from the model's folder. What begins with
/// a dot is no part of a model.
fn list(dir: &Path, within: &str, files: &mut BTreeMap<String, FileEntry>) -> Result<(), Error> {
    let unreadable = |source| Error::Read { path: dir.to_path_buf(), source };
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            list(&path, &format!("{within}{name}/"), files)?;
        }
        if path.is_file() {
            let failed = |source| Error::Write { path: path.clone(), source };
            sync(&path).map_err(failed)?;
            files.insert(format!("{within}{name}"), hash_file(&path)?);
        }
    }
    Ok(())
}

fn read_manifest(dir: &Path) -> Result<Manifest, Error> {
    #[derive(Deserialize)]
    struct Versioned {
        format: u32,
    }
    let path = dir.join(MANIFEST);
    let bytes = match read_at_most(&path, LARGEST_LIST) {
        Err(Error::FileMissing { .. }) => return Err(Error::ModelMissing { path: dir.to_path_buf() }),
        read => read?,
    };
    let syntax = |error: serde_json::Error| Error::ManifestSyntax { path: path.clone(), message: error.to_string() };
    let versioned: Versioned = serde_json::from_slice(&bytes).map_err(syntax)?;
    if versioned.format != FORMAT {
        return Err(Error::ManifestFormat { path, found: versioned.format, supported: FORMAT });
    }
    serde_json::from_slice(&bytes).map_err(syntax)
}

fn parse_card(path: &Path, bytes: &[u8]) -> Result<ModelCard, Error> {
    let syntax =
        |line, message: &str| Error::CardSyntax { path: path.to_path_buf(), line, message: message.to_owned() };
    let text = std::str::from_utf8(bytes)
        .map_err(|error| syntax(line_of(bytes, error.valid_up_to()), "the card is not UTF-8"))?;
    let card: ModelCard = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        syntax(line_of(bytes, start), error.message())
    })?;
    check_card(path, &card)?;
    Ok(card)
}

fn line_of(bytes: &[u8], offset: usize) -> usize {
    bytes[..offset.min(bytes.len())].split(|&byte| byte == b'\n').count()
}

fn check_card(path: &Path, card: &ModelCard) -> Result<(), Error> {
    let wrong = |field, value: String, rule| Err(Error::CardValue { path: path.to_path_buf(), field, value, rule });
    if card.dimensions == 0 {
        return wrong("dimensions", "0".to_owned(), "a row needs values");
    }
    if card.max_tokens < SMALLEST_MAX_TOKENS {
        return wrong("max_tokens", card.max_tokens.to_string(), "a model takes at least 4 tokens");
    }
    if card.recommended_window_tokens < SMALLEST_MAX_TOKENS || card.recommended_window_tokens > card.max_tokens {
        let value = card.recommended_window_tokens.to_string();
        return wrong("recommended_window_tokens", value, "it has to lie between 4 and max_tokens");
    }
    Ok(())
}

/// Reads a file that has no reason to be larger than `most` bytes.
///
/// # Errors
/// `FileMissing`, or `Read`, also for a larger one.
pub(crate) fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let bytes = read_beginning(path, most.saturating_add(1))?;
    if bytes.len() as u64 > most {
        let source = io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} bytes"));
        return Err(unreadable(path, source));
    }
    Ok(bytes)
}

/// The first `most` bytes of a file, or all where it has fewer.
fn read_beginning(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let failed = |source| unreadable(path, source);
    let file = File::open(path).map_err(failed)?;
    let expected = file.metadata().map_err(failed)?.len().min(most);
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    let path = path.to_path_buf();
    if source.kind() == io::ErrorKind::NotFound { Error::FileMissing { path } } else { Error::Read { path, source } }
}

fn hash_file(path: &Path) -> Result<FileEntry, Error> {
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(|source| unreadable(path, source))?;
    Ok(FileEntry { blake3: hasher.finalize().to_hex().to_string(), bytes: hasher.count() })
}

/// Puts `bytes` in the place of `path`: a reader sees the old file or the new one, also after a power cut.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let attempt = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent() {
            Some(parent) => sync(parent),
            None => Ok(()),
        }
    };
    attempt().map_err(|source| {
        // The temporary file may not exist, and the first failure is the one to report.
        let _ = fs::remove_file(&temporary);
        Error::Write { path: path.to_path_buf(), source }
    })
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
