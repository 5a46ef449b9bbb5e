//! Attention weights: how much each token of a row looks at each other one, layer by layer and head by head.

use crate::{Error, Tensor};

/// Weights of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerAttention {
    /// Number of the layer, from 0.
    pub layer: usize,
    /// Tokens in the row, special ones included.
    pub tokens: usize,
    /// For each head `tokens × tokens` weights; a line is one token's looking, and sums to 1.
    pub heads: Vec<Vec<f32>>,
}

/// Reads the outputs of head `attention`, each `[heads, tokens, tokens]`, whose numbers are `layers`.
///
/// # Errors
/// `Run` when a tensor has another shape.
pub fn layer_attention(tensors: Vec<Tensor>, layers: &[usize]) -> Result<Vec<LayerAttention>, Error> {
    let read = |(number, tensor): (usize, Tensor)| {
        let layer = layers.get(number).copied().unwrap_or(number);
        match tensor.shape[..] {
            [heads, tokens, again] if tokens == again && tensor.values.len() == heads * tokens * tokens => {
                let heads = match tokens {
                    0 => vec![Vec::new(); heads],
                    _ => tensor.values.chunks_exact(tokens * tokens).map(<[f32]>::to_vec).collect(),
                };
                Ok(LayerAttention { layer, tokens, heads })
            }
            _ => {
                let message = format!("layer {layer} gave shape {:?}, not [heads, tokens, tokens]", tensor.shape);
                Err(Error::Run { tokens: tensor.shape.last().copied().unwrap_or(0), message })
            }
        }
    };
    tensors.into_iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_told_apart() {
        let tensor = Tensor { shape: vec![2, 2, 2], values: vec![1.0, 0.0, 0.5, 0.5, 0.0, 1.0, 0.25, 0.75] };
        let layers = layer_attention(vec![tensor], &[3]).unwrap();
        assert_eq!((layers[0].layer, layers[0].tokens), (3, 2));
        assert_eq!(layers[0].heads[1], [0.0, 1.0, 0.25, 0.75]);
        let flat = Tensor { shape: vec![2, 2], values: vec![0.0; 4] };
        assert!(layer_attention(vec![flat], &[]).unwrap_err().to_string().contains("[2, 2]"));
    }
}
