//! `berth migrate --model NEW --index DIR`, and `--swap`, `--rollback` and `--drop` of what it built.

use std::fmt::Write;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use berth_pipeline::{
    Alternate, BuiltWith, Comparison, ExchangeReport, Home, IngestReport, Migration, MigrationOptions, Room,
    SampleOptions, SelfFound, compare_with_next, drop_alternate_of, exchange, open_judgements,
};
use serde::Serialize;

use crate::Outcome;
use crate::commands::index::{cancel_on_signals, encoder_choice};
use crate::migrate_args::MigrateArgs;
use crate::output::{self, bytes, complain, grouped, printable, say};
use crate::progress::Display;

/// How much less nDCG@10 of hybrid search may be by judgements for `--yes` to swap: less is noise in the collections that
/// Berth is measured on.
const TOLERANCE: f64 = 0.005;

/// The contract of `berth migrate --json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    index: String,
    from: &'a BuiltWith,
    to: &'a BuiltWith,
    room: Room,
    build: Build,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<&'a Comparison>,
    swapped: bool,
    /// Number of the commit that swapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    /// Why it was not swapped though it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// What of an indexing run concerns a migration.
#[derive(Debug, Serialize)]
struct Build {
    documents: usize,
    removed: usize,
    chunks: usize,
    embedded: usize,
    reused: usize,
    tokens: u64,
    seconds: f64,
}

/// The contract of `--drop --json`.
#[derive(Debug, Serialize)]
struct Dropped {
    next: bool,
    former: bool,
}

pub(crate) fn run(home: &Home, args: &MigrateArgs) -> anyhow::Result<Outcome> {
    let cancel = cancel_on_signals()?;
    if args.drop {
        return drop_both(args);
    }
    if args.swap || args.rollback {
        let which = if args.swap { Alternate::Next } else { Alternate::Former };
        let Some(report) = exchanged(home, args, which, &cancel)? else { return Ok(interrupted()) };
        if args.json {
            output::print_json(&report)?;
        } else {
            output::print(&exchange_words(args, &report, which))?;
        }
        return Ok(Outcome::Done);
    }
    migrate(home, args, &cancel)
}

