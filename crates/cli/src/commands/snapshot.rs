//! `berth snapshot create | restore | verify | list`.

use std::path::Path;

use berth_pipeline::{Error, Keeping, KeptSnapshot, keep_snapshot, list_snapshots, restore_snapshot, verify_snapshot};
use serde::Serialize;

use crate::Outcome;
use crate::commands::verify;
use crate::life_args::{SnapshotAction, SnapshotArgs};
use crate::output::{self, bytes, grouped, say};

/// The contract of `--json` for `create` and `list`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    snapshot: &'a Path,
    generation: u64,
    /// Seconds since 1970.
    created: u64,
    documents: u64,
    chunks: u64,
    files: usize,
    bytes: u64,
}

impl<'a> Line<'a> {
    fn of(snapshot: &'a Path, kept: &KeptSnapshot) -> Self {
        let KeptSnapshot { generation, created, documents, chunks, .. } = *kept;
        Self { snapshot, generation, created, documents, chunks, files: kept.files(), bytes: kept.bytes() }
    }
}

/// The contract of `restore --json`.
#[derive(Debug, Serialize)]
struct RestoreLine<'a> {
    snapshot: &'a Path,
    index: &'a Path,
    /// False when the index was that very commit already.
    restored: bool,
}

pub(crate) fn run(args: &SnapshotArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        SnapshotAction::Create(args) => {
            let kept = keep_snapshot(&args.index, &args.snapshot, keeping(args.copy)).map_err(Error::from)?;
            if args.json {
                output::print_json(&Line::of(&args.snapshot, &kept))?;
            } else {
                output::print(&format!("{}\n", words(&args.snapshot, &kept)))?;
            }
            Ok(Outcome::Done)
        }
        SnapshotAction::Restore(args) => {
            let restored = restore_snapshot(&args.snapshot, &args.index, keeping(args.copy)).map_err(Error::from)?;
            if args.json {
                output::print_json(&RestoreLine { snapshot: &args.snapshot, index: &args.index, restored })?;
            } else {
                let what = if restored { "restored" } else { "as it is in the snapshot already" };
                output::print(&format!("{}: {what}\n", args.index.display()))?;
            }
            Ok(Outcome::Done)
        }
        SnapshotAction::Verify(args) => {
            verify::show(&verify_snapshot(&args.snapshot).map_err(Error::from)?, args.json, "snapshot")
        }
        SnapshotAction::List(args) => list(&args.folder, args.json),
    }
}

fn list(folder: &Path, json: bool) -> anyhow::Result<Outcome> {
    let listed = list_snapshots(folder).map_err(Error::from)?;
    let mut outcome = if listed.is_empty() { Outcome::NothingFound } else { Outcome::Done };
    if listed.is_empty() {
        say(&format!("berth: no snapshot in {}", folder.display()));
    }
    for (path, kept) in listed {
        match kept {
            Ok(kept) if json => output::print_json(&Line::of(&path, &kept))?,
            Ok(kept) => output::print(&format!("{}\n", words(&path, &kept)))?,
            Err(error) => {
                say(&format!("berth: {error}"));
                outcome = Outcome::Damaged;
            }
        }
    }
    Ok(outcome)
}

fn keeping(copy: bool) -> Keeping {
    if copy { Keeping::Copy } else { Keeping::Link }
}

fn words(path: &Path, kept: &KeptSnapshot) -> String {
    format!(
        "{}: generation {} of {}, {} documents, {}",
        path.display(),
        kept.generation,
        date(kept.created),
        grouped(kept.documents),
        bytes(kept.bytes()),
    )
}

/// Seconds since 1970 as date and time in UTC. The calendar is computed in eras of 400 years that begin on 1 March, after
/// Howard Hinnant's `civil_from_days`.
fn date(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", time / 3600, time / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_795_777_680, "2026-11-27 11:08 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
