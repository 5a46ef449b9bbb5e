//! Work on collections that takes its time: snapshots, and what goes on in the background.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use berth_pipeline::{Keeping, compact, dates, is_plain_name, keep_snapshot, purge, verify_index};

use super::collections::Collection;
use super::{Context, Engine, begin, blocking, detached, missing};
use crate::access::audit::Entry;
use crate::access::keys::Scope;
use crate::failure::{Code, Failure};

/// Jobs that are remembered after they ended.
const REMEMBERED: usize = 100;

/// What can be done in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobKind {
    Compact,
    Purge,
    Verify,
    Snapshot,
}

impl JobKind {
    const ALL: [Self; 4] = [Self::Compact, Self::Purge, Self::Verify, Self::Snapshot];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Purge => "purge",
            Self::Verify => "verify",
            Self::Snapshot => "snapshot",
        }
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobKind {
    type Err = Failure;

    fn from_str(word: &str) -> Result<Self, Failure> {
        let unknown = || Failure::invalid("kind", "no such kind of job; possible are compact, purge, verify, snapshot");
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(unknown)
    }
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq)]
enum JobState {
    Running,
    Done(String),
    Failed(String),
}

/// One job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) collection: String,
    pub(crate) kind: JobKind,
    state: JobState,
    started: Instant,
    took: Option<Duration>,
}

impl Job {
    /// The word for how far it is, and what came of it or why it failed.
    pub(crate) fn words(&self) -> (&'static str, &str) {
        match &self.state {
            JobState::Running => ("running", ""),
            JobState::Done(message) => ("done", message),
            JobState::Failed(message) => ("failed", message),
        }
    }

    /// How long it took, or takes already.
    pub(crate) fn seconds(&self) -> f64 {
        self.took.unwrap_or_else(|| self.started.elapsed()).as_secs_f64()
    }
}

/// The jobs of a server, the newest first.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    all: Mutex<(u64, VecDeque<Job>)>,
}

impl Jobs {
    fn begin(&self, collection: &str, kind: JobKind) -> Job {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.0 += 1;
        let job = Job {
            id: format!("{}-{}", kind, all.0),
            collection: collection.to_owned(),
            kind,
            state: JobState::Running,
            started: Instant::now(),
            took: None,
        };
        all.1.push_front(job.clone());
        while all.1.len() > REMEMBERED && all.1.back().is_some_and(|job| job.state != JobState::Running) {
            all.1.pop_back();
        }
        job
    }

    fn end(&self, id: &str, outcome: Result<String, Failure>) -> Option<Job> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let job = all.1.iter_mut().find(|job| job.id == id)?;
        job.took = Some(job.started.elapsed());
        job.state = match outcome {
            Ok(message) => JobState::Done(message),
            Err(failure) => JobState::Failed(failure.message),
        };
        Some(job.clone())
    }

    /// Those of collections that the caller sees.
    fn seen_by(&self, context: &Context) -> Vec<Job> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.1.iter().filter(|job| context.caller.sees(&job.collection)).cloned().collect()
    }
}

impl Engine {
    /// Keeps a copy of a collection beside it, and waits until it is whole.
    pub(crate) async fn snapshot(
        self: &Arc<Self>,
        context: &Context,
        name: &str,
        called: &str,
    ) -> Result<Job, Failure> {
        let collection = self.collection(context, name, Scope::Admin)?;
        let target = place_of_snapshot(&collection.path, called)?;
        let (engine, caller) = (Arc::clone(self), Arc::clone(&context.caller.id));
        detached(async move {
            let job = engine.jobs.begin(&collection.name, JobKind::Snapshot);
            let outcome = keep(collection.path.clone(), target).await;
            engine.note(&caller, &collection, JobKind::Snapshot, outcome.as_ref());
            let failure = outcome.as_ref().err().cloned();
            let job = engine.jobs.end(&job.id, outcome).unwrap_or(job);
            failure.map_or(Ok(job), Err)
        })
        .await
    }

    /// Begins work in the background.
    pub(crate) fn start_job(self: &Arc<Self>, context: &Context, name: &str, kind: JobKind) -> Result<Job, Failure> {
        let collection = self.collection(context, name, Scope::Admin)?;
        let job = self.jobs.begin(&collection.name, kind);
        let (engine, id, caller) = (Arc::clone(self), job.id.clone(), Arc::clone(&context.caller.id));
        begin(async move {
            let path = collection.path.clone();
            let outcome = match kind {
                JobKind::Snapshot => match place_of_snapshot(&path, "") {
                    Ok(target) => keep(path, target).await,
                    Err(failure) => Err(failure),
                },
                JobKind::Verify => blocking(move || verified(&path)).await,
                JobKind::Compact => engine.maintain(&collection, move || compacted(&path)).await,
                JobKind::Purge => engine.maintain(&collection, move || purged(&path)).await,
            };
            engine.note(&caller, &collection, kind, outcome.as_ref());
            engine.jobs.end(&id, outcome);
        });
        Ok(job)
    }

