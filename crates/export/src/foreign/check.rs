//! Whether the parts of a foreign graph fit together: names, order, operators, sizes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::ElementType;
use super::external::External;
use super::growth;
use super::schema::{Graph, Model, Node, Tensor};
use super::tensor::{self, shown};
use crate::Error;

/// IR versions and operator sets that ONNX Runtime 1.31 loads (tried, one by one).
const IR_VERSIONS: std::ops::RangeInclusive<i64> = 3..=NEWEST_IR;
const OPSETS: std::ops::RangeInclusive<i64> = 7..=NEWEST_OPSET;
pub(super) const NEWEST_IR: i64 = 13;
pub(super) const NEWEST_OPSET: i64 = 26;
/// Domains whose operators ONNX Runtime brings along. The empty one is the standard's.
const DOMAINS: [&str; 5] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"];
/// Operators that run a graph of theirs again and again, as often as a number says that may be any. Exporters trace
/// encoders and write none of them; of operators that hold graphs only `If` is left.
const LOOPS: [&str; 3] = ["Loop", "Scan", "SequenceMap"];

/// What a checked graph consists of.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Nodes by operator, with the domain before a colon where it is not the standard's.
    pub(super) operators: BTreeMap<String, usize>,
    /// Values of initializers by type.
    pub(super) weights: BTreeMap<ElementType, u64>,
    /// Label, type and place of each tensor in another file.
    pub(super) external: Vec<(String, ElementType, External)>,
    /// Most rows of a table from which rows are gathered.
    pub(super) vocabulary: Option<u64>,
    /// Bits of the weights of `MatMulNBits`.
    pub(super) block_bits: Option<i64>,
}

/// Checks a model and all graphs in it.
///
/// # Errors
/// `GraphUnsupported`, `GraphTensor` or `GraphNode`, naming what is wrong.
pub(super) fn check(path: &Path, model: &Model<'_>, graph: &Graph<'_>) -> Result<Facts, Error> {
    let version = model.ir_version.unwrap_or_default();
    if !IR_VERSIONS.contains(&version) {
        return Err(unsupported(path, "IR version", version.to_string(), format!("{IR_VERSIONS:?}")));
    }
    let mut opsets = HashMap::new();
    for &(domain, version) in &model.opsets {
        let domain = if domain == "ai.onnx" { "" } else { domain };
        if opsets.insert(domain, version).is_some() {
            return Err(unsupported(
                path,
                "two operator sets of domain",
                format!("{:?}", shown(domain)),
                "one".to_owned(),
            ));
        }
        if domain.is_empty() && !OPSETS.contains(&version) {
            return Err(unsupported(path, "operator set", version.to_string(), format!("{OPSETS:?}")));
        }
    }
    let mut check = Check { path, opsets, facts: Facts::default() };
    check.graph(graph, None)?;
    if graph.outputs.is_empty() {
        return Err(Error::GraphInterface { path: path.to_owned(), problem: "the graph has no outputs".to_owned() });
    }
    growth::check(graph).map_err(|(node, problem)| check.node_problem(node, problem))?;
    Ok(check.facts)
}

fn unsupported(path: &Path, what: &'static str, value: String, supported: String) -> Error {
    Error::GraphUnsupported { path: path.to_owned(), what, value, supported }
}

struct Check<'p, 'a> {
    path: &'p Path,
    opsets: HashMap<&'a str, i64>,
    facts: Facts,
}

/// Names that a graph gives to its nodes and to the graphs inside of it.
struct Scope<'s, 'a> {
    names: HashSet<&'a str>,
    outer: Option<&'s Scope<'s, 'a>>,
}

impl Scope<'_, '_> {
    fn holds(&self, name: &str) -> bool {
        self.names.contains(name) || self.outer.is_some_and(|outer| outer.holds(name))
    }
}

