//! Graphs that an import left out are made when they are first asked for, whoever asks; none that could not be run.

use std::sync::atomic::AtomicBool;

use berth_encoder::cpu_features;
use berth_pipeline::{BenchOptions, EncoderChoice, Home, bench_encode, open_encoder, open_head};
use berth_types::{Head, Precision};

use crate::{fixtures, import_folder, in_fp32, new_home};

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
