use super::*;
use crate::numeric::{dot, unit};
use crate::{ChunkedDocuments, GateOptions, Rows, judge, mine};

const DIMENSIONS: usize = 8;
const DOCUMENTS: usize = 40;

/// Documents of one chunk each, and two queries for each of them, which lie beside it, turned by the same angle.
struct World {
    chunks: Vec<f32>,
    ids: Vec<u32>,
    queries: Vec<f32>,
    positives: Vec<Vec<u32>>,
}

impl World {
    fn new(seed: u64, displacement: f64) -> Self {
        let mut random = SplitMix64::new(seed);
        let mut vector = |center: &[f32], spread: f64| {
            unit(center.iter().map(|value| value + (spread * random.normal()) as f32).collect(), 0).unwrap()
        };
        let documents: Vec<Vec<f32>> = (0..DOCUMENTS).map(|_| vector(&[0.0; DIMENSIONS], 1.0)).collect();
        // A turn in the plane of each pair of axes.
        let displaced = |document: &[f32]| -> Vec<f32> {
            let sign = |place: usize| if place.is_multiple_of(2) { 1.0 } else { -1.0 };
            let beside = |place: usize| sign(place) * displacement as f32 * document[place ^ 1];
            (0..DIMENSIONS).map(|place| document[place] + beside(place)).collect()
        };
        let mut queries = Vec::new();
        for document in documents.iter().chain(&documents) {
            queries.extend(vector(&displaced(document), 0.1));
        }
        let ids: Vec<u32> = (0..DOCUMENTS as u32).collect();
        let positives = ids.iter().chain(&ids).map(|&id| vec![id]).collect();
        Self { chunks: documents.concat(), ids, queries, positives }
    }

    fn mined(&self) -> MinedPairs<'_> {
        let chunks = Rows::new(&self.chunks, DIMENSIONS).unwrap();
        let documents = ChunkedDocuments { chunks, document_of: &self.ids };
        mine(Rows::new(&self.queries, DIMENSIONS).unwrap(), &self.positives, &documents).unwrap()
    }

    /// The reciprocal rank of what answers a query, as dense and as hybrid.
    fn score(&self, adapter: &ClosedFormAdapter, queries: &[usize]) -> Result<Vec<Scores>, Error> {
        let one = |&query: &usize| {
            let adapted = adapter.apply(&self.queries[query * DIMENSIONS..][..DIMENSIONS])?;
            let cosines: Vec<f32> = self.chunks.chunks(DIMENSIONS).map(|chunk| dot(chunk, &adapted)).collect();
            let own = cosines[self.positives[query][0] as usize];
            let above = cosines.iter().filter(|&&cosine| cosine > own).count();
            let score = 1.0 / (1.0 + above as f64);
            Ok(Scores { dense: score, hybrid: score })
        };
        queries.iter().map(one).collect()
    }

    fn select(&self, options: &SelectOptions) -> Result<Selection, Error> {
        let folds = shuffled_folds(self.positives.len(), 5, 1);
        let score = &mut |adapter: &ClosedFormAdapter, queries: &[usize]| self.score(adapter, queries);
        select(&self.mined(), &folds, &Provenance::default(), options, score, &sign_flips)
    }
}

/// A paired randomisation test of 300 rounds.
fn sign_flips(differences: &[f64]) -> Significance {
    let mut random = SplitMix64::new(9);
    let sum = |signs: &mut dyn FnMut() -> f64| differences.iter().map(|value| signs() * value).sum::<f64>().abs();
    let observed = sum(&mut || 1.0);
    let mut flip = || if random.next() & 1 == 0 { 1.0 } else { -1.0 };
    let as_far = (0..300).filter(|_| sum(&mut flip) >= observed - 1e-12).count();
    Significance { p: (as_far + 1) as f64 / 301.0, low: 0.0, high: 0.0 }
}

fn few_cells() -> SelectOptions {
    let cell = |whitening_exponent, ridge_weight, memory_weight| Hyperparameters {
        whitening_exponent,
        ridge_weight,
        temperature: 0.05,
        memory_weight,
    };
    let cells = vec![cell(0.0, 0.0, 2.0), cell(0.1, 1.0, 0.0), cell(0.1, 1.0, 2.0)];
    SelectOptions { cells, ..SelectOptions::default() }
}

