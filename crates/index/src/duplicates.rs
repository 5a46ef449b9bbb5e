//! How much two passages repeat each other's words: bottom-k sketches of their shingles (Broder 1997, a form of MinHash).

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::analysis;

/// Neighbouring words in a shingle. Three tell a copy from a passage on the same subject, and survive a changed word.
const SHINGLE_WORDS: usize = 3;
/// Hashes kept: most windows of 256 tokens have fewer shingles, and are compared exactly; of others the resemblance is
/// estimated with a standard error of at most 0.5 / √256 = .03.
const KEPT_HASHES: usize = 256;

/// The smallest hashes of a passage's shingles, rising.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sketch(Vec<u64>);

impl Sketch {
    /// Sketches a text. Case, accents and inflections do not matter; a text of fewer words than a shingle is one shingle.
    pub fn of(text: &str) -> Self {
        let words: Vec<String> = analysis::terms(text).into_iter().map(|term| term.text).collect();
        if words.is_empty() {
            return Self::default();
        }
        let length = SHINGLE_WORDS.min(words.len());
        let mut hashes: BTreeSet<u64> = BTreeSet::new();
        for shingle in words.windows(length) {
            let mut hasher = DefaultHasher::new();
            shingle.hash(&mut hasher);
            hashes.insert(hasher.finish());
        }
        Self(hashes.into_iter().take(KEPT_HASHES).collect())
    }

    /// Its smallest hashes, at most `count`. That the smallest of two passages are one is as likely as their resemblance is high,
    /// so copies are found among those that share one of the first few.
    pub fn smallest(&self, count: usize) -> &[u64] {
        &self.0[..count.min(self.0.len())]
    }

    /// The share of both passages' shingles that both have, from 0 to 1; exact for passages of at most 256 shingles
    /// together, estimated for longer ones. Texts without words resemble nothing.
    pub fn resemblance(&self, other: &Self) -> f32 {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let (mut union, mut shared) = (0_u32, 0_u32);
        while union < KEPT_HASHES as u32 {
            match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(a), Some(b)) if a == b => {
                    shared += 1;
                    left.next();
                    right.next();
                }
                (Some(a), Some(b)) if a < b => {
                    left.next();
                }
                (Some(_), None) => {
                    left.next();
                }
                _ => {
                    right.next();
                }
            }
            union += 1;
        }
        if union == 0 { 0.0 } else { shared as f32 / union as f32 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resemblance(a: &str, b: &str) -> f32 {
        Sketch::of(a).resemblance(&Sketch::of(b))
    }

    #[test]
    fn copies_resemble_and_others_do_not() {
        let text = "The harbour master inspects each crane in spring, before the first ships of the season arrive.";
        assert_eq!(resemblance(text, &text.to_uppercase()), 1.0);
        assert_eq!(resemblance(text, "Sourdough bread rises slowly in a warm kitchen."), 0.0);
        assert_eq!(resemblance("crane", "Cranes"), 1.0);
        assert_eq!(resemblance("", ""), 0.0);
        let changed = text.replace("spring", "autumn");
        // Three of its shingles hold the changed word, of some 14.
        assert!((0.5..0.8).contains(&resemblance(text, &changed)), "{}", resemblance(text, &changed));
    }

    #[test]
    fn long_texts_are_estimated() {
        let words = |range: std::ops::Range<u32>| range.map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
        // 2,000 shingles each, 1,000 shared of 3,000.
        let estimate = resemblance(&words(0..2002), &words(1000..3002));
        assert!((estimate - 1.0 / 3.0).abs() < 0.1, "{estimate}");
    }

    proptest! {
        #[test]
        fn is_the_share_of_common_shingles(
            a in prop::collection::vec(0..6_u8, 3..40), b in prop::collection::vec(0..6_u8, 3..40),
        ) {
            let text = |words: &[u8]| words.iter().map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
            let shingles = |words: &[u8]| words.windows(3).map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
            let (left, right) = (shingles(&a), shingles(&b));
            let expected = left.intersection(&right).count() as f32 / left.union(&right).count() as f32;
            prop_assert_eq!(resemblance(&text(&a), &text(&b)), expected);
            prop_assert_eq!(resemblance(&text(&b), &text(&a)), expected);
        }
    }
}
