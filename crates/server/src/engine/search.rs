//! Questions to collections.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use berth_pipeline::{
    Call, Circumstances, FusionChoice, FusionKind, IndexSettings, Lane, Searcher, StoredWeights, WordCount, log_query,
};
use berth_types::{
    Aggregate, DenseSearch, Facet, Head, Lists, Mode, Narrowing, Query, Rerank, Reranker, SearchReply, Shaping, Sort,
    Viewer,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::models::{Model, of_field};
use super::{Cancelling, Context, Engine, blocking, check_answer, check_limit, check_some};
use crate::access::keys::Scope;
use crate::failure::Failure;

/// Questions of a batch that are under way at once.
const BATCH_AT_ONCE: usize = 4;
/// Documents that a reranker looks at unless another number is asked for.
const RERANK_DEPTH: usize = 100;
/// Hits unless another number is asked for.
const K: usize = 10;

/// A question to a collection.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"query": "how do I renew the certificate", "k": 5, "explain": true}))]
pub(crate) struct SearchRequest {
    /// May be left out where the server has one collection.
    pub(crate) collection: String,
    /// The question. Empty, with a filter, facets or a sort: what the filter lets through is listed.
    pub(crate) query: String,
    /// Most hits.
    #[schema(minimum = 1, default = 10)]
    pub(crate) k: usize,
    /// Which lists answer: hybrid, dense, lexical or sparse.
    #[schema(value_type = String, default = "hybrid")]
    pub(crate) mode: Mode,
    /// In the filter language, such as `lang:ko AND year:[2020 TO *]`.
    pub(crate) filter: Option<String>,
    /// Fields whose values are counted: `lang`, or `lang:50`.
    pub(crate) facets: Vec<String>,
    /// `year`, `year:asc` or `year:desc`; by score where it is left out.
    pub(crate) sort: Option<String>,
    /// Whether hits carry their arithmetic.
    pub(crate) explain: bool,
    /// Whether hits are passages, several of a document where they are good.
    pub(crate) passages: bool,
    /// What a document scores by its passages: max, top-mean\[:N\], sum or first.
    pub(crate) aggregate: Option<String>,
    /// What likeness to hits above costs, 0 to 1.
    pub(crate) diversity: f32,
    /// Likeness in words from which on repeats are folded, above 0 to 1.
    pub(crate) collapse: Option<f32>,
    /// Least relevance of a hit, 0 to 1.
    pub(crate) min_relevance: Option<f32>,
    /// Whether hits say which sentence and words carry the match in meaning.
    pub(crate) semantic_highlights: bool,
    /// What orders the first documents anew.
    pub(crate) rerank: Option<RerankChoice>,
    /// How lists are joined: adaptive, convex or rrf; as the index stores it where it is left out.
    #[schema(value_type = Option<String>)]
    pub(crate) fusion: Option<FusionKind>,
    /// Share of the dense list, 0 to 1.
    pub(crate) dense_weight: Option<f32>,
    /// Share of the sparse list, 0 to 1.
    pub(crate) sparse_weight: Option<f32>,
    /// Who asks, where documents say who may find them.
    pub(crate) principals: Vec<String>,
    /// Ask as the owner, who may find everything; takes the scope admin.
    pub(crate) as_owner: bool,
}

/// What orders the first documents anew.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RerankChoice {
    /// `late` or `cross`.
    #[schema(value_type = String)]
    pub(crate) by: Reranker,
    /// Documents that are looked at, from the first; 0: nothing is ordered anew, also where the index stores that it is.
    #[serde(default)]
    pub(crate) depth: Option<usize>,
    /// Share in the score, 0 to 1; as suits the model where it is left out.
    #[serde(default)]
    pub(crate) weight: Option<f32>,
    /// An installed cross-encoder; for `cross`.
    #[serde(default)]
    pub(crate) model: String,
    /// Milliseconds after which a cross-encoder begins with no further document.
    #[serde(default)]
    pub(crate) budget_ms: Option<u64>,
}

