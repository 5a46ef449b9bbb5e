//! The bricks of a graph: tables, matrix products and norms over a checkpoint's tensors, in the precision asked for.
//!
//! Tensors are given by their full names in the checkpoint; those that several layers share are stored once.

use std::collections::{BTreeMap, BTreeSet};

use berth_types::{OwnOperators, Precision};

use crate::checkpoint::Weights;
use crate::export::ExportOptions;
use crate::graph::{GraphBuilder, Setting, Value};
use crate::onnx::Element;
use crate::products::Matrix;
use crate::shape::Activation;
use crate::{Calibration, Error, Product, balance, quantize};

/// A graph under construction, with the weights that go into it.
pub(crate) struct Assembly<'a> {
    pub(crate) weights: &'a Weights<'a>,
    pub(crate) precision: Precision,
    /// Products that stay in f32.
    keep_fp32: &'a BTreeSet<String>,
    pub(crate) calibration: Option<&'a Calibration>,
    pub(crate) graph: GraphBuilder,
    /// Every product so far, in order.
    pub(crate) products: Vec<Product>,
    /// In a calibration graph: each product with what it takes in.
    pub(crate) observed: Option<Vec<(String, Value)>>,
    matrices: BTreeMap<String, Matrix>,
    /// Operators of Berth's own that may be used.
    own_operators: OwnOperators,
}

/// A product's tensors: `NAME.weight`, `[outputs, inputs]`, and where there is one `NAME.bias`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linear<'n> {
    pub(crate) name: &'n str,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) bias: bool,
}

/// A layer norm's tensors: `NAME.weight` and `NAME.bias`, `[width]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Norm<'n> {
    pub(crate) name: &'n str,
    pub(crate) width: usize,
    pub(crate) epsilon: f32,
    pub(crate) bias: bool,
}

impl<'a> Assembly<'a> {
    /// Starts a graph; with `observing` a calibration graph, whose products are those of `options.precision` but work
    /// in f32.
    pub(crate) fn new(weights: &'a Weights<'a>, options: &'a ExportOptions, observing: bool) -> Self {
        let mut graph = GraphBuilder::default();
        graph.halve(options.precision == Precision::Fp16);
        Self {
            weights,
            precision: options.precision,
            keep_fp32: &options.keep_fp32,
            calibration: options.calibration.as_ref(),
            graph,
            products: Vec::new(),
            observed: observing.then(Vec::new),
            matrices: BTreeMap::new(),
            own_operators: if observing { OwnOperators::None } else { options.own_operators },
        }
    }

    /// Whether operators of Berth's own are used: their precision is that of 8-bit products.
    pub(crate) fn uses_own(&self) -> bool {
        self.own_operators.any() && matches!(self.precision, Precision::Int8 | Precision::Int8Static)
    }

    /// Whether products in int8 are among them.
    pub(crate) fn multiplies_by_own(&self) -> bool {
        self.own_operators == OwnOperators::Products
    }

    /// The precision in which the product `name` works.
    pub(crate) fn precision_of(&self, name: &str) -> Precision {
        if self.observed.is_some() || self.keep_fp32.contains(name) { Precision::Fp32 } else { self.precision }
    }

    /// Rows of the word table. Where products are quantised it holds bytes with a scale per row: it is most of a small
    /// model's file.
    pub(crate) fn word_rows(&mut self, name: &str, shape: [usize; 2], ids: &str) -> Result<Value, Error> {
        if matches!(self.precision, Precision::Fp32 | Precision::Fp16) {
            let table = self.table(name, shape)?;
            return Ok(self.graph.node("Gather", &[&table, ids], "embeddings.words", &[]));
        }
        let quantized = quantize::rows(&self.weights.values(name, &shape)?, shape[1]);
        let table = self.graph.i8(name, &shape, &quantized.bytes);
        let scales = self.graph.f32(&format!("{name}.scale"), &[shape[0], 1], &quantized.scales);
        let bytes = self.graph.node("Gather", &[&table, ids], "embeddings.words.bytes", &[]);
        let scales = self.graph.node("Gather", &[&scales, ids], "embeddings.words.scales", &[]);
        let to_f32 = [Setting::Int("to", Element::F32 as i64)];
        let whole = self.graph.node("Cast", &[&bytes], "embeddings.words.whole", &to_f32);
        Ok(self.graph.node("Mul", &[&whole, &scales], "embeddings.words", &[]))
    }

    /// `states · weightᵀ + bias`, called `output`.
    pub(crate) fn linear(&mut self, linear: Linear<'_>, states: &str, output: &str) -> Result<Value, Error> {
        let weight =
            |this: &Self| this.weights.values(&format!("{}.weight", linear.name), &[linear.outputs, linear.inputs]);
        self.weighted(linear, weight, states, output)
    }

