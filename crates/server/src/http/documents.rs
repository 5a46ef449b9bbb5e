//! `/documents`, `/collections`, `/jobs`, `/snapshots`: what collections hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequest as _, Path, Request, State};
use axum::{Extension, Json};
use berth_pipeline::{BuiltWith, GivenOutcome, IndexStatus, StoredDocument};
use berth_types::{Document, FieldDeclaration, FieldKind};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::errors::{Body, ErrorBody, Query, bytes};
use super::search::words;
use crate::access::keys::Scope;
use crate::engine::documents::{Described, Known, Lengths, Listed, NewCollection, the_one};
use crate::engine::jobs::{Job, JobKind, JobState};
use crate::engine::writing::{Written, counted};
use crate::engine::{Context, Engine};
use crate::failure::Failure;
use crate::metrics::LatencyReport;

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
    let PutRequest { collection, documents, access } = if kind.starts_with("application/x-ndjson") {
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

/// The collections that the key is for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CollectionList {
    collections: Vec<CollectionLine>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CollectionLine {
    name: String,
    /// `open` when it was in memory, `closed` when it was opened for this, `failed` when it cannot be.
    state: &'static str,
    /// Why it cannot be opened.
    error: Option<String>,
    documents: Option<u64>,
    chunks: Option<u64>,
    model: Option<String>,
}

impl From<Listed> for CollectionLine {
    fn from(Listed { name, state, error, known }: Listed) -> Self {
        let Known { documents, chunks, model } = match known {
            Some(known) => known,
            None => return Self { name, state, error, documents: None, chunks: None, model: None },
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
    let field = |words: &String| words.parse::<FieldDeclaration>();
    let fields = fields.iter().map(field).collect::<Result<Vec<_>, _>>();
    let fields = fields.map_err(|error| Failure::invalid("fields", error.to_string()))?;
    engine.create(&context, NewCollection { name: name.clone(), model, window, overlap, fields, access_field }).await?;
    let described = collection(State(engine), Extension(context), Path(name)).await?;
    Ok((StatusCode::CREATED, described))
}

/// Work on a collection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobAnswer {
    id: String,
    collection: String,
    /// compact, purge, verify or snapshot.
    kind: &'static str,
    /// running, done or failed.
    state: &'static str,
    /// What came of it, or why it failed.
    message: String,
    seconds: f64,
}

impl From<Job> for JobAnswer {
    fn from(job: Job) -> Self {
        let Job { id, collection, kind, state, started, took } = job;
        let (state, message) = match state {
            JobState::Running => ("running", String::new()),
            JobState::Done(message) => ("done", message),
            JobState::Failed(message) => ("failed", message),
        };
        let seconds = took.unwrap_or_else(|| started.elapsed()).as_secs_f64();
        Self { id, collection, kind: kind.as_str(), state, message, seconds }
    }
}

/// Jobs, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobList {
    jobs: Vec<JobAnswer>,
}

/// Work that is to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobRequest {
    /// May be left out where the server has one collection.
    #[serde(default)]
    collection: String,
    /// compact, purge, verify or snapshot.
    kind: String,
}

/// Begin work in the background.
#[utoipa::path(post, path = "/jobs", tag = "jobs", request_body = JobRequest, responses(
    (status = 202, body = JobAnswer),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 429, body = ErrorBody),
))]
pub(crate) async fn start_job(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(JobRequest { collection, kind }): Body<JobRequest>,
) -> Result<(StatusCode, Json<JobAnswer>), Failure> {
    context.caller.may(Scope::Admin)?;
    let kind: JobKind = kind.parse()?;
    Ok((StatusCode::ACCEPTED, Json(engine.start_job(&context, &collection, kind)?.into())))
}

/// List jobs.
#[utoipa::path(get, path = "/jobs", tag = "jobs", responses(
    (status = 200, body = JobList),
    (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 429, body = ErrorBody),
))]
pub(crate) async fn jobs(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
) -> Result<Json<JobList>, Failure> {
    Ok(Json(JobList { jobs: engine.list_jobs(&context)?.into_iter().map(JobAnswer::from).collect() }))
}

/// How far a job is.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", params(("id" = String, Path)), responses(
    (status = 200, body = JobAnswer),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 429, body = ErrorBody),
))]
pub(crate) async fn job(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Path(id): Path<String>,
) -> Result<Json<JobAnswer>, Failure> {
    Ok(Json(engine.job(&context, &id)?.into()))
}

/// A copy that is to be kept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotRequest {
    /// May be left out where the server has one collection.
    #[serde(default)]
    collection: String,
    /// Name of the copy; the moment where it is left out.
    #[serde(default)]
    name: String,
}

/// Keep a copy of a collection beside it.
#[utoipa::path(post, path = "/snapshots", tag = "jobs", request_body = SnapshotRequest, responses(
    (status = 200, body = JobAnswer),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody),
))]
pub(crate) async fn snapshot(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(SnapshotRequest { collection, name }): Body<SnapshotRequest>,
) -> Result<Json<JobAnswer>, Failure> {
    Ok(Json(engine.snapshot(&context, &collection, &name).await?.into()))
}
