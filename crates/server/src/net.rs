//! Listens, and serves connections: plain or over TLS, HTTP/1.1 and HTTP/2, each within its limits.

pub(crate) mod connection;
pub(crate) mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::connection::{Connection, serve_connection};
use self::tls::Tls;
use crate::metrics;
use crate::options::CurrentLimits;

/// How often a server that is full looks whether it may take more.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long no connection is accepted after the system had no room for one.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Accepts connections until `stop` says otherwise; then waits until all have ended, or `drain` is over. Returns when it is.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<Tls>>,
    limits: CurrentLimits,
    (mut stop, drain): (watch::Receiver<bool>, Duration),
) -> Instant {
    let mut connections = JoinSet::new();
    loop {
        let is_full = connections.len() >= limits.get().connections;
        let accepted = tokio::select! {
            accepted = listener.accept(), if !is_full => accepted,
            () = tokio::time::sleep(LOOK_EVERY), if is_full => continue,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {
                metrics::connections(connections.len());
                continue;
            }
        };
        match accepted {
            Ok((stream, peer)) => {
                // Small answers go out at once.
                let _ = stream.set_nodelay(true);
                let connection = Connection {
                    router: router.clone(),
                    tls: tls.clone(),
                    limits: limits.get(),
                    stop: stop.clone(),
                    peer,
                };
                connections.spawn(serve_connection(connection, stream));
                metrics::connections(connections.len());
            }
            Err(error) => {
                // Too many open files, for instance: those that are there may end soon.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(NO_ROOM).await;
            }
        }
    }
    drop(listener);
    let end = Instant::now() + drain;
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout_at(end.into(), all_ended).await.is_err() {
        tracing::warn!("connections were cut: their requests took longer than the time to drain");
    }
    end
}
