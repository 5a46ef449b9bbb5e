//! Reads what was named on the command line: folders, plain-text files and JSONL files.
//!
//! Produces documents in a fixed order (paths sorted, rows as they stand). Knows nothing of models or indexes.

mod parquet;

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use berth_types::{ContentKey, Document, DocumentRecord, Embedding};
use serde::Serialize;
use serde_json::{Map, Value};
use walkdir::WalkDir;

use crate::Error;
use crate::export::take_exported;

/// Longest file of plain text. Tokenising takes some seven times as much memory.
const LONGEST_TEXT_BYTES: u64 = 1 << 30;
/// A NUL among the first bytes marks a file as binary; the same rule and size as git's.
const BINARY_PROBE_BYTES: usize = 8_000;

/// Something that was left out or read with loss, said once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `file`, `file:line` or a document id.
    pub place: String,
    /// What is wrong and what was done about it.
    pub reason: String,
    /// Whether a document was left out because of it.
    pub lost: bool,
}

/// What was passed over, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SkipCounts {
    /// Names that start with a dot.
    pub hidden: usize,
    /// Files with a NUL byte near their start.
    pub binary: usize,
    /// Symbolic links, when they are not followed.
    pub links: usize,
    /// What is neither file nor folder: pipes, sockets, devices.
    pub special: usize,
    /// Folders that hold an index.
    pub indexes: usize,
    /// Files or rows that could not be read.
    pub unreadable: usize,
    /// Documents whose id had been seen before in the same run.
    pub duplicates: usize,
    /// Documents that have expired.
    pub expired: usize,
}

impl SkipCounts {
    /// Everything that was passed over.
    pub fn total(&self) -> usize {
        self.hidden
            + self.binary
            + self.links
            + self.special
            + self.indexes
            + self.unreadable
            + self.duplicates
            + self.expired
    }
}

/// A file that was found below a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// Everything found below the roots, before any of it is read.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) files: Vec<SourceFile>,
    pub(crate) bytes: u64,
    pub(crate) skipped: SkipCounts,
    pub(crate) problems: Vec<Problem>,
    /// Files and folders that were not read though they are there: what the index has from them is not gone.
    pub(crate) doubtful: Vec<PathBuf>,
}

/// One result of reading.
#[derive(Debug)]
pub(crate) enum Item {
    /// A document, what to remember of it, how many bytes of its file it took, and vectors that came with it.
    Document { document: Document, record: DocumentRecord, bytes: u64, vectors: HashMap<ContentKey, Embedding> },
    /// A row or file that was left out, with the bytes that it took, or read with loss.
    Problem { problem: Problem, bytes: u64 },
    /// A file that holds no text.
    Binary { bytes: u64 },
}

/// A path as text: what is not UTF-8 is spelt `\xFF`, so that two paths never give one text.
pub(crate) fn path_text(path: &Path) -> String {
    path.as_os_str().as_encoded_bytes().utf8_chunks().fold(String::new(), |mut text, chunk| {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02X}");
        }
        text
    })
}

/// Lists what lies below `paths`, but for folders that hold an index; a path that does not exist is an error unless
/// `missing_is_empty`.
pub(crate) fn list_files(paths: &[PathBuf], follow_links: bool, missing_is_empty: bool) -> Result<Listing, Error> {
    let mut listing = Listing::default();
    let mut seen = HashSet::new();
    for path in paths {
        if is_standard_input(path) {
            if seen.insert(path.clone()) {
                listing.files.push(SourceFile { path: path.clone(), bytes: 0 });
            }
            continue;
        }
        let root = canonical(path)?;
        listing.roots.push(PathBuf::from(path_text(&root)));
        match fs::metadata(&root) {
            Ok(found) if found.is_file() || found.is_dir() => {
                walk(&root, follow_links, &mut seen, &mut listing);
            }
            Ok(_) => return Err(Error::NotAFile { path: path.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && missing_is_empty => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::PathNotFound { path: path.clone() });
            }
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
    listing.bytes = listing.files.iter().map(|file| file.bytes).sum();
    Ok(listing)
}

/// The path without links, also when its last parts do not exist.
fn canonical(path: &Path) -> Result<PathBuf, Error> {
    let absolute = std::path::absolute(path).map_err(Error::io("resolve", path))?;
    for ancestor in absolute.ancestors() {
        if let Ok(real) = fs::canonicalize(ancestor) {
            let rest = absolute.strip_prefix(ancestor).unwrap_or(Path::new(""));
            // Joining an empty rest would add a slash.
            return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
        }
    }
    Ok(absolute)
}

fn walk(root: &Path, follow_links: bool, seen: &mut HashSet<PathBuf>, listing: &mut Listing) {
    let mut entries = WalkDir::new(root).follow_links(follow_links).sort_by_file_name().into_iter();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(root);
                let reason = match error.loop_ancestor() {
                    Some(ancestor) => format!("directory loop: leads back to {}; not followed", ancestor.display()),
                    None => match error.io_error() {
                        Some(cause) => format!("cannot be read: {cause}; skipped"),
                        None => "cannot be read; skipped".to_owned(),
                    },
                };
                listing.skipped.unreadable += 1;
                listing.doubtful.push(PathBuf::from(path_text(path)));
                listing.problems.push(Problem { place: path_text(path), reason, lost: true });
                continue;
            }
        };
        let kind = entry.file_type();
        let hidden = entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".");
        let index = !hidden && kind.is_dir() && holds_index(entry.path());
        if hidden || index {
            listing.skipped.hidden += usize::from(hidden);
            if index {
                listing.skipped.indexes += 1;
                listing.doubtful.push(PathBuf::from(path_text(entry.path())));
            }
            if kind.is_dir() {
                entries.skip_current_dir();
            }
            continue;
        }
        if !kind.is_file() {
            listing.skipped.links += usize::from(kind.is_symlink());
            listing.skipped.special += usize::from(!kind.is_symlink() && !kind.is_dir());
            continue;
        }
        // With links followed, one file may be reached twice; it is one document.
        let path = if follow_links {
            fs::canonicalize(entry.path()).unwrap_or_else(|_| entry.path().to_path_buf())
        } else {
            entry.path().to_path_buf()
        };
        if seen.insert(path.clone()) {
            let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
            listing.files.push(SourceFile { path, bytes });
        }
    }
}

