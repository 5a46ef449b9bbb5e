//! `berth status --index DIR`.

use std::collections::BTreeMap;

use berth_pipeline::{Error, IndexReader, IndexStatus, fingerprint_hash};
use berth_types::{FieldKind, RowKind};
use serde::Serialize;

use crate::Outcome;
use crate::args::StatusArgs;
use crate::output::{self, bytes, grouped, printable};

/// The contract of `berth status --json`.
#[derive(Debug, Serialize)]
struct Status {
    model: String,
    /// First 16 digits of the hash over everything that shapes a vector.
    fingerprint: String,
    precision: String,
    window_tokens: usize,
    overlap_tokens: usize,
    /// How the values of vectors are kept.
    rows: RowKind,
    /// Values in a token's row; absent in an index without token rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_dimensions: Option<usize>,
    /// Metadata fields by name.
    fields: BTreeMap<String, Field>,
    #[serde(flatten)]
    index: IndexStatus,
}

#[derive(Debug, Serialize)]
struct Field {
    kind: FieldKind,
    /// How many have a value of it.
    documents: u64,
}

pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<Outcome> {
    let snapshot = IndexReader::open(&args.index).map_err(Error::from)?.snapshot();
    let settings = snapshot.settings();
    let counts = snapshot.field_counts().map_err(Error::from)?;
    let status = Status {
        model: settings.fingerprint.model.clone(),
        fingerprint: fingerprint_hash(&settings.fingerprint),
        precision: settings.fingerprint.parts.get("precision").cloned().unwrap_or_default(),
        window_tokens: settings.window_tokens,
        overlap_tokens: settings.overlap_tokens,
        rows: settings.rows,
        token_dimensions: settings.tokens.as_ref().map(|tokens| tokens.dimensions),
        fields: counts
            .into_iter()
            .map(|(name, kind, documents)| (name.to_owned(), Field { kind, documents }))
            .collect(),
        index: snapshot.status(),
    };
    if args.json {
        output::print_json(&status)?;
        return Ok(Outcome::Done);
    }
    let mut rows = vec![
        ("index", args.index.display().to_string()),
        ("documents", grouped(status.index.documents)),
        ("chunks", grouped(status.index.chunks)),
        (
            "lexical half",
            format!("{} chunks, {}", grouped(status.index.lexical_chunks), bytes(status.index.lexical_bytes)),
        ),
        (
            "dense half",
            format!(
                "{} rows in {}, {}",
                grouped(status.index.dense_rows),
                status.rows,
                bytes(status.index.dense_bytes)
            ),
        ),
        ("window", format!("{} tokens, {} shared with the next", status.window_tokens, status.overlap_tokens)),
        ("model", format!("{} in {}", status.model, status.precision)),
        ("fingerprint", status.fingerprint.clone()),
        ("generation", status.index.generation.to_string()),
        ("format", status.index.format.to_string()),
    ];
    if let Some(recall) = status.index.graph_recall_at_10 {
        let line =
            format!("over {} rows, finds {:.1} % of the ten nearest", grouped(status.index.graph_rows), recall * 100.0);
        rows.insert(5, ("graph", line));
    }
    if let Some(tokens) = &settings.tokens {
        let (count, size) = (grouped(status.index.token_rows), bytes(status.index.token_bytes));
        rows.insert(5, ("token rows", format!("{count} of {} values, {size}", tokens.dimensions)));
    }
    for (name, Field { kind, documents }) in &status.fields {
        rows.push(("field", printable(&format!("{name} ({kind}), {} documents", grouped(*documents)))));
    }
    let page: String = rows.iter().map(|(name, value)| format!("{name:<13} {value}\n")).collect();
    output::print(&page)?;
    Ok(Outcome::Done)
}
