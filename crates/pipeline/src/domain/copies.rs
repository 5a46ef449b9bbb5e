//! How many documents repeat the words of one before them.

use std::collections::HashMap;

use berth_index::duplicates::Sketch;

/// From this resemblance on a document is a near copy; what `search --collapse` folds by.
pub(super) const NEAR: f32 = 0.8;
/// Hashes that a copy is found by. Two documents of resemblance .8 share none of their first 8 once in 400,000 times, were the
/// hashes independent.
const LOOKED_AT: usize = 8;
/// Documents of one hash that are compared with another: a phrase that all have makes no quadratic work.
const MOST_COMPARED: usize = 16;

/// Counts the sketches that resemble an earlier one.
pub(super) fn near_copies(sketches: &[Sketch]) -> usize {
    let mut by_hash: HashMap<u64, Vec<usize>> = HashMap::new();
    let mut copies = 0;
    for (place, sketch) in sketches.iter().enumerate() {
        let mut is_copy = false;
        for &hash in sketch.smallest(LOOKED_AT) {
            let earlier = by_hash.entry(hash).or_default();
            is_copy = is_copy || earlier.iter().any(|&other| sketches[other].resemblance(sketch) >= NEAR);
            if earlier.len() < MOST_COMPARED {
                earlier.push(place);
            }
        }
        copies += usize::from(is_copy);
    }
    copies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_word_leaves_a_copy() {
        let text = |name: &str| {
            let words: Vec<String> = (0..60).map(|number| format!("word{number}")).collect();
            format!("{name} {} {name} {}", words[..30].join(" "), words[30..].join(" "))
        };
        let others = (0..50).map(|number| Sketch::of(&format!("a text about subject{number} of its own{number}")));
        let mut sketches: Vec<Sketch> = ["ship", "crane", "pilot"].iter().map(|name| Sketch::of(&text(name))).collect();
        sketches.extend(others);
        assert_eq!(near_copies(&sketches), 2);
        assert_eq!(near_copies(&[]), 0);
        assert_eq!(near_copies(&[Sketch::default(), Sketch::default()]), 0);
    }
}
