//! Learns a query adapter from queries and the documents that answer them.
//!
//! InfoNCE (van den Oord, Li and Vinyals, *Representation learning with contrastive predictive coding*, 2018): each query is
//! to score its document above all candidates. Vectors of documents are frozen. What is learned is kept only as far as
//! queries held out by the caller gain by it.

mod candidates;
mod loss;
mod parameters;
#[cfg(test)]
mod tests;

use crate::numeric::SplitMix64;
use crate::{AdapterShape, Error, Provenance, QueryAdapter, Rows};
use candidates::Candidates;
use loss::{Objective, Pair};
use parameters::{Adam, Parameters};

/// Queries and the documents that answer them, by row.
#[derive(Debug, Clone, Copy)]
pub struct Examples<'a> {
    /// `[queries, dimensions]`, of unit length.
    pub queries: Rows<'a>,
    /// For each query the rows of documents that answer it. A query without any is passed over.
    pub positives: &'a [Vec<u32>],
    /// For each query the rows of documents that are close to it and do not answer it; empty where none were sought. They
    /// count only where not all documents are candidates.
    pub negatives: &'a [Vec<u32>],
    /// For each query the rows of documents that count for nothing, neither as answers nor as what an answer has to be above,
    /// such as other windows of a document that answers it; empty where there are none.
    pub ignored: &'a [Vec<u32>],
}

/// How to learn. The defaults suit some hundreds to some thousands of queries.
///
/// They were chosen by nDCG@10 on SciFact (train) and CoSQA (dev), dense only, with all-MiniLM-L6-v2 and windows of 256 tokens, the
/// best window of a document as its positive and the others ignored. In five folds of documents, stopped by the loss of held-out
/// documents after two to six epochs, queries about documents that training never saw went from .690 to .694 and from .597 to
/// .600 at blend .5; rank 64 at rate .001 without `identity_weight` gave .693 and .599 there, and at blend 1 .689 and .591.
///
/// What queries about trained documents gain grows with the epochs, and nearness to the identity guards the others. In three folds
/// of SciFact's queries, without validation: 15 epochs .669 to .792 (others .699 to .697), 40 epochs .870 (.694); 15 epochs at
/// temperature .02 .819 (.698); 40 epochs of rank 64 at rate .001 with identity weight 3 .901 (.656).
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// What the adapter is made of.
    pub shape: AdapterShape,
    /// Cosines are divided by it before the softmax.
    pub temperature: f32,
    /// Step size of Adam.
    pub learning_rate: f32,
    /// Share of `learning_rate` by which parameters shrink towards the identity with each step (Loshchilov and Hutter,
    /// *Decoupled weight decay regularization*, 2019).
    pub weight_decay: f32,
    /// Weight of 1 − cos(q, q′) in the loss: keeps adapted queries near to what they were.
    pub identity_weight: f32,
    /// Pairs of a query and a document to a step.
    pub batch_pairs: usize,
    /// Passes over all pairs, at most.
    pub epochs: usize,
    /// Epochs without a better validation after which training ends.
    pub patience: usize,
    /// Validation has to be better than the best so far by more than this to count.
    pub min_improvement: f64,
    /// Documents that a query is compared with: all, where there are no more; else the batch's documents and mined
    /// negatives, filled up by documents drawn anew for each batch.
    pub max_candidates: usize,
    /// Seed of the first parameters, the order of pairs and the documents drawn.
    pub seed: u64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            shape: AdapterShape::Full,
            temperature: 0.05,
            learning_rate: 3e-4,
            weight_decay: 0.01,
            identity_weight: 10.0,
            batch_pairs: 128,
            epochs: 40,
            patience: 4,
            min_improvement: 1e-4,
            max_candidates: 32_768,
            seed: 0,
        }
    }
}

