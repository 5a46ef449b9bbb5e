use berth_types::{Aggregate, Explanation};
use proptest::prelude::*;

use super::*;

const ADAPTIVE: Fusion = Fusion::Adaptive { dense_weight: 0.5 };
const CONVEX: Fusion = Fusion::Convex { dense_weight: 0.7, normalize: Normalize::Max };
const RRF: Fusion = Fusion::Rrf { k: 60.0, dense_weight: 0.5 };

fn hits(scores: &[(u64, u64, f32)]) -> Vec<ChunkHit> {
    scores
        .iter()
        .map(|&(document_no, chunk_id, score)| ChunkHit { chunk_id, document_no, score, coverage: 1.0 })
        .collect()
}

fn whole(scores: &[(u64, u64, f32)]) -> HalfList {
    best_per_document(&hits(scores), usize::MAX)
}

fn order_of(list: &HalfList) -> Vec<u64> {
    list.documents.iter().map(|document| document.document_no).collect()
}

fn order(fused: &[Fused]) -> Vec<u64> {
    fused.iter().map(|document| document.document_no).collect()
}

#[test]
fn documents_score_by_their_best_chunk() {
    let list = best_per_document(&hits(&[(2, 20, 0.5), (1, 11, 0.9), (1, 10, 0.9), (3, 30, 0.5), (2, 21, 0.1)]), 6);
    let found: Vec<_> = list.documents.iter().map(|d| (d.document_no, d.rank, d.score, d.chunk_id)).collect();
    assert_eq!(found, [(1, 1, 0.9, 10), (2, 2, 0.5, 20), (3, 3, 0.5, 30)]);
    assert_eq!(list.bound, None);
    assert_eq!(best_per_document(&hits(&[(2, 20, 0.5), (2, 21, 0.1)]), 2).bound, Some(0.1));
    assert_eq!(best_per_document(&[], 0), HalfList::default());
}

#[test]
fn a_sample_by_hand() {
    let dense = whole(&[(1, 10, 0.8), (2, 20, 0.6)]);
    let lexical = whole(&[(2, 21, 12.0), (3, 30, 6.0)]);
    let fused = fuse(&dense, &lexical, &hits(&[(3, 30, 0.5)]), &CONVEX);
    let scores: Vec<_> = fused.iter().map(|d| (d.document_no, (d.score * 1e4).round() / 1e4, d.chunk_id)).collect();
    // 2: .7 · .6 + .3 · 1; 1: .7 · .8; 3: .7 · .5 + .3 · .5.
    assert_eq!(scores, [(2, 0.72, 20), (1, 0.56, 10), (3, 0.5, 30)]);
    let chunks = |documents: Vec<DocScore>| documents.iter().map(|document| document.chunk_id).collect::<Vec<_>>();
    assert_eq!(chunks(chunks_without_cosine(&dense, &lexical, None)), [30]);
    let sparse = whole(&[(4, 40, 3.0), (3, 31, 2.0)]);
    assert_eq!(chunks(chunks_without_cosine(&dense, &lexical, Some(&sparse))), [30, 40]);
    assert_eq!(chunks(chunks_without_sparse_score(&dense, &lexical, &sparse)), [10, 20, 21]);
    let ranks: Vec<_> = fuse(&dense, &lexical, &[], &RRF).iter().map(|d| (d.document_no, d.score)).collect();
    assert_eq!(ranks, [(2, 1.0 / 62.0 + 1.0 / 61.0), (1, 1.0 / 61.0), (3, 1.0 / 62.0)]);
}

