//! `berth attention TEXT`: which token looks at which, layer by layer and head by head, as numbers or as a page.

mod page;

use std::fmt::Write as _;
use std::io::Write;

use berth_pipeline::{AttentionAnswer, Draft, Home, RowToken, asking, open_head};
use berth_types::Head;
use serde::Serialize;
use serde_json::Value;

use crate::Outcome;
use crate::commands::classify::is_zero;
use crate::commands::texts::{each, heading, inputs, one_text, wants_json};
use crate::head_args::AttentionArgs;
use crate::output::{self, Terms, WrongUsage, bytes, paint, printable, say};

/// Tokens whose weights fit on a terminal.
const SHOWN_TOKENS: usize = 32;
/// From nothing to everything.
const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];

#[derive(Serialize)]
struct Line<'a> {
    id: &'a Value,
    tokens: &'a [RowToken],
    layers: Vec<Layer<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    truncated: usize,
}

#[derive(Serialize)]
struct Layer<'a> {
    layer: usize,
    /// For each head a line a token, and in it the weight of each token that it looks at.
    heads: Vec<Vec<&'a [f32]>>,
}

pub(crate) fn run(home: &Home, args: &AttentionArgs, terms: Terms) -> anyhow::Result<Outcome> {
    if args.html.is_some() && args.text.texts.len() > 1 {
        return Err(WrongUsage("--html draws one text; put it in quotes".to_owned()).into());
    }
    let (texts, lines) = (inputs(&args.text.texts, &args.text.lines)?, &args.text.lines);
    let layers = (!args.layers.is_empty()).then(|| args.layers.clone());
    let encoder = open_head(home, &args.text.run.choice(), Head::Attention, layers)?;
    let overlong = args.truncate.overlong();
    let (mut drawn, json) = (false, wants_json(lines) && (args.html.is_none() || lines.json));
    // Weights of a long text are large, so that few are kept at once.
    each(
        texts,
        (2, lines),
        |input| asking(encoder.ask_attention(one_text(input)?, &args.layers, overlong)),
        |input, answer| {
            if let Some(out) = &args.html {
                anyhow::ensure!(!drawn, "--html draws one text, and standard input has more");
                drawn = true;
                let page = page::render(&encoder.card().name, one_text(input)?, &answer);
                let (draft, mut file) = Draft::create(out)?;
                file.write_all(page.as_bytes())?;
                draft.keep(&file)?;
                say(&format!("berth: {} in {}", bytes(page.len() as u64), out.display()));
            }
            if json {
                return output::print_json(&line(&input.id, &answer));
            }
            if args.html.is_some() {
                return Ok(());
            }
            output::print(&shades(heading(input, terms), &answer, terms))
        },
    )
}

fn line<'a>(id: &'a Value, answer: &'a AttentionAnswer) -> Line<'a> {
    let layers = answer.layers.iter().map(|layer| Layer {
        layer: layer.layer,
        heads: layer.heads.iter().map(|head| head.chunks_exact(layer.tokens.max(1)).collect()).collect(),
    });
    Line { id, tokens: &answer.tokens, layers: layers.collect(), truncated: answer.truncated }
}

/// The average over the heads of the last layer, as characters.
fn shades(heading: String, answer: &AttentionAnswer, terms: Terms) -> String {
    let mut page = heading;
    let Some(layer) = answer.layers.last() else { return page };
    let tokens = layer.tokens;
    if tokens > SHOWN_TOKENS {
        let _ = writeln!(page, "  {tokens} tokens are too many for a terminal; draw them with --html FILE");
        return page;
    }
    let width = 12;
    for (row, token) in answer.tokens.iter().enumerate() {
        let piece: String = printable(&token.piece).chars().take(width).collect();
        let _ = write!(page, "  {piece:>width$} ");
        for column in 0..tokens {
            let sum: f32 = layer.heads.iter().map(|head| head[row * tokens + column]).sum();
            let weight = sum / layer.heads.len().max(1) as f32;
            // Weights are small where there are many tokens: the root shows them.
            let shade = SHADES[((weight.sqrt() * 5.0) as usize).min(SHADES.len() - 1)];
            page.push(shade);
            page.push(shade);
        }
        page.push('\n');
    }
    let note = format!("layer {}, average of {} heads; --html FILE draws them all", layer.layer, layer.heads.len());
    let _ = writeln!(page, "  {}", paint(terms.quiet, note));
    page
}
