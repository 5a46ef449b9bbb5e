//! A retrieval collection in BEIR layout.
//!
//! `corpus.jsonl` (`_id`, `title`, `text`) is left to whoever indexes it; here `queries.jsonl` (`_id`, `text`) and
//! `qrels/SPLIT.tsv` are read.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::{Error, Qrels, lines};

/// One query of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalQuery {
    /// Unique within the collection.
    pub id: String,
    /// What is asked.
    pub text: String,
}

/// The queries and judgements of one split of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub dir: PathBuf,
    /// Which judgements were read.
    pub split: String,
    /// The queries that the split judges, in the order of the file.
    pub queries: Vec<EvalQuery>,
    /// The judgements of these queries.
    pub qrels: Qrels,
    /// Queries that the split judges but the collection does not have; their judgements are left out.
    pub unknown_queries: usize,
}

impl Dataset {
    /// Reads the queries and judgements of `split` from the folder `dir`.
    ///
    /// # Errors
    /// `FolderMissing`, `FileMissing` or `SplitMissing` when something is not there; `Malformed`, `DuplicateQuery` or
    /// `ConflictingJudgement` when a line is wrong; `SplitEmpty` when no query is left; `Io` when reading fails.
    pub fn open(dir: &Path, split: &str) -> Result<Self, Error> {
        let available = Self::splits(dir)?;
        if !available.iter().any(|name| name == split) {
            return Err(Error::SplitMissing { dir: dir.to_owned(), split: split.to_owned(), available });
        }
        for file in [dir.join("corpus.jsonl"), dir.join("queries.jsonl")] {
            if !file.is_file() {
                return Err(Error::FileMissing { path: file });
            }
        }
        let qrels_path = dir.join("qrels").join(format!("{split}.tsv"));
        let mut qrels = Qrels::read(&qrels_path)?;
        let queries = judged_queries(&dir.join("queries.jsonl"), &qrels)?;
        let known: HashSet<&str> = queries.iter().map(|query| query.id.as_str()).collect();
        let unknown_queries = qrels.retain_queries(|query| known.contains(query));
        if queries.is_empty() {
            return Err(Error::SplitEmpty { path: qrels_path, unknown_queries });
        }
        Ok(Self {
            name: folder_name(dir),
            dir: dir.to_owned(),
            split: split.to_owned(),
            queries,
            qrels,
            unknown_queries,
        })
    }

    /// Names of the splits of the collection in the folder `dir`, sorted: the files `qrels/*.tsv`.
    ///
    /// # Errors
    /// `FolderMissing` when there is no folder `dir`; `Io` when it cannot be listed. Without a folder `qrels` there are none.
    pub fn splits(dir: &Path) -> Result<Vec<String>, Error> {
        if !dir.is_dir() {
            return Err(Error::FolderMissing { path: dir.to_owned() });
        }
        let qrels = dir.join("qrels");
        let failed = |source| Error::Io { path: qrels.clone(), source };
        let entries = match fs::read_dir(&qrels) {
            Ok(entries) => entries,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(source)),
        };
        let mut splits = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "tsv")
                && let Some(name) = path.file_stem().and_then(|name| name.to_str())
            {
                splits.push(name.to_owned());
            }
        }
        splits.sort();
        Ok(splits)
    }

    /// The file that holds the documents.
    pub fn corpus_path(&self) -> PathBuf {
        self.dir.join("corpus.jsonl")
    }
}

/// Reads the queries that have judgements, in the order of the file.
fn judged_queries(path: &Path, qrels: &Qrels) -> Result<Vec<EvalQuery>, Error> {
    let mut queries = Vec::new();
    let mut seen = HashSet::new();
    lines::for_each(lines::open(path)?, path, |line, text| {
        let query = parse_query(text).map_err(|reason| lines::malformed(path, line, reason))?;
        if !seen.insert(query.id.clone()) {
            return Err(Error::DuplicateQuery { path: path.to_owned(), line, id: query.id });
        }
        if qrels.get(&query.id).is_some() {
            queries.push(query);
        }
        Ok(())
    })?;
    Ok(queries)
}

fn parse_query(line: &str) -> Result<EvalQuery, String> {
    let mut object = lines::object(line)?;
    Ok(EvalQuery { id: lines::take_id(&mut object, "_id")?, text: lines::take_string(&mut object, "text")? })
}

/// The folder's own name, for `.` and `..` too where the system can tell it.
fn folder_name(dir: &Path) -> String {
    let name = |dir: &Path| dir.file_name().map(|name| name.to_string_lossy().into_owned());
    name(dir).or_else(|| name(&dir.canonicalize().ok()?)).unwrap_or_else(|| dir.display().to_string())
}
