//! What can be measured of a ranking, by the definitions and under the names of trec_eval.
//!
//! A document is relevant to a query when its grade is above zero; a document that was not judged is not relevant.
//! Going through a run query by query is left to [`crate::evaluate`].

use std::fmt;
use std::str::FromStr;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// What is measured where nothing else is asked for.
pub const DEFAULT_MEASURES: [Measure; 4] =
    [Measure::Ndcg(Some(10)), Measure::Recall(100), Measure::Mrr(Some(10)), Measure::Map(None)];

/// A figure between 0 and 1 of one ranking. The number is the cut: how many places are looked at, `None` for all.
///
/// Written and read as `ndcg@10`, `ndcg`, `recall@100`, `precision@10` (read as `p@10` too), `mrr@10`, `mrr`, `map@100`,
/// `map`, `success@1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Discounted cumulative gain over the highest possible: Σ grade / log₂(rank + 1). `ndcg`, `ndcg_cut_K`.
    Ndcg(Option<usize>),
    /// Share of the relevant documents that were found. `recall_K`.
    Recall(usize),
    /// Share of the places that hold a relevant document, be they filled or not. `P_K`.
    Precision(usize),
    /// One over the rank of the first relevant document, 0 without one. `recip_rank`, with a cut of the ranking cut so.
    Mrr(Option<usize>),
    /// Precision at the rank of each relevant document that was found, summed, over the number of all of them. `map`,
    /// `map_cut_K`.
    Map(Option<usize>),
    /// 1 where any relevant document was found, 0 otherwise. `success_K`.
    Success(usize),
}

impl Measure {
    /// The figure of one ranking.
    ///
    /// `ranked` holds the grade of each document in the order of the ranking, 0 where it was not judged; `relevant` the grades
    /// above zero of all judged documents, highest first. Without relevant documents, or with a cut of 0, it is 0.
    pub(crate) fn of(self, ranked: &[i32], relevant: &[i32]) -> f64 {
        let all = relevant.len() as f64;
        match self {
            Self::Ndcg(cut) => ratio(gain(head(ranked, cut)), gain(head(relevant, cut))),
            Self::Recall(cut) => ratio(found(ranked, cut), all),
            Self::Precision(cut) => ratio(found(ranked, cut), cut as f64),
            Self::Mrr(cut) => {
                head(ranked, cut).iter().position(|&grade| grade > 0).map_or(0.0, |index| 1.0 / (index + 1) as f64)
            }
            Self::Map(cut) => ratio(precision_at_hits(head(ranked, cut)), all),
            Self::Success(cut) => f64::from(found(ranked, cut) > 0.0),
        }
    }

    /// Places that it looks at; none: all.
    pub fn cut(self) -> Option<usize> {
        self.parts().1
    }

    fn parts(self) -> (&'static str, Option<usize>) {
        match self {
            Self::Ndcg(cut) => ("ndcg", cut),
            Self::Recall(cut) => ("recall", Some(cut)),
            Self::Precision(cut) => ("precision", Some(cut)),
            Self::Mrr(cut) => ("mrr", cut),
            Self::Map(cut) => ("map", cut),
            Self::Success(cut) => ("success", Some(cut)),
        }
    }
}

fn head(grades: &[i32], cut: Option<usize>) -> &[i32] {
    &grades[..cut.unwrap_or(usize::MAX).min(grades.len())]
}

fn found(ranked: &[i32], cut: usize) -> f64 {
    head(ranked, Some(cut)).iter().filter(|&&grade| grade > 0).count() as f64
}

/// A grade below zero takes nothing away.
fn gain(grades: &[i32]) -> f64 {
    let places = grades.iter().enumerate().filter(|(_, grade)| **grade > 0);
    places.map(|(index, &grade)| f64::from(grade) / (index as f64 + 2.0).log2()).sum()
}

fn precision_at_hits(ranked: &[i32]) -> f64 {
    let hits = ranked.iter().enumerate().filter(|(_, grade)| **grade > 0);
    hits.enumerate().map(|(before, (index, _))| (before + 1) as f64 / (index + 1) as f64).sum()
}

/// The sum of nothing is −0, which people would be shown; adding 0 makes it 0.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole + 0.0 } else { 0.0 }
}

impl fmt::Display for Measure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (name, Some(cut)) => formatter.pad(&format!("{name}@{cut}")),
            (name, None) => formatter.pad(name),
        }
    }
}

