//! Where Berth keeps its runtime, models and caches: one folder, `BERTH_HOME`.

use std::env;
use std::path::{Path, PathBuf};

/// File name of the ONNX Runtime library inside `runtime/`, by platform.
#[cfg(target_os = "macos")]
const RUNTIME_FILE: &str = "libonnxruntime.1.31.1.dylib";
#[cfg(not(target_os = "macos"))]
const RUNTIME_FILE: &str = "libonnxruntime.so.1.31.1";

/// The folder that holds `runtime/`, `checkpoints/`, `models/` and `cache/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// Takes the folder as given.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The platform's data directory + `/berth`: `$XDG_DATA_HOME`, else `~/.local/share`
    /// (macOS: `~/Library/Application Support`). `None` when not even `HOME` is set.
    pub fn default_root() -> Option<PathBuf> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if cfg!(target_os = "macos") {
            return Some(set("HOME")?.join("Library/Application Support/berth"));
        }
        let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")))?;
        Some(data.join("berth"))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The ONNX Runtime library: `ORT_DYLIB_PATH` when set, else the file in `runtime/`.
    pub fn runtime_library(&self) -> PathBuf {
        match env::var_os("ORT_DYLIB_PATH") {
            Some(path) if !path.is_empty() => PathBuf::from(path),
            _ => self.root.join("runtime").join(RUNTIME_FILE),
        }
    }

    /// Folder of installed models, one folder each.
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// Folder of an installed model.
    pub fn model(&self, name: &str) -> PathBuf {
        self.models().join(name)
    }

    /// Folder where a checkpoint is looked for before it is imported.
    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.root.join("checkpoints").join(name)
    }

    /// Folder of what can be made again.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }
}

/// A name that stays inside its folder: letters, digits, `-`, `_` and `.`, which does not come first.
pub fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}
