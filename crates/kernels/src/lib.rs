//! Numerics for which ONNX Runtime has no fast kernel on a CPU: pure functions over slices, each on the thread that
//! calls it.
//!
//! Each is written once for vectors of any width; products a second time for AVX2, where the compiler finds no way to keep
//! sums in registers, and attention in f32 for any processor, in 16-bit integers for AVX2 and in bf16 for those that multiply
//! it. What runs depends on the processor alone: on one machine, equal input gives equal bits.

#![expect(clippy::inline_always, reason = "what is compiled for several processors has to be a part of each")]

mod attention;
mod gelu;
mod norm;
mod product;
#[cfg(test)]
mod random;
mod widest;

pub use attention::{AttentionShape, attend, attention_numbers, has_bf16};
pub use gelu::gelu_scaled;
pub use norm::add_and_norm;
pub use product::{PackedMatrix, PackedView, multiply_rows, pack, packed_shape};
