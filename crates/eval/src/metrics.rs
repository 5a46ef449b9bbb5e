//! How good ranked answers are, by the definitions of trec_eval.
//!
//! A document is relevant to a query when its grade is above zero; a document that was not judged is not relevant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Qrels, Run};

/// Places that nDCG and the reciprocal rank look at.
const HEAD: usize = 10;
/// Places that recall looks at.
const RECALL_DEPTH: usize = 100;

/// Four figures between 0 and 1, for one query or as the mean of many.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Metrics {
    /// Discounted cumulative gain of the first ten, over the highest possible: Σ grade / log₂(rank + 1). `ndcg_cut_10`.
    #[serde(rename = "ndcg@10")]
    pub ndcg_at_10: f64,
    /// Share of the relevant documents that stand among the first hundred. `recall_100`.
    #[serde(rename = "recall@100")]
    pub recall_at_100: f64,
    /// One over the rank of the first relevant document, 0 when it is not among the first ten. `recip_rank` of ten results.
    #[serde(rename = "mrr@10")]
    pub mrr_at_10: f64,
    /// Precision at the rank of each relevant document that was found, summed, over the number of all of them. `map`.
    pub map: f64,
}

/// What [`evaluate`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Mean over `per_query`; zeros when there is none.
    pub mean: Metrics,
    /// Figures of every query that counts, by query id.
    pub per_query: Vec<(String, Metrics)>,
}

/// Compares a run with judgements.
///
/// Every query of `qrels` that has a relevant document counts; one that the run does not answer counts as 0 (trec_eval does so
/// with `-c`). Queries without a relevant document are left out, because no answer to them can be told from another (trec_eval
/// counts them as 0), and so are queries of the run that were not judged. Documents keep the order that the run gives them.
pub fn evaluate(run: &Run, qrels: &Qrels) -> Evaluation {
    let mut per_query = Vec::new();
    for (query, judgements) in qrels.iter() {
        if judgements.values().any(|&grade| grade > 0) {
            per_query.push((query.to_owned(), query_metrics(run.get(query).unwrap_or_default(), judgements)));
        }
    }
    Evaluation { mean: mean(&per_query), per_query }
}

/// Figures of one query; `judgements` holds at least one grade above zero.
fn query_metrics(ranking: &[(String, f32)], judgements: &BTreeMap<String, i32>) -> Metrics {
    let mut ideal: Vec<i32> = judgements.values().copied().filter(|&grade| grade > 0).collect();
    ideal.sort_unstable_by(|a, b| b.cmp(a));
    let relevant = ideal.len() as f64;
    let ideal_gain: f64 = ideal.iter().take(HEAD).enumerate().map(|(index, &grade)| discounted(grade, index + 1)).sum();

    let mut metrics = Metrics::default();
    let mut found = 0.0;
    for (index, (document, _)) in ranking.iter().enumerate() {
        let grade = judgements.get(document).copied().unwrap_or(0);
        if grade <= 0 {
            continue;
        }
        let rank = index + 1;
        found += 1.0;
        metrics.map += found / rank as f64;
        if rank <= HEAD {
            metrics.ndcg_at_10 += discounted(grade, rank);
        }
        if rank <= HEAD && metrics.mrr_at_10 == 0.0 {
            metrics.mrr_at_10 = 1.0 / rank as f64;
        }
        if rank <= RECALL_DEPTH {
            metrics.recall_at_100 += 1.0;
        }
    }
    metrics.ndcg_at_10 /= ideal_gain;
    metrics.recall_at_100 /= relevant;
    metrics.map /= relevant;
    metrics
}

fn discounted(grade: i32, rank: usize) -> f64 {
    f64::from(grade) / (rank as f64 + 1.0).log2()
}

