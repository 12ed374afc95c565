//! Runs load: some workers, each doing one operation after another, for a window of time or until their work is done.
//!
//! Workers live on a few threads, each with a runtime of its own, so that nothing is shared on the way of an operation but what
//! the kernel shares. What is counted: operations that end within the window (closed loop) or that were due within it (open loop).
//! The window of a closed loop stays open until one has ended: a short one on a busy machine may hold none.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc, Barrier, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::Notify,
    task::{JoinSet, LocalSet},
    time::timeout,
};

use crate::{
    error::BenchError,
    proc,
    schedule::{Schedule, wait_until},
    stats::Histogram,
};

/// Without a finished operation for so long a run is given up.
const STALL: Duration = Duration::from_secs(60);

/// One connection, or whatever waits for one operation at a time.
pub(crate) trait Worker {
    /// Does one operation from its start to its answer. Returns the payload bytes that it moved, `None` when no work is left.
    async fn step(&mut self) -> Result<Option<u64>, BenchError>;
}

/// When operations start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// When the one before has ended.
    Closed,
    /// At a fixed rate over all workers, in operations a second.
    Open(f64),
}

/// How to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) workers: usize,
    pub(crate) threads: usize,
    pub(crate) pace: Pace,
    /// Load before anything is counted.
    pub(crate) warm_up: Duration,
    /// For how long is counted; `None` until the workers have no more work.
    pub(crate) window: Option<Duration>,
}

/// What was counted.
#[derive(Clone, Default)]
pub(crate) struct Outcome {
    pub(crate) operations: u64,
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
    pub(crate) latency: Histogram,
    /// CPU time of this process meanwhile.
    pub(crate) client_cpu: Duration,
    /// Operations that were due, and not even begun when the window ended.
    pub(crate) unsent: u64,
}

impl Outcome {
    /// Operations a second.
    pub(crate) fn rate(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    fn merge(&mut self, other: &Outcome) {
        self.operations += other.operations;
        self.bytes += other.bytes;
        self.unsent += other.unsent;
        self.latency.merge(&other.latency);
    }
}

/// What the threads of a run share.
struct Run {
    plan: Plan,
    /// Passed once all workers are there, and again once `start` is set.
    barrier: Barrier,
    start: OnceLock<Instant>,
    failed: AtomicBool,
    /// Whether an operation has been counted.
    counted: AtomicBool,
    /// Threads whose workers are done.
    ended: AtomicUsize,
    alarms: Vec<Arc<Notify>>,
}

/// Runs load. `worker` makes the worker with this number on the thread that will run it; `mark` is called when the window opens
/// and when it closes.
pub(crate) fn run<W: Worker + 'static>(
    plan: Plan,
    worker: impl AsyncFn(usize) -> Result<W, BenchError> + Sync,
    mut mark: impl FnMut() -> Result<(), BenchError>,
) -> Result<Outcome, BenchError> {
    assert!(plan.pace == Pace::Closed || plan.window.is_some(), "an open loop needs an end");
    let threads = plan.threads.clamp(1, plan.workers.max(1));
    let run = Arc::new(Run {
        plan,
        barrier: Barrier::new(threads + 1),
        start: OnceLock::new(),
        failed: AtomicBool::new(false),
        counted: AtomicBool::new(false),
        ended: AtomicUsize::new(0),
        alarms: (0..plan.workers).map(|_| Arc::new(Notify::new())).collect(),
    });
    thread::scope(|scope| {
        let hands: Vec<_> = (0..threads)
            .map(|number| {
                let (run, worker) = (&run, &worker);
                scope.spawn(move || {
                    let outcome = on_thread(run, number, threads, worker);
                    run.failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
                    run.ended.fetch_add(1, Ordering::Relaxed);
                    outcome
                })
            })
            .collect();
        run.barrier.wait();
        let start = *run.start.get_or_init(Instant::now);
        run.barrier.wait();
        if let (Some(schedule), Some(end)) = (run.schedule(), run.end()) {
            let run = &run;
            scope.spawn(move || schedule.wake(&run.alarms, end));
        }
        run.sleep_until(start + plan.warm_up);
        let opened = snapshot(&mut mark);
        run.failed.fetch_or(opened.is_err(), Ordering::Relaxed);
        let closed = run.end().map(|end| {
            run.sleep_until(end);
            run.sleep_until_counted(threads);
            snapshot(&mut mark)
        });
        let mut total = Outcome::default();
        for hand in hands {
            let outcome = hand.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            total.merge(&outcome?);
        }
        // Without a window the end is when the work is done.
        let (opened, closed) = (opened?, closed.unwrap_or_else(|| snapshot(&mut mark))?);
        total.elapsed = closed.at - opened.at;
        total.client_cpu = closed.cpu.saturating_sub(opened.cpu);
        Ok(total)
    })
}