#[test]
fn what_serves_seen_and_unseen_is_chosen_and_passes_the_gate() {
    let world = World::new(3, 0.8);
    let selection = world.select(&few_cells()).unwrap();
    let best = &selection.cells[selection.best.unwrap()];
    assert_eq!(selection.chosen, Some(best.hyperparameters));
    assert_eq!((selection.reason, best.unseen.queries), (None, 80));
    let seen = best.seen.unwrap();
    assert!(seen.gain().dense > best.unseen.gain().dense && best.eligible && best.objective > 0.01);
    assert_eq!((selection.dense.len(), selection.hybrid.len()), (80 + seen.queries, 80 + seen.queries));
    let verdict = judge(&selection.hybrid, &GateOptions::default(), &sign_flips).unwrap();
    assert!(verdict.ships);
    assert!((verdict.unseen.unwrap().difference - best.unseen.gain().hybrid).abs() < 1e-9);
    assert!((verdict.seen.unwrap().difference - seen.gain().hybrid).abs() < 1e-9);
}

#[test]
fn answers_dealt_out_at_random_are_refused() {
    let mut world = World::new(4, 0.0);
    SplitMix64::new(5).shuffle(&mut world.positives);
    let selection = world.select(&few_cells()).unwrap();
    assert_eq!(selection.chosen, None);
    assert!(selection.reason.is_some());
}

#[test]
fn of_nothing_eligible_nothing_is_chosen() {
    let world = World::new(3, 0.8);
    let selected = |dense: f64, hybrid: f64| {
        let folds = shuffled_folds(80, 5, 1);
        let score = &mut |adapter: &ClosedFormAdapter, queries: &[usize]| -> Result<Vec<Scores>, Error> {
            let changed = f64::from(u8::from(adapter.parts().ridge.is_some()));
            Ok(vec![Scores { dense: dense * changed, hybrid: hybrid * changed }; queries.len()])
        };
        select(&world.mined(), &folds, &Provenance::default(), &few_cells(), score, &sign_flips).unwrap()
    };
    let lost = selected(0.9, -0.1);
    // The memory alone changes nothing here, and so loses nothing.
    assert_eq!((lost.best, lost.chosen, lost.dense.len()), (None, None, 0));
    assert_eq!(lost.reason, Some(Reason::NoGain { difference: 0.0 }));
    assert_eq!(lost.cells.iter().map(|cell| cell.eligible).collect::<Vec<_>>(), [true, false, false]);
    // Of equals the first.
    assert_eq!(selected(0.1, 0.1).best, Some(1));
    let options = SelectOptions { cells: few_cells().cells[1..].to_vec(), ..few_cells() };
    let score = &mut |adapter: &ClosedFormAdapter, queries: &[usize]| -> Result<Vec<Scores>, Error> {
        let changed = f64::from(u8::from(adapter.parts().ridge.is_some()));
        Ok(vec![Scores { dense: -0.1 * changed, hybrid: changed }; queries.len()])
    };
    let folds = shuffled_folds(80, 5, 1);
    let lost = select(&world.mined(), &folds, &Provenance::default(), &options, score, &sign_flips).unwrap();
    let Some(Reason::UnseenLoss { difference, max_loss }) = lost.reason else { panic!("{:?}", lost.reason) };
    assert!((difference + 0.1).abs() < 1e-12 && max_loss == 0.002);
}

#[test]
fn too_little_is_refused_with_numbers() {
    let mut world = World::new(3, 0.8);
    for positives in &mut world.positives[49..] {
        positives.clear();
    }
    let error = world.select(&few_cells()).unwrap_err();
    let expected = "49 queries with a document that answers them, where at least 50 are needed";
    assert_eq!(error.to_string(), expected);
    let options = SelectOptions { min_queries: 1, ..few_cells() };
    assert!(world.select(&options).is_ok());
    // All ask for one document: without it nothing is left.
    world.positives.fill(vec![3]);
    assert!(matches!(world.select(&few_cells()), Err(Error::TooFew { found: 0, .. })));
    for options in [
        SelectOptions { cells: Vec::new(), ..few_cells() },
        SelectOptions { level: 0.0, ..few_cells() },
        SelectOptions { max_loss_unseen: f64::NAN, ..few_cells() },
        SelectOptions { max_memory_rows: 0, ..few_cells() },
    ] {
        assert!(World::new(3, 0.8).select(&options).is_err());
    }
}

