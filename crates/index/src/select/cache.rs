//! What a snapshot remembers of filters: whose every entry and row is, and the sets that were asked for last.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::Selection;
use super::condition::Condition;
use super::table::DocumentTable;
use crate::Error;
use crate::dense::LiveSegment;
use crate::lookup::Lookup;

/// Most memory of the sets that are kept. A set takes some three bits a document where it has one chunk, so that 100 filters
/// over a million documents fit.
const KEPT_BYTES: usize = 40_000_000;
/// Most sets that are kept: each question with operators or a filter looks through their conditions.
const KEPT_SETS: usize = 256;

/// Made as filters are asked for.
#[derive(Default)]
pub(crate) struct Selections {
    table: OnceLock<DocumentTable>,
    /// The last one used stands last.
    kept: Mutex<Vec<(Condition, Arc<Selection>)>>,
}

impl Selections {
    pub(crate) fn table(&self, lookup: &Lookup, dense: &[LiveSegment]) -> Result<&DocumentTable, Error> {
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        // Two that come at once both make it, and one of both tables is kept.
        let table = DocumentTable::build(lookup, dense)?;
        Ok(self.table.get_or_init(|| table))
    }

    /// The set of a condition, made unless it is kept.
    pub(crate) fn get_or_make(
        &self,
        condition: Condition,
        make: impl FnOnce(&Condition) -> Result<Selection, Error>,
    ) -> Result<Arc<Selection>, Error> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(position) = kept.iter().position(|(known, _)| *known == condition) {
            let known = kept.remove(position);
            let selection = Arc::clone(&known.1);
            kept.push(known);
            return Ok(selection);
        }
        drop(kept);
        let selection = Arc::new(make(&condition)?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((condition, Arc::clone(&selection)));
        let bytes = self.table.get().map_or(0, DocumentTable::set_bytes).max(1);
        let most = (KEPT_BYTES / bytes).clamp(1, KEPT_SETS);
        let superfluous = kept.len().saturating_sub(most);
        kept.drain(..superfluous);
        Ok(selection)
    }
}
