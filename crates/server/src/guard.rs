//! What every request passes before it is answered: who asks, how often, for how long, and from where.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use berth_pipeline::Lane;
use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Authority;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::access::Caller;
use crate::access::keys::Keys;
use crate::access::rates::Rates;
use crate::body::Watched;
use crate::engine::{Context, Renewal};
use crate::failure::{Code, Failure};
use crate::grpc;
use crate::http::errors::{Family, answer};
use crate::metrics;
use crate::options::{CurrentLimits, Limits};
use crate::telemetry::continue_trace;

/// Names the request in answers and in the log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long a client waits, in milliseconds.
const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-timeout-ms");
/// `interactive` or `bulk`.
const PRIORITY: HeaderName = HeaderName::from_static("x-priority");
/// What clients that cannot send `authorization` use.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What the guard knows.
pub(crate) struct Guard {
    /// None: whoever comes may do everything.
    pub(crate) keys: Option<Keys>,
    pub(crate) rates: Rates,
    pub(crate) limits: CurrentLimits,
    /// Origins whose pages may ask.
    pub(crate) cors_origins: Vec<String>,
    /// Whether the server can be reached from this machine alone, without keys: a page of somebody else's must then not pass
    /// for a person at this machine.
    pub(crate) is_local: bool,
    /// For the bodies of all requests together, in KiB.
    pub(crate) room: RwLock<Arc<Semaphore>>,
}

/// Bodies of the largest size for which there is room at the same time.
const LARGE_BODIES: usize = 8;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Guard {
    /// Has other limits hold from now on.
    pub(crate) fn set_limits(&self, limits: Limits) {
        let room = Self::room_for(&limits);
        let before = self.limits.set(limits);
        // Bodies that are on their way keep their place in the room that they entered.
        if before.message_bytes != self.limits.get().message_bytes {
            *self.room.write().unwrap_or_else(PoisonError::into_inner) = room;
        }
    }

    /// The room for bodies, in KiB.
    pub(crate) fn room_for(limits: &Limits) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(LARGE_BODIES * (limits.message_bytes / 1024 + 1)))
    }

    /// Lets a request through, or says why not.
    fn admit(self: &Arc<Self>, request: &Request, limits: &Limits) -> Result<Option<Context>, Failure> {
        let headers = request.headers();
        check_headers(headers, limits.header_bytes as usize)?;
        self.check_origin(request)?;
        let asked = Instant::now();
        let deadline =
            asked + timeout(headers)?.map_or(limits.request_timeout, |timeout| timeout.min(limits.request_timeout));
        if is_open(request.method(), request.uri().path()) {
            return Ok(None);
        }
        let address = request.extensions().get::<Peer>().map_or_else(String::new, |peer| peer.0.ip().to_string());
        let shown = shown_key(headers).map(str::to_owned);
        let caller = self.caller(shown.as_deref(), &address)?;
        let renewal = Renewal::new({
            let guard = Arc::clone(self);
            move || guard.caller(shown.as_deref(), &address)
        });
        Ok(Some(Context { caller, deadline, lane: lane(headers)?, renewal }))
    }

    /// Who shows this key, if it is one and has not asked too often.
    fn caller(&self, shown: Option<&str>, address: &str) -> Result<Caller, Failure> {
        let (caller, rate) = match &self.keys {
            None => (Caller::anyone(address), None),
            Some(keys) => {
                let key = shown.and_then(|shown| keys.find(shown, SystemTime::now()));
                let key = key.ok_or_else(|| {
                    let message =
                        "the request needs a valid API key: send it with the header authorization: Bearer KEY";
                    Failure::new(Code::Unauthenticated, message)
                })?;
                (Caller::of_key(&key), key.rate)
            }
        };
        if let Some(per_second) = rate.or(self.limits.get().rate) {
            self.rates.take(&caller.id, per_second, Instant::now()).map_err(|wait| {
                let message = format!("more than {per_second} requests a second, which is the limit rate; slow down");
                Failure::overloaded("rate", message, wait)
            })?;
        }
        Ok(caller)
    }

    /// A browser says which page asks. Without keys nobody but a page of the server's own may, nor one that has made itself
    /// a name that leads here.
    fn check_origin(&self, request: &Request) -> Result<(), Failure> {
        let headers = request.headers();
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| request.uri().authority().map(Authority::as_str));
        if self.is_local && host.is_some_and(|host| !is_local_name(host)) {
            let message = "without API keys the server answers to the names of this machine alone, such as localhost";
            return Err(Failure::new(Code::Forbidden, message));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or_default();
        let own = origin.split_once("://").map(|(_, own)| own);
        if own.is_some() && own == host || self.cors_origins.iter().any(|known| known == "*" || known == origin) {
            return Ok(());
        }
        let message = "pages of this origin may not ask here; the server allows others with --cors-origin";
        Err(Failure::new(Code::Forbidden, message))
    }
}

