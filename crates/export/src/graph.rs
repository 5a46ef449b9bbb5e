//! Collects nodes and initializers of a graph under names that are given in order, so that equal input gives equal bytes.

use std::collections::HashSet;
use std::mem;

use crate::fuse::fuse;
use crate::half;
use crate::onnx::{
    Attribute, Dimension, Element, Entry, Graph, Model, Node, OperatorSet, Tensor, TensorShape, TensorType, ValueInfo,
    ValueType,
};

/// First version of the standard operators that has everything used here (`Attention`).
const OPSET: i64 = 23;
/// The IR version since then, which is also that of opset 21.
const IR_VERSION: i64 = 10;
/// Domain of ONNX Runtime's own operators.
pub(crate) const MICROSOFT: &str = "com.microsoft";
/// Domain of the operators that Berth brings itself.
const OWN: &str = "berth";

/// Name of a value that flows between nodes.
pub(crate) type Value = String;

/// A graph under construction.
#[derive(Debug, Default)]
pub(crate) struct GraphBuilder {
    graph: Graph,
    initializers: Vec<Tensor>,
    /// Names of the initializers.
    names: HashSet<String>,
    /// Which nodes are to work in f16.
    halves: Vec<bool>,
    half: bool,
}

/// A finished graph: what goes before the weights, and the weights.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) model: Model,
    pub(crate) graph: Graph,
    pub(crate) initializers: Vec<Tensor>,
}

/// A length of an output.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    /// Differs from run to run.
    Named(&'static str),
    /// Always the same.
    Fixed(usize),
}