impl FromStr for Measure {
    type Err = Error;

    /// Reads a name; upper case is taken as well.
    ///
    /// # Errors
    /// `UnknownMeasure`; `MeasureWithoutCut` where the measure needs one; `MeasureCut` for a cut that is no whole number
    /// above zero.
    fn from_str(text: &str) -> Result<Self, Error> {
        let lower = text.trim().to_ascii_lowercase();
        let (name, cut) = lower.split_once('@').map_or((lower.as_str(), None), |(name, cut)| (name, Some(cut)));
        let digits = |cut: &&str| !cut.is_empty() && cut.bytes().all(|byte| byte.is_ascii_digit());
        let number =
            |cut: &str| Some(cut).filter(digits).and_then(|cut| cut.parse().ok()).filter(|&cut: &usize| cut > 0);
        let cut = cut.map(|cut| number(cut).ok_or_else(|| Error::MeasureCut { name: text.to_owned() }));
        let needed = |cut: Option<_>| cut.unwrap_or_else(|| Err(Error::MeasureWithoutCut { name: text.to_owned() }));
        match name {
            "ndcg" => cut.transpose().map(Self::Ndcg),
            "recall" => needed(cut).map(Self::Recall),
            "precision" | "p" => needed(cut).map(Self::Precision),
            "mrr" => cut.transpose().map(Self::Mrr),
            "map" => cut.transpose().map(Self::Map),
            "success" => needed(cut).map(Self::Success),
            _ => Err(Error::UnknownMeasure { name: text.to_owned() }),
        }
    }
}

impl Serialize for Measure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Measure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Figures by measure, in the order in which they were asked for; in JSON a map of the same order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scores {
    values: Vec<(Measure, f64)>,
}

impl Scores {
    /// The figure of a measure, where it was asked for.
    pub fn get(&self, measure: Measure) -> Option<f64> {
        self.values.iter().find(|(of, _)| *of == measure).map(|(_, value)| *value)
    }

    /// All figures, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Measure, f64)> {
        self.values.iter().copied()
    }
}

/// Of a measure that comes twice, the first figure counts.
impl FromIterator<(Measure, f64)> for Scores {
    fn from_iter<I: IntoIterator<Item = (Measure, f64)>>(figures: I) -> Self {
        let mut scores = Self::default();
        for (measure, value) in figures {
            if scores.get(measure).is_none() {
                scores.values.push((measure, value));
            }
        }
        scores
    }
}

impl Serialize for Scores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Scores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

