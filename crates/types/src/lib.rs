//! Plain data shared by all crates: documents, chunks, embeddings, queries, hits. No I/O.

mod card;
mod document;
mod embedding;
mod error;
mod fingerprint;
mod precision;
mod search;

pub use card::{CardFile, CardSource, ModelCard, Pooling, Prompts};
pub use document::{Chunk, Document, DocumentRecord};
pub use embedding::{ContentKey, Embedding, EmbeddingError};
pub use error::ErrorKind;
pub use fingerprint::Fingerprint;
pub use precision::{Precision, UnknownPrecision};
pub use search::{Explanation, Fusion, Hit, HitChunk, Mode, Query, SearchReply, SourceScore};
