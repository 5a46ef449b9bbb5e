//! The measures are those of trec_eval, to four digits.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Cursor;
use std::path::Path;

use berth_eval::{Measure, PrecisionCurve, Qrels, Run, Scores, evaluate, precision_recall};
use serde::Deserialize;

/// Recorded by `scripts/record_eval_goldens.py`, which says how.
const GOLDEN: &str = include_str!("fixtures/trec_eval.json");

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    qrels: BTreeMap<String, BTreeMap<String, i32>>,
    run: BTreeMap<String, BTreeMap<String, f32>>,
    figures: BTreeMap<String, Scores>,
    curves: BTreeMap<String, PrecisionCurve>,
}

impl Case {
    fn qrels(&self) -> Qrels {
        let mut qrels = Qrels::default();
        for (query, documents) in &self.qrels {
            for (document, grade) in documents {
                qrels.insert(query, document, *grade);
            }
        }
        qrels
    }

    /// The run as a file in no useful order, with ranks that mean nothing.
    fn run(&self) -> Run {
        let mut file = String::new();
        for (query, documents) in &self.run {
            for (document, score) in documents {
                writeln!(file, "{query} Q0 {document} 1 {score} made-up").unwrap();
            }
        }
        Run::read_trec(Cursor::new(file), Path::new("golden")).unwrap()
    }

    fn measures(&self) -> Vec<Measure> {
        self.figures.values().next().unwrap().iter().map(|(measure, _)| measure).collect()
    }
}

fn golden() -> Golden {
    serde_json::from_str(GOLDEN).unwrap()
}

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() < 5e-5
}

#[test]
fn agrees_with_trec_eval() {
    let (mut compared, mut judged, mut unanswerable) = (0, 0, 0);
    for case in golden().cases {
        let evaluation = evaluate(&case.run(), &case.qrels(), &case.measures());
        assert_eq!(evaluation.measures.len(), 17);
        for (query, scores) in evaluation.per_query {
            assert_eq!(case.figures.contains_key(&query), case.run.contains_key(&query));
            for (measure, ours) in scores.iter() {
                // trec_eval says nothing of a query without an answer; here it counts as 0.
                let theirs = case.figures.get(&query).map_or(0.0, |figures| figures.get(measure).unwrap());
                assert!(close(ours, theirs), "{query} {measure}: {ours}, trec_eval says {theirs}");
            }
            compared += 1;
        }
        judged += case.qrels.len();
        unanswerable += case.qrels.values().filter(|documents| documents.values().all(|&grade| grade <= 0)).count();
    }
    assert!(compared > 20 && unanswerable > 0);
    assert_eq!(compared, judged - unanswerable);
}

#[test]
fn precision_at_levels_of_recall_agrees_with_trec_eval() {
    for case in golden().cases {
        let found = precision_recall(&case.run(), &case.qrels());
        for (query, ours) in &found.per_query {
            let theirs = case.curves.get(query).copied().unwrap_or_default();
            assert!(ours.iter().zip(theirs).all(|(ours, theirs)| close(*ours, theirs)), "{query}: {ours:?} {theirs:?}");
        }
        let sum: f64 = found.per_query.iter().map(|(_, curve)| curve[5]).sum();
        assert!(close(found.mean[5], sum / found.per_query.len() as f64));
    }
}

#[test]
fn ties_would_be_noticed() {
    // Were ties left in another order, some figure would differ: the fixture holds ties that matter.
    let differs = golden().cases.iter().any(|case| {
        let mut run = Run::new();
        for (query, documents) in &case.run {
            let mut ranking: Vec<(String, f32)> = documents.clone().into_iter().collect();
            ranking.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            run.insert(query, ranking).unwrap();
        }
        let evaluation = evaluate(&run, &case.qrels(), &case.measures());
        evaluation.per_query.iter().any(|(query, scores)| {
            let theirs = |measure| case.figures.get(query).map_or(0.0, |figures| figures.get(measure).unwrap());
            scores.iter().any(|(measure, ours)| !close(ours, theirs(measure)))
        })
    });
    assert!(differs);
}
