//! Keeps an index in step with folders: looks at them now and then, and runs a sync when they have changed and come to rest.
//!
//! It asks the file system by itself instead of being told, which works the same on local disks, network shares and
//! containers.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use berth_types::ErrorKind;

use crate::Error;
use crate::ingest::{Encoders, IngestOptions, IngestReport, Progress, ingest};
use crate::source::{list_files, path_text};

/// How often an interruption is looked for.
const GLANCE: Duration = Duration::from_millis(50);

/// Hears how it goes.
pub trait Watcher: Progress {
    /// A run has come to its end.
    fn synced(&mut self, report: &IngestReport);
    /// Another process is writing the index, or what is watched is away; it is tried again.
    fn put_off(&mut self, error: &Error);
}

/// Indexes what `options` names, and again after every change, until `cancel` becomes true. A change is taken up when two
/// looks, an `interval` apart, find the same. The index is held only while a run goes on. A folder that is away after it was
/// indexed once, and a sync that would remove too much, change nothing; they are looked at again.
///
/// # Errors
/// As [`ingest`], but for an index that another process is writing.
pub fn watch(
    encoders: Encoders<'_>,
    index: &Path,
    options: &IngestOptions,
    interval: Duration,
    watcher: &mut dyn Watcher,
    cancel: &AtomicBool,
) -> Result<(), Error> {
    let mut before = None;
    let (mut indexed, mut refused) = (None, None);
    while !cancel.load(Ordering::Relaxed) {
        let now = match stamp(options) {
            Ok(now) => Some(now),
            Err(error) if indexed.is_some() && may_pass(&error) => None,
            Err(error) => return Err(error),
        };
        // The first look is enough to begin with.
        let at_rest = before.is_none_or(|before| before == now);
        if at_rest && indexed != Some(now) && refused != Some(now) {
            match ingest(encoders, index, options, watcher, cancel) {
                Ok(report) => {
                    // What changed meanwhile shows at the next look.
                    (indexed, refused) = (Some(now), None);
                    watcher.synced(&report);
                }
                Err(error) if error.kind() == ErrorKind::Overloaded => watcher.put_off(&error),
                Err(error) if indexed.is_some() && may_pass(&error) => {
                    refused = Some(now);
                    watcher.put_off(&error);
                }
                Err(error) => return Err(error),
            }
        }
        before = Some(now);
        let until = Instant::now() + interval;
        while Instant::now() < until && !cancel.load(Ordering::Relaxed) {
            thread::sleep(GLANCE.min(interval));
        }
    }
    Ok(())
}

/// Whether an error may be over at the next look: a share that is away for a moment looks like a folder that was emptied.
fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Refused | ErrorKind::Unavailable)
}

/// What tells one state of the folders from another: paths, lengths and times of all files.
fn stamp(options: &IngestOptions) -> Result<[u8; 32], Error> {
    let listing = list_files(&options.paths, options.follow_links, true)?;
    let mut hasher = blake3::Hasher::new();
    for file in &listing.files {
        let path = path_text(&file.path);
        let modified = fs::metadata(&file.path).and_then(|metadata| metadata.modified()).ok();
        let modified_ns =
            modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |time| time.as_nanos());
        hasher.update(&(path.len() as u64).to_le_bytes()).update(path.as_bytes());
        hasher.update(&file.bytes.to_le_bytes()).update(&modified_ns.to_le_bytes());
    }
    Ok(*hasher.finalize().as_bytes())
}
