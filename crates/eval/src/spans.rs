//! Answers as ranges inside documents, and how much of them retrieved passages hold.
//!
//! Ranges go from characters (as `spans.jsonl` counts) to bytes of the text to tokens, and are scored at any axis of whole
//! numbers. Cutting documents into tokens is left to others.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, lines};

/// One answer inside a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The document's id.
    pub document: String,
    /// Where in its text, in characters (Unicode scalar values); never empty.
    pub char_range: Range<usize>,
    /// What stands there, where the file says so.
    pub answer: Option<String>,
}

/// The answers of a collection: query id → spans, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spans {
    queries: BTreeMap<String, Vec<Span>>,
}

impl Spans {
    /// Reads a file of JSON lines with `query-id`, `corpus-id`, `start`, `end` and, where it is known, `answer`.
    ///
    /// A query may have several spans. `start` and `end` count characters, not bytes.
    ///
    /// # Errors
    /// `FileMissing`; `Malformed` for a line of another form, an empty range, or an answer of another length than its range;
    /// `Io`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut spans = Self::default();
        lines::for_each(lines::open(path)?, path, |line, text| {
            let (query, span) = parse_span(text).map_err(|reason| lines::malformed(path, line, reason))?;
            spans.queries.entry(query).or_default().push(span);
            Ok(())
        })?;
        Ok(spans)
    }

    /// The spans of one query; none when the file does not have it.
    pub fn get(&self, query: &str) -> &[Span] {
        self.queries.get(query).map_or(&[], Vec::as_slice)
    }

    /// All queries with their spans, by query id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Span])> {
        self.queries.iter().map(|(query, spans)| (query.as_str(), spans.as_slice()))
    }

    /// Number of queries that have spans.
    pub fn queries(&self) -> usize {
        self.queries.len()
    }
}

fn parse_span(line: &str) -> Result<(String, Span), String> {
    let mut object = lines::object(line)?;
    let (query, document) = (lines::take_id(&mut object, "query-id")?, lines::take_id(&mut object, "corpus-id")?);
    let (start, end) = (position(&object, "start")?, position(&object, "end")?);
    if start >= end {
        return Err(format!("the range from {start} to {end} is empty"));
    }
    let answer = match object.get("answer") {
        None | Some(Value::Null) => None,
        Some(_) => Some(lines::take_string(&mut object, "answer")?),
    };
    if let Some(characters) = answer.as_ref().map(|answer| answer.chars().count())
        && characters != end - start
    {
        let length = end - start;
        return Err(format!(
            "the answer has {characters} characters and its range {length}; positions count characters"
        ));
    }
    Ok((query, Span { document, char_range: start..end, answer }))
}

fn position(object: &Map<String, Value>, key: &str) -> Result<usize, String> {
    let value = object.get(key).ok_or_else(|| format!("\"{key}\" is missing"))?;
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("\"{key}\" is {value}, where a whole number of characters was wanted"))
}

/// Turns ranges of characters of `text` into ranges of bytes, in the order given, in one walk through the text.
///
/// `None` for a range that ends before it starts or beyond the text.
pub fn byte_ranges(text: &str, char_ranges: &[Range<usize>]) -> Vec<Option<Range<usize>>> {
    let wanted: BTreeSet<usize> = char_ranges.iter().flat_map(|range| [range.start, range.end]).collect();
    let mut bytes = BTreeMap::new();
    let mut offsets = text.char_indices().map(|(offset, _)| offset).chain([text.len()]).enumerate();
    for position in wanted {
        // The walk stands at the position wanted before, so that this one lies ahead.
        let Some((_, offset)) = offsets.find(|(at, _)| *at == position) else { break };
        bytes.insert(position, offset);
    }
    let found = |range: &Range<usize>| Some(*bytes.get(&range.start)?..*bytes.get(&range.end)?);
    char_ranges.iter().map(|range| found(range).filter(|range| range.start <= range.end)).collect()
}

/// Tokens that overlap a range of bytes.
///
/// `tokens` holds the range of bytes of each token; neither starts nor ends fall from one to the next, and several tokens may
/// share one range. The result is empty where no token has a byte of the range.
pub fn token_range(tokens: &[Range<usize>], bytes: &Range<usize>) -> Range<usize> {
    let first = tokens.partition_point(|token| token.end <= bytes.start);
    let end = tokens.partition_point(|token| token.start < bytes.end);
    first..end.max(first)
}

/// A range of positions, such as tokens, of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocRange {
    /// The document's id.
    pub document: String,
    /// Positions.
    pub range: Range<usize>,
}

