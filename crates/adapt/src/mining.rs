//! What queries are drawn to and pushed from: the best chunk of each answer, and the nearest chunks that are none.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::numeric::dot;
use crate::rows::expect_size;
use crate::{Error, Rows};

/// Chunks of other documents that a query is pushed from. Measured with 3, 10, 50, and weighted by nearness: nDCG@10 ±.003.
pub const HARD_NEGATIVES: usize = 10;

/// The chunks of a collection, and which belong together.
#[derive(Debug, Clone, Copy)]
pub struct ChunkedDocuments<'a> {
    /// `[chunks, dimensions]`, of unit length.
    pub chunks: Rows<'a>,
    /// The document of each chunk, in any order.
    pub document_of: &'a [u32],
}

/// Queries with the chunks that answer them and those that only seem to.
///
/// Negatives are chunks of documents that are not among a query's own positives, so that they do not depend on which pairs are
/// held out: a document that is held out as an answer stays out of the negatives of its queries.
#[derive(Debug, Clone)]
pub struct MinedPairs<'a> {
    queries: Rows<'a>,
    chunks: Rows<'a>,
    mined: Vec<MinedQuery>,
    missing: usize,
}

#[derive(Debug, Clone)]
struct MinedQuery {
    /// The documents that answer it and the chunk of each that is nearest, ascending.
    positives: Vec<(u32, usize)>,
    /// The mean of the nearest chunks of other documents; empty without positives.
    negative: Vec<f32>,
}

/// Rows that a closed-form adapter is learned from, one for each pair of a query and a document that answers it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrainingRows {
    /// a: the query: `[pairs, dimensions]`.
    pub queries: Vec<f32>,
    /// r: the nearest chunk of the document, less the mean of the nearest chunks of others, divided by the number of the
    /// query's documents: `[pairs, dimensions]`.
    pub directions: Vec<f32>,
    /// e: the query less that chunk: `[pairs, dimensions]`.
    pub differences: Vec<f32>,
}

impl ChunkedDocuments<'_> {
    /// The chunks of each document, ascending.
    fn grouped(&self) -> Result<HashMap<u32, Vec<usize>>, Error> {
        expect_size("documents of chunks", self.chunks.len(), self.document_of.len())?;
        let mut groups: HashMap<u32, Vec<usize>> = HashMap::new();
        for (chunk, &document) in self.document_of.iter().enumerate() {
            groups.entry(document).or_default().push(chunk);
        }
        Ok(groups)
    }

    /// The nearest of `chunks`, the first of equals.
    fn nearest(&self, query: &[f32], chunks: &[usize]) -> Option<usize> {
        let scored = chunks.iter().map(|&chunk| (dot(self.chunks.row(chunk), query), chunk));
        scored.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, chunk)| chunk)
    }

    /// Each query less the nearest chunk of its document: `[queries, dimensions]`, what [`crate::label_free_adapter`] learns
    /// from.
    ///
    /// # Errors
    /// `SizeMismatch`; `RowMissing` for a document without chunks.
    pub fn differences(&self, queries: Rows<'_>, documents: &[u32]) -> Result<Vec<f32>, Error> {
        queries.expect_dimensions("values of a query vector", self.chunks.dimensions())?;
        expect_size("documents of queries", queries.len(), documents.len())?;
        let groups = self.grouped()?;
        let rows: Result<Vec<Vec<f32>>, Error> = (0..queries.len())
            .into_par_iter()
            .map(|row| {
                let (query, document) = (queries.row(row), documents[row]);
                let chunks = groups.get(&document).map_or(&[][..], Vec::as_slice);
                let missing = Error::RowMissing { row: document as usize, rows: groups.len() };
                let chunk = self.nearest(query, chunks).ok_or(missing)?;
                Ok(difference(query, self.chunks.row(chunk)).collect())
            })
            .collect();
        Ok(rows?.concat())
    }
}

