//! The encoder as a graph, from ids to the states of its last layer: every family with absolute positions.
//!
//! Operators are chosen by measurement on the CPU provider of ONNX Runtime 1.31 with one text a run:
//! - Attention has kernels for short, longer and masked rows, see [`attention`].
//! - `Gelu` with the bias added by the product before it is 3 % faster than the fused `BiasGelu`.
//! - Residual sums and layer norms stay apart: the fused `SkipLayerNormalization` is slower.

use crate::assembly::{Assembly, Linear, Norm};
use crate::attention::{self, Source};
use crate::family::LayerNames;
use crate::graph::{GraphBuilder, Setting, Value};
use crate::onnx::Element;
use crate::shape::Shape;
use crate::{Error, modern, relative};

/// What is added to the score of a masked token; the softmax of anything near it is zero. f16 holds it, too, and twice it.
const MASKED: f32 = -3e4;

/// Values that heads are built on.
pub(crate) struct Trunk {
    /// States after the embeddings and after each layer, `[batch, sequence, hidden]`.
    pub(crate) states: Vec<Value>,
    /// Attention weights of each layer, `[batch, heads, sequence, sequence]`, when they were asked for.
    pub(crate) attentions: Vec<Value>,
}

impl Trunk {
    /// States of the last layer.
    pub(crate) fn last(&self) -> &str {
        self.states.last().expect("the embeddings at least")
    }
}

/// What is wanted of the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// States of all tokens after every layer.
    States,
    /// These, and attention weights: attention is spelled out, so that they can be had.
    Attentions,
    /// After the last layer, only the state of the first token, `[batch, 1, hidden]`: the others are not computed. That
    /// layer then costs little more than its keys and values, which saves 13 % of the time of six layers at 237 tokens.
    First,
}

/// Builds the encoder.
///
/// # Errors
/// What is wrong with a tensor.
pub(crate) fn build(assembly: &mut Assembly<'_>, shape: &Shape, wanted: Wanted) -> Result<Trunk, Error> {
    if let Some(modern) = &shape.modern {
        return modern::build(assembly, shape, modern, wanted == Wanted::Attentions);
    }
    let mut builder = Builder { assembly, shape, bias: Value::new() };
    let embedded = builder.embeddings()?;
    let mut trunk = Trunk { states: vec![embedded], attentions: Vec::new() };
    for layer in 0..shape.layers {
        let steps = layers_of(shape, builder.assembly, layer);
        for (step, names) in steps.iter().enumerate() {
            let last = (layer + 1, step + 1) == (shape.layers, steps.len());
            let wanted = if wanted == Wanted::First && !last { Wanted::States } else { wanted };
            let at = if step == 0 { format!("layer.{layer}") } else { format!("layer.{layer}.{step}") };
            let (states, weights) = builder.layer(&at, names, trunk.last(), wanted)?;
            // Of the inner layers of one layer only the last one's states are what others call that layer's.
            if step > 0 {
                trunk.states.pop();
            }
            trunk.states.push(states);
            trunk.attentions.extend(weights);
        }
    }
    Ok(trunk)
}

/// Names of what layer `layer` consists of: itself, or the inner layers of its group.
fn layers_of(shape: &Shape, assembly: &Assembly<'_>, layer: usize) -> Vec<LayerNames> {
    let folder = shape.family.layers();
    let named = |at: String| shape.family.layer(&assembly.weights.full(&at));
    match shape.sharing {
        None => vec![named(format!("{folder}.{layer}"))],
        Some(sharing) => {
            let group = layer * sharing.groups / shape.layers;
            (0..sharing.inner_layers).map(|inner| named(format!("{folder}.{group}.albert_layers.{inner}"))).collect()
        }
    }
}

struct Builder<'b, 'a> {
    assembly: &'b mut Assembly<'a>,
    shape: &'b Shape,
    /// Bias of all attention scores by relative position; empty where there is none.
    bias: Value,
}

