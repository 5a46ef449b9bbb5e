//! What a user hands in, and what it is cut into.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// One text as the user knows it: a file, or a row of a JSONL file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Document {
    /// Unique within an index. A file's absolute path, or a row's `_id`.
    pub id: String,
    /// Empty when the source states none.
    pub title: String,
    /// The whole text; every byte range refers to it.
    pub text: String,
    /// Whatever else the source stated, as JSON.
    #[serde(default)]
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// The file that the document was read from.
    pub source: Option<String>,
}

/// A window of a document: the unit that is embedded and scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Position among the document's chunks, from 0.
    pub ordinal: u32,
    /// Byte range of the chunk in the document's text. `document.text[byte_range]` is the chunk's text.
    pub byte_range: Range<usize>,
    /// Token ids of the chunk's own text (without special tokens, prompt and title).
    pub tokens: u32,
}

/// What an index remembers of a document beside its text, to plan a later run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DocumentRecord {
    /// Hash of id-independent content (title, text, metadata), lower-case hex.
    pub content_hash: String,
    /// The file the document was read from: an absolute path.
    pub file: String,
    /// Modification time of that file, nanoseconds since the Unix epoch; 0 when unknown.
    pub modified_ns: i64,
    /// Number of chunks stored for the document.
    pub chunks: u32,
}
