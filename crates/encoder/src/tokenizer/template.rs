//! What stands around a text, and around two, in the rows of a model: read off the tokenizer's post-processor.

use tokenizers::{Encoding, Tokenizer};

/// Ids around one text and around a pair.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Template {
    /// Ids before a single text.
    pub(crate) prefix: Vec<u32>,
    /// Ids after a single text.
    pub(crate) suffix: Vec<u32>,
    /// Ids around two texts, with the type of each.
    pub(crate) pair: PairTemplate,
}

/// Ids before, between and behind two texts, each with its token type, and the types of the texts themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PairTemplate {
    pub(crate) before: Vec<(u32, u8)>,
    pub(crate) first_type: u8,
    pub(crate) between: Vec<(u32, u8)>,
    pub(crate) second_type: u8,
    pub(crate) after: Vec<(u32, u8)>,
}

impl PairTemplate {
    /// Ids that a pair's row has beside its texts.
    pub(crate) fn special_tokens(&self) -> usize {
        self.before.len() + self.between.len() + self.after.len()
    }
}

impl Template {
    /// Reads the template off texts that are certain to give a token each.
    ///
    /// # Errors
    /// A message, when the tokenizer fails or puts texts where no row of `prefix text between text suffix` has them.
    pub(crate) fn of(tokenizer: &Tokenizer) -> Result<Self, String> {
        let single = tokenizer.encode("a", true).map_err(|error| error.to_string())?;
        let Some((first, last)) = places(&single, 0) else {
            return Err("it gives no token for the letter a".to_owned());
        };
        let ids = single.get_ids();
        let pair = tokenizer.encode(("a", "a"), true).map_err(|error| error.to_string())?;
        Ok(Self { prefix: ids[..first].to_vec(), suffix: ids[last + 1..].to_vec(), pair: pair_template(&pair)? })
    }
}

fn pair_template(pair: &Encoding) -> Result<PairTemplate, String> {
    let (Some((first, first_last)), Some((second, second_last))) = (places(pair, 0), places(pair, 1)) else {
        return Err("it gives no tokens for a pair of texts".to_owned());
    };
    if second <= first_last {
        return Err("it puts the second text of a pair before the first".to_owned());
    }
    let typed: Vec<(u32, u8)> =
        pair.get_ids().iter().zip(pair.get_type_ids()).map(|(&id, &kind)| (id, u8::from(kind != 0))).collect();
    Ok(PairTemplate {
        before: typed[..first].to_vec(),
        first_type: typed[first].1,
        between: typed[first_last + 1..second].to_vec(),
        second_type: typed[second].1,
        after: typed[second_last + 1..].to_vec(),
    })
}

/// Places of the first and last token of a text in a row.
fn places(encoding: &Encoding, sequence: usize) -> Option<(usize, usize)> {
    let special = encoding.get_special_tokens_mask();
    // A post-processor that marks no sequences, or a tokenizer without one: then all is the first text.
    let sequences = encoding.get_sequence_ids();
    let belongs = |place: usize| special[place] == 0 && sequences[place].unwrap_or(0) == sequence;
    let first = (0..special.len()).find(|&place| belongs(place))?;
    let last = (0..special.len()).rfind(|&place| belongs(place))?;
    Some((first, last))
}
