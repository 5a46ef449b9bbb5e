//! `berth tune --dataset DIR`: fits how lists are joined to judgements, and keeps it where it gains.

use std::fmt::Write;

use berth_pipeline::{Home, TuneOptions, TuneReport, TuneSettings, tune};

use crate::Outcome;
use crate::commands::index::{cancel_on_signals, encoder_choice};
use crate::commands::weights::words;
use crate::output::{self, grouped, say};
use crate::progress::Display;
use crate::report::{Column, Deltas, Kind, QueryDelta, Report, Section, Table, Verdict};
use crate::tune_args::TuneArgs;

pub(crate) fn run(home: &Home, args: &TuneArgs) -> anyhow::Result<Outcome> {
    let settings = TuneSettings {
        dataset: args.dataset.clone(),
        split: args.split.clone(),
        index: args.index.clone(),
        encoder: encoder_choice(&args.encoder),
        measure: args.measure,
        late: args.late,
        windows: windows(args),
        cache: args.cache.clone(),
        store: !args.dry_run,
        cross_validate_only: args.cross_validate_only,
        strict: args.strict,
        search: TuneOptions { folds: usize::from(args.folds), seed: args.seed, ..TuneOptions::default() },
    };
    let cancel = cancel_on_signals()?;
    let mut display = Display::new(args.quiet);
    let result = tune(home, &settings, &mut display, &cancel);
    display.clear();
    let Some(report) = result? else {
        say("berth: interrupted; nothing was chosen");
        return Ok(Outcome::Interrupted);
    };
    for warning in &report.warnings {
        say(&format!("berth: {warning}"));
    }
    if let Some(path) = args.out.as_ref().filter(|_| report.ships) {
        report.profile.write(path)?;
    }
    if let Some(path) = &args.html {
        std::fs::write(path, page(&report).render()).map_err(berth_pipeline::Error::io("write", path))?;
    }
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&text(&report, args))?;
    }
    Ok(if report.ships { Outcome::Done } else { Outcome::Refused })
}

/// Every window with every overlap.
fn windows(args: &TuneArgs) -> Vec<(Option<usize>, Option<usize>)> {
    let or_default = |values: &[usize]| -> Vec<Option<usize>> {
        if values.is_empty() { vec![None] } else { values.iter().copied().map(Some).collect() }
    };
    if args.windows.is_empty() && args.overlaps.is_empty() {
        return Vec::new();
    }
    let overlaps = or_default(&args.overlaps);
    let tried = or_default(&args.windows).into_iter();
    let tried = tried.flat_map(|window| overlaps.iter().map(move |&overlap| (window, overlap)));
    // What is built in comes first: it is what gains are measured against.
    std::iter::once((None, None)).chain(tried.filter(|pair| *pair != (None, None))).collect()
}

