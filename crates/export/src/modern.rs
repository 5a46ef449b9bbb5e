//! ModernBERT (Warner et al., 2024) as a graph: rotary positions, layers of global and local attention, gated feed-forward
//! halves, norms before each half.
//!
//! Keys and queries are turned by their positions (`RotaryEmbedding`); a local layer's tokens see those within half a
//! window on either side.

use crate::Error;
use crate::assembly::{Assembly, Linear, Norm};
use crate::attention::{self, Source};
use crate::config::Fields;
use crate::graph::{Setting, Value};
use crate::local::{self, Window};
use crate::onnx::Element;
use crate::shape::{Activation, Shape};
use crate::trunk::{Trunk, spelled_out};

/// Added to the score of a token outside of the window; the softmax of anything near it is zero. f16 holds it, too.
const OUTSIDE: f32 = -3e4;

/// What ModernBERT has beyond the sizes of every encoder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Modern {
    /// For each layer, whether its attention is local.
    pub(crate) local: Vec<bool>,
    /// Farthest token on either side that a local layer sees.
    pub(crate) reach: usize,
    pub(crate) global_theta: f64,
    pub(crate) local_theta: f64,
    pub(crate) norm_bias: bool,
    pub(crate) attention_bias: bool,
    pub(crate) mlp_bias: bool,
    pub(crate) decoder_bias: bool,
    pub(crate) classifier_bias: bool,
    pub(crate) classifier_activation: Activation,
    /// Whether a classifier reads the mean of all states, not the first.
    pub(crate) classifier_mean: bool,
}

impl Modern {
    /// Takes out of `fields` what they say beyond the sizes.
    ///
    /// # Errors
    /// `ConfigValue` or `Unsupported`, naming the field.
    pub(crate) fn read(fields: &Fields, layers: usize) -> Result<Self, Error> {
        let every = fields.size_or("global_attn_every_n_layers", 1 << 10, 3)?;
        let local = match fields.words("layer_types")? {
            None => (0..layers).map(|layer| layer % every != 0).collect(),
            Some(types) => {
                for kind in &types {
                    fields.one_of("layer_types", kind, &["full_attention", "sliding_attention"])?;
                }
                types.iter().map(|kind| kind == "sliding_attention").collect::<Vec<_>>()
            }
        };
        if local.len() != layers {
            return Err(fields.wrong("layer_types", format!("one for each of the {layers} layers")));
        }
        let pooling = fields.word("classifier_pooling")?.unwrap_or_else(|| "cls".to_owned());
        fields.one_of("classifier_pooling", &pooling, &["cls", "mean"])?;
        Ok(Self {
            local,
            reach: fields.size_or("local_attention", 1 << 20, 128)? / 2,
            global_theta: fields.theta("full_attention", "global_rope_theta", 160_000.0)?,
            local_theta: fields.theta("sliding_attention", "local_rope_theta", 10_000.0)?,
            norm_bias: fields.switch("norm_bias", false)?,
            attention_bias: fields.switch("attention_bias", false)?,
            mlp_bias: fields.switch("mlp_bias", false)?,
            decoder_bias: fields.switch("decoder_bias", true)?,
            classifier_bias: fields.switch("classifier_bias", false)?,
            classifier_activation: Activation::read(fields, "classifier_activation", Activation::Gelu)?,
            classifier_mean: pooling == "mean",
        })
    }
}

/// Builds the encoder. With `attentions`, attention is spelled out, so that its weights can be had.
///
/// # Errors
/// What is wrong with a tensor.
pub(crate) fn build(
    assembly: &mut Assembly<'_>,
    shape: &Shape,
    modern: &Modern,
    attentions: bool,
) -> Result<Trunk, Error> {
    let mut builder = Builder { assembly, shape, modern };
    let mut trunk = Trunk { states: vec![builder.embeddings(attentions)?], attentions: Vec::new() };
    for layer in 0..shape.layers {
        let (states, weights) = builder.layer(layer, trunk.last(), attentions)?;
        trunk.states.push(states);
        trunk.attentions.extend(weights);
    }
    let name = builder.full("final_norm");
    let last = builder.assembly.norm(builder.norm(&name), trunk.last(), "states.last")?;
    // What others call the last layer's states is normalised.
    trunk.states.pop();
    trunk.states.push(last);
    Ok(trunk)
}

struct Builder<'b, 'a> {
    assembly: &'b mut Assembly<'a>,
    shape: &'b Shape,
    modern: &'b Modern,
}

