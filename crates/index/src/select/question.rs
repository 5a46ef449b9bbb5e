//! What a query means: the words that it is ranked by, and what its operators let through.
//!
//! A query in plain words is ranked by its words and lets everything through. Of one with operators, the words that are
//! not excluded rank the documents, in the lexical half as words always do, in the dense half as a text without
//! operators. Beside that it lets through, in the lexical half, the documents that match it, and in both halves
//! those that fulfil what it demands: what has a `+`, a `-`, `NOT` or a field's name, and otherwise what consists of `AND` and
//! of phrases.

use super::condition::{Condition, Meaning, Names};
use super::words::{Place, Words};
use crate::analysis::{self, Analyses};
use crate::highlight::Open;
use crate::lexical::{Asked, plain_words};
use crate::query_language::{self, LanguageFault, Leaf, Node, Sought};
use crate::synonyms::Synonym;

/// A query as it is understood.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Question {
    /// What it says without operators, for a model to read and to mark in texts. As typed where it has none.
    pub text: String,
    /// What the reader should know: that it was taken for plain words, for instance.
    pub warnings: Vec<String>,
    /// What BM25 of the title adds for its words, a share of 1 as much as elsewhere; 0: nothing.
    pub title_boost: f32,
    /// The words that rank.
    pub(crate) words: Vec<Asked>,
    /// What it asks for beside its own words.
    pub synonyms: Vec<Synonym>,
    /// What words are expanded to, and whether in the title.
    pub(crate) open: Vec<Words>,
    /// None where the words themselves say what matches.
    pub(crate) operators: Option<Operators>,
}

/// What the operators of a query let through.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Operators {
    /// In the lexical half.
    pub(crate) matches: Condition,
    /// In both halves; none: everything.
    pub(crate) demands: Option<Condition>,
    /// Where all of it is words: a document is shown by an entry that has some of them.
    pub(crate) words: Option<Vec<Words>>,
}

impl Question {
    /// Understands a query. Nothing that can be typed is an error.
    pub(crate) fn of(text: &str, names: Names<'_>) -> Self {
        let is_field = |name: &str| name == "title" || names.fields.contains_key(name);
        let understood = query_language::query(text, &is_field).and_then(|node| match node {
            Some(node) => with_operators(&node, names),
            None => Ok(None),
        });
        match understood {
            Ok(Some(question)) => question,
            Ok(None) => Self::plain(text, names.analyses, Vec::new()),
            Err(fault) => {
                Self::plain(text, names.analyses, vec![format!("the query is taken for plain words: {fault}")])
            }
        }
    }

    fn plain(text: &str, analyses: &Analyses, warnings: Vec<String>) -> Self {
        Self { warnings, words: plain_words(text, analyses), text: text.to_owned(), ..Self::default() }
    }

    /// What is painted for words that are not spelt out.
    pub(crate) fn open_words(&self) -> Vec<Open> {
        self.open.iter().filter_map(Words::painted).collect()
    }

    /// Whether it is more than plain words.
    pub fn has_operators(&self) -> bool {
        self.operators.is_some()
    }

    /// The words to mark in texts: its own, and those of synonyms.
    pub fn marked(&self) -> String {
        let synonyms = self.synonyms.iter().map(|synonym| synonym.words.as_str());
        std::iter::once(self.text.as_str()).chain(synonyms).collect::<Vec<_>>().join(" ")
    }

    /// The words of the question beside which a term stands that it asks for as a synonym alone; `term` as
    /// [`TermScore`](crate::TermScore) names it.
    pub fn synonym_of(&self, term: &str) -> Option<&str> {
        let (in_title, term) = term.strip_prefix("title:").map_or((false, term), |term| (true, term));
        let has = |word: &&Asked| word.in_title == in_title && word.forms.iter().any(|form| form == term);
        let is_typed = self.words.iter().filter(has).any(|word| !word.is_synonym);
        let mut synonyms = self.synonyms.iter().filter(|_| !is_typed);
        let is_of =
            |synonym: &&Synonym| synonym.in_title == in_title && synonym.terms.iter().flatten().any(|of| of == term);
        synonyms.find(is_of).map(|synonym| synonym.of.as_str())
    }

    /// Whether there are words to rank by.
    pub fn has_words(&self) -> bool {
        self.text.chars().any(char::is_alphanumeric)
    }
}

/// None where there is nothing in it to look for.
fn with_operators(node: &Node, names: Names<'_>) -> Result<Option<Question>, LanguageFault> {
    let mut question = Question::default();
    let mut words = Some(Vec::new());
    collect(node, names, &mut question, &mut words)?;
    let matches = matching(node, names, false)?;
    if matches == Condition::And(Vec::new()) {
        return Ok(None);
    }
    let words = words.filter(|words| !words.is_empty());
    question.operators = Some(Operators { matches, demands: demanded(node, names)?, words });
    Ok(Some(question))
}

