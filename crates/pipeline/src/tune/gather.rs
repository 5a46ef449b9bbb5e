//! What all lists say to a question, deep enough that every setting's answer can be computed from it without asking again.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use berth_index::fusion::{self, Candidate, DocScore, HalfList, SparseList};
use berth_index::{ChunkHit, Snapshot};
use berth_types::{Aggregate, DenseSearch, Lists, Mode, Query, TokenMatrix};

use super::space::Setting;
use crate::lists::depth_for;
use crate::narrow::DEEPER;
use crate::rerank::{Blend, rerank};
use crate::search::{Ranked, is_like_cosine};
use crate::{Error, Searcher};

/// Chunks asked of each list, at most.
pub(super) const DEPTH: usize = 1000;

/// The lists of one question.
pub(super) struct Gathered {
    /// By how many chunks were asked, rising: a walk over a graph finds less the less it is asked for.
    dense: Vec<(usize, Vec<ChunkHit>)>,
    /// By title boost.
    lexical: Vec<Lexical>,
    sparse: Vec<ChunkHit>,
    /// Cosines of chunks that the dense list may lack.
    cosines: HashMap<u64, f32>,
    /// Sparse scores of chunks that the sparse list may lack.
    sparse_scores: HashMap<u64, f32>,
    /// Those chunks that are the first of their document.
    first_chunks: HashSet<u64>,
    /// The question token by token, where late interaction is tried.
    tokens: Option<TokenMatrix>,
}

struct Lexical {
    hits: Vec<ChunkHit>,
    ceiling: f32,
}

impl Searcher {
    /// Asks all lists; none where the question has no words. Lexical ones are asked for each of `boosts`, the dense one for each of
    /// `depths`, which rise to [`DEPTH`].
    pub(super) fn gather(
        &self,
        text: &str,
        (boosts, depths): (&[f32], &[usize]),
        late: bool,
    ) -> Result<Option<Gathered>, Error> {
        let snapshot = self.reader.snapshot();
        let query = Query::of_owner(text, 1, Mode::Hybrid);
        let view = snapshot.view(query.narrowing.viewer.as_ref(), SystemTime::now())?;
        let mut question = snapshot.question(text);
        if !question.has_words() {
            return Ok(None);
        }
        let selection = view.selection(None, Some(&question))?;
        let mut lexical = Vec::with_capacity(boosts.len());
        for &boost in boosts {
            question.title_boost = boost;
            let answer = view.lexical_within(&question, None, DEPTH)?;
            lexical.push(Lexical { ceiling: answer.ceiling(), hits: answer.hits });
        }
        let row = self.embed(&question.text, &mut Vec::new())?;
        let ask = |&depth: &usize| {
            Ok::<_, Error>((depth, snapshot.dense_by(&row, selection.as_deref(), depth, DenseSearch::default())?))
        };
        let dense: Vec<(usize, Vec<ChunkHit>)> = depths.iter().map(ask).collect::<Result<_, _>>()?;
        let deepest = dense.last().map_or(&[][..], |(_, hits)| hits);
        let (mut sparse, mut sparse_scores) = (Vec::new(), HashMap::new());
        let listed = |lists: &[&[ChunkHit]]| {
            let ids: HashSet<u64> = lists.iter().flat_map(|hits| hits.iter().map(|hit| hit.chunk_id)).collect();
            let mut ids: Vec<u64> = ids.into_iter().collect();
            ids.sort_unstable();
            ids
        };
        let mut lists: Vec<&[ChunkHit]> = lexical.iter().map(|of_boost| of_boost.hits.as_slice()).collect();
        if self.sparse.is_some() {
            let vector = self.embed_sparse(&question.text, &mut Vec::new())?;
            sparse = snapshot.sparse_within(&vector, selection.as_deref(), DEPTH)?;
            lists.push(deepest);
            let chunks = listed(&lists);
            lists.pop();
            sparse_scores = found(&chunks, snapshot.sparse_scores(&vector, &chunks)?);
        }
        lists.push(&sparse);
        let chunks = listed(&lists);
        let cosines = found(&chunks, snapshot.dense_scores(&row, &chunks)?);
        lists.push(deepest);
        let chunks = listed(&lists);
        let ordinals = snapshot.ordinals(&chunks)?;
        let firsts = chunks.iter().zip(ordinals).filter(|(_, ordinal)| *ordinal == Some(0));
        let first_chunks = firsts.map(|(&chunk_id, _)| chunk_id).collect();
        let tokens = match &self.tokens {
            Some(tokens) if late => Some(tokens.query(&question.text)?),
            _ => None,
        };
        Ok(Some(Gathered { dense, lexical, sparse, cosines, sparse_scores, first_chunks, tokens }))
    }
}

fn found(chunks: &[u64], scores: Vec<Option<f32>>) -> HashMap<u64, f32> {
    chunks.iter().zip(scores).filter_map(|(&chunk_id, score)| Some((chunk_id, score?))).collect()
}

/// What of a setting decides which documents the lists have, and what these score there; the position of its title boost and its
/// reading of lists.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    pub(super) boost: usize,
    pub(super) aggregate: Aggregate,
    pub(super) lists: Lists,
}

