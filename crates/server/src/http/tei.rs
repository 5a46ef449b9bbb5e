//! The routes of text-embeddings-inference, in its shapes.

pub(crate) mod scores;
pub(crate) mod tokens;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use berth_pipeline::Overlong;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::errors::{Body, written};
use crate::engine::texts::{EmbedRequest, Embedded, Input, VectorKind, VectorValue, Vectors};
use crate::engine::{Context, Engine};
use crate::failure::{Code, Failure};

/// One of something, or several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// A text, or the token ids of one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum TextOrIds {
    Text(String),
    Ids(Vec<u32>),
}

impl From<TextOrIds> for Input {
    fn from(input: TextOrIds) -> Self {
        match input {
            TextOrIds::Text(text) => Self::Text(text),
            TextOrIds::Ids(ids) => Self::Ids(ids),
        }
    }
}

/// Texts for a model.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct TeiEmbedRequest {
    /// A text or token ids, or a list of them.
    inputs: OneOrMany<TextOrIds>,
    /// Read the beginning of texts that are too long instead of refusing them.
    #[serde(default)]
    truncate: Option<bool>,
    /// Name of the prompt in the model's card.
    #[serde(default)]
    prompt_name: Option<String>,
    /// Vectors are always of length one; `false` is refused.
    #[serde(default)]
    normalize: Option<bool>,
    /// Values of a vector that are kept.
    #[serde(default)]
    dimensions: Option<usize>,
    /// `right`; nothing else.
    #[serde(default)]
    truncation_direction: Option<String>,
    /// Berth's own: installed model; the server's default one where it is left out.
    #[serde(default)]
    model: String,
}

/// An error of this family.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TeiError {
    error: String,
    error_type: String,
}

impl TeiEmbedRequest {
    fn request(self, kind: VectorKind) -> Result<EmbedRequest, Failure> {
        let Self { inputs, truncate, prompt_name, normalize, dimensions, truncation_direction, model } = self;
        if normalize == Some(false) {
            return Err(Failure::invalid("normalize", "vectors are always of length one; leave normalize out"));
        }
        check_direction(truncation_direction.as_deref())?;
        let inputs = inputs.into_vec().into_iter().map(Input::from).collect();
        Ok(EmbedRequest {
            model,
            inputs,
            prompt: prompt_name.unwrap_or_default(),
            overlong: cut(truncate),
            dimensions,
            kind,
        })
    }
}

/// A wish to cut elsewhere than at the end.
fn check_direction(direction: Option<&str>) -> Result<(), Failure> {
    match direction.map(str::to_ascii_lowercase).as_deref() {
        None | Some("right") => Ok(()),
        Some(_) => {
            Err(Failure::invalid("truncation_direction", "texts are cut at their end; leave truncation_direction out"))
        }
    }
}

fn cut(truncate: Option<bool>) -> Overlong {
    if truncate == Some(true) { Overlong::Cut } else { Overlong::Refuse }
}

/// Turn texts into vectors.
#[utoipa::path(post, path = "/embed", tag = "text-embeddings-inference", request_body = TeiEmbedRequest, responses(
    (status = 200, body = Vec<Vec<f32>>),
    (status = 400, body = TeiError), (status = 401, body = TeiError), (status = 403, body = TeiError),
    (status = 404, body = TeiError), (status = 413, body = TeiError), (status = 429, body = TeiError),
    (status = 503, body = TeiError), (status = 504, body = TeiError),
))]
pub(crate) async fn embed(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(request): Body<TeiEmbedRequest>,
) -> Result<Response, Failure> {
    let Embedded { vectors, .. } = engine.embed(&context, request.request(VectorKind::Dense)?).await?;
    written(move || vectors.into_iter().map(dense).collect::<Result<Vec<_>, _>>()).await
}

fn dense(vectors: Vectors) -> Result<Vec<f32>, Failure> {
    match vectors.value {
        VectorValue::Dense(embedding) => Ok(embedding.as_slice().to_vec()),
        _ => Err(Failure::new(Code::Internal, "the model gave no vector")),
    }
}

/// Turn the tokens of texts into vectors.
#[utoipa::path(post, path = "/embed_all", tag = "text-embeddings-inference", request_body = TeiEmbedRequest, responses(
    (status = 200, body = Vec<Vec<Vec<f32>>>),
    (status = 400, body = TeiError), (status = 401, body = TeiError), (status = 403, body = TeiError),
    (status = 404, body = TeiError), (status = 413, body = TeiError), (status = 429, body = TeiError),
))]
pub(crate) async fn embed_all(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(request): Body<TeiEmbedRequest>,
) -> Result<Response, Failure> {
    let Embedded { vectors, .. } = engine.embed(&context, request.request(VectorKind::Tokens)?).await?;
    let rows = |vectors: Vectors| match vectors.value {
        VectorValue::Tokens { dimensions, values } => {
            Ok(values.chunks_exact(dimensions.max(1)).map(<[f32]>::to_vec).collect::<Vec<_>>())
        }
        _ => Err(Failure::new(Code::Internal, "the model gave no token vectors")),
    };
    written(move || vectors.into_iter().map(rows).collect::<Result<Vec<_>, _>>()).await
}

/// A term and its weight.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SparseValue {
    index: u32,
    value: f32,
}