fn mean(per_query: &[(String, Metrics)]) -> Metrics {
    let mut mean = Metrics::default();
    for (_, metrics) in per_query {
        let share = per_query.len() as f64;
        mean.ndcg_at_10 += metrics.ndcg_at_10 / share;
        mean.recall_at_100 += metrics.recall_at_100 / share;
        mean.mrr_at_10 += metrics.mrr_at_10 / share;
        mean.map += metrics.map / share;
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ranking: &[&str], judgements: &[(&str, i32)]) -> Metrics {
        let mut qrels = Qrels::default();
        for (document, grade) in judgements {
            qrels.insert("q", document, *grade);
        }
        let mut run = Run::new();
        run.insert("q", ranking.iter().map(|document| ((*document).to_owned(), 1.0)).collect()).unwrap();
        evaluate(&run, &qrels).mean
    }

    #[test]
    fn second_of_two_found_at_rank_two() {
        let metrics = check(&["x", "a"], &[("a", 1), ("b", 1)]);
        let ideal = 1.0 + 1.0 / 3f64.log2();
        assert_eq!(metrics.ndcg_at_10, (1.0 / 3f64.log2()) / ideal);
        assert_eq!((metrics.recall_at_100, metrics.mrr_at_10, metrics.map), (0.5, 0.5, 0.25));
    }

    #[test]
    fn the_order_given_counts_not_the_score() {
        assert_eq!(check(&["a", "b"], &[("a", 1)]).mrr_at_10, 1.0);
        assert_eq!(check(&["b", "a"], &[("a", 1)]).mrr_at_10, 0.5);
    }

    #[test]
    fn looks_no_deeper_than_its_name_says() {
        let ranking: Vec<String> = (0..101).map(|rank| format!("x{rank}")).collect();
        let mut ranking: Vec<&str> = ranking.iter().map(String::as_str).collect();
        ranking[9] = "a";
        assert!(check(&ranking, &[("a", 1)]).ndcg_at_10 > 0.0);
        ranking.swap(9, 10);
        let metrics = check(&ranking, &[("a", 1)]);
        assert_eq!((metrics.ndcg_at_10, metrics.mrr_at_10, metrics.recall_at_100), (0.0, 0.0, 1.0));
        ranking.swap(10, 99);
        assert_eq!(check(&ranking, &[("a", 1)]).recall_at_100, 1.0);
        ranking.swap(99, 100);
        let metrics = check(&ranking, &[("a", 1)]);
        assert_eq!((metrics.recall_at_100, metrics.map), (0.0, 1.0 / 101.0));
    }

    #[test]
    fn grades_of_zero_and_below_are_not_relevant() {
        let metrics = check(&["bad", "none", "a"], &[("a", 2), ("none", 0), ("bad", -1)]);
        assert_eq!((metrics.ndcg_at_10, metrics.map), (0.5, 1.0 / 3.0));
    }

    #[test]
    fn unanswered_queries_count_and_unanswerable_ones_do_not() {
        let mut qrels = Qrels::default();
        qrels.insert("answered", "a", 1);
        qrels.insert("unanswered", "a", 1);
        qrels.insert("unanswerable", "a", 0);
        let mut run = Run::new();
        run.insert("answered", vec![("a".to_owned(), 1.0)]).unwrap();
        run.insert("not judged", vec![("a".to_owned(), 1.0)]).unwrap();
        let evaluation = evaluate(&run, &qrels);
        let queries: Vec<&str> = evaluation.per_query.iter().map(|(query, _)| query.as_str()).collect();
        assert_eq!(queries, ["answered", "unanswered"]);
        assert_eq!(evaluation.mean.ndcg_at_10, 0.5);
    }

    #[test]
    fn nothing_to_compare_gives_zeros() {
        assert_eq!(
            evaluate(&Run::new(), &Qrels::default()),
            Evaluation { mean: Metrics::default(), per_query: vec![] }
        );
    }

    #[test]
    fn serialises_under_the_names_that_tools_rely_on() {
        let json = serde_json::to_string(&Metrics::default()).unwrap();
        assert_eq!(json, r#"{"ndcg@10":0.0,"recall@100":0.0,"mrr@10":0.0,"map":0.0}"#);
    }
}
