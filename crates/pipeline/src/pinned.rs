//! Documents that are pinned to a question come first, as far as they may be found.

use berth_index::{Selection, View};
use berth_types::Query;

use crate::Error;
use crate::search::Ranked;

/// Puts what is pinned to the question before what was ranked, in the order in which it was pinned. What the filter, the
/// question's demands or the viewer rule out stays out; so does what the index does not hold any more.
pub(crate) fn put_pinned_first(
    view: &View<'_>,
    query: &Query,
    selection: Option<&Selection>,
    ranked: &mut Vec<Ranked>,
) -> Result<(), Error> {
    let snapshot = view.snapshot();
    let mut first = Vec::new();
    for id in snapshot.pinned_to(&query.text)? {
        let Some(document_no) = snapshot.document_number(id)? else { continue };
        if let Some(selection) = selection
            && !snapshot.is_in(selection, document_no)?
        {
            continue;
        }
        let pinned = match ranked.iter().position(|ranked| ranked.document_no == document_no) {
            Some(position) => ranked.remove(position),
            None => match snapshot.first_chunk(document_no)? {
                Some(chunk_id) => Ranked { document_no, chunk_id, ..Ranked::default() },
                // Without text there is nothing to show.
                None => continue,
            },
        };
        first.push(Ranked { pinned: true, ..pinned });
    }
    ranked.splice(0..0, first);
    Ok(())
}
