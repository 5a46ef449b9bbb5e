//! Sends requests: each client in turn with its answers, or all at a rate of their own.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout_at};

use crate::grpc::GrpcClient;
use crate::http::{HttpClient, Target};
use crate::options::{Options, Protocol, What};
use crate::report::{Outcome, Reply, Report, Tally};
use crate::texts::Texts;

/// Pause after a rejection that says nothing of when to come again.
const PAUSE: Duration = Duration::from_millis(100);
/// So much later than the server says a client comes back at most, as a share of that time.
const MOST_LATER: f64 = 0.5;
/// Requests that may be under way at a rate; those beyond are not sent and count as failed.
const MOST_UNDER_WAY: usize = 8192;
/// Time for the last answers at a rate.
const LAST_ANSWERS: Duration = Duration::from_secs(65);

/// Measures a server.
pub(crate) async fn run(options: &Options) -> Result<Report, Box<dyn Error>> {
    if options.protocol == Protocol::Grpc && options.what == What::Openai {
        return Err("openai is asked over HTTP alone; over gRPC say --what embed".into());
    }
    let address = options.address().await?;
    let texts = Texts::read(options.texts.as_deref())?;
    let inputs = if options.what == What::Search { 1 } else { options.inputs as usize };
    let (warmup, seconds) = options.times()?;
    let run = |clients: Vec<Client>| {
        let begin = Instant::now() + warmup;
        Run { options, clients, texts, inputs, begin, end: begin + seconds, tally: Arc::default() }
    };
    let mut clients = Vec::new();
    match options.protocol {
        Protocol::Http => {
            let target = Arc::new(Target::new(address, options)?);
            for _ in 0..options.clients {
                let mut client = HttpClient::new(&target);
                client.connect().await.map_err(|error| format!("{address}: {error}"))?;
                clients.push(Client::Http(client));
            }
        }
        Protocol::Grpc => {
            let client = GrpcClient::new(address, options)?;
            clients.extend((0..options.clients).map(|_| Client::Grpc(Arc::clone(&client))));
        }
    }
    match options.rate {
        None => run(clients).closed().await,
        Some(rate) if rate > 0.0 => run(clients).open(rate).await,
        Some(rate) => Err(format!("--rate is {rate}; it is a number of requests a second").into()),
    }
}

enum Client {
    Http(HttpClient),
    Grpc(Arc<GrpcClient>),
}

impl Client {
    async fn ask(&mut self, texts: Vec<String>) -> Reply {
        match self {
            Self::Http(client) => client.ask(texts).await,
            Self::Grpc(client) => client.ask(texts).await,
        }
    }
}

struct Run<'a> {
    options: &'a Options,
    clients: Vec<Client>,
    texts: Texts,
    inputs: usize,
    /// What is measured begins and ends then.
    begin: Instant,
    end: Instant,
    tally: Arc<Mutex<Tally>>,
}

impl Run<'_> {
    /// Each client sends its next request when the last is answered. What is answered in the measured time counts, and what is
    /// open for all of it has failed.
    async fn closed(self) -> Result<Report, Box<dyn Error>> {
        let Self { options, clients, texts, inputs, begin, end, tally } = self;
        let (texts, impatient, pause) = (Arc::new(texts), options.impatient, Duration::from_millis(options.pause));
        let mut tasks = JoinSet::new();
        let asked: Arc<Mutex<Vec<Option<Instant>>>> = Arc::new(Mutex::new(vec![None; clients.len()]));
        for (number, mut client) in clients.into_iter().enumerate() {
            let (texts, tally, asked) = (Arc::clone(&texts), Arc::clone(&tally), Arc::clone(&asked));
            let note = move |when| asked.lock().unwrap_or_else(PoisonError::into_inner)[number] = when;
            let mut chance = Chance::new(number as u64);
            tasks.spawn(async move {
                loop {
                    let texts = texts.take(inputs);
                    let started = Instant::now();
                    note(Some(started));
                    let reply = client.ask(texts).await;
                    note(None);
                    if reply.ended >= begin && reply.ended < end {
                        count(&tally, started, &reply);
                    }
                    match reply.outcome {
                        Outcome::Rejected { .. } if impatient => {}
                        // Not all at once: those who were told the same would come as a herd.
                        Outcome::Rejected { retry_after } => {
                            sleep(retry_after.unwrap_or(PAUSE).mul_f64(1.0 + MOST_LATER * chance.share())).await;
                        }
                        // A server that is gone is not asked ten thousand times a second.
                        Outcome::Failed(_) => sleep(PAUSE).await,
                        Outcome::Answered { .. } if pause.is_zero() => {}
                        Outcome::Answered { .. } => sleep(pause).await,
                    }
                }
            });
        }
        sleep_until(end.into()).await;
        tasks.shutdown().await;
        let open = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
        for started in open.into_iter().flatten().filter(|started| *started < begin) {
            let outcome = Outcome::Failed("no answer in the measured time".to_owned());
            count(&tally, started, &Reply { ended: end, outcome });
        }
        Ok(Report::new(options, &taken(&tally)))
    }

    /// Requests come at random times, `rate` a second on average. Those that came in the measured time count, from when they
    /// came, whether there was a client for them or not.
    async fn open(self, rate: f64) -> Result<Report, Box<dyn Error>> {
        let Self { options, clients, texts, inputs, begin, end, tally } = self;
        let places = Arc::new(Semaphore::new(clients.len()));
        let idle = Arc::new(Mutex::new(clients));
        let mut tasks = JoinSet::new();
        let mut chance = Chance::new(0);
        let mut due = Instant::now();
        loop {
            due += Duration::from_secs_f64(chance.gap(rate));
            if due >= end {
                break;
            }
            sleep_until(due.into()).await;
            while tasks.try_join_next().is_some() {}
            if tasks.len() >= MOST_UNDER_WAY {
                let outcome = Outcome::Failed("not sent: too many are under way".to_owned());
                if due >= begin {
                    count(&tally, due, &Reply { ended: due, outcome });
                }
                continue;
            }
            let (places, idle, tally, texts) =
                (Arc::clone(&places), Arc::clone(&idle), Arc::clone(&tally), texts.take(inputs));
            tasks.spawn(async move {
                // The semaphore is never closed.
                let _place = places.acquire().await;
                let client = lock(&idle).pop();
                if let Some(mut client) = client {
                    let reply = client.ask(texts).await;
                    lock(&idle).push(client);
                    if due >= begin {
                        count(&tally, due, &reply);
                    }
                }
            });
        }
        let last = end + LAST_ANSWERS;
        while let Ok(Some(_)) = timeout_at(last.into(), tasks.join_next()).await {}
        for _ in 0..tasks.len() {
            let outcome = Outcome::Failed("no answer".to_owned());
            count(&tally, end, &Reply { ended: last, outcome });
        }
        tasks.shutdown().await;
        Ok(Report::new(options, &taken(&tally)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(tally: &Mutex<Tally>, started: Instant, reply: &Reply) {
    lock(tally).count(reply.ended.saturating_duration_since(started), &reply.outcome);
}

fn taken(tally: &Mutex<Tally>) -> Tally {
    std::mem::take(&mut lock(tally))
}

/// Numbers as if by chance, the same each time.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        // Any odd number but 0 will do; this one is 2^64 over the golden ratio.
        Self((2 * seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// From 0 to below 1.
    fn share(&mut self) -> f64 {
        // Xorshift (Marsaglia 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Seconds to the next of events that come `rate` a second and do not know of each other.
    fn gap(&mut self, rate: f64) -> f64 {
        -(1.0 - self.share()).ln() / rate
    }
}
