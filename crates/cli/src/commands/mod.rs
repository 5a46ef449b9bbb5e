//! One file a command: reads its options, calls the pipeline, shows the result.

pub(crate) mod attention;
pub(crate) mod bench;
pub(crate) mod classify;
pub(crate) mod compact;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod embed;
pub(crate) mod entities;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod fill_mask;
pub(crate) mod get;
pub(crate) mod index;
pub(crate) mod migrate;
pub(crate) mod model;
pub(crate) mod plan;
pub(crate) mod purge;
pub(crate) mod rerank;
pub(crate) mod search;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod texts;
pub(crate) mod tokens;
pub(crate) mod verify;
pub(crate) mod watch;
pub(crate) mod weights;
