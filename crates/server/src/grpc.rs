//! gRPC: messages and services. What they ask for is done in `engine`, and who may ask for it is said there too.

mod admin;
mod documents;
mod models;
mod search;
pub(crate) mod status;

/// Code that is generated from the protocol.
pub(crate) mod proto {
    #![allow(missing_docs, clippy::pedantic, clippy::all, unreachable_pub)]
    tonic::include_proto!("berth.v1");
}

use std::sync::Arc;

use axum::Router;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use tonic::Status;
use tonic_health::server::HealthReporter;

use self::proto::admin_service_server::AdminServiceServer;
use self::proto::document_service_server::DocumentServiceServer;
use self::proto::model_service_server::ModelServiceServer;
use self::proto::search_service_server::SearchServiceServer;
use crate::engine::{Context, Engine};

/// The protocol, as reflection shows it.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The services that there are, by their full names.
pub(crate) const SERVICES: [&str; 4] =
    ["berth.v1.SearchService", "berth.v1.ModelService", "berth.v1.DocumentService", "berth.v1.AdminService"];
/// Beside them: health and reflection.
const OTHERS: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// Answers the calls of one service.
struct Service(Arc<Engine>);

/// Whether a request is of gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Whether a path is a service's.
pub(crate) fn is_known(path: &str) -> bool {
    let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    SERVICES.into_iter().chain(OTHERS).any(|known| known == service)
}

/// All services, and who says whether they serve.
pub(crate) fn routes(engine: &Arc<Engine>) -> Result<(Router, HealthReporter), tonic_reflection::server::Error> {
    let most = engine.limits.message_bytes;
    let service = || Service(Arc::clone(engine));
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // What is sent is bounded by k and by the inputs.
    let router = Router::new()
        .route_service(
            "/berth.v1.SearchService/{rpc}",
            SearchServiceServer::new(service()).max_decoding_message_size(most).max_encoding_message_size(usize::MAX),
        )
        .route_service(
            "/berth.v1.ModelService/{rpc}",
            ModelServiceServer::new(service()).max_decoding_message_size(most).max_encoding_message_size(usize::MAX),
        )
        .route_service(
            "/berth.v1.DocumentService/{rpc}",
            DocumentServiceServer::new(service()).max_decoding_message_size(most).max_encoding_message_size(usize::MAX),
        )
        .route_service(
            "/berth.v1.AdminService/{rpc}",
            AdminServiceServer::new(service()).max_decoding_message_size(most),
        )
        .route_service("/grpc.health.v1.Health/{rpc}", health)
        .route_service("/grpc.reflection.v1.ServerReflection/{rpc}", reflection().build_v1()?)
        .route_service("/grpc.reflection.v1alpha.ServerReflection/{rpc}", reflection().build_v1alpha()?);
    Ok((router, reporter))
}

/// Who asks, as the guard found out.
fn context<T>(request: &tonic::Request<T>) -> Result<Context, Status> {
    request.extensions().get::<Context>().cloned().ok_or_else(|| Status::internal("the request passed no guard"))
}
