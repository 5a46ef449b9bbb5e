//! `berth verify --index DIR`.

use berth_pipeline::{Error, verify_index};

use crate::Outcome;
use crate::args::VerifyArgs;
use crate::output::{self, bytes, grouped, say};

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Outcome> {
    let report = verify_index(&args.index).map_err(Error::from)?;
    if args.json {
        output::print_json(&report)?;
    } else if report.problems.is_empty() {
        let line = format!(
            "{} files, {} read: intact; {} documents, {} chunks in both halves\n",
            report.files.len(),
            bytes(report.files.iter().map(|file| file.bytes).sum()),
            grouped(report.documents),
            grouped(report.dense_rows),
        );
        output::print(&line)?;
    }
    if report.problems.is_empty() {
        return Ok(Outcome::Done);
    }
    for problem in &report.problems {
        say(&format!("berth: {}: {}", problem.file.display(), problem.reason));
    }
    say("berth: the index is damaged; restore it from a copy, or remove the folder and index again");
    Ok(Outcome::Damaged)
}