/// Gathers the words that rank. `words` becomes none where a field's values match, too.
fn collect(
    node: &Node,
    names: Names<'_>,
    question: &mut Question,
    words: &mut Option<Vec<Words>>,
) -> Result<(), LanguageFault> {
    match node {
        Node::Not(_) => Ok(()),
        Node::Required(node) => collect(node, names, question, words),
        Node::And(nodes) | Node::Or(nodes) | Node::List(nodes) => {
            nodes.iter().try_for_each(|node| collect(node, names, question, words))
        }
        Node::Leaf(leaf) => {
            let place = match &leaf.field {
                None => Place::Body,
                Some(name) if names.meaning(name)? == Meaning::Title => Place::Title,
                Some(_) => {
                    *words = None;
                    return Ok(());
                }
            };
            let (Sought::Word(text) | Sought::Phrase(text) | Sought::Prefix(text) | Sought::Fuzzy(text, _)) =
                &leaf.value
            else {
                return Ok(());
            };
            if !question.text.is_empty() {
                question.text.push(' ');
            }
            question.text.push_str(text);
            let in_title = place == Place::Title;
            // What a word stands for counts as one word.
            let open = Words::sought(place.clone(), &leaf.value, true, names.analyses);
            let ranking = analysis::words(text, names.analyses);
            if open.painted().is_some() {
                question.open.push(open);
            } else {
                question.words.extend(ranking.iter().map(|word| Asked {
                    in_title,
                    forms: word.distinct(),
                    is_synonym: false,
                }));
            }
            if let Some(words) = words {
                let is_phrase = matches!(leaf.value, Sought::Phrase(_));
                words.push(Words::sought(place, &leaf.value, is_phrase, names.analyses));
            }
            Ok(())
        }
    }
}

/// What the clauses of a list are.
#[derive(Default)]
struct Clauses<'a> {
    /// With `+`.
    required: Vec<&'a Node>,
    /// A field's value.
    values: Vec<&'a Node>,
    /// With `-` or NOT.
    excluded: Vec<&'a Node>,
    others: Vec<&'a Node>,
}

impl<'a> Clauses<'a> {
    fn of(nodes: &'a [Node]) -> Self {
        let mut clauses = Self::default();
        for node in nodes {
            match node {
                Node::Required(node) => clauses.required.push(node),
                Node::Not(_) => clauses.excluded.push(node),
                node if is_value(node) => clauses.values.push(node),
                node => clauses.others.push(node),
            }
        }
        clauses
    }
}

/// Whether a clause is of fields only, titles left out, whose words rank.
fn is_value(node: &Node) -> bool {
    match node {
        Node::Leaf(Leaf { field, .. }) => field.as_ref().is_some_and(|name| name != "title"),
        Node::Required(node) | Node::Not(node) => is_value(node),
        Node::And(nodes) | Node::Or(nodes) | Node::List(nodes) => nodes.iter().all(is_value),
    }
}

/// Whether a clause that has no sign is demanded all the same: conjunctions, and what is phrases or has a field in it.
fn is_demanding(node: &Node) -> bool {
    match node {
        Node::Leaf(Leaf { field, value }) => {
            matches!(value, Sought::Phrase(_)) || field.as_ref().is_some_and(|name| name != "title")
        }
        Node::And(_) | Node::Not(_) | Node::Required(_) => true,
        Node::Or(nodes) => nodes.iter().all(is_demanding) || nodes.iter().any(is_value),
        Node::List(nodes) => nodes.iter().all(is_demanding),
    }
}

/// What matches. Of the clauses of a list one without a sign has to, unless there is one with `+`.
fn matching(node: &Node, names: Names<'_>, strict: bool) -> Result<Condition, LanguageFault> {
    let each =
        |nodes: &[Node], strict| nodes.iter().map(|node| matching(node, names, strict)).collect::<Result<_, _>>();
    match node {
        Node::Leaf(leaf) => names.leaf(leaf, strict),
        Node::And(nodes) => Ok(Condition::And(each(nodes, true)?)),
        Node::Or(nodes) => Ok(Condition::Or(each(nodes, strict)?)),
        Node::Not(node) => Ok(Condition::Not(Box::new(matching(node, names, true)?))),
        Node::Required(node) => matching(node, names, true),
        Node::List(nodes) => {
            let clauses = Clauses::of(nodes);
            let mut all = signed(&clauses, names)?;
            if clauses.required.is_empty() && !clauses.others.is_empty() {
                let others = clauses.others.iter().map(|node| matching(node, names, strict));
                all.push(Condition::Or(others.collect::<Result<_, _>>()?));
            }
            Ok(Condition::And(all))
        }
    }
}

/// The clauses that hold whatever the others say.
fn signed(clauses: &Clauses<'_>, names: Names<'_>) -> Result<Vec<Condition>, LanguageFault> {
    let nodes = clauses.required.iter().chain(&clauses.values).chain(&clauses.excluded);
    nodes.map(|node| matching(node, names, true)).collect()
}

/// What has to hold in both halves.
fn demanded(node: &Node, names: Names<'_>) -> Result<Option<Condition>, LanguageFault> {
    let Node::List(nodes) = node else {
        return if is_demanding(node) { matching(node, names, true).map(Some) } else { Ok(None) };
    };
    let clauses = Clauses::of(nodes);
    let mut all = signed(&clauses, names)?;
    if clauses.required.is_empty() {
        if let [Node::List(_)] = clauses.others[..] {
            all.extend(demanded(clauses.others[0], names)?);
        } else if !clauses.others.is_empty() && clauses.others.iter().all(|node| is_demanding(node)) {
            let others = clauses.others.iter().map(|node| matching(node, names, false));
            all.push(Condition::Or(others.collect::<Result<_, _>>()?));
        }
    }
    Ok(if all.is_empty() { None } else { Some(Condition::And(all)) })
}
