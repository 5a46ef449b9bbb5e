//! `berth eval sts FILE`.

use std::fmt::Write;

use berth_pipeline::{Home, StsReport, sts};

use crate::Outcome;
use crate::commands::index::{cancel_on_signals, encoder_choice};
use crate::eval_args::StsArgs;
use crate::output::{self, grouped, say};

pub(super) fn run(home: &Home, args: &StsArgs) -> anyhow::Result<Outcome> {
    let cancel = cancel_on_signals()?;
    let Some(report) = sts(home, &encoder_choice(&args.encoder), (&args.file, &args.prompt), &cancel)? else {
        say("berth: interrupted; nothing was measured");
        return Ok(Outcome::Interrupted);
    };
    if report.truncated > 0 {
        let count = grouped(report.truncated as u64);
        say(&format!("berth: {count} sentences are longer than the model takes; it read their beginnings"));
    }
    if report.spearman.is_none() {
        say("berth: there is no correlation: fewer than two pairs, or all scores or all cosines are the same");
    }
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&text(&report))?;
    }
    Ok(Outcome::Done)
}

fn text(report: &StsReport) -> String {
    let figure = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
    let mut page = format!("{} · {} pairs\n\n", report.model, grouped(report.pairs as u64));
    let _ = writeln!(page, "spearman  {:>7}", figure(report.spearman));
    let _ = writeln!(page, "pearson   {:>7}", figure(report.pearson));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_a_dash() {
        let report = StsReport {
            pairs: 1379,
            spearman: Some(0.820_34),
            pearson: None,
            truncated: 0,
            model: "mine".to_owned(),
            fingerprint: String::new(),
            prompt: "passage".to_owned(),
            version: "",
        };
        assert_eq!(text(&report), "mine · 1,379 pairs\n\nspearman   0.8203\npearson         –\n");
    }
}