    /// As [`Assembly::linear`], in f32 whatever the precision: for small products at the end of a graph, where rounding
    /// would show and time does not.
    pub(crate) fn exact(&mut self, linear: Linear<'_>, states: &str, output: &str) -> Result<Value, Error> {
        let weight = self.weights.values(&format!("{}.weight", linear.name), &[linear.outputs, linear.inputs])?;
        let read_bias = || self.weights.values(&format!("{}.bias", linear.name), &[linear.outputs]);
        let bias = linear.bias.then(read_bias).transpose()?;
        Ok(self.exact_values(linear, &weight, bias.as_deref(), states, output))
    }

    /// As [`Assembly::exact`] with values that are not among the checkpoint's tensors.
    pub(crate) fn exact_values(
        &mut self,
        linear: Linear<'_>,
        weight: &[f32],
        bias: Option<&[f32]>,
        states: &str,
        output: &str,
    ) -> Value {
        let shape = [linear.inputs, linear.outputs];
        let matrix =
            self.graph.f32(&format!("{}.matrix", linear.name), &shape, &quantize::transpose(weight, linear.inputs));
        let Some(bias) = bias else {
            return self.graph.node("MatMul", &[states, &matrix], output, &[]);
        };
        let bias = self.graph.f32(&format!("{}.bias", linear.name), &[linear.outputs], bias);
        let product = self.graph.node("MatMul", &[states, &matrix], &format!("{output}.product"), &[]);
        self.graph.node("Add", &[&product, &bias], output, &[])
    }

    /// `states · weightᵀ + bias` in the graph's precision, with values that are already read.
    pub(crate) fn product_of(
        &mut self,
        linear: Linear<'_>,
        weight: &[f32],
        bias: &[f32],
        states: &str,
        output: &str,
    ) -> Result<Value, Error> {
        let matrix = self.matrix(linear.name, weight, linear.inputs)?;
        let bias = self.graph.f32(&format!("{}.bias", linear.name), &[linear.outputs], bias);
        Ok(self.biased(&matrix, states, &bias, output))
    }

