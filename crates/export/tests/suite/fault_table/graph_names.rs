//! How the parts of an ONNX graph fit together, and what its inputs and outputs are.

use berth_types::ErrorKind::{Corrupted, NotFound};
use std::fs;
use std::os::unix::fs::symlink;

use super::Table;
use crate::foreign::{F32, Foreign, I64, Node, Tensor, Value, WIDTH, bytes};

const MODEL: &str = "model.onnx";
const STATES: &[Option<i64>] = &[None, None, Some(WIDTH)];
const VECTOR: &[Option<i64>] = &[None, Some(WIDTH)];

pub(super) fn add(table: &mut Table) {
    names(table);
    cycles(table);
    inputs(table);
    outputs(table);
    files(table);
}

fn names(table: &mut Table) {
    for reader in ["Identity", "Relu"] {
        table.graph(
            "node reads what nothing gives",
            &[MODEL, "\"copy\"", "\"nowhere\", which nothing gives"],
            move |graph| {
                graph.nodes.push(Node::new(reader, &["nowhere"], "copy"));
            },
        );
    }
    table.graph("node reads what nothing gives", &[MODEL, "\"words\", which nothing gives"], |graph| {
        graph.initializers.clear();
    });
    table.graph("node reads what nothing gives", &[MODEL, "\"inner\", which nothing gives"], |graph| {
        let inner = Node::new("Identity", &["words"], "inner");
        let branch = [bytes(1, inner.bytes()), bytes(12, bytes(1, "inner"))].concat();
        let mut choose = Node::new("If", &["words"], "chosen");
        choose.attributes.push([bytes(1, "then_branch"), bytes(6, branch)].concat());
        graph.nodes.extend([choose, Node::new("Identity", &["inner"], "leaked")]);
    });
    table.graph("output that nothing gives", &[MODEL, "nothing gives the output \"absent\""], |graph| {
        graph.outputs.push(Value::new("absent", F32, STATES));
    });
    table.graph("tensor of one name twice", &[MODEL, "words", "twice"], |graph| {
        graph.initializers.push(graph.initializers[0].clone());
    });
    table.graph("tensor without a name", &[MODEL, "without a name"], |graph| {
        graph.initializers.push(Tensor::new("", &[0], F32, vec![]));
    });
    for extra in ["input_ids", ""] {
        table.graph("input of one name twice", &[MODEL, "input", "twice, or without a name"], move |graph| {
            graph.inputs.push(Value::new(extra, I64, &[None, None]));
        });
    }
    table.graph("output of one name twice", &[MODEL, "last_hidden_state", "twice"], |graph| {
        graph.outputs.push(graph.outputs[0].clone());
    });
    for given in ["last_hidden_state", "words", "input_ids"] {
        table.graph("value given twice", &[MODEL, given, "given twice"], move |graph| {
            graph.nodes.push(Node::new("Identity", &["attention_mask"], given));
        });
    }
    table.graph("no outputs", &[MODEL, "no outputs"], |graph| graph.outputs.clear());
}

fn cycles(table: &mut Table) {
    for length in [1, 2, 3, 1_000] {
        table.graph("cyclic graph", &[MODEL, "waits for its own result"], move |graph: &mut Foreign| {
            for number in 0..length {
                let (from, to) = (format!("value {number}"), format!("value {}", (number + 1) % length));
                graph.nodes.push(Node::new("Identity", &[&from], &to));
            }
        });
    }
    table.graph("cyclic graph", &[MODEL, "waits for its own result"], |graph| {
        let inner = Node::new("Identity", &["chosen"], "inner");
        let branch = [bytes(1, inner.bytes()), bytes(12, bytes(1, "inner"))].concat();
        let mut choose = Node::new("If", &["words"], "chosen");
        choose.attributes.push([bytes(1, "then_branch"), bytes(6, branch)].concat());
        graph.nodes.push(choose);
    });
}

