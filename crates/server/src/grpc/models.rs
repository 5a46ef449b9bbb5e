//! `ModelService`.

use std::pin::Pin;

use berth_pipeline::Overlong;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::proto::embed_request::Kind;
use super::proto::embed_response::{Embedding, embedding};
use super::proto::model_service_server::ModelService;
use super::proto::{classify_response, rerank_response, sparse_vector, tokenize_response};
use super::status::understood;
use super::{Service, context, proto};
use crate::engine::texts::{EmbedRequest, Embedded, Input, Labelled, Scored, VectorKind, VectorValue, Vectors};
use crate::failure::Failure;

/// Answers of a stream that wait for the client to take them.
const ANSWERS_AHEAD: usize = 2;

#[tonic::async_trait]
impl ModelService for Service {
    async fn embed(&self, request: Request<proto::EmbedRequest>) -> Result<Response<proto::EmbedResponse>, Status> {
        let context = context(&request)?;
        Ok(Response::new(embedded(self.0.embed(&context, asked(request.into_inner())?).await?)))
    }

    type EmbedStreamStream = Pin<Box<dyn Stream<Item = Result<proto::EmbedResponse, Status>> + Send>>;

    async fn embed_stream(
        &self,
        request: Request<Streaming<proto::EmbedRequest>>,
    ) -> Result<Response<Self::EmbedStreamStream>, Status> {
        let context = context(&request)?;
        let mut requests = request.into_inner();
        let (sender, answers) = mpsc::channel(ANSWERS_AHEAD);
        let engine = std::sync::Arc::clone(&self.0);
        tokio::spawn(async move {
            loop {
                // Whoever went away needs no further answer.
                let next = tokio::select! {
                    next = requests.message() => next,
                    () = sender.closed() => return,
                };
                let answer = match next {
                    Ok(None) => return,
                    Err(status) => Err(understood(status, &engine.limits.get())),
                    Ok(Some(request)) => {
                        let answered = async {
                            let context = context.renewed(engine.limits.get().request_timeout)?;
                            engine.embed(&context, asked(request)?).await
                        };
                        answered.await.map(embedded).map_err(Status::from)
                    }
                };
                let is_last = answer.is_err();
                if sender.send(answer).await.is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn rerank(&self, request: Request<proto::RerankRequest>) -> Result<Response<proto::RerankResponse>, Status> {
        let context = context(&request)?;
        let proto::RerankRequest { model, query, documents, raw_scores, top_n, return_documents } =
            request.into_inner();
        let mut texts = if return_documents { documents.clone() } else { Vec::new() };
        let (model, scored) = self.0.rerank(&context, &model, (query, documents), raw_scores).await?;
        let result = |Scored { index, score, truncated }: Scored| rerank_response::Result {
            index: index as u32,
            score,
            document: texts.get_mut(index).map(std::mem::take),
            truncated_tokens: truncated as u32,
        };
        let most = top_n.map_or(usize::MAX, |most| most as usize);
        let results = scored.into_iter().take(most).map(result).collect();
        Ok(Response::new(proto::RerankResponse { model, results }))
    }

    async fn classify(
        &self,
        request: Request<proto::ClassifyRequest>,
    ) -> Result<Response<proto::ClassifyResponse>, Status> {
        let context = context(&request)?;
        let proto::ClassifyRequest { model, inputs, truncate, raw_scores } = request.into_inner();
        let inputs = inputs.into_iter().map(|input| (input.text, input.pair)).collect();
        let (model, labelled) = self.0.classify(&context, &model, inputs, (overlong(truncate), raw_scores)).await?;
        let label = |(label, score)| classify_response::Label { label, score };
        let result = |Labelled { labels, truncated }: Labelled| classify_response::Result {
            labels: labels.into_iter().map(label).collect(),
            truncated_tokens: truncated as u32,
        };
        Ok(Response::new(proto::ClassifyResponse { model, results: labelled.into_iter().map(result).collect() }))
    }

    async fn tokenize(
        &self,
        request: Request<proto::TokenizeRequest>,
    ) -> Result<Response<proto::TokenizeResponse>, Status> {
        let context = context(&request)?;
        let proto::TokenizeRequest { model, inputs, with_special_tokens } = request.into_inner();
        let (model, rows) = self.0.tokenize(&context, &model, inputs).await?;
        let token = |token: berth_pipeline::RowToken| tokenize_response::Token {
            id: token.id,
            bytes: (!token.special).then_some(proto::ByteRange { start: token.start as u64, end: token.end as u64 }),
            special: token.special,
            text: token.piece,
        };
        let tokens = |row: Vec<berth_pipeline::RowToken>| tokenize_response::Tokens {
            tokens: row.into_iter().filter(|token| with_special_tokens || !token.special).map(token).collect(),
        };
        Ok(Response::new(proto::TokenizeResponse { model, results: rows.into_iter().map(tokens).collect() }))
    }

    async fn list_models(
        &self,
        request: Request<proto::ListModelsRequest>,
    ) -> Result<Response<proto::ListModelsResponse>, Status> {
        let models = self.0.list_models(&context(&request)?).await?;
        let model = |model: crate::engine::texts::ModelLine| proto::list_models_response::Model {
            name: model.name,
            description: model.description,
            dimensions: model.dimensions as u32,
            window_tokens: model.window_tokens as u32,
            loaded: model.loaded,
        };
        Ok(Response::new(proto::ListModelsResponse { models: models.into_iter().map(model).collect() }))
    }
}

fn overlong(truncate: bool) -> Overlong {
    if truncate { Overlong::Cut } else { Overlong::Refuse }
}

fn asked(request: proto::EmbedRequest) -> Result<EmbedRequest, Failure> {
    let kind = match Kind::try_from(request.kind) {
        Ok(Kind::Unspecified | Kind::Dense) => VectorKind::Dense,
        Ok(Kind::Sparse) => VectorKind::Sparse,
        Ok(Kind::Tokens) => VectorKind::Tokens,
        Err(_) => return Err(Failure::invalid("kind", format!("there is no kind {} of vectors", request.kind))),
    };
    let proto::EmbedRequest { model, inputs, prompt, truncate, dimensions, .. } = request;
    Ok(EmbedRequest {
        model,
        inputs: inputs.into_iter().map(Input::Text).collect(),
        prompt,
        overlong: overlong(truncate),
        dimensions: dimensions.map(|dimensions| dimensions as usize),
        kind,
    })
}

fn embedded(Embedded { model, vectors, tokens }: Embedded) -> proto::EmbedResponse {
    let one = |Vectors { value, truncated }: Vectors| Embedding {
        truncated_tokens: truncated as u32,
        embedding: Some(match value {
            VectorValue::Dense(vector) => {
                embedding::Embedding::Dense(proto::Vector { values: vector.as_slice().to_vec() })
            }
            VectorValue::Tokens { dimensions, values } => {
                embedding::Embedding::Tokens(proto::TokenVectors { dimensions: dimensions as u32, values })
            }
            VectorValue::Sparse(terms) => {
                let term = |term: berth_pipeline::SparseTerm| sparse_vector::Term {
                    id: term.id,
                    term: term.term,
                    weight: term.weight,
                };
                embedding::Embedding::Sparse(proto::SparseVector { terms: terms.into_iter().map(term).collect() })
            }
        }),
    };
    proto::EmbedResponse { model, embeddings: vectors.into_iter().map(one).collect(), tokens }
}
