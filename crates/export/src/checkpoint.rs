//! Hands out the tensors of a checkpoint as checked f32.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::Error;
use crate::shards::{Tensors, WeightsFiles};

/// The tensors of a checkpoint.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    tensors: Tensors<'a>,
    prefix: String,
    read: RefCell<BTreeMap<String, u64>>,
}

impl<'a> Weights<'a> {
    /// Reads the headers of `files` and finds what stands before the encoder's names: nothing, or the name under which
    /// a model with a head keeps its encoder, such as `bert.`. `landmark` is a tensor that every encoder has.
    ///
    /// # Errors
    /// `Container`, `ShardLacks` or `TensorTwice` when the files do not add up.
    pub(crate) fn read(files: &'a WeightsFiles, landmark: &str) -> Result<Self, Error> {
        let tensors = files.tensors()?;
        let prefixes = tensors.places.keys().filter_map(|name| name.strip_suffix(landmark));
        let prefix =
            prefixes.filter(|prefix| prefix.is_empty() || prefix.ends_with('.')).min_by_key(|prefix| prefix.len());
        let prefix = prefix.unwrap_or_default().to_owned();
        Ok(Self { tensors, prefix, read: RefCell::default() })
    }

    /// Full name of a tensor of the encoder.
    pub(crate) fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Whether there is a tensor of the full name `tensor`.
    pub(crate) fn has(&self, tensor: &str) -> bool {
        self.tensors.places.contains_key(tensor)
    }

    /// Shape of the tensor of the full name `tensor`.
    pub(crate) fn shape(&self, tensor: &str) -> Option<Vec<usize>> {
        Some(self.view(tensor)?.1.shape().to_vec())
    }

    /// Values of the tensor of the full name `tensor`, row-major, converted to f32.
    ///
    /// Names that end in `LayerNorm.weight` or `LayerNorm.bias` are found under `gamma` and `beta` too, which old
    /// checkpoints use.
    ///
    /// # Errors
    /// `TensorMissing`, `TensorShape`, `TensorType` or `TensorNotFinite`, each naming the tensor.
    pub(crate) fn values(&self, tensor: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let found = self.view(tensor).or_else(|| self.view(&old_name(tensor)?));
        let (tensor, (path, view)) = (tensor.to_owned(), found.ok_or_else(|| self.missing(tensor))?);
        let path = path.to_owned();
        if view.shape() != shape {
            let (expected, received) = (shape.to_vec(), view.shape().to_vec());
            return Err(Error::TensorShape { path, tensor, expected, received });
        }
        let Some(values) = to_f32(view.dtype(), view.data()) else {
            let received = format!("{:?}", view.dtype());
            return Err(Error::TensorType { path, tensor, received });
        };
        if let Some(position) = values.iter().position(|value| !value.is_finite()) {
            let value = values[position];
            return Err(Error::TensorNotFinite { path, tensor, position, value });
        }
        self.read.borrow_mut().insert(tensor, values.len() as u64);
        Ok(values)
    }

    /// Refuses files that hold layers (or groups of them) beyond `count` in the folder of names `layers`.
    ///
    /// # Errors
    /// `LayerBeyondConfig`, naming the first tensor beyond.
    pub(crate) fn check_layers(&self, layers: &str, field: &'static str, count: usize) -> Result<(), Error> {
        let prefix = self.full(&format!("{layers}."));
        let beyond = |name: &&String| {
            let number = name.strip_prefix(&prefix).and_then(|rest| rest.split('.').next());
            number.and_then(|number| number.parse::<usize>().ok()).is_some_and(|layer| layer >= count)
        };
        match self.tensors.places.iter().find(|(name, _)| beyond(name)) {
            Some((tensor, &file)) => {
                let path = self.tensors.files[file].0.to_owned();
                Err(Error::LayerBeyondConfig { path, tensor: tensor.clone(), field, layers: count })
            }
            None => Ok(()),
        }
    }

    /// Number of values in all tensors handed out so far.
    pub(crate) fn parameters(&self) -> u64 {
        self.read.borrow().values().sum()
    }

    fn view(&self, tensor: &str) -> Option<(&'a Path, TensorView<'_>)> {
        let (path, file) = &self.tensors.files[*self.tensors.places.get(tensor)?];
        Some((path, file.tensor(tensor).ok()?))
    }

    fn missing(&self, tensor: &str) -> Error {
        // Of several files the first stands for all.
        Error::TensorMissing { path: self.tensors.files[0].0.to_owned(), tensor: tensor.to_owned() }
    }
}

/// The name that checkpoints converted from TensorFlow use.
fn old_name(name: &str) -> Option<String> {
    let weight = name.strip_suffix("LayerNorm.weight").map(|stem| format!("{stem}LayerNorm.gamma"));
    weight.or_else(|| name.strip_suffix("LayerNorm.bias").map(|stem| format!("{stem}LayerNorm.beta")))
}

/// Converts little-endian floating-point bytes; none for other element types.
fn to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let pairs = || bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    match dtype {
        Dtype::F32 => {
            Some(bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect())
        }
        Dtype::F16 => Some(pairs().map(|pair| f16::from_le_bytes(pair).to_f32()).collect()),
        Dtype::BF16 => Some(pairs().map(|pair| bf16::from_le_bytes(pair).to_f32()).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_converts_exactly() {
        let values = [0.0_f32, 1.0, -2.5, 0.099_975_586];
        let halves: Vec<u8> = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        assert_eq!(to_f32(Dtype::F16, &halves).unwrap(), values);
        assert_eq!(to_f32(Dtype::BF16, &[0x80, 0x3f, 0x20, 0xc0]).unwrap(), [1.0, -2.5]);
        assert_eq!(to_f32(Dtype::I64, &[0; 8]), None);
    }

    #[test]
    fn only_norms_have_old_names() {
        assert_eq!(old_name("embeddings.LayerNorm.weight").as_deref(), Some("embeddings.LayerNorm.gamma"));
        assert_eq!(old_name("encoder.LayerNorm.bias").as_deref(), Some("encoder.LayerNorm.beta"));
        assert_eq!(old_name("encoder.layer.0.output.dense.bias"), None);
    }
}
