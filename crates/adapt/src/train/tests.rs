//! Training as a whole, on collections whose rule is known.

use std::cell::Cell;

use super::*;
use crate::numeric::{dot, unit};

const DIMENSIONS: usize = 16;
const DOCUMENTS: usize = 300;

/// Documents in random directions, and queries with one document each.
struct Collection {
    documents: Vec<f32>,
    queries: Vec<f32>,
    positives: Vec<Vec<u32>>,
}

impl Collection {
    /// Each query is its document, turned by a right angle in three planes, and some noise.
    fn turned(seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let mut gaussian = |scale: f64| -> Vec<f32> {
            unit((0..DIMENSIONS).map(|_| (random.normal() * scale) as f32).collect(), 0).unwrap()
        };
        let documents: Vec<Vec<f32>> = (0..DOCUMENTS).map(|_| gaussian(1.0)).collect();
        let query = |document: &Vec<f32>| {
            let noise = gaussian(1.0);
            let mut query = document.clone();
            for plane in 0..3 {
                (query[2 * plane], query[2 * plane + 1]) = (-document[2 * plane + 1], document[2 * plane]);
            }
            query.iter().zip(noise).map(|(value, noise)| value + 0.3 * noise).collect()
        };
        let queries: Vec<Vec<f32>> = documents.iter().map(query).map(|query| unit(query, 0).unwrap()).collect();
        let positives = (0..DOCUMENTS as u32).map(|document| vec![document]).collect();
        Self { documents: documents.concat(), queries: queries.concat(), positives }
    }

    /// The same vectors with labels that follow no rule.
    fn without_rule(seed: u64) -> Self {
        let mut collection = Self::turned(seed);
        SplitMix64::new(seed + 1).shuffle(&mut collection.positives);
        collection
    }

    fn documents(&self) -> Rows<'_> {
        Rows::new(&self.documents, DIMENSIONS).unwrap()
    }

    /// Queries of the first two thirds or of the last one.
    fn examples(&self, held_out: bool) -> Examples<'_> {
        let border = DOCUMENTS * 2 / 3;
        let range = if held_out { border..DOCUMENTS } else { 0..border };
        let values = &self.queries[range.start * DIMENSIONS..range.end * DIMENSIONS];
        Examples {
            queries: Rows::new(values, DIMENSIONS).unwrap(),
            positives: &self.positives[range],
            negatives: &[],
            ignored: &[],
        }
    }

    fn input(&self) -> TrainInput<'_> {
        let (documents, examples) = (self.documents(), self.examples(false));
        TrainInput { documents, examples, start: None, model: "model", origin: "a rule" }
    }

    /// Share of held-out queries whose document comes first.
    fn accuracy(&self, adapter: &QueryAdapter) -> f64 {
        let examples = self.examples(true);
        let adapted = adapter.apply_rows(examples.queries).unwrap();
        let right = adapted.chunks(DIMENSIONS).zip(examples.positives).filter(|(query, positives)| {
            let scores: Vec<f32> = self.documents().iter().map(|document| dot(query, document)).collect();
            let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
            best == positives[0] as usize
        });
        right.count() as f64 / examples.positives.len() as f64
    }
}

fn options() -> TrainOptions {
    TrainOptions {
        shape: AdapterShape::LowRank(8),
        learning_rate: 0.02,
        identity_weight: 0.0,
        batch_pairs: 32,
        epochs: 15,
        patience: 2,
        seed: 9,
        ..TrainOptions::default()
    }
}

fn learn(collection: &Collection, options: &TrainOptions) -> Trained {
    let mut validation = Validation::Loss(collection.examples(true));
    run(collection, &mut validation, options)
}

fn run(collection: &Collection, validation: &mut Validation<'_>, options: &TrainOptions) -> Trained {
    train(&collection.input(), validation, options, &|| false).unwrap()
}

