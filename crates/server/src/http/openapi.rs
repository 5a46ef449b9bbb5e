//! `/openapi.json`: the interface, as machines read it.

use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{collections, documents, jobs, openai, ops, rerank, search, tei};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Berth",
        description = "Search that understands meaning, and the models behind it. Byte offsets are of UTF-8; ranks begin at 1, \
                       and a higher score is better. Where the server has API keys, send one as `Authorization: Bearer KEY`.",
    ),
    paths(
        search::search, search::search_by_address, search::search_batch, search::complete,
        documents::put, documents::get, documents::delete, documents::delete_one,
        collections::collections, collections::collection, collections::create,
        jobs::start_job, jobs::jobs, jobs::job, jobs::snapshot,
        openai::embeddings, openai::models, openai::model,
        rerank::rerank,
        tei::embed, tei::embed_all, tei::embed_sparse, tei::scores::rerank, tei::scores::predict, tei::similarity, tei::tokens::tokenize, tei::tokens::decode,
        tei::info, tei::health,
        ops::healthz, ops::readyz, ops::metrics, ops::attention,
    ),
    modifiers(&Keys),
    security((), ("key" = [])),
    tags(
        (name = "search", description = "Questions to collections"),
        (name = "documents", description = "What collections hold"),
        (name = "collections", description = "The collections themselves"),
        (name = "jobs", description = "Work that takes its time"),
        (name = "openai", description = "Vectors, as clients of OpenAI's API ask for them"),
        (name = "rerank", description = "Reranking, in the shape that Cohere and Jina share"),
        (name = "text-embeddings-inference", description = "The routes of text-embeddings-inference"),
        (name = "operation", description = "For operators and the curious"),
    ),
)]
struct Interface;

struct Keys;

impl Modify for Keys {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = openapi.components.get_or_insert_with(Default::default);
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
    }
}

/// The interface.
pub(crate) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Interface::openapi())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let described = serde_json::to_value(Interface::openapi()).unwrap();
        let mut names = std::collections::BTreeSet::new();
        for operations in described["paths"].as_object().unwrap().values() {
            for operation in operations.as_object().unwrap().values() {
                let name = operation["operationId"].as_str().unwrap().to_owned();
                assert!(names.insert(name.clone()), "{name}");
            }
        }
        assert!(names.len() > 30, "{names:?}");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let described = serde_json::to_value(Interface::openapi()).unwrap();
        let text = described.to_string();
        let mut count = 0;
        for (at, prefix) in text.match_indices("#/components/schemas/") {
            let name: String = text[at + prefix.len()..].chars().take_while(|&c| c != '"').collect();
            assert!(described["components"]["schemas"].get(&name).is_some(), "{name}");
            count += 1;
        }
        assert!(count > 50, "{count}");
    }
}
