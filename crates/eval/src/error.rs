//! Why a collection or a run could not be used.

use std::io;
use std::path::PathBuf;

use berth_types::ErrorKind;
use thiserror::Error;

use crate::Measure;

/// Why a collection or a run could not be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such folder.
    #[error("{path}: no such folder; name a folder in BEIR layout (corpus.jsonl, queries.jsonl, qrels/)", path = .path.display())]
    FolderMissing {
        /// The folder asked for.
        path: PathBuf,
    },
    /// A file that every collection has is absent.
    #[error("{path}: no such file; a collection in BEIR layout has one", path = .path.display())]
    FileMissing {
        /// The file looked for.
        path: PathBuf,
    },
    /// The collection has no judgements under this name.
    #[error("{dir}: no split '{split}'; there are: {splits}", dir = .dir.display(), splits = list(.available))]
    SplitMissing {
        /// The collection's folder.
        dir: PathBuf,
        /// The split asked for.
        split: String,
        /// The splits there are, by name.
        available: Vec<String>,
    },
    /// No query of the collection is judged in the split.
    #[error("{path}: judges no query of the collection ({unknown_queries} unknown queries)", path = .path.display())]
    SplitEmpty {
        /// The file of judgements.
        path: PathBuf,
        /// Judged queries that the collection does not have.
        unknown_queries: usize,
    },
    /// The split has a file, and nothing in it.
    #[error("{path}: holds no judgement", path = .path.display())]
    NoJudgements {
        /// The file of judgements.
        path: PathBuf,
    },
    /// No document is relevant to any query of the collection.
    #[error("{path}: none of its {judgements} judgements finds a document relevant: no grade is above 0", path = .path.display())]
    NothingRelevant {
        /// The file of judgements.
        path: PathBuf,
        /// Judgements of queries that the collection has.
        judgements: usize,
    },
    /// Judgements name queries or documents that the collection does not have.
    #[error(
        "{path}: {judgements} judgements are of what the collection does not have: {queries} queries ({first_queries}), \
         {documents} documents ({first_documents})",
        path = .path.display(), first_queries = first(.first_queries, *.queries),
        first_documents = first(.first_documents, *.documents)
    )]
    UnknownJudgements {
        /// The file of judgements.
        path: PathBuf,
        /// Number of unknown queries.
        queries: usize,
        /// The first few of them.
        first_queries: Vec<String>,
        /// Number of unknown documents of known queries.
        documents: usize,
        /// The first few of them.
        first_documents: Vec<String>,
        /// Number of judgements of either.
        judgements: usize,
    },
    /// A line does not have the form that its file wants.
    #[error("{path}:{line}: {reason}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what was wanted.
        reason: String,
    },
    /// Two queries carry one id.
    #[error("{path}:{line}: query id '{id}' stands a second time", path = .path.display())]
    DuplicateQuery {
        /// The file.
        path: PathBuf,
        /// The second line, from 1.
        line: usize,
        /// The id.
        id: String,
    },
    /// One document is judged twice for one query, and differently.
    #[error("{path}:{line}: query '{query}' judges document '{document}' a second time: {second} after {first}", path = .path.display())]
    ConflictingJudgement {
        /// The file.
        path: PathBuf,
        /// The second line, from 1.
        line: usize,
        /// The query.
        query: String,
        /// The document.
        document: String,
        /// The grade stated first.
        first: i32,
        /// The grade stated second.
        second: i32,
    },
    /// A run already has an answer to a query.
    #[error("query '{query}' is answered a second time")]
    DuplicateAnswer {
        /// The query.
        query: String,
    },
    /// A ranking names a document twice.
    #[error("query '{query}' ranks document '{document}' a second time")]
    DuplicateDocument {
        /// The query.
        query: String,
        /// The document.
        document: String,
    },
    /// A score is no number.
    #[error("query '{query}' gives document '{document}' the score {score}, which has no place in an order")]
    ScoreNotFinite {
        /// The query.
        query: String,
        /// The document.
        document: String,
        /// The score.
        score: f32,
    },
    /// An id cannot stand in a run file.
    #[error("id {id:?} holds a tab or a line end, or nothing, and cannot stand in a TREC run file")]
    IdNotWritable {
        /// The id.
        id: String,
    },
    /// A run has nothing to do with the judgements.
    #[error(
        "{path}: answers none of the {judged} judged queries (it answers {answers}, the judgements are of {queries}); name the \
         judgements of its collection",
        path = .path.display(), answers = first(.first_answers, *.answered), queries = first(.first_queries, *.judged)
    )]
    RunAnswersNothing {
        /// The run file.
        path: PathBuf,
        /// Number of queries that it answers.
        answered: usize,
        /// The first few of them.
        first_answers: Vec<String>,
        /// Number of queries that are judged.
        judged: usize,
        /// The first few of them.
        first_queries: Vec<String>,
    },
    /// No measure has this name.
    #[error(
        "unknown measure '{name}'; there are: ndcg, ndcg@K, recall@K, precision@K (or p@K), mrr, mrr@K, map, map@K, success@K"
    )]
    UnknownMeasure {
        /// What was asked for.
        name: String,
    },
    /// The measure looks at a number of places that was not said.
    #[error("measure '{name}' needs a cut, as in '{name}@10'")]
    MeasureWithoutCut {
        /// What was asked for.
        name: String,
    },
    /// The number of places that a measure looks at is none.
    #[error("measure '{name}': the cut after '@' is not a whole number above 0")]
    MeasureCut {
        /// What was asked for.
        name: String,
    },
    /// A predicted probability is none.
    #[error("prediction {index} is {value}, where a probability from 0 to 1 was wanted")]
    NotAProbability {
        /// Its place among the predictions, from 0.
        index: usize,
        /// The number.
        value: f64,
    },
    /// A measure was asked for that was not measured.
    #[error("{measure} was not measured")]
    NotMeasured {
        /// What was asked for.
        measure: Measure,
    },
    /// Two evaluations that are to be compared are of different queries.
    #[error(
        "the two do not answer the same queries: {count_a} are in the first alone ({only_a}), {count_b} in the second alone ({only_b})",
        only_a = first(.only_a, *.count_a), only_b = first(.only_b, *.count_b)
    )]
    QueriesDiffer {
        /// Number of queries of the first alone.
        count_a: usize,
        /// The first few of them.
        only_a: Vec<String>,
        /// Number of queries of the second alone.
        count_b: usize,
        /// The first few of them.
        only_b: Vec<String>,
    },
    /// Two evaluations that are to be compared have no query in common.
    #[error("there is no query to compare by")]
    NothingToCompare,
    /// A confidence level is none.
    #[error("confidence level {level} is not above 0 and below 1")]
    LevelOutOfRange {
        /// What was asked for.
        level: f64,
    },
    /// A file that should hold sentence pairs holds none.
    #[error("{path}: holds no sentence pair", path = .path.display())]
    NoSentencePairs {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        r#source: io::Error,
    },
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::FolderMissing { .. } | Self::FileMissing { .. } | Self::SplitMissing { .. } => ErrorKind::NotFound,
            Self::SplitEmpty { .. }
            | Self::NoJudgements { .. }
            | Self::NothingRelevant { .. }
            | Self::UnknownJudgements { .. }
            | Self::Malformed { .. }
            | Self::DuplicateQuery { .. }
            | Self::ConflictingJudgement { .. }
            | Self::DuplicateAnswer { .. }
            | Self::DuplicateDocument { .. }
            | Self::ScoreNotFinite { .. }
            | Self::IdNotWritable { .. }
            | Self::RunAnswersNothing { .. }
            | Self::UnknownMeasure { .. }
            | Self::MeasureWithoutCut { .. }
            | Self::MeasureCut { .. }
            | Self::NotAProbability { .. }
            | Self::NotMeasured { .. }
            | Self::QueriesDiffer { .. }
            | Self::NothingToCompare
            | Self::LevelOutOfRange { .. }
            | Self::NoSentencePairs { .. } => ErrorKind::InvalidInput,
            Self::Io { .. } => ErrorKind::Unavailable,
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The first few of `count` names.
fn first(names: &[String], count: usize) -> String {
    let more = if count > names.len() { ", …" } else { "" };
    list(names) + more
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    /// A message and the chain of causes below it are printed one after the other: the cause stands in one of them.
    #[test]
    fn what_the_system_said_is_said_once() {
        let source = io::Error::other("the disk is on fire");
        let error = Error::Io { path: "file".into(), source };
        assert!(error.to_string().ends_with(": the disk is on fire"), "{error}");
        assert!(error.source().is_none());
    }
}
