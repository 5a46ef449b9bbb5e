//! Which inputs and outputs a graph must have for a head, and what each input is filled with. Pure: it knows names,
//! types and sizes, and nothing of ONNX Runtime.

use berth_types::{Head, ModelCard};

/// Element of an input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Element {
    I32,
    I64,
    F16,
    F32,
    /// Any other, by its name.
    Other(String),
}

/// An input or output as the graph declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) element: Element,
    /// Sizes; -1 where the graph leaves one open, empty where it does not say how many there are.
    pub(crate) shape: Vec<i64>,
}

/// What an input of the graph is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filling {
    /// The row's ids.
    Ids,
    /// One for a real token, zero for padding.
    Mask,
    /// Types of the row's ids.
    Types,
    /// The place of each id, from `first` on.
    Places { first: u32 },
    /// Positions of the row that are asked for.
    Positions,
}

/// An input, in the integer type that the graph declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) filling: Filling,
    pub(crate) wide: bool,
}

/// What an axis of an output counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    Rows,
    Tokens,
    /// Positions that were asked for.
    Positions,
    /// Something that the graph alone decides.
    Any,
    /// Something that the card knows.
    Size(usize),
}

/// An output that is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) axes: Vec<Axis>,
}

/// How a graph is fed and what is taken from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<Output>,
}

/// Why a graph does not serve a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// In words.
    Problem(String),
    /// A size that the card gives otherwise.
    Size { output: String, expected: usize, received: i64 },
}

impl Interface {
    /// Fits a graph to `head`. Of the outputs of `Layers` and `Attention` those are fetched that `layers` names, in its
    /// order; all when it is `None`.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub(crate) fn of(
        head: Head,
        card: &ModelCard,
        layers: Option<&[usize]>,
        inputs: &[Port],
        outputs: &[Port],
    ) -> Result<Self, Misfit> {
        let inputs = inputs.iter().map(|port| input(head, port)).collect::<Result<Vec<_>, Misfit>>()?;
        let mut wanted = vec![(Filling::Ids, "input_ids")];
        if head == Head::FillMask {
            wanted.push((Filling::Positions, "positions"));
        }
        for (filling, name) in wanted {
            if !inputs.iter().any(|input| input.filling == filling) {
                return Err(Misfit::Problem(format!("it has no input {name}")));
            }
        }
        let outputs = expected_outputs(head, card, layers, outputs)?
            .into_iter()
            .map(|output| check_output(output, outputs))
            .collect::<Result<Vec<_>, Misfit>>()?;
        Ok(Self { inputs, outputs })
    }
}

fn input(head: Head, port: &Port) -> Result<Input, Misfit> {
    let name = port.name.as_str();
    let filling = match name {
        "input_ids" => Filling::Ids,
        "attention_mask" => Filling::Mask,
        "token_type_ids" => Filling::Types,
        "position_ids" => Filling::Places { first: 0 },
        "positions" if head == Head::FillMask => Filling::Positions,
        _ => return Err(Misfit::Problem(format!("nothing is known to put into its input {name}"))),
    };
    let wide = match &port.element {
        Element::I32 => false,
        Element::I64 => true,
        other => {
            let held = other.name();
            return Err(Misfit::Problem(format!("its input {name} holds {held}, not 32-bit or 64-bit integers")));
        }
    };
    let rank = if filling == Filling::Positions { 1 } else { 2 };
    if !port.shape.is_empty() && port.shape.len() != rank {
        let axes = port.shape.len();
        return Err(Misfit::Problem(format!("its input {name} has {axes} axes, not {rank}")));
    }
    Ok(Input { name: name.to_owned(), filling, wide })
}

