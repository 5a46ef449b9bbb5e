//! Puts together what a GPU runs faster as one operator of ONNX Runtime's: it reads and writes states once instead of
//! once a node, and that is where small models lose their time there.
//!
//! - `Add` of a bias and `Gelu` become `BiasGelu`.
//! - `Add` of a bias, `Add` of the residual and `LayerNormalization` become `SkipLayerNormalization`.
//!
//! Only nodes that work in f16 are looked at: graphs for processors come as they measure fastest there.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::MICROSOFT;
use crate::onnx::{Graph, Node};

/// Fuses among `nodes`, each with its mark for f16. `initializers` and `outputs` are names of the graph's.
pub(crate) fn fuse(
    nodes: Vec<(Node, bool)>,
    initializers: &BTreeSet<String>,
    outputs: &BTreeSet<String>,
) -> Vec<(Node, bool)> {
    let found = Found::among(&nodes, initializers, outputs);
    let mut gone = BTreeSet::new();
    let mut fused: BTreeMap<usize, Node> = BTreeMap::new();
    for (place, (node, half)) in nodes.iter().enumerate() {
        let Some((whole, parts)) = half.then(|| found.gelu(node).or_else(|| found.norm(node))).flatten() else {
            continue;
        };
        gone.extend(parts);
        fused.insert(place, whole);
    }
    let kept = nodes.into_iter().enumerate().filter(|(place, _)| !gone.contains(place));
    kept.map(|(place, (node, half))| (fused.remove(&place).unwrap_or(node), half)).collect()
}

/// What is known of a graph's values.
struct Found<'g> {
    nodes: &'g [(Node, bool)],
    initializers: &'g BTreeSet<String>,
    /// The node that makes a value.
    makers: BTreeMap<&'g str, usize>,
    /// How many read it.
    readers: BTreeMap<&'g str, usize>,
}

impl<'g> Found<'g> {
    fn among(nodes: &'g [(Node, bool)], initializers: &'g BTreeSet<String>, outputs: &'g BTreeSet<String>) -> Self {
        let mut found = Self { nodes, initializers, makers: BTreeMap::new(), readers: BTreeMap::new() };
        for (place, (node, _)) in nodes.iter().enumerate() {
            found.makers.extend(node.output.iter().map(|output| (output.as_str(), place)));
            found.read_by(node);
        }
        for output in outputs {
            *found.readers.entry(output).or_default() += 1;
        }
        found
    }

    fn read_by(&mut self, node: &'g Node) {
        for input in &node.input {
            *self.readers.entry(input).or_default() += 1;
        }
        for Graph { node, output, .. } in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
            for node in node {
                self.read_by(node);
            }
            for output in output {
                *self.readers.entry(&output.name).or_default() += 1;
            }
        }
    }

    /// The node of type `op_type` that makes `value` in f16 for one reader alone, and its place.
    fn maker(&self, value: &str, op_type: &str) -> Option<(&'g Node, usize)> {
        let &place = self.makers.get(value)?;
        let (node, half) = &self.nodes[place];
        let alone = self.readers.get(value) == Some(&1);
        (*half && alone && node.op_type == op_type && node.domain.is_empty()).then_some((node, place))
    }

    /// The product and the bias whose sum `value` is, and the place of the sum.
    fn biased(&self, value: &str) -> Option<(&'g str, &'g str, usize)> {
        let (sum, place) = self.maker(value, "Add")?;
        let [product, bias] = sum.input.as_slice() else { return None };
        self.maker(product, "MatMul")?;
        self.initializers.contains(bias).then_some((product, bias, place))
    }

    /// `Gelu` after a bias, and the places of what it replaces beside itself.
    fn gelu(&self, node: &Node) -> Option<(Node, Vec<usize>)> {
        // With an attribute it is the approximation by tanh.
        if node.op_type != "Gelu" || !node.attribute.is_empty() {
            return None;
        }
        let (product, bias, place) = self.biased(&node.input[0])?;
        Some((fused(node, "BiasGelu", &[product, bias]), vec![place]))
    }

    /// The norm of a branch and what went into it, and the places of what it replaces beside itself.
    fn norm(&self, node: &Node) -> Option<(Node, Vec<usize>)> {
        if node.op_type != "LayerNormalization" {
            return None;
        }
        let [sum, weight, rest @ ..] = node.input.as_slice() else { return None };
        let (sum, place) = self.maker(sum, "Add")?;
        let [branch, states] = sum.input.as_slice() else { return None };
        let shift = rest.first().map_or("", String::as_str);
        let mut whole = if let Some((product, bias, inner)) = self.biased(branch) {
            (fused(node, "SkipLayerNormalization", &[product, states, weight, shift, bias]), vec![place, inner])
        } else {
            self.maker(branch, "MatMul")?;
            (fused(node, "SkipLayerNormalization", &[branch, states, weight, shift]), vec![place])
        };
        // It is always the last axis.
        whole.0.attribute.retain(|attribute| attribute.name == "epsilon");
        Some(whole)
    }
}

