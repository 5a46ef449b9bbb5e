//! One question in, ranked documents out: both halves asked, fused, read back.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use berth_encoder::Encoder;
use berth_index::fusion::{self, DocScore, Fused, HalfList};
use berth_index::relevance::Curve;
use berth_index::{ChunkHit, IndexReader, Question, Snapshot, StoredPassage, View};
use berth_types::{
    Aggregate, Embedding, Fingerprint, Fusion, Hit, HitChunk, Mode, Query, Rerank, Reranker, SearchReply, SourceScore,
};

use crate::carried::carried_by;
use crate::cross::{CrossScore, pair_scores, rerank_across};
use crate::encoding::{EncoderChoice, open_encoder_for};
use crate::explain::explain;
use crate::narrow::{facets, listing, sort_ranked, widening};
use crate::pinned::put_pinned_first;
use crate::rerank::{Blend, LateScore, rerank};
use crate::shaping::{Novelty, Shown, explain_folded, keep_relevant, order_by_novelty, read_shown};
use crate::{Error, Home, TokenEncoder};

/// Fewest chunks asked of each half. Deep enough that the union of both lists holds nearly every document that the
/// fused top ten can have, whatever the windows a document has.
const LEAST_DEPTH: usize = 500;
/// Chunks asked of each half for one document wanted.
const DEPTH_PER_DOCUMENT: usize = 10;

/// Chunks asked of each half for an answer of `k` documents.
pub(crate) fn depth_for(k: usize) -> usize {
    LEAST_DEPTH.max(k.saturating_mul(DEPTH_PER_DOCUMENT))
}

/// Answers questions over one index.
pub struct Searcher {
    /// Folder of the index, to name it.
    index: PathBuf,
    reader: IndexReader,
    /// Absent when only the lexical half will be asked.
    encoder: Option<Encoder>,
    /// Present when late interaction or highlights in meaning will be asked for.
    tokens: Option<TokenEncoder>,
    /// Present when a cross-encoder will be asked for.
    cross: Option<Encoder>,
}

/// A query's way through both halves, up to fusion.
struct Ranking {
    question: Question,
    ranked: Vec<Ranked>,
    found: Found,
    warnings: Vec<String>,
}

/// The chunks that the halves found and that count.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) dense_hits: Vec<ChunkHit>,
    pub(crate) lexical_hits: Vec<ChunkHit>,
    /// The most BM25 that a chunk could have.
    ceiling: f32,
}

/// A document with its final score and the chunk to show for it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Ranked {
    pub(crate) document_no: u64,
    pub(crate) chunk_id: u64,
    pub(crate) score: f32,
    pub(crate) dense: Option<DocScore>,
    pub(crate) lexical: Option<DocScore>,
    /// How likely it is to answer the question, 0 to 1.
    pub(crate) relevance: f32,
    /// The arithmetic; none when one half alone decided.
    pub(crate) fused: Option<Fused>,
    /// What late interaction made of it; none when it was not asked.
    pub(crate) late: Option<LateScore>,
    /// What a cross-encoder made of it; none when it did not read it.
    pub(crate) cross: Option<CrossScore>,
    /// What its likeness to documents above made of it; none where that does not count.
    pub(crate) novelty: Option<Novelty>,
    /// Whether it stands where it does because it is pinned to the question.
    pub(crate) pinned: bool,
}

impl Searcher {
    /// Opens an index, and of the model that it was built with what will be asked: nothing for the lexical half alone.
    ///
    /// # Errors
    /// An index that is not there or damaged, a model that is not installed, `FingerprintMismatch`; `NoTokenRows` of the
    /// index when late interaction will be asked for and it was built without.
    pub fn open(
        home: &Home,
        index: &Path,
        choice: &EncoderChoice,
        mode: Mode,
        rerank: Option<Rerank>,
        semantic_highlights: bool,
    ) -> Result<Self, Error> {
        let reader = IndexReader::open(index)?;
        let settings = reader.snapshot().settings().clone();
        let is_late = rerank.is_some_and(|rerank| rerank.by == Reranker::Late);
        let built_with = match &settings.tokens {
            None if is_late => return Err(berth_index::Error::NoTokenRows { path: index.to_path_buf() }.into()),
            None => &settings.fingerprint,
            Some(tokens) => &tokens.fingerprint,
        };
        let wanted = is_late || semantic_highlights;
        let tokens = wanted.then(|| TokenEncoder::open(home, choice, Some(built_with))).transpose()?;
        let encoder = match mode {
            Mode::Lexical => None,
            _ => Some(open_encoder_for(home, choice, Some(&settings.fingerprint))?),
        };
        Self::over(index, reader, encoder, tokens)
    }

