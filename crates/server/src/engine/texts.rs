//! What models make of texts: vectors, scores, labels, tokens.

mod running;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use berth_pipeline::{
    AttentionAnswer, Call, Encoder, ModelListing, Overlong, Prompt, RowToken, SparseTerm, TextTokenizer, list, max_sim,
    open_tokenizer,
};
use berth_types::{Embedding, Head};

use self::running::{Asked, Run, check_tokens, in_order, kept_dimensions};
use super::models::{Model, ModelKey, of_field};
use super::{Context, Engine, blocking, check_answer, check_limit, check_some};
use crate::access::keys::Scope;
use crate::failure::Failure;
use crate::metrics;

/// Tokens of a text whose attention is shown: the weights of a layer are as many as its square for each head.
const ATTENTION_TOKENS: usize = 128;

/// A text, or what a tokenizer made of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    Text(String),
    Ids(Vec<u32>),
}

impl Input {
    fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Token ids, where it came as such.
    fn ids(&self) -> usize {
        if let Self::Ids(ids) = self { ids.len() } else { 0 }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Ids(ids) => ids.len(),
        }
    }
}

/// What vectors are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum VectorKind {
    /// One a text.
    #[default]
    Dense,
    /// Weights of terms.
    Sparse,
    /// One a token.
    Tokens,
}

/// Texts for a model.
#[derive(Debug, Clone)]
pub(crate) struct EmbedRequest {
    /// The default one where it is empty.
    pub(crate) model: String,
    pub(crate) inputs: Vec<Input>,
    /// That of passages where it is empty.
    pub(crate) prompt: String,
    pub(crate) overlong: Overlong,
    pub(crate) dimensions: Option<usize>,
    pub(crate) kind: VectorKind,
}

/// What a model made of texts.
#[derive(Debug, Clone)]
pub(crate) struct Embedded {
    pub(crate) model: String,
    /// One for each input.
    pub(crate) vectors: Vec<Vectors>,
    /// Tokens of the texts that the model read, special ones included.
    pub(crate) tokens: u64,
}

/// What a model made of one text.
#[derive(Debug, Clone)]
pub(crate) struct Vectors {
    pub(crate) value: VectorValue,
    /// Tokens that were not read.
    pub(crate) truncated: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum VectorValue {
    Dense(Embedding),
    Sparse(Vec<SparseTerm>),
    Tokens { dimensions: usize, values: Vec<f32> },
}

impl VectorValue {
    fn bytes(&self) -> usize {
        match self {
            Self::Dense(embedding) => size_of_val(embedding.as_slice()),
            Self::Sparse(terms) => size_of_val(terms.as_slice()),
            Self::Tokens { values, .. } => size_of_val(values.as_slice()),
        }
    }
}

/// A document with its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    /// Place in the request, from 0.
    pub(crate) index: usize,
    pub(crate) score: f32,
    pub(crate) truncated: usize,
}

/// Labels of one text, best first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Labelled {
    pub(crate) labels: Vec<(String, f32)>,
    pub(crate) truncated: usize,
}

/// An installed model.
#[derive(Debug, Clone)]
pub(crate) struct ModelLine {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) dimensions: usize,
    pub(crate) window_tokens: usize,
    /// Whether it is in memory.
    pub(crate) loaded: bool,
}

/// Tokenizers that were asked for, by model.
pub(crate) type Tokenizers = Mutex<BTreeMap<String, TextTokenizer>>;

