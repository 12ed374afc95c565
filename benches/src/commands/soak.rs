//! `soak`: mixed appends, puts and deletes, far more than stays, through a journal that is much smaller: what the disk, the memory
//! and the next start say afterwards.
//!
//! Each connection owns its objects. It appends to a few logs of its own, puts objects whole, and deletes its oldest ones whenever it
//! keeps more than its share, so that the live bytes stay level while the written ones grow. There are three runs, each on a store
//! of its own, so that what one leaves to be tidied up does not count for another: records of 1 KiB, of 1 MiB, of many sizes.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    child::{Server, ServerFigures},
    error::BenchError,
    load::{self, Pace, Plan, Worker},
    measure::{Aims, Bench, block_on, ratio},
    options::{Part, human},
    pattern::Pattern,
    proc::{self, Device},
    report::{Cell, Table},
    stats::Dice,
    wire::Signature,
    workloads::{Caller, Object},
};

const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1_073_741_824.0;
const CONNECTIONS: usize = 64;
/// Logs that a connection appends to in turn.
const LOGS: usize = 4;
/// After so many records a log is finished and a new one begun.
const RECORDS_PER_LOG: u64 = 256;
/// How often the disk and the memory are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a connection waits after a 503 before it tries again.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// So many 503 in a row are a broken server.
const BUSY_MAX: u32 = 100;

/// The journal, and in a short run everything else that makes background work go on all the time.
const SETTINGS: [&str; 1] = ["engine.journal_bytes=1073741824"];
const SETTINGS_SHORT: [&str; 5] = [
    "engine.journal_bytes=8388608",
    "engine.segment_bytes=1048576",
    "engine.memtable_bytes=262144",
    "engine.checkpoint_bytes=2097152",
    "engine.idle_flush_ms=200",
];
const JOURNAL: u64 = 1 << 30;
const JOURNAL_SHORT: u64 = 8 << 20;

/// The runs: their record sizes, and each one's share of all bytes.
const RUNS: [(Part, &str, &[usize], f64); 3] = [
    (Part::Small, "1 KiB", &[1 << 10], 0.2),
    (Part::Large, "1 MiB", &[1 << 20], 0.2),
    (
        Part::Mixed,
        "100 B to 1 MiB",
        &[100, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20],
        0.6,
    ),
];

/// Each run, with a rest, a restart and a look whether everything is there.
pub(crate) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    if bench.options.wants(Part::Long) {
        super::soak_long::run(bench)?;
        if bench.options.parts == [Part::Long] {
            return Ok(());
        }
    }
    let total = bench.options.bytes.unwrap_or(bench.options.pick(20 << 30, 96 << 20));
    let live = bench.options.live_bytes.unwrap_or(bench.options.pick(2 << 30, 10 << 20));
    let mut load = Table::new(
        format!("Mixed appends, puts and deletes over {CONNECTIONS} connections, closed loop"),
        &[
            "records",
            "GiB stored",
            "operations/s",
            "MiB/s",
            "p50 ms",
            "p99 ms",
            "answers 503",
            "server CPU us/operation",
            "bytes written/stored",
            "engine wrote/stored",
            "segments recycled",
            "MiB evacuated",
        ],
    );
    let mut room = Table::new(
        "The same runs: disk and memory",
        &[
            "records",
            "live GiB",
            "disk GiB",
            "disk most GiB",
            "disk by live + journal, most",
            "resident MiB, 2nd quarter",
            "last quarter",
            "peak MiB",
        ],
    );
    let mut after = Table::new(
        "After a rest and a restart",
        &[
            "records",
            "rest s",
            "disk GiB",
            "idle MiB",
            "restart ms",
            "MiB after restart",
            "objects",
            "read back whole",
            "of bytes",
        ],
    );
    let mut aims = Aims::default();
    for (part, name, records, share) in RUNS {
        if !bench.options.wants(part) {
            continue;
        }
        let run = Run {
            name,
            records,
            bytes: (total as f64 * share) as u64,
            journal: bench.options.pick(JOURNAL, JOURNAL_SHORT),
            settings: bench
                .options
                .pick(&SETTINGS[..], &SETTINGS_SHORT[..])
                .iter()
                .map(ToString::to_string)
                .collect(),
        };
        let soaked = run.soak(bench, live)?;
        load.row(run.load_row(&soaked));
        room.row(run.room_row(&soaked));
        after.row(run.after_row(&soaked.after));
        run.aims(&soaked, &mut aims);
    }
    load.note(
        "*bytes written* is what the whole disk wrote, whoever asked, until the server had come to rest; *engine wrote* is \
         what the engine counts, new segments' zeros and its index's tables included. A request answered 503 is sent \
         again, and its time counts from the first attempt.",
    );
    bench.report.table(&load);
    room.note(
        "*disk* is that of the whole data folder, its journal included, looked at five times a second; the quarters are of \
         the bytes stored, and show the most resident memory in each.",
    );
    bench.report.table(&room);
    bench.report.table(&after);
    aims.report(&mut bench.report);
    Ok(())
}

