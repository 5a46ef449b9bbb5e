//! Tags of tokens to spans of the text: names, places, whatever a model of token classification was trained for.
//!
//! Tags follow BIO (`B-PER` begins, `I-PER` goes on), BIOES and BILOU (`E-`/`L-` ends, `S-`/`U-` stands alone), or are
//! plain words, of which equal neighbours belong together. The strategies are those of transformers'
//! `TokenClassificationPipeline`.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::heads::classify::{name, softmax};

/// What of a word decides its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Strategy {
    /// Each token has its own tag; a span may begin or end inside a word.
    #[default]
    Simple,
    /// The tag of the word's first token.
    First,
    /// The tag of the token with the highest score.
    Max,
    /// The tag that is best in the average of the word's tokens.
    Average,
}

/// A stretch of the text that the model has a name for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entity {
    /// The label, without the letter of its tag.
    pub label: String,
    /// First byte in the text.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// Average probability of the tags that it is made of.
    pub score: f32,
}

/// The tokens of a text with what the model says of each.
#[derive(Debug, Clone, Copy)]
pub struct Tagged<'a> {
    /// Scores of the labels, token by token, as the model gave them; as many a token as `labels`.
    pub logits: &'a [f32],
    /// Bytes of the text that each token stands for; empty for one that is nothing but white space.
    pub offsets: &'a [Range<u32>],
    /// Number of the word that each token belongs to.
    pub word_of: &'a [u32],
    /// Names of the labels, in the order of the scores.
    pub labels: &'a [String],
}

/// Where a tag stands in its span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Begin,
    Inside,
    End,
    Single,
}

struct Tag {
    place: Place,
    label: String,
}

struct Item {
    tag: usize,
    score: f32,
    start: u32,
    end: u32,
}

/// Merges tagged tokens to spans in the order of the text. The tag `O` is no entity.
///
/// Neighbours with the same label belong to one span, unless the second begins one (`B-`, `S-`) or the first ends one
/// (`E-`, `S-`). An `I-` after another label begins a span of its own.
pub fn entities(tagged: &Tagged<'_>, strategy: Strategy) -> Vec<Entity> {
    let classes = tagged.logits.len().checked_div(tagged.offsets.len()).unwrap_or(0);
    if classes == 0 {
        return Vec::new();
    }
    let names: Vec<String> = (0..classes).map(|number| name(tagged.labels, number)).collect();
    let tags: Vec<Tag> = names.iter().map(|label| tag(label, &names)).collect();

    let mut spans: Vec<Entity> = Vec::new();
    // Items of the last span, and where its last tag stood; none after a token outside all spans.
    let mut open: Option<(usize, Place)> = None;
    for item in items(tagged, classes, strategy) {
        let Tag { place, label } = &tags[item.tag];
        if label == "O" {
            open = None;
            continue;
        }
        let goes_on = match (&open, spans.last()) {
            (Some((_, last)), Some(span)) => {
                span.label == *label
                    && matches!(place, Place::Inside | Place::End)
                    && !matches!(last, Place::End | Place::Single)
            }
            _ => false,
        };
        match spans.last_mut() {
            Some(span) if goes_on => {
                let count = open.map_or(1, |(count, _)| count);
                span.score += (item.score - span.score) / (count + 1) as f32;
                // White space at either end is no part of it.
                if item.start < item.end {
                    if span.start == span.end {
                        span.start = item.start as usize;
                    }
                    span.end = item.end as usize;
                }
                open = Some((count + 1, *place));
            }
            _ => {
                let (start, end) = (item.start as usize, item.end as usize);
                spans.push(Entity { label: label.clone(), start, end, score: item.score });
                open = Some((1, *place));
            }
        }
    }
    // One of white space alone names nothing.
    spans.retain(|span| span.start < span.end);
    spans
}