/// The layer over all routes.
pub(crate) async fn guard(guard: Arc<Guard>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let is_grpc = grpc::is_grpc(request.headers());
    let path = request.uri().path().to_owned();
    let method = method_of(&request, is_grpc);
    let id = request_id(request.headers());
    let span = tracing::info_span!("request", %id, method = %method);
    continue_trace(&span, request.headers());
    let family = Family::of(&path);
    let body = std::mem::take(request.body_mut());
    let is_stream = is_grpc && grpc::is_stream(&path);
    let limits = guard.limits.get();
    // Between the messages of a stream a client may be silent for longer than inside of a body.
    let body_timeout =
        if is_stream { (limits.idle_timeout, "idle-timeout") } else { (limits.body_timeout, "body-timeout") };
    let message_timeout = is_grpc.then_some(limits.request_timeout);
    let room = Arc::clone(&guard.room.read().unwrap_or_else(PoisonError::into_inner));
    let body = Watched::new(body, body_timeout, &room, message_timeout);
    *request.body_mut() = body.body();
    let response = async {
        match guard.admit(&request, &limits) {
            Ok(context) => {
                request.extensions_mut().insert(Arc::clone(&limits));
                if is_grpc && !grpc::is_known(&path) {
                    let message = "there is no such service or method";
                    return grpc::status::refused(&Failure::new(Code::Unimplemented, message));
                }
                let deadline = context.as_ref().map(|context| context.deadline);
                if let Some(context) = context {
                    request.extensions_mut().insert(context);
                }
                match deadline.filter(|_| !is_stream) {
                    None => next.run(request).await,
                    Some(deadline) => match tokio::time::timeout_at(deadline.into(), next.run(request)).await {
                        Ok(response) => response,
                        Err(_) if is_grpc => grpc::status::refused(&Failure::deadline()),
                        Err(_) => answer(&Failure::deadline(), family),
                    },
                }
            }
            Err(failure) if is_grpc => grpc::status::refused(&failure),
            Err(failure) => answer(&failure, family),
        }
    }
    .instrument(span.clone())
    .await;
    let mut response = finish(response, (family, is_grpc), &limits);
    let failed = response.status().is_client_error() || response.status().is_server_error();
    // A client that is still sending would not see the answer before its connection ends.
    if failed && !is_grpc && !body.drop_rest().await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let failure = response.extensions().get::<Failure>().map(|failure| failure.code);
    let code = failure.or_else(|| grpc::status::code_of(&response));
    metrics::request(&method, started.elapsed(), code);
    span.in_scope(|| {
        let (status, took_ms) = (response.status().as_u16(), started.elapsed().as_secs_f64() * 1e3);
        match code {
            None => tracing::debug!(status, took_ms, "answered"),
            // In the thousands they say no more than the metric does.
            Some(code @ Code::Overloaded) => tracing::debug!(status, took_ms, code = code.as_str(), "answered"),
            Some(code) => tracing::info!(status, took_ms, code = code.as_str(), "answered"),
        }
    });
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Gives a failure the shape of its family, and every answer the headers that keep browsers careful.
fn finish(mut response: Response, (family, is_grpc): (Family, bool), limits: &Limits) -> Response {
    if is_grpc && let Some(failure) = grpc::status::of_transport(response.headers(), limits) {
        response = grpc::status::refused(&failure);
    }
    if !is_grpc
        && family != Family::Berth
        && let Some(failure) = response.extensions().get::<Failure>().cloned()
    {
        let status = response.status();
        response = answer(&failure, family);
        *response.status_mut() = status;
    }
    let headers = response.headers_mut();
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The sum that HTTP/2 knows for itself; HTTP/1.1 has buffers of a size of its own.
fn check_headers(headers: &HeaderMap, most: usize) -> Result<(), Failure> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes <= most {
        return Ok(());
    }
    let message = format!("the headers have {bytes} bytes, more than the limit max-header-bytes of {most}");
    Err(Failure::limit("max-header-bytes", "headers", message))
}

/// What needs no key: whether the server lives, and the page, which asks with the key that a person gives it.
fn is_open(method: &Method, path: &str) -> bool {
    let is_read = method == Method::GET || method == Method::HEAD;
    let is_page = matches!(path, "/" | "/docs" | "/openapi.json" | "/healthz" | "/readyz" | "/health" | "/ping");
    is_read && (is_page || path.starts_with("/assets/")) || path.starts_with("/grpc.health.v1.Health/")
}

/// The key that a request shows.
fn shown_key(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| headers.get(API_KEY)?.to_str().ok())
}

