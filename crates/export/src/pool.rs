//! From the states of tokens to one vector, inside the graph.

use berth_types::Pooling;

use crate::graph::{GraphBuilder, Setting, Value};
use crate::onnx::Element;
use crate::trunk::penalty;

/// Pools `states`, `[batch, sequence, width]`, over real tokens to `[batch, width]`, called `output`.
pub(crate) fn pool(graph: &mut GraphBuilder, pooling: Pooling, states: &str, output: &str) -> Value {
    match pooling {
        Pooling::Cls => {
            let first = graph.i64("constant.first_token", &[], &[0]);
            graph.node("Gather", &[states, &first], output, &[Setting::Int("axis", 1)])
        }
        Pooling::Max => {
            let penalty = penalty(graph);
            let axes = graph.i64("constant.pool_axes", &[2], &[1, 2]);
            let flat = graph.node("Squeeze", &[&penalty, &axes], "pooled.penalty", &[]);
            let last = graph.i64("constant.last_axis", &[1], &[2]);
            let column = graph.node("Unsqueeze", &[&flat, &last], "pooled.column", &[]);
            let real = graph.node("Add", &[states, &column], "pooled.real", &[]);
            let one = graph.i64("constant.one", &[1], &[1]);
            graph.node("ReduceMax", &[&real, &one], output, &[Setting::Int("keepdims", 0)])
        }
        Pooling::LastToken => last_token(graph, states, output),
        Pooling::MeanSqrtLen => {
            let weights = real_tokens(graph);
            let count = count(graph, &weights);
            let root = graph.node("Sqrt", &[&count], "pooled.root", &[]);
            weighted(graph, &weights, states, &root, output)
        }
        Pooling::WeightedMean => {
            let real = real_tokens(graph);
            let one = graph.i64("constant.scalar_one", &[], &[1]);
            let running = graph.node("CumSum", &[&real, &one], "pooled.running", &[]);
            let weights = graph.node("Mul", &[&running, &real], "pooled.weights", &[]);
            let count = count(graph, &weights);
            weighted(graph, &weights, states, &count, output)
        }
        // `Pooling` may grow; whoever adds a way adds it here, and until then the tests over all ways fail.
        _ => {
            let weights = real_tokens(graph);
            let count = count(graph, &weights);
            weighted(graph, &weights, states, &count, output)
        }
    }
}

/// Scales the vectors in the last axis to unit norm.
pub(crate) fn normalize(graph: &mut GraphBuilder, vectors: &str, output: &str) -> Value {
    graph.node("LpNormalization", &[vectors], output, &[Setting::Int("axis", -1), Setting::Int("p", 2)])
}

/// One for each real token, zero for the others: `[batch, sequence]`.
fn real_tokens(graph: &mut GraphBuilder) -> Value {
    let to_f32 = [Setting::Int("to", Element::F32 as i64)];
    graph.node("Cast", &["attention_mask"], "pooled.mask", &to_f32)
}

/// Sum of the weights, `[batch, 1]`. A row without tokens has sum zero, which must not turn into NaN.
fn count(graph: &mut GraphBuilder, weights: &str) -> Value {
    let one = graph.i64("constant.one", &[1], &[1]);
    let sum = graph.node("ReduceSum", &[weights, &one], "pooled.count", &[Setting::Int("keepdims", 1)]);
    let least = graph.f32("constant.least_count", &[], &[1e-9]);
    graph.node("Max", &[&sum, &least], "pooled.count.positive", &[])
}

/// Sum of the states under `weights`, over `divisor`: the product of the row of weights with the states.
fn weighted(graph: &mut GraphBuilder, weights: &str, states: &str, divisor: &str, output: &str) -> Value {
    let one = graph.i64("constant.one", &[1], &[1]);
    let row = graph.node("Unsqueeze", &[weights, &one], "pooled.row", &[]);
    let sums = graph.node("MatMul", &[&row, states], "pooled.sums", &[]);
    let sum = graph.node("Squeeze", &[&sums, &one], "pooled.sum", &[]);
    graph.node("Div", &[&sum, divisor], output, &[])
}

/// State of the last real token: where the running count of real tokens is largest for the first time.
fn last_token(graph: &mut GraphBuilder, states: &str, output: &str) -> Value {
    let real = real_tokens(graph);
    let one = graph.i64("constant.scalar_one", &[], &[1]);
    let running = graph.node("CumSum", &[&real, &one], "pooled.running", &[]);
    let place =
        graph.node("ArgMax", &[&running], "pooled.place", &[Setting::Int("axis", 1), Setting::Int("keepdims", 1)]);
    graph.node("GatherND", &[states, &place], output, &[Setting::Int("batch_dims", 1)])
}
