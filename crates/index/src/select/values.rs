//! Values of fields: counted over a set of documents, or read to sort documents by.

use std::cmp::Ordering;
use std::collections::HashMap;

use berth_types::{Facet, FacetCount, FieldKind};
use tantivy::columnar::StrColumn;
use tantivy::{DocId, SegmentReader};

use super::condition::Meaning;
use super::{Bits, Selection, evaluate};
use crate::fields::written;
use crate::query_language::LanguageFault;
use crate::schema::column_name;
use crate::{Error, Snapshot};

/// A value of a field, in the order of its kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FieldValue {
    /// Of a keyword.
    Keyword(String),
    /// Of an integer.
    Integer(i64),
    /// Of a float.
    Float(f64),
    /// Of a date, in microseconds since 1970.
    Date(i64),
    /// Of a boolean.
    Boolean(bool),
}

impl FieldValue {
    /// The order of values of one kind; kinds among each other have none that says anything.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Keyword(a), Self::Keyword(b)) => a.cmp(b),
            (Self::Integer(a), Self::Integer(b)) | (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Keyword(text) => text.as_str().into(),
            Self::Integer(number) => (*number).into(),
            Self::Float(number) => (*number).into(),
            Self::Date(micros) => written(*micros).into(),
            Self::Boolean(yes) => (*yes).into(),
        }
    }
}

/// A column of one segment. Values are numbers that order as they do: words by their place among the segment's words.
enum Opened {
    None,
    Words(StrColumn),
    Integers(tantivy::columnar::Column<i64>, i64),
    Floats(tantivy::columnar::Column<f64>),
    Booleans(tantivy::columnar::Column<bool>),
}

impl Opened {
    fn of(reader: &SegmentReader, (name, kind, units): (&str, FieldKind, i64)) -> Result<Self, Error> {
        let columns = reader.fast_fields();
        let opened = match kind {
            FieldKind::Keyword => columns.str(name)?.map(Self::Words),
            FieldKind::Integer | FieldKind::Date => {
                columns.column_opt(name)?.map(|column| Self::Integers(column, units))
            }
            FieldKind::Float => columns.column_opt(name)?.map(Self::Floats),
            FieldKind::Boolean | FieldKind::Text => columns.column_opt(name)?.map(Self::Booleans),
        };
        Ok(opened.unwrap_or(Self::None))
    }

    /// The values of an entry as keys, each once.
    fn keys(&self, entry: DocId, keys: &mut Vec<u64>) {
        keys.clear();
        match self {
            Self::None => {}
            Self::Words(column) => keys.extend(column.term_ords(entry)),
            Self::Integers(column, units) => {
                keys.extend(column.values_for_doc(entry).map(|value| tantivy::i64_to_u64(value.div_euclid(*units))));
            }
            Self::Floats(column) => keys.extend(column.values_for_doc(entry).map(tantivy::f64_to_u64)),
            Self::Booleans(column) => keys.extend(column.values_for_doc(entry).map(u64::from)),
        }
        keys.sort_unstable();
        keys.dedup();
    }

    /// The value that a key stands for.
    fn value(&self, key: u64, kind: FieldKind) -> Result<Option<FieldValue>, std::io::Error> {
        Ok(match self {
            Self::None => None,
            Self::Words(column) => {
                let mut word = String::new();
                column.ord_to_str(key, &mut word)?.then_some(FieldValue::Keyword(word))
            }
            Self::Integers(..) if kind == FieldKind::Date => Some(FieldValue::Date(tantivy::u64_to_i64(key))),
            Self::Integers(..) => Some(FieldValue::Integer(tantivy::u64_to_i64(key))),
            Self::Floats(_) => Some(FieldValue::Float(tantivy::u64_to_f64(key))),
            Self::Booleans(_) => Some(FieldValue::Boolean(key == 1)),
        })
    }
}

