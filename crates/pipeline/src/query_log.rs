//! What an index was asked, for whoever wants to make its answers better: a line of JSON for each question, in the folder of
//! the index.
//!
//! Any number of processes may write at once: a line is appended by one call, and a line that is damaged all the same is
//! passed over. The log is not part of the index: no commit names it, and snapshots leave it out.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind as IoKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use berth_index::{dates, is_snapshot};
use berth_types::{Mode, SearchReply, TimeSpan};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The log that is written.
const LOG_FILE: &str = "queries.jsonl";
/// The one that was written before.
const OLD_LOG_FILE: &str = "queries.1.jsonl";
/// Size at which another log is begun; the old one is kept until that one is full, too.
const MOST_BYTES: u64 = 8 << 20;
/// Longest question that is kept, so that a line goes to the disk at once.
const MOST_CHARS: usize = 500;
/// Questions that a report names of each sort, unless another number is asked for.
const NAMED: usize = 10;

/// A question as the log has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedQuery {
    /// When it was answered, in UTC.
    pub time: String,
    /// As typed; a very long one is cut.
    pub query: String,
    /// Which halves answered.
    pub mode: Mode,
    /// Documents shown.
    pub hits: usize,
    /// The relevance of the most relevant one; 0 where there is none.
    pub relevance: f32,
    /// Milliseconds that the answer took.
    pub ms: f64,
}

/// Appends a question to the log of an index.
///
/// # Errors
/// `IsSnapshot`; `Io`: an index that may not be written to, for instance. The answer is as good without.
pub fn log_query(index: &Path, reply: &SearchReply, clock: SystemTime) -> Result<(), Error> {
    if is_snapshot(index) {
        return Err(berth_index::Error::IsSnapshot { path: index.to_path_buf() }.into());
    }
    let line = LoggedQuery {
        time: dates::of_clock(clock),
        query: reply.query.chars().take(MOST_CHARS).collect(),
        mode: reply.mode,
        hits: reply.hits.len(),
        relevance: reply.hits.iter().map(|hit| hit.relevance).fold(0.0, f32::max),
        ms: (reply.took_ms * 10.0).round() / 10.0,
    };
    append(index, &line, MOST_BYTES)
}

fn append(index: &Path, line: &LoggedQuery, most_bytes: u64) -> Result<(), Error> {
    let path = index.join(LOG_FILE);
    let failed = |error| Error::io("write", &path)(error);
    let mut bytes = serde_json::to_vec(line).map_err(io::Error::from).map_err(failed)?;
    bytes.push(b'\n');
    let mut file = open(&path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() >= most_bytes
        && begin_another(index, &file, most_bytes).map_err(failed)?
    {
        file = open(&path).map_err(failed)?;
    }
    file.write_all(&bytes).map_err(failed)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Moves a full log aside. Of several processes that find it full, the one that gets its lock does it; the others go on writing
/// to what they have open.
fn begin_another(index: &Path, full: &File, most_bytes: u64) -> io::Result<bool> {
    if full.try_lock().is_err() {
        return Ok(false);
    }
    let path = index.join(LOG_FILE);
    // Another one may have moved it since it was opened here.
    let is_still_full = fs::metadata(&path).is_ok_and(|found| found.len() >= most_bytes);
    if is_still_full {
        fs::rename(&path, index.join(OLD_LOG_FILE))?;
    }
    Ok(is_still_full)
}

/// What is read of the log of an index.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QueryLog {
    /// Oldest first.
    pub queries: Vec<LoggedQuery>,
    /// Lines that are damaged.
    pub damaged: usize,
}

/// Reads the log of an index; empty where there is none.
///
/// # Errors
/// `Io` when it cannot be read.
pub fn read_query_log(index: &Path) -> Result<QueryLog, Error> {
    let mut log = QueryLog::default();
    for path in log_files(index) {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == IoKind::NotFound => continue,
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<LoggedQuery>(line) {
                Ok(query) if dates::micros(&query.time).is_some() => log.queries.push(query),
                _ => log.damaged += 1,
            }
        }
    }
    Ok(log)
}

