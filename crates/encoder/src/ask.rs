//! What an encoder can be asked, head by head: a text in, the head's result out. Rows are made here and results read by
//! the functions in `heads`; between the two lies the queue, so that many texts can be on their way at once.

mod answers;
mod masks;
mod windowed;

pub use answers::{
    AttentionAnswer, ClassAnswer, EntityAnswer, FillMaskAnswer, Guess, LateAnswer, LayersAnswer, MaskedPlace,
    PairAnswer, PerplexityAnswer, SentenceAnswer, SparseAnswer, TokensAnswer,
};
use berth_types::{Embedding, Head, Pooling, Problem};

use crate::heads::attention::layer_attention;
use crate::heads::classify::{label_scores, pair_score};
use crate::heads::late::LateVectors;
use crate::heads::sparse::{Term, terms};
use crate::pairs::pair_row;
use crate::pooling::pool;
use crate::{Encoder, Error, Lane, Pending, Row, Tensor, Tokens};

/// What to do with a text that is longer than the model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlong {
    /// An error that names both lengths.
    #[default]
    Refuse,
    /// Read the beginning, and say in the result how many tokens were not read.
    Cut,
}

/// Which prompt of the card stands before a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prompt {
    /// That of queries.
    Query,
    /// That of passages.
    #[default]
    Passage,
    /// One that the card has a name for, as [`Encoder::prompt_named`] finds it.
    Named(usize),
    /// None.
    None,
}

/// A question on its way through the model; dropping it takes back what no worker has begun. One about a long text has
/// parts, of which a bounded number is on its way at once.
pub struct Asked<'a, T> {
    next: Next<'a, T>,
}

/// Waits for the next part; the answer once all parts were there.
type Next<'a, T> = Box<dyn FnMut() -> Result<Option<T>, Error> + 'a>;

/// How far a question has come.
pub enum Step<'a, T> {
    /// To its answer.
    Answer(T),
    /// There are parts to wait for.
    More(Asked<'a, T>),
}

impl<'a, T: 'a> Asked<'a, T> {
    /// The same with something made of the answer.
    fn map<U>(mut self, mut make: impl FnMut(T) -> U + 'a) -> Asked<'a, U> {
        Asked { next: Box::new(move || Ok((self.next)()?.map(&mut make))) }
    }
}

impl<'a, T> Asked<'a, T> {
    /// Waits for one part, so that whoever asked may give up between two.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn step(mut self) -> Result<Step<'a, T>, Error> {
        Ok((self.next)()?.map_or(Step::More(self), Step::Answer))
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// Whatever went wrong with a row, as [`Pending::wait`] says, or what the head makes of numbers that are no answer.
    pub fn wait(self) -> Result<T, Error> {
        let mut asked = self;
        loop {
            match asked.step()? {
                Step::Answer(answer) => return Ok(answer),
                Step::More(more) => asked = more,
            }
        }
    }
}

/// A text made ready: its row, the tokens of the text that are in it, and how many are left out.
struct Ready {
    row: Row,
    tokens: Tokens,
    truncated: usize,
}