impl Engine {
    /// Vectors of texts.
    pub(crate) async fn embed(&self, context: &Context, request: EmbedRequest) -> Result<Embedded, Failure> {
        context.caller.may(Scope::Embed)?;
        let EmbedRequest { model: name, inputs, prompt, overlong, dimensions, kind } = request;
        let head = match kind {
            VectorKind::Dense => Head::Sentence,
            VectorKind::Sparse => Head::Sparse,
            VectorKind::Tokens => self.models.head_of_tokens(&name).map_err(of_field)?,
        };
        let key = self.models.key(&name, head);
        let bytes: Vec<usize> = inputs.iter().map(Input::bytes).collect();
        if let Some(number) = bytes.iter().position(|&bytes| bytes == 0) {
            let failure = Failure::invalid("input", "it is empty; every input needs at least a character or a token");
            return Err(failure.at("input", number));
        }
        let run = self.begin(context, &key, ("input", bytes), "embed").await?;
        let limits = self.limits.get();
        let (limit, most_bytes) = (limits.tokens, limits.answer_bytes);
        run.work(move |encoder| {
            let prompt = if prompt.is_empty() { Prompt::Passage } else { encoder.prompt_named(&prompt)? };
            let dimensions = kept_dimensions(encoder, kind, dimensions)?;
            check_tokens(encoder.tokenizer(), "input", inputs.iter().filter_map(Input::text), limit)?;
            check_limit("max-tokens", "input", inputs.iter().map(Input::ids).sum(), limit)?;
            let special = encoder.tokenizer().special_tokens() as u64;
            let (mut tokens, mut bytes) = (0, 0);
            let vectors = in_order(
                encoder,
                &inputs,
                |input| match (kind, input) {
                    (VectorKind::Dense, Input::Text(text)) => {
                        Ok(Asked::Dense(encoder.ask_sentence(text, prompt, overlong)?))
                    }
                    (VectorKind::Dense, Input::Ids(ids)) => {
                        Ok(Asked::Dense(encoder.ask_sentence_ids(ids, prompt, overlong)?))
                    }
                    (_, Input::Ids(_)) => {
                        Err(Failure::invalid("input", "only dense vectors are made of token ids; send text"))
                    }
                    (VectorKind::Sparse, Input::Text(text)) => {
                        Ok(Asked::Sparse(encoder.ask_sparse(text, 0.0, overlong)?))
                    }
                    (VectorKind::Tokens, Input::Text(text)) if encoder.head() == Head::Late => {
                        let prompt = if prompt == Prompt::Query { prompt } else { Prompt::Passage };
                        Ok(Asked::Late(encoder.ask_late(text, prompt, overlong)?))
                    }
                    (VectorKind::Tokens, Input::Text(text)) => Ok(Asked::Tokens(encoder.ask_tokens(text)?)),
                },
                |asked| {
                    let (vectors, read) = asked.wait(dimensions)?;
                    tokens += read as u64 + special;
                    bytes += vectors.value.bytes();
                    check_answer("input", bytes, most_bytes)?;
                    Ok(vectors)
                },
            )?;
            Ok(Embedded { model: key.name, vectors, tokens })
        })
        .await
    }

    /// How well documents answer a query, best first.
    pub(crate) async fn rerank(
        &self,
        context: &Context,
        name: &str,
        (query, documents): (String, Vec<String>),
        raw_scores: bool,
    ) -> Result<(String, Vec<Scored>), Failure> {
        context.caller.may(Scope::Embed)?;
        check_limit("max-query-bytes", "query", query.len(), self.limits.get().query_bytes)?;
        check_some("query", query.len())?;
        let head = match self.models.head_of_tokens(name).map_err(of_field)? {
            Head::Late => Head::Late,
            _ => Head::Classify,
        };
        let key = self.models.key(name, head);
        let bytes = documents.iter().map(|document| document.len() + query.len()).collect();
        let run = self.begin(context, &key, ("documents", bytes), "rerank").await?;
        let limit = self.limits.get().tokens;
        run.work(move |encoder| {
            let inputs: Vec<Input> = documents.into_iter().map(Input::Text).collect();
            check_tokens(encoder.tokenizer(), "documents", inputs.iter().filter_map(Input::text), limit)?;
            let text = |input: &Input| if let Input::Text(text) = input { text.clone() } else { String::new() };
            let scores: Vec<(f32, usize)> = if encoder.head() == Head::Late {
                let own = encoder.ask_late(&query, Prompt::Query, Overlong::Cut)?.wait()?;
                in_order(
                    encoder,
                    &inputs,
                    |input| Ok(encoder.ask_late(&text(input), Prompt::Passage, Overlong::Cut)?),
                    |asked| {
                        let passage = asked.wait()?;
                        Ok((max_sim(&own.vectors, &passage.vectors), own.truncated + passage.truncated))
                    },
                )?
            } else {
                in_order(
                    encoder,
                    &inputs,
                    |input| Ok(encoder.ask_pair(&query, &text(input), raw_scores)?),
                    |asked| {
                        let answer = asked.wait()?;
                        Ok((answer.score, answer.query_truncated + answer.truncated))
                    },
                )?
            };
            let scored = |(index, (score, truncated))| Scored { index, score, truncated };
            let mut scored: Vec<Scored> = scores.into_iter().enumerate().map(scored).collect();
            scored.sort_by(|one, other| other.score.total_cmp(&one.score).then(one.index.cmp(&other.index)));
            Ok((key.name, scored))
        })
        .await
    }

