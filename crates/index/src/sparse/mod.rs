//! Learned-sparse vectors: postings whose term frequencies are impacts, and the vector of each chunk beside them.
//!
//! Both lie in the lexical half's entries, so that they are merged, deleted, committed and copied with their chunks. A term
//! is the id of a piece of the vocabulary; a chunk's frequency of it is its impact, the weight in steps
//! ([`SparseVector`](berth_types::SparseVector)). A question's weights are in steps too, so that a score is a sum of whole
//! numbers: exact, in whichever segment and order.

mod read;
mod search;
mod stored;
mod terms;

pub(crate) use read::{Recent, count_pieces, stored_vector, vector_at};
pub use search::SparseTermScore;
pub(crate) use stored::{decode, encode};
pub(crate) use terms::{ANALYZER, register, text_of};

#[cfg(test)]
mod tests;
