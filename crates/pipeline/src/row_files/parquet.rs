//! Apache Parquet: columns `id`, `text`, `embedding` (a list, or packed bits), and `scale` for bytes. The only room that
//! names `parquet`.

mod passages;
mod reading;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, FloatType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde_json::Value;

use super::{Draft, Dtype, FileRow, Values};
use crate::Error;
pub(crate) use passages::PassageWriter;
pub(crate) use reading::read_rows;

/// Rows that are written together and held until then, unless they have more bytes than the next number says.
const ROWS_AT_ONCE: usize = 1024;
/// Bytes of texts and vectors that are held. What is written of them is held once more in the library's pages.
const BYTES_AT_ONCE: usize = 4 << 20;

pub(super) struct ParquetWriter {
    draft: Draft,
    writer: SerializedFileWriter<File>,
    rows: Vec<FileRow>,
    bytes: usize,
}

impl ParquetWriter {
    pub(super) fn create(out: &Path, dtype: Dtype) -> Result<Self, Error> {
        let (draft, file) = Draft::create(out)?;
        let writer = parse_message_type(schema(dtype)).and_then(|schema| {
            // Vectors repeat nothing that a dictionary would save.
            let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
            SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))
        });
        let writer = writer.map_err(|error| draft.failed()(system(error)))?;
        Ok(Self { draft, writer, rows: Vec::new(), bytes: 0 })
    }

    pub(super) fn push(&mut self, row: FileRow) -> Result<(), Error> {
        self.bytes += row.text.len() + 4 * row.values.len();
        self.rows.push(row);
        if self.rows.len() == ROWS_AT_ONCE || self.bytes >= BYTES_AT_ONCE { self.flush() } else { Ok(()) }
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        let file = self.writer.into_inner().map_err(|error| self.draft.failed()(system(error)))?;
        self.draft.keep(&file)
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut write = |group: &mut SerializedRowGroupWriter<'_, File>| {
            let ids = rows.iter().map(|row| match &row.id {
                Value::String(id) => ByteArray::from(id.as_str()),
                other => ByteArray::from(other.to_string().as_str()),
            });
            column(group, |writer| write_flat::<ByteArrayType>(writer, &ids.collect::<Vec<_>>()))?;
            let texts = rows.iter_mut().map(|row| ByteArray::from(std::mem::take(&mut row.text).into_bytes()));
            column(group, |writer| write_flat::<ByteArrayType>(writer, &texts.collect::<Vec<_>>()))?;
            column(group, |writer| write_vectors(writer, &rows))?;
            let scales: Vec<f32> = rows.iter().filter_map(|row| scale(&row.values)).collect();
            if scales.is_empty() { Ok(()) } else { column(group, |writer| write_flat::<FloatType>(writer, &scales)) }
        };
        let written = self.writer.next_row_group().and_then(|mut group| {
            write(&mut group)?;
            group.close().map(|_| ())
        });
        written.map_err(|error| self.draft.failed()(system(error)))
    }
}

fn schema(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => {
            "message rows { required binary id (UTF8); required binary text (UTF8);
             required group embedding (LIST) { repeated group list { required float element; } } }"
        }
        Dtype::F16 => {
            "message rows { required binary id (UTF8); required binary text (UTF8);
             required group embedding (LIST) { repeated group list {
                 required fixed_len_byte_array(2) element (FLOAT16); } } }"
        }
        Dtype::Int8 => {
            "message rows { required binary id (UTF8); required binary text (UTF8);
             required group embedding (LIST) { repeated group list { required int32 element (INT_8); } }
             required float scale; }"
        }
        Dtype::Binary => {
            "message rows { required binary id (UTF8); required binary text (UTF8); required binary embedding; }"
        }
    }
}

type Written = Result<(), ParquetError>;

fn column(
    group: &mut SerializedRowGroupWriter<'_, File>,
    write: impl FnOnce(&mut SerializedColumnWriter<'_>) -> Written,
) -> Written {
    let Some(mut writer) = group.next_column()? else {
        return Err(ParquetError::General("the schema has fewer columns".to_owned()));
    };
    write(&mut writer)?;
    writer.close()
}

fn write_flat<T: parquet::data_type::DataType>(writer: &mut SerializedColumnWriter<'_>, values: &[T::T]) -> Written {
    writer.typed::<T>().write_batch(values, None, None).map(|_| ())
}

fn write_vectors(writer: &mut SerializedColumnWriter<'_>, rows: &[FileRow]) -> Written {
    // A new list begins where the repetition level is 0.
    let levels = |lengths: Vec<usize>| -> (Vec<i16>, Vec<i16>) {
        let repetitions = lengths.iter().flat_map(|&length| (0..length).map(|place| i16::from(place > 0))).collect();
        (vec![1; lengths.iter().sum()], repetitions)
    };
    match rows.first().map(|row| &row.values) {
        Some(Values::F32(_)) => {
            let lists: Vec<&[f32]> =
                rows.iter().map(|row| if let Values::F32(values) = &row.values { &values[..] } else { &[] }).collect();
            let (definitions, repetitions) = levels(lists.iter().map(|list| list.len()).collect());
            let column = writer.typed::<FloatType>();
            column.write_batch(&lists.concat(), Some(&definitions), Some(&repetitions)).map(|_| ())
        }
        Some(Values::F16(_)) => {
            let lists: Vec<&[half::f16]> =
                rows.iter().map(|row| if let Values::F16(values) = &row.values { &values[..] } else { &[] }).collect();
            let (definitions, repetitions) = levels(lists.iter().map(|list| list.len()).collect());
            let bytes = |value: half::f16| FixedLenByteArray::from(value.to_le_bytes().to_vec());
            let values: Vec<FixedLenByteArray> = lists.concat().into_iter().map(bytes).collect();
            let column = writer.typed::<FixedLenByteArrayType>();
            column.write_batch(&values, Some(&definitions), Some(&repetitions)).map(|_| ())
        }
        Some(Values::Int8(..)) => {
            let lists: Vec<Vec<i32>> = rows
                .iter()
                .map(|row| match &row.values {
                    Values::Int8(values, _) => values.iter().map(|&value| i32::from(value)).collect(),
                    _ => Vec::new(),
                })
                .collect();
            let (definitions, repetitions) = levels(lists.iter().map(Vec::len).collect());
            let column = writer.typed::<Int32Type>();
            column.write_batch(&lists.concat(), Some(&definitions), Some(&repetitions)).map(|_| ())
        }
        _ => {
            let bits = |row: &FileRow| match &row.values {
                Values::Binary(bytes) => ByteArray::from(bytes.clone()),
                _ => ByteArray::from(Vec::new()),
            };
            write_flat::<ByteArrayType>(writer, &rows.iter().map(bits).collect::<Vec<_>>())
        }
    }
}

fn scale(values: &Values) -> Option<f32> {
    if let Values::Int8(_, scale) = values { Some(*scale) } else { None }
}

fn system(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
