//! `berth serve`: gRPC, HTTP and a page, until a signal ends it.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::Context as _;
use berth_pipeline::{Home, index_exists};
use berth_server::{
    CollectionPlace, Handle, Limits, LogFormat, ServeError, Server, ServerOptions, TlsFiles, is_ready, log_line,
    serve_stdio, start_telemetry,
};
use clap::FromArgMatches as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::Outcome;
use crate::args::{Cli, Command};
use crate::commands::index::encoder_choice;
use crate::config::layered_command;
use crate::output::{WrongUsage, say};
use crate::serve_args::{HealthArgs, McpArgs, ServeArgs, ServedArgs};

/// Threads for searches and model runs that wait for their turn; most of them sleep.
const BLOCKING_THREADS: usize = 1024;
/// Time for threads to end after the last request.
const LAST_THREADS: Duration = Duration::from_secs(10);

pub(crate) fn run(home: &Home, args: &ServeArgs) -> anyhow::Result<Outcome> {
    let options = options(home, args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("berth-serve")
        .build()
        .context("cannot start threads")?;
    let (handle, signals) = Server::handle();
    let format = args.log.options().format;
    hear_signals(handle, format)?;
    let served = runtime.block_on(async {
        // It ends inside, where what is left of traces can still be sent.
        let _telemetry = start_telemetry(&args.log.options()).map_err(WrongUsage)?;
        let server = Server::bind(options).await.map_err(|error| match error {
            error @ (ServeError::OpenToAll { .. } | ServeError::SameName { .. }) => {
                anyhow::Error::from(WrongUsage(error.to_string()))
            }
            error => error.into(),
        })?;
        if !args.lazy {
            server.warm_up().await;
        }
        let scheme = if args.tls_cert.is_some() { "https" } else { "http" };
        let address = server.address();
        speak(format, &format!("serving on {scheme}://{address} (page and HTTP; gRPC on the same port)"));
        notify("READY=1");
        server.run(signals).await;
        Ok::<(), anyhow::Error>(())
    });
    runtime.shutdown_timeout(LAST_THREADS);
    served?;
    Ok(Outcome::Done)
}

/// `berth mcp`: answers an assistant on standard input and output.
pub(crate) fn run_mcp(home: &Home, args: &McpArgs) -> anyhow::Result<Outcome> {
    let options = served(home, &args.what)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    runtime.block_on(serve_stdio(options)).context("the assistant went away")?;
    runtime.shutdown_timeout(LAST_THREADS);
    Ok(Outcome::Done)
}

/// `berth health`: whether a server is ready, for containers that have no other client.
pub(crate) fn run_health(args: &HealthArgs) -> Outcome {
    match is_ready(args.listen, Duration::from_secs(args.timeout)) {
        Ok(true) => Outcome::Done,
        Ok(false) => {
            say(&format!("berth: the server on {} is not ready", args.listen));
            Outcome::Failed
        }
        Err(error) => {
            say(&format!("berth: no answer from {}: {error}", args.listen));
            Outcome::Failed
        }
    }
}

fn options(home: &Home, args: &ServeArgs) -> anyhow::Result<ServerOptions> {
    let tls = args.tls_cert.clone().zip(args.tls_key.clone());
    let tls = tls.map(|(certificate, key)| TlsFiles { certificate, key, client_ca: args.client_ca.clone() });
    Ok(ServerOptions {
        listen: args.listen,
        keys: args.keys.clone(),
        open_to_all: args.open_to_all,
        tls,
        cors_origins: args.cors_origin.clone(),
        audit: args.audit.clone(),
        drain: Duration::from_secs(args.drain),
        log_queries: args.log_queries,
        limits: args.limits.limits(),
        ..served(home, &args.what)?
    })
}

fn served(home: &Home, args: &ServedArgs) -> anyhow::Result<ServerOptions> {
    for place in &args.index {
        // A collection that is not there is most likely a misspelt one.
        if !index_exists(&place.path) {
            let message = format!(
                "there is no index in {}; make one with `berth index DOCUMENTS --index {0}`",
                place.path.display()
            );
            return Err(berth_pipeline::Error::InvalidSettings(message).into());
        }
    }
    if let Some(folder) = args.collections.as_ref().filter(|folder| !folder.is_dir()) {
        let message = format!("{} is no folder; make it, or name another with --collections", folder.display());
        return Err(WrongUsage(message).into());
    }
    Ok(ServerOptions {
        // Messages to clients leave absolute paths out.
        collections: args.index.iter().map(absolute).collect::<Result<_, _>>()?,
        collections_dir: args.collections.as_ref().map(std::path::absolute).transpose()?,
        models: encoder_choice(&args.encoder),
        memory_budget_bytes: args.memory_budget.map(|size| size.0),
        ..ServerOptions::new(home.clone())
    })
}

fn absolute(place: &CollectionPlace) -> std::io::Result<CollectionPlace> {
    Ok(CollectionPlace { name: place.name.clone(), path: std::path::absolute(&place.path)? })
}

/// Says something to the operator: as a line for people, or in the log where that is for machines.
fn speak(format: LogFormat, message: &str) {
    match format {
        LogFormat::Text => say(&format!("berth: {message}")),
        LogFormat::Json => log_line(message),
    }
}

/// Lets signals stop the server, or make it read its files again. A second one that stops ends the process at once.
fn hear_signals(handle: Handle, format: LogFormat) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("cannot hear signals")?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut stopping = false;
            for signal in signals.forever() {
                match signal {
                    SIGHUP => {
                        let limits = limits_now();
                        if let Err(error) = &limits {
                            speak(format, &format!("the limits stay as they were: {}", error.trim()));
                        }
                        handle.reload(limits.ok());
                    }
                    _ if stopping => std::process::exit(130),
                    _ => {
                        stopping = true;
                        let message =
                            "stopping; requests that are under way end first, a second signal ends them at once";
                        speak(format, message);
                        notify("STOPPING=1");
                        handle.stop();
                    }
                }
            }
        })
        .context("cannot hear signals")?;
    Ok(())
}

/// The limits as the configuration file has them by now, below the options that the server was started with.
fn limits_now() -> Result<Limits, String> {
    let command = layered_command(std::env::args_os())?;
    let given = command.try_get_matches_from(std::env::args_os()).and_then(|matches| Cli::from_arg_matches(&matches));
    match given.map_err(|error| error.to_string())?.command {
        Command::Serve(args) => Ok(args.limits.limits()),
        _ => Err("the server was not started by `berth serve`".to_owned()),
    }
}

/// Tells systemd, where it started the server and asks to be told.
fn notify(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Ok(sender) = UnixDatagram::unbound() else { return };
    // Nobody is there to be told that nobody listens.
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        if let Ok(address) = std::os::unix::net::SocketAddr::from_abstract_name(name) {
            let _ = sender.send_to_addr(state.as_bytes(), &address);
        }
        return;
    }
    let _ = sender.send_to(state.as_bytes(), socket);
}
