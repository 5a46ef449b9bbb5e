//! Ranges of what products take in, which a precision with static scales needs.
//!
//! The graph of [`export_calibration_graph`] is run on typical texts, one a run; [`Calibration::of`] makes ranges of what
//! it gave, and [`crate::ExportOptions::calibration`] takes them.

use std::collections::BTreeMap;
use std::path::Path;

use berth_types::{Head, Precision};

use crate::assembly::Assembly;
use crate::export::{self, ExportOptions};
use crate::graph::{Length, Setting};
use crate::{Error, Product};

/// What the calibration graph calls its output, `[uses, 2]`: least and largest value that each product took in.
pub(crate) const RANGES: &str = "ranges";
/// Largest number of 8 bits.
const LARGEST: f32 = 255.0;

/// Ranges of what products take in, by the product's name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Calibration {
    /// Least and largest value.
    pub ranges: BTreeMap<String, (f32, f32)>,
}

impl Calibration {
    /// Takes the median of the least and of the largest values over texts.
    ///
    /// `uses` is what [`export_calibration_graph`] returned; each of `texts` is the graph's output `ranges` for one text,
    /// `[uses, 2]`, row-major. Where layers share a product, the widest use of a text counts. The median serves better
    /// than the extremes: on all-MiniLM-L6-v2 and 150 abstracts the mean cosine to fp32 is .9967 and not .9964, the least
    /// .9952 and not .9943, because what lies beyond saturates and all else gains digits.
    ///
    /// # Errors
    /// `CalibrationTexts` when there is no text, or one has another number of values than `uses` implies.
    pub fn of(uses: &[String], texts: &[Vec<f32>]) -> Result<Self, Error> {
        let expected = uses.len() * 2;
        let odd = texts.iter().position(|text| text.len() != expected);
        if texts.is_empty() || odd.is_some() {
            let received = odd.map(|text| texts[text].len());
            return Err(Error::CalibrationTexts { texts: texts.len(), expected, received });
        }
        let mut seen: BTreeMap<&str, (Vec<f32>, Vec<f32>)> = BTreeMap::new();
        for text in texts {
            let mut widest: BTreeMap<&str, (f32, f32)> = BTreeMap::new();
            for (name, range) in uses.iter().zip(text.chunks_exact(2)) {
                let wide = widest.entry(name).or_insert((range[0], range[1]));
                *wide = (wide.0.min(range[0]), wide.1.max(range[1]));
            }
            for (name, (least, most)) in widest {
                let (leasts, mosts) = seen.entry(name).or_default();
                leasts.push(least);
                mosts.push(most);
            }
        }
        let ranges = seen.into_iter().map(|(name, (leasts, mosts))| (name.to_owned(), (median(leasts), median(mosts))));
        Ok(Self { ranges: ranges.collect() })
    }
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values[values.len() / 2]
}

/// A range as `QuantizeLinear` takes it: `byte = value / scale + zero`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    pub(crate) scale: f32,
    pub(crate) zero: u8,
}

impl Range {
    /// Zero is always in the range, and is always met exactly. None where the ends are no numbers or in the wrong order.
    pub(crate) fn spanning(least: f32, most: f32) -> Option<Self> {
        if !(least.is_finite() && most.is_finite() && least <= most) {
            return None;
        }
        let (least, most) = (least.min(0.0), most.max(0.0));
        let reach = most / LARGEST - least / LARGEST;
        let scale = if reach < f32::MIN_POSITIVE { 1.0 } else { reach };
        Some(Self { scale, zero: (-least / scale).round_ties_even() as u8 })
    }
}

