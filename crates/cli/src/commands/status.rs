//! `berth status --index DIR`.

use berth_pipeline::{Error, IndexReader};

use crate::Outcome;
use crate::args::StatusArgs;
use crate::output::{self, bytes, grouped};

pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<Outcome> {
    let reader = IndexReader::open(&args.index).map_err(Error::from)?;
    let status = reader.snapshot().status();
    if args.json {
        output::print_json(&status)?;
        return Ok(Outcome::Done);
    }
    let rows = [
        ("index", args.index.display().to_string()),
        ("documents", grouped(status.documents as u64)),
        ("chunks", grouped(status.chunks as u64)),
        ("lexical half", format!("{} chunks, {}", grouped(status.lexical_chunks as u64), bytes(status.lexical_bytes))),
        ("dense half", format!("{} rows, {}", grouped(status.dense_rows as u64), bytes(status.dense_bytes))),
        ("window", format!("{} tokens, {} shared with the next", status.window_tokens, status.overlap_tokens)),
        ("model", status.model.clone()),
        ("fingerprint", status.fingerprint.clone()),
        ("generation", status.generation.to_string()),
        ("format", status.format.to_string()),
    ];
    let page = rows.map(|(name, value)| format!("{name:<13} {value}\n")).concat();
    output::print(&page)?;
    Ok(Outcome::Done)
}
