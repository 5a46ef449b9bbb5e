//! Text and token offsets in, overlapping windows out.
//!
//! Pure: no model, no tokenizer, no files. A caller tokenises a text, hands in where in the text each token stands, and gets
//! back windows of at most so many tokens that together hold the whole text. What is put before a window (special tokens,
//! prompt, title) is the caller's to subtract.

mod cuts;
mod error;
mod sentences;
mod windows;

pub use error::Error;
pub use sentences::sentences;
pub use windows::{Window, WindowOptions, windows};
