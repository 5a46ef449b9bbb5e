//! Graphs of other exporters are described as what they are; ONNX Runtime loads what passes.

use std::fs;

use berth_export::{ElementType, ExportOptions, GraphDescription, export, find_graphs, inspect_graph, ready_made};
use berth_types::{Head, InputMeaning, Precision, ReadyMade};

use crate::foreign::{F32, Foreign, I32, I64, Node, ROWS, Tensor, Value, WIDTH, bytes, int};
use crate::runtime;
use crate::synthetic::Checkpoint;

fn inspect(graph: &Foreign) -> Result<GraphDescription, berth_export::Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    graph.write(&path);
    let description = inspect_graph(&path)?;
    // What passes here is no surprise there.
    runtime::open(&path);
    Ok(description)
}

/// The head, output and rank that a graph with these outputs has.
fn role(outputs: &[(&str, i64, &[Option<i64>])]) -> Result<(Head, String, usize), String> {
    let mut graph = Foreign::states();
    graph.outputs.clear();
    graph.nodes.clear();
    for &(name, element, lengths) in outputs {
        graph.outputs.push(Value::new(name, element, lengths));
        // The shape is only declared: what matters here is what the file says.
        let source = if element == F32 { "words" } else { "input_ids" };
        graph.nodes.push(Node::new("Identity", &[source], name));
    }
    graph.nodes.push(Node::new("Gather", &["words", "input_ids"], "looked up"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    graph.write(&path);
    let role = inspect_graph(&path).map_err(|error| error.to_string())?.role;
    Ok((role.head, role.output, role.rank))
}

const STATES: &[Option<i64>] = &[None, None, Some(WIDTH)];
const VECTOR: &[Option<i64>] = &[None, Some(WIDTH)];

#[test]
fn a_graph_is_described_whole() {
    let description = inspect(&Foreign::sentence()).unwrap();
    assert_eq!((description.ir_version, description.producer.as_str()), (8, "by hand"));
    assert_eq!(description.opsets, [(String::new(), 17)].into());
    assert_eq!(description.operators, [("Gather".to_owned(), 1), ("ReduceMean".to_owned(), 1)].into());
    assert_eq!(description.weights, [(ElementType::F32, (ROWS * WIDTH) as u64)].into());
    let inputs: Vec<_> = description.inputs.iter().map(|(input, meaning)| (input.name.as_str(), *meaning)).collect();
    assert_eq!(inputs, [("input_ids", InputMeaning::Ids), ("attention_mask", InputMeaning::Mask)]);
    assert_eq!(description.role.output, "sentence_embedding");
    assert_eq!((description.role.head, description.role.rank, description.role.width), (Head::Sentence, 2, Some(32)));
    assert_eq!((description.precision, description.vocabulary), (Precision::Fp32, Some(100)));
    assert!(description.external_files.is_empty());
}

#[test]
fn names_say_what_an_output_is() {
    let known: [(&str, &[Option<i64>], Head); 9] = [
        ("sentence_embedding", VECTOR, Head::Sentence),
        ("text_embeds", VECTOR, Head::Sentence),
        ("embeddings", VECTOR, Head::Sentence),
        ("embeddings", STATES, Head::Tokens),
        ("last_hidden_state", STATES, Head::Tokens),
        ("token_embeddings:0", STATES, Head::Tokens),
        ("logits", &[None, Some(2)], Head::Classify),
        ("logits", &[None, None, Some(9)], Head::Entities),
        ("logits", &[None, None, Some(ROWS)], Head::FillMask),
    ];
    for (name, lengths, head) in known {
        assert_eq!(role(&[(name, F32, lengths)]), Ok((head, name.to_owned(), lengths.len())), "{name}");
    }
    let both = role(&[("token_embeddings", F32, STATES), ("sentence_embedding", F32, VECTOR)]);
    assert_eq!(both.unwrap().0, Head::Sentence);
    let with_pooler = role(&[("last_hidden_state", F32, STATES), ("pooler_output", F32, VECTOR)]);
    assert_eq!(with_pooler.unwrap().1, "last_hidden_state");
}

#[test]
fn shapes_decide_where_names_say_nothing() {
    assert_eq!(role(&[("output_0", F32, VECTOR)]), Ok((Head::Sentence, "output_0".to_owned(), 2)));
    assert_eq!(role(&[("1335", F32, STATES), ("1336", F32, VECTOR)]), Ok((Head::Tokens, "1335".to_owned(), 3)));
    // As sentence-transformers' features come out of a plain torch export: inputs passed through, an open width.
    let features: &[(&str, i64, &[Option<i64>])] =
        &[("output", I64, &[None, None]), ("states", F32, STATES), ("461", F32, &[None, None])];
    assert_eq!(role(features), Ok((Head::Tokens, "states".to_owned(), 3)));
}

#[test]
fn other_names_of_inputs_are_known() {
    let namings = [["input.1", "mask"], ["ids", "input_mask"], ["input_ids:0", "attention_mask:0"]];
    for (naming, element) in namings.into_iter().zip([I32, I64, I32]) {
        let mut graph = Foreign::states();
        graph.inputs = naming.map(|name| Value::new(name, element, &[None, None])).to_vec();
        graph.inputs.push(Value::new("segment_ids", element, &[None, None]));
        graph.nodes[0].inputs[1] = naming[0].to_owned();
        let meanings: Vec<InputMeaning> = inspect(&graph).unwrap().inputs.iter().map(|(_, meaning)| *meaning).collect();
        assert_eq!(meanings, [InputMeaning::Ids, InputMeaning::Mask, InputMeaning::Types], "{naming:?}");
    }
}

#[test]
fn an_input_with_a_default_need_not_be_known() {
    let mut graph = Foreign::states();
    graph.initializers.push(Tensor::new("temperature", &[1], F32, 1.0_f32.to_le_bytes().to_vec()));
    graph.inputs.push(Value::new("temperature", F32, &[Some(1)]));
    assert_eq!(inspect(&graph).unwrap().inputs.len(), 2);
}

#[test]
fn every_way_to_store_values_is_read() {
    let mut graph = Foreign::states();
    let packed = [1.0_f32, -2.0].map(f32::to_le_bytes).concat();
    let more: [(&str, i64, &[i64], Vec<u8>); 6] = [
        ("floats", 1, &[2], bytes(4, packed)),
        ("halves", 10, &[1], bytes(5, [0x80, 0x78])),
        ("bytes", 3, &[3], bytes(5, [1, 2, 3])),
        ("quarters", 21, &[3], bytes(5, [0x21, 0x03])),
        ("longs", 7, &[2], bytes(7, [5, 6])),
        ("doubles", 11, &[1], bytes(10, 2.5_f64.to_le_bytes())),
    ];
    for (name, element, dims, more) in more {
        graph.initializers.push(Tensor { more, raw: None, ..Tensor::new(name, dims, element, vec![]) });
    }
    // An infinity is how a mask is made, and a tensor of no values needs no bytes.
    graph.initializers.push(Tensor::new("mask value", &[], F32, f32::NEG_INFINITY.to_le_bytes().to_vec()));
    graph.initializers.push(Tensor { raw: None, ..Tensor::new("nothing", &[0, 4], F32, vec![]) });
    let weights = inspect(&graph).unwrap().weights;
    assert_eq!((weights[&ElementType::F16], weights[&ElementType::U4]), (1, 3));
}

#[test]
fn weights_beside_the_graph_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let onnx = folder.path().join("onnx");
    fs::create_dir(&onnx).unwrap();
    let mut graph = Foreign::states().with_external(&onnx, &[("location", "weights.bin"), ("offset", "64")]);
    // Tied weights lie in one place under two names.
    let tied = Tensor { name: "again".to_owned(), ..graph.initializers[0].clone() };
    graph.initializers.push(tied);
    graph.write(&onnx.join("model.onnx"));
    let description = inspect_graph(&onnx.join("model.onnx")).unwrap();
    let [file] = &description.external_files[..] else { panic!("{description:?}") };
    assert_eq!((file.location.as_str(), file.bytes, file.tensors), ("weights.bin", 64 + 4 * 3200, 2));
    runtime::open(&onnx.join("model.onnx"));
    assert_eq!(ready_made(folder.path()).unwrap().external, ["onnx/weights.bin"]);
}

#[test]
fn the_newest_files_that_pass_are_those_that_onnx_runtime_loads() {
    let newest = Foreign { ir_version: 13, opsets: vec![("", 26)], ..Foreign::states() };
    inspect(&newest).unwrap();
    for newer in [Foreign { ir_version: 14, ..newest.clone() }, Foreign { opsets: vec![("", 27)], ..newest }] {
        assert!(inspect(&newer).is_err());
        assert!(!runtime::loads(&newer.bytes()), "ONNX Runtime has moved on: raise the limit");
    }
}

#[test]
fn own_graphs_are_understood() {
    let folder = Checkpoint::tiny().write();
    for precision in [Precision::Fp32, Precision::Int8] {
        let path = folder.path().join("graph.onnx");
        export(folder.path(), &ExportOptions { precision, ..ExportOptions::default() }, &path).unwrap();
        let description = inspect_graph(&path).unwrap();
        assert_eq!((description.precision, description.role.head), (precision, Head::Sentence));
        assert_eq!(description.inputs.len(), 3);
    }
}

#[test]
fn graphs_are_found_by_the_names_of_exporters_and_filed_by_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let write = |graph: &Foreign, file: &str| graph.write(&folder.path().join(file));
    write(&Foreign::states(), "onnx/model.onnx");
    write(&Foreign::states(), "model_O3.onnx");
    // A graph whose operators quantise, under a name that promises nothing of the kind.
    let mut quantised = Foreign::states();
    let mut quantise = Node::new("DynamicQuantizeLinear", &["last_hidden_state"], "q");
    quantise.outputs.extend(["scale".to_owned(), "zero".to_owned()]);
    quantised.nodes.push(quantise);
    write(&quantised, "onnx/model_optimized.onnx");
    let found: Vec<String> = find_graphs(folder.path()).into_iter().map(|graph| graph.file).collect();
    assert_eq!(found, ["onnx/model.onnx", "onnx/model_optimized.onnx", "model_O3.onnx"]);
    let card = ready_made(folder.path()).unwrap();
    let expected = ReadyMade {
        output: "last_hidden_state".to_owned(),
        head: Head::Tokens,
        rank: 3,
        width: Some(32),
        external: vec![],
        graphs: [
            (Precision::Fp32, "onnx/model.onnx".to_owned()),
            (Precision::Int8, "onnx/model_optimized.onnx".to_owned()),
        ]
        .into(),
        inputs: [("input_ids".to_owned(), InputMeaning::Ids), ("attention_mask".to_owned(), InputMeaning::Mask)].into(),
    };
    assert_eq!(card, expected);
}

