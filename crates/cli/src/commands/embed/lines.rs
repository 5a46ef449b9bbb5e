//! One line a result: JSON, or a short table row on a terminal.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use berth_pipeline::{Draft, Error, Input, LayersAnswer, SparseTerm, Tensor, Values};
use serde::Serialize;
use serde_json::{Value, json};

use crate::commands::classify::is_zero;
use crate::commands::texts::{heading, label_of, wants_json};
use crate::head_args::{DtypeWord, LineArgs};
use crate::output::{self, Terms, printable};

/// Values of a vector that a reader is shown.
const SHOWN: usize = 6;

/// What of a text a vector stands for.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Place {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) window: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<[usize; 2]>,
    pub(super) tokens: usize,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) truncated: usize,
}

impl Place {
    /// The id of a row: that of its text, with the number of the window behind it.
    pub(super) fn named(&self, id: &Value) -> Value {
        self.window.map_or_else(|| id.clone(), |window| json!(format!("{}#{window}", label_of(id))))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Numbers {
    Floats(Vec<f32>),
    Signed(Vec<i8>),
    Bytes(Vec<u8>),
}

#[derive(Serialize)]
pub(super) struct VectorLine<'a> {
    id: &'a Value,
    #[serde(flatten)]
    place: Place,
    embedding: Numbers,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
}

impl<'a> VectorLine<'a> {
    pub(super) fn new(id: &'a Value, place: Place, values: Values) -> Self {
        let (embedding, scale) = match values {
            Values::F32(values) => (Numbers::Floats(values), None),
            Values::F16(values) => (Numbers::Floats(values.into_iter().map(f32::from).collect()), None),
            Values::Int8(values, scale) => (Numbers::Signed(values), Some(scale)),
            Values::Binary(bytes) => (Numbers::Bytes(bytes), None),
        };
        Self { id, place, embedding, scale }
    }
}

#[derive(Serialize)]
pub(super) struct SparseLine<'a> {
    pub(super) id: &'a Value,
    pub(super) terms: &'a [SparseTerm],
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) truncated: usize,
}

#[derive(Serialize)]
pub(super) struct LateLine<'a> {
    pub(super) id: &'a Value,
    pub(super) vectors: Vec<&'a [f32]>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) truncated: usize,
}

#[derive(Serialize)]
pub(super) struct TokensLine<'a> {
    pub(super) id: &'a Value,
    pub(super) ids: &'a [u32],
    pub(super) bytes: Vec<[u32; 2]>,
    pub(super) vectors: Vec<&'a [f32]>,
}

#[derive(Serialize)]
pub(super) struct LayersLine<'a> {
    id: &'a Value,
    ids: Vec<u32>,
    bytes: Vec<[usize; 2]>,
    layers: Vec<LayerStates<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    truncated: usize,
}

#[derive(Serialize)]
struct LayerStates<'a> {
    layer: usize,
    vectors: Vec<&'a [f32]>,
}

impl<'a> LayersLine<'a> {
    /// The states of the text's own tokens, as `--tokens` has them; `layers` are the numbers of the answer's layers.
    pub(super) fn new(id: &'a Value, answer: &'a LayersAnswer, layers: &[usize]) -> Self {
        let own = || answer.tokens.iter().filter(|token| !token.special);
        let states = |(&layer, tensor): (&usize, &'a Tensor)| {
            let width = tensor.shape.last().copied().unwrap_or(1).max(1);
            let lines = tensor.values.chunks_exact(width).zip(&answer.tokens);
            LayerStates { layer, vectors: lines.filter(|(_, token)| !token.special).map(|(line, _)| line).collect() }
        };
        Self {
            id,
            ids: own().map(|token| token.id).collect(),
            bytes: own().map(|token| [token.start, token.end]).collect(),
            layers: layers.iter().zip(&answer.layers).map(states).collect(),
            truncated: answer.truncated,
        }
    }
}

