//! `berth index --dry-run`: what a run would do.

use berth_pipeline::{EncoderChoice, Home, IngestOptions, PlanOfRun, Planned, last_rate, open_encoder, plan};

use crate::Outcome;
use crate::args::IndexArgs;
use crate::commands::index::cancel_on_signals;
use crate::output::{self, complain, grouped, printable};

pub(crate) fn run(
    home: &Home,
    args: &IndexArgs,
    choice: &EncoderChoice,
    options: &IngestOptions,
) -> anyhow::Result<Outcome> {
    let encoder = open_encoder(home, choice, Some(&args.index))?;
    let cancel = cancel_on_signals()?;
    let planned = plan(&encoder, &args.index, options, last_rate(home, &encoder), &cancel)?;
    if planned.interrupted {
        return Ok(Outcome::Interrupted);
    }
    if args.json {
        output::print_json(&planned)?;
    } else {
        output::print(&page(&planned))?;
    }
    if let Some(reason) = &planned.refused {
        complain(&format!("sync would be refused: {reason}; --force lets it through"));
        return Ok(Outcome::Refused);
    }
    if let Some(reason) = &planned.expiry_refused {
        complain(&format!("nothing that has expired would be removed: {reason}; --force lets it through"));
        return Ok(Outcome::Refused);
    }
    Ok(Outcome::Done)
}

fn page(plan: &PlanOfRun) -> String {
    let mut lines = Vec::new();
    for planned in &plan.changes {
        let word = match planned.change {
            Planned::Added => "add",
            Planned::Changed => "change",
            Planned::Moved => "move",
            Planned::Removed => "remove",
            Planned::Expired => "expire",
        };
        lines.push(format!("{word:<7} {}\n", printable(&planned.document)));
    }
    let total = plan.added + plan.changed + plan.moved + plan.removed + plan.expired;
    if total > plan.changes.len() {
        lines.push(format!("… and {} more\n", grouped((total - plan.changes.len()) as u64)));
    }
    let count = |count: usize| grouped(count as u64);
    lines.push(format!(
        "{} documents: {} to add, {} to change, {} moved, {} to remove, {} unchanged\n",
        count(plan.documents),
        count(plan.added),
        count(plan.changed),
        count(plan.moved),
        count(plan.removed),
        count(plan.unchanged),
    ));
    if plan.expired > 0 {
        lines.push(format!("{} have expired and would be removed\n", count(plan.expired)));
    }
    let time = match plan.seconds {
        Some(seconds) => format!("about {seconds:.0} s"),
        None => "no telling how long: this model has not indexed here yet".to_owned(),
    };
    lines.push(format!(
        "{} chunks to embed, {} reused · {} tokens, {time}\n",
        count(plan.to_embed),
        count(plan.reused),
        grouped(plan.tokens),
    ));
    lines.concat()
}
