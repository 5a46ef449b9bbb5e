//! `berth rerank QUERY DOC…`: how well each document answers a query, best first.

use berth_pipeline::{
    Asking, Body, Encoder, Error, Home, Input, Inputs, Prompt, asking, installed, max_sim, open_head,
};
use berth_types::Head;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

use crate::Outcome;
use crate::commands::classify::is_zero;
use crate::commands::texts::{ahead, each, heading, inputs, one_text, wants_json};
use crate::head_args::RerankDocumentsArgs;
use crate::output::{self, Terms, paint, printable};

/// A document with its score.
#[derive(Debug, Clone, Serialize)]
struct Ranked {
    rank: usize,
    score: f32,
    /// Place among the documents as they came, from 0.
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Value>,
    /// Tokens of query and document that were not read.
    #[serde(skip_serializing_if = "is_zero")]
    truncated: usize,
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a Value,
    results: &'a [Ranked],
}

/// What scores a pair: a cross-encoder, or late interaction.
#[derive(Clone, Copy)]
struct Scorer<'a> {
    encoder: &'a Encoder,
    raw: bool,
}

pub(crate) fn run(home: &Home, args: &RerankDocumentsArgs, terms: Terms) -> anyhow::Result<Outcome> {
    let model = args.run.model.as_deref();
    let is_late = match model {
        Some(name) => installed(home, name)?.card().late.is_some(),
        None => false,
    };
    let source = inputs(&args.documents, &args.lines)?;
    let head = if is_late { Head::Late } else { Head::Classify };
    let encoder = open_head(home, &args.run.choice(), head, None)?;
    let scorer = Scorer { encoder: &encoder, raw: args.raw };
    match &args.query {
        Some(query) => one_query(scorer, query, source, args, terms),
        None => many_queries(scorer, source, args, terms),
    }
}

/// All inputs are documents of one query.
fn one_query(
    scorer: Scorer<'_>,
    query: &str,
    source: Inputs,
    args: &RerankDocumentsArgs,
    terms: Terms,
) -> anyhow::Result<Outcome> {
    let json = wants_json(&args.lines);
    let named_by_argument = !args.documents.is_empty();
    let (mut came, mut ranked) = (0, Vec::new());
    let ask = scorer.of(query)?;
    let settings = (ahead(scorer.encoder), &args.lines);
    let outcome = each(
        source,
        settings,
        |input| {
            let asking = ask(one_text(input)?)?;
            // Lines that are no document have no place among them; one that no score comes of keeps its own.
            let index = came;
            came += 1;
            Ok(asking.map(move |(score, truncated)| (index, score, truncated)))
        },
        |input, (index, score, truncated)| {
            // Of documents that nobody will read, only the score is kept.
            let text = if json { String::new() } else { one_text(input)?.chars().take(200).collect() };
            let id = (!named_by_argument && input.id != input.number).then(|| input.id.clone());
            ranked.push(Ranked { rank: 0, score, index, id, truncated, text });
            Ok(())
        },
    )?;
    if outcome == Outcome::Interrupted {
        return Ok(outcome);
    }
    sort(&mut ranked, args.k);
    if json {
        for document in &ranked {
            output::print_json(document)?;
        }
    } else {
        output::print(&table(&ranked, terms))?;
    }
    Ok(outcome)
}

/// Each input is a query with its documents.
fn many_queries(
    scorer: Scorer<'_>,
    source: Inputs,
    args: &RerankDocumentsArgs,
    terms: Terms,
) -> anyhow::Result<Outcome> {
    let json = wants_json(&args.lines);
    let ask = |input: &Input| -> Result<Asking<'_, Vec<Ranked>>, Error> {
        let Body::Query { query, documents } = &input.body else {
            let message = "without a query of its own the command takes lines of {\"query\",\"documents\"}";
            return Err(Error::InvalidSettings(message.to_owned()));
        };
        let score = scorer.of(query)?;
        let asked = documents.iter().map(|(id, text)| Ok((id.clone(), text.clone(), score(text)?)));
        let asked = asked.collect::<Result<Vec<_>, Error>>()?;
        let mut ranked = Vec::with_capacity(asked.len());
        let mut asked = asked.into_iter().enumerate();
        Ok(Asking::in_parts(move || {
            let Some((index, (id, text, asking))) = asked.next() else { return Ok(Some(std::mem::take(&mut ranked))) };
            let (score, truncated) = asking.wait()?;
            ranked.push(Ranked { rank: 0, score, index, id, truncated, text });
            Ok(None)
        }))
    };
    // The documents of one query keep all workers busy.
    each(source, (2, &args.lines), ask, |input, mut ranked| {
        sort(&mut ranked, args.k);
        if json {
            return output::print_json(&Line { id: &input.id, results: &ranked });
        }
        output::print(&format!("{}{}", heading(input, terms), table(&ranked, terms)))
    })
}

/// Asks for the score of a document, and for how many tokens were not read.
type Score<'a> = Box<dyn Fn(&str) -> Result<Asking<'a, (f32, usize)>, Error> + 'a>;

impl<'a> Scorer<'a> {
    /// Scores documents against `query`: the score, and how many tokens of both were not read.
    fn of(self, query: &str) -> Result<Score<'a>, Error> {
        let Self { encoder, raw } = self;
        if encoder.head() != Head::Late {
            let query = query.to_owned();
            return Ok(Box::new(move |document| {
                let asked = asking(encoder.ask_pair(&query, document, raw))?;
                Ok(asked.map(|answer| (answer.score, answer.query_truncated + answer.truncated)))
            }));
        }
        let own = encoder.ask_late(query, Prompt::Query, berth_pipeline::Overlong::Cut)?.wait()?;
        Ok(Box::new(move |document| {
            let asked = asking(encoder.ask_late(document, Prompt::Passage, berth_pipeline::Overlong::Cut))?;
            let own = own.clone();
            Ok(asked.map(move |passage| (max_sim(&own.vectors, &passage.vectors), own.truncated + passage.truncated)))
        }))
    }
}

/// Best first; equal ones in the order in which they came.
fn sort(ranked: &mut Vec<Ranked>, k: Option<usize>) {
    ranked.sort_by(|one, other| other.score.total_cmp(&one.score).then(one.index.cmp(&other.index)));
    ranked.truncate(k.unwrap_or(usize::MAX));
    for (place, document) in ranked.iter_mut().enumerate() {
        document.rank = place + 1;
    }
}

fn table(ranked: &[Ranked], terms: Terms) -> String {
    let mut page = String::new();
    for document in ranked {
        let room = terms.columns.saturating_sub(16);
        let mut text: String = printable(&document.text).chars().take(room).collect();
        if document.text.chars().count() > room {
            text.push('…');
        }
        let cut = match document.truncated {
            0 => String::new(),
            count => format!("  {}", paint(terms.warn, format!("{count} tokens not read"))),
        };
        let score = paint(terms.match_, format!("{:>8.4}", document.score));
        let _ = writeln!(page, "{:>3}. {score}  {text}{cut}", document.rank);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_keep_their_order() {
        let ranked = |score, index| Ranked { rank: 0, score, index, id: None, truncated: 0, text: String::new() };
        let mut documents = vec![ranked(0.5, 0), ranked(0.9, 1), ranked(0.5, 2), ranked(-1.0, 3)];
        sort(&mut documents, Some(3));
        let order: Vec<(usize, usize)> = documents.iter().map(|document| (document.rank, document.index)).collect();
        assert_eq!(order, [(1, 1), (2, 0), (3, 2)]);
    }
}