fn fused(node: &Node, op_type: &str, inputs: &[&str]) -> Node {
    Node {
        input: crate::graph::given(inputs).iter().map(|&input| input.to_owned()).collect(),
        op_type: op_type.to_owned(),
        name: format!("{op_type}:{}", node.output[0]),
        domain: MICROSOFT.to_owned(),
        ..node.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{GraphBuilder, Setting};

    /// A layer's end: product, bias, residual, norm, product, bias, gelu.
    fn layer(graph: &mut GraphBuilder, tanh: bool) {
        let matrix = graph.f32("matrix", &[1, 1], &[1.0]);
        let [bias, weight, shift] = ["bias", "weight", "shift"].map(|name| graph.f32(name, &[1], &[1.0]));
        let product = graph.node("MatMul", &["states", &matrix], "product", &[]);
        let branch = graph.node("Add", &[&product, &bias], "branch", &[]);
        let sum = graph.node("Add", &[&branch, "states"], "sum", &[]);
        let settings = [Setting::Int("axis", -1), Setting::Float("epsilon", 1e-12)];
        let normed = graph.node("LayerNormalization", &[&sum, &weight, &shift], "normed", &settings);
        let wide = graph.node("MatMul", &[&normed, &matrix], "wide", &[]);
        let raised = graph.node("Add", &[&wide, &bias], "raised", &[]);
        let settings = [Setting::Text("approximate", "tanh")];
        graph.node("Gelu", &[&raised], "bent", if tanh { &settings } else { &[] });
    }

    fn operators(half: bool, tanh: bool, outputs: &[&str]) -> Vec<String> {
        let mut graph = GraphBuilder::default();
        graph.halve(half);
        layer(&mut graph, tanh);
        let nodes = graph.nodes().iter().map(|node| (node.clone(), half)).collect();
        let initializers = ["matrix", "bias", "weight", "shift"].map(str::to_owned).into();
        let outputs = outputs.iter().map(|&output| output.to_owned()).collect();
        let fused = fuse(nodes, &initializers, &outputs);
        fused.iter().map(|(node, _)| format!("{}({}) {}", node.op_type, node.input.join(" "), node.output[0])).collect()
    }

    #[test]
    fn a_bias_goes_into_what_follows() {
        let expected = [
            "MatMul(states matrix) product",
            "SkipLayerNormalization(product states weight shift bias) normed",
            "MatMul(normed matrix) wide",
            "BiasGelu(wide bias) bent",
        ];
        assert_eq!(operators(true, false, &["bent"]), expected);
    }

    #[test]
    fn what_others_read_stays() {
        // The sum is wanted by itself; gelu by tanh has no such operator.
        let kept = operators(true, true, &["sum", "bent"]);
        assert!(kept.iter().any(|node| node == "Add(branch states) sum"), "{kept:?}");
        assert_eq!(kept.len(), 7, "{kept:?}");
        assert_eq!(operators(false, false, &["bent"]).len(), 7);
    }
}
