//! Texts to measure a model with: a dozen built-in sentences, or those of a file.

use std::fs;
use std::path::Path;

use berth_encoder::{Row, TextTokenizer};
use berth_types::{Head, ModelCard};
use serde::Deserialize;

use crate::source::is_jsonl;
use crate::{Body, Error, Input};

/// Texts of several kinds: prose, news, science, law, trade, code, a question, a title, figures, other languages.
const SAMPLES: [&str; 12] = [
    "The ferry left the harbour before dawn, and only the gulls followed it past the lighthouse.",
    "Regional trains will run every half hour from Monday, the operator said, after two years of repairs to the line.",
    "Boundary layers thicken downstream of the leading edge, which raises the drag that a thin plate feels.",
    "The tenant shall give notice in writing no later than three months before the end of the term.",
    "Stainless kettle, 1.7 litres, with temperature control; the lid opens wide for cleaning.",
    "def mean(values): return sum(values) / len(values) if values else 0.0",
    "how do i renew a passport that has already expired?",
    "Annual report of the committee on inland waterways",
    "Revenue rose 4.2 % to 318 million in the third quarter, while costs fell by 11 million.",
    "Patients who took the drug for twelve weeks slept longer, but their blood pressure did not change.",
    "Der Zug nach Bremen fährt heute von Gleis sieben ab, weil Gleis vier gesperrt ist.",
    "ok thanks, see you there!",
];

/// A dozen sentences of several kinds.
pub fn sample_texts() -> Vec<String> {
    SAMPLES.map(str::to_owned).to_vec()
}

/// The texts of a file. Of one that ends in `.jsonl` or `.ndjson`, each row's `text`, after its `title` where it has one;
/// of any other, its lines. Empty ones are left out.
///
/// # Errors
/// `Io`, or `InvalidSettings` for the first row that has no text.
pub fn read_texts(path: &Path) -> Result<Vec<String>, Error> {
    let content = fs::read_to_string(path).map_err(Error::io("read", path))?;
    // Some editors begin a file with a mark of its encoding.
    let content = content.strip_prefix('\u{feff}').unwrap_or(&content);
    let lines = content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let rows = is_jsonl(path);
    let text = |(number, line): (usize, &str)| {
        if rows { Ok(TextRow::parse(path, number, line)?.joined()) } else { Ok(line.to_owned()) }
    };
    let texts = lines.map(text).collect::<Result<Vec<String>, Error>>()?;
    Ok(texts.into_iter().filter(|text| !text.trim().is_empty()).collect())
}

/// A row of a JSONL file, as far as it is measured with.
#[derive(Debug, Deserialize)]
pub(crate) struct TextRow {
    pub(crate) title: String,
    pub(crate) text: String,
}

impl TextRow {
    /// Reads the line that has `number` lines before it in the file `path`.
    ///
    /// # Errors
    /// `InvalidSettings`.
    pub(crate) fn parse(path: &Path, number: usize, line: &str) -> Result<Self, Error> {
        /// What a line may have beside what all texts have.
        #[derive(Deserialize)]
        struct Titled {
            title: String,
        }
        let text = match Input::parse(number + 1, line) {
            Ok(Input { body: Body::Text(text), .. }) => Ok(text),
            Ok(_) => Err("it is a pair or a query, not one text".to_owned()),
            Err(reason) => Err(reason),
        };
        let text =
            text.map_err(|reason| Error::InvalidSettings(format!("{} line {}: {reason}", path.display(), number + 1)))?;
        let title = serde_json::from_str(line).map_or_else(|_| String::new(), |Titled { title }| title);
        Ok(Self { title, text })
    }

    fn joined(self) -> String {
        if self.title.is_empty() { self.text } else { format!("{} {}", self.title, self.text) }
    }
}

/// The row of a text as an index has it, with the card's prompt and cut to what the model takes; fill-mask is asked for
/// every position.
pub(crate) fn row(tokenizer: &TextTokenizer, card: &ModelCard, head: Head, text: &str) -> Result<Row, Error> {
    let prompt = tokenizer.tokenize(&card.prompts.passage)?.ids;
    let mut ids = tokenizer.tokenize(text)?.ids;
    ids.truncate(card.max_tokens.saturating_sub(tokenizer.special_tokens() + prompt.len()));
    let ids = [tokenizer.prefix(), &prompt, &ids, tokenizer.suffix()].concat();
    let positions = if head == Head::FillMask { (0..ids.len() as u32).collect() } else { Vec::new() };
    Ok(Row { ids, positions, ..Row::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, content: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        read_texts(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_are_texts_and_rows_have_them() {
        assert_eq!(read("a.txt", "one\r\n\n  \n{\"text\": \"two\"}\n").unwrap(), ["one", "{\"text\": \"two\"}"]);
        let rows = "{\"_id\": \"1\", \"title\": \"A\", \"text\": \"b\", \"metadata\": {}}\n\n{\"text\": \"c\"}\n{\"text\": \" \"}";
        assert_eq!(read("a.jsonl", rows).unwrap(), ["A b", "c"]);
        assert_eq!(read("empty.NDJSON", "\n").unwrap(), [""; 0]);
    }

    #[test]
    fn a_row_without_a_text_is_named() {
        let message = read("a.jsonl", "{\"text\": \"c\"}\n{\"title\": \"c\"}\n").unwrap_err();
        assert!(message.contains("a.jsonl line 2") && message.contains("text"), "{message}");
        let missing = read_texts(Path::new("no such file")).unwrap_err().to_string();
        assert!(missing.contains("no such file"), "{missing}");
    }
}
