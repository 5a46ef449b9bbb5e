//! Standard output for results, standard error for everything else.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::args::ColorChoice;

/// A p value below it is only said to be less: with 10,000 samples there is none that is told from it.
const LEAST_P: f64 = 0.0001;

/// A fault of usage that clap cannot see.
#[derive(Debug)]
pub(crate) struct WrongUsage(pub(crate) String);

impl Display for WrongUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// What is known of the place that output goes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) title: Style,
    pub(crate) match_: Style,
    pub(crate) quiet: Style,
    pub(crate) underlined: Style,
    pub(crate) good: Style,
    pub(crate) warn: Style,
    pub(crate) bad: Style,
    /// Columns to wrap at.
    pub(crate) columns: usize,
}

impl Terms {
    /// Colours on a terminal unless `NO_COLOR` is set (no-color.org) or the user chose otherwise.
    pub(crate) fn of(choice: ColorChoice) -> Self {
        let coloured = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
                io::stdout().is_terminal() && !unwanted && !dumb
            }
        };
        let columns = terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0)).clamp(40, 110);
        let style = |style: Style| if coloured { style } else { Style::new() };
        let colour = |colour: AnsiColor| colour.on_default();
        Self {
            title: style(Style::new().bold()),
            match_: style(colour(AnsiColor::Yellow).bold()),
            quiet: style(Style::new().dimmed()),
            underlined: style(Style::new().underline()),
            good: style(colour(AnsiColor::Green)),
            warn: style(colour(AnsiColor::Yellow)),
            bad: style(colour(AnsiColor::Red).bold()),
            columns,
        }
    }
}

/// Wraps `text` in a style.
pub(crate) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes text to standard output as it is.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes one JSON object as one line.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    // Written as it is made: the line of a long text is many times as long as its numbers.
    let mut out = BufWriter::new(io::stdout().lock());
    serde_json::to_writer(&mut out, value).map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// Says something on standard error; a closed standard error is nobody's problem. Names from outside, of files for
/// instance, cannot drive the terminal.
pub(crate) fn say(message: &str) {
    let safe = message.split('\n').map(printable).collect::<Vec<_>>().join("\n");
    let _ = writeln!(io::stderr().lock(), "{safe}");
}

/// Says what went wrong.
pub(crate) fn complain(message: &str) {
    say(&format!("berth: {message}"));
}

/// Whether an error only means that nobody reads our output any more.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}

/// Makes text from outside safe for a terminal: control characters become spaces.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Groups digits by thousands: `1234567` becomes `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of bytes as people read it.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Cuts text to so many columns, the last of them an ellipsis where something was cut.
pub(crate) fn shorten(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if short.width() + 2 > columns {
            break;
        }
        short.push(c);
    }
    short.trim_end().to_owned() + "…"
}

/// A p value as people read it: small ones as a bound.
pub(crate) fn p_value(p: f64) -> String {
    if p < LEAST_P { format!("< {LEAST_P}") } else { format!("{p:.4}") }
}

/// What was typed to start this process, with quotes where a shell needs them.
pub(crate) fn command_line() -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./,:=@%+~".contains(c);
    let quoted = |(place, word): (usize, OsString)| {
        let word = word.to_string_lossy().into_owned();
        if place == 0 {
            return "berth".to_owned();
        }
        let plain = !word.is_empty() && word.chars().all(is_plain);
        if plain { word } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    std::env::args_os().enumerate().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([5, 1500, 25_000_000].map(bytes), ["5 B", "1.5 kB", "25.0 MB"]);
    }

    #[test]
    fn texts_cannot_drive_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\nc"), "a [31mb c");
    }
}
