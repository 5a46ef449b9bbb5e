//! `/v1/embeddings` and `/v1/models`, as clients of OpenAI's API speak them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use berth_pipeline::Overlong;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::errors::{Body, written};
use crate::engine::texts::{EmbedRequest, Embedded, Input, VectorKind, VectorValue};
use crate::engine::{Context, Engine, missing};
use crate::failure::{Code, Failure};

/// Texts to be turned into vectors.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct EmbeddingsRequest {
    /// One text, several, the token ids of one, or those of several.
    input: InputShape,
    /// Installed model; the server's default one where it is left out.
    #[serde(default)]
    model: String,
    /// `float`, or `base64` for little-endian 32-bit floats.
    #[serde(default)]
    encoding_format: EncodingFormat,
    /// Values of a vector that are kept.
    #[serde(default)]
    dimensions: Option<usize>,
    /// Not read.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    #[allow(dead_code)]
    user: Option<Value>,
    /// Berth's own: the prompt of the model's card that stands before each text, such as `query`; that of passages where it
    /// is left out.
    #[serde(default)]
    prompt: String,
    /// Berth's own: read the beginning of texts that are too long instead of refusing them.
    #[serde(default)]
    truncate: bool,
}

/// What `input` may be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum InputShape {
    Text(String),
    Texts(Vec<String>),
    Ids(Vec<u32>),
    ManyIds(Vec<Vec<u32>>),
}

impl InputShape {
    fn inputs(self) -> Vec<Input> {
        match self {
            Self::Text(text) => vec![Input::Text(text)],
            Self::Texts(texts) => texts.into_iter().map(Input::Text).collect(),
            Self::Ids(ids) => vec![Input::Ids(ids)],
            Self::ManyIds(many) => many.into_iter().map(Input::Ids).collect(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EncodingFormat {
    #[default]
    Float,
    Base64,
}

/// The vectors, in the order of the inputs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmbeddingsAnswer {
    /// Always `list`.
    object: &'static str,
    data: Vec<EmbeddingItem>,
    model: String,
    usage: Usage,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmbeddingItem {
    /// Always `embedding`.
    object: &'static str,
    index: usize,
    embedding: EmbeddingValue,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum EmbeddingValue {
    Floats(Vec<f32>),
    Base64(String),
}

/// Tokens that were read, special ones included.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// An error of this family.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenAiError {
    error: OpenAiErrorDetail,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenAiErrorDetail {
    message: String,
    r#type: String,
    param: Option<String>,
    code: String,
}

/// Turn texts into vectors.
#[utoipa::path(post, path = "/v1/embeddings", tag = "openai", request_body = EmbeddingsRequest, responses(
    (status = 200, body = EmbeddingsAnswer),
    (status = 400, body = OpenAiError), (status = 401, body = OpenAiError), (status = 403, body = OpenAiError),
    (status = 404, body = OpenAiError), (status = 413, body = OpenAiError), (status = 429, body = OpenAiError),
    (status = 503, body = OpenAiError), (status = 504, body = OpenAiError),
))]
pub(crate) async fn embeddings(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(request): Body<EmbeddingsRequest>,
) -> Result<Response, Failure> {
    let EmbeddingsRequest { input, model, encoding_format, dimensions, prompt, truncate, .. } = request;
    let inputs = input.inputs();
    let overlong = if truncate { Overlong::Cut } else { Overlong::Refuse };
    let request = EmbedRequest { model, inputs, prompt, overlong, dimensions, kind: VectorKind::Dense };
    let Embedded { model, vectors, tokens } = engine.embed(&context, request).await?;
    let item = move |(index, vectors): (usize, crate::engine::texts::Vectors)| {
        let VectorValue::Dense(embedding) = vectors.value else {
            return Err(Failure::new(Code::Internal, "the model gave no vector"));
        };
        let values = embedding.as_slice();
        let embedding = match encoding_format {
            EncodingFormat::Float => EmbeddingValue::Floats(values.to_vec()),
            EncodingFormat::Base64 => {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                EmbeddingValue::Base64(BASE64_STANDARD.encode(bytes))
            }
        };
        Ok(EmbeddingItem { object: "embedding", index, embedding })
    };
    written(move || {
        let data = vectors.into_iter().enumerate().map(item).collect::<Result<_, Failure>>()?;
        let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
        Ok(EmbeddingsAnswer { object: "list", data, model, usage })
    })
    .await
}

/// The models that are installed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// Always `list`.
    object: &'static str,
    data: Vec<ModelItem>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ModelItem {
    id: String,
    /// Always `model`.
    object: &'static str,
    /// Not known: 0.
    created: u64,
    /// Always `berth`.
    owned_by: &'static str,
}

/// List models.
#[utoipa::path(get, path = "/v1/models", tag = "openai", responses(
    (status = 200, body = ModelList), (status = 401, body = OpenAiError), (status = 403, body = OpenAiError),
    (status = 429, body = OpenAiError),
))]
pub(crate) async fn models(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
) -> Result<Json<ModelList>, Failure> {
    let item = |model: crate::engine::texts::ModelLine| ModelItem {
        id: model.name,
        object: "model",
        created: 0,
        owned_by: "berth",
    };
    let data = engine.list_models(&context).await?.into_iter().map(item).collect();
    Ok(Json(ModelList { object: "list", data }))
}

/// Describe a model.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "openai", params(("id" = String, Path)), responses(
    (status = 200, body = ModelItem), (status = 400, body = OpenAiError), (status = 401, body = OpenAiError),
    (status = 403, body = OpenAiError), (status = 404, body = OpenAiError), (status = 429, body = OpenAiError),
))]
pub(crate) async fn model(
    state: State<Arc<Engine>>,
    context: Extension<Context>,
    Path(id): Path<String>,
) -> Result<Json<ModelItem>, Failure> {
    let Json(ModelList { data, .. }) = models(state, context).await?;
    let found = data.into_iter().find(|model| model.id == id);
    found.map(Json).ok_or_else(|| missing("model", "there is no such model; /v1/models lists those that there are"))
}
