//! What a commit consists of: the manifest that names the dense files, and the payload that names the manifest.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::analysis::Analyses;
use crate::beside::BesideEntry;
use crate::blocks::{BlockFile, Seal};
use crate::directory::{LEXICAL_FOLDER, META_FILE};
use crate::late::MAX_DIMENSIONS;
use crate::{Error, FieldKinds, IndexSettings, Policy};

/// Versions of everything on disk that this release reads. A change that an older release would misread raises it.
pub(crate) const FORMATS: RangeInclusive<u32> = FORMAT..=NEWEST_FORMAT;
/// Of an index without token rows that was made before there were metadata fields.
const FORMAT: u32 = 1;
/// Of an index with token rows that was made before there were metadata fields.
const FORMAT_WITH_TOKENS: u32 = 2;
/// Of an index that is made now: metadata fields, graphs, with token rows or without.
pub(crate) const NEWEST_FORMAT: u32 = 3;
/// Folder of the dense half inside an index.
pub(crate) const DENSE_FOLDER: &str = "dense";

/// Everything that belongs to one commit beside the lexical segments, which `meta.json` lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    pub(crate) generation: u64,
    pub(crate) settings: IndexSettings,
    /// Kinds of the metadata fields, declared or seen so far.
    #[serde(default, skip_serializing_if = "FieldKinds::is_empty")]
    pub(crate) fields: FieldKinds,
    /// The ways in which documents were analysed so far.
    #[serde(default, skip_serializing_if = "Analyses::is_empty")]
    pub(crate) analyses: Analyses,
    /// Who may find the documents, and until when.
    #[serde(default, skip_serializing_if = "Policy::is_default")]
    pub(crate) policy: Policy,
    /// Files beside the documents.
    #[serde(default, skip_serializing_if = "BesideEntry::is_empty")]
    pub(crate) beside: BesideEntry,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentEntry {
    pub(crate) number: u64,
    pub(crate) rows: u64,
    pub(crate) file: FileEntry,
    /// Present in an index with token rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tokens: Option<TokensEntry>,
    /// Present once a segment that is large enough has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) graph: Option<GraphEntry>,
    /// Absent while no row is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deleted: Option<DeletedEntry>,
}

/// The token rows of a dense segment's chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokensEntry {
    /// Of all chunks, deleted ones included.
    pub(crate) rows: u64,
    pub(crate) file: FileEntry,
}

/// The graph over a dense segment's rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GraphEntry {
    /// Links of a node that joins.
    pub(crate) m: usize,
    /// Nodes among which it chose them.
    pub(crate) ef_construction: usize,
    /// Nodes that got another link because they could not be reached, or were not found.
    pub(crate) relinked: u64,
    /// Nodes that a narrow search for themselves does not find even so.
    pub(crate) missed: u64,
    /// Share of the ten nearest rows that a search of the usual width finds, over a sample of the segment's own rows.
    pub(crate) recall_at_10: f64,
    pub(crate) file: FileEntry,
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

impl SegmentEntry {
    /// Every file of it.
    pub(crate) fn files(&self) -> impl Iterator<Item = &FileEntry> {
        std::iter::once(&self.file)
            .chain(self.tokens.as_ref().map(|tokens| &tokens.file))
            .chain(self.graph.as_ref().map(|graph| &graph.file))
            .chain(self.deleted.as_ref().map(|deleted| &deleted.file))
    }
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
    /// Whether an index of these settings may have this format.
    fn is_format_of(format: u32, settings: &IndexSettings) -> bool {
        match format {
            FORMAT => settings.tokens.is_none(),
            FORMAT_WITH_TOKENS => settings.tokens.is_some(),
            _ => true,
        }
    }

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
        let payload = Payload { format: self.format, manifest };
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
        let manifest: Self = parse(&path, &bytes)?;
        manifest.check_tokens(&path)?;
        Ok(Some(manifest))
    }

    /// An index has token rows for all chunks or for none, and its format says which.
    fn check_tokens(&self, path: &Path) -> Result<(), Error> {
        let expected = self.settings.tokens.is_some();
        let wrong = self.segments.iter().find(|segment| segment.tokens.is_some() != expected);
        if let Some(segment) = wrong {
            let has = if expected { "has no" } else { "has" };
            return Err(Error::corrupted(path, format!("its segment {} {has} token rows", segment.number)));
        }
        if let Some(tokens) = self.settings.tokens.as_ref()
            && !(1..=MAX_DIMENSIONS).contains(&tokens.dimensions)
        {
            return Err(Error::corrupted(path, format!("its token rows have {} values", tokens.dimensions)));
        }
        let has_new = !self.fields.is_empty()
            || !self.analyses.is_empty()
            || self.segments.iter().any(|segment| segment.graph.is_some());
        if !Self::is_format_of(self.format, &self.settings) || has_new && self.format != NEWEST_FORMAT {
            return Err(Error::corrupted(path, format!("its settings are not of format {}", self.format)));
        }
        Ok(())
    }

    /// Names of all files in the dense folder.
    pub(crate) fn dense_files(&self) -> impl Iterator<Item = &FileEntry> {
        self.segments.iter().flat_map(SegmentEntry::files)
    }

    /// Token rows of all segments, deleted ones included.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &TokensEntry> {
        self.segments.iter().filter_map(|segment| segment.tokens.as_ref())
    }
}

