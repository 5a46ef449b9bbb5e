//! Retrieval collections and metrics.
