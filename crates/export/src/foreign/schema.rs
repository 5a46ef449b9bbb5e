//! The part of the public ONNX schema (`onnx.proto`) that is looked at in a foreign graph, as views over its bytes.
//!
//! Field numbers are those of the schema. Whatever is not looked at is passed over by its length.

use super::wire::{Budget, Field, Message, Read, fault};

/// `ModelProto`.
#[derive(Debug)]
pub(super) struct Model<'a> {
    pub(super) ir_version: Option<i64>,
    pub(super) producer: &'a str,
    pub(super) producer_version: &'a str,
    pub(super) opsets: Vec<(&'a str, i64)>,
    pub(super) graph: Option<Graph<'a>>,
}

/// `GraphProto`.
#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) initializers: Vec<Tensor<'a>>,
    pub(super) inputs: Vec<ValueInfo<'a>>,
    pub(super) outputs: Vec<ValueInfo<'a>>,
}

/// `NodeProto`, with the tensors and graphs of its attributes.
#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) op_type: Option<&'a str>,
    pub(super) domain: Option<&'a str>,
    /// Attributes that are whole numbers.
    pub(super) ints: Vec<(&'a str, i64)>,
    /// Attributes that are lists of whole numbers.
    pub(super) lists: Vec<(&'a str, Vec<i64>)>,
    pub(super) tensors: Vec<Tensor<'a>>,
    pub(super) graphs: Vec<Graph<'a>>,
}

/// `ValueInfoProto`.
#[derive(Debug, Default)]
pub(super) struct ValueInfo<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) kind: Option<Kind<'a>>,
}

/// `TypeProto`.
#[derive(Debug)]
pub(super) enum Kind<'a> {
    Tensor {
        element: i64,
        lengths: Option<Vec<Length<'a>>>,
    },
    /// A sequence, a map, an optional, a sparse tensor.
    Other(&'static str),
}

/// One `Dimension` of a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length<'a> {
    Fixed(i64),
    Named(&'a str),
    Open,
}

/// `TensorProto`, its values left where they are.
#[derive(Debug, Default)]
pub(super) struct Tensor<'a> {
    pub(super) at: usize,
    pub(super) name: Option<&'a str>,
    pub(super) dims: Vec<i64>,
    pub(super) element: Option<i64>,
    pub(super) raw: Option<&'a [u8]>,
    pub(super) typed: Option<(Store, &'a [u8])>,
    pub(super) strings: u64,
    pub(super) external: Vec<(&'a str, &'a str)>,
    pub(super) location: Option<i64>,
}

/// The fields of `TensorProto` that hold packed numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    Float,
    Int32,
    Int64,
    Double,
    Uint64,
}

/// Reads a whole `ModelProto`.
pub(super) fn model<'a>(bytes: &'a [u8], budget: &Budget) -> Read<Model<'a>> {
    let (mut ir_version, mut producer, mut producer_version, mut graph_seen) = (None, None, None, None);
    let mut opsets = Vec::new();
    let mut fields = Message::whole(bytes);
    while let Some(field) = fields.next(budget)? {
        match field.number {
            1 => field.once("ir_version", &mut ir_version, field.int("ir_version")?)?,
            2 => field.once("producer_name", &mut producer, field.text("producer_name")?)?,
            3 => field.once("producer_version", &mut producer_version, field.text("producer_version")?)?,
            7 => field.once("graph", &mut graph_seen, graph(field, "graph", budget)?)?,
            8 => opsets.push(opset(field.message("opset_import")?, budget)?),
            20 => return fault(field.at, "it carries training_info; only graphs for inference are run"),
            25 => return fault(field.at, "it carries functions of its own; inline them before saving the graph"),
            _ => {}
        }
    }
    Ok(Model {
        ir_version,
        producer: producer.unwrap_or_default(),
        producer_version: producer_version.unwrap_or_default(),
        opsets,
        graph: graph_seen,
    })
}

