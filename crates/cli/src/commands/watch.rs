//! `berth watch PATH… --index DIR`.

use std::time::Duration;

use berth_pipeline::{
    Encoders, Error, Home, IngestOptions, IngestReport, Problem, Progress, ProgressState, Watcher, is_standard_input,
    open_encoder, open_sparse_encoder, open_token_encoder, watch,
};

use crate::Outcome;
use crate::commands::index::{EXPIRY_REFUSED, cancel_on_signals, encoder_choice, summary};
use crate::life_args::WatchArgs;
use crate::output::{self, WrongUsage, complain, say};
use crate::progress::Display;

pub(crate) fn run(home: &Home, args: &WatchArgs) -> anyhow::Result<Outcome> {
    if args.paths.iter().any(|path| is_standard_input(path)) {
        return Err(WrongUsage("standard input cannot be watched; name folders or files".to_owned()).into());
    }
    if let Some(path) = args.paths.iter().find(|path| !path.exists()) {
        return Err(Error::PathNotFound { path: path.clone() }.into());
    }
    let options = IngestOptions {
        paths: args.paths.clone(),
        sync: true,
        force: args.force,
        follow_links: args.follow,
        policy: args.policy.change(),
        access: args.policy.access(),
        ..IngestOptions::default()
    };
    let choice = encoder_choice(&args.encoder);
    // With token rows and sparse vectors where the index has them.
    let tokens = open_token_encoder(home, &choice, Some(&args.index), false)?;
    let sparse = open_sparse_encoder(home, &choice, Some(&args.index), None)?;
    let encoder = open_encoder(home, &choice, Some(&args.index))?;
    let cancel = cancel_on_signals()?;
    let mut teller = Teller { display: Display::new(args.quiet), json: args.json, quiet: args.quiet };
    let interval = Duration::from_secs_f64(args.interval);
    let encoders = Encoders { dense: &encoder, tokens: tokens.as_ref(), sparse: sparse.as_ref() };
    watch(encoders, &args.index, &options, interval, &mut teller, &cancel)?;
    Ok(Outcome::Interrupted)
}

struct Teller {
    display: Display,
    json: bool,
    quiet: bool,
}

impl Progress for Teller {
    fn update(&mut self, state: &ProgressState) {
        self.display.update(state);
    }

    fn problem(&mut self, problem: &Problem) {
        self.display.problem(problem);
    }

    fn committed(&mut self, generation: u64) {
        self.display.committed(generation);
    }
}

impl Watcher for Teller {
    fn synced(&mut self, report: &IngestReport) {
        self.display.clear();
        self.display = Display::new(self.quiet);
        if let Some(reason) = &report.refused {
            complain(&format!("sync refused: {reason}; nothing was removed; start with --force if this is meant"));
        }
        if let Some(reason) = &report.expiry_refused {
            complain(&format!("{EXPIRY_REFUSED}: {reason}; start with --force if this is meant"));
        }
        // Nobody reads the output any more: the index is kept in step all the same.
        let _ = if self.json { output::print_json(report) } else { output::print(&summary(report)) };
    }

    fn put_off(&mut self, error: &Error) {
        match error {
            Error::SyncRefused { reason } => {
                say(&format!(
                    "berth: {reason}; nothing was removed; `berth index --sync --force` would, if it is meant"
                ));
            }
            error => say(&format!("berth: {error}; trying again")),
        }
    }
}