/// Whether a folder is an index: by what only an index has, so that a stray file of a like name hides no documents.
fn holds_index(folder: &Path) -> bool {
    folder.join("lexical/meta.json").is_file() && folder.join("dense").is_dir()
}

/// Reads one file and hands its documents, in order, to `emit`; stops early when `emit` returns false.
pub(crate) fn read_file(path: &Path, emit: &mut dyn FnMut(Item) -> bool) {
    let outcome = if is_standard_input(path) {
        read_rows(io::stdin().lock(), &path_text(path), 0, emit)
    } else if is_jsonl(path) {
        read_jsonl(path, emit)
    } else if parquet::is_parquet(path) {
        parquet::read(path, emit)
    } else {
        read_text(path, emit)
    };
    if let Err(error) = outcome {
        let reason = format!("cannot be read: {error}; skipped");
        emit(Item::Problem { problem: Problem { place: path_text(path), reason, lost: true }, bytes: 0 });
    }
}

/// Whether a path stands for the rows of JSON on standard input: `-`.
pub fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

/// Whether a file is rows of JSON, by its name.
pub(crate) fn is_jsonl(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("jsonl") || end.eq_ignore_ascii_case("ndjson"))
}

fn read_text(path: &Path, emit: &mut dyn FnMut(Item) -> bool) -> io::Result<()> {
    let mut file = File::open(path)?;
    let modified_ns = modified_ns(&file);
    let mut bytes = Vec::new();
    file.by_ref().take(BINARY_PROBE_BYTES as u64).read_to_end(&mut bytes)?;
    let file_bytes = file.metadata()?.len();
    if bytes.contains(&0) {
        emit(Item::Binary { bytes: file_bytes });
        return Ok(());
    }
    if file_bytes > LONGEST_TEXT_BYTES {
        let reason = format!("has {file_bytes} bytes and a text may have {LONGEST_TEXT_BYTES}; skipped, split it");
        let problem = Problem { place: path_text(path), reason, lost: true };
        emit(Item::Problem { problem, bytes: file_bytes });
        return Ok(());
    }
    file.read_to_end(&mut bytes)?;
    let length = bytes.len() as u64;
    let place = path_text(path);
    let (text, problem) = decode(bytes, &place);
    if let Some(problem) = problem
        && !emit(Item::Problem { problem, bytes: 0 })
    {
        return Ok(());
    }
    let is_markdown =
        path.extension().is_some_and(|end| end.eq_ignore_ascii_case("md") || end.eq_ignore_ascii_case("markdown"));
    let title = if is_markdown { first_heading(&text) } else { String::new() };
    let document = Document { id: place.clone(), title, text, metadata: Map::new(), source: Some(place.clone()) };
    let record = record_of(&document, place, modified_ns);
    emit(Item::Document { document, record, bytes: length, vectors: HashMap::new() });
    Ok(())
}

/// Decodes UTF-8 (a byte order mark is dropped); what is invalid becomes U+FFFD, with a warning that names the offset.
fn decode(mut bytes: Vec<u8>, place: &str) -> (String, Option<Problem>) {
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        bytes.drain(..3);
    }
    match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            let reason = format!("not valid UTF-8 at byte {offset}; invalid bytes were read as U+FFFD");
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            (text, Some(Problem { place: place.to_owned(), reason, lost: false }))
        }
    }
}

