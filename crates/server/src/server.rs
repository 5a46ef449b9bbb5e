//! A server: put together, run, reloaded, stopped.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use ::http::header::RETRY_AFTER;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic_health::server::HealthReporter;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::access::audit::Audit;
use crate::access::keys::{KeyError, Keys};
use crate::access::rates::Rates;
use crate::engine::{Engine, uptime_ms};
use crate::guard::{Guard, REQUEST_ID, guard};
use crate::net::tls::{Tls, TlsError};
use crate::options::{Limits, ServerOptions};
use crate::{Task, grpc, http, mcp, metrics, net};

/// How often keys, certificates and the folder of collections are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Time for those who watch the health of a service to hear that it ends.
const LAST_WORD: Duration = Duration::from_millis(200);

/// Why a server cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It would be open to everyone who can reach it.
    #[error(
        "{address} can be reached from other machines, and there are no API keys: make some with `berth key create` and \
         name their file with --keys, or say that everyone may do everything with --open-to-all"
    )]
    OpenToAll {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// A file cannot be opened.
    #[error("cannot open {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Two collections have the same name.
    #[error("two collections are called '{name}'; name each once, as in --index NAME=DIR")]
    SameName {
        /// The name.
        name: String,
    },
    /// Something is wrong with the API keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Something is wrong with the certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The protocol cannot describe itself.
    #[error("reflection cannot be set up: {0}")]
    Reflection(String),
}

/// A server that listens and does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    options: ServerOptions,
    engine: Arc<Engine>,
    guard: Arc<Guard>,
    tls: Option<Arc<Tls>>,
    router: axum::Router,
    health: HealthReporter,
}

/// Stops a server, and makes it read its files again.
#[derive(Debug, Clone)]
pub struct Handle {
    stop: watch::Sender<bool>,
    reload: watch::Sender<Option<Limits>>,
}

impl Handle {
    /// Lets requests that are under way end, within the time to drain, and then ends the server.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Reads API keys and certificates again, looks for collections that came or went, opens the audit log anew, and has
    /// `limits` hold from now on, where there are some; connections keep those that they began with.
    pub fn reload(&self, limits: Option<Limits>) {
        self.reload.send_replace(limits);
    }
}

