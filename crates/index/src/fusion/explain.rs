//! A fused score as a sum that a reader can add up.

use berth_types::Explanation;

use super::{Arithmetic, CosineSource, Fused, Measure, Scale, SparseSource, Trust};

/// How the lists came to the scores of what they listed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Explained {
    /// Of the dense half.
    pub cosine: Option<Explanation>,
    /// Of the lexical half.
    pub bm25: Option<Explanation>,
    /// Of the sparse list.
    pub sparse: Option<Explanation>,
}

/// Takes a fused score apart.
///
/// Of a node whose label ends with `= product` the value is the product of its children; with `= dense half + lexical half`
/// or `= halves + sparse list` their sum; of any other with an `=` the label says which expression of its children, in their
/// order, it is.
pub fn explain(fused: &Fused, explained: Explained) -> Explanation {
    let (dense_part, lexical_part) = fused.parts();
    let halves = of_halves(fused, (dense_part, lexical_part), explained.cosine, explained.bm25);
    let Some(part) = &fused.sparse_part else { return halves };
    let with_halves = vec![leaf("weight of both halves", 1.0 - part.weight), halves];
    let mut with_sparse = vec![leaf("weight of the sparse list", part.weight)];
    let share = of_sparse(&part.source, explained.sparse);
    with_sparse.push(match part.trust {
        None => share,
        Some(trust) => {
            let factors = vec![trust_node(trust, "sparse list", "sparse score"), share];
            node("trusted share = product".to_owned(), part.trusted_share(), factors)
        }
    });
    let children = vec![
        node("halves = product".to_owned(), (1.0 - part.weight) * (dense_part + lexical_part), with_halves),
        node("sparse list = product".to_owned(), part.value(), with_sparse),
    ];
    node("hybrid = halves + sparse list".to_owned(), fused.score, children)
}

fn of_sparse(source: &SparseSource, listed: Option<Explanation>) -> Explanation {
    let of_score = |score: Explanation, highest: f32| {
        let children = vec![score, leaf("highest sparse score", highest)];
        node("share = sparse score / highest sparse score of the question".to_owned(), source.share(), children)
    };
    match *source {
        SparseSource::Listed { score, highest } => {
            of_score(listed.unwrap_or_else(|| leaf("sparse score", score)), highest)
        }
        SparseSource::Supplied { score, highest } => {
            of_score(leaf("sparse score of the best chunk of a half, not in the sparse list", score), highest)
        }
        SparseSource::Bound { score, highest } => {
            of_score(leaf("sparse score at most: the sparse list lacks the document", score), highest)
        }
        SparseSource::Rank { rank: None, .. } => leaf("sparse list: not in it", 0.0),
        SparseSource::Rank { k, rank: Some(rank) } => {
            let rank = node("place in the sparse list".to_owned(), rank as f32, listed.into_iter().collect());
            let children = vec![leaf("weight", 1.0), leaf("k", k), rank];
            node("part = 2 · weight / (k + place)".to_owned(), source.share(), children)
        }
    }
}

