//! One table of everything that can be wrong with a model's files. Each case is refused by name, at once and cheaply: the
//! message says which file and what, nothing panics, no file appears, and no memory is taken that only a declaration asks
//! for.

mod config;
mod container;
mod external;
mod graph;
mod graph_names;
mod shards;
mod tokenizer;
mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use berth_export::{Error, ExportOptions, export, inspect_graph};
use berth_types::ErrorKind;

use crate::foreign::Foreign;
use crate::memory;
use crate::synthetic::Checkpoint;

/// What a refusal may hold at its peak: the largest small file that is read whole is 17 MB of JSON here.
const MOST_MEMORY: isize = 256 << 20;

/// Which reader the files are given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Checkpoint,
    Graph,
}

type Prepare = Box<dyn FnOnce(&Path)>;

/// One case: files, and what has to be said of them.
pub(crate) struct Case {
    fault: &'static str,
    door: Door,
    kind: ErrorKind,
    words: Vec<String>,
    prepare: Prepare,
}

/// All cases. Cases of one fault are mutations of it and count as one.
#[derive(Default)]
pub(crate) struct Table {
    cases: Vec<Case>,
}

impl Table {
    fn push(&mut self, door: Door, fault: &'static str, kind: ErrorKind, words: &[&str], prepare: Prepare) {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        self.cases.push(Case { fault, door, kind, words, prepare });
    }

    /// A tiny checkpoint, changed before it is written.
    pub(crate) fn checkpoint(
        &mut self,
        fault: &'static str,
        words: &[&str],
        change: impl FnOnce(&mut Checkpoint) + 'static,
    ) {
        self.folder(fault, ErrorKind::Corrupted, words, |folder| {
            let mut checkpoint = Checkpoint::tiny();
            change(&mut checkpoint);
            checkpoint.write_to(folder);
        });
    }

    /// A tiny checkpoint, its files changed after they were written.
    pub(crate) fn files(
        &mut self,
        fault: &'static str,
        kind: ErrorKind,
        words: &[&str],
        change: impl FnOnce(&Path) + 'static,
    ) {
        self.folder(fault, kind, words, |folder| {
            Checkpoint::tiny().write_to(folder);
            change(folder);
        });
    }

    fn folder(&mut self, fault: &'static str, kind: ErrorKind, words: &[&str], prepare: impl FnOnce(&Path) + 'static) {
        self.push(Door::Checkpoint, fault, kind, words, Box::new(prepare));
    }

    /// A small graph, changed before it is written to `model.onnx`.
    pub(crate) fn graph(&mut self, fault: &'static str, words: &[&str], change: impl FnOnce(&mut Foreign) + 'static) {
        self.graph_of(fault, ErrorKind::Corrupted, words, change);
    }

    /// The same, for what is intact and not supported.
    pub(crate) fn unsupported(
        &mut self,
        fault: &'static str,
        words: &[&str],
        change: impl FnOnce(&mut Foreign) + 'static,
    ) {
        self.graph_of(fault, ErrorKind::InvalidInput, words, change);
    }

    fn graph_of(
        &mut self,
        fault: &'static str,
        kind: ErrorKind,
        words: &[&str],
        change: impl FnOnce(&mut Foreign) + 'static,
    ) {
        self.graph_files(fault, kind, words, |folder| {
            let mut graph = Foreign::states();
            change(&mut graph);
            graph.write(&folder.join("model.onnx"));
        });
    }

    /// A folder in which `model.onnx` is looked for.
    pub(crate) fn graph_files(
        &mut self,
        fault: &'static str,
        kind: ErrorKind,
        words: &[&str],
        prepare: impl FnOnce(&Path) + 'static,
    ) {
        self.push(Door::Graph, fault, kind, words, Box::new(prepare));
    }

    /// The bytes of `model.onnx`.
    pub(crate) fn graph_bytes(&mut self, fault: &'static str, words: &[&str], bytes: Vec<u8>) {
        self.graph_files(fault, ErrorKind::Corrupted, words, move |folder| {
            fs::write(folder.join("model.onnx"), bytes).unwrap();
        });
    }
}

#[test]
fn every_fault_is_refused_by_name() {
    let mut table = Table::default();
    container::add(&mut table);
    shards::add(&mut table);
    config::add(&mut table);
    tokenizer::add(&mut table);
    wire::add(&mut table);
    graph::add(&mut table);
    graph_names::add(&mut table);
    external::add(&mut table);

    let mut cases_by_fault: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut largest_peak = 0;
    for (number, case) in table.cases.into_iter().enumerate() {
        *cases_by_fault.entry(case.fault).or_default() += 1;
        let fault = case.fault;
        match run(case) {
            Ok(peak) => largest_peak = largest_peak.max(peak),
            Err(failure) => failures.push(format!("case {number}, {fault}: {failure}")),
        }
    }
    let cases: usize = cases_by_fault.values().sum();
    let faults = cases_by_fault.len();
    summary(faults, cases, largest_peak, &cases_by_fault);
    assert!(failures.is_empty(), "{} of {cases} cases:\n{}", failures.len(), failures.join("\n"));
    assert!(faults >= 30 && cases >= 200, "the table has shrunk: {faults} faults, {cases} cases");
}

#[expect(clippy::print_stdout, reason = "the table says what it tried")]
fn summary(faults: usize, cases: usize, peak: isize, cases_by_fault: &BTreeMap<&str, usize>) {
    for (fault, cases) in cases_by_fault {
        println!("{cases:>4}  {fault}");
    }
    println!("{faults} distinct faults, {cases} cases, at most {} KiB held", peak / 1024);
}

/// Runs a case and returns the memory at its peak, or what was not as it should be.
fn run(case: Case) -> Result<isize, String> {
    let around = tempfile::tempdir().unwrap();
    let folder = around.path().join("model");
    fs::create_dir(&folder).unwrap();
    (case.prepare)(&folder);
    let before = files_in(around.path());
    let read = || match case.door {
        Door::Checkpoint => export(&folder, &ExportOptions::default(), &around.path().join("out.onnx")).map(|_| ()),
        Door::Graph => inspect_graph(&folder.join("model.onnx")).map(|_| ()),
    };
    let (outcome, peak) = memory::peak(|| catch_unwind(AssertUnwindSafe(read)));
    let error: Error = match outcome {
        Ok(Err(error)) => error,
        Ok(Ok(())) => return Err(format!("was accepted; expected {:?}", case.words)),
        Err(_) => return Err("panicked".to_owned()),
    };
    let message = error.to_string();
    if let Some(word) = case.words.iter().find(|word| !message.contains(*word)) {
        return Err(format!("{message:?} does not say {word:?}"));
    }
    if error.kind() != case.kind {
        return Err(format!("{message:?} is {:?}, not {:?}", error.kind(), case.kind));
    }
    if files_in(around.path()) != before {
        return Err(format!("{message:?}: a file was left behind"));
    }
    if peak > MOST_MEMORY {
        return Err(format!("{message:?}: {peak} bytes were held"));
    }
    Ok(peak)
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            files.extend(files_in(&path));
        }
        files.push(path);
    }
    files.sort_unstable();
    files
}