fn migrate(home: &Home, args: &MigrateArgs, cancel: &AtomicBool) -> anyhow::Result<Outcome> {
    if let Some(dir) = &args.dataset {
        // What is wrong with it is said before a long run, not behind it.
        open_judgements(&args.index, dir, &args.split)?;
    }
    let choice = encoder_choice(&args.encoder);
    let options = MigrationOptions {
        encoder: choice.clone(),
        window_tokens: args.window,
        overlap_tokens: args.overlap,
        commit_every: Duration::from_secs(args.commit_seconds),
        force: args.force,
    };
    let migration = match Migration::plan(home, &args.index, &options)? {
        Ok(migration) => migration,
        Err(built_with) => {
            let what = words(&built_with);
            say(&format!("berth: {} is built with {what} already; --force builds it anew", args.index.display()));
            return Ok(Outcome::Done);
        }
    };
    if !args.quiet {
        say(&format!("berth: from {}", words(&migration.from)));
        say(&format!("berth: to   {}", words(&migration.to)));
        let free = migration.room.free_bytes.map_or(String::new(), |free| format!(" of {} free", bytes(free)));
        let resumed = match migration.resumed_documents {
            0 => String::new(),
            documents => format!("; goes on behind {} documents", grouped(documents)),
        };
        say(&format!("berth: takes about {}{free}{resumed}", bytes(migration.room.needed_bytes)));
    }
    let mut display = Display::new(args.quiet);
    let built = migration.build(&mut display, cancel);
    display.clear();
    let built = built?;
    if built.interrupted {
        return Ok(interrupted());
    }
    migration.remember_rate(home, &built);
    let (from, to, room) = (migration.from.clone(), migration.to.clone(), migration.room);
    // Comparing opens both models.
    drop(migration);

    let dataset = args.dataset.as_deref().map(|dir| (dir, args.split.as_str()));
    let sample = SampleOptions { count: args.sample as usize, seed: args.seed };
    let comparison = if args.sample > 0 || dataset.is_some() {
        let compared = compare_with_next(home, &args.index, &choice, sample, dataset, cancel)?;
        let Some(comparison) = compared else { return Ok(interrupted()) };
        Some(comparison)
    } else {
        None
    };
    let mut report = Report {
        index: args.index.display().to_string(),
        from: &from,
        to: &to,
        room,
        build: Build::of(&built),
        comparison: comparison.as_ref(),
        swapped: false,
        generation: None,
        refused: None,
    };
    if !args.json {
        output::print(&build_words(&report))?;
        if let Some(comparison) = &comparison {
            output::print(&page(comparison))?;
        }
    }
    let objection = if args.force { None } else { comparison.as_ref().and_then(objection) };
    let mut outcome = Outcome::Done;
    if args.yes && objection.is_some() {
        report.refused = objection;
        outcome = Outcome::Refused;
    } else if args.yes {
        let Some(done) = exchanged(home, args, Alternate::Next, cancel)? else { return Ok(interrupted()) };
        report.swapped = true;
        report.generation = Some(done.generation);
        if !args.json {
            output::print(&format!("\n{}", exchange_words(args, &done, Alternate::Next)))?;
        }
    }
    if args.json {
        output::print_json(&report)?;
    }
    for warning in comparison.iter().flat_map(|comparison| &comparison.warnings) {
        say(&format!("berth: {warning}"));
    }
    let index = args.index.display();
    if let Some(reason) = &report.refused {
        complain(&format!("not swapped: {reason}; `berth migrate --swap --index {index}` swaps all the same"));
    } else if !args.yes && !args.quiet {
        say(&format!(
            "berth: the index answers as before; `berth migrate --swap --index {index}` puts the next one in its place, \
             --drop removes it"
        ));
    }
    Ok(outcome)
}

impl Build {
    fn of(report: &IngestReport) -> Self {
        let &IngestReport { documents, removed, chunks, embedded, reused, tokens, seconds, .. } = report;
        Self { documents, removed, chunks, embedded, reused, tokens, seconds }
    }
}

/// Why a next index should not go in place unasked.
fn objection(comparison: &Comparison) -> Option<String> {
    let judged = comparison.judged.as_ref()?;
    let hybrid = judged.modes.get("hybrid")?;
    (hybrid.next < hybrid.index - TOLERANCE).then(|| {
        format!(
            "nDCG@10 of hybrid search on {} ({}) would fall from {:.4} to {:.4}",
            judged.dataset, judged.split, hybrid.index, hybrid.next
        )
    })
}

fn exchanged(
    home: &Home,
    args: &MigrateArgs,
    which: Alternate,
    cancel: &AtomicBool,
) -> anyhow::Result<Option<ExchangeReport>> {
    let mut display = Display::new(args.quiet);
    let done = exchange(home, &args.index, which, &encoder_choice(&args.encoder), &mut display, cancel);
    display.clear();
    Ok(done?)
}

fn drop_both(args: &MigrateArgs) -> anyhow::Result<Outcome> {
    let next = drop_alternate_of(&args.index, Alternate::Next)?;
    let former = drop_alternate_of(&args.index, Alternate::Former)?;
    let dropped = Dropped { next, former };
    if args.json {
        output::print_json(&dropped)?;
    } else {
        let what = match (next, former) {
            (true, true) => "the next and the former index are gone",
            (true, false) => "the next index is gone",
            (false, true) => "the former index is gone",
            (false, false) => "there is neither a next nor a former index",
        };
        output::print(&format!("{}: {what}\n", args.index.display()))?;
    }
    Ok(if next || former { Outcome::Done } else { Outcome::NothingFound })
}

fn interrupted() -> Outcome {
    say("berth: interrupted; run the same command again to go on");
    Outcome::Interrupted
}

fn words(built_with: &BuiltWith) -> String {
    let BuiltWith { model, precision, window_tokens, overlap_tokens, .. } = built_with;
    format!("{model} in {precision}, windows of {window_tokens} tokens, {overlap_tokens} shared")
}

