//! The metrics are those of trec_eval, to four digits.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Cursor;
use std::path::Path;

use berth_eval::{Metrics, Qrels, Run, evaluate};
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
    figures: BTreeMap<String, Metrics>,
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
}

fn close(ours: Metrics, theirs: Metrics) -> bool {
    let differences = [
        ours.ndcg_at_10 - theirs.ndcg_at_10,
        ours.recall_at_100 - theirs.recall_at_100,
        ours.mrr_at_10 - theirs.mrr_at_10,
        ours.map - theirs.map,
    ];
    differences.iter().all(|difference| difference.abs() < 5e-5)
}

#[test]
fn agrees_with_trec_eval() {
    let golden: Golden = serde_json::from_str(GOLDEN).unwrap();
    let mut compared = 0;
    for case in &golden.cases {
        for (query, ours) in evaluate(&case.run(), &case.qrels()).per_query {
            // trec_eval says nothing of a query without an answer; here it counts as 0.
            let theirs = case.figures.get(&query).copied().unwrap_or_default();
            assert_eq!(case.figures.contains_key(&query), case.run.contains_key(&query));
            assert!(close(ours, theirs), "{query}: {ours:?}, trec_eval says {theirs:?}");
            compared += 1;
        }
    }
    let judged: usize = golden.cases.iter().map(|case| case.qrels.len()).sum();
    let unanswerable = golden.cases.iter().flat_map(|case| case.qrels.values());
    let unanswerable = unanswerable.filter(|documents| documents.values().all(|&grade| grade <= 0)).count();
    assert!(compared > 20 && unanswerable > 0);
    assert_eq!(compared, judged - unanswerable);
}

#[test]
fn ties_would_be_noticed() {
    // Were ties left in another order, some figure would differ: the fixture holds ties that matter.
    let golden: Golden = serde_json::from_str(GOLDEN).unwrap();
    let differs = golden.cases.iter().any(|case| {
        let mut run = Run::new();
        for (query, documents) in &case.run {
            let mut ranking: Vec<(String, f32)> = documents.clone().into_iter().collect();
            ranking.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            run.insert(query, ranking).unwrap();
        }
        let evaluation = evaluate(&run, &case.qrels());
        evaluation.per_query.iter().any(|(query, ours)| case.figures.get(query).is_some_and(|f| !close(*ours, *f)))
    });
    assert!(differs);
}
