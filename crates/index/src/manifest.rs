//! What a commit consists of: the manifest that names the dense files, and the payload that names the manifest.

use std::fs;
use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::blocks::{BlockFile, Seal};
use crate::directory::{LEXICAL_FOLDER, META_FILE};
use crate::{Error, IndexSettings};

/// Version of everything on disk. A change that an older release would misread raises it.
pub(crate) const FORMAT: u32 = 1;
/// Folder of the dense half inside an index.
pub(crate) const DENSE_FOLDER: &str = "dense";

/// Everything that belongs to one commit beside the lexical segments, which `meta.json` lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    pub(crate) generation: u64,
    pub(crate) settings: IndexSettings,
    pub(crate) lexical: LexicalEntry,
    pub(crate) counts: Counts,
    pub(crate) next: NextNumbers,
    /// Oldest first; chunk numbers ascend from each to the next.
    pub(crate) segments: Vec<SegmentEntry>,
}

/// How the lexical half spells and arranges its terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LexicalEntry {
    /// Name of the analyser, which changes when its terms do.
    pub(crate) analyzer: String,
    /// BLAKE3 of the schema's JSON.
    pub(crate) schema: String,
}

/// What must be found alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) documents: u64,
    /// Documents that have no chunk; their heads are entries of the lexical half all the same.
    pub(crate) textless: u64,
    pub(crate) chunks: u64,
}

/// Numbers that were never given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NextNumbers {
    pub(crate) document_no: u64,
    pub(crate) chunk_id: u64,
    pub(crate) segment: u64,
}

/// A dense segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentEntry {
    pub(crate) number: u64,
    pub(crate) rows: u64,
    pub(crate) file: FileEntry,
    /// Absent while no row is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deleted: Option<DeletedEntry>,
}

/// The tombstones of a dense segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeletedEntry {
    pub(crate) rows: u64,
    pub(crate) file: FileEntry,
}

/// A file, by name, length and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEntry {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) hash: String,
}

impl FileEntry {
    pub(crate) fn new(name: String, seal: &Seal) -> Self {
        Self { name, bytes: seal.bytes, hash: seal.hash.to_hex().to_string() }
    }

    /// Whether this is the very file that the manifest means.
    pub(crate) fn check(&self, file: &BlockFile) -> Result<(), Error> {
        let seal = file.seal();
        if seal.bytes != self.bytes || seal.hash.to_hex().as_str() != self.hash {
            return Err(Error::corrupted(file.path(), "it is not the file that the manifest names"));
        }
        Ok(())
    }
}

/// What the commit's payload in `meta.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Payload {
    pub(crate) format: u32,
    pub(crate) manifest: FileEntry,
}

impl Manifest {
    pub(crate) fn file_name(generation: u64) -> String {
        format!("manifest-{generation}.json")
    }

    /// The manifest's bytes, and the payload that names them.
    pub(crate) fn serialized(&self) -> (Vec<u8>, String) {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a manifest is plain data");
        bytes.push(b'\n');
        let manifest = FileEntry {
            name: Self::file_name(self.generation),
            bytes: bytes.len() as u64,
            hash: blake3::hash(&bytes).to_hex().to_string(),
        };
        let payload = Payload { format: FORMAT, manifest };
        (bytes, serde_json::to_string(&payload).expect("a payload is plain data"))
    }

    /// The manifest of the commit in `meta`, the unsealed bytes of `meta.json`.
    ///
    /// `None` when no commit was made yet: the creation of the index did not come to its end.
    ///
    /// # Errors
    /// `Corrupted`, `UnknownFormat`; `Io` of kind `NotFound` when the manifest is gone.
    pub(crate) fn of_commit(dir: &Path, meta: &[u8]) -> Result<Option<Self>, Error> {
        #[derive(Deserialize)]
        struct Meta {
            payload: Option<String>,
        }
        let meta_path = dir.join(LEXICAL_FOLDER).join(META_FILE);
        let meta: Meta = parse(&meta_path, meta)?;
        let Some(payload) = meta.payload else { return Ok(None) };
        check_format(&meta_path, payload.as_bytes())?;
        let payload: Payload = parse(&meta_path, payload.as_bytes())?;
        let path = dir.join(&payload.manifest.name);
        let bytes = fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
        if bytes.len() as u64 != payload.manifest.bytes
            || blake3::hash(&bytes).to_hex().as_str() != payload.manifest.hash
        {
            return Err(Error::corrupted(&path, "its bytes do not match the hash in meta.json"));
        }
        check_format(&path, &bytes)?;
        parse(&path, &bytes).map(Some)
    }

    /// Names of all files in the dense folder.
    pub(crate) fn dense_files(&self) -> impl Iterator<Item = &FileEntry> {
        self.segments.iter().flat_map(|segment| {
            std::iter::once(&segment.file).chain(segment.deleted.as_ref().map(|deleted| &deleted.file))
        })
    }
}

/// Looks at the format alone first, so that a newer one is named even when nothing else of it can be read.
fn check_format(path: &Path, json: &[u8]) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = parse(path, json)?;
    if format != FORMAT {
        return Err(Error::UnknownFormat {
            file: path.to_path_buf(),
            found: format.to_string(),
            supported: FORMAT.to_string(),
        });
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(path: &Path, json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| Error::corrupted(path, format!("it cannot be understood: {error}")))
}

/// A file that a commit names must be there.
pub(crate) fn missing_is_corrupted(error: Error) -> Error {
    match error {
        Error::Io { path, source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Error::Corrupted { file: path, reason: "the last commit names it, but it is not there".to_string() }
        }
        other => other,
    }
}
