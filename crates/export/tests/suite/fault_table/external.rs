//! Weights that an ONNX graph keeps in other files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use berth_types::ErrorKind::{self, Corrupted, NotFound};

use super::Table;
use crate::foreign::{F32, Foreign, Tensor, bytes, int};

const MODEL: &str = "model.onnx";
const FILE: &str = "weights.bin";
type Entries = &'static [(&'static str, &'static str)];

fn external(table: &mut Table, fault: &'static str, kind: ErrorKind, words: &[&str], entries: Entries) {
    table.graph_files(fault, kind, words, move |folder| write(folder, entries));
}

fn write(folder: &Path, entries: Entries) {
    Foreign::states().with_external(folder, entries).write(&folder.join(MODEL));
}

pub(super) fn add(table: &mut Table) {
    let paths: [(&'static str, Entries, &str); 10] = [
        ("external path with ..", &[("location", "../weights.bin")], ".."),
        ("external path with ..", &[("location", "data/../../weights.bin")], ".."),
        ("external path with ..", &[("location", "..")], ".."),
        ("absolute external path", &[("location", "/etc/passwd")], "absolute"),
        ("absolute external path", &[("location", "/dev/zero")], "absolute"),
        ("external path with odd characters", &[("location", "..\\weights.bin")], "backslash"),
        ("external path with odd characters", &[("location", "weights.bin\0")], "control character"),
        ("external path with odd characters", &[("location", "C:\\weights.bin")], "backslash"),
        ("empty external path", &[("location", "")], "empty"),
        ("external path is the folder", &[("location", ".")], "no regular file"),
    ];
    for (fault, entries, word) in paths {
        external(table, fault, Corrupted, &["model", word, "the name"], entries);
    }
    for name in ["absent.bin", "data/absent.bin"] {
        table.graph_files("external file missing", NotFound, &[name, "is missing"], move |folder| {
            let entries = [bytes(1, "location"), bytes(2, name)].concat();
            let mut graph = Foreign::states();
            let more = [bytes(13, entries), int(14, 1)].concat();
            graph.initializers[0] = Tensor { raw: None, more, ..graph.initializers[0].clone() };
            graph.write(&folder.join(MODEL));
        });
    }
    // ONNX Runtime reads the offset behind this name as an address in its own memory.
    let address: Entries = &[("location", "*/_ORT_MEM_ADDR_/*"), ("offset", "140000000000000")];
    external(table, "address in memory", NotFound, &["_ORT_MEM_ADDR_", "is missing"], address);
    for link in ["weights.bin", "endless"] {
        table.graph_files("external file is a link outside", Corrupted, &[link, "symbolic link"], move |folder| {
            let outside = folder.parent().unwrap().join("outside");
            let entries: Entries = if link == FILE { &[("location", FILE)] } else { &[("location", "endless")] };
            write(folder, entries);
            fs::rename(folder.join(FILE), &outside).unwrap();
            let target = if link == FILE { outside } else { "/dev/zero".into() };
            symlink(target, folder.join(link)).unwrap();
        });
    }
    offsets(table);
    entries(table);
    values(table);
}

fn offsets(table: &mut Table) {
    let beyond: [Entries; 5] = [
        &[("location", FILE), ("offset", "65")],
        &[("location", FILE), ("offset", "12864")],
        &[("location", FILE), ("offset", "1099511627776")],
        &[("location", FILE), ("offset", "18446744073709551615")],
        &[("location", FILE), ("offset", "9223372036854775807"), ("length", "12800")],
    ];
    for entries in beyond {
        external(
            table,
            "external offset beyond the file",
            Corrupted,
            &[MODEL, "words", FILE, "which has 12864"],
            entries,
        );
    }
    table.graph_files("external file cut off", Corrupted, &[MODEL, "words", FILE, "which has 100"], |folder| {
        write(folder, &[("location", FILE), ("offset", "64")]);
        fs::write(folder.join(FILE), [0; 100]).unwrap();
    });
    table.graph_files("external file empty", Corrupted, &[MODEL, "words", FILE, "which has 0"], |folder| {
        write(folder, &[("location", FILE)]);
        fs::write(folder.join(FILE), "").unwrap();
    });
    for length in ["12799", "0", "1099511627776"] {
        let entries: [(&str, &str); 2] = [("location", FILE), ("length", length)];
        let word = format!("has {length} bytes of external data");
        table.graph_files(
            "external length that the shape contradicts",
            Corrupted,
            &[MODEL, "words", &word],
            move |folder| {
                Foreign::states().with_external(folder, &entries).write(&folder.join(MODEL));
            },
        );
    }
    for dims in [vec![1 << 38], vec![1 << 20, 1 << 20]] {
        table.graph_files(
            "external tensor greater than its file",
            Corrupted,
            &[MODEL, "words", "which has"],
            |folder| {
                let mut graph = Foreign::states().with_external(folder, &[("location", FILE)]);
                graph.initializers[0].dims = dims;
                graph.write(&folder.join(MODEL));
            },
        );
    }
}

fn entries(table: &mut Table) {
    external(table, "external data without a file", Corrupted, &[MODEL, "words", "not in which"], &[("offset", "0")]);
    external(table, "external data without a file", Corrupted, &[MODEL, "words", "not in which"], &[]);
    let odd: [Entries; 7] = [
        &[("location", FILE), ("offset", "-1")],
        &[("location", FILE), ("offset", "+64")],
        &[("location", FILE), ("offset", " 64")],
        &[("location", FILE), ("offset", "0x40")],
        &[("location", FILE), ("offset", "")],
        &[("location", FILE), ("length", "1e4")],
        &[("location", FILE), ("length", "٣")],
    ];
    for entries in odd {
        external(table, "external number that is none", Corrupted, &[MODEL, "words", "no number"], entries);
    }
    let huge: Entries = &[("location", FILE), ("offset", "99999999999999999999")];
    external(table, "external number beyond any file", Corrupted, &[MODEL, "words", "beyond any file"], huge);
    for entries in [
        &[("location", FILE), ("location", "other.bin")] as Entries,
        &[("location", FILE), ("offset", "0"), ("offset", "64")],
    ] {
        external(table, "external entry twice", Corrupted, &[MODEL, "words", "twice"], entries);
    }
    external(table, "graph names itself", Corrupted, &[MODEL, "words", "the graph itself"], &[("location", MODEL)]);
}

fn values(table: &mut Table) {
    table.graph_files("NaN in an external file", Corrupted, &[MODEL, "words", FILE, "NaN at position 2"], |folder| {
        write(folder, &[("location", FILE), ("offset", "64")]);
        let mut values = fs::read(folder.join(FILE)).unwrap();
        values[72..76].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(folder.join(FILE), values).unwrap();
    });
    for offset in ["60", "0"] {
        table.graph_files("external tensors that overlap", Corrupted, &[MODEL, FILE, "overlaps"], move |folder| {
            let mut graph = Foreign::states().with_external(folder, &[("location", FILE), ("offset", "64")]);
            let entries = [("location", FILE), ("offset", offset)];
            let more = entries.iter().flat_map(|(key, value)| bytes(13, [bytes(1, key), bytes(2, value)].concat()));
            let more = more.chain(int(14, 1)).collect();
            graph.initializers.push(Tensor { raw: None, more, ..Tensor::new("other", &[20], F32, vec![]) });
            graph.write(&folder.join(MODEL));
        });
    }
}