impl Builder<'_, '_> {
    /// Sum of word, position and token-type rows, normalised: `[batch, sequence, hidden]`.
    fn embeddings(&mut self) -> Result<Value, Error> {
        let shape = self.shape;
        let lengths = ["batch", "sequence"];
        let graph = &mut self.assembly.graph;
        let ids = graph.input("input_ids", Element::I64, &lengths);
        let mask = graph.input("attention_mask", Element::I64, &lengths);
        let types = (shape.token_types > 1).then(|| graph.input("token_type_ids", Element::I64, &lengths));
        let mask = graph.node("Cast", &[&mask], "mask.i32", &[Setting::Int("to", Element::I32 as i64)]);
        attention::conditions(graph, self.assembly.precision, &ids, &mask);

        let full = |name: &str| self.assembly.weights.full(name);
        let (word_table, position_table, type_table, norm) = (
            full(shape.family.word_table()),
            full("embeddings.position_embeddings.weight"),
            full("embeddings.token_type_embeddings.weight"),
            full("embeddings.LayerNorm"),
        );
        let words = self.assembly.word_rows(&word_table, [shape.vocabulary, shape.embedding], &ids)?;
        let positions = self.positions(&position_table)?;
        let fixed = match types {
            Some(types) => {
                let table = self.assembly.table(&type_table, [shape.token_types, shape.embedding])?;
                let kinds = self.assembly.graph.node("Gather", &[&table, &types], "embeddings.kinds", &[]);
                self.assembly.graph.node("Add", &[&kinds, &positions], "embeddings.fixed", &[])
            }
            None if shape.token_types == 1 => {
                let kind = self.assembly.table(&type_table, [1, shape.embedding])?;
                self.assembly.graph.node("Add", &[&positions, &kind], "embeddings.fixed", &[])
            }
            None => positions,
        };
        let sum = self.assembly.graph.node("Add", &[&words, &fixed], "embeddings.sum", &[]);
        let norm = Norm { name: &norm, width: shape.embedding, epsilon: shape.epsilon, bias: true };
        let states = self.assembly.norm(norm, &sum, "embeddings.states")?;
        if let Some(buckets) = shape.relative_buckets {
            self.bias = relative::bias(self.assembly, buckets, shape)?;
        }
        let Some(projection) = shape.family.projection(shape.embedding != shape.hidden) else { return Ok(states) };
        let name = self.assembly.weights.full(projection);
        let linear = Linear { name: &name, inputs: shape.embedding, outputs: shape.hidden, bias: true };
        self.assembly.linear(linear, &states, "embeddings.projected")
    }

    /// Rows of the position table for the tokens of a text, `[sequence, embedding]`.
    fn positions(&mut self, table: &str) -> Result<Value, Error> {
        let shape = self.shape;
        let table = self.assembly.table(table, [shape.position_rows, shape.embedding])?;
        let graph = &mut self.assembly.graph;
        let size = graph.node("Shape", &["input_ids"], "input.shape", &[]);
        let zero = graph.i64("constant.zero", &[1], &[0]);
        let one = graph.i64("constant.one", &[1], &[1]);
        let length = graph.node("Gather", &[&size, &one], "input.length", &[]);
        if shape.position_offset == 0 {
            return Ok(graph.node("Slice", &[&table, &zero, &length, &zero], "embeddings.positions", &[]));
        }
        let first = graph.i64("constant.first_position", &[1], &[shape.position_offset as i64]);
        let end = graph.node("Add", &[&length, &first], "input.end", &[]);
        Ok(graph.node("Slice", &[&table, &first, &end, &zero], "embeddings.positions", &[]))
    }

    /// One transformer layer: its states, and its attention weights where they are wanted.
    fn layer(
        &mut self,
        at: &str,
        names: &LayerNames,
        states: &str,
        wanted: Wanted,
    ) -> Result<(Value, Option<Value>), Error> {
        let shape = self.shape;
        let (hidden, intermediate, epsilon) = (shape.hidden, shape.intermediate, shape.epsilon);
        let (context, weights) = self.attention(at, names, states, wanted)?;
        let first = (wanted == Wanted::First).then(|| self.first(states, 1, &format!("{at}.first")));
        let states = first.as_deref().unwrap_or(states);
        let output = |name| Linear { name, inputs: hidden, outputs: hidden, bias: true };
        let norm = |name| Norm { name, width: hidden, epsilon, bias: true };

        let attended = self.assembly.linear(output(&names.attended), &context, &format!("{at}.attention.output"))?;
        let middle_norm = norm(&names.attention_norm);
        let middle = self.assembly.residual(middle_norm, [&attended, states], &format!("{at}.attention"))?;

        let wide = Linear { name: &names.wide, inputs: hidden, outputs: intermediate, bias: true };
        let narrow = Linear { name: &names.narrow, inputs: intermediate, outputs: hidden, bias: true };
        let raised = self.assembly.linear(wide, &middle, &format!("{at}.wide.output"))?;
        let lowered = self.assembly.narrowing((middle_norm, wide, narrow), shape.activation, &raised, at)?;
        Ok((self.assembly.residual(norm(&names.norm), [&lowered, &middle], at)?, weights))
    }

    /// Multi-head attention over unmasked positions, without its output projection.
    fn attention(
        &mut self,
        at: &str,
        names: &LayerNames,
        states: &str,
        wanted: Wanted,
    ) -> Result<(Value, Option<Value>), Error> {
        let hidden = self.shape.hidden;
        let linears = names.inputs.each_ref().map(|name| Linear { name, inputs: hidden, outputs: hidden, bias: true });
        let joint = format!("{}+key+value", names.inputs[0]);
        let (joined, late) = self.assembly.joined(&joint, &linears, states, &format!("{at}.attention.product"))?;
        let at = format!("{at}.attention");
        let (precision, heads) = (self.assembly.precision, self.shape.heads);
        let width = hidden / heads;
        let output = format!("{at}.context");
        let own = self.attends_by_own(wanted) && late.is_empty();
        if own {
            return Ok((attention::own(&mut self.assembly.graph, &joined, heads, &output), None));
        }
        let graph = &mut self.assembly.graph;
        if wanted == Wanted::States {
            let source = Source::Joined { all: &joined, late: &late };
            let inputs = attention::Inputs { source, bias: &self.bias, heads, width, whole: true };
            return Ok((attention::attend(graph, precision, inputs, &output), None));
        }
        let joined =
            if late.is_empty() { joined } else { graph.node("Add", &[&joined, &late], &format!("{at}.biased"), &[]) };
        let parts = attention::parts(graph, &joined, &at);
        if wanted == Wanted::Attentions {
            let (context, weights) = spelled_out(graph, self.shape, &at, &parts, &self.bias);
            return Ok((context, Some(weights)));
        }
        let query = self.first(&parts[0], 1, &format!("{at}.query.first"));
        let bias = self.bias.clone();
        let bias = if bias.is_empty() { bias } else { self.first(&bias, 2, &format!("{at}.bias.first")) };
        let source = Source::Apart([&query, &parts[1], &parts[2]]);
        let inputs = attention::Inputs { source, bias: &bias, heads, width, whole: false };
        Ok((attention::attend(&mut self.assembly.graph, precision, inputs, &output), None))
    }

