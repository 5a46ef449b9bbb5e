//! Quality gates: nDCG@10 on real collections, with one and the same default.
//!
//! They run where `BERTH_DATASETS` names the folder of collections; elsewhere each says that it did not. The splits are
//! the collections' own test splits; no default was chosen on them.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a gate says what it measured")]

#[path = "support/mod.rs"]
mod support;

use std::path::PathBuf;

use serde_json::Value;
use support::Workplace;

fn evaluate(collection: &str) -> Option<Value> {
    let Some(datasets) = std::env::var_os("BERTH_DATASETS") else {
        eprintln!("not measured: BERTH_DATASETS does not name the folder of collections");
        return None;
    };
    let folder = PathBuf::from(datasets).join(collection);
    let place = Workplace::new();
    let report = place.run(&["eval", "--dataset", folder.to_str().unwrap(), "--json", "--quiet"]).expect_code(0).json();
    println!("{collection}: {report}");
    Some(report)
}

#[track_caller]
fn check(report: &Value, mode: &str, least: f64) {
    let measured = report["modes"][mode]["ndcg@10"].as_f64().unwrap();
    assert!(measured >= least, "{} {mode}: nDCG@10 {measured:.4} is below {least}", report["dataset"]);
}

#[test]
fn scifact() {
    let Some(report) = evaluate("scifact") else { return };
    assert_eq!(report["queries"], 300);
    check(&report, "lexical", 0.670);
    check(&report, "dense", 0.640);
    check(&report, "hybrid", 0.725);
}

#[test]
fn cranfield() {
    let Some(report) = evaluate("cranfield") else { return };
    assert_eq!(report["queries"], 225);
    check(&report, "hybrid", 0.555);
}

#[test]
fn cosqa() {
    let Some(report) = evaluate("cosqa") else { return };
    assert_eq!(report["queries"], 500);
    check(&report, "hybrid", 0.575);
}

/// What is tuned on other queries is kept where it gains there, and then loses nothing on those that judge.
#[test]
fn cosqa_tuned_on_its_dev_split() {
    let Some(datasets) = std::env::var_os("BERTH_DATASETS") else {
        eprintln!("not measured: BERTH_DATASETS does not name the folder of collections");
        return;
    };
    let folder = PathBuf::from(datasets).join("cosqa");
    let (folder, place) = (folder.to_str().unwrap(), Workplace::new());
    let eval = |more: &[&str]| {
        let words = [&["eval", "--dataset", folder, "--modes", "hybrid", "--json", "--quiet"], more].concat();
        place.run(&words).expect_code(0).json()["modes"]["hybrid"]["ndcg@10"].as_f64().unwrap()
    };
    let tuned = place.run(&["tune", "--dataset", folder, "--split", "dev", "--out", "profile.toml", "--quiet"]);
    let default = eval(&[]);
    if tuned.code == 5 {
        println!("cosqa: nothing gains, the default has {default:.4}");
        return;
    }
    let with_profile = eval(&["--profile", "profile.toml"]);
    println!("cosqa: {default:.4} by default, {with_profile:.4} tuned\n{}", tuned.expect_code(0).stdout);
    assert!(with_profile >= default - 0.005, "{with_profile:.4} is below {default:.4}");
}
