//! Graphs as other exporters write them, put together by hand so that a test can break any part.

use std::fs;
use std::path::Path;

/// A `ModelProto` before it is written.
#[derive(Debug, Clone)]
pub(crate) struct Foreign {
    pub(crate) ir_version: i64,
    pub(crate) opsets: Vec<(&'static str, i64)>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) initializers: Vec<Tensor>,
    pub(crate) inputs: Vec<Value>,
    pub(crate) outputs: Vec<Value>,
    /// Fields put after those of the graph, and after those of the model.
    pub(crate) more_graph: Vec<u8>,
    pub(crate) more_model: Vec<u8>,
}

/// A `NodeProto`.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) operator: &'static str,
    pub(crate) domain: &'static str,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    pub(crate) attributes: Vec<Vec<u8>>,
}

/// A `TensorProto`.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dims: Vec<i64>,
    pub(crate) element: i64,
    pub(crate) raw: Option<Vec<u8>>,
    pub(crate) more: Vec<u8>,
}

/// A `ValueInfoProto` of a tensor; an open length is none.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) name: String,
    pub(crate) element: i64,
    pub(crate) lengths: Option<Vec<Option<i64>>>,
}

pub(crate) const F32: i64 = 1;
pub(crate) const I32: i64 = 6;
pub(crate) const I64: i64 = 7;
pub(crate) const ROWS: i64 = 100;
pub(crate) const WIDTH: i64 = 32;

/// A whole number under a field's number.
pub(crate) fn int(number: u32, value: i64) -> Vec<u8> {
    let mut bytes = varint(u64::from(number << 3));
    bytes.extend(varint(value as u64));
    bytes
}

/// A string, a message or packed numbers under a field's number.
pub(crate) fn bytes(number: u32, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut bytes = varint(u64::from(number << 3 | 2));
    bytes.extend(varint(content.len() as u64));
    bytes.extend(content);
    bytes
}

pub(crate) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

impl Foreign {
    /// A table of word vectors from which rows are gathered: `last_hidden_state`, as optimum names it.
    pub(crate) fn states() -> Self {
        let values = (0..ROWS * WIDTH).flat_map(|number| ((number % 17) as f32 - 8.0).to_le_bytes());
        Self {
            ir_version: 8,
            opsets: vec![("", 17)],
            nodes: vec![Node::new("Gather", &["words", "input_ids"], "last_hidden_state")],
            initializers: vec![Tensor::new("words", &[ROWS, WIDTH], F32, values.collect())],
            inputs: ["input_ids", "attention_mask"].map(|name| Value::new(name, I64, &[None, None])).to_vec(),
            outputs: vec![Value::new("last_hidden_state", F32, &[None, None, Some(WIDTH)])],
            more_graph: Vec::new(),
            more_model: Vec::new(),
        }
    }

    /// The same, averaged over the sequence: `sentence_embedding`.
    pub(crate) fn sentence() -> Self {
        let mut graph = Self::states();
        graph.nodes[0].outputs = vec!["states".to_owned()];
        let mut mean = Node::new("ReduceMean", &["states"], "sentence_embedding");
        mean.attributes.push([bytes(1, "axes"), bytes(8, varint(1)), int(20, 7)].concat());
        mean.attributes.push([bytes(1, "keepdims"), int(3, 0), int(20, 2)].concat());
        graph.nodes.push(mean);
        graph.outputs = vec![Value::new("sentence_embedding", F32, &[None, Some(WIDTH)])];
        graph
    }

    /// Moves the words' values into a file beside the graph, written at once.
    pub(crate) fn with_external(mut self, folder: &Path, entries: &[(&str, &str)]) -> Self {
        let words = &mut self.initializers[0];
        let values = words.raw.take().unwrap();
        fs::write(folder.join("weights.bin"), [vec![0; 64], values].concat()).unwrap();
        words.more =
            entries.iter().flat_map(|(key, value)| bytes(13, [bytes(1, key), bytes(2, value)].concat())).collect();
        words.more.extend(int(14, 1));
        self
    }

    pub(crate) fn graph_bytes(&self) -> Vec<u8> {
        let mut graph = Vec::new();
        graph.extend(self.nodes.iter().flat_map(|node| bytes(1, node.bytes())));
        graph.extend(bytes(2, "graph"));
        graph.extend(self.initializers.iter().flat_map(|tensor| bytes(5, tensor.bytes())));
        graph.extend(self.inputs.iter().flat_map(|value| bytes(11, value.bytes())));
        graph.extend(self.outputs.iter().flat_map(|value| bytes(12, value.bytes())));
        graph.extend(&self.more_graph);
        graph
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut model = [int(1, self.ir_version), bytes(2, "by hand")].concat();
        for (domain, version) in &self.opsets {
            model.extend(bytes(8, [bytes(1, domain), int(2, *version)].concat()));
        }
        model.extend(bytes(7, self.graph_bytes()));
        model.extend(&self.more_model);
        model
    }

    pub(crate) fn write(&self, path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.bytes()).unwrap();
    }
}

impl Node {
    pub(crate) fn new(operator: &'static str, inputs: &[&str], output: &str) -> Self {
        let inputs = inputs.iter().map(|&input| input.to_owned()).collect();
        Self { operator, domain: "", inputs, outputs: vec![output.to_owned()], attributes: Vec::new() }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut node = Vec::new();
        node.extend(self.inputs.iter().flat_map(|name| bytes(1, name)));
        node.extend(self.outputs.iter().flat_map(|name| bytes(2, name)));
        node.extend(bytes(4, self.operator));
        node.extend(self.attributes.iter().flat_map(|attribute| bytes(5, attribute)));
        node.extend(bytes(7, self.domain));
        node
    }
}

impl Tensor {
    pub(crate) fn new(name: &str, dims: &[i64], element: i64, raw: Vec<u8>) -> Self {
        Self { name: name.to_owned(), dims: dims.to_vec(), element, raw: Some(raw), more: Vec::new() }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut tensor: Vec<u8> = self.dims.iter().flat_map(|&length| int(1, length)).collect();
        tensor.extend(int(2, self.element));
        tensor.extend(bytes(8, &self.name));
        tensor.extend(self.raw.iter().flat_map(|raw| bytes(9, raw)));
        tensor.extend(&self.more);
        tensor
    }
}

impl Value {
    pub(crate) fn new(name: &str, element: i64, lengths: &[Option<i64>]) -> Self {
        Self { name: name.to_owned(), element, lengths: Some(lengths.to_vec()) }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut tensor = int(1, self.element);
        if let Some(lengths) = &self.lengths {
            let named = |number: usize| bytes(2, format!("axis {number}"));
            let length =
                |(number, length): (usize, &Option<i64>)| length.map_or_else(|| named(number), |length| int(1, length));
            let shape: Vec<u8> = lengths.iter().enumerate().flat_map(|entry| bytes(1, length(entry))).collect();
            tensor.extend(bytes(2, shape));
        }
        [bytes(1, &self.name), bytes(2, bytes(1, tensor))].concat()
    }
}
