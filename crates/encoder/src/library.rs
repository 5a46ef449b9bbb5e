//! Looks at a shared library before ONNX Runtime's bindings do: they panic where this returns an error.

use std::error::Error as _;
use std::ffi::{CStr, c_char, c_void};
use std::path::Path;

use libloading::Library;

use crate::Error;

/// The table behind the one symbol that ONNX Runtime promises to keep: `OrtApiBase` in `onnxruntime_c_api.h`.
#[repr(C)]
struct ApiBase {
    get_api: Option<unsafe extern "system" fn(version: u32) -> *const c_void>,
    get_version: Option<unsafe extern "system" fn() -> *const c_char>,
}

/// Returns the version of the ONNX Runtime library at `path`, which is one that offers interface 1.`needed`.
///
/// # Errors
/// `RuntimeUnusable` or `RuntimeTooOld`.
pub(crate) fn inspect(path: &Path, needed: u32) -> Result<String, Error> {
    let unusable = |reason: String| Error::RuntimeUnusable { path: path.to_path_buf(), reason };
    // SAFETY: loading runs the library's initialisers. The user named this file as an ONNX Runtime library, whose
    // initialisers only set up its own state; nothing else can be known before it is loaded.
    let library = unsafe { Library::new(path) }.map_err(|error| unusable(loader_says(&error)))?;
    // SAFETY: the symbol has this signature in every release of ONNX Runtime.
    let get_base = unsafe { library.get::<unsafe extern "system" fn() -> *const ApiBase>(b"OrtGetApiBase\0") }
        .map_err(|_| unusable("it does not export OrtGetApiBase".to_owned()))?;
    // SAFETY: the function takes nothing and returns null or a pointer to a table that lives as long as the library,
    // which `library` keeps loaded to the end of this function.
    let base = unsafe { get_base().as_ref() }.ok_or_else(|| unusable("OrtGetApiBase returns nothing".to_owned()))?;
    let (Some(get_version), Some(get_api)) = (base.get_version, base.get_api) else {
        return Err(unusable("its function table is empty".to_owned()));
    };
    // SAFETY: the function takes nothing and returns null or a C string in the library's constant data.
    let version = unsafe {
        let text = get_version();
        if text.is_null() { None } else { Some(CStr::from_ptr(text).to_string_lossy().into_owned()) }
    }
    .ok_or_else(|| unusable("it states no version".to_owned()))?;

    let too_old = || Error::RuntimeTooOld { path: path.to_path_buf(), version: version.clone(), needed };
    if minor_version(&version).is_none_or(|minor| minor < needed) {
        return Err(too_old());
    }
    // SAFETY: any number may be asked for; the answer is null when the library does not offer that interface.
    if unsafe { get_api(needed) }.is_null() {
        return Err(too_old());
    }
    Ok(version)
}

/// What the system's loader says, which stands behind the words of `libloading`.
pub(crate) fn loader_says(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The second number of a version such as `1.31.1`.
fn minor_version(version: &str) -> Option<u32> {
    let (_, rest) = version.split_once('.')?;
    rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_version_is_the_second_number() {
        for (version, minor) in
            [("1.31.1", Some(31)), ("1.31", Some(31)), ("1.32-dev", Some(32)), ("1", None), ("1.x", None)]
        {
            assert_eq!(minor_version(version), minor, "{version}");
        }
    }
}
