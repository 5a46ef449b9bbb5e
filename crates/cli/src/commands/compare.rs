//! `berth compare RUN_A RUN_B`: which of two runs is better, and whether that may be luck.

use std::fmt::Write;
use std::path::Path;

use berth_pipeline::{CompareOptions, JudgedBy, QueryChange, RunsReport, RunsToCompare, compare_runs};

use crate::Outcome;
use crate::compare_args::CompareArgs;
use crate::output::{self, Terms, WrongUsage, command_line, grouped, p_value, printable, say, shorten};
use crate::report::{Column, Deltas, Kind, QueryDelta, Report, Section, Table};

/// Rows of a table that are shown before the reader asks for all.
const SHOWN_ROWS: usize = 50;

pub(crate) fn run(args: &CompareArgs, terms: Terms) -> anyhow::Result<Outcome> {
    // A file of judgements is typed, a collection may come from the configuration: the file is what is meant.
    let judged_by = match (&args.qrels, &args.dataset) {
        (Some(qrels), _) => JudgedBy::Qrels(qrels.clone()),
        (None, Some(dataset)) => JudgedBy::Split(dataset.clone(), args.split.clone()),
        (None, None) => {
            let message = "judgements are needed: name a collection with --dataset, or a file with --qrels";
            return Err(WrongUsage(message.to_owned()).into());
        }
    };
    let (rounds, level, seed) = (args.rounds, args.level, args.seed);
    let report = compare_runs(&RunsToCompare {
        a: args.a.clone(),
        b: args.b.clone(),
        judged_by,
        measures: args.measures.clone(),
        options: CompareOptions { rounds, level, seed, common_only: args.common },
    })?;
    for warning in &report.warnings {
        say(&format!("berth: {warning}"));
    }
    if let Some(path) = &args.html {
        std::fs::write(path, page(&report).render()).map_err(berth_pipeline::Error::io("write", path))?;
    }
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&text(&report, args.level, terms.columns))?;
    }
    Ok(Outcome::Done)
}

fn text(report: &RunsReport, level: f64, columns: usize) -> String {
    let mut page = format!(
        "A: {}\nB: {}\n{} · {} queries · {} judgements\n\n",
        printable(&report.a.display().to_string()),
        printable(&report.b.display().to_string()),
        report.judged_by,
        grouped(report.queries as u64),
        grouped(report.judgements as u64)
    );
    let names: Vec<String> = report.comparisons.iter().map(|of| of.comparison.measure.to_string()).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0).max(8);
    let interval = format!("{} % interval", number(level * 100.0));
    let _ = writeln!(
        page,
        "{:<width$}  {:>6}  {:>6}  {:>7}  {interval:>18}  {:>8}  {:>8}  {:>6}  {:>5}  {:>5}",
        "measure", "A", "B", "B − A", "p", "p (Holm)", "better", "worse", "equal"
    );
    for (name, of) in names.iter().zip(&report.comparisons) {
        let one = &of.comparison;
        let (low, high) = one.interval;
        let _ = writeln!(
            page,
            "{name:<width$}  {:>6.4}  {:>6.4}  {:>+7.4}  {:>18}  {:>8}  {:>8}  {:>6}  {:>5}  {:>5}",
            one.mean_a,
            one.mean_b,
            one.difference,
            format!("{low:+.4} to {high:+.4}"),
            p_value(one.p_value),
            p_value(of.p_holm),
            one.wins,
            one.losses,
            one.ties
        );
    }
    if let (Some(measure), false) = (names.first(), report.changed.is_empty()) {
        let _ = writeln!(page, "\nchanged most by {measure}");
    }
    for QueryChange { query, text, a, b, difference } in &report.changed {
        let line = format!("{difference:+.4}  {a:.4} → {b:.4}  {}  {}", printable(query), printable(text));
        let _ = writeln!(page, "  {}", shorten(line.trim_end(), columns.saturating_sub(2)));
    }
    page
}

