//! Threads that take rows from two bounded queues, queries first, and answer each through its own channel.
//!
//! What a worker does with a row is given as a function, so that this file knows neither models nor ONNX Runtime.

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, select, select_biased};

use crate::batches::Ladder;
use crate::{Call, Error, Lane, Row, Tensor};

/// Answer of one row: the head's outputs.
pub(crate) type Answer = Result<Vec<Tensor>, Error>;

struct Job {
    row: Row,
    lane: Lane,
    reply: Sender<Answer>,
    /// Gone when nobody waits for the row any more.
    wanted: Weak<()>,
    call: Call,
    queued: Instant,
}

/// A row that waits for the model or is inside it. Dropping it takes the row back, unless a worker has it already.
#[derive(Debug)]
pub struct Pending {
    answer: Receiver<Answer>,
    /// Carries nothing; disconnected once no worker is left.
    alive: Receiver<Infallible>,
    _wanted: Arc<()>,
}

impl Pending {
    /// Waits for the row; returns the head's outputs in their order.
    ///
    /// # Errors
    /// Whatever went wrong with this row; `WorkerLost` when the thread that had it died.
    pub fn wait(self) -> Result<Vec<Tensor>, Error> {
        // A worker that unwinds drops the sender. Rows that no worker took stay in the queue, senders and all: those are
        // lost when the last worker is gone.
        select! {
            recv(self.answer) -> answer => answer.unwrap_or(Err(Error::WorkerLost)),
            recv(self.alive) -> _ => self.answer.try_recv().unwrap_or(Err(Error::WorkerLost)),
        }
    }
}

/// How many of the rows that wait at the same time a worker takes at once, and which of them run together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Together {
    /// At most this many.
    pub(crate) rows: usize,
    /// None once those that it has have as many ids.
    pub(crate) ids: usize,
    /// What they are put into batches by; none where all that were taken are one.
    pub(crate) ladder: Option<Ladder>,
}

impl Together {
    /// Each row for itself.
    pub(crate) const ALONE: Self = Self { rows: 1, ids: usize::MAX, ladder: None };

    /// The jobs in batches, in the order in which they run.
    fn batches(self, jobs: Vec<Job>) -> Vec<Vec<Job>> {
        let Some(ladder) = self.ladder else { return vec![jobs] };
        let lengths: Vec<usize> = jobs.iter().map(|job| job.row.ids.len()).collect();
        let mut jobs: Vec<Option<Job>> = jobs.into_iter().map(Some).collect();
        let planned = ladder.plan(&lengths).into_iter();
        planned.map(|batch| batch.rows.into_iter().filter_map(|row| jobs[row].take()).collect()).collect()
    }
}

/// The threads and their queues. Dropping it finishes the rows in the queues that somebody waits for, and joins the
/// threads.
pub(crate) struct Workers {
    lanes: Option<Lanes<Sender<Job>>>,
    alive: Receiver<Infallible>,
    threads: Vec<JoinHandle<()>>,
}

/// One thing for each lane.
#[derive(Clone)]
struct Lanes<T> {
    query: T,
    bulk: T,
}

