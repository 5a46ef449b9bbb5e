//! Threads that take rows from one bounded queue and answer each through its own channel.
//!
//! What a worker does with a row is given as a function, so that this file knows neither models nor ONNX Runtime.

use std::convert::Infallible;
use std::thread::{self, JoinHandle};

use berth_types::Embedding;
use crossbeam_channel::{Receiver, Sender, bounded, select};

use crate::Error;

struct Job {
    row: Vec<u32>,
    reply: Sender<Result<Embedding, Error>>,
}

/// A row that is being encoded.
#[derive(Debug)]
pub struct PendingRow {
    answer: Receiver<Result<Embedding, Error>>,
    /// Carries nothing; disconnected once no worker is left.
    alive: Receiver<Infallible>,
}

impl PendingRow {
    /// Waits for the row.
    ///
    /// # Errors
    /// Whatever went wrong with this row; `WorkerLost` when the thread that had it died.
    pub fn wait(self) -> Result<Embedding, Error> {
        // A worker that unwinds drops the sender. Rows that no worker took stay in the queue, senders and all: those are
        // lost when the last worker is gone.
        select! {
            recv(self.answer) -> answer => answer.unwrap_or(Err(Error::WorkerLost)),
            recv(self.alive) -> _ => self.answer.try_recv().unwrap_or(Err(Error::WorkerLost)),
        }
    }
}

/// The threads and their queue. Dropping it finishes the rows in the queue and joins the threads.
pub(crate) struct Workers {
    queue: Option<Sender<Job>>,
    alive: Receiver<Infallible>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads; each calls `open` for a function of its own, all at the same time. `meanwhile` runs on
    /// the calling thread until they are ready.
    ///
    /// # Errors
    /// The first failure of `open` or of `meanwhile`, or `Spawn`.
    pub(crate) fn start<Open, Run, Extra>(
        count: usize,
        queue_rows: usize,
        open: Open,
        meanwhile: impl FnOnce() -> Result<Extra, Error>,
    ) -> Result<(Self, Extra), Error>
    where
        Open: Fn() -> Result<Run, Error> + Clone + Send + 'static,
        Run: FnMut(&[u32]) -> Result<Vec<f32>, Error>,
    {
        let (queue, jobs) = bounded::<Job>(queue_rows);
        let (ready, opened) = bounded::<Result<(), Error>>(count);
        let (living, alive) = bounded::<Infallible>(0);
        let mut workers = Self { queue: Some(queue), alive, threads: Vec::with_capacity(count) };
        for number in 0..count {
            let (open, ready, jobs) = (open.clone(), ready.clone(), jobs.clone());
            let living = living.clone();
            let thread = thread::Builder::new()
                .name(format!("encode-{number}"))
                .spawn(move || {
                    let _living = living;
                    let outcome = open();
                    // What the sessions were opened from is not needed any more.
                    drop(open);
                    match outcome {
                        Ok(run) => {
                            if ready.send(Ok(())).is_ok() {
                                drop(ready);
                                work(&jobs, run);
                            }
                        }
                        // Nobody listens only when another failure was reported already.
                        Err(error) => drop(ready.send(Err(error))),
                    }
                })
                .map_err(Error::Spawn)?;
            workers.threads.push(thread);
        }
        drop((open, ready, jobs, living));
        let extra = meanwhile()?;
        for _ in 0..count {
            opened.recv().unwrap_or(Err(Error::WorkerLost))?;
        }
        Ok((workers, extra))
    }

    /// Queues `row`; blocks while the queue is full.
    ///
    /// # Errors
    /// `WorkerLost` when every worker died.
    pub(crate) fn submit(&self, row: Vec<u32>) -> Result<PendingRow, Error> {
        let (reply, answer) = bounded(1);
        let queue = self.queue.as_ref().ok_or(Error::WorkerLost)?;
        queue.send(Job { row, reply }).map_err(|_| Error::WorkerLost)?;
        Ok(PendingRow { answer, alive: self.alive.clone() })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A panic of the thread reached whoever waited for its row, as `WorkerLost`.
            let _ = thread.join();
        }
    }
}

fn work(jobs: &Receiver<Job>, mut run: impl FnMut(&[u32]) -> Result<Vec<f32>, Error>) {
    for job in jobs {
        let answer = run(&job.row).and_then(|values| Ok(Embedding::normalized(values)?));
        // The one who asked may have gone; the row is then of no use.
        let _ = job.reply.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Run = fn(&[u32]) -> Result<Vec<f32>, Error>;

    fn start(count: usize, queue_rows: usize, run: Run) -> Workers {
        Workers::start(count, queue_rows, move || Ok(run), || Ok(())).unwrap().0
    }

    fn one_hot(row: &[u32]) -> Result<Vec<f32>, Error> {
        match row[0] {
            13 => Err(Error::RowEmpty),
            66 => panic!("a worker dies here on purpose"),
            id => Ok((0..12).map(|position| f32::from(u8::from(position == id % 12))).collect()),
        }
    }

    #[test]
    fn every_row_gets_its_own_answer() {
        let workers = start(3, 2, one_hot);
        let pending: Vec<_> = (0..12).map(|id| workers.submit(vec![id]).unwrap()).collect();
        for (id, row) in pending.into_iter().enumerate() {
            assert_eq!(row.wait().unwrap().as_slice()[id], 1.0);
        }
    }

    #[test]
    fn a_failing_row_fails_alone() {
        let workers = start(1, 4, one_hot);
        let (bad, good) = (workers.submit(vec![13]).unwrap(), workers.submit(vec![1]).unwrap());
        assert!(matches!(bad.wait(), Err(Error::RowEmpty)));
        assert!(good.wait().is_ok());
    }

    #[test]
    fn a_row_that_is_no_vector_is_an_error() {
        let workers = start(1, 1, |_| Ok(vec![0.0, f32::NAN]));
        assert!(matches!(workers.submit(vec![1]).unwrap().wait(), Err(Error::BadRow(_))));
    }

    #[test]
    fn a_dead_worker_is_an_error_and_never_a_hang() {
        let workers = start(1, 8, one_hot);
        let pending: Vec<_> = [1, 66, 2, 3].map(|id| workers.submit(vec![id])).into_iter().flatten().collect();
        let answers: Vec<_> = pending.into_iter().map(PendingRow::wait).collect();
        assert!(answers[0].is_ok());
        assert!(answers[1..].iter().all(|answer| matches!(answer, Err(Error::WorkerLost))));
        assert!(matches!(workers.submit(vec![4]).and_then(PendingRow::wait), Err(Error::WorkerLost)));
    }

    #[test]
    fn the_living_carry_on_when_one_worker_dies() {
        let workers = start(2, 1, one_hot);
        assert!(matches!(workers.submit(vec![66]).unwrap().wait(), Err(Error::WorkerLost)));
        for id in 0..12 {
            assert!(workers.submit(vec![id]).unwrap().wait().is_ok());
        }
    }

    #[test]
    fn dropping_finishes_what_is_queued() {
        let workers = start(1, 8, one_hot);
        let pending: Vec<_> = (0..8).map(|id| workers.submit(vec![id]).unwrap()).collect();
        drop(workers);
        assert!(pending.into_iter().all(|row| row.wait().is_ok()));
    }

    #[test]
    fn a_worker_that_cannot_open_fails_the_start() {
        let failed = Workers::start(2, 1, || Err::<Run, _>(Error::RowEmpty), || Ok(()));
        assert!(matches!(failed.err(), Some(Error::RowEmpty)));
    }
}
