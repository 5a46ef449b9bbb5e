//! `berth get DOCUMENT --index DIR`.

use std::time::SystemTime;

use berth_pipeline::{BuiltWith, Error, IndexReader, StoredDocument};
use berth_types::{Document, DocumentRecord};
use serde::Serialize;

use crate::Outcome;
use crate::args::GetArgs;
use crate::output::{self, say};

/// Candidates named when the end of a path fits several documents.
const CANDIDATES_SHOWN: usize = 5;

/// The contract of `berth get --json`.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    document: &'a Document,
    /// What the index remembers beside it.
    record: &'a DocumentRecord,
    /// What its passages were cut and embedded with.
    built_with: BuiltWith,
}

pub(crate) fn run(args: &GetArgs) -> anyhow::Result<Outcome> {
    let snapshot = IndexReader::open(&args.index).map_err(Error::from)?.snapshot();
    let view = snapshot.view(args.viewer.viewer().as_ref(), SystemTime::now()).map_err(Error::from)?;
    let mut found = view.document(&args.document).map_err(Error::from)?;
    if found.is_none() {
        let ending = format!("/{}", args.document.trim_start_matches("./").trim_start_matches('/'));
        match view.document_ids(&ending, CANDIDATES_SHOWN).map_err(Error::from)?.as_slice() {
            [] => {}
            [id] => found = view.document(id).map_err(Error::from)?,
            several => {
                let names = several.join(", ");
                let message = format!("'{}' fits several documents: {names}; name more of the path", args.document);
                return Err(output::WrongUsage(message).into());
            }
        }
    }
    let Some(stored) = found else {
        say(&format!("berth: no document '{}' in {}", args.document, args.index.display()));
        return Ok(Outcome::NothingFound);
    };
    if args.json {
        let StoredDocument { document, record, .. } = &stored;
        output::print_json(&Printed { document, record, built_with: BuiltWith::of(snapshot.settings()) })?;
    } else {
        output::print(&stored.document.text)?;
        if !stored.document.text.ends_with('\n') {
            output::print("\n")?;
        }
    }
    Ok(Outcome::Done)
}
