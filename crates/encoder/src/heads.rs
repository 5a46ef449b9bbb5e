//! What a head's numbers mean: tensors and tokens in, results out. Pure; running the graph is left to the encoder.

pub mod attention;
pub mod classify;
pub mod entities;
pub mod fill_mask;
pub mod late;
pub mod sparse;
pub mod vectors;
