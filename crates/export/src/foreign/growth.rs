//! Tensors that a few bytes ask for: what operators make out of constant shapes. ONNX Runtime computes constants while it
//! loads a graph, so their sizes are added up before. Shapes that depend on a row are bounded by the row.

use std::collections::HashMap;

use prost::encoding::decode_varint;

use super::ElementType;
use super::check::order;
use super::schema::{Graph, Node, Store, Tensor};

/// Values of one tensor made out of a constant shape, 64 MiB in f32: a mask of 4,096 positions by as many.
const MOST_IN_ONE: f64 = (1_u64 << 24) as f64;
/// Values of all of them in a graph.
const MOST_IN_ALL: f64 = (1_u64 << 26) as f64;
/// Values of a tensor that are looked at: a shape has no more axes.
const MOST_READ: f64 = 16.0;

/// Adds up what the nodes of `graph`, and of the graphs inside of it, make out of constant shapes.
///
/// # Errors
/// The node that makes too much, and what is wrong with it.
pub(super) fn check<'g, 'a>(graph: &'g Graph<'a>) -> Result<(), (&'g Node<'a>, String)> {
    walk(graph, None, &mut 0.0)
}

/// A tensor that is the same in every run. Lengths and values are floating-point, so that no product overflows.
struct Constant {
    dims: Vec<f64>,
    /// None where there are many, or where they lie in another file.
    values: Option<Vec<f64>>,
}

/// The constants that a graph and those around it have, by name.
struct Known<'k, 'a> {
    constants: HashMap<&'a str, Constant>,
    outer: Option<&'k Known<'k, 'a>>,
}

impl Known<'_, '_> {
    fn input(&self, node: &Node<'_>, position: usize) -> Option<&Constant> {
        self.named(node.inputs.get(position)?)
    }

    fn named(&self, name: &str) -> Option<&Constant> {
        self.constants.get(name).or_else(|| self.outer?.named(name))
    }
}

fn walk<'g, 'a>(
    graph: &'g Graph<'a>,
    outer: Option<&Known<'_, 'a>>,
    in_all: &mut f64,
) -> Result<(), (&'g Node<'a>, String)> {
    let named = graph.initializers.iter().filter_map(|tensor| Some((tensor.name?, constant(tensor))));
    let mut known = Known { constants: named.collect(), outer };
    // A cycle was refused before.
    for number in order(graph).unwrap_or_default() {
        let node = &graph.nodes[number];
        for inner in &node.graphs {
            walk(inner, Some(&known), in_all)?;
        }
        let Some(made) = made(node, &known).map_err(|problem| (node, problem))? else { continue };
        if node.op_type != Some("Constant") {
            let count = made.dims.iter().product::<f64>();
            *in_all += count;
            // A step of 0 gives infinity or no number at all.
            if count > MOST_IN_ONE || count.is_nan() {
                return Err((node, format!("makes a tensor of {count} values out of nothing")));
            }
            if *in_all > MOST_IN_ALL {
                return Err((node, format!("is one of those that make {in_all} values out of nothing")));
            }
        }
        if let Some(output) = node.outputs.first() {
            known.constants.insert(output, made);
        }
    }
    Ok(())
}