    /// Jobs of the caller's collections, the newest first.
    pub(crate) fn list_jobs(&self, context: &Context) -> Result<Vec<Job>, Failure> {
        context.caller.may(Scope::Admin)?;
        Ok(self.jobs.seen_by(context))
    }

    /// One job.
    pub(crate) fn job(&self, context: &Context, id: &str) -> Result<Job, Failure> {
        let mut jobs = self.list_jobs(context)?.into_iter();
        jobs.find(|job| job.id == id).ok_or_else(|| missing("id", "there is no such job"))
    }

    /// Work for which the index must not be open for writing here.
    async fn maintain(
        &self,
        collection: &Arc<Collection>,
        work: impl FnOnce() -> Result<String, Failure> + Send + 'static,
    ) -> Result<String, Failure> {
        let answer = collection.writer.maintain(collection, &self.writer_context(), Box::new(work)).await?;
        answer.await.unwrap_or_else(|_| Err(Failure::lost()))
    }

    fn note(&self, caller: &str, collection: &Collection, kind: JobKind, outcome: Result<&String, &Failure>) {
        let entry = Entry::new(caller, kind.as_str(), &collection.name, [].into_iter());
        self.audit.note(&entry, outcome.map(|_| None));
    }
}

/// Where a snapshot of this name lies: in a folder beside the index. By the moment where it has no name.
fn place_of_snapshot(index: &Path, called: &str) -> Result<PathBuf, Failure> {
    let now = dates::of_clock(SystemTime::now()).replace(':', "");
    let is_named = !called.is_empty();
    let called = if is_named { called } else { now.as_str() };
    if called.len() > 128 || !is_plain_name(called) {
        return Err(Failure::invalid(
            "name",
            "a snapshot is named by letters, digits, '-', '_' and '.', at most 128 of them",
        ));
    }
    let mut folder = index.as_os_str().to_owned();
    folder.push(".snapshots");
    let folder = PathBuf::from(folder);
    if !folder.join(called).exists() {
        return Ok(folder.join(called));
    }
    if !is_named {
        // Two in the same second.
        let free =
            (2..=u16::MAX).map(|number| folder.join(format!("{called}-{number}"))).find(|target| !target.exists());
        return free.ok_or_else(Failure::lost);
    }
    let failure = Failure::new(Code::Refused, format!("there is a snapshot '{called}' already; choose another name"));
    Err(Failure { field: Some("name"), ..failure })
}

async fn keep(index: PathBuf, target: PathBuf) -> Result<String, Failure> {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    blocking(move || {
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(|error| {
                tracing::error!(path = %folder.display(), %error, "the folder of snapshots cannot be made");
                Failure::new(Code::Unavailable, "the folder of snapshots cannot be made; the server's log says more")
            })?;
        }
        let kept = keep_snapshot(&index, &target, Keeping::default())?;
        Ok(format!("snapshot '{name}' of generation {}", kept.generation))
    })
    .await
}

fn verified(path: &Path) -> Result<String, Failure> {
    let report = verify_index(path)?;
    if report.problems.is_empty() {
        return Ok(format!("{} documents in {} files are sound", report.documents, report.files.len()));
    }
    for problem in &report.problems {
        tracing::error!(?problem, "damage");
    }
    let count = report.problems.len();
    Err(Failure::new(Code::Corrupted, format!("{count} problems were found; `berth verify` on the host names them")))
}

fn compacted(path: &Path) -> Result<String, Failure> {
    let report = compact(path, false)?;
    Ok(serde_json::to_string(&report).unwrap_or_default())
}

fn purged(path: &Path) -> Result<String, Failure> {
    let outcome = purge(path, false)?;
    Ok(serde_json::to_string(&outcome).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_stay_beside_their_index() {
        let place = |name: &str| place_of_snapshot(Path::new("/i/notes"), name);
        assert_eq!(place("before-purge").unwrap(), Path::new("/i/notes.snapshots/before-purge"));
        assert!(place("").unwrap().starts_with("/i/notes.snapshots"));
        for bad in ["..", "a/b", ".x", "a b"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn old_jobs_are_forgotten_and_running_ones_are_not() {
        let jobs = Jobs::default();
        let first = jobs.begin("a", JobKind::Verify);
        for _ in 0..2 * REMEMBERED {
            let job = jobs.begin("a", JobKind::Compact);
            jobs.end(&job.id, Ok(String::new()));
        }
        assert!(jobs.all.lock().unwrap().1.iter().any(|job| job.id == first.id));
        jobs.end(&first.id, Err(Failure::new(Code::Internal, "x")));
        jobs.begin("b", JobKind::Purge);
        assert_eq!(jobs.all.lock().unwrap().1.len(), REMEMBERED);
    }
}
