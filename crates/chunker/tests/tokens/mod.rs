//! Stand-ins for tokenizers: only their offsets matter here.

use std::ops::Range;

/// One token for each word.
pub(crate) fn words(text: &str) -> Vec<Range<u32>> {
    pieces(text, usize::MAX)
}

/// Pieces of at most `longest` characters that do not cross white space, as WordPiece makes them.
pub(crate) fn pieces(text: &str, longest: usize) -> Vec<Range<u32>> {
    let mut offsets: Vec<Range<u32>> = Vec::new();
    let mut characters = 0;
    for (range, character) in characters_of(text) {
        if character.is_whitespace() {
            characters = 0;
        } else if characters == 0 || characters == longest {
            offsets.push(range);
            characters = 1;
        } else {
            offsets.last_mut().expect("a piece was begun").end = range.end;
            characters += 1;
        }
    }
    offsets
}

/// One to `most` tokens for each character, blank or not, all with that character's range, as bytes or jamo give.
pub(crate) fn shared(text: &str, most: u32) -> Vec<Range<u32>> {
    let count = |character: char| character as u32 % most + 1;
    characters_of(text).flat_map(|(range, c)| (0..count(c)).map(move |_| range.clone())).collect()
}

/// Every character with its range.
pub(crate) fn characters_of(text: &str) -> impl Iterator<Item = (Range<u32>, char)> {
    text.char_indices().map(|(start, c)| (start as u32..(start + c.len_utf8()) as u32, c))
}
