//! Long texts in several vectors: one for each window, cut as documents are.

use std::ops::Range;

use berth_chunker::WindowOptions;
use berth_encoder::{Encoder, PendingRow};
use berth_types::Embedding;

use crate::Error;

/// The vector of a part of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct TextWindow {
    /// Bytes of the text.
    pub bytes: Range<usize>,
    /// Tokens in them.
    pub tokens: usize,
    /// Unit-norm vector.
    pub embedding: Embedding,
}

/// Cuts `text` into windows of at most `window_tokens` ids a row that share `overlap_tokens`, and hands them to the model.
/// What is returned waits for them. A text without tokens has no window.
///
/// # Errors
/// What the tokenizer says; settings that leave no room for text.
pub fn ask_windows(
    encoder: &Encoder,
    text: &str,
    (window_tokens, overlap_tokens): (usize, usize),
) -> Result<crate::Asking<Vec<TextWindow>>, Error> {
    let tokens = encoder.tokenizer().tokenize(text)?;
    let body = window_tokens.min(encoder.card().max_tokens).saturating_sub(encoder.reserved_tokens(0));
    let options = WindowOptions { window_tokens: body, overlap_tokens: overlap_tokens.min(body / 2) };
    let mut parts: Vec<(Range<usize>, usize, PendingRow)> = Vec::new();
    for window in berth_chunker::windows(text, &tokens.offsets, &options)? {
        let row = encoder.passage_row(&[], &tokens.ids[window.tokens.clone()])?;
        parts.push((window.bytes, window.tokens.len(), encoder.submit_passage(row)?));
    }
    Ok(Box::new(move || {
        let wait = |(bytes, tokens, pending): (Range<usize>, usize, PendingRow)| {
            Ok(TextWindow { bytes, tokens, embedding: pending.wait()? })
        };
        parts.into_iter().map(wait).collect()
    }))
}