/// Finds for each query the best chunk of each of its positives, and the [`HARD_NEGATIVES`] nearest chunks of other documents.
///
/// `positives` are the documents that answer each query; one without chunks is passed over and counted, one named twice counts
/// once. Compares each query that has an answer with all chunks.
///
/// # Errors
/// `SizeMismatch`; `NoPairs`; `TooFew` when all chunks belong to a query's positives.
pub fn mine<'a>(
    queries: Rows<'a>,
    positives: &[Vec<u32>],
    documents: &ChunkedDocuments<'a>,
) -> Result<MinedPairs<'a>, Error> {
    queries.expect_dimensions("values of a query vector", documents.chunks.dimensions())?;
    expect_size("queries with positives", queries.len(), positives.len())?;
    let groups = documents.grouped()?;
    let mine_query = |row: usize| {
        let query = queries.row(row);
        let mut wanted = positives[row].clone();
        wanted.sort_unstable();
        wanted.dedup();
        let found = wanted.iter().filter_map(|document| {
            let chunk = documents.nearest(query, groups.get(document)?)?;
            Some((*document, chunk))
        });
        let found: Vec<(u32, usize)> = found.collect();
        let missing = wanted.len() - found.len();
        let negative = if found.is_empty() { Vec::new() } else { hard_negative(query, &wanted, documents)? };
        Ok((MinedQuery { positives: found, negative }, missing))
    };
    let mined: Result<Vec<(MinedQuery, usize)>, Error> = (0..queries.len()).into_par_iter().map(mine_query).collect();
    let (mined, missing): (Vec<MinedQuery>, Vec<usize>) = mined?.into_iter().unzip();
    if mined.iter().all(|query| query.positives.is_empty()) {
        return Err(Error::NoPairs { queries: queries.len() });
    }
    Ok(MinedPairs { queries, chunks: documents.chunks, mined, missing: missing.iter().sum() })
}

/// The mean of the nearest chunks that belong to none of `positives`, which ascend.
fn hard_negative(query: &[f32], positives: &[u32], documents: &ChunkedDocuments<'_>) -> Result<Vec<f32>, Error> {
    let of_others =
        documents.document_of.iter().enumerate().filter(|(_, document)| positives.binary_search(document).is_err());
    let mut scored: Vec<(f32, usize)> =
        of_others.map(|(chunk, _)| (dot(documents.chunks.row(chunk), query), chunk)).collect();
    if scored.is_empty() {
        return Err(Error::TooFew { what: "chunks of documents that do not answer a query", found: 0, needed: 1 });
    }
    let nearest = HARD_NEGATIVES.min(scored.len());
    let by_rank = |one: &(f32, usize), other: &(f32, usize)| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1));
    if nearest < scored.len() {
        scored.select_nth_unstable_by(nearest, by_rank);
        scored.truncate(nearest);
    }
    scored.sort_unstable_by(by_rank);
    let mut mean = vec![0.0_f64; query.len()];
    for (_, chunk) in &scored {
        mean.iter_mut().zip(documents.chunks.row(*chunk)).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    Ok(mean.iter().map(|sum| (sum / nearest as f64) as f32).collect())
}

fn difference<'v>(one: &'v [f32], other: &'v [f32]) -> impl Iterator<Item = f32> + 'v {
    one.iter().zip(other).map(|(a, b)| a - b)
}

