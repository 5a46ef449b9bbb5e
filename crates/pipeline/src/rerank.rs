//! Orders the first documents anew by late interaction.
//!
//! ```text
//! w · MaxSim / tokens of the query + (1 − w) · score before
//! ```
//!
//! with MaxSim / tokens a mean of cosines. A score before that is on no such scale is divided by the highest of the list.

use berth_index::Snapshot;
use berth_types::{Explanation, TokenMatrix};

use crate::Error;
use crate::explain::{explain_share, share_before};
use crate::search::Ranked;

/// How MaxSim and the score before become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Blend {
    /// How many documents, from the first.
    pub(crate) depth: usize,
    /// Share of MaxSim, 0 to 1.
    pub(crate) weight: f32,
    /// Whether the score before is divided by the highest.
    pub(crate) scaled: bool,
}

/// What late interaction made of a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LateScore {
    /// Share of MaxSim, 0 to 1.
    pub(crate) weight: f32,
    /// Sum over the query's tokens of the highest cosine with a token of the passage.
    pub(crate) max_sim: f32,
    /// Tokens of the query.
    pub(crate) query_tokens: usize,
    /// Place in the new order, from 1.
    pub(crate) rank: usize,
    /// Place before, from 1.
    pub(crate) rank_before: usize,
    /// Score before.
    pub(crate) score_before: f32,
    /// What the score before is divided by, the highest of the list; none where it counts as it is.
    pub(crate) highest_before: Option<f32>,
}

/// Scores the first documents by MaxSim and what they scored before, and sorts them; those behind are let go. Of the passages
/// that the halves chose for a document, the one that MaxSim scores higher counts and is shown.
pub(crate) fn rerank(
    snapshot: &Snapshot,
    query: &TokenMatrix,
    blend: &Blend,
    ranked: &mut Vec<Ranked>,
) -> Result<(), Error> {
    let Blend { depth, weight, scaled } = *blend;
    ranked.truncate(depth);
    let highest_before = if scaled { ranked.first().map(|first| first.score) } else { None };
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
        let (query_tokens, rank_before, score_before) = (query.rows(), position + 1, document.score);
        let late = LateScore { weight, max_sim, query_tokens, rank: 0, rank_before, score_before, highest_before };
        document.chunk_id = chunk_id;
        document.score = late.score();
        document.late = Some(late);
    }
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.document_no.cmp(&b.document_no)));
    for (rank, document) in (1..).zip(ranked) {
        if let Some(late) = &mut document.late {
            late.rank = rank;
        }
    }
    Ok(())
}

/// The chunk to show and the best of each list, each once.
fn candidates(document: &Ranked) -> impl Iterator<Item = u64> {
    let mut chunk_ids = vec![document.chunk_id];
    for listed in [document.dense, document.lexical, document.sparse].into_iter().flatten() {
        if !chunk_ids.contains(&listed.chunk_id) {
            chunk_ids.push(listed.chunk_id);
        }
    }
    chunk_ids.into_iter()
}

impl LateScore {
    /// The sum of both parts.
    pub(crate) fn score(&self) -> f32 {
        let (late, before) = self.parts();
        late + before
    }

    /// What MaxSim and the score before contribute.
    fn parts(&self) -> (f32, f32) {
        (self.weight * self.mean_cosine(), (1.0 - self.weight) * self.share_before())
    }

    fn mean_cosine(&self) -> f32 {
        self.max_sim / self.query_tokens as f32
    }

    fn share_before(&self) -> f32 {
        share_before(self.score_before, self.highest_before)
    }