/// How long the client waits, where it says so.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    if let Some(value) = headers.get(TIMEOUT_MS) {
        let ms = value.to_str().ok().and_then(|value| value.parse().ok());
        let wrong = || Failure::invalid("x-timeout-ms", "x-timeout-ms is a number of milliseconds");
        return ms.map(Duration::from_millis).map(Some).ok_or_else(wrong);
    }
    let Some(value) = headers.get("grpc-timeout").and_then(|value| value.to_str().ok()) else { return Ok(None) };
    let wrong = || Failure::invalid("grpc-timeout", "grpc-timeout is at most 8 digits and one of H, M, S, m, u, n");
    let (digits, unit) = value.split_at_checked(value.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8).ok_or_else(wrong)?;
    let timeout = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return Err(wrong()),
    };
    Ok(Some(timeout))
}

fn lane(headers: &HeaderMap) -> Result<Option<Lane>, Failure> {
    match headers.get(PRIORITY).map(HeaderValue::as_bytes) {
        None => Ok(None),
        Some(b"interactive") => Ok(Some(Lane::Query)),
        Some(b"bulk") => Ok(Some(Lane::Bulk)),
        Some(_) => Err(Failure::invalid("x-priority", "x-priority is interactive or bulk")),
    }
}

/// The route, not the address, and a method that there is: names that clients make up are not kept for ever.
fn method_of(request: &Request, is_grpc: bool) -> String {
    if is_grpc {
        let path = request.uri().path();
        return if grpc::is_known(path) { path.trim_start_matches('/').to_owned() } else { "unknown".to_owned() };
    }
    let method = match request.method().as_str() {
        method @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH") => method,
        _ => "OTHER",
    };
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str);
    format!("{method} {route}")
}

/// The client's own name for the request where it is a plain one; else one of ours.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let plain = |id: &&str| {
        !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if let Some(id) = given.filter(plain) {
        return id.to_owned();
    }
    // Multiples of an odd number, from a random one on: no two are alike, and those of two servers most likely are not.
    static NEXT: OnceLock<AtomicU64> = OnceLock::new();
    let next = NEXT.get_or_init(|| {
        let mut bytes = [0; 8];
        // Without random numbers the names of two servers are alike, which costs only the reader of their logs.
        let _ = getrandom::fill(&mut bytes);
        AtomicU64::new(u64::from_le_bytes(bytes))
    });
    format!("{:016x}", next.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
}

