//! Which execution provider ONNX Runtime gave each node, read back after a graph was opened: a provider that does not
//! take a node leaves it to the processor without a word.

mod shapes;

use std::ffi::{CStr, c_char};
use std::ptr;
use std::slice;

use ort::AsPointer;
use ort::session::Session;
use ort::sys;

use self::shapes::{names, nodes_of_shapes};

/// Tells ONNX Runtime to keep the account that is read here.
pub(crate) const RECORD: &str = "session.record_ep_graph_assignment_info";

/// Operators of nodes that ONNX Runtime adds to a graph: they move, convert or rename.
const ADDED: [&str; 4] = ["Cast", "Identity", "MemcpyFromHost", "MemcpyToHost"];

/// A node and where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) provider: String,
    pub(crate) name: String,
    pub(crate) operator: String,
}

/// The first node that does the work of the model elsewhere than on `provider`. `model` is the graph's file.
///
/// The arithmetic of shapes may stay on the processor, where ONNX Runtime puts it on purpose: nodes that read only shapes
/// and small constants, whatever their operator. All others do the work of the model.
pub(crate) fn stray<'a>(nodes: &'a [Placed], provider: &str, model: &[u8]) -> Option<&'a Placed> {
    let mut elsewhere = nodes.iter().filter(|node| node.provider != provider).peekable();
    elsewhere.peek()?;
    let of_shapes = nodes_of_shapes(model);
    let named = names(model);
    elsewhere.find(|node| {
        let is_added = ADDED.contains(&node.operator.as_str()) && !named.contains(&node.name);
        !is_added && !of_shapes.contains(&(node.name.clone(), node.operator.clone()))
    })
}

/// Reads where the nodes of `session` run; it was opened with [`RECORD`].
///
/// # Errors
/// What ONNX Runtime says.
pub(crate) fn read(session: &Session) -> ort::Result<Vec<Placed>> {
    let api = ort::api();
    let mut placed = Vec::new();
    // SAFETY: the session is alive and outlives all that the calls return, which belongs to it. Each call fills its two
    // places with a list of pointers and the list's length, and each pointer is handed back to the call made for it.
    unsafe {
        let subgraphs = list(|first, count| (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), first, count))?;
        for &subgraph in subgraphs {
            let provider = text(|place| (api.EpAssignedSubgraph_GetEpName)(subgraph, place))?;
            let nodes: &[*const sys::OrtEpAssignedNode] =
                list(|first, count| (api.EpAssignedSubgraph_GetNodes)(subgraph, first, count))?;
            for &node in nodes {
                placed.push(Placed {
                    provider: provider.clone(),
                    name: text(|place| (api.EpAssignedNode_GetName)(node, place))?,
                    operator: text(|place| (api.EpAssignedNode_GetOperatorType)(node, place))?,
                });
            }
        }
    }
    Ok(placed)
}

/// # Safety
/// `call` fills its places with a list that lives for `'a`, and its length.
unsafe fn list<'a, T>(
    call: impl FnOnce(*mut *const *const T, *mut usize) -> sys::OrtStatusPtr,
) -> ort::Result<&'a [*const T]> {
    let (mut first, mut count) = (ptr::null(), 0);
    let status = call(&raw mut first, &raw mut count);
    // SAFETY: the status comes from the call and is not used again.
    unsafe { ort::Error::result_from_status(status) }?;
    if first.is_null() || count == 0 {
        return Ok(&[]);
    }
    // SAFETY: by what the caller vouches for.
    Ok(unsafe { slice::from_raw_parts(first, count) })
}

/// # Safety
/// `call` fills its place with null or a C string that is alive until it was copied here.
unsafe fn text(call: impl FnOnce(*mut *const c_char) -> sys::OrtStatusPtr) -> ort::Result<String> {
    let mut first = ptr::null();
    let status = call(&raw mut first);
    // SAFETY: the status comes from the call and is not used again.
    unsafe { ort::Error::result_from_status(status) }?;
    if first.is_null() {
        return Ok(String::new());
    }
    // SAFETY: by what the caller vouches for.
    Ok(unsafe { CStr::from_ptr(first) }.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_strayed_is_found_and_shapes_may_stay() {
        let node = |provider: &str, name: &str, operator: &str| Placed {
            provider: provider.to_owned(),
            name: name.to_owned(),
            operator: operator.to_owned(),
        };
        let (gpu, cpu) = ("CUDAExecutionProvider", "CPUExecutionProvider");
        let model = shapes::tests::model();
        let stray = |nodes: &[Placed]| stray(nodes, gpu, &model).map(|node| node.name.clone());
        let mut nodes = vec![
            node(gpu, "words", "Gather"),
            node(cpu, "shape", "Shape"),
            node(cpu, "length", "Gather"),
            node(cpu, "longer", "Add"),
            node(cpu, "Memcpy_token_1", "MemcpyToHost"),
        ];
        assert_eq!(stray(&nodes), None);
        // Words that are looked up on the processor do the model's work, and so does what they are divided by.
        for (name, operator) in [("words", "Gather"), ("scaled", "Div"), ("unheard of", "QAttention")] {
            nodes.push(node(cpu, name, operator));
            assert_eq!(stray(&nodes).as_deref(), Some(name));
            nodes.pop();
        }
        assert_eq!(super::stray(&nodes, cpu, &model).unwrap().name, "words");
    }
}
