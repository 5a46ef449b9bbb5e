//! Questions about each token of a text of any length: it is read in windows that overlap, and each token's answer comes
//! from the window that shows most of the text around it.

use berth_types::Head;

use super::{Asked, EntityAnswer, TokensAnswer};
use crate::heads::entities::{Strategy, Tagged, entities};
use crate::windows::{TokenWindow, token_windows};
use crate::{Encoder, Error, Lane, Row, Tensor, Tokens};

/// Tokens that two windows share, at most a quarter of a window: 32 on each side of the seam are a sentence or two.
const OVERLAP_TOKENS: usize = 64;

impl Encoder {
    /// Asks for the entities of a text of any length. Wants head `entities`.
    ///
    /// # Errors
    /// `WrongHead`, or what [`submit`](Self::submit) says.
    pub fn ask_entities(&self, text: &str, strategy: Strategy) -> Result<Asked<EntityAnswer>, Error> {
        let labels = self.card().labels.clone();
        self.ask_windows(Head::Entities, text, move |tokens, windows, logits, _| {
            let (offsets, word_of) = (&tokens.offsets, &tokens.word_of);
            let tagged = Tagged { logits: &logits, offsets, word_of, labels: &labels };
            Ok(EntityAnswer { entities: entities(&tagged, strategy), tokens: tokens.ids.len(), windows })
        })
    }

    /// Asks for the last states of a text's tokens; the text may have any length. Wants head `tokens`.
    ///
    /// # Errors
    /// `WrongHead`, or what [`submit`](Self::submit) says.
    pub fn ask_tokens(&self, text: &str) -> Result<Asked<TokensAnswer>, Error> {
        self.ask_windows(Head::Tokens, text, |tokens, _, values, dimensions| {
            Ok(TokensAnswer { tokens, dimensions, values })
        })
    }

    /// Runs `text` in windows and hands `read` its tokens, the number of windows, and one line of `width` numbers a
    /// token.
    fn ask_windows<T: 'static>(
        &self,
        head: Head,
        text: &str,
        read: impl FnOnce(Tokens, usize, Vec<f32>, usize) -> Result<T, Error> + Send + 'static,
    ) -> Result<Asked<T>, Error> {
        self.wants(head)?;
        let tokens = self.tokenizer().tokenize(text)?;
        let room = self.text_room(0);
        let windows = token_windows(&tokens.word_of, room, OVERLAP_TOKENS.min(room / 4));
        let (prefix, suffix) = (self.tokenizer().prefix(), self.tokenizer().suffix());
        let mut parts = Vec::with_capacity(windows.len());
        for window in &windows {
            let ids = [prefix, &tokens.ids[window.tokens.clone()], suffix].concat();
            parts.push(self.submit(Row::from(ids), Lane::Bulk)?);
        }
        let first = prefix.len();
        let read = move |answers: Vec<Vec<Tensor>>| {
            let (values, width) = counted_lines(&windows, first, answers);
            read(tokens, windows.len(), values, width)
        };
        Ok(Asked { parts, read: Box::new(read) })
    }
}

/// The lines that count of each window's answer, `[tokens, width]`, one after the other.
fn counted_lines(windows: &[TokenWindow], first: usize, answers: Vec<Vec<Tensor>>) -> (Vec<f32>, usize) {
    let mut values = Vec::new();
    let mut width = 0;
    for (window, tensors) in windows.iter().zip(answers) {
        let tensor = tensors.into_iter().next().unwrap_or_default();
        width = tensor.shape.last().copied().unwrap_or(0);
        let line = |token: usize| (first + token - window.tokens.start) * width;
        values.extend_from_slice(&tensor.values[line(window.counted.start)..line(window.counted.end)]);
    }
    (values, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_is_answered_by_one_window() {
        let windows = [TokenWindow { tokens: 0..4, counted: 0..3 }, TokenWindow { tokens: 2..6, counted: 3..6 }];
        // A line is (window, position in the row); one special token stands on each side.
        let tensor = |window: u8| Tensor {
            shape: vec![6, 2],
            values: (0..6_u8).flat_map(|place| [f32::from(window), f32::from(place)]).collect(),
        };
        let (values, width) = counted_lines(&windows, 1, vec![vec![tensor(0)], vec![tensor(1)]]);
        assert_eq!(width, 2);
        assert_eq!(values, [0.0, 1.0, 0.0, 2.0, 0.0, 3.0, 1.0, 2.0, 1.0, 3.0, 1.0, 4.0]);
    }
}
