//! `berth eval --dataset DIR`: figures for people, JSON, or a page. What is measured of a model alone is beside it.

mod page;
mod sts;
mod text;

use std::path::Path;

use berth_pipeline::{EvalOptions, EvalReport, FusionChoice, Home, QueryRow, evaluate, evaluate_run, write_queries};
use serde::Serialize;

use crate::Outcome;
use crate::commands::index::{cancel_on_signals, encoder_choice};
use crate::eval_args::{EvalArgs, EvalOfModel};
use crate::output::{self, Terms, WrongUsage, say};
use crate::progress::Display;

/// The contract of `berth eval --json`.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    report: &'a EvalReport,
    /// With `--worst`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    worst: Vec<&'a QueryRow>,
}

pub(crate) fn run(home: &Home, args: &EvalArgs, terms: Terms) -> anyhow::Result<Outcome> {
    if let Some(EvalOfModel::Sts(args)) = &args.of_model {
        return sts::run(home, args);
    }
    // Clap asks for it, unless the configuration has it.
    let dataset = args.dataset.as_deref().ok_or_else(|| WrongUsage("name a collection with --dataset".to_owned()))?;
    let report = if let Some(run) = &args.from_run {
        evaluate_run((dataset, &args.split), run, &args.measures, args.strict)?
    } else {
        let Some(report) = measured(home, args, dataset)? else {
            say("berth: interrupted; run the same command again to go on");
            return Ok(Outcome::Interrupted);
        };
        report
    };
    for warning in &report.warnings {
        say(&format!("berth: {warning}"));
    }
    let worst = report.worst(args.worst);
    if args.json {
        output::print_json(&Printed { report: &report, worst })?;
    } else {
        output::print(&text::text(&report, &worst, terms.columns))?;
    }
    // What was measured is not lost with a file that cannot be written.
    if let Some(path) = &args.per_query {
        write_queries(&report, path)?;
    }
    if let Some(path) = &args.html {
        std::fs::write(path, page::page(&report).render()).map_err(berth_pipeline::Error::io("write", path))?;
    }
    Ok(Outcome::Done)
}

fn measured(home: &Home, args: &EvalArgs, dataset: &Path) -> anyhow::Result<Option<EvalReport>> {
    let options = EvalOptions {
        dataset: dataset.to_path_buf(),
        split: args.split.clone(),
        measures: args.measures.clone(),
        strict: args.strict,
        index: args.index.clone(),
        modes: args.modes.clone(),
        dense: args.dense.search(),
        joining: FusionChoice {
            aggregate: args.aggregate,
            rerank: args.rerank.rerank(),
            without_rerank: args.rerank.is_off(),
            ..args.fusion.choice()
        },
        profile: args.fusion.profile.clone(),
        sparse: args.sparse.sparse_model.clone(),
        filter: args.filter.clone(),
        encoder: encoder_choice(&args.encoder),
        window_tokens: args.window,
        overlap_tokens: args.overlap,
        rows: args.rows,
        cache: args.cache.clone(),
        rebuild: args.rebuild,
        span_k: args.span_k,
        run_file: args.run.clone(),
    };
    let cancel = cancel_on_signals()?;
    let mut display = Display::new(args.quiet);
    let result = evaluate(home, &options, &mut display, &cancel);
    display.clear();
    Ok(result?)
}
