//! `/collections`: the collections themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use berth_pipeline::{BuiltWith, IndexStatus};
use berth_types::FieldKind;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::errors::{Body, ErrorBody};
use crate::engine::collections::Known;
use crate::engine::documents::{Described, Lengths, Listed, NewCollection, declared};
use crate::engine::{Context, Engine};
use crate::failure::Failure;
use crate::metrics::LatencyReport;

/// The collections that the key is for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CollectionList {
    collections: Vec<CollectionLine>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CollectionLine {
    name: String,
    /// `open` when it is in memory, `closed` when it is opened once it is asked something, `failed` when it cannot be.
    state: &'static str,
    /// Why it cannot be opened.
    error: Option<String>,
    documents: Option<u64>,
    chunks: Option<u64>,
    model: Option<String>,
}

impl From<Listed> for CollectionLine {
    fn from(Listed { name, state, error, known }: Listed) -> Self {
        let Some(Known { documents, chunks, model, .. }) = known else {
            return Self { name, state, error, documents: None, chunks: None, model: None };
        };
        Self { name, state, error, documents: Some(documents), chunks: Some(chunks), model: Some(model) }
    }
}

/// List collections.
#[utoipa::path(get, path = "/collections", tag = "collections", responses(
    (status = 200, body = CollectionList),
    (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 429, body = ErrorBody),
))]
pub(crate) async fn collections(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
) -> Result<Json<CollectionList>, Failure> {
    let collections = engine.list(&context).await?.into_iter().map(CollectionLine::from).collect();
    Ok(Json(CollectionList { collections }))
}

/// What a collection holds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CollectionAnswer {
    name: String,
    #[schema(value_type = Object)]
    status: IndexStatus,
    model: ModelOfCollection,
    sparse_model: Option<String>,
    has_token_rows: bool,
    /// Whether it says who may find its documents, so that a question has to say who asks.
    needs_viewer: bool,
    fields: Vec<FieldLine>,
    lengths: LengthReport,
    /// Times of its searches since the server started.
    latency: BTreeMap<&'static str, LatencyReport>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelOfCollection {
    name: String,
    precision: String,
    fingerprint: String,
    dimensions: usize,
    window_tokens: usize,
    overlap_tokens: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldLine {
    name: String,
    kind: FieldKind,
}

/// How long documents are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LengthReport {
    /// Documents whose tokens were counted.
    sampled: usize,
    /// Mean tokens of these, times all documents.
    tokens: u64,
    documents: Vec<TokenBucket>,
    chunks_per_document: Vec<CountBucket>,
}

/// Documents with more tokens than the bucket before, and at most so many.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenBucket {
    upto_tokens: Option<u64>,
    count: u64,
}

/// Documents with more chunks than the bucket before, and at most so many.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CountBucket {
    upto: Option<u64>,
    count: u64,
}

impl From<Lengths> for LengthReport {
    fn from(lengths: Lengths) -> Self {
        let Lengths { sampled, tokens, chunks } = lengths;
        let all: u64 = tokens.iter().sum();
        let estimated = (all as f64 / sampled.max(1) as f64 * chunks.len() as f64).round() as u64;
        let buckets = |bounds: &[u64], values: &[u64]| {
            let mut counts = vec![0; bounds.len() + 1];
            for value in values {
                counts[bounds.partition_point(|bound| bound < value)] += 1;
            }
            bounds.iter().copied().map(Some).chain([None]).zip(counts).collect::<Vec<_>>()
        };
        let documents = buckets(&[32, 64, 128, 256, 512, 1024, 2048, 4096, 8192], &tokens);
        let per_document = buckets(&[0, 1, 2, 4, 8, 16, 32, 64, 128], &chunks);
        Self {
            sampled,
            tokens: estimated,
            documents: documents.into_iter().map(|(upto_tokens, count)| TokenBucket { upto_tokens, count }).collect(),
            chunks_per_document: per_document.into_iter().map(|(upto, count)| CountBucket { upto, count }).collect(),
        }
    }
}

/// Describe a collection.
#[utoipa::path(get, path = "/collections/{name}", tag = "collections", params(("name" = String, Path)), responses(
    (status = 200, body = CollectionAnswer),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody),
))]
pub(crate) async fn collection(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Path(name): Path<String>,
) -> Result<Json<CollectionAnswer>, Failure> {
    let described = engine.describe(&context, &name).await?;
    let lengths = engine.lengths(&context, &name).await?.into();
    let Described { name, status, built_with, dimensions, sparse_model, has_token_rows, needs_viewer, fields, latency } =
        described;
    let BuiltWith { model, precision, fingerprint, window_tokens, overlap_tokens } = built_with;
    Ok(Json(CollectionAnswer {
        name,
        status,
        model: ModelOfCollection { name: model, precision, fingerprint, dimensions, window_tokens, overlap_tokens },
        sparse_model,
        has_token_rows,
        needs_viewer,
        fields: fields.into_iter().map(|(name, kind)| FieldLine { name, kind }).collect(),
        lengths,
        latency: BTreeMap::from([("search", latency)]),
    }))
}

/// What a new collection is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateRequest {
    /// Letters, digits, `-`, `_` and `.`.
    name: String,
    /// Installed model; the server's default one where it is left out.
    #[serde(default)]
    model: String,
    /// Tokens of a window; as the model's card recommends where it is left out.
    window: Option<usize>,
    /// Tokens that neighbouring windows share.
    overlap: Option<usize>,
    /// Kinds of metadata fields, such as `year:integer`.
    #[serde(default)]
    fields: Vec<String>,
    /// Field that names who may find a document.
    access_field: Option<String>,
}

/// Make a collection without documents.
#[utoipa::path(post, path = "/collections", tag = "collections", request_body = CreateRequest, responses(
    (status = 201, body = CollectionAnswer),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 429, body = ErrorBody),
))]
pub(crate) async fn create(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(request): Body<CreateRequest>,
) -> Result<(StatusCode, Json<CollectionAnswer>), Failure> {
    let CreateRequest { name, model, window, overlap, fields, access_field } = request;
    let fields = declared(&fields)?;
    engine.create(&context, NewCollection { name: name.clone(), model, window, overlap, fields, access_field }).await?;
    let described = collection(State(engine), Extension(context), Path(name)).await?;
    Ok((StatusCode::CREATED, described))
}
