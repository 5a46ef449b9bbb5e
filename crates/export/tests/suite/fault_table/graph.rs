//! What an ONNX graph declares: versions, operators, tensors.

use super::Table;
use crate::foreign::{F32, Foreign, I64, Node, Tensor, bytes, int};

const MODEL: &str = "model.onnx";

pub(super) fn add(table: &mut Table) {
    versions(table);
    operators(table);
    tensors(table);
    values(table);
    explosions(table);
    loops(table);
}

fn versions(table: &mut Table) {
    for version in [0, 2, 14, -1, i64::MAX] {
        let word = format!("IR version {version}");
        table.unsupported("file format of another time", &[MODEL, &word], move |graph| graph.ir_version = version);
    }
    for version in [0, 6, 27, -1, i64::MAX] {
        let word = format!("operator set {version}");
        table.unsupported("operator set of another time", &[MODEL, &word], move |graph| {
            graph.opsets = vec![("", version)];
        });
    }
    table.unsupported("two operator sets of one domain", &[MODEL, "two operator sets"], |graph| {
        graph.opsets = vec![("", 17), ("ai.onnx", 18)];
    });
    for opsets in [vec![], vec![("com.microsoft", 1)]] {
        table.graph("operator set not imported", &[MODEL, "Gather", "no operator set"], |graph| graph.opsets = opsets);
    }
    table.graph("operator set not imported", &[MODEL, "Gelu", "com.microsoft"], |graph| {
        graph.nodes.push(Node { domain: "com.microsoft", ..Node::new("Gelu", &["last_hidden_state"], "active") });
    });
}