fn opset<'a>(mut fields: Message<'a>, budget: &Budget) -> Read<(&'a str, i64)> {
    let (mut domain, mut version) = (None, None);
    while let Some(field) = fields.next(budget)? {
        match field.number {
            1 => field.once("domain", &mut domain, field.text("domain")?)?,
            2 => field.once("version", &mut version, field.int("version")?)?,
            _ => {}
        }
    }
    Ok((domain.unwrap_or_default(), version.unwrap_or_default()))
}

fn graph<'a>(field: Field<'a>, name: &str, budget: &Budget) -> Read<Graph<'a>> {
    let mut fields = field.message(name)?;
    budget.nested(field.at, || {
        let mut graph = Graph::default();
        while let Some(field) = fields.next(budget)? {
            match field.number {
                1 => graph.nodes.push(node(field, budget)?),
                5 => graph.initializers.push(tensor(field, "initializer", budget)?),
                11 => graph.inputs.push(value_info(field.message("input")?, budget)?),
                12 => graph.outputs.push(value_info(field.message("output")?, budget)?),
                15 => return fault(field.at, "it holds sparse initializers, which are not supported; save them dense"),
                _ => {}
            }
        }
        Ok(graph)
    })
}

fn node<'a>(field: Field<'a>, budget: &Budget) -> Read<Node<'a>> {
    let mut fields = field.message("node")?;
    let mut node = Node::default();
    while let Some(field) = fields.next(budget)? {
        match field.number {
            1 => node.inputs.push(field.text("input of a node")?),
            2 => node.outputs.push(field.text("output of a node")?),
            3 => field.once("name of a node", &mut node.name, field.text("name of a node")?)?,
            4 => field.once("op_type", &mut node.op_type, field.text("op_type")?)?,
            5 => attribute(field.message("attribute")?, &mut node, budget)?,
            7 => field.once("domain of a node", &mut node.domain, field.text("domain of a node")?)?,
            _ => {}
        }
    }
    Ok(node)
}

fn attribute<'a>(mut fields: Message<'a>, node: &mut Node<'a>, budget: &Budget) -> Read<()> {
    let (mut name, mut int, mut list) = (None, None, Vec::new());
    while let Some(field) = fields.next(budget)? {
        match field.number {
            1 => field.once("name of an attribute", &mut name, field.text("name of an attribute")?)?,
            3 => field.once("value of an attribute", &mut int, field.int("value of an attribute")?)?,
            8 => field.ints("values of an attribute", budget, &mut list)?,
            5 | 10 => node.tensors.push(tensor(field, "tensor of an attribute", budget)?),
            6 | 11 => node.graphs.push(graph(field, "graph of an attribute", budget)?),
            22 | 23 => return fault(field.at, "it holds a sparse tensor, which is not supported; save it dense"),
            _ => {}
        }
    }
    let Some(name) = name else { return Ok(()) };
    if let Some(int) = int {
        node.ints.push((name, int));
    }
    if !list.is_empty() {
        node.lists.push((name, list));
    }
    Ok(())
}

fn tensor<'a>(field: Field<'a>, what: &str, budget: &Budget) -> Read<Tensor<'a>> {
    let mut fields = field.message(what)?;
    let mut tensor = Tensor { at: field.at, ..Tensor::default() };
    while let Some(field) = fields.next(budget)? {
        match field.number {
            1 => field.ints("dims", budget, &mut tensor.dims)?,
            2 => field.once("data_type", &mut tensor.element, field.int("data_type")?)?,
            3 => return fault(field.at, "it holds a tensor in segments, which is not supported"),
            4 => packed(field, "float_data", Store::Float, &mut tensor)?,
            5 => packed(field, "int32_data", Store::Int32, &mut tensor)?,
            6 => {
                field.bytes("string_data")?;
                tensor.strings += 1;
            }
            7 => packed(field, "int64_data", Store::Int64, &mut tensor)?,
            8 => field.once("name of a tensor", &mut tensor.name, field.text("name of a tensor")?)?,
            9 => field.once("raw_data", &mut tensor.raw, field.bytes("raw_data")?)?,
            10 => packed(field, "double_data", Store::Double, &mut tensor)?,
            11 => packed(field, "uint64_data", Store::Uint64, &mut tensor)?,
            13 => tensor.external.push(entry(field.message("external_data")?, budget)?),
            14 => field.once("data_location", &mut tensor.location, field.int("data_location")?)?,
            _ => {}
        }
    }
    Ok(tensor)
}