    /// Opens an index for an encoder that is open already.
    ///
    /// # Errors
    /// An index that is not there or damaged, `FingerprintMismatch`.
    pub fn with_encoder(index: &Path, encoder: Encoder, tokens: Option<TokenEncoder>) -> Result<Self, Error> {
        Self::over(index, IndexReader::open(index)?, Some(encoder), tokens)
    }

    fn over(
        index: &Path,
        reader: IndexReader,
        encoder: Option<Encoder>,
        tokens: Option<TokenEncoder>,
    ) -> Result<Self, Error> {
        let settings = reader.snapshot().settings().clone();
        if let Some(encoder) = &encoder {
            check_fingerprint(index, &settings.fingerprint, encoder.fingerprint())?;
        }
        if let (Some(stored), Some(tokens)) = (&settings.tokens, &tokens) {
            check_fingerprint(index, &stored.fingerprint, &tokens.settings().fingerprint)?;
        }
        Ok(Self { index: index.to_path_buf(), reader, encoder, tokens, cross: None })
    }

    /// The same, with a cross-encoder that can be asked.
    #[must_use]
    pub fn with_cross_encoder(self, encoder: Encoder) -> Self {
        Self { cross: Some(encoder), ..self }
    }

    /// The reader below.
    pub fn reader(&self) -> &IndexReader {
        &self.reader
    }

    /// Answers with hits that can be shown.
    ///
    /// # Errors
    /// `EmptyQuery`, a filter that cannot be used, access lists while nobody says who asks, a dense mode without a model, damage that was met while reading.
    pub fn search(&self, query: &Query) -> Result<SearchReply, Error> {
        let started = Instant::now();
        let snapshot = self.reader.snapshot();
        let view = snapshot.view(query.narrowing.viewer.as_ref(), SystemTime::now())?;
        if let Some(listing) = listing(&view, query, started)? {
            return Ok(listing);
        }
        let Ranking { question, ranked, found, warnings } = self.ranking(&view, query)?;
        let shown = read_shown(&snapshot, query, ranked)?.into_iter();
        let hits = shown.zip(1..).map(|(shown, rank)| hit(&view, (query, &question), rank, shown, &found));
        let mut hits = hits.collect::<Result<Vec<Hit>, Error>>()?;
        if query.shaping.semantic_highlights {
            self.highlight_meaning(&question.text, &mut hits)?;
        }
        let facets = facets(&view, query, &question)?;
        let suggestion = view.suggestion(&query.text)?;
        let took_ms = started.elapsed().as_secs_f64() * 1e3;
        Ok(SearchReply { query: query.text.clone(), mode: query.mode, took_ms, hits, facets, suggestion, warnings })
    }

