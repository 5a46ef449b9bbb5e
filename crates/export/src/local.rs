//! Local attention over long texts, in blocks: each block of queries meets the keys of its own and of the two blocks
//! beside it, which hold everything that a window reaches. Work and memory grow with the length of the text, not with
//! its square.

use crate::graph::{GraphBuilder, Setting, Value};
use crate::onnx::Element;
use crate::shape::Shape;

/// Added to the score of a key that a query does not see, twice where it is neither real nor near. f16 holds that, too.
const UNSEEN: f32 = -3e4;

/// A local layer's sizes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) heads: usize,
    pub(crate) hidden: usize,
    /// Farthest token on either side that is seen; also the length of a block.
    pub(crate) reach: usize,
}

impl Window {
    pub(crate) fn of(shape: &Shape, reach: usize) -> Self {
        // A window that reaches nothing but the token itself still needs blocks of one.
        Self { heads: shape.heads, hidden: shape.hidden, reach: reach.max(1) }
    }

    /// Longest text that is attended to whole: shorter than all three blocks, there is nothing to gain.
    pub(crate) fn longest_whole(self) -> usize {
        4 * self.reach
    }

    fn width(self) -> usize {
        self.hidden / self.heads
    }
}

/// Prepares what all local layers share: lengths, and the scores of unseen keys, `[batch, blocks, 1, reach, 3 · reach]`.
///
/// Reads `input.length`, a scalar, and `attention_mask`.
pub(crate) fn prepare(graph: &mut GraphBuilder, window: Window) {
    let reach = window.reach as i64;
    let block = graph.i64("local.block", &[], &[reach]);
    let one = graph.i64("constant.one", &[1], &[1]);
    // The length up to whole blocks: what is missing at the end, and one block on either side for the neighbours.
    let negative = graph.node("Neg", &["input.length"], "local.negative", &[]);
    let missing = graph.node("Mod", &[&negative, &block], "local.missing", &[]);
    let missing = graph.node("Reshape", &[&missing, &one], "local.missing.list", &[]);
    let block_list = graph.i64("local.block.list", &[1], &[reach]);
    let none = graph.i64("constant.first", &[1], &[0]);
    let end = graph.node("Add", &[&missing, &block_list], "local.end", &[]);
    graph.node("Concat", &[&none, &missing], "local.pads.query", &[Setting::Int("axis", 0)]);
    graph.node("Concat", &[&block_list, &end], "local.pads.key", &[Setting::Int("axis", 0)]);
    let length = graph.node("Reshape", &["input.length", &one], "local.length", &[]);
    let whole = graph.node("Add", &[&length, &missing], "local.whole", &[]);
    graph.node("Add", &[&whole, &block_list], "local.whole.shifted", &[]);
    let twice = graph.i64("local.block.twice", &[1], &[2 * reach]);
    graph.node("Add", &[&whole, &twice], "local.whole.twice", &[]);

    // A key is seen when it is real and near. How near it is depends on the places inside of the blocks alone.
    let near = (0..reach).flat_map(|query| (0..3 * reach).map(move |key| (key - reach - query).abs() <= reach));
    let near: Vec<f32> = near.map(|near| if near { 0.0 } else { UNSEEN }).collect();
    let near = graph.f32("local.near", &[1, 1, 1, window.reach, 3 * window.reach], &near);
    let to_f32 = [Setting::Int("to", Element::F32 as i64)];
    let real = graph.node("Cast", &["attention_mask"], "local.real", &to_f32);
    let shape = graph.i64("local.shape.mask", &[5], &[0, -1, 1, 1, reach]);
    let real = neighbours(graph, &real, &shape, "local.real", 4);
    let unit = graph.f32("constant.one_f32", &[], &[1.0]);
    let unreal = graph.node("Sub", &[&unit, &real], "local.unreal", &[]);
    let least = graph.f32("local.least", &[], &[UNSEEN]);
    let flat = graph.node("Mul", &[&unreal, &least], "local.unseen", &[]);
    graph.node("Add", &[&flat, &near], "local.scores", &[]);
}

/// Attention of `query`, `key` and `value`, `[batch, sequence, hidden]`, to the context of the same shape.
pub(crate) fn attend(graph: &mut GraphBuilder, window: Window, at: &str, parts: [&str; 3], output: &str) -> Value {
    let [query, key, value] = parts;
    let (reach, heads, width) = (window.reach as i64, window.heads as i64, window.width() as i64);
    let split = graph.i64("local.shape.heads", &[5], &[0, -1, reach, heads, width]);
    let axis = graph.i64("constant.one", &[1], &[1]);
    let padded = graph.node("Pad", &[query, "local.pads.query", "", &axis], &format!("{at}.query.padded"), &[]);
    let blocks = graph.node("Reshape", &[&padded, &split], &format!("{at}.query.blocks"), &[]);
    let by_head = [Setting::Ints("perm", &[0, 1, 3, 2, 4])];
    let queries = graph.node("Transpose", &[&blocks], &format!("{at}.query.heads"), &by_head);
    let near = neighbours(graph, key, &split, &format!("{at}.key"), 2);
    let keys =
        graph.node("Transpose", &[&near], &format!("{at}.key.heads"), &[Setting::Ints("perm", &[0, 1, 3, 4, 2])]);
    let near = neighbours(graph, value, &split, &format!("{at}.value"), 2);
    let values = graph.node("Transpose", &[&near], &format!("{at}.value.heads"), &by_head);

    let dots = graph.node("MatMul", &[&queries, &keys], &format!("{at}.dots"), &[]);
    let scale = graph.f32("constant.head_scale", &[], &[1.0 / (window.width() as f32).sqrt()]);
    let scaled = graph.node("Mul", &[&dots, &scale], &format!("{at}.scaled"), &[]);
    let scores = graph.node("Add", &[&scaled, "local.scores"], &format!("{at}.scores"), &[]);
    let weights = graph.node("Softmax", &[&scores], &format!("{at}.weights"), &[Setting::Int("axis", -1)]);
    let mixed = graph.node("MatMul", &[&weights, &values], &format!("{at}.mixed"), &[]);
    let turned = graph.node("Transpose", &[&mixed], &format!("{at}.turned"), &by_head);
    let joined = graph.i64("local.shape.whole", &[3], &[0, -1, window.hidden as i64]);
    let whole = graph.node("Reshape", &[&turned, &joined], &format!("{at}.whole"), &[]);
    let none = graph.i64("constant.first", &[1], &[0]);
    graph.node("Slice", &[&whole, &none, "local.length", &axis], output, &[])
}

/// Blocks of `rows`, each with the block before and the block after it along `axis`, in the shape `shape` of one block.
fn neighbours(graph: &mut GraphBuilder, rows: &str, shape: &str, at: &str, axis: i64) -> Value {
    let along = graph.i64("constant.one", &[1], &[1]);
    let padded = graph.node("Pad", &[rows, "local.pads.key", "", &along], &format!("{at}.padded"), &[]);
    let none = graph.i64("constant.first", &[1], &[0]);
    let starts = [none.as_str(), "local.block.list", "local.block.twice"];
    let ends = ["local.whole", "local.whole.shifted", "local.whole.twice"];
    let mut parts = Vec::with_capacity(3);
    for (number, (start, end)) in starts.into_iter().zip(ends).enumerate() {
        let part = graph.node("Slice", &[&padded, start, end, &along], &format!("{at}.part.{number}"), &[]);
        parts.push(graph.node("Reshape", &[&part, shape], &format!("{at}.blocks.{number}"), &[]));
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    graph.node("Concat", &parts, &format!("{at}.near"), &[Setting::Int("axis", axis)])
}
