//! Which execution provider ONNX Runtime gave each node, read back after a graph was opened: a provider that does not
//! take a node leaves it to the processor without a word.

use std::ffi::{CStr, c_char};
use std::ptr;
use std::slice;

use ort::AsPointer;
use ort::session::Session;
use ort::sys;

/// Tells ONNX Runtime to keep the account that is read here.
pub(crate) const RECORD: &str = "session.record_ep_graph_assignment_info";

/// Operators that compute shapes, choose or rename: they may run on the processor, where ONNX Runtime puts the
/// arithmetic of shapes on purpose. All others do the work of the model.
const LIGHT: [&str; 22] = [
    "Cast",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Div",
    "Equal",
    "Expand",
    "Gather",
    "Identity",
    "MemcpyFromHost",
    "MemcpyToHost",
    "Mod",
    "Range",
    "Reshape",
    "Shape",
    "Size",
    "Slice",
    "Split",
    "Squeeze",
    "Sub",
    "Unsqueeze",
    "Where",
];

/// A node and where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) provider: String,
    pub(crate) name: String,
    pub(crate) operator: String,
}

/// The first node that does the work of the model elsewhere than on `provider`.
pub(crate) fn stray<'a>(nodes: &'a [Placed], provider: &str) -> Option<&'a Placed> {
    nodes.iter().find(|node| node.provider != provider && !LIGHT.contains(&node.operator.as_str()))
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
        let node = |provider: &str, operator: &str| Placed {
            provider: provider.to_owned(),
            name: format!("the {operator}"),
            operator: operator.to_owned(),
        };
        let (gpu, cpu) = ("CUDAExecutionProvider", "CPUExecutionProvider");
        let mut nodes = vec![node(gpu, "MatMul"), node(cpu, "Shape"), node(cpu, "Gather")];
        assert_eq!(stray(&nodes, gpu), None);
        nodes.push(node(cpu, "QAttention"));
        assert_eq!(stray(&nodes, gpu).unwrap().name, "the QAttention");
    }
}
