//! Makes an index as small and as fast as it can be: one segment a half, without what was deleted.

use crate::{Error, IndexWriter};

impl IndexWriter {
    /// Commits, merges all segments of each half into one, drops what was deleted, and commits that. Returns the generation.
    ///
    /// Dense segments grow to four million rows at most, which bounds the memory that their graphs take while they are built.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn compact(&mut self) -> Result<u64, Error> {
        self.commit()?;
        let compacted = self.compact_halves();
        self.stop_on_error(compacted)?;
        self.commit()
    }

    fn compact_halves(&mut self) -> Result<(), Error> {
        while self.dense.compact()? {}
        self.merge_lexical()
    }
}
