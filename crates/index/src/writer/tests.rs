//! What the engine does behind the writer's back.

use tantivy::indexer::NoMergePolicy;

use super::IndexWriter;
use crate::crash_tests::{contents, put, settings};

/// A writer is opened where a merge is due that the one before did not come to, and the first thing that it does is to
/// replace a document: the merge begins before that is committed. Found by killing processes.
#[test]
fn a_merge_that_was_due_does_not_lose_the_first_deletion() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = IndexWriter::create_or_open(dir.path(), &settings()).unwrap();
    writer.engine.as_mut().unwrap().set_merge_policy(Box::new(NoMergePolicy));
    for id in ["a", "b", "c", "h", "i"] {
        put(&mut writer, id, "in the larger segment").unwrap();
    }
    writer.commit().unwrap();
    for id in ["d", "e", "f", "g"] {
        put(&mut writer, id, "in the smaller segment").unwrap();
    }
    writer.commit().unwrap();
    // More than a third of the smaller segment, by the last commit, and not all that will be left of it.
    writer.remove("d").unwrap();
    writer.remove("g").unwrap();
    writer.finish().unwrap();

    let mut writer = IndexWriter::create_or_open(dir.path(), &settings()).unwrap();
    put(&mut writer, "e", "replaced by another text").unwrap();
    writer.finish().unwrap();
    let found = contents(dir.path()).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b", "c", "e", "f", "h", "i"]);
    assert_eq!(found["e"], "replaced by another text");
}
