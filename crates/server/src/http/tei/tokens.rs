//! `/tokenize` and `/decode`.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use berth_pipeline::RowToken;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{OneOrMany, TeiError};
use crate::engine::{Context, Engine};
use crate::failure::Failure;
use crate::http::errors::Body;

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