impl Server {
    /// Checks all that can be checked and takes the address; collections and models are opened when they are asked for.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn bind(options: ServerOptions) -> Task<Result<Self, ServeError>> {
        Box::pin(Self::bind_to(options))
    }

    async fn bind_to(options: ServerOptions) -> Result<Self, ServeError> {
        uptime_ms();
        metrics::recorder();
        let has_client_ca = options.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let is_loopback = options.listen.ip().is_loopback();
        if !is_loopback && options.keys.is_none() && !has_client_ca && !options.open_to_all {
            return Err(ServeError::OpenToAll { address: options.listen });
        }
        for (place, collection) in options.collections.iter().enumerate() {
            if options.collections[..place].iter().any(|other| other.name == collection.name) {
                return Err(ServeError::SameName { name: collection.name.clone() });
            }
        }
        let keys = options.keys.as_deref().map(Keys::open).transpose()?;
        let tls = options.tls.as_ref().map(Tls::open).transpose()?.map(Arc::new);
        let audit = Audit::open(options.audit.as_deref()).map_err(|cause| {
            let path = options.audit.clone().unwrap_or_default();
            ServeError::File { path, cause }
        })?;
        if !is_loopback && keys.is_some() && tls.is_none() {
            tracing::warn!(
                "API keys travel in clear: give the server a certificate, or put it behind a proxy that has one"
            );
        }
        let listen = |cause| ServeError::Listen { address: options.listen, cause };
        let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let engine = Engine::new(&options, audit);
        let is_local = is_loopback && keys.is_none();
        let guarded = Guard {
            keys,
            rates: Rates::default(),
            limits: engine.limits.clone(),
            cors_origins: options.cors_origins.clone(),
            is_local,
            room: RwLock::new(Guard::room_for(&options.limits)),
        };
        let guarding = Arc::new(guarded);
        let (services, health) = grpc::routes(&engine).map_err(|error| ServeError::Reflection(error.to_string()))?;
        let router = {
            let guarding = Arc::clone(&guarding);
            let layer = from_fn(move |request: Request, next: Next| guard(Arc::clone(&guarding), request, next));
            let routes = http::routes(&engine).merge(services).merge(mcp::routes(&engine)).layer(layer);
            match cors(&options.cors_origins) {
                Some(cors) => routes.layer(cors),
                None => routes,
            }
        };
        Ok(Self { listener, address, options, engine, guard: guarding, tls, router, health })
    }

    /// Where it listens: the port that was chosen where none was named.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens collections and the default model, so that the first request does not wait for them.
    pub fn warm_up(&self) -> Task<()> {
        let engine = Arc::clone(&self.engine);
        Box::pin(async move {
            if let Err(failure) = engine.check_ready().await {
                tracing::warn!(%failure, "a collection cannot be opened");
            }
            engine.warm_up().await;
        })
    }

    /// What stops it and makes it read its files again.
    pub fn handle() -> (Handle, Signals) {
        let (stop, stopped) = watch::channel(false);
        let (reload, reloaded) = watch::channel(None);
        (Handle { stop, reload }, Signals { stopped, reloaded })
    }

    /// Answers until it is stopped, and returns when the last request has ended or the time to drain is over.
    pub fn run(self, signals: Signals) -> Task<()> {
        Box::pin(self.answer(signals))
    }

    async fn answer(self, signals: Signals) {
        let Self { listener, options, engine, guard, tls, router, health, .. } = self;
        for service in grpc::SERVICES {
            health.set_service_status(service, tonic_health::ServingStatus::Serving).await;
        }
        let Signals { stopped, reloaded } = signals;
        let looking = tokio::spawn(look_after(
            (Arc::clone(&engine), Arc::clone(&guard), tls.clone()),
            reloaded,
            options.memory_budget_bytes,
        ));
        let draining = tokio::spawn({
            let (mut stopped, ending) = (stopped.clone(), Arc::clone(&engine));
            async move {
                if stopped.wait_for(|stop| *stop).await.is_ok() {
                    ending.announce_end();
                    let mut health = health;
                    for service in grpc::SERVICES.into_iter().chain([""]) {
                        health.set_service_status(service, tonic_health::ServingStatus::NotServing).await;
                    }
                    // Whoever watches has heard it by then; their streams would hold the end up.
                    tokio::time::sleep(LAST_WORD).await;
                    for service in grpc::SERVICES.into_iter().chain([""]) {
                        health.clear_service_status(service).await;
                    }
                }
            }
        });
        let drained_by = net::serve(listener, router, tls, engine.limits.clone(), (stopped, options.drain)).await;
        engine.stop(drained_by).await;
        looking.abort();
        draining.abort();
    }
}

/// What a server hears.
#[derive(Debug, Clone)]
pub struct Signals {
    stopped: watch::Receiver<bool>,
    reloaded: watch::Receiver<Option<Limits>>,
}

/// Reads files that have changed, and keeps to the memory budget.
async fn look_after(
    (engine, guard, tls): (Arc<Engine>, Arc<Guard>, Option<Arc<Tls>>),
    mut reloaded: watch::Receiver<Option<Limits>>,
    memory_budget_bytes: Option<u64>,
) {
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => false,
            changed = reloaded.changed() => changed.is_ok(),
        };
        let limits = if asked { reloaded.borrow_and_update().clone() } else { None };
        if let Some(limits) = limits.filter(|limits| *limits != *guard.limits.get()) {
            tracing::info!(?limits, "other limits hold from now on");
            guard.set_limits(limits);
        }
        let (looking, guard, tls) = (Arc::clone(&engine), Arc::clone(&guard), tls.clone());
        let looked = tokio::task::spawn_blocking(move || {
            looking.collections.look_around();
            if let Some(Err(error)) = guard.keys.as_ref().map(|keys| keys.reload(asked)) {
                tracing::error!(%error, "the API keys stay as they were");
            }
            match tls.map(|tls| tls.reload(asked)) {
                Some(Ok(true)) => tracing::info!("the certificate was read again"),
                Some(Err(error)) => tracing::error!(%error, "the certificate stays as it was"),
                Some(Ok(false)) | None => {}
            }
            if asked {
                if let Err(error) = looking.audit.reopen() {
                    tracing::error!(%error, "the audit log cannot be opened");
                }
                tracing::info!("files were read again");
            }
        });
        // Samples are kept until somebody reads them, which nobody may.
        metrics::recorder().run_upkeep();
        if let Err(error) = looked.await {
            tracing::error!(%error, "looking after files failed");
        }
        engine.make_room(memory_budget_bytes);
    }
}

/// Lets pages of these origins ask; none by default.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| origin.parse().ok()))
    };
    let methods = [::http::Method::GET, ::http::Method::POST, ::http::Method::DELETE];
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods(methods)
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([RETRY_AFTER, REQUEST_ID]),
    )
}
