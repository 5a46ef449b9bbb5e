//! Turns the parts of a graph that are marked for it into 16-bit floating point.
//!
//! A graph is built in f32. Nodes that were added while the mark was set work in f16, with the weights that they read;
//! where a value goes from one kind to the other, a `Cast` is put between. Inputs are whole numbers and outputs f32
//! either way. Norms and softmax keep their sums in f32 inside the kernels, on GPUs as on CPUs, so that they do not
//! overflow.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use half::f16;

use crate::graph::{any_shape, cast, cast_target};
use crate::onnx::{Element, Graph, Node, Tensor};

/// What a value holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Single,
    Half,
}

/// Nodes whose results are whole numbers or truth values, whatever they take.
const WHOLE: &[&str] = &["Shape", "ArgMax", "Greater", "LessOrEqual", "And"];

/// Rewrites `nodes`, each with its mark, and `initializers`. `outputs` are the graph's.
pub(crate) fn convert(
    nodes: Vec<(Node, bool)>,
    initializers: Vec<Tensor>,
    outputs: &BTreeSet<String>,
) -> (Vec<Node>, Vec<Tensor>) {
    let mut rewriting = Rewriting { kinds: BTreeMap::new(), wanted: BTreeSet::new(), nodes: Vec::new() };
    for tensor in &initializers {
        let single = tensor.data_type == Some(Element::F32 as i32);
        rewriting.kinds.insert(tensor.name.clone(), if single { Kind::Single } else { Kind::Whole });
    }
    let names: BTreeSet<String> = initializers.iter().map(|tensor| tensor.name.clone()).collect();
    for (node, half) in nodes {
        rewriting.push(node, half, &names, outputs);
    }
    let wanted = rewriting.wanted;
    let mut kept = Vec::with_capacity(initializers.len());
    for tensor in initializers {
        if wanted.contains(&halved(&tensor.name)) {
            kept.push(to_half(&tensor));
        }
        if wanted.contains(&tensor.name) {
            kept.push(tensor);
        }
    }
    (rewriting.nodes, kept)
}

struct Rewriting {
    kinds: BTreeMap<String, Kind>,
    /// Names of initializers, as nodes read them.
    wanted: BTreeSet<String>,
    nodes: Vec<Node>,
}

impl Rewriting {
    fn push(&mut self, mut node: Node, half: bool, initializers: &BTreeSet<String>, outputs: &BTreeSet<String>) {
        let kind = if half { Kind::Half } else { Kind::Single };
        let casts_to = cast_target(&mut node).copied();
        let parts = node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut());
        let chosen = parts.fold(false, |_, part| {
            self.part(part, half, initializers);
            true
        });
        let mut floats = false;
        for input in node.input.iter_mut().filter(|input| !input.is_empty()) {
            let received = self.kinds.get(input.as_str()).copied().unwrap_or(Kind::Whole);
            floats |= received != Kind::Whole;
            if received != Kind::Whole && received != kind && casts_to.is_none() {
                *input = self.cast(input, kind, initializers);
            }
            if received != Kind::Whole || initializers.contains(input) {
                self.wanted.insert(input.clone());
            }
        }
        let floats = match casts_to {
            Some(target) => target == Element::F32 as i64,
            None => chosen || floats && !WHOLE.contains(&node.op_type.as_str()),
        };
        if floats
            && half
            && let Some(target) = cast_target(&mut node)
        {
            *target = Element::F16 as i64;
        }
        let given = if floats { kind } else { Kind::Whole };
        let mut back = Vec::new();
        for output in &mut node.output {
            let name = output.clone();
            if given == Kind::Half && outputs.contains(&name) {
                *output = halved(&name);
                back.push((output.clone(), name));
            }
            self.kinds.insert(output.clone(), given);
        }
        self.nodes.push(node);
        for (from, to) in back {
            self.nodes.push(cast(&from, &to, Element::F32));
            self.kinds.insert(to, Kind::Single);
        }
    }

    /// A part of a choice, which gives floats. What it casts is not known outside of it.
    fn part(&mut self, part: &mut Graph, half: bool, initializers: &BTreeSet<String>) {
        let (nodes, kinds) = (mem::take(&mut self.nodes), self.kinds.clone());
        for node in mem::take(&mut part.node) {
            self.push(node, half, initializers, &BTreeSet::new());
        }
        part.node = mem::replace(&mut self.nodes, nodes);
        self.kinds = kinds;
        if half {
            part.output = part.output.iter().map(|output| any_shape(&output.name, Element::F16)).collect();
        }
    }

    /// The value `name` in another kind: an initializer's twin, or the result of a cast.
    fn cast(&mut self, name: &str, kind: Kind, initializers: &BTreeSet<String>) -> String {
        let (twin, element) = match kind {
            Kind::Half => (halved(name), Element::F16),
            _ => (format!("{name}.f32"), Element::F32),
        };
        if !initializers.contains(name) && self.kinds.insert(twin.clone(), kind).is_none() {
            self.nodes.push(cast(name, &twin, element));
        }
        twin
    }
}

