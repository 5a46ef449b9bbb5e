//! Text, rows and disk: lexical and dense halves under one commit, and the fusion of their lists.
//!
//! An index is a directory. [`IndexWriter`] puts documents with their chunks and vectors into it and commits both halves
//! at once; [`IndexReader`] opens the last commit as a [`Snapshot`], which answers and never changes. `docs/format.md`
//! has the bytes.

mod alternate;
mod analysis;
mod beside;
mod blocks;
#[cfg(test)]
mod crash_tests;
pub mod dates;
mod dense;
mod directory;
mod disk;
pub mod diversity;
pub mod duplicates;
mod error;
mod fields;
pub mod fusion;
mod garbage;
pub mod highlight;
mod hits;
mod kept;
mod late;
mod lexical;
mod lock;
mod lookup;
mod manifest;
mod open;
mod pins;
mod policy;
mod query_language;
mod reader;
mod records;
pub mod relevance;
mod schema;
mod select;
mod settings;
mod snapshot;
mod sparse;
mod stored;
mod synonyms;
mod verify;
mod view;
mod vocabulary;
mod weights;
mod writer;

pub use alternate::{Alternate, Exchange, drop_alternate, find_alternate, first_segment_of_next, is_exchanging};
pub use analysis::detect_language;
pub use dense::{DenseOptions, GraphBuilder, GraphParameters};
pub use error::{Error, FingerprintDifference};
pub use fields::{FieldKinds, FieldWarning, Unsearchable, has_field};
pub use fusion::{DocScore, Fused, HalfList, SparseList};
pub use hits::{ChunkHit, LexicalAnswer, StoredChunk, StoredDocument, StoredPassage};
pub use kept::{
    Keeping, KeptSnapshot, ListedSnapshot, is_snapshot, keep_snapshot, list_snapshots, refuse_snapshot,
    restore_snapshot, verify_snapshot,
};
pub use lexical::TermScore;
pub use pins::{MOST_PINNED, Pin, Pins};
pub use policy::Policy;
pub use query_language::LanguageFault;
pub use reader::{IndexReader, exists};
pub use records::EmbeddedChunk;
pub use select::{FieldValue, Question, Selection};
pub use settings::{IndexSettings, IndexStatus, NewChunk, SparseRow, SparseSettings, TokenSettings};
pub use snapshot::Snapshot;
pub use sparse::SparseTermScore;
pub use synonyms::{Synonym, SynonymFault, Synonyms};
pub use verify::{VerifiedFile, VerifyProblem, VerifyReport, verify};
pub use view::View;
pub use vocabulary::WordCount;
pub use weights::{StoredWeights, clear_weights, store_relevance, store_weights, stored_weights};
pub use writer::{IndexWriter, PurgeReport};