    /// Answers with ids and scores only, best first.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn rank(&self, query: &Query) -> Result<Vec<(String, f32)>, Error> {
        let snapshot = self.reader.snapshot();
        let view = snapshot.view(query.narrowing.viewer.as_ref(), SystemTime::now())?;
        let Ranking { ranked, .. } = self.ranking(&view, query)?;
        let read = |ranked: &Ranked| {
            let id = snapshot.document_id(ranked.document_no)?;
            Ok((id.ok_or(Error::ChunkLost { chunk_id: ranked.chunk_id })?, ranked.score))
        };
        ranked.iter().take(query.k).map(read).collect()
    }

    fn ranking(&self, view: &View<'_>, query: &Query) -> Result<Ranking, Error> {
        let snapshot = view.snapshot();
        if let Some(encoder) = &self.encoder {
            // The index may have been moved to another model since it was opened.
            check_fingerprint(&self.index, &snapshot.settings().fingerprint, encoder.fingerprint())?;
        }
        let mut question = snapshot.question(&query.text);
        if !question.has_words() {
            return Err(Error::EmptyQuery);
        }
        let filter = query.narrowing.filter.as_deref();
        let selection = view.selection(filter, Some(&question))?;
        let narrowed = filter.is_some() || question.has_operators() || view.hides();
        let depth = depth_for(query.k);
        let mut warnings = std::mem::take(&mut question.warnings);
        let (mut dense, mut lexical) = (HalfList::default(), HalfList::default());
        let mut found = Found::default();
        if query.mode != Mode::Dense {
            let mut said = Vec::new();
            (lexical, found.lexical_hits) = widening(narrowed, depth, query.k, |depth| {
                let answer = view.lexical_within(&question, filter, depth)?;
                found.ceiling = answer.ceiling();
                said = answer.warnings;
                half(snapshot, query, answer.hits, depth)
            })?;
            lexical = lexical.under(found.ceiling);
            warnings.extend(said);
        }
        let mut embedding = None;
        if query.mode != Mode::Lexical {
            let row = self.embed(&question.text, &mut warnings)?;
            (dense, found.dense_hits) = widening(narrowed, depth, query.k, |depth| {
                half(snapshot, query, snapshot.dense_by(&row, selection.as_deref(), depth, query.dense)?, depth)
            })?;
            embedding = Some(row);
        }
        let mut ranked: Vec<Ranked> = match (query.mode, embedding) {
            (Mode::Hybrid, Some(embedding)) => {
                let supplied = missing_cosines(snapshot, &embedding, &dense, &lexical)?;
                let fused = fusion::fuse(&dense, &lexical, &supplied, &query.fusion);
                fused.into_iter().map(Ranked::from).collect()
            }
            (Mode::Dense, _) => dense.documents.iter().map(|&document| Ranked::alone(document, Mode::Dense)).collect(),
            _ => lexical.documents.iter().map(|&document| Ranked::alone(document, Mode::Lexical)).collect(),
        };
        found.finish(query, &mut ranked);
        if let Some(least) = query.shaping.min_relevance {
            keep_relevant(least, &mut ranked, &mut warnings);
        }
        if let Some(Rerank { by: Reranker::Late, depth, weight, .. }) = query.rerank {
            let Some(tokens) = &self.tokens else {
                return Err(Error::InvalidSettings(
                    "opened without late interaction; open it again with it".to_owned(),
                ));
            };
            let matrix = tokens.query(&question.text)?;
            let blend = Blend {
                depth: depth.max(query.k),
                weight: weight.unwrap_or(tokens.weight()).clamp(0.0, 1.0),
                scaled: !is_like_cosine(query),
            };
            rerank(snapshot, &matrix, &blend, &mut ranked)?;
        }
        if let Some(Rerank { by: Reranker::Cross, depth, weight, budget_ms }) = query.rerank {
            let Some(cross) = &self.cross else {
                let message = "opened without a cross-encoder; open it again with one";
                return Err(Error::InvalidSettings(message.to_owned()));
            };
            let blend = Blend {
                depth: depth.max(query.k),
                weight: weight.unwrap_or(1.0).clamp(0.0, 1.0),
                scaled: !is_like_cosine(query),
            };
            ranked.truncate(blend.depth);
            let budget = budget_ms.map(Duration::from_millis);
            let scores = pair_scores(snapshot, cross, &question.text, &ranked, budget)?;
            if scores.len() < ranked.len() {
                let (reached, all) = (scores.len(), ranked.len());
                warnings.push(format!(
                    "the cross-encoder had time for {reached} of {all} documents; the rest follows as it was"
                ));
            }
            rerank_across(&scores, &blend, &mut ranked);
        }
        if query.shaping.diversity > 0.0 {
            let scaled = query.rerank.is_none() && !is_like_cosine(query);
            order_by_novelty(snapshot, query, scaled, &mut ranked)?;
        }
        match &query.narrowing.sort {
            Some(sort) => sort_ranked(view, sort, &mut ranked)?,
            None => put_pinned_first(view, query, selection.as_deref(), &mut ranked)?,
        }
        Ok(Ranking { question, ranked, found, warnings })
    }

    /// Says of each hit which sentence and words carry the match in meaning: a run of the model for each.
    fn highlight_meaning(&self, text: &str, hits: &mut [Hit]) -> Result<(), Error> {
        let Some(tokens) = &self.tokens else {
            let message = "opened without highlights in meaning; open it again with them";
            return Err(Error::InvalidSettings(message.to_owned()));
        };
        let query = tokens.query(text)?;
        for hit in hits.iter_mut().filter(|hit| hit.text.chars().any(char::is_alphanumeric)) {
            let (passage, offsets) = tokens.passage(&hit.text)?;
            hit.semantic = carried_by(&query, &passage, &offsets, &berth_chunker::sentences(&hit.text));
        }
        Ok(())
    }

    fn embed(&self, text: &str, warnings: &mut Vec<String>) -> Result<Embedding, Error> {
        let Some(encoder) = &self.encoder else {
            return Err(Error::InvalidSettings(
                "opened for lexical search only; open it again with a model".to_owned(),
            ));
        };
        let row = encoder.encode_query(text)?;
        if row.read_tokens < row.tokens {
            warnings.push(format!(
                "the query has {} tokens and the model reads the first {}; the rest counts in lexical search only",
                row.tokens, row.read_tokens
            ));
        }
        Ok(row.embedding)
    }
}

