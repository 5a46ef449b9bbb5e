//! Numerics for which ONNX Runtime has no fast kernel on a CPU: pure functions over slices, each on the thread that
//! calls it.
//!
//! Each is written once for vectors of any width; attention and products a second time for AVX2, where the compiler finds no
//! way to keep sums in registers, and attention a third time for processors that multiply in bf16. What runs depends on the
//! processor alone: on one machine, equal input gives equal bits.

#![expect(clippy::inline_always, reason = "what is compiled for several processors has to be a part of each")]

mod attention;
mod gelu;
mod norm;
mod product;
#[cfg(test)]
mod random;
mod widest;

pub use attention::{AttentionShape, attend, has_bf16};
pub use gelu::gelu_scaled;
pub use norm::add_and_norm;
pub use product::{PackedMatrix, PackedView, multiply_rows, pack, packed_shape};
