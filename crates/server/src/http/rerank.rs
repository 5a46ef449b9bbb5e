//! `/v1/rerank`, in the shape that Cohere and Jina share.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::errors::Body;
use crate::engine::texts::Scored;
use crate::engine::{Context, Engine};
use crate::failure::Failure;

/// Documents to be ordered.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RerankRequest {
    /// A cross-encoder, or a model of late interaction; the server's default model where it is left out.
    #[serde(default)]
    model: String,
    query: String,
    documents: Vec<DocumentShape>,
    /// Most documents that are named; all where it is left out.
    #[serde(default)]
    top_n: Option<usize>,
    #[serde(default)]
    return_documents: bool,
}

/// A text, or an object with one.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum DocumentShape {
    Text(String),
    Object { text: String },
}

/// The documents, best first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RerankAnswer {
    model: String,
    results: Vec<RerankResult>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RerankResult {
    /// Place in the request, from 0.
    index: usize,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<TextOf>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TextOf {
    text: String,
}

/// An error of this family.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RerankError {
    message: String,
}

/// Order documents by how well they answer a query.
#[utoipa::path(post, path = "/v1/rerank", tag = "rerank", request_body = RerankRequest, responses(
    (status = 200, body = RerankAnswer),
    (status = 400, body = RerankError), (status = 401, body = RerankError), (status = 403, body = RerankError),
    (status = 404, body = RerankError), (status = 413, body = RerankError), (status = 429, body = RerankError),
    (status = 503, body = RerankError), (status = 504, body = RerankError),
))]
pub(crate) async fn rerank(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(request): Body<RerankRequest>,
) -> Result<Json<RerankAnswer>, Failure> {
    let RerankRequest { model, query, documents, top_n, return_documents } = request;
    let text = |document: DocumentShape| match document {
        DocumentShape::Text(text) | DocumentShape::Object { text } => text,
    };
    let mut documents: Vec<String> = documents.into_iter().map(text).collect();
    let (model, scored) = engine.rerank(&context, &model, (query, documents.clone()), false).await?;
    let result = |Scored { index, score, .. }: Scored| RerankResult {
        index,
        relevance_score: score,
        document: return_documents.then(|| TextOf { text: std::mem::take(&mut documents[index]) }),
    };
    let results = scored.into_iter().take(top_n.unwrap_or(usize::MAX)).map(result).collect();
    Ok(Json(RerankAnswer { model, results }))
}
