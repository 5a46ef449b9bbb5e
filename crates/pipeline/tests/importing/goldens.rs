//! Recorded outputs of transformers beside the tiny checkpoints, and how they compare with an encoder's.

use std::fs;
use std::path::{Path, PathBuf};

use berth_encoder::{Encoder, Lane, Overlong, Prompt, Row};
use berth_types::Head;
use safetensors::SafeTensors;
use serde::Deserialize;

/// Largest difference to transformers in any value of any output.
const DIFFERENCE: f32 = 1e-4;

#[derive(Deserialize)]
pub(crate) struct Goldens {
    #[serde(skip)]
    folder: PathBuf,
    pub(crate) texts: Vec<Sample>,
    outputs: Vec<Golden>,
}

#[derive(Deserialize)]
pub(crate) struct Sample {
    name: String,
    pub(crate) text: String,
    ids: Vec<u32>,
    #[serde(default)]
    types: Vec<u8>,
    /// 1 for ids that are attended to; all where there are none.
    #[serde(default)]
    attention: Vec<u32>,
    #[serde(default)]
    prompt: String,
}

#[derive(Deserialize)]
struct Golden {
    text: String,
    output: String,
    tensor: String,
    #[serde(default)]
    positions: Vec<u32>,
}

impl Goldens {
    pub(crate) fn of(folder: &Path) -> Self {
        let goldens: Self = serde_json::from_slice(&fs::read(folder.join("goldens.json")).unwrap()).unwrap();
        Self { folder: folder.to_path_buf(), ..goldens }
    }

    /// Compares what `encoder` gives with what was recorded for its head. Returns how many outputs were compared.
    pub(crate) fn compare(&self, name: &str, encoder: &Encoder) -> usize {
        let bytes = fs::read(self.folder.join("goldens.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let mut compared = 0;
        for golden in &self.outputs {
            let text = self.texts.iter().find(|text| text.name == golden.text).unwrap();
            let view = tensors.tensor(&golden.tensor).unwrap();
            let values = |four: &[u8]| f32::from_le_bytes(four.try_into().unwrap());
            let recorded: Vec<f32> = view.data().chunks_exact(4).map(values).collect();
            let width = view.shape().last().copied().unwrap_or(1);
            let Some((received, expected)) = outputs(encoder, golden, text, recorded, width) else { continue };
            let at = format!("{name}, text {:?}, {}", golden.text, golden.output);
            assert_eq!(received.len(), expected.len(), "{at}");
            let difference = received.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference <= DIFFERENCE, "{at}: {difference}");
            compared += 1;
        }
        compared
    }
}

/// What the encoder gives and what it should; none for an output of another head.
fn outputs(
    encoder: &Encoder,
    golden: &Golden,
    text: &Sample,
    recorded: Vec<f32>,
    width: usize,
) -> Option<(Vec<f32>, Vec<f32>)> {
    let raw = |positions: &[u32]| {
        let unattended = text.attention.iter().filter(|&&attended| attended == 0).count();
        let (ids, types, positions) = (text.ids.clone(), text.types.clone(), positions.to_vec());
        let pending = encoder.submit(Row { ids, types, positions, unattended }, Lane::Bulk).unwrap();
        pending.wait().unwrap().swap_remove(0).values
    };
    let every: Vec<u32> = (0..text.ids.len() as u32).collect();
    let positions = if golden.positions.is_empty() { &every } else { &golden.positions };
    let rows = |values: Vec<f32>| {
        positions.iter().flat_map(|&at| values[at as usize * width..][..width].to_vec()).collect::<Vec<f32>>()
    };
    match (encoder.head(), golden.output.as_str()) {
        (Head::FillMask, "logits") => Some((raw(positions), recorded)),
        (Head::Classify, "logits") | (Head::Sparse, "sparse_embedding") => Some((raw(&[]), recorded)),
        (Head::Entities, "logits") | (Head::Late, "token_vectors") => Some((rows(raw(&[])), recorded)),
        (Head::Sentence, "sentence_embedding") => {
            // From the text itself: lower case, prompt and special tokens are part of what is compared.
            let prompt = match text.prompt.as_str() {
                "query" => Prompt::Query,
                "passage" | "document" => Prompt::Passage,
                _ => Prompt::None,
            };
            let answer = encoder.ask_sentence(&text.text, prompt, Overlong::Cut).unwrap().wait().unwrap();
            Some((answer.embedding.as_slice().to_vec(), recorded))
        }
        // A plain encoder's sentence embedding is the mean of the states.
        (Head::Sentence, "last_hidden_state") if golden.positions.is_empty() && text.text.len() > 1 => {
            let mut mean = vec![0.0_f64; width];
            for state in recorded.chunks_exact(width) {
                mean.iter_mut().zip(state).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            let norm = mean.iter().map(|value| value * value).sum::<f64>().sqrt();
            let expected = mean.iter().map(|value| (value / norm) as f32).collect();
            (encoder.card().dimensions == width && encoder.card().pooling == berth_types::Pooling::Mean)
                .then(|| (raw(&[]), expected))
        }
        _ => None,
    }
}
