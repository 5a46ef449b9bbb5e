//! `berth verify --index DIR`.

use berth_pipeline::{Error, VerifyReport, verify_index};

use crate::Outcome;
use crate::args::VerifyArgs;
use crate::output::{self, bytes, grouped, say};

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Outcome> {
    show(&verify_index(&args.index).map_err(Error::from)?, args.json, "index")
}

/// Prints what was found in an index, or in a snapshot of one, as `what` says.
pub(crate) fn show(report: &VerifyReport, json: bool, what: &str) -> anyhow::Result<Outcome> {
    if json {
        output::print_json(report)?;
    } else if report.problems.is_empty() {
        let sparse = match report.sparse_vectors {
            0 => String::new(),
            count => format!(", {} sparse vectors", grouped(count)),
        };
        let line = format!(
            "{} files, {} read: intact; {} documents, {} chunks in both halves{sparse}\n",
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
    let remedy = "restore it from a copy, or remove the folder and index again";
    let remedy = if what == "index" { remedy } else { "keep another one" };
    say(&format!("berth: the {what} is damaged; {remedy}"));
    Ok(Outcome::Damaged)
}
