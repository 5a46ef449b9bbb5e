//! A tiny checkpoint, imported by the real binary into a home of its own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::{Ended, Workplace};

/// A workplace with a home of its own, in which the fixture is installed as `tiny`.
pub(crate) struct Tiny {
    pub(crate) place: Workplace,
}

impl Tiny {
    pub(crate) fn new(fixture: &str) -> Self {
        let place = Workplace::new();
        let checkpoints = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints");
        let folder = checkpoints.join(fixture);
        let tiny = Self { place };
        tiny.run(&["model", "import", folder.to_str().expect("a path in UTF-8"), "--name", "tiny"]).expect_code(0);
        tiny
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        self.run_with(words, "")
    }

    /// The same, with `input` on standard input.
    pub(crate) fn run_with(&self, words: &[&str], input: &str) -> Ended {
        let mut child = self.start(words);
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_owned();
        // Written beside reading, so that neither side waits for the other.
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(input.as_bytes());
        });
        let output = child.wait_with_output().expect("the binary ends");
        writer.join().expect("the input was written");
        Ended::from(output)
    }

    /// Starts the binary and leaves it running, with a pipe at each end.
    pub(crate) fn start(&self, words: &[&str]) -> Child {
        let library = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from).or_else(|| {
            let home = std::env::var_os("BERTH_HOME")
                .map(PathBuf::from)
                .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share/berth")))?;
            Some(home.join("runtime/libonnxruntime.so.1.31.1"))
        });
        let mut command = self.place.berth(words);
        command.env("BERTH_HOME", self.place.path("home")).env("ORT_DYLIB_PATH", library.expect("a runtime"));
        command.env("BERTH_MODEL", "tiny").env("BERTH_PRECISION", "fp32");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the binary starts")
    }
}

/// The objects on standard output, one a line.
pub(crate) fn lines(ended: &Ended) -> Vec<Value> {
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

pub(crate) fn floats(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number")).collect()
}
