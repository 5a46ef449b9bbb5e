//! Lets so many requests work at a time, so many wait, and turns away the rest at once.
//!
//! A request that would wait longer than is sensible is better answered "later" now: whoever asked can go elsewhere, and those
//! that were let in keep their time.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::Failure;
use crate::options::CurrentLimits;

/// Weight of the newest request in the measured pace.
const NEWEST: f64 = 0.1;
/// The shortest time that a client is told to stay away.
const LEAST_RETRY: Duration = Duration::from_millis(100);

/// The door to a model or to searching.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    all_places: usize,
    limits: CurrentLimits,
    waiting: AtomicUsize,
    /// How many were turned away so far.
    turned_away: AtomicU64,
    /// Cost of those that wait and work, in units of the caller's choice.
    cost_inside: AtomicU64,
    /// Seconds that a unit of cost takes; none before the first was measured.
    pace: Mutex<Option<f64>>,
}

/// A place at work; leaving it lets the next one in.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    cost: u64,
    entered: Instant,
    /// How long it waited.
    pub(crate) waited: Duration,
    _place: OwnedSemaphorePermit,
}

/// Counts one that waits, also when it goes away.
struct Waiting<'a>(&'a Gate, u64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.cost_inside.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl Gate {
    /// `places` at work at a time; as many wait as `limits` let, none longer than these say as far as that can be foreseen.
    pub(crate) fn new(places: usize, limits: CurrentLimits) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(places)),
            all_places: places,
            limits,
            waiting: AtomicUsize::new(0),
            turned_away: AtomicU64::new(0),
            cost_inside: AtomicU64::new(0),
            pace: Mutex::new(None),
        })
    }

    /// Waits for a place until `deadline`. Giving up costs nothing: whoever is dropped while waiting is out of the queue.
    ///
    /// # Errors
    /// `Overloaded` at once when too many wait, or when the wait would be too long; `DeadlineExceeded`.
    pub(crate) async fn enter(self: &Arc<Self>, cost: u64, deadline: Instant) -> Result<Pass, Failure> {
        let asked = Instant::now();
        if deadline <= asked {
            return Err(Failure::deadline());
        }
        let cost = cost.max(1);
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            self.cost_inside.fetch_add(cost, Ordering::Relaxed);
            return Ok(self.pass(cost, asked, place));
        }
        let wait = self.foreseen_wait();
        let limits = self.limits.get();
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        self.cost_inside.fetch_add(cost, Ordering::Relaxed);
        let counted = Waiting(self, cost);
        let retry = self.spread(wait.unwrap_or(limits.wait).max(LEAST_RETRY));
        if waiting >= limits.queue {
            let most = limits.queue;
            let message = format!("{most} requests wait already, which is the limit max-queue; try again later");
            return Err(Failure::overloaded("max-queue", message, retry));
        }
        if let Some(wait) = wait.filter(|wait| *wait > limits.wait) {
            let (wait, most) = (wait.as_millis(), limits.wait.as_millis());
            let message =
                format!("the wait would be {wait} ms, above the limit max-wait of {most} ms; try again later");
            return Err(Failure::overloaded("max-wait", message, retry));
        }
        let place = tokio::time::timeout_at(deadline.into(), Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(Failure::deadline()) };
        // It is inside now: what it costs is given back by the pass.
        self.cost_inside.fetch_add(cost, Ordering::Relaxed);
        drop(counted);
        Ok(self.pass(cost, asked, place))
    }

    /// The wait, by up to a half longer, each time by another share: those who are turned away together do not come back together.
    fn spread(&self, wait: Duration) -> Duration {
        // Multiples of the golden ratio fall evenly between whole numbers.
        let share = (self.turned_away.fetch_add(1, Ordering::Relaxed) as f64 * 0.618_033_988_749_895).fract();
        wait.mul_f64(1.0 + share / 2.0)
    }

    fn pass(self: &Arc<Self>, cost: u64, asked: Instant, place: OwnedSemaphorePermit) -> Pass {
        let entered = Instant::now();
        Pass { gate: Arc::clone(self), cost, entered, waited: entered - asked, _place: place }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many are at work.
    pub(crate) fn working(&self) -> usize {
        self.all_places - self.places.available_permits()
    }

    /// How long one that came now would wait, by the pace so far.
    fn foreseen_wait(&self) -> Option<Duration> {
        let pace = (*self.pace.lock().unwrap_or_else(PoisonError::into_inner))?;
        let seconds = pace * self.cost_inside.load(Ordering::Relaxed) as f64;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Learns from a request of `cost` that took `spent` while `beside` were at work.
    fn learn(&self, cost: u64, spent: Duration, beside: usize) {
        let measured = spent.as_secs_f64() / (cost as f64 * beside.max(1) as f64);
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        *pace = Some(pace.map_or(measured, |before| before + NEWEST * (measured - before)));
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.learn(self.cost, self.entered.elapsed(), self.gate.working());
        self.gate.cost_inside.fetch_sub(self.cost, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;
    use crate::options::Limits;

    fn gate(places: usize, queue: usize, wait: Duration) -> Arc<Gate> {
        Gate::new(places, CurrentLimits::new(Limits { queue, wait, ..Limits::default() }))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test)
    }

    #[test]
    fn so_many_work_so_many_wait_and_the_rest_is_turned_away() {
        run(async {
            let gate = gate(1, 1, Duration::from_secs(100));
            let first = gate.enter(1, soon()).await.unwrap();
            let second = tokio::spawn({
                let gate = Arc::clone(&gate);
                async move { gate.enter(1, soon()).await.map(|_| ()) }
            });
            tokio::task::yield_now().await;
            assert_eq!((gate.working(), gate.waiting()), (1, 1));
            let refused = gate.enter(1, soon()).await.unwrap_err();
            assert_eq!((refused.code, refused.limit), (Code::Overloaded, Some("max-queue")));
            assert!(refused.retry_after.is_some());
            drop(first);
            second.await.unwrap().unwrap();
            assert_eq!((gate.working(), gate.waiting(), gate.cost_inside.load(Ordering::Relaxed)), (0, 0, 0));
        });
    }

    #[test]
    fn whoever_gives_up_is_out_of_the_queue() {
        run(async {
            let gate = gate(1, 1, Duration::from_secs(100));
            let _first = gate.enter(1, soon()).await.unwrap();
            let late = gate.enter(1, Instant::now() + Duration::from_millis(5)).await.unwrap_err();
            assert_eq!(late.code, Code::DeadlineExceeded);
            assert_eq!(gate.enter(1, Instant::now()).await.unwrap_err().code, Code::DeadlineExceeded);
            let dropped = tokio::time::timeout(Duration::from_millis(5), gate.enter(1, soon())).await;
            assert!(dropped.is_err());
            assert_eq!((gate.waiting(), gate.cost_inside.load(Ordering::Relaxed)), (0, 1));
        });
    }

    #[test]
    fn a_wait_that_would_be_too_long_is_not_begun() {
        run(async {
            let gate = gate(1, 100, Duration::from_millis(50));
            gate.learn(10, Duration::from_millis(100), 1);
            // Ten milliseconds a unit: nobody waits at an open door, whatever it costs.
            let first = gate.enter(6, soon()).await.unwrap();
            let refused = gate.enter(1, soon()).await.unwrap_err();
            assert_eq!(refused.limit, Some("max-wait"));
            assert!(refused.message.contains("60 ms"), "{refused}");
            drop(first);
            let _second = gate.enter(1, soon()).await.unwrap();
        });
    }
}
