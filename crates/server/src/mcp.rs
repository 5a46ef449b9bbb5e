//! The Model Context Protocol: assistants search collections and read documents.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::stdio;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, ServiceExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::Task;
use crate::access::Caller;
use crate::access::audit::Audit;
use crate::engine::documents::{Listed, the_one};
use crate::engine::search::SearchRequest;
use crate::engine::{Context, Engine, Renewal, blocking};
use crate::failure::Failure;
use crate::http::errors::bytes;
use crate::options::ServerOptions;

/// Hits unless another number is asked for: assistants read all of them.
const HITS: usize = 5;
/// Characters of a document that are read at once unless another number is asked for.
const CHARS: usize = 20_000;

/// What assistants are told first.
const INSTRUCTIONS: &str = "Search over indexed documents by meaning and by words. Use list_collections to see what there is, \
                            search to find passages, and get to read a document that search found.";

/// Answers assistants.
#[derive(Clone)]
struct Assistant {
    engine: Arc<Engine>,
    /// Who asks where no request of HTTP says so.
    local: bool,
}

/// The route of MCP over HTTP; each request stands for itself.
pub(crate) fn routes(engine: &Arc<Engine>) -> Router {
    let assistant = Assistant { engine: Arc::clone(engine), local: false };
    // Names and origins are the guard's to check.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts()
        .with_max_request_body_bytes(usize::MAX);
    let service =
        StreamableHttpService::new(move || Ok(assistant.clone()), Arc::new(NeverSessionManager::default()), config);
    // The body is read here, so that its limits are those of other routes, in the same words.
    let answer = move |request: Request| {
        let service = service.clone();
        async move {
            let (parts, body) = request.into_parts();
            let limits = parts.extensions.clone();
            let mut whole = Request::new(body);
            *whole.extensions_mut() = limits;
            let body = bytes(whole).await?;
            let answer = service.oneshot(Request::from_parts(parts, Body::from(body))).await;
            let answer: Result<Response, Failure> =
                answer.map(|response| response.map(Body::new)).map_err(|never| match never {});
            answer
        }
    };
    Router::new().route("/mcp", any(answer))
}

