//! From a condition to the documents that fulfil it.

use std::fmt::Debug;
use std::ops::{Bound, RangeInclusive};

use berth_types::FieldKind;
use tantivy::columnar::{Column, StrColumn};
use tantivy::{DocId, SegmentReader};

use super::condition::{Condition, Values};
use super::{Bits, DocumentTable};
use crate::Error;
use crate::lookup::Lookup;

/// The documents that fulfil a condition. The depth of conditions is bounded by the language.
pub(crate) fn evaluate(condition: &Condition, lookup: &Lookup, table: &DocumentTable) -> Result<Bits, Error> {
    match condition {
        Condition::And(conditions) => {
            let mut all = Bits::all(table.len());
            for condition in conditions {
                if all.is_empty() {
                    break;
                }
                all.and(&evaluate(condition, lookup, table)?);
            }
            Ok(all)
        }
        Condition::Or(conditions) => {
            let mut any = Bits::none(table.len());
            for condition in conditions {
                any.or(&evaluate(condition, lookup, table)?);
            }
            Ok(any)
        }
        Condition::Not(condition) => {
            let mut documents = evaluate(condition, lookup, table)?;
            documents.negate();
            Ok(documents)
        }
        Condition::Words(words) => Ok(table.documents(&words.entries(lookup, table.no_entries())?)),
        Condition::Column { name, values } => {
            let mut documents = Bits::none(table.len());
            let mut heads = Vec::new();
            for (segment, reader) in lookup.searcher.segment_readers().iter().enumerate() {
                heads.clear();
                find(reader, name, values, &mut heads).map_err(|error| match error {
                    Fault::Engine(error) => error.into(),
                    Fault::Io(error) => Error::io("read", &lookup.folder, error),
                })?;
                for document in heads.iter().filter_map(|&head| table.of_entry(segment, head)) {
                    documents.insert(document);
                }
            }
            Ok(documents)
        }
    }
}

enum Fault {
    Engine(tantivy::TantivyError),
    Io(std::io::Error),
}

impl From<tantivy::TantivyError> for Fault {
    fn from(error: tantivy::TantivyError) -> Self {
        Self::Engine(error)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// The entries of a segment that have one of the values in this column. A segment without the column has none.
fn find(reader: &SegmentReader, name: &str, values: &Values, found: &mut Vec<DocId>) -> Result<(), Fault> {
    let columns = reader.fast_fields();
    match values {
        Values::Any(kind) => with_any(reader, name, *kind, found)?,
        Values::Word(word) => {
            if let Some(column) = columns.str(name)?
                && let Some(ordinal) = column.dictionary().term_ord(word)?
            {
                in_range(column.ords(), ordinal..=ordinal, reader, found);
            }
        }
        Values::Prefix(prefix) => {
            if let Some(column) = columns.str(name)? {
                let end = after_prefix(prefix.as_bytes()).map_or(Bound::Unbounded, Bound::Excluded);
                find_ordinals(&column, Bound::Included(prefix.clone().into_bytes()), end, reader, found)?;
            }
        }
        Values::Words(low, high) => {
            if let Some(column) = columns.str(name)? {
                let bytes = |bound: &Bound<String>| bound.as_ref().map(|word| word.clone().into_bytes());
                find_ordinals(&column, bytes(low), bytes(high), reader, found)?;
            }
        }
        Values::Integers(range) => {
            if let Some(column) = columns.column_opt::<i64>(name)? {
                in_range(&column, range.clone(), reader, found);
            }
        }
        Values::Floats(range) => {
            if let Some(column) = columns.column_opt::<f64>(name)? {
                in_range(&column, range.clone(), reader, found);
            }
        }
        Values::Boolean(yes) => {
            if let Some(column) = columns.column_opt::<bool>(name)? {
                in_range(&column, *yes..=*yes, reader, found);
            }
        }
    }
    Ok(())
}

/// The entries that have a value within a range.
fn in_range<T>(column: &Column<T>, range: RangeInclusive<T>, reader: &SegmentReader, found: &mut Vec<DocId>)
where
    T: PartialOrd + Copy + Debug + Send + Sync + 'static,
{
    // The engine takes a range that lies below all values for one that holds the lowest.
    if !range.is_empty() && *range.end() >= column.min_value() {
        column.get_docids_for_value_range(range, 0..reader.max_doc(), found);
    }
}

/// The entries that have any value in this column.
pub(super) fn with_any(
    reader: &SegmentReader,
    name: &str,
    kind: FieldKind,
    found: &mut Vec<DocId>,
) -> Result<(), tantivy::TantivyError> {
    fn collect<T>(column: Option<Column<T>>, reader: &SegmentReader, found: &mut Vec<DocId>) {
        if let Some(column) = column {
            found.extend((0..reader.max_doc()).filter(|&entry| column.index.has_value(entry)));
        }
    }
    let columns = reader.fast_fields();
    match kind {
        FieldKind::Keyword => collect(columns.str(name)?.map(|column| column.ords().clone()), reader, found),
        FieldKind::Integer | FieldKind::Date => collect(columns.column_opt::<i64>(name)?, reader, found),
        FieldKind::Float => collect(columns.column_opt::<f64>(name)?, reader, found),
        FieldKind::Boolean | FieldKind::Text => collect(columns.column_opt::<bool>(name)?, reader, found),
    }
    Ok(())
}

/// Words of a segment are numbered in their order, so that a range of words is one of numbers.
fn find_ordinals(
    column: &StrColumn,
    low: Bound<Vec<u8>>,
    high: Bound<Vec<u8>>,
    reader: &SegmentReader,
    found: &mut Vec<DocId>,
) -> Result<(), Fault> {
    let (low, high) = column.dictionary().term_bounds_to_ord(low, high)?;
    let first = match low {
        Bound::Included(ordinal) => ordinal,
        Bound::Excluded(ordinal) => ordinal.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match high {
        Bound::Included(ordinal) => ordinal.saturating_add(1),
        Bound::Excluded(ordinal) => ordinal,
        Bound::Unbounded => u64::MAX,
    };
    let end = end.min(column.num_terms() as u64);
    if first < end {
        in_range(column.ords(), first..=end - 1, reader, found);
    }
    Ok(())
}

/// The first bytes behind all that begin so; none when nothing is.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte < u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
