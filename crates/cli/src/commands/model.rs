//! `berth model list|import|info|verify`.

use berth_pipeline::{
    FileState, Home, ImportOptions, ImportReport, InstalledModel, import, installed, list, verify_model,
};
use berth_types::{Head, ModelCard, Problem};
use serde_json::json;

use crate::Outcome;
use crate::args::{ModelAction, ModelArgs};
use crate::output::{self, bytes, grouped, say};

pub(crate) fn run(home: &Home, args: &ModelArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        ModelAction::List { json } => show_list(home, *json),
        ModelAction::Import(args) => {
            let options = ImportOptions {
                from: args.from.clone(),
                name: args.name.clone(),
                precisions: args.precision.clone(),
                heads: args.heads.clone(),
                ready_made: args.ready_made,
                graphs: args.graph.clone(),
            };
            let report = import(home, &args.what, &options)?;
            if args.json {
                output::print_json(&report)?
            } else {
                output::print(&imported(&report))?
            }
            Ok(Outcome::Done)
        }
        ModelAction::Info { name, json } => {
            let model = installed(home, name)?;
            if *json {
                output::print_json(model.card())?;
            } else {
                output::print(&describe(&model))?;
            }
            Ok(Outcome::Done)
        }
        ModelAction::Verify { name, json } => {
            let verdicts = verify_model(home, name)?;
            let mut intact = true;
            for verdict in &verdicts {
                intact &= verdict.state == FileState::Ok;
                if *json {
                    output::print_json(&json!({ "path": verdict.path, "state": verdict.state.as_str() }))?;
                } else {
                    output::print(&format!("{:<8} {}\n", verdict.state.as_str(), verdict.path))?;
                }
            }
            if !intact {
                say(&format!("berth: model '{name}' is damaged; run `berth model import {name}` to make it again"));
            }
            Ok(if intact { Outcome::Done } else { Outcome::Damaged })
        }
    }
}

fn show_list(home: &Home, json: bool) -> anyhow::Result<Outcome> {
    for model in list(home)? {
        if json {
            output::print_json(&model)?;
        } else {
            let state = if model.installed { "installed" } else { "card" };
            output::print(&format!("{:<24} {state:<10} {}\n", model.name, model.description))?;
        }
    }
    Ok(Outcome::Done)
}

fn imported(report: &ImportReport) -> String {
    let (name, directory) = (&report.name, report.directory.display());
    if report.already_installed {
        return format!("{name} is installed and intact in {directory}\n");
    }
    let size = bytes(report.bytes);
    match report.parameters {
        0 => format!("{name}: {} copied, {size} in {directory}\n", report.graphs.join(", ")),
        weights => format!(
            "{name}: {} weights exported to {} in {:.1} s, {size} in {directory}\n",
            grouped(weights),
            report.graphs.join(", "),
            report.seconds
        ),
    }
}

/// What a model is, line by line; what does not concern it is left out.
fn describe(model: &InstalledModel) -> String {
    let card = model.card();
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { format!("{text:?}") };
    let words = |heads: &[Head]| heads.iter().map(|head| head.as_str()).collect::<Vec<_>>().join(", ");
    let sentence = [Head::Sentence];
    let heads = if card.heads.is_empty() { &sentence[..] } else { &card.heads };
    let mut rows = vec![
        ("name", card.name.clone()),
        ("description", card.description.clone()),
        ("licence", if card.licence.is_empty() { "unknown".to_owned() } else { card.licence.clone() }),
        ("made for", words(heads)),
        ("dimensions", card.dimensions.to_string()),
        ("pooling", card.pooling.to_string()),
        ("normalised", if card.normalize { "yes" } else { "no" }.to_owned()),
        ("window", format!("{} tokens recommended, {} at most", card.recommended_window_tokens, card.max_tokens)),
        ("query prompt", or_none(&card.prompts.query)),
        ("passage prompt", or_none(&card.prompts.passage)),
    ];
    if !card.matryoshka.is_empty() {
        let lengths: Vec<String> = card.matryoshka.iter().map(ToString::to_string).collect();
        rows.push(("cut to", lengths.join(", ")));
    }
    if card.lowercase {
        rows.push(("reads", "lower case".to_owned()));
    }
    if !card.labels.is_empty() {
        rows.push(("labels", card.labels.join(", ")));
        rows.push(("scores", scores(card).to_owned()));
    }
    if let Some(late) = &card.late {
        rows.push(("token vectors", format!("{} values", late.dimensions)));
        rows.push(("query marker", or_none(&late.query_marker)));
        rows.push(("passage marker", or_none(&late.passage_marker)));
    }
    if let Some(ready) = &card.ready_made {
        rows.push(("graphs", format!("ready-made; output {} read as {}", ready.output, ready.head)));
    }
    let mut text: String = rows.iter().map(|(name, value)| format!("{name:<16} {value}\n")).collect();
    for (path, file) in model.files() {
        text.push_str(
            &[&format!("{path:<16}"), " ", &bytes(file.bytes), ", blake3 ", &file.blake3[..16], "\n"].concat(),
        );
    }
    text
}

fn scores(card: &ModelCard) -> &'static str {
    match card.problem {
        Problem::MultiLabel => "each label by itself (sigmoid)",
        Problem::Regression => "values as they are",
        _ => "one label of all (softmax)",
    }
}