/// What the connections share.
struct Soak {
    live_each: u64,
    live: AtomicU64,
    /// Bytes that all connections may still store.
    left: AtomicU64,
    /// Answers 503.
    busy: AtomicU64,
}

impl Soak {
    fn live_bytes(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }
}

/// An object that a connection keeps, all of it bytes of the pattern.
#[derive(Clone)]
struct Kept {
    object: Object,
    length: u64,
}

/// What one connection has stored.
struct State {
    number: usize,
    dice: Dice,
    made: u64,
    logs: Vec<(Kept, u64)>,
    finished: VecDeque<Kept>,
    live: u64,
}

impl State {
    fn new(number: usize) -> State {
        State {
            number,
            dice: Dice::new(number as u64),
            made: 0,
            logs: Vec::new(),
            finished: VecDeque::new(),
            live: 0,
        }
    }

    fn new_object(&mut self, kind: &str) -> Object {
        self.made += 1;
        Object::new(&format!("soak/{:03}/{kind}-{:09}", self.number, self.made))
    }
}

/// Where connections leave what they have stored when they are done.
type Home = Arc<Mutex<Vec<State>>>;

struct Soaker {
    address: std::net::SocketAddr,
    signature: Signature,
    caller: Caller,
    pattern: Pattern,
    soak: Arc<Soak>,
    records: &'static [usize],
    state: State,
    home: Home,
}

impl Worker for Soaker {
    async fn step(&mut self) -> Result<Option<u64>, BenchError> {
        if self.state.live > self.soak.live_each
            && let Some(oldest) = self.state.finished.pop_front()
        {
            self.patiently(async |caller, _| caller.delete(&oldest.object).await).await?;
            self.state.live -= oldest.length;
            self.soak.live.fetch_sub(oldest.length, Ordering::Relaxed);
            return Ok(Some(0));
        }
        let record = self.records[self.state.dice.below(self.records.len() as u64) as usize] as u64;
        let left = &self.soak.left;
        let took = left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(record));
        if took.is_err() {
            self.go_home();
            return Ok(None);
        }
        if self.state.dice.below(5) < 3 {
            self.append(record).await?
        } else {
            self.put(record).await?
        }
        self.state.live += record;
        self.soak.live.fetch_add(record, Ordering::Relaxed);
        Ok(Some(record))
    }
}

impl Soaker {
    fn go_home(&mut self) {
        let number = self.state.number;
        let state = std::mem::replace(&mut self.state, State::new(number));
        if let Ok(mut home) = self.home.lock() {
            home.push(state);
        }
    }

    /// Sends a request, again and again while the server says that it is busy: as every SDK does.
    async fn patiently(
        &mut self,
        send: impl AsyncFn(&mut Caller, &Pattern) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let mut tries = 0;
        loop {
            match send(&mut self.caller, &self.pattern).await {
                Err(BenchError::Answer { status: 503, .. }) if tries < BUSY_MAX => {}
                told => return told,
            }
            tries += 1;
            self.soak.busy.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(BUSY_PAUSE).await;
            // The server may have closed it behind its answer.
            self.caller = Caller::open(self.address, self.signature).await?;
        }
    }

