//! `berth complete TEXT --index DIR`.

use std::time::SystemTime;

use berth_pipeline::{Error, IndexReader, WordCount};
use serde::Serialize;

use crate::Outcome;
use crate::curation_args::CompleteArgs;
use crate::output::{self, grouped, printable, say};

/// The contract of `--json`.
#[derive(Debug, Serialize)]
struct Completions<'a> {
    typed: &'a str,
    completions: Vec<Completion>,
}

#[derive(Debug, Serialize)]
struct Completion {
    /// What was typed, with the last word completed.
    text: String,
    #[serde(flatten)]
    word: WordCount,
}

pub(crate) fn run(args: &CompleteArgs) -> anyhow::Result<Outcome> {
    let typed = args.typed.join(" ");
    let snapshot = IndexReader::open(&args.index).map_err(Error::from)?.snapshot();
    let view = snapshot.view(args.viewer.viewer().as_ref(), SystemTime::now()).map_err(Error::from)?;
    let start =
        typed.rfind(char::is_whitespace).map_or(0, |at| at + typed[at..].chars().next().map_or(0, char::len_utf8));
    let words = view.completions(&typed[start..], args.k).map_err(Error::from)?;
    let completions: Vec<Completion> =
        words.into_iter().map(|word| Completion { text: typed[..start].to_owned() + &word.word, word }).collect();
    let found_nothing = completions.is_empty();
    if args.json {
        output::print_json(&Completions { typed: &typed, completions })?;
    } else {
        let width = completions.iter().map(|completion| completion.text.chars().count()).max().unwrap_or(0);
        for Completion { text, word } in &completions {
            output::print(&format!("{:<width$}  {}\n", printable(text), grouped(word.passages)))?;
        }
        if found_nothing {
            say(&format!("berth: no word of {} begins with '{}'", args.index.display(), &typed[start..]));
        }
    }
    Ok(if found_nothing { Outcome::NothingFound } else { Outcome::Done })
}
