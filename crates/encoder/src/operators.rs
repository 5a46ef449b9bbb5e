//! Berth's own operators in ONNX Runtime: the domain `berth`, over the functions of `berth_kernels`.
//!
//! An operator is constant while it computes, so that any number of threads may run it at once; what a thread needs
//! beside it belongs to the thread.

mod raw;

use std::ffi::CStr;
use std::ptr;
use std::sync::OnceLock;

use berth_kernels::{AttentionShape, PackedView, add_and_norm, attend, gelu_scaled, multiply_rows, packed_shape};
use berth_types::OwnOperators;
use ort::AsPointer;
use ort::session::builder::SessionBuilder;
use ort::sys::{self, ONNXTensorElementDataType as Element};

use self::raw::{F32, I8, I32, LastAxis, Node, Operator, Run, Tensor, table};

/// `JointAttention(joined, mask)`: `[batch, sequence, 3 · hidden]` and i32 `[batch, sequence]` to
/// `[batch, sequence, hidden]`. Each row is computed alone.
struct JointAttention {
    heads: usize,
}

impl Operator for JointAttention {
    const NAME: &'static CStr = c"JointAttention";
    const INPUTS: &'static [Element] = &[F32, I32];
    const LAST_AXIS: LastAxis = LastAxis::PartOfFirst(3);

    fn of(node: &Node) -> ort::Result<Self> {
        Ok(Self { heads: node.whole(c"num_heads")? })
    }

    fn compute(&self, run: &Run) -> ort::Result<()> {
        let (joined, mask) = (run.input(0)?, run.input(1)?);
        let &[rows, tokens, width] = joined.shape else { return Err(misfit(Self::NAME, joined.shape)) };
        let hidden = width as usize / 3;
        let shape = AttentionShape { heads: self.heads, width: hidden.checked_div(self.heads).unwrap_or(0) };
        if !shape.is_supported() || 3 * shape.hidden() != width as usize || mask.shape != [rows, tokens] {
            return Err(misfit(Self::NAME, joined.shape));
        }
        let context = run.output(&[rows, tokens, hidden as i64])?;
        // SAFETY: the types are those of `INPUTS`, and an output of another shape has a place of its own.
        let (joined, mask, context) = unsafe { (joined.values::<f32>(), mask.values::<i32>(), context.values_mut()) };
        let tokens = tokens as usize;
        for row in 0..rows as usize {
            let (from, to) = (row * tokens, (row + 1) * tokens);
            let joined = &joined[from * 3 * hidden..to * 3 * hidden];
            attend(joined, Some(&mask[from..to]), shape, &mut context[from * hidden..to * hidden]);
        }
        Ok(())
    }
}

/// `ScaledGelu(states, scales)`: `[…, width]` and `[width]`.
struct ScaledGelu;

impl Operator for ScaledGelu {
    const NAME: &'static CStr = c"ScaledGelu";
    const INPUTS: &'static [Element] = &[F32, F32];
    const LAST_AXIS: LastAxis = LastAxis::PartOfFirst(1);

    fn of(_: &Node) -> ort::Result<Self> {
        Ok(Self)
    }

    fn compute(&self, run: &Run) -> ort::Result<()> {
        let (states, scales) = (run.input(0)?, run.input(1)?);
        let width = states.last();
        if scales.shape != [width as i64] {
            return Err(misfit(Self::NAME, scales.shape));
        }
        let output = run.output(states.shape)?;
        // SAFETY: the types are those of `INPUTS`; scales are no place for the output.
        let scales = unsafe { scales.values() };
        rows(&states, &output, width, |_, row| gelu_scaled(row, scales));
        Ok(())
    }
}

/// `ResidualNorm(states, residual, weight, bias)`: `[…, width]`, the same, and twice `[width]`.
struct ResidualNorm {
    epsilon: f32,
}

impl Operator for ResidualNorm {
    const NAME: &'static CStr = c"ResidualNorm";
    const INPUTS: &'static [Element] = &[F32; 4];
    const LAST_AXIS: LastAxis = LastAxis::PartOfFirst(1);

    fn of(node: &Node) -> ort::Result<Self> {
        Ok(Self { epsilon: node.real(c"epsilon")? })
    }

    fn compute(&self, run: &Run) -> ort::Result<()> {
        let (states, residual, weight, bias) = (run.input(0)?, run.input(1)?, run.input(2)?, run.input(3)?);
        let width = states.last();
        if residual.shape != states.shape || weight.shape != [width as i64] || bias.shape != weight.shape {
            return Err(misfit(Self::NAME, residual.shape));
        }
        let output = run.output(states.shape)?;
        // SAFETY: the types are those of `INPUTS`; only the first input is a place for the output.
        let (residual, weight, bias) = unsafe { (residual.values(), weight.values(), bias.values()) };
        rows(&states, &output, width, |at, row| {
            add_and_norm(row, &residual[at..at + row.len()], weight, bias, self.epsilon);
        });
        Ok(())
    }
}

/// `RowProduct(states, weights, scales, sums, bias)`: `[…, inputs]`, bytes in the shape of [`packed_shape`] and thrice
/// `[outputs]` to `[…, outputs]`.
struct RowProduct;

