//! The bytes of an ONNX file: protobuf that is cut off, declares what is not there, or says a thing twice.

use berth_types::ErrorKind::InvalidInput;

use super::Table;
use crate::foreign::{Foreign, Node, bytes, int, varint};

const MODEL: &str = "model.onnx";
const DAMAGED: &[&str] = &[MODEL, "no intact ONNX graph"];

pub(super) fn add(table: &mut Table) {
    let whole = Foreign::states().bytes();
    // At these places a field of the graph is open; a cut behind the last field of the model would leave a whole model.
    for tenth in 1..=19 {
        let keep = whole.len() * tenth / 20;
        table.graph_bytes("graph cut off", DAMAGED, whole[..keep].to_vec());
    }
    table.graph_bytes("graph cut off", DAMAGED, whole[..whole.len() - 1].to_vec());
    for keep in [1, 3] {
        table.graph_bytes("graph cut off", DAMAGED, whole[..keep].to_vec());
    }
    table.graph_bytes("file without a graph", &[MODEL, "holds no graph"], Vec::new());
    table.graph_bytes("file without a graph", &[MODEL, "holds no graph"], int(1, 8));
    for other in [&b"{\"model\": 1}"[..], b"PK\x03\x04", b"\x7fELF\x02\x01", b"ORTM\0\0\0\0", &[0; 64], &[0xff; 64]] {
        table.graph_bytes("file of another format", DAMAGED, other.to_vec());
    }
    table.graph_bytes(
        "graph is a pointer of git-lfs",
        &[MODEL, "pointer of git-lfs"],
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n".to_vec(),
    );
    for declared in [1_u64 << 40, 1 << 31, u64::MAX, 1_000] {
        let field = [vec![7 << 3 | 2], varint(declared)].concat();
        let words = &[MODEL, &format!("declares {declared} bytes where 0 are left")];
        table.graph_bytes("field declared longer than the file", words, [int(1, 8), field].concat());
    }
    let raw = [vec![9 << 3 | 2], varint(1_u64 << 40)].concat();
    let tensor = [int(1, 1 << 38), int(2, 1), raw].concat();
    table.graph_bytes("field declared longer than the file", DAMAGED, bytes(7, bytes(5, tensor)));
    for kind in [3, 4] {
        table.graph_bytes("group", &[MODEL, "group"], varint(30 << 3 | kind));
    }
    table.graph_bytes("field without a number", DAMAGED, vec![2, 0]);
    table.graph_bytes("wire type that does not exist", DAMAGED, vec![1 << 3 | 6, 0]);
    table.graph_bytes("number without end", DAMAGED, [vec![1 << 3], vec![0xff; 11]].concat());
    table.graph_bytes("number without end", DAMAGED, vec![0xff; 11]);
    table.graph_bytes("number without end", DAMAGED, [vec![7 << 3 | 2], vec![0x80; 12]].concat());
    kinds(table);
    twice(table);
    sizes(table);
}

fn kinds(table: &mut Table) {
    let fixed32 = |number: u8| vec![number << 3 | 5, 0, 0, 0, 0];
    let fixed64 = |number: u8| vec![number << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let model: [(&str, Vec<u8>); 5] = [
        ("ir_version", bytes(1, "8")),
        ("graph", int(7, 1)),
        ("graph", fixed64(7)),
        ("opset_import", int(8, 17)),
        ("producer_name", int(2, 1)),
    ];
    for (name, field) in model {
        table.graph_bytes("field of another type", &[MODEL, name, "expected"], field);
    }
    let graph: [(&str, Vec<u8>); 9] = [
        ("node", int(1, 1)),
        ("initializer", int(5, 1)),
        ("input", fixed32(11)),
        ("output", int(12, 1)),
        ("dims", bytes(5, fixed32(1))),
        ("data_type", bytes(5, bytes(2, "f32"))),
        ("raw_data", bytes(5, int(9, 1))),
        ("float_data", bytes(5, fixed32(4))),
        ("op_type", bytes(1, int(4, 1))),
    ];
    for (name, field) in graph {
        table.graph_bytes("field of another type", &[MODEL, name, "expected"], bytes(7, field));
    }
    let not_utf8 = |number: u32| bytes(number, b"\xff\xfe");
    for field in [bytes(1, not_utf8(1)), bytes(1, not_utf8(4)), bytes(5, not_utf8(8)), bytes(11, not_utf8(1))] {
        table.graph_bytes("name that is not UTF-8", &[MODEL, "not UTF-8"], bytes(7, field));
    }
}

fn twice(table: &mut Table) {
    let whole = Foreign::states();
    let graph = bytes(7, whole.graph_bytes());
    table.graph_bytes("given twice", &[MODEL, "graph is given twice"], [int(1, 8), graph.clone(), graph].concat());
    table.graph_bytes("given twice", &[MODEL, "ir_version is given twice"], [int(1, 8), int(1, 9)].concat());
    let tensor = |fields: Vec<u8>| bytes(7, bytes(5, fields));
    let fields: [(&str, Vec<u8>); 5] = [
        ("raw_data", bytes(9, [0; 4])),
        ("data_type", int(2, 1)),
        ("name of a tensor", bytes(8, "words")),
        ("data of a tensor", bytes(4, [0; 4])),
        ("data_location", int(14, 0)),
    ];
    for (name, field) in fields {
        let words = &[MODEL, name, "given twice"];
        table.graph_bytes("given twice", words, tensor([field.clone(), field].concat()));
    }
    let operator = bytes(7, bytes(1, [bytes(4, "Add"), bytes(4, "Sub")].concat()));
    table.graph_bytes("given twice", &[MODEL, "op_type is given twice"], operator);
    let length = bytes(1, [int(1, 4), bytes(2, "batch")].concat());
    let value = bytes(11, [bytes(1, "x"), bytes(2, bytes(1, [int(1, 7), bytes(2, length)].concat()))].concat());
    table.graph_bytes("given twice", &[MODEL, "length of a dimension is given twice"], bytes(7, value));
}

fn sizes(table: &mut Table) {
    for depth in [9, 100, 10_000] {
        let mut graph = bytes(2, "innermost");
        for _ in 0..depth {
            graph = bytes(1, bytes(5, bytes(6, graph)));
        }
        table.graph_bytes("graphs nested without end", &[MODEL, "nested deeper"], bytes(7, graph));
    }
    // Two bytes a node, and some two hundred in memory.
    let nodes = bytes(1, "").repeat(1_100_000);
    table.graph_bytes("more parts than any graph", &[MODEL, "parts"], bytes(7, nodes));
    let names = bytes(1, bytes(1, "").repeat(1_100_000));
    table.graph_bytes("more parts than any graph", &[MODEL, "parts"], bytes(7, names));
    let lengths = bytes(5, bytes(1, vec![1; 1_100_000]));
    table.graph_bytes("more parts than any graph", &[MODEL, "parts"], bytes(7, lengths));
    table.graph_files("file larger than protobuf allows", InvalidInput, &["model.onnx", "2147483647"], |folder| {
        std::fs::File::create(folder.join(MODEL)).unwrap().set_len(3 << 30).unwrap();
    });
    table.graph("name of a megabyte", &[MODEL, "…", "nothing gives"], |graph| {
        graph.nodes.push(Node::new("Identity", &[&"x".repeat(1 << 20)], "copy"));
    });
}