fn identity() -> QueryAdapter {
    QueryAdapter::full(DIMENSIONS, vec![0.0; DIMENSIONS * DIMENSIONS], Provenance::default()).unwrap()
}

#[test]
fn a_rule_is_learned_and_holds_for_documents_never_seen() {
    let collection = Collection::turned(1);
    let before = collection.accuracy(&identity());
    assert!(before < 0.5, "{before}");
    let full = TrainOptions { shape: AdapterShape::Full, ..options() };
    let drawn = TrainOptions { max_candidates: 100, ..options() };
    for options in [options(), full, drawn] {
        let Trained { adapter, report } = learn(&collection, &options);
        let after = collection.accuracy(&adapter);
        assert!(after > 0.9, "{after} after {before}: {report:?}");
        assert_eq!((adapter.shape(), adapter.provenance().seed), (options.shape, 9));
        let best = report.epochs[report.best_epoch - 1].validation.unwrap();
        assert!(best < report.initial_validation.unwrap());
        assert!(report.epochs.iter().all(|epoch| epoch.validation.unwrap() >= best));
    }
}

#[test]
fn where_there_is_no_rule_nothing_is_kept() {
    let collection = Collection::without_rule(2);
    let mut score = |adapter: &QueryAdapter| collection.accuracy(adapter);
    let options = TrainOptions { min_improvement: 0.05, ..options() };
    let Trained { adapter, report } = run(&collection, &mut Validation::Score(&mut score), &options);
    assert_eq!((report.best_epoch, report.stopped, report.epochs.len()), (0, Stop::Patience, options.patience));
    let queries = collection.examples(true).queries;
    assert_eq!(adapter.apply_rows(queries).unwrap(), queries.values());
    assert!(report.epochs[1].train_loss < report.epochs[0].train_loss);
    // Nor by the held-out loss, which at a fixed temperature falls, as the adapter unlearns to be sure.
    let report = learn(&collection, &TrainOptions { min_improvement: 0.01, ..self::options() }).report;
    assert_eq!(report.best_epoch, 0, "{report:?}");
}

#[test]
fn training_goes_on_from_an_adapter() {
    let collection = Collection::turned(6);
    for shape in [AdapterShape::LowRank(8), AdapterShape::Full] {
        let options = TrainOptions { shape, epochs: 3, ..options() };
        let first = learn(&collection, &options);
        let half = first.adapter.with_blend(0.5).unwrap();
        let input = TrainInput { start: Some(&half), ..collection.input() };
        // Any shape but its own.
        let none = TrainOptions { shape: AdapterShape::LowRank(1), epochs: 0, ..options.clone() };
        let still = train(&input, &mut Validation::None, &none, &|| false).unwrap().adapter;
        assert_eq!((still.shape(), still.blend()), (shape, 1.0));
        let query = collection.examples(true).queries.row(0);
        for (value, expected) in still.apply(query).unwrap().iter().zip(half.apply(query).unwrap()) {
            assert!((value - expected).abs() < 1e-6);
        }
        let mut validation = Validation::Loss(collection.examples(true));
        let report = train(&input, &mut validation, &options, &|| false).unwrap().report;
        assert!(report.best_epoch > 0 && report.initial_validation < first.report.initial_validation);
        let other = TrainInput { model: "another", ..input };
        let refused = train(&other, &mut Validation::None, &options, &|| false);
        assert!(matches!(refused, Err(Error::OtherModel { .. })), "{refused:?}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let collection = Collection::turned(3);
    let options = TrainOptions { epochs: 2, max_candidates: 200, ..options() };
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| learn(&collection, &options))
    };
    let one = on(1);
    assert_eq!(on(3), one);
    assert_eq!(on(3).adapter.fingerprint(), one.adapter.fingerprint());
    assert_ne!(learn(&collection, &TrainOptions { seed: 10, ..options.clone() }).adapter, one.adapter);
}

