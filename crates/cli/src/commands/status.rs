//! `berth status --index DIR`.

use std::collections::BTreeMap;

use berth_pipeline::{
    Alternate, AlternateStatus, BuiltWith, Error, IndexReader, IndexStatus, Policy, SparseSettings, StoredWeights,
    alternate_status, fingerprint_hash, stored_weights,
};
use berth_types::{FieldKind, Fingerprint, RowKind};
use serde::Serialize;

use crate::Outcome;
use crate::args::StatusArgs;
use crate::commands::weights::described;
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
    /// The model of sparse vectors; absent in an index without.
    #[serde(skip_serializing_if = "Option::is_none")]
    sparse: Option<SparseModel>,
    /// Metadata fields by name.
    fields: BTreeMap<String, Field>,
    /// Who may find the documents, and until when.
    policy: Policy,
    /// Whether words have synonyms.
    has_synonyms: bool,
    /// Questions that documents are pinned to.
    pinned_questions: usize,
    #[serde(flatten)]
    index: IndexStatus,
    /// How it joins its halves by its own choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<StoredWeights>,
    /// The index that is to take the place of this one, from `berth migrate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<AlternateStatus>,
    /// The index whose place this one took.
    #[serde(skip_serializing_if = "Option::is_none")]
    former: Option<AlternateStatus>,
}

#[derive(Debug, Serialize)]
struct SparseModel {
    model: String,
    /// First 16 digits of the hash over everything that shapes a sparse vector.
    fingerprint: String,
    precision: String,
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
        precision: precision_of(&settings.fingerprint),
        window_tokens: settings.window_tokens,
        overlap_tokens: settings.overlap_tokens,
        rows: settings.rows,
        token_dimensions: settings.tokens.as_ref().map(|tokens| tokens.dimensions),
        sparse: settings.sparse.as_ref().map(|SparseSettings { fingerprint }| SparseModel {
            model: fingerprint.model.clone(),
            fingerprint: fingerprint_hash(fingerprint),
            precision: precision_of(fingerprint),
        }),
        fields: counts
            .into_iter()
            .map(|(name, kind, documents)| (name.to_owned(), Field { kind, documents }))
            .collect(),
        policy: snapshot.policy().clone(),
        has_synonyms: snapshot.synonyms_text().is_some(),
        pinned_questions: snapshot.pins().map_err(Error::from)?.iter().count(),
        index: snapshot.status(),
        weights: stored_weights(&args.index, &settings.fingerprint).map_err(Error::from)?,
        next: alternate_status(&args.index, Alternate::Next)?,
        former: alternate_status(&args.index, Alternate::Former)?,
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
    if let Some(SparseModel { model, precision, .. }) = &status.sparse {
        rows.insert(5, ("sparse model", printable(&format!("{model} in {precision}"))));
    }
    for (name, Field { kind, documents }) in &status.fields {
        rows.push(("field", printable(&format!("{name} ({kind}), {} documents", grouped(*documents)))));
    }
    if let Some(weights) = &status.weights {
        rows.push(("weights", described(weights)));
    }
    for (name, alternate) in [("next index", &status.next), ("former index", &status.former)] {
        if let Some(AlternateStatus { built_with, documents, bytes: size }) = alternate {
            let (count, all) = (grouped(*documents), grouped(status.index.documents));
            let documents =
                if count == all { format!("{count} documents") } else { format!("{count} of {all} documents") };
            let BuiltWith { model, precision, window_tokens, .. } = built_with;
            let line = format!("{model} in {precision}, windows of {window_tokens}, {documents}, {}", bytes(*size));
            rows.push((name, line));
        }
    }
    let Policy { access_field, expires_field, time_to_live, .. } = &status.policy;
    if let Some(field) = access_field {
        rows.push(("access", printable(&format!("closed: field '{field}' names who may find a document"))));
    }
    if let Some(field) = expires_field {
        rows.push(("expiry", printable(&format!("the date in field '{field}'"))));
    }
    if let Some(span) = time_to_live {
        rows.push(("expiry", format!("{span} after modification")));
    }
    if status.has_synonyms {
        rows.push(("synonyms", "see berth synonyms list".to_owned()));
    }
    if status.pinned_questions > 0 {
        rows.push(("pinned", format!("results of {} questions", grouped(status.pinned_questions as u64))));
    }
    let page: String = rows.iter().map(|(name, value)| format!("{name:<13} {value}\n")).collect();
    output::print(&page)?;
    Ok(Outcome::Done)
}

fn precision_of(fingerprint: &Fingerprint) -> String {
    fingerprint.parts.get("precision").cloned().unwrap_or_default()
}
