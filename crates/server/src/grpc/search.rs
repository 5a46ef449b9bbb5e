//! `SearchService`.

use berth_pipeline::FusionKind;
use berth_types::{Explanation, Hit, Mode, Reranker, SearchReply, Semantic, SourceScore};
use prost_types::Value;
use prost_types::value::Kind;
use tonic::{Request, Response, Status};

use super::proto::batch_search_response::{Answer, answer};
use super::proto::complete_response::Word;
use super::proto::search_service_server::SearchService;
use super::{Service, context, proto, status};
use crate::engine::search::{RerankChoice, SearchRequest, Searched};
use crate::failure::Failure;

#[tonic::async_trait]
impl SearchService for Service {
    async fn search(&self, request: Request<proto::SearchRequest>) -> Result<Response<proto::SearchResponse>, Status> {
        let context = context(&request)?;
        Ok(Response::new(self.0.search(&context, asked(request.into_inner())?, answered).await?))
    }

    async fn batch_search(
        &self,
        request: Request<proto::BatchSearchRequest>,
    ) -> Result<Response<proto::BatchSearchResponse>, Status> {
        let context = context(&request)?;
        let requests = request.into_inner().requests.into_iter().enumerate();
        let requests =
            requests.map(|(number, request)| asked(request).map_err(|failure| failure.at("request", number)));
        let answers = self.0.search_all(&context, requests.collect::<Result<_, _>>()?).await?;
        let answer = |answered_or_not: Result<Searched, Failure>| Answer {
            answer: Some(match answered_or_not {
                Ok(searched) => answer::Answer::Response(answered(searched)),
                Err(failure) => answer::Answer::Failure(proto::Failure {
                    code: status::code(failure.code) as i32,
                    message: failure.message,
                }),
            }),
        };
        Ok(Response::new(proto::BatchSearchResponse { answers: answers.into_iter().map(answer).collect() }))
    }

    async fn complete(
        &self,
        request: Request<proto::CompleteRequest>,
    ) -> Result<Response<proto::CompleteResponse>, Status> {
        let context = context(&request)?;
        let proto::CompleteRequest { collection, prefix, limit, principals, as_owner } = request.into_inner();
        let limit = limit.unwrap_or(10) as usize;
        let words = self.0.complete(&context, &collection, (prefix, limit), (&principals, as_owner)).await?;
        let words = words.into_iter().map(|word| Word { word: word.word, count: word.passages }).collect();
        Ok(Response::new(proto::CompleteResponse { words }))
    }
}

fn asked(request: proto::SearchRequest) -> Result<SearchRequest, Failure> {
    let filled = |word: String| Some(word).filter(|word| !word.is_empty());
    let mode = match request.mode() {
        proto::Mode::Unspecified | proto::Mode::Hybrid => Mode::Hybrid,
        proto::Mode::Dense => Mode::Dense,
        proto::Mode::Lexical => Mode::Lexical,
        proto::Mode::Sparse => Mode::Sparse,
    };
    if proto::Mode::try_from(request.mode).is_err() {
        return Err(Failure::invalid("mode", format!("there is no mode {}", request.mode)));
    }
    let fusion = match request.fusion.as_str() {
        "" => None,
        "adaptive" => Some(FusionKind::Adaptive),
        "convex" => Some(FusionKind::Convex),
        "rrf" => Some(FusionKind::Rrf),
        other => {
            return Err(Failure::invalid(
                "fusion",
                format!("'{other}' is no fusion; possible are adaptive, convex, rrf"),
            ));
        }
    };
    let rerank = request.rerank.map(|rerank| {
        let by = match rerank.by.as_str() {
            "late" => Reranker::Late,
            "cross" => Reranker::Cross,
            other => {
                return Err(Failure::invalid(
                    "rerank.by",
                    format!("'{other}' is no reranker; possible are late, cross"),
                ));
            }
        };
        let proto::Rerank { depth, weight, model, budget_ms, .. } = rerank;
        Ok(RerankChoice { by, depth: depth.map(|depth| depth as usize), weight, model, budget_ms })
    });
    let defaults = SearchRequest::default();
    Ok(SearchRequest {
        collection: request.collection,
        query: request.query,
        k: request.k.map_or(defaults.k, |k| k as usize),
        mode,
        filter: filled(request.filter),
        facets: request.facets,
        sort: filled(request.sort),
        explain: request.explain,
        passages: request.passages,
        aggregate: filled(request.aggregate),
        diversity: request.diversity,
        collapse: request.collapse,
        min_relevance: request.min_relevance,
        semantic_highlights: request.semantic_highlights,
        rerank: rerank.transpose()?,
        fusion,
        dense_weight: request.dense_weight,
        sparse_weight: request.sparse_weight,
        principals: request.principals,
        as_owner: request.as_owner,
    })
}

