//! `/healthz`, `/readyz`, `/metrics`, `/inspect/attention`: for operators and the curious.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use berth_pipeline::AttentionAnswer;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::errors::{Body, ErrorBody};
use super::tei::tokens::SimpleToken;
use crate::access::keys::Scope;
use crate::engine::{Context, Engine};
use crate::failure::{Code, Failure};
use crate::metrics;

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether it can answer: every collection can be opened, and it is not stopping.
#[utoipa::path(get, path = "/readyz", tag = "operation", responses(
    (status = 200, body = String, content_type = "text/plain"), (status = 503, body = ErrorBody),
))]
pub(crate) async fn readyz(State(engine): State<Arc<Engine>>) -> Result<&'static str, Failure> {
    match engine.check_ready().await {
        Ok(()) => Ok("ready\n"),
        Err(failure) => Err(Failure { code: Code::Unavailable, ..failure }),
    }
}

/// What was counted and timed, as Prometheus reads it.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses(
    (status = 200, body = String, content_type = "text/plain"), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
))]
pub(crate) async fn metrics(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
) -> Result<Response, Failure> {
    context.caller.may(Scope::Admin)?;
    if context.caller.collections().is_some() {
        return Err(Failure::new(Code::Forbidden, "metrics are of all collections, and the key is for some"));
    }
    metrics::queue_size(engine.waiting());
    metrics::resident(berth_pipeline::resident_bytes().unwrap_or(0));
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, metrics::recorder().render()).into_response())
}

/// A short text to be looked into.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttentionRequest {
    /// Of at most 128 tokens.
    text: String,
    /// Installed model; the server's default one where it is left out.
    #[serde(default)]
    model: String,
    /// One layer, from 0; all where it is left out.
    #[serde(default)]
    layer: Option<usize>,
}

/// Which token looks at which.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttentionShown {
    tokens: Vec<SimpleToken>,
    /// Layers of the model; `layers` has those that were asked for.
    layer_count: usize,
    layers: Vec<LayerShown>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LayerShown {
    layer: usize,
    /// For each head a line for each token: how much it looks at each other one; a line sums to 1.
    heads: Vec<Vec<Vec<f32>>>,
}

/// Show which token of a short text looks at which.
#[utoipa::path(post, path = "/inspect/attention", tag = "operation", request_body = AttentionRequest, responses(
    (status = 200, body = AttentionShown),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 413, body = ErrorBody), (status = 429, body = ErrorBody),
))]
pub(crate) async fn attention(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(AttentionRequest { text, model, layer }): Body<AttentionRequest>,
) -> Result<Json<AttentionShown>, Failure> {
    let (AttentionAnswer { tokens, layers, .. }, layer_count) =
        engine.attention(&context, &model, (text.clone(), layer)).await?;
    let count = tokens.len().max(1);
    // Four digits are more than anybody sees.
    let rounded = |weight: &f32| (weight * 1e4).round() / 1e4;
    let lines = |head: &Vec<f32>| head.chunks(count).map(|line| line.iter().map(rounded).collect()).collect();
    let shown =
        layers.iter().map(|layer| LayerShown { layer: layer.layer, heads: layer.heads.iter().map(lines).collect() });
    let layers = shown.collect();
    Ok(Json(AttentionShown {
        tokens: tokens.into_iter().map(|token| SimpleToken::of(token, &text)).collect(),
        layer_count,
        layers,
    }))
}
