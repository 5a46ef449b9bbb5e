//! Compares a run with judgements, query by query.

use crate::{Measure, Qrels, Run, Scores};

/// What [`evaluate`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// What was measured, in the order asked for, each once.
    pub measures: Vec<Measure>,
    /// Mean over `per_query`; zeros when there is none.
    pub mean: Scores,
    /// Figures of every query that counts, by query id.
    pub per_query: Vec<(String, Scores)>,
}

impl Evaluation {
    /// The figures of one measure in the order of `per_query`; `None` when it was not measured.
    pub fn values(&self, measure: Measure) -> Option<Vec<f64>> {
        self.measures.contains(&measure).then(|| self.per_query(measure).map(|(_, value)| value).collect())
    }

    /// The `count` queries with the lowest figures of a measure, lowest first and ties by id; none when it was not measured.
    pub fn worst(&self, measure: Measure, count: usize) -> Vec<(&str, f64)> {
        let mut queries: Vec<(&str, f64)> = self.per_query(measure).collect();
        queries.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(b.0)));
        queries.truncate(count);
        queries
    }

    fn per_query(&self, measure: Measure) -> impl Iterator<Item = (&str, f64)> {
        self.per_query.iter().filter_map(move |(query, scores)| Some((query.as_str(), scores.get(measure)?)))
    }
}

/// Compares a run with judgements. A measure that is asked for twice is measured once.
///
/// Every query of `qrels` that has a relevant document counts; one that the run does not answer counts as 0 (trec_eval does so
/// with `-c`). Queries without a relevant document are left out, because no answer to them can be told from another (trec_eval
/// counts them as 0), and so are queries of the run that were not judged. Documents keep the order that the run gives them.
pub fn evaluate(run: &Run, qrels: &Qrels, measures: &[Measure]) -> Evaluation {
    let mut per_query = Vec::new();
    for (query, judgements) in qrels.iter() {
        let mut relevant: Vec<i32> = judgements.values().copied().filter(|&grade| grade > 0).collect();
        if relevant.is_empty() {
            continue;
        }
        relevant.sort_unstable_by(|a, b| b.cmp(a));
        let ranking = run.get(query).unwrap_or_default().iter();
        let ranked: Vec<i32> = ranking.map(|(document, _)| judgements.get(document).copied().unwrap_or(0)).collect();
        let scores: Scores = measures.iter().map(|measure| (*measure, measure.of(&ranked, &relevant))).collect();
        per_query.push((query.to_owned(), scores));
    }
    let mean: Scores = measures.iter().map(|measure| (*measure, mean(&per_query, *measure))).collect();
    Evaluation { measures: mean.iter().map(|(measure, _)| measure).collect(), mean, per_query }
}

