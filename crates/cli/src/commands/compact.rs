//! `berth compact --index DIR`.

use berth_pipeline::{IndexStatus, compact};

use crate::Outcome;
use crate::args::CompactArgs;
use crate::output::{self, bytes, grouped};

pub(crate) fn run(args: &CompactArgs) -> anyhow::Result<Outcome> {
    let report = compact(&args.index, args.force)?;
    if args.json {
        output::print_json(&report)?;
        return Ok(Outcome::Done);
    }
    let size = |status: &IndexStatus| bytes(status.lexical_bytes + status.dense_bytes + status.token_bytes);
    let (before, after) = (&report.before, &report.after);
    let rows = [
        ("segments", segments(before), segments(after)),
        ("deleted rows", grouped(before.deleted_rows), grouped(after.deleted_rows)),
        ("under a graph", grouped(before.graph_rows), grouped(after.graph_rows)),
        ("on disk", size(before), size(after)),
    ];
    let page: String = rows.iter().map(|(name, before, after)| format!("{name:<13} {before} → {after}\n")).collect();
    output::print(&page)?;
    if report.expired > 0 {
        output::print(&format!("{:<13} {}\n", "expired", grouped(report.expired as u64)))?;
    }
    Ok(Outcome::Done)
}

fn segments(status: &IndexStatus) -> String {
    format!("{} dense, {} lexical", status.dense_segments, status.lexical_segments)
}
