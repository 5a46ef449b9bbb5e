//! `berth index PATH… --index DIR`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use berth_pipeline::{
    EncoderChoice, Encoders, Home, IngestOptions, IngestReport, SkipCounts, ingest, is_standard_input, open_encoder,
    open_sparse_encoder, open_token_encoder, remember_rate,
};
use berth_types::Device;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::args::IndexArgs;
use crate::output::{self, grouped, say};
use crate::progress::Display;
use crate::{Outcome, commands};

/// More \[UNK\] than this means that the model does not read the language; measured at 4 % for Korean under MiniLM,
/// below 0.1 % for English.
const UNKNOWN_SHARE_LIMIT: f64 = 0.01;
/// More pieces a word than this means that the vocabulary is foreign to the text; English prose has 1.2 to 1.5.
const PIECES_PER_WORD_LIMIT: f64 = 3.0;

pub(crate) fn run(home: &Home, args: &IndexArgs) -> anyhow::Result<Outcome> {
    let options = IngestOptions {
        paths: args.paths.clone(),
        window_tokens: args.window,
        overlap_tokens: args.overlap,
        rows: args.rows,
        commit_every: Duration::from_secs(args.commit_seconds),
        sync: args.sync,
        force: args.force,
        follow_links: args.follow,
        fields: args.field.clone(),
        language: args.language,
        policy: args.policy.change(),
        access: args.policy.access(),
    };
    // Said before the model is loaded, which takes longer than to see this.
    let is_missing = |path: &&PathBuf| !args.sync && !path.exists() && !is_standard_input(path);
    if let Some(path) = args.paths.iter().find(is_missing) {
        return Err(berth_pipeline::Error::PathNotFound { path: path.clone() }.into());
    }
    let choice = encoder_choice(&args.encoder);
    if args.dry_run {
        return commands::plan::run(home, args, &choice, &options);
    }
    let tokens = open_token_encoder(home, &choice, Some(&args.index), args.token_rows)?;
    let sparse = open_sparse_encoder(home, &choice, Some(&args.index), args.sparse.sparse_model.as_deref())?;
    let encoder = open_encoder(home, &choice, Some(&args.index))?;
    if args.encoder.machine.device == Device::Auto && !args.quiet {
        say(&format!("berth: the model runs on {}", encoder.device()));
    }
    let cancel = cancel_on_signals()?;
    let mut display = Display::new(args.quiet);
    let encoders = Encoders { dense: &encoder, tokens: tokens.as_ref(), sparse: sparse.as_ref() };
    let result = ingest(encoders, &args.index, &options, &mut display, &cancel);
    display.clear();
    let report = result?;
    remember_rate(home, &encoder, report.tokens, report.seconds);

    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&summary(&report))?;
    }
    if !args.quiet {
        for advice in advice(&report, args) {
            say(&format!("berth: {advice}"));
        }
    }
    Ok(outcome(&report, args.strict))
}

/// What is said of documents that have expired and are still there.
pub(crate) const EXPIRY_REFUSED: &str = "nothing that has expired was removed";
const FORCE: &str = "repeat with --force if this is meant";

/// How the run ended, with a word on what the report does not say by itself.
fn outcome(report: &IngestReport, strict: bool) -> Outcome {
    if report.interrupted {
        return Outcome::Interrupted;
    }
    if let Some(reason) = &report.refused {
        output::complain(&format!("sync refused: {reason}; nothing was removed; repeat with --force if this is meant"));
        return Outcome::Refused;
    }
    if let Some(reason) = &report.expiry_refused {
        output::complain(&format!("{EXPIRY_REFUSED}: {reason}; they are hidden all the same; {FORCE}"));
        return Outcome::Refused;
    }
    match &report.first_lost {
        Some(first) if strict => {
            let count = report.lost_count;
            output::complain(&format!("--strict: left out: {count}; the first: {}: {}", first.place, first.reason));
            Outcome::Failed
        }
        _ => Outcome::Done,
    }
}

