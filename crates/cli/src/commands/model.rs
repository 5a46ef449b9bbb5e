//! `berth model list|import|info|quantize|verify`.

use berth_pipeline::{
    Cosine, FileState, Home, ImportReport, InstalledModel, QuantizeReport, family, import, installed, list,
    quantize_report, read_texts, remedy, sample_texts, verify_model,
};
use berth_types::{Head, ModelCard, Problem};
use serde_json::json;

use crate::Outcome;
use crate::model_args::{ModelAction, ModelArgs};
use crate::output::{self, bytes, grouped, say};

pub(crate) fn run(home: &Home, args: &ModelArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        ModelAction::List { json } => show_list(home, *json),
        ModelAction::Import(args) => {
            let report = import(home, &args.what, &args.options())?;
            if args.json {
                output::print_json(&report)?;
            } else {
                output::print(&imported(&report))?;
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
        ModelAction::Quantize(args) => {
            let texts = match &args.texts {
                None => sample_texts(),
                Some(path) => read_texts(path)?,
            };
            let report = quantize_report(home, &args.name, &texts)?;
            if args.json {
                output::print_json(&report)?;
            } else {
                output::print(&harm(&report))?;
                output::print(&advice(&report, installed(home, &args.name)?.card()))?;
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
                say(&format!("berth: model '{name}' is damaged; {} to make it again", remedy(home, name)));
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
        ("family", family(model).unwrap_or_else(|| "unknown".to_owned())),
        ("made for", words(heads)),
        ("dimensions", card.dimensions.to_string()),
        ("pooling", card.pooling.to_string()),
        ("normalised", if card.normalize { "yes" } else { "no" }.to_owned()),
        ("window", format!("{} tokens recommended, {} at most", card.recommended_window_tokens, card.max_tokens)),
        ("query prompt", or_none(&card.prompts.query)),
        ("passage prompt", or_none(&card.prompts.passage)),
    ];
    for (name, text) in &card.prompts.named {
        rows.push(("prompt", format!("{name}: {}", or_none(text))));
    }
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
    if !card.quantization.keep_fp32.is_empty() {
        let names: Vec<&str> = card.quantization.keep_fp32.iter().map(String::as_str).collect();
        rows.push(("kept in fp32", names.join(", ")));
    }
    if let Some(ranges) = &card.quantization.ranges {
        rows.push(("calibrated", format!("int8-static, over {} texts", grouped(ranges.texts as u64))));
    }
    let mut text: String = rows.iter().map(|(name, value)| format!("{name:<16} {value}\n")).collect();
    for (path, file) in model.files() {
        text.push_str(
            &[&format!("{path:<16}"), " ", &bytes(file.bytes), ", blake3 ", &file.blake3[..16], "\n"].concat(),
        );
    }
    text
}

/// Two tables: products by the harm that int8 does to them, and what it costs to keep the worst in fp32.
fn harm(report: &QuantizeReport) -> String {
    let mut text = format!(
        "{}: {} texts; fp32 {}, int8 {} with cosine {:.5} (least {:.5})\n\nonly this product in int8\n",
        report.model,
        report.texts,
        bytes(report.fp32_bytes),
        bytes(report.int8_bytes),
        report.int8.mean,
        report.int8.least
    );
    for product in &report.products {
        let Cosine { mean, least } = product.alone;
        text.push_str(
            &[
                &format!("{mean:.6}  least {least:.6}  "),
                &format!("{:>8}", bytes(product.int8_bytes)),
                "  ",
                &product.name,
                "\n",
            ]
            .concat(),
        );
    }
    text.push_str("\nthe worst kept in fp32\n");
    for step in &report.frontier {
        let Cosine { mean, least } = step.cosine;
        text.push_str(
            &[
                &format!("{:>3}  {mean:.6}  least {least:.6}  ", step.kept),
                &format!("{:>8}", bytes(step.bytes)),
                "  ",
                step.added.as_deref().unwrap_or("nothing"),
                "\n",
            ]
            .concat(),
        );
    }
    text
}

/// What follows from a report, as the command that does it.
fn advice(report: &QuantizeReport, card: &ModelCard) -> String {
    let Some(step) = report.frontier.get(report.keep_fp32.len()).filter(|_| !report.keep_fp32.is_empty()) else {
        return "\nno product is worth keeping in fp32\n".to_owned();
    };
    let from = match card.source.folder.as_str() {
        "" => card.name.clone(),
        folder => format!("{} --name {}", quoted(folder), card.name),
    };
    format!(
        "\nhalf of what int8 loses comes back with {} in fp32 (cosine {:.5}, {}):\n\
         berth model import {from} --keep-fp32 {}\n",
        step.kept,
        step.cosine.mean,
        bytes(step.bytes),
        report.keep_fp32.join(",")
    )
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:,@%".contains(&byte);
    if word.bytes().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn scores(card: &ModelCard) -> &'static str {
    match card.problem {
        Problem::MultiLabel => "each label by itself (sigmoid)",
        Problem::Regression => "values as they are",
        _ => "one label of all (softmax)",
    }
}

#[cfg(test)]
mod tests {
    use berth_pipeline::{FrontierStep, embedded_cards};
    use berth_types::CardSource;

    use super::*;

    fn report(keep_fp32: &[&str]) -> QuantizeReport {
        let cosine = Cosine { mean: 0.99812, least: 0.99 };
        let step = |kept| FrontierStep { kept, added: None, cosine, bytes: 27_100_000 };
        QuantizeReport {
            model: "mine".to_owned(),
            head: Head::Sentence,
            texts: 12,
            fp32_bytes: 0,
            int8_bytes: 0,
            int8: cosine,
            products: Vec::new(),
            frontier: (0..=keep_fp32.len()).map(step).collect(),
            keep_fp32: keep_fp32.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn a_report_ends_with_the_command_that_applies_it() {
        let card = embedded_cards().remove(0);
        let folder = "/models/it's mine".to_owned();
        let source = CardSource { folder, ..CardSource::default() };
        let local = ModelCard { name: "mine".to_owned(), source, ..card.clone() };
        let kept = report(&["a.query+key+value", "b.dense"]);
        insta::assert_snapshot!(
            [advice(&kept, &card), advice(&kept, &local), advice(&report(&[]), &card)].concat(),
            @r"

        half of what int8 loses comes back with 2 in fp32 (cosine 0.99812, 27.1 MB):
        berth model import all-minilm-l6-v2 --keep-fp32 a.query+key+value,b.dense

        half of what int8 loses comes back with 2 in fp32 (cosine 0.99812, 27.1 MB):
        berth model import '/models/it'\''s mine' --name mine --keep-fp32 a.query+key+value,b.dense

        no product is worth keeping in fp32
        "
        );
    }
}
