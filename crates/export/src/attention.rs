//! Multi-head attention by fused kernels, and which of them a row gets.
//!
//! Measured on the CPU provider of ONNX Runtime 1.31 with one text a run, all-MiniLM-L6-v2 in int8 (12 heads):
//! - `MultiHeadAttention` works in cache-sized blocks where it is given no mask, which is 6 % faster at 237 tokens and 12 %
//!   at 510 than with one. So the graph asks once whether any token is masked, and hands the mask over only then.
//! - `Attention` (opset 23) keeps the scores of all heads in memory, but sorts nothing by heads before: 2 to 7 % faster at
//!   64 tokens, 3 % at 128, as fast at 237, 9 % slower at 384. Over a third of the heads at a time the scores stay in the
//!   second-level cache: 2 to 5 % faster at 237 tokens, by what else is in that cache, and 2 % slower at 384.
//! - Scores in 8-bit integers gain nothing over that: what the product saves, sorting and quantising take.
//!
//! On GPUs a choice would wait for the device. There the mask is handed over as the lengths of the rows, which are padded at
//! their ends: with those the kernel keeps no scores in memory (a third less time for the whole model at 256 tokens on
//! an H200).

use berth_types::Precision;

use crate::graph::{GraphBuilder, Setting, Value, given};
use crate::onnx::Element;

/// Rows of at most so many tokens get `Attention` over all heads at a time.
const SHORT: i32 = 128;
/// Rows of at most so many tokens get `Attention` over a group of heads at a time.
const MIDDLING: i32 = 320;
/// The operator of Berth's own takes heads of a multiple of so many values.
pub(crate) const OWN_LANES: usize = 16;
/// The mask as `MultiHeadAttention` takes it.
const MASK: &str = "mask.i32";
/// The rows' lengths, as the same operator takes them: one a row, then where each row's queries begin among all, then where
/// its keys do, each with the end of the last.
const LENGTHS: &str = "mask.lengths";
/// The kernel that takes lengths has heads of a multiple of so many values.
const LENGTHS_LANES: usize = 8;
/// Most heads in a group: four times 256² scores of four bytes are 1 MiB.
const GROUP: usize = 4;

/// What attention takes in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'v> {
    pub(crate) source: Source<'v>,
    /// What is added to all scores, `[1, heads, sequence, sequence]`; or empty.
    pub(crate) bias: &'v str,
    pub(crate) heads: usize,
    /// Values in a head.
    pub(crate) width: usize,
    /// Whether there is a query for each key.
    pub(crate) whole: bool,
}