#[test]
fn trust_is_the_gap_of_the_head_and_a_second_opinion() {
    let list = |scores: &[f32]| whole(&scores.iter().zip(0..).map(|(&s, n)| (n, n, s)).collect::<Vec<_>>());
    let gap = |lexical: &HalfList| trust(&HalfList::default(), lexical, &[]).value;
    assert_eq!(gap(&list(&[])), 0.0);
    assert_eq!(gap(&list(&[7.0])), 1.0);
    assert_eq!(gap(&list(&[8.0; 19])), 1.0);
    assert_eq!(gap(&list(&[8.0; 20])), 0.0);
    let falling: Vec<f32> = [&[8.0; 19][..], &[6.0, 1.0]].concat();
    assert_eq!(gap(&list(&falling)), 0.25);
    // A list of four chunks of two documents that was cut there: the twentieth document may score what the last chunk did.
    assert_eq!(gap(&best_per_document(&hits(&[(1, 1, 8.0), (1, 2, 7.0), (2, 3, 7.0), (1, 4, 4.0)]), 4)), 0.5);

    let lexical = list(&[8.0]);
    let agreement = |dense: &[(u64, u64, f32)], supplied: &[ChunkHit], depth| {
        trust(&best_per_document(&hits(dense), depth), &lexical, supplied).agreement
    };
    assert_eq!(agreement(&[(0, 0, 0.5), (1, 1, 0.25)], &[], 9), 1.0);
    assert_eq!(agreement(&[(1, 1, 0.5), (0, 0, 0.25)], &[], 9), 0.5);
    assert_eq!(agreement(&[(1, 1, 0.5)], &hits(&[(0, 0, 0.125), (0, 7, 0.0)]), 9), 0.25);
    assert_eq!(agreement(&[(1, 1, 0.5), (2, 2, 0.375)], &[], 2), 0.75, "at most as like as the last of the list");
    assert_eq!(agreement(&[(1, 1, 0.5)], &hits(&[(0, 0, -0.5)]), 9), 0.0);
    // The first ten by BM25 are asked about, and no more; their mean counts.
    let dense = whole(&(0..12).map(|n| (n, n, if n < 5 { 0.0 } else { 0.5 })).collect::<Vec<_>>());
    let lexical = list(&(1..13).rev().map(|score| score as f32).collect::<Vec<_>>());
    let found = trust(&dense, &lexical, &[]);
    assert_eq!((found.gap, found.agreement, found.value), (1.0, 0.5, 0.5));
}

#[test]
fn of_two_documents_of_one_bm25_the_one_with_more_of_the_words_is_before() {
    let mut lexical = hits(&[(1, 10, 8.0), (2, 20, 8.0)]);
    lexical[0].coverage = 0.25;
    let fused = fuse(&HalfList::default(), &best_per_document(&lexical, 9), &[], &ADAPTIVE);
    assert_eq!(order(&fused), [2, 1]);
    assert_eq!(fused[1].score, fused[0].score / 2.0, "the root of a quarter");
}

#[test]
fn what_is_absent_is_bounded() {
    let dense = best_per_document(&hits(&[(1, 10, 0.8), (2, 20, 0.3)]), 2);
    let lexical = whole(&[(3, 30, 5.0)]);
    let source = |supplied: &[ChunkHit], dense: &HalfList| {
        let fused = fuse(dense, &lexical, supplied, &ADAPTIVE);
        let found = fused.into_iter().find(|document| document.document_no == 3).unwrap();
        let Arithmetic::Weighted { cosine, cosine_source, .. } = found.arithmetic else { panic!("{found:?}") };
        (cosine, cosine_source)
    };
    assert_eq!(source(&[], &dense), (0.3, CosineSource::Bound));
    assert_eq!(source(&hits(&[(3, 30, 0.2), (3, 31, 0.25)]), &dense), (0.25, CosineSource::Supplied));
    assert_eq!(source(&hits(&[(9, 90, 0.2)]), &HalfList::default()), (0.0, CosineSource::Absent));
}

#[test]
fn one_half_alone_keeps_its_order() {
    let list = whole(&[(4, 40, 3.0), (2, 20, 2.0), (3, 30, 2.0), (1, 10, 1.0)]);
    for fusion in [ADAPTIVE, CONVEX, RRF] {
        assert_eq!(order(&fuse(&HalfList::default(), &list, &[], &fusion)), [4, 2, 3, 1], "{fusion:?}");
        assert_eq!(order(&fuse(&list, &HalfList::default(), &[], &fusion)), [4, 2, 3, 1], "{fusion:?}");
        assert_eq!(fuse(&HalfList::default(), &HalfList::default(), &[], &fusion), []);
    }
}

fn half(highest: f32) -> impl Strategy<Value = Vec<(u64, u64, f32)>> {
    let hit = (0..30_u64, 0..4_u64, 1..40_u32)
        .prop_map(move |(document, chunk, step)| (document, document * 10 + chunk, step as f32 / 40.0 * highest));
    prop::collection::vec(hit, 0..60)
}

