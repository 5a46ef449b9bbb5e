//! One commit, as readers see it.

use std::ops::Range;

use berth_types::Embedding;

use crate::{ChunkHit, Error, IndexSettings, IndexStatus, LexicalAnswer, StoredChunk, StoredDocument};

/// One commit of an index, both halves; never changes.
#[derive(Debug)]
pub struct Snapshot {
    settings: IndexSettings,
    status: IndexStatus,
}

impl Snapshot {
    /// What the index was built with.
    pub fn settings(&self) -> &IndexSettings {
        &self.settings
    }

    /// Number of the commit.
    pub fn generation(&self) -> u64 {
        self.status.generation
    }

    /// What the index holds and how much room it takes.
    pub fn status(&self) -> IndexStatus {
        self.status.clone()
    }

    /// The `depth` chunks of highest cosine, best first, ties by chunk number. Exact: every row is compared.
    ///
    /// # Errors
    /// `DimensionMismatch`, `Corrupted`.
    pub fn dense(&self, _query: &Embedding, _depth: usize) -> Result<Vec<ChunkHit>, Error> {
        Ok(Vec::new())
    }

    /// The cosine of each of the chunks, in their order; `None` for a chunk that this commit does not hold.
    ///
    /// # Errors
    /// `DimensionMismatch`, `Corrupted`.
    pub fn dense_scores(&self, _query: &Embedding, chunk_ids: &[u64]) -> Result<Vec<Option<f32>>, Error> {
        Ok(vec![None; chunk_ids.len()])
    }

    /// The `depth` chunks of highest BM25 score, best first.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn lexical(&self, _text: &str, _depth: usize) -> Result<LexicalAnswer, Error> {
        Ok(LexicalAnswer::default())
    }

    /// One chunk with its document.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn chunk(&self, _chunk_id: u64) -> Result<Option<StoredChunk>, Error> {
        Ok(None)
    }

    /// One document with what is remembered of it.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn document(&self, _id: &str) -> Result<Option<StoredDocument>, Error> {
        Ok(None)
    }

    /// At most `limit` ids that end with `suffix`, sorted; an empty suffix fits all.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn document_ids(&self, _suffix: &str, _limit: usize) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    /// Byte ranges of `text` that a query matches by its words, in order and without overlap.
    pub fn highlight(&self, _query: &str, _text: &str) -> Vec<Range<usize>> {
        Vec::new()
    }
}
