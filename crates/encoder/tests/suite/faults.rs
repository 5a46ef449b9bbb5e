//! Models that are damaged, incomplete, or not what their card says: each a message that names the file.

use std::fs;
use std::path::Path;

use berth_encoder::{Encoder, EncoderOptions, Error, FileState, InstalledModel, Runtime};
use berth_types::ErrorKind;
use berth_types::Precision;
use tempfile::TempDir;

use crate::{model, runtime};

/// A copy of the installed model without its int8 graph.
fn copy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let installed = model();
    for name in ["card.toml", "model.json", "tokenizer.json", "config.json", "fp32.onnx"] {
        fs::copy(installed.dir().join(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn open(folder: &Path) -> Result<Encoder, Error> {
    let options = EncoderOptions { precision: Some(Precision::Fp32), workers: Some(1), ..EncoderOptions::default() };
    Encoder::open(&InstalledModel::open(folder)?, &runtime(), &options)
}

/// Opens the folder and returns the message, which has to name `file`.
fn refusal(folder: &Path, file: &str) -> Error {
    let error = open(folder).err().expect("a damaged model must not open");
    assert!(error.to_string().contains(file), "{error} does not name {file}");
    error
}

/// Writes the file list anew, as if the folder had been installed in its present state.
fn reseal(folder: &Path) {
    let card = InstalledModel::open(folder).unwrap().card().clone();
    InstalledModel::seal(folder, &card, "a test").unwrap();
}

#[test]
fn a_folder_without_a_model_says_what_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let error = InstalledModel::open(folder.path()).unwrap_err();
    assert!(matches!(error, Error::ModelMissing { .. }) && error.kind() == ErrorKind::NotFound);
    assert!(error.to_string().contains("scripts/setup"), "{error}");
}

#[test]
fn a_missing_graph_is_named() {
    let folder = copy();
    fs::remove_file(folder.path().join("fp32.onnx")).unwrap();
    assert!(matches!(refusal(folder.path(), "fp32.onnx"), Error::FileMissing { .. }));
}

#[test]
fn a_changed_or_truncated_graph_never_reaches_the_runtime() {
    let folder = copy();
    let path = folder.path().join("fp32.onnx");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(refusal(folder.path(), "fp32.onnx"), Error::FileChanged { .. }));
    fs::write(&path, &bytes[..middle]).unwrap();
    assert!(matches!(refusal(folder.path(), "fp32.onnx"), Error::FileChanged { .. }));
}

#[test]
fn a_corrupt_graph_with_a_matching_hash_is_refused() {
    let folder = copy();
    let path = folder.path().join("fp32.onnx");
    let bytes = fs::read(&path).unwrap();
    for damaged in [b"no graph at all".to_vec(), bytes[..bytes.len() / 2].to_vec(), Vec::new()] {
        fs::write(&path, damaged).unwrap();
        reseal(folder.path());
        assert_eq!(refusal(folder.path(), "fp32.onnx").kind(), ErrorKind::Corrupted);
    }
}

#[test]
fn a_graph_of_another_dimension_is_refused() {
    let folder = copy();
    let mut card = model().card().clone();
    card.dimensions = 768;
    InstalledModel::seal(folder.path(), &card, "a test").unwrap();
    let error = refusal(folder.path(), "fp32.onnx");
    assert!(matches!(error, Error::DimensionMismatch { expected: 768, received: 384, .. }), "{error}");
}

#[test]
fn a_corrupt_tokenizer_is_refused() {
    let folder = copy();
    let path = folder.path().join("tokenizer.json");
    fs::write(&path, "{\"model\": ").unwrap();
    assert!(matches!(refusal(folder.path(), "tokenizer.json"), Error::FileChanged { .. }));
    reseal(folder.path());
    assert!(matches!(refusal(folder.path(), "tokenizer.json"), Error::TokenizerFile { .. }));
}

#[test]
fn a_card_that_does_not_parse_names_its_line() {
    let folder = copy();
    let path = folder.path().join("card.toml");
    let card = fs::read_to_string(&path).unwrap();
    let check = |text: &str, wanted: usize| {
        fs::write(&path, text).unwrap();
        match InstalledModel::open(folder.path()).unwrap_err() {
            error @ Error::CardSyntax { line, .. } => {
                assert_eq!((line, error.kind()), (wanted, ErrorKind::Corrupted));
            }
            other => panic!("{other}"),
        }
    };
    check(&format!("\n\nname = \n{card}"), 3);
    check(&format!("unheard_of = 1\n{card}"), 1);
    fs::write(&path, card.replace("dimensions = 384", "dimensions = 0")).unwrap();
    let error = InstalledModel::open(folder.path()).unwrap_err();
    assert!(matches!(error, Error::CardValue { field: "dimensions", .. }), "{error}");
    fs::write(&path, format!("{card}\n# edited\n")).unwrap();
    assert!(matches!(InstalledModel::open(folder.path()).unwrap_err(), Error::FileChanged { .. }));
}

#[test]
fn a_file_list_of_another_format_is_refused() {
    let folder = copy();
    let path = folder.path().join("model.json");
    fs::write(&path, "{\"format\": 7, \"new\": {}}").unwrap();
    assert!(matches!(InstalledModel::open(folder.path()), Err(Error::ManifestFormat { found: 7, supported: 1, .. })));
    fs::write(&path, "{\"format\": 1, ").unwrap();
    assert!(matches!(InstalledModel::open(folder.path()), Err(Error::ManifestSyntax { .. })));
}

#[test]
fn verify_tells_the_whole_from_the_changed_and_the_missing() {
    let folder = copy();
    reseal(folder.path());
    let sealed = InstalledModel::open(folder.path()).unwrap();
    assert_eq!(sealed.exporter(), "a test");
    assert!(sealed.verify().unwrap().iter().all(|verdict| verdict.state == FileState::Ok));
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    let state = |name: &str| {
        let verdicts = sealed.verify().unwrap();
        verdicts.iter().find(|verdict| verdict.path == name).unwrap().state
    };
    assert_eq!(state("config.json"), FileState::Changed);
    assert_eq!(state("tokenizer.json"), FileState::Missing);
    assert_eq!(state("fp32.onnx"), FileState::Ok);
}

#[test]
fn one_process_holds_one_library() {
    let loaded = runtime();
    assert_eq!(Runtime::load(loaded.path()).unwrap().version(), loaded.version());
    assert!(loaded.providers().iter().any(|provider| provider == "CPUExecutionProvider"));
    let other = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(Runtime::load(other.path()), Err(Error::RuntimeConflict { .. })));
}
