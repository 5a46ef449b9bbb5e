//! `/documents`: what collections hold.

use std::sync::Arc;

use axum::extract::{FromRequest as _, Request, State};
use axum::{Extension, Json};
use berth_pipeline::{GivenOutcome, StoredDocument};
use berth_types::Document;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::errors::{Body, ErrorBody, Query, bytes, is_kind};
use super::search::words;
use crate::access::keys::Scope;
use crate::engine::documents::the_one;
use crate::engine::writing::{Written, counted};
use crate::engine::{Context, Engine};
use crate::failure::Failure;

/// Documents that a page of a list has unless another number is asked for.
const PAGE: usize = 20;

/// A document to be stored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDocument {
    /// Unique within the collection; a document takes the place of that of its id.
    #[serde(alias = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    text: String,
    /// Whatever else is known of it; fields can be filtered by, counted and sorted by.
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
}

impl From<NewDocument> for Document {
    fn from(NewDocument { id, title, text, metadata }: NewDocument) -> Self {
        Self { id, title, text, metadata, source: None }
    }
}

/// Documents for a collection.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutRequest {
    /// May be left out where the server has one collection.
    #[serde(default)]
    collection: String,
    documents: Vec<NewDocument>,
    /// Who may find documents that do not say it themselves, in a collection with access lists.
    #[serde(default)]
    access: Vec<String>,
}

/// What became of documents; all that is counted here is durable and can be found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PutAnswer {
    added: u64,
    changed: u64,
    unchanged: u64,
    /// Those that could not be stored.
    rejected: Vec<Rejected>,
    /// Those that were stored with something that cannot be used, such as a year that is no number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Rejected>,
    /// The commit that has them.
    generation: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rejected {
    id: String,
    reason: String,
}

impl From<Written> for PutAnswer {
    fn from(written: Written) -> Self {
        let counts = counted(&written.outcomes);
        let rejected = |(id, outcome): (String, GivenOutcome)| match outcome {
            GivenOutcome::Rejected(reason) => Some(Rejected { id, reason: crate::failure::without_paths(&reason) }),
            _ => None,
        };
        Self {
            added: counts["added"],
            changed: counts["changed"],
            unchanged: counts["unchanged"],
            rejected: written.outcomes.into_iter().filter_map(rejected).collect(),
            warnings: written.warnings.into_iter().map(|(id, reason)| Rejected { id, reason }).collect(),
            generation: written.generation,
        }
    }
}

/// Where lines of documents belong.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PutParams {
    /// For a body of JSON lines: the collection.
    #[serde(default)]
    collection: String,
    /// For a body of JSON lines: who may find documents that do not say it themselves, separated by commas.
    access: Option<String>,
}

/// Store documents. The answer comes when they are durable. The body is one object, or a document a line
/// (`content-type: application/x-ndjson`).
#[utoipa::path(post, path = "/documents", tag = "documents", params(PutParams), request_body = PutRequest, responses(
    (status = 200, body = PutAnswer),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 413, body = ErrorBody),
    (status = 429, body = ErrorBody), (status = 503, body = ErrorBody),
))]
pub(crate) async fn put(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Query(params): Query<PutParams>,
    request: Request,
) -> Result<Json<PutAnswer>, Failure> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let PutRequest { collection, documents, access } = if is_kind(kind, "application/x-ndjson") {
        // Who may not write need not be read.
        engine.collection(&context, &params.collection, Scope::Write)?;
        let documents = lines(&bytes(request).await?)?;
        PutRequest { collection: params.collection, documents, access: words(params.access.as_deref()) }
    } else {
        let Body(put) = Body::<PutRequest>::from_request(request, &()).await?;
        put
    };
    let collection = engine.collection(&context, &collection, Scope::Write)?;
    let documents = documents.into_iter().map(Document::from).collect();
    let putting = engine.put(&context, &collection, documents, access).await?;
    Ok(Json(engine.written(putting).await?.into()))
}

fn lines(bytes: &[u8]) -> Result<Vec<NewDocument>, Failure> {
    let mut documents = Vec::new();
    for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if !line.iter().all(u8::is_ascii_whitespace) {
            documents.push(Body::of(line).map_err(|failure| failure.at("line", number + 1))?);
        }
    }
    Ok(documents)
}

