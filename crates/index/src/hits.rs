//! What the two halves answer, and what is read back for an answer.

use berth_types::{Chunk, Document, DocumentRecord};

/// A chunk found by one half, or by sparse vectors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChunkHit {
    /// Number of the chunk, unique within the index for ever.
    pub chunk_id: u64,
    /// Number of its document, unique within the index for ever.
    pub document_no: u64,
    /// Cosine in the dense half, BM25 in the lexical half, the scalar product of sparse vectors; higher is better.
    pub score: f32,
    /// Share of the question's words that the chunk has, each counting by its idf, 0 to 1; 0 outside of the lexical half.
    pub coverage: f32,
}

/// A chunk read back with its document.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredChunk {
    /// Number of the chunk.
    pub chunk_id: u64,
    /// Number of its document.
    pub document_no: u64,
    /// Where in the document it stands.
    pub chunk: Chunk,
    /// The document; `document.text[chunk.byte_range]` is the chunk's text.
    pub document: Document,
}

/// A chunk read back with its text alone, and what names its document.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPassage {
    /// Number of the chunk.
    pub chunk_id: u64,
    /// Number of its document.
    pub document_no: u64,
    /// Where in the document it stands.
    pub chunk: Chunk,
    /// The document's id.
    pub id: String,
    /// The document's title; empty when it has none.
    pub title: String,
    /// Where the document came from.
    pub source: Option<String>,
    /// The chunk's text: bytes `chunk.byte_range` of the document's.
    pub text: String,
}

/// A document read back.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDocument {
    /// Number of the document.
    pub document_no: u64,
    /// What was put.
    pub document: Document,
    /// What is remembered beside it.
    pub record: DocumentRecord,
    /// Its chunks by ordinal.
    pub chunks: Vec<Chunk>,
}

impl LexicalAnswer {
    /// The most BM25 that any chunk could have: a share k1 + 1 of every term's weight, of a term that no chunk has too.
    pub fn ceiling(&self) -> f32 {
        self.ceiling_of_words() + self.bonus * (crate::lexical::K1 + 1.0)
    }

    /// The same without what titles add: what a chunk that has all words where they were asked for could have at the most.
    pub fn ceiling_of_words(&self) -> f32 {
        self.weights.iter().sum::<f32>() * (crate::lexical::K1 + 1.0)
    }
}

/// The answer of the lexical half.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LexicalAnswer {
    /// Best first, ties by chunk number.
    pub hits: Vec<ChunkHit>,
    /// The terms that were looked for, as the analyser spells them.
    pub terms: Vec<String>,
    /// What each of them weighs: how often the question has it, times its idf. A term that no chunk has weighs most; a
    /// further form of the same word adds nothing, nor does a word in the title that need not be there.
    pub weights: Vec<f32>,
    /// What all words weigh together that titles add to; 0 without a title boost.
    pub bonus: f32,
    /// What the reader should know: an unbalanced quote that was taken literally, for instance.
    pub warnings: Vec<String>,
}
