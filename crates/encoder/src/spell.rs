//! The row of a text spelled out: each id with its piece, its bytes and its part in the row.

use std::ops::Range;

use serde::Serialize;

use crate::{Error, TextTokenizer, Tokens};

/// One id of a row, as people look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowToken {
    /// The piece of the vocabulary, as its file has it.
    pub piece: String,
    /// The id.
    pub id: u32,
    /// First byte of the text that it stands for; 0 for a special token.
    pub start: usize,
    /// Byte after the last; `start` for a special token.
    pub end: usize,
    /// Token type: 1 in the second text of a pair where the model tells the two apart.
    pub r#type: u8,
    /// Whether the model put it there, and not the text.
    pub special: bool,
    /// Whether it stands for something outside the vocabulary.
    pub unknown: bool,
}

impl RowToken {
    /// Bytes of the text that it stands for.
    pub fn bytes(&self) -> Range<usize> {
        self.start..self.end
    }
}

impl TextTokenizer {
    /// The row of `text` as the model reads it, special tokens included, of any length.
    ///
    /// # Errors
    /// As [`Self::tokenize`].
    pub fn spell(&self, text: &str) -> Result<Vec<RowToken>, Error> {
        Ok(self.spell_tokens(&self.tokenize(text)?))
    }

    /// The row of tokens that are known already.
    pub(crate) fn spell_tokens(&self, tokens: &Tokens) -> Vec<RowToken> {
        let mut row: Vec<RowToken> = self.prefix().iter().map(|&id| self.special(id, 0)).collect();
        row.extend(self.of_text(tokens, 0));
        row.extend(self.suffix().iter().map(|&id| self.special(id, 0)));
        row
    }

    /// The row of two texts; bytes of each token are those of its own text.
    ///
    /// # Errors
    /// As [`Self::tokenize`].
    pub fn spell_pair(&self, first: &str, second: &str) -> Result<Vec<RowToken>, Error> {
        let template = self.pair_template();
        let specials = |ids: &[(u32, u8)]| ids.iter().map(|&(id, kind)| self.special(id, kind)).collect::<Vec<_>>();
        let mut row = specials(&template.before);
        row.extend(self.of_text(&self.tokenize(first)?, template.first_type));
        row.extend(specials(&template.between));
        row.extend(self.of_text(&self.tokenize(second)?, template.second_type));
        row.extend(specials(&template.after));
        Ok(row)
    }

    fn of_text(&self, tokens: &Tokens, kind: u8) -> Vec<RowToken> {
        let token = |(&id, bytes): (&u32, &Range<u32>)| RowToken {
            piece: self.piece(id).unwrap_or_default(),
            id,
            start: bytes.start as usize,
            end: bytes.end as usize,
            r#type: kind,
            special: false,
            unknown: Some(id) == self.unknown_id(),
        };
        tokens.ids.iter().zip(&tokens.offsets).map(token).collect()
    }

    fn special(&self, id: u32, kind: u8) -> RowToken {
        let piece = self.piece(id).unwrap_or_default();
        RowToken { piece, id, start: 0, end: 0, r#type: kind, special: true, unknown: false }
    }
}