struct Snapshot {
    at: Instant,
    cpu: Duration,
}

fn snapshot(mark: &mut impl FnMut() -> Result<(), BenchError>) -> Result<Snapshot, BenchError> {
    mark()?;
    Ok(Snapshot { at: Instant::now(), cpu: proc::own_cpu()? })
}

impl Run {
    fn started(&self) -> Instant {
        *self.start.get().expect("it is set between the two waits at the barrier")
    }

    fn opens(&self) -> Instant {
        self.started() + self.plan.warm_up
    }

    fn end(&self) -> Option<Instant> {
        Some(self.opens() + self.plan.window?)
    }

    fn schedule(&self) -> Option<Schedule> {
        match self.plan.pace {
            Pace::Closed => None,
            Pace::Open(per_second) => {
                Some(Schedule { start: self.started(), per_second, connections: self.plan.workers })
            }
        }
    }

    /// Sleeps, but not on after a failure, and by the end of their work.
    fn sleep_until(&self, until: Instant) {
        const LOOK: Duration = Duration::from_millis(50);
        while let Some(left) = until.checked_duration_since(Instant::now())
            && !self.failed.load(Ordering::Relaxed)
        {
            thread::sleep(left.min(LOOK));
        }
    }

    /// Sleeps until the window of a closed loop holds an operation. Bounded by the watchdogs of the workers' threads, which tell of
    /// a failure, and by the end of their work.
    fn sleep_until_counted(&self, threads: usize) {
        while self.plan.pace == Pace::Closed
            && self.ended.load(Ordering::Relaxed) < threads
            && !self.counted.load(Ordering::Relaxed)
            && !self.failed.load(Ordering::Relaxed)
        {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether the window has closed.
    fn over(&self, at: Instant) -> bool {
        let held = self.plan.pace != Pace::Closed || self.counted.load(Ordering::Relaxed);
        held && self.end().is_some_and(|end| at >= end)
    }
}

/// What the workers of one thread have counted.
#[derive(Default)]
struct Tally {
    outcome: Outcome,
    /// Operations in the window or not, for the watchdog.
    steps: u64,
}

fn on_thread<W: Worker + 'static>(
    run: &Arc<Run>,
    number: usize,
    threads: usize,
    make: &impl AsyncFn(usize) -> Result<W, BenchError>,
) -> Result<Outcome, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BenchError::io("start a client thread"));
    let local = LocalSet::new();
    let made = runtime.as_ref().map_err(|_| BenchError::Stalled).and_then(|runtime| {
        runtime.block_on(local.run_until(async {
            let mut workers = Vec::new();
            for index in (number..run.plan.workers).step_by(threads) {
                workers.push((index, make(index).await?));
            }
            Ok(workers)
        }))
    });
    // Failed or not: the others wait for this one.
    run.barrier.wait();
    run.barrier.wait();
    let (runtime, workers) = (runtime?, made?);
    runtime.block_on(local.run_until(drive_all(run, workers)))
}

async fn drive_all<W: Worker + 'static>(
    run: &Arc<Run>,
    workers: Vec<(usize, W)>,
) -> Result<Outcome, BenchError> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let mut tasks = JoinSet::new();
    for (index, worker) in workers {
        tasks.spawn_local(drive(Arc::clone(run), index, worker, Rc::clone(&tally)));
    }
    loop {
        let before = tally.borrow().steps;
        match timeout(STALL, tasks.join_next()).await {
            Ok(None) => break,
            Ok(Some(Ok(done))) => done?,
            Ok(Some(Err(error))) => std::panic::resume_unwind(error.into_panic()),
            Err(_) if tally.borrow().steps == before => return Err(BenchError::Stalled),
            Err(_) => {}
        }
    }
    Ok(tally.take().outcome)
}

