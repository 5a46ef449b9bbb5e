//! `berth bench encode`.

use std::fmt::Write;

use berth_pipeline::{BenchOptions, BenchReport, Home, bench_encode};
use berth_types::ByteSize;

use crate::Outcome;
use crate::args::{BenchAction, BenchArgs};
use crate::commands::index::{cancel_on_signals, encoder_choice};
use crate::output::{self, grouped};

pub(crate) fn run(home: &Home, args: &BenchArgs) -> anyhow::Result<Outcome> {
    let BenchAction::Encode(args) = &args.action;
    let texts = args.texts.clone().or_else(|| args.dataset.as_ref().map(|folder| folder.join("corpus.jsonl")));
    let options =
        BenchOptions { encoder: encoder_choice(&args.encoder), texts, limit: args.limit, seconds: args.seconds };
    let cancel = cancel_on_signals()?;
    let Some(report) = bench_encode(home, &options, &cancel)? else { return Ok(Outcome::Interrupted) };
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&table(&report))?;
    }
    Ok(Outcome::Done)
}

fn table(report: &BenchReport) -> String {
    let mut page = format!(
        "{} · {} on {} · ONNX Runtime {} · {} texts, {:.0} tokens each\n\n",
        report.model, report.precision, report.device, report.runtime, report.rows, report.mean_tokens
    );
    let _ = writeln!(
        page,
        "{:<16} {:>9} {:>8} {:>7} {:>7} {:>15} {:>15} {:>8} {:>10}",
        "workers×threads",
        "tokens/s",
        "texts/s",
        "padded",
        "peak",
        "query idle ms",
        "query busy ms",
        "open ms",
        "memory"
    );
    for plan in &report.plans {
        let _ = writeln!(
            page,
            "{:<16} {:>9} {:>8.1} {:>7.2} {:>7} {:>15} {:>15} {:>8.0} {:>10}",
            format!("{}×{}", plan.workers, plan.intra_threads),
            grouped(plan.tokens_per_second as u64),
            plan.texts_per_second,
            plan.padded_ratio,
            plan.share_of_peak.map_or("?".to_owned(), |share| format!("{:.0} %", share * 100.0)),
            format!("{:.1} / {:.1}", plan.query_idle_p50_ms, plan.query_idle_p99_ms),
            format!("{:.1} / {:.1}", plan.query_loaded_p50_ms, plan.query_loaded_p99_ms),
            plan.open_ms,
            plan.resident_bytes.map_or("?".to_owned(), |bytes| ByteSize(bytes).to_string()),
        );
    }
    page.push_str(
        "\nqueries of ten tokens, median / 99th percentile; peak: share of what matrix products alone reach here\n",
    );
    page
}

#[cfg(test)]
mod tests {
    use berth_pipeline::PlanReport;

    use super::*;

    #[test]
    fn shows_plans_to_people() {
        let plan = PlanReport {
            workers: 2,
            intra_threads: 1,
            open_ms: 71.4,
            tokens_per_second: 17_537.2,
            texts_per_second: 81.94,
            padded_ratio: 1.0,
            peak_flops: Some(8e11),
            share_of_peak: Some(0.512),
            query_idle_p50_ms: 2.04,
            query_idle_p99_ms: 2.96,
            query_loaded_p50_ms: 9.5,
            query_loaded_p99_ms: 25.3,
            row_p50_ms: 14.0,
            resident_bytes: Some(103_000_000),
        };
        let report = BenchReport {
            model: "all-minilm-l6-v2".into(),
            precision: "int8".into(),
            device: "cpu".into(),
            runtime: "1.31.1".into(),
            rows: 250,
            mean_tokens: 214.1,
            flops_per_token: Some(23.2e6),
            plans: vec![plan.clone(), PlanReport { share_of_peak: None, resident_bytes: None, ..plan }],
        };
        insta::assert_snapshot!(table(&report), @r"
        all-minilm-l6-v2 · int8 on cpu · ONNX Runtime 1.31.1 · 250 texts, 214 tokens each

        workers×threads   tokens/s  texts/s  padded    peak   query idle ms   query busy ms  open ms     memory
        2×1                 17,537     81.9    1.00    51 %       2.0 / 3.0      9.5 / 25.3       71   98.2 MiB
        2×1                 17,537     81.9    1.00       ?       2.0 / 3.0      9.5 / 25.3       71          ?

        queries of ten tokens, median / 99th percentile; peak: share of what matrix products alone reach here
        ");
    }
}
