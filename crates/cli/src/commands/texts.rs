//! What the commands over texts share: where texts come from, what becomes of those that fail, how results are shown.

use std::io::{self, IsTerminal};

use berth_pipeline::{Answered, Asking, Body, Encoder, Ended, Error, Input, Inputs};
use serde_json::Value;

use crate::Outcome;
use crate::commands::index::cancel_on_signals;
use crate::head_args::LineArgs;
use crate::output::{Terms, WrongUsage, complain, paint, printable};

/// The texts that were named, else those of standard input.
pub(crate) fn inputs(texts: &[String], lines: &LineArgs) -> anyhow::Result<Inputs> {
    if !texts.is_empty() {
        let given = texts.iter().enumerate().map(|(place, text)| Input::argument(place + 1, text));
        return Ok(Inputs::given(given.collect()));
    }
    if io::stdin().is_terminal() {
        let message = "there is no text; name one, or pipe lines of JSON into this command (see --help)";
        return Err(WrongUsage(message.to_owned()).into());
    }
    Ok(Inputs::read(io::stdin(), lines.lines))
}

/// Whether results are for a program and not for a reader.
pub(crate) fn wants_json(lines: &LineArgs) -> bool {
    lines.json || !io::stdout().is_terminal()
}

/// Questions that are kept on their way: enough that no worker waits for the next.
pub(crate) fn ahead(encoder: &Encoder) -> usize {
    encoder.rows_under_way()
}

/// Asks about each input and shows each answer, in order. An input that fails is reported; with `--strict` it ends the run.
/// A signal ends it between two parts of an answer, so that whoever called can tidy up.
pub(crate) fn each<'a, T>(
    inputs: Inputs,
    (ahead, lines): (usize, &LineArgs),
    ask: impl FnMut(&Input) -> Result<Asking<'a, T>, Error>,
    mut show: impl FnMut(&Input, T) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let cancel = cancel_on_signals()?;
    let mut failures = 0_usize;
    let take = |answered| -> anyhow::Result<()> {
        let (number, reason) = match answered {
            Answered::Input(input, Ok(answer)) => return show(&input, answer),
            Answered::Input(input, Err(error)) => {
                if lines.strict {
                    return Err(anyhow::Error::from(error).context(format!("text {}", input.number)));
                }
                (input.number, error.to_string())
            }
            Answered::BadLine(bad) => {
                if lines.strict {
                    anyhow::bail!("line {}: {}", bad.number, bad.reason);
                }
                (bad.number, bad.reason)
            }
        };
        failures += 1;
        complain(&format!("text {number}: {reason}"));
        Ok(())
    };
    Ok(match inputs.answer(ahead, ask, take, &cancel)? {
        Ended::Cancelled => Outcome::Interrupted,
        Ended::AtTheEnd if failures > 0 => Outcome::Failed,
        Ended::AtTheEnd => Outcome::Done,
    })
}

/// The one text of an input.
///
/// # Errors
/// When it is a pair or a query with documents.
pub(crate) fn one_text(input: &Input) -> Result<&str, Error> {
    match &input.body {
        Body::Text(text) => Ok(text),
        _ => Err(Error::InvalidSettings("this command takes one text a line, not a pair or a query".to_owned())),
    }
}

/// An id as people read it.
pub(crate) fn label_of(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// What stands above the result of an input on a terminal: its id, and the beginning of what was asked about.
pub(crate) fn heading(input: &Input, terms: Terms) -> String {
    let text = match &input.body {
        Body::Text(text) | Body::Pair(text, _) | Body::Query { query: text, .. } => text,
    };
    let room = terms.columns.saturating_sub(12).min(60);
    let mut shown: String = printable(text).chars().take(room).collect();
    if text.chars().count() > room {
        shown.push('…');
    }
    format!("{}  {}\n", paint(terms.title, printable(&label_of(&input.id))), paint(terms.quiet, shown))
}
