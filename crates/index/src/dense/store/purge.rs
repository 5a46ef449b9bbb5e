//! Rewrites what has deleted rows, however few.

use super::DenseStore;
use crate::Error;

impl DenseStore {
    /// Writes each segment with deleted rows anew, for the next commit. Nothing is buffered or waits to be removed.
    ///
    /// Returns how many segments and how many rows that were.
    pub(crate) fn rewrite_deleted(&mut self) -> Result<(usize, u64), Error> {
        self.wait()?;
        let (mut segments, mut rows) = (0, 0);
        for at in 0..self.segments.len() {
            let deleted = self.segments[at].deleted.deleted();
            if deleted > 0 {
                self.segments[at] = self.place.rewrite(self.next_segment, &self.segments[at..=at])?;
                self.next_segment += 1;
                self.rearranged = true;
                segments += 1;
                rows += deleted;
            }
        }
        Ok((segments, rows))
    }
}
