//! Graphs that others exported: read with suspicion, described, and never run here.

mod check;
mod element;
mod external;
mod files;
mod growth;
mod inspect;
mod role;
mod schema;
mod tensor;
mod wire;

pub use element::ElementType;
pub use external::ExternalFile;
pub use files::{ReadyGraph, find_graphs, ready_made, ready_made_of};
pub use inspect::{GraphDescription, inspect_graph, inspect_graph_bytes};
pub use role::{GraphRole, GraphValue};
