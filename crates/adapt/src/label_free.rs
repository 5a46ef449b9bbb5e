//! Whether an adapter that was learned without labels may be used, judged without labels.
//!
//! Documents are in two halves, so that no document is learned from and judged by; and what a kind of pseudo-queries says is
//! judged by other kinds, so that an adapter to the kind is no gain. Whoever scores takes the text of a pseudo-query out of its
//! document before: left in, nearly everything gained in dense retrieval, and hybrid retrieval was full.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cross_validation::ensure_scores;
use crate::gate::{at_least, in_range};
use crate::rows::expect_size;
use crate::{
    ClosedFormAdapter, Error, GroupVerdict, PairKind, Provenance, QueryScores, Rows, Scores, Significance,
    label_free_adapter,
};

/// Pseudo-queries of one kind and half of documents below which the kind is left out there, in learning or in judging; as
/// measured with.
const MIN_OF_KIND: usize = 30;

/// One half of the documents ([`crate::split_documents`] with a share of one half).
#[derive(Debug, Clone, Copy)]
pub struct LabelFreeHalf<'a> {
    /// Pseudo-queries less the best chunks of their documents, as indexed: `[pairs, dimensions]`, see
    /// [`crate::ChunkedDocuments::differences`]. They are learned from. Measured with up to 600 of a kind and half.
    pub differences: Rows<'a>,
    /// The kind of each of these.
    pub kinds: &'a [PairKind],
    /// The kinds of the pseudo-queries that are judged, in any order. Measured with up to
    /// 300 of a kind and half, none of key phrases.
    pub judged: &'a [PairKind],
}

/// When an adapter may be used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LabelFreeOptions {
    /// Mean gain of hybrid retrieval below which it may not.
    pub min_hybrid_gain: f64,
    /// Probability below which a gain, dense or hybrid, is not taken for chance.
    pub level: f64,
    /// Judged pseudo-queries without which there is no verdict.
    pub min_queries: usize,
}

impl Default for LabelFreeOptions {
    /// Measured with all-MiniLM-L6-v2. Judgements agreed with the verdict on SciFact (train) and CoSQA (dev), which were
    /// refused, and on Cranfield, KorQuAD (dev), ContractNLI and MAUD, which were not, MAUD by spans only. That is a fit, not a
    /// forecast: the least gain of .005 was set when these figures were known, after a second seed had brought SciFact to p =
    /// .03 and CoSQA to .014. The largest gain refused was .0029, the smallest let through .0076.
    fn default() -> Self {
        Self { min_hybrid_gain: 0.005, level: 0.01, min_queries: 50 }
    }
}

/// Whether an adapter learned without labels may be used, and why not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelFreeVerdict {
    /// Whether it may: there is no reason against it.
    pub ships: bool,
    /// All reasons against it.
    pub reasons: Vec<LabelFreeReason>,
    /// Dense retrieval, all judged pseudo-queries of both halves together.
    pub dense: GroupVerdict,
    /// Hybrid retrieval.
    pub hybrid: GroupVerdict,
    /// Each kind that was judged.
    pub kinds: Vec<KindGain>,
}

/// How the pseudo-queries of one kind did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KindGain {
    /// The kind.
    pub kind: PairKind,
    /// Number of pseudo-queries.
    pub queries: usize,
    /// Mean gain of dense retrieval.
    pub dense: f64,
    /// Mean gain of hybrid retrieval.
    pub hybrid: f64,
}

/// With or without lexical retrieval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retrieval {
    /// By vectors alone.
    Dense,
    /// By vectors and words.
    Hybrid,
}

impl std::fmt::Display for Retrieval {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Dense => "dense",
            Self::Hybrid => "hybrid",
        })
    }
}

