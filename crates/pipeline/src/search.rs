//! One question in, ranked documents out: both halves asked, fused, read back.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use berth_encoder::Encoder;
use berth_index::{ChunkHit, IndexReader, Snapshot, fusion};
use berth_types::{Embedding, Hit, HitChunk, Mode, Query, SearchReply, SourceScore};

use crate::encoding::{EncoderChoice, open_encoder_for};
use crate::{Error, Home};

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
}

/// A query's way through both halves, up to fusion.
struct Ranking {
    snapshot: Arc<Snapshot>,
    fused: Vec<fusion::Fused>,
    warnings: Vec<String>,
}

impl Searcher {
    /// Opens an index, and the model that it was built with unless only the lexical half will be asked.
    ///
    /// # Errors
    /// An index that is not there or damaged, a model that is not installed, `FingerprintMismatch`.
    pub fn open(home: &Home, index: &Path, choice: &EncoderChoice, mode: Mode) -> Result<Self, Error> {
        let reader = IndexReader::open(index)?;
        if mode == Mode::Lexical {
            return Ok(Self { reader, encoder: None });
        }
        let encoder = open_encoder_for(home, choice, Some(&reader.snapshot().settings().fingerprint))?;
        check_fingerprint(index, &reader, &encoder)?;
        Ok(Self { reader, encoder: Some(encoder) })
    }

    /// Opens an index for an encoder that is open already.
    ///
    /// # Errors
    /// An index that is not there or damaged, `FingerprintMismatch`.
    pub fn with_encoder(index: &Path, encoder: Encoder) -> Result<Self, Error> {
        let reader = IndexReader::open(index)?;
        check_fingerprint(index, &reader, &encoder)?;
        Ok(Self { reader, encoder: Some(encoder) })
    }

    /// The reader below.
    pub fn reader(&self) -> &IndexReader {
        &self.reader
    }

    /// Answers with hits that can be shown.
    ///
    /// # Errors
    /// `EmptyQuery`, a dense mode without a model, damage that was met while reading.
    pub fn search(&self, query: &Query) -> Result<SearchReply, Error> {
        let started = Instant::now();
        let Ranking { snapshot, fused, warnings } = self.ranking(query)?;
        let mut hits = Vec::with_capacity(query.k.min(fused.len()));
        for (position, fused) in fused.iter().take(query.k).enumerate() {
            hits.push(read_hit(&snapshot, query, position + 1, fused)?);
        }
        let took_ms = started.elapsed().as_secs_f64() * 1e3;
        Ok(SearchReply { query: query.text.clone(), mode: query.mode, took_ms, hits, warnings })
    }

    /// Answers with ids and scores only, best first.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn rank(&self, query: &Query) -> Result<Vec<(String, f32)>, Error> {
        let Ranking { snapshot, fused, .. } = self.ranking(query)?;
        let read = |fused: &fusion::Fused| Ok((snapshot.document_id(fused.document_no)?, fused.score));
        fused.iter().take(query.k).map(read).collect()
    }

    fn ranking(&self, query: &Query) -> Result<Ranking, Error> {
        if query.text.trim().is_empty() {
            return Err(Error::EmptyQuery);
        }
        let snapshot = self.reader.snapshot();
        let depth = LEAST_DEPTH.max(query.k.saturating_mul(DEPTH_PER_DOCUMENT));
        let mut warnings = Vec::new();
        let mut embedding = None;
        let (mut dense, mut lexical) = (Vec::new(), Vec::new());
        if query.mode != Mode::Dense {
            let answer = snapshot.lexical(&query.text, depth)?;
            warnings.extend(answer.warnings);
            lexical = answer.hits;
        }
        if query.mode != Mode::Lexical {
            let row = self.embed(&query.text, &mut warnings)?;
            dense = snapshot.dense(&row, depth)?;
            embedding = Some(row);
        }
        let fused = fuse(&snapshot, query, &dense, &lexical, embedding.as_ref())?;
        Ok(Ranking { snapshot, fused, warnings })
    }

    fn embed(&self, text: &str, warnings: &mut Vec<String>) -> Result<Embedding, Error> {
        let Some(encoder) = &self.encoder else {
            return Err(Error::InvalidSettings("opened for lexical search only; open it again with a model".to_owned()));
        };
        let row = encoder.encode_query(text)?;
        if row.read_tokens < row.tokens {
            warnings.push(format!(
                "the query has {} tokens and the model reads {}; the rest counts in lexical search only",
                row.tokens, row.read_tokens
            ));
        }
        Ok(row.embedding)
    }
}
