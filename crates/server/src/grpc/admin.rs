//! `AdminService`.

use tonic::{Request, Response, Status};

use super::proto::admin_service_server::AdminService;
use super::{Service, context, proto};
use crate::access::keys::Scope;
use crate::engine::documents::{Described, Listed, NewCollection, declared};
use crate::engine::jobs::{Job, JobKind};

#[tonic::async_trait]
impl AdminService for Service {
    async fn list_collections(
        &self,
        request: Request<proto::ListCollectionsRequest>,
    ) -> Result<Response<proto::ListCollectionsResponse>, Status> {
        let listed = self.0.list(&context(&request)?).await?;
        let collection = |Listed { name, state, error, known }: Listed| {
            let (documents, chunks, model) =
                known.map_or_else(Default::default, |known| (known.documents, known.chunks, known.model));
            let (state, error) = (state.to_owned(), error.unwrap_or_default());
            proto::Collection { name, state, error, documents, chunks, model }
        };
        let collections = listed.into_iter().map(collection).collect();
        Ok(Response::new(proto::ListCollectionsResponse { collections }))
    }

    async fn create_collection(
        &self,
        request: Request<proto::CreateCollectionRequest>,
    ) -> Result<Response<proto::Collection>, Status> {
        let context = context(&request)?;
        let proto::CreateCollectionRequest { name, model, window, overlap, fields, access_field } =
            request.into_inner();
        let fields = declared(&fields)?;
        let access_field = Some(access_field).filter(|field| !field.is_empty());
        let (window, overlap) = (window.map(|tokens| tokens as usize), overlap.map(|tokens| tokens as usize));
        let wanted = NewCollection { name: name.clone(), model, window, overlap, fields, access_field };
        self.0.create(&context, wanted).await?;
        let described = self.0.describe(&context, &name).await?;
        let (state, error, model) = ("open".to_owned(), String::new(), described.built_with.model);
        Ok(Response::new(proto::Collection { name, state, error, documents: 0, chunks: 0, model }))
    }

    async fn status(&self, request: Request<proto::StatusRequest>) -> Result<Response<proto::StatusResponse>, Status> {
        let context = context(&request)?;
        let Described { name, status, built_with, dimensions, fields, .. } =
            self.0.describe(&context, &request.into_inner().collection).await?;
        let collection = proto::Collection {
            name,
            state: "open".to_owned(),
            error: String::new(),
            documents: status.documents,
            chunks: status.chunks,
            model: built_with.model,
        };
        Ok(Response::new(proto::StatusResponse {
            collection: Some(collection),
            generation: status.generation,
            format: status.format,
            precision: built_with.precision,
            fingerprint: built_with.fingerprint,
            dimensions: dimensions as u32,
            window_tokens: built_with.window_tokens as u32,
            overlap_tokens: built_with.overlap_tokens as u32,
            lexical_bytes: status.lexical_bytes,
            dense_bytes: status.dense_bytes,
            graph_rows: status.graph_rows,
            graph_recall_at_10: status.graph_recall_at_10,
            fields: fields.into_iter().map(|(name, kind)| (name, kind.to_string())).collect(),
        }))
    }

    async fn snapshot(&self, request: Request<proto::SnapshotRequest>) -> Result<Response<proto::Job>, Status> {
        let context = context(&request)?;
        let proto::SnapshotRequest { collection, name } = request.into_inner();
        Ok(Response::new(job(self.0.snapshot(&context, &collection, &name).await?)))
    }

    async fn start_job(&self, request: Request<proto::StartJobRequest>) -> Result<Response<proto::Job>, Status> {
        let context = context(&request)?;
        context.caller.may(Scope::Admin)?;
        let proto::StartJobRequest { collection, kind } = request.into_inner();
        let kind: JobKind = kind.parse()?;
        Ok(Response::new(job(self.0.start_job(&context, &collection, kind)?)))
    }

    async fn list_jobs(
        &self,
        request: Request<proto::ListJobsRequest>,
    ) -> Result<Response<proto::ListJobsResponse>, Status> {
        let jobs = self.0.list_jobs(&context(&request)?)?;
        Ok(Response::new(proto::ListJobsResponse { jobs: jobs.into_iter().map(job).collect() }))
    }

    async fn get_job(&self, request: Request<proto::GetJobRequest>) -> Result<Response<proto::Job>, Status> {
        let context = context(&request)?;
        Ok(Response::new(job(self.0.job(&context, &request.into_inner().id)?)))
    }
}

fn job(job: Job) -> proto::Job {
    let (state, message) = job.words();
    let (state, message, seconds) = (state.to_owned(), message.to_owned(), job.seconds());
    proto::Job { id: job.id, collection: job.collection, kind: job.kind.as_str().to_owned(), state, message, seconds }
}
