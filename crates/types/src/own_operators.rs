//! Which operators of Berth's own a graph is made with.

/// Operators of the domain `berth` in graphs of 8-bit products, beside those of ONNX Runtime.
///
/// Which of them are faster depends on the processor; any processor can run any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnOperators {
    /// None: whatever runs ONNX runs the graph.
    #[default]
    None,
    /// Attention, GELU and residual norms: for processors that multiply in bf16.
    Attention,
    /// These, and products of 8-bit numbers with a scale for each row: for x86 processors without VNNI, where the products
    /// of ONNX Runtime saturate.
    Products,
}

impl OwnOperators {
    /// Whether there are any.
    pub fn any(self) -> bool {
        self != Self::None
    }
}
