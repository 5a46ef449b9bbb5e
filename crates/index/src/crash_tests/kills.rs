//! A process that puts, removes, commits, purges and keeps snapshots, and is killed (-9): at random moments, and before
//! each kind of step that it takes on the disk. What it said to be done must be there afterwards, and nothing else.
//!
//! The process is this test binary again. It says each thing on standard output before it does it, and after; the parent
//! reads along, and opens what is left after every kill.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use berth_types::ErrorKind;

use super::{Contents, Random, SEED, contents, put, quick_directory, settings, settings_with_tokens};
use crate::directory::META_FILE;
use crate::disk::{Disk, Step};
use crate::kept::{Keeping, keep_on, list_snapshots, verify_snapshot};
use crate::{DenseOptions, GraphParameters, IndexReader, IndexSettings, IndexWriter};

/// Kills in all, half of them before a named step; with `BERTH_LONG` set, `KILLS_LONG`.
const KILLS: usize = 2_000;
const KILLS_LONG: usize = 10_000;
/// An index lives through so many kills before another one is begun.
const KILLS_AN_INDEX: usize = 25;
/// What a process does if nobody kills it.
const COMMITS: usize = 12;
const IDS: u64 = 24;
/// Longest time in which an index must open after a kill.
const LONGEST_OPENING: Duration = Duration::from_secs(5);
/// Longest time that a process may say nothing.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// Folder to work in, for the process that is to be killed.
const FOLDER: &str = "BERTH_KILLED_FOLDER";
/// Its seed, whether with token rows, and the step to stop before, such as `sync rows` at its second time.
const PLAN: &str = "BERTH_KILLED_PLAN";
/// Begins each line of the process, among those of the test harness.
const MARK: &str = "berth> ";

#[test]
fn kill_9_loses_nothing_and_brings_nothing_back() {
    if let (Ok(folder), Ok(plan)) = (std::env::var(FOLDER), std::env::var(PLAN)) {
        live(Path::new(&folder), &Plan::parse(&plan));
    }
    let wanted = if std::env::var_os("BERTH_LONG").is_some() { KILLS_LONG } else { KILLS };
    let halves = [settings(), settings_with_tokens()];
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let lives: Vec<_> = halves.iter().map(|settings| scope.spawn(move || kill(wanted / 2, settings))).collect();
        lives.into_iter().map(|life| life.join().unwrap()).collect()
    });
    for tally in &tallies {
        assert!(tally.between_commits * 20 > tally.random, "kills that meet a commit: {tally:?}");
        assert!(tally.advanced > 0 && tally.snapshots > 0, "{tally:?}");
    }
    assert!(tallies.iter().map(|tally| tally.random + tally.named).sum::<usize>() >= wanted);
}

/// What became of the kills.
#[derive(Debug, Default)]
struct Tally {
    random: usize,
    /// Before a named step.
    named: usize,
    /// Kinds of steps that a process was killed before.
    steps: usize,
    /// Random ones while a commit was under way.
    between_commits: usize,
    /// Commits under way that were there after the kill.
    advanced: usize,
    /// Snapshots found afterwards, each whole.
    snapshots: usize,
    slowest_opening: Duration,
}

/// What a process is to do.
#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    tokens: bool,
    /// A kind of step, and the how many-th of it to stop before.
    stop: Option<(String, usize)>,
}

impl Plan {
    fn text(&self) -> String {
        let stop = self.stop.as_ref().map_or(String::new(), |(name, time)| format!("{time} {name}"));
        format!("{} {} {stop}", self.seed, self.tokens)
    }

    fn parse(text: &str) -> Self {
        let mut parts = text.splitn(4, ' ');
        let mut next = || parts.next().unwrap_or_default().to_string();
        let (seed, tokens, time, name) = (next(), next(), next(), next());
        let stop = (!name.is_empty()).then(|| (name, time.parse().unwrap()));
        Self { seed: seed.parse().unwrap(), tokens: tokens == "true", stop }
    }

    fn settings(&self) -> IndexSettings {
        if self.tokens { settings_with_tokens() } else { settings() }
    }
}

