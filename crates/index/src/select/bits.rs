//! A set of numbers below a limit, a bit each.

/// Which of the numbers 0 to `limit - 1` are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    limit: usize,
}

impl Bits {
    pub(crate) fn none(limit: usize) -> Self {
        Self { words: vec![0; limit.div_ceil(64)], limit }
    }

    pub(crate) fn all(limit: usize) -> Self {
        let mut bits = Self { words: vec![u64::MAX; limit.div_ceil(64)], limit };
        bits.clear_beyond();
        bits
    }

    fn clear_beyond(&mut self) {
        if let Some(last) = self.words.last_mut().filter(|_| !self.limit.is_multiple_of(64)) {
            *last &= (1 << (self.limit % 64)) - 1;
        }
    }

    pub(crate) fn insert(&mut self, number: usize) {
        assert!(number < self.limit, "{number} of {}", self.limit);
        self.words[number / 64] |= 1 << (number % 64);
    }

    pub(crate) fn contains(&self, number: usize) -> bool {
        self.words[number / 64] >> (number % 64) & 1 == 1
    }

    /// The number below which all are.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// How many are in.
    pub(crate) fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Whether none is missing.
    pub(crate) fn is_all(&self) -> bool {
        self.len() == self.limit
    }

    /// The numbers that are in, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            let mut word = word;
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(at * 64 + bit)
            })
        })
    }

    /// For each 64 numbers, how many are in before them.
    pub(crate) fn ranks(&self) -> Vec<u32> {
        let mut before = 0;
        let mut ranks = Vec::with_capacity(self.words.len());
        for word in &self.words {
            ranks.push(before);
            before += word.count_ones();
        }
        ranks
    }

    /// How many are in before `number`, by the ranks of this set.
    pub(crate) fn rank(&self, ranks: &[u32], number: usize) -> usize {
        let below = self.words[number / 64] & ((1 << (number % 64)) - 1);
        ranks[number / 64] as usize + below.count_ones() as usize
    }

    pub(crate) fn and(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    pub(crate) fn or(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    pub(crate) fn negate(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.clear_beyond();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_a_set(limit in 1..200_usize, a in prop::collection::btree_set(0..200_usize, 0..60),
            b in prop::collection::btree_set(0..200_usize, 0..60))
        {
            let cut = |set: &BTreeSet<usize>| -> BTreeSet<usize> { set.iter().copied().filter(|&n| n < limit).collect() };
            let (a, b) = (cut(&a), cut(&b));
            let of = |set: &BTreeSet<usize>| {
                let mut bits = Bits::none(limit);
                for &number in set {
                    bits.insert(number);
                }
                bits
            };
            let list = |bits: &Bits| bits.iter().collect::<BTreeSet<usize>>();
            prop_assert_eq!(list(&of(&a)), a.clone());
            prop_assert_eq!((of(&a).len(), of(&a).is_empty()), (a.len(), a.is_empty()));
            let (mut and, mut or, mut not) = (of(&a), of(&a), of(&a));
            and.and(&of(&b));
            or.or(&of(&b));
            not.negate();
            prop_assert_eq!(list(&and), &a & &b);
            prop_assert_eq!(list(&or), &a | &b);
            prop_assert_eq!(list(&not), (0..limit).filter(|number| !a.contains(number)).collect());
            or.or(&not);
            prop_assert!(or.is_all() && Bits::all(limit) == or);
            let ranks = of(&a).ranks();
            for (rank, &number) in a.iter().enumerate() {
                prop_assert_eq!(of(&a).rank(&ranks, number), rank);
            }
        }
    }
}
