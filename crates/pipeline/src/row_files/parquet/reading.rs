//! Rows of a Parquet file, as JSON objects of their columns, one row group at a time.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Map, Value};

/// Columns that have to be there, as texts.
const TEXT: &str = "text";

/// A row, with its number in the file from 1.
pub(crate) type NumberedRow = (u64, Map<String, Value>);

/// Hands the rows of a file to `emit`, until it returns false. Numbers of `embedding` columns are rounded to `f32` as they
/// were; values that JSON has no word for are left out.
///
/// # Errors
/// What is wrong, for people: no Parquet, damaged, compressed by what Berth does not carry, no column `text`.
pub(crate) fn read_rows(file: File, emit: &mut dyn FnMut(NumberedRow) -> bool) -> Result<(), String> {
    // The library asserts some of what it reads.
    catch_unwind(AssertUnwindSafe(|| read(file, emit)))
        .unwrap_or_else(|_| Err("it is damaged in a way that Parquet files never are whole".to_owned()))
}

fn read(file: File, emit: &mut dyn FnMut(NumberedRow) -> bool) -> Result<(), String> {
    let reader =
        SerializedFileReader::new(file).map_err(|error| format!("no Parquet file, or a damaged one: {error}"))?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let root = schema.root_schema();
    let names: Vec<&str> = root.get_fields().iter().map(|field| field.name()).collect();
    if !names.contains(&TEXT) {
        return Err(format!("no column \"{TEXT}\"; it has {}", names.join(", ")));
    }
    let mut number = 0;
    for group in 0..reader.num_row_groups() {
        let rows = reader.get_row_group(group).map_err(|error| error.to_string())?;
        for row in rows.get_row_iter(None).map_err(|error| error.to_string())? {
            number += 1;
            let row = row.map_err(|error| format!("row {number}: {error}"))?;
            if !emit((number, object(row))) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn object(row: Row) -> Map<String, Value> {
    row.into_columns().into_iter().filter_map(|(name, field)| Some((name, value(field)?))).collect()
}

fn value(field: Field) -> Option<Value> {
    Some(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => value.into(),
        Field::Byte(value) => value.into(),
        Field::Short(value) => value.into(),
        Field::Int(value) | Field::Date(value) => value.into(),
        Field::Long(value) => value.into(),
        Field::UByte(value) => value.into(),
        Field::UShort(value) => value.into(),
        Field::UInt(value) => value.into(),
        Field::ULong(value) => value.into(),
        Field::Float16(value) => f64::from(value.to_f32()).into(),
        Field::Float(value) => f64::from(value).into(),
        Field::Double(value) => value.into(),
        Field::Str(value) => value.into(),
        Field::Group(row) => object(row).into(),
        Field::ListInternal(list) => list.elements().iter().filter_map(|field| value(field.clone())).collect(),
        _ => return None,
    })
}
