//! `berth synonyms set | list | clear`.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use berth_pipeline::{is_standard_input, set_synonyms, synonyms};
use serde::Serialize;

use crate::Outcome;
use crate::curation_args::{SynonymsAction, SynonymsArgs};
use crate::output::{self, WrongUsage, grouped, printable, say};

/// The contract of `set --json` and `clear --json`.
#[derive(Debug, Serialize)]
struct Stored {
    /// Words and phrases that stand for others.
    words: usize,
}

/// The contract of `list --json`.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    /// As they were given; null where there are none.
    synonyms: Option<&'a str>,
}

pub(crate) fn run(args: &SynonymsArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        SynonymsAction::Set(args) => {
            let words = set_synonyms(&args.index, Some(&read(&args.file)?))?;
            if args.json {
                output::print_json(&Stored { words })?;
            } else {
                output::print(&format!("{}: {} words\n", args.index.display(), grouped(words as u64)))?;
            }
            Ok(Outcome::Done)
        }
        SynonymsAction::Clear(args) => {
            let words = set_synonyms(&args.index, None)?;
            if args.json {
                output::print_json(&Stored { words })?;
            } else {
                output::print(&format!("{}: no synonyms\n", args.index.display()))?;
            }
            Ok(Outcome::Done)
        }
        SynonymsAction::List(args) => {
            let found = synonyms(&args.index)?;
            if args.json {
                output::print_json(&Listed { synonyms: found.as_deref() })?;
            } else {
                for line in found.iter().flat_map(|text| text.lines()) {
                    output::print(&(printable(line) + "\n"))?;
                }
            }
            if found.is_none() && !args.json {
                say(&format!("berth: no synonyms in {}", args.index.display()));
            }
            Ok(if found.is_some() { Outcome::Done } else { Outcome::NothingFound })
        }
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if is_standard_input(file) {
        std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        bytes = std::fs::read(file).map_err(berth_pipeline::Error::io("read", file))?;
    }
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        WrongUsage(format!("{} is not UTF-8 at byte {place}", file.display())).into()
    })
}