fn halved(name: &str) -> String {
    format!("{name}.f16")
}

/// The tensor in f16; what lies beyond f16 becomes its largest number.
fn to_half(tensor: &Tensor) -> Tensor {
    let values = tensor.raw_data.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    let largest = f16::MAX.to_f32();
    let raw_data = values.flat_map(|value| f16::from_f32(value.clamp(-largest, largest)).to_le_bytes()).collect();
    Tensor { dims: tensor.dims.clone(), data_type: Some(Element::F16 as i32), name: halved(&tensor.name), raw_data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{GraphBuilder, Setting};

    fn operators(nodes: &[Node]) -> Vec<String> {
        nodes.iter().map(|node| format!("{}({}) {}", node.op_type, node.input.join(", "), node.output[0])).collect()
    }

    #[test]
    fn casts_stand_where_kinds_meet() {
        let mut graph = GraphBuilder::default();
        let table = graph.f32("table", &[2], &[1.0, -1e9]);
        graph.halve(true);
        let rows = graph.node("Gather", &[&table, "ids"], "rows", &[]);
        let mask = graph.node("Cast", &["mask"], "mask.real", &[Setting::Int("to", Element::F32 as i64)]);
        let kept = graph.node("Mul", &[&rows, &mask], "kept", &[]);
        graph.halve(false);
        let twice = graph.node("Mul", &[&kept, &table], "twice", &[]);
        graph.node("Add", &[&twice, &kept], "sum", &[]);
        graph.halve(true);
        graph.node("Relu", &[&kept], "out", &[]);
        graph.output("out", &[]);
        let finished = graph.finish("1", &[]);
        assert_eq!(
            operators(&finished.graph.node),
            [
                "Gather(table.f16, ids) rows",
                "Cast(mask) mask.real",
                "Mul(rows, mask.real) kept",
                "Cast(kept) kept.f32",
                "Mul(kept.f32, table) twice",
                "Add(twice, kept.f32) sum",
                "Relu(kept) out.f16",
                "Cast(out.f16) out",
            ]
        );
        let names: Vec<&str> = finished.initializers.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, ["table.f16", "table"]);
        let halves: Vec<u8> = [f16::ONE, f16::MIN].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(finished.initializers[0].raw_data, halves);
    }

    #[test]
    fn a_graph_without_marks_stays() {
        let mut graph = GraphBuilder::default();
        let one = graph.f32("one", &[], &[1.0]);
        graph.node("Add", &["x", &one], "y", &[]);
        let finished = graph.finish("1", &[]);
        assert_eq!(operators(&finished.graph.node), ["Add(x, one) y"]);
        assert_eq!(finished.initializers.len(), 1);
    }
}