    async fn append(&mut self, record: u64) -> Result<(), BenchError> {
        if self.state.logs.len() < LOGS {
            let object = self.state.new_object("log");
            self.state.logs.push((Kept { object, length: 0 }, 0));
        }
        let turn = self.state.dice.below(self.state.logs.len() as u64) as usize;
        let (log, _) = &self.state.logs[turn];
        let (object, length) = (log.object.clone(), log.length);
        let piece = self.pattern.piece(length, record as usize);
        self.patiently(async |caller, _| caller.append(&object, length, &piece).await.map(drop))
            .await?;
        let (log, records) = &mut self.state.logs[turn];
        log.length += record;
        *records += 1;
        if *records == RECORDS_PER_LOG {
            let (finished, _) = self.state.logs.swap_remove(turn);
            self.state.finished.push_back(finished);
        }
        Ok(())
    }

    async fn put(&mut self, length: u64) -> Result<(), BenchError> {
        let object = self.state.new_object("put");
        self.patiently(async |caller, pattern| caller.put(&object, pattern, length).await).await?;
        self.state.finished.push_back(Kept { object, length });
        Ok(())
    }
}

struct Run {
    name: &'static str,
    records: &'static [usize],
    bytes: u64,
    journal: u64,
    settings: Vec<String>,
}

/// What one run came to.
struct Soaked {
    outcome: load::Outcome,
    cpu: Duration,
    /// Of the whole run with the rest behind it.
    device: Option<Device>,
    engine_bytes: Option<u64>,
    recycled: Option<u64>,
    evacuated: Option<u64>,
    busy: u64,
    live: u64,
    disk: u64,
    watched: Watched,
    peak_bytes: u64,
    after: After,
}

/// What was seen of disk and memory while a run went on.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    disk_most: u64,
    /// Disk use by live bytes and the journal's bound.
    ratio_most: f64,
    /// The most resident memory while the second and the last quarter of the bytes were stored.
    resident: [u64; 2],
}

impl Watched {
    fn look(&mut self, disk: u64, allowed: u64, resident: u64, stored: f64) {
        self.disk_most = self.disk_most.max(disk);
        self.ratio_most = self.ratio_most.max(disk as f64 / allowed as f64);
        let quarter = match stored {
            0.25..0.5 => 0,
            0.75.. => 1,
            _ => return,
        };
        self.resident[quarter] = self.resident[quarter].max(resident);
    }

    /// Resident memory of the last quarter by that of the second.
    fn growth(&self) -> Option<f64> {
        let [second, last] = self.resident.map(|bytes| (bytes > 0).then_some(bytes as f64));
        ratio(last, second)
    }
}

/// What a rest, a restart and a look at the objects told.
struct After {
    rest: Duration,
    disk: u64,
    idle_bytes: u64,
    start: Duration,
    started_bytes: u64,
    objects: usize,
    read: u64,
    read_bytes: u64,
}

impl Run {
    fn soak(&self, bench: &Bench, live: u64) -> Result<Soaked, BenchError> {
        let server = bench.ossia_with("ossia", &self.settings)?;
        bench.make_bucket(&server)?;
        let soak = Arc::new(Soak {
            live_each: live / CONNECTIONS as u64,
            live: AtomicU64::new(0),
            left: AtomicU64::new(self.bytes),
            busy: AtomicU64::new(0),
        });
        let (before, engine_before) = (bench.device.read(), server.figures()?);
        let (outcome, cpu, watched, states) = self.load(bench, &server, &soak)?;
        let data = bench.scratch.path().join("ossia");
        let disk = proc::disk_bytes(&data);
        let peak_bytes = server.memory()?.peak_bytes;
        let rest = bench.options.pick(Duration::from_secs(30), Duration::from_secs(1));
        thread::sleep(rest);
        let (device, engine) = (bench.device.read(), server.figures()?);
        let figure = |of: &dyn Fn(&ServerFigures) -> Option<u64>| {
            let before = engine_before.as_ref().and_then(of)?;
            Some(engine.as_ref().and_then(of)?.saturating_sub(before))
        };
        let after = self.after(bench, server, &states, rest)?;
        // The next run has a store of its own; this one's need not stay on the disk.
        let _ = std::fs::remove_dir_all(&data);
        Ok(Soaked {
            outcome,
            cpu,
            device: before.zip(device).map(|(before, after)| after.since(before)),
            engine_bytes: figure(&ServerFigures::written_bytes),
            recycled: figure(&|told| told.get("ossia_engine_segments_recycled_total")),
            evacuated: figure(&|told| told.get("ossia_engine_evacuated_bytes_total")),
            busy: soak.busy.load(Ordering::Relaxed),
            live: soak.live_bytes(),
            disk,
            watched,
            peak_bytes,
            after,
        })
    }

