//! `berth bench encode`, `berth bench search`.

use std::fmt::Write;

use berth_pipeline::{
    BenchOptions, BenchReport, BenchSearchOptions, BenchSearchReport, Home, bench_encode, bench_search,
};
use berth_types::ByteSize;

use crate::Outcome;
use crate::bench_args::{BenchAction, BenchArgs, BenchEncodeArgs, BenchSearchArgs};
use crate::commands::index::{cancel_on_signals, encoder_choice};
use crate::output::{self, grouped};

pub(crate) fn run(home: &Home, args: &BenchArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        BenchAction::Encode(args) => encode(home, args),
        BenchAction::Search(args) => search(home, args),
    }
}

fn search(home: &Home, args: &BenchSearchArgs) -> anyhow::Result<Outcome> {
    let options = BenchSearchOptions {
        index: args.index.clone(),
        encoder: encoder_choice(&args.encoder),
        questions: args.questions.clone(),
        limit: args.limit,
        mode: args.mode,
        dense: args.dense.search(),
        k: args.k,
        rounds: args.rounds,
        filter: args.filter.clone(),
    };
    let cancel = cancel_on_signals()?;
    let Some(report) = bench_search(home, &options, &cancel)? else { return Ok(Outcome::Interrupted) };
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&search_table(&report))?;
    }
    Ok(Outcome::Done)
}

fn search_table(report: &BenchSearchReport) -> String {
    let mut page = format!(
        "{} passages · {} questions, one after the other · {}, {} documents an answer\n\n{:<14}{:>9}{:>9}{:>9}{:>9}\n",
        grouped(report.chunks),
        grouped(report.questions as u64),
        report.mode.as_str(),
        report.k,
        "milliseconds",
        "p50",
        "p90",
        "p99",
        "longest"
    );
    let parts = [
        ("model", report.encode),
        ("dense list", report.dense),
        ("lexical list", report.lexical),
        ("sparse model", report.encode_sparse),
        ("sparse list", report.sparse),
    ];
    let parts = parts.into_iter().filter_map(|(name, times)| Some((name, times?)));
    for (name, times) in parts.chain([("whole answer", report.answer)]) {
        let _ = writeln!(
            page,
            "{name:<14}{:>9.2}{:>9.2}{:>9.2}{:>9.2}",
            times.p50_ms, times.p90_ms, times.p99_ms, times.max_ms
        );
    }
    let _ = writeln!(page, "\na list has the {} best passages of a half", grouped(report.depth as u64));
    if report.rounds > 1 {
        let _ = writeln!(page, "each question was asked {} times, its fastest answer counts", report.rounds);
    }
    page
}

fn encode(home: &Home, args: &BenchEncodeArgs) -> anyhow::Result<Outcome> {
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
    use berth_pipeline::{PlanReport, Times};
    use berth_types::Mode;

    use super::*;

    #[test]
    fn shows_the_parts_of_an_answer_to_people() {
        let times = |p50_ms| Times { p50_ms, p90_ms: 2.0 * p50_ms, p99_ms: 3.0 * p50_ms, max_ms: 40.0 };
        let report = BenchSearchReport {
            chunks: 104_211,
            questions: 1000,
            rounds: 3,
            mode: Mode::Hybrid,
            k: 10,
            depth: 500,
            encode: Some(times(2.5)),
            dense: Some(times(1.214)),
            lexical: Some(times(1.5)),
            encode_sparse: None,
            sparse: None,
            answer: times(7.25),
        };
        insta::assert_snapshot!(search_table(&report), @r"
        104,211 passages · 1,000 questions, one after the other · hybrid, 10 documents an answer

        milliseconds        p50      p90      p99  longest
        model              2.50     5.00     7.50    40.00
        dense list         1.21     2.43     3.64    40.00
        lexical list       1.50     3.00     4.50    40.00
        whole answer       7.25    14.50    21.75    40.00

        a list has the 500 best passages of a half
        each question was asked 3 times, its fastest answer counts
        ");
        let lexical = BenchSearchReport { mode: Mode::Lexical, encode: None, dense: None, ..report };
        assert!(!search_table(&lexical).contains("model") && search_table(&lexical).contains("lexical list"));
    }

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
