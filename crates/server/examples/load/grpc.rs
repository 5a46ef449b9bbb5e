//! Requests over gRPC, many clients on a connection.

use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;
use tower::Service;

use crate::options::{Options, What};
use crate::report::{Outcome, Reply};

/// Messages of the protocol.
mod proto {
    #![allow(dead_code, clippy::pedantic, clippy::all, unreachable_pub)]
    tonic::include_proto!("berth.v1");
}

const SEARCH: &str = "/berth.v1.SearchService/Search";
const EMBED: &str = "/berth.v1.ModelService/Embed";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// Clients on a connection unless another number of connections is asked for; a server lets so many requests run on one.
const CLIENTS_A_CONNECTION: u32 = 64;

/// A connection's own handle.
#[derive(Clone)]
struct Http2(SendRequest<Body>);

impl Service<Request<Body>> for Http2 {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// Connections that clients take in turn.
pub(crate) struct GrpcClient {
    address: SocketAddr,
    origin: Uri,
    options: Options,
    key: Option<MetadataValue<Ascii>>,
    connections: Vec<Mutex<Option<Http2>>>,
    next: AtomicUsize,
}

impl GrpcClient {
    pub(crate) fn new(address: SocketAddr, options: &Options) -> Result<Arc<Self>, Box<dyn Error>> {
        let origin = Uri::try_from(format!("http://{}", options.authority()?))?;
        let key = options.key.as_ref().map(|key| format!("Bearer {key}").parse()).transpose()?;
        let count = options.connections.unwrap_or(options.clients.div_ceil(CLIENTS_A_CONNECTION));
        let connections = (0..count).map(|_| Mutex::default()).collect();
        Ok(Arc::new(Self { address, origin, options: options.clone(), key, connections, next: AtomicUsize::new(0) }))
    }

    /// The connection of one of the clients, made when it is not there.
    async fn connection(&self) -> Result<Http2, Box<dyn Error + Send + Sync>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        let mut place = self.connections[number].lock().await;
        if let Some(known) = &*place
            && !known.0.is_closed()
        {
            return Ok(known.clone());
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let made = Http2(sender);
        *place = Some(made.clone());
        Ok(made)
    }

    /// Asks, and says when the answer was there in full.
    pub(crate) async fn ask(&self, mut texts: Vec<String>) -> Reply {
        let outcome = match self.options.what {
            What::Search => {
                let request = proto::SearchRequest {
                    collection: self.options.collection.clone(),
                    query: texts.pop().unwrap_or_default(),
                    k: Some(self.options.k),
                    ..proto::SearchRequest::default()
                };
                let answer = self.unary::<_, proto::SearchResponse>(SEARCH, request).await;
                answer.map(|answer| Outcome::Answered { took_ms: Some(answer.took_ms), tokens: 0 })
            }
            What::Embed | What::Openai => {
                let request = proto::EmbedRequest {
                    model: self.options.model.clone(),
                    inputs: texts,
                    ..proto::EmbedRequest::default()
                };
                let answer = self.unary::<_, proto::EmbedResponse>(EMBED, request).await;
                answer.map(|answer| Outcome::Answered { took_ms: None, tokens: answer.tokens })
            }
            What::Health => {
                let answer = self.unary::<_, HealthCheckResponse>(HEALTH, HealthCheckRequest::default()).await;
                answer.map(|_| Outcome::Answered { took_ms: None, tokens: 0 })
            }
        };
        let ended = Instant::now();
        Reply { ended, outcome: outcome.unwrap_or_else(|status| failed(&status)) }
    }

    async fn unary<Asked, Answer>(&self, path: &'static str, message: Asked) -> Result<Answer, Status>
    where
        Asked: prost::Message + 'static,
        Answer: prost::Message + Default + 'static,
    {
        let connection = self.connection().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut client = Grpc::with_origin(connection, self.origin.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = tonic::Request::new(message);
        if let Some(key) = &self.key {
            request.metadata_mut().insert("authorization", key.clone());
        }
        let codec = ProstCodec::<Asked, Answer>::default();
        Ok(client.unary(request, PathAndQuery::from_static(path), codec).await?.into_inner())
    }
}

fn failed(status: &Status) -> Outcome {
    if status.code() == Code::ResourceExhausted {
        return Outcome::Rejected { retry_after: status.get_details_retry_info().and_then(|retry| retry.retry_delay) };
    }
    Outcome::Failed(format!("{:?}: {}", status.code(), status.message()))
}