impl Assembly<'_> {
    /// The range of what the product `name` takes in.
    ///
    /// # Errors
    /// `CalibrationMissing` or `CalibrationRange`.
    pub(crate) fn range_of(&self, name: &str) -> Result<Range, Error> {
        let found = self.calibration.and_then(|calibration| calibration.ranges.get(name));
        let &(least, most) = found.ok_or_else(|| Error::CalibrationMissing { product: name.to_owned() })?;
        Range::spanning(least, most).ok_or_else(|| Error::CalibrationRange { product: name.to_owned(), least, most })
    }

    /// Notes that the product `name` takes in `states`, in a calibration graph.
    pub(crate) fn observe(&mut self, name: &str, states: &str) {
        if let Some(uses) = &mut self.observed {
            uses.push((name.to_owned(), states.to_owned()));
        }
    }

    /// Adds the output `ranges` to a calibration graph; the names of the products, in the order of its rows.
    pub(crate) fn ranges(&mut self) -> Vec<String> {
        let uses = self.observed.take().unwrap_or_default();
        let row = self.graph.i64("constant.row", &[2], &[1, 1]);
        let mut ends = Vec::with_capacity(uses.len());
        for (number, (_, states)) in uses.iter().enumerate() {
            let mut end = |op_type: &str| {
                let name = format!("{RANGES}.{number}.{op_type}");
                let end =
                    self.graph.node(op_type, &[states], &format!("{name}.scalar"), &[Setting::Int("keepdims", 0)]);
                self.graph.node("Reshape", &[&end, &row], &name, &[])
            };
            let pair = [end("ReduceMin"), end("ReduceMax")];
            let pair = pair.each_ref().map(String::as_str);
            ends.push(self.graph.node("Concat", &pair, &format!("{RANGES}.{number}"), &[Setting::Int("axis", 1)]));
        }
        let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
        self.graph.node("Concat", &ends, RANGES, &[Setting::Int("axis", 0)]);
        self.graph.output(RANGES, &[Length::Fixed(uses.len()), Length::Fixed(2)]);
        uses.into_iter().map(|(name, _)| name).collect()
    }
}

/// Writes a graph in fp32 that gives, beside the outputs of `options.head`, the output `ranges`, f32 `[uses, 2]`: least
/// and largest value that each product of the `int8-static` graph takes in. Returns the products' names, in the order of
/// the rows; a product that several layers share has a row for each.
///
/// # Errors
/// As [`crate::export`].
pub fn export_calibration_graph(checkpoint: &Path, options: &ExportOptions, out: &Path) -> Result<Vec<String>, Error> {
    let options = ExportOptions { precision: Precision::Int8Static, calibration: None, ..options.clone() };
    let built = export::build(checkpoint, &options, true)?;
    let uses = built.uses.clone();
    built.write(out)?;
    Ok(uses)
}

/// The matrix products of the graph for `head` of the checkpoint in folder `checkpoint` that a precision applies to, in
/// order. Their names are those of [`ExportOptions::keep_fp32`]. Fill-mask has those of all other heads and its own.
///
/// # Errors
/// As [`crate::export`].
pub fn products(checkpoint: &Path, head: Head) -> Result<Vec<Product>, Error> {
    Ok(export::build(checkpoint, &ExportOptions { head, ..ExportOptions::default() }, false)?.products)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_the_widest_uses_become_ranges() {
        let uses = ["one", "shared", "shared"].map(str::to_owned);
        let text = |least: f32, most: f32| vec![least, most, -1.0, 1.0, -2.0, 0.5];
        let texts = [text(-9.0, 1.0), text(-1.0, 3.0), text(-2.0, 2.0)];
        let calibration = Calibration::of(&uses, &texts).unwrap();
        let expected = [("one".to_owned(), (-2.0, 2.0)), ("shared".to_owned(), (-2.0, 1.0))];
        assert_eq!(calibration.ranges, expected.into_iter().collect());
    }

    #[test]
    fn texts_must_fit() {
        let uses = ["one".to_owned()];
        let message = |texts: &[Vec<f32>]| Calibration::of(&uses, texts).unwrap_err().to_string();
        assert!(message(&[]).contains("no text"), "{}", message(&[]));
        let odd = message(&[vec![0.0, 1.0], vec![0.0]]);
        assert!(odd.contains("2 values each") && odd.contains("has 1"), "{odd}");
    }

    #[test]
    fn a_range_holds_zero_exactly() {
        assert_eq!(Range::spanning(-1.0, 1.55), Some(Range { scale: 0.01, zero: 100 }));
        assert_eq!(Range::spanning(2.0, 5.1).map(|range| range.zero), Some(0));
        assert_eq!(Range::spanning(-5.1, -2.0).map(|range| range.zero), Some(255));
        assert_eq!(Range::spanning(0.0, 0.0), Some(Range { scale: 1.0, zero: 0 }));
        assert!(Range::spanning(-f32::MAX, f32::MAX).is_some_and(|range| range.scale.is_finite()));
        for (least, most) in [(f32::NAN, 1.0), (0.0, f32::INFINITY), (1.0, 0.0)] {
            assert_eq!(Range::spanning(least, most), None);
        }
    }
}
