//! Text, rows and disk: lexical and dense halves under one commit, and the fusion of their lists.

pub mod analysis;
mod error;
pub mod fusion;
pub mod highlight;
mod hits;
pub mod lexical;
mod reader;
mod settings;
mod snapshot;
mod verify;
mod writer;

pub use error::{Error, FingerprintDifference};
pub use hits::{ChunkHit, LexicalAnswer, StoredChunk, StoredDocument};

pub use reader::{IndexReader, exists};
pub use settings::{IndexSettings, IndexStatus, NewChunk};
pub use snapshot::Snapshot;
pub use verify::{VerifiedFile, VerifyProblem, VerifyReport, verify};
pub use writer::IndexWriter;