/// Reads a map without changing its order.
struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Scores;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map of figures by measure")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scores, A::Error> {
        let entries = std::iter::from_fn(|| map.next_entry().transpose());
        entries.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn is_read_under_the_names_that_it_is_written_under() {
        for (text, measure) in [
            ("ndcg", Measure::Ndcg(None)),
            ("ndcg@10", Measure::Ndcg(Some(10))),
            ("recall@100", Measure::Recall(100)),
            ("precision@10", Measure::Precision(10)),
            ("mrr", Measure::Mrr(None)),
            ("mrr@10", Measure::Mrr(Some(10))),
            ("map", Measure::Map(None)),
            ("map@100", Measure::Map(Some(100))),
            ("success@1", Measure::Success(1)),
        ] {
            assert_eq!(text.parse::<Measure>().unwrap(), measure);
            assert_eq!(measure.to_string(), text);
        }
        assert_eq!("P@5".parse::<Measure>().unwrap(), Measure::Precision(5));
        assert_eq!(" nDCG@10 ".parse::<Measure>().unwrap(), Measure::Ndcg(Some(10)));
        assert_eq!(format!("{:>8}|", Measure::Map(None)), "     map|");
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_a_reason() {
        let check = |text: &str, expected| assert_eq!(text.parse::<Measure>().unwrap_err().to_string(), expected);
        check("ndcg@0", "measure 'ndcg@0': the cut after '@' is not a whole number above 0");
        check("mrr@", "measure 'mrr@': the cut after '@' is not a whole number above 0");
        check("map@+5", "measure 'map@+5': the cut after '@' is not a whole number above 0");
        check("p@1.5", "measure 'p@1.5': the cut after '@' is not a whole number above 0");
        check("recall", "measure 'recall' needs a cut, as in 'recall@10'");
        check(
            "bleu@4",
            "unknown measure 'bleu@4'; there are: ndcg, ndcg@K, recall@K, precision@K (or p@K), mrr, mrr@K, map, map@K, \
             success@K",
        );
        assert!("".parse::<Measure>().is_err());
    }

    #[test]
    fn scores_keep_their_order_in_json() {
        let scores: Scores = DEFAULT_MEASURES.iter().map(|measure| (*measure, 0.0)).collect();
        let json = serde_json::to_string(&scores).unwrap();
        assert_eq!(json, r#"{"ndcg@10":0.0,"recall@100":0.0,"mrr@10":0.0,"map":0.0}"#);
        assert_eq!(serde_json::from_str::<Scores>(&json).unwrap(), scores);
        assert!(serde_json::from_str::<Scores>(r#"{"ndcg@0":1}"#).is_err());
    }

    #[test]
    fn scores_may_stand_among_other_figures() {
        #[derive(Serialize)]
        struct Report {
            #[serde(flatten)]
            scores: Scores,
            p50_ms: f64,
        }
        let scores = [(Measure::Success(1), 0.5), (Measure::Map(None), 0.25)].into_iter().collect();
        let json = serde_json::to_string(&Report { scores, p50_ms: 2.0 }).unwrap();
        assert_eq!(json, r#"{"success@1":0.5,"map":0.25,"p50_ms":2.0}"#);
    }

    #[test]
    fn a_cut_of_zero_and_a_query_without_relevant_documents_give_zero() {
        for measure in [Measure::Ndcg(Some(0)), Measure::Precision(0), Measure::Recall(0), Measure::Mrr(Some(0))] {
            assert_eq!(measure.of(&[1], &[1]), 0.0);
        }
        for measure in DEFAULT_MEASURES {
            assert_eq!(format!("{} {}", measure.of(&[], &[1]), measure.of(&[0], &[1])), "0 0", "and never −0");
            assert_eq!((measure.of(&[0, -1], &[]), measure.of(&[], &[2]), measure.of(&[], &[])), (0.0, 0.0, 0.0));
        }
    }

    fn any_measure() -> impl Strategy<Value = Measure> {
        let cut = 1..200_usize;
        prop_oneof![
            prop::option::of(cut.clone()).prop_map(Measure::Ndcg),
            cut.clone().prop_map(Measure::Recall),
            cut.clone().prop_map(Measure::Precision),
            prop::option::of(cut.clone()).prop_map(Measure::Mrr),
            prop::option::of(cut.clone()).prop_map(Measure::Map),
            cut.prop_map(Measure::Success),
        ]
    }

    proptest! {
        #[test]
        fn names_are_read_back(measure in any_measure()) {
            prop_assert_eq!(measure.to_string().parse::<Measure>().unwrap(), measure);
        }

        #[test]
        fn no_figure_leaves_its_range_and_the_ideal_order_is_best(
            measure in any_measure(), ranked in prop::collection::vec(-1..4_i32, 0..40), missed in 0..4_usize
        ) {
            let mut relevant: Vec<i32> = ranked.iter().copied().filter(|grade| *grade > 0).collect();
            relevant.extend(std::iter::repeat_n(1, missed));
            relevant.sort_unstable_by(|a, b| b.cmp(a));
            let figure = measure.of(&ranked, &relevant);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&figure), "{}", figure);
            prop_assert!(figure <= measure.of(&relevant, &relevant) + 1e-12);
        }

        #[test]
        fn figures_agree_with_each_other(ranked in prop::collection::vec(0..2_i32, 0..40), cut in 1..50_usize) {
            let relevant: Vec<i32> = ranked.iter().copied().filter(|grade| *grade > 0).collect();
            let of = |measure: Measure| measure.of(&ranked, &relevant);
            let hits = of(Measure::Precision(cut)) * cut as f64;
            prop_assert!((of(Measure::Recall(cut)) * relevant.len() as f64 - hits).abs() < 1e-9);
            prop_assert_eq!(of(Measure::Success(cut)) > 0.0, of(Measure::Mrr(Some(cut))) > 0.0);
            prop_assert!(of(Measure::Map(Some(cut))) <= of(Measure::Map(None)));
            prop_assert_eq!(of(Measure::Ndcg(Some(40))), of(Measure::Ndcg(None)));
        }
    }
}