fn expected_outputs(
    head: Head,
    card: &ModelCard,
    layers: Option<&[usize]>,
    ports: &[Port],
) -> Result<Vec<Output>, Misfit> {
    use Axis::{Any, Positions, Rows, Size, Tokens};
    let one = |name: &str, axes: &[Axis]| Ok(vec![Output { name: name.to_owned(), axes: axes.to_vec() }]);
    let labels = if card.labels.is_empty() { Any } else { Size(card.labels.len()) };
    match head {
        Head::Sentence => one("sentence_embedding", &[Rows, Size(card.dimensions)]),
        Head::Tokens => one("token_embeddings", &[Rows, Tokens, Any]),
        Head::Layers => numbered("hidden_states", &[Rows, Tokens, Any], layers, ports),
        Head::Attention => numbered("attentions", &[Rows, Any, Tokens, Tokens], layers, ports),
        Head::FillMask => one("logits", &[Rows, Positions, Any]),
        Head::Sparse => one("sparse_embedding", &[Rows, Any]),
        Head::Classify => one("logits", &[Rows, labels]),
        Head::Entities => one("logits", &[Rows, Tokens, labels]),
        Head::Late => {
            let size = card.late.as_ref().map_or(Any, |late| Size(late.dimensions));
            one("token_vectors", &[Rows, Tokens, size])
        }
        other => Err(Misfit::Problem(format!("nothing is known of the outputs of head {other}"))),
    }
}

/// Outputs `STEM.0`, `STEM.1` and so on: those that `layers` names, or all.
fn numbered(stem: &str, axes: &[Axis], layers: Option<&[usize]>, ports: &[Port]) -> Result<Vec<Output>, Misfit> {
    let name = |number: usize| format!("{stem}.{number}");
    let count = (0..ports.len()).take_while(|&number| ports.iter().any(|port| port.name == name(number))).count();
    if count == 0 {
        return Err(Misfit::Problem(format!("it has no output {}", name(0))));
    }
    let all: Vec<usize> = (0..count).collect();
    let chosen = layers.unwrap_or(&all);
    if let Some(&number) = chosen.iter().find(|&&number| number >= count) {
        return Err(Misfit::Problem(format!("it has no output {}; the last one is {}", name(number), name(count - 1))));
    }
    Ok(chosen.iter().map(|&number| Output { name: name(number), axes: axes.to_vec() }).collect())
}

fn check_output(output: Output, ports: &[Port]) -> Result<Output, Misfit> {
    let name = &output.name;
    let Some(port) = ports.iter().find(|port| port.name == *name) else {
        return Err(Misfit::Problem(format!("it has no output {name}")));
    };
    if !matches!(port.element, Element::F16 | Element::F32) {
        let held = port.element.name();
        return Err(Misfit::Problem(format!("its output {name} holds {held}, not 16-bit or 32-bit floats")));
    }
    if port.shape.is_empty() {
        return Ok(output);
    }
    if port.shape.len() != output.axes.len() {
        let (received, expected) = (port.shape.len(), output.axes.len());
        return Err(Misfit::Problem(format!("its output {name} has {received} axes, not {expected}")));
    }
    for (axis, &received) in output.axes.iter().zip(&port.shape) {
        // A graph may leave a size open (-1); then each run is checked.
        if let &Axis::Size(expected) = axis
            && received >= 0
            && received != expected as i64
        {
            return Err(Misfit::Size { output: name.clone(), expected, received });
        }
    }
    Ok(output)
}

impl Output {
    /// The size that each axis must have after a run, `None` where the graph decides.
    pub(crate) fn sizes(&self, rows: usize, tokens: usize, positions: usize) -> Vec<Option<usize>> {
        let size = |axis: &Axis| match *axis {
            Axis::Rows => Some(rows),
            Axis::Tokens => Some(tokens),
            Axis::Positions => Some(positions),
            Axis::Size(size) => Some(size),
            Axis::Any => None,
        };
        self.axes.iter().map(size).collect()
    }
}

impl Element {
    fn name(&self) -> &str {
        match self {
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::F16 => "float16",
            Self::F32 => "float32",
            Self::Other(name) => name,
        }
    }
}
