//! What is chosen for a model's graphs in integers: products that stay in fp32, and ranges for static scales. The card
//! keeps both, so that graphs that are made later are made likewise.

use std::collections::BTreeSet;
use std::path::Path;

use berth_encoder::{InstalledModel, Runtime, TextTokenizer, observe_ranges};
use berth_export::{Calibration, ExportOptions, export_calibration_graph, inspect, products};
use berth_types::{Head, MeasuredRanges, ModelCard, Precision, Quantization};

use crate::graphs::exporter;
use crate::import::ImportOptions;
use crate::samples::{read_texts, row};
use crate::{Error, Home};

/// Where the calibration graph lies while it is run. What begins with a dot is no part of a model.
const CALIBRATION_GRAPH: &str = ".calibration.onnx";

/// Settles what holds for `graphs` of the model of `card`: what the options say, else what holds for the model that is
/// installed. Returns also the texts over which ranges are still to be measured.
///
/// Names of products outlive a change of the weights; ranges do not, nor a change of the exporter, which may scale what a
/// product takes in.
///
/// # Errors
/// `CalibrationNeeded` when there is a static graph and nothing says its ranges, `InvalidSettings` for texts without such a
/// graph or a file without texts, `Io`.
pub(crate) fn settle(
    options: &ImportOptions,
    card: &ModelCard,
    former: Option<&InstalledModel>,
    graphs: &BTreeSet<(Head, Precision)>,
) -> Result<(Quantization, Option<Vec<String>>), Error> {
    let mut chosen = former.map_or_else(|| card.quantization.clone(), |model| model.card().quantization.clone());
    if former.is_some_and(|model| model.exporter() != exporter() || !same_model(model.card(), card)) {
        chosen.ranges = None;
    }
    if let Some(names) = &options.keep_fp32 {
        chosen.keep_fp32.clone_from(names);
    }
    let is_static = graphs.iter().any(|(_, precision)| *precision == Precision::Int8Static);
    let Some(path) = &options.calibrate else {
        if is_static && chosen.ranges.is_none() {
            return Err(Error::CalibrationNeeded { model: card.name.clone() });
        }
        return Ok((chosen, None));
    };
    if !is_static {
        let message = "--calibrate measures ranges for int8-static, which is not among the graphs to make; add \
                       --precision int8-static";
        return Err(Error::InvalidSettings(message.to_owned()));
    }
    let texts = read_texts(path)?;
    if texts.is_empty() {
        return Err(Error::InvalidSettings(format!("{} holds no text to calibrate with", path.display())));
    }
    let hash = hash_of(&texts);
    let measured = chosen.ranges.as_ref().is_some_and(|ranges| ranges.texts_blake3 == hash);
    Ok((chosen, (!measured).then_some(texts)))
}

/// Whether two cards are of the same model, whatever was chosen for its graphs.
pub(crate) fn same_model(one: &ModelCard, other: &ModelCard) -> bool {
    ModelCard { quantization: Quantization::default(), ..one.clone() }
        == ModelCard { quantization: Quantization::default(), ..other.clone() }
}

fn hash_of(texts: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Checks that each of `names` is a product of some head of the checkpoint.
///
/// # Errors
/// `ProductUnknown` of the exporter.
pub(crate) fn check_names(names: &BTreeSet<String>, checkpoint: &Path) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let listed: Vec<String> =
        products(checkpoint, widest_head(checkpoint)?)?.into_iter().map(|product| product.name).collect();
    match names.iter().find(|name| !listed.contains(name)) {
        Some(unknown) => Err(berth_export::Error::ProductUnknown { product: unknown.clone(), products: listed }.into()),
        None => Ok(()),
    }
}

/// Those of `names` that are products of the graph for `head`.
pub(crate) fn kept_in(names: &BTreeSet<String>, checkpoint: &Path, head: Head) -> Result<BTreeSet<String>, Error> {
    if names.is_empty() {
        return Ok(BTreeSet::new());
    }
    let listed = products(checkpoint, head)?.into_iter().map(|product| product.name);
    Ok(listed.filter(|name| names.contains(name)).collect())
}

/// The head whose graph has the products of all heads of the checkpoint, and computes the states of all tokens.
fn widest_head(checkpoint: &Path) -> Result<Head, Error> {
    Ok(if inspect(checkpoint)?.heads.contains(&Head::FillMask) { Head::FillMask } else { Head::Tokens })
}

/// Measures what the products of a checkpoint take in over `texts`. `building` holds the model's tokenizer.
///
/// Ranges are those of all products, so that they serve any head, and whichever products stay in fp32.
///
/// # Errors
/// A runtime that cannot be loaded, or what the exporter and ONNX Runtime refuse.
pub(crate) fn measure(
    home: &Home,
    building: &Path,
    card: &ModelCard,
    checkpoint: &Path,
    texts: &[String],
) -> Result<MeasuredRanges, Error> {
    let runtime = Runtime::load(&home.runtime_library())?;
    let head = widest_head(checkpoint)?;
    let tokenizer = TextTokenizer::of(&InstalledModel::seal(building, card, &exporter())?, Head::Sentence)?;
    let rows = texts.iter().map(|text| row(&tokenizer, card, head, text)).collect::<Result<Vec<_>, Error>>()?;
    let graph = building.join(CALIBRATION_GRAPH);
    let uses = export_calibration_graph(checkpoint, &ExportOptions { head, ..ExportOptions::default() }, &graph)?;
    let observed = observe_ranges(&runtime, &graph, &rows)?;
    std::fs::remove_file(&graph).map_err(Error::io("remove", &graph))?;
    let products = Calibration::of(&uses, &observed)?.ranges;
    Ok(MeasuredRanges { texts: texts.len(), texts_blake3: hash_of(texts), products })
}
