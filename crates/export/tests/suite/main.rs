//! Exports checkpoints, runs the graphs in ONNX Runtime and compares them with independent arithmetic.

mod families;
mod fault_table;
mod faults;
mod foreign;
mod goldens;
mod inspect;
mod invariance;
mod memory;
mod mutations;
mod precisions;
mod ready_made;
mod reference;
mod runtime;
mod synthetic;
mod tiny;
