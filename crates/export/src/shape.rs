//! What `config.json` says of an encoder: its family and its sizes.

use std::path::Path;

use crate::Error;
use crate::config::Fields;
use crate::family::Family;
use crate::modern::Modern;

/// Values of `position_embedding_type` that can be exported.
const POSITIONS: &[&str] = &["absolute"];
/// What `is_decoder` and `add_cross_attention` must be.
const ENCODER: &[&str] = &["false"];
/// No published encoder comes near these; beyond them a file is damaged, and sizes could overflow.
const LARGEST_WIDTH: usize = 1 << 17;
const LARGEST_TABLE: usize = 1 << 24;
const MOST_LAYERS: usize = 1 << 10;
/// Values in a table of rotary positions, which is made from the configuration alone: 131,072 positions (the longest
/// published encoder reads 8,192) of heads 256 wide.
const MOST_ROTATIONS: usize = 1 << 25;

/// The sizes of an encoder with absolute positions and a norm after each half of a layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub(crate) family: Family,
    /// Width of the states.
    pub(crate) hidden: usize,
    /// Width of the embedding tables; another one than `hidden` where a projection lies between.
    pub(crate) embedding: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) intermediate: usize,
    pub(crate) vocabulary: usize,
    /// Rows of the position table.
    pub(crate) position_rows: usize,
    /// Row of the first token.
    pub(crate) position_offset: usize,
    /// Rows of the token-type table; 0 where there is none.
    pub(crate) token_types: usize,
    pub(crate) epsilon: f32,
    pub(crate) activation: Activation,
    /// Sets of weights that layers share, each with `inner_layers` layers; none where every layer has its own.
    pub(crate) sharing: Option<Sharing>,
    /// Buckets of the relative position bias (MPNet).
    pub(crate) relative_buckets: Option<usize>,
    /// What only ModernBERT has.
    pub(crate) modern: Option<Modern>,
}

/// How layers share weights (ALBERT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sharing {
    pub(crate) groups: usize,
    pub(crate) inner_layers: usize,
}

/// A nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// With the error function.
    Gelu,
    /// With the hyperbolic tangent.
    GeluTanh,
    /// Zero below zero.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// `x · sigmoid(x)`.
    Silu,
}

impl Activation {
    /// Names under which `config.json` may ask for one.
    pub(crate) const NAMES: &'static [&'static str] =
        &["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish"];

    fn named(name: &str) -> Self {
        match name {
            "gelu_new" | "gelu_pytorch_tanh" => Self::GeluTanh,
            "relu" => Self::Relu,
            "silu" | "swish" => Self::Silu,
            _ => Self::Gelu,
        }
    }

    /// Reads the field `field`; `otherwise` where it is absent.
    pub(crate) fn read(fields: &Fields, field: &'static str, otherwise: Self) -> Result<Self, Error> {
        let Some(name) = fields.word(field)? else { return Ok(otherwise) };
        fields.one_of(field, &name, Self::NAMES)?;
        Ok(Self::named(&name))
    }
}

