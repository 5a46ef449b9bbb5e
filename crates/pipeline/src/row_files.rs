//! Files of vectors for other programs: NumPy's `.npy` and Apache Parquet. A file appears whole, by a rename.

mod draft;
mod npy;
mod parquet;

use std::path::{Path, PathBuf};

use berth_encoder::heads::vectors::{bits, halves, int8};
use serde_json::Value;

pub use self::draft::Draft;
use self::npy::NpyWriter;
use self::parquet::ParquetWriter;
pub(crate) use self::parquet::{PassageWriter, read_rows as read_parquet};
use crate::Error;

/// Numbers that a vector is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dtype {
    /// 32-bit floating point.
    #[default]
    F32,
    /// 16-bit floating point.
    F16,
    /// Bytes from -127 to 127, with a scale for each vector.
    Int8,
    /// One bit a value, set where it is above zero; eight a byte, the first in the highest bit.
    Binary,
}

/// The numbers of one vector.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// As [`Dtype::F32`].
    F32(Vec<f32>),
    /// As [`Dtype::F16`], as little-endian bit patterns.
    F16(Vec<half::f16>),
    /// As [`Dtype::Int8`], with the scale.
    Int8(Vec<i8>, f32),
    /// As [`Dtype::Binary`].
    Binary(Vec<u8>),
}

impl Dtype {
    /// Brings a vector into these numbers.
    pub fn values(self, vector: &[f32]) -> Values {
        match self {
            Self::F32 => Values::F32(vector.to_vec()),
            Self::F16 => Values::F16(halves(vector)),
            Self::Int8 => {
                let bytes = int8(vector);
                Values::Int8(bytes.values, bytes.scale)
            }
            Self::Binary => Values::Binary(bits(vector)),
        }
    }
}

impl Values {
    /// Numbers that are kept: values, or bytes of eight bits each.
    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::Int8(values, _) => values.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Numbers of this kind that a vector of `dimensions` values becomes.
    fn packed(&self, dimensions: usize) -> usize {
        if matches!(self, Self::Binary(_)) { dimensions.div_ceil(8) } else { dimensions }
    }
}

/// One row of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRow {
    /// What it is called.
    pub id: Value,
    /// The text that it stands for.
    pub text: String,
    /// The vector.
    pub values: Values,
}

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// An array `[rows, values]`; ids in `NAME.ids`, one JSON value a line, and scales of int8 in `NAME.scales.npy`.
    Npy,
    /// Columns `id`, `text`, `embedding`, and `scale` for int8.
    Parquet,
}

/// Writes rows to a file that is there only once it is complete.
pub struct RowWriter {
    inner: Inner,
    out: PathBuf,
    dimensions: usize,
}

enum Inner {
    Npy(Box<NpyWriter>),
    Parquet(Box<ParquetWriter>),
}

