//! `berth classify TEXT…`: labels of texts, or of pairs of texts.

use berth_pipeline::{Body, ClassAnswer, Error, Home, asking, classify::LabelScore, open_head};
use berth_types::Head;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

use crate::Outcome;
use crate::commands::texts::{ahead, each, heading, inputs, wants_json};
use crate::head_args::ClassifyArgs;
use crate::output::{self, Terms, paint, printable};

#[derive(Serialize)]
struct Line<'a> {
    id: &'a Value,
    labels: &'a [LabelScore],
    #[serde(skip_serializing_if = "is_zero")]
    truncated: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over like this")]
pub(crate) fn is_zero(count: &usize) -> bool {
    *count == 0
}

pub(crate) fn run(home: &Home, args: &ClassifyArgs, terms: Terms) -> anyhow::Result<Outcome> {
    let (texts, lines) = (inputs(&args.text.texts, &args.text.lines)?, &args.text.lines);
    let encoder = open_head(home, &args.text.run.choice(), Head::Classify, None)?;
    let (json, overlong) = (wants_json(lines), args.truncate.overlong());
    each(
        texts,
        (ahead(&encoder), lines),
        |input| match &input.body {
            Body::Text(text) => asking(encoder.ask_class(text, None, overlong)),
            Body::Pair(text, second) => asking(encoder.ask_class(text, Some(second), overlong)),
            Body::Query { .. } => Err(Error::InvalidSettings("a query with documents is for berth rerank".to_owned())),
        },
        |input, ClassAnswer { mut labels, truncated }| {
            labels.truncate(args.k.unwrap_or(labels.len()));
            if json {
                return output::print_json(&Line { id: &input.id, labels: &labels, truncated });
            }
            let mut page = heading(input, terms);
            for label in &labels {
                let _ = writeln!(page, "  {:>8.4}  {}", label.score, printable(&label.label));
            }
            if truncated > 0 {
                let _ = writeln!(page, "  {}", paint(terms.warn, format!("{truncated} tokens were not read")));
            }
            output::print(&page)
        },
    )
}
