//! Local folders become models: imported, described, checked, refused.

use std::path::{Path, PathBuf};

use crate::support::{Workplace, number};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints").join(name)
}

/// Imports a fixture into a home of its own and returns what was printed.
fn import(place: &Workplace, name: &str, more: &[&str]) -> crate::support::Ended {
    let folder = fixture(name);
    let words = ["--home", "home", "model", "import", folder.to_str().unwrap()];
    place.run(&[&words[..], more].concat())
}

#[test]
fn a_classifier_is_imported_and_described() {
    let place = Workplace::new();
    let report = import(&place, "roberta-multilabel", &["--json", "--precision", "fp32,q8"]).expect_code(0).json();
    assert_eq!(report["graphs"], serde_json::json!(["fp32.classify.onnx", "q8.classify.onnx"]));
    assert!(number(&report, "parameters") > 0);
    let info = place.run(&["--home", "home", "model", "info", "roberta-multilabel"]).expect_code(0).stdout;
    for line in ["family           roberta", "made for         classify", "heat, law, medicine", "(sigmoid)"] {
        assert!(info.contains(line), "{line:?} is not in: {info}");
    }
    place.run(&["--home", "home", "model", "verify", "roberta-multilabel"]).expect_code(0);
    let again = import(&place, "roberta-multilabel", &["--json", "--precision", "fp32"]).expect_code(0).json();
    assert_eq!(again["already_installed"], true);
}

#[test]
fn heads_that_a_folder_does_not_have_are_refused_by_name() {
    let place = Workplace::new();
    import(&place, "bert-mlm", &["--heads", "entities"]).expect_code(2).expect_message(&["entities", "fill-mask"]);
    import(&place, "bert-mlm", &["--heads", "teeth"]).expect_code(2).expect_message(&["teeth", "fill-mask"]);
    import(&place, "bert-mlm", &["--graph", "../x.onnx"]).expect_message(&["../x.onnx"]);
    let models = place.path("home/models");
    assert!(!models.join("bert-mlm").exists());
}