/// By what an epoch is judged.
pub enum Validation<'a> {
    /// By nothing: the last epoch is kept.
    None,
    /// By the loss of queries that are not learned from, at the temperature that suits them best, so that being less sure of
    /// everything is no gain: lower is better.
    Loss(Examples<'a>),
    /// By any figure of the adapter: higher is better. NaN is worse than all.
    Score(&'a mut dyn FnMut(&QueryAdapter) -> f64),
}

/// An adapter and how it came to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The adapter of the best epoch; at epoch 0, what it started from.
    pub adapter: QueryAdapter,
    /// How training went.
    pub report: TrainReport,
}

/// How training went.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainReport {
    /// Pairs of a query and a document learned from.
    pub pairs: usize,
    /// Validation of what it started from; none without validation.
    pub initial_validation: Option<f64>,
    /// All epochs that were finished, in order.
    pub epochs: Vec<EpochReport>,
    /// The epoch that was kept, from 1; 0 is what it started from.
    pub best_epoch: usize,
    /// Why training ended.
    pub stopped: Stop,
}

/// How an epoch went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochReport {
    /// Mean loss of its pairs, each before the step that it was part of.
    pub train_loss: f64,
    /// The held-out loss or the caller's score after it; none without validation.
    pub validation: Option<f64>,
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// All epochs were run.
    Epochs,
    /// Validation got no better for as long as patience lasts.
    Patience,
    /// The caller wanted it to.
    Cancelled,
    /// A loss or a parameter was no finite number any more; what was good before is kept.
    NotFinite,
}

/// From what an adapter is learned.
#[derive(Debug, Clone, Copy)]
pub struct TrainInput<'a> {
    /// `[documents, dimensions]`, of unit length: documents, or windows of them.
    pub documents: Rows<'a>,
    /// What to learn.
    pub examples: Examples<'a>,
    /// An adapter to go on from, in place of the identity; its shape and blend are taken over.
    pub start: Option<&'a QueryAdapter>,
    /// Fingerprint of what made the vectors.
    pub model: &'a str,
    /// From what it is learned, for people.
    pub origin: &'a str,
}

/// Learns an adapter.
///
/// `cancelled` is asked before each batch. The result does not depend on the number of threads.
///
/// # Errors
/// `Setting` for an option out of its range; `SizeMismatch` when dimensions or numbers of rows do not agree;
/// `RowMissing` when a row is named that is not one of `documents`; `NoPairs` when there is nothing to learn or validate from;
/// `OtherModel` when `start` was learned for another model.
pub fn train(
    input: &TrainInput<'_>,
    validation: &mut Validation<'_>,
    options: &TrainOptions,
    cancelled: &dyn Fn() -> bool,
) -> Result<Trained, Error> {
    let TrainInput { documents, examples: training, start, model, origin } = *input;
    options.check()?;
    let mut pairs = training.pairs(documents)?;
    let held_out = match validation {
        Validation::Loss(examples) => Some(examples.pairs(documents)?),
        Validation::None | Validation::Score(_) => None,
    };
    let provenance = Provenance { model: model.to_owned(), seed: options.seed, origin: origin.to_owned() };
    let mut random = SplitMix64::new(options.seed);
    let mut parameters = match start {
        None => Parameters::identity(options.shape, documents.dimensions(), &mut random)?,
        Some(start) => {
            start.expect_use(model, documents.dimensions())?;
            Parameters::of(start)
        }
    };
    let mut adam = Adam::new(&parameters);
    let objective = Objective { temperature: options.temperature, identity_weight: options.identity_weight };
    let candidates = Candidates::new(documents, options.max_candidates);
    // The same documents each time, so that epochs are measured alike.
    let mut validate = |parameters: &Parameters| match validation {
        Validation::None => None,
        Validation::Loss(examples) => held_out.as_ref().map(|pairs| {
            candidates.mean_loss(examples, pairs, parameters, objective, options.batch_pairs, options.seed)
        }),
        Validation::Score(score) => Some(score(&parameters.adapter(&provenance))),
    };
    let initial_validation = validate(&parameters);
    let lower_is_better = held_out.is_some();
    let mut report = TrainReport {
        pairs: pairs.len(),
        initial_validation,
        epochs: Vec::new(),
        best_epoch: 0,
        stopped: Stop::Epochs,
    };
    let mut best = parameters.clone();
    let mut best_validation = initial_validation;
    'epochs: for epoch in 1..=options.epochs {
        random.shuffle(&mut pairs);
        let mut loss_sum = 0.0;
        for batch in pairs.chunks(options.batch_pairs) {
            if cancelled() {
                report.stopped = Stop::Cancelled;
                break 'epochs;
            }
            let (loss, gradient) = candidates.gradient(&training, batch, &parameters, objective, &mut random);
            adam.step(&mut parameters, &gradient, options.learning_rate, options.weight_decay);
            if !(loss.is_finite() && parameters.are_finite()) {
                report.stopped = Stop::NotFinite;
                break 'epochs;
            }
            loss_sum += loss;
        }
        let figure = validate(&parameters);
        report.epochs.push(EpochReport { train_loss: loss_sum / pairs.len() as f64, validation: figure });
        let better = match (figure, best_validation) {
            (None, _) | (Some(_), None) => true,
            (Some(now), Some(before)) if lower_is_better => now < before - options.min_improvement,
            (Some(now), Some(before)) => now > before + options.min_improvement || (before.is_nan() && !now.is_nan()),
        };
        if better {
            (best, best_validation, report.best_epoch) = (parameters.clone(), figure, epoch);
        } else if epoch - report.best_epoch >= options.patience {
            report.stopped = Stop::Patience;
            break;
        }
    }
    Ok(Trained { adapter: best.adapter(&provenance), report })
}

