//! What an index holds beside its documents: the policy, and texts in files of their own that the manifest names.
//!
//! Such a file is written once, by the commit that changes it, and named by every manifest until another replaces it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::manifest::FileEntry;
use crate::{Error, IndexWriter, Policy, Snapshot};

/// Longest text beside an index.
pub(crate) const MOST_BYTES: usize = 16 << 20;

/// Names of the files beside the documents, in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BesideEntry {
    /// Synonyms, as they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) synonyms: Option<FileEntry>,
    /// Pinned results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pins: Option<FileEntry>,
}

impl BesideEntry {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &FileEntry> {
        self.synonyms.iter().chain(&self.pins)
    }
}

/// The kinds of such files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Synonyms,
    Pins,
}

impl Kind {
    /// Before the number of the commit that wrote it, and behind it.
    const fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::Synonyms => ("synonyms-", ".txt"),
            Self::Pins => ("pins-", ".json"),
        }
    }
}

/// Whether a name is that of such a file: `synonyms-17.txt`, `pins-17.json`.
pub(crate) fn is_file(name: &str) -> bool {
    [Kind::Synonyms, Kind::Pins].into_iter().any(|kind| {
        let (before, behind) = kind.parts();
        let number = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// The texts of a commit, read and compared with their hashes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    pub(crate) synonyms: Option<Arc<str>>,
    pub(crate) pins: Option<Arc<str>>,
}

impl Texts {
    /// # Errors
    /// `Corrupted`; `Io` of kind `NotFound` when a file is gone.
    pub(crate) fn read(dir: &Path, entry: &BesideEntry) -> Result<Self, Error> {
        let text = |file: &Option<FileEntry>| file.as_ref().map(|file| read(dir, file)).transpose();
        Ok(Self { synonyms: text(&entry.synonyms)?, pins: text(&entry.pins)? })
    }

    /// Each with the name of its file.
    pub(crate) fn named<'a>(&'a self, entry: &'a BesideEntry) -> impl Iterator<Item = (&'a FileEntry, &'a str)> {
        let pairs = [(&entry.synonyms, &self.synonyms), (&entry.pins, &self.pins)];
        pairs.into_iter().filter_map(|(file, text)| Some((file.as_ref()?, text.as_deref()?)))
    }
}

fn read(dir: &Path, entry: &FileEntry) -> Result<Arc<str>, Error> {
    let path = dir.join(&entry.name);
    let bytes = fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
    if bytes.len() as u64 != entry.bytes || blake3::hash(&bytes).to_hex().as_str() != entry.hash {
        return Err(Error::corrupted(&path, "its bytes do not match the hash in the manifest"));
    }
    let text = String::from_utf8(bytes).map_err(|_| Error::corrupted(&path, "it is not UTF-8"))?;
    Ok(text.into())
}

/// What a writer will name in its next commit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beside {
    pub(crate) policy: Policy,
    entry: BesideEntry,
    /// Texts that are to replace others; none removes.
    waiting: Vec<(Kind, Option<String>)>,
}

impl Beside {
    pub(crate) fn of(policy: &Policy, entry: &BesideEntry) -> Self {
        Self { policy: policy.clone(), entry: entry.clone(), waiting: Vec::new() }
    }

    /// Puts a text in the place of the one that is there, or removes that.
    pub(crate) fn replace(&mut self, kind: Kind, text: Option<String>) {
        self.waiting.retain(|(other, _)| *other != kind);
        self.waiting.push((kind, text));
    }

    /// Brings what is waiting to the disk, for the commit of this number. The directory is not synced.
    pub(crate) fn write(&mut self, dir: &Path, disk: &Disk, generation: u64) -> Result<BesideEntry, Error> {
        let mut entry = self.entry.clone();
        for (kind, text) in &self.waiting {
            let file = match text {
                None => None,
                Some(text) => {
                    let (before, behind) = kind.parts();
                    let name = format!("{before}{generation}{behind}");
                    let path = dir.join(&name);
                    disk.remove_if_there(&path)?;
                    disk.write_new(&path, text.as_bytes())?;
                    let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
                    Some(FileEntry { name, bytes: text.len() as u64, hash })
                }
            };
            match kind {
                Kind::Synonyms => entry.synonyms = file,
                Kind::Pins => entry.pins = file,
            }
        }
        Ok(entry)
    }

    /// The commit is made.
    pub(crate) fn committed(&mut self, entry: &BesideEntry) {
        self.entry = entry.clone();
        self.waiting.clear();
    }
}

impl IndexWriter {
    /// Takes policy, synonyms and pins over from another index, in the place of its own, from the next commit on: what is
    /// hidden there is hidden here. Documents that it has, by id, are put in the languages that it has them in.
    ///
    /// # Errors
    /// `NoFields`, `FieldKindMismatch`, `InvalidField` when the index cannot have the fields that the policy needs.
    pub fn take_over(&mut self, from: &Arc<Snapshot>) -> Result<(), Error> {
        self.set_policy(from.policy())?;
        self.beside.policy = from.policy().clone();
        let texts = from.texts();
        for (kind, text) in [(Kind::Synonyms, &texts.synonyms), (Kind::Pins, &texts.pins)] {
            self.beside.replace(kind, text.as_deref().map(str::to_owned));
        }
        self.taken_over = Some(Arc::clone(from));
        self.mark_changed();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_own_files_by_name() {
        for ours in ["synonyms-1.txt", "synonyms-234.txt", "pins-5.json"] {
            assert!(is_file(ours), "{ours}");
        }
        for foreign in ["synonyms.txt", "synonyms-.txt", "synonyms-1.txt.bak", "pins-1.txt", "pins-a.json", "pins-1"] {
            assert!(!is_file(foreign), "{foreign}");
        }
    }
}
