//! `berth fill-mask TEXT…`: guesses for masked tokens, or how well the model foresees a text.

use berth_pipeline::{FillMaskAnswer, Home, Input, MaskedPlace, PerplexityAnswer, asking, open_head};
use berth_types::Head;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

use crate::Outcome;
use crate::commands::classify::is_zero;
use crate::commands::texts::{ahead, each, heading, inputs, one_text, wants_json};
use crate::head_args::FillMaskArgs;
use crate::output::{self, Terms, printable};

#[derive(Serialize)]
struct MasksLine<'a> {
    id: &'a Value,
    masks: &'a [MaskedPlace],
    #[serde(skip_serializing_if = "is_zero")]
    truncated: usize,
}

#[derive(Serialize)]
struct PerplexityLine<'a> {
    id: &'a Value,
    pseudo_perplexity: f64,
    log_likelihood: f64,
    tokens: usize,
    #[serde(skip_serializing_if = "is_zero")]
    truncated: usize,
}

pub(crate) fn run(home: &Home, args: &FillMaskArgs, terms: Terms) -> anyhow::Result<Outcome> {
    let (texts, lines) = (inputs(&args.text.texts, &args.text.lines)?, &args.text.lines);
    let encoder = open_head(home, &args.text.run.choice(), Head::FillMask, None)?;
    let (json, overlong) = (wants_json(lines), args.truncate.overlong());
    let ahead = ahead(&encoder);
    if args.perplexity {
        let ask = |input: &Input| asking(encoder.ask_pseudo_perplexity(one_text(input)?, overlong));
        return each(texts, (1, lines), ask, |input, answer| {
            let PerplexityAnswer { pseudo_perplexity, log_likelihood, tokens, truncated } = answer;
            if json {
                let id = &input.id;
                return output::print_json(&PerplexityLine {
                    id,
                    pseudo_perplexity,
                    log_likelihood,
                    tokens,
                    truncated,
                });
            }
            let above = heading(input, terms);
            output::print(&format!("{above}  pseudo-perplexity {pseudo_perplexity:.3} over {tokens} tokens\n"))
        });
    }
    each(
        texts,
        (ahead, lines),
        |input| asking(encoder.ask_fill_mask(one_text(input)?, args.k as usize, overlong)),
        |input, FillMaskAnswer { masks, truncated }| {
            if json {
                return output::print_json(&MasksLine { id: &input.id, masks: &masks, truncated });
            }
            let mut page = heading(input, terms);
            for (number, mask) in masks.iter().enumerate() {
                if masks.len() > 1 {
                    let _ = writeln!(page, "  mask {} at byte {}", number + 1, mask.start);
                }
                for guess in &mask.guesses {
                    let _ = writeln!(page, "  {:>8.4}  {}", guess.probability, printable(&guess.text));
                }
            }
            output::print(&page)
        },
    )
}
