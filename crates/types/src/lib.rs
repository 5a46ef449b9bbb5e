//! Plain data shared by all crates: documents, chunks, embeddings, queries, hits. No I/O.

mod card;
mod device;
mod document;
mod embedding;
mod error;
mod field;
mod fingerprint;
mod head;
mod own_operators;
mod pooling;
mod precision;
mod quantization;
mod ranking;
mod rows;
mod search;
mod size;
mod tokens;

pub use card::{CardFile, CardSource, InputMeaning, LateCard, ModelCard, Problem, Prompts, ReadyMade};
pub use device::{Device, UnknownDevice};
pub use document::{Chunk, Document, DocumentRecord};
pub use embedding::{ContentKey, Embedding, EmbeddingError};
pub use error::ErrorKind;
pub use field::{Facet, FacetCount, FieldDeclaration, FieldKind, Narrowing, NotAField, Sort};
pub use fingerprint::Fingerprint;
pub use head::{Head, UnknownHead};
pub use own_operators::OwnOperators;
pub use pooling::Pooling;
pub use precision::{Precision, UnknownPrecision};
pub use quantization::{MeasuredRanges, Quantization};
pub use ranking::{Aggregate, Fusion, Normalize, Shaping};
pub use rows::{DenseSearch, FirstStage, RowKind, UnknownFirstStage, UnknownRowKind};
pub use search::{Explanation, Hit, HitChunk, Mode, Query, Rerank, Reranker, SearchReply, Semantic, SourceScore};
pub use size::{ByteSize, NotASize};
pub use tokens::{TokenMatrix, TokenRows};
