//! Matrix products: how each precision stores a matrix, and which operator multiplies by it.
//!
//! - `fp32`, `fp16`: `MatMul`.
//! - `int8`: `DynamicQuantizeMatMul`, with one scale of the states a run. Its vectors depend on what shares the run. Or,
//!   where ONNX Runtime's products would saturate, `RowProduct` of Berth's own, with a scale for each row of states.
//! - `int8-static`: `QuantizeLinear` with a scale measured before, then `MatMulIntegerToFloat`. As fast as `int8` (which
//!   only has to find the range), and independent of what shares the run.
//! - `q8`, `q4`: `MatMulNBits`, which gives each block of a row of states a scale of its own, so that rows do not see
//!   their neighbours.
//!
//! Out of ONNX Runtime's operators, scales for each row of states cost an eighth of the speed: see docs/precisions.md.

use berth_kernels::{PackedMatrix, pack, packed_shape};
use berth_types::Precision;

use crate::assembly::Assembly;
use crate::calibration::Range;
use crate::graph::{Setting, Value, given};
use crate::quantize;
use crate::{Error, Product};

/// Weights under one scale in `q8`. On all-MiniLM-L6-v2 blocks of 32, 64 and 128 have mean cosines of .9996, .9995 and
/// .9991 to fp32 and 4.8, 5.2 and 5.6 thousand tokens a second on one core. The kernel for 128 sums up in another order
/// where it has one row of states left than where it has several, so that a row would see its neighbours.
const Q8_BLOCK: usize = 64;
/// Weights under one scale in `q4`. Blocks of 16 gain a hundredth of cosine and cost 4 % of the speed; those of 64 lose one
/// and see their neighbours.
const Q4_BLOCK: usize = 32;
/// Arithmetic of `MatMulNBits` in which the states, too, are 8-bit integers in blocks.
const INTEGER_STATES: i64 = 4;

/// A `[inputs, outputs]` matrix in the graph.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    name: String,
    values: Value,
    storage: Storage,
}

/// What stands beside the values of a matrix.
#[derive(Debug, Clone)]
enum Storage {
    Float { half: bool },
    Dynamic { scales: Value },
    Rows { scales: Value, sums: Value, outputs: usize },
    Static { scales: Value, states_scale: Value, states_zero: Value },
    Blocks { scales: Value, zeros: Value, inputs: usize, outputs: usize, bits: u8, block: usize },
}

impl Matrix {
    /// Whether the product adds a bias on its way out.
    pub(crate) fn takes_bias(&self) -> bool {
        !matches!(self.storage, Storage::Float { .. })
    }
}

