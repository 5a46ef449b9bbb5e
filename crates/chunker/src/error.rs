//! Why a text could not be cut.

use berth_types::ErrorKind;
use thiserror::Error;

/// Why a text could not be cut into windows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// A window has no room for a token of the text.
    #[error("a window has room for 0 tokens of the text: allow longer windows, or a shorter prompt or title")]
    NoRoom,
    /// Windows that overlap this much would not advance.
    #[error("windows of {window_tokens} tokens cannot overlap by {overlap_tokens}: the overlap must be smaller")]
    OverlapTooLarge {
        /// The overlap asked for.
        overlap_tokens: usize,
        /// The window asked for.
        window_tokens: usize,
    },
    /// Offsets are 32 bits wide and cannot reach the end of the text.
    #[error("a text of {bytes} bytes is too long to be cut at once: the limit is {}, split it first", u32::MAX)]
    TextTooLong {
        /// Length of the text.
        bytes: usize,
    },
    /// A token's range is reversed or reaches beyond the text.
    #[error("token {token} stands at bytes {start}..{end}, which is no range of a text of {text_bytes} bytes")]
    OutsideText {
        /// Index of the token.
        token: usize,
        /// First byte of its range.
        start: u32,
        /// One past the last byte.
        end: u32,
        /// Length of the text.
        text_bytes: usize,
    },
    /// A token's range begins or ends within a character.
    #[error("token {token} stands at bytes {start}..{end}, which splits a character")]
    InsideCharacter {
        /// Index of the token.
        token: usize,
        /// First byte of its range.
        start: u32,
        /// One past the last byte.
        end: u32,
    },
    /// A token begins before the one that precedes it.
    #[error("token {token} begins at byte {start}, before its predecessor at byte {previous_start}")]
    OutOfOrder {
        /// Index of the token.
        token: usize,
        /// First byte of its range.
        start: u32,
        /// First byte of its predecessor's range.
        previous_start: u32,
    },
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoRoom | Self::OverlapTooLarge { .. } | Self::TextTooLong { .. } => ErrorKind::InvalidInput,
            // Offsets come from a tokenizer that saw the same text; the user can do nothing about them.
            Self::OutsideText { .. } | Self::InsideCharacter { .. } | Self::OutOfOrder { .. } => ErrorKind::Internal,
        }
    }
}
