//! `berth verify --index DIR`.

use berth_pipeline::{Error, verify_index};

use crate::Outcome;
use crate::args::VerifyArgs;
use crate::output::{self, bytes, say};

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Outcome> {
    let report = verify_index(&args.index).map_err(Error::from)?;
    if args.json {
        output::print_json(&report)?;
    } else if report.problems.is_empty() {
        let line = format!("{} files, {} read: intact\n", report.files, bytes(report.bytes));
        output::print(&line)?;
    }
    if report.problems.is_empty() {
        return Ok(Outcome::Done);
    }
    for problem in &report.problems {
        say(&format!("berth: {problem}"));
    }
    say("berth: the index is damaged; restore it from a copy, or remove the folder and index again");
    Ok(Outcome::Damaged)
}
