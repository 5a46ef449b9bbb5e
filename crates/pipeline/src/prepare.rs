//! One document → windows → the ids that the model will read, with the key of each.

use std::collections::HashMap;

use berth_chunker::WindowOptions;
use berth_encoder::Encoder;
use berth_types::{Chunk, ContentKey, Document, DocumentRecord, Embedding};

use crate::sparse::SparsePassage;
use crate::{Error, SparseEncoder};

/// Largest share of a window that a title may take; what is longer is left to the lexical half.
/// A quarter of 256 ids holds the titles of all collections that Berth was measured on.
pub(crate) const TITLE_SHARE: usize = 4;

/// How documents are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cutting {
    pub(crate) window_tokens: usize,
    pub(crate) overlap_tokens: usize,
}

/// How a document compares with what the index has under its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The index has none.
    Added,
    /// The index has other content.
    Changed,
    /// The index has the same content, read from another file.
    Moved,
}

/// A document on its way into the index.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) document: Document,
    pub(crate) record: DocumentRecord,
    /// What it took of its file.
    pub(crate) bytes: u64,
    pub(crate) change: Change,
    /// Vectors that came with it, by what was embedded.
    pub(crate) vectors: HashMap<ContentKey, Embedding>,
}

/// A document that is ready for the model.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) incoming: Incoming,
    pub(crate) chunks: Vec<PreparedChunk>,
    pub(crate) pieces: usize,
    pub(crate) unknown: usize,
    pub(crate) words: usize,
    pub(crate) title_was_cut: bool,
    /// Chunks that the sparse model will not read whole.
    pub(crate) sparse_cut: usize,
}

/// A chunk, the row of ids for it, and the key under which its vector may be known already.
#[derive(Debug)]
pub(crate) struct PreparedChunk {
    pub(crate) chunk: Chunk,
    pub(crate) key: ContentKey,
    pub(crate) row: Vec<u32>,
    /// The same for the sparse model, where the index has one.
    pub(crate) sparse: Option<SparsePassage>,
}

/// Tokenises and cuts a document. A document without any token gets no chunk.
pub(crate) fn prepare(
    (encoder, sparse): (&Encoder, Option<&SparseEncoder>),
    fingerprint_hash: &[u8; 32],
    cutting: Cutting,
    incoming: Incoming,
) -> Result<Prepared, Error> {
    let document = &incoming.document;
    let body = encoder.tokenizer().tokenize(&document.text)?;
    let mut title = encoder.tokenizer().tokenize(&document.title)?.ids;
    let free_tokens = cutting.window_tokens.saturating_sub(encoder.reserved_tokens(0));
    let title_tokens = (cutting.window_tokens / TITLE_SHARE).min(free_tokens / 2);
    let title_was_cut = title.len() > title_tokens;
    title.truncate(title_tokens);

    let reserved_tokens = encoder.reserved_tokens(title.len());
    let body_tokens = cutting.window_tokens.saturating_sub(reserved_tokens);
    let options =
        WindowOptions { window_tokens: body_tokens, overlap_tokens: cutting.overlap_tokens.min(body_tokens / 2) };
    let windows = berth_chunker::windows(&document.text, &body.offsets, &options)?;
    let mut chunks = Vec::with_capacity(windows.len());
    let mut sparse_cut = 0;
    for (ordinal, window) in windows.into_iter().enumerate() {
        let row = encoder.passage_row(&title, &body.ids[window.tokens.clone()])?;
        let key = content_key(fingerprint_hash, &row);
        let sparse = sparse.map(|sparse| sparse.passage(&document.title, &document.text[window.bytes.clone()]));
        let sparse = sparse.transpose()?;
        sparse_cut += usize::from(sparse.as_ref().is_some_and(|passage| passage.is_cut));
        let chunk = Chunk { ordinal: ordinal as u32, byte_range: window.bytes, tokens: window.tokens.len() as u32 };
        chunks.push(PreparedChunk { chunk, key, row, sparse });
    }
    let (pieces, unknown, words) = (body.ids.len(), body.unknown, body.words);
    Ok(Prepared { incoming, chunks, pieces, unknown, words, title_was_cut, sparse_cut })
}

/// Names a row: everything that shapes its vector, and the ids that the model reads.
pub(crate) fn content_key(fingerprint_hash: &[u8; 32], row: &[u32]) -> ContentKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(fingerprint_hash);
    for id in row {
        hasher.update(&id.to_le_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    ContentKey(key)
}
