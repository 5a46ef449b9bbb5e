//! `berth get DOCUMENT --index DIR`.

use std::time::SystemTime;

use berth_pipeline::{Error, IndexReader};

use crate::Outcome;
use crate::args::GetArgs;
use crate::output::{self, say};

/// Candidates named when the end of a path fits several documents.
const CANDIDATES_SHOWN: usize = 5;

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
        output::print_json(&stored.document)?;
    } else {
        output::print(&stored.document.text)?;
        if !stored.document.text.ends_with('\n') {
            output::print("\n")?;
        }
    }
    Ok(Outcome::Done)
}
