//! What a request says of its rows on their way through the queue: which lane, until when, and whether anyone still waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::{Error, Lane};

/// What the rows of one request have in common. Clones are of the same request.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// The lane of all of its rows; as each row says where `None`.
    pub lane: Option<Lane>,
    /// When an answer is of no use any more: rows that no worker has begun by then fail.
    pub deadline: Option<Instant>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    cancelled: AtomicBool,
    rows: AtomicU64,
    waited_ns: AtomicU64,
    ran_ns: AtomicU64,
}

/// What the rows of a request took so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallTimes {
    /// Rows that ran.
    pub rows: u64,
    /// Time that they waited for a worker, added up.
    pub waited: Duration,
    /// Time that they were in the model, added up; rows of one batch share its time.
    pub ran: Duration,
}

impl Call {
    /// A request whose rows all wait in `lane`, until `deadline`.
    pub fn new(lane: Lane, deadline: Instant) -> Self {
        Self { lane: Some(lane), deadline: Some(deadline), state: Arc::default() }
    }

    /// Takes the request back: rows that no worker has begun fail at once when their turn comes.
    pub fn cancel(&self) {
        self.state.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the rows are still worth running.
    ///
    /// # Errors
    /// `Cancelled` or `DeadlinePassed`.
    pub fn check(&self) -> Result<(), Error> {
        if self.state.cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Error::DeadlinePassed),
            _ => Ok(()),
        }
    }

    /// What the rows took so far.
    pub fn times(&self) -> CallTimes {
        let State { rows, waited_ns, ran_ns, .. } = &*self.state;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CallTimes {
            rows: read(rows),
            waited: Duration::from_nanos(read(waited_ns)),
            ran: Duration::from_nanos(read(ran_ns)),
        }
    }

    /// Counts a row that waited and ran so long.
    pub(crate) fn count(&self, waited: Duration, ran: Duration) {
        let State { rows, waited_ns, ran_ns, .. } = &*self.state;
        rows.fetch_add(1, Ordering::Relaxed);
        waited_ns.fetch_add(waited.as_nanos() as u64, Ordering::Relaxed);
        ran_ns.fetch_add(ran.as_nanos() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_over_when_it_was_taken_back_or_its_time_has_come() {
        let call = Call::default();
        assert!(call.check().is_ok());
        let clone = call.clone();
        call.cancel();
        assert!(matches!(clone.check(), Err(Error::Cancelled)));
        let late = Call { deadline: Some(Instant::now()), ..Call::default() };
        assert!(matches!(late.check(), Err(Error::DeadlinePassed)));
    }
}
