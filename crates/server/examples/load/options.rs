//! What can be said on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hyper::Uri;
use serde::Serialize;
use tokio::net::lookup_host;

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// HTTP/1.1, a kept connection for each client.
    Http,
    /// gRPC, many clients on a connection.
    Grpc,
}

/// What requests ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// Answers of a collection: `/search` or `SearchService`.
    Search,
    /// Vectors: `/embed` or `ModelService`.
    Embed,
    /// Vectors by `/v1/embeddings`; over HTTP alone.
    Openai,
    /// Whether the server lives: what an answer takes that needs no work.
    Health,
}

/// What harm is tried. It is bounded by the number of clients, the rate and the time, and goes to this machine alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Attack {
    /// Connections that send a byte of a header a second.
    Slowloris,
    /// HTTP/2 streams that are reset as soon as they are opened.
    RapidReset,
    /// Headers far above the limit: at once, and over HTTP/2 in frames that never end.
    Headers,
    /// Bodies far above the limit.
    Body,
    /// JSON that is nested deeply.
    DeepJson,
}

/// Puts load on a server and measures its answers.
#[derive(Debug, Clone, Parser)]
#[command(name = "load")]
pub(crate) struct Options {
    /// The server, such as <http://127.0.0.1:7878>.
    #[arg(long)]
    pub(crate) url: Uri,
    /// How requests travel.
    #[arg(long, value_enum, default_value = "http")]
    pub(crate) protocol: Protocol,
    /// What requests ask for.
    #[arg(long, value_enum, default_value = "search")]
    pub(crate) what: What,
    /// Clients: each sends its next request when its last one is answered. With a rate: most connections of HTTP. With an
    /// attack: connections.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) clients: u32,
    /// Requests a second, at times that do not wait for answers; latencies count from these times.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) warmup: f64,
    /// JSONL with `text`, and `title` where there is one, or plain lines; asked one after the other, again and again.
    #[arg(long)]
    pub(crate) texts: Option<PathBuf>,
    /// Texts in a request for vectors.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2048))]
    pub(crate) inputs: u32,
    /// Most hits of a search.
    #[arg(long, default_value_t = 10)]
    pub(crate) k: u32,
    /// Collection of a search; may be left out where the server has one.
    #[arg(long, default_value = "")]
    pub(crate) collection: String,
    /// Model of a request for vectors; the server's own where it is left out.
    #[arg(long, default_value = "")]
    pub(crate) model: String,
    /// Path for `openai`, where another server has another.
    #[arg(long, default_value = "/v1/embeddings")]
    pub(crate) path: String,
    /// API key.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Connections of gRPC [default: one for each 64 clients].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) connections: Option<u32>,
    /// Ask again at once after a rejection, instead of when the server says.
    #[arg(long)]
    pub(crate) impatient: bool,
    /// Milliseconds between an answer and the next request of a client.
    #[arg(long, default_value_t = 0)]
    pub(crate) pause: u64,
    /// Do harm instead.
    #[arg(long, value_enum)]
    pub(crate) attack: Option<Attack>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// Host and port as the server is called.
    pub(crate) fn authority(&self) -> Result<String, String> {
        let host = self.url.host().ok_or_else(|| format!("{} names no host", self.url))?;
        if self.url.scheme_str() != Some("http") {
            return Err(format!("{} does not begin with http://", self.url));
        }
        Ok(format!("{host}:{}", self.url.port_u16().unwrap_or(80)))
    }

    /// Where the server is.
    pub(crate) async fn address(&self) -> Result<SocketAddr, String> {
        let authority = self.authority()?;
        let mut found = lookup_host(&authority).await.map_err(|error| format!("{authority}: {error}"))?;
        found.next().ok_or_else(|| format!("{authority} has no address"))
    }

    /// The time that is measured, and the time before that.
    pub(crate) fn times(&self) -> Result<(Duration, Duration), String> {
        let time = |name, seconds| {
            Duration::try_from_secs_f64(seconds)
                .map_err(|_| format!("--{name} is {seconds}; it is a number of seconds"))
        };
        Ok((time("warmup", self.warmup)?, time("seconds", self.seconds)?))
    }
}