fn answered(Searched { collection, reply }: Searched) -> proto::SearchResponse {
    let SearchReply { query, mode, took_ms, hits, facets, suggestion, warnings } = reply;
    let mode = match mode {
        Mode::Hybrid => proto::Mode::Hybrid,
        Mode::Dense => proto::Mode::Dense,
        Mode::Lexical => proto::Mode::Lexical,
        Mode::Sparse => proto::Mode::Sparse,
    };
    let facet = |(field, counts): (String, Vec<berth_types::FacetCount>)| proto::Facet {
        field,
        values: counts
            .into_iter()
            .map(|of| proto::FacetCount { value: Some(value(of.value)), count: of.count })
            .collect(),
    };
    proto::SearchResponse {
        collection,
        query,
        mode: mode.into(),
        took_ms,
        hits: hits.into_iter().map(hit).collect(),
        facets: facets.into_iter().map(facet).collect(),
        suggestion: suggestion.unwrap_or_default(),
        warnings,
    }
}

fn hit(hit: Hit) -> proto::Hit {
    let score = |of: SourceScore| proto::SourceScore { rank: of.rank as u32, score: of.score };
    let range = |(start, end): (usize, usize)| proto::ByteRange { start: start as u64, end: end as u64 };
    let semantic = |Semantic { sentence, tokens }: Semantic| proto::Semantic {
        sentence: Some(range(sentence)),
        tokens: tokens.into_iter().map(range).collect(),
    };
    proto::Hit {
        rank: hit.rank as u32,
        score: hit.score,
        relevance: hit.relevance,
        document: hit.document,
        title: hit.title,
        source: hit.source,
        chunk_ordinal: hit.chunk.ordinal,
        chunk: Some(range((hit.chunk.start, hit.chunk.end))),
        text: hit.text,
        dense: hit.dense.map(score),
        lexical: hit.lexical.map(score),
        sparse: hit.sparse.map(score),
        late: hit.late.map(score),
        cross: hit.cross.map(score),
        folded: hit.folded,
        pinned: hit.pinned,
        highlights: hit.highlights.into_iter().map(range).collect(),
        semantic: hit.semantic.map(semantic),
        explanation: hit.explanation.map(explanation),
    }
}

fn explanation(Explanation { label, value, children }: Explanation) -> proto::Explanation {
    proto::Explanation { label, value, children: children.into_iter().map(explanation).collect() }
}

/// A value of JSON as gRPC's well-known type has it.
pub(super) fn value(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(bool) => Kind::BoolValue(bool),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(string) => Kind::StringValue(string),
        Json::Array(list) => Kind::ListValue(prost_types::ListValue { values: list.into_iter().map(value).collect() }),
        Json::Object(fields) => Kind::StructValue(structure(fields)),
    };
    Value { kind: Some(kind) }
}

/// An object of JSON likewise.
pub(super) fn structure(fields: serde_json::Map<String, serde_json::Value>) -> prost_types::Struct {
    prost_types::Struct { fields: fields.into_iter().map(|(name, json)| (name, value(json))).collect() }
}

/// The same the other way round. Whole numbers come back as such: gRPC has floating point alone.
pub(super) fn json(value: Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(bool)) => Json::Bool(bool),
        #[allow(clippy::cast_possible_truncation)]
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < 9e15 => Json::from(number as i64),
        Some(Kind::NumberValue(number)) => Json::from(number),
        Some(Kind::StringValue(string)) => Json::String(string),
        Some(Kind::ListValue(list)) => Json::Array(list.values.into_iter().map(json).collect()),
        Some(Kind::StructValue(fields)) => Json::Object(map(fields)),
    }
}

pub(super) fn map(structure: prost_types::Struct) -> serde_json::Map<String, serde_json::Value> {
    structure.fields.into_iter().map(|(name, value)| (name, json(value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json as of;

    use super::*;

    #[test]
    fn json_comes_back_as_it_went() {
        let fields = of!({"year": 2024, "price": 1.5, "tags": ["a", null], "open": true, "at": {"x": -3}});
        let serde_json::Value::Object(fields) = fields else { panic!() };
        assert_eq!(map(structure(fields.clone())), fields);
    }

    #[test]
    fn what_cannot_be_asked_for_is_named() {
        let check =
            |request: proto::SearchRequest, field: &str| assert_eq!(asked(request).unwrap_err().field, Some(field));
        check(proto::SearchRequest { mode: 9, ..Default::default() }, "mode");
        check(proto::SearchRequest { fusion: "x".into(), ..Default::default() }, "fusion");
        let rerank = Some(proto::Rerank { by: "x".into(), ..Default::default() });
        check(proto::SearchRequest { rerank, ..Default::default() }, "rerank.by");
        assert_eq!(asked(proto::SearchRequest::default()).unwrap().k, 10);
    }
}