impl Snapshot {
    /// How many documents have each metadata field.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn field_counts(&self) -> Result<Vec<(&str, FieldKind, u64)>, Error> {
        let count = |name: &str, kind: FieldKind| -> Result<u64, Error> {
            let (column, mut found, mut count) = (column_name(name), Vec::new(), 0);
            for reader in self.lookup().searcher.segment_readers() {
                found.clear();
                evaluate::with_any(reader, &column, kind, &mut found)?;
                count += found.iter().filter(|&&entry| !reader.is_deleted(entry)).count() as u64;
            }
            Ok(count)
        };
        self.fields().iter().map(|(name, &kind)| Ok((name.as_str(), kind, count(name, kind)?))).collect()
    }

    /// Counts the values of a field over a set of documents, all when there is none: the commonest first, ties by value.
    ///
    /// # Errors
    /// `BadField` for a field that is not there or is text; `Corrupted`, `Lexical`.
    pub fn facet(&self, facet: &Facet, within: Option<&Selection>) -> Result<Vec<FacetCount>, Error> {
        let (column, kind, units) = self.column_of(&facet.field, "count")?;
        let table = self.table()?;
        let all = Bits::all(table.len());
        let documents = within.map_or(&all, |selection| &selection.documents);
        let mut of_segment: Vec<HashMap<u64, u64>> = Vec::new();
        let mut opened = Vec::new();
        for reader in self.lookup().searcher.segment_readers() {
            opened.push(Opened::of(reader, (&column, kind, units))?);
            of_segment.push(HashMap::new());
        }
        let mut keys = Vec::new();
        for document in documents.iter() {
            let (segment, head) = table.head(document);
            opened[segment as usize].keys(head, &mut keys);
            for &key in &keys {
                *of_segment[segment as usize].entry(key).or_default() += 1;
            }
        }
        // Words have other numbers in other segments: they are added up by their spelling.
        let mut counts: HashMap<String, (FieldValue, u64)> = HashMap::new();
        for (opened, of_segment) in opened.iter().zip(of_segment) {
            for (key, count) in of_segment {
                let value = opened.value(key, kind).map_err(|error| self.unreadable(error))?;
                if let Some(value) = value {
                    counts.entry(value.to_json().to_string()).or_insert((value, 0)).1 += count;
                }
            }
        }
        let mut counts: Vec<(FieldValue, u64)> = counts.into_values().collect();
        counts.sort_unstable_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.order(b)));
        counts.truncate(facet.values);
        Ok(counts.into_iter().map(|(value, count)| FacetCount { value: value.to_json(), count }).collect())
    }

    /// The value by which each of the documents is sorted: of several the lowest, or the highest where that comes first.
    /// `None` for a document without one.
    ///
    /// # Errors
    /// As [`facet`](Self::facet).
    pub fn sort_values(
        &self,
        field: &str,
        descending: bool,
        document_nos: impl Iterator<Item = u64>,
    ) -> Result<Vec<Option<FieldValue>>, Error> {
        let (column, kind, units) = self.column_of(field, "sort")?;
        let table = self.table()?;
        let readers = self.lookup().searcher.segment_readers();
        let opened: Vec<Opened> =
            readers.iter().map(|reader| Opened::of(reader, (&column, kind, units))).collect::<Result<_, _>>()?;
        let mut keys = Vec::new();
        let mut read = |document_no: u64| {
            let Some(document) = table.place(document_no) else { return Ok(None) };
            let (segment, head) = table.head(document);
            opened[segment as usize].keys(head, &mut keys);
            let Some(&key) = (if descending { keys.last() } else { keys.first() }) else { return Ok(None) };
            opened[segment as usize].value(key, kind).map_err(|error| self.unreadable(error))
        };
        document_nos.map(&mut read).collect()
    }

    /// The documents of a set by number, all when there is none, in the order in which they came.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn document_numbers(&self, within: Option<&Selection>) -> Result<Vec<u64>, Error> {
        let table = self.table()?;
        Ok(match within {
            Some(selection) => selection.documents.iter().map(|document| table.number(document)).collect(),
            None => (0..table.len()).map(|document| table.number(document)).collect(),
        })
    }

    /// Name, kind and units of the column of a field that can be counted and sorted by.
    fn column_of(&self, field: &str, action: &'static str) -> Result<(String, FieldKind, i64), Error> {
        let bad = |fault| Error::BadField { action, fault };
        match self.names().meaning(field).map_err(bad)? {
            Meaning::Column { name, kind, units } if kind != FieldKind::Text => Ok((name, kind, units)),
            Meaning::Column { .. } | Meaning::Title => Err(bad(LanguageFault::TextField { name: field.to_owned() })),
        }
    }

    fn unreadable(&self, error: std::io::Error) -> Error {
        Error::io("read", &self.lookup().folder, error)
    }
}
