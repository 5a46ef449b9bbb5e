//! Runs the real binary on temporary folders and reads what it answers.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A temporary folder with a place for documents and one for an index.
pub(crate) struct Workplace {
    root: tempfile::TempDir,
}

/// What a run of the binary left behind.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Workplace {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().expect("a temporary folder") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.path("index")
    }

    /// Writes a file below the folder, with the folders that lead to it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(&path, content).expect("a file");
        path
    }

    /// The binary, started in this folder, with no configuration from outside but the folder of models.
    pub(crate) fn berth(&self, words: &[&str]) -> Command {
        self.berth_under(&[], words)
    }

    /// The same, started by another program, such as `timeout 20`.
    pub(crate) fn berth_under(&self, program: &[&str], words: &[&str]) -> Command {
        let line = [program, &[env!("CARGO_BIN_EXE_berth")]].concat();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]);
        command.current_dir(self.root.path()).args(words).env_clear();
        for name in ["PATH", "HOME", "XDG_DATA_HOME", "BERTH_HOME", "ORT_DYLIB_PATH", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        self.run_under(&[], words)
    }

    pub(crate) fn run_under(&self, program: &[&str], words: &[&str]) -> Ended {
        Ended::from(self.berth_under(program, words).stdin(Stdio::null()).output().expect("the binary starts"))
    }

    /// Starts the binary and leaves it running.
    pub(crate) fn start(&self, words: &[&str]) -> Child {
        let mut command = self.berth(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the binary starts")
    }

    /// Indexes `path` into the index and returns the report.
    pub(crate) fn index_json(&self, path: &str, more: &[&str]) -> Value {
        let words = [&["index", path, "--index", "index", "--json", "--quiet"], more].concat();
        self.run(&words).expect_code(0).json()
    }

    pub(crate) fn search_json(&self, query: &str, more: &[&str]) -> Value {
        let words = [&["search", query, "--index", "index", "--json"], more].concat();
        self.run(&words).expect_code(0).json()
    }

    pub(crate) fn status_json(&self) -> Value {
        self.run(&["status", "--index", "index", "--json"]).expect_code(0).json()
    }

    /// Number of the last commit that left chunks in the index; 0 while there is none.
    pub(crate) fn generation(&self) -> u64 {
        let status = self.run(&["status", "--index", "index", "--json"]);
        if status.code != 0 {
            return 0;
        }
        let status = status.json();
        // Making an index is a commit too.
        if number(&status, "chunks") > 0 { number(&status, "generation") } else { 0 }
    }

    /// Waits until `writer` has committed after generation `before`; false when it ended before that was seen.
    #[track_caller]
    pub(crate) fn wait_for_commit(&self, writer: &mut Child, before: u64) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if self.generation() > before {
                return true;
            }
            if writer.try_wait().expect("a child of this process").is_some() {
                return false;
            }
            if Instant::now() > deadline {
                let _ = writer.kill();
                panic!("no commit within a minute");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// The one JSON object on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// Checks that the message names what went wrong.
    #[track_caller]
    pub(crate) fn expect_message(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "'{part}' is not in: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}

pub(crate) fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("no number '{key}' in {value}"))
}

/// Keys of an object in the order in which they were written do not matter; this sorts them.
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Every file below a folder, sorted.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Three short documents on three subjects.
pub(crate) fn write_harbour(place: &Workplace) {
    place.write("docs/berth.md", "# Berths\n\nA berth is a place in a harbour where a ship is moored to the quay.\n");
    place.write("docs/bread.txt", "Sourdough bread rises slowly. Bake it in a hot oven until the crust is brown.\n");
    place
        .write("docs/deep/star.txt", "A neutron star is the collapsed core of a massive star, dense beyond measure.\n");
}

/// A collection of two documents and two queries, each with its right answer, in the folder `tiny`.
pub(crate) fn write_tiny_collection(place: &Workplace) {
    place.write(
        "tiny/corpus.jsonl",
        "{\"_id\":\"a\",\"title\":\"\",\"text\":\"a ship lies in the harbour\"}\n\
         {\"_id\":\"b\",\"title\":\"\",\"text\":\"bread is baked in an oven\"}\n",
    );
    place.write("tiny/queries.jsonl", "{\"_id\":\"1\",\"text\":\"ship\"}\n{\"_id\":\"2\",\"text\":\"oven\"}\n");
    place.write("tiny/qrels/test.tsv", "query-id\tcorpus-id\tscore\n1\ta\t1\n2\tb\t1\n");
}

/// `count` rows of JSONL, each a text of its own that names its number.
pub(crate) fn write_rows(place: &Workplace, name: &str, count: usize) -> PathBuf {
    let words = ["harbour", "vessel", "cargo", "pilot", "anchor", "tide", "lighthouse", "crane", "ballast", "mooring"];
    let mut rows = String::new();
    for number in 0..count {
        let mut text = format!("Report number {number}.");
        for position in 0..60 {
            text.push(' ');
            text.push_str(words[(number * 7 + position * (number % 9 + 1)) % words.len()]);
        }
        rows.push_str(&serde_json::json!({"_id": format!("row-{number}"), "title": "Log", "text": text}).to_string());
        rows.push('\n');
    }
    place.write(name, rows)
}