/// The score of both halves.
fn of_halves(
    fused: &Fused,
    (dense_part, lexical_part): (f32, f32),
    cosine: Option<Explanation>,
    bm25: Option<Explanation>,
) -> Explanation {
    let (label, children) = match fused.arithmetic {
        Arithmetic::Weighted {
            dense_weight,
            cosine: cosine_score,
            cosine_source,
            cosine_scale,
            lexical_weight,
            trust,
            bm25: bm25_score,
            bm25_scale,
            coverage,
        } => {
            let absent_cosine = match cosine_source {
                CosineSource::Listed => "cosine",
                CosineSource::Supplied => "cosine of the best lexical chunk, not in the dense list",
                CosineSource::Bound => "cosine at most: the lowest in the dense list, which lacks the document",
                CosineSource::Absent => "no cosine: the dense half lacks the document",
            };
            let cosine = cosine.unwrap_or_else(|| leaf(absent_cosine, cosine_score));
            let bm25 = bm25.unwrap_or_else(|| leaf("no BM25: not in the list of the lexical half", bm25_score));
            let dense = vec![leaf("weight of the dense half", dense_weight), share(&cosine_scale, cosine, "cosine")];
            let mut lexical = vec![leaf("weight of the lexical half", lexical_weight)];
            lexical.extend(trust.map(|trust| trust_node(trust, "lexical half", "BM25")));
            let bm25 = share(&bm25_scale, bm25, "BM25");
            lexical.push(if trust.is_some() { with_coverage(bm25, coverage) } else { bm25 });
            let label = if trust.is_some() { "adaptive fusion" } else { "convex fusion" };
            let product = |half: &str, value, children| node(format!("{half} half = product"), value, children);
            (label, vec![product("dense", dense_part, dense), product("lexical", lexical_part, lexical)])
        }
        Arithmetic::Reciprocal { k, dense_weight } => {
            let part = |half: &str, weight, rank: Option<usize>, value, score: Option<Explanation>| {
                let Some(rank) = rank else { return leaf(&format!("{half} half: not in its list"), value) };
                let rank = node(format!("place in the {half} half"), rank as f32, score.into_iter().collect());
                let children = vec![leaf("weight", weight), leaf("k", k), rank];
                node(format!("{half} half = 2 · weight / (k + place)"), value, children)
            };
            let (dense, lexical) = (fused.dense.map(|list| list.rank), fused.lexical.map(|list| list.rank));
            let dense = part("dense", dense_weight, dense, dense_part, cosine);
            let lexical = part("lexical", 1.0 - dense_weight, lexical, lexical_part, bm25);
            ("reciprocal rank fusion", vec![dense, lexical])
        }
    };
    node(format!("{label} = dense half + lexical half"), dense_part + lexical_part, children)
}

/// Where a score stands on its scale.
fn share(scale: &Scale, score: Explanation, name: &str) -> Explanation {
    let value = scale.share(score.value);
    let (low, span) = match scale.measure {
        Measure::Raw => return score,
        Measure::Highest => {
            let highest = leaf(&format!("highest {name}"), scale.span);
            return node(format!("share = {name} / highest {name} of the question"), value, vec![score, highest]);
        }
        Measure::Range => ("lowest of the list".to_owned(), "highest − lowest".to_owned()),
        Measure::Deviation => ("mean of the list".to_owned(), "standard deviation of the list".to_owned()),
        Measure::Bounds => (format!("lowest {name} there can be"), format!("span of what {name} can be")),
    };
    let children = vec![score, leaf(&low, scale.low), leaf(&span, scale.span)];
    node(format!("share = ({name} − low) / span"), value, children)
}

/// The trust in a list whose scores have this name.
fn trust_node(trust: Trust, list: &str, name: &str) -> Explanation {
    let gap = vec![leaf(&format!("first {name}"), trust.first), leaf(&format!("twentieth {name}"), trust.later)];
    let gap = node(format!("gap = 1 − twentieth / first {name} of the question"), trust.gap, gap);
    let cosines = vec![
        leaf(&format!("mean cosine of the first ten by {name}"), trust.cosine),
        leaf("highest cosine of the question", trust.highest_cosine),
    ];
    let agreement =
        node(format!("agreement = cosine of the first by {name} / highest cosine"), trust.agreement, cosines);
    node(format!("trust in the {list} = product"), trust.value, vec![gap, agreement])
}

fn with_coverage(share: Explanation, coverage: f32) -> Explanation {
    let value = super::covered(share.value, coverage);
    let coverage = leaf("coverage: the question's words that its best passage has, by idf", coverage);
    node("covered share = share · √(share · coverage)".to_owned(), value, vec![share, coverage])
}

fn node(label: String, value: f32, children: Vec<Explanation>) -> Explanation {
    Explanation { label, value, children }
}

fn leaf(label: &str, value: f32) -> Explanation {
    node(label.to_owned(), value, Vec::new())
}
