//! Tables: sorted and searched by a small script, complete without it.

use std::fmt::Write;

use super::chart::{nothing, open};
use super::scale::extent;
use super::text::{DASH, counted, escaped, number, signed};

/// The cells of a row, in the order of the columns.
pub(crate) type Row = Vec<Cell>;

/// A table below its heading.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) heading: String,
    pub(crate) note: String,
    pub(crate) columns: Vec<Column>,
    /// Cells that a row lacks are shown as missing, cells beyond the columns are not shown.
    pub(crate) rows: Vec<Row>,
    /// Whether a click on the name of a column sorts by it.
    pub(crate) sortable: bool,
    /// Whether there is a field to search the rows with.
    pub(crate) filterable: bool,
    /// How many rows are shown before the reader asks for all.
    pub(crate) collapsed_after: Option<usize>,
}

/// What a column is called and holds.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// How the cells of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A number with so many decimals.
    Number(usize),
    /// A difference with so many decimals and its sign.
    Signed(usize),
    /// A number with so many decimals, and a bar that shows its size beside the others of the column.
    Bar(usize),
}

/// What a cell holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Text(String),
    /// What is not finite is shown as missing.
    Number(f64),
    /// A number and its confidence interval.
    Within {
        value: f64,
        low: f64,
        high: f64,
    },
    Missing,
}

impl Column {
    pub(crate) fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self { name: name.into(), kind }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Self {
        Self::Number(count as f64)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing, Into::into)
    }
}

impl Cell {
    fn value(&self) -> Option<f64> {
        match self {
            Self::Number(value) | Self::Within { value, .. } if value.is_finite() => Some(*value),
            _ => None,
        }
    }
}

/// Draws the section of a table.
pub(super) fn section(id: &str, table: &Table) -> String {
    let mut out = open(id, "panel", &table.heading, &table.note);
    if table.rows.is_empty() || table.columns.is_empty() {
        return nothing(out, "There are no rows.");
    }
    let shown = table.collapsed_after.unwrap_or(usize::MAX);
    let mut settings = String::new();
    if table.sortable {
        settings.push_str(" data-sortable");
    }
    if table.filterable {
        settings.push_str(" data-filterable");
    }
    if table.rows.len() > shown {
        let _ = write!(settings, " data-shown=\"{shown}\"");
    }
    let count = counted(table.rows.len(), "row", "rows");
    let (class, count) = match settings.as_str() {
        "" => ("still", String::new()),
        _ => ("tabular", format!("<p class=\"count\">{count}</p>")),
    };
    let _ = writeln!(
        out,
        "<div class=\"{class}\"{settings}>{count}\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{id}-h\">{}</div></div>\n</section>",
        grid(&table.heading, &table.columns, &table.rows, shown)
    );
    out
}

/// A table that is only read.
pub(super) fn plain(caption: &str, columns: &[Column], rows: &[Row]) -> String {
    grid(caption, columns, rows, usize::MAX)
}

fn grid(caption: &str, columns: &[Column], rows: &[Row], shown: usize) -> String {
    let mut out = format!("<table><caption class=\"unseen\">{}</caption>\n<thead><tr>", escaped(caption));
    for column in columns {
        let class = if column.kind == Kind::Text { "" } else { " class=\"n\"" };
        let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", escaped(&column.name));
    }
    out.push_str("</tr></thead>\n<tbody>");
    let ranges: Vec<(f64, f64)> = (0..columns.len())
        .map(|place| {
            let values = rows.iter().filter_map(|row| row.get(place).and_then(Cell::value));
            let (low, high) = extent(values).unwrap_or((0.0, 0.0));
            (low.min(0.0), high.max(0.0))
        })
        .collect();
    // No ends of lines between rows: browsers take seconds to sort thousands of rows that have texts between them.
    for (position, row) in rows.iter().enumerate() {
        out.push_str(if position < shown { "<tr>" } else { "<tr hidden>" });
        for (place, (column, range)) in columns.iter().zip(&ranges).enumerate() {
            let cell = row.get(place).unwrap_or(&Cell::Missing);
            out.push_str(&drawn(cell, column.kind, *range, place == 0));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table>");
    out
}

/// One cell. The first of a row names it where it is text.
fn drawn(cell: &Cell, kind: Kind, range: (f64, f64), first: bool) -> String {
    let text_cell = |text: &str| match (first, text.is_empty()) {
        (_, true) => format!("<td>{}</td>", missing()),
        (true, _) => format!("<th scope=\"row\" dir=\"auto\">{}</th>", escaped(text)),
        (false, _) => format!("<td dir=\"auto\">{}</td>", escaped(text)),
    };
    let write = |value: f64| match kind {
        Kind::Text => signless(value),
        Kind::Number(decimals) | Kind::Bar(decimals) => number(value, decimals),
        Kind::Signed(decimals) => signed(value, decimals),
    };
    if let (Cell::Text(text), Kind::Text) = (cell, kind) {
        return text_cell(text);
    }
    if let Cell::Text(text) = cell {
        return format!("<td class=\"n\" dir=\"auto\">{}</td>", escaped(text));
    }
    let class = if kind == Kind::Text { "" } else { " class=\"n\"" };
    let Some(value) = cell.value() else {
        return format!("<td{class}>{}</td>", missing());
    };
    let interval = match cell {
        Cell::Within { low, high, .. } if low.is_finite() && high.is_finite() => {
            format!(" <small>[{}, {}]</small>", write(*low), write(*high))
        }
        _ => String::new(),
    };
    let bar = if matches!(kind, Kind::Bar(_)) { bar(value, range) } else { String::new() };
    let class = match kind {
        Kind::Signed(_) if value > 0.0 => " class=\"n up\"",
        Kind::Signed(_) if value < 0.0 => " class=\"n down\"",
        _ => class,
    };
    format!("<td{class}>{bar}{}{interval}</td>", write(value))
}

fn missing() -> String {
    format!("<span class=\"missing\" title=\"no value\">{DASH}</span>")
}

/// A number in a column of text: as many decimals as it has, up to four.
fn signless(value: f64) -> String {
    let decimals = (0..4).find(|&decimals| {
        let power = 10_f64.powi(decimals as i32);
        (value * power - (value * power).round()).abs() < 1e-9
    });
    number(value, decimals.unwrap_or(4))
}

/// A bar from zero to the value, in hundredths of the range of the column.
fn bar(value: f64, (low, high): (f64, f64)) -> String {
    let wide = high - low;
    if wide <= 0.0 {
        return "<span class=\"rail\"></span>".to_owned();
    }
    let value = value.clamp(low, high);
    let from = 100.0 * (value.min(0.0) - low) / wide;
    let class = if value < 0.0 { " class=\"below\"" } else { "" };
    format!(
        "<span class=\"rail\"><i{class} style=\"left:{from:.1}%;width:{:.1}%\"></i></span>",
        100.0 * value.abs() / wide
    )
}
