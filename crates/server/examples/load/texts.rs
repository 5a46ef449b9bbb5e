//! The texts that are asked about.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;

/// Where no file is named.
const MADE_UP: &str = "how do ships find harbour at night";

#[derive(Deserialize)]
struct TextRow {
    #[serde(default)]
    title: String,
    text: String,
}

/// Texts that are handed out in turn.
#[derive(Debug)]
pub(crate) struct Texts {
    texts: Vec<String>,
    next: AtomicUsize,
}

impl Texts {
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, String> {
        let texts = match path {
            None => vec![MADE_UP.to_owned()],
            Some(path) => {
                let file = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
                file.lines().filter(|line| !line.trim().is_empty()).map(text_of).collect()
            }
        };
        if texts.is_empty() {
            return Err("there are no texts in the file".to_owned());
        }
        Ok(Self { texts, next: AtomicUsize::new(0) })
    }

    /// The next `count`.
    pub(crate) fn take(&self, count: usize) -> Vec<String> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        (first..first + count).map(|number| self.texts[number % self.texts.len()].clone()).collect()
    }
}

/// The text of a line: of JSON where it is that.
fn text_of(line: &str) -> String {
    match serde_json::from_str(line) {
        Ok(TextRow { title, text }) if title.is_empty() => text,
        Ok(TextRow { title, text }) => format!("{title} {text}"),
        Err(_) => line.to_owned(),
    }
}
