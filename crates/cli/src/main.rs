//! The `berth` binary: words, exit codes, environment and configuration file. All work is done in the crates below.

mod args;
mod bench_args;
mod commands;
mod compare_args;
mod config;
mod curation_args;
mod domain_args;
mod eval_args;
mod head_args;
mod life_args;
mod migrate_args;
mod model_args;
mod narrowing_args;
mod output;
mod progress;
#[allow(dead_code, unused_imports, reason = "not every command writes one yet")]
mod report;
mod serve_args;
mod shaping_args;
mod sparse_args;
mod tune_args;
mod weights_args;

use std::process::ExitCode;

use berth_pipeline::Error;
use berth_types::ErrorKind;
use clap::FromArgMatches;

use crate::args::{Cli, Command};

/// What a command ended with, when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All that was asked for.
    Done,
    /// Ran to its end, and its finding is that something is wrong.
    Failed,
    /// Found nothing where something had to be.
    NothingFound,
    /// Found damaged data.
    Damaged,
    /// A guard said no.
    Refused,
    /// Interrupted, after committing what was done.
    Interrupted,
}

fn main() -> ExitCode {
    let command = match config::layered_command(std::env::args_os()) {
        Ok(command) => command,
        Err(message) => {
            output::complain(&message);
            return ExitCode::from(2);
        }
    };
    // Clap prints its own message and exits with 2, or with 0 after --help and --version.
    let cli = Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    match run(&cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::NothingFound) => ExitCode::from(3),
        Ok(Outcome::Damaged) => ExitCode::from(4),
        Ok(Outcome::Refused) => ExitCode::from(5),
        Ok(Outcome::Interrupted) => ExitCode::from(130),
        // The reader of our output has seen enough (`berth … | head`); that is no failure.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("{error:#}"));
            ExitCode::from(exit_code(&error))
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Outcome> {
    let terms = output::Terms::of(cli.color);
    match &cli.command {
        Command::Index(args) => commands::index::run(&cli.home()?, args),
        Command::Watch(args) => commands::watch::run(&cli.home()?, args),
        Command::Serve(args) => commands::serve::run(&cli.home()?, args),
        Command::Mcp(args) => commands::serve::run_mcp(&cli.home()?, args),
        Command::Health(args) => Ok(commands::serve::run_health(args)),
        Command::Key(args) => commands::key::run(args),
        Command::Search(args) => commands::search::run(&cli.home()?, args, terms),
        Command::Embed(args) => commands::embed::run(&cli.home()?, args, terms),
        Command::Rerank(args) => commands::rerank::run(&cli.home()?, args, terms),
        Command::Classify(args) => commands::classify::run(&cli.home()?, args, terms),
        Command::FillMask(args) => commands::fill_mask::run(&cli.home()?, args, terms),
        Command::Entities(args) => commands::entities::run(&cli.home()?, args, terms),
        Command::Tokens(args) => commands::tokens::run(&cli.home()?, args, terms),
        Command::Attention(args) => commands::attention::run(&cli.home()?, args, terms),
        Command::Tune(args) => commands::tune::run(&cli.home()?, args),
        Command::Eval(args) => commands::eval::run(&cli.home()?, args, terms),
        Command::Compare(args) => commands::compare::run(args, terms),
        Command::Domain(args) => commands::domain::run(&cli.home()?, args, terms),
        Command::Bench(args) => commands::bench::run(&cli.home()?, args),
        Command::Status(args) => commands::status::run(args),
        Command::Get(args) => commands::get::run(args),
        Command::Complete(args) => commands::complete::run(args),
        Command::Policy(args) => commands::policy::run(args),
        Command::Synonyms(args) => commands::synonyms::run(args),
        Command::Pin(args) => commands::pin::run(args),
        Command::Queries(args) => commands::queries::run(args, terms),
        Command::Verify(args) => commands::verify::run(args),
        Command::Compact(args) => commands::compact::run(args),
        Command::Migrate(args) => commands::migrate::run(&cli.home()?, args),
        Command::Snapshot(args) => commands::snapshot::run(args),
        Command::Export(args) => commands::export::run(args),
        Command::Purge(args) => commands::purge::run(args),
        Command::Weights(args) => commands::weights::run(&cli.home()?, args),
        Command::Model(args) => commands::model::run(&cli.home()?, args),
        Command::Doctor(args) => commands::doctor::run(&cli.home()?, args, terms),
        Command::Completions(args) => commands::completions::run(args),
    }
}

/// The one place where kinds of failure become exit codes.
fn exit_code(error: &anyhow::Error) -> u8 {
    let kind = error.chain().find_map(|cause| {
        let pipeline = cause.downcast_ref::<Error>().map(Error::kind);
        pipeline.or_else(|| cause.downcast_ref::<output::WrongUsage>().map(|_| ErrorKind::InvalidInput))
    });
    match kind {
        Some(ErrorKind::InvalidInput) => 2,
        Some(ErrorKind::NotFound) => 3,
        Some(ErrorKind::Corrupted) => 4,
        Some(ErrorKind::Refused) => 5,
        _ => 1,
    }
}