impl Assembly<'_> {
    /// Stores a `[outputs, inputs]` weight as the matrix of the product `name`, in that product's precision.
    ///
    /// # Errors
    /// `CalibrationMissing` when a static precision has no range for it.
    pub(crate) fn matrix(&mut self, name: &str, weight: &[f32], inputs: usize) -> Result<Matrix, Error> {
        let outputs = weight.len() / inputs;
        self.products.push(Product::new(name, inputs, outputs));
        let (owner, name) = (name.to_owned(), format!("{name}.matrix"));
        let shape = [inputs, outputs];
        let (values, storage) = match self.precision_of(&owner) {
            precision @ (Precision::Fp32 | Precision::Fp16) => {
                let values = self.graph.f32(&name, &shape, &quantize::transpose(weight, inputs));
                (values, Storage::Float { half: precision == Precision::Fp16 })
            }
            Precision::Q8 => self.blocks(&name, weight, inputs, 8, Q8_BLOCK),
            Precision::Q4 => self.blocks(&name, weight, inputs, 4, Q4_BLOCK),
            Precision::Int8 if self.multiplies_by_own() => {
                let PackedMatrix { bytes, scales, sums } = pack(weight, inputs);
                let values = self.graph.i8(&name, &packed_shape(inputs, outputs), &bytes);
                let scales = self.graph.f32(&format!("{name}.scale"), &[outputs], &scales);
                let sums = self.graph.f32(&format!("{name}.sum"), &[outputs], &sums);
                (values, Storage::Rows { scales, sums, outputs })
            }
            precision => {
                let quantized = quantize::rows(weight, inputs);
                let values = self.graph.i8(&name, &shape, &quantize::transpose(&quantized.bytes, inputs));
                let scales = self.graph.f32(&format!("{name}.scale"), &[outputs], &quantized.scales);
                if precision == Precision::Int8Static {
                    let Range { scale, zero } = self.range_of(&owner)?;
                    let states_scale = self.graph.f32(&format!("{owner}.states.scale"), &[], &[scale]);
                    let states_zero = self.graph.u8(&format!("{owner}.states.zero"), &[], &[zero]);
                    (values, Storage::Static { scales, states_scale, states_zero })
                } else {
                    (values, Storage::Dynamic { scales })
                }
            }
        };
        Ok(Matrix { name: owner, values, storage })
    }

    fn blocks(&mut self, name: &str, weight: &[f32], inputs: usize, bits: u8, block: usize) -> (Value, Storage) {
        let outputs = weight.len() / inputs;
        let stored = quantize::blocks(weight, inputs, bits, block);
        let blocks = inputs.div_ceil(block);
        let values = self.graph.u8(name, &[outputs, blocks, block * usize::from(bits) / 8], &stored.bytes);
        let scales = self.graph.f32(&format!("{name}.scale"), &[outputs * blocks], &stored.scales);
        let zeros = match &stored.zeros {
            Some(zeros) => self.graph.u8(&format!("{name}.zero"), &[zeros.len()], zeros),
            None => Value::new(),
        };
        (values, Storage::Blocks { scales, zeros, inputs, outputs, bits, block })
    }

    /// The product of `states` with `matrix`, and `bias` where it is not empty.
    pub(crate) fn biased(&mut self, matrix: &Matrix, states: &str, bias: &str, output: &str) -> Value {
        if bias.is_empty() || matrix.takes_bias() {
            return self.product(matrix, states, bias, output);
        }
        let product = self.product(matrix, states, "", &format!("{output}.product"));
        self.graph.node("Add", &[&product, bias], output, &[])
    }

    /// A matrix product; `bias` (where not empty) needs a matrix that takes one.
    pub(crate) fn product(&mut self, matrix: &Matrix, states: &str, bias: &str, output: &str) -> Value {
        self.observe(&matrix.name, states);
        let values = matrix.values.as_str();
        match &matrix.storage {
            Storage::Float { half } => {
                let before = self.graph.halve(*half);
                let product = self.graph.node("MatMul", &[states, values], output, &[]);
                self.graph.halve(before);
                product
            }
            Storage::Dynamic { scales } => {
                // The fourth input is the weights' zero point, which symmetric weights do not have.
                let inputs = [states, values, scales, "", bias];
                self.graph.fused("DynamicQuantizeMatMul", given(&inputs), output, &[])
            }
            Storage::Rows { scales, sums, outputs } => {
                let zeros;
                let bias = if bias.is_empty() {
                    zeros = self.graph.f32(&format!("{}.no_bias", matrix.name), &[*outputs], &vec![0.0; *outputs]);
                    &zeros
                } else {
                    bias
                };
                self.graph.own("RowProduct", &[states, values, scales, sums, bias], output, &[])
            }
            Storage::Static { scales, states_scale, states_zero } => {
                let bytes = format!("{output}.bytes");
                let bytes = self.graph.node("QuantizeLinear", &[states, states_scale, states_zero], &bytes, &[]);
                let inputs = [&bytes, values, states_scale, scales, states_zero, "", bias];
                self.graph.fused("MatMulIntegerToFloat", given(&inputs), output, &[])
            }
            Storage::Blocks { scales, zeros, inputs, outputs, bits, block } => {
                let settings = [
                    Setting::Int("K", *inputs as i64),
                    Setting::Int("N", *outputs as i64),
                    Setting::Int("bits", i64::from(*bits)),
                    Setting::Int("block_size", *block as i64),
                    Setting::Int("accuracy_level", INTEGER_STATES),
                ];
                // The fifth input would reorder the groups.
                let inputs = [states, values, scales, zeros, "", bias];
                self.graph.fused("MatMulNBits", given(&inputs), output, &settings)
            }
        }
    }
}
