//! How texts run through a model: at their place, in their order, within what may be asked.

use std::collections::VecDeque;
use std::sync::Arc;

use berth_pipeline::{Call, Encoder, TextTokenizer, vectors};

use super::{VectorKind, VectorValue, Vectors};
use crate::engine::gate::Pass;
use crate::engine::models::Model;
use crate::engine::{Cancelling, blocking, check_limit};
use crate::failure::Failure;
use crate::metrics;

/// A request that has its place at a model.
pub(super) struct Run {
    pub(super) model: Arc<Model>,
    pub(super) pass: Pass,
    pub(super) call: Call,
    pub(super) inputs: usize,
    pub(super) what: &'static str,
}

impl Run {
    /// Does the work on a thread; what has not begun is taken back when nobody waits for it any more.
    pub(super) async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce(&Encoder) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let Self { model, pass, call, inputs, what } = self;
        let cancelling = Cancelling(call.clone());
        let waited = pass.waited;
        let times = call.clone();
        let done = blocking(move || {
            // It leaves its place when it is done, also when nobody waits for it any more.
            let _pass = pass;
            call.check()?;
            work(&model.encoder().for_call(&call))
        })
        .await;
        metrics::model_run(what, inputs, waited, times.times());
        drop(cancelling);
        done
    }
}

/// Asks about each input, with as many on their way as keep the model busy, and takes the answers in order.
pub(super) fn in_order<I, A, T>(
    encoder: &Encoder,
    inputs: &[I],
    mut ask: impl FnMut(&I) -> Result<A, Failure>,
    mut take: impl FnMut(A) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let ahead = encoder.rows_under_way().max(2);
    let several = inputs.len() > 1;
    let mut answers = Vec::with_capacity(inputs.len());
    let mut asked = VecDeque::with_capacity(ahead);
    let at = |failure: Failure, number: usize| if several { failure.at("input", number) } else { failure };
    for (number, input) in inputs.iter().enumerate() {
        if asked.len() >= ahead
            && let Some(first) = asked.pop_front()
        {
            answers.push(take(first).map_err(|failure| at(failure, answers.len()))?);
        }
        asked.push_back(ask(input).map_err(|failure| at(failure, number))?);
    }
    for last in asked {
        answers.push(take(last).map_err(|failure| at(failure, answers.len()))?);
    }
    Ok(answers)
}

/// Refuses more tokens than the limit; texts of fewer bytes cannot have more.
pub(super) fn check_tokens<'a>(
    tokenizer: &TextTokenizer,
    field: &'static str,
    texts: impl Iterator<Item = &'a str> + Clone,
    most: usize,
) -> Result<(), Failure> {
    if texts.clone().map(str::len).sum::<usize>() <= most {
        return Ok(());
    }
    let mut tokens = 0;
    for text in texts {
        tokens += tokenizer.tokenize(text)?.ids.len();
        check_limit("max-tokens", field, tokens, most)?;
    }
    Ok(())
}

/// How many values of each vector are kept.
pub(super) fn kept_dimensions(
    encoder: &Encoder,
    kind: VectorKind,
    asked: Option<usize>,
) -> Result<Option<usize>, Failure> {
    let own = encoder.card().dimensions;
    match asked {
        None => Ok(None),
        Some(_) if kind != VectorKind::Dense => {
            Err(Failure::invalid("dimensions", "only dense vectors can be cut to fewer dimensions"))
        }
        Some(asked) if asked == 0 || asked > own => {
            let name = &encoder.card().name;
            Err(Failure::invalid("dimensions", format!("dimensions is {asked}; '{name}' has 1 to {own}")))
        }
        Some(asked) => Ok(Some(asked)),
    }
}

/// A question to a model that is on its way.
pub(super) enum Asked<'a> {
    Dense(berth_pipeline::Asked<'a, berth_pipeline::SentenceAnswer>),
    Sparse(berth_pipeline::Asked<'a, berth_pipeline::SparseAnswer>),
    Late(berth_pipeline::Asked<'a, berth_pipeline::LateAnswer>),
    Tokens(berth_pipeline::Asked<'a, berth_pipeline::TokensAnswer>),
}

impl Asked<'_> {
    /// The vectors, and how many tokens of the text were read.
    pub(super) fn wait(self, dimensions: Option<usize>) -> Result<(Vectors, usize), Failure> {
        Ok(match self {
            Self::Dense(asked) => {
                let answer = asked.wait()?;
                let embedding = match dimensions {
                    Some(dimensions) => {
                        vectors::cut(&answer.embedding, dimensions).map_err(berth_pipeline::Error::from)?
                    }
                    None => answer.embedding,
                };
                (Vectors { value: VectorValue::Dense(embedding), truncated: answer.truncated }, answer.tokens)
            }
            Self::Sparse(asked) => {
                let answer = asked.wait()?;
                (Vectors { value: VectorValue::Sparse(answer.terms), truncated: answer.truncated }, 0)
            }
            Self::Late(asked) => {
                let answer = asked.wait()?;
                let (dimensions, values) = (answer.vectors.dimensions, answer.vectors.values);
                let tokens = values.len() / dimensions.max(1);
                (Vectors { value: VectorValue::Tokens { dimensions, values }, truncated: answer.truncated }, tokens)
            }
            Self::Tokens(asked) => {
                let answer = asked.wait()?;
                let (dimensions, values) = (answer.dimensions, answer.values);
                let tokens = answer.tokens.ids.len();
                (Vectors { value: VectorValue::Tokens { dimensions, values }, truncated: 0 }, tokens)
            }
        })
    }
}
