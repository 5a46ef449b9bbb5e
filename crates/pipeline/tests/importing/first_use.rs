//! Graphs that an import left out are made when they are first asked for, whoever asks; none that could not be run.

use std::fs;
use std::sync::atomic::AtomicBool;

use berth_encoder::{Overlong, cpu_features};
use berth_pipeline::{
    BenchOptions, EncoderChoice, Home, ImportOptions, bench_encode, installed, open_encoder, open_head,
};
use berth_types::{Head, Precision};

use crate::{copy_of, fixtures, import_folder, in_fp32, new_home, open};

/// A choice of the fixture `name`, which is imported in fp32 for its main head alone.
fn imported(home: &Home, name: &str, precision: Precision) -> EncoderChoice {
    import_folder(home, &fixtures().join(name), &in_fp32()).unwrap();
    EncoderChoice {
        model: Some(name.to_owned()),
        precision: Some(precision),
        workers: Some(1),
        ..EncoderChoice::default()
    }
}

#[test]
fn indexing_makes_the_graph_of_a_precision_that_was_not_imported() {
    let (_folder, home) = new_home();
    let choice = imported(&home, "bert-sentence", Precision::Fp16);
    let graph = home.model("bert-sentence").join("fp16.onnx");
    assert!(!graph.exists());
    let encoder = open_encoder(&home, &choice, None).unwrap();
    assert_eq!(encoder.precision(), Precision::Fp16);
    encoder.encode_query("a ship lies at rest").unwrap();
    assert!(graph.exists());
}

#[test]
fn indexing_makes_the_sentence_graph_of_a_model_that_was_made_for_another_head() {
    let (_folder, home) = new_home();
    let choice = imported(&home, "bert-mlm", Precision::Fp32);
    let encoder = open_encoder(&home, &choice, None).unwrap();
    assert_eq!(encoder.head(), Head::Sentence);
    assert!(home.model("bert-mlm").join("fp32.onnx").exists());
}

#[test]
fn measuring_makes_the_sentence_graph_too() {
    let (_folder, home) = new_home();
    let encoder = imported(&home, "bert-classify", Precision::Fp32);
    let options = BenchOptions { encoder, texts: None, limit: 2, seconds: 0.01 };
    let report = bench_encode(&home, &options, &AtomicBool::new(false)).unwrap().unwrap();
    assert_eq!(report.precision, "fp32");
    assert!(home.model("bert-classify").join("fp32.onnx").exists());
}

#[test]
fn a_tokenizer_that_pads_on_the_left_gives_the_same_vectors() {
    let (_folder, home) = new_home();
    let vector = |padding: serde_json::Value, name: &str| {
        let copy = copy_of("bert-sentence");
        let path = copy.path().join("tokenizer.json");
        let mut tokenizer: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        tokenizer["padding"] = padding;
        fs::write(&path, tokenizer.to_string()).unwrap();
        let options = ImportOptions { name: Some(name.to_owned()), ..in_fp32() };
        import_folder(&home, copy.path(), &options).unwrap();
        let encoder = open(&installed(&home, name).unwrap(), Head::Sentence);
        encoder.encode_query("a ship lies at rest").unwrap().embedding
    };
    let left = serde_json::json!({
        "strategy": {"Fixed": 32}, "direction": "Left", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "[PAD]",
    });
    assert_eq!(vector(left, "left").as_slice(), vector(serde_json::Value::Null, "plain").as_slice());
}

#[test]
fn prompts_of_tasks_are_imported_and_asked_for_by_name() {
    let (_folder, home) = new_home();
    let copy = copy_of("bert-sentence");
    let path = copy.path().join("config_sentence_transformers.json");
    let mut settings: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    settings["prompts"] = serde_json::json!({
        "search_query": "query: ", "search_document": "passage: ", "clustering": "group: ",
    });
    fs::write(&path, settings.to_string()).unwrap();
    import_folder(&home, copy.path(), &ImportOptions { name: Some("tasks".to_owned()), ..in_fp32() }).unwrap();
    let encoder = open(&installed(&home, "tasks").unwrap(), Head::Sentence);
    let vector = |text: &str, name: &str| {
        let prompt = encoder.prompt_named(name).unwrap();
        encoder.ask_sentence(text, prompt, Overlong::Refuse).unwrap().wait().unwrap().embedding
    };
    // A prompt is tokenised by itself, as the text behind it is.
    assert_eq!(vector("heat", "query"), vector("query: heat", "none"));
    assert_eq!(vector("heat", "passage"), vector("heat", "search_document"));
    assert_eq!(vector("heat", "clustering"), vector("group: heat", "none"));
    let error = encoder.prompt_named("retrieval").unwrap_err().to_string();
    assert!(error.contains("'retrieval'") && error.contains("none, clustering, search_document"), "{error}");
}

#[test]
fn no_graph_is_made_that_this_processor_cannot_run() {
    let (_folder, home) = new_home();
    for precision in [Precision::Q4, Precision::Int8] {
        let choice = imported(&home, "bert-sentence", precision);
        let graph = home.model("bert-sentence").join(Head::Sentence.graph_file(precision));
        let opened = open_head(&home, &choice, Head::Sentence, None);
        let runs_here = cpu_features().kernel(precision).is_ok();
        assert_eq!((opened.is_ok(), graph.exists()), (runs_here, runs_here), "{precision}");
    }
}
