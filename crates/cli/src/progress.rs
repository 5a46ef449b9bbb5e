//! Progress on standard error: a bar on a terminal, a plain line now and then elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use berth_pipeline::{Problem, Progress, ProgressState};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{grouped, say};

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Time between two redraws of the bar's message.
const REDRAW_EVERY: Duration = Duration::from_millis(100);
/// Problems said word by word; the report counts the rest.
const PROBLEMS_SAID: usize = 20;

/// Shows how an indexing run goes on.
pub(crate) struct Display {
    bar: Option<ProgressBar>,
    quiet: bool,
    started: Instant,
    shown: Instant,
    problems: usize,
}

impl Display {
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = (!quiet && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
            let style = ProgressStyle::with_template("{bar:28} {percent:>3}%  {msg}  ETA {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
            bar
        });
        let now = Instant::now();
        Self { bar, quiet, started: now, shown: now, problems: 0 }
    }

    /// Takes the bar off the screen.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(message)),
            None => say(message),
        }
    }
}

impl Progress for Display {
    fn update(&mut self, state: &ProgressState) {
        let every = if self.bar.is_some() { REDRAW_EVERY } else { LINE_EVERY };
        if self.quiet || self.shown.elapsed() < every {
            return;
        }
        self.shown = Instant::now();
        let tokens_per_second = state.tokens as f64 / self.started.elapsed().as_secs_f64();
        let message = format!(
            "{} documents · {} chunks · {} tokens/s",
            grouped(state.documents as u64),
            grouped(state.chunks as u64),
            grouped(tokens_per_second as u64),
        );
        if let Some(bar) = &self.bar {
            bar.set_length(state.bytes_total);
            bar.set_position(state.bytes_done);
            bar.set_message(message);
        } else {
            let percent = 100.0 * state.bytes_done as f64 / state.bytes_total.max(1) as f64;
            let elapsed = self.started.elapsed().as_secs_f64();
            // Before that, what is inside the model outweighs what is done.
            let left = if percent < 2.0 {
                String::new()
            } else {
                format!(" · about {:.0} s left", elapsed * (100.0 - percent) / percent)
            };
            say(&format!("{percent:3.0}%  {message}{left}"));
        }
    }

    fn problem(&mut self, problem: &Problem) {
        self.problems += 1;
        match self.problems {
            1..=PROBLEMS_SAID => self.line(&format!("berth: {}: {}", problem.place, problem.reason)),
            n if n == PROBLEMS_SAID + 1 => self.line("berth: more problems of this kind are only counted"),
            _ => {}
        }
    }

    fn committed(&mut self, _generation: u64) {}

    fn stage(&mut self, what: &str) {
        if !self.quiet {
            self.line(what);
        }
    }
}
