//! Weights as bytes that no sum in 16 bits can overflow by, in the order in which a kernel reads them.

use super::{BLOCK, CHAIN, LARGEST_CHAIN, LARGEST_WEIGHT, PANEL, QUAD, QUADS};

/// A matrix of signed bytes with a scale for each output.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedMatrix {
    /// Weights, as [`packed_shape`] says.
    pub bytes: Vec<i8>,
    /// `weight = byte · scale` of its output.
    pub scales: Vec<f32>,
    /// Each output's scale times the sum of its bytes.
    pub sums: Vec<f32>,
}

/// The shape of a packed matrix, `[panels, blocks, quads, outputs of a panel, inputs of a quad]`, with zeros behind the last
/// input and output.
pub fn packed_shape(inputs: usize, outputs: usize) -> [usize; 5] {
    [outputs.div_ceil(PANEL), inputs.div_ceil(BLOCK), QUADS, PANEL, QUAD]
}

/// Rounds `weight`, `[outputs, inputs]`, to bytes under a scale for each output.
///
/// A scale is that of the largest weight, unless sums would overflow under it: the weights of one sign among those that
/// are added in 16 bits may come to no more than 258. On all-MiniLM-L6-v2 scales grow by a fifth for it, which costs
/// .0002 of the mean cosine to fp32.
///
/// # Panics
/// When `weight` is not whole rows of `inputs` values.
pub fn pack(weight: &[f32], inputs: usize) -> PackedMatrix {
    assert!(inputs > 0 && weight.len().is_multiple_of(inputs), "rows of {inputs} weights");
    let outputs = weight.len() / inputs;
    let shape = packed_shape(inputs, outputs);
    let mut packed = PackedMatrix { bytes: vec![0; shape.iter().product()], scales: Vec::new(), sums: Vec::new() };
    let mut row = vec![0_i8; inputs];
    for (output, weights) in weight.chunks_exact(inputs).enumerate() {
        let scale = fitting(weights, &mut row);
        let panel = &mut packed.bytes[output / PANEL * shape[1] * BLOCK * PANEL..];
        for (quad, bytes) in row.chunks(QUAD).enumerate() {
            panel[(quad * PANEL + output % PANEL) * QUAD..][..bytes.len()].copy_from_slice(bytes);
        }
        packed.scales.push(scale);
        packed.sums.push(scale * row.iter().map(|&byte| i32::from(byte)).sum::<i32>() as f32);
    }
    packed
}

/// Rounds a row of weights into `bytes` by the smallest scale that fits, which it returns.
fn fitting(weights: &[f32], bytes: &mut [i8]) -> f32 {
    let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    // Below the normal range a scale would lose its digits, and so would the product.
    if largest < f32::MIN_POSITIVE * LARGEST_WEIGHT {
        bytes.fill(0);
        return 1.0;
    }
    let chains = |sign: f32| largest_chain(weights, |weight| (weight * sign).max(0.0), 0.0, f32::max, |a, b| a + b);
    let mut scale = (largest / LARGEST_WEIGHT).max(chains(1.0).max(chains(-1.0)) / LARGEST_CHAIN as f32);
    loop {
        for (byte, weight) in bytes.iter_mut().zip(weights) {
            *byte = (weight / scale).round_ties_even().clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT) as i8;
        }
        let chains =
            |sign: i32| largest_chain(bytes, |byte| (i32::from(byte) * sign).max(0), 0, i32::max, |a, b| a + b);
        if chains(1).max(chains(-1)) <= LARGEST_CHAIN {
            return scale;
        }
        // Rounding went beyond the bound, by at most half a step for each of the chain.
        scale *= 1.0 + 1.0 / (CHAIN * CHAIN * QUAD) as f32;
    }
}

/// The largest sum of `part` over weights that are added in 16 bits: of each quad of a block, one pair.
fn largest_chain<T: Copy, S: Copy>(
    weights: &[T],
    part: impl Fn(T) -> S,
    zero: S,
    larger: impl Fn(S, S) -> S,
    add: impl Fn(S, S) -> S,
) -> S {
    let mut largest = zero;
    for block in weights.chunks(BLOCK) {
        let mut chains = [zero; QUAD / 2];
        for (at, &weight) in block.iter().enumerate() {
            let chain = &mut chains[at % QUAD / 2];
            *chain = add(*chain, part(weight));
        }
        largest = chains.into_iter().fold(largest, &larger);
    }
    largest
}
