//! Files that are no usable ONNX Runtime library: an error each, and never a panic.
//!
//! Here, and not in the suite, because a process that runs one library refuses all others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use berth_encoder::{Error, Runtime};
use berth_types::ErrorKind;
use tempfile::TempDir;

/// Compiles `source` to a shared library with the C compiler that building Berth needs anyway.
fn compile(folder: &TempDir, source: &str) -> PathBuf {
    let (from, to) = (folder.path().join("library.c"), folder.path().join("library.so"));
    fs::write(&from, source).unwrap();
    let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&to).arg(&from).status();
    assert!(status.expect("this test needs a C compiler called cc").success());
    to
}

/// A library whose table holds `get_api` and `get_version`.
fn with_table(get_api: &str, get_version: &str) -> String {
    format!(
        "static const void *api(unsigned v) {{ (void)v; return {get_api}; }}\n\
         static const char *version(void) {{ return {get_version}; }}\n\
         static struct {{ const void *(*a)(unsigned); const char *(*v)(void); }} base = {{ api, version }};\n\
         void *OrtGetApiBase(void) {{ return &base; }}\n"
    )
}

fn refusal(path: &Path) -> Error {
    let error = Runtime::load(path).expect_err("this is no usable library");
    let message = error.to_string();
    assert!(message.contains("scripts/setup") && message.contains("ORT_DYLIB_PATH"), "{message}");
    assert!(message.contains(&*path.to_string_lossy()), "{message}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    error
}

#[test]
fn a_missing_file_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(refusal(&folder.path().join("libonnxruntime.so")), Error::RuntimeMissing { .. }));
    assert!(matches!(refusal(folder.path()), Error::RuntimeMissing { .. }), "a folder");
}

#[test]
fn a_text_is_no_library() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("libonnxruntime.so");
    fs::write(&path, "this is no library").unwrap();
    assert!(matches!(refusal(&path), Error::RuntimeUnusable { .. }));
}

#[test]
fn another_library_is_not_onnx_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let error = refusal(&compile(&folder, "int something_else(void) { return 1; }\n"));
    assert!(error.to_string().contains("OrtGetApiBase"), "{error}");
}

#[test]
fn an_empty_table_is_refused() {
    for source in ["void *OrtGetApiBase(void) { return 0; }\n".to_owned(), with_table("0", "0")] {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(refusal(&compile(&folder, &source)), Error::RuntimeUnusable { .. }));
    }
}

#[test]
fn an_old_version_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = refusal(&compile(&folder, &with_table("0", "\"1.20.1\"")));
    assert!(error.to_string().contains("1.20.1"), "{error}");
}

#[test]
fn a_version_that_does_not_offer_the_interface_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(refusal(&compile(&folder, &with_table("0", "\"1.99.0\""))), Error::RuntimeTooOld { .. }));
}