/// One item a token, or one a word.
fn items(tagged: &Tagged<'_>, classes: usize, strategy: Strategy) -> Vec<Item> {
    let tokens: Vec<usize> = (0..tagged.offsets.len()).collect();
    let words = tokens
        .chunk_by(|&one, &next| strategy != Strategy::Simple && tagged.word_of.get(one) == tagged.word_of.get(next));
    words
        .map(|word| {
            let scores: Vec<Vec<f32>> =
                word.iter().map(|&token| softmax(&tagged.logits[token * classes..(token + 1) * classes])).collect();
            let (tag, score) = match strategy {
                Strategy::Simple | Strategy::First => best(&scores[0]),
                Strategy::Max => scores
                    .iter()
                    .map(|scores| best(scores))
                    .fold((0, f32::MIN), |one, other| if other.1 > one.1 { other } else { one }),
                Strategy::Average => {
                    let sum = |tag: usize| scores.iter().map(|scores| scores[tag]).sum::<f32>();
                    best(&(0..classes).map(|tag| sum(tag) / word.len() as f32).collect::<Vec<_>>())
                }
            };
            // A vocabulary may have the space before a word as a piece of its own.
            let visible = || word.iter().map(|&token| &tagged.offsets[token]).filter(|bytes| !bytes.is_empty());
            let nothing = tagged.offsets[word[0]].start;
            let start = visible().next().map_or(nothing, |bytes| bytes.start);
            let end = visible().next_back().map_or(nothing, |bytes| bytes.end);
            Item { tag, score, start, end }
        })
        .collect()
}

/// The largest of `scores` with its place; the first of equal ones.
fn best(scores: &[f32]) -> (usize, f32) {
    let pairs = scores.iter().copied().enumerate();
    pairs.fold((0, f32::MIN), |one, other| if other.1 > one.1 { other } else { one })
}

