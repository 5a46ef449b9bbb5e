//! The words of `berth model`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use berth_pipeline::ImportOptions;
use berth_types::{Head, Precision};
use clap::{Args, Subcommand};

/// What stands for an empty list of products. No tensor has this name.
const NONE: &str = "none";

#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    #[command(subcommand)]
    pub(crate) action: ModelAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelAction {
    /// List known and installed models
    List {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Install a model from its card's checkpoint or from a local Hugging Face folder
    Import(ImportArgs),
    /// Describe an installed model
    Info {
        /// Name of the model
        name: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Find the products of a model that int8 hurts most, without labelled data
    Quantize(QuantizeArgs),
    /// Read every file of an installed model and compare it with its recorded hash
    Verify {
        /// Name of the model
        name: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Name of a card, or a folder with config.json, a tokenizer, and model.safetensors or ONNX graphs
    #[arg(value_name = "CARD|DIR")]
    pub(crate) what: String,
    /// Folder of the card's checkpoint [default: BERTH_HOME/checkpoints/NAME, else the Hugging Face cache]
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
    /// Name under which a folder's model is installed [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Precisions of the graphs, separated by commas: int8, int8-static, q8, q4, fp16, fp32 [default: fp32,int8]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) precision: Vec<Precision>,
    /// Heads that get graphs now, separated by commas; others get theirs on first use [default: the model's own]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) heads: Vec<Head>,
    /// Texts over which the ranges of int8-static are measured, one a line, or JSONL rows with `text`
    #[arg(long, value_name = "FILE")]
    pub(crate) calibrate: Option<PathBuf>,
    /// Products that stay in fp32 in int8, int8-static, q8 and q4, separated by commas, as `model quantize --report` names
    /// them; `none` for none [default: as the installed model has it]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) keep_fp32: Vec<String>,
    /// Take the folder's ONNX graphs although it has weights
    #[arg(long)]
    pub(crate) ready_made: bool,
    /// Take this ONNX graph of the folder (repeat for more precisions)
    #[arg(long, value_name = "FILE")]
    pub(crate) graph: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl ImportArgs {
    pub(crate) fn options(&self) -> ImportOptions {
        let kept = |names: &[String]| match names {
            [] => None,
            [none] if none == NONE => Some(BTreeSet::new()),
            names => Some(names.iter().cloned().collect()),
        };
        ImportOptions {
            from: self.from.clone(),
            name: self.name.clone(),
            precisions: self.precision.clone(),
            heads: self.heads.clone(),
            ready_made: self.ready_made,
            graphs: self.graph.clone(),
            keep_fp32: kept(&self.keep_fp32),
            calibrate: self.calibrate.clone(),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct QuantizeArgs {
    /// Name of an installed model whose checkpoint is still there
    pub(crate) name: String,
    /// Measure each product in int8 alone, and with the worst ones kept in fp32 (nothing is written to the model)
    #[arg(long, required = true)]
    pub(crate) report: bool,
    /// Texts to measure on, one a line, or JSONL rows with `text` [default: a dozen sentences of several kinds]
    #[arg(long, value_name = "FILE")]
    pub(crate) texts: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn options(words: &str) -> ImportOptions {
        let line = ["berth", "model", "import", "x"].into_iter().chain(words.split_whitespace());
        match Cli::parse_from(line).command {
            Command::Model(ModelArgs { action: ModelAction::Import(args) }) => args.options(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn products_are_named_left_as_they_are_or_none() {
        let kept = |words: &str| options(words).keep_fp32.map(|names| Vec::from_iter(names).join(" "));
        assert_eq!(kept(""), None);
        assert_eq!(kept("--keep-fp32 none"), Some(String::new()));
        assert_eq!(kept("--keep-fp32 b.dense,a.query+key+value"), Some("a.query+key+value b.dense".to_owned()));
    }

    #[test]
    fn static_graphs_come_with_texts() {
        let options = options("--precision fp32,int8-static --calibrate texts.jsonl");
        assert_eq!(options.precisions, [Precision::Fp32, Precision::Int8Static]);
        assert_eq!(options.calibrate, Some(PathBuf::from("texts.jsonl")));
    }
}
