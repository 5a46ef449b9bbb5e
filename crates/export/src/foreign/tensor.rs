//! Whether a tensor of a foreign graph is what it declares: as many bytes as its shape asks for, and no NaN.

use std::path::Path;

use half::{bf16, f16};
use prost::encoding::decode_varint;

use super::ElementType;
use super::external::External;
use super::schema::{Store, Tensor};
use super::wire::count_varints;
use crate::Error;

/// `data_location` of values in another file.
const EXTERNAL: i64 = 1;
/// Axes of a tensor. The operators of encoders use four.
const MOST_AXES: usize = 16;

/// What a checked tensor holds, and where its values lie when that is another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) elements: u64,
    pub(super) element: ElementType,
    pub(super) external: Option<External>,
}

/// Checks a tensor's shape, type and bytes.
///
/// # Errors
/// `GraphTensor`, naming the tensor.
pub(super) fn check(path: &Path, tensor: &Tensor<'_>) -> Result<Checked, Error> {
    let wrong = |problem: String| Error::GraphTensor { path: path.to_owned(), tensor: label(tensor), problem };
    let code = tensor.element.unwrap_or_default();
    let Some(element) = ElementType::from_code(code) else {
        return Err(wrong(format!("has element type {code}, which is not supported")));
    };
    let elements = elements(&tensor.dims).map_err(&wrong)?;
    let checked = Checked { elements, element, external: None };
    let Some(bits) = element.bits() else {
        if tensor.strings == elements && tensor.raw.is_none() && tensor.external.is_empty() {
            return Ok(checked);
        }
        return Err(wrong(format!("declares {elements} strings and holds {}", tensor.strings)));
    };
    let bytes = (u128::from(elements) * u128::from(bits)).div_ceil(8);
    let Ok(bytes) = u64::try_from(bytes) else {
        return Err(wrong(format!("declares {elements} values, more than any file holds")));
    };
    let is_external = tensor.location == Some(EXTERNAL) || !tensor.external.is_empty();
    let stores = u8::from(is_external)
        + u8::from(tensor.raw.is_some_and(|raw| !raw.is_empty()))
        + u8::from(tensor.typed.is_some());
    if stores > 1 || tensor.strings > 0 {
        return Err(wrong("holds its values twice, in different places".to_owned()));
    }
    if is_external {
        let external = External::from_entries(&tensor.external, bytes).map_err(&wrong)?;
        return Ok(Checked { external: Some(external), ..checked });
    }
    if let Some((store, packed)) = tensor.typed {
        check_typed(element, elements, store, packed).map_err(&wrong)?;
        return Ok(checked);
    }
    let raw = tensor.raw.unwrap_or_default();
    if raw.len() as u64 != bytes {
        let (dims, held) = (&tensor.dims, raw.len());
        return Err(wrong(format!("declares shape {dims:?} of {element}, which is {bytes} bytes, and holds {held}")));
    }
    refuse_nan(element, raw).map_err(&wrong)?;
    Ok(checked)
}

/// What a tensor is called in messages.
pub(super) fn label(tensor: &Tensor<'_>) -> String {
    match tensor.name {
        Some(name) if !name.is_empty() => shown(name),
        _ => format!("without a name at byte {}", tensor.at),
    }
}

/// A foreign name as messages show it: escaped, and no longer than a line.
pub(super) fn shown(name: &str) -> String {
    const LONGEST: usize = 120;
    match name.char_indices().nth(LONGEST) {
        None => name.escape_debug().to_string(),
        Some((end, _)) => format!("{}…", name[..end].escape_debug()),
    }
}

fn elements(dims: &[i64]) -> Result<u64, String> {
    if dims.len() > MOST_AXES {
        return Err(format!("has {} axes, more than {MOST_AXES}", dims.len()));
    }
    let mut product = 1_u64;
    for &length in dims {
        let length = u64::try_from(length).map_err(|_| format!("has a negative length: {dims:?}"))?;
        product = product.checked_mul(length).ok_or_else(|| format!("has shape {dims:?}, more than can be counted"))?;
    }
    Ok(product)
}

fn check_typed(element: ElementType, elements: u64, store: Store, packed: &[u8]) -> Result<(), String> {
    if element.store() != store {
        return Err(format!("holds {element} in a field that is not for them"));
    }
    let held = match store {
        Store::Float if packed.len().is_multiple_of(4) => packed.len() as u64 / 4,
        Store::Double if packed.len().is_multiple_of(8) => packed.len() as u64 / 8,
        Store::Float | Store::Double => return Err("ends inside a value".to_owned()),
        Store::Int32 | Store::Int64 | Store::Uint64 => count_varints(packed),
    };
    // Values of less than a byte lie several to a number.
    let expected = match element.bits() {
        Some(bits @ 1..8) => elements.div_ceil(u64::from(8 / bits)),
        _ => elements,
    };
    if held != expected {
        return Err(format!("declares {elements} values and holds {held}"));
    }
    match (element, store) {
        (ElementType::F16 | ElementType::Bf16, Store::Int32) => refuse_nan(element, &halves(packed)?),
        (_, Store::Float | Store::Double) => refuse_nan(element, packed),
        _ => Ok(()),
    }
}

/// Little-endian bytes of 16-bit values that lie packed as whole numbers, at most twice as long.
fn halves(mut packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while !packed.is_empty() {
        let value = decode_varint(&mut packed).map_err(|_| "ends inside a value".to_owned())?;
        let half = u16::try_from(value).map_err(|_| format!("holds {value}, which does not fit 16 bits"))?;
        bytes.extend(half.to_le_bytes());
    }
    Ok(bytes)
}

/// Refuses NaN in little-endian floating-point bytes. Infinities pass: exported attention masks are made of them.
pub(super) fn refuse_nan(element: ElementType, bytes: &[u8]) -> Result<(), String> {
    let pairs = || bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    let position = match element {
        ElementType::F32 => {
            bytes.chunks_exact(4).position(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]).is_nan())
        }
        ElementType::F16 => pairs().position(|pair| f16::from_le_bytes(pair).is_nan()),
        ElementType::Bf16 => pairs().position(|pair| bf16::from_le_bytes(pair).is_nan()),
        ElementType::F64 => bytes.chunks_exact(8).position(|eight| {
            let mut value = [0; 8];
            value.copy_from_slice(eight);
            f64::from_le_bytes(value).is_nan()
        }),
        _ => None,
    };
    match position {
        Some(position) => Err(format!("holds NaN at position {position}; the graph is damaged")),
        None => Ok(()),
    }
}
