//! One file a command: reads its options, calls the pipeline, shows the result.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod get;
pub(crate) mod index;
pub(crate) mod model;
pub(crate) mod search;
pub(crate) mod status;
pub(crate) mod verify;
