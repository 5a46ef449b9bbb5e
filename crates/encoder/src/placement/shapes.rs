//! Which nodes of a graph compute only with shapes: told from the graph itself, since what ONNX Runtime tells of a node is
//! its name and operator, and `Gather` may take a length out of a shape or a row out of the table of words.
//!
//! Reads as much of the file as that needs. The file was checked before, and ONNX Runtime has opened it.

use std::collections::{HashMap, HashSet};

/// Values of a constant that shapes are computed with: an index, an axis, a few lengths.
const MOST_VALUES: u64 = 64;
/// Operators that give a shape, whatever they read.
const MEASURE: [&str; 2] = ["Shape", "Size"];
/// Operators that make something as large as a batch out of a shape; what reads it does work.
const GROW: [&str; 4] = ["ConstantOfShape", "Expand", "Range", "Tile"];

/// Names and operators of the nodes that read nothing but shapes and small constants. Of nodes that share both, all do.
pub(crate) fn nodes_of_shapes(model: &[u8]) -> HashSet<(String, String)> {
    let mut small: HashSet<&str> = HashSet::new();
    let mut found: HashMap<(String, String), bool> = HashMap::new();
    let graph = fields(model).find(|field| field.number == 7).map_or(&[][..], |field| field.bytes);
    for initializer in fields(graph).filter(|field| field.number == 5) {
        if values(initializer.bytes) <= MOST_VALUES
            && let Some(name) = fields(initializer.bytes).find(|field| field.number == 8)
        {
            small.insert(name.text());
        }
    }
    // Files have nodes in an order in which each comes after what it reads.
    for node in fields(graph).filter(|field| field.number == 1) {
        let texts = |number| fields(node.bytes).filter(move |field| field.number == number).map(|field| field.text());
        let (name, operator) = (texts(3).next().unwrap_or_default(), texts(4).next().unwrap_or_default());
        let only_small = match operator {
            // Its tensor lies in an attribute.
            "Constant" => fields(node.bytes).filter(|field| field.number == 5).all(|attribute| {
                fields(attribute.bytes).filter(|field| field.number == 5).all(|one| values(one.bytes) <= MOST_VALUES)
            }),
            _ => texts(1).filter(|input| !input.is_empty()).all(|input| small.contains(input)),
        };
        let of_shapes = only_small || MEASURE.contains(&operator);
        if of_shapes && !GROW.contains(&operator) {
            small.extend(texts(2));
        }
        *found.entry((name.to_owned(), operator.to_owned())).or_insert(true) &= of_shapes;
    }
    found.into_iter().filter_map(|(node, of_shapes)| of_shapes.then_some(node)).collect()
}

/// Names of all nodes of a graph.
pub(crate) fn names(model: &[u8]) -> HashSet<String> {
    let graph = fields(model).find(|field| field.number == 7).map_or(&[][..], |field| field.bytes);
    let nodes = fields(graph).filter(|field| field.number == 1);
    nodes.filter_map(|node| Some(fields(node.bytes).find(|field| field.number == 3)?.text().to_owned())).collect()
}

/// Values that a tensor declares.
fn values(tensor: &[u8]) -> u64 {
    let mut product = 1_u64;
    for dims in fields(tensor).filter(|field| field.number == 1) {
        let mut packed = dims.bytes;
        if packed.is_empty() {
            product = product.saturating_mul(dims.value);
        }
        while let Some(length) = varint(&mut packed) {
            product = product.saturating_mul(length);
        }
    }
    product
}

/// One field of a message of protobuf: a number, or bytes.
struct Field<'a> {
    number: u64,
    value: u64,
    bytes: &'a [u8],
}

impl<'a> Field<'a> {
    fn text(&self) -> &'a str {
        std::str::from_utf8(self.bytes).unwrap_or_default()
    }
}

/// The fields of a message, up to the first that cannot be read.
fn fields(mut message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    std::iter::from_fn(move || {
        let key = varint(&mut message)?;
        let (mut value, mut bytes) = (0, &[][..]);
        match key & 7 {
            0 => value = varint(&mut message)?,
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                (bytes, message) = message.split_at_checked(length)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
        Some(Field { number: key >> 3, value, bytes })
    })
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        [&[number << 3 | 2, (length & 0x7f) as u8 | 0x80, (length >> 7) as u8], content].concat()
    }

    fn node(name: &str, operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
        let inputs: Vec<u8> = inputs.iter().flat_map(|input| bytes(1, input.as_bytes())).collect();
        let rest = [(2, output), (3, name), (4, operator)].map(|(number, text)| bytes(number, text.as_bytes()));
        bytes(1, &[inputs, rest.concat()].concat())
    }

    fn initializer(name: &str, dims: &[u8]) -> Vec<u8> {
        bytes(5, &[bytes(1, dims), bytes(8, name.as_bytes())].concat())
    }

    /// A table of words looked up by ids, whose positions are counted from the length of the row.
    pub(in crate::placement) fn model() -> Vec<u8> {
        let graph = [
            node("words", "Gather", &["table", "ids"], "states"),
            node("shape", "Shape", &["ids"], "lengths"),
            node("length", "Gather", &["lengths", "one"], "length"),
            node("longer", "Add", &["length", "one"], "longer"),
            node("count", "Range", &["zero", "longer", "one"], "positions"),
            node("places", "Gather", &["table", "positions"], "placed"),
            node("scaled", "Div", &["states", "one"], "scaled"),
            initializer("table", &[100, 32]),
            initializer("one", &[]),
            initializer("zero", &[1]),
        ];
        bytes(7, &graph.concat())
    }

    #[test]
    fn arithmetic_of_shapes_is_told_from_work_by_what_it_reads() {
        let mut found: Vec<String> = nodes_of_shapes(&model()).into_iter().map(|(name, _)| name).collect();
        found.sort_unstable();
        assert_eq!(found, ["count", "length", "longer", "shape"]);
    }

    #[test]
    fn a_name_of_two_nodes_is_of_shapes_where_both_are() {
        let graph = [
            node("", "Shape", &["ids"], "lengths"),
            node("", "Gather", &["lengths", "lengths"], "length"),
            node("", "Gather", &["states", "lengths"], "state"),
        ];
        let found = nodes_of_shapes(&bytes(7, &graph.concat()));
        assert_eq!(found, HashSet::from([(String::new(), "Shape".to_owned())]));
        assert!(nodes_of_shapes(b"\x3a\xff\xff no model").is_empty());
    }
}
