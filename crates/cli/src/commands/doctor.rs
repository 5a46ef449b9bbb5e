//! `berth doctor`: what is here, whether it is well, and what to do where it is not.

use berth_pipeline::{Home, Verdict, examine};

use crate::Outcome;
use crate::args::DoctorArgs;
use crate::output::{self, Terms, paint, printable};

pub(crate) fn run(home: &Home, args: &DoctorArgs, terms: Terms) -> anyhow::Result<Outcome> {
    let checks = examine(home, args.model.as_deref(), args.index.as_deref(), args.device);
    for check in &checks {
        if args.json {
            output::print_json(check)?;
            continue;
        }
        let word = match check.verdict {
            Verdict::Good => paint(terms.good, "ok  "),
            Verdict::Warning => paint(terms.warn, "warn"),
            Verdict::Bad => paint(terms.bad, "bad "),
        };
        output::print(&format!("{word}  {:<13} {}\n", check.name, printable(&check.finding)))?;
        if let Some(remedy) = &check.remedy {
            output::print(&format!("      {:<13} → {}\n", "", printable(remedy)))?;
        }
    }
    let well = checks.iter().all(|check| check.verdict != Verdict::Bad);
    Ok(if well { Outcome::Done } else { Outcome::Failed })
}
