//! Orders the first documents anew by late interaction.

use berth_index::Snapshot;
use berth_types::{Explanation, TokenMatrix};

use crate::Error;
use crate::search::Ranked;

/// What late interaction made of a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LateScore {
    /// Sum over the query's tokens of the highest cosine with a token of the passage.
    pub(crate) max_sim: f32,
    /// Tokens of the query.
    pub(crate) query_tokens: usize,
    /// Place before, from 1.
    pub(crate) rank_before: usize,
    /// Score before.
    pub(crate) score_before: f32,
}

/// Scores the first `depth` documents by MaxSim and sorts them by it; those behind are let go. Of the passages that the
/// halves chose for a document, the one that scores higher counts and is shown.
pub(crate) fn rerank(
    snapshot: &Snapshot,
    query: &TokenMatrix,
    depth: usize,
    ranked: &mut Vec<Ranked>,
) -> Result<(), Error> {
    ranked.truncate(depth);
    let mut chunk_ids = Vec::with_capacity(2 * ranked.len());
    for document in ranked.iter() {
        chunk_ids.extend(candidates(document));
    }
    let mut scores = chunk_ids.iter().zip(snapshot.late_scores(query, &chunk_ids)?);
    for (position, document) in ranked.iter_mut().enumerate() {
        let count = candidates(document).count();
        let mut best: Option<(u64, f32)> = None;
        for (&chunk_id, score) in scores.by_ref().take(count) {
            let score = score.ok_or(Error::ChunkLost { chunk_id })?;
            if best.is_none_or(|(_, highest)| score > highest) {
                best = Some((chunk_id, score));
            }
        }
        let Some((chunk_id, max_sim)) = best else { continue };
        let (query_tokens, score_before) = (query.rows(), document.score);
        document.late = Some(LateScore { max_sim, query_tokens, rank_before: position + 1, score_before });
        document.chunk_id = chunk_id;
        document.score = max_sim / query_tokens as f32;
    }
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.document_no.cmp(&b.document_no)));
    Ok(())
}

/// The chunk to show and the best of each half, each once.
fn candidates(document: &Ranked) -> impl Iterator<Item = u64> {
    let shown = document.chunk_id;
    let dense = document.dense.map(|dense| dense.chunk_id).filter(|&chunk_id| chunk_id != shown);
    let lexical = document.lexical.map(|lexical| lexical.chunk_id);
    let lexical = lexical.filter(|&chunk_id| chunk_id != shown && Some(chunk_id) != dense);
    [Some(shown), dense, lexical].into_iter().flatten()
}

impl LateScore {
    /// The arithmetic, with that of the score before as a note at its end.
    pub(crate) fn explain(&self, before: Explanation) -> Explanation {
        let leaf = |label: &str, value: f32| Explanation { label: label.to_owned(), value, children: Vec::new() };
        let label = format!("not counted: {} (place {} before)", before.label, self.rank_before);
        Explanation {
            label: "late interaction = MaxSim / tokens of the query".to_owned(),
            value: self.max_sim / self.query_tokens as f32,
            children: vec![
                leaf("MaxSim = sum of the query tokens' highest cosines with a token of the passage", self.max_sim),
                leaf("tokens of the query", self.query_tokens as f32),
                Explanation { label, ..before },
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use berth_index::fusion::DocScore;
    use berth_index::{IndexReader, IndexSettings, IndexWriter, NewChunk, TokenSettings};
    use berth_types::{Chunk, ContentKey, Document, DocumentRecord, Embedding, Fingerprint};

    use super::*;

    /// An index of documents of one-byte chunks, each with one token of this direction in degrees.
    fn index(dir: &std::path::Path, documents: &[&[f32]]) -> std::sync::Arc<Snapshot> {
        let fingerprint = Fingerprint { model: "plane".to_owned(), parts: BTreeMap::new() };
        let tokens = Some(TokenSettings { fingerprint: fingerprint.clone(), dimensions: 2 });
        let settings = IndexSettings { fingerprint, dimensions: 1, window_tokens: 8, overlap_tokens: 0, tokens };
        let mut writer = IndexWriter::create_or_open(dir, &settings).unwrap();
        for (number, chunks) in documents.iter().enumerate() {
            let text = "x".repeat(chunks.len());
            let document = Document { id: number.to_string(), text, ..Document::default() };
            let chunk = |(ordinal, &degrees): (usize, &f32)| NewChunk {
                chunk: Chunk { ordinal: ordinal as u32, byte_range: ordinal..ordinal + 1, tokens: 1 },
                key: ContentKey([0; 16]),
                embedding: Embedding::normalized(vec![1.0]).unwrap(),
                tokens: Some(tokens_towards(&[degrees]).quantized()),
            };
            let chunks = chunks.iter().enumerate().map(chunk).collect();
            writer.put(&document, &DocumentRecord::default(), chunks).unwrap();
        }
        writer.finish().unwrap();
        IndexReader::open(dir).unwrap().snapshot()
    }

    fn tokens_towards(degrees: &[f32]) -> TokenMatrix {
        let values = degrees.iter().flat_map(|degrees| [degrees.to_radians().cos(), degrees.to_radians().sin()]);
        TokenMatrix::normalized(values.collect(), 2).unwrap()
    }

    /// A document with its best chunks, of the dense half first.
    fn ranked(document_no: u64, chunk_ids: &[u64], score: f32) -> Ranked {
        let half = |&chunk_id: &u64| DocScore { document_no, chunk_id, rank: 1, score: 0.5 };
        let (dense, lexical) = (chunk_ids.first().map(half), chunk_ids.get(1).map(half));
        let chunk_id = chunk_ids[0];
        Ranked { document_no, chunk_id, score, dense, lexical, fused: None, late: None }
    }

    #[test]
    fn the_nearest_passage_of_each_document_decides() {
        let dir = tempfile::tempdir().unwrap();
        // Chunks 0 and 1; 2; 3 and 4; 5.
        let snapshot = index(dir.path(), &[&[90.0, 10.0], &[30.0], &[60.0, 60.0], &[30.0]]);
        let mut documents = vec![
            ranked(2, &[3, 3], 0.9),
            ranked(3, &[5], 0.8),
            ranked(1, &[2], 0.7),
            ranked(0, &[0, 1], 0.6),
            ranked(9, &[99], 0.5),
        ];
        // The last one is beyond the depth: that its chunk is not there does not matter.
        rerank(&snapshot, &tokens_towards(&[0.0, 0.0]), 4, &mut documents).unwrap();
        let order: Vec<(u64, u64)> = documents.iter().map(|ranked| (ranked.document_no, ranked.chunk_id)).collect();
        assert_eq!(order, [(0, 1), (1, 2), (3, 5), (2, 3)], "ties by document");
        let late = documents[0].late.clone().unwrap();
        assert_eq!((late.query_tokens, late.rank_before, late.score_before), (2, 4, 0.6));
        assert!((late.max_sim - 2.0 * 10f32.to_radians().cos()).abs() < 0.02, "{late:?}");
        assert_eq!(documents[0].score, late.max_sim / 2.0);
    }

    #[test]
    fn a_chunk_that_is_gone_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let snapshot = index(dir.path(), &[&[0.0]]);
        let mut documents = vec![ranked(0, &[7], 1.0)];
        let error = rerank(&snapshot, &tokens_towards(&[0.0]), 9, &mut documents).unwrap_err();
        assert!(matches!(error, Error::ChunkLost { chunk_id: 7 }), "{error}");
    }
}
