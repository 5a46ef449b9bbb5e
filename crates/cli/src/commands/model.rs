//! `berth model list|import|info|verify`.

use berth_pipeline::{FileState, Home, import, installed, list, verify_model};
use berth_types::ModelCard;
use serde_json::json;

use crate::Outcome;
use crate::args::{ModelAction, ModelArgs};
use crate::output::{self, bytes, grouped, say};

pub(crate) fn run(home: &Home, args: &ModelArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        ModelAction::List { json } => show_list(home, *json),
        ModelAction::Import { what, from, name, json } => {
            let report = import(home, what, from.as_deref(), name.as_deref())?;
            if *json {
                output::print_json(&report)?;
            } else if report.already_installed {
                output::print(&format!("{} is installed and intact in {}\n", report.name, report.directory.display()))?;
            } else {
                output::print(&format!(
                    "{}: {} weights exported in {:.1} s, {} in {}\n",
                    report.name,
                    grouped(report.parameters),
                    report.seconds,
                    bytes(report.bytes),
                    report.directory.display()
                ))?;
            }
            Ok(Outcome::Done)
        }
        ModelAction::Info { name, json } => {
            let model = installed(home, name)?;
            if *json {
                output::print_json(model.card())?;
            } else {
                output::print(&describe(model.card()))?;
                for (path, file) in model.files() {
                    output::print(&format!("{:<16} {}, blake3 {}\n", path, bytes(file.bytes), &file.blake3[..16]))?;
                }
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

fn describe(card: &ModelCard) -> String {
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { format!("{text:?}") };
    let rows = [
        ("name", card.name.clone()),
        ("description", card.description.clone()),
        ("licence", if card.licence.is_empty() { "unknown".to_owned() } else { card.licence.clone() }),
        ("dimensions", card.dimensions.to_string()),
        ("pooling", format!("{:?}", card.pooling).to_lowercase()),
        ("normalised", if card.normalize { "yes" } else { "no" }.to_owned()),
        ("window", format!("{} tokens recommended, {} at most", card.recommended_window_tokens, card.max_tokens)),
        ("query prompt", or_none(&card.prompts.query)),
        ("passage prompt", or_none(&card.prompts.passage)),
    ];
    rows.map(|(name, value)| format!("{name:<16} {value}\n")).concat()
}