impl Shape {
    /// Reads and checks `config.json`.
    ///
    /// # Errors
    /// `FileMissing`, `Read`, `ConfigSyntax`, `ConfigMissing`, `ConfigValue` or `Unsupported`, each naming the file.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        Self::check(&Fields::read(path)?)
    }

    /// Takes the sizes out of `fields`.
    ///
    /// # Errors
    /// As [`Shape::read`].
    pub(crate) fn check(fields: &Fields) -> Result<Self, Error> {
        // The kind comes first: the other fields mean nothing in a model of another kind.
        let family = Family::read(fields)?;
        if let Some(kind) = fields.word("position_embedding_type")? {
            fields.one_of("position_embedding_type", &kind, POSITIONS)?;
        }
        for field in ["is_decoder", "add_cross_attention"] {
            if let Some(value) = fields.present(field) {
                fields.one_of(field, &value.to_string(), ENCODER)?;
            }
        }
        let keys = family.keys();
        let hidden = fields.size(keys.hidden, LARGEST_WIDTH)?;
        let factorised = matches!(family, Family::Albert | Family::Electra);
        let heads = fields.size(keys.heads, LARGEST_WIDTH)?;
        if !hidden.is_multiple_of(heads) {
            let expected = format!("a multiple of {}, which is {heads}", keys.heads);
            return Err(fields.wrong(keys.hidden, expected));
        }
        let layers = fields.size(keys.layers, MOST_LAYERS)?;
        let default_activation = if family == Family::Albert { Activation::GeluTanh } else { Activation::Gelu };
        if family == Family::ModernBert && !(hidden / heads).is_multiple_of(2) {
            return Err(fields.wrong(keys.heads, "heads of an even width, since rotary positions turn pairs"));
        }
        let shape = Self {
            family,
            hidden,
            embedding: if factorised { fields.size_or("embedding_size", LARGEST_WIDTH, 128)? } else { hidden },
            layers,
            heads,
            intermediate: fields.size(keys.intermediate, LARGEST_WIDTH)?,
            vocabulary: fields.size("vocab_size", LARGEST_TABLE)?,
            position_rows: fields.size("max_position_embeddings", LARGEST_TABLE)?,
            position_offset: Self::position_offset(family, fields)?,
            token_types: if family.has_token_types() { fields.size("type_vocab_size", LARGEST_TABLE)? } else { 0 },
            epsilon: fields.epsilon(keys.epsilon, if family == Family::ModernBert { 1e-5 } else { 1e-12 })?,
            activation: Activation::read(fields, keys.activation, default_activation)?,
            sharing: if family == Family::Albert { Some(Self::sharing(fields, layers)?) } else { None },
            relative_buckets: match family {
                Family::Mpnet => Some(Self::relative_buckets(fields)?),
                _ => None,
            },
            modern: match family {
                Family::ModernBert => Some(Modern::read(fields, layers)?),
                _ => None,
            },
        };
        let rotations = shape.position_rows.saturating_mul(hidden / heads);
        if family == Family::ModernBert && rotations > MOST_ROTATIONS {
            let expected =
                format!("at most {} with heads of width {}", MOST_ROTATIONS * heads / hidden, hidden / heads);
            return Err(fields.wrong("max_position_embeddings", expected));
        }
        if shape.position_offset >= shape.position_rows {
            let expected = format!("more than the {} rows before the first token's", shape.position_offset);
            return Err(fields.wrong("max_position_embeddings", expected));
        }
        Ok(shape)
    }

    /// Most tokens of a row.
    pub(crate) fn max_tokens(&self) -> usize {
        self.position_rows - self.position_offset
    }

    /// RoBERTa and its kin count positions from the row after that of the padding token.
    fn position_offset(family: Family, fields: &Fields) -> Result<usize, Error> {
        match family {
            Family::Roberta => Ok(fields.whole_or("pad_token_id", LARGEST_TABLE, 1)? + 1),
            // MPNet's code has the padding row written in, whatever the configuration says.
            Family::Mpnet => Ok(2),
            _ => Ok(0),
        }
    }

    /// Half of the buckets are for each side, and half of those for single distances.
    fn relative_buckets(fields: &Fields) -> Result<usize, Error> {
        let buckets = fields.size_or("relative_attention_num_buckets", 1 << 10, 32)?;
        if buckets < 4 || !buckets.is_multiple_of(2) {
            return Err(fields.wrong("relative_attention_num_buckets", "an even number from 4 to 1024"));
        }
        Ok(buckets)
    }

    fn sharing(fields: &Fields, layers: usize) -> Result<Sharing, Error> {
        let groups = fields.size_or("num_hidden_groups", MOST_LAYERS, 1)?;
        let inner_layers = fields.size_or("inner_group_num", MOST_LAYERS, 1)?;
        if groups > layers {
            return Err(fields.wrong("num_hidden_groups", format!("at most num_hidden_layers, which is {layers}")));
        }
        Ok(Sharing { groups, inner_layers })
    }
}
