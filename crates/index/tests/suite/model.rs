//! Random histories of an index, against a map that does the same.

use std::collections::BTreeMap;

use berth_index::IndexWriter;
use proptest::prelude::*;

use crate::support::{assert_sound, contents, put, settings, settings_with_tokens, snapshot};

#[derive(Debug, Clone)]
enum Operation {
    Put(u8, Vec<u8>),
    Remove(u8),
    Commit,
    Finish,
    Abandon,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (0u8..8, prop::collection::vec(0u8..20, 0..14)).prop_map(|(id, words)| Operation::Put(id, words)),
        2 => (0u8..8).prop_map(Operation::Remove),
        3 => Just(Operation::Commit),
        1 => Just(Operation::Finish),
        1 => Just(Operation::Abandon),
    ]
}

fn text(words: &[u8]) -> String {
    words.iter().map(|word| format!("word{word}")).collect::<Vec<_>>().join(" ")
}

proptest! {
    // Each case commits several times to a real disk.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn an_index_is_a_map_that_commits(
        with_tokens in any::<bool>(), operations in prop::collection::vec(operation(), 1..30),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let settings = if with_tokens { settings_with_tokens() } else { settings() };
        let open = |dir| IndexWriter::create_or_open(dir, &settings).unwrap();
        let mut writer = Some(open(dir.path()));
        let mut committed: BTreeMap<String, String> = BTreeMap::new();
        let mut pending = committed.clone();
        for operation in operations.into_iter().chain([Operation::Finish]) {
            let current = writer.get_or_insert_with(|| open(dir.path()));
            match operation {
                Operation::Put(id, words) => {
                    put(current, &id.to_string(), &text(&words));
                    pending.insert(id.to_string(), text(&words));
                }
                Operation::Remove(id) => {
                    let was_there = pending.remove(&id.to_string()).is_some();
                    prop_assert_eq!(current.remove(&id.to_string()).unwrap(), was_there);
                }
                Operation::Commit => {
                    current.commit().unwrap();
                    committed = pending.clone();
                }
                Operation::Finish => {
                    writer.take().unwrap().finish().unwrap();
                    committed = pending.clone();
                }
                Operation::Abandon => {
                    drop(writer.take());
                    pending = committed.clone();
                }
            }
            if let Some(current) = &writer {
                let ids: Vec<&str> = current.records().map(|(id, _)| id).collect();
                prop_assert_eq!(ids, pending.keys().map(String::as_str).collect::<Vec<_>>());
            }
            let expected: Vec<(String, String)> = committed.clone().into_iter().collect();
            prop_assert_eq!(contents(&snapshot(dir.path())), expected);
        }
        assert_sound(dir.path());
    }
}
