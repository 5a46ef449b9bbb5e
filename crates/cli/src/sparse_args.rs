//! Words about learned-sparse vectors.

use clap::Args;

/// Which model makes them.
#[derive(Debug, Args)]
pub(crate) struct SparseArgs {
    /// Installed model whose learned-sparse vectors (SPLADE) make a third list; an index has them for all its chunks or for
    /// none [default: the index's own, else none]
    #[arg(long, visible_alias = "sparse", value_name = "NAME")]
    pub(crate) sparse_model: Option<String>,
}
