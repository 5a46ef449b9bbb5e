//! Results that are pinned to a question: documents that come first, whatever they score.

use serde::{Deserialize, Serialize};

use crate::{Error, IndexWriter, Snapshot, analysis, beside};

/// Version of the file.
const VERSION: u32 = 1;
/// Most documents that one question can have.
pub const MOST_PINNED: usize = 100;
/// Most questions.
const MOST_QUESTIONS: usize = 10_000;

/// Documents that come first for a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The question, as it was given.
    pub query: String,
    /// Ids of documents, in their order.
    pub documents: Vec<String>,
}

/// All that are pinned in an index, by question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    version: u32,
    pins: Vec<Pin>,
}

impl Default for Pins {
    fn default() -> Self {
        Self { version: VERSION, pins: Vec::new() }
    }
}

impl Pins {
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let pins: Self = serde_json::from_str(json).map_err(|error| format!("it cannot be understood: {error}"))?;
        if pins.version == VERSION { Ok(pins) } else { Err(format!("its version is {}, not {VERSION}", pins.version)) }
    }

    /// In the order of the questions.
    pub fn iter(&self) -> impl Iterator<Item = &Pin> {
        self.pins.iter()
    }

    /// Pins documents to a question, in the place of those that are.
    ///
    /// # Errors
    /// `BadPin` for a question without words, and where there are no documents or too many of them.
    pub fn set(&mut self, query: &str, documents: &[String]) -> Result<(), Error> {
        let bad = |reason: String| Err(Error::BadPin { query: query.to_owned(), reason });
        if words(query).is_empty() {
            return bad("it has no words".to_owned());
        }
        if !(1..=MOST_PINNED).contains(&documents.len()) {
            return bad(format!("1 to {MOST_PINNED} documents are possible, not {}", documents.len()));
        }
        self.remove(query);
        if self.pins.len() >= MOST_QUESTIONS {
            return bad(format!("{MOST_QUESTIONS} questions have documents already"));
        }
        let mut unique: Vec<String> = Vec::new();
        for document in documents {
            if !unique.contains(document) {
                unique.push(document.clone());
            }
        }
        self.pins.push(Pin { query: query.to_owned(), documents: unique });
        self.pins.sort_unstable_by(|one, other| one.query.cmp(&other.query));
        Ok(())
    }

    /// Keeps the documents of these ids, and no question without any; says how many went.
    pub fn keep(&mut self, is_kept: impl Fn(&str) -> bool) -> usize {
        let count = |pins: &[Pin]| pins.iter().map(|pin| pin.documents.len()).sum::<usize>();
        let before = count(&self.pins);
        self.pins.iter_mut().for_each(|pin| pin.documents.retain(|id| is_kept(id)));
        self.pins.retain(|pin| !pin.documents.is_empty());
        before - count(&self.pins)
    }

    /// Unpins what is pinned to a question; says whether anything was.
    pub fn remove(&mut self, query: &str) -> bool {
        let (before, wanted) = (self.pins.len(), words(query));
        self.pins.retain(|pin| words(&pin.query) != wanted);
        self.pins.len() < before
    }
}

fn words(query: &str) -> Vec<String> {
    analysis::terms(query).into_iter().map(|term| term.text).collect()
}

impl Snapshot {
    /// What is pinned.
    ///
    /// # Errors
    /// `Corrupted`.
    pub fn pins(&self) -> Result<Pins, Error> {
        let Some(text) = self.texts().pins.as_deref() else {
            return Ok(Pins::default());
        };
        Pins::parse(text).map_err(|reason| {
            let name = self.manifest().beside.pins.as_ref().map_or("pins", |file| file.name.as_str());
            Error::corrupted(&self.dir().join(name), reason)
        })
    }

    /// The documents that are pinned to a question: to one that has the same words in the same order, in whichever form.
    ///
    /// # Errors
    /// `Corrupted`.
    pub fn pinned_to(&self, query: &str) -> Result<&[String], Error> {
        if self.texts().pins.is_none() {
            return Ok(&[]);
        }
        let pinned = if let Some(pinned) = self.pinned().get() {
            pinned
        } else {
            let by_words = self.pins()?.pins.into_iter().map(|pin| (words(&pin.query), pin.documents)).collect();
            self.pinned().get_or_init(|| by_words)
        };
        Ok(pinned.get(&words(query)).map_or(&[], Vec::as_slice))
    }
}

impl IndexWriter {
    /// Puts pins in the place of those that are there, from the next commit on.
    ///
    /// # Errors
    /// `BadPin` where they take too much room.
    pub fn set_pins(&mut self, pins: &Pins) -> Result<(), Error> {
        let text =
            (!pins.pins.is_empty()).then(|| serde_json::to_string_pretty(pins).expect("pins are plain data") + "\n");
        if let Some(text) = text.as_ref().filter(|text| text.len() > beside::MOST_BYTES) {
            let reason =
                format!("all pins would take {} bytes, at most {} are possible", text.len(), beside::MOST_BYTES);
            let query = pins.pins.first().map(|pin| pin.query.clone()).unwrap_or_default();
            return Err(Error::BadPin { query, reason });
        }
        self.beside.replace(beside::Kind::Pins, text);
        self.mark_changed();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(pins: &Pins, query: &str) -> Vec<String> {
        let pin = pins.iter().find(|pin| words(&pin.query) == words(query));
        pin.map(|pin| pin.documents.clone()).unwrap_or_default()
    }

    #[test]
    fn a_question_is_the_same_in_every_form_of_its_words() {
        let mut pins = Pins::default();
        let documents = ["b", "a", "b"].map(str::to_owned);
        pins.set("Harbour cranes", &documents).unwrap();
        for query in ["harbour crane", "  HARBOUR, cranes!"] {
            assert_eq!(ids(&pins, query), ["b", "a"], "{query}");
        }
        for query in ["crane harbour", "harbour", "harbour crane dues", "", "?"] {
            assert_eq!(ids(&pins, query), [""; 0], "{query}");
        }
        pins.set("harbour crane", &documents[1..2]).unwrap();
        assert_eq!((pins.iter().count(), ids(&pins, "harbour crane")), (1, vec!["a".to_owned()]));
        assert!(pins.remove("Harbours crane"));
        assert!(!pins.remove("harbour crane") && pins == Pins::default());
    }

    #[test]
    fn what_cannot_be_pinned_is_named() {
        let mut pins = Pins::default();
        for (query, count, part) in [("?!", 1, "no words"), ("a", 0, "not 0"), ("a", 101, "not 101")] {
            let error = pins.set(query, &vec!["x".to_owned(); count]).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(Pins::parse("{}").is_err() && Pins::parse(r#"{"version":2,"pins":[]}"#).unwrap_err().contains("not 1"));
    }
}
