//! Checkpoint (`config.json` and safetensors, Hugging Face layout) to ONNX graph.
//!
//! [`export`] reads an encoder of the BERT family and writes one self-contained graph: token ids in, what the chosen head
//! gives out. The graph is written already fused for the CPU provider of ONNX Runtime; running it is left to the
//! encoder, and this library names no runtime.

mod assembly;
mod atomic;
mod attention;
mod balance;
mod calibration;
mod checkpoint;
mod config;
mod dense;
mod door;
mod error;
mod export;
mod family;
mod files;
mod foreign;
mod fuse;
mod graph;
mod half;
mod heads;
mod inspect;
mod labels;
mod late;
mod local;
mod manners;
mod modern;
mod onnx;
mod paths;
mod pool;
mod products;
mod quantize;
mod relative;
mod sentence;
mod shape;
mod shards;
mod tokenizer_files;
mod trunk;

pub use calibration::{Calibration, export_calibration_graph, products};
pub use error::Error;
pub use export::{EXPORTER_VERSION, ExportOptions, ExportReport, Product, export};
pub use foreign::{
    ElementType, ExternalFile, GraphDescription, GraphRole, GraphValue, ReadyGraph, find_graphs, inspect_graph,
    inspect_graph_bytes, ready_made, ready_made_of,
};
pub use inspect::{Inspection, inspect, inspect_ready_made};
pub use paths::inside;
pub use tokenizer_files::tokenizer_json;