/// What a node makes of constants alone, as far as its shape is known; none for any other node.
fn made(node: &Node<'_>, known: &Known<'_, '_>) -> Result<Option<Constant>, String> {
    let lengths = |position: usize| match known.input(node, position) {
        None => Ok(None),
        Some(Constant { values: Some(values), .. }) => Ok(Some(values.iter().map(|length| length.max(0.0)))),
        Some(_) => Err("takes a shape from another file, or one of more axes than there are".to_owned()),
    };
    let data = || known.input(node, 0).map_or(&[][..], |constant| &constant.dims);
    let dims: Vec<f64> = match node.op_type.unwrap_or_default() {
        "Constant" => return Ok(stated(node)),
        "ConstantOfShape" => {
            let Some(lengths) = lengths(0)? else { return Ok(None) };
            let dims: Vec<f64> = lengths.collect();
            let fill = node.tensors.first().and_then(|tensor| constant(tensor).values?.first().copied());
            let count = dims.iter().product::<f64>();
            let values = (count <= MOST_READ).then(|| vec![fill.unwrap_or(0.0); count as usize]);
            return Ok(Some(Constant { dims, values }));
        }
        "Expand" => {
            let Some(lengths) = lengths(1)? else { return Ok(None) };
            broadcast(data(), &lengths.collect::<Vec<f64>>())
        }
        "Tile" => {
            let Some(repeats) = lengths(1)? else { return Ok(None) };
            // Of data that only a run knows, each repeat is one value or more.
            repeats.enumerate().map(|(axis, times)| times * data().get(axis).unwrap_or(&1.0)).collect()
        }
        "Range" => {
            let one = |position| known.input(node, position).and_then(|constant| constant.values.as_ref()?.first());
            let (Some(start), Some(limit), Some(delta)) = (one(0), one(1), one(2)) else { return Ok(None) };
            vec![((limit - start) / delta).ceil().max(0.0)]
        }
        _ => return Ok(None),
    };
    Ok(Some(Constant { dims, values: None }))
}

/// The longer of both lengths of each axis, counted from the last one.
fn broadcast(data: &[f64], lengths: &[f64]) -> Vec<f64> {
    let axes = data.len().max(lengths.len());
    let length = |of: &[f64], axis: usize| (axis + of.len()).checked_sub(axes).map_or(1.0, |axis| of[axis]);
    (0..axes).map(|axis| length(data, axis).max(length(lengths, axis))).collect()
}

/// What a `Constant` holds.
fn stated(node: &Node<'_>) -> Option<Constant> {
    if let Some(tensor) = node.tensors.first() {
        return Some(constant(tensor));
    }
    if let Some((_, value)) = node.ints.iter().find(|(name, _)| *name == "value_int") {
        return Some(Constant { dims: Vec::new(), values: Some(vec![*value as f64]) });
    }
    let (_, list) = node.lists.iter().find(|(name, _)| *name == "value_ints")?;
    let values: Vec<f64> = list.iter().map(|&value| value as f64).collect();
    Some(Constant { dims: vec![values.len() as f64], values: Some(values) })
}

fn constant(tensor: &Tensor<'_>) -> Constant {
    let dims: Vec<f64> = tensor.dims.iter().map(|&length| length as f64).collect();
    let few = dims.iter().product::<f64>() <= MOST_READ;
    let values = if few && tensor.external.is_empty() { values(tensor) } else { None };
    Constant { dims, values }
}

/// The values of a tensor that was checked: as many as it declares, and no NaN.
fn values(tensor: &Tensor<'_>) -> Option<Vec<f64>> {
    let element = ElementType::from_code(tensor.element?)?;
    if let Some((store @ (Store::Int32 | Store::Int64), mut packed)) = tensor.typed {
        let mut values = Vec::new();
        while !packed.is_empty() {
            let value = decode_varint(&mut packed).ok()?;
            values.push(if store == Store::Int32 { f64::from(value as i32) } else { value as i64 as f64 });
        }
        return Some(values);
    }
    let bytes = tensor.typed.map(|(_, packed)| packed).or(tensor.raw).unwrap_or_default();
    let eight = || bytes.chunks_exact(8).filter_map(|value| value.try_into().ok());
    let four = || bytes.chunks_exact(4).filter_map(|value| value.try_into().ok());
    let two = || bytes.chunks_exact(2).filter_map(|value| value.try_into().ok());
    Some(match element {
        ElementType::I64 => eight().map(|value| i64::from_le_bytes(value) as f64).collect(),
        ElementType::F64 => eight().map(f64::from_le_bytes).collect(),
        ElementType::I32 => four().map(|value| f64::from(i32::from_le_bytes(value))).collect(),
        ElementType::F32 => four().map(|value| f64::from(f32::from_le_bytes(value))).collect(),
        ElementType::I16 => two().map(|value| f64::from(i16::from_le_bytes(value))).collect(),
        _ => return None,
    })
}