impl RowWriter {
    /// Begins the file `out` with vectors of `dimensions` values.
    ///
    /// # Errors
    /// `Io` when it cannot be written.
    pub fn create(out: &Path, format: RowFormat, dtype: Dtype, dimensions: usize) -> Result<Self, Error> {
        let inner = match format {
            RowFormat::Npy => Inner::Npy(Box::new(NpyWriter::create(out, dtype, dimensions)?)),
            RowFormat::Parquet => Inner::Parquet(Box::new(ParquetWriter::create(out, dtype)?)),
        };
        Ok(Self { inner, out: out.to_path_buf(), dimensions })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// `VectorWidth` when its vector is not as wide as the file was begun for, `Io` when it cannot be written.
    pub fn push(&mut self, row: FileRow) -> Result<(), Error> {
        let received = row.values.len();
        let expected = row.values.packed(self.dimensions);
        if received != expected {
            return Err(Error::VectorWidth { path: self.out.clone(), expected, received });
        }
        match &mut self.inner {
            Inner::Npy(writer) => writer.push(&row),
            Inner::Parquet(writer) => writer.push(row),
        }
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// `Io` when it cannot be written; then no file of that name was made, and one that was there stays.
    pub fn finish(self) -> Result<(), Error> {
        match self.inner {
            Inner::Npy(writer) => writer.finish(),
            Inner::Parquet(writer) => writer.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    fn row(id: &str, vector: &[f32], dtype: Dtype) -> FileRow {
        FileRow { id: id.into(), text: format!("text of {id}"), values: dtype.values(vector) }
    }

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        for (name, format) in [("a.npy", RowFormat::Npy), ("a.parquet", RowFormat::Parquet)] {
            let out = dir.path().join(name);
            let mut writer = RowWriter::create(&out, format, Dtype::F32, 2).unwrap();
            writer.push(row("x", &[1.0, 2.0], Dtype::F32)).unwrap();
            assert!(!out.exists());
            drop(writer);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "an unfinished file stayed");
        }
        let out = dir.path().join("missing/a.npy");
        let error = RowWriter::create(&out, RowFormat::Npy, Dtype::F32, 2).err().unwrap().to_string();
        assert!(error.contains("missing/a.npy"), "{error}");
    }

    #[test]
    fn npy_files_have_the_documented_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let check = |dtype: Dtype, shape: &str, data: &[u8]| {
            let out = dir.path().join("a.npy");
            let mut writer = RowWriter::create(&out, RowFormat::Npy, dtype, 3).unwrap();
            for id in ["x", "y"] {
                writer.push(row(id, &[1.0, -0.5, 0.0], dtype)).unwrap();
            }
            writer.finish().unwrap();
            let bytes = fs::read(&out).unwrap();
            assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
            let header_end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
            assert_eq!(header_end % 64, 0);
            let header = std::str::from_utf8(&bytes[10..header_end]).unwrap();
            assert!(header.ends_with('\n') && header.contains(shape), "{header}");
            assert_eq!(&bytes[header_end..], [data, data].concat());
        };
        let floats: Vec<u8> = [1.0_f32, -0.5, 0.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        check(Dtype::F32, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", &floats);
        check(Dtype::F16, "'<f2'", &[0x00, 0x3c, 0x00, 0xb8, 0, 0]);
        check(Dtype::Int8, "'|i1', 'fortran_order': False, 'shape': (2, 3)", &[127, 192, 0]);
        check(Dtype::Binary, "'|u1', 'fortran_order': False, 'shape': (2, 1)", &[0b1000_0000]);
        assert_eq!(fs::read_to_string(dir.path().join("a.npy.ids")).unwrap(), "\"x\"\n\"y\"\n");
        let scales = fs::read(dir.path().join("a.npy.scales.npy")).unwrap();
        assert_eq!(&scales[scales.len() - 4..], (1.0_f32 / 127.0).to_le_bytes());
    }

    #[test]
    fn a_vector_of_another_width_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for format in [RowFormat::Npy, RowFormat::Parquet] {
            for dtype in [Dtype::F32, Dtype::F16, Dtype::Int8, Dtype::Binary] {
                let mut writer = RowWriter::create(&dir.path().join("a"), format, dtype, 16).unwrap();
                writer.push(row("x", &[0.5; 16], dtype)).unwrap();
                let error = writer.push(row("y", &[0.5; 32], dtype)).unwrap_err().to_string();
                assert!(error.contains("expected 16") || error.contains("expected 2"), "{error}");
            }
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn parquet_files_read_back() {
        use ::parquet::file::reader::{FileReader, SerializedFileReader};
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a.parquet");
        let read = |dtype: Dtype| -> Vec<String> {
            let mut writer = RowWriter::create(&out, RowFormat::Parquet, dtype, 2).unwrap();
            for id in ["x", "ÿ"] {
                writer.push(row(id, &[1.0, -0.5], dtype)).unwrap();
            }
            writer.finish().unwrap();
            let reader = SerializedFileReader::new(File::open(&out).unwrap()).unwrap();
            reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect()
        };
        let rows = read(Dtype::F32);
        assert_eq!(rows.len(), 2);
        assert!(rows[1].contains("\"ÿ\"") && rows[1].contains("text of ÿ"), "{rows:?}");
        assert!(rows[0].contains("[1.0, -5E-1]"), "{rows:?}");
        let halves = read(Dtype::F16);
        assert!(halves[0].contains("[1.0, -0.5]"), "{halves:?}");
        assert!(read(Dtype::Int8)[0].contains("[127, -64]"), "{:?}", read(Dtype::Int8));
        assert_eq!(read(Dtype::Binary).len(), 2);
    }
}
