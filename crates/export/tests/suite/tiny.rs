//! Graphs of a tiny checkpoint against plain arithmetic, over every option.

use std::fs;

use berth_export::{ExportOptions, ExportReport, export};
use berth_types::Pooling;
use berth_types::Precision;
use safetensors::Dtype;
use serde_json::json;

use crate::reference::{self, Nonlinearity};
use crate::runtime::{self, Batch};
use crate::synthetic::{self, Checkpoint};

const IDS: &[i64] = &[2, 7, 11, 19, 3];
const TYPES: &[i64] = &[0, 0, 1, 1, 1];

/// Exports `written` and compares its graph with the arithmetic of `plain`.
fn check(written: &Checkpoint, plain: &Checkpoint, nonlinearity: Nonlinearity, options: ExportOptions) {
    let folder = written.write();
    let graph = folder.path().join("graph.onnx");
    export(folder.path(), &ExportOptions { token_embeddings: true, ..options }, &graph).unwrap();
    let mut session = runtime::open(&graph);
    let batch = Batch::single(IDS).with_types(TYPES);
    let states = reference::states(plain, IDS, TYPES, nonlinearity);
    let pooled = if options.pooling == Pooling::Cls { states[0].clone() } else { reference::mean(&states) };
    let expected = if options.normalize { reference::unit(&pooled) } else { pooled };

    let (shape, received) = runtime::run(&mut session, &batch, "sentence_embedding");
    assert_eq!(shape, [1, 8]);
    close(&received, &expected);
    let (shape, received) = runtime::run(&mut session, &batch, "token_embeddings");
    assert_eq!(shape, [1, 5, 8]);
    close(&received, &states.concat());
}

fn close(received: &[f32], expected: &[f64]) {
    assert_eq!(received.len(), expected.len());
    for (received, expected) in received.iter().zip(expected) {
        assert!((f64::from(*received) - expected).abs() < 5e-6, "{received} where {expected} is right");
    }
}

#[test]
fn every_pooling_is_right() {
    let tiny = Checkpoint::tiny();
    for pooling in [Pooling::Mean, Pooling::Cls] {
        for normalize in [true, false] {
            let options = ExportOptions { pooling, normalize, ..ExportOptions::default() };
            check(&tiny, &tiny, Nonlinearity::Gelu, options);
        }
    }
}

/// Where only the first token's state is wanted, the last layer computes no other.
#[test]
fn the_first_token_alone_is_what_it_is_among_all() {
    let tiny = Checkpoint::tiny();
    let folder = tiny.write();
    let graph = folder.path().join("graph.onnx");
    let options = ExportOptions { pooling: Pooling::Cls, ..ExportOptions::default() };
    export(folder.path(), &options, &graph).unwrap();
    let mut session = runtime::open(&graph);
    let states = reference::states(&tiny, IDS, TYPES, Nonlinearity::Gelu);
    let received = runtime::run(&mut session, &Batch::single(IDS).with_types(TYPES), "sentence_embedding").1;
    close(&received, &reference::unit(&states[0]));
    let padded = Batch::padded(&[IDS, &IDS[..2]], 7);
    let received = runtime::run(&mut session, &padded, "sentence_embedding").1;
    for (row, ids) in received.chunks_exact(8).zip([IDS, &IDS[..2]]) {
        let states = reference::states(&tiny, ids, &vec![0; ids.len()], Nonlinearity::Gelu);
        close(row, &reference::unit(&states[0]));
    }
}

#[test]
fn every_activation_is_right() {
    let pairs = [
        ("gelu", Nonlinearity::Gelu),
        ("gelu_new", Nonlinearity::GeluTanh),
        ("gelu_pytorch_tanh", Nonlinearity::GeluTanh),
        ("relu", Nonlinearity::Relu),
    ];
    for (name, nonlinearity) in pairs {
        let tiny = Checkpoint::tiny().set("hidden_act", json!(name));
        check(&tiny, &tiny, nonlinearity, ExportOptions::default());
    }
}

#[test]
fn old_names_and_prefixes_are_read() {
    let tiny = Checkpoint::tiny();
    let old =
        |name: &str| name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
    let namings: [&dyn Fn(&str) -> String; 3] =
        [&old, &|name| format!("bert.{name}"), &|name| format!("bert.{}", old(name))];
    for naming in namings {
        check(&tiny.clone().renamed(naming), &tiny, Nonlinearity::Gelu, ExportOptions::default());
    }
}

#[test]
fn half_precision_weights_are_converted() {
    for dtype in [Dtype::F16, Dtype::BF16] {
        let rounded = Checkpoint::tiny().stored_as(dtype);
        check(&rounded, &rounded, Nonlinearity::Gelu, ExportOptions::default());
    }
}

