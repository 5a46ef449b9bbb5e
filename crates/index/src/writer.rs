//! The one writer of an index.

use std::path::Path;

use berth_types::{ContentKey, Document, DocumentRecord, Embedding};

use crate::{Error, IndexSettings, NewChunk};

/// Adds, replaces and removes documents. At most one exists per index directory.
#[derive(Debug)]
pub struct IndexWriter(std::collections::BTreeMap<String, DocumentRecord>);

impl IndexWriter {
    /// Opens the index in `dir` for writing, or creates it.
    ///
    /// # Errors
    /// `Locked`, `FingerprintMismatch`, `SettingsMismatch`, `UnknownFormat`, `NotAnIndex`, `Corrupted`, `Io`.
    pub fn create_or_open(dir: &Path, _settings: &IndexSettings) -> Result<Self, Error> {
        Err(Error::NotFound { path: dir.to_path_buf() })
    }

    /// Every document with its record, by id; includes changes that are not committed yet.
    pub fn records(&self) -> impl Iterator<Item = (&str, &DocumentRecord)> {
        self.0.iter().map(|(id, record)| (id.as_str(), record))
    }

    /// The record of one document; includes changes that are not committed yet.
    pub fn record(&self, id: &str) -> Option<&DocumentRecord> {
        self.0.get(id)
    }

    /// A vector that is stored under this key, committed or put in this run.
    pub fn embedding(&self, _key: &ContentKey) -> Option<Embedding> {
        None
    }

    /// Stores a document with its chunks; replaces a document of the same id.
    ///
    /// # Errors
    /// `InvalidDocument`, `DimensionMismatch`, `Io`, `WriterStopped`.
    pub fn put(&mut self, document: &Document, record: &DocumentRecord, _chunks: Vec<NewChunk>) -> Result<(), Error> {
        self.0.insert(document.id.clone(), record.clone());
        Ok(())
    }

    /// Removes a document; false when there is none of this id.
    ///
    /// # Errors
    /// `Io`, `WriterStopped`.
    pub fn remove(&mut self, id: &str) -> Result<bool, Error> {
        Ok(self.0.remove(id).is_some())
    }

    /// Whether anything was put or removed since the last commit.
    pub fn has_changes(&self) -> bool {
        false
    }

    /// Makes all changes durable and visible at once. Returns the generation; the old one when nothing changed.
    ///
    /// # Errors
    /// `Io`, `Corrupted`, `WriterStopped`.
    pub fn commit(&mut self) -> Result<u64, Error> {
        Ok(0)
    }

    /// Commits, waits for running merges and releases the index.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn finish(mut self) -> Result<(), Error> {
        self.commit().map(drop)
    }
}
