//! What an index is built with, and what it reports of itself.

use berth_types::{Chunk, ContentKey, Embedding, Fingerprint, RowKind, SparseVector, TokenRows};
use serde::{Deserialize, Serialize};

/// What every row of an index has in common. Fixed when the index is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexSettings {
    /// Everything that shapes a vector.
    pub fingerprint: Fingerprint,
    /// Values in a vector.
    pub dimensions: usize,
    /// Most ids in a window.
    pub window_tokens: usize,
    /// Ids that neighbouring windows share.
    pub overlap_tokens: usize,
    /// How the values of vectors are kept.
    #[serde(default, skip_serializing_if = "RowKind::is_default")]
    pub rows: RowKind,
    /// What the token rows have in common, in an index that has them: for all chunks or for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenSettings>,
    /// What the sparse vectors have in common, in an index that has them: for all chunks or for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse: Option<SparseSettings>,
}

/// What the token rows of an index have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// Everything that shapes a token's row.
    pub fingerprint: Fingerprint,
    /// Values in a row, 1 to 65,536.
    pub dimensions: usize,
}

/// What the sparse vectors of an index have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparseSettings {
    /// Everything that shapes a sparse vector.
    pub fingerprint: Fingerprint,
}

/// A sparse vector with what names the text that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparseRow {
    /// Names what the model read.
    pub key: ContentKey,
    /// The vector.
    pub vector: SparseVector,
}

/// A chunk with its vector, on its way into an index.
#[derive(Debug, Clone, PartialEq)]
pub struct NewChunk {
    /// Where in its document it stands.
    pub chunk: Chunk,
    /// Names what was embedded.
    pub key: ContentKey,
    /// The vector.
    pub embedding: Embedding,
    /// The vectors of its tokens; present exactly where the index has token rows.
    pub tokens: Option<TokenRows>,
    /// Its sparse vector; present exactly where the index has them.
    pub sparse: Option<SparseRow>,
}

/// What an index holds and how much room it takes.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct IndexStatus {
    /// Documents, those without text included.
    pub documents: u64,
    /// Chunks.
    pub chunks: u64,
    /// Chunks alive in the lexical half; equals `chunks`.
    pub lexical_chunks: u64,
    /// Rows alive in the dense half; equals `chunks`.
    pub dense_rows: u64,
    /// Rows that were deleted and still take room.
    pub deleted_rows: u64,
    /// Segments of the lexical half.
    pub lexical_segments: usize,
    /// Segments of the dense half.
    pub dense_segments: usize,
    /// Bytes on disk of the lexical half.
    pub lexical_bytes: u64,
    /// Bytes on disk of the dense half, without token rows.
    pub dense_bytes: u64,
    /// Rows that are searched over a graph; the others are scanned.
    pub graph_rows: u64,
    /// Share of the ten nearest rows that a search over the graphs finds, by a sample of their own rows when they were
    /// built; absent while there is no graph.
    #[serde(rename = "graph_recall@10", skip_serializing_if = "Option::is_none")]
    pub graph_recall_at_10: Option<f64>,
    /// Token rows on disk, those of deleted chunks included; 0 in an index without.
    pub token_rows: u64,
    /// Bytes on disk of the token rows.
    pub token_bytes: u64,
    /// Number of the commit.
    pub generation: u64,
    /// Version of the format on disk.
    pub format: u32,
}