    /// Labels of texts, or of pairs of them.
    pub(crate) async fn classify(
        &self,
        context: &Context,
        name: &str,
        inputs: Vec<(String, Option<String>)>,
        (overlong, raw_scores): (Overlong, bool),
    ) -> Result<(String, Vec<Labelled>), Failure> {
        context.caller.may(Scope::Embed)?;
        let key = self.models.key(name, Head::Classify);
        let length = |(text, pair): &(String, Option<String>)| text.len() + pair.as_ref().map_or(0, String::len);
        let run = self.begin(context, &key, ("inputs", inputs.iter().map(length).collect()), "predict").await?;
        let limit = self.limits.get().tokens;
        run.work(move |encoder| {
            let texts = inputs.iter().flat_map(|(text, pair)| [Some(text.as_str()), pair.as_deref()]).flatten();
            check_tokens(encoder.tokenizer(), "inputs", texts, limit)?;
            let labelled = in_order(
                encoder,
                &inputs,
                |(text, pair)| {
                    let pair = pair.as_deref();
                    let ask = if raw_scores { Encoder::ask_class_raw } else { Encoder::ask_class };
                    Ok(ask(encoder, text, pair, overlong)?)
                },
                |asked| {
                    let answer = asked.wait()?;
                    let labels = answer.labels.into_iter().map(|label| (label.label, label.score)).collect();
                    Ok(Labelled { labels, truncated: answer.truncated })
                },
            )?;
            Ok((key.name, labelled))
        })
        .await
    }

    /// How the model's tokenizer reads texts.
    pub(crate) async fn tokenize(
        &self,
        context: &Context,
        name: &str,
        texts: Vec<String>,
    ) -> Result<(String, Vec<Vec<RowToken>>), Failure> {
        context.caller.may(Scope::Embed)?;
        self.check_inputs("inputs", &texts.iter().map(String::len).collect::<Vec<_>>())?;
        let (name, tokenizer) = self.tokenizer(name).await?;
        let limit = self.limits.get().tokens;
        let bytes = texts.iter().map(String::len).sum::<usize>();
        let pass = self.tokenizing.enter(bytes as u64, context.deadline).await?;
        blocking(move || {
            let _pass = pass;
            check_tokens(&tokenizer, "inputs", texts.iter().map(String::as_str), limit)?;
            let spelled = texts.iter().map(|text| tokenizer.spell(text)).collect::<Result<Vec<_>, _>>()?;
            Ok((name, spelled))
        })
        .await
    }

    /// What ids read as.
    pub(crate) async fn decode(
        &self,
        context: &Context,
        name: &str,
        inputs: Vec<Vec<u32>>,
        without_special: bool,
    ) -> Result<Vec<String>, Failure> {
        context.caller.may(Scope::Embed)?;
        self.check_inputs("ids", &inputs.iter().map(Vec::len).collect::<Vec<_>>())?;
        check_limit("max-tokens", "ids", inputs.iter().map(Vec::len).sum(), self.limits.get().tokens)?;
        if let Some(number) = inputs.iter().position(Vec::is_empty) {
            return Err(Failure::invalid("ids", "it is empty; send at least one token").at("input", number));
        }
        let (_, tokenizer) = self.tokenizer(name).await?;
        let pass = self.tokenizing.enter(inputs.iter().map(Vec::len).sum::<usize>() as u64, context.deadline).await?;
        blocking(move || {
            let _pass = pass;
            let decode = |ids: &Vec<u32>| match ids.iter().find(|&&id| tokenizer.piece(id).is_none()) {
                Some(id) => Err(Failure::invalid("ids", format!("token {id} is not in the vocabulary"))),
                None => Ok(tokenizer.decode(ids, without_special)?),
            };
            inputs.iter().map(decode).collect()
        })
        .await
    }

