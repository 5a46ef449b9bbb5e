//! What can be chosen for a model's graphs in integers. It is part of the card, so that a graph that is made later is made
//! likewise.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::card::is_default;

/// How a model's graphs in `int8`, `int8-static`, `q8` and `q4` are made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quantization {
    /// Matrix products that stay in fp32, by the names of their tensors.
    #[serde(skip_serializing_if = "is_default")]
    pub keep_fp32: BTreeSet<String>,
    /// What the products of `int8-static` take in; none where it was not measured.
    #[serde(skip_serializing_if = "is_default")]
    pub ranges: Option<MeasuredRanges>,
}

/// Ranges of what a model's products take in, measured over texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredRanges {
    /// How many texts there were.
    pub texts: usize,
    /// Hash of the texts, lower-case hex.
    pub texts_blake3: String,
    /// Least and largest value, by product.
    pub products: BTreeMap<String, (f32, f32)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_back_to_the_last_bit() {
        let products = [("wide".to_owned(), (-0.1_f32, 1.0 / 3.0)), ("a+key+value".to_owned(), (f32::MIN, 1e-40))];
        let ranges = MeasuredRanges { texts: 2, texts_blake3: "00".to_owned(), products: products.into() };
        let keep_fp32 = BTreeSet::from(["narrow".to_owned()]);
        let chosen = Quantization { keep_fp32, ranges: Some(ranges) };
        let text = serde_json::to_string(&chosen).unwrap();
        assert_eq!(serde_json::from_str::<Quantization>(&text).unwrap(), chosen);
        assert_eq!(serde_json::to_string(&Quantization::default()).unwrap(), "{}");
    }
}
