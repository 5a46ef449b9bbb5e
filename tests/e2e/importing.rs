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
    // What is damaged comes from the folder again.
    place.write("home/models/roberta-multilabel/fp32.classify.onnx", "damaged");
    let verify = ["--home", "home", "model", "verify", "roberta-multilabel"];
    place
        .run(&verify)
        .expect_code(4)
        .expect_message(&["roberta-multilabel --name roberta-multilabel`", "model import /"]);
}

#[test]
fn prompts_of_tasks_are_shown() {
    let place = Workplace::new();
    let settings = "{\"prompts\":{\"search_query\":\"sq: \",\"search_document\":\"sd: \",\"clustering\":\"c: \"}}";
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        place.write(&format!("tasks/{name}"), std::fs::read(fixture("bert-base").join(name)).unwrap());
    }
    place.write("tasks/config_sentence_transformers.json", settings);
    place.run(&["--home", "home", "model", "import", "tasks", "--precision", "fp32"]).expect_code(0);
    let info = place.run(&["--home", "home", "model", "info", "tasks"]).expect_code(0).stdout;
    for line in ["query prompt     \"sq: \"", "passage prompt   \"sd: \"", "prompt           clustering: \"c: \""] {
        assert!(info.contains(line), "{line:?} is not in: {info}");
    }
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

#[test]
fn products_that_stay_in_fp32_are_chosen_in_any_layer_and_shown() {
    let place = Workplace::new();
    let [first, other] = ["attention.self.query+key+value", "output.dense"].map(|end| format!("encoder.layer.0.{end}"));
    let kept = || {
        let info = place.run(&["--home", "home", "model", "info", "bert-sentence"]).expect_code(0).stdout;
        info.lines().find_map(|line| Some(line.strip_prefix("kept in fp32")?.trim().to_owned()))
    };
    import(&place, "bert-sentence", &["--precision", "q8", "--keep-fp32", &format!("{other},{first}")]).expect_code(0);
    assert_eq!(kept(), Some(format!("{first}, {other}")));
    import(&place, "bert-sentence", &["--precision", "q8"]).expect_code(0);
    assert_eq!(kept(), Some(format!("{first}, {other}")));
    import(&place, "bert-sentence", &["--precision", "q8", "--keep-fp32", "none"]).expect_code(0);
    assert_eq!(kept(), None);
    place.write("berth.toml", format!("[model.import]\nkeep_fp32 = [\"{first}\"]\nprecision = \"q8\"\n"));
    import(&place, "bert-sentence", &[]).expect_code(0);
    assert_eq!(kept(), Some(first));
    import(&place, "bert-sentence", &["--keep-fp32", "pooler"]).expect_code(2).expect_message(&["pooler", &other]);
}

#[test]
fn static_graphs_want_texts() {
    let place = Workplace::new();
    let refused = |more: &[&str], words: &[&str]| {
        import(&place, "bert-sentence", &[&["--precision", "int8-static"], more].concat())
            .expect_code(2)
            .expect_message(words);
    };
    refused(&[], &["bert-sentence", "--calibrate FILE"]);
    place.write("texts.jsonl", "{\"_id\": \"1\"}\n");
    refused(&["--calibrate", "texts.jsonl"], &["texts.jsonl line 1", "text"]);
    assert!(!place.path("home/models/bert-sentence").exists());
}