/// Where the lines go.
pub(super) struct Lines {
    file: Option<(Draft, BufWriter<File>)>,
    json: bool,
    terms: Terms,
}

impl Lines {
    pub(super) fn open(out: Option<&Path>, lines: &LineArgs, terms: Terms) -> Result<Self, Error> {
        let file = out.map(Draft::create).transpose()?.map(|(draft, file)| (draft, BufWriter::new(file)));
        Ok(Self { json: file.is_some() || wants_json(lines), file, terms })
    }

    /// Completes the file, where there is one.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        if let Some((draft, mut file)) = self.file {
            file.flush()?;
            draft.keep(file.get_ref())?;
        }
        Ok(())
    }

    pub(super) fn vector(&mut self, input: &Input, line: &VectorLine<'_>, dtype: DtypeWord) -> anyhow::Result<()> {
        let above = (line.place.window.unwrap_or(0) == 0).then_some(input);
        self.put(line, above, || {
            let (count, shown) = match &line.embedding {
                Numbers::Floats(values) => (values.len(), first(values, |value| format!("{value:+.4}"))),
                Numbers::Signed(values) => (values.len(), first(values, |value| format!("{value:+}"))),
                Numbers::Bytes(bytes) => (8 * bytes.len(), first(bytes, |byte| format!("{byte:08b}"))),
            };
            let unit = if dtype == DtypeWord::Binary { "bits" } else { "values" };
            let window = line.place.window.map_or_else(String::new, |window| format!("window {window}, "));
            let cut = match line.place.truncated {
                0 => String::new(),
                count => format!(", {count} not read"),
            };
            format!("  {shown}  ({window}{count} {unit}, tokens {}{cut})\n", line.place.tokens)
        })
    }

    pub(super) fn sparse(&mut self, input: &Input, line: &SparseLine<'_>) -> anyhow::Result<()> {
        self.put(line, Some(input), || {
            let mut page = String::new();
            for term in line.terms.iter().take(20) {
                let _ = writeln!(page, "  {:>7.3}  {}", term.weight, printable(&term.term));
            }
            let _ = writeln!(page, "  {} terms", line.terms.len());
            page
        })
    }

    pub(super) fn late(&mut self, input: &Input, line: &LateLine<'_>) -> anyhow::Result<()> {
        self.put(line, Some(input), || {
            let width = line.vectors.first().map_or(0, |vector| vector.len());
            format!("  {} vectors of {width} values; --json shows them\n", line.vectors.len())
        })
    }

    pub(super) fn tokens(&mut self, input: &Input, line: &TokensLine<'_>) -> anyhow::Result<()> {
        self.put(line, Some(input), || {
            let width = line.vectors.first().map_or(0, |vector| vector.len());
            format!("  {} tokens with {width} values each; --json shows them\n", line.ids.len())
        })
    }

    pub(super) fn layers(&mut self, input: &Input, line: &LayersLine<'_>) -> anyhow::Result<()> {
        self.put(line, Some(input), || {
            let (layers, tokens) = (line.layers.len(), line.ids.len());
            format!("  {layers} layers of {tokens} tokens each; --json shows them\n")
        })
    }

    fn put(
        &mut self,
        line: &impl Serialize,
        above: Option<&Input>,
        table: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        if let Some((_, file)) = &mut self.file {
            serde_json::to_writer(&mut *file, line).map_err(io::Error::from)?;
            file.write_all(b"\n")?;
            return Ok(());
        }
        if self.json {
            return output::print_json(line);
        }
        let above = above.map_or_else(String::new, |input| heading(input, self.terms));
        output::print(&format!("{above}{}", table()))
    }
}

fn first<T>(values: &[T], show: impl Fn(&T) -> String) -> String {
    let mut shown = values.iter().take(SHOWN).map(show).collect::<Vec<_>>().join(" ");
    if values.len() > SHOWN {
        shown.push_str(" …");
    }
    shown
}
