//! The words of `berth serve`, `berth mcp`, `berth key` and `berth health`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use berth_server::{CollectionPlace, Limits, LogFormat, LogOptions, Scope};
use berth_types::ByteSize;
use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand};

use crate::args::EncoderArgs;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen, for gRPC and HTTP alike; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7878")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) what: ServedArgs,
    /// File of API keys, made with `berth key create`; without it whoever reaches the server may do everything
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// Serve other machines without API keys
    #[arg(long)]
    pub(crate) open_to_all: bool,
    /// Certificate chain in PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Certificates that sign those of clients; clients without one are turned away
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Let pages of this origin ask from a browser, such as https://intranet.example; '*' is all
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    pub(crate) cors_origin: Vec<String>,
    /// Note every write in this file, a line of JSON each
    #[arg(long, value_name = "FILE")]
    pub(crate) audit: Option<PathBuf>,
    /// Seconds for requests that are under way when the server is asked to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=YEAR_SECONDS))]
    pub(crate) drain: u64,
    /// Keep questions in their index's folder, for `berth queries`
    #[arg(long)]
    pub(crate) log_queries: bool,
    /// Open indexes and models at their first use instead of at the start
    #[arg(long)]
    pub(crate) lazy: bool,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// What is served.
#[derive(Debug, Args)]
pub(crate) struct ServedArgs {
    /// An index to serve, under its folder's name unless one stands before it; several are separated by commas
    #[arg(long, value_name = "[NAME=]DIR", value_delimiter = ',', value_parser = parse_place)]
    pub(crate) index: Vec<CollectionPlace>,
    /// A folder whose folders are indexes, each served under its name; new collections are made there
    #[arg(long, value_name = "DIR")]
    pub(crate) collections: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    /// Most bytes of open models and indexes, by the size of their files; the least recently used are closed
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_budget: Option<ByteSize>,
}

/// What requests may ask for; errors name these limits.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Bytes of a request
    #[arg(long, value_name = "SIZE", default_value = "32MiB")]
    max_message_bytes: ByteSize,
    /// Texts, documents or questions of a request
    #[arg(long, value_name = "N", default_value_t = Limits::default().inputs)]
    max_inputs: usize,
    /// Tokens of all texts of a request
    #[arg(long, value_name = "N", default_value_t = Limits::default().tokens)]
    max_tokens: usize,
    /// Hits of a question, and how deep a reranker may look
    #[arg(long, value_name = "N", default_value_t = Limits::default().k)]
    max_k: usize,
    /// Bytes of a question
    #[arg(long, value_name = "N", default_value_t = Limits::default().query_bytes)]
    max_query_bytes: usize,
    /// Bytes of a filter
    #[arg(long, value_name = "N", default_value_t = Limits::default().filter_bytes)]
    max_filter_bytes: usize,
    /// Bytes of the documents, hits or vectors of an answer
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    max_answer_bytes: ByteSize,
    /// Bytes of all headers of a request
    #[arg(long, value_name = "N", default_value_t = Limits::default().header_bytes)]
    max_header_bytes: u32,
    /// Requests of one connection at the same time
    #[arg(long, value_name = "N", default_value_t = Limits::default().streams, value_parser = clap::value_parser!(u32).range(1..))]
    max_streams: u32,
    /// Connections at the same time; further ones wait
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections)]
    max_connections: usize,
    /// Seconds after which a connection takes no new request [default: none]
    #[arg(long, value_name = "SECONDS", value_parser = seconds())]
    max_connection_age: Option<u64>,
    /// Seconds for a client's handshake, and for its first headers
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().header_timeout.as_secs(), value_parser = seconds())]
    header_timeout: u64,
    /// Seconds in which some of a body has to come
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().body_timeout.as_secs(), value_parser = seconds())]
    body_timeout: u64,
    /// Seconds after which a connection that asks nothing is closed
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().idle_timeout.as_secs(), value_parser = seconds())]
    idle_timeout: u64,
    /// Seconds for an answer; a client may ask for fewer
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().request_timeout.as_secs(), value_parser = seconds())]
    request_timeout: u64,
    /// Requests that may wait for the same model, or for a search
    #[arg(long, value_name = "N", default_value_t = Limits::default().queue)]
    max_queue: usize,
    /// Milliseconds that a request may be expected to wait; one that would wait longer is turned away at once
    #[arg(long, value_name = "MS", default_value_t = Limits::default().wait.as_millis() as u64)]
    max_wait: u64,
    /// Requests a second of a key, or of an address where there are no keys [default: as many as come]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
}

