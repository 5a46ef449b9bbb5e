//! Questions about each token of a text of any length: it is read in windows that overlap, and each token's answer comes
//! from the window that shows most of the text around it.

use std::collections::VecDeque;
use std::ops::Range;

use berth_types::{ByteSize, Head};

use super::{Asked, EntityAnswer, TokensAnswer};
use crate::heads::entities::{Strategy, Tagged, entities};
use crate::windows::{TokenWindow, token_windows};
use crate::{Encoder, Error, Lane, Pending, Row, Tensor, Tokens, resident_bytes};

/// Tokens that two windows share, at most a quarter of a window: 32 on each side of the seam are a sentence or two.
const OVERLAP_TOKENS: usize = 64;
/// Windows of a text that are handed in before somebody waits for it: many texts may be on their way, and the answer to
/// a window holds up to some megabytes.
const FIRST_WINDOWS: usize = 2;

impl Encoder {
    /// Asks for the entities of a text of any length. Wants head `entities`.
    ///
    /// # Errors
    /// `WrongHead`, or what [`submit`](Self::submit) says.
    pub fn ask_entities(&self, text: &str, strategy: Strategy) -> Result<Asked<'_, EntityAnswer>, Error> {
        let labels = &self.card().labels;
        let tokens = self.tokenizer().tokenize(text)?;
        let visible = |bytes: &Range<u32>| {
            let is_space = text[bytes.start as usize..bytes.end as usize].trim().is_empty();
            if is_space { bytes.end..bytes.end } else { bytes.clone() }
        };
        let offsets: Vec<Range<u32>> = tokens.offsets.iter().map(visible).collect();
        self.ask_windows(Head::Entities, tokens, move |answered| {
            let Answered { tokens, windows, lines } = answered;
            let tagged = Tagged { logits: &lines.values, offsets: &offsets, word_of: &tokens.word_of, labels };
            EntityAnswer { entities: entities(&tagged, strategy), tokens: tokens.ids.len(), windows }
        })
    }

    /// Asks for the last states of a text's tokens; the text may have any length. Wants head `tokens`.
    ///
    /// # Errors
    /// `WrongHead`, or what [`submit`](Self::submit) says.
    pub fn ask_tokens(&self, text: &str) -> Result<Asked<'_, TokensAnswer>, Error> {
        self.ask_windows(Head::Tokens, self.tokenizer().tokenize(text)?, |Answered { tokens, lines, .. }| {
            TokensAnswer { tokens, dimensions: lines.width, values: lines.values }
        })
    }

    /// Runs `tokens` in windows, of which a bounded number is on its way at once, and hands `read` what came of them.
    fn ask_windows<'a, T: 'a>(
        &'a self,
        head: Head,
        tokens: Tokens,
        read: impl FnOnce(Answered) -> T + 'a,
    ) -> Result<Asked<'a, T>, Error> {
        self.wants(head)?;
        let room = self.text_room(0);
        let windows = token_windows(&tokens.word_of, room, OVERLAP_TOKENS.min(room / 4));
        let mut asked = LongText {
            encoder: self,
            tokens,
            windows,
            handed_in: 0,
            waiting: VecDeque::new(),
            lines: CountedLines::default(),
        };
        asked.hand_in(FIRST_WINDOWS)?;
        let mut state = Some((asked, read));
        Ok(Asked {
            next: Box::new(move || {
                if let Some((asked, _)) = &mut state
                    && !asked.take_one()?
                {
                    return Ok(None);
                }
                Ok(state.take().map(|(asked, read)| read(asked.answered())))
            }),
        })
    }
}

/// Refuses an answer of `width` numbers a token that would not fit; `memory` is the limit and what is taken of it.
fn check_room(tokens: usize, width: usize, memory: Option<(u64, u64)>) -> Result<(), Error> {
    let Some((limit, resident)) = memory else { return Ok(()) };
    // Beside its numbers each token has a place in the list that is written.
    let needed = (tokens * (4 * width + 32)) as u64;
    if resident + needed > limit {
        return Err(Error::AnswerTooLarge { tokens, needed: ByteSize(needed), limit: ByteSize(limit) });
    }
    Ok(())
}

/// What came of all windows of a text.
struct Answered {
    tokens: Tokens,
    windows: usize,
    lines: CountedLines,
}

