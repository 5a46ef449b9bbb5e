//! A vector as a text, and the analyser that makes its terms: each piece as often as its impact says.
//!
//! The text is `id×impact` for each piece, separated by spaces. The engine counts how often it is handed a term, so that
//! a stream that repeats one token costs no memory, however heavy the piece is.

use std::fmt::Write;

use berth_types::SparseVector;
use tantivy::Index;
use tantivy::tokenizer::{TextAnalyzer, Token, TokenStream, Tokenizer};

/// Name of the analyser.
pub(crate) const ANALYZER: &str = "berth-sparse-1";
const TIMES: char = '×';

/// Makes the analyser known to an index.
pub(crate) fn register(index: &Index) {
    index.tokenizers().register(ANALYZER, TextAnalyzer::from(Pieces));
}

/// The text of a vector, for the field of this analyser.
pub(crate) fn text_of(vector: &SparseVector) -> String {
    let mut text = String::new();
    for (id, impact) in vector.pieces() {
        let space = if text.is_empty() { "" } else { " " };
        write!(text, "{space}{id}{TIMES}{impact}").expect("a string takes everything");
    }
    text
}

#[derive(Debug, Clone)]
struct Pieces;

impl Tokenizer for Pieces {
    type TokenStream<'a> = Stream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Stream<'a> {
        Stream { rest: text.split(' '), left: 0, token: Token { position: 0, ..Token::default() } }
    }
}

struct Stream<'a> {
    rest: std::str::Split<'a, char>,
    /// How often the token is still to be given.
    left: u32,
    token: Token,
}

impl TokenStream for Stream<'_> {
    fn advance(&mut self) -> bool {
        while self.left == 0 {
            let Some(piece) = self.rest.next() else { return false };
            let Some((id, impact)) = piece.split_once(TIMES) else { continue };
            self.left = impact.parse().unwrap_or(0);
            self.token.text.clear();
            self.token.text.push_str(id);
        }
        self.left -= 1;
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_given_as_often_as_it_weighs() {
        let check = |pieces: &[(u32, u8)], text: &str, terms: &[&str]| {
            let vector = SparseVector::from_pieces(pieces.to_vec()).unwrap();
            assert_eq!(text_of(&vector), text);
            let mut analyzer = Pieces;
            let mut stream = analyzer.token_stream(text);
            let mut given = Vec::new();
            while stream.advance() {
                given.push(stream.token().text.clone());
            }
            assert_eq!(given, terms);
        };
        check(&[], "", &[]);
        check(&[(7, 1)], "7×1", &["7"]);
        check(&[(7, 2), (30_521, 3)], "7×2 30521×3", &["7", "7", "30521", "30521", "30521"]);
    }
}