impl<'a> Check<'_, 'a> {
    fn graph(&mut self, graph: &Graph<'a>, outer: Option<&Scope<'_, 'a>>) -> Result<(), Error> {
        let mut tensors = HashMap::new();
        for initializer in &graph.initializers {
            self.tensor(initializer)?;
            let name = initializer.name.unwrap_or_default();
            if name.is_empty() || tensors.insert(name, initializer).is_some() {
                return Err(self.tensor_problem(initializer, "stands there twice, or without a name"));
            }
        }
        let mut scope = Scope { names: tensors.keys().copied().collect(), outer };
        let mut inputs = HashSet::new();
        for input in &graph.inputs {
            // An initializer of an input's name is that input's default.
            let name = input.name.unwrap_or_default();
            if name.is_empty() || !inputs.insert(name) {
                return Err(
                    self.interface(format!("the input {:?} stands there twice, or without a name", shown(name)))
                );
            }
            scope.names.insert(name);
        }
        for node in &graph.nodes {
            for &output in node.outputs.iter().filter(|output| !output.is_empty()) {
                if !scope.names.insert(output) {
                    return Err(self.node_problem(node, format!("gives {:?}, which is given twice", shown(output))));
                }
            }
        }
        for node in &graph.nodes {
            self.node(node, &tensors, &scope)?;
        }
        let mut outputs = HashSet::new();
        for output in &graph.outputs {
            let name = output.name.unwrap_or_default();
            if !outputs.insert(name) {
                return Err(self.interface(format!("the output {:?} stands there twice", shown(name))));
            }
            if !scope.holds(name) {
                return Err(self.interface(format!("nothing gives the output {:?}", shown(name))));
            }
        }
        match order(graph) {
            Err(node) => Err(self.node_problem(node, "waits for its own result: the graph is cyclic".to_owned())),
            Ok(_) => Ok(()),
        }
    }

    fn node(
        &mut self,
        node: &Node<'a>,
        tensors: &HashMap<&'a str, &Tensor<'a>>,
        scope: &Scope<'_, 'a>,
    ) -> Result<(), Error> {
        let domain = node.domain.unwrap_or_default();
        let operator = node.op_type.unwrap_or_default();
        if operator.is_empty() {
            return Err(self.node_problem(node, "has no operator".to_owned()));
        }
        if !DOMAINS.contains(&domain) {
            let value = format!("{}:{}", shown(domain), shown(operator));
            let supported = "the standard's, ai.onnx.ml and com.microsoft".to_owned();
            return Err(unsupported(self.path, "operator", value, supported));
        }
        if LOOPS.contains(&operator) || !(node.graphs.is_empty() || operator == "If") {
            let supported = "those that hold no graph, and If".to_owned();
            return Err(unsupported(self.path, "operator", shown(operator), supported));
        }
        let imported = if domain == "ai.onnx" { "" } else { domain };
        if !self.opsets.contains_key(imported) {
            return Err(
                self.node_problem(node, format!("is of domain {domain:?}, of which no operator set is imported"))
            );
        }
        for &input in node.inputs.iter().filter(|input| !input.is_empty()) {
            if !scope.holds(input) {
                return Err(self.node_problem(node, format!("reads {:?}, which nothing gives", shown(input))));
            }
        }
        let label = if imported.is_empty() { shown(operator) } else { format!("{domain}:{}", shown(operator)) };
        *self.facts.operators.entry(label).or_default() += 1;
        self.facts.block_bits = self.facts.block_bits.max(block_bits(node));
        let constant = |position: usize| node.inputs.get(position).and_then(|name| tensors.get(name)).copied();
        if let ("Gather", Some(table)) = (operator, constant(0))
            && let [rows, _] = table.dims[..]
        {
            self.facts.vocabulary = self.facts.vocabulary.max(u64::try_from(rows).ok());
        }
        for tensor in &node.tensors {
            self.tensor(tensor)?;
        }
        for inner in &node.graphs {
            self.graph(inner, Some(scope))?;
        }
        Ok(())
    }

    fn tensor(&mut self, tensor: &Tensor<'a>) -> Result<(), Error> {
        let checked = tensor::check(self.path, tensor)?;
        *self.facts.weights.entry(checked.element).or_default() += checked.elements;
        if let Some(external) = checked.external {
            self.facts.external.push((tensor::label(tensor), checked.element, external));
        }
        Ok(())
    }

    fn node_problem(&self, node: &Node<'_>, problem: String) -> Error {
        let named = node.name.filter(|name| !name.is_empty()).or_else(|| node.outputs.first().copied());
        let operator = node.op_type.unwrap_or_default();
        let node = format!("{:?} ({})", shown(named.unwrap_or_default()), shown(operator));
        Error::GraphNode { path: self.path.to_owned(), node, problem }
    }

    fn tensor_problem(&self, tensor: &Tensor<'_>, problem: &str) -> Error {
        let (path, tensor) = (self.path.to_owned(), tensor::label(tensor));
        Error::GraphTensor { path, tensor, problem: problem.to_owned() }
    }

    fn interface(&self, problem: String) -> Error {
        Error::GraphInterface { path: self.path.to_owned(), problem }
    }
}

/// Bits of the weights of a `MatMulNBits`; 4 where it does not say.
fn block_bits(node: &Node<'_>) -> Option<i64> {
    let stated = || node.ints.iter().find(|(name, _)| *name == "bits").map_or(4, |&(_, bits)| bits);
    (node.op_type == Some("MatMulNBits")).then(stated)
}

/// An order of the nodes in which each has what it reads (Kahn 1962).
///
/// # Errors
/// A node that can never run because it waits for itself.
pub(super) fn order<'g, 'a>(graph: &'g Graph<'a>) -> Result<Vec<usize>, &'g Node<'a>> {
    let outputs = |(number, node): (usize, &'g Node<'a>)| node.outputs.iter().map(move |&output| (output, number));
    let makers: HashMap<&str, usize> = graph.nodes.iter().enumerate().flat_map(outputs).collect();
    let mut waits = vec![0_usize; graph.nodes.len()];
    let mut readers = vec![Vec::new(); graph.nodes.len()];
    for (number, node) in graph.nodes.iter().enumerate() {
        let mut reads: Vec<&str> = node.inputs.clone();
        for inner in &node.graphs {
            captured(inner, &mut reads);
        }
        for maker in reads.into_iter().filter_map(|name| makers.get(name)) {
            readers[*maker].push(number);
            waits[number] += 1;
        }
    }
    let mut ready: Vec<usize> = (0..waits.len()).filter(|&number| waits[number] == 0).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(number) = ready.pop() {
        order.push(number);
        for &reader in &readers[number] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.push(reader);
            }
        }
    }
    waits.iter().position(|&left| left > 0).map_or(Ok(order), |number| Err(&graph.nodes[number]))
}

/// Adds the names that a graph inside of a node reads from outside.
fn captured<'a>(graph: &Graph<'a>, reads: &mut Vec<&'a str>) {
    let mut inside: HashSet<&str> = graph.initializers.iter().filter_map(|tensor| tensor.name).collect();
    inside.extend(graph.inputs.iter().filter_map(|input| input.name));
    inside.extend(graph.nodes.iter().flat_map(|node| node.outputs.iter().copied()));
    let mut read: Vec<&str> = graph.outputs.iter().filter_map(|output| output.name).collect();
    for node in &graph.nodes {
        read.extend(&node.inputs);
        for inner in &node.graphs {
            captured(inner, &mut read);
        }
    }
    reads.extend(read.into_iter().filter(|name| !inside.contains(name)));
}