fn any_scale() -> impl Strategy<Value = Normalize> {
    prop::sample::select(vec![Normalize::Max, Normalize::MinMax, Normalize::ZScore, Normalize::Bounds])
}

fn any_fusion() -> impl Strategy<Value = Fusion> {
    prop_oneof![
        (0.0..=1.0_f32).prop_map(|dense_weight| Fusion::Adaptive { dense_weight }),
        (0.0..=1.0_f32, any_scale()).prop_map(|(dense_weight, normalize)| Fusion::Convex { dense_weight, normalize }),
        (1.0..=100.0_f32, 0.0..=1.0_f32).prop_map(|(k, dense_weight)| Fusion::Rrf { k, dense_weight }),
    ]
}

/// Checks that each inner node's value follows from its children by what its label says.
fn readd(explanation: &Explanation) {
    let values: Vec<f32> = explanation.children.iter().map(|child| child.value).collect();
    let label = explanation.label.as_str();
    let expected = match (label, values.as_slice()) {
        (_, []) => explanation.value,
        (_, values) if label.ends_with("= dense half + lexical half") || label.ends_with("= halves + sparse list") => {
            values.iter().sum()
        }
        (_, values) if label.ends_with("= product") => values.iter().product(),
        (_, &[share, coverage]) if label.starts_with("covered share") => share * (share * coverage).sqrt(),
        (_, &[.., 0.0]) if label.starts_with("share") => 0.0,
        (_, &[score, highest]) if label.starts_with("share") => score / highest,
        (_, &[score, low, span]) if label.starts_with("share") => (score - low) / span,
        (_, &[0.0, _]) if label.starts_with("gap") => 0.0,
        (_, &[first, later]) if label.starts_with("gap") => 1.0 - later / first,
        (_, &[_, 0.0]) if label.starts_with("agreement") => 1.0,
        (_, &[cosine, highest]) if label.starts_with("agreement") => (cosine / highest).clamp(0.0, 1.0),
        (_, &[weight, k, place]) if label.ends_with("2 · weight / (k + place)") => 2.0 * weight / (k + place),
        _ => panic!("unknown node {explanation:?}"),
    };
    assert_eq!(explanation.value, expected, "{explanation:?}");
    explanation.children.iter().for_each(readd);
}

#[test]
fn documents_score_by_the_rule_that_is_asked_for() {
    let hits = hits(&[(1, 10, 0.75), (1, 11, 0.25), (1, 12, 0.125), (2, 20, 0.5), (2, 21, 0.5), (3, 30, 0.625)]);
    let scores = |aggregate| -> Vec<(u64, f32, u64, u32)> {
        let list = per_document(&hits, None, aggregate);
        list.documents.iter().map(|d| (d.document_no, d.score, d.chunk_id, d.chunks)).collect()
    };
    assert_eq!(scores(Aggregate::Max), [(1, 0.75, 10, 1), (3, 0.625, 30, 1), (2, 0.5, 20, 1)]);
    assert_eq!(scores(Aggregate::TopMean(2)), [(3, 0.625, 30, 1), (1, 0.5, 10, 2), (2, 0.5, 20, 2)]);
    assert_eq!(scores(Aggregate::Sum), [(1, 1.125, 10, 3), (2, 1.0, 20, 2), (3, 0.625, 30, 1)]);
    let chunks: Vec<_> = per_chunk(&hits, None).documents.iter().map(|d| (d.document_no, d.rank)).collect();
    assert_eq!(chunks, [(10, 1), (30, 2), (20, 3), (21, 4), (11, 5), (12, 6)]);
}

#[test]
fn scales_by_hand() {
    let dense = whole(&[(1, 10, 0.8), (2, 20, 0.6), (3, 30, 0.4)]);
    let lexical = whole(&[(1, 10, 12.0), (2, 20, 6.0)]).under(24.0);
    let parts = |normalize| -> Vec<(f32, f32)> {
        let fused = fuse(&dense, &lexical, &[], &Fusion::Convex { dense_weight: 0.5, normalize });
        let round = |part: f32| (part * 2e3).round() / 1e3;
        fused.iter().map(|document| (round(document.parts().0), round(document.parts().1))).collect()
    };
    assert_eq!(parts(Normalize::Max), [(0.8, 1.0), (0.6, 0.5), (0.4, 0.0)]);
    assert_eq!(parts(Normalize::MinMax), [(1.0, 1.0), (0.5, 0.0), (0.0, 0.0)]);
    assert_eq!(parts(Normalize::ZScore), [(1.225, 1.0), (0.0, -1.0), (-1.225, -1.0)]);
    assert_eq!(parts(Normalize::Bounds), [(0.9, 0.5), (0.8, 0.25), (0.7, 0.0)]);
}

