//! Opens `model.safetensors` and hands out its tensors as checked f32.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use crate::Error;

/// Word embeddings, by which the prefix of all names is found.
const LANDMARK: &str = "embeddings.word_embeddings.weight";

/// A weights file mapped into memory.
#[derive(Debug)]
pub(crate) struct WeightsFile {
    path: PathBuf,
    bytes: Mmap,
}

impl WeightsFile {
    /// Maps `model.safetensors` of a checkpoint folder.
    ///
    /// # Errors
    /// `FileMissing` (saying what is there instead) or `Read`.
    pub(crate) fn open(checkpoint: &Path) -> Result<Self, Error> {
        let path = checkpoint.join("model.safetensors");
        let failed = |source| Error::Read { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                return Err(Error::FileMissing { hint: alternative(checkpoint), path });
            }
            Err(source) => return Err(failed(source)),
        };
        // SAFETY: the map is read-only and private to this value. Another process that truncates the file while it is
        // read would end this one with SIGBUS, as with every mapped file; checkpoints are not written in place.
        let bytes = unsafe { Mmap::map(&file) }.map_err(failed)?;
        Ok(Self { path, bytes })
    }

    /// Reads the container's header and finds the prefix of the names.
    ///
    /// # Errors
    /// `Container` when lengths or offsets do not add up.
    pub(crate) fn weights(&self) -> Result<Weights<'_>, Error> {
        let tensors = SafeTensors::deserialize(&self.bytes)
            .map_err(|source| Error::Container { path: self.path.clone(), source })?;
        let prefix = if tensors.tensor(&format!("bert.{LANDMARK}")).is_ok() { "bert." } else { "" };
        Ok(Weights { path: &self.path, tensors, prefix, read: RefCell::default() })
    }
}

/// Explains the absence of `model.safetensors` where another layout is there.
fn alternative(checkpoint: &Path) -> Option<&'static str> {
    if checkpoint.join("model.safetensors.index.json").exists() {
        return Some("weights in several files are not supported; save them as one");
    }
    if checkpoint.join("pytorch_model.bin").exists() {
        return Some("pytorch_model.bin is not read; save the model as safetensors");
    }
    None
}

/// The tensors of a weights file, named as in `BertModel`.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
    prefix: &'static str,
    read: RefCell<BTreeMap<String, u64>>,
}

impl Weights<'_> {
    /// Values of a tensor, row-major, converted to f32.
    ///
    /// Names that end in `LayerNorm.weight` or `LayerNorm.bias` are found under `gamma` and `beta` too, which old
    /// checkpoints use.
    ///
    /// # Errors
    /// `TensorMissing`, `TensorShape`, `TensorType` or `TensorNotFinite`, each naming the tensor.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let tensor = format!("{}{name}", self.prefix);
        let view = self
            .tensors
            .tensor(&tensor)
            .or_else(|missing| match old_name(&tensor) {
                Some(old) => self.tensors.tensor(&old),
                None => Err(missing),
            })
            .map_err(|_| Error::TensorMissing { path: self.path.to_owned(), tensor: tensor.clone() })?;
        if view.shape() != shape {
            return Err(Error::TensorShape {
                path: self.path.to_owned(),
                tensor,
                expected: shape.to_vec(),
                received: view.shape().to_vec(),
            });
        }
        let Some(values) = to_f32(view.dtype(), view.data()) else {
            let received = format!("{:?}", view.dtype());
            return Err(Error::TensorType { path: self.path.to_owned(), tensor, received });
        };
        if let Some(position) = values.iter().position(|value| !value.is_finite()) {
            let value = values[position];
            return Err(Error::TensorNotFinite { path: self.path.to_owned(), tensor, position, value });
        }
        self.read.borrow_mut().insert(tensor, values.len() as u64);
        Ok(values)
    }

    /// Refuses a file that holds more layers than `layers`.
    ///
    /// # Errors
    /// `LayerBeyondConfig`, naming the first tensor beyond.
    pub(crate) fn check_layers(&self, layers: usize) -> Result<(), Error> {
        let prefix = format!("{}encoder.layer.", self.prefix);
        let beyond = |name: &&str| {
            let number = name.strip_prefix(&prefix).and_then(|rest| rest.split('.').next());
            number.and_then(|number| number.parse::<usize>().ok()).is_some_and(|layer| layer >= layers)
        };
        match self.tensors.names().into_iter().filter(beyond).min() {
            Some(tensor) => {
                Err(Error::LayerBeyondConfig { path: self.path.to_owned(), tensor: tensor.to_owned(), layers })
            }
            None => Ok(()),
        }
    }

    /// Number of values in all tensors handed out so far.
    pub(crate) fn parameters(&self) -> u64 {
        self.read.borrow().values().sum()
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
