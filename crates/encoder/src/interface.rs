//! Which inputs and outputs a graph must have for a head, and what each input is filled with. Pure: it knows names,
//! types and sizes, and nothing of ONNX Runtime.

use berth_types::{Head, InputMeaning, ModelCard, Pooling, ReadyMade};

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
    /// The place of each id in its row, from 0.
    Places,
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

/// What is done with an output outside of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing.
    Keep,
    /// States of tokens become one vector.
    Pool(Pooling),
    /// Of the scores at all positions those are kept that were asked for.
    Pick,
}

/// How a graph is fed and what is taken from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<Output>,
    /// Done with each output.
    pub(crate) after: After,
}

/// What a graph is wanted for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) head: Head,
    /// What is known of the model.
    pub(crate) card: &'a ModelCard,
    /// What is known of the graph, when it was not made here.
    pub(crate) ready_made: Option<&'a ReadyMade>,
    /// Which outputs of `Layers` and `Attention` are fetched, in this order; all when `None`.
    pub(crate) layers: Option<&'a [usize]>,
}

/// Why a graph does not serve a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// In words.
    Problem(String),
    /// The graph was made for another head.
    Head { output: String, given: Head },
    /// A size that the card gives otherwise.
    Size { output: String, expected: usize, received: i64 },
}

impl Interface {
    /// Fits a graph to what is wanted of it.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub(crate) fn of(wanted: Wanted<'_>, inputs: &[Port], outputs: &[Port]) -> Result<Self, Misfit> {
        let inputs = inputs.iter().map(|port| input(wanted, port)).collect::<Result<Vec<_>, Misfit>>()?;
        let (expected, after) = match wanted.ready_made {
            Some(ready) => ready_made_output(wanted, ready)?,
            None => (expected_outputs(wanted, outputs)?, After::Keep),
        };
        let mut needed = vec![(Filling::Ids, "input_ids")];
        if wanted.head == Head::FillMask && after == After::Keep {
            needed.push((Filling::Positions, "positions"));
        }
        for (filling, name) in needed {
            if !inputs.iter().any(|input| input.filling == filling) {
                return Err(Misfit::Problem(format!("it has no input {name}")));
            }
        }
        let outputs =
            expected.into_iter().map(|output| check_output(output, outputs)).collect::<Result<Vec<_>, Misfit>>()?;
        Ok(Self { inputs, outputs, after })
    }
}

