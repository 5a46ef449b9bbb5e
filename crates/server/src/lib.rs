//! Serves indexes and models over gRPC and HTTP, with a page for people.
//!
//! The only crate that knows the service's wire shapes. `engine` answers, whatever protocol a request came by; `grpc`, `http`
//! and `mcp` translate; `guard` and `access` know who asks; `net` listens; `server` puts it together.

use std::pin::Pin;

mod access;
mod body;
mod engine;
mod failure;
mod grpc;
mod guard;
mod health;
mod http;
mod mcp;
mod metrics;
mod net;
mod options;
mod server;
mod telemetry;
mod watched;

pub use access::keys::{Key, KeyError, NewKey, Scope, add_key, read_keys, revoke_key};
pub use health::is_ready;
pub use mcp::serve_stdio;
pub use net::tls::TlsError;
pub use options::{CollectionPlace, Limits, ServerOptions, TlsFiles};
pub use server::{Handle, ServeError, Server, Signals};
pub use telemetry::{LogFormat, LogOptions, Telemetry, log_line, start_telemetry};

/// What a program waits for. Boxed, so that its code is made in this crate, and not once more in each program that waits.
pub type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;
