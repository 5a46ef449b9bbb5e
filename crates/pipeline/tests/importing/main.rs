//! Imports every tiny checkpoint, compares what the installed model gives with what transformers gave, and looks at
//! cards, hashes, ready-made graphs and refusals.

mod first_use;
mod goldens;
mod quantized;
mod ready_made;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, Runtime};
use berth_pipeline::{Error, Home, ImportOptions, ImportReport, import, installed, quantize_report, sample_texts};
use berth_types::{Head, Precision};

use crate::goldens::Goldens;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints")
}

fn folders() -> Vec<String> {
    let names = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| fixtures().join(name).join("config.json").is_file()).collect();
    names.sort_unstable();
    assert!(names.len() > 40, "{names:?}");
    names
}

/// The library that the tests of the workspace run on, wherever the home is.
fn library() -> PathBuf {
    let home = std::env::var_os("BERTH_HOME").map(PathBuf::from).or_else(Home::default_root).unwrap();
    Home::at(home).runtime_library()
}

fn runtime() -> Runtime {
    Runtime::load(&library()).expect("an ONNX Runtime: run scripts/setup")
}

/// A home without models, on that library.
fn new_home() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    // One place for both where ORT_DYLIB_PATH names it. A link, since a process holds one library of one file.
    if home.runtime_library() != library() {
        fs::create_dir_all(folder.path().join("runtime")).unwrap();
        symlink(library(), home.runtime_library()).unwrap();
    }
    (folder, home)
}

fn in_fp32() -> ImportOptions {
    ImportOptions { precisions: vec![Precision::Fp32], ..ImportOptions::default() }
}

fn import_folder(home: &Home, folder: &Path, options: &ImportOptions) -> Result<ImportReport, Error> {
    import(home, folder.to_str().unwrap(), options)
}

fn open(model: &InstalledModel, head: Head) -> Encoder {
    open_at(model, head, Precision::Fp32)
}

fn open_at(model: &InstalledModel, head: Head, precision: Precision) -> Encoder {
    let options = EncoderOptions { head, precision: Some(precision), workers: Some(1), ..EncoderOptions::default() };
    Encoder::open(model, &runtime(), &options).unwrap()
}

/// A copy of a fixture that a test may change.
fn copy_of(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_below(&fixtures().join(name), folder.path());
    folder
}

fn copy_below(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy_below(&entry.path(), &target) } else { drop(fs::copy(entry.path(), target)) }
    }
}

#[test]
fn every_tiny_checkpoint_is_imported_and_gives_what_transformers_gave() {
    let (_folder, home) = new_home();
    for name in folders() {
        let report = import_folder(&home, &fixtures().join(&name), &in_fp32()).unwrap_or_else(|error| {
            panic!("{name}: {error}");
        });
        let model = installed(&home, &name).unwrap();
        let head = model.card().heads[0];
        assert_eq!(report.graphs, [head.graph_file(Precision::Fp32)], "{name}");
        let compared = Goldens::of(&fixtures().join(&name)).compare(&name, &open(&model, head));
        assert!(compared > 0, "nothing compared of {name}");
    }
}

#[test]
fn cards_of_local_folders_are_read_by_people() {
    let (_folder, home) = new_home();
    let mut cards = String::new();
    for name in ["bert-sentence", "roberta-multilabel", "bert-late", "bert-splade", "modernbert-entities"] {
        import_folder(&home, &fixtures().join(name), &in_fp32()).unwrap();
        let card = fs::read_to_string(home.model(name).join("card.toml")).unwrap();
        let card = card.replace(&fs::canonicalize(fixtures()).unwrap().display().to_string(), "FIXTURES");
        let unhashed = card.lines().filter(|line| !line.starts_with("sha256"));
        cards.push_str(&unhashed.map(|line| format!("{line}\n")).collect::<String>());
        cards.push_str("----\n");
    }
    insta::assert_snapshot!(cards);
}

#[test]
fn graphs_that_are_asked_for_are_added_to_those_that_are_there() {
    let (_folder, home) = new_home();
    let folder = fixtures().join("bert-mlm");
    let first = import_folder(&home, &folder, &ImportOptions::default()).unwrap();
    assert_eq!(first.graphs, ["fp32.fill-mask.onnx", "int8.fill-mask.onnx"]);
    let again = import_folder(&home, &folder, &ImportOptions::default()).unwrap();
    assert!(again.already_installed);
    let more = ImportOptions { heads: vec![Head::Sentence, Head::Attention], ..in_fp32() };
    let more = import_folder(&home, &folder, &more).unwrap();
    assert!(!more.already_installed);
    assert_eq!(more.graphs, ["fp32.attention.onnx", "fp32.fill-mask.onnx", "fp32.onnx", "int8.fill-mask.onnx"]);
}