/// Says a line, and is sure that it is out.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{MARK}{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// The life of a process, from which it does not come back.
fn live(folder: &Path, plan: &Plan) -> ! {
    let counts: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let (counted, stop) = (Arc::clone(&counts), plan.stop.clone());
    let disk = Disk::probed(move |step: &Step| {
        let name = name_of(step);
        let time = {
            let mut counts = counted.lock().unwrap();
            let time = counts.entry(name.clone()).or_insert(0);
            *time += 1;
            *time
        };
        if stop.as_ref().is_some_and(|(wanted, at)| *wanted == name && *at == time) {
            say("stopped");
            loop {
                thread::park();
            }
        }
        Ok(())
    });
    let mut random = Random(plan.seed);
    let mut writer = IndexWriter::on_disk(&folder.join("index"), &plan.settings(), disk.clone()).unwrap();
    writer.set_dense_options(options());
    say("open");
    for round in 0..COMMITS {
        for change in 0..=random.below(3) {
            let id = format!("id-{}", random.below(IDS));
            if random.below(3) == 0 {
                say(&format!("remove {id}"));
                writer.remove(&id).unwrap();
            } else {
                let text = format!("text {change} of round {round} and seed {}", plan.seed);
                say(&format!("put {id} {text}"));
                put(&mut writer, &id, &text).unwrap();
            }
        }
        say("commit");
        writer.commit().unwrap();
        say("committed");
        match random.below(6) {
            0 => drop(writer.purge().unwrap()),
            2 => drop(writer.compact().unwrap()),
            1 => {
                let name = format!("{}-{round}", plan.seed);
                let keeping = if random.below(2) == 0 { Keeping::Link } else { Keeping::Copy };
                say(&format!("keep {name}"));
                keep_on(&disk, &folder.join("index"), &folder.join("snapshots").join(&name), keeping).unwrap();
                say(&format!("kept {name}"));
            }
            _ => {}
        }
    }
    writer.finish().unwrap();
    for (name, times) in &*counts.lock().unwrap() {
        say(&format!("step {times} {name}"));
    }
    std::process::exit(0)
}

/// Graphs and work in the background for indexes of a few rows.
fn options() -> DenseOptions {
    let graph = GraphParameters { m: 4, ef_construction: 16, ..GraphParameters::default() };
    let (graph_from_rows, background_from_rows, most_segments) = (12, 10, 6);
    DenseOptions { graph_from_rows, graph, background_from_rows, most_segments, ..DenseOptions::default() }
}

/// Names a step by what is done to what kind of file.
fn name_of(step: &Step) -> String {
    let kind = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let in_snapshot = path.iter().any(|part| part == "snapshots");
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            _ if name.starts_with("manifest-") => "manifest",
            _ if name.starts_with(META_FILE) || name == "snapshot.json" => name.as_str(),
            _ if in_snapshot && name != "lexical" && name != "dense" && path.extension().is_none() => "snapshot",
            _ if name.starts_with(".tmp") => "above",
            Some(extension) => extension,
            None => name.as_str(),
        };
        if in_snapshot { format!("kept {kind}") } else { kind.to_string() }
    };
    match step {
        Step::CreateDirectory(path) => format!("create folder {}", kind(path)),
        Step::Create(path) => format!("create {}", kind(path)),
        Step::Write(path, _) => format!("write {}", kind(path)),
        Step::Sync(path) => format!("sync {}", kind(path)),
        Step::Rename(_, path) => format!("rename to {}", kind(path)),
        Step::Link(_, path) => format!("link {}", kind(path)),
        Step::Remove(path) => format!("remove {}", kind(path)),
        Step::SyncDirectory(path) => format!("sync folder {}", kind(path)),
    }
}

/// What a process said: what must be there, what may be, and which snapshots.
#[derive(Debug, Clone, Default)]
struct Told {
    /// None before the index was there.
    acknowledged: Option<Contents>,
    changed: Contents,
    committing: bool,
    kept: BTreeMap<String, (Contents, bool)>,
    steps: Vec<(String, usize)>,
    stopped: bool,
}

impl Told {
    /// Of a process that goes on from what was found.
    fn after(found: Option<Contents>) -> Self {
        Self { changed: found.clone().unwrap_or_default(), acknowledged: found, ..Self::default() }
    }

    fn hear(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "open" => self.acknowledged = Some(self.acknowledged.take().unwrap_or_default()),
            "put" => {
                let (id, text) = rest.split_once(' ').unwrap();
                self.changed.insert(id.to_string(), text.to_string());
            }
            "remove" => drop(self.changed.remove(rest)),
            "commit" => self.committing = true,
            "committed" => {
                self.committing = false;
                self.acknowledged = Some(self.changed.clone());
            }
            "keep" => drop(self.kept.insert(rest.to_string(), (self.changed.clone(), false))),
            "kept" => self.kept.get_mut(rest).unwrap().1 = true,
            "step" => {
                let (times, name) = rest.split_once(' ').unwrap();
                self.steps.push((name.to_string(), times.parse().unwrap()));
            }
            "stopped" => self.stopped = true,
            _ => panic!("{line}"),
        }
    }
}

/// A process, and a thread that reads what it says.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(folder: &Path, plan: &Plan) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash_tests::kills::kill_9_loses_nothing_and_brings_nothing_back", "--nocapture"])
            .env(FOLDER, folder)
            .env(PLAN, plan.text())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(line) = line.strip_prefix(MARK) {
                    // The parent has gone on when nobody receives.
                    let _ = sender.send(line.to_string());
                }
            }
        });
        Self { child, lines }
    }

    /// Listens until the process stops before its step, ends, or the time is over; then kills it. Returns how it ended.
    fn hear_and_kill(mut self, told: &mut Told, time: Option<Duration>) -> ExitStatus {
        let deadline = time.map(|time| Instant::now() + time);
        loop {
            let wait = deadline.map_or(LONGEST_SILENCE, |deadline| deadline.saturating_duration_since(Instant::now()));
            match self.lines.recv_timeout(wait) {
                Ok(line) => told.hear(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if deadline.is_some() => break,
                Err(RecvTimeoutError::Timeout) => panic!("nothing was said for {LONGEST_SILENCE:?}: {told:?}"),
            }
            if told.stopped {
                break;
            }
        }
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        // What it said before it died.
        self.lines.iter().for_each(|line| told.hear(&line));
        assert!(status.code().is_none_or(|code| code == 0), "the process failed: {status}, {told:?}");
        status
    }
}