/// Removes the log of an index; says how many questions it had.
///
/// # Errors
/// `Io` when it cannot be removed.
pub fn clear_query_log(index: &Path) -> Result<usize, Error> {
    let count = read_query_log(index)?.queries.len();
    for path in log_files(index) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != IoKind::NotFound => return Err(Error::io("remove", &path)(error)),
            _ => {}
        }
    }
    Ok(count)
}

/// Oldest first.
fn log_files(index: &Path) -> [PathBuf; 2] {
    [OLD_LOG_FILE, LOG_FILE].map(|name| index.join(name))
}

/// A question and how it fared, every time that it was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuerySummary {
    /// As typed the last time.
    pub query: String,
    /// How often it was asked, in whichever case.
    pub times: usize,
    /// Documents shown the last time.
    pub hits: usize,
    /// The best relevance of the last time.
    pub relevance: f32,
    /// The middle one of its times, in milliseconds.
    pub median_ms: f64,
    /// When it was asked last.
    pub last: String,
}

/// What a log says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueryReport {
    /// Questions that were asked.
    pub queries: usize,
    /// Different ones.
    pub distinct: usize,
    /// Questions that found nothing.
    pub found_nothing: usize,
    /// Lines of the log that are damaged.
    pub damaged_lines: usize,
    /// When the first one of them was asked; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// The commonest.
    pub commonest: Vec<QuerySummary>,
    /// Those that found nothing the last time, the commonest first.
    pub nothing: Vec<QuerySummary>,
    /// The slowest.
    pub slowest: Vec<QuerySummary>,
}

/// Sums up a log: what was asked within `since` before `clock`, everything where there is no such span. `named` is the number of
/// questions that are named of each sort, ten unless it is said.
pub fn query_report(log: &QueryLog, since: Option<TimeSpan>, named: Option<usize>, clock: SystemTime) -> QueryReport {
    let now = dates::micros(&dates::of_clock(clock)).unwrap_or(i64::MAX);
    let start = since.map_or(i64::MIN, |since| now.saturating_sub(since.micros()));
    let is_wanted = |query: &&LoggedQuery| dates::micros(&query.time).is_some_and(|time| time >= start);
    let queries: Vec<&LoggedQuery> = log.queries.iter().filter(is_wanted).collect();
    let mut by_words: BTreeMap<String, Vec<&LoggedQuery>> = BTreeMap::new();
    for &query in &queries {
        let words = query.query.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        by_words.entry(words).or_default().push(query);
    }
    let mut summaries: Vec<QuerySummary> = by_words.values().filter_map(|asked| summary(asked)).collect();
    let named = named.unwrap_or(NAMED);
    let first = |summaries: &[QuerySummary]| summaries.iter().take(named).cloned().collect::<Vec<_>>();
    summaries.sort_by_key(|summary| std::cmp::Reverse(summary.times));
    let commonest = first(&summaries);
    let nothing: Vec<QuerySummary> = summaries.iter().filter(|summary| summary.hits == 0).cloned().collect();
    summaries.sort_by(|one, other| other.median_ms.total_cmp(&one.median_ms));
    QueryReport {
        queries: queries.len(),
        distinct: by_words.len(),
        found_nothing: queries.iter().filter(|query| query.hits == 0).count(),
        damaged_lines: log.damaged,
        first: queries.iter().map(|query| query.time.clone()).min(),
        commonest,
        nothing: first(&nothing),
        slowest: first(&summaries),
    }
}

