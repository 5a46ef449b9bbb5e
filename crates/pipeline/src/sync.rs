//! Decides which documents of an index are gone from their source, and whether removing them looks like a mistake.
//!
//! Pure over records: reads no files, changes no index.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use berth_types::DocumentRecord;

use crate::prepare::Change;

/// How a document compares with the record that the index has under its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// The index is to be changed.
    Differs(Change),
    /// It is as the index has it.
    Same,
    /// The id is that of a document of another file, which is still there and counts.
    OfAnotherFile,
}

/// Compares a document's record with the one in the index; `is_there` says whether a file exists.
pub(crate) fn compare(
    known: Option<&DocumentRecord>,
    record: &DocumentRecord,
    is_there: impl FnOnce(&str) -> bool,
) -> Known {
    match known {
        None => Known::Differs(Change::Added),
        Some(known) if known.file != record.file && is_there(&known.file) => Known::OfAnotherFile,
        // A part of it was stored when an earlier run was interrupted.
        Some(known) if known.content_hash.is_empty() => Known::Differs(Change::Added),
        Some(known) if known.content_hash != record.content_hash => Known::Differs(Change::Changed),
        Some(known) if known.file != record.file => Known::Differs(Change::Moved),
        Some(_) => Known::Same,
    }
}

/// What a run saw of the sources it was given.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Absolute paths that were named.
    pub(crate) roots: Vec<PathBuf>,
    /// Ids of documents that were read.
    pub(crate) ids: HashSet<String>,
    /// Files that could not be read whole: their documents are kept.
    pub(crate) doubtful_files: HashSet<PathBuf>,
}

/// What would be removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Removal {
    /// Ids that are gone, sorted.
    pub(crate) gone: Vec<String>,
    /// Documents of the index below the named roots.
    pub(crate) below_roots: usize,
    /// Of those, how many this run added.
    pub(crate) added: usize,
    /// Of `gone`, how many came back under another id with the same content.
    pub(crate) moved: usize,
}

/// Finds the documents below the named roots that the run did not see.
///
/// `added` holds the content hashes of documents that are new in this run, to tell a move from a removal.
pub(crate) fn plan_removal<'a>(
    records: impl Iterator<Item = (&'a str, &'a DocumentRecord)>,
    seen: &Seen,
    added: &[String],
) -> Removal {
    let mut added_by_hash: HashMap<&str, usize> = HashMap::new();
    for hash in added {
        *added_by_hash.entry(hash).or_default() += 1;
    }
    let mut removal = Removal { added: added.len(), ..Removal::default() };
    for (id, record) in records {
        let file = Path::new(&record.file);
        if !seen.roots.iter().any(|root| file.starts_with(root)) {
            continue;
        }
        removal.below_roots += 1;
        let in_doubt = seen.doubtful_files.iter().any(|doubtful| file.starts_with(doubtful));
        if seen.ids.contains(id) || in_doubt {
            continue;
        }
        if let Some(count) = added_by_hash.get_mut(record.content_hash.as_str())
            && *count > 0
        {
            *count -= 1;
            removal.moved += 1;
        }
        removal.gone.push(id.to_owned());
    }
    removal.gone.sort_unstable();
    removal
}

impl Removal {
    /// Documents that would be lost, not merely renamed.
    pub(crate) fn lost(&self) -> usize {
        self.gone.len() - self.moved
    }

    /// The same before the new documents are in the index.
    pub(crate) fn objection_before(&self) -> Option<String> {
        Self { added: 0, gone: self.gone.clone(), ..*self }.objection()
    }

    /// Why this removal should not go through unasked: more than half of the documents that were below the roots before
    /// this run would be lost.
    pub(crate) fn objection(&self) -> Option<String> {
        let already_there = self.below_roots.saturating_sub(self.added);
        (self.lost() * 2 > already_there)
            .then(|| format!("{} of {already_there} documents below the named paths would go", self.lost()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(file: &str, hash: &str) -> DocumentRecord {
        DocumentRecord { content_hash: hash.into(), file: file.into(), ..Default::default() }
    }

    fn check(records: &[(&str, &str, &str)], roots: &[&str], seen: &[&str], added: &[&str]) -> Removal {
        let records: Vec<_> = records.iter().map(|(id, file, hash)| (*id, record(file, hash))).collect();
        let seen = Seen {
            roots: roots.iter().map(PathBuf::from).collect(),
            ids: seen.iter().map(ToString::to_string).collect(),
            doubtful_files: HashSet::new(),
        };
        let added: Vec<String> = added.iter().map(ToString::to_string).collect();
        plan_removal(records.iter().map(|(id, record)| (*id, record)), &seen, &added)
    }

    #[test]
    fn leaves_what_lies_outside_the_named_roots() {
        let removal = check(&[("x", "/other/x", "1"), ("y", "/docs2/y", "2")], &["/docs"], &[], &[]);
        assert_eq!(removal, Removal::default());
    }

    #[test]
    fn tells_a_move_from_a_removal() {
        let records = [("/d/a", "/d/a", "1"), ("/d/b", "/d/b", "2"), ("/d/c", "/d/c", "1")];
        let removal = check(&records, &["/d"], &["/d/c"], &["1"]);
        assert_eq!(removal.gone, ["/d/a", "/d/b"]);
        assert_eq!((removal.moved, removal.lost()), (1, 1));
    }

    #[test]
    fn objects_to_losing_more_than_half() {
        let records = [("/d/a", "/d/a", "1"), ("/d/b", "/d/b", "2")];
        assert_eq!(check(&records, &["/d"], &["/d/a"], &[]).objection(), None);
        let objection = check(&records, &["/d"], &[], &[]).objection().unwrap();
        assert!(objection.contains("2 of 2"), "{objection}");
    }

    #[test]
    fn new_documents_do_not_outvote_lost_ones() {
        let records = [("/d/a", "/d/a", "1"), ("/d/b", "/d/b", "2"), ("/d/x", "/d/x", "8"), ("/d/y", "/d/y", "9")];
        let objection = check(&records, &["/d"], &["/d/x", "/d/y"], &["8", "9"]).objection().unwrap();
        assert!(objection.contains("2 of 2"), "{objection}");
    }

    #[test]
    fn renaming_everything_is_no_loss() {
        let records = [("/d/a", "/d/a", "1"), ("/d/b", "/d/b", "1")];
        assert_eq!(check(&records, &["/d"], &["/d/b"], &["1"]).objection(), None);
    }

    #[test]
    fn keeps_documents_of_files_that_could_not_be_read() {
        let kept = record("/d/rows.jsonl", "1");
        let seen = Seen {
            roots: vec!["/d".into()],
            doubtful_files: HashSet::from([PathBuf::from("/d/rows.jsonl")]),
            ..Default::default()
        };
        assert!(plan_removal([("7", &kept)].into_iter(), &seen, &[]).gone.is_empty());
    }
}
