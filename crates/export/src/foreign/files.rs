//! Which graphs a folder has, and what the card says of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use berth_types::{Precision, ReadyMade};

use super::inspect::{GraphDescription, inspect_graph};
use crate::Error;
use crate::door::check_vocabulary;
use crate::paths::inside;

/// Folders in which exporters put graphs, and a sentence encoder's folder of the transformer.
const FOLDERS: [&str; 3] = ["onnx/", "", "0_Transformer/"];
/// Names of graphs, and the precision that a name promises. Of several of one precision the first is taken. The names
/// are those of optimum, transformers.js, sentence-transformers (`model_qint8_…`) and fastembed (`model_optimized`).
const NAMES: [(&str, Precision); 20] = [
    ("model", Precision::Fp32),
    ("model_optimized", Precision::Fp32),
    ("model_O3", Precision::Fp32),
    ("model_O2", Precision::Fp32),
    ("model_O1", Precision::Fp32),
    (NATIVE[0], Precision::Int8),
    (NATIVE[1], Precision::Int8),
    ("model_int8", Precision::Int8),
    ("model_quantized", Precision::Int8),
    ("model_optimized_quantized", Precision::Int8),
    (NATIVE[2], Precision::Int8),
    ("model_uint8", Precision::Int8),
    ("model_static", Precision::Int8Static),
    ("model_q8", Precision::Q8),
    ("model_q4", Precision::Q4),
    ("model_bnb4", Precision::Q4),
    ("model_q4f16", Precision::Q4),
    ("model_fp16", Precision::Fp16),
    ("model_float16", Precision::Fp16),
    ("model_O4", Precision::Fp16),
];
/// Quantised for the instructions of this processor.
#[cfg(target_arch = "aarch64")]
const NATIVE: [&str; 3] = ["model_qint8_arm64", "model_arm64", "model_int8_arm64"];
/// Quantised for the instructions of this processor.
#[cfg(not(target_arch = "aarch64"))]
const NATIVE: [&str; 3] = ["model_qint8_avx512_vnni", "model_qint8_avx512", "model_quint8_avx2"];

/// A graph file of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyGraph {
    /// Path inside the folder, with `/`.
    pub file: String,
    /// What its name promises. What it is, [`inspect_graph`] says.
    pub precision: Precision,
}

/// Lists the graphs of a folder by their names, the preferred of each precision first.
///
/// A folder without any known name but with one graph has that one, as 32-bit floats.
pub fn find_graphs(folder: &Path) -> Vec<ReadyGraph> {
    let mut found = Vec::new();
    for (name, precision) in NAMES {
        for within in FOLDERS {
            let file = format!("{within}{name}.onnx");
            if folder.join(&file).is_file() {
                found.push(ReadyGraph { file, precision });
            }
        }
    }
    if found.is_empty() {
        let mut any: Vec<String> = FOLDERS.iter().flat_map(|within| graphs_in(folder, within)).collect();
        if any.len() == 1 {
            found.extend(any.pop().map(|file| ReadyGraph { file, precision: Precision::Fp32 }));
        }
    }
    found
}

fn graphs_in(folder: &Path, within: &str) -> Vec<String> {
    let entries = fs::read_dir(folder.join(within)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let graphs = names.filter(|name| name.strip_suffix(".onnx").is_some() && !name.starts_with('.'));
    graphs.map(|name| format!("{within}{name}")).collect()
}

/// Inspects the graphs of a folder and says what the card has to know of them: one graph for each precision, by what
/// the graphs are and not by what they are called.
///
/// # Errors
/// As [`inspect_graph`]; `GraphFileMissing` when the folder has no graph, `GraphInterface` when two of its graphs take or
/// give different things, `TokenBeyondTable` when the folder's vocabulary is larger than a graph's.
pub fn ready_made(folder: &Path) -> Result<ReadyMade, Error> {
    let found = find_graphs(folder);
    if found.is_empty() {
        return Err(Error::GraphFileMissing { path: folder.join("onnx/model.onnx") });
    }
    let files: Vec<String> = found.into_iter().map(|graph| graph.file).collect();
    ready_made_of(folder, &files)
}

/// As [`ready_made`], of the graphs that are named: paths inside the folder with `/`. Of two of one precision the first
/// is taken.
///
/// # Errors
/// As [`ready_made`]; `PathOutside` for a name that leads elsewhere.
pub fn ready_made_of(folder: &Path, files: &[String]) -> Result<ReadyMade, Error> {
    let mut made: Option<ReadyMade> = None;
    for file in files {
        let path = inside(folder, file)?;
        let description = inspect_graph(&path)?;
        let one = card(file, &description);
        let Some(all) = &mut made else {
            if let Some(rows) = description.vocabulary {
                check_vocabulary(folder, usize::try_from(rows).unwrap_or(usize::MAX))?;
            }
            made = Some(one);
            continue;
        };
        if all.graphs.contains_key(&description.precision) {
            continue;
        }
        let same = (&all.inputs, &all.output, all.head, all.rank) == (&one.inputs, &one.output, one.head, one.rank);
        if !same {
            let others = all.graphs.values().cloned().collect::<Vec<_>>().join(", ");
            let problem = format!("its inputs or outputs differ from those of {others}; keep one of them");
            return Err(Error::GraphInterface { path, problem });
        }
        all.graphs.extend(one.graphs);
        all.external.extend(one.external);
    }
    let mut made = made.ok_or_else(|| Error::GraphFileMissing { path: folder.to_owned() })?;
    made.external.sort_unstable();
    made.external.dedup();
    Ok(made)
}

fn card(file: &str, description: &GraphDescription) -> ReadyMade {
    let within = file.rsplit_once('/').map_or_else(String::new, |(folder, _)| format!("{folder}/"));
    let external = description.external_files.iter().map(|file| format!("{within}{}", file.location));
    let inputs = description.inputs.iter().map(|(value, meaning)| (value.name.clone(), *meaning));
    ReadyMade {
        output: description.role.output.clone(),
        head: description.role.head,
        rank: description.role.rank,
        width: description.role.width,
        external: external.collect(),
        graphs: BTreeMap::from([(description.precision, file.to_owned())]),
        inputs: inputs.collect(),
    }
}
