//! The routes of text-embeddings-inference, in its shapes.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use berth_pipeline::{Overlong, RowToken};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::errors::Body;
use crate::engine::texts::{EmbedRequest, Embedded, Input, Labelled, VectorKind, VectorValue, Vectors};
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
) -> Result<Json<Vec<Vec<f32>>>, Failure> {
    let Embedded { vectors, .. } = engine.embed(&context, request.request(VectorKind::Dense)?).await?;
    vectors.into_iter().map(dense).collect::<Result<_, _>>().map(Json)
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
) -> Result<Json<Vec<Vec<Vec<f32>>>>, Failure> {
    let Embedded { vectors, .. } = engine.embed(&context, request.request(VectorKind::Tokens)?).await?;
    let rows = |vectors: Vectors| match vectors.value {
        VectorValue::Tokens { dimensions, values } => {
            Ok(values.chunks_exact(dimensions.max(1)).map(<[f32]>::to_vec).collect())
        }
        _ => Err(Failure::new(Code::Internal, "the model gave no token vectors")),
    };
    vectors.into_iter().map(rows).collect::<Result<_, _>>().map(Json)
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
) -> Result<Json<Vec<Vec<SparseValue>>>, Failure> {
    let Embedded { vectors, .. } = engine.embed(&context, request.request(VectorKind::Sparse)?).await?;
    let terms = |vectors: Vectors| match vectors.value {
        VectorValue::Sparse(terms) => {
            let value = |term: berth_pipeline::SparseTerm| SparseValue { index: term.id, value: term.weight };
            Ok(terms.into_iter().map(value).collect())
        }
        _ => Err(Failure::new(Code::Internal, "the model gave no sparse vector")),
    };
    vectors.into_iter().map(terms).collect::<Result<_, _>>().map(Json)
}

/// Documents to be ordered.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct TeiRerankRequest {
    query: String,
    texts: Vec<String>,
    /// The classifier's own numbers instead of their sigmoid.
    #[serde(default)]
    raw_scores: bool,
    #[serde(default)]
    return_text: bool,
    /// Texts that are too long are always cut, and `false` is refused.
    #[serde(default)]
    truncate: Option<bool>,
    /// `right`; nothing else.
    #[serde(default)]
    truncation_direction: Option<String>,
    /// Berth's own: a cross-encoder, or a model of late interaction; the server's default model where it is left out.
    #[serde(default)]
    model: String,
}

/// A document's place and score.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TeiRank {
    /// Place in the request, from 0.
    index: usize,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// Order documents by how well they answer a query.
#[utoipa::path(post, path = "/rerank", operation_id = "rerank_texts", tag = "text-embeddings-inference", request_body = TeiRerankRequest, responses(
    (status = 200, body = Vec<TeiRank>),
    (status = 400, body = TeiError), (status = 401, body = TeiError), (status = 403, body = TeiError),
    (status = 404, body = TeiError), (status = 413, body = TeiError), (status = 429, body = TeiError),
))]
pub(crate) async fn rerank(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(request): Body<TeiRerankRequest>,
) -> Result<Json<Vec<TeiRank>>, Failure> {
    let TeiRerankRequest { query, mut texts, raw_scores, return_text, truncate, truncation_direction, model } = request;
    check_direction(truncation_direction.as_deref())?;
    if truncate == Some(false) {
        return Err(Failure::invalid("truncate", "documents that are too long are cut; leave truncate out"));
    }
    let (_, scored) = engine.rerank(&context, &model, (query, texts.clone()), raw_scores).await?;
    let rank = |scored: crate::engine::texts::Scored| TeiRank {
        index: scored.index,
        score: scored.score,
        text: return_text.then(|| std::mem::take(&mut texts[scored.index])),
    };
    Ok(Json(scored.into_iter().map(rank).collect()))
}

/// Texts to be labelled.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PredictRequest {
    /// A text, a pair of texts, or a list of lists of one or two texts.
    inputs: PredictInputs,
    #[serde(default)]
    truncate: Option<bool>,
    /// `right`; nothing else.
    #[serde(default)]
    truncation_direction: Option<String>,
    /// The classifier's own numbers instead of probabilities.
    #[serde(default)]
    raw_scores: bool,
    /// Berth's own: a classifier; the server's default model where it is left out.
    #[serde(default)]
    model: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum PredictInputs {
    One(String),
    Pair(Vec<String>),
    Many(Vec<Vec<String>>),
}

/// A label and its score.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Prediction {
    label: String,
    score: f32,
}

/// Labels of one text, or of each of several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Predictions {
    One(Vec<Prediction>),
    Many(Vec<Vec<Prediction>>),
}

