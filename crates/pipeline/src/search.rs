//! One question in, ranked documents out: both halves asked, fused, read back.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use berth_encoder::Encoder;
use berth_index::fusion::{self, DocScore, Fused, HalfList};
use berth_index::{ChunkHit, IndexReader, Question, Snapshot, StoredPassage};
use berth_types::{
    Embedding, Explanation, Fingerprint, Fusion, Hit, HitChunk, Mode, Query, Rerank, SearchReply, SourceScore,
};

use crate::encoding::{EncoderChoice, open_encoder_for};
use crate::narrow::{facets, half, listing, sort_ranked};
use crate::rerank::{Blend, LateScore, rerank};
use crate::{Error, Home, TokenEncoder};

/// Fewest chunks asked of each half. Deep enough that the union of both lists holds nearly every document that the
/// fused top ten can have, whatever the windows a document has.
const LEAST_DEPTH: usize = 500;
/// Chunks asked of each half for one document wanted.
const DEPTH_PER_DOCUMENT: usize = 10;

/// Answers questions over one index.
pub struct Searcher {
    reader: IndexReader,
    /// Absent when only the lexical half will be asked.
    encoder: Option<Encoder>,
    /// Present when late interaction will be asked for.
    tokens: Option<TokenEncoder>,
}

/// A query's way through both halves, up to fusion.
struct Ranking {
    snapshot: Arc<Snapshot>,
    question: Question,
    ranked: Vec<Ranked>,
    warnings: Vec<String>,
}

/// A document with its final score and the chunk to show for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ranked {
    pub(crate) document_no: u64,
    pub(crate) chunk_id: u64,
    pub(crate) score: f32,
    pub(crate) dense: Option<DocScore>,
    pub(crate) lexical: Option<DocScore>,
    /// The arithmetic; none when one half alone decided.
    pub(crate) fused: Option<Fused>,
    /// What late interaction made of it; none when it was not asked.
    pub(crate) late: Option<LateScore>,
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
    ) -> Result<Self, Error> {
        let reader = IndexReader::open(index)?;
        let settings = reader.snapshot().settings().clone();
        let tokens = match (rerank, &settings.tokens) {
            (None, _) => None,
            (Some(_), None) => return Err(berth_index::Error::NoTokenRows { path: index.to_path_buf() }.into()),
            (Some(_), Some(tokens)) => Some(TokenEncoder::open(home, choice, Some(&tokens.fingerprint))?),
        };
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
        Ok(Self { reader, encoder, tokens })
    }

    /// The reader below.
    pub fn reader(&self) -> &IndexReader {
        &self.reader
    }

    /// Answers with hits that can be shown.
    ///
    /// # Errors
    /// `EmptyQuery`, a filter that cannot be used, a dense mode without a model, damage that was met while reading.
    pub fn search(&self, query: &Query) -> Result<SearchReply, Error> {
        let started = Instant::now();
        if let Some(listing) = listing(&self.reader.snapshot(), query, started)? {
            return Ok(listing);
        }
        let Ranking { snapshot, question, ranked, warnings } = self.ranking(query)?;
        let mut hits = Vec::with_capacity(query.k.min(ranked.len()));
        for (position, ranked) in ranked.iter().take(query.k).enumerate() {
            hits.push(read_hit(&snapshot, (query, &question), position + 1, ranked)?);
        }
        let facets = facets(&snapshot, query, &question)?;
        let took_ms = started.elapsed().as_secs_f64() * 1e3;
        Ok(SearchReply { query: query.text.clone(), mode: query.mode, took_ms, hits, facets, warnings })
    }

    /// Answers with ids and scores only, best first.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn rank(&self, query: &Query) -> Result<Vec<(String, f32)>, Error> {
        let Ranking { snapshot, ranked, .. } = self.ranking(query)?;
        let read = |ranked: &Ranked| {
            let id = snapshot.document_id(ranked.document_no)?;
            Ok((id.ok_or(Error::ChunkLost { chunk_id: ranked.chunk_id })?, ranked.score))
        };
        ranked.iter().take(query.k).map(read).collect()
    }

    fn ranking(&self, query: &Query) -> Result<Ranking, Error> {
        let snapshot = self.reader.snapshot();
        let mut question = snapshot.question(&query.text);
        if !question.has_words() {
            return Err(Error::EmptyQuery);
        }
        let filter = query.narrowing.filter.as_deref();
        let selection = snapshot.selection(filter, Some(&question))?;
        let narrowed = filter.is_some() || question.has_operators();
        let depth = LEAST_DEPTH.max(query.k.saturating_mul(DEPTH_PER_DOCUMENT));
        let mut warnings = std::mem::take(&mut question.warnings);
        let (mut dense, mut lexical) = (HalfList::default(), HalfList::default());
        if query.mode != Mode::Dense {
            let mut said = Vec::new();
            lexical = half(narrowed, depth, query.k, |depth| {
                let answer = snapshot.lexical_within(&question, filter, depth)?;
                said = answer.warnings;
                Ok(answer.hits)
            })?;
            warnings.extend(said);
        }
        let mut embedding = None;
        if query.mode != Mode::Lexical {
            let row = self.embed(&question.text, &mut warnings)?;
            dense = half(narrowed, depth, query.k, |depth| {
                Ok(snapshot.dense_within(&row, selection.as_deref(), depth)?)
            })?;
            embedding = Some(row);
        }
        let mut ranked: Vec<Ranked> = match (query.mode, embedding) {
            (Mode::Hybrid, Some(embedding)) => {
                let supplied = missing_cosines(&snapshot, &embedding, &dense, &lexical)?;
                let fused = fusion::fuse(&dense, &lexical, &supplied, &query.fusion);
                fused.into_iter().map(Ranked::from).collect()
            }
            (Mode::Dense, _) => dense.documents.iter().map(|&document| Ranked::alone(document, Mode::Dense)).collect(),
            _ => lexical.documents.iter().map(|&document| Ranked::alone(document, Mode::Lexical)).collect(),
        };
        if let Some(Rerank { depth, weight, .. }) = query.rerank {
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
            rerank(&snapshot, &matrix, &blend, &mut ranked)?;
        }
        if let Some(sort) = &query.narrowing.sort {
            sort_ranked(&snapshot, sort, &mut ranked)?;
        }
        Ok(Ranking { snapshot, question, ranked, warnings })
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
        .filter_map(|((chunk_id, document_no), score)| Some(ChunkHit { chunk_id, document_no, score: score? }))
        .collect())
}

