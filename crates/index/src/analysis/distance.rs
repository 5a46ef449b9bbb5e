//! How far two spellings are from each other.

/// How many letters more, less, other or swapped with the next one turn one word into another; none is changed twice.
pub(crate) fn changes(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let replaced = above[j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted_as_the_index_does() {
        for (one, other, count) in [
            ("", "", 0),
            ("abc", "", 3),
            ("harbuor", "harbour", 1),
            ("harbor", "harbour", 1),
            ("crane", "crate", 1),
            ("kitten", "sitting", 3),
            ("", "ab", 2),
            ("ab", "ba", 1),
            ("ca", "abc", 3),
            ("größe", "grosse", 3),
        ] {
            assert_eq!((changes(one, other), changes(other, one)), (count, count), "{one} {other}");
        }
    }
}
