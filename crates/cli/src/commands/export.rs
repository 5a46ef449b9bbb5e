//! `berth export --index DIR --out FILE`.

use berth_pipeline::{ExportFormat, export};

use crate::Outcome;
use crate::commands::index::cancel_on_signals;
use crate::life_args::ExportArgs;
use crate::output::{self, WrongUsage, grouped};

pub(crate) fn run(args: &ExportArgs) -> anyhow::Result<Outcome> {
    let ending = args.out.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let format = match ending.as_deref() {
        Some("jsonl" | "ndjson") => ExportFormat::Jsonl,
        Some("parquet") => ExportFormat::Parquet,
        _ => {
            let message =
                format!("{} tells no format; name a file that ends with .jsonl or .parquet", args.out.display());
            return Err(WrongUsage(message).into());
        }
    };
    let cancel = cancel_on_signals()?;
    let report = export(&args.index, &args.out, format, args.vectors, &cancel)?;
    if report.interrupted {
        return Ok(Outcome::Interrupted);
    }
    if args.json {
        output::print_json(&report)?;
    } else {
        let (documents, chunks) = (grouped(report.documents), grouped(report.chunks));
        output::print(&format!("{}: {documents} documents, {chunks} chunks\n", args.out.display()))?;
    }
    Ok(Outcome::Done)
}
