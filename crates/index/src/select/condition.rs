//! What a filter demands, once its names and values are understood.

use std::fmt::Write;
use std::ops::{Bound, RangeInclusive};

use berth_types::FieldKind;

use super::words::{Place, Shape, Words};
use crate::analysis::Analyses;
use crate::fields::Moment;
use crate::lexical::Asked;
use crate::query_language::{LanguageFault, Leaf, Node, Sought};
use crate::schema::{column, column_name};
use crate::{FieldKinds, analysis};

/// What a document has to be to be let through.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Column { name: String, values: Values },
    Words(Words),
}

/// Values of a column, of which a document has to have one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    /// Any, of this kind.
    Any(FieldKind),
    Word(String),
    Prefix(String),
    Words(Bound<String>, Bound<String>),
    Integers(RangeInclusive<i64>),
    Floats(RangeInclusive<f64>),
    Boolean(bool),
}

/// What a name means in an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    Title,
    /// A column, and how many of its units are a microsecond where it holds dates.
    Column {
        name: String,
        kind: FieldKind,
        units: i64,
    },
}

/// The names that an index knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) fields: &'a FieldKinds,
    /// Whether the index can have metadata fields.
    pub(crate) has_fields: bool,
    /// How its texts are analysed.
    pub(crate) analyses: &'a Analyses,
}

impl Names<'_> {
    /// A metadata field comes before what every document has.
    pub(crate) fn meaning(&self, name: &str) -> Result<Meaning, LanguageFault> {
        if let Some(&kind) = self.fields.get(name) {
            return Ok(Meaning::Column { name: column_name(name), kind, units: 1 });
        }
        let own = |name: &str, kind, units| Ok(Meaning::Column { name: name.to_owned(), kind, units });
        match name {
            "title" => Ok(Meaning::Title),
            "id" => own(column::ID, FieldKind::Keyword, 1),
            "source" => own(column::FILE, FieldKind::Keyword, 1),
            "modified" => own(column::MODIFIED_NS, FieldKind::Date, 1000),
            "language" if self.has_fields => own(column::LANGUAGE, FieldKind::Keyword, 1),
            _ if self.has_fields => Err(LanguageFault::UnknownField { name: name.to_owned(), known: self.known() }),
            _ => Err(LanguageFault::NoFields { name: name.to_owned() }),
        }
    }

    fn known(&self) -> String {
        let mut known = String::new();
        for (name, kind) in self.fields {
            // Writing to a string cannot fail.
            let _ = write!(known, "{name} ({kind}), ");
        }
        known + "and of every document title, id, source, modified and language"
    }

    /// What a filter demands: all of its clauses.
    pub(crate) fn filter(&self, node: &Node) -> Result<Condition, LanguageFault> {
        let all = |nodes: &[Node]| nodes.iter().map(|node| self.filter(node)).collect::<Result<Vec<_>, _>>();
        match node {
            Node::Leaf(leaf) => self.leaf(leaf, true),
            Node::And(nodes) | Node::List(nodes) => Ok(Condition::And(all(nodes)?)),
            Node::Or(nodes) => Ok(Condition::Or(all(nodes)?)),
            Node::Not(node) => Ok(Condition::Not(Box::new(self.filter(node)?))),
            Node::Required(node) => self.filter(node),
        }
    }

    /// A leaf; in the text one of a word's terms is enough unless it is `strict`, then they stand side by side.
    pub(crate) fn leaf(&self, Leaf { field, value }: &Leaf, strict: bool) -> Result<Condition, LanguageFault> {
        let Some(field) = field else {
            return Ok(Condition::Words(Words::sought(Place::Body, value, strict, self.analyses)));
        };
        match self.meaning(field)? {
            Meaning::Title => match value {
                Sought::Range(..) | Sought::Anything => Err(LanguageFault::WrongValue {
                    field: field.clone(),
                    kind: FieldKind::Text,
                    value: value.to_string(),
                    needed: "neither a word, a phrase nor a prefix, such as title:word, title:\"two words\" or title:wor*",
                }),
                _ => Ok(Condition::Words(Words::sought(Place::Title, value, strict, self.analyses))),
            },
            Meaning::Column { name, kind, units } => {
                let wrong =
                    |needed| LanguageFault::WrongValue { field: field.clone(), kind, value: value.to_string(), needed };
                if kind == FieldKind::Text && !matches!(value, Sought::Anything) {
                    return match value {
                        Sought::Range(..) | Sought::Fuzzy(..) => {
                            Err(wrong("neither a word, a \"phrase\" nor a prefix*"))
                        }
                        _ => {
                            let place = Place::Field(field.clone());
                            Ok(Condition::Words(Words::sought(place, value, strict, self.analyses)))
                        }
                    };
                }
                let values = values(kind, value, units).map_err(wrong)?;
                Ok(Condition::Column { name, values })
            }
        }
    }
}