fn operators(table: &mut Table) {
    for domain in ["com.example", "ai.onnx.contrib", "org.pytorch.aten", "com.microsoft.extensions", " "] {
        let word = format!("{domain}:CustomOp");
        table.unsupported("operator of an unknown domain", &[MODEL, &word], move |graph| {
            graph.opsets.push((domain, 1));
            graph.nodes.push(Node { domain, ..Node::new("CustomOp", &["last_hidden_state"], "custom") });
        });
    }
    table.unsupported("operator of an unknown domain", &[MODEL, "evil:Inner"], |graph| {
        let inner = Node { domain: "evil", ..Node::new("Inner", &["words"], "y") };
        let branch = [bytes(1, inner.bytes()), bytes(12, bytes(1, "y"))].concat();
        let mut choose = Node::new("If", &["words"], "chosen");
        choose.attributes.push([bytes(1, "then_branch"), bytes(6, branch)].concat());
        graph.nodes.push(choose);
    });
    table.graph("node without an operator", &[MODEL, "\"nothing\"", "no operator"], |graph| {
        graph.nodes.push(Node::new("", &["words"], "nothing"));
    });
    let model: [(&'static str, &str, u32); 2] =
        [("functions of its own", "functions", 25), ("training", "training_info", 20)];
    for (fault, word, number) in model {
        table.graph(fault, &[MODEL, word], move |graph| graph.more_model = bytes(number, ""));
    }
    table.graph("sparse tensors", &[MODEL, "sparse"], |graph| graph.more_graph = bytes(15, ""));
    for number in [22, 23] {
        table.graph("sparse tensors", &[MODEL, "sparse"], move |graph| {
            graph.nodes[0].attributes.push(bytes(number, ""));
        });
    }
    table.graph("tensor in segments", &[MODEL, "segments"], |graph| graph.initializers[0].more = bytes(3, ""));
}

fn words(table: &mut Table, fault: &'static str, word: &str, harm: impl FnOnce(&mut Tensor) + 'static) {
    table.graph(fault, &[MODEL, "tensor words", word], |graph| harm(&mut graph.initializers[0]));
}

fn tensors(table: &mut Table) {
    for dims in
        [vec![1_000_000_000_000], vec![1 << 20, 1 << 20], vec![100, 33], vec![99, 32], vec![], vec![0], vec![3199]]
    {
        let word = format!("{dims:?}");
        words(table, "bytes that the shape contradicts", &word, move |tensor| tensor.dims = dims);
    }
    for (raw, held) in [(vec![], 0), (vec![0; 12_799], 12_799), (vec![0; 12_801], 12_801)] {
        let word = format!("12800 bytes, and holds {held}");
        words(table, "bytes that the shape contradicts", &word, move |tensor| tensor.raw = Some(raw));
    }
    words(table, "bytes that the shape contradicts", "holds 0", |tensor| tensor.raw = None);
    for dims in [vec![-1, 32], vec![100, -32], vec![i64::MIN]] {
        words(table, "negative length", "negative length", move |tensor| tensor.dims = dims);
    }
    for dims in [vec![i64::MAX, i64::MAX], vec![1 << 40, 1 << 40], vec![1 << 32, 1 << 32, 1 << 32]] {
        words(table, "shape that cannot be counted", "can be counted", move |tensor| tensor.dims = dims);
    }
    words(table, "shape that cannot be counted", "more than any file holds", |tensor| tensor.dims = vec![i64::MAX, 2]);
    for axes in [17, 1_000] {
        words(table, "too many axes", &format!("{axes} axes"), move |tensor| tensor.dims = vec![1; axes]);
    }
    for element in [0, 14, 15, 17, 24, 99, -1] {
        let word = format!("element type {element}, which is not supported");
        words(table, "element type that is not supported", &word, move |tensor| tensor.element = element);
    }
    words(table, "values in two places", "twice", |tensor| tensor.more = bytes(4, [0; 4]));
    words(table, "values in two places", "twice", |tensor| {
        tensor.more = bytes(13, [bytes(1, "location"), bytes(2, "w")].concat());
    });
    words(table, "values in two places", "twice", |tensor| tensor.more = bytes(6, "text"));
    for (element, field) in
        [(I64, bytes(4, [0; 4])), (F32, bytes(5, [0; 4])), (F32, bytes(10, [0; 8])), (3, bytes(7, [0]))]
    {
        words(table, "values in a field of another type", "not for them", move |tensor| {
            *tensor = Tensor { raw: None, more: field, ..Tensor::new("words", &[1], element, vec![]) };
        });
    }
    for (dims, field, word) in [
        (2, bytes(4, [0; 4]), "declares 2 values and holds 1"),
        (1, bytes(4, [0; 8]), "declares 1 values and holds 2"),
        (1, bytes(4, [0; 3]), "ends inside a value"),
        (1_000_000_000_000, bytes(4, [0; 4]), "declares 1000000000000 values and holds 1"),
    ] {
        words(table, "count that the shape contradicts", word, move |tensor| {
            *tensor = Tensor { raw: None, more: field, ..Tensor::new("words", &[dims], F32, vec![]) };
        });
    }
    words(table, "count that the shape contradicts", "declares 3 strings and holds 1", |tensor| {
        *tensor = Tensor { raw: None, more: bytes(6, "text"), ..Tensor::new("words", &[3], 8, vec![]) };
    });
}

fn values(table: &mut Table) {
    let nan: [(&str, i64, Vec<u8>); 5] = [
        ("f32", F32, f32::NAN.to_le_bytes().to_vec()),
        ("negative f32", F32, (-f32::NAN).to_le_bytes().to_vec()),
        ("f16", 10, vec![0x01, 0x7c]),
        ("bf16", 16, vec![0xc0, 0x7f]),
        ("f64", 11, f64::NAN.to_le_bytes().to_vec()),
    ];
    for (name, element, value) in nan {
        let raw = [vec![0; value.len() * 3], value].concat();
        table.graph("NaN in a graph", &[MODEL, name, "NaN at position 3"], move |graph| {
            graph.initializers.push(Tensor::new(name, &[4], element, raw));
        });
    }
    let packed: [(&str, i64, Vec<u8>); 3] = [
        ("floats", F32, bytes(4, f32::NAN.to_le_bytes())),
        ("halves", 10, bytes(5, [0x81, 0xf8, 0x01])),
        ("doubles", 11, bytes(10, f64::NAN.to_le_bytes())),
    ];
    for (name, element, more) in packed {
        table.graph("NaN in a graph", &[MODEL, name, "NaN at position 0"], move |graph| {
            graph.initializers.push(Tensor { raw: None, more, ..Tensor::new(name, &[1], element, vec![]) });
        });
    }
    table.graph("NaN in a graph", &[MODEL, "of a node", "NaN"], |graph| {
        let tensor = Tensor::new("of a node", &[], F32, f32::NAN.to_le_bytes().to_vec());
        let mut constant = Node::new("Constant", &[], "value");
        constant.attributes.push([bytes(1, "value"), bytes(5, tensor.bytes()), int(20, 4)].concat());
        graph.nodes.push(constant);
    });
    table.graph("16-bit value that does not fit", &[MODEL, "halves", "does not fit"], |graph| {
        let more = bytes(5, [0x80, 0x80, 0x04]);
        graph.initializers.push(Tensor { raw: None, more, ..Tensor::new("halves", &[1], 10, vec![]) });
    });
}

fn explosions(table: &mut Table) {
    let shapes: [&[i64]; 4] = [&[1_000_000, 1_000_000], &[i64::MAX], &[1 << 20, 1 << 20, 1 << 20], &[10_000, 32_500]];
    for (operator, place) in [("ConstantOfShape", 0), ("Expand", 1), ("Tile", 1)] {
        for shape in shapes {
            table.graph(
                "few bytes that become a great tensor",
                &[MODEL, "\"great\"", "out of nothing"],
                move |graph| {
                    let raw = shape.iter().flat_map(|length| length.to_le_bytes()).collect();
                    graph.initializers.push(Tensor::new("shape", &[shape.len() as i64], I64, raw));
                    let inputs = if place == 0 { &["shape"][..] } else { &["words", "shape"] };
                    graph.nodes.push(Node::new(operator, inputs, "great"));
                },
            );
        }
    }
    table.graph("few bytes that become a great tensor", &[MODEL, "words", "bytes"], |graph: &mut Foreign| {
        graph.initializers[0].dims = vec![1 << 38];
    });
    growing(table);
}

/// Nodes whose tensors are great together, or through each other.
fn growing(table: &mut Table) {
    const FAULT: &str = "few bytes that become a great tensor";
    let lengths = |name: &str, lengths: &[i64]| {
        Tensor::new(
            name,
            &[lengths.len() as i64],
            I64,
            lengths.iter().flat_map(|length| length.to_le_bytes()).collect(),
        )
    };
    let number = |name: &str, value: i64| Tensor::new(name, &[], I64, value.to_le_bytes().to_vec());
    table.graph(FAULT, &[MODEL, "ConstantOfShape", "is one of those that make"], move |graph| {
        graph.initializers.push(lengths("shape", &[1 << 23]));
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        graph.nodes.extend(names.map(|name| Node::new("ConstantOfShape", &["shape"], name)));
    });
    table.graph(FAULT, &[MODEL, "\"great\"", "out of nothing"], move |graph| {
        graph.initializers.push(lengths("shape", &[1 << 20]));
        graph.initializers.push(lengths("repeats", &[64]));
        // In the order in which they run the second stands first.
        graph.nodes.push(Node::new("Tile", &["long", "repeats"], "great"));
        graph.nodes.push(Node::new("ConstantOfShape", &["shape"], "long"));
    });
    table.graph(FAULT, &[MODEL, "\"great\"", "out of nothing"], move |graph| {
        graph.initializers.extend([lengths("row", &[1, 1 << 16]), lengths("column", &[1 << 16, 1])]);
        graph.nodes.push(Node::new("ConstantOfShape", &["row"], "flat"));
        graph.nodes.push(Node::new("Expand", &["flat", "column"], "great"));
    });
    table.graph(FAULT, &[MODEL, "\"great\"", "out of nothing"], move |graph| {
        graph.initializers.extend([number("start", 0), number("limit", 1 << 40), number("delta", 1)]);
        graph.nodes.push(Node::new("Range", &["start", "limit", "delta"], "great"));
    });
    table.graph(FAULT, &[MODEL, "\"great\"", "out of nothing"], |graph| {
        let more = bytes(7, [0x80, 0x80, 0x80, 0x80, 0x10]);
        graph.initializers.push(Tensor { raw: None, more, ..Tensor::new("shape", &[1], I64, vec![]) });
        graph.nodes.push(Node::new("ConstantOfShape", &["shape"], "great"));
    });
    for attribute in [
        [bytes(1, "value_ints"), bytes(8, [0x80, 0x80, 0x80, 0x80, 0x10]), int(20, 7)].concat(),
        [bytes(1, "value"), bytes(5, lengths("", &[1 << 32]).bytes()), int(20, 4)].concat(),
    ] {
        table.graph(FAULT, &[MODEL, "\"great\"", "out of nothing"], move |graph| {
            let mut shape = Node::new("Constant", &[], "shape");
            shape.attributes.push(attribute);
            graph.nodes.extend([shape, Node::new("ConstantOfShape", &["shape"], "great")]);
        });
    }
    table.graph(FAULT, &[MODEL, "\"great\"", "another file"], |graph| {
        let place = [bytes(1, "location"), bytes(2, "shape.bin")].concat();
        let more = [bytes(13, place), int(14, 1)].concat();
        graph.initializers.push(Tensor { raw: None, more, ..Tensor::new("shape", &[1], I64, vec![]) });
        graph.nodes.push(Node::new("ConstantOfShape", &["shape"], "great"));
    });
    table.graph(FAULT, &[MODEL, "\"great\"", "out of nothing"], move |graph| {
        graph.initializers.push(lengths("shape", &[1 << 40]));
        let inner = Node::new("ConstantOfShape", &["shape"], "great");
        let branch = [bytes(1, inner.bytes()), bytes(12, bytes(1, "great"))].concat();
        let mut choose = Node::new("If", &["words"], "chosen");
        choose.attributes.push([bytes(1, "then_branch"), bytes(6, branch)].concat());
        graph.nodes.push(choose);
    });
}

/// A trip count of a few bytes keeps ONNX Runtime busy for years.
fn loops(table: &mut Table) {
    for operator in ["Loop", "Scan", "SequenceMap", "BeamSearch"] {
        let word = format!("operator {operator}");
        table.unsupported("operator that runs a graph again and again", &[MODEL, &word], move |graph| {
            let trips = (1_i64 << 62).to_le_bytes().to_vec();
            graph.initializers.push(Tensor::new("trips", &[], I64, trips));
            let inner = Node::new("Identity", &["words"], "y");
            let body = [bytes(1, inner.bytes()), bytes(12, bytes(1, "y"))].concat();
            let mut node = Node::new(operator, &["trips", "", "words"], "turned");
            node.attributes.push([bytes(1, "body"), bytes(6, body)].concat());
            graph.nodes.push(node);
        });
    }
}
