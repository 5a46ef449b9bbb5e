//! `/rerank` and `/predict`.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{TeiError, check_direction, cut};
use crate::engine::texts::{Labelled, Scored};
use crate::engine::{Context, Engine};
use crate::failure::Failure;
use crate::http::errors::Body;

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
    let rank = |scored: Scored| TeiRank {
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