/// Values of a column of this kind; what is wrong with the value otherwise.
fn values(kind: FieldKind, value: &Sought, units: i64) -> Result<Values, &'static str> {
    if let Sought::Anything = value {
        return Ok(Values::Any(kind));
    }
    match (kind, value) {
        (FieldKind::Keyword, Sought::Word(word) | Sought::Phrase(word)) => Ok(Values::Word(word.clone())),
        (FieldKind::Keyword, Sought::Prefix(prefix)) => Ok(Values::Prefix(prefix.clone())),
        (FieldKind::Keyword, Sought::Range(low, high)) => Ok(Values::Words(low.clone(), high.clone())),
        (FieldKind::Keyword, _) => Err("no whole word; ~ is for words of the text"),
        (FieldKind::Boolean, Sought::Word(word) | Sought::Phrase(word)) => {
            word.parse().map(Values::Boolean).map_err(|_| "neither true nor false")
        }
        (FieldKind::Boolean, _) => Err("neither true nor false"),
        (FieldKind::Integer, _) => {
            let number = |word: &str| word.parse::<i64>().ok().map(|number| (number, number));
            integers(value, number).map(Values::Integers).ok_or("no whole number, nor a range of them")
        }
        (FieldKind::Date, _) => {
            let moment = |word: &str| {
                let Moment { start, last } = Moment::parse_wide(word)?;
                Some((start.saturating_mul(units), last.saturating_mul(units).saturating_add(units - 1)))
            };
            let needed = "no date such as 2020, 2020-05, 2020-05-17 or 2020-05-17T10:00:00Z, nor a range of them";
            integers(value, moment).map(Values::Integers).ok_or(needed)
        }
        (FieldKind::Float, _) => floats(value).ok_or("no number, nor a range of them"),
        (FieldKind::Text, _) => Err("no words"),
    }
}

/// An empty range is one that lets nothing through.
fn integers(value: &Sought, parse: impl Fn(&str) -> Option<(i64, i64)>) -> Option<RangeInclusive<i64>> {
    const NOTHING: RangeInclusive<i64> = RangeInclusive::new(1, 0);
    let (low, high) = match value {
        Sought::Word(word) | Sought::Phrase(word) => return parse(word).map(|(first, last)| first..=last),
        Sought::Range(low, high) => (low, high),
        _ => return None,
    };
    let low = match low {
        Bound::Included(word) => parse(word)?.0,
        Bound::Excluded(word) => match parse(word)?.1.checked_add(1) {
            Some(low) => low,
            None => return Some(NOTHING),
        },
        Bound::Unbounded => i64::MIN,
    };
    let high = match high {
        Bound::Included(word) => parse(word)?.1,
        Bound::Excluded(word) => match parse(word)?.0.checked_sub(1) {
            Some(high) => high,
            None => return Some(NOTHING),
        },
        Bound::Unbounded => i64::MAX,
    };
    Some(low..=high)
}

fn floats(value: &Sought) -> Option<Values> {
    let parse = |word: &str| word.parse::<f64>().ok().filter(|number| number.is_finite());
    let (low, high) = match value {
        Sought::Word(word) | Sought::Phrase(word) => (&Bound::Included(word.clone()), &Bound::Included(word.clone())),
        Sought::Range(low, high) => (low, high),
        _ => return None,
    };
    let low = match low {
        Bound::Included(word) => parse(word)?,
        Bound::Excluded(word) => parse(word)?.next_up(),
        Bound::Unbounded => f64::NEG_INFINITY,
    };
    let high = match high {
        Bound::Included(word) => parse(word)?,
        Bound::Excluded(word) => parse(word)?.next_down(),
        Bound::Unbounded => f64::INFINITY,
    };
    // The engine orders -0 below 0; a zero that is included is both.
    let low = if low == 0.0 { -0.0 } else { low };
    let high = if high == 0.0 { 0.0 } else { high };
    Some(Values::Floats(low..=high))
}

/// What a question in plain words matches: any of its words.
pub(crate) fn any_word(asked: &[Asked]) -> Condition {
    let of_place = |in_title: bool, place: Place| {
        let words = asked.iter().filter(|word| word.in_title == in_title);
        Condition::Words(Words { place, shape: Shape::Any(words.map(|word| word.forms.clone()).collect()) })
    };
    let lone = |word: &Asked| {
        let place = if word.in_title { Place::Title } else { Place::Body };
        Condition::Words(Words { place, shape: Shape::begins(&word.forms[0]) })
    };
    // A question of lone characters also finds what begins with them.
    if asked.iter().all(|word| analysis::is_lone(&word.forms[0])) {
        return Condition::Or(asked.iter().map(lone).collect());
    }
    Condition::Or(vec![of_place(false, Place::Body), of_place(true, Place::Title)])
}
