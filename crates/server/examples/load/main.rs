//! Load for a server, for scripts/bench_serve: so many clients that wait for each answer, or requests that come at a rate
//! whether answers do or not; and clients that mean harm, at this machine alone.
//!
//! `cargo run --release --example load -- --help` lists what it takes. It ends by itself and prints one report.

mod attack;
mod drive;
mod grpc;
mod http;
mod options;
mod report;
mod texts;

use std::error::Error;

use clap::Parser as _;

use self::options::Options;

#[expect(clippy::print_stdout, reason = "an example prints its result")]
fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    // One thread: what it takes is missing to the server beside it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let printed = runtime.block_on(async {
        if let Some(attack) = options.attack {
            let report = attack::run(attack, &options).await?;
            return Ok::<_, Box<dyn Error>>(if options.json {
                serde_json::to_string(&report)?
            } else {
                report.to_string()
            });
        }
        let report = drive::run(&options).await?;
        Ok(if options.json { serde_json::to_string(&report)? } else { report.to_string() })
    })?;
    println!("{printed}");
    Ok(())
}
