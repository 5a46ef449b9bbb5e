//! Products of states with weights in bytes, for x86 processors whose 8-bit products add in 16 bits.
//!
//! Without VNNI the instruction for 8-bit products (`vpmaddubsw`) adds two of them in 16 bits, where they saturate, and
//! widening every sum takes as long as multiplying. Here the operands are such that many products fit into 16 bits:
//! a row of states has 7 bits under a range of its own, and each output's weights are scaled so that no sum of
//! [`CHAIN`] products can leave 16 bits ([`pack`]). Then one widening serves all of them, nothing ever saturates, and the
//! result is exact, so that a row does not see its neighbours and every kernel gives the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod pack;
mod portable;

use std::cell::RefCell;

pub use self::pack::{PackedMatrix, pack, packed_shape};
use crate::widest::{has_avx2, on_widest_vectors};

/// Outputs in a panel: two vectors of sums.
const PANEL: usize = 16;
/// Inputs that one 32-bit sum takes in at a time.
const QUAD: usize = 4;
/// Quads whose products are added in 16 bits.
const QUADS: usize = 4;
/// Inputs in a block, of which each output has one row of bytes.
const BLOCK: usize = QUAD * QUADS;
/// Products that are added in 16 bits: of each quad, the first pair in one sum and the second in another.
const CHAIN: usize = BLOCK / 2;
/// Largest number of a state's value.
const LARGEST_STATE: i32 = 127;
/// Largest magnitude of a weight's byte.
const LARGEST_WEIGHT: f32 = 127.0;
/// Largest sum of the weights of one sign in a chain: states of 127 bring it to at most 32,766.
const LARGEST_CHAIN: i32 = i16::MAX as i32 / LARGEST_STATE;
/// Bytes that a thread keeps between calls: rows of 512 tokens and 4,096 values.
const KEPT: usize = 1 << 21;

/// A matrix of [`PackedMatrix`]'s layout, with what is added to the product.
#[derive(Debug, Clone, Copy)]
pub struct PackedView<'m> {
    /// Weights, as [`packed_shape`] says.
    pub bytes: &'m [i8],
    /// Scale of each output's bytes.
    pub scales: &'m [f32],
    /// Each output's scale times the sum of its bytes.
    pub sums: &'m [f32],
    /// What is added to each output.
    pub bias: &'m [f32],
}

/// A row of states in 7 bits: `value = low + scale · byte`.
#[derive(Debug, Clone, Copy, Default)]
struct RowRange {
    low: f32,
    scale: f32,
}

/// States in bytes, `[rows, stride]`, filled up with zeros.
#[derive(Debug, Default)]
struct Bytes {
    values: Vec<u8>,
    ranges: Vec<RowRange>,
    /// A multiple of [`BLOCK`].
    stride: usize,
}

thread_local! {
    static BYTES: RefCell<Bytes> = RefCell::default();
}

/// Writes `states · weights + bias` into `product`.
///
/// `states` is `[rows, inputs]`, `product` `[rows, outputs]`, row-major. Each row of states is rounded to 128 steps between its
/// own least and largest value, so that rows do not depend on each other; what follows is exact up to the last rounding.
/// A row with a value that is not finite becomes NaN.
///
/// # Panics
/// When the lengths do not fit each other.
pub fn multiply_rows(states: &[f32], inputs: usize, matrix: PackedView<'_>, product: &mut [f32]) {
    multiply_by(has_avx2(), states, inputs, matrix, product);
}