fn input(wanted: Wanted<'_>, port: &Port) -> Result<Input, Misfit> {
    let name = port.name.as_str();
    let filling = match wanted.ready_made.map(|ready| ready.inputs.get(name)) {
        Some(Some(InputMeaning::Ids)) => Filling::Ids,
        Some(Some(InputMeaning::Mask)) => Filling::Mask,
        Some(Some(InputMeaning::Types)) => Filling::Types,
        Some(Some(InputMeaning::Positions)) => Filling::Places,
        Some(_) => return Err(Misfit::Problem(format!("the model card says nothing about its input {name}"))),
        None => match name {
            "input_ids" => Filling::Ids,
            "attention_mask" => Filling::Mask,
            "token_type_ids" => Filling::Types,
            "position_ids" => Filling::Places,
            "positions" if wanted.head == Head::FillMask => Filling::Positions,
            _ => return Err(Misfit::Problem(format!("nothing is known to put into its input {name}"))),
        },
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

/// The output of a graph that was not made here, and what is left to do for the head.
fn ready_made_output(wanted: Wanted<'_>, ready: &ReadyMade) -> Result<(Vec<Output>, After), Misfit> {
    use Axis::{Any, Rows, Size, Tokens};
    let card = wanted.card;
    let labels = if card.labels.is_empty() { Any } else { Size(card.labels.len()) };
    let width = ready.width.map_or(Any, Size);
    let (axes, after) = match (wanted.head, ready.head) {
        (Head::Sentence, Head::Tokens) => (vec![Rows, Tokens, Size(card.dimensions)], After::Pool(card.pooling)),
        (wanted, given) if wanted != given => {
            return Err(Misfit::Head { output: ready.output.clone(), given });
        }
        (Head::Sentence, _) => (vec![Rows, Size(card.dimensions)], After::Keep),
        (Head::Tokens | Head::Late, _) => (vec![Rows, Tokens, width], After::Keep),
        (Head::Classify, _) => (vec![Rows, labels], After::Keep),
        (Head::Entities, _) => (vec![Rows, Tokens, labels], After::Keep),
        (Head::Sparse, _) => (vec![Rows, width], After::Keep),
        (Head::FillMask, _) => (vec![Rows, Tokens, width], After::Pick),
        (other, _) => return Err(Misfit::Problem(format!("a ready-made graph cannot serve head {other}"))),
    };
    Ok((vec![Output { name: ready.output.clone(), axes }], after))
}

/// The outputs that the exporter gives a head's graph.
fn expected_outputs(wanted: Wanted<'_>, ports: &[Port]) -> Result<Vec<Output>, Misfit> {
    use Axis::{Any, Positions, Rows, Size, Tokens};
    let Wanted { head, card, layers, .. } = wanted;
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

#[cfg(test)]
mod tests {
    use super::*;

    type Described<'a> = (&'a str, Element, &'a [i64]);

    fn card() -> ModelCard {
        toml::from_str(
            r#"
            name = "test"
            dimensions = 8
            pooling = "max"
            normalize = true
            recommended_window_tokens = 16
            max_tokens = 16
            labels = ["no", "yes"]
            "#,
        )
        .unwrap()
    }

    fn ports(described: &[Described<'_>]) -> Vec<Port> {
        let port = |(name, element, shape): &Described<'_>| Port {
            name: (*name).to_owned(),
            element: element.clone(),
            shape: shape.to_vec(),
        };
        described.iter().map(port).collect()
    }

    fn fit(head: Head, inputs: &[Described<'_>], outputs: &[Described<'_>]) -> Result<Interface, Misfit> {
        let card = card();
        let wanted = Wanted { head, card: &card, ready_made: None, layers: None };
        Interface::of(wanted, &ports(inputs), &ports(outputs))
    }

    fn problem(head: Head, inputs: &[Described<'_>], outputs: &[Described<'_>]) -> String {
        match fit(head, inputs, outputs).unwrap_err() {
            Misfit::Problem(problem) => problem,
            Misfit::Head { output, given } => format!("{output} gives head {given}"),
            Misfit::Size { output, expected, received } => format!("{output}: {received}, not {expected}"),
        }
    }

    const IDS: Described<'static> = ("input_ids", Element::I64, &[-1, -1]);

    #[test]
    fn every_head_finds_its_outputs() {
        let positions = ("positions", Element::I64, &[-1][..]);
        let cases: [(Head, &[Described<'_>], &[Axis]); 9] = [
            (Head::Sentence, &[("sentence_embedding", Element::F32, &[-1, 8])], &[Axis::Rows, Axis::Size(8)]),
            (Head::Tokens, &[("token_embeddings", Element::F16, &[-1, -1, 8])], &[Axis::Rows, Axis::Tokens, Axis::Any]),
            (Head::Layers, &[("hidden_states.0", Element::F32, &[])], &[Axis::Rows, Axis::Tokens, Axis::Any]),
            (
                Head::Attention,
                &[("attentions.0", Element::F32, &[-1, 2, -1, -1])],
                &[Axis::Rows, Axis::Any, Axis::Tokens, Axis::Tokens],
            ),
            (Head::FillMask, &[("logits", Element::F32, &[-1, -1, 30])], &[Axis::Rows, Axis::Positions, Axis::Any]),
            (Head::Sparse, &[("sparse_embedding", Element::F32, &[-1, 30])], &[Axis::Rows, Axis::Any]),
            (Head::Classify, &[("logits", Element::F32, &[-1, 2])], &[Axis::Rows, Axis::Size(2)]),
            (Head::Entities, &[("logits", Element::F32, &[-1, -1, 2])], &[Axis::Rows, Axis::Tokens, Axis::Size(2)]),
            (Head::Late, &[("token_vectors", Element::F32, &[-1, -1, 4])], &[Axis::Rows, Axis::Tokens, Axis::Any]),
        ];
        for (head, outputs, axes) in cases {
            let mut inputs = vec![IDS];
            inputs.extend((head == Head::FillMask).then(|| positions.clone()));
            let interface = fit(head, &inputs, outputs).unwrap();
            assert_eq!((interface.outputs.len(), &interface.outputs[0].axes[..]), (1, axes), "{head}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let sentence = &[("sentence_embedding", Element::F32, &[-1, 8][..])];
        let refused = |inputs: &[_], outputs: &[_], word: &str| {
            let problem = problem(Head::Sentence, inputs, outputs);
            assert!(problem.contains(word), "{problem}");
        };
        refused(&[], sentence, "no input input_ids");
        refused(&[IDS, ("pixels", Element::F32, &[])], sentence, "pixels");
        refused(&[("input_ids", Element::F32, &[-1, -1])], sentence, "float32");
        refused(&[("input_ids", Element::I64, &[-1])], sentence, "1 axes, not 2");
        refused(&[IDS], &[], "no output sentence_embedding");
        refused(&[IDS], &[("sentence_embedding", Element::I64, &[-1, 8])], "int64");
        refused(&[IDS], &[("sentence_embedding", Element::F32, &[-1, -1, 8])], "3 axes, not 2");
        refused(&[IDS], &[("sentence_embedding", Element::F32, &[-1, 9])], "9, not 8");
        assert!(problem(Head::FillMask, &[IDS], &[("logits", Element::F32, &[])]).contains("no input positions"));
    }

    #[test]
    fn chosen_layers_come_in_their_order() {
        let names = ["hidden_states.0", "hidden_states.1", "hidden_states.2"];
        let outputs = names.map(|name| (name, Element::F32, &[-1, -1, 8][..]));
        let card = card();
        let chosen = |layers: Option<&[usize]>| {
            let wanted = Wanted { head: Head::Layers, card: &card, ready_made: None, layers };
            let interface = Interface::of(wanted, &ports(&[IDS]), &ports(&outputs))?;
            Ok::<_, Misfit>(interface.outputs.into_iter().map(|output| output.name).collect::<Vec<_>>())
        };
        assert_eq!(chosen(None).unwrap(), names);
        assert_eq!(chosen(Some(&[2, 0])).unwrap(), ["hidden_states.2", "hidden_states.0"]);
        let Err(Misfit::Problem(problem)) = chosen(Some(&[3])) else { panic!("there is no third layer") };
        assert!(problem.contains("the last one is hidden_states.2"), "{problem}");
    }

    #[test]
    fn a_ready_made_graph_goes_by_the_names_of_its_card() {
        let ready = ReadyMade {
            output: "last_hidden_state".to_owned(),
            head: Head::Tokens,
            rank: 3,
            width: Some(8),
            external: Vec::new(),
            graphs: std::collections::BTreeMap::new(),
            inputs: [("tokens", InputMeaning::Ids), ("places", InputMeaning::Positions)]
                .map(|(name, meaning)| (name.to_owned(), meaning))
                .into(),
        };
        let card = card();
        let fit = |head, ready: &ReadyMade, inputs: &[_]| {
            let wanted = Wanted { head, card: &card, ready_made: Some(ready), layers: None };
            let outputs = [(ready.output.as_str(), Element::F32, &[-1, -1, 8][..])];
            Interface::of(wanted, &ports(inputs), &ports(&outputs))
        };
        let inputs = [("tokens", Element::I32, &[-1, -1][..]), ("places", Element::I64, &[-1, -1])];
        let interface = fit(Head::Sentence, &ready, &inputs).unwrap();
        assert_eq!(interface.after, After::Pool(Pooling::Max));
        let fillings: Vec<_> = interface.inputs.iter().map(|input| (input.filling, input.wide)).collect();
        assert_eq!(fillings, [(Filling::Ids, false), (Filling::Places, true)]);
        assert_eq!(fit(Head::Tokens, &ready, &inputs).unwrap().after, After::Keep);
        assert!(fit(Head::Entities, &ready, &inputs).is_err());
        assert!(fit(Head::Tokens, &ready, &[IDS]).is_err(), "an input that the card does not name");
        let scores = ReadyMade { head: Head::FillMask, output: "logits".to_owned(), ..ready };
        assert_eq!(fit(Head::FillMask, &scores, &inputs).unwrap().after, After::Pick);
    }
}
