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

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Status;
use tonic_health::server::HealthReporter;
use tower::{Service as _, service_fn};

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
/// Those of reflection.
const REFLECTION: [&str; 2] = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// Answers the calls of one service.
struct Service(Arc<Engine>);

/// Whether a request is of gRPC: `application/grpc`, alone or with an encoding such as `+proto`.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.as_bytes().strip_prefix(b"application/grpc"));
    kind.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+") || rest.starts_with(b";"))
}

/// Paths of all methods that there are, and whether each is a stream.
fn methods() -> &'static HashMap<String, bool> {
    static METHODS: OnceLock<HashMap<String, bool>> = OnceLock::new();
    METHODS.get_or_init(|| {
        let sets = [DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET];
        let files = sets.into_iter().filter_map(|set| FileDescriptorSet::decode(set).ok()).flat_map(|set| set.file);
        let mut methods: HashMap<String, bool> =
            REFLECTION.into_iter().map(|service| (format!("/{service}/ServerReflectionInfo"), true)).collect();
        for file in files {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    methods.insert(path, method.client_streaming() || method.server_streaming());
                }
            }
        }
        methods
    })
}

/// Whether a path is that of a method.
pub(crate) fn is_known(path: &str) -> bool {
    methods().contains_key(path)
}

/// Whether a method takes or gives a stream, which may go on for as long as both sides like.
pub(crate) fn is_stream(path: &str) -> bool {
    methods().get(path).copied().unwrap_or(false)
}

/// All services, and who says whether they serve.
pub(crate) fn routes(engine: &Arc<Engine>) -> Result<(Router, HealthReporter), tonic_reflection::server::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // A service is made for each call, with the limits of its moment.
    macro_rules! service {
        ($server:ident) => {{
            let (service, limits) = (Arc::new(Service(Arc::clone(engine))), engine.limits.clone());
            service_fn(move |request: Request<Body>| {
                // What is sent is bounded by k and by the inputs.
                $server::from_arc(Arc::clone(&service))
                    .max_decoding_message_size(limits.get().message_bytes)
                    .max_encoding_message_size(usize::MAX)
                    .call(request)
            })
        }};
    }
    let router = Router::new()
        .route_service("/berth.v1.SearchService/{rpc}", service!(SearchServiceServer))
        .route_service("/berth.v1.ModelService/{rpc}", service!(ModelServiceServer))
        .route_service("/berth.v1.DocumentService/{rpc}", service!(DocumentServiceServer))
        .route_service("/berth.v1.AdminService/{rpc}", service!(AdminServiceServer))
        .route_service("/grpc.health.v1.Health/{rpc}", health)
        .route_service("/grpc.reflection.v1.ServerReflection/{rpc}", reflection().build_v1()?)
        .route_service("/grpc.reflection.v1alpha.ServerReflection/{rpc}", reflection().build_v1alpha()?);
    Ok((router, reporter))
}

/// Who asks, as the guard found out.
fn context<T>(request: &tonic::Request<T>) -> Result<Context, Status> {
    request.extensions().get::<Context>().cloned().ok_or_else(|| Status::internal("the request passed no guard"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_known_by_their_descriptors() {
        for path in ["/berth.v1.SearchService/Search", "/grpc.health.v1.Health/Check"] {
            assert!(is_known(path) && !is_stream(path), "{path}");
        }
        for path in
            ["/berth.v1.DocumentService/Index", "/berth.v1.ModelService/EmbedStream", "/grpc.health.v1.Health/Watch"]
        {
            assert!(is_stream(path), "{path}");
        }
        assert!(!is_known("/berth.v1.SearchService/Nothing") && !is_known("/search"));
        let services: std::collections::BTreeSet<&str> = methods()
            .keys()
            .filter_map(|path| path[1..].split('/').next())
            .filter(|name| name.starts_with("berth"))
            .collect();
        assert_eq!(services, SERVICES.into_iter().collect());
    }
}
