//! A retrieval collection in BEIR layout.
//!
//! `corpus.jsonl` (`_id`, `title`, `text`) is left to whoever indexes it, but for its ids; here `queries.jsonl` (`_id`, `text`)
//! and `qrels/SPLIT.tsv` are read.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::{Error, Qrels, lines};

/// Ids that an error names of each kind.
const NAMED: usize = 5;

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
    /// Ids of queries that the split judges but the collection does not have, in order; their judgements are left out.
    pub unknown_queries: Vec<String>,
    /// How many judgements these were.
    pub unknown_query_judgements: usize,
}

impl Dataset {
    /// Reads the queries and judgements of `split` from the folder `dir`.
    ///
    /// # Errors
    /// `FolderMissing`, `FileMissing` or `SplitMissing` when something is not there; `Malformed`, `DuplicateQuery` or
    /// `ConflictingJudgement` when a line is wrong; `NoJudgements` when the split holds nothing, `SplitEmpty` when it judges none
    /// of the queries, `NothingRelevant` when it finds no document relevant to them; `Io` when reading fails.
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
        let path = qrels_path(dir, split);
        let mut qrels = Qrels::read(&path)?;
        if qrels.judgements() == 0 {
            return Err(Error::NoJudgements { path });
        }
        let queries = judged_queries(&dir.join("queries.jsonl"), &qrels)?;
        let known: HashSet<&str> = queries.iter().map(|query| query.id.as_str()).collect();
        let unknown = qrels.split_off_queries(|query| known.contains(query));
        if queries.is_empty() {
            return Err(Error::SplitEmpty { path, unknown_queries: unknown.queries() });
        }
        if qrels.relevant_documents().is_empty() {
            return Err(Error::NothingRelevant { path, judgements: qrels.judgements() });
        }
        Ok(Self {
            name: folder_name(dir),
            dir: dir.to_owned(),
            split: split.to_owned(),
            queries,
            qrels,
            unknown_queries: unknown.iter().map(|(query, _)| query.to_owned()).collect(),
            unknown_query_judgements: unknown.judgements(),
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

    /// Reads the ids of the documents, and keeps none of their texts.
    ///
    /// # Errors
    /// `FileMissing`; `Malformed` for a line that is no JSON object with an `_id`; `Io`.
    pub fn document_ids(&self) -> Result<BTreeSet<String>, Error> {
        let path = self.corpus_path();
        let mut ids = BTreeSet::new();
        lines::for_each(lines::open(&path)?, &path, |line, text| {
            let id = document_id(text).map_err(|reason| lines::malformed(&path, line, reason))?;
            ids.insert(id);
            Ok(())
        })?;
        Ok(ids)
    }

    /// Collects what the split judges and the collection lacks; `known` says which documents there are.
    pub fn unknown_judgements(&self, known: impl Fn(&str) -> bool) -> UnknownJudgements {
        let owned = |(query, document): (&str, &str)| (query.to_owned(), document.to_owned());
        UnknownJudgements {
            path: qrels_path(&self.dir, &self.split),
            queries: self.unknown_queries.clone(),
            query_judgements: self.unknown_query_judgements,
            documents: self.qrels.unknown_documents(known).into_iter().map(owned).collect(),
        }
    }
}

/// Judgements that say nothing of a collection, because it lacks the query or the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownJudgements {
    /// The file of judgements.
    pub path: PathBuf,
    /// Queries that the collection does not have.
    pub queries: Vec<String>,
    /// Number of their judgements.
    pub query_judgements: usize,
    /// Query and document of every judgement of a known query whose document the collection does not have.
    pub documents: Vec<(String, String)>,
}

impl UnknownJudgements {
    /// Whether the collection has all that is judged.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty() && self.documents.is_empty()
    }

    /// Refuses what is unknown, for those who want it so.
    ///
    /// # Errors
    /// `UnknownJudgements` unless there is none.
    pub fn require_none(&self) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        let documents: BTreeSet<&String> = self.documents.iter().map(|(_, document)| document).collect();
        Err(Error::UnknownJudgements {
            path: self.path.clone(),
            queries: self.queries.len(),
            first_queries: self.queries.iter().take(NAMED).cloned().collect(),
            documents: documents.len(),
            first_documents: documents.into_iter().take(NAMED).cloned().collect(),
            judgements: self.query_judgements + self.documents.len(),
        })
    }
}

fn qrels_path(dir: &Path, split: &str) -> PathBuf {
    dir.join("qrels").join(format!("{split}.tsv"))
}

/// Reads past everything but the id; the error is a reason.
fn document_id(line: &str) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Document {
        #[serde(rename = "_id")]
        id: String,
    }
    let document: Document = serde_json::from_str(line).map_err(|error| format!("no document with an id: {error}"))?;
    if document.id.is_empty() { Err("\"_id\" is empty".to_owned()) } else { Ok(document.id) }
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
pub fn folder_name(dir: &Path) -> String {
    let name = |dir: &Path| dir.file_name().map(|name| name.to_string_lossy().into_owned());
    name(dir).or_else(|| name(&dir.canonicalize().ok()?)).unwrap_or_else(|| dir.display().to_string())
}
