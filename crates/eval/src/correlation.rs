//! Whether two lists of numbers rise together, and the sentence pairs (STS) on which similarities are judged so.

use std::path::Path;

use serde_json::Value;

use crate::{Error, lines};

/// Pearson's correlation of paired numbers, −1 to 1.
///
/// `None` when the lists differ in length, hold fewer than two numbers or one that is not finite, or when one list is constant.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
    if x.len() != y.len() || x.len() < 2 || !finite(x) || !finite(y) || is_constant(x) || is_constant(y) {
        return None;
    }
    let (x, y) = (centred(x), centred(y));
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let correlation = product(&x, &y) / (product(&x, &x).sqrt() * product(&y, &y).sqrt());
    Some(correlation.clamp(-1.0, 1.0)).filter(|correlation| !correlation.is_nan())
}

/// Spearman's rank correlation of paired numbers, −1 to 1: Pearson's of the ranks, where equal numbers share the mean of theirs.
///
/// `None` as for [`pearson`].
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    let comparable = |values: &[f64]| values.iter().all(|value| value.is_finite());
    if !comparable(x) || !comparable(y) {
        return None;
    }
    pearson(&mid_ranks(x), &mid_ranks(y))
}

fn is_constant(values: &[f64]) -> bool {
    values.iter().all(|value| *value == values[0])
}

/// Less their mean, and scaled so that no square is too great.
fn centred(values: &[f64]) -> Vec<f64> {
    let greatest = values.iter().fold(0.0_f64, |greatest, value| greatest.max(value.abs()));
    let scaled: Vec<f64> = values.iter().map(|value| value / greatest).collect();
    let mean = scaled.iter().sum::<f64>() / scaled.len() as f64;
    scaled.iter().map(|value| value - mean).collect()
}

/// Ranks from 1; equal values share the mean of theirs.
fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    // 0 and −0 are equal, and total_cmp puts them side by side.
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.0;
        for index in equal {
            ranks[*index] = rank;
        }
        before += equal.len();
    }
    ranks
}

/// Two sentences and how alike people found them.
#[derive(Debug, Clone, PartialEq)]
pub struct SentencePair {
    /// The one.
    pub sentence1: String,
    /// The other.
    pub sentence2: String,
    /// On any scale, higher for what is more alike.
    pub score: f64,
}

/// Reads sentence pairs (STS): JSON lines with `sentence1`, `sentence2` and `score` when the file's name ends in `.jsonl`, else
/// these three between tabs.
///
/// A file with tabs may have a header line; then it says in which columns the three stand. Quotes have no meaning in it.
///
/// # Errors
/// `FileMissing`; `Malformed` for a line of another form or a score that is no finite number; `NoSentencePairs`; `Io`.
pub fn read_sentence_pairs(path: &Path) -> Result<Vec<SentencePair>, Error> {
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"));
    let mut columns = None;
    let mut pairs = Vec::new();
    lines::for_each(lines::open(path)?, path, |line, text| {
        let wrong = |reason| lines::malformed(path, line, reason);
        if is_json {
            pairs.push(json_pair(text).map_err(wrong)?);
            return Ok(());
        }
        let fields: Vec<&str> = text.split('\t').map(str::trim).collect();
        let Some(columns) = columns else {
            let header = header(&fields);
            columns = Some(header.unwrap_or([0, 1, 2]));
            if header.is_none() {
                pairs.push(tab_pair(&fields, [0, 1, 2]).map_err(wrong)?);
            }
            return Ok(());
        };
        pairs.push(tab_pair(&fields, columns).map_err(wrong)?);
        Ok(())
    })?;
    if pairs.is_empty() {
        return Err(Error::NoSentencePairs { path: path.to_owned() });
    }
    Ok(pairs)
}

fn json_pair(line: &str) -> Result<SentencePair, String> {
    let mut object = lines::object(line)?;
    let score = match object.remove("score") {
        None => return Err("\"score\" is missing".to_owned()),
        Some(Value::Number(number)) => number.to_string(),
        Some(other) => return Err(format!("\"score\" is {other}, where a number was wanted")),
    };
    let mut sentence = |key| lines::take_string(&mut object, key);
    Ok(SentencePair { sentence1: sentence("sentence1")?, sentence2: sentence("sentence2")?, score: number(&score)? })
}

/// Columns of the two sentences and the score, where the line names them.
fn header(fields: &[&str]) -> Option<[usize; 3]> {
    let column = |name: &str| fields.iter().position(|field| field.eq_ignore_ascii_case(name));
    Some([column("sentence1")?, column("sentence2")?, column("score")?])
}

fn tab_pair(fields: &[&str], columns: [usize; 3]) -> Result<SentencePair, String> {
    let field = |column: usize| {
        let reason =
            || format!("{} fields between tabs, where sentence1, sentence2 and score were wanted", fields.len());
        fields.get(column).copied().ok_or_else(reason)
    };
    let [one, other, score] = columns;
    Ok(SentencePair {
        sentence1: field(one)?.to_owned(),
        sentence2: field(other)?.to_owned(),
        score: number(field(score)?)?,
    })
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| format!("score '{text}' is not a finite number"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_values_share_a_rank() {
        assert_eq!(mid_ranks(&[3.0, 1.0, 3.0, -0.0, 0.0, 3.0]), [5.0, 3.0, 5.0, 1.5, 1.5, 5.0]);
    }

    #[test]
    fn what_rises_together_is_one_and_what_falls_is_minus_one() {
        assert_eq!(spearman(&[1.0, 2.0, 9.0], &[-5.0, 0.0, 0.5]), Some(1.0));
        assert_eq!(spearman(&[1.0, 2.0, 9.0], &[3.0, 2.0, 1.0]), Some(-1.0));
        assert!((pearson(&[0.0, 1.0], &[5.0, 4.0]).unwrap() + 1.0).abs() < 1e-12);
        assert!((pearson(&[0.0, 1e300], &[-1e-300, 1e-300]).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn without_an_order_there_is_no_correlation() {
        for (x, y) in [
            (&[][..], &[][..]),
            (&[1.0], &[2.0]),
            (&[1.0, 1.0], &[1.0, 2.0]),
            (&[1.0, 2.0], &[0.1, 0.1]),
            (&[1.0, f64::NAN], &[1.0, 2.0]),
            (&[1.0, 2.0], &[1.0, f64::INFINITY]),
            (&[1.0, 2.0], &[1.0, 2.0, 3.0]),
            (&[0.0, 0.0], &[0.0, -0.0]),
        ] {
            assert_eq!((pearson(x, y), spearman(x, y)), (None, None), "{x:?} {y:?}");
        }
    }

    proptest! {
        #[test]
        fn ranks_do_not_change_under_what_keeps_the_order(pairs in prop::collection::vec((-9_i8..10, -9_i8..10), 2..30)) {
            let (x, y): (Vec<f64>, Vec<f64>) = pairs.iter().map(|(x, y)| (f64::from(*x), f64::from(*y))).unzip();
            let grown: Vec<f64> = x.iter().map(|x| x.powi(3) + 100.0).collect();
            let turned: Vec<f64> = y.iter().map(|y| -y).collect();
            let found = spearman(&x, &y);
            prop_assert_eq!(spearman(&grown, &y), found);
            prop_assert_eq!(spearman(&y, &x), found);
            match (spearman(&x, &turned), found) {
                (Some(turned), Some(found)) => prop_assert!((turned + found).abs() < 1e-12 && found.abs() <= 1.0),
                (turned, found) => prop_assert_eq!(turned, found),
            }
        }
    }
}