/// Give texts the labels of a classifier.
#[utoipa::path(post, path = "/predict", tag = "text-embeddings-inference", request_body = PredictRequest, responses(
    (status = 200, body = Predictions),
    (status = 400, body = TeiError), (status = 401, body = TeiError), (status = 403, body = TeiError),
    (status = 404, body = TeiError), (status = 413, body = TeiError), (status = 429, body = TeiError),
))]
pub(crate) async fn predict(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(request): Body<PredictRequest>,
) -> Result<Json<Predictions>, Failure> {
    let PredictRequest { inputs, truncate, truncation_direction, raw_scores, model } = request;
    check_direction(truncation_direction.as_deref())?;
    let one_or_two = |texts: Vec<String>| {
        let mut texts = texts.into_iter();
        match (texts.next(), texts.next(), texts.next()) {
            (Some(text), pair, None) => Ok((text, pair)),
            _ => Err(Failure::invalid("inputs", "each input is one text or a pair of two")),
        }
    };
    let (inputs, single) = match inputs {
        PredictInputs::One(text) => (vec![(text, None)], true),
        PredictInputs::Pair(texts) => (vec![one_or_two(texts)?], true),
        PredictInputs::Many(many) => (many.into_iter().map(one_or_two).collect::<Result<_, _>>()?, false),
    };
    let (_, labelled) = engine.classify(&context, &model, inputs, (cut(truncate), raw_scores)).await?;
    let prediction = |labelled: Labelled| -> Vec<Prediction> {
        labelled.labels.into_iter().map(|(label, score)| Prediction { label, score }).collect()
    };
    let mut predictions: Vec<Vec<Prediction>> = labelled.into_iter().map(prediction).collect();
    Ok(Json(match predictions.pop() {
        Some(only) if single => Predictions::One(only),
        Some(last) => {
            predictions.push(last);
            Predictions::Many(predictions)
        }
        None => Predictions::Many(predictions),
    }))
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

/// Texts to be taken apart.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct TokenizeRequest {
    inputs: OneOrMany<String>,
    /// Whether special tokens are named; they are where it is left out.
    #[serde(default)]
    add_special_tokens: Option<bool>,
    /// Not read: tokens do not depend on a prompt before them.
    #[serde(default)]
    #[allow(dead_code)]
    prompt_name: Option<String>,
    /// Berth's own: installed model; the server's default one where it is left out.
    #[serde(default)]
    model: String,
}

/// A token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SimpleToken {
    id: u32,
    /// The part of the text; for special tokens what the vocabulary calls them.
    text: String,
    /// The piece of the vocabulary.
    piece: String,
    special: bool,
    /// First byte of the text that it stands for; null for special tokens.
    start: Option<usize>,
    /// Byte after the last.
    stop: Option<usize>,
}

impl SimpleToken {
    /// A token of `text`.
    pub(crate) fn of(token: RowToken, text: &str) -> Self {
        let place = |byte| (!token.special).then_some(byte);
        let (start, stop) = (place(token.start), place(token.end));
        let part = if token.special { None } else { text.get(token.bytes()) };
        let text = part.unwrap_or(&token.piece).to_owned();
        Self { id: token.id, text, piece: token.piece, special: token.special, start, stop }
    }
}

/// Take texts apart into tokens.
#[utoipa::path(post, path = "/tokenize", tag = "text-embeddings-inference", request_body = TokenizeRequest, responses(
    (status = 200, body = Vec<Vec<SimpleToken>>),
    (status = 400, body = TeiError), (status = 401, body = TeiError), (status = 403, body = TeiError),
    (status = 404, body = TeiError), (status = 413, body = TeiError), (status = 429, body = TeiError),
))]
pub(crate) async fn tokenize(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(request): Body<TokenizeRequest>,
) -> Result<Json<Vec<Vec<SimpleToken>>>, Failure> {
    let TokenizeRequest { inputs, add_special_tokens, model, .. } = request;
    let with_special = add_special_tokens.unwrap_or(true);
    let texts = inputs.into_vec();
    let (_, spelled) = engine.tokenize(&context, &model, texts.clone()).await?;
    let tokens = |(row, text): (Vec<RowToken>, &String)| {
        let shown = row.into_iter().filter(|token| with_special || !token.special);
        shown.map(|token| SimpleToken::of(token, text)).collect()
    };
    Ok(Json(spelled.into_iter().zip(&texts).map(tokens).collect()))
}

/// Token ids to be read.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct DecodeRequest {
    /// The ids of one text, or of several.
    ids: IdsShape,
    /// Whether special tokens are left out; they are where it is not said.
    #[serde(default)]
    skip_special_tokens: Option<bool>,
    /// Berth's own: installed model; the server's default one where it is left out.
    #[serde(default)]
    model: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum IdsShape {
    One(Vec<u32>),
    Many(Vec<Vec<u32>>),
}

/// Turn token ids back into text.
#[utoipa::path(post, path = "/decode", tag = "text-embeddings-inference", request_body = DecodeRequest, responses(
    (status = 200, body = Vec<String>),
    (status = 400, body = TeiError), (status = 401, body = TeiError), (status = 403, body = TeiError),
    (status = 404, body = TeiError), (status = 413, body = TeiError), (status = 429, body = TeiError),
))]
pub(crate) async fn decode(
    State(engine): State<Arc<Engine>>,
    Extension(context): Extension<Context>,
    Body(request): Body<DecodeRequest>,
) -> Result<Json<Vec<String>>, Failure> {
    let DecodeRequest { ids, skip_special_tokens, model } = request;
    let ids = match ids {
        IdsShape::One(ids) => vec![ids],
        IdsShape::Many(many) => many,
    };
    Ok(Json(engine.decode(&context, &model, ids, skip_special_tokens.unwrap_or(true)).await?))
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
    let (encoder, limits) = (model.encoder(), &engine.limits);
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

/// Whether the default model answers.
#[utoipa::path(get, path = "/health", tag = "text-embeddings-inference", responses(
    (status = 200), (status = 503, body = TeiError),
))]
pub(crate) async fn health(State(engine): State<Arc<Engine>>) -> Result<StatusCode, Failure> {
    engine.check_ready().await.map_err(|failure| Failure { code: Code::Unavailable, ..failure })?;
    Ok(StatusCode::OK)
}