    fn load(
        &self,
        bench: &Bench,
        server: &Server,
        soak: &Arc<Soak>,
    ) -> Result<(load::Outcome, Duration, Watched, Vec<State>), BenchError> {
        let home: Home = Arc::default();
        let plan = Plan {
            workers: CONNECTIONS,
            threads: bench.options.threads,
            pace: Pace::Closed,
            warm_up: Duration::ZERO,
            window: None,
        };
        let (address, signature) = (server.address, bench.options.signature);
        let make = async |index| {
            let caller = Caller::open(address, signature).await?;
            let (pattern, soak, home) =
                (bench.pattern.clone(), Arc::clone(soak), Arc::clone(&home));
            let (records, state) = (self.records, State::new(index));
            Ok(Soaker { address, signature, caller, pattern, soak, records, state, home })
        };
        let mut marks = Vec::new();
        let done = AtomicBool::new(false);
        let (outcome, watched) = thread::scope(|scope| {
            let watch = scope.spawn(|| self.watch(bench, server, soak, &done));
            let outcome = load::run(plan, make, || {
                marks.push(server.cpu()?);
                Ok(())
            });
            done.store(true, Ordering::Relaxed);
            let watched = watch.join().unwrap_or(Err(BenchError::Stalled));
            Ok::<_, BenchError>((outcome?, watched?))
        })?;
        let [before, after] = marks.as_slice() else { return Err(BenchError::Stalled) };
        let states = home.lock().map(|mut home| std::mem::take(&mut *home)).unwrap_or_default();
        Ok((outcome, after.saturating_sub(*before), watched, states))
    }

    fn watch(
        &self,
        bench: &Bench,
        server: &Server,
        soak: &Soak,
        done: &AtomicBool,
    ) -> Result<Watched, BenchError> {
        let data = bench.scratch.path().join("ossia");
        let mut watched = Watched::default();
        loop {
            let last = done.load(Ordering::Relaxed);
            let left = soak.left.load(Ordering::Relaxed);
            let stored = 1.0 - left as f64 / self.bytes as f64;
            let allowed = soak.live_bytes() + self.journal;
            let resident = server.memory()?.resident_bytes;
            watched.look(proc::disk_bytes(&data), allowed, resident, stored);
            if last {
                return Ok(watched);
            }
            thread::sleep(bench.options.pick(LOOK, LOOK / 10));
        }
    }

    /// A restart, and a look at what should be there.
    fn after(
        &self,
        bench: &Bench,
        server: Server,
        states: &[State],
        rest: Duration,
    ) -> Result<After, BenchError> {
        let idle_bytes = server.memory()?.resident_bytes;
        let disk = proc::disk_bytes(&bench.scratch.path().join("ossia"));
        server.stop()?;
        let begun = Instant::now();
        let server = bench.ossia_with("ossia", &self.settings)?;
        let start = begun.elapsed();
        let started_bytes = server.memory()?.resident_bytes;
        let kept: Vec<&Kept> = states
            .iter()
            .flat_map(|state| state.finished.iter().chain(state.logs.iter().map(|(log, _)| log)))
            // A log that was named and not yet appended to does not exist.
            .filter(|kept| kept.length > 0)
            .collect();
        // All of them would take longer than the soak; each connection's newest ones come last.
        let step = kept.len().div_ceil(bench.options.pick(5_000, 200)).max(1);
        let (address, signature) = (server.address, bench.options.signature);
        let (mut read, mut read_bytes) = (0, 0);
        block_on(async {
            let mut caller = Caller::open(address, signature).await?;
            for one in kept.iter().rev().step_by(step) {
                caller.verify(&one.object, &bench.pattern, one.length).await?;
                (read, read_bytes) = (read + 1, read_bytes + one.length);
            }
            Ok(())
        })?;
        server.stop()?;
        let objects = kept.len();
        Ok(After { rest, disk, idle_bytes, start, started_bytes, objects, read, read_bytes })
    }