/// A sparse list of these hits, of which the last so many were cut off and are supplied.
fn sparse_list(scores: &[(u64, u64, f32)], cut: usize, weight: f32) -> SparseList {
    let mut hits = hits(scores);
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk_id.cmp(&b.chunk_id)));
    let supplied = hits.split_off(hits.len().saturating_sub(cut));
    let depth = if supplied.is_empty() { usize::MAX } else { hits.len() };
    SparseList { list: best_per_document(&hits, depth), supplied, weight }
}

#[test]
fn the_sparse_list_is_trusted_as_the_lexical_half_is() {
    let dense = whole(&[(1, 10, 0.8), (2, 20, 0.4)]);
    let sparse = sparse_list(&[(2, 20, 8.0), (1, 10, 4.0)], 0, 0.5);
    let fused = fuse_with_sparse(&dense, &HalfList::default(), &[], Some(&sparse), &ADAPTIVE);
    let part = |document| fused.iter().find(|fused| fused.document_no == document).unwrap().sparse_part.unwrap();
    // Both are asked about: their mean cosine is three quarters of the highest.
    assert_eq!(part(1).trust, Some(trust(&dense, &sparse.list, &[])));
    assert!((part(1).trust.unwrap().value - 0.75).abs() < 1e-6);
    assert_eq!((part(2).trusted_share(), part(1).trusted_share()), (part(1).trust.unwrap().value, 0.75 / 2.0));
}

#[test]
fn a_third_list_by_hand() {
    let dense = whole(&[(1, 10, 0.8), (2, 20, 0.6)]);
    let lexical = whole(&[(2, 21, 12.0), (3, 30, 6.0)]);
    let list = best_per_document(&hits(&[(4, 40, 8.0), (2, 22, 4.0), (2, 20, 0.4)]), 3);
    let supplied = hits(&[(1, 10, 0.2), (1, 11, 0.4)]);
    let sparse = SparseList { list, supplied, weight: 0.25 };
    let scores = |fusion: &Fusion| -> Vec<(u64, f32, u64)> {
        let fused = fuse_with_sparse(&dense, &lexical, &hits(&[(3, 30, 0.5), (4, 40, 0.4)]), Some(&sparse), fusion);
        fused.iter().map(|d| (d.document_no, (d.score * 1e4).round() / 1e4, d.chunk_id)).collect()
    };
    // Three quarters of what both halves give; of the sparse list a half, a twentieth, at most a twentieth, and all.
    let halves = [0.72_f32, 0.56, 0.5, 0.7 * 0.4];
    let shares = [0.5, 0.05, 0.05, 1.0];
    let by_hand = |at: usize| ((0.75 * halves[at] + 0.25 * shares[at]) * 1e4).round() / 1e4;
    assert_eq!(scores(&CONVEX), [(2, by_hand(0), 20), (4, by_hand(3), 40), (1, by_hand(1), 10), (3, by_hand(2), 30)]);
    let ranks = scores(&RRF);
    let (first, second) = (1.0_f32 / 61.0, 1.0_f32 / 62.0);
    let two = 0.75 * (first + second) + 0.25 * 2.0 * second;
    assert_eq!(ranks[0], (2, (two * 1e4).round() / 1e4, 21), "the first of the lexical list");
    assert_eq!(ranks.last().map(|last| (last.0, last.2)), Some((4, 40)), "half a list against three quarters of one");
}