impl Ranked {
    fn alone(document: DocScore, mode: Mode) -> Self {
        let DocScore { document_no, chunk_id, score, .. } = document;
        let (dense, lexical) = if mode == Mode::Dense { (Some(document), None) } else { (None, Some(document)) };
        Self { document_no, chunk_id, score, dense, lexical, fused: None, late: None }
    }
}

impl From<Fused> for Ranked {
    fn from(fused: Fused) -> Self {
        let Fused { document_no, chunk_id, score, dense, lexical, .. } = fused;
        Self { document_no, chunk_id, score, dense, lexical, fused: Some(fused), late: None }
    }
}

fn read_hit(
    snapshot: &Snapshot,
    (query, question): (&Query, &Question),
    rank: usize,
    ranked: &Ranked,
) -> Result<Hit, Error> {
    let lost = Error::ChunkLost { chunk_id: ranked.chunk_id };
    let StoredPassage { chunk, id, title, source, text, .. } = snapshot.passage(ranked.chunk_id)?.ok_or(lost)?;
    let highlights = snapshot.highlight(&question.text, &text);
    let source_score = |document: DocScore| SourceScore { rank: document.rank, score: document.score };
    Ok(Hit {
        rank,
        score: ranked.score,
        document: id,
        title,
        source,
        chunk: HitChunk { ordinal: chunk.ordinal, start: chunk.byte_range.start, end: chunk.byte_range.end },
        text,
        dense: ranked.dense.map(source_score),
        lexical: ranked.lexical.map(source_score),
        late: ranked.late.as_ref().map(|late| SourceScore { rank, score: late.max_sim }),
        highlights: highlights.into_iter().map(|range| (range.start, range.end)).collect(),
        explanation: if query.explain { Some(explain(snapshot, question, ranked)?) } else { None },
    })
}

/// The arithmetic of a score; BM25 is taken apart by terms.
fn explain(snapshot: &Snapshot, question: &Question, ranked: &Ranked) -> Result<Explanation, Error> {
    let leaf = |label: String, value: f32| Explanation { label, value, children: Vec::new() };
    let score = ranked.late.as_ref().map_or(ranked.score, |late| late.score_before);
    let mut root = match &ranked.fused {
        Some(fused) => fusion::explain(fused),
        None if ranked.dense.is_some() => leaf("cosine of the best chunk".to_owned(), score),
        None => leaf("BM25 of the best chunk".to_owned(), score),
    };
    if let Some(lexical) = ranked.lexical {
        let terms = snapshot.explain(question, lexical.chunk_id)?;
        let terms = terms.iter().map(|term| {
            let label = format!(
                "{}: {} in {} terms, in {} chunks (idf {:.2})",
                term.term, term.term_frequency, term.field_length, term.document_frequency, term.idf
            );
            leaf(label, term.score)
        });
        let node =
            Explanation { label: "BM25 = sum over terms".to_owned(), value: lexical.score, children: terms.collect() };
        match &mut root.children[..] {
            [] => root = node,
            [.., lexical_half] => lexical_half.children.push(node),
        }
    }
    Ok(match &ranked.late {
        Some(late) => late.explain(root),
        None => root,
    })
}