/// A reason against using an adapter that was learned without labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LabelFreeReason {
    /// The gain is not large enough.
    #[error(
        "{retrieval} retrieval of pseudo-queries gains {difference:+.4}, which is not enough (more than 0, and at least {least})"
    )]
    TooLittleGain {
        /// Where.
        retrieval: Retrieval,
        /// Mean difference.
        difference: f64,
        /// What it has to be at least.
        least: f64,
    },
    /// The mean rises, but so it might by chance.
    #[error(
        "the gain of {retrieval} retrieval of pseudo-queries may be chance: {difference:+.4}, p = {p:.3}, which is not below {level}"
    )]
    GainMayBeChance {
        /// Where.
        retrieval: Retrieval,
        /// Mean difference.
        difference: f64,
        /// Its probability, were it chance.
        p: f64,
        /// The probability that it had to be below.
        level: f64,
    },
}

/// Scores the judged pseudo-queries of a half (0 or 1) that are listed by place, with their vectors adapted.
pub type ScorePseudoQueries<'f, E> = dyn FnMut(&ClosedFormAdapter, usize, &[usize]) -> Result<Vec<Scores>, E> + 'f;

/// Judges within-pair whitening without labels, crosswise: what one half says by the other half's pseudo-queries, those of each
/// group of kinds (summaries: titles, headings, first sentences and comments; sentences: citations and inverse cloze; key
/// phrases) with what other groups say.
///
/// What may then be used is [`label_free_adapter`] of the differences of both halves. `test` takes differences (never none) and
/// tests their mean against 0.
///
/// # Errors
/// `TooFew` when there is too little to judge by or to learn from; `SizeMismatch`; `Setting`; `NoSpectrum`; `ScoreNotFinite`;
/// what `score` returns.
pub fn judge_label_free<E: From<Error>>(
    halves: &[LabelFreeHalf<'_>; 2],
    provenance: &Provenance,
    options: &LabelFreeOptions,
    score: &mut ScorePseudoQueries<'_, E>,
    test: &dyn Fn(&[f64]) -> Significance,
) -> Result<LabelFreeVerdict, E> {
    options.check()?;
    for half in halves {
        expect_size("kinds of differences", half.differences.len(), half.kinds.len())?;
    }
    halves[1].differences.expect_dimensions("values of a difference", halves[0].differences.dimensions())?;
    let judged = halves.each_ref().map(|half| places_by_kind(half.judged));
    let count = judged.iter().flat_map(BTreeMap::values).map(Vec::len).sum();
    at_least("pseudo-queries to judge by", count, options.min_queries.max(1))?;
    let mut gains: BTreeMap<PairKind, Vec<(Scores, Scores)>> = BTreeMap::new();
    for (half, by_kind) in judged.iter().enumerate() {
        for group in KindGroup::ALL {
            let of_group = by_kind.iter().filter(|(kind, _)| KindGroup::of(**kind) == group);
            let of_group: Vec<(PairKind, &[usize])> = of_group.map(|(&kind, places)| (kind, &places[..])).collect();
            if of_group.is_empty() {
                continue;
            }
            let adapter = learned_from_other_kinds(&halves[1 - half], group, provenance)?;
            let identity = ClosedFormAdapter::identity(adapter.dimensions(), provenance.clone())?;
            for (kind, places) in of_group {
                let mut scores = |adapter| -> Result<Vec<Scores>, E> {
                    let scores = score(adapter, half, places)?;
                    ensure_scores(&scores, places)?;
                    Ok(scores)
                };
                let (before, after) = (scores(&identity)?, scores(&adapter)?);
                gains.entry(kind).or_default().extend(before.into_iter().zip(after));
            }
        }
    }
    Ok(verdict(&gains, options, test))
}

/// The adapter that pseudo-queries of other groups say.
fn learned_from_other_kinds(
    half: &LabelFreeHalf<'_>,
    judged: KindGroup,
    provenance: &Provenance,
) -> Result<ClosedFormAdapter, Error> {
    let others = places_by_kind(half.kinds).into_iter().filter(|(kind, _)| KindGroup::of(*kind) != judged);
    let mut places: Vec<usize> = others.flat_map(|(_, places)| places).collect();
    places.sort_unstable();
    at_least("pseudo-queries of other kinds to learn from", places.len(), MIN_OF_KIND)?;
    let differences: Vec<f32> = places.iter().flat_map(|&place| half.differences.row(place)).copied().collect();
    label_free_adapter(Rows::new(&differences, half.differences.dimensions())?, provenance.clone())
}

/// Where each kind stands, without kinds of which there are too few.
fn places_by_kind(kinds: &[PairKind]) -> BTreeMap<PairKind, Vec<usize>> {
    let mut places: BTreeMap<PairKind, Vec<usize>> = BTreeMap::new();
    for (place, &kind) in kinds.iter().enumerate() {
        places.entry(kind).or_default().push(place);
    }
    places.retain(|_, places| places.len() >= MIN_OF_KIND);
    places
}

fn verdict(
    gains: &BTreeMap<PairKind, Vec<(Scores, Scores)>>,
    options: &LabelFreeOptions,
    test: &dyn Fn(&[f64]) -> Significance,
) -> LabelFreeVerdict {
    let pooled = |value: &dyn Fn(&Scores) -> f64| {
        let all = gains.values().flatten();
        let one = |(before, after): &(Scores, Scores)| QueryScores {
            before: value(before),
            after: value(after),
            seen: false,
        };
        GroupVerdict::of(&all.map(one).collect::<Vec<_>>(), test)
    };
    let (dense, hybrid) = (pooled(&|scores| scores.dense), pooled(&|scores| scores.hybrid));
    let judged = [(Retrieval::Dense, &dense, 0.0), (Retrieval::Hybrid, &hybrid, options.min_hybrid_gain)];
    let reasons = judged.into_iter().filter_map(|(retrieval, found, least)| {
        let (difference, p, level) = (found.difference, found.significance.p, options.level);
        if difference <= 0.0 || difference < least {
            Some(LabelFreeReason::TooLittleGain { retrieval, difference, least })
        } else if p.is_nan() || p >= level {
            Some(LabelFreeReason::GainMayBeChance { retrieval, difference, p, level })
        } else {
            None
        }
    });
    let reasons: Vec<LabelFreeReason> = reasons.collect();
    let kinds = gains.iter().map(|(&kind, pairs)| {
        let mean = |value: &dyn Fn(Scores) -> f64| {
            pairs.iter().map(|&(before, after)| value(after.minus(before))).sum::<f64>() / pairs.len() as f64
        };
        KindGain { kind, queries: pairs.len(), dense: mean(&|gain| gain.dense), hybrid: mean(&|gain| gain.hybrid) }
    });
    LabelFreeVerdict { ships: reasons.is_empty(), reasons, dense, hybrid, kinds: kinds.collect() }
}

/// Kinds that are too like each other to judge each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KindGroup {
    /// What says what a document is about. Measured with titles, first sentences and, of code, names of functions; headings and
    /// comments stand here by likeness.
    Summaries,
    /// What is taken from the middle.
    Sentences,
    /// Words without a sentence.
    Keyphrases,
}

impl KindGroup {
    const ALL: [Self; 3] = [Self::Summaries, Self::Sentences, Self::Keyphrases];

    fn of(kind: PairKind) -> Self {
        match kind {
            PairKind::Title | PairKind::Heading | PairKind::FirstSentence | PairKind::Comment => Self::Summaries,
            PairKind::Citation | PairKind::InverseCloze => Self::Sentences,
            PairKind::Keyphrases => Self::Keyphrases,
        }
    }
}

impl LabelFreeOptions {
    fn check(&self) -> Result<(), Error> {
        in_range("least hybrid gain", self.min_hybrid_gain, true, "a finite number")?;
        in_range("level", self.level, self.level > 0.0 && self.level <= 1.0, "above 0 and at most 1")
    }
}

#[cfg(test)]
mod tests;
