//! HTTP: routes and shapes. What they ask for is done in `engine`, and who may ask for it is said there too.

pub(crate) mod collections;
pub(crate) mod documents;
pub(crate) mod errors;
pub(crate) mod jobs;
pub(crate) mod openai;
pub(crate) mod openapi;
pub(crate) mod ops;
pub(crate) mod page;
pub(crate) mod rerank;
pub(crate) mod search;
pub(crate) mod tei;

use std::sync::Arc;

use ::http::{HeaderMap, StatusCode};
use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use crate::engine::Engine;
use crate::failure::{Code, Failure};
use crate::grpc;

/// All routes of HTTP.
pub(crate) fn routes(engine: &Arc<Engine>) -> Router {
    Router::new()
        // The default route of text-embeddings-inference stands at the same address as the page.
        .route("/", get(page::index).post(tei::embed))
        .route("/invocations", post(tei::embed))
        .route("/ping", get(tei::health))
        .route("/docs", get(page::docs))
        .route("/assets/{name}", get(page::asset))
        .route("/openapi.json", get(openapi::openapi))
        .route("/search", post(search::search).get(search::search_by_address))
        .route("/search/batch", post(search::search_batch))
        .route("/complete", get(search::complete))
        .route("/documents", post(documents::put).get(documents::get).delete(documents::delete_one))
        .route("/documents/delete", post(documents::delete))
        .route("/collections", get(collections::collections).post(collections::create))
        .route("/collections/{name}", get(collections::collection))
        .route("/jobs", get(jobs::jobs).post(jobs::start_job))
        .route("/jobs/{id}", get(jobs::job))
        .route("/snapshots", post(jobs::snapshot))
        .route("/v1/embeddings", post(openai::embeddings))
        .route("/embeddings", post(openai::embeddings))
        .route("/v1/models", get(openai::models))
        .route("/v1/models/{id}", get(openai::model))
        .route("/v1/rerank", post(rerank::rerank))
        .route("/v2/rerank", post(rerank::rerank))
        .route("/embed", post(tei::embed))
        .route("/embed_all", post(tei::embed_all))
        .route("/embed_sparse", post(tei::embed_sparse))
        .route("/rerank", post(tei::scores::rerank))
        .route("/predict", post(tei::scores::predict))
        .route("/similarity", post(tei::similarity))
        .route("/tokenize", post(tei::tokens::tokenize))
        .route("/decode", post(tei::tokens::decode))
        .route("/info", get(tei::info))
        .route("/health", get(tei::health))
        .route("/healthz", get(ops::healthz))
        .route("/readyz", get(ops::readyz))
        .route("/metrics", get(ops::metrics))
        .route("/inspect/attention", post(ops::attention))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .with_state(Arc::clone(engine))
}

/// A path that no route has, of either protocol.
async fn no_such_route(headers: HeaderMap) -> Response {
    if grpc::is_grpc(&headers) {
        return grpc::status::refused(&Failure::new(Code::Unimplemented, "there is no such service or method"));
    }
    Failure::new(Code::NotFound, "there is nothing at this address; /openapi.json lists what there is").into_response()
}

/// A route that does not take the method.
async fn no_such_method() -> Response {
    let message = "this address does not take that method; /openapi.json says which it takes";
    let mut response = Failure::new(Code::InvalidInput, message).into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}
