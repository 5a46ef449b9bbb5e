use super::*;

const KINDS: [PairKind; 3] = [PairKind::Title, PairKind::InverseCloze, PairKind::Keyphrases];

/// 30 pairs of each kind; what differs in those of sentences is the first axis, in others the second.
fn differences() -> (Vec<f32>, Vec<PairKind>) {
    let kinds: Vec<PairKind> = KINDS.iter().flat_map(|&kind| [kind; 30]).collect();
    let row = |kind: &PairKind| if *kind == PairKind::InverseCloze { [1.0, 0.1] } else { [0.1, 1.0] };
    (kinds.iter().flat_map(row).collect(), kinds)
}

/// Judges 30 titles and 30 sentences of each half, which gain so much by any adapter.
fn judged(gain: Scores, p: f64) -> LabelFreeVerdict {
    let (differences, kinds) = differences();
    let half = LabelFreeHalf { differences: Rows::new(&differences, 2).unwrap(), kinds: &kinds, judged: &kinds[..60] };
    let score = &mut |adapter: &ClosedFormAdapter, _: usize, places: &[usize]| -> Result<Vec<Scores>, Error> {
        let share = f64::from(u8::from(adapter.parts().whitening.is_some()));
        let scores = Scores { dense: 0.5 + share * gain.dense, hybrid: 0.5 + share * gain.hybrid };
        Ok(vec![scores; places.len()])
    };
    let test = |_: &[f64]| Significance { p, low: 0.0, high: 0.0 };
    judge_label_free(&[half; 2], &Provenance::default(), &LabelFreeOptions::default(), score, &test).unwrap()
}

fn check(dense: f64, hybrid: f64, p: f64, reasons: &[&str]) {
    let verdict = judged(Scores { dense, hybrid }, p);
    assert_eq!(verdict.reasons.iter().map(ToString::to_string).collect::<Vec<_>>(), reasons);
    assert_eq!(verdict.ships, reasons.is_empty());
    assert_eq!((verdict.dense.queries, verdict.kinds.len(), verdict.kinds[0].queries), (120, 2, 60));
    assert!((verdict.kinds[1].hybrid - hybrid).abs() < 1e-12);
}

#[test]
fn ships_what_gains_enough_in_both() {
    check(0.01, 0.006, 0.001, &[]);
    let little =
        "hybrid retrieval of pseudo-queries gains +0.0040, which is not enough (more than 0, and at least 0.005)";
    check(0.01, 0.004, 0.001, &[little]);
    let none = "dense retrieval of pseudo-queries gains +0.0000, which is not enough (more than 0, and at least 0)";
    check(0.0, 0.01, 0.001, &[none]);
    let chance = |name, gain| {
        format!(
            "the gain of {name} retrieval of pseudo-queries may be chance: {gain}, p = 0.010, which is not below 0.01"
        )
    };
    check(0.02, 0.01, 0.01, &[&chance("dense", "+0.0200"), &chance("hybrid", "+0.0100")]);
    assert!(!judged(Scores { dense: 0.1, hybrid: 0.1 }, f64::NAN).ships);
}

#[test]
fn a_kind_is_judged_by_what_the_other_half_says_in_other_kinds() {
    let (values, kinds) = differences();
    let turned: Vec<f32> = values.chunks(2).flat_map(|row| [row[1], row[0]]).collect();
    let half =
        |values| LabelFreeHalf { differences: Rows::new(values, 2).unwrap(), kinds: &kinds, judged: &kinds[..60] };
    let mut calls = Vec::new();
    let score = &mut |adapter: &ClosedFormAdapter, half: usize, places: &[usize]| -> Result<Vec<Scores>, Error> {
        if let Some(whitening) = &adapter.parts().whitening {
            calls.push((half, kinds[places[0]], whitening[0] > whitening[3]));
        }
        Ok(vec![Scores::default(); places.len()])
    };
    let test = |_: &[f64]| Significance { p: 1.0, low: 0.0, high: 0.0 };
    let halves = [half(&values), half(&turned)];
    judge_label_free(&halves, &Provenance::default(), &LabelFreeOptions::default(), score, &test).unwrap();
    // Key phrases differ along the second axis in the first half, sentences along the first: titles learn from both, sentences from
    // key phrases and titles. The first half is judged by what the second says, in which axes have changed places.
    let sentences: Vec<_> = calls.iter().filter(|call| call.1 == PairKind::InverseCloze).collect();
    assert_eq!(sentences, [&(0, PairKind::InverseCloze, false), &(1, PairKind::InverseCloze, true)]);
    assert_eq!(calls.len(), 4);
}

#[test]
fn too_little_gives_no_verdict() {
    let (values, kinds) = differences();
    let run = |values: &[f32], kinds: &[PairKind], judged: &[PairKind], options: &LabelFreeOptions, score: f64| {
        let dimensions = 2;
        let half = LabelFreeHalf { differences: Rows::new(values, dimensions).unwrap(), kinds, judged };
        let score = &mut |_: &ClosedFormAdapter, _: usize, places: &[usize]| -> Result<Vec<Scores>, Error> {
            Ok(vec![Scores { dense: score, hybrid: 0.0 }; places.len()])
        };
        let test = |_: &[f64]| Significance { p: 1.0, low: 0.0, high: 0.0 };
        judge_label_free(&[half; 2], &Provenance::default(), options, score, &test).unwrap_err()
    };
    let options = LabelFreeOptions::default();
    let few = run(&values, &kinds, &kinds[..29], &options, 0.0);
    assert_eq!(few.to_string(), "0 pseudo-queries to judge by, where at least 50 are needed");
    let alone = run(&values[..60], &kinds[..30], &kinds[..60], &options, 0.0);
    assert_eq!(alone.to_string(), "0 pseudo-queries of other kinds to learn from, where at least 30 are needed");
    assert!(matches!(run(&values, &kinds[1..], &kinds, &options, 0.0), Error::SizeMismatch { .. }));
    assert_eq!(run(&vec![0.0; values.len()], &kinds, &kinds, &options, 0.0), Error::NoSpectrum);
    assert_eq!(run(&values, &kinds, &kinds, &options, f64::NAN), Error::ScoreNotFinite { query: 0 });
    for wrong in [LabelFreeOptions { level: 0.0, ..options }, LabelFreeOptions { min_hybrid_gain: f64::NAN, ..options }]
    {
        assert!(matches!(run(&values, &kinds, &kinds, &wrong, 0.0), Error::Setting { .. }));
    }
}