/// Whether a name leads to this machine, whoever asks.
fn is_local_name(host: &str) -> bool {
    let port = |rest: &str| rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    if let Some((address, rest)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse::<Ipv6Addr>().is_ok() && port(rest);
    }
    let (name, rest) = host.split_at(host.find(':').unwrap_or(host.len()));
    port(rest) && (name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn timeouts_are_read_as_grpc_and_http_say_them() {
        let read = |name, value| timeout(&headers(&[(name, value)]));
        assert_eq!(read("grpc-timeout", "250m").unwrap(), Some(Duration::from_millis(250)));
        assert_eq!(read("grpc-timeout", "2S").unwrap(), Some(Duration::from_secs(2)));
        assert_eq!(read("x-timeout-ms", "40").unwrap(), Some(Duration::from_millis(40)));
        assert_eq!(timeout(&headers(&[])).unwrap(), None);
        for (name, value) in [
            ("grpc-timeout", "S"),
            ("grpc-timeout", ""),
            ("grpc-timeout", "123456789S"),
            ("grpc-timeout", "1x"),
            ("x-timeout-ms", "-1"),
        ] {
            assert!(read(name, value).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn keys_are_shown_in_either_header() {
        assert_eq!(shown_key(&headers(&[("authorization", "Bearer k")])), Some("k"));
        assert_eq!(shown_key(&headers(&[("authorization", "bearer  k ")])), Some("k"));
        assert_eq!(shown_key(&headers(&[("x-api-key", "k")])), Some("k"));
        assert_eq!(shown_key(&headers(&[("authorization", "Basic k")])), None);
        assert_eq!(shown_key(&headers(&[("authorization", "k")])), None);
    }

    fn request(pairs: &[(&'static str, &str)]) -> Request {
        let mut request = Request::new(axum::body::Body::empty());
        *request.headers_mut() = headers(pairs);
        request
    }

    #[test]
    fn names_of_this_machine() {
        for name in ["localhost", "LOCALHOST:7878", "127.0.0.1:1", "[::1]:7878", "[::1]"] {
            assert!(is_local_name(name), "{name}");
        }
        for name in [
            "",
            "localhost.",
            "localhost:x",
            "[::1].evil.example",
            "[::1",
            "127.0.0.1.evil.example",
            "evil",
            "localhost:1:2",
        ] {
            assert!(!is_local_name(name), "{name}");
        }
    }

    #[test]
    fn pages_of_others_cannot_pass_for_a_person_at_this_machine() {
        let guard = Guard {
            keys: None,
            rates: Rates::default(),
            limits: CurrentLimits::new(Limits::default()),
            cors_origins: vec!["https://known.example".into()],
            is_local: true,
            room: RwLock::new(Arc::new(Semaphore::new(1))),
        };
        let check = |pairs: &[(&'static str, &str)]| guard.check_origin(&request(pairs)).is_ok();
        assert!(
            check(&[("host", "localhost:7878")])
                && check(&[("host", "127.0.0.1:7878")])
                && check(&[("host", "[::1]:7878")])
        );
        assert!(check(&[("host", "localhost:7878"), ("origin", "http://localhost:7878")]));
        assert!(check(&[("host", "localhost:7878"), ("origin", "https://known.example")]));
        for pairs in [
            &[("host", "evil.example:7878")][..],
            &[("host", "localhost.evil.example")],
            &[("host", "localhost:7878"), ("origin", "https://evil.example")],
            &[("host", "localhost:7878"), ("origin", "null")],
            &[("host", "localhost:7878"), ("origin", "http://localhost:9999")],
        ] {
            assert!(!check(pairs), "{pairs:?}");
        }
    }

    #[test]
    fn only_health_and_the_page_need_no_key() {
        for path in ["/", "/assets/app.js", "/healthz", "/grpc.health.v1.Health/Check"] {
            let method = if path.starts_with("/grpc") { Method::POST } else { Method::GET };
            assert!(is_open(&method, path), "{path}");
        }
        for path in [
            "/search",
            "/metrics",
            "/berth.v1.SearchService/Search",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "//",
            "/assets",
            "/info",
            "/mcp",
        ] {
            assert!(!is_open(&Method::GET, path) && !is_open(&Method::POST, path), "{path}");
        }
    }
}