impl Builder<'_, '_> {
    /// Normalised word rows; positions come in later.
    fn embeddings(&mut self, attentions: bool) -> Result<Value, Error> {
        let shape = self.shape;
        let graph = &mut self.assembly.graph;
        let lengths = ["batch", "sequence"];
        let ids = graph.input("input_ids", Element::I64, &lengths);
        let mask = graph.input("attention_mask", Element::I64, &lengths);
        let mask = graph.node("Cast", &[&mask], "mask.i32", &[Setting::Int("to", Element::I32 as i64)]);
        attention::conditions(graph, self.assembly.precision, &ids, &mask);
        self.places(attentions);

        let table = self.full(shape.family.word_table());
        let words = self.assembly.word_rows(&table, [shape.vocabulary, shape.hidden], &ids)?;
        let name = self.full("embeddings.norm");
        self.assembly.norm(self.norm(&name), &words, "embeddings.states")
    }

    /// Positions of the tokens, the tables of both rotations, and the scores of what lies outside of the window.
    fn places(&mut self, attentions: bool) {
        let (shape, modern) = (self.shape, self.modern);
        let width = shape.hidden / shape.heads;
        let graph = &mut self.assembly.graph;
        let size = graph.node("Shape", &["input_ids"], "input.shape", &[]);
        let index = graph.i64("constant.scalar_one", &[], &[1]);
        let length = graph.node("Gather", &[&size, &index], "input.length", &[]);
        let zero = graph.i64("constant.scalar_zero", &[], &[0]);
        let places = graph.node("Range", &[&zero, &length, &index], "places", &[]);
        let first = graph.i64("constant.first", &[1], &[0]);
        let second = graph.i64("constant.one", &[1], &[1]);
        // The kernel takes a row of positions for each text, or for a single text as many rows.
        let row = graph.node("Unsqueeze", &[&places, &first], "places.row", &[]);
        graph.node("Expand", &[&row, &size], "places.all", &[]);
        for (name, theta) in [("global", modern.global_theta), ("local", modern.local_theta)] {
            let (cosines, sines) = rotations(shape.position_rows, width, theta);
            graph.f32(&format!("rotary.{name}.cos"), &[shape.position_rows, width / 2], &cosines);
            graph.f32(&format!("rotary.{name}.sin"), &[shape.position_rows, width / 2], &sines);
        }
        if !modern.local.contains(&true) {
            return;
        }
        let window = Window::of(shape, modern.reach);
        // Weights are asked for between all tokens, so that attention is whole whatever the length.
        let longest = if attentions { i64::MAX } else { window.longest_whole() as i64 };
        let longest = graph.i64("window.longest_whole", &[], &[longest]);
        graph.node("Greater", &["input.length", &longest], "window.blocks", &[]);
        local::prepare(graph, window);
        // The scores of whole attention grow with the square of the length, so they are only made where they are read.
        let unused = graph.f32("window.unused", &[1, 1, 1, 1], &[0.0]);
        let none = graph.part("none", |graph| graph.node("Identity", &[&unused], "window.none", &[]));
        let square = graph.part("square", |graph| {
            let column = graph.node("Unsqueeze", &[&places, &second], "window.column", &[]);
            let difference = graph.node("Sub", &[&row, &column], "window.difference", &[]);
            let distance = graph.node("Abs", &[&difference], "window.distance", &[]);
            let reach = graph.i64("window.reach", &[], &[modern.reach as i64]);
            let outside = graph.node("Greater", &[&distance, &reach], "window.outside", &[]);
            let least = graph.f32("constant.outside", &[], &[OUTSIDE]);
            let nothing = graph.f32("constant.zero_f32", &[], &[0.0]);
            let scores = graph.node("Where", &[&outside, &least, &nothing], "window.flat", &[]);
            let axes = graph.i64("constant.first_axes", &[2], &[0, 1]);
            graph.node("Unsqueeze", &[&scores, &axes], "window.square", &[])
        });
        graph.either("window.blocks", none, square, "window.scores");
    }

