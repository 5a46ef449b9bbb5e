//! Weights that a graph keeps in files beside itself: only inside its folder, only what lies within the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use super::{ElementType, tensor};
use crate::{Error, paths};

/// Where the values of one tensor lie, as its `external_data` says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct External {
    pub(super) location: String,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// A file in which a graph keeps weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalFile {
    /// Path from the folder of the graph, with `/`, as the graph names it.
    pub location: String,
    /// Length of the file.
    pub bytes: u64,
    /// Tensors that lie in it.
    pub tensors: usize,
}

impl External {
    /// Reads the entries of a tensor that takes `bytes`.
    pub(super) fn from_entries(entries: &[(&str, &str)], bytes: u64) -> Result<Self, String> {
        let mut values = BTreeMap::new();
        for &(key, value) in entries {
            if values.insert(key, value).is_some() {
                return Err(format!("gives {key} of its external data twice"));
            }
        }
        let number = |key: &str| match values.get(key) {
            None => Ok(None),
            // A sign or a space is read by one parser and not by another.
            Some(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse::<u64>().map(Some).map_err(|_| format!("has {key} {text} of external data, beyond any file"))
            }
            Some(text) => Err(format!("has {key} {text:?} of external data, which is no number")),
        };
        let Some(location) = values.get("location") else {
            return Err("says that its values are in another file, but not in which".to_owned());
        };
        let offset = number("offset")?.unwrap_or(0);
        if let Some(length) = number("length")?.filter(|&length| length != bytes) {
            return Err(format!("has {length} bytes of external data, but its shape asks for {bytes}"));
        }
        Ok(Self { location: (*location).to_owned(), offset, bytes })
    }
}

/// Checks all external values of a graph: paths, lengths, overlaps and NaN.
///
/// `tensors` are the label, element type and place of each. `folder` is the folder of the graph at `path`.
///
/// # Errors
/// `PathOutside`, `FileMissing`, `Read` or `GraphTensor`, naming file and tensor.
pub(super) fn check(
    path: &Path,
    folder: &Path,
    tensors: &[(String, ElementType, External)],
) -> Result<Vec<ExternalFile>, Error> {
    let mut files: BTreeMap<&str, Vec<&(String, ElementType, External)>> = BTreeMap::new();
    for entry in tensors {
        files.entry(&entry.2.location).or_default().push(entry);
    }
    let mut listed = Vec::with_capacity(files.len());
    for (location, mut entries) in files {
        let file_path = paths::inside(folder, location)?;
        if file_path == path {
            let (label, ..) = entries[0];
            return Err(wrong(path, label, "names the graph itself as the file of its values"));
        }
        let file = open(&file_path)?;
        let length = file.len() as u64;
        entries.sort_unstable_by(|one, other| one.2.cmp(&other.2));
        let mut end = 0;
        let mut previous: Option<&External> = None;
        for (label, element, place) in &entries {
            if previous == Some(place) {
                // Tied weights: two names of the same bytes.
                continue;
            }
            let past = place.offset.checked_add(place.bytes).filter(|&past| past <= length).ok_or_else(|| {
                let problem =
                    format!("takes {} bytes from byte {} of {location}, which has {length}", place.bytes, place.offset);
                wrong(path, label, problem)
            })?;
            if place.offset < end && place.bytes > 0 {
                return Err(wrong(path, label, format!("overlaps another tensor in {location}")));
            }
            tensor::refuse_nan(*element, &file[place.offset as usize..past as usize])
                .map_err(|problem| wrong(path, label, format!("in {location} {problem}")))?;
            end = end.max(past);
            previous = Some(place);
        }
        listed.push(ExternalFile { location: location.to_owned(), bytes: length, tensors: entries.len() });
    }
    Ok(listed)
}

fn wrong(path: &Path, tensor: &str, problem: impl Into<String>) -> Error {
    Error::GraphTensor { path: path.to_owned(), tensor: tensor.to_owned(), problem: problem.into() }
}

/// Maps a file for reading.
pub(super) fn open(path: &Path) -> Result<Mmap, Error> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => Error::GraphFileMissing { path: path.to_owned() },
        _ => Error::Read { path: path.to_owned(), source },
    };
    let file = File::open(path).map_err(failed)?;
    // SAFETY: the map is read-only and private to this value. Another process that truncates the file while it is read
    // would end this one with SIGBUS, as with every mapped file; models are not written in place.
    unsafe { Mmap::map(&file) }.map_err(failed)
}
