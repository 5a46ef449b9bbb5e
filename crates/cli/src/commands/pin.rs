//! `berth pin set | list | remove`.

use std::fmt::Write;

use berth_pipeline::{Pin, pin, pins, unpin};
use serde::Serialize;

use crate::Outcome;
use crate::curation_args::{PinAction, PinArgs};
use crate::output::{self, printable, say};

/// The contract of `remove --json`.
#[derive(Debug, Serialize)]
struct Removed {
    removed: bool,
}

pub(crate) fn run(args: &PinArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        PinAction::Set(args) => {
            let documents = pin(&args.index, &args.query, &args.documents)?;
            let pinned = Pin { query: args.query.clone(), documents };
            if args.json {
                output::print_json(&pinned)?;
            } else {
                output::print(&page(&pinned))?;
            }
            Ok(Outcome::Done)
        }
        PinAction::List(args) => {
            let pins = pins(&args.index)?;
            for pinned in pins.iter() {
                if args.json {
                    output::print_json(pinned)?;
                } else {
                    output::print(&page(pinned))?;
                }
            }
            let is_empty = pins.iter().next().is_none();
            if is_empty {
                say(&format!("berth: nothing is pinned in {}", args.index.display()));
            }
            Ok(if is_empty { Outcome::NothingFound } else { Outcome::Done })
        }
        PinAction::Remove(args) => {
            let removed = unpin(&args.index, &args.query)?;
            if args.json {
                output::print_json(&Removed { removed })?;
            } else if removed {
                output::print("unpinned\n")?;
            }
            if !removed {
                say(&format!("berth: nothing is pinned to '{}'", args.query));
            }
            Ok(if removed { Outcome::Done } else { Outcome::NothingFound })
        }
    }
}

fn page(pinned: &Pin) -> String {
    let mut page = printable(&pinned.query) + "\n";
    for (number, document) in (1..).zip(&pinned.documents) {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "  {number}. {}", printable(document));
    }
    page
}