/// Query, key and value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'v> {
    /// `[batch, sequence, 3 · hidden]`, and their bias where it is still to be added (or empty).
    Joined { all: &'v str, late: &'v str },
    /// Each `[batch, sequence, hidden]`.
    Apart([&'v str; 3]),
}

/// Adds what [`attend`] decides by, where it decides. `ids` and `mask` are `[batch, sequence]`, the mask in i32.
pub(crate) fn conditions(graph: &mut GraphBuilder, precision: Precision, ids: &str, mask: &str) {
    if precision == Precision::Fp16 {
        return;
    }
    let scalar = [Setting::Int("keepdims", 0)];
    let least = graph.node("ReduceMin", &[mask], "mask.least", &scalar);
    let masked = graph.i32_scalar("constant.masked", 0);
    let full = graph.node("Greater", &[&least, &masked], "mask.full", &[]);
    let shape = graph.node("Shape", &[ids], "row.shape", &[]);
    let second = graph.i64("constant.second", &[], &[1]);
    let length = graph.node("Gather", &[&shape, &second], "row.length", &[]);
    let length = graph.node("Cast", &[&length], "row.length.i32", &[Setting::Int("to", Element::I32 as i64)]);
    for (name, most) in [("short", SHORT), ("middling", MIDDLING)] {
        let most = graph.i32_scalar(&format!("constant.{name}"), most);
        let within = graph.node("LessOrEqual", &[&length, &most], &format!("row.{name}.any"), &[]);
        graph.node("And", &[&within, &full], &format!("row.{name}"), &[]);
    }
}

/// Adds the rows' lengths, see [`LENGTHS`], unless they are there.
fn lengths(graph: &mut GraphBuilder) {
    if graph.has(LENGTHS) {
        return;
    }
    let second = graph.i64("constant.one", &[1], &[1]);
    let of_rows = graph.node("ReduceSum", &[MASK, &second], "mask.tokens", &[Setting::Int("keepdims", 0)]);
    let [zero, one] = [0, 1].map(|number| graph.i64(&format!("constant.scalar.{number}"), &[], &[number]));
    let size = graph.node("Shape", &["input_ids"], "mask.shape", &[]);
    let rows = graph.node("Gather", &[&size, &zero], "mask.rows", &[]);
    let length = graph.node("Gather", &[&size, &one], "mask.length", &[]);
    let ends = graph.node("Add", &[&rows, &one], "mask.ends", &[]);
    let numbers = graph.node("Range", &[&zero, &ends, &one], "mask.numbers", &[]);
    let starts = graph.node("Mul", &[&numbers, &length], "mask.starts.whole", &[]);
    let starts = graph.node("Cast", &[&starts], "mask.starts", &[Setting::Int("to", Element::I32 as i64)]);
    graph.node("Concat", &[&of_rows, &starts, &starts], LENGTHS, &[Setting::Int("axis", 0)]);
}

/// Attention by an operator of Berth's own, which takes the product of query, key and value as it is, and the mask of
/// any row.
pub(crate) fn own(graph: &mut GraphBuilder, joined: &str, heads: usize, output: &str) -> Value {
    graph.own("JointAttention", &[joined, MASK], output, &[Setting::Int("num_heads", heads as i64)])
}

/// Takes the product of query, key and value apart.
pub(crate) fn parts(graph: &mut GraphBuilder, joined: &str, at: &str) -> [Value; 3] {
    let parts = ["query", "key", "value"].map(|part| format!("{at}.{part}"));
    graph.split("Split", &[joined], &parts.each_ref().map(String::as_str), &ways(3));
    parts
}

/// Multi-head attention over unmasked positions: `[batch, sequence, hidden]`, called `output`.
pub(crate) fn attend(graph: &mut GraphBuilder, precision: Precision, inputs: Inputs<'_>, output: &str) -> Value {
    if precision == Precision::Fp16 {
        if !inputs.whole || !inputs.bias.is_empty() || !inputs.width.is_multiple_of(LENGTHS_LANES) {
            return in_blocks(graph, inputs, MASK, output);
        }
        lengths(graph);
        return in_blocks(graph, inputs, LENGTHS, output);
    }
    // With a bias of the scores there is no kernel in blocks, and no length at which another one wins.
    if !inputs.bias.is_empty() {
        return by_mask(graph, inputs, output);
    }
    let group = (1..=GROUP).rev().find(|&group| inputs.heads.is_multiple_of(group)).unwrap_or(1);
    let groups = inputs.heads / group;
    let short = graph.part("short", |graph| in_memory(graph, inputs, 1, &format!("{output}.short")));
    let longer = graph.part("longer", |graph| {
        let middling = graph.part("middling", |graph| in_memory(graph, inputs, groups, &format!("{output}.middling")));
        let long = graph.part("long", |graph| by_mask(graph, inputs, &format!("{output}.long")));
        graph.either("row.middling", middling, long, &format!("{output}.longer"))
    });
    graph.either("row.short", short, longer, output)
}

/// The settings of a `Split` of the last axis.
fn ways(count: usize) -> [Setting; 2] {
    [Setting::Int("axis", 2), Setting::Int("num_outputs", count as i64)]
}

/// `MultiHeadAttention` with the mask only where a token is masked.
fn by_mask(graph: &mut GraphBuilder, inputs: Inputs<'_>, output: &str) -> Value {
    let full = graph.part("full", |graph| in_blocks(graph, inputs, "", &format!("{output}.full")));
    let masked = graph.part("masked", |graph| in_blocks(graph, inputs, MASK, &format!("{output}.masked")));
    graph.either("mask.full", full, masked, output)
}

/// `MultiHeadAttention`, which adds a late bias itself.
fn in_blocks(graph: &mut GraphBuilder, inputs: Inputs<'_>, mask: &str, output: &str) -> Value {
    let taken;
    let ([query, key, value], late) = match inputs.source {
        Source::Apart(parts) => (parts, ""),
        Source::Joined { all, late } => {
            taken = parts(graph, all, output);
            (taken.each_ref().map(String::as_str), late)
        }
    };
    let all = [query, key, value, late, mask, inputs.bias];
    graph.fused("MultiHeadAttention", given(&all), output, &[Setting::Int("num_heads", inputs.heads as i64)])
}

/// `Attention` without a mask, over `heads / groups` heads at a time.
fn in_memory(graph: &mut GraphBuilder, inputs: Inputs<'_>, groups: usize, output: &str) -> Value {
    let split = match inputs.source {
        Source::Apart(parts) if groups == 1 => parts.map(str::to_owned).to_vec(),
        Source::Apart(parts) => parts.into_iter().flat_map(|part| in_groups(graph, part, groups, output)).collect(),
        Source::Joined { all, late: "" } => in_groups(graph, all, 3 * groups, output),
        Source::Joined { all, late } => {
            let biased = graph.node("Add", &[all, late], &format!("{output}.biased"), &[]);
            in_groups(graph, &biased, 3 * groups, output)
        }
    };
    let heads = (inputs.heads / groups) as i64;
    let settings = [Setting::Int("q_num_heads", heads), Setting::Int("kv_num_heads", heads)];
    let mut attend = |group: usize, output: &str| {
        let parts = [0, 1, 2].map(|part| split[part * groups + group].as_str());
        graph.node("Attention", &parts, output, &settings)
    };
    if groups == 1 {
        return attend(0, output);
    }
    let contexts: Vec<Value> = (0..groups).map(|group| attend(group, &format!("{output}.group.{group}"))).collect();
    let contexts: Vec<&str> = contexts.iter().map(String::as_str).collect();
    graph.node("Concat", &contexts, output, &[Setting::Int("axis", 2)])
}

/// `states` in `count` equal parts of the last axis.
fn in_groups(graph: &mut GraphBuilder, states: &str, count: usize, output: &str) -> Vec<Value> {
    let names: Vec<Value> = (0..count).map(|number| format!("{output}.{states}.{number}")).collect();
    let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
    graph.split("Split", &[states], &outputs, &ways(count));
    names
}