pub(crate) fn encoder_choice(args: &crate::args::EncoderArgs) -> EncoderChoice {
    EncoderChoice {
        model: args.model.clone(),
        precision: args.precision,
        workers: args.machine.threads.map(usize::from),
        device: args.machine.device,
        memory_limit_bytes: args.machine.memory_limit.map(|size| size.0),
    }
}

/// A flag that SIGINT and SIGTERM raise; a second signal ends the process at once.
pub(crate) fn cancel_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let cancel = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 130, Arc::clone(&cancel))?;
        flag::register(signal, Arc::clone(&cancel))?;
    }
    Ok(cancel)
}

pub(crate) fn summary(report: &IngestReport) -> String {
    let mut parts = Vec::new();
    let counts = [
        (report.added, "added"),
        (report.changed, "changed"),
        (report.moved, "moved"),
        (report.removed, "removed"),
        (report.expired, "expired"),
        (report.unchanged, "unchanged"),
        (report.skipped, "skipped"),
        (report.unfinished, "begun"),
    ];
    for (count, word) in counts {
        if count > 0 {
            parts.push(format!("{} {word}", grouped(count as u64)));
        }
    }
    let what = if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") };
    let rate = if report.seconds > 0.0 { report.tokens as f64 / report.seconds } else { 0.0 };
    format!(
        "{} documents: {what}\n{} chunks: {} embedded, {} reused · {} tokens in {:.1} s ({} tokens/s)\n",
        grouped(report.documents as u64),
        grouped(report.chunks as u64),
        grouped(report.embedded as u64),
        grouped(report.reused as u64),
        grouped(report.tokens),
        report.seconds,
        grouped(rate as u64),
    )
}

/// What was passed over, in words; none where nothing was.
pub(crate) fn skipped(skipped: &SkipCounts) -> Option<String> {
    let reasons = [
        (skipped.hidden, "hidden"),
        (skipped.binary, "binary"),
        (skipped.links, "links (see --follow)"),
        (skipped.special, "pipe, socket or device"),
        (skipped.indexes, "folders that hold an index"),
        (skipped.unreadable, "unreadable or malformed"),
        (skipped.duplicates, "duplicate ids"),
        (skipped.expired, "expired"),
    ];
    let reasons = reasons.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    let reasons = reasons.collect::<Vec<_>>().join(", ");
    (!reasons.is_empty()).then(|| format!("skipped: {reasons}"))
}

fn advice(report: &IngestReport, args: &IndexArgs) -> Vec<String> {
    let mut advice = Vec::new();
    if report.interrupted {
        advice.push("interrupted; everything reported is committed, run the same command again to go on".to_owned());
    }
    advice.extend(skipped(&report.skipped_by_reason));
    if report.gone > 0 && !args.sync {
        advice.push(format!(
            "{} indexed documents below the named paths are gone from there; --sync removes them",
            report.gone
        ));
    }
    if report.titles_cut > 0 {
        advice.push(format!(
            "{} titles are longer than a quarter of the window; the model read their first part, the rest counts \
             in lexical search only",
            report.titles_cut
        ));
    }
    if report.sparse_cut > 0 {
        advice.push(format!(
            "{} chunks are longer than the sparse model reads; it read their first part, the rest counts in the other \
             lists only. Shorter windows (--window) avoid that",
            report.sparse_cut
        ));
    }
    if report.unknown_share > UNKNOWN_SHARE_LIMIT || report.pieces_per_word > PIECES_PER_WORD_LIMIT {
        advice.push(format!(
            "this model hardly reads these texts ({:.1} % unknown tokens, {:.1} tokens a word): dense hits will be \
             poor. Import a model for their language (`berth model import DIR`), or search with --mode lexical",
            100.0 * report.unknown_share,
            report.pieces_per_word
        ));
    }
    advice
}