impl Default for SearchRequest {
    fn default() -> Self {
        Self {
            collection: String::new(),
            query: String::new(),
            k: K,
            mode: Mode::Hybrid,
            filter: None,
            facets: Vec::new(),
            sort: None,
            explain: false,
            passages: false,
            aggregate: None,
            diversity: 0.0,
            collapse: None,
            min_relevance: None,
            semantic_highlights: false,
            rerank: None,
            fusion: None,
            dense_weight: None,
            sparse_weight: None,
            principals: Vec::new(),
            as_owner: false,
        }
    }
}

/// An answer, with the name of the collection that gave it.
#[derive(Debug, Clone)]
pub(crate) struct Searched {
    pub(crate) collection: String,
    pub(crate) reply: SearchReply,
}

/// The models that a question takes.
#[derive(Default)]
struct Needed {
    dense: Option<Arc<Model>>,
    sparse: Option<Arc<Model>>,
    tokens: Option<Arc<Model>>,
    cross: Option<Arc<Model>>,
}

impl Engine {
    /// Answers a question, in the shape that `shape` gives the answer on the thread that found it: there its words are at
    /// hand, and the threads that send answers are not kept busy.
    pub(crate) async fn search<T: Send + 'static>(
        &self,
        context: &Context,
        request: SearchRequest,
        shape: impl FnOnce(Searched) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let collection = self.collection(context, &request.collection, Scope::Search)?;
        let viewer = context.caller.viewer(&request.principals, request.as_owner)?;
        let mut query = self.query(&request, viewer)?;
        let open = collection.get().await?;
        let pass = self.searches.enter(1, context.deadline).await?;
        let asked = Instant::now();
        let (searcher, weights) = open.fresh().await?;
        resolve(&mut query, &request, weights.as_ref(), searcher.reader().snapshot().settings())?;
        let needed = self.models_for(&searcher, &query, &request).await?;
        let call = Call::new(Lane::Query, context.deadline);
        let cancelling = Cancelling(call.clone());
        let log = self.log_queries && !query.text.is_empty();
        let answer = blocking(move || {
            // It leaves its place when it is done, also when nobody waits for it any more.
            let _pass = pass;
            call.check()?;
            let reply = needed.attach(searcher)?.for_call(&call).search(&query)?;
            if log && let Err(error) = log_query(&collection.path, &reply, SystemTime::now()) {
                tracing::warn!(%error, "the question is not logged");
            }
            collection.searches.record(&collection.name, asked.elapsed());
            Ok(shape(Searched { collection: collection.name.clone(), reply }))
        })
        .await?;
        drop(cancelling);
        Ok(answer)
    }

    /// Answers several questions, in their order; one that fails says so in its place.
    pub(crate) async fn search_all(
        self: &Arc<Self>,
        context: &Context,
        requests: Vec<SearchRequest>,
    ) -> Result<Vec<Result<Searched, Failure>>, Failure> {
        context.caller.may(Scope::Search)?;
        check_some("requests", requests.len())?;
        check_limit("max-inputs", "requests", requests.len(), self.limits.get().inputs)?;
        let at_once = Arc::new(tokio::sync::Semaphore::new(BATCH_AT_ONCE));
        let mut tasks = tokio::task::JoinSet::new();
        let count = requests.len();
        for (number, request) in requests.into_iter().enumerate() {
            let (engine, context, at_once) = (Arc::clone(self), context.clone(), Arc::clone(&at_once));
            tasks.spawn(async move {
                let _turn = at_once.acquire().await;
                (number, engine.search(&context, request, |searched| searched).await)
            });
        }
        let mut answers: Vec<Result<Searched, Failure>> = (0..count).map(|_| Err(Failure::lost())).collect();
        let mut bytes = 0;
        while let Some(done) = tasks.join_next().await {
            if let Ok((number, answer)) = done {
                if let Ok(searched) = &answer {
                    bytes += searched.reply.hits.iter().map(|hit| hit.text.len() + hit.title.len()).sum::<usize>();
                    // Those that are under way end with the tasks.
                    check_answer("requests", bytes, self.limits.get().answer_bytes)?;
                }
                answers[number] = answer;
            }
        }
        Ok(answers)
    }

    /// Words of a collection that begin with what was typed.
    pub(crate) async fn complete(
        &self,
        context: &Context,
        name: &str,
        (typed, limit): (String, usize),
        (principals, as_owner): (&[String], bool),
    ) -> Result<Vec<WordCount>, Failure> {
        let collection = self.collection(context, name, Scope::Search)?;
        let viewer = context.caller.viewer(principals, as_owner)?;
        check_limit("max-query-bytes", "prefix", typed.len(), self.limits.get().query_bytes)?;
        check_limit("max-k", "limit", limit, self.limits.get().k)?;
        let open = collection.get().await?;
        let pass = self.searches.enter(1, context.deadline).await?;
        let (searcher, _) = open.fresh().await?;
        blocking(move || {
            let _pass = pass;
            let snapshot = searcher.reader().snapshot();
            Ok(snapshot.view(viewer.as_ref(), SystemTime::now())?.completions(&typed, limit)?)
        })
        .await
    }

    /// What a request asks for, checked; how lists are joined is left for the index to say.
    fn query(&self, request: &SearchRequest, viewer: Option<Viewer>) -> Result<Query, Failure> {
        let limits = self.limits.get();
        if request.k == 0 {
            return Err(Failure::invalid("k", "k is 0; ask for at least one hit"));
        }
        check_limit("max-k", "k", request.k, limits.k)?;
        check_limit("max-query-bytes", "query", request.query.len(), limits.query_bytes)?;
        check_limit("max-filter-bytes", "filter", request.filter.as_ref().map_or(0, String::len), limits.filter_bytes)?;
        check_limit("max-inputs", "facets", request.facets.len(), limits.inputs)?;
        let share = |field: &'static str, value: Option<f32>| match value {
            Some(value) if !(0.0..=1.0).contains(&value) => {
                Err(Failure::invalid(field, format!("{field} is {value}; it is a share from 0 to 1")))
            }
            value => Ok(value),
        };
        let facet =
            |word: &String| word.parse::<Facet>().map_err(|error| Failure::invalid("facets", error.to_string()));
        let filled = |word: &Option<String>| word.clone().filter(|word| !word.is_empty());
        let sort = filled(&request.sort).map(|word| word.parse::<Sort>());
        let sort = sort.transpose().map_err(|error| Failure::invalid("sort", error.to_string()))?;
        let aggregate = filled(&request.aggregate).map(|word| word.parse::<Aggregate>());
        let aggregate = aggregate.transpose().map_err(|error| Failure::invalid("aggregate", error.to_string()))?;
        let rerank = request.rerank.as_ref().map(|choice| {
            let depth = choice.depth.unwrap_or(RERANK_DEPTH);
            check_limit("max-k", "rerank.depth", depth, limits.k)?;
            let weight = share("rerank.weight", choice.weight)?;
            if choice.by == Reranker::Cross && choice.model.is_empty() {
                let message = "rerank by cross needs the name of an installed cross-encoder in rerank.model";
                return Err(Failure::invalid("rerank.model", message));
            }
            Ok(Rerank { by: choice.by, depth, weight, budget_ms: choice.budget_ms })
        });
        share("dense_weight", request.dense_weight)?;
        share("sparse_weight", request.sparse_weight)?;
        let shaping = Shaping {
            aggregate: aggregate.unwrap_or_default(),
            passages: request.passages,
            diversity: share("diversity", Some(request.diversity))?.unwrap_or(0.0),
            collapse: share("collapse", request.collapse)?,
            min_relevance: share("min_relevance", request.min_relevance)?,
            semantic_highlights: request.semantic_highlights,
        };
        Ok(Query {
            text: request.query.clone(),
            k: request.k,
            mode: request.mode,
            dense: DenseSearch::default(),
            lists: Lists::default(),
            fusion: berth_types::Fusion::default(),
            sparse_weight: 0.0,
            rerank: rerank.transpose()?,
            shaping,
            explain: request.explain,
            narrowing: Narrowing {
                filter: filled(&request.filter),
                facets: request.facets.iter().map(facet).collect::<Result<_, _>>()?,
                sort,
                viewer,
            },
        })
    }

    /// Opens the models that a question takes, as the index was built with them.
    async fn models_for(&self, searcher: &Searcher, query: &Query, request: &SearchRequest) -> Result<Needed, Failure> {
        // What only lists needs no model.
        if query.text.is_empty() {
            return Ok(Needed::default());
        }
        let snapshot = searcher.reader().snapshot();
        let settings = snapshot.settings();
        let models = &self.models;
        let mut needed = Needed::default();
        if matches!(query.mode, Mode::Hybrid | Mode::Dense) {
            needed.dense = Some(models.get(&models.key_of(&settings.fingerprint, Head::Sentence)).await?);
        }
        if let Some(sparse) = &settings.sparse
            && (query.mode == Mode::Sparse || query.mode == Mode::Hybrid && query.sparse_weight > 0.0)
        {
            needed.sparse = Some(models.get(&models.key_of(&sparse.fingerprint, Head::Sparse)).await?);
        }
        let by = query.rerank.map(|rerank| rerank.by);
        if by == Some(Reranker::Late) && settings.tokens.is_none() {
            let message = "the collection has no token rows, which rerank by late needs; index it with --token-rows";
            return Err(Failure::invalid("rerank", message));
        }
        if by == Some(Reranker::Late) || query.shaping.semantic_highlights {
            let built_with = settings.tokens.as_ref().map_or(&settings.fingerprint, |tokens| &tokens.fingerprint);
            let head = models.head_of_tokens(&built_with.model)?;
            needed.tokens = Some(models.get(&models.key_of(built_with, head)).await?);
        }
        if let (Some(Reranker::Cross), Some(choice)) = (by, &request.rerank) {
            let key = models.key(&choice.model, Head::Classify);
            needed.cross = Some(models.get(&key).await.map_err(of_field)?);
        }
        Ok(needed)
    }
}

