//! Valid files, damaged at random places a few thousand times with a given seed: each is read or refused, nothing panics,
//! nothing is left behind. What `fuzz/` searches for hours, in seconds and on every run.

use std::fs;

use berth_export::{ExportOptions, export, inspect_graph_bytes};

use crate::foreign::{Foreign, bytes, int};
use crate::memory;
use crate::synthetic::Checkpoint;

/// No file here has more than 20 KB: a reader that holds more than this believes a declaration.
const MOST_MEMORY: isize = 16 << 20;

/// A splitmix64 sequence (Steele, Lea and Flood 2014).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % below.max(1) as u64) as usize
    }

    /// Damages a file in one to four places, most of them among the first `dense` bytes, where the structure is.
    fn damage(&mut self, file: &mut Vec<u8>, dense: usize) {
        for _ in 0..=self.throw(4) {
            let reach = if self.throw(4) == 0 { file.len() } else { dense.min(file.len()) };
            let at = self.throw(reach);
            let end = (at + 1 + self.throw(16)).min(file.len());
            match self.throw(9) {
                0 if at < file.len() => file[at] ^= 1 << self.throw(8),
                1 if at < file.len() => file[at] = self.throw(256) as u8,
                2 if at < file.len() => file[at] = [0, 0x7f, 0x80, 0xff, b'9', b'"', b'{', b'-'][self.throw(8)],
                3 => file.insert(at, self.throw(256) as u8),
                4 => drop(file.drain(at.min(end)..end)),
                5 => file.truncate(at),
                6 => {
                    let again = file[at.min(end)..end].to_vec();
                    file.splice(at..at, again);
                }
                7 => {
                    let (other, length) = (self.throw(file.len()), end - at.min(end));
                    let piece = file[other.min(file.len())..(other + length).min(file.len())].to_vec();
                    file.splice(at.min(end)..end, piece);
                }
                _ => {
                    let number = [0, 1, u64::MAX, 1 << 31, 1 << 40, 1 << 63][self.throw(6)];
                    let number =
                        if self.throw(2) == 0 { number.to_le_bytes().to_vec() } else { crate::foreign::varint(number) };
                    file.splice(at.min(end)..end, number);
                }
            }
        }
    }
}

fn bounded<T>(seed: u64, round: usize, read: impl FnOnce() -> T) -> T {
    let (done, peak) = memory::peak(read);
    assert!(peak < MOST_MEMORY, "seed {seed}, round {round}: {peak} bytes were held");
    done
}

#[test]
fn damaged_graphs_are_read_or_refused() {
    let mut with_branch = Foreign::sentence();
    let branch = [bytes(1, with_branch.nodes[0].bytes()), bytes(12, bytes(1, "states"))].concat();
    with_branch.nodes[0].attributes.push([bytes(1, "then_branch"), bytes(6, branch), int(20, 5)].concat());
    // Fewer values, so that more of the damage meets structure.
    let small = |mut graph: Foreign| {
        graph.initializers[0].dims = vec![1, 32];
        graph.initializers[0].raw.as_mut().unwrap().truncate(128);
        graph.bytes()
    };
    let wholes = [small(Foreign::states()), small(Foreign::sentence()), small(with_branch)];
    let seed = 7;
    let mut dice = Dice(seed);
    let mut accepted = 0;
    let rounds = 6_000;
    for round in 0..rounds {
        let mut graph = wholes[round % wholes.len()].clone();
        dice.damage(&mut graph, usize::MAX);
        if let Ok(description) = bounded(seed, round, || inspect_graph_bytes(&graph)) {
            accepted += 1;
            let role = &description.role;
            assert!(description.outputs.iter().any(|output| output.name == role.output), "round {round}: {role:?}");
        }
    }
    assert!(
        (10..rounds / 2).contains(&accepted),
        "{accepted} of {rounds} were accepted: the damage is of the wrong size"
    );
}

#[test]
fn damaged_checkpoints_are_exported_or_refused() {
    let tiny = Checkpoint::tiny();
    let folder = tiny.write();
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let tokenizer =
        br#"{"added_tokens":[{"id":3,"content":"[SEP]"}],"model":{"type":"WordPiece","vocab":{"a":0,"b":1}}}"#;
    let index = br#"{"metadata":{},"weight_map":{"embeddings.LayerNorm.bias":"part.safetensors"}}"#;
    let wholes = [
        ("config.json", read("config.json")),
        ("model.safetensors", read("model.safetensors")),
        ("tokenizer.json", tokenizer.to_vec()),
        ("model.safetensors.index.json", index.to_vec()),
    ];
    let header = u64::from_le_bytes(wholes[1].1[..8].try_into().unwrap()) as usize;
    let out = folder.path().join("out.onnx");
    let seed = 11;
    let mut dice = Dice(seed);
    let mut accepted = 0;
    let rounds = 800;
    for round in 0..rounds {
        tiny.write_to(folder.path());
        let (name, whole) = &wholes[round % wholes.len()];
        let mut file = whole.clone();
        dice.damage(&mut file, header);
        if name.contains("index") {
            fs::rename(folder.path().join("model.safetensors"), folder.path().join("part.safetensors")).unwrap();
        }
        fs::write(folder.path().join(name), file).unwrap();
        let exported = bounded(seed, round, || export(folder.path(), &ExportOptions::default(), &out));
        assert_eq!(exported.is_ok(), out.exists(), "seed {seed}, round {round}");
        if exported.is_ok() {
            accepted += 1;
            fs::remove_file(&out).unwrap();
        }
        for name in ["tokenizer.json", "model.safetensors.index.json"] {
            // Most rounds have none.
            let _ = fs::remove_file(folder.path().join(name));
        }
    }
    assert!(
        (10..rounds / 2).contains(&accepted),
        "{accepted} of {rounds} were accepted: the damage is of the wrong size"
    );
}