fn multiply_by(fast: bool, states: &[f32], inputs: usize, matrix: PackedView<'_>, product: &mut [f32]) {
    let outputs = matrix.scales.len();
    assert!(inputs > 0 && outputs > 0, "a matrix of {inputs} inputs and {outputs} outputs");
    assert!(states.len().is_multiple_of(inputs), "rows of {inputs} values, not {} values", states.len());
    assert_eq!(product.len() / outputs, states.len() / inputs, "one product a row");
    assert!(product.len().is_multiple_of(outputs), "products of {outputs} values");
    assert_eq!((matrix.sums.len(), matrix.bias.len()), (outputs, outputs), "a sum and a bias for each output");
    assert_eq!(matrix.bytes.len(), packed_shape(inputs, outputs).iter().product::<usize>(), "a byte for each weight");
    BYTES.with_borrow_mut(|bytes| {
        bytes.stride = inputs.next_multiple_of(BLOCK);
        let rows = states.len() / inputs;
        bytes.ranges.clear();
        bytes.ranges.resize(rows, RowRange::default());
        if bytes.values.len() < rows * bytes.stride {
            bytes.values.resize(rows * bytes.stride, 0);
        }
        to_bytes(states, inputs, &mut bytes.values, bytes.stride, &mut bytes.ranges);
        for (panel, first) in (0..outputs).step_by(PANEL).enumerate() {
            let size = bytes.stride * PANEL;
            let outputs = Outputs::of(matrix, first);
            let weights = &matrix.bytes[panel * size..][..size];
            #[cfg(target_arch = "x86_64")]
            if fast {
                // SAFETY: the caller asked `has_avx2`; lengths were checked above.
                unsafe { avx2::panel(bytes, weights, &outputs, product, matrix.scales.len()) };
                continue;
            }
            let _ = fast;
            portable::panel(bytes, weights, &outputs, product, matrix.scales.len());
        }
        if bytes.values.len() > KEPT {
            *bytes = Bytes::default();
        }
    });
}

/// What a panel's sums become values by; zeros where it has fewer than [`PANEL`] outputs.
#[derive(Debug)]
struct Outputs {
    first: usize,
    count: usize,
    scales: [f32; PANEL],
    sums: [f32; PANEL],
    bias: [f32; PANEL],
}

impl Outputs {
    fn of(matrix: PackedView<'_>, first: usize) -> Self {
        let count = (matrix.scales.len() - first).min(PANEL);
        let part = |values: &[f32]| {
            let mut part = [0.0; PANEL];
            part[..count].copy_from_slice(&values[first..][..count]);
            part
        };
        Self { first, count, scales: part(matrix.scales), sums: part(matrix.sums), bias: part(matrix.bias) }
    }
}

on_widest_vectors! {
    /// Rounds each row of `states` to bytes.
    fn to_bytes(states: &[f32], inputs: usize, bytes: &mut [u8], stride: usize, ranges: &mut [RowRange]) = round_rows
}

#[inline(always)]
fn round_rows<const FUSED: bool>(
    states: &[f32],
    inputs: usize,
    bytes: &mut [u8],
    stride: usize,
    ranges: &mut [RowRange],
) {
    let rows = states.chunks_exact(inputs).zip(bytes.chunks_exact_mut(stride));
    for ((states, bytes), range) in rows.zip(ranges) {
        let (low, high) = reach(states);
        let (scale, inverse) = steps(low, high);
        *range = RowRange { low, scale };
        let (bytes, fill) = bytes.split_at_mut(inputs);
        for (byte, &value) in bytes.iter_mut().zip(states) {
            /// Added to it, a number is rounded to a whole one, which then stands in the lowest bits.
            const SHIFT: f32 = 12_582_912.0;
            *byte = ((value - low) * inverse + SHIFT).to_bits() as u8;
        }
        fill.fill(0);
    }
}

/// The size of a step between `low` and `high`, and its inverse; both zero where all values are as good as equal.
#[inline(always)]
fn steps(low: f32, high: f32) -> (f32, f32) {
    let scale = (high - low) / LARGEST_STATE as f32;
    let inverse = LARGEST_STATE as f32 / (high - low);
    if inverse == f32::INFINITY { (0.0, 0.0) } else { (scale, inverse) }
}

/// Values compared side by side.
const LANES: usize = 16;

/// The least and the largest value; NaN where one is not finite.
#[inline(always)]
fn reach(values: &[f32]) -> (f32, f32) {
    let (mut low, mut high, mut flaws) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES], [0.0; LANES]);
    let mut take = |lane: usize, value: f32| {
        low[lane] = if value < low[lane] { value } else { low[lane] };
        high[lane] = if value > high[lane] { value } else { high[lane] };
        // Zero of a finite value, NaN of any other.
        flaws[lane] += value * 0.0;
    };
    let whole = values.chunks_exact(LANES);
    let rest = whole.remainder();
    for chunk in whole {
        chunk.iter().enumerate().for_each(|(lane, &value)| take(lane, value));
    }
    rest.iter().enumerate().for_each(|(lane, &value)| take(lane, value));
    let low = low.iter().copied().fold(f32::INFINITY, f32::min);
    let high = high.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let flaws: f32 = flaws.iter().sum();
    (low + flaws, high + flaws)
}

#[cfg(test)]
mod tests;
