//! The dense half: immutable segments of rows, tombstones beside them, and the exact scan.

mod dot;
mod row_set;
mod scan;
mod segment;
mod store;
mod tombstones;

pub(crate) use row_set::RowSet;
pub(crate) use scan::{late_scores, nearest, scores, vectors_of};
pub(crate) use segment::RowLabel;
pub(crate) use store::{DenseStore, LiveSegment, open_segments};