fn inputs(table: &mut Table) {
    for name in ["pixel_values", "past_key_values.0.key", "task_id", "positions", "input_ids_2"] {
        table.graph("input of unknown meaning", &[MODEL, name, "nothing is known"], move |graph| {
            graph.inputs.push(Value::new(name, I64, &[None, None]));
        });
    }
    for (element, name) in [(F32, "f32"), (9, "bool"), (5, "i16"), (8, "text"), (13, "u64")] {
        table.graph("input that takes no integers", &[MODEL, "attention_mask", name, "integers"], move |graph| {
            graph.inputs[1].element = element;
        });
    }
    for element in [0, 99] {
        table.graph(
            "input of a type that is not supported",
            &[MODEL, "attention_mask", "element type"],
            move |graph| {
                graph.inputs[1].element = element;
            },
        );
    }
    for lengths in [vec![], vec![None], vec![None; 3]] {
        table.graph("input of another rank", &[MODEL, "input_ids", "[batch, sequence]"], move |graph| {
            graph.inputs[0].lengths = Some(lengths);
        });
    }
    for name in ["mask", "input_mask"] {
        table.graph("two inputs of one meaning", &[MODEL, "attention_mask", name, "mean the same"], move |graph| {
            graph.inputs.push(Value::new(name, I64, &[None, None]));
        });
    }
    for keep in [0, 1] {
        table.graph("no input for ids", &[MODEL, "no input takes token ids"], move |graph| {
            graph.inputs.remove(0);
            graph.inputs.truncate(keep);
            graph.nodes[0] = Node::new("Identity", &["words"], "last_hidden_state");
        });
    }
    for (number, kind) in
        [(4, "a sequence"), (5, "a map"), (9, "an optional"), (8, "a sparse tensor"), (6, "without a type")]
    {
        table.graph("input that is no tensor", &[MODEL, "odd", kind], move |graph| {
            graph.more_graph = bytes(11, [bytes(1, "odd"), bytes(2, bytes(number, ""))].concat());
        });
    }
    table.graph("input that is no tensor", &[MODEL, "odd", "no type"], |graph| {
        graph.more_graph = bytes(11, bytes(1, "odd"));
    });
}

/// Name, element type and shape.
type Output = (&'static str, i64, Option<&'static [Option<i64>]>);

fn output(table: &mut Table, fault: &'static str, word: &str, outputs: &'static [Output]) {
    table.graph(fault, &[MODEL, outputs[0].0, word], move |graph| {
        graph.outputs.clear();
        for &(name, element, lengths) in outputs {
            graph.outputs.push(Value { name: name.to_owned(), element, lengths: lengths.map(<[_]>::to_vec) });
            if name != "last_hidden_state" {
                graph.nodes.push(Node::new("Identity", &["last_hidden_state"], name));
            }
        }
    });
}

fn outputs(table: &mut Table) {
    let unclear = "which of its outputs is an embedding";
    output(table, "outputs that could be anything", unclear, &[("a", F32, Some(VECTOR)), ("b", F32, Some(VECTOR))]);
    output(table, "outputs that could be anything", unclear, &[("a", F32, Some(STATES)), ("b", F32, Some(STATES))]);
    output(
        table,
        "outputs that could be anything",
        unclear,
        &[("a", F32, Some(STATES)), ("b", F32, Some(&[None, Some(2)]))],
    );
    output(table, "outputs that could be anything", unclear, &[("a", F32, Some(&[None; 4]))]);
    output(table, "output as narrow as labels", unclear, &[("a", F32, Some(&[None, Some(2)]))]);
    output(table, "output as narrow as labels", unclear, &[("a", F32, Some(&[None, None, Some(9)]))]);
    output(table, "output as wide as the vocabulary", unclear, &[("a", F32, Some(&[None, None, Some(100)]))]);
    output(table, "output of open shape and unknown name", unclear, &[("a", F32, None)]);
    output(table, "output of open shape and unknown name", unclear, &[("a", F32, Some(&[None, None]))]);
    output(table, "pooler alone", unclear, &[("pooler_output", F32, Some(&[None, None]))]);
    let logits = "whether its logits are of texts";
    output(table, "logits of open shape", logits, &[("logits", F32, None)]);
    output(table, "logits of open shape", logits, &[("logits", F32, Some(&[None; 3]))]);
    output(table, "logits of open shape", logits, &[("logits", F32, Some(&[None]))]);
    output(table, "shape that the name contradicts", "rank 2", &[("sentence_embedding", F32, Some(STATES))]);
    output(table, "shape that the name contradicts", "rank 3", &[("last_hidden_state", F32, Some(VECTOR))]);
    output(table, "shape that the name contradicts", "rank 3", &[("token_embeddings", F32, Some(&[]))]);
    output(table, "output of other numbers", "floats", &[("sentence_embedding", I64, Some(VECTOR))]);
    output(table, "output of other numbers", "floats", &[("last_hidden_state", 3, Some(STATES))]);
    output(table, "output of other numbers", "element type 17", &[("last_hidden_state", 17, Some(STATES))]);
}

fn files(table: &mut Table) {
    table.graph_files("graph missing", NotFound, &[MODEL, "is missing"], |_| {});
    table.graph_files("graph is a link outside", Corrupted, &[MODEL, "symbolic link"], |folder| {
        let outside = folder.parent().unwrap().join("outside.onnx");
        Foreign::states().write(&outside);
        symlink(outside, folder.join(MODEL)).unwrap();
    });
    table.graph_files("folder in place of a graph", Corrupted, &[MODEL, "no regular file"], |folder| {
        fs::create_dir(folder.join(MODEL)).unwrap();
    });
}