async fn drive<W: Worker>(
    run: Arc<Run>,
    index: usize,
    mut worker: W,
    tally: Rc<RefCell<Tally>>,
) -> Result<(), BenchError> {
    let (opens, end, schedule) = (run.opens(), run.end(), run.schedule());
    let mut turn = 0;
    while !run.failed.load(Ordering::Relaxed) {
        let begun = match &schedule {
            None => Instant::now(),
            Some(schedule) => {
                let due = schedule.due_on(index, turn);
                if let Some(end) = end
                    && Instant::now() >= end
                {
                    tally.borrow_mut().outcome.unsent += schedule.left_on(index, turn, end);
                    break;
                }
                if !run.over(due) {
                    wait_until(due, &run.alarms[index]).await;
                }
                due
            }
        };
        turn += 1;
        if run.over(begun) {
            break;
        }
        let Some(bytes) = worker.step().await? else { break };
        let done = Instant::now();
        let counted = begun >= opens && (schedule.is_some() || !run.over(done));
        run.counted.fetch_or(counted, Ordering::Relaxed);
        tally.borrow_mut().count(counted, bytes, done - begun);
    }
    Ok(())
}

impl Tally {
    fn count(&mut self, counted: bool, bytes: u64, latency: Duration) {
        self.steps += 1;
        if counted {
            self.outcome.operations += 1;
            self.outcome.bytes += bytes;
            self.outcome.latency.record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// Takes a fixed time for each operation, and stops after so many.
    struct Sleeper {
        left: u64,
        time: Duration,
        done: Arc<AtomicU64>,
    }

    impl Worker for Sleeper {
        async fn step(&mut self) -> Result<Option<u64>, BenchError> {
            let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
            self.left = left;
            if !self.time.is_zero() {
                tokio::time::sleep(self.time).await;
            }
            self.done.fetch_add(1, Ordering::Relaxed);
            Ok(Some(10))
        }
    }

    fn plan(workers: usize, pace: Pace, window_ms: Option<u64>) -> Plan {
        let window = window_ms.map(Duration::from_millis);
        Plan { workers, threads: 2, pace, warm_up: Duration::ZERO, window }
    }

    #[test]
    fn without_a_window_all_work_is_done_and_counted() {
        let done = Arc::new(AtomicU64::new(0));
        let make = async |_| Ok(Sleeper { left: 7, time: Duration::ZERO, done: Arc::clone(&done) });
        let mut marks = 0;
        let outcome = run(plan(5, Pace::Closed, None), make, || {
            marks += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!((outcome.bytes, done.load(Ordering::Relaxed), marks), (350, 35, 2));
    }

    #[test]
    fn an_open_loop_charges_a_stall_to_every_request_that_was_due_meanwhile() {
        // 100 requests are due in 100 ms; each takes 20 ms on one of two workers, so that only some ten can be sent.
        let done = Arc::new(AtomicU64::new(0));
        let time = Duration::from_millis(20);
        let make = async |_| Ok(Sleeper { left: 1_000, time, done: Arc::clone(&done) });
        let outcome = run(plan(2, Pace::Open(1_000.0), Some(100)), make, || Ok(())).unwrap();
        assert_eq!(outcome.operations + outcome.unsent, 100, "every request is accounted for");
        assert!(outcome.unsent >= 80, "{}", outcome.unsent);
        assert!(outcome.latency.max() >= 50_000_000, "late ones are late by their own time");
    }

    #[test]
    fn a_window_stays_open_until_it_holds_an_operation() {
        let done = Arc::new(AtomicU64::new(0));
        let time = Duration::from_millis(200);
        let make = async |_| Ok(Sleeper { left: 10, time, done: Arc::clone(&done) });
        let outcome = run(plan(1, Pace::Closed, Some(10)), make, || Ok(())).unwrap();
        assert_eq!((outcome.operations, outcome.bytes), (1, 10));
        assert!(outcome.elapsed >= time, "{:?}", outcome.elapsed);
    }

    #[test]
    fn one_failure_ends_the_run_with_its_reason() {
        struct Fails;
        impl Worker for Fails {
            async fn step(&mut self) -> Result<Option<u64>, BenchError> {
                Err(BenchError::Content("seen".into()))
            }
        }
        let begun = Instant::now();
        let failed = run(plan(4, Pace::Closed, Some(60_000)), async |_| Ok(Fails), || Ok(()));
        assert!(matches!(failed, Err(BenchError::Content(text)) if text == "seen"));
        assert!(begun.elapsed() < Duration::from_secs(30), "it did not wait for the window");
        let make = async |_| Err::<Fails, _>(BenchError::Stalled);
        assert!(run(plan(4, Pace::Closed, Some(60_000)), make, || Ok(())).is_err());
    }
}