/// Starts and kills processes until `wanted` were killed, half of them before a named step.
fn kill(wanted: usize, settings: &IndexSettings) -> Tally {
    let mut tally = Tally::default();
    let tokens = settings.tokens.is_some();
    let mut random = Random(SEED + u64::from(tokens));
    // A life that nobody ends, to learn which steps there are and how long it takes.
    let undisturbed = quick_directory();
    let (started, mut told) = (Instant::now(), Told::default());
    let plan = Plan { seed: random.next(), tokens, stop: None };
    Process::start(undisturbed.path(), &plan).hear_and_kill(&mut told, None);
    let usual_ms = started.elapsed().as_millis() as u64;
    check(undisturbed.path(), &told, &mut tally);
    let steps = told.steps;
    assert!(steps.len() > 40, "{steps:?}");

    let mut folder = quick_directory();
    let (mut state, mut in_folder) = (None, 0);
    let mut met = BTreeMap::new();
    while tally.random + tally.named < wanted {
        if in_folder == KILLS_AN_INDEX {
            (folder, state, in_folder) = (quick_directory(), None, 0);
        }
        let mut told = Told::after(state.take());
        let named = tally.named <= tally.random;
        let stop = named.then(|| {
            let (name, times) = &steps[(tally.named + in_folder) % steps.len()];
            // Creating comes once in a life, and only where nothing is yet.
            let time = if met.contains_key(name) { 1 + random.below(*times as u64) as usize } else { 1 };
            (name.clone(), time)
        });
        let plan = Plan { seed: random.next() >> 16, tokens, stop };
        let time = (!named).then(|| Duration::from_micros(random.below(900 * usual_ms)));
        let status = Process::start(folder.path(), &plan).hear_and_kill(&mut told, time);
        let killed = status.code().is_none();
        state = check(folder.path(), &told, &mut tally);
        if killed && told.stopped {
            tally.named += 1;
            in_folder += 1;
            *met.entry(plan.stop.unwrap().0).or_insert(0) += 1;
        } else if killed {
            tally.random += 1;
            in_folder += 1;
            tally.between_commits += usize::from(told.committing);
        } else {
            // It came to its end: the step is not taken in an index that is there, or not by this seed.
            (folder, state, in_folder) = (quick_directory(), None, 0);
        }
    }
    tally.steps = met.len();
    // A few kinds of steps hang on what the seeds do.
    assert!(met.len() * 10 >= steps.len() * 8, "{} of {} kinds of steps: {met:?}", met.len(), steps.len());
    tally
}

/// Opens what is left, compares it with what was said, and returns it.
fn check(folder: &Path, told: &Told, tally: &mut Tally) -> Option<Contents> {
    let index = folder.join("index");
    let started = Instant::now();
    let opened = IndexReader::open(&index);
    let took = started.elapsed();
    assert!(took < LONGEST_OPENING, "{took:?}");
    tally.slowest_opening = tally.slowest_opening.max(took);
    let found = match (&told.acknowledged, opened) {
        (None, Err(error)) if error.kind() == ErrorKind::NotFound => None,
        (_, Err(error)) => panic!("{error}: {told:?}"),
        (_, Ok(reader)) => {
            let ids = reader.snapshot().document_ids("", usize::MAX).unwrap();
            assert!(ids.is_sorted_by(|one, other| one < other), "a document is there twice: {ids:?}");
            Some(contents(&index).unwrap_or_else(|error| panic!("{error}: {told:?}")))
        }
    };
    let acknowledged = told.acknowledged.clone().unwrap_or_default();
    if let Some(found) = &found {
        let advanced = told.committing && *found == told.changed && *found != acknowledged;
        assert!(*found == acknowledged || advanced, "found {found:?}: {told:?}");
        tally.advanced += usize::from(advanced);
    }
    let snapshots = folder.join("snapshots");
    if snapshots.exists() {
        for (path, _) in list_snapshots(&snapshots).unwrap() {
            assert_eq!(verify_snapshot(&path).unwrap().problems, [], "{}", path.display());
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(contents(&path).unwrap(), told.kept[name].0, "{name}: {told:?}");
            tally.snapshots += 1;
        }
        for (name, _) in told.kept.iter().filter(|(_, (_, done))| *done) {
            assert!(snapshots.join(name).exists(), "{name} is gone: {told:?}");
        }
        fs::remove_dir_all(&snapshots).unwrap();
    }
    found
}
