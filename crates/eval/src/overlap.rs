//! How much alike two rankings of the same documents are, without judgements.

use std::collections::HashSet;

/// Persistence of [`rank_biased_overlap`] in reports: the first ten places weigh .86 of all
/// (Webber, Moffat and Zobel 2010, section 4.3).
pub const PERSISTENCE: f64 = 0.9;

/// Share of the first `depth` places of either list whose documents stand among the first `depth` of the other.
///
/// Where both lists are shorter, it is the share of the longer one; two empty lists are alike.
pub fn overlap_at(one: &[String], other: &[String], depth: usize) -> f64 {
    let (one, other) = (&one[..one.len().min(depth)], &other[..other.len().min(depth)]);
    let places = one.len().max(other.len());
    if places == 0 {
        return 1.0;
    }
    let there: HashSet<&String> = one.iter().collect();
    other.iter().filter(|document| there.contains(document)).count() as f64 / places as f64
}

/// Rank-biased overlap of two rankings, 0 to 1, extrapolated from what is listed: RBO_EXT in Webber, Moffat and Zobel,
/// *A similarity measure for indefinite rankings* (2010), equation 32.
///
/// It is the expected overlap that a reader sees who looks at the first place of both lists and goes on to each next one
/// with probability `persistence`, which is above 0 and below 1. With s and l the lengths of the shorter and the longer list
/// and X_d the number of documents that both have among their first d:
///
/// (1 − p)/p · (Σ_{d=1..l} X_d/d · p^d + Σ_{d=s+1..l} X_s (d − s)/(s d) · p^d) + ((X_l − X_s)/l + X_s/s) · p^l
///
/// A list names a document once. Two empty lists are alike, an empty one and another are not.
pub fn rank_biased_overlap(one: &[String], other: &[String], persistence: f64) -> f64 {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    if short.is_empty() {
        return if long.is_empty() { 1.0 } else { 0.0 };
    }
    let (mut seen_short, mut seen_long) = (HashSet::new(), HashSet::new());
    let (mut common, mut common_at_short) = (0.0, 0.0);
    let (mut sum, mut power) = (0.0, 1.0);
    for (place, document) in long.iter().enumerate() {
        let depth = (place + 1) as f64;
        seen_long.insert(document);
        common += f64::from(seen_short.contains(document));
        if let Some(document) = short.get(place) {
            seen_short.insert(document);
            common += f64::from(seen_long.contains(document));
            common_at_short = common;
        }
        power *= persistence;
        let beyond = depth - short.len() as f64;
        let assumed = if beyond > 0.0 { common_at_short * beyond / short.len() as f64 } else { 0.0 };
        sum += (common + assumed) / depth * power;
    }
    let (s, l) = (short.len() as f64, long.len() as f64);
    (1.0 - persistence) / persistence * sum + ((common - common_at_short) / l + common_at_short / s) * power
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(names: &str) -> Vec<String> {
        names.chars().map(String::from).collect()
    }

    #[test]
    fn overlap_counts_places() {
        for (one, other, depth, expected) in [
            ("abcd", "dcba", 4, 1.0),
            ("abcd", "dcba", 2, 0.0),
            ("abc", "bcx", 10, 2.0 / 3.0),
            ("", "", 10, 1.0),
            ("a", "", 10, 0.0),
        ] {
            assert_eq!(overlap_at(&list(one), &list(other), depth), expected, "{one} {other}");
        }
    }

    /// By hand: for lists of one length k it is (1 − p)/p · Σ X_d/d · p^d + X_k/k · p^k.
    #[test]
    fn rank_biased_overlap_weighs_the_head() {
        let p: f64 = 0.9;
        // Agreement at depths 1 to 3: 0, 1, 1.
        let swapped = (1.0 - p) / p * (p.powi(2) + p.powi(3)) + p.powi(3);
        assert!((rank_biased_overlap(&list("abc"), &list("bac"), p) - swapped).abs() < 1e-12);
        // The shorter list ends at depth 1 and agrees there; what it would have had beyond is taken to agree as much:
        // X_1 = 1, X_2 = 1, the second sum is 1·(2 − 1)/(1·2) at depth 2.
        let uneven = (1.0 - p) / p * (p + (0.5 + 0.5) * p * p) + p * p;
        assert!((rank_biased_overlap(&list("a"), &list("ab"), p) - uneven).abs() < 1e-12);
        assert_eq!(rank_biased_overlap(&list(""), &list("ab"), p), 0.0);
        assert_eq!(rank_biased_overlap(&[], &[], p), 1.0);
        assert!(
            rank_biased_overlap(&list("abcdef"), &list("abcdfe"), p)
                > rank_biased_overlap(&list("abcdef"), &list("bacdef"), p)
        );
    }

    fn ranking() -> impl Strategy<Value = Vec<String>> {
        (Just((0..12).map(|number| number.to_string()).collect::<Vec<_>>()).prop_shuffle(), 0..=12_usize)
            .prop_map(|(names, length)| names[..length].to_vec())
    }

    proptest! {
        #[test]
        fn both_are_shares_symmetric_and_whole_for_what_is_the_same(
            one in ranking(), other in ranking(), p in 0.05..0.95_f64
        ) {
            let overlap = overlap_at(&one, &other, 10);
            let biased = rank_biased_overlap(&one, &other, p);
            prop_assert!((0.0..=1.0).contains(&overlap) && (-1e-12..=1.0 + 1e-12).contains(&biased), "{} {}", overlap, biased);
            prop_assert_eq!(overlap, overlap_at(&other, &one, 10));
            prop_assert!((biased - rank_biased_overlap(&other, &one, p)).abs() < 1e-12);
            prop_assert!((rank_biased_overlap(&one, &one, p) - 1.0).abs() < 1e-12);
            prop_assert_eq!(overlap_at(&one, &one, 10), 1.0);
        }
    }
}