    fn load_row(&self, soaked: &Soaked) -> [Cell; 12] {
        let outcome = &soaked.outcome;
        let seconds = outcome.elapsed.as_secs_f64();
        let ms = |share: f64| Cell::number(Some(outcome.latency.quantile(share) as f64 / 1e6), 3);
        let cpu = soaked.cpu.as_secs_f64() * 1e6 / outcome.operations as f64;
        [
            Cell::text(self.name),
            gib(outcome.bytes),
            Cell::number(Some(outcome.rate()), 0),
            Cell::number(Some(outcome.bytes as f64 / MIB / seconds), 1),
            ms(0.5),
            ms(0.99),
            Cell::Number(soaked.busy as f64, 0),
            Cell::number(Some(cpu), 1),
            Cell::number(soaked.written(), 2),
            Cell::number(soaked.engine_bytes.map(|bytes| bytes as f64 / outcome.bytes as f64), 2),
            Cell::number(soaked.recycled.map(|segments| segments as f64), 0),
            Cell::number(soaked.evacuated.map(|bytes| bytes as f64 / MIB), 0),
        ]
    }

    fn room_row(&self, soaked: &Soaked) -> [Cell; 8] {
        let [second, last] = soaked.watched.resident;
        [
            Cell::text(self.name),
            gib(soaked.live),
            gib(soaked.disk),
            gib(soaked.watched.disk_most),
            Cell::Number(soaked.watched.ratio_most, 2),
            mib(second),
            mib(last),
            mib(soaked.peak_bytes),
        ]
    }

    fn after_row(&self, after: &After) -> [Cell; 9] {
        [
            Cell::text(self.name),
            Cell::Number(after.rest.as_secs_f64(), 0),
            gib(after.disk),
            mib(after.idle_bytes),
            Cell::Number(after.start.as_secs_f64() * 1e3, 0),
            mib(after.started_bytes),
            Cell::Number(after.objects as f64, 0),
            Cell::Number(after.read as f64, 0),
            Cell::text(human(after.read_bytes)),
        ]
    }

    fn aims(&self, soaked: &Soaked, aims: &mut Aims) {
        let name = self.name;
        if self.records != [1 << 20] {
            // Bodies of 1 MiB do not pass through the journal: what it holds of them never fills it.
            let recycled = soaked.recycled.map(|segments| segments as f64);
            aims.at_least(format!("{name}: segments recycled"), 1.0, recycled);
        }
        let what =
            format!("{name}: most disk use by live bytes and {} of journal", human(self.journal));
        aims.at_most(what, 1.5, Some(soaked.watched.ratio_most));
        let written = match self.records {
            [1_024] => Some(3.2),
            [1_048_576] => Some(1.2),
            _ => None,
        };
        if let Some(wanted) = written {
            aims.at_most(
                format!("{name}: bytes written per byte stored"),
                wanted,
                soaked.written(),
            );
        }
        let growth = soaked.watched.growth();
        aims.at_most(format!("{name}: resident memory, last quarter by second"), 1.2, growth);
        let after = &soaked.after;
        aims.at_most(format!("{name}: restart, seconds"), 2.0, Some(after.start.as_secs_f64()));
        let idle = after.idle_bytes as f64 / MIB;
        aims.at_most(format!("{name}: idle memory, MiB"), 40.0, Some(idle));
    }
}

impl Soaked {
    fn written(&self) -> Option<f64> {
        Some(self.device?.written_bytes as f64 / self.outcome.bytes as f64)
    }
}

fn gib(bytes: u64) -> Cell {
    Cell::Number(bytes as f64 / GIB, 2)
}

fn mib(bytes: u64) -> Cell {
    Cell::Number(bytes as f64 / MIB, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_compared_between_quarters_and_disk_at_each_moment() {
        let mut watched = Watched::default();
        for (disk, allowed, resident, stored) in
            [(10, 100, 900, 0.1), (90, 100, 40, 0.3), (150, 300, 50, 0.49), (120, 300, 60, 1.0)]
        {
            watched.look(disk, allowed, resident, stored);
        }
        assert_eq!((watched.disk_most, watched.ratio_most), (150, 0.9));
        assert_eq!(watched.growth(), Some(1.2));
        assert_eq!(Watched::default().growth(), None, "a run too short to be looked at");
    }
}
