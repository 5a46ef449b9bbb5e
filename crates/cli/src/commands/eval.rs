//! `berth eval --dataset DIR`.

use std::fmt::Write;

use berth_pipeline::{EvalOptions, EvalReport, FusionChoice, Home, Measure, evaluate};
use berth_types::Mode;

use crate::Outcome;
use crate::args::EvalArgs;
use crate::commands::index::{cancel_on_signals, encoder_choice};
use crate::output::{self, grouped, say};
use crate::progress::Display;

pub(crate) fn run(home: &Home, args: &EvalArgs) -> anyhow::Result<Outcome> {
    let sparse = args.sparse.sparse_model.clone();
    let modes = if args.modes.is_empty() { default_modes(sparse.is_some()) } else { args.modes.clone() };
    let options = EvalOptions {
        dataset: args.dataset.clone(),
        split: args.split.clone(),
        modes,
        dense: args.dense.search(),
        joining: FusionChoice { aggregate: args.aggregate, rerank: args.rerank.rerank(), ..args.fusion.choice() },
        profile: args.fusion.profile.clone(),
        sparse,
        filter: args.filter.clone(),
        encoder: encoder_choice(&args.encoder),
        window_tokens: args.window,
        overlap_tokens: args.overlap,
        rows: args.rows,
        cache: args.cache.clone(),
        rebuild: args.rebuild,
        run_file: args.run.clone(),
    };
    let cancel = cancel_on_signals()?;
    let mut display = Display::new(args.quiet);
    let result = evaluate(home, &options, &mut display, &cancel);
    display.clear();
    let Some(report) = result? else {
        say("berth: interrupted; run the same command again to go on");
        return Ok(Outcome::Interrupted);
    };
    for warning in &report.warnings {
        say(&format!("berth: {warning}"));
    }
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&table(&report))?;
    }
    Ok(Outcome::Done)
}

fn default_modes(with_sparse: bool) -> Vec<Mode> {
    let modes = [Mode::Lexical, Mode::Dense, Mode::Hybrid].into_iter();
    modes.chain(with_sparse.then_some(Mode::Sparse)).collect()
}

fn table(report: &EvalReport) -> String {
    let mut page = format!("{} · {} · {} queries\n\n", report.dataset, report.split, report.queries);
    let measures: Vec<Measure> = report
        .modes
        .values()
        .next()
        .map(|of| of.metrics.iter().map(|(measure, _)| measure).collect())
        .unwrap_or_default();
    let _ = write!(page, "{:<12}", "mode");
    for measure in &measures {
        let _ = write!(page, " {:>12}", measure.to_string());
    }
    let _ = writeln!(page, " {:>8} {:>8}", "p50 ms", "p99 ms");
    for (mode, of_mode) in &report.modes {
        let _ = write!(page, "{mode:<12}");
        for (_, value) in of_mode.metrics.iter() {
            let _ = write!(page, " {value:>12.4}");
        }
        let _ = writeln!(page, " {:>8.1} {:>8.1}", of_mode.p50_ms, of_mode.p99_ms);
    }
    let encode = &report.encode;
    if encode.tokens == 0 {
        return page;
    }
    let _ = writeln!(
        page,
        "\nindexed: {} tokens in {:.1} s ({} tokens/s)",
        grouped(encode.tokens),
        encode.seconds,
        grouped(encode.tokens_per_second as u64)
    );
    page
}
