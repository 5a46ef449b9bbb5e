//! `berth purge --index DIR`.

use berth_pipeline::{PurgeOutcome, clear_query_log, purge, read_query_log};
use serde::Serialize;

use crate::Outcome;
use crate::life_args::PurgeArgs;
use crate::output::{self, grouped, say};

/// The contract of `--json`.
#[derive(Debug, Serialize)]
struct Purged {
    #[serde(flatten)]
    outcome: PurgeOutcome,
    /// Questions of the log that are gone.
    queries: usize,
}

pub(crate) fn run(args: &PurgeArgs) -> anyhow::Result<Outcome> {
    let outcome = purge(&args.index, args.force)?;
    let queries = if args.queries { clear_query_log(&args.index)? } else { 0 };
    let (report, expired) = (outcome.report, outcome.expired);
    if args.json {
        output::print_json(&Purged { outcome, queries })?;
        return Ok(Outcome::Done);
    }
    if expired > 0 {
        output::print(&format!("{} documents had expired\n", grouped(expired as u64)))?;
    }
    if outcome.pins > 0 {
        let pins = grouped(outcome.pins as u64);
        output::print(&format!("{pins} documents that are no more there were unpinned\n"))?;
    }
    if queries > 0 {
        output::print(&format!("{} questions of the log are gone\n", grouped(queries as u64)))?;
    }
    // A log that cannot be read is not what this is about.
    let kept = read_query_log(&args.index).map_or(0, |log| log.queries.len());
    if kept > 0 {
        let kept = grouped(kept as u64);
        say(&format!(
            "berth: the log still has {kept} questions, which may quote what was deleted; --queries removes them"
        ));
    }
    if report.dense_segments + report.lexical_segments == 0 {
        output::print("nothing deleted is left in the files of this index\n")?;
    } else {
        output::print(&format!(
            "{} rows of deleted chunks are gone; {} dense and {} lexical segments were written anew\n",
            grouped(report.rows),
            report.dense_segments,
            report.lexical_segments,
        ))?;
    }
    Ok(Outcome::Done)
}
