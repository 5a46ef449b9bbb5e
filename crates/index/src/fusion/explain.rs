//! A fused score as a sum that a reader can add up.

use berth_types::Explanation;

use super::{Arithmetic, CosineSource, DocScore, Fused, Trust};

/// Takes a fused score apart.
///
/// The root's value is the sum of its children; a child's value is the product of its own, but for the reciprocals and
/// the quotients, whose labels say how they are computed.
pub fn explain(fused: &Fused) -> Explanation {
    let (dense_part, lexical_part) = fused.parts();
    let children = match fused.arithmetic {
        Arithmetic::Weighted { dense_weight, cosine, cosine_source, lexical_weight, trust, bm25, highest_bm25 } => {
            let share = if highest_bm25 > 0.0 { bm25 / highest_bm25 } else { 0.0 };
            let mut factors = vec![leaf("weight of the lexical half".to_owned(), lexical_weight)];
            factors.extend(trust.map(trust_node));
            factors.push(Explanation {
                label: "share = BM25 / highest BM25 of the question".to_owned(),
                value: share,
                children: vec![
                    leaf(place("BM25", "lexical half", fused.lexical), bm25),
                    leaf("highest BM25".to_owned(), highest_bm25),
                ],
            });
            let cosine_label = match cosine_source {
                CosineSource::Listed => place("cosine", "dense half", fused.dense),
                CosineSource::Supplied => "cosine of the best lexical chunk, not in the dense list".to_owned(),
                CosineSource::Bound => {
                    "cosine at most: the lowest in the dense list, which lacks the document".to_owned()
                }
                CosineSource::Absent => "no cosine: the dense half lacks the document".to_owned(),
            };
            let dense_factors =
                vec![leaf("weight of the dense half".to_owned(), dense_weight), leaf(cosine_label, cosine)];
            vec![product("dense half", dense_part, dense_factors), product("lexical half", lexical_part, factors)]
        }
        Arithmetic::Reciprocal { k } => {
            vec![reciprocal("dense", fused.dense, k, dense_part), reciprocal("lexical", fused.lexical, k, lexical_part)]
        }
    };
    let label = match fused.arithmetic {
        Arithmetic::Weighted { trust: Some(_), .. } => "adaptive fusion = dense half + lexical half",
        Arithmetic::Weighted { trust: None, .. } => "convex fusion = dense half + lexical half",
        Arithmetic::Reciprocal { .. } => "reciprocal rank fusion = dense half + lexical half",
    };
    Explanation { label: label.to_owned(), value: fused.score, children }
}

fn trust_node(trust: Trust) -> Explanation {
    Explanation {
        label: "trust = 1 − tenth / first BM25 of the question".to_owned(),
        value: trust.value,
        children: vec![leaf("first BM25".to_owned(), trust.first), leaf("tenth BM25".to_owned(), trust.tenth)],
    }
}

fn reciprocal(half: &str, document: Option<DocScore>, k: f32, value: f32) -> Explanation {
    let Some(document) = document else {
        return leaf(format!("{half} half: not in its list"), value);
    };
    Explanation {
        label: format!("{half} half = 1 / (k + rank)"),
        value,
        children: vec![leaf("k".to_owned(), k), leaf("rank".to_owned(), document.rank as f32)],
    }
}

fn product(half: &str, value: f32, children: Vec<Explanation>) -> Explanation {
    Explanation { label: format!("{half} = product"), value, children }
}

fn place(score: &str, half: &str, document: Option<DocScore>) -> String {
    match document {
        Some(document) => format!("{score}, place {} in the {half}", document.rank),
        None => format!("no {score}: not in the list of the {half}"),
    }
}

fn leaf(label: String, value: f32) -> Explanation {
    Explanation { label, value, children: Vec::new() }
}
