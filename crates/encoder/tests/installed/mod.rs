//! What `scripts/setup` installed, for tests and benches.

use std::path::PathBuf;

/// The folder of runtime and models.
pub(crate) fn home() -> PathBuf {
    std::env::var_os("BERTH_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".local/share/berth"),
        PathBuf::from,
    )
}

/// ONNX Runtime's library.
pub(crate) fn library() -> PathBuf {
    std::env::var_os("ORT_DYLIB_PATH").map_or_else(|| home().join("runtime/libonnxruntime.so.1.31.1"), PathBuf::from)
}
