//! Documents of one index into another, by another model: from the stored text, not from the sources.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use berth_index::{IndexSettings, IndexWriter, Snapshot, first_segment_of_next};
use berth_types::{DocumentRecord, FieldDeclaration};

use super::run::{Documents, Run, stored_bytes};
use super::{Encoders, IngestReport, Progress};
use crate::Error;
use crate::policy::Expired;
use crate::prepare::Cutting;
use crate::source::{Listing, content_hash};

/// What an index has to take over from another to hold the same documents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Behind {
    /// Ids of documents that it lacks or has in another version, sorted.
    pub(crate) missing: Vec<String>,
    /// Ids of documents that the other one has no more, sorted.
    pub(crate) gone: Vec<String>,
    /// What the missing ones count together, for progress.
    bytes: u64,
}

impl Behind {
    /// Compares the records of both by content and file; `there` has those that [`whole_records`] gives.
    pub(crate) fn of(there: &BTreeMap<String, DocumentRecord>, here: &BTreeMap<String, DocumentRecord>) -> Self {
        let mut behind = Self::default();
        for (id, record) in there {
            if !here.get(id).is_some_and(|known| is_same(record, known)) {
                behind.bytes += stored_bytes(record);
                behind.missing.push(id.clone());
            }
        }
        behind.gone.extend(here.keys().filter(|id| !there.contains_key(*id)).cloned());
        behind
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.gone.is_empty()
    }
}

/// Whether a document is whole here, and as it is there.
fn is_same(there: &DocumentRecord, here: &DocumentRecord) -> bool {
    there.content_hash == here.content_hash && there.file == here.file && !here.content_hash.is_empty()
}

/// The records of all documents, each with the hash of its content: a part that an interrupted run left has none, and its
/// text is stored whole all the same.
///
/// # Errors
/// Damage that is met while reading.
pub(crate) fn whole_records(snapshot: &Snapshot) -> Result<BTreeMap<String, DocumentRecord>, Error> {
    let mut records = snapshot.records()?;
    for (id, record) in records.iter_mut().filter(|(_, record)| record.content_hash.is_empty()) {
        if let Some(stored) = snapshot.document(id)? {
            record.content_hash = content_hash(&stored.document);
        }
    }
    Ok(records)
}

/// Puts the documents that the index `next` lacks into it as `current` has them, and removes those that are gone.
///
/// # Errors
/// As [`ingest`](super::ingest); damage that is met while documents are read.
pub(crate) fn ingest_stored(
    encoders: Encoders<'_>,
    (current, behind): (&Arc<Snapshot>, Behind),
    next: &Path,
    settings: &IndexSettings,
    commit_every: Duration,
    progress: &mut dyn Progress,
    cancel: &AtomicBool,
) -> Result<IngestReport, Error> {
    let started = Instant::now();
    let mut writer = IndexWriter::create_or_open_next(next, settings, first_segment_of_next(current))?;
    declare_fields(&mut writer, current)?;
    writer.take_over(current)?;
    let removed = remove_all(&mut writer, &behind.gone)?;
    let listing = Listing { bytes: behind.bytes, ..Listing::default() };
    let cutting = Cutting { window_tokens: settings.window_tokens, overlap_tokens: settings.overlap_tokens };
    let mut run = Run::new(encoders, writer, progress, cancel, &listing, commit_every);
    // What has expired goes when the index itself loses it.
    run.begin_with(SystemTime::UNIX_EPOCH, None, Expired::default());
    run.read_documents(Documents::Stored(Arc::clone(current), behind.missing), listing, cutting)?;
    let report = run.finish(started)?;
    Ok(IngestReport { removed, ..report })
}

/// Removes documents that are gone; needs no model.
pub(crate) fn remove_all(writer: &mut IndexWriter, gone: &[String]) -> Result<usize, Error> {
    let mut removed = 0;
    for id in gone {
        removed += usize::from(writer.remove(id)?);
    }
    Ok(removed)
}

/// Fields are of the kinds that they have there, whichever document comes first.
fn declare_fields(writer: &mut IndexWriter, current: &Snapshot) -> Result<(), Error> {
    let fields = current.fields().iter();
    let declared: Vec<_> = fields.map(|(name, &kind)| FieldDeclaration { name: name.clone(), kind }).collect();
    Ok(writer.declare_fields(&declared)?)
}

#[cfg(test)]
mod tests {
    use berth_index::IndexReader;
    use berth_types::Document;

    use super::*;

    fn records(of: &[(&str, &str, &str, u32)]) -> BTreeMap<String, DocumentRecord> {
        let record = |&(id, hash, file, chunks): &(&str, &str, &str, u32)| {
            let (content_hash, file) = (hash.to_owned(), file.to_owned());
            (id.to_owned(), DocumentRecord { content_hash, file, modified_ns: 0, chunks })
        };
        of.iter().map(record).collect()
    }

    #[test]
    fn what_differs_in_content_or_place_is_missing_and_what_is_only_here_is_gone() {
        let there = records(&[("a", "1", "f", 1), ("b", "2", "f", 3), ("c", "3", "g", 1), ("d", "4", "f", 0)]);
        let here = records(&[("a", "1", "f", 2), ("b", "9", "f", 3), ("c", "3", "f", 1), ("z", "5", "f", 1)]);
        let behind = Behind::of(&there, &here);
        assert_eq!((behind.missing, behind.gone), (vec!["b".into(), "c".into(), "d".into()], vec!["z".into()]));
        assert_eq!(behind.bytes, 3 + 1 + 1);
        assert!(Behind::of(&there, &there).is_empty());
    }

    #[test]
    fn a_part_is_whole_here_once_all_of_it_was_embedded() {
        let there = records(&[("a", "1", "f", 500)]);
        assert_eq!(Behind::of(&there, &records(&[("a", "", "f", 64)])).missing, ["a"]);
        assert!(Behind::of(&there, &records(&[("a", "1", "f", 900)])).is_empty());
        assert_eq!(Behind::of(&there, &records(&[("a", "2", "f", 900)])).missing, ["a"], "of another version");
    }

    #[test]
    fn a_part_has_the_hash_of_its_whole_text() {
        let dir = tempfile::tempdir().unwrap();
        let settings =
            r#"{"fingerprint":{"model":"m","parts":{}},"dimensions":4,"window_tokens":8,"overlap_tokens":2}"#;
        let settings: IndexSettings = serde_json::from_str(settings).unwrap();
        let document = Document { id: "a".to_owned(), text: "all of it".to_owned(), ..Document::default() };
        let mut writer = IndexWriter::create_or_open(dir.path(), &settings).unwrap();
        writer.put(&document, &DocumentRecord::default(), Vec::new()).unwrap();
        writer.finish().unwrap();
        let snapshot = IndexReader::open(dir.path()).unwrap().snapshot();
        assert_eq!(snapshot.records().unwrap()["a"].content_hash, "");
        assert_eq!(whole_records(&snapshot).unwrap()["a"].content_hash, content_hash(&document));
    }
}