fn packed<'a>(field: Field<'a>, name: &str, store: Store, tensor: &mut Tensor<'a>) -> Read<()> {
    // Writers of an early time put out an empty list of every type.
    let bytes = field.bytes(name)?;
    if bytes.is_empty() {
        return Ok(());
    }
    field.once("the data of a tensor", &mut tensor.typed, (store, bytes))
}

fn entry<'a>(mut fields: Message<'a>, budget: &Budget) -> Read<(&'a str, &'a str)> {
    let (mut key, mut value) = (None, None);
    while let Some(field) = fields.next(budget)? {
        match field.number {
            1 => field.once("key of external_data", &mut key, field.text("key of external_data")?)?,
            2 => field.once("value of external_data", &mut value, field.text("value of external_data")?)?,
            _ => {}
        }
    }
    Ok((key.unwrap_or_default(), value.unwrap_or_default()))
}

fn value_info<'a>(mut fields: Message<'a>, budget: &Budget) -> Read<ValueInfo<'a>> {
    let mut value = ValueInfo::default();
    while let Some(field) = fields.next(budget)? {
        match field.number {
            1 => field.once("name of a value", &mut value.name, field.text("name of a value")?)?,
            2 => field.once("type of a value", &mut value.kind, kind(field.message("type of a value")?, budget)?)?,
            _ => {}
        }
    }
    Ok(value)
}

fn kind<'a>(mut fields: Message<'a>, budget: &Budget) -> Read<Kind<'a>> {
    let mut kind = None;
    while let Some(field) = fields.next(budget)? {
        let found = match field.number {
            1 => tensor_type(field.message("tensor_type")?, budget)?,
            4 => Kind::Other("a sequence"),
            5 => Kind::Other("a map"),
            7 => Kind::Other("an opaque value"),
            8 => Kind::Other("a sparse tensor"),
            9 => Kind::Other("an optional value"),
            _ => continue,
        };
        field.once("type of a value", &mut kind, found)?;
    }
    Ok(kind.unwrap_or(Kind::Other("a value without a type")))
}

fn tensor_type<'a>(mut fields: Message<'a>, budget: &Budget) -> Read<Kind<'a>> {
    let (mut element, mut lengths) = (None, None);
    while let Some(field) = fields.next(budget)? {
        match field.number {
            1 => field.once("elem_type", &mut element, field.int("elem_type")?)?,
            2 => field.once("shape", &mut lengths, shape(field.message("shape")?, budget)?)?,
            _ => {}
        }
    }
    Ok(Kind::Tensor { element: element.unwrap_or_default(), lengths })
}

fn shape<'a>(mut fields: Message<'a>, budget: &Budget) -> Read<Vec<Length<'a>>> {
    let mut lengths = Vec::new();
    while let Some(field) = fields.next(budget)? {
        if field.number == 1 {
            lengths.push(length(field.message("dim")?, budget)?);
        }
    }
    Ok(lengths)
}

fn length<'a>(mut fields: Message<'a>, budget: &Budget) -> Read<Length<'a>> {
    let mut length = None;
    while let Some(field) = fields.next(budget)? {
        let found = match field.number {
            1 => Length::Fixed(field.int("dim_value")?),
            2 => Length::Named(field.text("dim_param")?),
            _ => continue,
        };
        field.once("length of a dimension", &mut length, found)?;
    }
    Ok(length.unwrap_or(Length::Open))
}
