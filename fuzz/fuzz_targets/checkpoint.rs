#![no_main]
//! Any bytes as a file of a checkpoint: exported or refused, and nothing left behind when refused.

use std::path::PathBuf;
use std::sync::LazyLock;

use berth_export::{ExportOptions, export};
use berth_fuzz::{scratch, write_checkpoint};
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(scratch);

fuzz_target!(|input: &[u8]| {
    if !write_checkpoint(&FOLDER, input) {
        return;
    }
    let out = FOLDER.join("out.onnx");
    let exported = export(&FOLDER, &ExportOptions::default(), &out);
    assert_eq!(exported.is_ok(), out.exists());
    match exported {
        Ok(_) => std::fs::remove_file(out).expect("the graph was written"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