#[test]
fn other_positives_and_ignored_rows_are_no_negatives() {
    // There is nothing that the query's documents would have to be told apart from, so there is nothing to learn.
    let check = |positives: &[Vec<u32>], ignored: &[Vec<u32>], pairs| {
        let queries = Rows::new(&[0.6, 0.8], 2).unwrap();
        let documents = Rows::new(&[1.0, 0.0, 0.0, 1.0], 2).unwrap();
        let examples = Examples { queries, positives, negatives: &[], ignored };
        let input = TrainInput { documents, examples, start: None, model: "", origin: "" };
        let options = TrainOptions { epochs: 3, weight_decay: 0.0, ..options() };
        let trained = train(&input, &mut Validation::None, &options, &|| false);
        let Trained { adapter, report } = trained.unwrap();
        assert_eq!((report.pairs, report.best_epoch, report.stopped), (pairs, 3, Stop::Epochs));
        assert!(report.epochs.iter().all(|epoch| epoch.train_loss.abs() < 1e-6 && epoch.validation.is_none()));
        assert_eq!(adapter.apply(&[0.6, 0.8]).unwrap(), [0.6, 0.8]);
    };
    check(&[vec![0, 1, 1]], &[], 2);
    check(&[vec![0]], &[vec![1, 0]], 1);
}

#[test]
fn what_is_no_number_any_more_is_not_kept() {
    let collection = Collection::turned(4);
    for validation in [&mut Validation::None, &mut Validation::Loss(collection.examples(true))] {
        let Trained { adapter, report } =
            run(&collection, validation, &TrainOptions { learning_rate: f32::MAX, ..options() });
        assert_eq!((report.stopped, report.best_epoch), (Stop::NotFinite, 0));
        assert_eq!(collection.accuracy(&adapter), collection.accuracy(&identity()));
    }
}

#[test]
fn training_can_be_cancelled_between_batches() {
    let collection = Collection::turned(5);
    let asked = Cell::new(0);
    let cancelled = || {
        asked.set(asked.get() + 1);
        asked.get() > 10
    };
    let trained = train(&collection.input(), &mut Validation::None, &options(), &cancelled);
    let report = trained.unwrap().report;
    // Seven batches an epoch: one epoch was finished.
    assert_eq!((report.stopped, report.best_epoch, report.epochs.len()), (Stop::Cancelled, 1, 1));
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let documents = [1.0, 0.0];
    let check = |positives: &[Vec<u32>], negatives: &[Vec<u32>], options: &TrainOptions| {
        let examples = Examples { queries: Rows::new(&[1.0, 0.0], 2).unwrap(), positives, negatives, ignored: &[] };
        let documents = Rows::new(&documents, 2).unwrap();
        let input = TrainInput { documents, examples, start: None, model: "", origin: "" };
        train(&input, &mut Validation::None, options, &|| false).unwrap_err()
    };
    assert_eq!(check(&[vec![]], &[], &options()), Error::NoPairs { queries: 1 });
    assert_eq!(check(&[vec![1]], &[], &options()), Error::RowMissing { row: 1, rows: 1 });
    assert_eq!(check(&[vec![0]], &[vec![7]], &options()), Error::RowMissing { row: 7, rows: 1 });
    assert!(matches!(check(&[], &[], &options()), Error::SizeMismatch { .. }));
    assert!(matches!(check(&[vec![0]], &[vec![], vec![]], &options()), Error::SizeMismatch { .. }));
    for options in [
        TrainOptions { temperature: 0.0, ..options() },
        TrainOptions { learning_rate: f32::NAN, ..options() },
        TrainOptions { weight_decay: -1.0, ..options() },
        TrainOptions { batch_pairs: 0, ..options() },
        TrainOptions { shape: AdapterShape::LowRank(0), ..options() },
    ] {
        assert!(matches!(check(&[vec![0]], &[], &options), Error::Setting { .. }));
    }
}
