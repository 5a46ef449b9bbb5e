//! `berth tokens TEXT…`: how a model's tokenizer reads texts. No model runs.

use berth_pipeline::{Asking, Body, Error, Home, RowToken, open_tokenizer};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr;

use crate::Outcome;
use crate::commands::texts::{each, heading, inputs, wants_json};
use crate::head_args::TokensArgs;
use crate::output::{self, Terms, paint, printable};

#[derive(Serialize)]
struct Line<'a> {
    id: &'a Value,
    tokens: &'a [RowToken],
    count: usize,
    unknown: usize,
    unknown_share: f64,
}

pub(crate) fn run(home: &Home, args: &TokensArgs, terms: Terms) -> anyhow::Result<Outcome> {
    let (texts, lines) = (inputs(&args.texts, &args.lines)?, &args.lines);
    let tokenizer = open_tokenizer(home, args.model.as_deref())?;
    let json = wants_json(lines);
    each(
        texts,
        (1, lines),
        |input| -> Result<Asking<Vec<RowToken>>, Error> {
            let tokens = match &input.body {
                Body::Text(text) => tokenizer.spell(text)?,
                Body::Pair(text, second) => tokenizer.spell_pair(text, second)?,
                Body::Query { .. } => {
                    return Err(Error::InvalidSettings("this command takes a text or a pair of texts".to_owned()));
                }
            };
            Ok(Asking::answered(tokens))
        },
        |input, tokens| {
            let own = tokens.iter().filter(|token| !token.special).count();
            let unknown = tokens.iter().filter(|token| token.unknown).count();
            let unknown_share = if own == 0 { 0.0 } else { unknown as f64 / own as f64 };
            if json {
                let count = tokens.len();
                return output::print_json(&Line { id: &input.id, tokens: &tokens, count, unknown, unknown_share });
            }
            let several = tokens.iter().any(|token| token.r#type > 0);
            let mut page = heading(input, terms);
            let widest = tokens.iter().map(|token| printable(&token.piece).width()).max().unwrap_or(0).clamp(5, 40);
            let heads = if several { "  type" } else { "" };
            let title = format!("  {:>4}  {:<widest$}  {:>8}  {:<13}{heads}", "#", "piece", "id", "bytes");
            let _ = writeln!(page, "{}", paint(terms.quiet, title.trim_end()));
            for (place, token) in tokens.iter().enumerate() {
                let shown = printable(&token.piece);
                let padding = " ".repeat(widest.saturating_sub(shown.width()));
                let style = match token {
                    _ if token.special => terms.quiet,
                    _ if token.unknown => terms.bad,
                    _ => anstyle::Style::new(),
                };
                let bytes =
                    if token.special { "special".to_owned() } else { format!("{}–{}", token.start, token.end) };
                let kind = if several { format!("  {}", token.r#type) } else { String::new() };
                let mark = if token.unknown { "  unknown" } else { "" };
                let line =
                    format!("  {place:>4}  {}{padding}  {:>8}  {bytes:<13}{kind}{mark}", paint(style, shown), token.id);
                page.push_str(line.trim_end());
                page.push('\n');
            }
            let summary =
                format!("{own} tokens and {} special, {:.1} % unknown", tokens.len() - own, 100.0 * unknown_share);
            let _ = writeln!(page, "  {}", paint(terms.quiet, summary));
            output::print(&page)
        },
    )
}