#[test]
fn graphs_that_differ_in_more_than_precision_are_not_one_model() {
    let folder = tempfile::tempdir().unwrap();
    Foreign::states().write(&folder.path().join("onnx/model.onnx"));
    let mut other = Foreign::sentence();
    let mut quantise = Node::new("DynamicQuantizeLinear", &["states"], "q");
    quantise.outputs.extend(["scale".to_owned(), "zero".to_owned()]);
    other.nodes.push(quantise);
    other.write(&folder.path().join("onnx/model_quantized.onnx"));
    let message = ready_made(folder.path()).unwrap_err().to_string();
    assert!(message.contains("model_quantized.onnx") && message.contains("onnx/model.onnx"), "{message}");
}

#[test]
fn one_graph_of_any_name_is_the_model() {
    let folder = tempfile::tempdir().unwrap();
    Foreign::states().write(&folder.path().join("paraphrase.onnx"));
    assert_eq!(find_graphs(folder.path())[0].file, "paraphrase.onnx");
    Foreign::states().write(&folder.path().join("another.onnx"));
    assert!(find_graphs(folder.path()).is_empty(), "two graphs of unknown names");
    assert!(ready_made(folder.path()).unwrap_err().to_string().contains("is missing"));
}

#[test]
fn a_graph_inside_of_a_node_reads_from_around_it() {
    let mut graph = Foreign::states();
    let branch = |name: &str| {
        let node = Node::new("Gather", &["words", "input_ids"], name);
        [bytes(1, node.bytes()), bytes(2, name), bytes(12, bytes(1, name))].concat()
    };
    let mut choose = Node::new("If", &["condition"], "last_hidden_state");
    for name in ["then_branch", "else_branch"] {
        choose.attributes.push([bytes(1, name), bytes(6, branch(&format!("from {name}"))), int(20, 5)].concat());
    }
    graph.initializers.push(Tensor::new("condition", &[], 9, vec![1]));
    graph.nodes = vec![choose];
    assert_eq!(inspect(&graph).unwrap().operators, [("Gather".to_owned(), 2), ("If".to_owned(), 1)].into());
}
