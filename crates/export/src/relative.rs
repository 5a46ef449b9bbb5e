//! The relative position bias of MPNet (Song et al., 2020), which is that of T5 (Raffel et al., 2020): the score of two
//! tokens depends on their distance, near ones each by itself, far ones in buckets that widen logarithmically.

use crate::Error;
use crate::assembly::Assembly;
use crate::graph::{Setting, Value};
use crate::shape::Shape;

/// Distances from here on share the last bucket. Written into the code of MPNet.
const FARTHEST: f64 = 128.0;

/// Builds the bias of all scores, `[1, heads, sequence, sequence]`, which every layer adds.
///
/// # Errors
/// What is wrong with the table `encoder.relative_attention_bias.weight`, `[buckets, heads]`.
pub(crate) fn bias(assembly: &mut Assembly<'_>, buckets: usize, shape: &Shape) -> Result<Value, Error> {
    let name = assembly.weights.full("encoder.relative_attention_bias.weight");
    let table = assembly.weights.values(&name, &[buckets, shape.heads])?;
    let farthest = shape.max_tokens() as i64 - 1;
    // The bias for each distance, `[heads, 2 · farthest + 1]`, so that the graph only picks.
    let mut by_distance = Vec::with_capacity(shape.heads * (2 * farthest as usize + 1));
    for head in 0..shape.heads {
        by_distance
            .extend((-farthest..=farthest).map(|distance| table[bucket(distance, buckets) * shape.heads + head]));
    }
    let graph = &mut assembly.graph;
    let width = by_distance.len() / shape.heads;
    let by_distance = graph.f32("relative.by_distance", &[shape.heads, width], &by_distance);
    let zero = graph.i64("constant.scalar_zero", &[], &[0]);
    let step = graph.i64("constant.scalar_one", &[], &[1]);
    let first = graph.i64("constant.first", &[1], &[0]);
    let second = graph.i64("constant.one", &[1], &[1]);
    let length = graph.node("Squeeze", &["input.length"], "relative.length", &[]);
    let places = graph.node("Range", &[&zero, &length, &step], "relative.places", &[]);
    let keys = graph.node("Unsqueeze", &[&places, &first], "relative.keys", &[]);
    let queries = graph.node("Unsqueeze", &[&places, &second], "relative.queries", &[]);
    let distances = graph.node("Sub", &[&keys, &queries], "relative.distances", &[]);
    let shift = graph.i64("relative.shift", &[], &[farthest]);
    let indices = graph.node("Add", &[&distances, &shift], "relative.indices", &[]);
    let picked = graph.node("Gather", &[&by_distance, &indices], "relative.picked", &[Setting::Int("axis", 1)]);
    Ok(graph.node("Unsqueeze", &[&picked, &first], "relative.bias", &[]))
}

/// The bucket of a distance, key position minus query position.
fn bucket(distance: i64, buckets: usize) -> usize {
    let half = buckets / 2;
    let side = if distance > 0 { half } else { 0 };
    let length = distance.unsigned_abs() as usize;
    let exact = half / 2;
    if length < exact {
        return side + length;
    }
    // In f32, as the reference computes it: a rounding decides the bucket of distances that are powers of two.
    let share = (length as f32 / exact as f32).ln() / (FARTHEST / exact as f64).ln() as f32;
    side + (exact + (share * (half - exact) as f32) as usize).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_distances_have_buckets_of_their_own() {
        let near: Vec<usize> = (-7..=0).map(|distance| bucket(distance, 32)).collect();
        assert_eq!(near, [7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!((bucket(1, 32), bucket(7, 32)), (17, 23));
    }

    #[test]
    fn far_distances_share_and_the_last_bucket_holds_the_rest() {
        // Of `MPNetEncoder.relative_position_bucket` with 32 buckets, transformers 5.23.
        let far = [8, 11, 12, 15, 16, 31, 32, 64, 127, 128, 500].map(|distance| bucket(-distance, 32));
        assert_eq!(far, [8, 8, 9, 9, 10, 11, 12, 14, 15, 15, 15]);
    }
}