    /// The arithmetic, with that of the score before inside: the root is the sum of its two children, each the product of
    /// its own.
    pub(crate) fn explain(&self, before: Explanation) -> Explanation {
        let node = |label: &str, value, children| Explanation { label: label.to_owned(), value, children };
        let leaf = |label: &str, value| node(label, value, Vec::new());
        let max_sim = "MaxSim = sum of the query tokens' highest cosines with a token of the passage";
        let mean_cosine = vec![leaf(max_sim, self.max_sim), leaf("tokens of the query", self.query_tokens as f32)];
        let late = vec![
            leaf("weight of late interaction", self.weight),
            node("mean cosine = MaxSim / tokens of the query", self.mean_cosine(), mean_cosine),
        ];
        let share_before = explain_share(before, self.score_before, self.highest_before);
        let label = format!("score before (place {}) = product", self.rank_before);
        let before = vec![leaf("weight of the score before", 1.0 - self.weight), share_before];
        let (late_part, before_part) = self.parts();
        let parts = vec![node("late interaction = product", late_part, late), node(&label, before_part, before)];
        node("ordered anew = late interaction + score before", self.score(), parts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use berth_index::fusion::DocScore;
    use berth_index::{IndexReader, IndexSettings, IndexWriter, NewChunk, TokenSettings};
    use berth_types::{Chunk, ContentKey, Document, DocumentRecord, Embedding, Fingerprint, RowKind};

    use super::*;

    /// An index of documents of one-byte chunks, each with one token of this direction in degrees.
    fn index(dir: &std::path::Path, documents: &[&[f32]]) -> std::sync::Arc<Snapshot> {
        let fingerprint = Fingerprint { model: "plane".to_owned(), parts: BTreeMap::new() };
        let tokens = Some(TokenSettings { fingerprint: fingerprint.clone(), dimensions: 2 });
        let settings = IndexSettings {
            fingerprint,
            dimensions: 1,
            window_tokens: 8,
            overlap_tokens: 0,
            rows: RowKind::F32,
            tokens,
            sparse: None,
        };
        let mut writer = IndexWriter::create_or_open(dir, &settings).unwrap();
        for (number, chunks) in documents.iter().enumerate() {
            let text = "x".repeat(chunks.len());
            let document = Document { id: number.to_string(), text, ..Document::default() };
            let chunk = |(ordinal, &degrees): (usize, &f32)| NewChunk {
                chunk: Chunk { ordinal: ordinal as u32, byte_range: ordinal..ordinal + 1, tokens: 1 },
                key: ContentKey([0; 16]),
                embedding: Embedding::normalized(vec![1.0]).unwrap(),
                tokens: Some(tokens_towards(&[degrees]).quantized()),
                sparse: None,
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
        let half = |&chunk_id: &u64| DocScore {
            document_no,
            chunk_id,
            rank: 1,
            score: 0.5,
            best: 0.5,
            chunks: 1,
            coverage: 1.0,
        };
        let (dense, lexical) = (chunk_ids.first().map(half), chunk_ids.get(1).map(half));
        let chunk_id = chunk_ids[0];
        Ranked { document_no, chunk_id, score, dense, lexical, ..Ranked::default() }
    }

    fn by_max_sim(depth: usize) -> Blend {
        Blend { depth, weight: 1.0, scaled: false }
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
        rerank(&snapshot, &tokens_towards(&[0.0, 0.0]), &by_max_sim(4), &mut documents).unwrap();
        let order: Vec<(u64, u64)> = documents.iter().map(|ranked| (ranked.document_no, ranked.chunk_id)).collect();
        assert_eq!(order, [(0, 1), (1, 2), (3, 5), (2, 3)], "ties by document");
        let late = documents[0].late.clone().unwrap();
        assert_eq!((late.query_tokens, late.rank_before, late.score_before), (2, 4, 0.6));
        assert!((late.max_sim - 2.0 * 10f32.to_radians().cos()).abs() < 0.02, "{late:?}");
        assert_eq!(documents[0].score, late.max_sim / 2.0);
    }

    #[test]
    fn both_scores_count_by_their_weights() {
        let dir = tempfile::tempdir().unwrap();
        let snapshot = index(dir.path(), &[&[60.0], &[0.0]]);
        let check = |weight, scaled, expected: [(u64, f32); 2]| {
            // Document 0 first, with 8 of BM25; by MaxSim it scores .5, the other one 1.
            let mut documents = vec![ranked(0, &[0], 8.0), ranked(1, &[1], 2.0), ranked(9, &[99], 1.0)];
            let blend = Blend { depth: 2, weight, scaled };
            rerank(&snapshot, &tokens_towards(&[0.0, 0.0, 0.0]), &blend, &mut documents).unwrap();
            assert_eq!(documents.len(), 2);
            for (document, (document_no, score)) in documents.iter().zip(expected) {
                assert_eq!(document.document_no, document_no, "{weight} {scaled}: {documents:?}");
                // The rows are rounded to 8 bits.
                assert!((document.score - score).abs() < 0.01, "{weight} {scaled}: {documents:?}");
            }
        };
        check(1.0, false, [(1, 1.0), (0, 0.5)]);
        check(0.0, false, [(0, 8.0), (1, 2.0)]);
        check(0.25, false, [(0, 0.125 + 6.0), (1, 0.25 + 1.5)]);
        // 8 counts as 1 then, and 2 as a quarter.
        check(0.5, true, [(0, 0.25 + 0.5), (1, 0.5 + 0.125)]);
        check(0.75, true, [(1, 0.75 + 0.0625), (0, 0.375 + 0.25)]);
    }

    #[test]
    fn the_arithmetic_adds_up() {
        let late = |weight, highest_before| LateScore {
            weight,
            max_sim: 4.5,
            query_tokens: 6,
            rank: 1,
            rank_before: 3,
            score_before: 0.5,
            highest_before,
        };
        let before = Explanation { label: "cosine".to_owned(), value: 0.5, children: Vec::new() };
        let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a} for {b}");
        for weight in [0.0, 0.3, 0.5, 1.0] {
            for highest_before in [None, Some(0.8), Some(0.0)] {
                let late = late(weight, highest_before);
                let root = late.explain(before.clone());
                close(root.value, late.score());
                close(root.value, root.children.iter().map(|part| part.value).sum());
                for part in &root.children {
                    close(part.value, part.children.iter().map(|factor| factor.value).product());
                }
            }
        }
        close(late(0.3, None).score(), 0.3 * 0.75 + 0.7 * 0.5);
        close(late(0.3, Some(0.8)).score(), 0.3 * 0.75 + 0.7 * 0.5 / 0.8);
        close(late(0.3, Some(0.0)).score(), 0.3 * 0.75);
        let share = &late(0.3, Some(0.8)).explain(before.clone()).children[1].children[1];
        assert_eq!(share.children[0], before);
    }

    #[test]
    fn a_chunk_that_is_gone_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let snapshot = index(dir.path(), &[&[0.0]]);
        let mut documents = vec![ranked(0, &[7], 1.0)];
        let error = rerank(&snapshot, &tokens_towards(&[0.0]), &by_max_sim(9), &mut documents).unwrap_err();
        assert!(matches!(error, Error::ChunkLost { chunk_id: 7 }), "{error}");
    }
}