/// The lists of one question, read in one way: what is left is to join them.
pub(super) struct Read {
    dense: HalfList,
    lexical: HalfList,
    /// None of an index without sparse vectors.
    sparse: Option<HalfList>,
    cosines: Vec<ChunkHit>,
    sparse_scores: Vec<ChunkHit>,
    /// The union of both halves, and of all lists.
    of_halves: Vec<Candidate>,
    of_all: Vec<Candidate>,
}

impl Gathered {
    /// Reads the lists for an answer of `k` documents.
    pub(super) fn read(&self, reading: &Reading, k: usize) -> Read {
        let of_boost = &self.lexical[reading.boost];
        let lexical = self.half(&|_| &of_boost.hits, reading, k).under(of_boost.ceiling);
        let dense = self.half(&|depth| self.dense_of(depth), reading, k);
        let sparse = (!self.sparse_scores.is_empty()).then(|| self.half(&|_| &self.sparse, reading, k));
        let cosines = supplied(fusion::chunks_without_cosine(&dense, &lexical, sparse.as_ref()), &self.cosines);
        let sparse_scores = match &sparse {
            Some(list) if list.bound.is_some() => {
                supplied(fusion::chunks_without_sparse_score(&dense, &lexical, list), &self.sparse_scores)
            }
            _ => Vec::new(),
        };
        let of_halves = fusion::candidates(&dense, &lexical, &cosines, None);
        let with_sparse = sparse.clone().map(|list| SparseList { list, ..SparseList::default() });
        let of_all = with_sparse.map(|sparse| fusion::candidates(&dense, &lexical, &cosines, Some(&sparse)));
        Read { dense, lexical, sparse, cosines, sparse_scores, of_halves, of_all: of_all.unwrap_or_default() }
    }

    /// The best `k` documents under a setting, as a search under it finds them.
    pub(super) fn ranked(
        &self,
        snapshot: &Snapshot,
        (read, setting): (&Read, &Setting),
        late_weight: f32,
        k: usize,
    ) -> Result<Vec<(u64, f32)>, Error> {
        let Read { dense, lexical, cosines, .. } = read;
        // Cosines of documents that only the sparse list has are ignored without it.
        let sparse = read.sparse.as_ref().filter(|_| setting.sparse_weight > 0.0).map(|list| SparseList {
            list: list.clone(),
            supplied: read.sparse_scores.clone(),
            weight: setting.sparse_weight,
        });
        let Some((how, tokens)) = setting.rerank.zip(self.tokens.as_ref()) else {
            let candidates = if sparse.is_some() { &read.of_all } else { &read.of_halves };
            let lists = (dense, lexical, sparse.as_ref());
            return Ok(fusion::best_of(candidates, lists, cosines, &setting.fusion, k));
        };
        let fused = fusion::fuse_with_sparse(dense, lexical, cosines, sparse.as_ref(), &setting.fusion);
        let mut ranked: Vec<Ranked> = fused.into_iter().map(Ranked::from).collect();
        let query = Query { fusion: setting.fusion, ..Query::of_owner("", k, Mode::Hybrid) };
        let weight = how.weight.unwrap_or(late_weight).clamp(0.0, 1.0);
        let blend = Blend { depth: how.depth.max(k), weight, scaled: !is_like_cosine(&query) };
        rerank(snapshot, tokens, &blend, &mut ranked)?;
        Ok(ranked.into_iter().take(k).map(|one| (one.document_no, one.score)).collect())
    }

    /// A list's documents out of its first chunks, of as many more as it takes to have `k`; never deeper than was asked.
    fn half<'a>(&self, hits_of: &dyn Fn(usize) -> &'a [ChunkHit], reading: &Reading, k: usize) -> HalfList {
        let mut depth = depth_for(k, reading.lists).min(DEPTH);
        loop {
            let hits = hits_of(depth);
            let head = &hits[..depth.min(hits.len())];
            let bound = fusion::bound(head, depth);
            let list = if reading.aggregate == Aggregate::First {
                let is_first = |hit: &&ChunkHit| self.first_chunks.contains(&hit.chunk_id);
                let firsts: Vec<ChunkHit> = head.iter().filter(is_first).copied().collect();
                fusion::per_document(&firsts, bound, reading.aggregate)
            } else {
                fusion::per_document(head, bound, reading.aggregate)
            };
            if list.documents.len() >= k || list.bound.is_none() || depth == DEPTH {
                return list;
            }
            depth = depth.saturating_mul(DEEPER).min(DEPTH);
        }
    }

    /// The list that was asked for so many chunks, or for the next more.
    fn dense_of(&self, depth: usize) -> &[ChunkHit] {
        let asked = self.dense.iter().find(|(asked, _)| *asked >= depth).or(self.dense.last());
        asked.map_or(&[], |(_, hits)| hits)
    }
}

fn supplied(wanted: Vec<DocScore>, scores: &HashMap<u64, f32>) -> Vec<ChunkHit> {
    let hits = wanted.into_iter().filter_map(|DocScore { chunk_id, document_no, .. }| {
        let score = *scores.get(&chunk_id)?;
        Some(ChunkHit { chunk_id, document_no, score, coverage: 0.0 })
    });
    hits.collect()
}