/// Without digits that say nothing.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn page(report: &RunsReport) -> Report {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let (a, b) = (name(&report.a), name(&report.b));
    let mut facts = vec![
        fact("A", report.a.display().to_string()),
        fact("B", report.b.display().to_string()),
        fact("Judgements", format!("{} of {}", grouped(report.judgements as u64), report.judged_by)),
        fact("Queries", grouped(report.queries as u64)),
    ];
    let first = report.comparisons.first().map(|of| &of.comparison);
    facts.extend(first.map(|of| fact("Tests", format!("{} rounds, seed {}", grouped(of.rounds as u64), of.seed))));
    facts.push(fact("Berth", report.version.to_owned()));
    facts.push(fact("Command", command_line()));
    let mut sections = vec![Section::Table(measures(report))];
    sections.extend(first.map(|of| {
        let queries = report.per_query.iter().map(|query| QueryDelta {
            id: query.query.clone(),
            text: query.text.clone(),
            baseline: query.a,
            candidate: query.b,
        });
        Section::Deltas(Deltas {
            heading: "Each query".to_owned(),
            note: format!("The interval of the mean holds {} % of bootstrap samples.", number(of.level * 100.0)),
            measure: of.measure.to_string(),
            baseline: a.clone(),
            candidate: b.clone(),
            queries: queries.collect(),
            interval: Some(of.interval),
            p_value: Some(of.p_value),
        })
    }));
    sections.push(Section::Table(all_queries(report)));
    Report {
        title: format!("{b} against {a}"),
        subtitle: "Which of two runs answers the same queries better, and whether that may be luck".to_owned(),
        facts,
        warnings: report.warnings.clone(),
        sections,
    }
}

fn measures(report: &RunsReport) -> Table {
    let columns = [
        ("Measure", Kind::Text),
        ("A", Kind::Bar(4)),
        ("B", Kind::Bar(4)),
        ("B − A", Kind::Signed(4)),
        ("p", Kind::Number(4)),
        ("p (Holm)", Kind::Number(4)),
        ("Better", Kind::Number(0)),
        ("Worse", Kind::Number(0)),
        ("Equal", Kind::Number(0)),
    ];
    let row = |of: &berth_pipeline::RunsComparison| {
        let one = &of.comparison;
        let (low, high) = one.interval;
        vec![
            one.measure.to_string().into(),
            one.mean_a.into(),
            one.mean_b.into(),
            crate::report::Cell::Within { value: one.difference, low, high },
            one.p_value.into(),
            of.p_holm.into(),
            one.wins.into(),
            one.losses.into(),
            one.ties.into(),
        ]
    };
    Table {
        heading: "Measures".to_owned(),
        note:
            "Means over queries, with the interval of the difference; p of a paired randomisation test, and corrected \
               for several measures (Holm)."
                .to_owned(),
        columns: columns.map(|(name, kind)| Column::new(name, kind)).into(),
        rows: report.comparisons.iter().map(row).collect(),
        ..Table::default()
    }
}

fn all_queries(report: &RunsReport) -> Table {
    let columns = [
        ("Query", Kind::Text),
        ("Text", Kind::Text),
        ("A", Kind::Number(4)),
        ("B", Kind::Number(4)),
        ("B − A", Kind::Signed(4)),
    ];
    let row = |query: &QueryChange| {
        let (id, text) = (query.query.as_str(), query.text.as_str());
        vec![id.into(), text.into(), query.a.into(), query.b.into(), query.difference.into()]
    };
    let measure = report.comparisons.first().map_or_else(String::new, |of| of.comparison.measure.to_string());
    Table {
        heading: "All queries".to_owned(),
        note: format!("By {measure}."),
        columns: columns.map(|(name, kind)| Column::new(name, kind)).into(),
        rows: report.per_query.iter().map(row).collect(),
        sortable: true,
        filterable: true,
        collapsed_after: Some(SHOWN_ROWS),
    }
}