#[test]
fn tensors_of_heads_and_poolers_are_passed_over() {
    let tiny = Checkpoint::tiny();
    let mut with_head = tiny.clone();
    for (name, dtype) in [("pooler.dense.weight", Dtype::F32), ("embeddings.position_ids", Dtype::I64)] {
        let extra = synthetic::Values { shape: vec![4], row_major: vec![1.0; 4], dtype };
        with_head.tensors.insert(name.to_owned(), extra);
    }
    check(&with_head, &tiny, Nonlinearity::Gelu, ExportOptions::default());
}

#[test]
fn rows_do_not_see_padding_or_neighbours() {
    let folder = Checkpoint::tiny().write();
    let graph = folder.path().join("graph.onnx");
    export(folder.path(), &ExportOptions::default(), &graph).unwrap();
    let mut session = runtime::open(&graph);
    let other: &[i64] = &[9, 1];
    let (shape, both) = runtime::run(&mut session, &Batch::padded(&[IDS, other], 9), "sentence_embedding");
    assert_eq!(shape, [2, 8]);
    for (row, ids) in both.chunks_exact(8).zip([IDS, other]) {
        let alone: Vec<f64> = runtime::embed(&mut session, ids).into_iter().map(f64::from).collect();
        close(row, &alone);
    }
}

#[test]
fn one_token_and_a_full_position_table_run() {
    let folder = Checkpoint::tiny().write();
    let graph = folder.path().join("graph.onnx");
    export(folder.path(), &ExportOptions::default(), &graph).unwrap();
    let mut session = runtime::open(&graph);
    for length in [1, synthetic::POSITIONS] {
        let ids: Vec<i64> = (0..length as i64).collect();
        let states = reference::states(&Checkpoint::tiny(), &ids, &vec![0; length], Nonlinearity::Gelu);
        close(&runtime::embed(&mut session, &ids), &reference::unit(&reference::mean(&states)));
    }
}

#[test]
fn int8_stays_near_the_exact_arithmetic() {
    if !runtime::multiplies_bytes_exactly() {
        return;
    }
    let tiny = Checkpoint::tiny();
    for activation in [("gelu", Nonlinearity::Gelu), ("relu", Nonlinearity::Relu)] {
        let tiny = tiny.clone().set("hidden_act", json!(activation.0));
        let folder = tiny.write();
        let graph = folder.path().join("graph.onnx");
        let options = ExportOptions { precision: Precision::Int8, ..ExportOptions::default() };
        export(folder.path(), &options, &graph).unwrap();
        let received = runtime::embed(&mut runtime::open(&graph), IDS);
        let states = reference::states(&tiny, IDS, &[0; 5], activation.1);
        let expected = reference::unit(&reference::mean(&states));
        let cosine: f64 = received.iter().zip(&expected).map(|(a, b)| f64::from(*a) * b).sum();
        assert!(cosine > 0.999, "{}: cosine {cosine}", activation.0);
    }
}

#[test]
fn the_graph_declares_what_it_promises() {
    let folder = Checkpoint::tiny().write();
    let graph = folder.path().join("graph.onnx");
    for token_embeddings in [false, true] {
        let options = ExportOptions { precision: Precision::Int8, token_embeddings, ..ExportOptions::default() };
        let report = export(folder.path(), &options, &graph).unwrap();
        let session = runtime::open(&graph);
        let inputs: Vec<String> =
            session.inputs().iter().map(|input| format!("{} {}", input.name(), input.dtype())).collect();
        let outputs: Vec<&str> = session.outputs().iter().map(ort::value::Outlet::name).collect();
        assert_eq!(
            inputs,
            [
                "input_ids Tensor<i64>(batch, sequence)",
                "attention_mask Tensor<i64>(batch, sequence)",
                "token_type_ids Tensor<i64>(batch, sequence)"
            ]
        );
        let expected: &[&str] =
            if token_embeddings { &["sentence_embedding", "token_embeddings"] } else { &["sentence_embedding"] };
        assert_eq!(outputs, expected);
        let bytes = fs::metadata(&graph).unwrap().len();
        // Tables 20 + 10 + 2 rows of 8, one norm; per layer 4 × (8·8 + 8), 8·12 + 12, 12·8 + 8, two norms.
        let parameters = (20 + 10 + 2) * 8 + 16 + 2 * (4 * 72 + 108 + 104 + 32);
        let expected = ExportReport { parameters, bytes, layers: 2, dimensions: 8, max_tokens: 10, vocabulary: 20 };
        assert_eq!(report, expected);
    }
}

#[test]
fn equal_checkpoints_give_equal_bytes() {
    for precision in [Precision::Fp32, Precision::Int8] {
        let options = ExportOptions { precision, ..ExportOptions::default() };
        let [one, two] = [(); 2].map(|()| {
            let folder = Checkpoint::tiny().write();
            export(folder.path(), &options, &folder.path().join("graph.onnx")).unwrap();
            fs::read(folder.path().join("graph.onnx")).unwrap()
        });
        assert!(one == two, "two exports at {precision} differ");
    }
}