/// An attribute of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Setting {
    Int(&'static str, i64),
    Float(&'static str, f32),
    Text(&'static str, &'static str),
    Ints(&'static str, &'static [i64]),
}

impl GraphBuilder {
    /// Declares an input of integers with named lengths.
    pub(crate) fn input(&mut self, name: &str, element: Element, lengths: &[&str]) -> Value {
        let dimensions = lengths.iter().map(|&length| Dimension { name: Some(length.to_owned()), value: None });
        self.graph.input.push(value_info(name, element, dimensions.collect()));
        name.to_owned()
    }

    /// Declares an output of f32 with the lengths `lengths`.
    pub(crate) fn output(&mut self, name: &str, lengths: &[Length]) {
        let dimensions = lengths.iter().map(|length| match *length {
            Length::Named(name) => Dimension { name: Some(name.to_owned()), value: None },
            Length::Fixed(value) => Dimension { name: None, value: Some(value as i64) },
        });
        self.graph.output.push(value_info(name, Element::F32, dimensions.collect()));
    }

    /// The nodes so far.
    #[cfg(test)]
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.graph.node
    }

    /// Whether there is a value of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.graph.node.iter().any(|node| node.output.iter().any(|output| output == name))
    }

    /// Adds a standard operator with one output of the name `output`.
    pub(crate) fn node(&mut self, op_type: &str, inputs: &[&str], output: &str, settings: &[Setting]) -> Value {
        self.push("", op_type, inputs, &[output], settings);
        output.to_owned()
    }

    /// Adds one of ONNX Runtime's own operators with one output.
    pub(crate) fn fused(&mut self, op_type: &str, inputs: &[&str], output: &str, settings: &[Setting]) -> Value {
        self.push(MICROSOFT, op_type, inputs, &[output], settings);
        output.to_owned()
    }

    /// Adds one of Berth's own operators with one output.
    pub(crate) fn own(&mut self, op_type: &str, inputs: &[&str], output: &str, settings: &[Setting]) -> Value {
        self.push(OWN, op_type, inputs, &[output], settings);
        output.to_owned()
    }

    /// Builds a part of the graph that only runs when it is chosen. `build` returns its one result.
    pub(crate) fn part(&mut self, name: &str, build: impl FnOnce(&mut Self) -> Value) -> Graph {
        let outer = mem::take(&mut self.graph.node);
        let marks = self.halves.len();
        let result = build(self);
        // A part works as the choice does that it belongs to.
        self.halves.truncate(marks);
        let node = mem::replace(&mut self.graph.node, outer);
        let output = vec![any_shape(&result, Element::F32)];
        Graph { node, name: name.to_owned(), input: Vec::new(), output }
    }

    /// Adds a choice between two parts by a boolean scalar.
    pub(crate) fn either(&mut self, condition: &str, yes: Graph, no: Graph, output: &str) -> Value {
        let mut choice = node("", "If", &[condition], &[output], &[]);
        for (name, part) in [("then_branch", yes), ("else_branch", no)] {
            let name = name.to_owned();
            choice.attribute.push(Attribute { name, g: Some(part), kind: Some(5), ..Attribute::default() });
        }
        self.graph.node.push(choice);
        self.halves.push(self.half);
        output.to_owned()
    }

    /// Marks the nodes that follow as working in f16, or not; returns what held before.
    pub(crate) fn halve(&mut self, half: bool) -> bool {
        mem::replace(&mut self.half, half)
    }

    /// Adds a standard operator with several outputs.
    pub(crate) fn split(&mut self, op_type: &str, inputs: &[&str], outputs: &[&str], settings: &[Setting]) {
        self.push("", op_type, inputs, outputs, settings);
    }

    /// Adds an initializer of f32.
    pub(crate) fn f32(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Value {
        self.initializer(name, Element::F32, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Adds an initializer of i8.
    pub(crate) fn i8(&mut self, name: &str, shape: &[usize], values: &[i8]) -> Value {
        self.initializer(name, Element::I8, shape, values.iter().map(|&value| value as u8).collect())
    }

    /// Adds an initializer of u8.
    pub(crate) fn u8(&mut self, name: &str, shape: &[usize], values: &[u8]) -> Value {
        self.initializer(name, Element::U8, shape, values.to_vec())
    }

    /// Adds an initializer that is one i32.
    pub(crate) fn i32_scalar(&mut self, name: &str, value: i32) -> Value {
        self.initializer(name, Element::I32, &[], value.to_le_bytes().to_vec())
    }

    /// Adds an initializer of i64.
    pub(crate) fn i64(&mut self, name: &str, shape: &[usize], values: &[i64]) -> Value {
        self.initializer(name, Element::I64, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Closes the graph.
    pub(crate) fn finish(mut self, producer_version: &str, metadata: &[(&str, String)]) -> Finished {
        "berth".clone_into(&mut self.graph.name);
        if self.halves.contains(&true) {
            let outputs = self.graph.output.iter().map(|output| output.name.clone()).collect();
            let nodes = mem::take(&mut self.graph.node).into_iter().zip(self.halves).collect();
            let initializers = self.initializers.iter().map(|tensor| tensor.name.clone()).collect();
            let nodes = fuse(nodes, &initializers, &outputs);
            (self.graph.node, self.initializers) = half::convert(nodes, self.initializers, &outputs);
        }
        let mut opsets = vec![("", OPSET), (MICROSOFT, 1)];
        if self.graph.node.iter().any(|node| node.domain == OWN) {
            opsets.push((OWN, 1));
        }
        let model = Model {
            ir_version: Some(IR_VERSION),
            producer_name: "berth".to_owned(),
            producer_version: producer_version.to_owned(),
            opset_import: opsets
                .into_iter()
                .map(|(domain, version)| OperatorSet { domain: domain.to_owned(), version: Some(version) })
                .collect(),
            metadata_props: metadata
                .iter()
                .map(|(key, value)| Entry { key: (*key).to_owned(), value: value.clone() })
                .collect(),
        };
        Finished { model, graph: self.graph, initializers: self.initializers }
    }

    /// Adds an initializer, unless there is one of this name: equal names stand for equal tensors.
    fn initializer(&mut self, name: &str, element: Element, shape: &[usize], raw_data: Vec<u8>) -> Value {
        if !self.names.insert(name.to_owned()) {
            return name.to_owned();
        }
        self.initializers.push(Tensor {
            dims: shape.iter().map(|&length| length as i64).collect(),
            data_type: Some(element as i32),
            name: name.to_owned(),
            raw_data,
        });
        name.to_owned()
    }

    fn push(&mut self, domain: &str, op_type: &str, inputs: &[&str], outputs: &[&str], settings: &[Setting]) {
        self.graph.node.push(node(domain, op_type, inputs, outputs, settings));
        self.halves.push(self.half);
    }
}

/// `inputs` without the empty ones at the end.
pub(crate) fn given<'i, 's>(inputs: &'i [&'s str]) -> &'i [&'s str] {
    let last = inputs.iter().rposition(|input| !input.is_empty()).map_or(0, |last| last + 1);
    &inputs[..last]
}

/// A value that may have any shape.
pub(crate) fn any_shape(name: &str, element: Element) -> ValueInfo {
    ValueInfo { kind: Some(tensor_type(element, None)), name: name.to_owned() }
}

/// `Cast` from `from` to `to`.
pub(crate) fn cast(from: &str, to: &str, element: Element) -> Node {
    node("", "Cast", &[from], &[to], &[Setting::Int("to", element as i64)])
}

/// The element type that a `Cast` gives; none for other operators.
pub(crate) fn cast_target(node: &mut Node) -> Option<&mut i64> {
    let to = node.attribute.iter_mut().find(|attribute| node.op_type == "Cast" && attribute.name == "to");
    to.and_then(|attribute| attribute.i.as_mut())
}

fn node(domain: &str, op_type: &str, inputs: &[&str], outputs: &[&str], settings: &[Setting]) -> Node {
    Node {
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: outputs.iter().map(|&output| output.to_owned()).collect(),
        name: format!("{op_type}:{}", outputs[0]),
        op_type: op_type.to_owned(),
        attribute: settings.iter().map(|&setting| attribute(setting)).collect(),
        domain: domain.to_owned(),
    }
}

fn attribute(setting: Setting) -> Attribute {
    let (name, mut attribute) = match setting {
        Setting::Float(name, value) => (name, Attribute { f: Some(value), kind: Some(1), ..Attribute::default() }),
        Setting::Int(name, value) => (name, Attribute { i: Some(value), kind: Some(2), ..Attribute::default() }),
        Setting::Text(name, value) => {
            (name, Attribute { s: Some(value.into()), kind: Some(3), ..Attribute::default() })
        }
        Setting::Ints(name, values) => {
            (name, Attribute { ints: values.to_vec(), kind: Some(7), ..Attribute::default() })
        }
    };
    name.clone_into(&mut attribute.name);
    attribute
}

fn value_info(name: &str, element: Element, dimension: Vec<Dimension>) -> ValueInfo {
    ValueInfo { name: name.to_owned(), kind: Some(tensor_type(element, Some(TensorShape { dimension }))) }
}

/// The type of a tensor; without a shape, of any shape.
fn tensor_type(element: Element, shape: Option<TensorShape>) -> ValueType {
    ValueType { tensor: Some(TensorType { element: Some(element as i32), shape }) }
}
