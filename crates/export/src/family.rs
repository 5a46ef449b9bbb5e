//! The families of encoders, and what their checkpoints call things.

use crate::Error;
use crate::config::Fields;

/// Values of `model_type` that can be exported.
pub(crate) const MODEL_TYPES: &[&str] =
    &["bert", "roberta", "xlm-roberta", "camembert", "distilbert", "albert", "electra", "mpnet", "modernbert"];

/// A family of encoders whose checkpoints agree in names and arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Bert,
    /// RoBERTa, XLM-RoBERTa and CamemBERT.
    Roberta,
    DistilBert,
    Albert,
    Electra,
    Mpnet,
    ModernBert,
}

/// Fields of `config.json` that hold the sizes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    pub(crate) hidden: &'static str,
    pub(crate) layers: &'static str,
    pub(crate) heads: &'static str,
    pub(crate) intermediate: &'static str,
    pub(crate) activation: &'static str,
    pub(crate) epsilon: &'static str,
}

const KEYS: Keys = Keys {
    hidden: "hidden_size",
    layers: "num_hidden_layers",
    heads: "num_attention_heads",
    intermediate: "intermediate_size",
    activation: "hidden_act",
    epsilon: "layer_norm_eps",
};
const DISTIL_KEYS: Keys = Keys {
    hidden: "dim",
    layers: "n_layers",
    heads: "n_heads",
    intermediate: "hidden_dim",
    activation: "activation",
    ..KEYS
};

const MODERN_KEYS: Keys = Keys { activation: "hidden_activation", epsilon: "norm_eps", ..KEYS };

/// What a layer's tensors are called, without `.weight` and `.bias`.
#[derive(Debug, Clone)]
pub(crate) struct LayerNames {
    /// Query, key and value.
    pub(crate) inputs: [String; 3],
    pub(crate) attended: String,
    pub(crate) attention_norm: String,
    pub(crate) wide: String,
    pub(crate) narrow: String,
    pub(crate) norm: String,
}

impl Family {
    /// Reads `model_type`.
    ///
    /// # Errors
    /// `ConfigMissing` or `Unsupported`.
    pub(crate) fn read(fields: &Fields) -> Result<Self, Error> {
        let model_type = fields.word("model_type")?.ok_or_else(|| fields.missing("model_type"))?;
        fields.one_of("model_type", &model_type, MODEL_TYPES)?;
        Ok(match model_type.as_str() {
            "roberta" | "xlm-roberta" | "camembert" => Self::Roberta,
            "distilbert" => Self::DistilBert,
            "albert" => Self::Albert,
            "electra" => Self::Electra,
            "mpnet" => Self::Mpnet,
            "modernbert" => Self::ModernBert,
            _ => Self::Bert,
        })
    }

    pub(crate) fn keys(self) -> Keys {
        match self {
            Self::DistilBert => DISTIL_KEYS,
            Self::ModernBert => MODERN_KEYS,
            _ => KEYS,
        }
    }

    pub(crate) fn has_token_types(self) -> bool {
        !matches!(self, Self::DistilBert | Self::Mpnet | Self::ModernBert)
    }

    /// Name of the word table, by which the prefix of all names is found too.
    pub(crate) fn word_table(self) -> &'static str {
        match self {
            Self::ModernBert => "embeddings.tok_embeddings.weight",
            _ => "embeddings.word_embeddings.weight",
        }
    }

    /// Name of the projection between embeddings and layers, where widths differ or the family always has one.
    pub(crate) fn projection(self, widths_differ: bool) -> Option<&'static str> {
        match self {
            Self::Albert => Some("encoder.embedding_hidden_mapping_in"),
            Self::Electra if widths_differ => Some("embeddings_project"),
            _ => None,
        }
    }

    /// Folder of names that numbers the layers.
    pub(crate) fn layers(self) -> &'static str {
        match self {
            Self::DistilBert => "transformer.layer",
            Self::Albert => "encoder.albert_layer_groups",
            Self::ModernBert => "layers",
            _ => "encoder.layer",
        }
    }

    /// Names of the layer at `at`, such as `encoder.layer.0`.
    pub(crate) fn layer(self, at: &str) -> LayerNames {
        let names = |parts: [&str; 8]| {
            let [query, key, value, attended, attention_norm, wide, narrow, norm] =
                parts.map(|part| format!("{at}.{part}"));
            LayerNames { inputs: [query, key, value], attended, attention_norm, wide, narrow, norm }
        };
        match self {
            // ModernBERT has other parts, which its own builder names.
            Self::Bert | Self::Roberta | Self::Electra | Self::ModernBert => names([
                "attention.self.query",
                "attention.self.key",
                "attention.self.value",
                "attention.output.dense",
                "attention.output.LayerNorm",
                "intermediate.dense",
                "output.dense",
                "output.LayerNorm",
            ]),
            Self::DistilBert => names([
                "attention.q_lin",
                "attention.k_lin",
                "attention.v_lin",
                "attention.out_lin",
                "sa_layer_norm",
                "ffn.lin1",
                "ffn.lin2",
                "output_layer_norm",
            ]),
            Self::Albert => names([
                "attention.query",
                "attention.key",
                "attention.value",
                "attention.dense",
                "attention.LayerNorm",
                "ffn",
                "ffn_output",
                "full_layer_layer_norm",
            ]),
            Self::Mpnet => names([
                "attention.attn.q",
                "attention.attn.k",
                "attention.attn.v",
                "attention.attn.o",
                "attention.LayerNorm",
                "intermediate.dense",
                "output.dense",
                "output.LayerNorm",
            ]),
        }
    }
}
