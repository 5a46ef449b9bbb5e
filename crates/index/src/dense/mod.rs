//! The dense half: immutable segments of rows with tombstones beside them, an exact scan over small ones, a graph over
//! large ones, and scans that look at something smaller first.

mod codes;
mod dot;
mod graph;
mod live;
mod merge;
mod nearest;
mod plain;
mod row_set;
mod scan;
mod segment;
mod sketches;
mod staged;
mod store;
mod tombstones;
mod values;
mod writing;

pub use graph::{GraphBuilder, GraphParameters};
pub(crate) use live::{LiveSegment, open_segments};
pub(crate) use nearest::{Effort, nearest};
pub(crate) use row_set::RowSet;
pub(crate) use scan::{late_scores, scores, vectors_of};
pub(crate) use segment::RowLabel;
pub use store::DenseOptions;
pub(crate) use store::DenseStore;