impl MinedPairs<'_> {
    /// Values of a vector.
    pub fn dimensions(&self) -> usize {
        self.queries.dimensions()
    }

    /// Number of queries handed in, those without an answer included.
    pub fn queries(&self) -> usize {
        self.mined.len()
    }

    /// Pairs of a query and a document that answers it.
    pub fn pairs(&self) -> usize {
        self.mined.iter().map(|query| query.positives.len()).sum()
    }

    /// Documents that answer a query and have no chunk.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Queries with at least one document that answers them, ascending.
    pub fn answered(&self) -> Vec<usize> {
        (0..self.mined.len()).filter(|&query| !self.mined[query].positives.is_empty()).collect()
    }

    /// Documents that answer a query and have chunks, ascending.
    pub fn positives(&self, query: usize) -> impl Iterator<Item = u32> + '_ {
        self.mined[query].positives.iter().map(|&(document, _)| document)
    }

    /// The rows to learn from `queries`, in their order, without the pairs whose document is `held_out`.
    pub fn training_rows(&self, queries: &[usize], held_out: &dyn Fn(u32) -> bool) -> TrainingRows {
        let mut rows = TrainingRows::default();
        for &place in queries {
            let (query, mined) = (self.queries.row(place), &self.mined[place]);
            let kept: Vec<usize> =
                mined.positives.iter().filter(|(document, _)| !held_out(*document)).map(|&(_, chunk)| chunk).collect();
            for &chunk in &kept {
                let answer = self.chunks.row(chunk);
                rows.queries.extend(query);
                rows.directions.extend(difference(answer, &mined.negative).map(|value| value / kept.len() as f32));
                rows.differences.extend(difference(query, answer));
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six chunks along a quarter of a circle; documents 4, 4, 7, 7, 8, 9.
    fn chunks() -> Vec<f32> {
        (0..6).flat_map(|step| [(step as f32 * 0.3).cos(), (step as f32 * 0.3).sin()]).collect()
    }

    const DOCUMENTS: [u32; 6] = [4, 4, 7, 7, 8, 9];

    fn check(positives: &[u32], expected_chunks: &[usize], expected_negatives: &[usize]) {
        let chunks = chunks();
        let chunks = Rows::new(&chunks, 2).unwrap();
        let documents = ChunkedDocuments { chunks, document_of: &DOCUMENTS };
        let query = [0.3_f32.cos(), 0.3_f32.sin()];
        let mined = mine(Rows::new(&query, 2).unwrap(), &[positives.to_vec()], &documents).unwrap();
        let rows = mined.training_rows(&[0], &|_| false);
        let mean = |place: usize| {
            let sum: f32 = expected_negatives.iter().map(|&chunk| chunks.row(chunk)[place]).sum();
            sum / expected_negatives.len() as f32
        };
        let expected: Vec<f32> = expected_chunks
            .iter()
            .flat_map(|&chunk| (0..2).map(move |place| (chunk, place)))
            .map(|(chunk, place)| (chunks.row(chunk)[place] - mean(place)) / expected_chunks.len() as f32)
            .collect();
        assert_eq!(rows.directions.len(), expected.len());
        assert!(rows.directions.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-6));
        assert_eq!(rows.queries, query.repeat(expected_chunks.len()));
    }

    #[test]
    fn the_best_chunk_of_each_answer_and_all_others_but_its_own_count() {
        check(&[4], &[1], &[2, 3, 4, 5]);
        check(&[7, 4, 7], &[1, 2], &[4, 5]);
        check(&[9, 100], &[5], &[0, 1, 2, 3, 4]);
    }

    #[test]
    fn only_the_nearest_count_as_negatives() {
        let values: Vec<f32> =
            (0..14).flat_map(|step| [(step as f32 * 0.1).cos(), (step as f32 * 0.1).sin()]).collect();
        let chunks = Rows::new(&values, 2).unwrap();
        let ids: Vec<u32> = (0..14).collect();
        let documents = ChunkedDocuments { chunks, document_of: &ids };
        let negative = hard_negative(&[1.0, 0.0], &[1], &documents).unwrap();
        let nearest = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        let expected = nearest.iter().map(|&chunk| chunks.row(chunk)[0]).sum::<f32>() / 10.0;
        assert!((negative[0] - expected).abs() < 1e-6);
    }

    #[test]
    fn held_out_documents_leave_rows_and_shares() {
        let chunks = chunks();
        let documents = ChunkedDocuments { chunks: Rows::new(&chunks, 2).unwrap(), document_of: &DOCUMENTS };
        let queries = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0];
        let positives = [vec![4, 7], vec![8], vec![]];
        let mined = mine(Rows::new(&queries, 2).unwrap(), &positives, &documents).unwrap();
        assert_eq!((mined.queries(), mined.pairs(), mined.missing(), mined.answered()), (3, 3, 0, vec![0, 1]));
        assert_eq!(mined.positives(0).collect::<Vec<u32>>(), [4, 7]);
        let (all, purged) = (mined.training_rows(&[0, 1, 2], &|_| false), mined.training_rows(&[0, 1], &|id| id != 4));
        assert_eq!((all.queries.len(), purged.queries.len()), (6, 2));
        assert!((purged.directions[0] - 2.0 * all.directions[0]).abs() < 1e-6);
        assert_eq!(purged.differences, [0.0, 0.0]);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let chunks = chunks();
        let chunks = Rows::new(&chunks, 2).unwrap();
        let documents = ChunkedDocuments { chunks, document_of: &DOCUMENTS };
        let query = Rows::new(&[1.0, 0.0], 2).unwrap();
        let mine = |positives: &[Vec<u32>], document_of| {
            mine(query, positives, &ChunkedDocuments { chunks, document_of }).unwrap_err()
        };
        assert_eq!(mine(&[vec![100]], &DOCUMENTS), Error::NoPairs { queries: 1 });
        assert!(matches!(mine(&[], &DOCUMENTS), Error::SizeMismatch { .. }));
        assert!(matches!(mine(&[vec![4]], &[4]), Error::SizeMismatch { .. }));
        assert!(matches!(mine(&[vec![4]], &[4; 6]), Error::TooFew { found: 0, .. }));
        assert_eq!(documents.differences(query, &[9]).unwrap(), [1.0 - 1.5_f32.cos(), -1.5_f32.sin()]);
        assert!(matches!(documents.differences(query, &[3]), Err(Error::RowMissing { row: 3, .. })));
        assert!(matches!(documents.differences(query, &[]), Err(Error::SizeMismatch { .. })));
    }
}
