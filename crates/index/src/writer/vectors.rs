//! The vectors of chunks: whether those that come are as the index has them, and those that it has already.

use berth_types::{ContentKey, Embedding, TokenRows};

use super::{IndexWriter, engine};
use crate::sparse::stored_vector;
use crate::{Error, NewChunk, SparseRow, open};

impl IndexWriter {
    /// A vector that is stored under this key, committed or put in this run.
    pub fn embedding(&self, key: &ContentKey) -> Option<Embedding> {
        self.dense.embedding(key)
    }

    /// The token rows that are stored under this key, committed or put in this run; none in an index without.
    pub fn token_rows(&self, key: &ContentKey) -> Option<TokenRows> {
        self.dense.tokens(key)
    }

    /// The sparse vector that is stored with a chunk of this key, committed or put since; none in an index without. A
    /// damaged one counts as none, and so does one that was put longer ago than memory reaches and is not committed.
    pub fn sparse_row(&mut self, key: &ContentKey) -> Option<SparseRow> {
        self.schema.sparse?;
        if let Some(row) = self.sparse.get(key) {
            return Some(row.clone());
        }
        let chunk_id = self.dense.chunk_of_key(key)?;
        let index = engine(self.engine.as_ref()).index();
        let (dir, manifest, files) = (&self.dir, &self.manifest, &self.files);
        let lookup = self.sparse.lookup(|| open::lookup(dir, index, manifest, files).ok())?;
        stored_vector(lookup, chunk_id).ok().flatten()
    }

    /// Whether chunks have the vectors that the index has, in their lengths.
    pub(super) fn check_vectors(&self, chunks: &[NewChunk]) -> Result<(), Error> {
        let expected = self.manifest.settings.dimensions;
        if let Some(wrong) = chunks.iter().find(|chunk| chunk.embedding.dimensions() != expected) {
            return Err(Error::DimensionMismatch { expected, received: wrong.embedding.dimensions() });
        }
        self.check_tokens(chunks)?;
        self.check_sparse(chunks)
    }

    fn check_tokens(&self, chunks: &[NewChunk]) -> Result<(), Error> {
        let path = || self.dir.clone();
        let expected = self.manifest.settings.tokens.as_ref().map(|tokens| tokens.dimensions);
        for chunk in chunks {
            match (expected, chunk.tokens.as_ref().map(TokenRows::dimensions)) {
                (None, None) => {}
                (Some(expected), Some(received)) if expected == received => {}
                (Some(expected), Some(received)) => return Err(Error::DimensionMismatch { expected, received }),
                (Some(_), None) => return Err(Error::TokenRowsNeeded { path: path() }),
                (None, Some(_)) => return Err(Error::NoTokenRows { path: path() }),
            }
        }
        Ok(())
    }

    fn check_sparse(&self, chunks: &[NewChunk]) -> Result<(), Error> {
        let expected = self.schema.sparse.is_some();
        let path = || self.dir.clone();
        match chunks.iter().find(|chunk| chunk.sparse.is_some() != expected) {
            None => Ok(()),
            Some(_) if expected => Err(Error::SparseVectorsNeeded { path: path() }),
            Some(_) => Err(Error::NoSparseVectors { path: path() }),
        }
    }
}
