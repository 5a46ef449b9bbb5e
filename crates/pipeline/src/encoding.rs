//! Which model encodes: what the user named, else what the index was built with, else the default.

use std::path::Path;

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, Runtime, settle};
use berth_index::IndexReader;
use berth_types::{Device, Fingerprint, Head, ModelCard, Precision};

use crate::graphs::with_graph;
use crate::{Error, Home, models};

/// Model of a new index when none is named.
pub const DEFAULT_MODEL: &str = "all-minilm-l6-v2";

/// What the user chose; `None` leaves the choice to the index, or to the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EncoderChoice {
    /// Name of an installed model.
    pub model: Option<String>,
    /// Arithmetic.
    pub precision: Option<Precision>,
    /// Rows in the model at the same time.
    pub workers: Option<usize>,
    /// Where it runs.
    pub device: Device,
    /// Most resident memory of the process while rows run.
    pub memory_limit_bytes: Option<u64>,
}

/// Opens the encoder for an index that may or may not exist yet.
///
/// # Errors
/// A model that is not installed or damaged, a runtime that cannot be loaded, a damaged index.
pub fn open_encoder(home: &Home, choice: &EncoderChoice, index: Option<&Path>) -> Result<Encoder, Error> {
    let built_with = match index {
        Some(index) if berth_index::exists(index) => {
            Some(IndexReader::open(index)?.snapshot().settings().fingerprint.clone())
        }
        _ => None,
    };
    open_encoder_for(home, choice, built_with.as_ref())
}

pub(crate) fn open_encoder_for(
    home: &Home,
    choice: &EncoderChoice,
    built_with: Option<&Fingerprint>,
) -> Result<Encoder, Error> {
    open_for(home, choice, built_with, |_| Head::Sentence)
}

/// Opens a model for the head that its card decides; a graph that is not there yet is made from the checkpoint.
pub(crate) fn open_for(
    home: &Home,
    choice: &EncoderChoice,
    built_with: Option<&Fingerprint>,
    head: impl FnOnce(&ModelCard) -> Head,
) -> Result<Encoder, Error> {
    let choice = &built_with.map_or_else(|| choice.clone(), |fingerprint| choice_for(choice, fingerprint));
    let model = models::installed(home, choice.model.as_deref().unwrap_or(DEFAULT_MODEL))?;
    let options = EncoderOptions { head: head(model.card()), ..options_for(home, choice) };
    let Prepared { model, runtime, options } = prepare(home, model, options)?;
    opened(home, Encoder::open(&model, &runtime, &options), &model)
}

/// What is left open of a choice is as vectors were made that are there already.
pub fn choice_for(choice: &EncoderChoice, built_with: &Fingerprint) -> EncoderChoice {
    let mut choice = choice.clone();
    choice.model.get_or_insert_with(|| built_with.model.clone());
    choice.precision = choice.precision.or_else(|| built_with.parts.get("precision")?.parse().ok());
    choice
}

/// The arithmetic that a model runs in for `head` on this machine, as [`open_head`](crate::open_head) settles it.
///
/// # Errors
/// A model that is not installed, a runtime that cannot be loaded, a precision that this processor has no exact kernel for.
pub fn settled_precision(home: &Home, choice: &EncoderChoice, head: Head) -> Result<Precision, Error> {
    let model = models::installed(home, choice.model.as_deref().unwrap_or(DEFAULT_MODEL))?;
    let runtime = Runtime::load(&home.runtime_library())?;
    let options = EncoderOptions { head, ..options_for(home, choice) };
    Ok(settle(&model, &runtime, &options)?.1)
}

/// An encoder, or what to do where a graph cannot be run here but one can be made that can.
pub(crate) fn opened(
    home: &Home,
    encoder: Result<Encoder, berth_encoder::Error>,
    model: &InstalledModel,
) -> Result<Encoder, Error> {
    match encoder {
        Err(error @ berth_encoder::Error::GraphSaturates { .. }) if model.card().ready_made.is_none() => {
            Err(Error::MadeElsewhere { error: error.into(), remedy: models::remedy(home, &model.card().name) })
        }
        encoder => Ok(encoder?),
    }
}

/// What an encoder is opened with.
pub(crate) struct Prepared {
    /// Has the graph that the options ask for.
    pub(crate) model: InstalledModel,
    pub(crate) runtime: Runtime,
    /// Leave neither device nor precision open.
    pub(crate) options: EncoderOptions,
}

/// Settles device and precision and sees to the graph for them: one that `model` does not have yet is made from its
/// checkpoint, unless this machine could not run it.
///
/// # Errors
/// A runtime that cannot be loaded, a device that cannot serve, a precision that this processor has no exact kernel
/// for; otherwise as [`with_graph`].
pub(crate) fn prepare(home: &Home, model: InstalledModel, options: EncoderOptions) -> Result<Prepared, Error> {
    let runtime = Runtime::load(&home.runtime_library())?;
    let (device, precision) = settle(&model, &runtime, &options)?;
    let model = with_graph(home, model, options.head, precision)?;
    let options = EncoderOptions { device, precision: Some(precision), ..options };
    Ok(Prepared { model, runtime, options })
}

/// How an encoder is opened for what the user chose.
pub(crate) fn options_for(home: &Home, choice: &EncoderChoice) -> EncoderOptions {
    EncoderOptions {
        precision: choice.precision,
        workers: choice.workers,
        device: choice.device,
        memory_limit_bytes: choice.memory_limit_bytes,
        engine_cache: Some(home.cache().join("tensorrt")),
        ..EncoderOptions::default()
    }
}

/// First 16 hex digits of the hash over everything that shapes a vector: short enough to compare by eye.
pub fn fingerprint_hash(fingerprint: &Fingerprint) -> String {
    blake3::hash(fingerprint.canonical().as_bytes()).to_hex()[..16].to_owned()
}
