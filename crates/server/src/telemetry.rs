//! Logs on standard error, and traces to a collector that speaks OTLP.

use std::io::IsTerminal as _;
use std::str::FromStr;

use http::HeaderMap;
use opentelemetry::global;
use opentelemetry::propagation::Extractor;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// What is logged: a level, or directives such as `info,berth_server=debug`.
    pub filter: String,
    /// Lines for people, or a JSON object a line.
    pub format: LogFormat,
    /// Where traces go, such as `http://127.0.0.1:4317`; none: nowhere.
    pub otlp_endpoint: Option<String>,
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("'{word}' is no format of logs; possible are text, json")),
        }
    }
}

/// Writes a line of the log.
pub fn log_line(message: &str) {
    tracing::info!("{message}");
}

/// Sends what is left of traces when it goes.
#[must_use = "traces end when it goes"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = &self.provider
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Begins to log; once a process. Wants a runtime of tokio around it where traces are sent.
///
/// # Errors
/// A filter that is none, an endpoint that is none; words for people.
pub fn start_telemetry(options: &LogOptions) -> Result<Telemetry, String> {
    // A level alone is Berth's own: what engines say of themselves is for those who ask for it.
    let is_level = options.filter.bytes().all(|byte| byte.is_ascii_alphabetic());
    let words = if is_level {
        format!("{},ort=warn,tantivy=warn,h2=info,hyper=info", options.filter)
    } else {
        options.filter.clone()
    };
    let filter = EnvFilter::try_new(words)
        .map_err(|error| format!("'{}' says not what is to be logged: {error}", options.filter))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match options.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let provider = options.otlp_endpoint.as_deref().map(provider).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        global::set_text_map_propagator(TraceContextPropagator::new());
        tracing_opentelemetry::layer().with_tracer(provider.tracer("berth"))
    });
    let subscriber = tracing_subscriber::registry().with(filter).with(traces).with(lines);
    subscriber.try_init().map_err(|error| error.to_string())?;
    Ok(Telemetry { provider })
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider, String> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
    let exporter = exporter.map_err(|error| format!("traces cannot be sent to {endpoint}: {error}"))?;
    let resource = Resource::builder().with_service_name("berth").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Makes a request a part of the trace that its client began.
pub(crate) fn continue_trace(span: &Span, headers: &HeaderMap) {
    if !headers.contains_key("traceparent") {
        return;
    }
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(&Headers(headers)));
    // Where no traces are sent, nothing takes it.
    let _ = span.set_parent(parent);
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