/// Whether scores are on the scale of a cosine, as MaxSim divided by the tokens is. BM25 has no highest value, and how high
/// reciprocal ranks go is up to their constant.
fn is_like_cosine(query: &Query) -> bool {
    match query.mode {
        Mode::Dense => true,
        Mode::Lexical => false,
        Mode::Hybrid => !matches!(query.fusion, Fusion::Rrf { .. }),
    }
}

fn check_fingerprint(index: &Path, stored: &Fingerprint, here: &Fingerprint) -> Result<(), Error> {
    let differences = stored.differences(here);
    if differences.is_empty() {
        return Ok(());
    }
    let named =
        differences.iter().map(|(part, stored, here)| format!("{part}: {} there, {} here", brief(stored), brief(here)));
    Err(Error::FingerprintMismatch {
        index: index.to_path_buf(),
        model: here.model.clone(),
        differences: named.collect::<Vec<_>>().join("; "),
    })
}

/// Hashes are long and differ in their first digits already.
fn brief(value: &str) -> &str {
    value.get(..12).filter(|_| value.len() == 64).unwrap_or(value)
}

/// One half's documents out of its chunks, and the chunks that count: all, or the first of each document.
fn half(
    snapshot: &Snapshot,
    query: &Query,
    mut hits: Vec<ChunkHit>,
    depth: usize,
) -> Result<(HalfList, Vec<ChunkHit>), Error> {
    let bound = fusion::bound(&hits, depth);
    if query.shaping.passages {
        return Ok((fusion::per_chunk(&hits, bound), hits));
    }
    let aggregate = query.shaping.aggregate;
    if aggregate == Aggregate::First {
        let chunk_ids: Vec<u64> = hits.iter().map(|hit| hit.chunk_id).collect();
        let mut ordinals = snapshot.ordinals(&chunk_ids)?.into_iter();
        hits.retain(|_| ordinals.next().flatten() == Some(0));
    }
    Ok((fusion::per_document(&hits, bound, aggregate), hits))
}

impl Found {
    /// The chunks of `hits` that a document's score was computed from, or the one chunk where passages are ranked.
    pub(crate) fn of_document(hits: &[ChunkHit], document: DocScore) -> Vec<ChunkHit> {
        hits.iter().filter(|hit| hit.document_no == document.document_no).copied().collect()
    }