impl Examples<'_> {
    /// All pairs of a query and a document that answers it, checked.
    fn pairs(&self, documents: Rows<'_>) -> Result<Vec<Pair>, Error> {
        self.queries.expect_dimensions("values of a query vector", documents.dimensions())?;
        crate::rows::expect_size("queries with positives", self.queries.len(), self.positives.len())?;
        for (what, rows) in [("queries with negatives", self.negatives), ("queries with ignored rows", self.ignored)] {
            if !rows.is_empty() {
                crate::rows::expect_size(what, self.queries.len(), rows.len())?;
            }
        }
        for &row in self.positives.iter().chain(self.negatives).chain(self.ignored).flatten() {
            if row as usize >= documents.len() {
                return Err(Error::RowMissing { row: row as usize, rows: documents.len() });
            }
        }
        let mut pairs = Vec::new();
        for (query, documents) in self.positives.iter().enumerate() {
            let mut documents = documents.clone();
            documents.sort_unstable();
            documents.dedup();
            pairs.extend(documents.into_iter().map(|document| Pair { query, document }));
        }
        if pairs.is_empty() { Err(Error::NoPairs { queries: self.queries.len() }) } else { Ok(pairs) }
    }
}

impl TrainOptions {
    fn check(&self) -> Result<(), Error> {
        let above_0 = |name, value: f64| {
            let fits = value.is_finite() && value > 0.0;
            if fits { Ok(()) } else { Err(Error::Setting { name, value, wanted: "above 0" }) }
        };
        let not_below_0 = |name, value: f64| {
            let fits = value.is_finite() && value >= 0.0;
            if fits { Ok(()) } else { Err(Error::Setting { name, value, wanted: "0 or above" }) }
        };
        above_0("temperature", self.temperature.into())?;
        above_0("learning rate", self.learning_rate.into())?;
        not_below_0("weight decay", self.weight_decay.into())?;
        not_below_0("identity weight", self.identity_weight.into())?;
        not_below_0("minimum improvement", self.min_improvement)?;
        above_0("pairs of a batch", self.batch_pairs as f64)?;
        above_0("patience", self.patience as f64)?;
        above_0("candidates", self.max_candidates as f64)
    }
}