fn summary(asked: &[&LoggedQuery]) -> Option<QuerySummary> {
    let last = asked.last()?;
    let mut times: Vec<f64> = asked.iter().map(|query| query.ms).collect();
    times.sort_by(f64::total_cmp);
    Some(QuerySummary {
        query: last.query.clone(),
        times: asked.len(),
        hits: last.hits,
        relevance: last.relevance,
        median_ms: times[times.len() / 2],
        last: last.time.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn asked(time: &str, query: &str, hits: usize, ms: f64) -> LoggedQuery {
        LoggedQuery { time: time.into(), query: query.into(), mode: Mode::Hybrid, hits, relevance: 0.5, ms }
    }

    #[test]
    fn a_log_is_written_by_many_and_read_without_its_damaged_lines() {
        let dir = tempfile::tempdir().unwrap();
        thread::scope(|scope| {
            for writer in 0..8 {
                let path = dir.path();
                scope.spawn(move || {
                    for number in 0..50 {
                        let line = asked("2026-01-01T10:00:00Z", &format!("query {writer} {number}"), 1, 2.0);
                        append(path, &line, u64::MAX).unwrap();
                    }
                });
            }
        });
        let mut file = open(&dir.path().join(LOG_FILE)).unwrap();
        file.write_all(
            b"{\"time\":\"2026-01-01\"\n\xff\xfe\n{\"time\":\"soon\",\"query\":\"a\",\"mode\":\"dense\",\"hits\":1,",
        )
        .unwrap();
        file.write_all(b"\"relevance\":0,\"ms\":1}\n").unwrap();
        let log = read_query_log(dir.path()).unwrap();
        assert_eq!((log.queries.len(), log.damaged), (400, 3));
        assert_eq!((clear_query_log(dir.path()).unwrap(), clear_query_log(dir.path()).unwrap()), (400, 0));
        assert_eq!(read_query_log(dir.path()).unwrap(), QueryLog::default());
    }

    #[test]
    fn a_full_log_makes_room_and_no_line_is_lost_while_it_is_moved() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = |name: &str| fs::metadata(dir.path().join(name)).map_or(0, |found| found.len());
        for number in 0..40 {
            append(dir.path(), &asked("2026-01-01", &format!("q {number}"), 1, 2.0), 1000).unwrap();
            assert!(bytes(LOG_FILE) < 1200 && bytes(OLD_LOG_FILE) < 1200);
        }
        let log = read_query_log(dir.path()).unwrap();
        let numbers: Vec<&str> = log.queries.iter().map(|query| query.query.trim_start_matches("q ")).collect();
        let first: usize = numbers[0].parse().unwrap();
        assert!(first > 0 && numbers.len() > 10);
        assert_eq!(numbers, (first..40).map(|number| number.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn a_report_names_what_is_common_what_found_nothing_and_what_is_slow() {
        let queries = vec![
            asked("2026-01-01T10:00:00Z", "old one", 3, 1.0),
            asked("2026-01-09T10:00:00Z", "Harbour  crane", 0, 5.0),
            asked("2026-01-09T11:00:00Z", "harbour crane", 2, 7.0),
            asked("2026-01-09T12:00:00Z", "absent", 0, 3.0),
            asked("2026-01-09T13:00:00Z", "slow", 1, 90.0),
        ];
        let log = QueryLog { queries, damaged: 1 };
        let clock = UNIX_EPOCH + Duration::from_micros(dates::micros("2026-01-10").unwrap() as u64);
        let report = query_report(&log, Some("7d".parse().unwrap()), Some(2), clock);
        assert_eq!((report.queries, report.distinct, report.found_nothing, report.damaged_lines), (4, 3, 2, 1));
        assert_eq!(report.first.as_deref(), Some("2026-01-09T10:00:00Z"));
        let names = |of: &[QuerySummary]| of.iter().map(|of| of.query.clone()).collect::<Vec<_>>().join(", ");
        assert_eq!(names(&report.commonest), "harbour crane, absent");
        assert_eq!((report.commonest[0].times, report.commonest[0].median_ms), (2, 7.0));
        assert_eq!(names(&report.nothing), "absent", "what found something the last time is mended");
        assert_eq!(names(&report.slowest), "slow, harbour crane");
        assert_eq!(query_report(&log, None, None, clock).queries, 5);
        assert_eq!(query_report(&QueryLog::default(), None, None, clock).commonest, []);
    }
}
