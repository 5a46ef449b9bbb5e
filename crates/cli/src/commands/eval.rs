//! `berth eval --dataset DIR`.

use std::fmt::Write;

use berth_pipeline::{EvalOptions, EvalReport, FusionChoice, Home, evaluate};
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
    let _ = writeln!(
        page,
        "{:<12} {:>8} {:>10} {:>8} {:>8} {:>8}",
        "mode", "nDCG@10", "recall@100", "MRR@10", "MAP", "p50 ms"
    );
    for (mode, scores) in &report.modes {
        let m = &scores.metrics;
        let _ = writeln!(
            page,
            "{mode:<12} {:>8.4} {:>10.4} {:>8.4} {:>8.4} {:>8.1}",
            m.ndcg_at_10, m.recall_at_100, m.mrr_at_10, m.map, scores.p50_ms
        );
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