#[test]
fn what_scoring_says_is_checked() {
    let world = World::new(3, 0.8);
    let run = |folds: &[usize], scored: Result<f64, Error>, extra: usize| {
        let score = &mut |_: &ClosedFormAdapter, queries: &[usize]| {
            let score = scored.clone()?;
            Ok(vec![Scores { dense: score, hybrid: score }; queries.len() + extra])
        };
        select(&world.mined(), folds, &Provenance::default(), &few_cells(), score, &sign_flips).unwrap_err()
    };
    let folds = shuffled_folds(80, 5, 1);
    assert_eq!(run(&folds, Ok(f64::NAN), 0), Error::ScoreNotFinite { query: 0 });
    assert!(matches!(run(&folds, Ok(0.5), 1), Error::SizeMismatch { expected: 80, received: 81, .. }));
    assert_eq!(run(&folds, Err(Error::NoSpectrum), 0), Error::NoSpectrum);
    assert!(matches!(run(&[0; 80], Ok(0.5), 0), Error::TooFew { found: 1, needed: 2, .. }));
    assert!(matches!(run(&folds[1..], Ok(0.5), 0), Error::SizeMismatch { .. }));
}

#[test]
fn a_purged_fold_remembers_nothing_of_what_it_holds_out() {
    let world = World::new(3, 0.8);
    let mined = world.mined();
    let members =
        Members { queries: (0..80).collect(), folds: shuffled_folds(80, 5, 2), before: vec![Scores::default(); 80] };
    let memory = few_cells().cells[0];
    for fold in 0..5 {
        let fold = PurgedFold::of(&mined, &members, fold, 1000).unwrap();
        let mut rows = Vec::new();
        let score = &mut |adapter: &ClosedFormAdapter, queries: &[usize]| -> Result<Vec<Scores>, Error> {
            let keys = adapter.parts().memory.as_ref().unwrap().part.keys().to_vec();
            rows.push((keys, queries.to_vec()));
            Ok(vec![Scores::default(); queries.len()])
        };
        fold.score(&members, &memory, &Provenance::default(), score).unwrap();
        let query = |place: usize| &world.queries[place * DIMENSIONS..][..DIMENSIONS];
        let holds = |keys: &[f32], place: usize| keys.chunks(DIMENSIONS).any(|key| key == query(place));
        let (purged, plain) = (&rows[0], &rows[1]);
        assert_eq!((&purged.1, &plain.1), (&fold.held_out, &fold.seen));
        for &place in &fold.held_out {
            let twin = (place + 40) % 80;
            assert!(!holds(&purged.0, place) && !holds(&purged.0, twin) && !holds(&plain.0, place));
            assert_eq!(fold.seen.contains(&place), !fold.held_out.contains(&twin));
            assert_eq!(holds(&plain.0, twin), fold.seen.contains(&place));
        }
    }
}

#[test]
fn nested_folds_judge_what_was_chosen_without_them() {
    let world = World::new(3, 0.8);
    let (outer, options) = (shuffled_folds(80, 4, 7), few_cells());
    let folds = NestedFolds { outer: &outer, inner: 3, seed: 1 };
    let score = &mut |adapter: &ClosedFormAdapter, queries: &[usize]| world.score(adapter, queries);
    let nested = nested_select(&world.mined(), folds, &Provenance::default(), &options, score, &sign_flips).unwrap();
    assert_eq!((nested.chosen.len(), nested.dense.iter().filter(|score| !score.seen).count()), (4, 80));
    assert!(nested.chosen.iter().any(Option::is_some));
    let gain = |seen| {
        let scores = nested.hybrid.iter().filter(|score| score.seen == seen);
        scores.map(|score| score.after - score.before).sum::<f64>()
    };
    assert!(gain(true) > 0.0);
    let nothing = SelectOptions { level: 1e-9, ..options };
    let nested = nested_select(&world.mined(), folds, &Provenance::default(), &nothing, score, &sign_flips).unwrap();
    assert!(nested.chosen.iter().all(Option::is_none));
    assert!(nested.dense.iter().all(|score| (score.after - score.before).abs() < 1e-12));
}

#[test]
fn folds_are_dealt_out_evenly() {
    let folds = shuffled_folds(23, 5, 1);
    let sizes: Vec<usize> = (0..5).map(|fold| folds.iter().filter(|&&found| found == fold).count()).collect();
    assert_eq!(sizes, [5, 5, 5, 4, 4]);
    assert_eq!(shuffled_folds(0, 5, 1), [0; 0]);
    assert_ne!(folds, shuffled_folds(23, 5, 2));
}
