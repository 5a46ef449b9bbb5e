//! Judgements against the documents that are there: what is unknown is counted and named, or refused.

use berth_eval::Dataset;
use berth_index::Snapshot;

use crate::Error;

/// Unknown ids that a warning names.
const NAMED: usize = 3;

/// What a reader should know of judgements of queries and documents that are not there; documents that an index lacks count as
/// missed.
///
/// # Errors
/// `UnknownJudgements` when `strict` and there are some.
pub(crate) fn unknown_judgements(dataset: &Dataset, snapshot: &Snapshot, strict: bool) -> Result<Vec<String>, Error> {
    let documents = snapshot.records()?;
    unknown_among(dataset, |document| documents.contains_key(document), strict)
}

/// The same, where `known` says which documents there are.
///
/// # Errors
/// `UnknownJudgements` when `strict` and there are some.
pub(crate) fn unknown_among(
    dataset: &Dataset,
    known: impl Fn(&str) -> bool,
    strict: bool,
) -> Result<Vec<String>, Error> {
    let unknown = dataset.unknown_judgements(known);
    if strict {
        unknown.require_none()?;
    }
    let mut warnings = Vec::new();
    if !unknown.queries.is_empty() {
        let (count, of) = (unknown.queries.len(), unknown.query_judgements);
        let named = some(unknown.queries.iter());
        warnings.push(format!("{count} judged queries have no text; their {of} judgements are left out: {named}"));
    }
    if !unknown.documents.is_empty() {
        let count = unknown.documents.len();
        let named = some(unknown.documents.iter().map(|(_, document)| document));
        warnings.push(format!(
            "{count} judgements are of documents that are not there; the relevant ones count as missed: {named}"
        ));
    }
    if dataset.qrels.repeated() > 0 {
        warnings.push(format!("{} judgements stand twice and count once", dataset.qrels.repeated()));
    }
    Ok(warnings)
}

/// The first few ids.
pub(crate) fn some<'a>(mut ids: impl Iterator<Item = &'a String>) -> String {
    let named = ids.by_ref().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if ids.next().is_some() { named + ", …" } else { named }
}