impl Workers {
    /// Starts a thread for each of `runs`, which is what it does with rows: those that are taken `together`, an answer for
    /// each. `queue_rows` rows may wait in each lane.
    ///
    /// # Errors
    /// `Spawn`.
    pub(crate) fn start<Run>(runs: Vec<Run>, together: Together, queue_rows: usize) -> Result<Self, Error>
    where
        Run: FnMut(&[&Row]) -> Vec<Answer> + Send + 'static,
    {
        let (query, queries) = bounded::<Job>(queue_rows);
        let (bulk, bulks) = bounded::<Job>(queue_rows);
        let (living, alive) = bounded::<Infallible>(0);
        let lanes = Some(Lanes { query, bulk });
        let jobs = Lanes { query: queries, bulk: bulks };
        let mut workers = Self { lanes, alive, threads: Vec::with_capacity(runs.len()) };
        for (number, run) in runs.into_iter().enumerate() {
            let (jobs, living) = (jobs.clone(), living.clone());
            let thread = thread::Builder::new()
                .name(format!("encode-{number}"))
                .spawn(move || {
                    let _living = living;
                    work(&jobs, together, run);
                })
                .map_err(Error::Spawn)?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Queues `row` in the lane of its call, else in `lane`; blocks while that is full.
    ///
    /// # Errors
    /// `Cancelled` or `DeadlinePassed` when the call is over, `WorkerLost` when every worker died.
    pub(crate) fn submit(&self, row: Row, lane: Lane, call: &Call) -> Result<Pending, Error> {
        call.check()?;
        let lane = call.lane.unwrap_or(lane);
        let (reply, answer) = bounded(1);
        let wanted = Arc::new(());
        let lanes = self.lanes.as_ref().ok_or(Error::WorkerLost)?;
        let queue = match lane {
            Lane::Query => &lanes.query,
            Lane::Bulk => &lanes.bulk,
        };
        let (call, queued) = (call.clone(), Instant::now());
        let job = Job { row, lane, reply, wanted: Arc::downgrade(&wanted), call, queued };
        queue.send(job).map_err(|_| Error::WorkerLost)?;
        Ok(Pending { answer, alive: self.alive.clone(), _wanted: wanted })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.lanes = None;
        for thread in self.threads.drain(..) {
            // A panic of the thread reached whoever waited for its row, as `WorkerLost`.
            let _ = thread.join();
        }
    }
}

fn work(jobs: &Lanes<Receiver<Job>>, together: Together, mut run: impl FnMut(&[&Row]) -> Vec<Answer>) {
    while let Some(first) = jobs.next() {
        // By themselves: among bulk rows, which run longest first, they would come last.
        if first.lane == Lane::Query {
            answer([first].into_iter().chain(jobs.query.try_iter()).take(together.rows).collect(), &mut run);
            continue;
        }
        let mut ids = first.row.ids.len();
        let mut taken = vec![first];
        while taken.len() < together.rows
            && ids < together.ids
            && let Ok(job) = jobs.bulk.try_recv()
        {
            ids += job.row.ids.len();
            taken.push(job);
        }
        for batch in together.batches(taken) {
            // What came meanwhile does not wait for all that was taken before.
            let queries: Vec<Job> = jobs.query.try_iter().take(together.rows).collect();
            answer(queries, &mut run);
            answer(batch, &mut run);
        }
    }
}

/// Runs those of `jobs` that somebody waits for.
fn answer(mut jobs: Vec<Job>, run: &mut impl FnMut(&[&Row]) -> Vec<Answer>) {
    jobs.retain(|job| job.wanted.strong_count() > 0 && is_in_time(job));
    if jobs.is_empty() {
        return;
    }
    let rows: Vec<&Row> = jobs.iter().map(|job| &job.row).collect();
    let started = Instant::now();
    let answers = run(&rows);
    let share = started.elapsed() / jobs.len() as u32;
    for (job, answer) in jobs.into_iter().zip(answers) {
        job.call.count(started - job.queued, share);
        // The one who asked may have gone; the row is then of no use.
        let _ = job.reply.send(answer);
    }
}

/// Whether the call that a row belongs to is not over yet; one that waits for a row of a call that is over hears so.
fn is_in_time(job: &Job) -> bool {
    job.call.check().map_err(|error| job.reply.send(Err(error))).is_ok()
}

impl Lanes<Receiver<Job>> {
    /// The next row, queries before bulk; waits for one. `None` when both lanes are closed and empty.
    fn next(&self) -> Option<Job> {
        select_biased! {
            recv(self.query) -> job => job.or_else(|_| self.bulk.recv()).ok(),
            recv(self.bulk) -> job => job.or_else(|_| self.query.recv()).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn start(count: usize, queue_rows: usize, run: fn(&Row) -> Answer) -> Workers {
        let runs = (0..count).map(|_| move |rows: &[&Row]| rows.iter().map(|row| run(row)).collect());
        Workers::start(runs.collect(), Together::ALONE, queue_rows).unwrap()
    }

    /// Waits until the worker has begun with row `id`.
    fn wait_for(order: &Mutex<Vec<u32>>, id: u32) {
        while !order.lock().unwrap().contains(&id) {
            thread::yield_now();
        }
    }

    fn row(id: u32) -> Row {
        Row::from(vec![id])
    }

    fn submit(workers: &Workers, id: u32) -> Result<Pending, Error> {
        workers.submit(row(id), Lane::Bulk, &Call::default())
    }

    fn number(pending: Pending) -> f32 {
        pending.wait().unwrap()[0].values[0]
    }

    /// Gives a row's id back, or fails in a way that the id asks for.
    fn echo(row: &Row) -> Answer {
        match row.ids[0] {
            13 => Err(Error::RowEmpty),
            66 => panic!("a worker dies here on purpose"),
            id => Ok(vec![Tensor { shape: vec![1], values: vec![id as f32] }]),
        }
    }

    /// One worker that notes the order of its rows, and that waits before each for a word from the test.
    fn gated(together: Together, queue_rows: usize) -> (Workers, Sender<()>, Arc<Mutex<Vec<u32>>>) {
        let (go, gate) = bounded::<()>(0);
        let order = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&order);
        let run = move |rows: &[&Row]| {
            noted.lock().unwrap().extend(rows.iter().map(|row| row.ids[0]));
            gate.recv().unwrap();
            rows.iter().map(|row| echo(row)).collect()
        };
        (Workers::start(vec![run], together, queue_rows).unwrap(), go, order)
    }

    #[test]
    fn every_row_gets_its_own_answer() {
        let workers = start(3, 2, echo);
        let pending: Vec<_> = (0..12).map(|id| submit(&workers, id).unwrap()).collect();
        for (id, row) in pending.into_iter().enumerate() {
            assert_eq!(number(row), id as f32);
        }
    }

    #[test]
    fn a_query_overtakes_bulk_rows_that_wait() {
        let (workers, go, order) = gated(Together::ALONE, 8);
        let mut pending: Vec<_> = (0..4).map(|id| submit(&workers, id).unwrap()).collect();
        // The first row is with the worker once it was noted; from here on everything waits.
        while order.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        pending.extend([20, 21].map(|id| workers.submit(row(id), Lane::Query, &Call::default()).unwrap()));
        for _ in 0..6 {
            go.send(()).unwrap();
        }
        for row in pending {
            row.wait().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 20, 21, 1, 2, 3]);
    }

    #[test]
    fn rows_that_wait_are_taken_together_after_queries() {
        let (workers, go, order) = gated(Together { rows: 3, ..Together::ALONE }, 8);
        let mut pending = vec![submit(&workers, 0).unwrap()];
        while order.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        pending.extend([1, 2, 3].map(|id| submit(&workers, id).unwrap()));
        pending.push(workers.submit(row(20), Lane::Query, &Call::default()).unwrap());
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        assert_eq!(pending.into_iter().map(number).collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0, 20.0]);
        assert_eq!(*order.lock().unwrap(), [0, 20, 1, 2, 3]);
    }

    #[test]
    fn no_more_rows_are_taken_once_those_at_hand_fill_a_batch() {
        let (workers, go, order) = gated(Together { rows: 8, ids: 2, ladder: None }, 8);
        let mut pending = vec![submit(&workers, 0).unwrap()];
        while order.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        pending.extend([1, 2, 3].map(|id| submit(&workers, id).unwrap()));
        // Row 0 by itself, then two rows, then the last.
        for turn in 0..3 {
            let taken = go.send_timeout((), std::time::Duration::from_secs(10));
            assert!(taken.is_ok(), "there is no turn {turn}");
        }
        assert_eq!(pending.into_iter().map(number).collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn rows_of_like_length_run_together_and_a_query_goes_between_two_batches() {
        let ladder = Ladder::new(512, 16);
        let (workers, go, order) = gated(Together { rows: 8, ids: usize::MAX, ladder: Some(ladder) }, 8);
        let mut pending = vec![submit(&workers, 0).unwrap()];
        wait_for(&order, 0);
        for (id, length) in [(1, 8), (2, 1), (3, 12)] {
            pending.push(workers.submit(Row::from(vec![id; length]), Lane::Bulk, &Call::default()).unwrap());
        }
        go.send(()).unwrap();
        // The longest row is a batch, the two others are one, and a query comes meanwhile.
        wait_for(&order, 3);
        pending.push(workers.submit(row(20), Lane::Query, &Call::default()).unwrap());
        for turn in 0..3 {
            let taken = go.send_timeout((), std::time::Duration::from_secs(10));
            assert!(taken.is_ok(), "there is no turn {turn}");
        }
        assert_eq!(pending.into_iter().map(number).collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0, 20.0]);
        assert_eq!(*order.lock().unwrap(), [0, 3, 20, 1, 2]);
    }

    #[test]
    fn a_short_query_does_not_wait_for_longer_bulk_rows() {
        let ladder = Ladder::new(512, 16);
        let (workers, go, order) = gated(Together { rows: 8, ids: usize::MAX, ladder: Some(ladder) }, 8);
        let mut pending = vec![submit(&workers, 0).unwrap()];
        wait_for(&order, 0);
        pending.push(workers.submit(Row::from(vec![1; 12]), Lane::Bulk, &Call::default()).unwrap());
        pending.push(workers.submit(row(20), Lane::Query, &Call::default()).unwrap());
        for turn in 0..3 {
            let taken = go.send_timeout((), std::time::Duration::from_secs(10));
            assert!(taken.is_ok(), "there is no turn {turn}");
        }
        assert_eq!(pending.into_iter().map(number).collect::<Vec<_>>(), [0.0, 1.0, 20.0]);
        assert_eq!(*order.lock().unwrap(), [0, 20, 1]);
    }

    #[test]
    fn a_full_bulk_lane_does_not_hold_up_a_query() {
        let (workers, go, order) = gated(Together::ALONE, 1);
        let first = submit(&workers, 0).unwrap();
        while order.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        let waiting = submit(&workers, 1).unwrap();
        let query = workers.submit(row(2), Lane::Query, &Call::default()).unwrap();
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        assert_eq!([first, query, waiting].map(number), [0.0, 2.0, 1.0]);
        assert_eq!(*order.lock().unwrap(), [0, 2, 1]);
    }

    #[test]
    fn a_row_that_nobody_waits_for_is_passed_over() {
        let (workers, go, order) = gated(Together::ALONE, 8);
        let first = submit(&workers, 0).unwrap();
        while order.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        drop(submit(&workers, 1).unwrap());
        drop(workers.submit(row(2), Lane::Query, &Call::default()).unwrap());
        let last = submit(&workers, 3).unwrap();
        for _ in 0..2 {
            go.send(()).unwrap();
        }
        assert_eq!([first, last].map(number), [0.0, 3.0]);
        assert_eq!(*order.lock().unwrap(), [0, 3]);
    }

    #[test]
    fn rows_of_a_call_that_is_over_do_not_run() {
        let (workers, go, order) = gated(Together::ALONE, 8);
        let first = submit(&workers, 0).unwrap();
        while order.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        let (taken_back, late) = (Call::default(), Call::new(Lane::Query, Instant::now()));
        let second = workers.submit(row(1), Lane::Query, &taken_back).unwrap();
        taken_back.cancel();
        assert!(matches!(workers.submit(row(2), Lane::Query, &late), Err(Error::DeadlinePassed)));
        let soon = Call::new(Lane::Query, Instant::now() + std::time::Duration::from_millis(1));
        let third = workers.submit(row(3), Lane::Query, &soon).unwrap();
        thread::sleep(std::time::Duration::from_millis(2));
        go.send(()).unwrap();
        assert!(matches!(second.wait(), Err(Error::Cancelled)));
        assert!(matches!(third.wait(), Err(Error::DeadlinePassed)));
        assert_eq!((number(first), order.lock().unwrap().clone()), (0.0, vec![0]));
        assert_eq!(soon.times().rows, 0);
    }

    #[test]
    fn a_call_decides_the_lane_and_knows_what_its_rows_took() {
        let (workers, go, order) = gated(Together::ALONE, 8);
        let first = submit(&workers, 0).unwrap();
        while order.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        let waiting = submit(&workers, 1).unwrap();
        let call = Call::new(Lane::Query, Instant::now() + std::time::Duration::from_secs(60));
        let before = workers.submit(row(2), Lane::Bulk, &call).unwrap();
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        assert_eq!([first, before, waiting].map(number), [0.0, 2.0, 1.0]);
        assert_eq!(*order.lock().unwrap(), [0, 2, 1]);
        let times = call.times();
        assert_eq!(times.rows, 1);
        assert!(times.waited > std::time::Duration::ZERO);
    }

    #[test]
    fn a_failing_row_fails_alone() {
        let workers = start(1, 4, echo);
        let (bad, good) = (submit(&workers, 13).unwrap(), submit(&workers, 1).unwrap());
        assert!(matches!(bad.wait(), Err(Error::RowEmpty)));
        assert!(good.wait().is_ok());
    }

    #[test]
    fn a_dead_worker_is_an_error_and_never_a_hang() {
        let workers = start(1, 8, echo);
        let pending: Vec<_> = [1, 66, 2, 3].map(|id| submit(&workers, id)).into_iter().flatten().collect();
        let answers: Vec<_> = pending.into_iter().map(Pending::wait).collect();
        assert!(answers[0].is_ok());
        assert!(answers[1..].iter().all(|answer| matches!(answer, Err(Error::WorkerLost))));
        assert!(matches!(submit(&workers, 4).and_then(Pending::wait), Err(Error::WorkerLost)));
    }

    #[test]
    fn the_living_carry_on_when_one_worker_dies() {
        let workers = start(2, 1, echo);
        assert!(matches!(submit(&workers, 66).unwrap().wait(), Err(Error::WorkerLost)));
        for id in 0..12 {
            assert!(submit(&workers, id).unwrap().wait().is_ok());
        }
    }

    #[test]
    fn dropping_finishes_what_is_queued() {
        let workers = start(1, 8, echo);
        let pending: Vec<_> = (0..8).map(|id| submit(&workers, id).unwrap()).collect();
        drop(workers);
        assert!(pending.into_iter().all(|row| row.wait().is_ok()));
    }
}
