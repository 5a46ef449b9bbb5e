//! The part of the public ONNX schema (`onnx.proto`, IR version 8) that a graph of this exporter uses, and its bytes.
//!
//! Field numbers are those of the schema. Fields of the schema that are never written are left out; a `oneof` is
//! written as optional fields of which one is set, which is the same on the wire.

use std::io::{self, Write};

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

/// `ModelProto`, less its graph, which [`write_model`] appends.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Model {
    #[prost(int64, optional, tag = "1")]
    pub(crate) ir_version: Option<i64>,
    #[prost(string, tag = "2")]
    pub(crate) producer_name: String,
    #[prost(string, tag = "3")]
    pub(crate) producer_version: String,
    #[prost(message, repeated, tag = "8")]
    pub(crate) opset_import: Vec<OperatorSet>,
    #[prost(message, repeated, tag = "14")]
    pub(crate) metadata_props: Vec<Entry>,
}

/// Field number of `ModelProto.graph`.
const MODEL_GRAPH: u32 = 7;

/// `GraphProto`, less its initializers, which [`write_model`] appends.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<Node>,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "11")]
    pub(crate) input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) output: Vec<ValueInfo>,
}

/// Field number of `GraphProto.initializer`.
const GRAPH_INITIALIZER: u32 = 5;

/// `OperatorSetIdProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OperatorSet {
    #[prost(string, tag = "1")]
    pub(crate) domain: String,
    #[prost(int64, optional, tag = "2")]
    pub(crate) version: Option<i64>,
}

/// `StringStringEntryProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Entry {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub(crate) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    #[prost(string, tag = "4")]
    pub(crate) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    pub(crate) domain: String,
}

/// `AttributeProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Attribute {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(float, optional, tag = "2")]
    pub(crate) f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub(crate) i: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(crate) s: Option<Vec<u8>>,
    #[prost(message, optional, tag = "6")]
    pub(crate) g: Option<Graph>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub(crate) ints: Vec<i64>,
    /// `AttributeType`: 1 float, 2 int, 3 string, 5 graph, 7 ints.
    #[prost(int32, optional, tag = "20")]
    pub(crate) kind: Option<i32>,
}

/// `ValueInfoProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueInfo {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) kind: Option<ValueType>,
}

/// `TypeProto` of a tensor.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueType {
    #[prost(message, optional, tag = "1")]
    pub(crate) tensor: Option<TensorType>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorType {
    #[prost(int32, optional, tag = "1")]
    pub(crate) element: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<TensorShape>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorShape {
    #[prost(message, repeated, tag = "1")]
    pub(crate) dimension: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`: a length or the name of one.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Dimension {
    #[prost(int64, optional, tag = "1")]
    pub(crate) value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(crate) name: Option<String>,
}

/// `TensorProto` with its data as little-endian bytes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Tensor {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub(crate) dims: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) data_type: Option<i32>,
    #[prost(string, tag = "8")]
    pub(crate) name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub(crate) raw_data: Vec<u8>,
}

/// `TensorProto.DataType`, as far as used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    F32 = 1,
    U8 = 2,
    I8 = 3,
    I32 = 6,
    I64 = 7,
    F16 = 10,
}

/// Bytes that [`write_model`] will write.
pub(crate) fn model_bytes(model: &Model, graph: &Graph, initializers: &[Tensor]) -> u64 {
    let graph_len = graph_bytes(graph, initializers);
    (model.encoded_len() + prost::encoding::key_len(MODEL_GRAPH)) as u64
        + prost::encoding::encoded_len_varint(graph_len) as u64
        + graph_len
}

/// Writes a model one initializer at a time, each dropped once it is written, so that the weights are held once.
///
/// # Errors
/// Whatever `to` says.
pub(crate) fn write_model(
    model: &Model,
    graph: &Graph,
    initializers: Vec<Tensor>,
    to: &mut impl Write,
) -> io::Result<()> {
    let mut buffer = model.encode_to_vec();
    encode_key(MODEL_GRAPH, WireType::LengthDelimited, &mut buffer);
    encode_varint(graph_bytes(graph, &initializers), &mut buffer);
    to.write_all(&buffer)?;
    to.write_all(&graph.encode_to_vec())?;
    for tensor in initializers {
        buffer.clear();
        prost::encoding::message::encode(GRAPH_INITIALIZER, &tensor, &mut buffer);
        to.write_all(&buffer)?;
    }
    Ok(())
}

fn graph_bytes(graph: &Graph, initializers: &[Tensor]) -> u64 {
    let weights: u64 =
        initializers.iter().map(|tensor| prost::encoding::message::encoded_len(GRAPH_INITIALIZER, tensor) as u64).sum();
    graph.encoded_len() as u64 + weights
}