/// Turn texts into learned-sparse vectors.
#[utoipa::path(post, path = "/embed_sparse", tag = "text-embeddings-inference", request_body = TeiEmbedRequest, responses(
    (status = 200, body = Vec<Vec<SparseValue>>),
    (status = 400, body = TeiError), (status = 401, body = TeiError), (status = 403, body = TeiError),
    (status = 404, body = TeiError), (status = 413, body = TeiError), (status = 429, body = TeiError),
))]
pub(crate) async fn embed_sparse(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(request): Body<TeiEmbedRequest>,
) -> Result<Response, Failure> {
    let Embedded { vectors, .. } = engine.embed(&context, request.request(VectorKind::Sparse)?).await?;
    let terms = |vectors: Vectors| match vectors.value {
        VectorValue::Sparse(terms) => {
            let value = |term: berth_pipeline::SparseTerm| SparseValue { index: term.id, value: term.weight };
            Ok(terms.into_iter().map(value).collect::<Vec<_>>())
        }
        _ => Err(Failure::new(Code::Internal, "the model gave no sparse vector")),
    };
    written(move || vectors.into_iter().map(terms).collect::<Result<Vec<_>, _>>()).await
}

/// A sentence, and others that it is compared with.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SimilarityRequest {
    inputs: SimilarityInputs,
    #[serde(default)]
    parameters: Option<SimilarityParameters>,
    /// Berth's own: installed model; the server's default one where it is left out.
    #[serde(default)]
    model: String,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SimilarityInputs {
    source_sentence: String,
    sentences: Vec<String>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct SimilarityParameters {
    #[serde(default)]
    truncate: Option<bool>,
    #[serde(default)]
    prompt_name: Option<String>,
    /// `right`; nothing else.
    #[serde(default)]
    truncation_direction: Option<String>,
}

/// Cosines of a sentence with others.
#[utoipa::path(post, path = "/similarity", tag = "text-embeddings-inference", request_body = SimilarityRequest, responses(
    (status = 200, body = Vec<f32>),
    (status = 400, body = TeiError), (status = 401, body = TeiError), (status = 403, body = TeiError),
    (status = 404, body = TeiError), (status = 413, body = TeiError), (status = 429, body = TeiError),
))]
pub(crate) async fn similarity(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(request): Body<SimilarityRequest>,
) -> Result<Json<Vec<f32>>, Failure> {
    let SimilarityRequest { inputs: SimilarityInputs { source_sentence, sentences }, parameters, model } = request;
    let SimilarityParameters { truncate, prompt_name, truncation_direction } = parameters.unwrap_or_default();
    check_direction(truncation_direction.as_deref())?;
    if sentences.is_empty() {
        return Err(Failure::invalid("sentences", "sentences is empty; send at least one"));
    }
    let inputs = [source_sentence].into_iter().chain(sentences).map(Input::Text).collect();
    let (prompt, overlong) = (prompt_name.unwrap_or_default(), cut(truncate));
    let request = EmbedRequest { model, inputs, prompt, overlong, dimensions: None, kind: VectorKind::Dense };
    let Embedded { vectors, .. } = engine.embed(&context, request).await?;
    let mut vectors = vectors.into_iter().map(dense);
    let source = vectors.next().unwrap_or_else(|| Err(Failure::lost()))?;
    let cosine = |other: Vec<f32>| source.iter().zip(other).map(|(one, other)| one * other).sum::<f32>();
    vectors.map(|vector| vector.map(cosine)).collect::<Result<_, _>>().map(Json)
}

/// What the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Info {
    /// The model that is meant where a request names none.
    model_id: String,
    /// Arithmetic of the model.
    model_dtype: String,
    #[schema(value_type = Object)]
    model_type: serde_json::Value,
    max_concurrent_requests: usize,
    /// Tokens that the model reads of a text.
    max_input_length: usize,
    max_batch_tokens: usize,
    max_client_batch_size: usize,
    auto_truncate: bool,
    /// Rows in the model at the same time.
    tokenization_workers: usize,
    version: &'static str,
}

/// Say what the server is.
#[utoipa::path(get, path = "/info", tag = "text-embeddings-inference", responses(
    (status = 200, body = Info), (status = 401, body = TeiError), (status = 403, body = TeiError),
    (status = 404, body = TeiError), (status = 429, body = TeiError), (status = 503, body = TeiError),
))]
pub(crate) async fn info(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
) -> Result<Json<Info>, Failure> {
    let model = engine.default_model(&context).await?;
    let (encoder, limits) = (model.encoder(), engine.limits.get());
    let card = encoder.card();
    Ok(Json(Info {
        model_id: card.name.clone(),
        model_dtype: encoder.precision().to_string(),
        model_type: serde_json::json!({"embedding": {"pooling": card.pooling.to_string()}}),
        max_concurrent_requests: limits.queue,
        max_input_length: card.max_tokens,
        max_batch_tokens: limits.tokens,
        max_client_batch_size: limits.inputs,
        auto_truncate: false,
        tokenization_workers: encoder.plan().workers,
        version: env!("CARGO_PKG_VERSION"),
    }))
}

/// Whether it can answer: every collection can be opened, and it is not stopping.
#[utoipa::path(get, path = "/health", tag = "text-embeddings-inference", responses(
    (status = 200), (status = 503, body = TeiError),
))]
pub(crate) async fn health(State(engine): State<Arc<Engine>>) -> Result<StatusCode, Failure> {
    engine.check_ready().await.map_err(|failure| Failure { code: Code::Unavailable, ..failure })?;
    Ok(StatusCode::OK)
}
