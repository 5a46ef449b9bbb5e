//! NumPy's array file, format 1.0: a magic word, a Python dictionary as text, then the numbers, row after row
//! (numpy.lib.format). The number of rows is written last, into a place that was kept free for it.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Draft, Dtype, FileRow, Values};
use crate::Error;

/// Bytes before the numbers; a multiple of 64, so that they lie aligned.
const HEADER_BYTES: usize = 128;

pub(super) struct NpyWriter {
    array: Array,
    ids: (Draft, BufWriter<File>),
    /// For vectors of bytes.
    scales: Option<Array>,
    dimensions: usize,
}

impl NpyWriter {
    pub(super) fn create(out: &Path, dtype: Dtype, dimensions: usize) -> Result<Self, Error> {
        let beside = |suffix: &str| {
            let mut name = out.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let array = Array::create(out, descr(dtype))?;
        let (draft, file) = Draft::create_file(&beside(".ids"))?;
        let scales = (dtype == Dtype::Int8).then(|| Array::create(&beside(".scales.npy"), "<f4")).transpose()?;
        let dimensions = if dtype == Dtype::Binary { dimensions.div_ceil(8) } else { dimensions };
        Ok(Self { array, ids: (draft, BufWriter::new(file)), scales, dimensions })
    }

    pub(super) fn push(&mut self, row: &FileRow) -> Result<(), Error> {
        let bytes: Vec<u8> = match &row.values {
            Values::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Values::F16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Values::Int8(values, _) => values.iter().map(|value| value.cast_unsigned()).collect(),
            Values::Binary(bytes) => bytes.clone(),
        };
        self.array.push(&bytes)?;
        if let (Some(scales), Values::Int8(_, scale)) = (&mut self.scales, &row.values) {
            scales.push(&scale.to_le_bytes())?;
        }
        let (draft, ids) = &mut self.ids;
        writeln!(ids, "{}", row.id).map_err(draft.failed())
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        if let Some(scales) = self.scales {
            let rows = scales.rows;
            scales.finish(&format!("({rows},)"))?;
        }
        let (draft, mut ids) = self.ids;
        ids.flush().map_err(draft.failed())?;
        draft.keep(ids.get_ref())?;
        let shape = format!("({}, {})", self.array.rows, self.dimensions);
        self.array.finish(&shape)
    }
}

fn descr(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "<f4",
        Dtype::F16 => "<f2",
        Dtype::Int8 => "|i1",
        Dtype::Binary => "|u1",
    }
}

/// One array file.
struct Array {
    draft: Draft,
    file: BufWriter<File>,
    descr: &'static str,
    rows: usize,
}

impl Array {
    fn create(out: &Path, descr: &'static str) -> Result<Self, Error> {
        let (draft, file) = Draft::create_file(out)?;
        let mut file = BufWriter::new(file);
        file.write_all(&[0; HEADER_BYTES]).map_err(draft.failed())?;
        Ok(Self { draft, file, descr, rows: 0 })
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.rows += 1;
        self.file.write_all(bytes).map_err(self.draft.failed())
    }

    fn finish(mut self, shape: &str) -> Result<(), Error> {
        let header = header(self.descr, shape);
        let write = |file: &mut BufWriter<File>| {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header)?;
            file.flush()
        };
        write(&mut self.file).map_err(self.draft.failed())?;
        self.draft.keep(self.file.get_ref())
    }
}

fn header(descr: &str, shape: &str) -> Vec<u8> {
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(((HEADER_BYTES - 10) as u16).to_le_bytes());
    header.extend(format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}").bytes());
    // Two numbers of twenty digits still fit.
    header.resize(HEADER_BYTES - 1, b' ');
    header.push(b'\n');
    header
}