/// How well passages hold the answers, 0 to 1, for one query or as the mean of many.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SpanScores {
    /// Share of the relevant positions that were retrieved.
    pub recall: f64,
    /// Relevant positions that were retrieved, over all retrieved ones, each as often as it was.
    pub precision: f64,
    /// The same over all retrieved ones, each as often as it was, and the relevant ones that were missed.
    pub iou: f64,
}

/// Scores passages against answers, by Smith and Troynikov, *Evaluating Chunking Strategies for Retrieval* (2024).
///
/// A position that stands in several passages is found once, and counts in the denominators of precision and IoU as often as it
/// stands there: what is retrieved twice costs twice. Answers that overlap are joined. `None` when no position is relevant.
pub fn span_scores(retrieved: &[DocRange], relevant: &[DocRange]) -> Option<SpanScores> {
    let (found, wanted) = (joined(retrieved), joined(relevant));
    let wanted_positions: usize = wanted.values().flatten().map(Range::len).sum();
    if wanted_positions == 0 {
        return None;
    }
    let retrieved_positions: usize = retrieved.iter().map(|passage| passage.range.len()).sum();
    let hit: usize = wanted.iter().map(|(document, ranges)| shared(ranges, found.get(document))).sum();
    let ratio = |whole: usize| if whole > 0 { hit as f64 / whole as f64 } else { 0.0 };
    Some(SpanScores {
        recall: ratio(wanted_positions),
        precision: ratio(retrieved_positions),
        iou: ratio(retrieved_positions + wanted_positions - hit),
    })
}

/// Ranges by document, sorted, with a gap between neighbours.
fn joined(ranges: &[DocRange]) -> BTreeMap<&str, Vec<Range<usize>>> {
    let mut documents: BTreeMap<&str, Vec<Range<usize>>> = BTreeMap::new();
    for DocRange { document, range } in ranges {
        if !range.is_empty() {
            documents.entry(document).or_default().push(range.clone());
        }
    }
    for ranges in documents.values_mut() {
        ranges.sort_unstable_by_key(|range| (range.start, range.end));
        ranges.dedup_by(|next, before| {
            let touches = next.start <= before.end;
            if touches {
                before.end = before.end.max(next.end);
            }
            touches
        });
    }
    documents
}

/// Number of positions that both lists hold, each sorted and without overlaps.
fn shared(one: &[Range<usize>], other: Option<&Vec<Range<usize>>>) -> usize {
    let (mut one, mut other) = (one, other.map_or(&[][..], Vec::as_slice));
    let mut positions = 0;
    while let ([a, rest_of_one @ ..], [b, rest_of_other @ ..]) = (one, other) {
        positions += a.end.min(b.end).saturating_sub(a.start.max(b.start));
        if a.end <= b.end { one = rest_of_one } else { other = rest_of_other }
    }
    positions
}

