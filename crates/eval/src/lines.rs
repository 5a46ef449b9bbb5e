//! Lines of a text file with their numbers.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde_json::{Map, Value};

use crate::Error;

/// Opens `path` for reading by lines.
///
/// # Errors
/// `FileMissing` when there is no such file; `Io` otherwise.
pub(crate) fn open(path: &Path) -> Result<BufReader<File>, Error> {
    match File::open(path) {
        Ok(file) => Ok(BufReader::new(file)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Err(Error::FileMissing { path: path.to_owned() }),
        Err(source) => Err(Error::Io { path: path.to_owned(), source }),
    }
}

/// Calls `each` with the number (from 1) and the text of every line that is not blank.
///
/// The line end, CR LF too, and a byte order mark before the first line are taken off. `path` is only named in errors.
///
/// # Errors
/// `Malformed` when a line is not UTF-8; `Io` when reading fails; whatever `each` returns.
pub(crate) fn for_each(
    mut reader: impl BufRead,
    path: &Path,
    mut each: impl FnMut(usize, &str) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut bytes = Vec::new();
    let mut number = 0;
    loop {
        bytes.clear();
        let read = reader.read_until(b'\n', &mut bytes);
        if read.map_err(|source| Error::Io { path: path.to_owned(), source })? == 0 {
            return Ok(());
        }
        number += 1;
        let Ok(mut line) = std::str::from_utf8(&bytes) else {
            return Err(malformed(path, number, "the line is not UTF-8"));
        };
        if number == 1 {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        let line = line.trim_end_matches(['\r', '\n']);
        if !line.trim().is_empty() {
            each(number, line)?;
        }
    }
}

pub(crate) fn malformed(path: &Path, line: usize, reason: impl Into<String>) -> Error {
    Error::Malformed { path: path.to_owned(), line, reason: reason.into() }
}

/// Reads a line that is a JSON object; the error is a reason.
pub(crate) fn object(line: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("not a JSON object".to_owned()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

/// Takes a string out of an object; the error is a reason.
pub(crate) fn take_string(object: &mut Map<String, Value>, key: &str) -> Result<String, String> {
    match object.remove(key) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("\"{key}\" is not a string")),
        None => Err(format!("\"{key}\" is missing")),
    }
}

/// Takes a string that is not empty out of an object; the error is a reason.
pub(crate) fn take_id(object: &mut Map<String, Value>, key: &str) -> Result<String, String> {
    let id = take_string(object, key)?;
    if id.is_empty() { Err(format!("\"{key}\" is empty")) } else { Ok(id) }
}
