//! One connection: its handshake, its requests, its end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::tls::Tls;
use crate::guard::Peer;
use crate::options::Limits;

/// Resets of streams that the client may have under way before it is cut off: "rapid reset" (CVE-2023-44487) lives of these.
const PENDING_RESETS: usize = 20;
/// How often an HTTP/2 client is asked whether it is there, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// The least that hyper takes as a buffer.
const LEAST_BUFFER: usize = 8192;
/// Headers of a request.
const MOST_HEADERS: usize = 100;
/// Most bytes of an answer that are handed on at once.
const PIECE_BYTES: usize = 64 << 10;
/// How often the age and the idleness of a connection are looked at, at the least.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What serves a connection.
pub(crate) struct Connection {
    pub(crate) router: Router,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) limits: Arc<Limits>,
    /// Becomes true when the server is to stop.
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) peer: SocketAddr,
}

/// What a connection did.
#[derive(Debug, Default)]
struct Activity {
    /// Requests that have begun.
    begun: AtomicU64,
    /// Of them, those whose answer is not made yet.
    under_way: AtomicUsize,
    /// Milliseconds from the start of the connection to the last beginning or end of a request.
    last_ms: AtomicU64,
    /// The same to when the client last left no room for what is to be sent; 0 while it takes what comes.
    stuck_ms: AtomicU64,
    /// For each answer that is being sent, the same to its last piece that waits to be taken; 0 while there is none.
    answers: Mutex<Vec<Weak<AtomicU64>>>,
}

impl Activity {
    /// Milliseconds for which the client has not taken what is there for it.
    fn untaken_ms(&self, now_ms: u64) -> u64 {
        let since = |at: u64| if at == 0 { 0 } else { now_ms.saturating_sub(at) };
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|answer| answer.strong_count() > 0);
        let waiting = answers.iter().filter_map(Weak::upgrade).map(|at| since(at.load(Ordering::Relaxed)));
        waiting.chain([since(self.stuck_ms.load(Ordering::Relaxed))]).max().unwrap_or(0)
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve_connection(connection: Connection, stream: TcpStream) {
    match &connection.tls {
        None => serve_io(&connection, stream).await,
        Some(tls) => {
            let handshake = tls.acceptor().accept(stream);
            match tokio::time::timeout(connection.limits.header_timeout, handshake).await {
                Ok(Ok(stream)) => serve_io(&connection, stream).await,
                Ok(Err(error)) => tracing::debug!(peer = %connection.peer, %error, "no handshake"),
                Err(_) => tracing::debug!(peer = %connection.peer, "the handshake took too long"),
            }
        }
    }
}

async fn serve_io<Io: AsyncRead + AsyncWrite + Unpin + Send + 'static>(connection: &Connection, io: Io) {
    let Connection { router, limits, peer, .. } = connection;
    let started = Instant::now();
    let activity = Arc::new(Activity::default());
    let service = service_fn({
        let (activity, router, peer) = (Arc::clone(&activity), router.clone(), *peer);
        move |request: Request<Incoming>| {
            activity.begun.fetch_add(1, Ordering::Relaxed);
            activity.under_way.fetch_add(1, Ordering::Relaxed);
            let under_way = UnderWay(Arc::clone(&activity), started);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            let router = router.clone();
            async move {
                let response: Result<Response, Infallible> = router.oneshot(request).await;
                // The answer is under way until its body has ended.
                response.map(|response| response.map(|body| Body::new(Counted::new(body, under_way))))
            }
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout.max(limits.idle_timeout))
        .max_headers(MOST_HEADERS)
        .max_buf_size((limits.header_bytes as usize).max(LEAST_BUFFER));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    let io = Paced { io, activity: Arc::clone(&activity), started };
    let mut serving = pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut stop = connection.stop.clone();
    let mut stopping = false;
    let look_every = LOOK_EVERY.min(limits.header_timeout);
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                return;
            }
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep(look_every) => {
                let (begun, under_way) = (activity.begun.load(Ordering::Relaxed), activity.under_way.load(Ordering::Relaxed));
                let age = started.elapsed();
                let quiet = age.saturating_sub(Duration::from_millis(activity.last_ms.load(Ordering::Relaxed)));
                // Whoever has not even sent a first request in time sends none.
                if begun == 0 && age >= limits.header_timeout {
                    tracing::debug!(%peer, "no request came in time");
                    return;
                }
                if activity.untaken_ms(age.as_millis() as u64) >= limits.request_timeout.as_millis() as u64 {
                    tracing::debug!(%peer, "the client does not take its answers");
                    return;
                }
                if under_way == 0 && begun > 0 && quiet >= limits.idle_timeout {
                    serving.as_mut().graceful_shutdown();
                    stopping = true;
                }
                if !stopping && limits.connection_age.is_some_and(|most| age >= most) {
                    stopping = true;
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Counts a request as under way for as long as it is kept.
struct UnderWay(Arc<Activity>, Instant);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Self(activity, started) = self;
        activity.under_way.fetch_sub(1, Ordering::Relaxed);
        activity.last_ms.store(started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }
}

/// The body of an answer. It is handed on in pieces, and has not ended before the last of them was taken: what is handed on
/// is out of sight, and a client that takes nothing is not to keep much of it.
struct Counted {
    body: Body,
    /// What of it is here and not handed on yet.
    rest: Bytes,
    has_begun: bool,
    under_way: UnderWay,
    /// When it was made, or its last piece handed on; 0 while it waits for the next one itself.
    handed_on_ms: Arc<AtomicU64>,
}

impl Counted {
    fn new(body: Body, under_way: UnderWay) -> Self {
        // It is there from now on, whether or not the client lets anybody ask for it.
        let made_ms = (under_way.1.elapsed().as_millis() as u64).max(1);
        let handed_on_ms = Arc::new(AtomicU64::new(made_ms));
        let mut answers = under_way.0.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.push(Arc::downgrade(&handed_on_ms));
        drop(answers);
        Self { body, rest: Bytes::new(), has_begun: false, under_way, handed_on_ms }
    }

    fn next_piece(&mut self) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.has_begun = true;
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = if this.rest.is_empty() {
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        this.rest = data;
                        this.next_piece()
                    }
                    Err(trailers) => Poll::Ready(Some(Ok(trailers))),
                },
                other => other,
            }
        } else {
            this.next_piece()
        };
        let is_handed_on = matches!(frame, Poll::Ready(Some(_)));
        let now_ms = if is_handed_on { (this.under_way.1.elapsed().as_millis() as u64).max(1) } else { 0 };
        this.handed_on_ms.store(now_ms, Ordering::Relaxed);
        frame
    }

    fn is_end_stream(&self) -> bool {
        !self.has_begun && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// A connection that knows since when the client takes nothing.
struct Paced<Io> {
    io: Io,
    activity: Arc<Activity>,
    started: Instant,
}

impl<Io> Paced<Io> {
    fn note<T>(&self, written: &Poll<T>) {
        let stuck_ms = &self.activity.stuck_ms;
        if written.is_ready() {
            stuck_ms.store(0, Ordering::Relaxed);
        } else if stuck_ms.load(Ordering::Relaxed) == 0 {
            stuck_ms.store((self.started.elapsed().as_millis() as u64).max(1), Ordering::Relaxed);
        }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Paced<Io> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(context, buffer)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Paced<Io> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(context, bytes);
        this.note(&written);
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(context);
        this.note(&flushed);
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(context, slices);
        this.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