#[test]
fn every_file_that_shapes_the_model_is_hashed_and_changes_are_seen() {
    let (_folder, home) = new_home();
    let options = || ImportOptions { name: Some("changing".to_owned()), ..in_fp32() };
    let copy = copy_of("bert-sentence");
    import_folder(&home, copy.path(), &options()).unwrap();
    let files: Vec<String> =
        installed(&home, "changing").unwrap().card().files.iter().map(|file| file.path.clone()).collect();
    for name in ["1_Pooling/config.json", "2_Dense/model.safetensors", "modules.json", "tokenizer.json"] {
        assert!(files.contains(&name.to_owned()), "{name} is not in {files:?}");
    }
    for name in &files {
        assert!(import_folder(&home, copy.path(), &options()).unwrap().already_installed, "{name}");
        let path = copy.path().join(name);
        if Path::new(name).extension().is_some_and(|end| end == "json") {
            let mut text = fs::read_to_string(&path).unwrap();
            text.push('\n');
            fs::write(&path, text).unwrap();
        } else {
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&path, bytes).unwrap();
        }
        assert!(!import_folder(&home, copy.path(), &options()).unwrap().already_installed, "{name} was changed");
    }
}

#[test]
fn shards_are_hashed_one_by_one() {
    let (_folder, home) = new_home();
    import_folder(&home, &fixtures().join("bert-sharded"), &in_fp32()).unwrap();
    let card = installed(&home, "bert-sharded").unwrap().card().clone();
    let shards = card.files.iter().filter(|file| file.path.starts_with("model-")).count();
    assert!(
        shards > 1 && card.files.iter().any(|file| file.path == "model.safetensors.index.json"),
        "{:?}",
        card.files
    );
}

#[test]
fn what_cannot_be_imported_is_refused_by_name_and_leaves_nothing() {
    let (_folder, home) = new_home();
    let refused = |change: &dyn Fn(&Path), words: &[&str]| {
        let copy = copy_of("bert-base");
        change(copy.path());
        let options = ImportOptions { name: Some("refused".to_owned()), ..in_fp32() };
        let message = import_folder(&home, copy.path(), &options).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "{message:?} does not say {word:?}");
        }
        assert!(!home.models().join("refused").exists(), "{message}");
        let left = fs::read_dir(home.models()).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{message}");
    };
    let set = |folder: &Path, field: &str, value: serde_json::Value| {
        let path = folder.join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config[field] = value;
        fs::write(&path, config.to_string()).unwrap();
    };
    refused(&|folder| set(folder, "model_type", "gpt2".into()), &["gpt2", "bert, roberta", "modernbert"]);
    refused(&|folder| set(folder, "architectures", serde_json::json!(["BertForMultipleChoice"])), &["MultipleChoice"]);
    refused(&|folder| fs::remove_file(folder.join("model.safetensors")).unwrap(), &["model.safetensors is missing"]);
    refused(&|folder| fs::write(folder.join("tokenizer.json"), "{").unwrap(), &["tokenizer.json"]);
    refused(
        &|folder| fs::write(folder.join("modules.json"), r#"[{"type":"sentence_transformers.models.CNN"}]"#).unwrap(),
        &["CNN", "Pooling"],
    );
    let heads = ImportOptions { heads: vec![Head::Classify], ..in_fp32() };
    let message = import_folder(&home, &fixtures().join("bert-mlm"), &heads).unwrap_err().to_string();
    assert!(message.contains("classify") && message.contains("fill-mask"), "{message}");
}

#[test]
fn the_products_that_int8_hurts_are_found_and_sorted() {
    let (_folder, home) = new_home();
    import_folder(&home, &fixtures().join("bert-sentence"), &in_fp32()).unwrap();
    if berth_encoder::default_precision() != Precision::Int8 {
        let error = quantize_report(&home, "bert-sentence", &sample_texts()).unwrap_err().to_string();
        assert!(error.contains("int8"), "{error}");
        return;
    }
    let report = quantize_report(&home, "bert-sentence", &sample_texts()).unwrap();
    // Two layers: query with key and value, the output of attention, and both halves of the feed-forward block.
    assert_eq!((report.products.len(), report.frontier.len()), (8, 9));
    assert!(report.products.is_sorted_by(|one, next| one.alone.mean <= next.alone.mean));
    assert!(report.products[0].alone.mean >= report.int8.mean, "one product alone hurts less than all of them");
    let last = report.frontier.last().unwrap();
    assert!(last.cosine.mean > report.int8.mean && last.bytes > report.int8_bytes, "{last:?}");
    assert!(report.frontier.is_sorted_by(|one, next| one.bytes < next.bytes));
    assert!(report.keep_fp32.len() <= 8, "{:?}", report.keep_fp32);
    assert!(!home.cache().exists() || fs::read_dir(home.cache()).unwrap().next().is_none());
    let error = quantize_report(&home, "bert-sentence", &[]).unwrap_err().to_string();
    assert!(error.contains("no text"), "{error}");
}
