//! `berth queries --index DIR`.

use std::fmt::Write;
use std::time::SystemTime;

use berth_pipeline::{Error, QueryReport, QuerySummary, query_report, read_query_log};

use crate::Outcome;
use crate::curation_args::QueriesArgs;
use crate::output::{self, grouped, paint, printable, say};

/// Columns of a question.
const QUERY_CHARS: usize = 60;

pub(crate) fn run(args: &QueriesArgs, terms: output::Terms) -> anyhow::Result<Outcome> {
    if !berth_pipeline::index_exists(&args.index) {
        return Err(Error::from(berth_pipeline::IndexError::NotFound { path: args.index.clone() }).into());
    }
    let log = read_query_log(&args.index)?;
    let mut report = query_report(&log, args.since, Some(args.k), SystemTime::now());
    if args.nothing {
        report.commonest.clear();
        report.slowest.clear();
    }
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&page(&report, terms))?;
    }
    if report.queries == 0 && !args.json {
        say(&format!("berth: no question is in the log of {}; `berth search --log` keeps them", args.index.display()));
    }
    let is_empty = if args.nothing { report.nothing.is_empty() } else { report.queries == 0 };
    Ok(if is_empty { Outcome::NothingFound } else { Outcome::Done })
}

fn page(report: &QueryReport, terms: output::Terms) -> String {
    let mut page = String::new();
    for (title, summaries) in
        [("commonest", &report.commonest), ("found nothing", &report.nothing), ("slowest", &report.slowest)]
    {
        if summaries.is_empty() {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{}", paint(terms.title, title));
        for summary in summaries {
            line(&mut page, summary);
        }
        page.push('\n');
    }
    if report.queries > 0 {
        let count = |count: usize| grouped(count as u64);
        let (asked, distinct, nothing) = (count(report.queries), count(report.distinct), count(report.found_nothing));
        let since = report.first.as_deref().unwrap_or_default();
        let summary = format!("{asked} questions since {since}, {distinct} different ones; {nothing} found nothing");
        let _ = writeln!(page, "{}", paint(terms.quiet, summary));
    }
    if report.damaged_lines > 0 {
        let _ = writeln!(page, "damaged lines that were passed over: {}", grouped(report.damaged_lines as u64));
    }
    page
}

fn line(page: &mut String, summary: &QuerySummary) {
    let mut query: String = printable(&summary.query).chars().take(QUERY_CHARS + 1).collect();
    if query.chars().count() > QUERY_CHARS {
        query = query.chars().take(QUERY_CHARS - 1).collect::<String>() + "…";
    }
    let QuerySummary { times, hits, relevance, median_ms, .. } = summary;
    let _ = writeln!(
        page,
        "  {query:<QUERY_CHARS$}  {times:>5} ×  {hits:>3} hits  relevance {relevance:.2}  {median_ms:>8.1} ms"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ColorChoice;

    #[test]
    fn shows_what_was_asked() {
        let summary = |query: &str, times, hits| QuerySummary {
            query: query.into(),
            times,
            hits,
            relevance: 0.5,
            median_ms: 12.25,
            last: "2026-05-17".into(),
        };
        let long = "a question that goes on and on until nobody wants to read it any more";
        let report = QueryReport {
            queries: 1203,
            distinct: 2,
            found_nothing: 3,
            damaged_lines: 1,
            first: Some("2026-05-17T10:00:00Z".into()),
            commonest: vec![summary("harbour crane", 1200, 10)],
            nothing: vec![summary(long, 3, 0)],
            slowest: Vec::new(),
        };
        insta::assert_snapshot!(page(&report, output::Terms::of(ColorChoice::Never)), @r"
        commonest
          harbour crane                                                  1200 ×   10 hits  relevance 0.50      12.2 ms

        found nothing
          a question that goes on and on until nobody wants to read i…      3 ×    0 hits  relevance 0.50      12.2 ms

        1,203 questions since 2026-05-17T10:00:00Z, 2 different ones; 3 found nothing
        damaged lines that were passed over: 1
        ");
    }
}