impl Needed {
    /// Gives a searcher what it needs.
    fn attach(&self, searcher: Searcher) -> Result<Searcher, Failure> {
        let encoder = |model: &Arc<Model>| model.encoder().clone();
        let tokens = self.tokens.as_ref().map(|model| model.token_encoder()).transpose()?;
        let sparse = self.sparse.as_ref().map(|model| model.sparse_encoder()).transpose()?;
        let searcher = searcher.with_models(self.dense.as_ref().map(encoder), tokens, sparse)?;
        Ok(match &self.cross {
            Some(model) => searcher.with_cross_encoder(encoder(model)),
            None => searcher,
        })
    }
}

/// How the lists are joined in the end.
fn resolve(
    query: &mut Query,
    request: &SearchRequest,
    weights: Option<&StoredWeights>,
    settings: &IndexSettings,
) -> Result<(), Failure> {
    let has_sparse = settings.sparse.is_some();
    let is_sorted = query.narrowing.sort.is_some();
    let circumstances = Circumstances { mode: query.mode, is_sorted, ..Circumstances::of(settings) };
    let none_there = "the collection has no sparse vectors; index it with --sparse-model";
    if query.mode == Mode::Sparse && !has_sparse {
        return Err(Failure::invalid("mode", none_there));
    }
    if query.mode == Mode::Hybrid && !has_sparse && request.sparse_weight.is_some_and(|weight| weight > 0.0) {
        return Err(Failure::invalid("sparse_weight", none_there));
    }
    let choice = FusionChoice {
        kind: request.fusion,
        dense_weight: request.dense_weight,
        sparse_weight: request.sparse_weight,
        aggregate: request.aggregate.as_ref().filter(|word| !word.is_empty()).map(|_| query.shaping.aggregate),
        rerank: query.rerank.filter(|rerank| rerank.depth > 0),
        without_rerank: query.rerank.is_some_and(|rerank| rerank.depth == 0),
        ..FusionChoice::default()
    };
    let resolved = choice.resolved(weights, circumstances);
    query.fusion = resolved.fusion;
    query.sparse_weight = resolved.sparse_weight.unwrap_or(0.0);
    query.shaping.aggregate = resolved.aggregate;
    query.lists = resolved.lists;
    query.rerank = resolved.rerank;
    Ok(())
}
