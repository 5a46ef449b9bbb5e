//! A sample of documents that are read once and not kept: what is counted of them can be taken back in large parts.
//!
//! Each document has a level, drawn by the seed: half of them the lowest, a quarter the next one, and so on. What is counted
//! is counted for each level apart, and when there are too many documents, the lowest level is dropped as a whole.

/// What is counted, for each level that still takes part.
#[derive(Debug)]
pub(super) struct Levels<T> {
    seed: u64,
    most: usize,
    /// Lowest level that takes part.
    floor: u32,
    /// From the floor upwards: documents, and what is counted of them.
    counted: Vec<(usize, T)>,
}

impl<T: Default> Levels<T> {
    /// A sample of at most `most` documents, and of at least some half as many where there are more.
    pub(super) fn new(most: usize, seed: u64) -> Self {
        Self { seed, most, floor: 0, counted: Vec::new() }
    }

    /// The level of the document that stands at `place`, when it takes part so far.
    pub(super) fn level_of(&self, place: u64) -> Option<u32> {
        let level = mixed(self.seed, place).trailing_zeros();
        (level >= self.floor).then_some(level)
    }

    /// Counts a document of this level, unless the level was dropped meanwhile.
    pub(super) fn count(&mut self, level: u32, count: impl FnOnce(&mut T)) {
        let Some(above) = level.checked_sub(self.floor) else { return };
        let above = above as usize;
        if self.counted.len() <= above {
            self.counted.resize_with(above + 1, Default::default);
        }
        let (documents, counted) = &mut self.counted[above];
        *documents += 1;
        count(counted);
        // A lone document of a high level can leave empty ones below it. The last level stays: a sample is never empty.
        while self.documents() > self.most && self.counted.len() > 1 {
            self.counted.remove(0);
            self.floor += 1;
        }
    }

    /// Documents in the sample.
    pub(super) fn documents(&self) -> usize {
        self.counted.iter().map(|(documents, _)| documents).sum()
    }

    /// What was counted of the sample, the lowest level first.
    pub(super) fn into_counted(self) -> impl Iterator<Item = T> {
        self.counted.into_iter().map(|(_, counted)| counted)
    }
}

/// The number at `place` of a sequence that looks random and follows from the seed: splitmix64 (Steele, Lea and Flood 2014).
pub(super) fn mixed(seed: u64, place: u64) -> u64 {
    let state = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(documents: u64, most: usize, seed: u64) -> Vec<u64> {
        let mut levels: Levels<Vec<u64>> = Levels::new(most, seed);
        for place in 0..documents {
            if let Some(level) = levels.level_of(place) {
                levels.count(level, |places| places.push(place));
            }
        }
        let counted = levels.documents();
        let mut places: Vec<u64> = levels.into_counted().flatten().collect();
        assert_eq!(counted, places.len());
        places.sort_unstable();
        places
    }

    #[test]
    fn few_documents_are_all_taken() {
        assert_eq!(sample(0, 10, 1), [0; 0]);
        assert_eq!(sample(10, 10, 1), (0..10).collect::<Vec<_>>());
        assert!(sample(11, 10, 1).len() <= 10);
    }

    #[test]
    fn many_documents_give_a_sample_from_everywhere() {
        let places = sample(100_000, 2_000, 7);
        assert!((800..=2_000).contains(&places.len()), "{}", places.len());
        let mean = places.iter().sum::<u64>() as f64 / places.len() as f64;
        // Five standard deviations of the mean of 1,000 places.
        assert!((mean - 50_000.0).abs() < 4_600.0, "{mean}");
        assert_eq!(sample(100_000, 2_000, 7), places);
        assert_ne!(sample(100_000, 2_000, 8), places);
    }
}
