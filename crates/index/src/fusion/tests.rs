use berth_types::Explanation;
use proptest::prelude::*;

use super::*;

const ADAPTIVE: Fusion = Fusion::Adaptive { dense_weight: 0.5 };
const CONVEX: Fusion = Fusion::Convex { dense_weight: 0.7 };
const RRF: Fusion = Fusion::Rrf { k: 60.0 };

fn hits(scores: &[(u64, u64, f32)]) -> Vec<ChunkHit> {
    scores.iter().map(|&(document_no, chunk_id, score)| ChunkHit { chunk_id, document_no, score }).collect()
}

fn whole(scores: &[(u64, u64, f32)]) -> HalfList {
    best_per_document(&hits(scores), usize::MAX)
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
    assert_eq!(chunks_without_cosine(&dense, &lexical), [30]);
    let ranks: Vec<_> = fuse(&dense, &lexical, &[], &RRF).iter().map(|d| (d.document_no, d.score)).collect();
    assert_eq!(ranks, [(2, 1.0 / 62.0 + 1.0 / 61.0), (1, 1.0 / 61.0), (3, 1.0 / 62.0)]);
}

#[test]
fn trust_is_the_gap_of_the_head() {
    let list = |scores: &[f32]| whole(&scores.iter().zip(0..).map(|(&s, n)| (n, n, s)).collect::<Vec<_>>());
    assert_eq!(head_gap(&list(&[])).value, 0.0);
    assert_eq!(head_gap(&list(&[7.0])).value, 1.0);
    assert_eq!(head_gap(&list(&[8.0; 9])).value, 1.0);
    assert_eq!(head_gap(&list(&[8.0; 10])).value, 0.0);
    assert_eq!(head_gap(&list(&[8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 6.0, 1.0])).value, 0.25);
    // A list of four chunks of two documents that was cut there: the tenth document may score what the last chunk did.
    let cut = best_per_document(&hits(&[(1, 1, 8.0), (1, 2, 7.0), (2, 3, 7.0), (1, 4, 4.0)]), 4);
    assert_eq!(head_gap(&cut).value, 0.5);
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

fn any_fusion() -> impl Strategy<Value = Fusion> {
    prop_oneof![
        (0.0..=1.0_f32).prop_map(|dense_weight| Fusion::Adaptive { dense_weight }),
        (0.0..=1.0_f32).prop_map(|dense_weight| Fusion::Convex { dense_weight }),
        (1.0..=100.0_f32).prop_map(|k| Fusion::Rrf { k }),
    ]
}

/// Checks that each inner node's value follows from its children by what its label says.
fn readd(explanation: &Explanation) {
    let values: Vec<f32> = explanation.children.iter().map(|child| child.value).collect();
    let label = explanation.label.as_str();
    let expected = match (label, values.as_slice()) {
        (_, []) => explanation.value,
        (_, values) if label.ends_with("= dense half + lexical half") => values.iter().sum(),
        (_, values) if label.ends_with("= product") => values.iter().product(),
        (_, &[_, 0.0]) if label.starts_with("share") => 0.0,
        (_, &[score, highest]) if label.starts_with("share") => score / highest,
        (_, &[0.0, _]) if label.starts_with("trust") => 0.0,
        (_, &[first, tenth]) if label.starts_with("trust") => 1.0 - tenth / first,
        (_, &[k, rank]) if label.ends_with("1 / (k + rank)") => 1.0 / (k + rank),
        _ => panic!("unknown node {explanation:?}"),
    };
    assert_eq!(explanation.value, expected, "{explanation:?}");
    explanation.children.iter().for_each(readd);
}

proptest! {
    #[test]
    fn the_arithmetic_adds_up(dense in half(1.0), lexical in half(30.0), fusion in any_fusion()) {
        for fused in fuse(&whole(&dense), &whole(&lexical), &hits(&dense), &fusion) {
            let explanation = explain(&fused);
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
    fn a_whole_weight_leaves_one_half(dense in half(1.0), lexical in half(30.0)) {
        let (dense, lexical) = (whole(&dense), whole(&lexical));
        let listed = |list: &HalfList| list.documents.iter().map(|d| d.document_no).collect::<Vec<_>>();
        let within = |fused: Vec<Fused>, list: &HalfList| {
            let listed = listed(list);
            order(&fused).into_iter().filter(|document| listed.contains(document)).collect::<Vec<_>>()
        };
        for fusion in [Fusion::Convex { dense_weight: 1.0 }, Fusion::Adaptive { dense_weight: 1.0 }] {
            prop_assert_eq!(within(fuse(&dense, &lexical, &[], &fusion), &dense), listed(&dense));
        }
        let fused = fuse(&dense, &lexical, &[], &Fusion::Convex { dense_weight: 0.0 });
        prop_assert_eq!(within(fused, &lexical), listed(&lexical));
    }
}
