//! Late interaction (ColBERT, Khattab & Zaharia 2020): a vector for each token, compared one by one.

use berth_types::LateCard;

use crate::{Error, Row, TextTokenizer};

/// Vectors of a text's tokens, each of unit norm.
#[derive(Debug, Clone, PartialEq)]
pub struct LateVectors {
    /// Values in a vector.
    pub dimensions: usize,
    /// One vector after the other.
    pub values: Vec<f32>,
}

impl LateVectors {
    /// The vectors.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.dimensions.max(1))
    }
}

/// For each vector of the query the best match among the passage's, summed: higher is better. Zero when the passage has
/// no vector.
pub fn max_sim(query: &LateVectors, passage: &LateVectors) -> f32 {
    let dot = |one: &[f32], other: &[f32]| one.iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
    let best = |row: &[f32]| {
        passage
            .rows()
            .map(|other| dot(row, other))
            .fold(None, |best: Option<f32>, score| Some(best.map_or(score, |best| best.max(score))))
    };
    query.rows().filter_map(best).sum()
}

/// How the rows of a model of late interaction are made: its markers and masks as ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LateRows {
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    query_marker: Option<u32>,
    passage_marker: Option<u32>,
    /// The id that fills a query up, and to how many ids.
    expansion: Option<(u32, usize)>,
    /// Ids whose vectors a passage does not keep.
    skipped: Vec<u32>,
}

impl LateRows {
    /// # Errors
    /// `LateMarker` when the vocabulary does not have what the card names.
    pub(crate) fn of(card: &LateCard, tokenizer: &TextTokenizer) -> Result<Self, Error> {
        let id_of = |marker: &str| {
            if marker.is_empty() {
                return Ok(None);
            }
            let found = tokenizer.id_of(marker.trim()).or_else(|| tokenizer.id_of(marker));
            found.map(Some).ok_or_else(|| Error::LateMarker { marker: marker.to_owned() })
        };
        let expansion = match (card.query_tokens, tokenizer.mask_id()) {
            (0, _) => None,
            (tokens, Some(mask)) => Some((mask, tokens)),
            (_, None) => return Err(Error::LateMarker { marker: "[MASK]".to_owned() }),
        };
        let mut skipped = Vec::new();
        if card.skip_punctuation {
            // Python's string.punctuation, which ColBERT and PyLate leave out.
            for mark in (b'!'..=b'~').filter(u8::is_ascii_punctuation).map(char::from) {
                skipped.extend(tokenizer.id_of(&mark.to_string()));
                let ids = tokenizer.tokenize(&mark.to_string())?.ids;
                skipped.extend(ids.last().copied().filter(|&id| Some(id) != tokenizer.unknown_id()));
            }
            skipped.sort_unstable();
            skipped.dedup();
        }
        Ok(Self {
            prefix: tokenizer.prefix().to_vec(),
            suffix: tokenizer.suffix().to_vec(),
            query_marker: id_of(&card.query_marker)?,
            passage_marker: id_of(&card.passage_marker)?,
            expansion,
            skipped,
        })
    }

    /// Ids that a row has beside its text, expansion not counted.
    pub(crate) fn reserved(&self, query: bool) -> usize {
        let marker = if query { self.query_marker } else { self.passage_marker };
        self.prefix.len() + self.suffix.len() + usize::from(marker.is_some())
    }

    /// The row of a query: marker behind the first special tokens, and mask tokens up to the length that the card says.
    /// Those are read by nothing else in the row, as ColBERT was trained; a query that is longer is not filled up.
    pub(crate) fn query(&self, ids: &[u32]) -> Row {
        let mut row = self.around(self.query_marker, ids);
        let attended = row.len();
        if let Some((mask, tokens)) = self.expansion {
            row.resize(tokens.max(attended), mask);
        }
        let unattended = row.len() - attended;
        Row { ids: row, unattended, ..Row::default() }
    }

    /// The row of a passage.
    pub(crate) fn passage(&self, ids: &[u32]) -> Row {
        Row::from(self.around(self.passage_marker, ids))
    }

    fn around(&self, marker: Option<u32>, ids: &[u32]) -> Vec<u32> {
        [&self.prefix[..], marker.as_slice(), ids, &self.suffix].concat()
    }

    /// Positions of a passage's row whose vectors are kept, in order. Of a query's row all are.
    pub(crate) fn kept(&self, row: &Row) -> Vec<usize> {
        (0..row.ids.len()).filter(|&position| self.skipped.binary_search(&row.ids[position]).is_err()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(rows: &[[f32; 2]]) -> LateVectors {
        LateVectors { dimensions: 2, values: rows.concat() }
    }

    #[test]
    fn each_query_token_finds_its_best_match() {
        let query = vectors(&[[1.0, 0.0], [0.0, 1.0]]);
        let passage = vectors(&[[0.6, 0.8], [1.0, 0.0], [-1.0, 0.0]]);
        assert!((max_sim(&query, &passage) - 1.8).abs() < 1e-6);
        assert_eq!(max_sim(&query, &vectors(&[])), 0.0);
        assert_eq!(max_sim(&vectors(&[[1.0, 0.0]]), &vectors(&[[-1.0, 0.0]])), -1.0);
    }

    #[test]
    fn queries_are_filled_up_and_passages_lose_punctuation() {
        let rows = LateRows {
            prefix: vec![2],
            suffix: vec![3],
            query_marker: Some(10),
            passage_marker: Some(11),
            expansion: Some((4, 8)),
            skipped: vec![7, 9],
        };
        let query = rows.query(&[5, 6, 7]);
        assert_eq!((query.ids.as_slice(), query.unattended), (&[2, 10, 5, 6, 7, 3, 4, 4][..], 2));
        assert_eq!(rows.query(&[5; 9]).unattended, 0);
        let passage = rows.passage(&[5, 7, 9, 6]);
        assert_eq!(passage.ids, [2, 11, 5, 7, 9, 6, 3]);
        assert_eq!(rows.kept(&passage), [0, 1, 2, 5, 6]);
        assert_eq!((rows.reserved(true), rows.reserved(false)), (3, 3));
    }
}
