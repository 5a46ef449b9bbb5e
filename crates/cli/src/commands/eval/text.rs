//! The report of an evaluation as text.

use std::fmt::Write;

use berth_pipeline::{EvalReport, ModePair, QueryRow, SpanReport};

use crate::output::{bytes, grouped, p_value, printable, shorten};

/// Missed documents that are named of one query.
const NAMED: usize = 5;

/// What stands on standard output.
pub(super) fn text(report: &EvalReport, worst: &[&QueryRow], columns: usize) -> String {
    let mut page = format!(
        "{} · {} · {} queries · {} judgements\n\n",
        report.dataset,
        report.split,
        grouped(report.queries as u64),
        grouped(report.judgements as u64)
    );
    table(&mut page, report);
    if !report.comparisons.is_empty() {
        page.push('\n');
    }
    for pair in &report.comparisons {
        page.push_str(&compared(pair));
    }
    if let Some(spans) = &report.spans {
        span_table(&mut page, spans);
    }
    if !worst.is_empty() {
        worst_queries(&mut page, report, worst, columns);
    }
    cost(&mut page, report);
    page
}

fn table(page: &mut String, report: &EvalReport) {
    let width = report.modes.keys().map(|mode| mode.chars().count()).max().unwrap_or(0).max(8);
    let names: Vec<String> = report.measures.iter().map(ToString::to_string).collect();
    let _ = write!(page, "{:<width$}", "mode");
    for name in &names {
        let _ = write!(page, "  {name:>6}");
    }
    let is_asked = report.modes.values().any(|of_mode| of_mode.p50_ms.is_some());
    if is_asked {
        let _ = write!(page, "  {:>7}  {:>7}  {:>9}", "p50 ms", "p99 ms", "index");
    }
    page.push('\n');
    for (mode, of_mode) in &report.modes {
        let _ = write!(page, "{:<width$}", printable(mode));
        for (name, (_, value)) in names.iter().zip(of_mode.metrics.iter()) {
            let column = name.len().max(6);
            let _ = write!(page, "  {value:>column$.4}");
        }
        if let (Some(p50), Some(p99), Some(size)) = (of_mode.p50_ms, of_mode.p99_ms, of_mode.index_bytes) {
            let _ = write!(page, "  {p50:>7.1}  {p99:>7.1}  {:>9}", bytes(size));
        }
        page.push('\n');
    }
}

fn span_table(page: &mut String, spans: &SpanReport) {
    let width = spans.modes.keys().map(|mode| mode.chars().count()).max().unwrap_or(0).max(8);
    let _ = writeln!(page, "\nspans · first {} passages · {} queries\n", spans.k, grouped(spans.queries as u64));
    let _ = writeln!(page, "{:<width$}  {:>6}  {:>9}  {:>6}", "mode", "recall", "precision", "IoU");
    for (mode, of) in &spans.modes {
        let _ = writeln!(page, "{mode:<width$}  {:>6.4}  {:>9.4}  {:>6.4}", of.recall, of.precision, of.iou);
    }
}

/// One mode against another in a line.
fn compared(pair: &ModePair) -> String {
    let of = &pair.comparison;
    let (low, high) = of.interval;
    let p = p_value(of.p_value);
    let p = if p.starts_with('<') { format!("p {p}") } else { format!("p = {p}") };
    format!(
        "{} against {}: {:+.4} {}, {:.0} % interval {low:+.4} to {high:+.4}, {p}; {} better, {} worse, {} equal\n",
        pair.candidate,
        pair.baseline,
        of.difference,
        of.measure,
        of.level * 100.0,
        of.wins,
        of.losses,
        of.ties
    )
}

fn worst_queries(page: &mut String, report: &EvalReport, worst: &[&QueryRow], columns: usize) {
    let (Some(chief), Some(measure)) = (report.chief(), report.measures.first()) else { return };
    let _ = writeln!(page, "\nworst of {} by {measure}", printable(&chief.mode));
    for row in worst {
        let value = row.scores.get(*measure).unwrap_or(0.0);
        let line = format!("{value:.4}  {}  {}", printable(&row.query), printable(&row.text));
        let _ = writeln!(page, "  {}", shorten(&line, columns.saturating_sub(2)));
        let first = row.first_relevant.map_or_else(
            || "no relevant document found".to_owned(),
            |rank| format!("first relevant document at rank {rank}"),
        );
        let missed = if row.missed.is_empty() {
            String::new()
        } else {
            let named: Vec<String> = row.missed.iter().take(NAMED).map(|id| printable(id)).collect();
            let more = if row.missed.len() > NAMED { ", …" } else { "" };
            format!("; missed {}: {}{more}", row.missed.len(), named.join(", "))
        };
        let _ = writeln!(page, "          {first}{missed}");
    }
}

fn cost(page: &mut String, report: &EvalReport) {
    let Some(index) = &report.index else { return };
    let (documents, chunks) = (grouped(index.documents), grouped(index.chunks));
    let _ = writeln!(page, "\nindex: {documents} documents, {chunks} chunks, {}", bytes(index.bytes));
    if let Some(encode) = report.encode.filter(|encode| encode.tokens > 0) {
        let _ = writeln!(
            page,
            "indexed: {} tokens in {:.1} s ({} tokens/s)",
            grouped(encode.tokens),
            encode.seconds,
            grouped(encode.tokens_per_second as u64)
        );
    }
}
