//! Reads what a foreign graph is, and refuses what ONNX Runtime should not be shown.

use std::collections::BTreeMap;
use std::path::Path;

use berth_types::{InputMeaning, Precision};

use super::ElementType;
use super::check::{self, Facts};
use super::external::{self, ExternalFile};
use super::role::{self, GraphRole, GraphValue};
use super::schema;
use super::wire::Budget;
use crate::door::LFS_POINTER;
use crate::{Error, paths};

/// Bytes that one protobuf message may have.
const LARGEST_GRAPH: u64 = (1 << 31) - 1;

/// What a graph file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphDescription {
    /// Version of the file format.
    pub ir_version: i64,
    /// The program that wrote the file, with its version.
    pub producer: String,
    /// Versions of the operator sets, by domain; the standard's is empty.
    pub opsets: BTreeMap<String, i64>,
    /// Nodes by operator, with the domain before a colon where it is not the standard's.
    pub operators: BTreeMap<String, usize>,
    /// Values of weights by type.
    pub weights: BTreeMap<ElementType, u64>,
    /// Inputs that have to be filled, each with its meaning.
    pub inputs: Vec<(GraphValue, InputMeaning)>,
    /// All outputs.
    pub outputs: Vec<GraphValue>,
    /// The output that is read, and what it is.
    pub role: GraphRole,
    /// The arithmetic of the matrix products, from operators and weights.
    pub precision: Precision,
    /// Rows of the largest table from which rows are gathered: token ids that exist.
    pub vocabulary: Option<u64>,
    /// Files in which weights lie.
    pub external_files: Vec<ExternalFile>,
    /// Length of the file.
    pub bytes: u64,
}

/// Reads and checks the graph at `path` and the files of weights that it names.
///
/// The file is mapped, never loaded; what is kept of it is bounded by a fixed number of parts. Everything that the graph
/// declares is compared with what is there, so that a graph that passes holds no surprise of size, path or name. Whether
/// its operators are used rightly is left to the runtime.
///
/// # Errors
/// Which file is wrong and what about it: `GraphDamaged` for broken bytes, `GraphTensor`, `GraphNode` and
/// `GraphInterface` for contradictions, `GraphUnsupported` for what is not run, `PathOutside` for weights elsewhere,
/// `GraphFileMissing` and `Read`.
pub fn inspect_graph(path: &Path) -> Result<GraphDescription, Error> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let path = &paths::inside(folder, name)?;
    let file = external::open(path)?;
    let bytes = file.len() as u64;
    if bytes > LARGEST_GRAPH {
        return Err(Error::TooLarge { path: path.clone(), bytes, limit: LARGEST_GRAPH });
    }
    describe(path, &file, |tensors| external::check(path, folder, tensors))
}

/// Reads a graph from memory; one that names other files is refused, since there is no folder for them.
///
/// # Errors
/// As [`inspect_graph`].
pub fn inspect_graph_bytes(bytes: &[u8]) -> Result<GraphDescription, Error> {
    let path = Path::new("graph in memory");
    describe(path, bytes, |tensors| match tensors.first() {
        None => Ok(Vec::new()),
        Some((tensor, ..)) => Err(Error::GraphTensor {
            path: path.to_owned(),
            tensor: tensor.clone(),
            problem: "lies in another file, and a graph in memory has none beside it".to_owned(),
        }),
    })
}

fn describe(
    path: &Path,
    bytes: &[u8],
    check_external: impl FnOnce(&[(String, ElementType, external::External)]) -> Result<Vec<ExternalFile>, Error>,
) -> Result<GraphDescription, Error> {
    let damaged = |at: usize, problem: String| Error::GraphDamaged { path: path.to_owned(), at, problem };
    if bytes.starts_with(LFS_POINTER) {
        return Err(Error::Pointer { path: path.to_owned() });
    }
    let model = schema::model(bytes, &Budget::new()).map_err(|fault| damaged(fault.at, fault.problem))?;
    let graph = model.graph.as_ref().ok_or_else(|| damaged(bytes.len(), "it holds no graph".to_owned()))?;
    let facts = check::check(path, &model, graph)?;
    let external_files = check_external(&facts.external)?;
    let inputs = role::inputs(path, graph)?;
    let outputs = role::outputs(path, graph)?;
    let role = role::role(path, &outputs, facts.vocabulary)?;
    Ok(GraphDescription {
        ir_version: model.ir_version.unwrap_or_default(),
        producer: format!("{} {}", model.producer, model.producer_version).trim().to_owned(),
        opsets: model.opsets.iter().map(|&(domain, version)| (domain.to_owned(), version)).collect(),
        precision: precision(&facts),
        operators: facts.operators,
        weights: facts.weights,
        inputs,
        outputs,
        role,
        vocabulary: facts.vocabulary,
        external_files,
        bytes: bytes.len() as u64,
    })
}

fn precision(facts: &Facts) -> Precision {
    const DYNAMIC: [&str; 4] =
        ["DynamicQuantizeLinear", "MatMulInteger", "com.microsoft:DynamicQuantizeMatMul", "com.microsoft:QAttention"];
    const STATIC: [&str; 3] = ["QLinearMatMul", "QuantizeLinear", "com.microsoft:QGemm"];
    let uses = |operators: &[&str]| operators.iter().any(|operator| facts.operators.contains_key(*operator));
    let values = |element| facts.weights.get(&element).copied().unwrap_or_default();
    match facts.block_bits {
        Some(8) => Precision::Q8,
        Some(_) => Precision::Q4,
        None if uses(&DYNAMIC) => Precision::Int8,
        None if uses(&STATIC) => Precision::Int8Static,
        None if values(ElementType::F16) > values(ElementType::F32) => Precision::Fp16,
        None => Precision::Fp32,
    }
}