/// Whether an index of this format has metadata fields.
pub(crate) fn has_fields(format: u32) -> bool {
    format >= NEWEST_FORMAT
}

/// Whether an index of this format knows the languages of its documents; of others all is English.
pub(crate) fn has_languages(format: u32) -> bool {
    format >= NEWEST_FORMAT
}

/// Whether large segments of an index of this format have graphs.
pub(crate) fn has_graphs(format: u32) -> bool {
    format >= NEWEST_FORMAT
}

/// The formats that this release reads, in words.
pub(crate) fn supported() -> String {
    format!("{} to {}", FORMATS.start(), FORMATS.end())
}

/// Looks at the format alone first, so that a newer one is named even when nothing else of it can be read.
fn check_format(path: &Path, json: &[u8]) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = parse(path, json)?;
    if !FORMATS.contains(&format) {
        return Err(Error::UnknownFormat {
            file: path.to_path_buf(),
            found: format.to_string(),
            supported: supported(),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As the first release wrote it, without the final line feed.
    const OF_THE_FIRST_RELEASE: &str = r#"{
  "format": 1,
  "generation": 3,
  "settings": {
    "fingerprint": {
      "model": "m",
      "parts": {
        "precision": "int8"
      }
    },
    "dimensions": 384,
    "window_tokens": 256,
    "overlap_tokens": 64
  },
  "lexical": {
    "analyzer": "a",
    "schema": "s"
  },
  "counts": {
    "documents": 2,
    "textless": 0,
    "chunks": 3
  },
  "next": {
    "document_no": 2,
    "chunk_id": 3,
    "segment": 1
  },
  "segments": [
    {
      "number": 0,
      "rows": 3,
      "file": {
        "name": "00000000.rows",
        "bytes": 5000,
        "hash": "00"
      }
    }
  ]
}"#;

    fn parsed(json: &str) -> Result<Manifest, Error> {
        let path = Path::new("manifest-3.json");
        check_format(path, json.as_bytes())?;
        let manifest: Manifest = parse(path, json.as_bytes())?;
        manifest.check_tokens(path)?;
        Ok(manifest)
    }

    #[test]
    fn an_index_without_token_rows_is_written_as_ever() {
        let manifest = parsed(OF_THE_FIRST_RELEASE).unwrap();
        assert_eq!(manifest.settings.tokens, None);
        let (bytes, payload) = manifest.serialized();
        assert_eq!(String::from_utf8(bytes).unwrap(), format!("{OF_THE_FIRST_RELEASE}\n"));
        assert!(payload.starts_with(r#"{"format":1,"#), "{payload}");
    }

    #[test]
    fn token_rows_are_in_every_segment_of_the_format_that_has_them() {
        let settings = r#""tokens": {"fingerprint": {"model": "m", "parts": {}}, "dimensions": 128}"#;
        let tokens = r#""tokens": {"rows": 40, "file": {"name": "00000000.tokens", "bytes": 9000, "hash": "00"}}"#;
        let (of_format_2, with_settings, with_tokens) = (
            (r#""format": 1"#, r#""format": 2"#.to_owned()),
            (r#""overlap_tokens": 64"#, format!(r#""overlap_tokens": 64, {settings}"#)),
            (r#""rows": 3,"#, format!(r#""rows": 3, {tokens},"#)),
        );
        let changed = |changes: &[&(&str, String)]| {
            let change = |json: String, (from, to): &&(&str, String)| json.replace(from, to);
            parsed(&changes.iter().fold(OF_THE_FIRST_RELEASE.to_owned(), change))
        };
        let manifest = changed(&[&of_format_2, &with_settings, &with_tokens]).unwrap();
        assert_eq!(manifest.tokens().map(|tokens| tokens.rows).sum::<u64>(), 40);
        assert_eq!(manifest.dense_files().count(), 2);
        for changes in [
            &[&of_format_2] as &[_],
            &[&with_settings, &with_tokens],
            &[&of_format_2, &with_settings],
            &[&of_format_2, &with_tokens],
        ] {
            assert!(matches!(changed(changes), Err(Error::Corrupted { .. })), "{changes:?}");
        }
        let without_values = (with_settings.0, with_settings.1.replace("128", "0"));
        assert!(matches!(changed(&[&of_format_2, &without_values, &with_tokens]), Err(Error::Corrupted { .. })));
    }
}
