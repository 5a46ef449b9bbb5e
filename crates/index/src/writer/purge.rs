//! Makes deleted documents physically gone: every file that holds any part of one is written anew without it.

use super::IndexWriter;
use crate::Error;
use serde::Serialize;

/// What a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PurgeReport {
    /// Rows of deleted chunks that were still on the disk.
    pub rows: u64,
    /// Segments of the dense half that were written anew.
    pub dense_segments: usize,
    /// Segments of the lexical half that were written anew.
    pub lexical_segments: usize,
    /// Number of the last commit.
    pub generation: u64,
}

impl IndexWriter {
    /// Commits, and writes every segment anew that holds anything of a deleted document; the old files are removed.
    ///
    /// What a reader or a snapshot still holds stays for as long as they do.
    ///
    /// # Errors
    /// As [`commit`](Self::commit). After an error the writer takes nothing more; documents are as they were.
    pub fn purge(&mut self) -> Result<PurgeReport, Error> {
        self.commit()?;
        let purged = self.rewrite_deleted();
        self.stop_on_error(purged)
    }

    fn rewrite_deleted(&mut self) -> Result<PurgeReport, Error> {
        let mut report = PurgeReport::default();
        (report.dense_segments, report.rows) = self.dense.rewrite_deleted()?;
        if self.dense.wants_commit() {
            self.commit_changes()?;
        }
        report.lexical_segments = self.merge_deleted()?;
        self.collect_garbage();
        report.generation = self.manifest.generation;
        Ok(report)
    }

    /// Merges each segment of the lexical half that has deletions with itself.
    fn merge_deleted(&mut self) -> Result<usize, Error> {
        self.rewrite_lexical(|segments| {
            let with_deletions = segments.iter().filter(|segment| segment.has_deletes());
            with_deletions.map(|segment| vec![segment.id()]).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::crash_tests::{contents, put, settings, settings_with_sparse, settings_with_tokens};
    use crate::{IndexReader, IndexSettings};

    /// Bytes of every file of an index, by path.
    fn bytes_of(dir: &Path) -> Vec<(String, Vec<u8>)> {
        let folders = ["", "lexical", "dense"].map(|folder| dir.join(folder));
        let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
        files.filter(|path| path.is_file()).map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
    }

    fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
        bytes.windows(wanted.len()).any(|window| window == wanted)
    }

    /// Purges an index from which `removed` went.
    fn purged(settings: &IndexSettings, removed: &[&str]) -> PurgeReport {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = IndexWriter::create_or_open(dir.path(), settings).unwrap();
        for number in 0..30 {
            put(&mut writer, &format!("kept {number}"), &format!("some text of the kept one {number}")).unwrap();
        }
        put(&mut writer, "secretid", "verysecretword and unrepeatedterm").unwrap();
        writer.commit().unwrap();
        put(&mut writer, "kept 3", "in place of the former text").unwrap();
        put(&mut writer, "alone", "othersecret in a segment alone").unwrap();
        writer.commit().unwrap();
        let vector = {
            let snapshot = IndexReader::open(dir.path()).unwrap().snapshot();
            snapshot.dense_segments()[0].segment.vectors(60..61).unwrap().to_vec()
        };
        let vector: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
        for id in removed {
            writer.remove(id).unwrap();
        }
        writer.commit().unwrap();
        let before = bytes_of(dir.path());
        assert!(before.iter().any(|(_, bytes)| holds(bytes, &vector)), "the row is still there before");
        let expected = contents(dir.path()).unwrap();

        let report = writer.purge().unwrap();
        assert!(report.rows >= 3 && report.dense_segments > 0, "{report:?}");
        assert_eq!(contents(dir.path()).unwrap(), expected);
        let snapshot = IndexReader::open(dir.path()).unwrap().snapshot();
        assert_eq!(snapshot.status().deleted_rows, 0);
        for reader in snapshot.lookup().searcher.segment_readers() {
            assert_eq!(reader.num_deleted_docs(), 0);
            for (field, entry) in reader.schema().fields() {
                if !entry.is_indexed() {
                    continue;
                }
                let inverted = reader.inverted_index(field).unwrap();
                let mut terms = inverted.terms().stream().unwrap();
                while terms.advance() {
                    let secret = ["verysecret", "unrepeat"].iter().find(|word| holds(terms.key(), word.as_bytes()));
                    assert!(secret.is_none(), "{secret:?} is a term of {}", entry.name());
                }
            }
        }
        // Nothing beside the files of this commit is left, and they hold neither word nor row.
        let after = bytes_of(dir.path());
        assert_eq!(after.len(), crate::verify(dir.path()).unwrap().files.len() + 1, "and the lock: {after:?}");
        for (file, bytes) in &after {
            assert!(
                !holds(bytes, b"verysecret") && !holds(bytes, b"unrepeatedterm") && !holds(bytes, &vector),
                "{file}"
            );
        }
        assert_eq!(writer.purge().unwrap(), PurgeReport { generation: report.generation, ..PurgeReport::default() });

        put(&mut writer, "after", "work goes on").unwrap();
        writer.finish().unwrap();
        assert_eq!(contents(dir.path()).unwrap().len(), expected.len() + 1);
        report
    }

    #[test]
    fn what_was_deleted_is_in_no_file_any_more() {
        for settings in [settings(), settings_with_tokens(), settings_with_sparse()] {
            // With the second one a segment is half dead, which the engine has seen to by itself already.
            assert!(purged(&settings, &["secretid"]).lexical_segments > 0);
            purged(&settings, &["secretid", "alone"]);
        }
    }
}
