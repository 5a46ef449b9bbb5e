//! Serves indexes and models over gRPC and HTTP, with a page for people.
//!
//! The only crate that knows the service's wire shapes. `engine` answers, whatever protocol a request came by; `grpc`, `http`
//! and `mcp` translate; `access` knows who asks; `net` listens.

#[allow(dead_code)]
mod access;
#[allow(dead_code)]
mod engine;
#[allow(dead_code)]
mod failure;
#[allow(dead_code)]
mod metrics;
mod options;

pub use options::{CollectionPlace, Limits, ServerOptions, TlsFiles};
