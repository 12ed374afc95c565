//! `soak`: mixed appends, puts and deletes, far more than stays: what the disk, the memory and the next start say afterwards.
//!
//! Each connection owns its objects. It appends to a few logs of its own, puts objects whole, and deletes its oldest ones whenever it
//! keeps more than its share, so that the live bytes stay level while the written ones grow.

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
    child::Server,
    error::BenchError,
    load::{self, Pace, Plan, Worker},
    measure::{Aims, Bench, block_on},
    options::human,
    pattern::Pattern,
    proc::{self, Device},
    report::{Cell, Table},
    stats::Dice,
    workloads::{Caller, Object},
};

const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1_073_741_824.0;
/// What the aim allows beside the live bytes.
const JOURNAL: f64 = GIB;
const CONNECTIONS: usize = 64;
/// Logs that a connection appends to in turn.
const LOGS: usize = 4;
/// After so many records a log is finished and a new one begun.
const RECORDS_PER_LOG: u64 = 256;

/// The record sizes of the three phases, and each one's share of all bytes.
const PHASES: [(&str, &[usize], f64); 3] = [
    ("1 KiB", &[1 << 10], 0.3),
    ("1 MiB", &[1 << 20], 0.35),
    ("100 B to 1 MiB", &[100, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20], 0.35),
];

/// Runs the phases on one store, then lets it rest, starts it again and looks whether everything is there.
pub(crate) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let total = bench.options.gib.unwrap_or(bench.options.pick(20.0, 0.03)) * GIB;
    let live = bench.options.live_gib.unwrap_or(bench.options.pick(2.0, 0.01)) * GIB;
    let server = bench.ossia_with_bucket("ossia")?;
    let soak = Arc::new(Soak::new(live as u64 / CONNECTIONS as u64));
    let mut states: Vec<State> = (0..CONNECTIONS).map(State::new).collect();
    let mut table = Table::new(
        format!("Mixed appends, puts and deletes over {CONNECTIONS} connections, closed loop"),
        &[
            "records",
            "GiB stored",
            "operations/s",
            "MiB/s",
            "p50 ms",
            "p99 ms",
            "server CPU us/operation",
            "bytes written/stored",
            "live GiB",
            "disk GiB",
            "disk most GiB",
            "resident MiB",
            "peak MiB",
        ],
    );
    let mut aims = Aims::default();
    for (name, records, share) in PHASES {
        let phase = Phase { name, records, bytes: (total * share) as u64 };
        let stored = phase.run(bench, &server, &soak, &mut states)?;
        table.row(phase.row(&stored, &soak));
        match records {
            [1024] => aims.at_most("bytes written per byte stored at 1 KiB", 3.2, stored.written()),
            [1_048_576] => {
                aims.at_most("bytes written per byte stored at 1 MiB", 1.2, stored.written());
            }
            _ => {}
        }
        let ratio = stored.disk_most as f64 / (soak.live_bytes() as f64 + JOURNAL);
        let what = format!("{name}: most disk use by live bytes and a journal of 1 GiB");
        aims.at_most(what, 1.5, Some(ratio));
    }
    table.note(
        "*bytes written* is what the whole disk wrote, whoever asked. *disk* is that of the whole data folder, its journal \
         included, looked at five times a second.",
    );
    bench.report.table(&table);
    afterwards(bench, server, &soak, &states, &mut aims)?;
    aims.report(&mut bench.report);
    Ok(())
}

/// What the connections share.
struct Soak {
    live_each: u64,
    live: AtomicU64,
}

