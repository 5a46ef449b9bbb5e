//! The prompts of a card as ids, and the words by which people name them.

use berth_types::ModelCard;

use crate::{Error, Prompt, TextTokenizer};

/// Names that every model has, whatever its card calls its prompts.
const COMMON: [(&str, Prompt); 3] = [("query", Prompt::Query), ("passage", Prompt::Passage), ("none", Prompt::None)];

/// Ids of each prompt of a card.
pub(crate) struct PromptIds {
    query: Vec<u32>,
    passage: Vec<u32>,
    /// In the order of their names.
    named: Vec<(String, Vec<u32>)>,
}

impl PromptIds {
    /// # Errors
    /// `Tokenize`.
    pub(crate) fn of(card: &ModelCard, tokenizer: &TextTokenizer) -> Result<Self, Error> {
        let ids = |text: &String| Ok::<_, Error>(tokenizer.tokenize(text)?.ids);
        let named = card.prompts.named.iter().map(|(name, text)| Ok((name.clone(), ids(text)?)));
        Ok(Self {
            query: ids(&card.prompts.query)?,
            passage: ids(&card.prompts.passage)?,
            named: named.collect::<Result<_, Error>>()?,
        })
    }

    pub(crate) fn ids(&self, prompt: Prompt) -> &[u32] {
        match prompt {
            Prompt::Query => &self.query,
            Prompt::Passage => &self.passage,
            Prompt::Named(place) => self.named.get(place).map_or(&[], |(_, ids)| ids),
            Prompt::None => &[],
        }
    }

    /// The prompt that goes by `name`; where there is none, the names that are known.
    pub(crate) fn find(&self, name: &str) -> Result<Prompt, Vec<String>> {
        if let Some(&(_, prompt)) = COMMON.iter().find(|(common, _)| *common == name) {
            return Ok(prompt);
        }
        if let Some(place) = self.named.iter().position(|(named, _)| named == name) {
            return Ok(Prompt::Named(place));
        }
        let common = COMMON.map(|(common, _)| common.to_owned());
        let own = self.named.iter().map(|(named, _)| named.clone()).filter(|named| !common.contains(named));
        Err(common.iter().cloned().chain(own).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_go_by_their_names_and_unknown_ones_are_told_which_there_are() {
        let named = [("clustering", vec![7]), ("query", vec![8])].map(|(name, ids)| (name.to_owned(), ids)).to_vec();
        let prompts = PromptIds { query: vec![1], passage: vec![2], named };
        let ids = |name: &str| prompts.find(name).map(|prompt| prompts.ids(prompt).to_vec());
        assert_eq!(ids("query"), Ok(vec![1]));
        assert_eq!(ids("passage"), Ok(vec![2]));
        assert_eq!(ids("none"), Ok(vec![]));
        assert_eq!(ids("clustering"), Ok(vec![7]));
        assert_eq!(ids("Query").unwrap_err(), ["query", "passage", "none", "clustering"]);
    }
}
