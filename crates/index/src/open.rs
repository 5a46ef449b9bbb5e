//! Finds the last commit of an index, creates an index where there is none, and refuses what does not fit.

use std::collections::HashSet;
use std::fmt::Display;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use berth_types::Fingerprint;
use tantivy::index::SegmentComponent;
use tantivy::{Index, ReloadPolicy};

use crate::analysis::Analyses;
use crate::beside::BesideEntry;
use crate::blocks::BlockFile;
use crate::directory::{FirstFault, LEXICAL_FOLDER, LexicalDirectory, META_FILE, OpenFiles, read_meta};
use crate::disk::{Disk, parent_of};
use crate::late::MAX_DIMENSIONS;
use crate::lock::{LOCK_FILE, WriterLock};
use crate::lookup::Lookup;
use crate::manifest::{Counts, DENSE_FOLDER, Manifest, NEWEST_FORMAT, NextNumbers, missing_is_corrupted, supported};
use crate::schema::LexicalSchema;
use crate::{
    Error, FieldKinds, FingerprintDifference, IndexSettings, Policy, SparseSettings, TokenSettings, alternate,
    analysis, garbage, kept,
};

/// An index that is open for writing, before anything runs.
pub(crate) struct OpenedForWriting {
    pub(crate) index: Index,
    pub(crate) lookup: Lookup,
    pub(crate) manifest: Manifest,
    pub(crate) lock: Arc<WriterLock>,
    pub(crate) fault: Arc<FirstFault>,
    pub(crate) files: Arc<OpenFiles>,
}

/// Takes the lock and opens the last commit, or makes the first.
///
/// `first_segment` is the first number of a dense segment where the index is made.
pub(crate) fn for_writing(
    dir: &Path,
    settings: &IndexSettings,
    first_segment: u64,
    disk: &Disk,
) -> Result<OpenedForWriting, Error> {
    kept::refuse_snapshot(dir)?;
    make_room(dir, disk)?;
    let lock = Arc::new(WriterLock::take(dir)?);
    alternate::settle(dir, disk)?;
    // Under the lock, so that two that create the same index do it one after the other.
    let manifest = match last_manifest(dir)? {
        Some(manifest) => manifest,
        None => create(dir, settings, (NEWEST_FORMAT, first_segment), disk, &lock)?,
    };
    check_settings(dir, &manifest.settings, settings)?;
    garbage::remove_unfinished_meta(dir, disk);
    let directory = LexicalDirectory::writable(dir, disk.clone(), Arc::clone(&lock));
    let fault = directory.first_fault();
    let files = Arc::clone(directory.files());
    let index = Index::open(directory)?;
    analysis::register(&index);
    let lookup = lookup(dir, &index, &manifest, &files).map_err(missing_is_corrupted)?;
    Ok(OpenedForWriting { index, lookup, manifest, lock, fault, files })
}

/// The manifest of the last commit; `None` when there is none yet.
fn last_manifest(dir: &Path) -> Result<Option<Manifest>, Error> {
    let Some(meta) = read_meta(dir)? else {
        if let Some(manifest) = any_manifest(dir)? {
            let reason = format!("it is not there, yet {manifest} is");
            return Err(Error::corrupted(&dir.join(LEXICAL_FOLDER).join(META_FILE), reason));
        }
        return Ok(None);
    };
    Manifest::of_commit(dir, &meta).map_err(missing_is_corrupted)
}

/// Makes the directory, unless it holds something else.
fn make_room(dir: &Path, disk: &Disk) -> Result<(), Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return create_levels(dir, disk),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(Error::is_a_file(dir)),
        Err(error) => return Err(Error::io("list", dir, error)),
    };
    // An index may have strangers beside it, a new one may not settle among them.
    if dir.join(LEXICAL_FOLDER).join(META_FILE).exists() || any_manifest(dir)?.is_some() {
        return Ok(());
    }
    for entry in entries {
        let name = entry.map_err(|error| Error::io("list", dir, error))?.file_name();
        if !name.to_str().is_some_and(|name| [LEXICAL_FOLDER, DENSE_FOLDER, LOCK_FILE].contains(&name)) {
            return Err(Error::holds_something_else(dir));
        }
    }
    if garbage::folders_are_ours(dir)? { Ok(()) } else { Err(Error::holds_something_else(dir)) }
}

/// Creates a directory with the levels above it that are missing, each durable before there is anything in it.
pub(crate) fn create_levels(dir: &Path, disk: &Disk) -> Result<(), Error> {
    let mut missing = vec![dir];
    let mut deepest = parent_of(dir);
    while !deepest.is_dir() && deepest != parent_of(deepest) {
        missing.push(deepest);
        deepest = parent_of(deepest);
    }
    // An earlier run may have created it and died before its name was on the disk.
    disk.sync_name(deepest)?;
    for level in missing.into_iter().rev() {
        disk.create_directory(level)?;
        disk.sync_name(level)?;
    }
    Ok(())
}

/// The name of some manifest in `dir`.
pub(crate) fn any_manifest(dir: &Path) -> Result<Option<String>, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::io("list", dir, error)),
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| garbage::is_manifest(name)).min())
}