impl Soak {
    fn new(live_each: u64) -> Soak {
        Soak { live_each, live: AtomicU64::new(0) }
    }

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

struct Soaker {
    caller: Caller,
    pattern: Pattern,
    soak: Arc<Soak>,
    records: &'static [usize],
    /// Bytes that all connections may still store in this phase.
    left: Arc<AtomicU64>,
    state: State,
    /// Where the state goes back to.
    home: Arc<Mutex<Vec<State>>>,
}

impl Worker for Soaker {
    async fn step(&mut self) -> Result<Option<u64>, BenchError> {
        if self.state.live > self.soak.live_each
            && let Some(oldest) = self.state.finished.pop_front()
        {
            self.caller.delete(&oldest.object).await?;
            self.state.live -= oldest.length;
            self.soak.live.fetch_sub(oldest.length, Ordering::Relaxed);
            return Ok(Some(0));
        }
        let record = self.records[self.state.dice.below(self.records.len() as u64) as usize] as u64;
        let took = self
            .left
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

    async fn append(&mut self, record: u64) -> Result<(), BenchError> {
        if self.state.logs.len() < LOGS {
            let object = self.state.new_object("log");
            self.state.logs.push((Kept { object, length: 0 }, 0));
        }
        let turn = self.state.dice.below(self.state.logs.len() as u64) as usize;
        let (log, records) = &mut self.state.logs[turn];
        let piece = self.pattern.piece(log.length, record as usize);
        self.caller.append(&log.object, log.length, &piece).await?;
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
        self.caller.put(&object, &self.pattern, length).await?;
        self.state.finished.push_back(Kept { object, length });
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Phase {
    name: &'static str,
    records: &'static [usize],
    bytes: u64,
}

/// What one phase came to.
struct Stored {
    outcome: load::Outcome,
    cpu: Duration,
    device: Option<Device>,
    disk: u64,
    disk_most: u64,
    memory: proc::Memory,
}

impl Stored {
    fn written(&self) -> Option<f64> {
        Some(self.device?.written_bytes as f64 / self.outcome.bytes as f64)
    }
}

impl Phase {
    fn run(
        self,
        bench: &Bench,
        server: &Server,
        soak: &Arc<Soak>,
        states: &mut Vec<State>,
    ) -> Result<Stored, BenchError> {
        let data = bench.scratch.path().join("ossia");
        let left = Arc::new(AtomicU64::new(self.bytes));
        let home = Arc::new(Mutex::new(std::mem::take(states)));
        let plan = Plan {
            workers: CONNECTIONS,
            threads: bench.options.threads,
            pace: Pace::Closed,
            warm_up: Duration::ZERO,
            window: None,
        };
        let make = async |_| {
            let caller = Caller::open(server.address, bench.options.signature).await?;
            let state = home.lock().ok().and_then(|mut home| home.pop());
            let Some(state) = state else { return Err(BenchError::Stalled) };
            let (pattern, soak) = (bench.pattern.clone(), Arc::clone(soak));
            let (left, home) = (Arc::clone(&left), Arc::clone(&home));
            Ok(Soaker { caller, pattern, soak, records: self.records, left, state, home })
        };
        let mut marks = Vec::new();
        let (done, most) = (AtomicBool::new(false), AtomicU64::new(0));
        let outcome = thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    most.fetch_max(proc::disk_bytes(&data), Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(200));
                }
            });
            let outcome = load::run(plan, make, || {
                marks.push((server.cpu()?, bench.device.read()));
                Ok(())
            });
            done.store(true, Ordering::Relaxed);
            outcome
        })?;
        if let Ok(mut home) = home.lock() {
            *states = std::mem::take(&mut *home);
        }
        let [(cpu_before, before), (cpu_after, after)] = marks.as_slice() else {
            return Err(BenchError::Stalled);
        };
        let disk = proc::disk_bytes(&data);
        Ok(Stored {
            outcome,
            cpu: cpu_after.saturating_sub(*cpu_before),
            device: before.zip(*after).map(|(before, after)| after.since(before)),
            disk,
            disk_most: most.into_inner().max(disk),
            memory: server.memory()?,
        })
    }

    fn row(self, stored: &Stored, soak: &Soak) -> [Cell; 13] {
        let outcome = &stored.outcome;
        let operations = outcome.operations as f64;
        let seconds = outcome.elapsed.as_secs_f64();
        let gib = |bytes: u64| Cell::number(Some(bytes as f64 / GIB), 2);
        let ms = |share: f64| Cell::number(Some(outcome.latency.quantile(share) as f64 / 1e6), 3);
        [
            Cell::text(self.name),
            gib(outcome.bytes),
            Cell::number(Some(outcome.rate()), 0),
            Cell::number(Some(outcome.bytes as f64 / MIB / seconds), 1),
            ms(0.5),
            ms(0.99),
            Cell::number(Some(stored.cpu.as_secs_f64() * 1e6 / operations), 1),
            Cell::number(stored.written(), 2),
            gib(soak.live_bytes()),
            gib(stored.disk),
            gib(stored.disk_most),
            Cell::number(Some(stored.memory.resident_bytes as f64 / MIB), 0),
            Cell::number(Some(stored.memory.peak_bytes as f64 / MIB), 0),
        ]
    }
}

/// Rest, restart, and a look at every object that should be there.
fn afterwards(
    bench: &mut Bench,
    server: Server,
    soak: &Soak,
    states: &[State],
    aims: &mut Aims,
) -> Result<(), BenchError> {
    let data = bench.scratch.path().join("ossia");
    let rest = bench.options.pick(Duration::from_secs(30), Duration::from_secs(1));
    thread::sleep(rest);
    let idle = server.memory()?.resident_bytes as f64 / MIB;
    let disk = proc::disk_bytes(&data);
    server.stop()?;
    let begun = Instant::now();
    let server = bench.ossia("ossia")?;
    let start = begun.elapsed();
    let started = server.memory()?.resident_bytes as f64 / MIB;
    let kept: Vec<&Kept> = states
        .iter()
        .flat_map(|state| state.finished.iter().chain(state.logs.iter().map(|(log, _)| log)))
        .collect();
    // All of them would take longer than the soak; each connection's newest ones come last.
    let step = kept.len().div_ceil(bench.options.pick(5_000, 200)).max(1);
    let (address, signature) = (server.address, bench.options.signature);
    let (mut objects, mut bytes) = (0, 0);
    block_on(async {
        let mut caller = Caller::open(address, signature).await?;
        for one in kept.iter().rev().step_by(step) {
            caller.verify(&one.object, &bench.pattern, one.length).await?;
            (objects, bytes) = (objects + 1, bytes + one.length);
        }
        Ok(())
    })?;
    let mut table = Table::new(
        "After the soak",
        &[
            "rest s",
            "live GiB",
            "disk GiB",
            "idle MiB",
            "restart ms",
            "MiB after restart",
            "objects",
            "read back whole",
            "of bytes",
        ],
    );
    table.row([
        Cell::Number(rest.as_secs_f64(), 0),
        Cell::Number(soak.live_bytes() as f64 / GIB, 2),
        Cell::Number(disk as f64 / GIB, 2),
        Cell::Number(idle, 0),
        Cell::Number(start.as_secs_f64() * 1e3, 0),
        Cell::Number(started, 0),
        Cell::Number(kept.len() as f64, 0),
        Cell::Number(f64::from(objects), 0),
        Cell::text(human(bytes)),
    ]);
    bench.report.table(&table);
    aims.at_most("restart after the soak, seconds", 2.0, Some(start.as_secs_f64()));
    aims.at_most("idle memory after the soak, MiB", 40.0, Some(idle));
    server.stop()
}