/// A text whose windows are on their way.
struct LongText<'a> {
    encoder: &'a Encoder,
    tokens: Tokens,
    windows: Vec<TokenWindow>,
    /// How many of the windows were handed to the model.
    handed_in: usize,
    /// Those of them that are not answered yet.
    waiting: VecDeque<Pending>,
    lines: CountedLines,
}

impl LongText<'_> {
    /// Hands windows to the model until `ahead` wait, or there are no more.
    fn hand_in(&mut self, ahead: usize) -> Result<(), Error> {
        let tokenizer = self.encoder.tokenizer();
        while self.waiting.len() < ahead
            && let Some(window) = self.windows.get(self.handed_in)
        {
            let ids = [tokenizer.prefix(), &self.tokens.ids[window.tokens.clone()], tokenizer.suffix()].concat();
            self.waiting.push_back(self.encoder.submit(Row::from(ids), Lane::Bulk)?);
            self.handed_in += 1;
        }
        Ok(())
    }

    /// Waits for the first window that is not answered; returns whether it was the last.
    fn take_one(&mut self) -> Result<bool, Error> {
        // Every worker has a window, and the next one is there when it is done.
        self.hand_in(self.encoder.rows_under_way())?;
        let window = &self.windows[self.handed_in - self.waiting.len()];
        if let Some(pending) = self.waiting.pop_front() {
            let tensor = pending.wait()?.into_iter().next().unwrap_or_default();
            if self.lines.values.is_empty() {
                let width = tensor.shape.last().copied().unwrap_or(0);
                let (limit, resident) = (self.encoder.memory_limit_bytes(), resident_bytes());
                check_room(self.tokens.ids.len(), width, limit.zip(resident))?;
            }
            self.lines.add(window, self.encoder.tokenizer().prefix().len(), self.tokens.ids.len(), &tensor);
        }
        Ok(self.waiting.is_empty() && self.handed_in == self.windows.len())
    }

    fn answered(self) -> Answered {
        Answered { tokens: self.tokens, windows: self.windows.len(), lines: self.lines }
    }
}

/// The lines that count of each window's answer, `[tokens, width]`, one after the other.
#[derive(Debug, Default)]
struct CountedLines {
    values: Vec<f32>,
    width: usize,
}

impl CountedLines {
    /// Adds the lines of a window that count; `first` special tokens stand before the text's. Room is made once for all
    /// `tokens` of the text, since a list that grows is there twice for a moment.
    fn add(&mut self, window: &TokenWindow, first: usize, tokens: usize, tensor: &Tensor) {
        self.width = tensor.shape.last().copied().unwrap_or(0);
        if self.values.is_empty() {
            self.values.reserve_exact(tokens * self.width);
        }
        let line = |token: usize| (first + token - window.tokens.start) * self.width;
        self.values.extend_from_slice(&tensor.values[line(window.counted.start)..line(window.counted.end)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_beyond_the_limit_is_refused() {
        check_room(1_000_000, 1024, None).unwrap();
        check_room(1000, 8, Some((100_000, 36_000))).unwrap();
        let error = check_room(1000, 8, Some((100_000, 36_001))).unwrap_err().to_string();
        assert!(error.contains("1000 tokens") && error.contains("62.5 KiB"), "{error}");
    }

    #[test]
    fn each_token_is_answered_by_one_window() {
        let windows = [TokenWindow { tokens: 0..4, counted: 0..3 }, TokenWindow { tokens: 2..6, counted: 3..6 }];
        // A line is (window, position in the row); one special token stands on each side.
        let tensor = |window: u8| Tensor {
            shape: vec![6, 2],
            values: (0..6_u8).flat_map(|place| [f32::from(window), f32::from(place)]).collect(),
        };
        let mut lines = CountedLines::default();
        for (window, number) in windows.iter().zip(0..) {
            lines.add(window, 1, 6, &tensor(number));
        }
        assert_eq!(lines.width, 2);
        assert_eq!(lines.values.capacity(), 12);
        assert_eq!(lines.values, [0.0, 1.0, 0.0, 2.0, 0.0, 3.0, 1.0, 2.0, 1.0, 3.0, 1.0, 4.0]);
    }
}