/// Makes an index without documents. Until its first commit, nothing of it counts.
fn create(
    dir: &Path,
    settings: &IndexSettings,
    (format, first_segment): (u32, u64),
    disk: &Disk,
    lock: &Arc<WriterLock>,
) -> Result<Manifest, Error> {
    let token_dimensions = settings.tokens.as_ref().map_or(1, |tokens| tokens.dimensions);
    assert!((1..=MAX_DIMENSIONS).contains(&token_dimensions), "token rows of {token_dimensions} values");
    garbage::clear(dir, disk);
    // An earlier run may have created the directory and died before its name was on the disk.
    disk.sync_name(dir)?;
    disk.create_directory(&dir.join(LEXICAL_FOLDER))?;
    disk.create_directory(&dir.join(DENSE_FOLDER))?;
    disk.sync_directory(dir)?;
    let schema = LexicalSchema::of_format(format, settings.sparse.is_some());
    let directory = LexicalDirectory::writable(dir, disk.clone(), Arc::clone(lock));
    let fault = directory.first_fault();
    let explain = |error| fault.explain(error);
    let index = Index::create(directory, schema.schema.clone(), LexicalSchema::engine_settings()).map_err(explain)?;
    analysis::register(&index);
    let manifest = Manifest {
        format,
        generation: 1,
        settings: settings.clone(),
        fields: FieldKinds::new(),
        analyses: Analyses::default(),
        policy: Policy::default(),
        beside: BesideEntry::default(),
        lexical: schema.entry(),
        counts: Counts { documents: 0, textless: 0, chunks: 0 },
        next: NextNumbers { document_no: 0, chunk_id: 0, segment: first_segment },
        segments: Vec::new(),
    };
    let payload = write_manifest(dir, disk, &manifest)?;
    // The least memory that the engine takes: nothing is indexed yet.
    let mut engine: tantivy::IndexWriter = index.writer_with_num_threads(1, 15_000_000)?;
    let mut prepared = engine.prepare_commit().map_err(explain)?;
    prepared.set_payload(&payload);
    prepared.commit().map_err(explain)?;
    engine.wait_merging_threads().map_err(explain)?;
    Ok(manifest)
}

/// Brings a manifest to the disk. Returns the payload that names it.
pub(crate) fn write_manifest(dir: &Path, disk: &Disk, manifest: &Manifest) -> Result<String, Error> {
    let (bytes, payload) = manifest.serialized();
    let path = dir.join(Manifest::file_name(manifest.generation));
    disk.remove_if_there(&path)?;
    disk.write_new(&path, &bytes)?;
    disk.sync_directory(dir)?;
    Ok(payload)
}

/// Opens the engine's segments of a commit.
pub(crate) fn lookup(dir: &Path, index: &Index, manifest: &Manifest, files: &OpenFiles) -> Result<Lookup, Error> {
    let schema = LexicalSchema::of_format(manifest.format, manifest.settings.sparse.is_some());
    if schema.entry() != manifest.lexical {
        return Err(Error::UnknownFormat {
            file: dir.join(Manifest::file_name(manifest.generation)),
            found: format!("{} with analyser {}", manifest.format, manifest.lexical.analyzer),
            supported: format!("{} with analyser {}", supported(), schema.analyzer),
        });
    }
    let folder = dir.join(LEXICAL_FOLDER);
    let files = open_files(&folder, index, files)?;
    let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
    Ok(Lookup { searcher: reader.searcher(), schema, folder, files })
}

/// Opens every file of the engine's segments. The engine would take a missing file of positions for an empty one, and
/// opens some files late, when a writer may have removed them.
fn open_files(folder: &Path, index: &Index, files: &OpenFiles) -> Result<Vec<Arc<BlockFile>>, Error> {
    let metas = index.load_metas()?;
    // The engine lists names that a segment may have; these it has not.
    let undeleted = metas.segments.iter().filter(|segment| !segment.has_deletes());
    let absent: HashSet<_> = undeleted.map(|segment| segment.relative_path(SegmentComponent::Delete)).collect();
    let mut names: Vec<_> = metas.list_segment_files().into_iter().collect();
    names.retain(|name| !absent.contains(name) && name.extension().is_none_or(|extension| extension != "temp"));
    names.sort_unstable();
    names.iter().map(|name| files.open(&folder.join(name))).collect()
}

fn check_fingerprint(dir: &Path, stored: &Fingerprint, requested: &Fingerprint) -> Result<(), Error> {
    let differences: Vec<FingerprintDifference> = stored
        .differences(requested)
        .into_iter()
        .map(|(part, stored, requested)| FingerprintDifference {
            part: part.to_string(),
            stored: stored.to_string(),
            requested: requested.to_string(),
        })
        .collect();
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::FingerprintMismatch { path: dir.to_path_buf(), differences })
}