proptest! {
    #[test]
    fn the_arithmetic_of_three_lists_adds_up(
        dense in half(1.0), lexical in half(30.0), sparse in half(50.0), cut in 0..20_usize, weight in 0.0..=1.0_f32,
        fusion in any_fusion(),
    ) {
        let sparse = sparse_list(&sparse, cut, weight);
        for fused in fuse_with_sparse(&whole(&dense), &whole(&lexical), &hits(&dense), Some(&sparse), &fusion) {
            let explanation = explain(&fused, Explained::default());
            prop_assert_eq!(explanation.value, fused.score);
            readd(&explanation);
        }
    }

    /// A list that is not there changes nothing, and one of no weight leaves the scores to both halves.
    #[test]
    fn without_a_sparse_list_both_halves_decide(
        dense in half(1.0), lexical in half(30.0), sparse in half(50.0), fusion in any_fusion(),
    ) {
        let two = fuse(&whole(&dense), &whole(&lexical), &[], &fusion);
        prop_assert!(two.iter().all(|fused| fused.sparse.is_none() && fused.sparse_part.is_none()));
        let weightless = sparse_list(&sparse, 0, 0.0);
        let three = fuse_with_sparse(&whole(&dense), &whole(&lexical), &[], Some(&weightless), &fusion);
        for fused in &two {
            let same = three.iter().find(|other| other.document_no == fused.document_no).unwrap();
            prop_assert_eq!((same.score, same.parts(), same.chunk_id), (fused.score, fused.parts(), fused.chunk_id));
        }
        let whole_weight = SparseList { weight: 1.0, ..weightless };
        if !matches!(fusion, Fusion::Adaptive { .. }) {
            let order = order(&fuse_with_sparse(&whole(&dense), &whole(&lexical), &[], Some(&whole_weight), &fusion));
            let listed = order_of(&whole_weight.list);
            prop_assert_eq!(&order[..listed.len()], &listed[..]);
        }
    }

    #[test]
    fn better_in_one_list_and_no_worse_in_the_others_is_no_worse(
        dense in half(1.0), lexical in half(30.0), sparse in half(50.0), weight in 0.0..=1.0_f32,
        fusion in any_fusion(),
    ) {
        let sparse = sparse_list(&sparse, 0, weight);
        let fused = fuse_with_sparse(&whole(&dense), &whole(&lexical), &[], Some(&sparse), &fusion);
        let part = |place: Option<DocScore>| place.map_or(0, |document| usize::MAX - document.rank);
        for a in &fused {
            for b in &fused {
                let no_worse = part(a.dense) >= part(b.dense)
                    && part(a.lexical) >= part(b.lexical)
                    && part(a.sparse) >= part(b.sparse);
                prop_assert!(!no_worse || a.score >= b.score, "{a:?}\n{b:?}");
            }
        }
    }

    #[test]
    fn the_order_of_sparse_hits_does_not_matter(
        dense in half(1.0), (sparse, shuffled) in half(50.0).prop_flat_map(|half| (Just(half.clone()), Just(half).prop_shuffle())),
        fusion in any_fusion(),
    ) {
        let fused = |sparse: &[(u64, u64, f32)]| {
            let list = SparseList { list: whole(sparse), supplied: Vec::new(), weight: 0.3 };
            fuse_with_sparse(&whole(&dense), &HalfList::default(), &[], Some(&list), &fusion)
        };
        prop_assert_eq!(fused(&sparse), fused(&shuffled));
    }

    #[test]
    fn the_arithmetic_adds_up(dense in half(1.0), lexical in half(30.0), fusion in any_fusion()) {
        for fused in fuse(&whole(&dense), &whole(&lexical), &hits(&dense), &fusion) {
            let explanation = explain(&fused, Explained::default());
            prop_assert_eq!(explanation.value, fused.score);
            readd(&explanation);
        }
    }

    #[test]
    fn the_order_of_hits_does_not_matter(
        (dense, shuffled) in half(1.0).prop_flat_map(|half| (Just(half.clone()), Just(half).prop_shuffle())),
        lexical in half(30.0),
        fusion in any_fusion(),
    ) {
        let turned: Vec<_> = lexical.iter().rev().copied().collect();
        let one = fuse(&whole(&dense), &whole(&lexical), &[], &fusion);
        prop_assert_eq!(&one, &fuse(&whole(&shuffled), &whole(&turned), &[], &fusion));
        let is_ordered = one.windows(2).all(|pair| {
            let (a, b) = (&pair[0], &pair[1]);
            a.score > b.score || (a.score == b.score && a.document_no < b.document_no)
        });
        prop_assert!(is_ordered);
    }

    #[test]
    fn better_in_one_half_and_no_worse_in_the_other_is_no_worse(
        dense in half(1.0), lexical in half(30.0), fusion in any_fusion(),
    ) {
        let fused = fuse(&whole(&dense), &whole(&lexical), &[], &fusion);
        let part = |place: Option<DocScore>| place.map_or(0, |document| usize::MAX - document.rank);
        for a in &fused {
            for b in &fused {
                if part(a.dense) >= part(b.dense) && part(a.lexical) >= part(b.lexical) {
                    prop_assert!(a.score >= b.score, "{a:?}\n{b:?}");
                }
            }
        }
    }

    #[test]
    fn ranks_know_no_scale(dense in half(1.0), lexical in half(30.0), factor in 1..9_u32) {
        let scaled: Vec<_> = lexical.iter().map(|&(d, c, s)| (d, c, s * factor.pow(2) as f32)).collect();
        let scores = |lexical: &[(u64, u64, f32)]| {
            let fused = fuse(&whole(&dense), &whole(lexical), &[], &RRF);
            fused.iter().map(|document| (document.document_no, document.score)).collect::<Vec<_>>()
        };
        prop_assert_eq!(scores(&lexical), scores(&scaled));
    }

    #[test]
    fn scales_that_follow_the_list_know_no_unit(
        dense in half(1.0), lexical in half(30.0), weight in 0.0..=1.0_f32, factor in 1..9_u32,
    ) {
        // A power of two, so that nothing is rounded.
        let factor = 2f32.powi(factor as i32);
        let scaled: Vec<_> = lexical.iter().map(|&(d, c, s)| (d, c, s * factor)).collect();
        let scores = |lexical: &[(u64, u64, f32)], fusion: &Fusion| {
            let fused = fuse(&whole(&dense), &whole(lexical), &[], fusion);
            fused.iter().map(|document| (document.document_no, document.score)).collect::<Vec<_>>()
        };
        let convex = |normalize| Fusion::Convex { dense_weight: weight, normalize };
        let scales = [Normalize::Max, Normalize::MinMax, Normalize::ZScore].map(convex);
        for fusion in scales.into_iter().chain([Fusion::Adaptive { dense_weight: weight }]) {
            prop_assert_eq!(scores(&lexical, &fusion), scores(&scaled, &fusion), "{:?}", fusion);
        }
    }

    #[test]
    fn bounds_keep_scores_between_0_and_1(dense in half(1.0), lexical in half(30.0), weight in 0.0..=1.0_f32) {
        let fusion = Fusion::Convex { dense_weight: weight, normalize: Normalize::Bounds };
        for fused in fuse(&whole(&dense), &whole(&lexical).under(40.0), &[], &fusion) {
            prop_assert!((0.0..=1.0).contains(&fused.score), "{fused:?}");
        }
    }

    #[test]
    fn a_mean_lies_between_the_least_and_the_best(scores in half(1.0), count in 1..5_usize) {
        let list = per_document(&hits(&scores), None, Aggregate::TopMean(count));
        for document in &list.documents {
            prop_assert!(document.chunks as usize <= count);
            let own = || scores.iter().filter(|hit| hit.0 == document.document_no).map(|hit| hit.2);
            prop_assert!(document.score <= document.best + 1e-6 && document.score >= own().fold(1.0, f32::min) - 1e-6);
        }
        prop_assert_eq!(
            order_of(&per_document(&hits(&scores), None, Aggregate::TopMean(1))),
            order_of(&best_per_document(&hits(&scores), usize::MAX))
        );
    }

    #[test]
    fn a_whole_weight_leaves_one_half(dense in half(1.0), lexical in half(30.0)) {
        let (dense, lexical) = (whole(&dense), whole(&lexical));
        let listed = |list: &HalfList| list.documents.iter().map(|d| d.document_no).collect::<Vec<_>>();
        let within = |fused: Vec<Fused>, list: &HalfList| {
            let listed = listed(list);
            order(&fused).into_iter().filter(|document| listed.contains(document)).collect::<Vec<_>>()
        };
        let whole_weight = Fusion::Convex { dense_weight: 1.0, normalize: Normalize::Max };
        for fusion in [whole_weight, Fusion::Adaptive { dense_weight: 1.0 }] {
            prop_assert_eq!(within(fuse(&dense, &lexical, &[], &fusion), &dense), listed(&dense));
        }
        let fused = fuse(&dense, &lexical, &[], &Fusion::Convex { dense_weight: 0.0, normalize: Normalize::Max });
        prop_assert_eq!(within(fused, &lexical), listed(&lexical));
    }
}
