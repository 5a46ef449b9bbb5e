//! `berth purge --index DIR`.

use berth_pipeline::purge;

use crate::Outcome;
use crate::life_args::PurgeArgs;
use crate::output::{self, grouped};

pub(crate) fn run(args: &PurgeArgs) -> anyhow::Result<Outcome> {
    let report = purge(&args.index)?;
    if args.json {
        output::print_json(&report)?;
    } else if report.dense_segments + report.lexical_segments == 0 {
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