impl Encoder {
    /// Asks for the vector of a text. Wants head `sentence`.
    ///
    /// # Errors
    /// `WrongHead`, `TextTooLong`, or what [`submit`](Self::submit) says.
    pub fn ask_sentence(
        &self,
        text: &str,
        prompt: Prompt,
        overlong: Overlong,
    ) -> Result<Asked<'static, SentenceAnswer>, Error> {
        let ready = self.ready(Head::Sentence, text, self.prompt(prompt), overlong)?;
        self.ask(ready, |tensor, ready| answers::sentence(tensor.values, &ready.tokens, ready.truncated))
    }

    /// Asks for the vector of a text that comes as the tokenizer's ids, without special tokens. Wants head `sentence`.
    ///
    /// # Errors
    /// `UnknownToken` for an id that the vocabulary does not have; otherwise as [`ask_sentence`](Self::ask_sentence).
    pub fn ask_sentence_ids(
        &self,
        ids: &[u32],
        prompt: Prompt,
        overlong: Overlong,
    ) -> Result<Asked<'static, SentenceAnswer>, Error> {
        self.wants(Head::Sentence)?;
        if let Some(&id) = ids.iter().find(|&&id| self.tokenizer().piece(id).is_none()) {
            return Err(Error::UnknownToken { id, model: self.card().name.clone() });
        }
        let prompt = self.prompt(prompt);
        let kept = room_for(ids.len(), self.text_room(prompt.len()), overlong)?;
        let (read, truncated) = (&ids[..kept], ids.len() - kept);
        let unknown = read.iter().filter(|&&id| Some(id) == self.tokenizer().unknown_id()).count();
        let row = [self.tokenizer().prefix(), prompt, read, self.tokenizer().suffix()].concat();
        self.ask_row(Row::from(row), move |tensor| {
            Ok(SentenceAnswer { embedding: embedding(tensor.values)?, tokens: kept, truncated, unknown })
        })
    }

    /// Asks for the vector of a text, pooled otherwise than the card says. Wants head `tokens`; modules behind the
    /// pooling are not part of it.
    ///
    /// # Errors
    /// As [`ask_sentence`](Self::ask_sentence).
    pub fn ask_pooled(
        &self,
        text: &str,
        pooling: Pooling,
        (prompt, overlong): (Prompt, Overlong),
    ) -> Result<Asked<'static, SentenceAnswer>, Error> {
        let ready = self.ready(Head::Tokens, text, self.prompt(prompt), overlong)?;
        self.ask(ready, move |tensor, ready| {
            let hidden = tensor.shape.last().copied().unwrap_or(0);
            answers::sentence(pool(pooling, &tensor.values, hidden), &ready.tokens, ready.truncated)
        })
    }

    /// Asks for the scores of the labels of a text, or of a pair of texts. Wants head `classify`. Of a pair that is too
    /// long the longer text is cut where `overlong` allows it.
    ///
    /// # Errors
    /// As [`ask_sentence`](Self::ask_sentence).
    pub fn ask_class(
        &self,
        text: &str,
        second: Option<&str>,
        overlong: Overlong,
    ) -> Result<Asked<'static, ClassAnswer>, Error> {
        self.ask_scores(text, second, overlong, self.card().problem)
    }

    /// The same with the classifier's own numbers, best first, whatever it was trained for.
    ///
    /// # Errors
    /// As [`ask_class`](Self::ask_class).
    pub fn ask_class_raw(
        &self,
        text: &str,
        second: Option<&str>,
        overlong: Overlong,
    ) -> Result<Asked<'static, ClassAnswer>, Error> {
        let asked = self.ask_scores(text, second, overlong, Problem::Regression)?;
        Ok(asked.map(|mut answer| {
            answer.labels.sort_by(|one, other| other.score.total_cmp(&one.score));
            answer
        }))
    }

    fn ask_scores(
        &self,
        text: &str,
        second: Option<&str>,
        overlong: Overlong,
        problem: Problem,
    ) -> Result<Asked<'static, ClassAnswer>, Error> {
        let labels = self.card().labels.clone();
        let (row, truncated) = if let Some(second) = second {
            let (row, cut) = self.ready_pair(text, second, overlong)?;
            (row, cut.0 + cut.1)
        } else {
            let ready = self.ready(Head::Classify, text, &[], overlong)?;
            (ready.row, ready.truncated)
        };
        self.ask_row(row, move |tensor| {
            Ok(ClassAnswer { labels: label_scores(&tensor.values, problem, &labels), truncated })
        })
    }

    /// Asks a cross-encoder how well `document` answers `query`. Wants head `classify`. A pair that is too long loses
    /// tokens of its longer text, and the answer says how many.
    ///
    /// # Errors
    /// `WrongHead`, or what [`submit`](Self::submit) says.
    pub fn ask_pair(&self, query: &str, document: &str, raw: bool) -> Result<Asked<'static, PairAnswer>, Error> {
        let (row, (query_truncated, truncated)) = self.ready_pair(query, document, Overlong::Cut)?;
        self.ask_row(row, move |tensor| {
            let score = pair_score(&tensor.values, raw).ok_or(Error::RowEmpty)?;
            Ok(PairAnswer { score, query_truncated, truncated })
        })
    }

    /// Asks for the terms of a text whose weight is above `floor`. Wants head `sparse`.
    ///
    /// # Errors
    /// As [`ask_sentence`](Self::ask_sentence).
    pub fn ask_sparse(
        &self,
        text: &str,
        floor: f32,
        overlong: Overlong,
    ) -> Result<Asked<'static, SparseAnswer>, Error> {
        let ready = self.ready(Head::Sparse, text, &[], overlong)?;
        let tokenizer = self.tokenizer().clone();
        self.ask(ready, move |tensor, ready| {
            let term = |(id, weight)| Term { term: tokenizer.piece(id).unwrap_or_default(), id, weight };
            let terms = terms(&tensor.values, floor).into_iter().map(term).collect();
            Ok(SparseAnswer { terms, truncated: ready.truncated })
        })
    }

    /// Asks for the vectors of late interaction of a query or a passage. Wants head `late` and a card that says how.
    ///
    /// # Errors
    /// As [`ask_sentence`](Self::ask_sentence).
    pub fn ask_late(
        &self,
        text: &str,
        prompt: Prompt,
        overlong: Overlong,
    ) -> Result<Asked<'static, LateAnswer>, Error> {
        self.wants(Head::Late)?;
        let late = self.late().cloned().ok_or_else(|| Error::NotLate { model: self.card().name.clone() })?;
        let query = prompt == Prompt::Query;
        let tokens = self.tokenizer().tokenize(text)?;
        let room = self.card().max_tokens.saturating_sub(late.reserved(query));
        let kept = room_for(tokens.ids.len(), room, overlong)?;
        let row = if query { late.query(&tokens.ids[..kept]) } else { late.passage(&tokens.ids[..kept]) };
        let positions = if query { (0..row.ids.len()).collect() } else { late.kept(&row) };
        let truncated = tokens.ids.len() - kept;
        self.ask_row(row, move |tensor| {
            let dimensions = tensor.shape.last().copied().unwrap_or(0);
            let rows = positions.iter().map(|position| &tensor.values[position * dimensions..][..dimensions]);
            let vectors = LateVectors { dimensions, values: rows.collect::<Vec<_>>().concat() };
            Ok(LateAnswer { vectors, truncated })
        })
    }

    /// Asks for hidden states of the layers that the encoder was opened for. Wants head `layers`.
    ///
    /// # Errors
    /// As [`ask_sentence`](Self::ask_sentence).
    pub fn ask_layers(&self, text: &str, overlong: Overlong) -> Result<Asked<'static, LayersAnswer>, Error> {
        let ready = self.ready(Head::Layers, text, &[], overlong)?;
        let tokens = self.tokenizer().spell_tokens(&ready.tokens);
        let pending = self.submit(ready.row, Lane::Bulk)?;
        let truncated = ready.truncated;
        Ok(one(pending, move |layers| Ok(LayersAnswer { tokens, layers, truncated })))
    }

    /// Asks for the attention weights of the layers that the encoder was opened for, whose numbers are `layers` (empty
    /// for all). Wants head `attention`.
    ///
    /// # Errors
    /// As [`ask_sentence`](Self::ask_sentence).
    pub fn ask_attention(
        &self,
        text: &str,
        layers: &[usize],
        overlong: Overlong,
    ) -> Result<Asked<'static, AttentionAnswer>, Error> {
        let ready = self.ready(Head::Attention, text, &[], overlong)?;
        let tokens = self.tokenizer().spell_tokens(&ready.tokens);
        let pending = self.submit(ready.row, Lane::Bulk)?;
        let (truncated, layers) = (ready.truncated, layers.to_vec());
        Ok(one(pending, move |tensors| {
            Ok(AttentionAnswer { tokens, layers: layer_attention(tensors, &layers)?, truncated })
        }))
    }

    fn wants(&self, needed: Head) -> Result<(), Error> {
        if self.head() == needed { Ok(()) } else { Err(Error::WrongHead { opened: self.head(), needed }) }
    }

    fn ready(&self, head: Head, text: &str, prompt: &[u32], overlong: Overlong) -> Result<Ready, Error> {
        self.wants(head)?;
        let mut tokens = match head {
            Head::FillMask => self.tokenizer().tokenize_masked(text)?,
            _ => self.tokenizer().tokenize(text)?,
        };
        let room = self.text_room(prompt.len());
        let kept = room_for(tokens.ids.len(), room, overlong)?;
        let truncated = tokens.ids.len() - kept;
        tokens.keep_first(kept);
        let ids = [self.tokenizer().prefix(), prompt, &tokens.ids, self.tokenizer().suffix()].concat();
        Ok(Ready { row: Row::from(ids), tokens, truncated })
    }

    /// Tokens of a text that a row holds beside `prompt` ids of a prompt.
    fn text_room(&self, prompt: usize) -> usize {
        self.card().max_tokens.saturating_sub(self.tokenizer().special_tokens() + prompt)
    }

    /// The row of a pair, and how many tokens of each text it leaves out.
    fn ready_pair(&self, first: &str, second: &str, overlong: Overlong) -> Result<(Row, (usize, usize)), Error> {
        self.wants(Head::Classify)?;
        let tokenizer = self.tokenizer();
        let (first, second) = (tokenizer.tokenize(first)?.ids, tokenizer.tokenize(second)?.ids);
        let max_tokens = self.card().max_tokens;
        let pair = pair_row(tokenizer.pair_template(), &first, &second, max_tokens)?;
        if overlong == Overlong::Refuse && pair.first_cut + pair.second_cut > 0 {
            let max_tokens = max_tokens - tokenizer.pair_template().special_tokens();
            return Err(Error::TextTooLong { tokens: first.len() + second.len(), max_tokens });
        }
        Ok((pair.row, (pair.first_cut, pair.second_cut)))
    }

    fn ask<T: 'static>(
        &self,
        mut ready: Ready,
        read: impl FnOnce(Tensor, Ready) -> Result<T, Error> + 'static,
    ) -> Result<Asked<'static, T>, Error> {
        let row = std::mem::take(&mut ready.row);
        self.ask_row(row, move |tensor| read(tensor, ready))
    }

    fn ask_row<T: 'static>(
        &self,
        row: Row,
        read: impl FnOnce(Tensor) -> Result<T, Error> + 'static,
    ) -> Result<Asked<'static, T>, Error> {
        let pending = self.submit(row, Lane::Bulk)?;
        Ok(one(pending, move |tensors| read(tensors.into_iter().next().unwrap_or_default())))
    }
}

/// A question of one row.
fn one<T: 'static>(
    pending: Pending,
    read: impl FnOnce(Vec<Tensor>) -> Result<T, Error> + 'static,
) -> Asked<'static, T> {
    let mut part = Some((pending, read));
    Asked { next: Box::new(move || part.take().map(|(pending, read)| read(pending.wait()?)).transpose()) }
}

/// How many of `count` tokens a row with `room` for them holds.
fn room_for(count: usize, room: usize, overlong: Overlong) -> Result<usize, Error> {
    if count > room && overlong == Overlong::Refuse {
        return Err(Error::TextTooLong { tokens: count, max_tokens: room });
    }
    Ok(count.min(room))
}

/// The vector of `values`.
fn embedding(values: Vec<f32>) -> Result<Embedding, Error> {
    Ok(Embedding::normalized(values)?)
}