    /// Several products of the same states, as one: `[…, outputs of all]`. Returns it with the bias that is still to be
    /// added (empty when there is none): a quantised product adds it on its way out, otherwise attention does so while
    /// it sorts by heads.
    pub(crate) fn joined(
        &mut self,
        name: &str,
        parts: &[Linear<'_>],
        states: &str,
        output: &str,
    ) -> Result<(Value, Value), Error> {
        let inputs = parts[0].inputs;
        if !self.matrices.contains_key(name) {
            let mut weight = Vec::new();
            for part in parts {
                weight.extend(self.weights.values(&format!("{}.weight", part.name), &[part.outputs, inputs])?);
            }
            let matrix = self.matrix(name, &weight, inputs)?;
            self.matrices.insert(name.to_owned(), matrix);
        }
        let mut bias = Value::new();
        if parts.iter().all(|part| part.bias) {
            let mut values = Vec::new();
            for part in parts {
                values.extend(self.weights.values(&format!("{}.bias", part.name), &[part.outputs])?);
            }
            bias = self.graph.f32(&format!("{name}.bias"), &[values.len()], &values);
        }
        let matrix = self.matrices[name].clone();
        let (early, late) = if matrix.takes_bias() { (bias, Value::new()) } else { (Value::new(), bias) };
        Ok((self.product(&matrix, states, &early, output), late))
    }

    /// The narrowing half of a feed-forward block, called `AT.narrow`: `activation` and `narrow` after `wide`, whose
    /// output is `raised`, after `norm`. Where all of its input has one scale, that is balanced first, see [`balance`].
    pub(crate) fn narrowing(
        &mut self,
        (norm, wide, narrow): (Norm<'_>, Linear<'_>, Linear<'_>),
        activation: Activation,
        raised: &str,
        at: &str,
    ) -> Result<Value, Error> {
        let (bent, output) = (format!("{at}.wide"), format!("{at}.narrow"));
        let one_scale = matches!(self.precision, Precision::Int8 | Precision::Int8Static);
        if !one_scale || self.keep_fp32.contains(narrow.name) {
            let bent = self.activation(activation, raised, &bent);
            return self.linear(narrow, &bent, &output);
        }
        let read = |name: &str, part: &str, shape: &[usize]| self.weights.values(&format!("{name}.{part}"), shape);
        let reaches = balance::reaches(
            &read(wide.name, "weight", &[wide.outputs, wide.inputs])?,
            &read(wide.name, "bias", &[wide.outputs])?,
            &read(norm.name, "weight", &[norm.width])?,
            &read(norm.name, "bias", &[norm.width])?,
        );
        let inverses: Vec<f32> = reaches.iter().map(|reach| 1.0 / reach).collect();
        let inverses = self.graph.f32(&format!("{}.balance", wide.name), &[wide.outputs], &inverses);
        let balanced = format!("{output}.balanced");
        let balanced = if self.uses_own() && activation == Activation::Gelu {
            self.graph.own("ScaledGelu", &[raised, &inverses], &balanced, &[])
        } else {
            let bent = self.activation(activation, raised, &bent);
            self.graph.node("Mul", &[&bent, &inverses], &balanced, &[])
        };
        let weight = |this: &Self| {
            let mut weight =
                this.weights.values(&format!("{}.weight", narrow.name), &[narrow.outputs, narrow.inputs])?;
            for row in weight.chunks_exact_mut(narrow.inputs) {
                row.iter_mut().zip(&reaches).for_each(|(weight, reach)| *weight *= reach);
            }
            Ok(weight)
        };
        self.weighted(narrow, weight, &balanced, &output)
    }

    /// The norm of a branch and what went into it, called `AT.states`.
    pub(crate) fn residual(&mut self, norm: Norm<'_>, [branch, states]: [&str; 2], at: &str) -> Result<Value, Error> {
        let output = format!("{at}.states");
        if !(self.uses_own() && norm.bias) {
            let sum = self.graph.node("Add", &[branch, states], &format!("{at}.sum"), &[]);
            return self.norm(norm, &sum, &output);
        }
        let weight = self.vector(&format!("{}.weight", norm.name), norm.width)?;
        let bias = self.vector(&format!("{}.bias", norm.name), norm.width)?;
        let settings = [Setting::Float("epsilon", norm.epsilon)];
        Ok(self.graph.own("ResidualNorm", &[branch, states, &weight, &bias], &output, &settings))
    }

    /// A norm over the last axis, called `output`.
    pub(crate) fn norm(&mut self, norm: Norm<'_>, states: &str, output: &str) -> Result<Value, Error> {
        let weight = self.vector(&format!("{}.weight", norm.name), norm.width)?;
        let settings = [Setting::Int("axis", -1), Setting::Float("epsilon", norm.epsilon)];
        let mut inputs = vec![states, weight.as_str()];
        let bias = if norm.bias { self.vector(&format!("{}.bias", norm.name), norm.width)? } else { Value::new() };
        if norm.bias {
            inputs.push(&bias);
        }
        Ok(self.graph.node("LayerNormalization", &inputs, output, &settings))
    }

    /// A nonlinearity, called `output`.
    pub(crate) fn activation(&mut self, activation: Activation, states: &str, output: &str) -> Value {
        match activation {
            Activation::Gelu => self.graph.node("Gelu", &[states], output, &[]),
            Activation::GeluTanh => self.graph.node("Gelu", &[states], output, &[Setting::Text("approximate", "tanh")]),
            Activation::Relu => self.graph.node("Relu", &[states], output, &[]),
            Activation::Tanh => self.graph.node("Tanh", &[states], output, &[]),
            Activation::Silu => {
                let gate = self.graph.node("Sigmoid", &[states], &format!("{output}.gate"), &[]);
                self.graph.node("Mul", &[states, &gate], output, &[])
            }
        }
    }

    /// A table of f32 as it is in the checkpoint.
    pub(crate) fn table(&mut self, name: &str, shape: [usize; 2]) -> Result<Value, Error> {
        let values = self.weights.values(name, &shape)?;
        Ok(self.graph.f32(name, &shape, &values))
    }

    pub(crate) fn vector(&mut self, name: &str, length: usize) -> Result<Value, Error> {
        let values = self.weights.values(name, &[length])?;
        Ok(self.graph.f32(name, &[length], &values))
    }

    fn weighted(
        &mut self,
        linear: Linear<'_>,
        weight: impl Fn(&Self) -> Result<Vec<f32>, Error>,
        states: &str,
        output: &str,
    ) -> Result<Value, Error> {
        if !self.matrices.contains_key(linear.name) {
            let values = weight(self)?;
            let matrix = self.matrix(linear.name, &values, linear.inputs)?;
            self.matrices.insert(linear.name.to_owned(), matrix);
        }
        let matrix = self.matrices[linear.name].clone();
        let bias =
            if linear.bias { self.vector(&format!("{}.bias", linear.name), linear.outputs)? } else { Value::new() };
        Ok(self.biased(&matrix, states, &bias, output))
    }
}
