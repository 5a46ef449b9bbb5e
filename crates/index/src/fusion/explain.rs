//! A fused score as a sum that a reader can add up.

use berth_types::Explanation;

use super::{Arithmetic, CosineSource, Fused, Measure, Scale, Trust};

/// Takes a fused score apart. `cosine` and `bm25` say how the halves came to the scores of what they listed.
///
/// Of a node whose label ends with `= product` the value is the product of its children; with `= dense half + lexical half`
/// their sum; of any other with an `=` the label says which expression of its children, in their order, it is.
pub fn explain(fused: &Fused, cosine: Option<Explanation>, bm25: Option<Explanation>) -> Explanation {
    let (dense_part, lexical_part) = fused.parts();
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
            lexical.extend(trust.map(trust_node));
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
    node(format!("{label} = dense half + lexical half"), fused.score, children)
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

fn trust_node(trust: Trust) -> Explanation {
    let gap = vec![leaf("first BM25", trust.first), leaf("twentieth BM25", trust.later)];
    let gap = node("gap = 1 − twentieth / first BM25 of the question".to_owned(), trust.gap, gap);
    let cosines = vec![
        leaf("mean cosine of the first ten by BM25", trust.cosine),
        leaf("highest cosine of the question", trust.highest_cosine),
    ];
    let agreement =
        node("agreement = cosine of the first by BM25 / highest cosine".to_owned(), trust.agreement, cosines);
    node("trust in the lexical half = product".to_owned(), trust.value, vec![gap, agreement])
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
