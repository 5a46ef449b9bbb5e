//! Requests over HTTP/1.1, a kept connection for each client.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::options::{Options, What};
use crate::report::{Outcome, Reply};

/// Most of an error's text that is kept.
const ERROR_BYTES: usize = 120;

/// What is the same for all requests.
#[derive(Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    authority: String,
    options: Options,
}

/// What of an answer is read.
#[derive(Deserialize)]
struct Answer {
    took_ms: Option<f64>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    total_tokens: u64,
}

impl Target {
    pub(crate) fn new(address: SocketAddr, options: &Options) -> Result<Self, String> {
        Ok(Self { address, authority: options.authority()?, options: options.clone() })
    }

    fn request(&self, mut texts: Vec<String>) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let Options { what, k, collection, model, path, key, .. } = &self.options;
        let (path, body) = match what {
            What::Search => {
                let query = texts.pop().unwrap_or_default();
                ("/search", json!({"query": query, "k": k, "collection": collection}))
            }
            What::Embed => ("/embed", json!({"inputs": texts, "model": model})),
            What::Openai => (path.as_str(), json!({"input": texts, "model": model})),
            What::Health => return Request::get("/healthz").header(HOST, &self.authority).body(Full::default()),
        };
        let mut request = Request::post(path).header(HOST, &self.authority).header(CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        request.body(Full::new(Bytes::from(body.to_string())))
    }
}

/// A client.
pub(crate) struct HttpClient {
    target: Arc<Target>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl HttpClient {
    pub(crate) fn new(target: &Arc<Target>) -> Self {
        Self { target: Arc::clone(target), sender: None }
    }

    /// Connects when it is not.
    pub(crate) async fn connect(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
        if let Some(sender) = &mut self.sender
            && sender.ready().await.is_err()
        {
            self.sender = None;
        }
        if self.sender.is_none() {
            let stream = TcpStream::connect(self.target.address).await?;
            stream.set_nodelay(true)?;
            let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.ready().await?;
            self.sender = Some(sender);
        }
        self.sender.as_mut().ok_or_else(|| "there is no connection".into())
    }

    /// Asks, and says when the answer was there in full.
    pub(crate) async fn ask(&mut self, texts: Vec<String>) -> Reply {
        let answered = self.exchange(texts).await;
        let ended = Instant::now();
        let outcome = match answered {
            Ok((StatusCode::OK, ..)) if self.target.options.what == What::Health => {
                Outcome::Answered { took_ms: None, tokens: 0 }
            }
            Ok((StatusCode::OK, _, body)) => answer(&body),
            Ok((StatusCode::TOO_MANY_REQUESTS, headers, _)) => Outcome::Rejected { retry_after: retry_after(&headers) },
            Ok((status, _, body)) => {
                let text = String::from_utf8_lossy(&body);
                Outcome::Failed(format!("{}: {}", status.as_u16(), text.chars().take(ERROR_BYTES).collect::<String>()))
            }
            Err(error) => {
                self.sender = None;
                Outcome::Failed(error.to_string())
            }
        };
        Reply { ended, outcome }
    }

    async fn exchange(
        &mut self,
        texts: Vec<String>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), Box<dyn Error + Send + Sync>> {
        let request = self.target.request(texts)?;
        let response = match self.connect().await?.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => match error.take_message() {
                // The server closed the connection before any of the request was sent: nobody has seen it.
                Some(request) => {
                    self.sender = None;
                    self.connect().await?.send_request(request).await?
                }
                None => return Err(error.into_error().into()),
            },
        };
        let (parts, body) = response.into_parts();
        Ok((parts.status, parts.headers, body.collect().await?.to_bytes()))
    }
}

fn answer(body: &[u8]) -> Outcome {
    match serde_json::from_slice(body) {
        Ok(Answer { took_ms, usage }) => {
            Outcome::Answered { took_ms, tokens: usage.map_or(0, |usage| usage.total_tokens) }
        }
        // The vectors of `/embed` come in a bare list.
        Err(_) => match serde_json::from_slice::<Vec<Value>>(body) {
            Ok(_) => Outcome::Answered { took_ms: None, tokens: 0 },
            Err(error) => Outcome::Failed(format!("the answer is not as expected: {error}")),
        },
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