/// Mean over queries; zeros of none.
pub fn mean_span_scores(queries: &[SpanScores]) -> SpanScores {
    let mean = |figure: fn(&SpanScores) -> f64| queries.iter().map(figure).sum::<f64>() / queries.len().max(1) as f64;
    SpanScores {
        recall: mean(|scores| scores.recall),
        precision: mean(|scores| scores.precision),
        iou: mean(|scores| scores.iou),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges(ranges: &[(&str, Range<usize>)]) -> Vec<DocRange> {
        let range = |(document, range): &(&str, Range<usize>)| DocRange {
            document: (*document).to_owned(),
            range: range.clone(),
        };
        ranges.iter().map(range).collect()
    }

    fn check(retrieved: &[(&str, Range<usize>)], relevant: &[(&str, Range<usize>)], expected: [f64; 3]) {
        let scores = span_scores(&ranges(retrieved), &ranges(relevant)).unwrap();
        assert_eq!([scores.recall, scores.precision, scores.iou], expected, "{retrieved:?}");
    }

    #[test]
    fn what_is_retrieved_twice_is_found_once_and_costs_twice() {
        check(&[("a", 0..10)], &[("a", 5..15)], [0.5, 0.5, 5.0 / 15.0]);
        check(&[("a", 0..10), ("a", 0..10)], &[("a", 5..15)], [0.5, 0.25, 5.0 / 25.0]);
        check(&[("a", 5..15)], &[("a", 5..15)], [1.0; 3]);
        check(&[("b", 5..15)], &[("a", 5..15)], [0.0; 3]);
        check(&[], &[("a", 5..15)], [0.0; 3]);
        // Answers in two documents, one of them said twice over.
        check(&[("a", 0..4), ("b", 2..6)], &[("a", 0..4), ("a", 2..4), ("b", 0..4)], [0.75, 0.75, 6.0 / 10.0]);
        assert_eq!(span_scores(&ranges(&[("a", 0..4)]), &ranges(&[("a", 3..3)])), None);
    }

    #[test]
    fn means_are_over_queries() {
        let scores = |recall| SpanScores { recall, precision: 0.5, iou: 0.25 };
        assert_eq!(mean_span_scores(&[scores(1.0), scores(0.0)]), scores(0.5));
        assert_eq!(mean_span_scores(&[]), SpanScores::default());
    }

    #[test]
    fn characters_become_bytes() {
        let text = "aé한🦀z";
        let bytes = byte_ranges(text, &[3..4, 0..5, 1..3, 5..5, 4..6, 9..9]);
        assert_eq!(bytes, [Some(6..10), Some(0..11), Some(1..6), Some(11..11), None, None]);
        assert_eq!(byte_ranges(text, &[Range { start: 3, end: 1 }, 2..2]), [None, Some(3..3)]);
        assert_eq!(byte_ranges("", &[0..0, 0..1]), [Some(0..0), None]);
    }

    #[test]
    fn bytes_become_tokens_that_overlap_them() {
        // Two tokens of one character, and a gap before the last.
        let tokens = [0..3, 3..5, 5..8, 5..8, 9..12];
        let check = |bytes, expected| assert_eq!(token_range(&tokens, &bytes), expected, "{bytes:?}");
        check(0..12, 0..5);
        check(2..4, 0..2);
        check(6..7, 2..4);
        check(8..9, 4..4);
        check(3..3, 1..1);
        check(20..30, 5..5);
        assert_eq!(token_range(&[], &(0..5)), 0..0);
    }

    fn any_ranges() -> impl Strategy<Value = Vec<DocRange>> {
        let range = (prop::sample::select(vec!["a", "b"]), 0..40_usize, 0..12_usize);
        let range = range.prop_map(|(document, start, length)| DocRange {
            document: document.to_owned(),
            range: start..start + length,
        });
        prop::collection::vec(range, 0..8)
    }

    proptest! {
        #[test]
        fn scores_are_those_of_sets(retrieved in any_ranges(), relevant in any_ranges()) {
            let set = |ranges: &[DocRange]| -> BTreeSet<(String, usize)> {
                ranges.iter().flat_map(|one| one.range.clone().map(|at| (one.document.clone(), at))).collect()
            };
            let (found, wanted) = (set(&retrieved), set(&relevant));
            let Some(scores) = span_scores(&retrieved, &relevant) else {
                prop_assert!(wanted.is_empty());
                return Ok(());
            };
            let hit = found.intersection(&wanted).count() as f64;
            let places: usize = retrieved.iter().map(|passage| passage.range.len()).sum();
            let missed = wanted.difference(&found).count();
            prop_assert_eq!(scores.recall, hit / wanted.len() as f64);
            prop_assert_eq!(scores.precision, if places > 0 { hit / places as f64 } else { 0.0 });
            prop_assert_eq!(scores.iou, hit / (places + missed) as f64);
        }

        #[test]
        fn byte_ranges_hold_the_characters(text in "[a-c한é🦀]{0,20}", start in 0..22_usize, length in 0..22_usize) {
            let characters: Vec<char> = text.chars().collect();
            let expected = characters.get(start..start + length).map(|characters| characters.iter().collect::<String>());
            let found = byte_ranges(&text, &[start..start + length, 0..0])[0].clone();
            prop_assert_eq!(found.map(|bytes| text[bytes].to_owned()), expected);
        }

        #[test]
        fn token_ranges_hold_what_overlaps(widths in prop::collection::vec((0..3_usize, 1..4_usize), 0..12), start in 0..40_usize, length in 1..20_usize) {
            let mut at = 0;
            let tokens: Vec<Range<usize>> = widths.iter().map(|(gap, width)| {
                let start = at + gap;
                at = start + width;
                start..at
            }).collect();
            let bytes = start..start + length;
            let overlaps = |token: &Range<usize>| token.start < bytes.end && bytes.start < token.end;
            let expected: Vec<usize> = (0..tokens.len()).filter(|at| overlaps(&tokens[*at])).collect();
            prop_assert_eq!(token_range(&tokens, &bytes).collect::<Vec<_>>(), expected);
        }
    }
}
