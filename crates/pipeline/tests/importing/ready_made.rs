//! Graphs that others exported: taken with their names, pooled outside, hashed, and compared with the model's own.

use std::fs;
use std::path::Path;

use berth_encoder::{Encoder, EncoderOptions, Overlong, Prompt};
use berth_export::{ExportOptions, export};
use berth_pipeline::{ImportOptions, installed, verify_model};
use berth_types::{ErrorKind, Head, InputMeaning, Precision};

use crate::goldens::Goldens;
use crate::{copy_of, fixtures, import_folder, in_fp32, new_home, open, runtime};

/// A fixture whose weights are gone and whose graph of token states lies at `onnx/model.onnx`, as optimum leaves it.
fn foreign(name: &str) -> tempfile::TempDir {
    let folder = copy_of(name);
    fs::create_dir(folder.path().join("onnx")).unwrap();
    let graph = folder.path().join("onnx/model.onnx");
    export(folder.path(), &ExportOptions { head: Head::Tokens, ..ExportOptions::default() }, &graph).unwrap();
    rename_input(&graph);
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    folder
}

/// Calls the ids as other exporters do. The name is as long as the old one, so that no length in the file changes.
fn rename_input(graph: &Path) {
    let bytes = fs::read(graph).unwrap();
    let (from, to) = (b"input_ids", b"token_ids");
    let mut renamed = Vec::with_capacity(bytes.len());
    let mut rest = &bytes[..];
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        renamed.extend_from_slice(&rest[..at]);
        renamed.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    renamed.extend_from_slice(rest);
    fs::write(graph, renamed).unwrap();
}

pub(crate) fn vector(encoder: &Encoder, text: &str) -> Vec<f32> {
    let asked = encoder.ask_sentence(text, Prompt::Query, Overlong::Cut).unwrap();
    asked.wait().unwrap().embedding.as_slice().to_vec()
}

#[test]
fn a_foreign_graph_gives_the_vectors_of_the_models_own() {
    let (_folder, home) = new_home();
    for name in ["mpnet-sentence", "bert-base", "roberta-base", "distilbert-base", "modernbert-base"] {
        let folder = foreign(name);
        let named = |name: &str| Some(name.to_owned());
        let options = ImportOptions { name: named("foreign"), ..ImportOptions::default() };
        let report = import_folder(&home, folder.path(), &options).unwrap();
        assert_eq!(report.graphs, ["onnx/model.onnx"], "{name}");
        assert!(import_folder(&home, folder.path(), &options).unwrap().already_installed);
        let own = ImportOptions { name: named("own"), ..in_fp32() };
        import_folder(&home, &fixtures().join(name), &own).unwrap();
        let (foreign, own) = (installed(&home, "foreign").unwrap(), installed(&home, "own").unwrap());
        let ready = foreign.card().ready_made.as_ref().unwrap();
        assert_eq!((ready.head, ready.rank, ready.output.as_str()), (Head::Tokens, 3, "token_embeddings"));
        assert_eq!(ready.inputs["token_ids"], InputMeaning::Ids);
        let (foreign, own) = (open(&foreign, Head::Sentence), open(&own, Head::Sentence));
        for text in &Goldens::of(&fixtures().join(name)).texts {
            let (one, other) = (vector(&foreign, &text.text), vector(&own, &text.text));
            let difference = one.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference <= 1e-5, "{name}, {:?}: {difference}", text.text);
        }
        fs::remove_dir_all(home.model("foreign")).unwrap();
        fs::remove_dir_all(home.model("own")).unwrap();
    }
}

#[test]
fn a_head_that_a_foreign_graph_does_not_give_is_a_wrong_question() {
    let (_folder, home) = new_home();
    let folder = foreign("bert-base");
    let options = ImportOptions { name: Some("foreign".to_owned()), ..ImportOptions::default() };
    import_folder(&home, folder.path(), &options).unwrap();
    let options =
        EncoderOptions { head: Head::Classify, precision: Some(Precision::Fp32), ..EncoderOptions::default() };
    let error = Encoder::open(&installed(&home, "foreign").unwrap(), &runtime(), &options).err().unwrap();
    assert!(error.to_string().contains("does not serve head classify: its output token_embeddings"), "{error}");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_foreign_graph_that_changed_is_seen() {
    let (_folder, home) = new_home();
    let folder = foreign("bert-base");
    let options = ImportOptions { name: Some("foreign".to_owned()), ..ImportOptions::default() };
    import_folder(&home, folder.path(), &options).unwrap();
    let files = &installed(&home, "foreign").unwrap().card().files.clone();
    assert!(files.iter().any(|file| file.path == "onnx/model.onnx"), "{files:?}");
    let graph = home.model("foreign").join("onnx/model.onnx");
    let mut bytes = fs::read(&graph).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&graph, bytes).unwrap();
    let changed = verify_model(&home, "foreign").unwrap().into_iter().find(|file| file.path == "onnx/model.onnx");
    assert_eq!(changed.unwrap().state.as_str(), "changed");
    import_folder(&home, folder.path(), &options).unwrap();
    assert!(verify_model(&home, "foreign").unwrap().iter().all(|file| file.state.as_str() == "ok"));
}

#[test]
fn graphs_and_weights_in_one_folder_are_told_apart_by_what_is_asked_for() {
    let (_folder, home) = new_home();
    let folder = copy_of("bert-base");
    fs::create_dir(folder.path().join("onnx")).unwrap();
    let graph = folder.path().join("onnx/other.onnx");
    export(folder.path(), &ExportOptions { head: Head::Tokens, ..ExportOptions::default() }, &graph).unwrap();
    let import = |name: &str, options: ImportOptions| {
        let options = ImportOptions { name: Some(name.to_owned()), ..options };
        import_folder(&home, folder.path(), &options)
    };
    assert_eq!(import("weights", in_fp32()).unwrap().graphs, ["fp32.onnx"]);
    let graphs = vec!["onnx/other.onnx".to_owned()];
    assert_eq!(
        import("named", ImportOptions { graphs, ..ImportOptions::default() }).unwrap().graphs,
        ["onnx/other.onnx"]
    );
    let ready_made = import("all", ImportOptions { ready_made: true, ..ImportOptions::default() }).unwrap();
    assert_eq!(ready_made.graphs, ["onnx/other.onnx"]);
    let refused = |options: ImportOptions, word: &str| {
        let message = import("refused", options).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    };
    refused(ImportOptions { graphs: vec!["../other.onnx".to_owned()], ..ImportOptions::default() }, "..");
    refused(ImportOptions { graphs: vec!["onnx/none.onnx".to_owned()], ..ImportOptions::default() }, "onnx/none.onnx");
    refused(ImportOptions { ready_made: true, ..in_fp32() }, "--precision");
}

#[test]
fn a_graph_that_leaves_out_modules_of_its_folder_is_refused() {
    let (_folder, home) = new_home();
    let folder = foreign("bert-sentence");
    let message = import_folder(&home, folder.path(), &ImportOptions::default()).unwrap_err().to_string();
    assert!(message.contains("Dense") && message.contains("Normalize"), "{message}");
}