    fn layer(&mut self, layer: usize, states: &str, attentions: bool) -> Result<(Value, Option<Value>), Error> {
        let (shape, modern) = (self.shape, self.modern);
        let (hidden, wide) = (shape.hidden, shape.intermediate);
        let folder = self.full(&format!("layers.{layer}"));
        let at = format!("layer.{layer}");
        let attention_norm = format!("{folder}.attn_norm");
        // The embeddings are normalised already, so that the first layer has no norm of its own.
        let read = match layer {
            0 => states.to_owned(),
            _ => self.assembly.norm(self.norm(&attention_norm), states, &format!("{at}.attention.input"))?,
        };
        let (context, weights) = self.attention(layer, &read, attentions)?;
        let name = format!("{folder}.attn.Wo");
        let output = Linear { name: &name, inputs: hidden, outputs: hidden, bias: modern.attention_bias };
        let attended = self.assembly.linear(output, &context, &format!("{at}.attention.output"))?;
        let middle = self.assembly.graph.node("Add", &[states, &attended], &format!("{at}.middle"), &[]);

        let name = format!("{folder}.mlp_norm");
        let read = self.assembly.norm(self.norm(&name), &middle, &format!("{at}.wide.input"))?;
        let name = format!("{folder}.mlp.Wi");
        let linear = Linear { name: &name, inputs: hidden, outputs: 2 * wide, bias: modern.mlp_bias };
        let raised = self.assembly.linear(linear, &read, &format!("{at}.wide.output"))?;
        let halves = [format!("{at}.wide.value"), format!("{at}.wide.gate")];
        let split = [Setting::Int("axis", -1), Setting::Int("num_outputs", 2)];
        self.assembly.graph.split("Split", &[&raised], &halves.each_ref().map(String::as_str), &split);
        let bent = self.assembly.activation(shape.activation, &halves[0], &format!("{at}.wide.bent"));
        let gated = self.assembly.graph.node("Mul", &[&bent, &halves[1]], &format!("{at}.wide"), &[]);
        let name = format!("{folder}.mlp.Wo");
        let linear = Linear { name: &name, inputs: wide, outputs: hidden, bias: modern.mlp_bias };
        let lowered = self.assembly.linear(linear, &gated, &format!("{at}.narrow"))?;
        Ok((self.assembly.graph.node("Add", &[&middle, &lowered], &format!("{at}.states"), &[]), weights))
    }

    fn attention(&mut self, layer: usize, states: &str, attentions: bool) -> Result<(Value, Option<Value>), Error> {
        let (shape, modern) = (self.shape, self.modern);
        let (hidden, local) = (shape.hidden, modern.local[layer]);
        let at = format!("layer.{layer}.attention");
        let name = self.full(&format!("layers.{layer}.attn.Wqkv"));
        let linear = Linear { name: &name, inputs: hidden, outputs: 3 * hidden, bias: modern.attention_bias };
        let joined = self.assembly.linear(linear, states, &format!("{at}.product"))?;
        let graph = &mut self.assembly.graph;
        let plain = attention::parts(graph, &joined, &format!("{at}.plain"));
        let kind = if local { "local" } else { "global" };
        let (cosines, sines) = (format!("rotary.{kind}.cos"), format!("rotary.{kind}.sin"));
        let mut turned = |part: &str, output: String| {
            let settings = [Setting::Int("num_heads", shape.heads as i64)];
            graph.fused("RotaryEmbedding", &[part, "places.all", &cosines, &sines], &output, &settings)
        };
        let query = turned(&plain[0], format!("{at}.query"));
        let key = turned(&plain[1], format!("{at}.key"));
        let value = plain[2].as_str();
        let bias = if local { "window.scores" } else { "" };
        if attentions {
            let (context, weights) = spelled_out(graph, shape, &at, &[query, key, plain[2].clone()], bias);
            return Ok((context, Some(weights)));
        }
        let source = Source::Apart([&query, &key, value]);
        let width = hidden / shape.heads;
        let inputs = attention::Inputs { source, bias, heads: shape.heads, width, whole: true };
        let output = format!("{at}.context");
        if !local {
            let precision = self.assembly.precision;
            return Ok((attention::attend(&mut self.assembly.graph, precision, inputs, &output), None));
        }
        let window = Window::of(shape, modern.reach);
        let blocks = self.assembly.graph.part("blocks", |graph| {
            let parts = [query.as_str(), &key, value];
            local::attend(graph, window, &format!("{at}.local"), parts, &format!("{output}.blocks"))
        });
        let precision = self.assembly.precision;
        let whole = self
            .assembly
            .graph
            .part("whole", |graph| attention::attend(graph, precision, inputs, &format!("{output}.whole")));
        Ok((self.assembly.graph.either("window.blocks", blocks, whole, &output), None))
    }

    fn norm<'n>(&self, name: &'n str) -> Norm<'n> {
        Norm { name, width: self.shape.hidden, epsilon: self.shape.epsilon, bias: self.modern.norm_bias }
    }

    fn full(&self, name: &str) -> String {
        self.assembly.weights.full(name)
    }
}

/// Cosines and sines of the angles by which the pairs of a head are turned at each position, each `[rows, width / 2]`
/// (Su et al., 2021).
fn rotations(rows: usize, width: usize, theta: f64) -> (Vec<f32>, Vec<f32>) {
    // The speeds are rounded to f32 on the way, as in the reference.
    let speeds: Vec<f32> =
        (0..width / 2).map(|pair| 1.0 / (theta as f32).powf((2 * pair) as f32 / width as f32)).collect();
    let angles = (0..rows).flat_map(|row| speeds.iter().map(move |&speed| row as f32 * speed));
    angles.map(|angle| (angle.cos(), angle.sin())).unzip()
}
