//! `/search`, `/complete`: questions to collections.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use berth_types::{Mode, SearchReply};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::errors::{Body, ErrorBody, Query};
use crate::engine::search::{SearchRequest, Searched};
use crate::engine::{Context, Engine};
use crate::failure::Failure;

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchAnswer {
    /// The collection that gave it.
    collection: String,
    #[serde(flatten)]
    reply: SearchReply,
}

impl From<Searched> for SearchAnswer {
    fn from(Searched { collection, reply }: Searched) -> Self {
        Self { collection, reply }
    }
}

/// One of several answers: the answer, or why there is none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum BatchItem {
    Answer(Box<SearchAnswer>),
    Failed(BatchFailure),
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchFailure {
    error: BatchError,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchError {
    code: &'static str,
    message: String,
}

/// Several questions.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchRequest {
    requests: Vec<SearchRequest>,
}

/// Their answers, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    answers: Vec<BatchItem>,
}

/// A question in an address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchParams {
    /// The question.
    #[serde(default)]
    q: String,
    /// May be left out where the server has one collection.
    #[serde(default)]
    collection: String,
    /// Most hits; 10 where it is left out.
    k: Option<usize>,
    /// hybrid, dense, lexical or sparse.
    mode: Option<Mode>,
    /// In the filter language.
    filter: Option<String>,
    /// Fields whose values are counted, separated by commas.
    facets: Option<String>,
    /// `year`, `year:asc` or `year:desc`.
    sort: Option<String>,
    /// Whether hits carry their arithmetic.
    #[serde(default)]
    explain: bool,
    /// Who asks, separated by commas, where documents say who may find them.
    principals: Option<String>,
}

/// Ask a question.
#[utoipa::path(post, path = "/search", tag = "search", request_body = SearchRequest, responses(
    (status = 200, body = SearchAnswer),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 413, body = ErrorBody), (status = 429, body = ErrorBody),
    (status = 503, body = ErrorBody), (status = 504, body = ErrorBody),
))]
pub(crate) async fn search(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(request): Body<SearchRequest>,
) -> Result<Response, Failure> {
    engine.search(&context, request, written).await
}

/// Ask a question in the address.
#[utoipa::path(get, path = "/search", tag = "search", params(SearchParams), responses(
    (status = 200, body = SearchAnswer),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody),
    (status = 504, body = ErrorBody),
))]
pub(crate) async fn search_by_address(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Query(params): Query<SearchParams>,
) -> Result<Response, Failure> {
    let SearchParams { q, collection, k, mode, filter, facets, sort, explain, principals } = params;
    let defaults = SearchRequest::default();
    let request = SearchRequest {
        query: q,
        collection,
        k: k.unwrap_or(defaults.k),
        mode: mode.unwrap_or(defaults.mode),
        filter,
        facets: words(facets.as_deref()),
        sort,
        explain,
        principals: words(principals.as_deref()),
        ..defaults
    };
    engine.search(&context, request, written).await
}

fn written(searched: Searched) -> Response {
    Json(SearchAnswer::from(searched)).into_response()
}

/// Ask several questions.
#[utoipa::path(post, path = "/search/batch", tag = "search", request_body = BatchRequest, responses(
    (status = 200, body = BatchAnswer),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 413, body = ErrorBody), (status = 429, body = ErrorBody),
))]
pub(crate) async fn search_batch(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(BatchRequest { requests }): Body<BatchRequest>,
) -> Result<Json<BatchAnswer>, Failure> {
    let answers = engine.search_all(&context, requests).await?;
    let item = |answer: Result<Searched, Failure>| match answer {
        Ok(searched) => BatchItem::Answer(Box::new(searched.into())),
        Err(failure) => {
            let error = BatchError { code: failure.code.as_str(), message: failure.message };
            BatchItem::Failed(BatchFailure { error })
        }
    };
    Ok(Json(BatchAnswer { answers: answers.into_iter().map(item).collect() }))
}

/// The beginning of a word.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CompleteParams {
    /// May be left out where the server has one collection.
    #[serde(default)]
    collection: String,
    /// What was typed.
    prefix: String,
    /// Most words; 10 where it is left out.
    limit: Option<usize>,
    /// Who asks, separated by commas.
    principals: Option<String>,
    /// Ask as the owner; takes the scope admin.
    #[serde(default)]
    as_owner: bool,
}

/// Words that begin so, the commonest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Completions {
    words: Vec<Completion>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Completion {
    word: String,
    /// Passages that have it.
    passages: u64,
}

/// Complete a word.
#[utoipa::path(get, path = "/complete", tag = "search", params(CompleteParams), responses(
    (status = 200, body = Completions),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 429, body = ErrorBody),
))]
pub(crate) async fn complete(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Query(params): Query<CompleteParams>,
) -> Result<Json<Completions>, Failure> {
    let CompleteParams { collection, prefix, limit, principals, as_owner } = params;
    let principals = words(principals.as_deref());
    let found = engine.complete(&context, &collection, (prefix, limit.unwrap_or(10)), (&principals, as_owner)).await?;
    let words = found.into_iter().map(|word| Completion { word: word.word, passages: word.passages }).collect();
    Ok(Json(Completions { words }))
}

/// Words that are separated by commas.
pub(crate) fn words(list: Option<&str>) -> Vec<String> {
    let words = list.unwrap_or_default().split(',').map(str::trim);
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