/// Text of the first Markdown heading (`# …`) outside code fences; empty when there is none near the start.
fn first_heading(text: &str) -> String {
    const LINES_LOOKED_AT: usize = 50;
    let mut fenced = false;
    for line in text.lines().take(LINES_LOOKED_AT) {
        let line = line.trim();
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if !fenced && let Some(heading) = line.strip_prefix("# ") {
            return heading.trim().trim_end_matches('#').trim_end().to_owned();
        }
    }
    String::new()
}

fn read_jsonl(path: &Path, emit: &mut dyn FnMut(Item) -> bool) -> io::Result<()> {
    let file = File::open(path)?;
    let modified_ns = modified_ns(&file);
    read_rows(BufReader::with_capacity(1 << 18, file), &path_text(path), modified_ns, emit)
}

fn read_rows(
    mut reader: impl BufRead,
    file_name: &str,
    modified_ns: i64,
    emit: &mut dyn FnMut(Item) -> bool,
) -> io::Result<()> {
    let mut line = Vec::new();
    for number in 1_usize.. {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)? as u64;
        if length == 0 {
            break;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let place = format!("{file_name}:{number}");
        let (text, problem) = decode(std::mem::take(&mut line), &place);
        if let Some(problem) = problem
            && !emit(Item::Problem { problem, bytes: 0 })
        {
            return Ok(());
        }
        let item = match parse_row(&text, &place, file_name) {
            Ok((document, vectors)) => {
                let record = record_of(&document, file_name.to_owned(), modified_ns);
                Item::Document { document, record, bytes: length, vectors }
            }
            Err(reason) => {
                let problem = Problem { place, reason: format!("{reason}; row skipped"), lost: true };
                Item::Problem { problem, bytes: length }
            }
        };
        if !emit(item) {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads one row: `_id` (or `id`), `title`, `text`; all other keys become metadata, but for what an export put there.
fn parse_row(line: &str, place: &str, file: &str) -> Result<(Document, HashMap<ContentKey, Embedding>), String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
    let Value::Object(row) = value else {
        return Err("not a JSON object".to_owned());
    };
    row_document(row, place, file)
}

/// The same of a row that was read already.
fn row_document(
    mut row: Map<String, Value>,
    place: &str,
    file: &str,
) -> Result<(Document, HashMap<ContentKey, Embedding>), String> {
    let text = match row.remove("text") {
        Some(Value::String(text)) => text,
        Some(_) => return Err("\"text\" is not a string".to_owned()),
        None => return Err("no \"text\"".to_owned()),
    };
    let id = match row.remove("_id").or_else(|| row.remove("id")) {
        Some(Value::String(id)) if !id.is_empty() => id,
        Some(Value::Number(id)) => id.to_string(),
        None => place.to_owned(),
        Some(_) => return Err("\"_id\" is neither a non-empty string nor a number".to_owned()),
    };
    let title = match row.remove("title") {
        Some(Value::String(title)) => title,
        None | Some(Value::Null) => String::new(),
        Some(_) => return Err("\"title\" is not a string".to_owned()),
    };
    let exported = take_exported(&mut row).unwrap_or_default();
    let mut metadata = match row.remove("metadata") {
        Some(Value::Object(metadata)) => metadata,
        Some(other) => Map::from_iter([("metadata".to_owned(), other)]),
        None => Map::new(),
    };
    metadata.extend(row);
    // Not the line: it would be wrong as soon as a row above comes or goes, and the row itself is not read again then.
    let source = exported.source.unwrap_or_else(|| file.to_owned());
    Ok((Document { id, title, text, metadata, source: Some(source) }, exported.vectors))
}

fn record_of(document: &Document, file: String, modified_ns: i64) -> DocumentRecord {
    DocumentRecord { content_hash: content_hash(document), file, modified_ns, chunks: 0 }
}

/// Hashes title, text and metadata, each with its length, so that no two documents share an input.
pub(crate) fn content_hash(document: &Document) -> String {
    let mut hasher = blake3::Hasher::new();
    // A map always serialises: its keys are strings and its values are JSON already.
    let metadata = serde_json::to_string(&document.metadata).unwrap_or_default();
    for part in [document.title.as_str(), document.text.as_str(), metadata.as_str()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

fn modified_ns(file: &File) -> i64 {
    let modified = file.metadata().and_then(|metadata| metadata.modified()).ok();
    let since_epoch = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since_epoch.map_or(0, |elapsed| elapsed.as_nanos() as i64)
}

#[cfg(test)]
mod tests;