    /// Whether a layer of which `wanted` is wanted has attention by an operator of Berth's own: it takes heads of whole
    /// vectors, adds no bias to scores, and computes all tokens.
    fn attends_by_own(&self, wanted: Wanted) -> bool {
        let width = self.shape.hidden / self.shape.heads;
        let takes = width.is_multiple_of(attention::OWN_LANES) && self.shape.relative_buckets.is_none();
        self.assembly.uses_own() && takes && wanted == Wanted::States
    }

    /// What is first along `axis`, which keeps its place with length one.
    fn first(&mut self, values: &str, axis: i64, output: &str) -> Value {
        let graph = &mut self.assembly.graph;
        let start = graph.i64("constant.first", &[1], &[0]);
        let end = graph.i64("constant.one", &[1], &[1]);
        let axis = graph.i64(&format!("constant.axis.{axis}"), &[1], &[axis]);
        graph.node("Slice", &[values, &start, &end, &axis], output, &[])
    }
}

/// Attention in single steps: the context, `[batch, sequence, hidden]`, and the weights.
pub(crate) fn spelled_out(
    graph: &mut GraphBuilder,
    shape: &Shape,
    at: &str,
    parts: &[String; 3],
    bias: &str,
) -> (Value, Value) {
    let (hidden, heads) = (shape.hidden, shape.heads);
    let by_head = graph.i64("constant.by_head", &[4], &[0, 0, heads as i64, (hidden / heads) as i64]);
    let whole = graph.i64("constant.whole", &[3], &[0, 0, hidden as i64]);
    let mut sorted = |part: &str, order: &'static [i64]| {
        let split = graph.node("Reshape", &[part, &by_head], &format!("{part}.split"), &[]);
        graph.node("Transpose", &[&split], &format!("{part}.heads"), &[Setting::Ints("perm", order)])
    };
    let query = sorted(&parts[0], &[0, 2, 1, 3]);
    let key = sorted(&parts[1], &[0, 2, 3, 1]);
    let value = sorted(&parts[2], &[0, 2, 1, 3]);
    let dots = graph.node("MatMul", &[&query, &key], &format!("{at}.dots"), &[]);
    let scale = graph.f32("constant.head_scale", &[], &[1.0 / ((hidden / heads) as f32).sqrt()]);
    let mut scores = graph.node("Mul", &[&dots, &scale], &format!("{at}.scaled"), &[]);
    if !bias.is_empty() {
        scores = graph.node("Add", &[&scores, bias], &format!("{at}.placed"), &[]);
    }
    let penalty = penalty(graph);
    let scores = graph.node("Add", &[&scores, &penalty], &format!("{at}.scores"), &[]);
    let weights = graph.node("Softmax", &[&scores], &format!("{at}.weights"), &[Setting::Int("axis", -1)]);
    let mixed = graph.node("MatMul", &[&weights, &value], &format!("{at}.mixed"), &[]);
    let order = [Setting::Ints("perm", &[0, 2, 1, 3])];
    let turned = graph.node("Transpose", &[&mixed], &format!("{at}.turned"), &order);
    (graph.node("Reshape", &[&turned, &whole], &format!("{at}.context"), &[]), weights)
}

/// What is added to the scores of masked tokens: `[batch, 1, 1, sequence]`, zero for real ones.
pub(crate) fn penalty(graph: &mut GraphBuilder) -> Value {
    if graph.has("mask.penalty") {
        return "mask.penalty".to_owned();
    }
    let to_f32 = [Setting::Int("to", Element::F32 as i64)];
    let real = graph.node("Cast", &["attention_mask"], "mask.real", &to_f32);
    let one = graph.f32("constant.one_f32", &[], &[1.0]);
    let missing = graph.node("Sub", &[&one, &real], "mask.missing", &[]);
    let least = graph.f32("constant.least_score", &[], &[MASKED]);
    let flat = graph.node("Mul", &[&missing, &least], "mask.flat", &[]);
    let axes = graph.i64("constant.head_axes", &[2], &[1, 2]);
    graph.node("Unsqueeze", &[&flat, &axes], "mask.penalty", &[])
}
