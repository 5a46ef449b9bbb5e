//! Makes an index as small and as fast as it can be: one segment a half, without what was deleted.

use tantivy::SegmentMeta;
use tantivy::index::SegmentId;
use tantivy::indexer::NoMergePolicy;

use super::{IndexWriter, merge_policy, start_engine};
use crate::Error;

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
        self.rewrite_lexical(|segments| {
            let is_compact = segments.len() < 2 && !segments.iter().any(SegmentMeta::has_deletes);
            if is_compact { Vec::new() } else { vec![segments.iter().map(SegmentMeta::id).collect()] }
        })?;
        Ok(())
    }

    /// Merges groups of segments of the lexical half, each into one; the engine publishes that under the payload of the last
    /// commit. Returns how many groups there were.
    pub(super) fn rewrite_lexical(
        &mut self,
        groups: impl Fn(&[SegmentMeta]) -> Vec<Vec<SegmentId>>,
    ) -> Result<usize, Error> {
        self.sparse.forget();
        let engine = self.engine.take().expect("the engine runs until the writer is dropped");
        let index = engine.index().clone();
        // A segment that is being merged in the background cannot be merged here.
        engine.wait_merging_threads().map_err(|error| self.fault.explain(error))?;
        let engine = self.engine.insert(start_engine(&index)?);
        engine.set_merge_policy(Box::new(NoMergePolicy));
        let groups = groups(&index.searchable_segment_metas()?);
        for group in &groups {
            engine.merge(group).wait().map_err(|error| self.fault.explain(error))?;
        }
        engine.garbage_collect_files().wait()?;
        engine.set_merge_policy(Box::new(merge_policy()));
        Ok(groups.len())
    }
}