    /// Which token of a short text looks at which, in one layer or in all; and how many layers there are.
    pub(crate) async fn attention(
        &self,
        context: &Context,
        name: &str,
        (text, layer): (String, Option<usize>),
    ) -> Result<(AttentionAnswer, usize), Failure> {
        context.caller.may(Scope::Embed)?;
        let key = self.models.key(name, Head::Attention);
        let run = self.begin(context, &key, ("text", vec![text.len()]), "predict").await?;
        run.work(move |encoder| {
            let tokens = encoder.tokenizer().tokenize(&text)?.ids.len() + encoder.tokenizer().special_tokens();
            if tokens > ATTENTION_TOKENS {
                let message =
                    format!("the text has {tokens} tokens; attention is shown for at most {ATTENTION_TOKENS}");
                return Err(Failure::invalid("text", message));
            }
            let mut answer = encoder.ask_attention(&text, &[], Overlong::Refuse)?.wait()?;
            let count = answer.layers.len();
            if let Some(layer) = layer {
                answer.layers.retain(|found| found.layer == layer);
                if answer.layers.is_empty() {
                    return Err(Failure::invalid(
                        "layer",
                        format!("there is no layer {layer}; the last one is {}", count - 1),
                    ));
                }
            }
            Ok((answer, count))
        })
        .await
    }

    /// The models that are installed.
    pub(crate) async fn list_models(&self, context: &Context) -> Result<Vec<ModelLine>, Failure> {
        // Whoever may search may see what is searched with.
        context.caller.may(Scope::Embed).or_else(|_| context.caller.may(Scope::Search))?;
        let loaded: Vec<String> = self.models.loaded().into_iter().map(|(key, _)| key.name).collect();
        let home = self.models.home().clone();
        blocking(move || {
            let line = |model: ModelListing| ModelLine {
                loaded: loaded.contains(&model.name),
                name: model.name,
                description: model.description,
                dimensions: model.dimensions,
                window_tokens: model.window_tokens,
            };
            Ok(list(&home)?.into_iter().filter(|model| model.installed).map(line).collect())
        })
        .await
    }

    /// The model that is meant where a request names none.
    pub(crate) async fn default_model(&self, context: &Context) -> Result<Arc<Model>, Failure> {
        context.caller.may(Scope::Embed)?;
        self.models.get(&self.models.key("", Head::Sentence)).await
    }

    /// Opens the model, and waits at its door.
    async fn begin(
        &self,
        context: &Context,
        key: &ModelKey,
        (field, bytes): (&'static str, Vec<usize>),
        what: &'static str,
    ) -> Result<Run, Failure> {
        self.check_inputs(field, &bytes)?;
        let lane = Self::lane(context, bytes.len());
        let model = self.models.get(key).await.map_err(of_field)?;
        let gate = model.gate(lane);
        metrics::queue_size(gate.waiting());
        let pass = gate.enter(bytes.iter().sum::<usize>() as u64, context.deadline).await?;
        let call = Call::new(lane, context.deadline);
        Ok(Run { model, pass, call, inputs: bytes.len(), what })
    }

    fn check_inputs(&self, field: &'static str, bytes: &[usize]) -> Result<(), Failure> {
        check_some(field, bytes.len())?;
        check_limit("max-inputs", field, bytes.len(), self.limits.get().inputs)?;
        check_limit("max-message-bytes", field, bytes.iter().sum(), self.limits.get().message_bytes)
    }

    async fn tokenizer(&self, name: &str) -> Result<(String, TextTokenizer), Failure> {
        let name = if name.is_empty() { self.models.default_name() } else { name }.to_owned();
        let known = self.tokenizers.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some(known) = known {
            return Ok((name, known));
        }
        let (home, wanted) = (self.models.home().clone(), name.clone());
        let opened = blocking(move || Ok(open_tokenizer(&home, Some(&wanted))?)).await.map_err(of_field)?;
        self.tokenizers.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), opened.clone());
        Ok((name, opened))
    }
}