fn check_settings(dir: &Path, stored: &IndexSettings, requested: &IndexSettings) -> Result<(), Error> {
    check_fingerprint(dir, &stored.fingerprint, &requested.fingerprint)?;
    check_setting(dir, "vectors of length", &stored.dimensions, &requested.dimensions)?;
    check_setting(dir, "a window of", &stored.window_tokens, &requested.window_tokens)?;
    check_setting(dir, "an overlap of", &stored.overlap_tokens, &requested.overlap_tokens)?;
    check_setting(dir, "rows of", &stored.rows, &requested.rows)?;
    check_token_settings(dir, stored.tokens.as_ref(), requested.tokens.as_ref())?;
    check_sparse_settings(dir, stored.sparse.as_ref(), requested.sparse.as_ref())
}

fn check_setting<T: PartialEq + Display>(
    dir: &Path,
    setting: &'static str,
    stored: &T,
    requested: &T,
) -> Result<(), Error> {
    if stored == requested {
        return Ok(());
    }
    let (stored, requested) = (stored.to_string(), requested.to_string());
    Err(Error::SettingsMismatch { path: dir.to_path_buf(), setting, stored, requested })
}

/// Token rows of all chunks or of none, and of one model.
fn check_token_settings(
    dir: &Path,
    stored: Option<&TokenSettings>,
    requested: Option<&TokenSettings>,
) -> Result<(), Error> {
    let path = dir.to_path_buf();
    match (stored, requested) {
        (None, None) => Ok(()),
        (Some(stored), Some(requested)) => {
            check_fingerprint(dir, &stored.fingerprint, &requested.fingerprint)?;
            check_setting(dir, "token rows of length", &stored.dimensions, &requested.dimensions)
        }
        (None, Some(_)) => Err(Error::NoTokenRows { path }),
        (Some(_), None) => Err(Error::TokenRowsNeeded { path }),
    }
}

/// Sparse vectors of all chunks or of none, and of one model.
fn check_sparse_settings(
    dir: &Path,
    stored: Option<&SparseSettings>,
    requested: Option<&SparseSettings>,
) -> Result<(), Error> {
    let path = dir.to_path_buf();
    match (stored, requested) {
        (None, None) => Ok(()),
        (Some(stored), Some(requested)) => check_fingerprint(dir, &stored.fingerprint, &requested.fingerprint),
        (None, Some(_)) => Err(Error::NoSparseVectors { path }),
        (Some(_), None) => Err(Error::SparseVectorsNeeded { path }),
    }
}

#[cfg(test)]
mod tests {
    use berth_types::{Chunk, ContentKey, Document, DocumentRecord, Embedding};

    use super::*;
    use crate::crash_tests::settings;
    use crate::{IndexReader, IndexWriter, NewChunk, verify};

    /// What releases without metadata fields made is read and written as they did.
    #[test]
    fn an_index_of_an_older_format_stays_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Arc::new(WriterLock::take(dir.path()).unwrap());
        create(dir.path(), &settings(), (1, 0), &Disk::default(), &lock).unwrap();
        drop(lock);
        for (id, text) in [("a", "some text"), ("b", "other text"), ("a", "new text")] {
            let mut writer = IndexWriter::create_or_open(dir.path(), &settings()).unwrap();
            let error = writer.declare_fields(&["year:integer".parse().unwrap()]).unwrap_err();
            assert!(matches!(error, Error::NoFields { .. }), "{error}");
            let (title, metadata) = ("North quay".to_owned(), serde_json::from_str("{\"year\":[2020]}").unwrap());
            let document = Document { id: id.to_owned(), title, text: text.to_owned(), metadata, source: None };
            let chunk = NewChunk {
                chunk: Chunk { ordinal: 0, byte_range: 0..text.len(), tokens: 2 },
                key: ContentKey([7; 16]),
                embedding: Embedding::normalized(vec![1.0, 2.0, 3.0]).unwrap(),
                tokens: None,
                sparse: None,
            };
            writer.put(&document, &DocumentRecord::default(), vec![chunk]).unwrap();
            assert_eq!(writer.take_field_warnings(), []);
            writer.finish().unwrap();
        }
        let snapshot = IndexReader::open(dir.path()).unwrap().snapshot();
        assert_eq!((snapshot.status().format, snapshot.status().documents, snapshot.fields().len()), (1, 2, 0));
        assert_eq!(snapshot.lexical("new text", 9).unwrap().hits.len(), 2);
        assert_eq!(snapshot.document("a").unwrap().unwrap().document.metadata["year"][0], 2020);
        let error = snapshot.selection(Some("year:2020"), None).unwrap_err().to_string();
        assert!(error.contains("no field 'year'") && error.contains("index again into a new folder"), "{error}");
        let count = |filter: &str| snapshot.selection(Some(filter), None).unwrap().unwrap().documents();
        assert_eq!((count("id:a"), count("title:\"quay north\""), count("NOT title:quay")), (1, 2, 0));
        assert!(!snapshot.question("year:2020 text").has_operators());
        let question = snapshot.question("+new -other");
        assert_eq!(snapshot.lexical_within(&question, Some("id:*"), 9).unwrap().hits.len(), 1);
        assert_eq!(verify(dir.path()).unwrap().problems, []);
        let manifest = fs::read_to_string(dir.path().join(Manifest::file_name(4))).unwrap();
        assert!(!manifest.contains("fields"), "{manifest}");
    }
}