/// Longer is none.
const YEAR_SECONDS: u64 = 365 * 24 * 3600;

/// A time of at least a second.
fn seconds() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=YEAR_SECONDS)
}

impl LimitArgs {
    pub(crate) fn limits(&self) -> Limits {
        let seconds = Duration::from_secs;
        Limits {
            message_bytes: usize::try_from(self.max_message_bytes.0).unwrap_or(usize::MAX),
            inputs: self.max_inputs,
            tokens: self.max_tokens,
            k: self.max_k,
            query_bytes: self.max_query_bytes,
            filter_bytes: self.max_filter_bytes,
            answer_bytes: usize::try_from(self.max_answer_bytes.0).unwrap_or(usize::MAX),
            header_bytes: self.max_header_bytes,
            streams: self.max_streams,
            connections: self.max_connections.max(1),
            connection_age: self.max_connection_age.map(seconds),
            header_timeout: seconds(self.header_timeout),
            body_timeout: seconds(self.body_timeout),
            idle_timeout: seconds(self.idle_timeout),
            request_timeout: seconds(self.request_timeout),
            queue: self.max_queue,
            wait: Duration::from_millis(self.max_wait),
            rate: self.rate,
        }
    }
}

/// What is logged.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// What is logged: error, warn, info, debug or trace, or directives such as info,berth_server=debug
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
    /// How: text, or a JSON object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Send traces to a collector that speaks OTLP over gRPC, such as http://127.0.0.1:4317
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
}

impl LogArgs {
    pub(crate) fn options(&self) -> LogOptions {
        LogOptions { filter: self.log_level.clone(), format: self.log_format, otlp_endpoint: self.otlp.clone() }
    }
}

#[derive(Debug, Args)]
pub(crate) struct McpArgs {
    #[command(flatten)]
    pub(crate) what: ServedArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// The server's address
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7878")]
    pub(crate) listen: SocketAddr,
    /// Seconds to wait for an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = seconds())]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    pub(crate) action: KeyAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// Make a key; it is shown once and stored as a hash
    Create(KeyCreateArgs),
    /// List the keys, without what is secret about them
    List(KeyPlace),
    /// Make a key void; a server that runs forgets it within seconds
    Revoke(KeyRevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct KeyPlace {
    /// File of API keys
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeyCreateArgs {
    #[command(flatten)]
    pub(crate) place: KeyPlace,
    /// What the holder may do: search, embed, write, admin (which is all of it)
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', required = true)]
    pub(crate) scope: Vec<Scope>,
    /// Whose or what for, in your words
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) name: String,
    /// The collections that it is for [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) collection: Vec<String>,
    /// Who the holder is, in collections with access lists, such as alice,group:eng [default: whoever a request says]
    #[arg(long = "as", value_name = "PRINCIPAL", value_delimiter = ',')]
    pub(crate) asking: Vec<String>,
    /// Requests a second [default: as the server says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// The day, or moment in UTC, from which on it is void, such as 2027-01-31 [default: never]
    #[arg(long, value_name = "DATE")]
    pub(crate) expires: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct KeyRevokeArgs {
    /// Id of the key: the digits behind `berth_`
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) place: KeyPlace,
}

/// `NAME=DIR`, or `DIR` alone under the name of the folder.
fn parse_place(words: &str) -> Result<CollectionPlace, String> {
    let (name, path) = if let Some((name, path)) = words.split_once('=') {
        (name.to_owned(), PathBuf::from(path))
    } else {
        let path = PathBuf::from(words);
        let stem = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let stem = stem.ok_or_else(|| format!("'{words}' has no name; write NAME={words}"))?;
        (stem.strip_suffix(".berth").unwrap_or(&stem).to_owned(), path)
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(format!(
            "'{name}' cannot name a collection; write NAME=DIR with a name of letters, digits, '-', '_' and '.'"
        ));
    }
    if path.as_os_str().is_empty() {
        return Err(format!("'{words}' names no folder; write NAME=DIR"));
    }
    Ok(CollectionPlace { name, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_is_called_by_its_folder_unless_it_has_a_name() {
        let place = |words: &str| parse_place(words).map(|place| (place.name, place.path));
        let is = |name: &str, path: &str| Ok((name.to_owned(), PathBuf::from(path)));
        assert_eq!(place("/x/notes.berth"), is("notes", "/x/notes.berth"));
        assert_eq!(place("/x/notes.berth/"), is("notes", "/x/notes.berth/"));
        assert_eq!(place("law=/x/y z"), is("law", "/x/y z"));
        for bad in ["", "..", "a b=/x", "=/x", "a=", "/x/a b"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