fn build_words(report: &Report<'_>) -> String {
    let build = &report.build;
    let count = |count: usize| grouped(count as u64);
    let removed = if build.removed > 0 { format!(", {} removed", count(build.removed)) } else { String::new() };
    format!(
        "built: {} documents{removed}, {} chunks: {} embedded, {} reused · {} tokens in {:.1} s\n",
        count(build.documents),
        count(build.chunks),
        count(build.embedded),
        count(build.reused),
        grouped(build.tokens),
        build.seconds,
    )
}

fn exchange_words(args: &MigrateArgs, report: &ExchangeReport, which: Alternate) -> String {
    let index = args.index.display();
    let caught_up = match report.caught_up {
        0 => String::new(),
        documents => format!(" ({} documents caught up)", grouped(documents as u64)),
    };
    let kept = match which {
        Alternate::Next => format!("{} is kept as the former index: --rollback brings it back", report.from.model),
        Alternate::Former => format!("{} is kept as the next index: --swap puts it in place again", report.from.model),
    };
    format!("{index} is now built with {}{caught_up}\n{kept}, --drop removes it\n", words(&report.to))
}

fn page(comparison: &Comparison) -> String {
    let figure = |figure: Option<f64>| figure.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
    let mut page = String::new();
    if comparison.sampled + comparison.recorded > 0 {
        let (sampled, recorded) = (grouped(comparison.sampled as u64), grouped(comparison.recorded as u64));
        let _ = writeln!(page, "\nthe same answers? {sampled} questions taken from documents, {recorded} recorded\n");
        let _ = writeln!(page, "{:<8} {:>10} {:>8} {:>11}", "mode", "overlap@10", "RBO", "same first");
        for (mode, of) in &comparison.modes {
            let (overlap, rbo, first) = (figure(of.overlap_at_10), figure(of.rbo), figure(of.same_first));
            let _ = writeln!(page, "{mode:<8} {overlap:>10} {rbo:>8} {first:>11}");
        }
    }
    if comparison.sampled > 0 {
        let _ = writeln!(page, "\ndo questions find the documents that they were taken from?\n");
        let _ =
            writeln!(page, "{:<8} {:>12} {:>8} {:>14} {:>8}", "mode", "first: index", "next", "MRR@10: index", "next");
        for (mode, of) in &comparison.modes {
            let SelfFound { first, mrr_at_10 } = of.index;
            let (first, next_first) = (figure(first), figure(of.next.first));
            let (mrr, next_mrr) = (figure(mrr_at_10), figure(of.next.mrr_at_10));
            let _ = writeln!(page, "{mode:<8} {first:>12} {next_first:>8} {mrr:>14} {next_mrr:>8}");
        }
    }
    if let Some(judged) = &comparison.judged {
        let queries = grouped(judged.queries as u64);
        let _ = writeln!(page, "\nnDCG@10 on {} · {} · {queries} queries\n", printable(&judged.dataset), judged.split);
        let _ = writeln!(
            page,
            "{:<8} {:>8} {:>8} {:>10} {:>7} {:>6}",
            "mode", "index", "next", "difference", "better", "worse"
        );
        for (mode, of) in &judged.modes {
            let _ = writeln!(
                page,
                "{mode:<8} {:>8.4} {:>8.4} {:>+10.4} {:>7} {:>6}",
                of.index,
                of.next,
                of.next - of.index,
                of.better,
                of.worse
            );
        }
    }
    if !comparison.unlike.is_empty() {
        let _ = writeln!(page, "\nanswered most differently (RBO; first of the index → first of the next)\n");
    }
    for unlike in &comparison.unlike {
        let name = |id: &Option<String>| id.as_deref().map_or_else(|| "nothing".to_owned(), printable);
        let _ = writeln!(page, "{:.2}  {}", unlike.rbo, printable(&unlike.query));
        let _ = writeln!(page, "      {} → {}", name(&unlike.index), name(&unlike.next));
    }
    page
}