fn mean(per_query: &[(String, Scores)], measure: Measure) -> f64 {
    let sum: f64 = per_query.iter().filter_map(|(_, scores)| scores.get(measure)).sum();
    // The sum of nothing is −0.
    sum / per_query.len().max(1) as f64 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEFAULT_MEASURES;

    const NDCG: Measure = Measure::Ndcg(Some(10));

    fn qrels(judgements: &[(&str, &str, i32)]) -> Qrels {
        let mut qrels = Qrels::default();
        for (query, document, grade) in judgements {
            qrels.insert(query, document, *grade);
        }
        qrels
    }

    /// Figures of one ranking, under the names that tools rely on.
    fn check(ranking: &[&str], judgements: &[(&str, i32)], expected: &[(&str, f64)]) {
        let judgements: Vec<_> = judgements.iter().map(|(document, grade)| ("q", *document, *grade)).collect();
        let mut run = Run::new();
        run.insert("q", ranking.iter().map(|document| ((*document).to_owned(), 1.0)).collect()).unwrap();
        let measures: Vec<Measure> = expected.iter().map(|(name, _)| name.parse().unwrap()).collect();
        let mean = evaluate(&run, &qrels(&judgements), &measures).mean;
        for (measure, (name, value)) in measures.iter().zip(expected) {
            assert_eq!(mean.get(*measure), Some(*value), "{name} of {ranking:?}");
        }
    }

    #[test]
    fn second_of_two_found_at_rank_two() {
        let ndcg = (1.0 / 3f64.log2()) / (1.0 + 1.0 / 3f64.log2());
        let expected = [("ndcg@10", ndcg), ("recall@100", 0.5), ("mrr@10", 0.5), ("map", 0.25), ("p@10", 0.1)];
        check(&["x", "a"], &[("a", 1), ("b", 1)], &expected);
    }

    #[test]
    fn the_order_given_counts_not_the_score() {
        check(&["a", "b"], &[("a", 1)], &[("mrr@10", 1.0), ("success@1", 1.0)]);
        check(&["b", "a"], &[("a", 1)], &[("mrr@10", 0.5), ("success@1", 0.0)]);
    }

    #[test]
    fn looks_no_deeper_than_its_name_says() {
        let at = |place: usize| -> Vec<String> {
            (0..101).map(|index| if index == place { "a".to_owned() } else { format!("x{index}") }).collect()
        };
        for (place, expected) in [
            (9, [("mrr@10", 0.1), ("recall@100", 1.0), ("success@10", 1.0), ("map@100", 0.1), ("map", 0.1)]),
            (10, [("mrr@10", 0.0), ("ndcg@10", 0.0), ("success@10", 0.0), ("recall@100", 1.0), ("mrr", 1.0 / 11.0)]),
            (99, [("mrr@10", 0.0), ("recall@100", 1.0), ("map@100", 0.01), ("p@100", 0.01), ("map", 0.01)]),
            (100, [("map", 1.0 / 101.0), ("recall@100", 0.0), ("map@100", 0.0), ("p@100", 0.0), ("ndcg@100", 0.0)]),
        ] {
            let ranking = at(place);
            check(&ranking.iter().map(String::as_str).collect::<Vec<_>>(), &[("a", 1)], &expected);
        }
    }

    #[test]
    fn grades_of_zero_and_below_are_not_relevant() {
        let judgements = [("a", 2), ("none", 0), ("bad", -1)];
        check(&["bad", "none", "a"], &judgements, &[("ndcg@10", 0.5), ("map", 1.0 / 3.0)]);
    }

    #[test]
    fn unanswered_queries_count_and_unanswerable_ones_do_not() {
        let qrels = qrels(&[("answered", "a", 1), ("unanswered", "a", 1), ("unanswerable", "a", 0)]);
        let mut run = Run::new();
        run.insert("answered", vec![("a".to_owned(), 1.0)]).unwrap();
        run.insert("not judged", vec![("a".to_owned(), 1.0)]).unwrap();
        let evaluation = evaluate(&run, &qrels, &[NDCG, NDCG]);
        let queries: Vec<&str> = evaluation.per_query.iter().map(|(query, _)| query.as_str()).collect();
        assert_eq!((queries, evaluation.measures.as_slice()), (vec!["answered", "unanswered"], [NDCG].as_slice()));
        assert_eq!(evaluation.mean.get(NDCG), Some(0.5));
        assert_eq!(evaluation.values(NDCG), Some(vec![1.0, 0.0]));
        assert_eq!(evaluation.values(Measure::Map(None)), None);
    }

    #[test]
    fn the_worst_come_first_and_ties_by_id() {
        let qrels = qrels(&[("q3", "a", 1), ("q1", "a", 1), ("q2", "a", 1)]);
        let mut run = Run::new();
        run.insert("q2", vec![("b".to_owned(), 1.0), ("a".to_owned(), 1.0)]).unwrap();
        let evaluation = evaluate(&run, &qrels, &DEFAULT_MEASURES);
        assert_eq!(evaluation.worst(Measure::Map(None), 9), [("q1", 0.0), ("q3", 0.0), ("q2", 0.5)]);
        assert_eq!(evaluation.worst(Measure::Map(None), 1), [("q1", 0.0)]);
        assert_eq!(evaluation.worst(Measure::Map(Some(7)), 1), []);
    }

    #[test]
    fn nothing_to_compare_gives_zeros() {
        let evaluation = evaluate(&Run::new(), &Qrels::default(), &[NDCG]);
        assert_eq!((evaluation.mean.get(NDCG), evaluation.per_query), (Some(0.0), vec![]));
    }
}
