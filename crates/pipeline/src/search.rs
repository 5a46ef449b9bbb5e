//! One question in, ranked documents out: all lists asked, fused, read back.

use std::time::{Duration, Instant, SystemTime};

use berth_index::fusion::{self, DocScore, Fused, HalfList};
use berth_index::relevance::Features;
use berth_index::{Question, Snapshot, StoredPassage, View};
use berth_types::{
    Embedding, Fusion, Hit, HitChunk, Mode, Query, Rerank, Reranker, SearchReply, SourceScore, SparseVector,
};

use crate::carried::carried_by;
use crate::cross::{CrossScore, pair_scores, rerank_across};
use crate::explain::{Explaining, explain};
use crate::lists::{Found, depth_for, half, missing_cosines, with_missing_scores};
use crate::narrow::{facets, listing, sort_ranked, widening};
use crate::pinned::put_pinned_first;
use crate::rerank::{Blend, LateScore, rerank};
use crate::shaping::{Novelty, Shown, explain_folded, keep_relevant, order_by_novelty, read_shown};
use crate::{Error, Searcher};

/// A query's way through all lists, up to fusion.
struct Ranking {
    question: Question,
    ranked: Vec<Ranked>,
    found: Found,
    warnings: Vec<String>,
}

/// A document with its final score and the chunk to show for it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Ranked {
    pub(crate) document_no: u64,
    pub(crate) chunk_id: u64,
    pub(crate) score: f32,
    pub(crate) dense: Option<DocScore>,
    pub(crate) lexical: Option<DocScore>,
    pub(crate) sparse: Option<DocScore>,
    /// How likely it is to answer the question, 0 to 1, and what that was told from.
    pub(crate) relevance: f32,
    pub(crate) features: Features,
    /// The arithmetic; none when one list alone decided.
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
    /// Answers with hits that can be shown.
    ///
    /// # Errors
    /// `EmptyQuery`, a filter that cannot be used, access lists while nobody says who asks, a mode whose model is not open, damage
    /// that was met while reading.
    pub fn search(&self, query: &Query) -> Result<SearchReply, Error> {
        let started = Instant::now();
        let snapshot = self.reader.snapshot();
        let view = snapshot.view(query.narrowing.viewer.as_ref(), SystemTime::now())?;
        let question = snapshot.question(&query.text);
        if let Some(listing) = listing(&view, (query, &question), started)? {
            return Ok(listing);
        }
        let Ranking { question, ranked, found, warnings } = self.ranking(&view, query, question)?;
        let shown = read_shown(&snapshot, query, ranked)?.into_iter();
        let hits = shown.zip(1..).map(|(shown, rank)| self.hit(&view, (query, &question), rank, shown, &found));
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
        self.ranked(query, |ranked| ranked.score)
    }

    /// Answers with ids, each with what `of` says of its document, best first.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub(crate) fn ranked<T>(&self, query: &Query, of: impl Fn(&Ranked) -> T) -> Result<Vec<(String, T)>, Error> {
        let snapshot = self.reader.snapshot();
        let view = snapshot.view(query.narrowing.viewer.as_ref(), SystemTime::now())?;
        let Ranking { ranked, .. } = self.ranking(&view, query, snapshot.question(&query.text))?;
        let read = |ranked: &Ranked| {
            let id = snapshot.document_id(ranked.document_no)?;
            Ok((id.ok_or(Error::ChunkLost { chunk_id: ranked.chunk_id })?, of(ranked)))
        };
        ranked.iter().take(query.k).map(read).collect()
    }

    fn ranking(&self, view: &View<'_>, query: &Query, mut question: Question) -> Result<Ranking, Error> {
        question.title_boost = query.lists.title_boost;
        let snapshot = view.snapshot();
        // The index may have been moved to another model since it was opened.
        self.check_models(snapshot.settings())?;
        if !question.has_words() {
            return Err(Error::EmptyQuery);
        }
        let filter = query.narrowing.filter.as_deref();
        let selection = view.selection(filter, Some(&question))?;
        let depth = depth_for(query.k, query.lists);
        let mut warnings = std::mem::take(&mut question.warnings);
        let (mut dense, mut lexical, mut sparse) = (HalfList::default(), HalfList::default(), HalfList::default());
        let mut found = Found::default();
        if matches!(query.mode, Mode::Hybrid | Mode::Lexical) {
            let (mut said, mut ceiling) = (Vec::new(), 0.0);
            (lexical, found.lexical_hits) = widening(depth, query.k, |depth| {
                let answer = view.lexical_within(&question, filter, depth)?;
                found.ceiling = answer.ceiling_of_words();
                ceiling = answer.ceiling();
                said = answer.warnings;
                half(snapshot, query, answer.hits, depth)
            })?;
            lexical = lexical.under(ceiling);
            warnings.extend(said);
        }
        let mut embedding = None;
        if matches!(query.mode, Mode::Hybrid | Mode::Dense) {
            let row = self.embed(&question.text, &mut warnings)?;
            (dense, found.dense_hits) = widening(depth, query.k, |depth| {
                half(snapshot, query, snapshot.dense_by(&row, selection.as_deref(), depth, query.dense)?, depth)
            })?;
            embedding = Some(row);
        }
        if asks_sparse(snapshot, query) {
            let vector = self.embed_sparse(&question.text, &mut warnings)?;
            (sparse, found.sparse_hits) = widening(depth, query.k, |depth| {
                half(snapshot, query, snapshot.sparse_within(&vector, selection.as_deref(), depth)?, depth)
            })?;
            found.sparse_query = Some(vector);
        }
        let alone = |list: HalfList| list.documents.into_iter().map(|document| Ranked::alone(document, query.mode));
        let mut ranked: Vec<Ranked> = match (query.mode, embedding) {
            (Mode::Hybrid, Some(embedding)) => {
                let sparse = match &found.sparse_query {
                    None => None,
                    Some(vector) => {
                        let list = (sparse, query.sparse_weight);
                        Some(with_missing_scores(snapshot, vector, &dense, &lexical, list)?)
                    }
                };
                let listed = sparse.as_ref().map(|sparse| &sparse.list);
                let supplied = missing_cosines(snapshot, &embedding, &dense, &lexical, listed)?;
                let fused = fusion::fuse_with_sparse(&dense, &lexical, &supplied, sparse.as_ref(), &query.fusion);
                fused.into_iter().map(Ranked::from).collect()
            }
            (Mode::Dense, _) => alone(dense).collect(),
            (Mode::Sparse, _) => alone(sparse).collect(),
            _ => alone(lexical).collect(),
        };
        found.finish(query, &self.curves, &mut ranked);
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

    fn hit(
        &self,
        view: &View<'_>,
        (query, question): (&Query, &Question),
        rank: usize,
        shown: Shown,
        found: &Found,
    ) -> Result<Hit, Error> {
        let Shown { ranked, passage, folded } = shown;
        let StoredPassage { chunk, id, title, source, text, .. } = passage;
        let highlights = view.snapshot().highlight(question, &text);
        let source_score = |document: DocScore| SourceScore { rank: document.rank, score: document.score };
        let explaining = Explaining { view, query, question, found, sparse: self.sparse.as_ref() };
        let explanation =
            if query.explain { Some(explain_folded(&folded, explain(&explaining, &ranked)?)) } else { None };
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
            sparse: ranked.sparse.map(source_score),
            late: ranked.late.as_ref().map(|late| SourceScore { rank: late.rank, score: late.max_sim }),
            cross: ranked.cross.as_ref().map(|cross| SourceScore { rank: cross.rank, score: cross.score }),
            folded: folded.into_iter().map(|copy| copy.id).collect(),
            pinned: ranked.pinned,
            semantic: None,
            highlights: highlights.into_iter().map(|range| (range.start, range.end)).collect(),
            explanation,
        })
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

    pub(crate) fn embed_sparse(&self, text: &str, warnings: &mut Vec<String>) -> Result<SparseVector, Error> {
        let Some(sparse) = &self.sparse else {
            let message = "opened without the model of sparse vectors; open it again with it";
            return Err(Error::InvalidSettings(message.to_owned()));
        };
        let (vector, is_cut) = sparse.query(text)?;
        if is_cut {
            warnings.push("the query has more tokens than the sparse model reads; it read the first".to_owned());
        }
        Ok(vector)
    }

    pub(crate) fn embed(&self, text: &str, warnings: &mut Vec<String>) -> Result<Embedding, Error> {
        let Some(encoder) = &self.encoder else {
            return Err(Error::InvalidSettings(
                "opened for search without the dense half; open it again with its model".to_owned(),
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

/// Whether the sparse list is asked: alone, or as the third of hybrid search.
fn asks_sparse(snapshot: &Snapshot, query: &Query) -> bool {
    let has_third = query.sparse_weight > 0.0 && snapshot.settings().sparse.is_some();
    query.mode == Mode::Sparse || query.mode == Mode::Hybrid && has_third
}

/// Whether scores are on the scale of a cosine, as MaxSim divided by the tokens is. BM25 and sparse scores have no highest value, and how high
/// reciprocal ranks go is up to their constant.
pub(crate) fn is_like_cosine(query: &Query) -> bool {
    match query.mode {
        Mode::Dense => true,
        Mode::Lexical | Mode::Sparse => false,
        Mode::Hybrid => !matches!(query.fusion, Fusion::Rrf { .. }),
    }
}

impl Ranked {
    fn alone(document: DocScore, mode: Mode) -> Self {
        let DocScore { document_no, chunk_id, score, .. } = document;
        let alone = Self { document_no, chunk_id, score, ..Self::default() };
        match mode {
            Mode::Dense => Self { dense: Some(document), ..alone },
            Mode::Sparse => Self { sparse: Some(document), ..alone },
            Mode::Lexical | Mode::Hybrid => Self { lexical: Some(document), ..alone },
        }
    }
}

impl From<Fused> for Ranked {
    fn from(fused: Fused) -> Self {
        let Fused { document_no, chunk_id, score, dense, lexical, sparse, .. } = fused;
        Self { document_no, chunk_id, score, dense, lexical, sparse, fused: Some(fused), ..Self::default() }
    }
}