impl Operator for RowProduct {
    const NAME: &'static CStr = c"RowProduct";
    const INPUTS: &'static [Element] = &[F32, I8, F32, F32, F32];
    const LAST_AXIS: LastAxis = LastAxis::OfInput(2);

    fn of(_: &Node) -> ort::Result<Self> {
        Ok(Self)
    }

    fn compute(&self, run: &Run) -> ort::Result<()> {
        let (states, weights) = (run.input(0)?, run.input(1)?);
        let vectors = [run.input(2)?, run.input(3)?, run.input(4)?];
        let (inputs, outputs) = (states.last(), vectors[0].last());
        if inputs == 0 || outputs == 0 || states.shape.is_empty() {
            return Err(misfit(Self::NAME, states.shape));
        }
        if !weights.shape.iter().map(|&length| length as usize).eq(packed_shape(inputs, outputs)) {
            return Err(misfit(Self::NAME, weights.shape));
        }
        if let Some(other) = vectors.iter().find(|vector| vector.shape != [outputs as i64]) {
            return Err(misfit(Self::NAME, other.shape));
        }
        let mut shape = states.shape.to_vec();
        shape[states.shape.len() - 1] = outputs as i64;
        let product = run.output(&shape)?;
        // SAFETY: the types are those of `INPUTS`, and the output has a place of its own: no input's is offered for it.
        let (states, bytes, product) = unsafe { (states.values(), weights.values(), product.values_mut()) };
        // SAFETY: as above.
        let [scales, sums, bias] = vectors.map(|vector| unsafe { vector.values() });
        multiply_rows(states, inputs, PackedView { bytes, scales, sums, bias }, product);
        Ok(())
    }
}

/// Changes the rows of `states` by `change`, which gets where a row begins: a row at a time where the output has a
/// place of its own, all of them at once where it has that of the input.
fn rows(states: &Tensor<'_>, output: &Tensor<'_>, width: usize, change: impl Fn(usize, &mut [f32])) {
    // SAFETY: the caller's operator has f32 for both. The input is only borrowed where it has another place.
    let values = unsafe { output.values_mut::<f32>() };
    if states.data == output.data || width == 0 {
        return change(0, values);
    }
    // SAFETY: as above.
    let states = unsafe { states.values::<f32>() };
    for (row, (values, states)) in values.chunks_exact_mut(width).zip(states.chunks_exact(width)).enumerate() {
        values.copy_from_slice(states);
        change(row * width, values);
    }
}

/// Whether `operator` is one of ONNX Runtime's that multiply unsigned with signed bytes.
pub(crate) fn multiplies_bytes(operator: &str) -> bool {
    ["DynamicQuantizeMatMul", "QAttention", "QGemm", "DynamicQuantizeLSTM"].contains(&operator)
        || ["MatMulInteger", "ConvInteger", "QLinear"].iter().any(|start| operator.starts_with(start))
}

/// Which of these are among `operators`: none of ONNX Runtime's has such a name.
pub(crate) fn own_among<'o>(operators: impl IntoIterator<Item = &'o str>) -> OwnOperators {
    let is = |name: &CStr, operator: &str| name.to_bytes() == operator.as_bytes();
    let mut own = OwnOperators::None;
    for operator in operators {
        if is(RowProduct::NAME, operator) {
            return OwnOperators::Products;
        }
        if [JointAttention::NAME, ScaledGelu::NAME, ResidualNorm::NAME].iter().any(|name| is(name, operator)) {
            own = OwnOperators::Attention;
        }
    }
    own
}

static OPERATORS: [sys::OrtCustomOp; 4] =
    [table::<JointAttention>(), table::<ScaledGelu>(), table::<ResidualNorm>(), table::<RowProduct>()];

/// Adds the operators to those that `builder`'s graph may use.
///
/// # Errors
/// What ONNX Runtime says.
pub(crate) fn register(builder: &mut SessionBuilder) -> ort::Result<()> {
    /// Lives as long as the process, as sessions may.
    struct Domain(*mut sys::OrtCustomOpDomain);
    // SAFETY: ONNX Runtime only reads a domain once all operators are in it.
    unsafe impl Send for Domain {}
    // SAFETY: as above.
    unsafe impl Sync for Domain {}
    static DOMAIN: OnceLock<Domain> = OnceLock::new();

    let api = ort::api();
    if DOMAIN.get().is_none() {
        let mut domain = ptr::null_mut();
        // SAFETY: the name is a C string, and the call fills its place; the operators are static.
        unsafe {
            ort::Error::result_from_status((api.CreateCustomOpDomain)(c"berth".as_ptr(), &raw mut domain))?;
            for operator in &OPERATORS {
                ort::Error::result_from_status((api.CustomOpDomain_Add)(domain, operator))?;
            }
        }
        // Where two threads came here at once, one domain of a few bytes is lost.
        let _ = DOMAIN.set(Domain(domain));
    }
    let Some(Domain(domain)) = DOMAIN.get() else { return Err(ort::Error::new("the domain of operators is not set")) };
    // SAFETY: builder and domain are alive, and the domain stays so.
    unsafe { ort::Error::result_from_status((api.AddCustomOpDomain)(builder.ptr().cast_mut(), *domain)) }
}

fn misfit(operator: &CStr, shape: &[i64]) -> ort::Error {
    ort::Error::new(format!("{} does not take an input of the shape {shape:?}", operator.to_string_lossy()))
}
