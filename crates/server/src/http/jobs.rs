//! `/jobs`, `/snapshots`: work that takes its time.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::errors::{Body, ErrorBody};
use crate::access::keys::Scope;
use crate::engine::jobs::{Job, JobKind};
use crate::engine::{Context, Engine};
use crate::failure::Failure;

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
        let (state, message) = job.words();
        let (message, seconds, kind) = (message.to_owned(), job.seconds(), job.kind.as_str());
        Self { id: job.id, collection: job.collection, kind, state, message, seconds }
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
    (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody),
))]
pub(crate) async fn snapshot(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(SnapshotRequest { collection, name }): Body<SnapshotRequest>,
) -> Result<Json<JobAnswer>, Failure> {
    Ok(Json(engine.snapshot(&context, &collection, &name).await?.into()))
}
