//! The files that hold a checkpoint's weights: one, or several under an index.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::paths::inside;
use crate::{Error, door};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Bytes of an index that names a million tensors; a larger one is damaged.
const LARGEST_INDEX: u64 = 256 << 20;

/// A file of weights, mapped into memory.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) path: PathBuf,
    bytes: Mmap,
}

/// All files that hold a checkpoint's weights.
#[derive(Debug)]
pub(crate) struct WeightsFiles {
    shards: Vec<Shard>,
    /// What the index says: the shard of each tensor. None where one file holds everything.
    index: Option<(PathBuf, BTreeMap<String, usize>)>,
}

/// `model.safetensors.index.json`, as far as it is read.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl WeightsFiles {
    /// Maps `model.safetensors` of a checkpoint folder, or the files that its index names.
    ///
    /// # Errors
    /// `FileMissing` (saying what is there instead), `Read`, `PathOutside` or `IndexSyntax`.
    pub(crate) fn open(checkpoint: &Path) -> Result<Self, Error> {
        let index = checkpoint.join(INDEX);
        if !checkpoint.join(SINGLE).exists() && index.exists() {
            return Self::open_index(checkpoint, index);
        }
        Ok(Self { shards: vec![open_shard(checkpoint, SINGLE, alternative(checkpoint))?], index: None })
    }

    /// Maps one file of weights, named relative to `folder`.
    ///
    /// # Errors
    /// As [`WeightsFiles::open`].
    pub(crate) fn open_one(folder: &Path, name: &str) -> Result<Self, Error> {
        Ok(Self { shards: vec![open_shard(folder, name, None)?], index: None })
    }

    /// Names of the files, as paths inside the folder `checkpoint`.
    pub(crate) fn names(&self, checkpoint: &Path) -> Vec<String> {
        let name = |shard: &Shard| shard.path.strip_prefix(checkpoint).unwrap_or(&shard.path).display().to_string();
        self.shards.iter().map(name).collect()
    }

    fn open_index(checkpoint: &Path, path: PathBuf) -> Result<Self, Error> {
        inside(checkpoint, INDEX)?;
        let failed = |source| Error::Read { path: path.clone(), source };
        let bytes = door::read_small(&path, LARGEST_INDEX).map_err(failed)?;
        let index: Index = serde_json::from_slice(&bytes)
            .map_err(|source| Error::IndexSyntax { path: path.clone(), message: source.to_string() })?;
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut shards = Vec::new();
        for name in index.weight_map.values() {
            if !numbers.contains_key(name.as_str()) {
                shards.push(open_shard(checkpoint, name, Some("the index of the weights names it"))?);
                numbers.insert(name, shards.len() - 1);
            }
        }
        if shards.is_empty() {
            return Err(Error::IndexSyntax { path, message: "it names no tensors".to_owned() });
        }
        let places = index.weight_map.iter().map(|(tensor, name)| (tensor.clone(), numbers[name.as_str()])).collect();
        Ok(Self { shards, index: Some((path, places)) })
    }

    /// Reads the headers: each file with its tensors, and where each tensor is.
    ///
    /// # Errors
    /// `Container` when lengths or offsets do not add up; `ShardLacks` or `TensorTwice` when index and files differ.
    pub(crate) fn tensors(&self) -> Result<Tensors<'_>, Error> {
        let mut files = Vec::with_capacity(self.shards.len());
        let mut places = BTreeMap::new();
        for (number, shard) in self.shards.iter().enumerate() {
            door::check_container(&shard.path, &shard.bytes)?;
            let tensors = SafeTensors::deserialize(&shard.bytes)
                .map_err(|source| Error::Container { path: shard.path.clone(), source })?;
            for name in tensors.names() {
                if places.insert(name.to_owned(), number).is_some() {
                    return Err(Error::TensorTwice { path: shard.path.clone(), tensor: name.to_owned() });
                }
            }
            files.push((shard.path.as_path(), tensors));
        }
        if let Some((path, index)) = &self.index
            && let Some((tensor, &number)) = index.iter().find(|(tensor, number)| places.get(*tensor) != Some(*number))
        {
            let (index, shard) = (path.clone(), self.shards[number].path.clone());
            return Err(Error::ShardLacks { index, shard, tensor: tensor.clone() });
        }
        Ok(Tensors { files, places })
    }
}

/// The tensors of all files, by name.
#[derive(Debug)]
pub(crate) struct Tensors<'a> {
    pub(crate) files: Vec<(&'a Path, SafeTensors<'a>)>,
    pub(crate) places: BTreeMap<String, usize>,
}

fn open_shard(folder: &Path, name: &str, hint: Option<&'static str>) -> Result<Shard, Error> {
    let path = inside(folder, name)?;
    let failed = |source| Error::Read { path: path.clone(), source };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Err(Error::FileMissing { hint, path }),
        Err(source) => return Err(failed(source)),
    };
    // SAFETY: the map is read-only and private to this value. Another process that truncates the file while it is
    // read would end this one with SIGBUS, as with every mapped file; checkpoints are not written in place.
    let bytes = unsafe { Mmap::map(&file) }.map_err(failed)?;
    Ok(Shard { path, bytes })
}

/// Explains the absence of weights where another layout is there.
fn alternative(checkpoint: &Path) -> Option<&'static str> {
    let others = [
        ("pytorch_model.bin", "pytorch_model.bin is not read; save the model as safetensors"),
        ("pytorch_model.bin.index.json", "pytorch_model.bin is not read; save the model as safetensors"),
        ("tf_model.h5", "tf_model.h5 is not read; save the model as safetensors"),
        ("flax_model.msgpack", "flax_model.msgpack is not read; save the model as safetensors"),
    ];
    others.iter().find(|(name, _)| checkpoint.join(name).exists()).map(|&(_, hint)| hint)
}
