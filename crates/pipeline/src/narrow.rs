//! What narrows a search: filters, operators, what is counted, and an order by a field.

use std::collections::BTreeMap;
use std::time::Instant;

use berth_index::fusion::HalfList;
use berth_index::{ChunkHit, FieldValue, Question, Selection, Snapshot, StoredDocument, View};
use berth_types::{FacetCount, Hit, HitChunk, Mode, Query, SearchReply, Sort};

use crate::Error;
use crate::search::Ranked;

/// How much deeper a half is asked when its chunks belong to fewer documents than are wanted.
pub(crate) const DEEPER: usize = 4;

/// A half's documents from as many chunks as it takes to have `wanted` of them, from `depth` on. `ask` gives the documents of
/// so many chunks, and these chunks; with them a bound, unless there are no more.
pub(crate) fn widening(
    mut depth: usize,
    wanted: usize,
    mut ask: impl FnMut(usize) -> Result<(HalfList, Vec<ChunkHit>), Error>,
) -> Result<(HalfList, Vec<ChunkHit>), Error> {
    loop {
        let (list, hits) = ask(depth)?;
        if list.documents.len() >= wanted || list.bound.is_none() {
            return Ok((list, hits));
        }
        depth = depth.saturating_mul(DEEPER);
    }
}

/// The documents that a filter lets through, when a query has no words to rank them by; `None` when it has, or when nothing
/// was asked for.
pub(crate) fn listing(
    view: &View<'_>,
    (query, question): (&Query, &Question),
    started: Instant,
) -> Result<Option<SearchReply>, Error> {
    let snapshot = view.snapshot();
    let narrowing = &query.narrowing;
    let is_asked_for = narrowing.filter.is_some() || narrowing.sort.is_some() || !narrowing.facets.is_empty();
    let selection = view.selection(narrowing.filter.as_deref(), Some(question))?;
    if question.has_words() || !is_asked_for && !question.has_operators() {
        return Ok(None);
    }
    let mut numbers = view.document_numbers(selection.as_deref())?;
    if let Some(sort) = &narrowing.sort {
        sort_by_field(view, sort, &mut numbers, |&number| number)?;
    }
    let mut hits = Vec::with_capacity(query.k.min(numbers.len()));
    for (rank, &number) in (1..).zip(numbers.iter().take(query.k)) {
        hits.push(listed(snapshot, rank, number)?);
    }
    let facets = counted(view, query, selection.as_deref())?;
    let took_ms = started.elapsed().as_secs_f64() * 1e3;
    let (query_text, warnings) = (query.text.clone(), question.warnings.clone());
    let suggestion = None;
    Ok(Some(SearchReply { query: query_text, mode: query.mode, took_ms, hits, facets, suggestion, warnings }))
}

/// A document by its first chunk, which is empty for one without text.
fn listed(snapshot: &Snapshot, rank: usize, document_no: u64) -> Result<Hit, Error> {
    let id = snapshot.document_id(document_no)?.ok_or(Error::DocumentLost { document_no })?;
    let StoredDocument { document, chunks, .. } = snapshot.document(&id)?.ok_or(Error::DocumentLost { document_no })?;
    let (ordinal, range) = chunks.first().map_or((0, 0..0), |chunk| (chunk.ordinal, chunk.byte_range.clone()));
    Ok(Hit {
        rank,
        score: 0.0,
        relevance: 0.0,
        document: document.id,
        title: document.title,
        source: document.source,
        chunk: HitChunk { ordinal, start: range.start, end: range.end },
        text: document.text[range].to_owned(),
        dense: None,
        lexical: None,
        sparse: None,
        late: None,
        cross: None,
        folded: Vec::new(),
        pinned: false,
        highlights: Vec::new(),
        semantic: None,
        explanation: None,
    })
}

/// Counts what was asked for: over the documents that the filter lets through, and where the lexical half is asked, that
/// match the query's words as well.
pub(crate) fn facets(
    view: &View<'_>,
    query: &Query,
    question: &Question,
) -> Result<BTreeMap<String, Vec<FacetCount>>, Error> {
    if query.narrowing.facets.is_empty() {
        return Ok(BTreeMap::new());
    }
    let filter = query.narrowing.filter.as_deref();
    let selection = match query.mode {
        Mode::Dense | Mode::Sparse => view.selection(filter, Some(question))?,
        Mode::Lexical | Mode::Hybrid => view.matches(filter, question)?,
    };
    counted(view, query, selection.as_deref())
}

fn counted(
    view: &View<'_>,
    query: &Query,
    selection: Option<&Selection>,
) -> Result<BTreeMap<String, Vec<FacetCount>>, Error> {
    let count = |facet: &berth_types::Facet| Ok((facet.field.clone(), view.facet(facet, selection)?));
    query.narrowing.facets.iter().map(count).collect()
}

/// Puts ranked documents in the order of a field; those without it come last, equals stay as they were.
pub(crate) fn sort_ranked(view: &View<'_>, sort: &Sort, ranked: &mut Vec<Ranked>) -> Result<(), Error> {
    sort_by_field(view, sort, ranked, |ranked| ranked.document_no)
}

fn sort_by_field<T>(
    view: &View<'_>,
    sort: &Sort,
    documents: &mut Vec<T>,
    number: impl Fn(&T) -> u64,
) -> Result<(), Error> {
    let values = view.sort_values(&sort.field, sort.descending, documents.iter().map(number))?;
    let mut keyed: Vec<(Option<FieldValue>, T)> = values.into_iter().zip(documents.drain(..)).collect();
    keyed.sort_by(|(a, _), (b, _)| match (a, b) {
        (Some(a), Some(b)) if sort.descending => b.order(a),
        (Some(a), Some(b)) => a.order(b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    });
    documents.extend(keyed.into_iter().map(|(_, document)| document));
    Ok(())
}
