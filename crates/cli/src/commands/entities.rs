//! `berth entities TEXT…`: names, places and whatever else a model finds in texts of any length.

use berth_pipeline::{Entity, EntityAnswer, Home, asking, open_head};
use berth_types::Head;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

use crate::Outcome;
use crate::commands::texts::{ahead, each, heading, inputs, one_text, wants_json};
use crate::head_args::EntitiesArgs;
use crate::output::{self, Terms, paint, printable};

#[derive(Serialize)]
struct Line<'a> {
    id: &'a Value,
    entities: Vec<Found<'a>>,
    tokens: usize,
    windows: usize,
}

#[derive(Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    entity: &'a Entity,
    text: &'a str,
}

pub(crate) fn run(home: &Home, args: &EntitiesArgs, terms: Terms) -> anyhow::Result<Outcome> {
    let (texts, lines) = (inputs(&args.text.texts, &args.text.lines)?, &args.text.lines);
    let encoder = open_head(home, &args.text.run.choice(), Head::Entities, None)?;
    let (json, strategy) = (wants_json(lines), args.strategy.strategy());
    each(
        texts,
        (ahead(&encoder), lines),
        |input| asking(encoder.ask_entities(one_text(input)?, strategy)),
        |input, EntityAnswer { entities, tokens, windows }| {
            let text = one_text(input)?;
            if json {
                let entities =
                    entities.iter().map(|entity| Found { entity, text: &text[entity.start..entity.end] }).collect();
                return output::print_json(&Line { id: &input.id, entities, tokens, windows });
            }
            let mut page = heading(input, terms);
            if entities.is_empty() {
                let _ = writeln!(page, "  {}", paint(terms.quiet, "no entities"));
            }
            for Entity { label, start, end, score } in &entities {
                let place = paint(terms.quiet, format!("bytes {start}–{end}"));
                let label = printable(label);
                let found = paint(terms.match_, printable(&text[*start..*end]));
                let _ = writeln!(page, "  {score:>6.3}  {label:<10} {found}  {place}");
            }
            output::print(&page)
        },
    )
}