    /// Says how relevant each is and, where passages were ranked, whose they are.
    fn finish(&self, query: &Query, ranked: &mut [Ranked]) {
        let curve = Curve::of(query.mode);
        for one in ranked.iter_mut() {
            let bm25 = one.lexical.map_or(0.0, |document| document.best);
            let coverage = if self.ceiling > 0.0 { (bm25 / self.ceiling).min(1.0) } else { 0.0 };
            let cosine = one.fused.map_or(one.dense.map(|document| document.best), |fused| fused.cosine);
            one.relevance = curve.at(cosine.unwrap_or(0.0), coverage);
        }
        if query.shaping.passages {
            let hits = self.dense_hits.iter().chain(&self.lexical_hits);
            let document_of: HashMap<u64, u64> = hits.map(|hit| (hit.chunk_id, hit.document_no)).collect();
            for one in ranked {
                one.document_no = document_of.get(&one.document_no).copied().unwrap_or(one.document_no);
            }
        }
    }
}

/// True cosines for documents that only the lexical half listed.
fn missing_cosines(
    snapshot: &Snapshot,
    embedding: &Embedding,
    dense: &HalfList,
    lexical: &HalfList,
) -> Result<Vec<ChunkHit>, Error> {
    let (chunk_ids, document_nos): (Vec<u64>, Vec<u64>) = {
        let wanted: HashSet<u64> = fusion::chunks_without_cosine(dense, lexical).into_iter().collect();
        let documents = lexical.documents.iter().filter(|document| wanted.contains(&document.chunk_id));
        documents.map(|document| (document.chunk_id, document.document_no)).unzip()
    };
    let cosines = snapshot.dense_scores(embedding, &chunk_ids)?;
    let hits = chunk_ids.into_iter().zip(document_nos).zip(cosines);
    Ok(hits
        .filter_map(|((chunk_id, document_no), score)| {
            Some(ChunkHit { chunk_id, document_no, score: score?, coverage: 0.0 })
        })
        .collect())
}

impl Ranked {
    fn alone(document: DocScore, mode: Mode) -> Self {
        let DocScore { document_no, chunk_id, score, .. } = document;
        let (dense, lexical) = if mode == Mode::Dense { (Some(document), None) } else { (None, Some(document)) };
        Self { document_no, chunk_id, score, dense, lexical, ..Self::default() }
    }
}

impl From<Fused> for Ranked {
    fn from(fused: Fused) -> Self {
        let Fused { document_no, chunk_id, score, dense, lexical, .. } = fused;
        Self { document_no, chunk_id, score, dense, lexical, fused: Some(fused), ..Self::default() }
    }
}

fn hit(
    view: &View<'_>,
    (query, question): (&Query, &Question),
    rank: usize,
    shown: Shown,
    found: &Found,
) -> Result<Hit, Error> {
    let Shown { ranked, passage, folded } = shown;
    let StoredPassage { chunk, id, title, source, text, .. } = passage;
    let highlights = view.snapshot().highlight(question, &text);
    let explanation = if query.explain {
        let root = explain(view, (query, question), found, &ranked)?;
        Some(if folded.is_empty() { root } else { explain_folded(&folded, root) })
    } else {
        None
    };
    let source_score = |document: DocScore| SourceScore { rank: document.rank, score: document.score };
    Ok(Hit {
        rank,
        score: ranked.score,
        relevance: ranked.relevance,
        document: id,
        title,
        source,
        chunk: HitChunk { ordinal: chunk.ordinal, start: chunk.byte_range.start, end: chunk.byte_range.end },
        text,
        dense: ranked.dense.map(source_score),
        lexical: ranked.lexical.map(source_score),
        late: ranked.late.as_ref().map(|late| SourceScore { rank: late.rank, score: late.max_sim }),
        cross: ranked.cross.as_ref().map(|cross| SourceScore { rank: cross.rank, score: cross.score }),
        folded: folded.into_iter().map(|copy| copy.id).collect(),
        pinned: ranked.pinned,
        semantic: None,
        highlights: highlights.into_iter().map(|range| (range.start, range.end)).collect(),
        explanation,
    })
}