/// Answers an assistant on standard input and output until it goes away.
///
/// # Errors
/// A transport that fails.
pub fn serve_stdio(options: ServerOptions) -> Task<io::Result<()>> {
    Box::pin(async move {
        let engine = Engine::new(&options, Audit::open(None)?);
        let assistant = Assistant { engine: Arc::clone(&engine), local: true };
        let running = assistant.serve(stdio()).await.map_err(io::Error::other)?;
        running.waiting().await.map_err(io::Error::other)?;
        engine.stop(Instant::now()).await;
        Ok(())
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchArguments {
    query: String,
    #[serde(default)]
    collection: String,
    #[serde(default)]
    k: Option<usize>,
    #[serde(default)]
    filter: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetArguments {
    id: String,
    #[serde(default)]
    collection: String,
    /// Characters, not bytes: assistants count in these.
    #[serde(default)]
    start: usize,
    #[serde(default)]
    length: Option<usize>,
}

impl ServerHandler for Assistant {
    fn get_info(&self) -> ServerConfig {
        let mut config = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        config.server_info = Implementation::new("berth", env!("CARGO_PKG_VERSION")).with_title("Berth");
        config.instructions = Some(INSTRUCTIONS.to_owned());
        config
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult { tools: tools(), ..ListToolsResult::default() })
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools().into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        asked: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let context = self.context(&asked)?;
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let answer = match request.name.as_ref() {
            "search" => self.search(&context, arguments).await,
            "get" => self.get(&context, arguments).await,
            "list_collections" => self.list(&context).await,
            other => return Err(ErrorData::invalid_params(format!("there is no tool '{other}'"), None)),
        };
        let result = match answer {
            Ok((text, structured)) => {
                let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
                result.structured_content = Some(structured);
                result
            }
            Err(failure) => CallToolResult::error(vec![ContentBlock::text(failure.message)]),
        };
        Ok(result.into())
    }
}

/// What is said in words, and the same as data.
type Answer = Result<(String, Value), Failure>;

impl Assistant {
    /// Who asks: as the guard found out, or whoever started this process.
    fn context(&self, asked: &RequestContext<RoleServer>) -> Result<Context, ErrorData> {
        let of_http =
            asked.extensions.get::<http::request::Parts>().and_then(|parts| parts.extensions.get::<Context>());
        match of_http {
            Some(context) => Ok(context.clone()),
            None if self.local => {
                let deadline = Instant::now() + self.engine.limits.get().request_timeout;
                let renewal = Renewal::new(|| Ok(Caller::anyone("local")));
                Ok(Context { caller: Caller::anyone("local"), deadline, lane: None, renewal })
            }
            None => Err(ErrorData::internal_error("the request passed no guard", None)),
        }
    }

    async fn search(&self, context: &Context, arguments: Value) -> Answer {
        let SearchArguments { query, collection, k, filter } = read(arguments)?;
        // Whoever runs an assistant on their own machine owns what is on it.
        let as_owner = self.local;
        let k = k.unwrap_or(HITS);
        let request = SearchRequest { collection, query, k, filter, as_owner, ..SearchRequest::default() };
        let reply = self.engine.search(context, request, |searched| searched.reply).await?;
        let mut text = String::new();
        for hit in &reply.hits {
            let title = if hit.title.is_empty() { &hit.document } else { &hit.title };
            let _ = write!(
                text,
                "{}. {title} (relevance {:.2})\nid: {}\nbytes {} to {}\n{}\n\n",
                hit.rank, hit.relevance, hit.document, hit.chunk.start, hit.chunk.end, hit.text
            );
        }
        if reply.hits.is_empty() {
            text.push_str("Nothing was found.");
        }
        if let Some(suggestion) = &reply.suggestion {
            let _ = writeln!(text, "Did you mean: {suggestion}");
        }
        let hits = reply.hits.iter().map(|hit| {
            json!({
                "rank": hit.rank, "id": hit.document, "title": hit.title, "relevance": hit.relevance, "text": hit.text,
                "start": hit.chunk.start, "end": hit.chunk.end,
            })
        });
        Ok((
            text,
            json!({"hits": hits.collect::<Vec<_>>(), "suggestion": reply.suggestion, "warnings": reply.warnings}),
        ))
    }

    async fn get(&self, context: &Context, arguments: Value) -> Answer {
        let GetArguments { id, collection, start, length } = read(arguments)?;
        let found = self.engine.documents(context, &collection, vec![id.clone()], (&[], self.local)).await?;
        let document = the_one(found, &id)?.document;
        blocking(move || {
            let all = document.text.chars().count();
            let part: String = document.text.chars().skip(start).take(length.unwrap_or(CHARS)).collect();
            let end = (start + part.chars().count()).min(all);
            let rest = if end < all { format!("\n\n[characters {start} to {end} of {all}]") } else { String::new() };
            let structured = json!({
                "id": document.id, "title": document.title, "metadata": document.metadata, "text": part,
                "start": start, "end": end, "characters": all,
            });
            Ok((format!("{}\n\n{part}{rest}", document.title), structured))
        })
        .await
    }

    async fn list(&self, context: &Context) -> Answer {
        let listed = self.engine.list(context).await?;
        let line = |Listed { name, known, error, .. }: &Listed| match known {
            Some(known) => {
                format!("{name}: {} documents, {} passages, model {}", known.documents, known.chunks, known.model)
            }
            None => format!("{name}{}", error.as_ref().map_or(String::new(), |error| format!(": {error}"))),
        };
        let text: Vec<String> = listed.iter().map(line).collect();
        let names = listed.iter().map(
            |listed| json!({"name": listed.name, "documents": listed.known.as_ref().map(|known| known.documents)}),
        );
        Ok((text.join("\n"), json!({"collections": names.collect::<Vec<_>>()})))
    }
}

fn read<T: serde::de::DeserializeOwned>(arguments: Value) -> Result<T, Failure> {
    serde_json::from_value(arguments).map_err(|error| Failure::invalid("arguments", error.to_string()))
}

fn tools() -> Vec<Tool> {
    let collection =
        json!({"type": "string", "description": "Name of a collection; may be left out where there is one"});
    let tool = |name: &'static str, description: &'static str, properties: Value, required: &[&str]| {
        let schema =
            json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
        let Value::Object(schema) = schema else { unreachable!("it is written as an object") };
        let mut tool = Tool::new(name, description, Arc::new(schema));
        tool.annotations = Some(ToolAnnotations::from_raw(None, Some(true), Some(false), Some(true), Some(false)));
        tool
    };
    vec![
        tool(
            "search",
            "Find passages that answer a question, by meaning and by words. Returns the best passages with the ids of their \
             documents.",
            json!({
                "query": {"type": "string", "description": "The question, in plain words"},
                "collection": collection,
                "k": {"type": "integer", "minimum": 1, "description": "Most passages; 5 where it is left out"},
                "filter": {"type": "string", "description": "Only documents that fulfil this, such as lang:en AND year:[2020 TO *]"},
            }),
            &["query"],
        ),
        tool(
            "get",
            "Read a document by the id that search gave, whole or in part.",
            json!({
                "id": {"type": "string", "description": "Id of the document"},
                "collection": collection,
                "start": {"type": "integer", "minimum": 0, "description": "First character; 0 where it is left out"},
                "length": {"type": "integer", "minimum": 1, "description": "Most characters; 20000 where it is left out"},
            }),
            &["id"],
        ),
        tool("list_collections", "List the collections and how much they hold.", json!({}), &[]),
    ]
}
