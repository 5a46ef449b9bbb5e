//! Long texts in several vectors: one for each window, cut as documents are.

use std::collections::VecDeque;
use std::ops::Range;

use berth_chunker::WindowOptions;
use berth_encoder::{Encoder, PendingRow};
use berth_types::Embedding;

use crate::{Asking, Error};

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

/// Windows of a text that are handed in before somebody waits for it.
const FIRST_WINDOWS: usize = 2;

/// Cuts `text` into windows of at most `window_tokens` ids a row that share `overlap_tokens`, and hands them to the model,
/// a bounded number at once. A text without tokens is one window of special tokens alone, as it has a vector where it is
/// not cut.
///
/// # Errors
/// What the tokenizer says; settings that leave no room for text.
pub fn ask_windows<'a>(
    encoder: &'a Encoder,
    text: &str,
    (window_tokens, overlap_tokens): (usize, usize),
) -> Result<Asking<'a, Vec<TextWindow>>, Error> {
    let tokens = encoder.tokenizer().tokenize(text)?;
    let body = window_tokens.min(encoder.card().max_tokens).saturating_sub(encoder.reserved_tokens(0));
    let options = WindowOptions { window_tokens: body, overlap_tokens: overlap_tokens.min(body / 2) };
    let mut parts: Vec<Part> = berth_chunker::windows(text, &tokens.offsets, &options)?
        .into_iter()
        .map(|window| Part { bytes: window.bytes, tokens: window.tokens })
        .collect();
    if parts.is_empty() {
        parts.push(Part { bytes: 0..text.len(), tokens: 0..0 });
    }
    let mut parts = parts.into_iter();
    let mut waiting: VecDeque<(Part, PendingRow)> = VecDeque::new();
    let mut hand_in = move |waiting: &mut VecDeque<(Part, PendingRow)>, ahead: usize| -> Result<(), Error> {
        while waiting.len() < ahead
            && let Some(part) = parts.next()
        {
            let row = encoder.passage_row(&[], &tokens.ids[part.tokens.clone()])?;
            waiting.push_back((part, encoder.submit_passage(row)?));
        }
        Ok(())
    };
    hand_in(&mut waiting, FIRST_WINDOWS)?;
    let mut windows = Vec::new();
    Ok(Asking::in_parts(move || {
        // Every worker has a window, and the next one is there when it is done.
        hand_in(&mut waiting, encoder.rows_under_way())?;
        let Some((part, pending)) = waiting.pop_front() else { return Ok(Some(std::mem::take(&mut windows))) };
        windows.push(TextWindow { bytes: part.bytes, tokens: part.tokens.len(), embedding: pending.wait()? });
        Ok(None)
    }))
}

/// Where a window lies in its text.
struct Part {
    bytes: Range<usize>,
    tokens: Range<usize>,
}