/// Which document, or which page of all of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DocumentParams {
    /// May be left out where the server has one collection.
    #[serde(default)]
    collection: String,
    /// The document; without it, documents are listed.
    id: Option<String>,
    /// Of a list: the id behind which it begins.
    #[serde(default)]
    after: String,
    /// Of a list: most documents; 20 where it is left out.
    limit: Option<usize>,
    /// Who asks, separated by commas.
    principals: Option<String>,
    /// Ask as the owner; takes the scope admin.
    #[serde(default)]
    as_owner: bool,
}

/// A stored document, or a page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum DocumentAnswer {
    One(Box<FullDocument>),
    Page(DocumentPage),
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FullDocument {
    id: String,
    title: String,
    text: String,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// The file that it was read from.
    source: Option<String>,
    chunks: Vec<ChunkPlace>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChunkPlace {
    ordinal: u32,
    /// First byte in the text.
    start: usize,
    /// Byte after the last.
    end: usize,
    tokens: u32,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentPage {
    documents: Vec<DocumentName>,
    /// What `after` is for the next page; null on the last.
    next: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentName {
    id: String,
    title: String,
}

impl From<StoredDocument> for FullDocument {
    fn from(stored: StoredDocument) -> Self {
        let StoredDocument { document: Document { id, title, text, metadata, source }, chunks, .. } = stored;
        let place = |chunk: berth_types::Chunk| ChunkPlace {
            ordinal: chunk.ordinal,
            start: chunk.byte_range.start,
            end: chunk.byte_range.end,
            tokens: chunk.tokens,
        };
        Self { id, title, text, metadata, source, chunks: chunks.into_iter().map(place).collect() }
    }
}

/// Read a document by its id, or list documents by id.
#[utoipa::path(get, path = "/documents", tag = "documents", params(DocumentParams), responses(
    (status = 200, body = DocumentAnswer),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 429, body = ErrorBody),
))]
pub(crate) async fn get(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Query(params): Query<DocumentParams>,
) -> Result<Json<DocumentAnswer>, Failure> {
    let DocumentParams { collection, id, after, limit, principals, as_owner } = params;
    let principals = words(principals.as_deref());
    let viewer = (principals.as_slice(), as_owner);
    if let Some(id) = id {
        let found = engine.documents(&context, &collection, vec![id.clone()], viewer).await?;
        return Ok(Json(DocumentAnswer::One(Box::new(the_one(found, &id)?.into()))));
    }
    let limit = limit.unwrap_or(PAGE);
    let page = engine.list_documents(&context, &collection, (after, limit), viewer).await?;
    let next = page.last().filter(|_| page.len() == limit && limit > 0).map(|(id, _)| id.clone());
    let documents = page.into_iter().map(|(id, title)| DocumentName { id, title }).collect();
    Ok(Json(DocumentAnswer::Page(DocumentPage { documents, next })))
}

/// Ids of documents that are to go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteRequest {
    /// May be left out where the server has one collection.
    #[serde(default)]
    collection: String,
    ids: Vec<String>,
}

/// How many went.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeleteAnswer {
    /// How many were there.
    deleted: u64,
    generation: u64,
}

/// Remove documents. The answer comes when that is durable.
#[utoipa::path(post, path = "/documents/delete", tag = "documents", request_body = DeleteRequest, responses(
    (status = 200, body = DeleteAnswer),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 413, body = ErrorBody), (status = 429, body = ErrorBody),
    (status = 503, body = ErrorBody),
))]
pub(crate) async fn delete(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(DeleteRequest { collection, ids }): Body<DeleteRequest>,
) -> Result<Json<DeleteAnswer>, Failure> {
    let Written { deleted, generation, .. } = engine.delete(&context, &collection, ids).await?;
    Ok(Json(DeleteAnswer { deleted, generation }))
}

/// The document that is to go.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeleteParams {
    /// May be left out where the server has one collection.
    #[serde(default)]
    collection: String,
    id: String,
}

/// Remove one document.
#[utoipa::path(delete, path = "/documents", tag = "documents", params(DeleteParams), responses(
    (status = 200, body = DeleteAnswer),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody),
))]
pub(crate) async fn delete_one(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Query(DeleteParams { collection, id }): Query<DeleteParams>,
) -> Result<Json<DeleteAnswer>, Failure> {
    let Written { deleted, generation, .. } = engine.delete(&context, &collection, vec![id]).await?;
    Ok(Json(DeleteAnswer { deleted, generation }))
}
