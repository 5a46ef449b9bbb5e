//! Late interaction: 8-bit vectors of every token of a chunk, beside the dense segments, and MaxSim over them.

mod maxsim;
mod rows;

pub(crate) use maxsim::{MAX_DIMENSIONS, PackedQuery};
pub(crate) use rows::{TokenFile, decode, encode, stride, write_tokens};