/// Reads a label as a tag. A letter before `-` means something only where the labels have a `B-` or an `I-` of the same
/// name: a plain label may begin with one too, as `E-MAIL`.
fn tag(label: &str, all: &[String]) -> Tag {
    let place = match label.get(..2) {
        Some("B-") => Place::Begin,
        Some("I-") => Place::Inside,
        Some("E-" | "L-") => Place::End,
        Some("S-" | "U-") => Place::Single,
        _ => return Tag { place: Place::Inside, label: label.to_owned() },
    };
    let rest = &label[2..];
    let in_scheme = |other: &String| other.strip_prefix("B-") == Some(rest) || other.strip_prefix("I-") == Some(rest);
    if matches!(place, Place::End | Place::Single) && !all.iter().any(in_scheme) {
        return Tag { place: Place::Inside, label: label.to_owned() };
    }
    Tag { place, label: rest.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens of two bytes each, in words as `words` says, each with one tag at logit 2 over zeros.
    fn check(labels: &[&str], tokens: &[(&str, u32)], strategy: Strategy, expected: &[(&str, usize, usize)]) {
        let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        let logits: Vec<f32> = tokens
            .iter()
            .flat_map(|(tag, _)| {
                labels
                    .iter()
                    .map(|label| if label == tag.trim_end_matches('_') { 2.0 } else { 0.0 })
                    .collect::<Vec<_>>()
            })
            .collect();
        // A tag with `_` behind it is that of white space.
        let offset = |(place, (tag, _)): (usize, &(&str, u32))| {
            let start = place as u32 * 2;
            if tag.ends_with('_') { start + 2..start + 2 } else { start..start + 2 }
        };
        let offsets: Vec<Range<u32>> = tokens.iter().enumerate().map(offset).collect();
        let word_of: Vec<u32> = tokens.iter().map(|(_, word)| *word).collect();
        let tagged = Tagged { logits: &logits, offsets: &offsets, word_of: &word_of, labels: &labels };
        let found = entities(&tagged, strategy);
        let spans: Vec<(&str, usize, usize)> =
            found.iter().map(|span| (span.label.as_str(), span.start, span.end)).collect();
        assert_eq!(spans, expected);
        let sure = softmax(&[&[2.0][..], &vec![0.0; labels.len() - 1]].concat())[0];
        assert!(
            strategy == Strategy::Average || found.iter().all(|span| (span.score - sure).abs() < 1e-6),
            "{found:?}"
        );
    }

    const BIO: [&str; 5] = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"];

    #[test]
    fn begins_and_goes_on() {
        let tokens = [("B-PER", 0), ("I-PER", 1), ("O", 2), ("B-LOC", 3), ("B-LOC", 4)];
        check(&BIO, &tokens, Strategy::Simple, &[("PER", 0, 4), ("LOC", 6, 8), ("LOC", 8, 10)]);
    }

    #[test]
    fn inside_after_another_label_begins_a_span() {
        let tokens = [("B-PER", 0), ("I-LOC", 1), ("I-LOC", 2), ("O", 3), ("I-LOC", 4)];
        check(&BIO, &tokens, Strategy::Simple, &[("PER", 0, 2), ("LOC", 2, 6), ("LOC", 8, 10)]);
    }

    #[test]
    fn ends_and_singles_close_a_span() {
        let labels = ["O", "B-X", "I-X", "E-X", "S-X"];
        let tokens = [("B-X", 0), ("I-X", 1), ("E-X", 2), ("I-X", 3), ("S-X", 4), ("I-X", 5), ("B-X", 6), ("E-X", 7)];
        check(
            &labels,
            &tokens,
            Strategy::Simple,
            &[("X", 0, 6), ("X", 6, 8), ("X", 8, 10), ("X", 10, 12), ("X", 12, 16)],
        );
    }

    #[test]
    fn plain_labels_join_equal_neighbours() {
        let labels = ["O", "E-MAIL", "URL"];
        let tokens = [("E-MAIL", 0), ("E-MAIL", 1), ("URL", 2), ("O", 3), ("URL", 4)];
        check(&labels, &tokens, Strategy::Simple, &[("E-MAIL", 0, 4), ("URL", 4, 6), ("URL", 8, 10)]);
    }

    #[test]
    fn a_word_has_one_tag() {
        let tokens = [("B-PER", 0), ("O", 0), ("I-LOC", 1), ("I-LOC", 1)];
        check(&BIO, &tokens, Strategy::Simple, &[("PER", 0, 2), ("LOC", 4, 8)]);
        check(&BIO, &tokens, Strategy::First, &[("PER", 0, 4), ("LOC", 4, 8)]);
        check(&BIO, &tokens, Strategy::Max, &[("PER", 0, 4), ("LOC", 4, 8)]);
        check(&BIO, &[("O", 0), ("O", 0), ("B-PER", 0)], Strategy::Average, &[]);
        check(&BIO, &[("B-PER", 0), ("B-PER", 0), ("O", 0)], Strategy::Average, &[("PER", 0, 6)]);
    }

    #[test]
    fn white_space_belongs_to_no_entity() {
        let tokens = [("B-PER_", 0), ("B-PER", 0), ("I-PER_", 1), ("I-PER", 1), ("I-PER_", 1), ("O", 2), ("B-LOC_", 3)];
        for strategy in [Strategy::First, Strategy::Max, Strategy::Average] {
            check(&BIO, &tokens, strategy, &[("PER", 2, 8)]);
        }
        check(&BIO, &[("B-PER_", 0), ("I-PER", 0), ("I-PER_", 1)], Strategy::Simple, &[("PER", 2, 4)]);
        check(&BIO, &[("B-PER_", 0), ("O", 1)], Strategy::Simple, &[]);
    }

    #[test]
    fn nothing_has_no_entities() {
        check(&BIO, &[], Strategy::Simple, &[]);
        check(&BIO, &[("O", 0)], Strategy::Max, &[]);
    }
}
