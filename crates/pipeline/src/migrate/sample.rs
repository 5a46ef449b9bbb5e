//! Questions to compare two indexes by: what documents are about, and what was asked before.

use std::collections::HashSet;
use std::path::Path;

use berth_index::Snapshot;

use crate::Error;
use crate::query_log::{QueryLog, read_query_log};

/// Most words of a document's first sentence that are asked.
const MOST_WORDS: usize = 24;
/// Fewest words of a title that is worth asking.
const LEAST_TITLE: usize = 2;

/// How many questions, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleOptions {
    /// Most documents whose title or first sentence is asked, and most recorded questions.
    pub count: usize,
    /// Decides which documents.
    pub seed: u64,
}

/// A question, and the document it was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sampled {
    pub(super) text: String,
    pub(super) of: Option<String>,
}

/// Titles, or first sentences where there is none, of documents chosen by the seed.
pub(super) fn sample_documents(snapshot: &Snapshot, options: SampleOptions) -> Result<Vec<Sampled>, Error> {
    let mut ids = snapshot.document_ids("", usize::MAX)?;
    let mut state = options.seed;
    let mut sampled = Vec::new();
    let mut asked = HashSet::new();
    // The beginning of a shuffle (Fisher and Yates), as far as questions are wanted.
    for place in 0..ids.len() {
        if sampled.len() == options.count {
            break;
        }
        let other = place + (next(&mut state) % (ids.len() - place) as u64) as usize;
        ids.swap(place, other);
        let Some(stored) = snapshot.document(&ids[place])? else { continue };
        let text = question(&stored.document.title, &stored.document.text);
        if let Some(text) = text
            && asked.insert(text.clone())
        {
            sampled.push(Sampled { text, of: Some(stored.document.id) });
        }
    }
    Ok(sampled)
}

/// The last recorded questions, each once, and how many lines could not be read. None where nothing is recorded.
pub(super) fn recorded(index: &Path, count: usize) -> Result<(Vec<Sampled>, usize), Error> {
    let QueryLog { queries, damaged } = read_query_log(index)?;
    let texts = queries.into_iter().map(|query| query.query);
    let mut asked = HashSet::new();
    let has_words = |text: &String| text.chars().any(char::is_alphanumeric);
    let last = texts.rev().filter(|text| has_words(text) && asked.insert(text.clone())).take(count);
    Ok((last.map(|text| Sampled { text, of: None }).collect(), damaged))
}

/// What a document may be asked for by: its title, else its first sentence that has words.
fn question(title: &str, text: &str) -> Option<String> {
    let is_word = |word: &&str| word.chars().any(char::is_alphanumeric);
    let words = |text: &str| text.split_whitespace().filter(is_word).count();
    if words(title) >= LEAST_TITLE {
        return Some(title.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    // A sentence far behind is no first one.
    let head = &text[..text.floor_char_boundary(20_000)];
    let sentences = berth_chunker::sentences(head);
    let first = sentences.into_iter().map(|range| &head[range]).find(|sentence| words(sentence) >= LEAST_TITLE)?;
    // Marks of a heading or a list stand before it.
    let from_first_word = first.split_whitespace().skip_while(|word| !is_word(word));
    Some(from_first_word.take(MOST_WORDS).collect::<Vec<_>>().join(" "))
}

/// splitmix64 (Steele, Lea and Flood 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_asked_or_the_first_sentence_with_words() {
        for (title, text, expected) in [
            ("Harbour  rules", "A text.", Some("Harbour rules")),
            ("Log", "The first one. The second one.", Some("The first one.")),
            ("", "…\n\n***\n\nThen words come. And more.", Some("Then words come.")),
            ("", "one", None),
            ("?!", "", None),
        ] {
            assert_eq!(question(title, text).as_deref(), expected, "{title} {text}");
        }
        let long = question("", &"word ".repeat(100)).unwrap();
        assert_eq!(long.split(' ').count(), MOST_WORDS);
    }

    #[test]
    fn recorded_questions_are_the_last_ones_each_once() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(recorded(dir.path(), 9).unwrap(), (Vec::new(), 0));
        let line = |query: &str| {
            let rest = r#""time":"2026-11-27T20:00:00Z","mode":"hybrid","hits":1,"relevance":0.5,"ms":2.0"#;
            format!("{{\"query\":\"{query}\",{rest}}}\n")
        };
        let log = [line("b"), "\nno JSON\n".to_owned(), line("a"), line("?"), "{\"quer".to_owned()].concat();
        std::fs::write(dir.path().join("queries.1.jsonl"), line("a")).unwrap();
        std::fs::write(dir.path().join("queries.jsonl"), log).unwrap();
        let (last, unreadable) = recorded(dir.path(), 9).unwrap();
        assert_eq!((last.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(), unreadable), (vec!["a", "b"], 2));
        assert_eq!(recorded(dir.path(), 1).unwrap().0.len(), 1);
    }
}