fn text(report: &TuneReport, args: &TuneArgs) -> String {
    let held_out = &report.held_out;
    let (low, high) = held_out.interval;
    let mut page = format!(
        "{} · {} · {} queries · {} settings in {:.1} s\n\n",
        report.dataset,
        report.split,
        grouped(report.queries as u64),
        grouped(report.settings as u64),
        report.seconds
    );
    let _ = writeln!(page, "{:<10} {:>8} {:>8}   chosen on the other parts", "held out", "now", "tuned");
    for (number, fold) in (1..).zip(&report.folds) {
        let name = format!("part {number}");
        let _ = writeln!(page, "{name:<10} {:>8.4} {:>8.4}   {}", fold.default, fold.tuned, words(&fold.chosen));
    }
    let all = format!("all, {} ×", report.repetitions);
    let _ = writeln!(page, "{all:<10} {:>8.4} {:>8.4}", held_out.mean_a, held_out.mean_b);
    let _ = writeln!(
        page,
        "\n{}: {:+.4} on held-out queries, {:.0} % interval {low:+.4} to {high:+.4}, p of a gain {:.4}; {} better, {} worse, {} equal",
        held_out.measure,
        held_out.difference,
        held_out.level * 100.0,
        report.p_of_gain,
        held_out.wins,
        held_out.losses,
        held_out.ties
    );
    let chosen = words(&report.profile.profile);
    let _ = writeln!(page, "chosen on all: {chosen} ({:.4} on the queries that it was chosen by)", report.fitted);
    if let Some(window) = report.window {
        let or = |value: Option<usize>| value.map_or_else(|| "default".to_owned(), |value| value.to_string());
        let (window, overlap) = (or(window.window_tokens), or(window.overlap_tokens));
        let _ = writeln!(page, "window: {window}, overlap: {overlap}; index with --window and --overlap to have it");
    }
    let kept = match (report.ships, report.stored, &args.out) {
        (false, ..) => "refused: all stays as it is".to_owned(),
        (true, ..) if args.cross_validate_only => "not kept: it was only to be measured".to_owned(),
        (true, false, None) if args.dry_run && args.index.is_some() => "not stored, since this is a dry run".to_owned(),
        (true, true, _) => "stored in the index; `berth search` and `berth serve` use it".to_owned(),
        (true, false, Some(path)) => format!("written to {}; name it with --profile", path.display()),
        (true, false, None) => "not kept: name an index with --index, or a file with --out".to_owned(),
    };
    let _ = writeln!(page, "{}: {kept}", report.reason);
    page
}

fn page(report: &TuneReport) -> Report {
    let held_out = &report.held_out;
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let facts = vec![
        fact("Collection", format!("{}, {}", report.dataset, report.split)),
        fact("Queries", grouped(report.queries as u64)),
        fact("Measure", held_out.measure.to_string()),
        fact("Settings tried", grouped(report.settings as u64)),
        fact("Seed", report.seed.to_string()),
        fact("Model", format!("{} ({})", report.profile.model, report.profile.fingerprint)),
        fact("Berth", report.version.to_owned()),
        fact("Chosen on all", words(&report.profile.profile)),
    ];
    let parts = (1..).zip(&report.folds).map(|(number, fold)| {
        let name = format!("part {number}");
        vec![name.into(), fold.queries.into(), fold.default.into(), fold.tuned.into(), words(&fold.chosen).into()]
    });
    let columns = [
        ("Held out", Kind::Text),
        ("Queries", Kind::Number(0)),
        ("Now", Kind::Number(4)),
        ("Tuned", Kind::Number(4)),
        ("Chosen on the other parts", Kind::Text),
    ];
    let queries = report.per_query.iter().map(|query| QueryDelta {
        id: query.id.clone(),
        text: query.text.clone(),
        baseline: query.default,
        candidate: query.held_out,
    });
    Report {
        title: format!("Tuning on {}", report.dataset),
        subtitle: "What a choice of settings gains on queries that had no say in it".to_owned(),
        facts,
        warnings: report.warnings.clone(),
        sections: vec![
            Section::Verdict(Verdict {
                heading: "Verdict".to_owned(),
                accepted: report.ships,
                reasons: vec![report.reason.clone()],
            }),
            Section::Deltas(Deltas {
                heading: "Each query".to_owned(),
                note: format!(
                    "The interval of the mean holds {:.0} % of bootstrap samples; p is that of a gain (one-sided).",
                    held_out.level * 100.0
                ),
                measure: held_out.measure.to_string(),
                baseline: "now".to_owned(),
                candidate: "tuned, held out".to_owned(),
                queries: queries.collect(),
                interval: Some(held_out.interval),
                p_value: Some(report.p_of_gain),
            }),
            Section::Table(Table {
                heading: "Held-out parts".to_owned(),
                columns: columns.map(|(name, kind)| Column::new(name, kind)).into(),
                rows: parts.collect(),
                ..Table::default()
            }),
        ],
    }
}
