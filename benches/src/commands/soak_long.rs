//! `soak --part long`: hours of everything at a modest rate, to see whether anything grows: memory, file descriptors, threads,
//! the disk.
//!
//! A few connections send mixed requests at a bounded rate, so that the machine is free for other work: appends to objects that grow,
//! are sealed, deleted and overwritten, puts, copies, reads that are compared byte by byte, lists, uploads that break off, new
//! connections. The journal is small and goes round many times. Once a minute the server is looked at, and the line goes to
//! `soak-long.csv` at once, so that a run that is cut off is not lost. At the end come a rest, a look at every object, a stop, a
//! start, and the look again.

use std::{
    collections::{BTreeSet, VecDeque},
    fs::{self, File},
    io::Write as _,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::time::MissedTickBehavior;

use crate::{
    child::Server,
    error::BenchError,
    measure::{Aims, Bench, block_on, ratio},
    pattern::Pattern,
    proc::{self, Handles},
    report::{Cell, Table},
    stats::{Dice, Histogram},
    wire::Signature,
    workloads::{Caller, Listing, Object},
};

const MIB: f64 = 1_048_576.0;
const CONNECTIONS: usize = 8;
/// Logs that a connection appends to in turn.
const LOGS: usize = 4;
/// After so many records a log is finished and a new one begun.
const RECORDS_PER_LOG: u64 = 256;
/// What all connections together keep alive, if nothing else is asked for.
const LIVE_BYTES: u64 = 256 << 20;
/// Of a longer object only so much is read at a time.
const READ_BYTES_MAX: u64 = 256 << 10;
/// The server is looked at so often, or a hundred and twenty times in a shorter run.
const LOOK: Duration = Duration::from_secs(60);
const LOOKS_MIN: u32 = 120;
/// The server has come to rest when it has written nothing for so long; longer than its `idle_flush_ms` and `quiet_ms`.
const QUIET: Duration = Duration::from_secs(15);
const REST_MAX: Duration = Duration::from_secs(180);
const BUSY_PAUSE: Duration = Duration::from_millis(100);
const BUSY_MAX: u32 = 100;
const PAGE: u32 = 1_000;
const JOURNAL: u64 = 64 << 20;

/// A journal that a run goes round many times, with everything else in proportion.
const SETTINGS: [&str; 4] = [
    "engine.journal_bytes=67108864",
    "engine.segment_bytes=8388608",
    "engine.memtable_bytes=2097152",
    "engine.checkpoint_bytes=16777216",
];

/// Bodies: how long, and how many of a hundred.
const SIZES: [(u64, u64); 7] = [
    (100, 25),
    (1 << 10, 30),
    (4 << 10, 20),
    (16 << 10, 13),
    (64 << 10, 8),
    (256 << 10, 3),
    (1 << 20, 1),
];

/// What a connection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Append,
    Put,
    Overwrite,
    OverwriteLog,
    Copy,
    Get,
    List,
    BreakOff,
    Reconnect,
    Delete,
    DeleteLog,
    Seal,
}

/// How many of a hundred each deed is.
const DEEDS: [(Deed, &str, u64); 12] = [
    (Deed::Append, "append", 45),
    (Deed::Put, "put", 15),
    (Deed::Overwrite, "put over an object", 4),
    (Deed::OverwriteLog, "put over a growing object", 1),
    (Deed::Copy, "copy", 5),
    (Deed::Get, "get and compare", 17),
    (Deed::List, "list", 3),
    (Deed::BreakOff, "upload broken off", 2),
    (Deed::Reconnect, "new connection", 3),
    (Deed::Delete, "delete", 3),
    (Deed::DeleteLog, "delete of a growing object", 1),
    (Deed::Seal, "seal", 1),
];

/// One of `choices` by their shares, which add up to a hundred.
fn choose<T: Copy>(dice: &mut Dice, choices: impl IntoIterator<Item = (T, u64)>, last: T) -> T {
    let mut left = dice.below(100);
    for (choice, share) in choices {
        if left < share {
            return choice;
        }
        left -= share;
    }
    last
}

/// An object whose bytes are the pattern from `base` on, so that no object can pass for another.
#[derive(Clone)]
struct Kept {
    key: String,
    object: Object,
    base: u64,
    length: u64,
    /// Put whole, so that it may be copied.
    whole: bool,
}

/// What all connections share.
struct Shared {
    address: SocketAddr,
    signature: Signature,
    pattern: Pattern,
    live_each: u64,
    /// The time between two deeds of one connection.
    pause: Duration,
    until: Instant,
    stop: AtomicBool,
    live: AtomicU64,
    stored: AtomicU64,
    busy: AtomicU64,
    deeds: [AtomicU64; DEEDS.len()],
    /// Since the last look.
    latency: Mutex<Histogram>,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && Instant::now() < self.until
    }

    fn operations(&self) -> u64 {
        self.deeds.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// One connection and its objects.
struct Worker<'s> {
    shared: &'s Shared,
    number: usize,
    caller: Caller,
    dice: Dice,
    made: u64,
    logs: Vec<(Kept, u64)>,
    finished: VecDeque<Kept>,
    live: u64,
}

impl<'s> Worker<'s> {
    async fn open(shared: &'s Shared, number: usize) -> Result<Worker<'s>, BenchError> {
        Ok(Worker {
            shared,
            number,
            caller: Caller::open(shared.address, shared.signature).await?,
            dice: Dice::new(number as u64),
            made: 0,
            logs: Vec::new(),
            finished: VecDeque::new(),
            live: 0,
        })
    }

    /// Works until the time is over; returns what is left.
    async fn work(mut self) -> Result<Vec<Kept>, BenchError> {
        let mut tick = tokio::time::interval(self.shared.pause);
        // A slow answer makes the run slower, never a burst: the load is bounded.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::time::sleep(self.shared.pause.mul_f64(self.number as f64 / CONNECTIONS as f64))
            .await;
        while self.shared.goes_on() {
            tick.tick().await;
            let begun = Instant::now();
            let deed = self.next_deed();
            self.act(deed).await?;
            let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            if let Ok(mut latency) = self.shared.latency.lock() {
                latency.record(nanos);
            }
            if let Some(at) = DEEDS.iter().position(|(one, ..)| *one == deed) {
                self.shared.deeds[at].fetch_add(1, Ordering::Relaxed);
            }
        }
        self.finished.extend(self.logs.into_iter().map(|(log, _)| log));
        Ok(self.finished.into_iter().filter(|kept| kept.length > 0 || kept.whole).collect())
    }

    fn next_deed(&mut self) -> Deed {
        if self.live > self.shared.live_each && !self.finished.is_empty() {
            return Deed::Delete;
        }
        let deed =
            choose(&mut self.dice, DEEDS.map(|(deed, _, share)| (deed, share)), Deed::Append);
        let grown = self.logs.iter().any(|(log, _)| log.length > 0);
        let whole = self.finished.iter().any(|kept| kept.whole);
        match deed {
            Deed::Overwrite | Deed::Copy | Deed::Get | Deed::Delete if !whole => Deed::Put,
            Deed::OverwriteLog | Deed::DeleteLog | Deed::Seal if !grown => Deed::Append,
            other => other,
        }
    }

    async fn act(&mut self, deed: Deed) -> Result<(), BenchError> {
        match deed {
            Deed::Append => self.append().await,
            Deed::Put => {
                let kept = self.new_object("put");
                self.put(kept).await
            }
            Deed::Overwrite => {
                let at = self.whole_one();
                let Some(old) = at.and_then(|at| self.finished.remove(at)) else { return Ok(()) };
                self.put_over(old).await
            }
            Deed::OverwriteLog => {
                let Some((old, _)) = self.take_log() else { return Ok(()) };
                self.put_over(old).await
            }
            Deed::Copy => self.copy().await,
            Deed::Get => self.get().await,
            Deed::List => self.list().await,
            Deed::BreakOff => self.break_off().await,
            Deed::Reconnect => {
                self.caller = Caller::open(self.shared.address, self.shared.signature).await?;
                Ok(())
            }
            Deed::Delete => {
                // Mostly the oldest, so that blobs and segments empty in their order; now and then another.
                let at = match self.dice.below(4) {
                    0 => self.dice.below(self.finished.len().max(1) as u64) as usize,
                    _ => 0,
                };
                let Some(kept) = self.finished.remove(at) else { return Ok(()) };
                self.delete(kept).await
            }
            Deed::DeleteLog => {
                let Some((log, _)) = self.take_log() else { return Ok(()) };
                self.delete(log).await
            }
            Deed::Seal => {
                let Some((log, _)) = self.take_log() else { return Ok(()) };
                self.seal(log).await
            }
        }
    }

    fn new_object(&mut self, kind: &str) -> Kept {
        self.made += 1;
        let key = format!("long/{:02}/{kind}-{:08}", self.number, self.made);
        let (object, base) = (Object::new(&key), self.dice.below(1 << 20));
        Kept { key, object, base, length: 0, whole: false }
    }

    fn size(&mut self) -> u64 {
        choose(&mut self.dice, SIZES, 100)
    }

    /// Where an object stands that was put whole, somewhere in the list.
    fn whole_one(&mut self) -> Option<usize> {
        let count = self.finished.len();
        let from = self.dice.below(count.max(1) as u64) as usize;
        (0..count).map(|step| (from + step) % count).find(|at| self.finished[*at].whole)
    }

    /// A log that has something, no longer among those that grow.
    fn take_log(&mut self) -> Option<(Kept, u64)> {
        let at = self.logs.iter().position(|(log, _)| log.length > 0)?;
        Some(self.logs.swap_remove(at))
    }

    fn lives(&mut self, more: u64, less: u64) {
        self.live = self.live + more - less;
        self.shared.live.fetch_add(more, Ordering::Relaxed);
        self.shared.live.fetch_sub(less, Ordering::Relaxed);
        self.shared.stored.fetch_add(more, Ordering::Relaxed);
    }

    /// Sends a request, again and again while the server says that it is busy: as every SDK does.
    async fn patiently<T>(
        &mut self,
        send: impl AsyncFn(&mut Caller) -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        let mut tries = 0;
        loop {
            match send(&mut self.caller).await {
                Err(BenchError::Answer { status: 503, .. }) if tries < BUSY_MAX => {}
                told => return told,
            }
            tries += 1;
            self.shared.busy.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(BUSY_PAUSE).await;
            self.caller = Caller::open(self.shared.address, self.shared.signature).await?;
        }
    }

    fn bytes(&self, position: u64, length: u64) -> Bytes {
        self.shared.pattern.piece(position, length as usize)
    }

    async fn append(&mut self) -> Result<(), BenchError> {
        while self.logs.len() < LOGS {
            let log = self.new_object("log");
            self.logs.push((log, 0));
        }
        let turn = self.dice.below(LOGS as u64) as usize;
        let record = self.size();
        let log = self.logs[turn].0.clone();
        let piece = self.bytes(log.base + log.length, record);
        self.patiently(async |caller| caller.append(&log.object, log.length, &piece).await).await?;
        self.lives(record, 0);
        let (log, records) = &mut self.logs[turn];
        log.length += record;
        *records += 1;
        if *records == RECORDS_PER_LOG {
            let (log, _) = self.logs.swap_remove(turn);
            self.finished.push_back(log);
        }
        Ok(())
    }

    async fn put(&mut self, mut kept: Kept) -> Result<(), BenchError> {
        kept.length = self.size();
        kept.whole = true;
        let body = self.bytes(kept.base, kept.length);
        self.patiently(async |caller| caller.put_bytes(&kept.object, &body).await).await?;
        self.lives(kept.length, 0);
        self.finished.push_back(kept);
        Ok(())
    }

    /// Other bytes in the place of an object.
    async fn put_over(&mut self, mut old: Kept) -> Result<(), BenchError> {
        let length = old.length;
        old.base = self.dice.below(1 << 20);
        self.put(old).await?;
        self.lives(0, length);
        Ok(())
    }

    async fn copy(&mut self) -> Result<(), BenchError> {
        let Some(from) = self.whole_one().map(|at| self.finished[at].clone()) else {
            return Ok(());
        };
        let to = self.new_object("copy");
        let to = Kept { base: from.base, length: from.length, whole: true, ..to };
        self.patiently(async |caller| caller.copy(&from.object, &to.object).await).await?;
        self.lives(to.length, 0);
        self.finished.push_back(to);
        Ok(())
    }

    async fn get(&mut self) -> Result<(), BenchError> {
        let count = self.finished.len() + self.logs.len();
        let at = self.dice.below(count.max(1) as u64) as usize;
        let all = self.finished.iter().chain(self.logs.iter().map(|(log, _)| log));
        let Some(kept) = all.skip(at).find(|kept| kept.length > 0).cloned() else { return Ok(()) };
        let room = kept.length.saturating_sub(READ_BYTES_MAX);
        let from = self.dice.below(room + 1);
        let length = (kept.length - from).min(READ_BYTES_MAX);
        let pattern = self.shared.pattern.clone();
        let base = kept.base;
        self.patiently(async |caller| {
            caller.verify_from(&kept.object, &pattern, base, from..from + length, kept.length).await
        })
        .await
    }

    async fn list(&mut self) -> Result<(), BenchError> {
        let marker = format!("long/{:02}/", self.dice.below(CONNECTIONS as u64));
        self.patiently(async |caller| caller.list(&marker, Listing::Keys(100)).await)
            .await
            .map(drop)
    }

    /// Begins an upload and leaves in the middle of it: of a new object, which must not come to be, or over one that is there, which
    /// must stay as it is.
    async fn break_off(&mut self) -> Result<(), BenchError> {
        let length = self.size();
        let object = match self.whole_one() {
            Some(at) if self.dice.below(2) == 0 => self.finished[at].object.clone(),
            _ => self.new_object("broken").object,
        };
        let body = self.bytes(0, length / 2);
        let caller = Caller::open(self.shared.address, self.shared.signature).await?;
        caller.put_and_leave(&object, length, &body).await
    }

    async fn delete(&mut self, kept: Kept) -> Result<(), BenchError> {
        self.patiently(async |caller| caller.delete(&kept.object).await).await?;
        self.lives(0, kept.length);
        Ok(())
    }

    async fn seal(&mut self, log: Kept) -> Result<(), BenchError> {
        self.patiently(async |caller| caller.seal(&log.object, log.length).await).await?;
        self.finished.push_back(log);
        Ok(())
    }
}

/// The server at one moment.
#[derive(Clone, Debug, Default)]
struct Look {
    minutes: f64,
    operations: u64,
    stored: u64,
    live: u64,
    disk: u64,
    resident: u64,
    handles: Handles,
    p50: u64,
    p99: u64,
    most: u64,
    busy: u64,
    recycled: Option<u64>,
    evacuated: Option<u64>,
    written: Option<u64>,
    cpu: Duration,
}

const CSV_HEAD: &str = "minutes,operations,stored_bytes,live_bytes,disk_bytes,resident_bytes,files,threads,p50_us,p99_us,\
                        max_us,answers_503,segments_recycled,evacuated_bytes,written_bytes,server_cpu_ms";

impl Look {
    fn csv(&self) -> String {
        let or_empty =
            |figure: Option<u64>| figure.map(|figure| figure.to_string()).unwrap_or_default();
        format!(
            "{:.2},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
            self.minutes,
            self.operations,
            self.stored,
            self.live,
            self.disk,
            self.resident,
            self.handles.files,
            self.handles.threads,
            self.p50 / 1_000,
            self.p99 / 1_000,
            self.most / 1_000,
            self.busy,
            or_empty(self.recycled),
            or_empty(self.evacuated),
            or_empty(self.written),
            self.cpu.as_millis(),
        )
    }

    /// Disk use by live bytes and the journal's bound.
    fn disk_ratio(&self) -> f64 {
        self.disk as f64 / (self.live + JOURNAL) as f64
    }
}

/// Where the looks go as they are made.
struct Diary<'s> {
    bench: &'s Bench,
    server: &'s Server,
    shared: &'s Shared,
    begun: Instant,
    file: File,
    looks: Vec<Look>,
}

impl Diary<'_> {
    fn look(&mut self) -> Result<(), BenchError> {
        let figures = self.server.figures()?;
        let figure = |name: &str| figures.as_ref().and_then(|told| told.get(name));
        let latency = match self.shared.latency.lock() {
            Ok(mut latency) => std::mem::take(&mut *latency),
            Err(_) => return Err(BenchError::Stalled),
        };
        let look = Look {
            minutes: self.begun.elapsed().as_secs_f64() / 60.0,
            operations: self.shared.operations(),
            stored: self.shared.stored.load(Ordering::Relaxed),
            live: self.shared.live.load(Ordering::Relaxed),
            disk: proc::disk_bytes(&self.bench.scratch.path().join("ossia")),
            resident: self.server.memory()?.resident_bytes,
            handles: self.server.handles()?,
            p50: latency.quantile(0.5),
            p99: latency.quantile(0.99),
            most: latency.max(),
            busy: self.shared.busy.load(Ordering::Relaxed),
            recycled: figure("ossia_engine_segments_recycled_total"),
            evacuated: figure("ossia_engine_evacuated_bytes_total"),
            written: figures.as_ref().and_then(|told| told.written_bytes()),
            cpu: self.server.cpu()?,
        };
        writeln!(self.file, "{}", look.csv())
            .and_then(|()| self.file.sync_data())
            .map_err(BenchError::io("write soak-long.csv"))?;
        self.looks.push(look);
        Ok(())
    }
}

/// The long soak.
pub(crate) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let minutes = bench.options.minutes.unwrap_or(bench.options.pick(120.0, 0.1));
    let rate = bench.options.rate.unwrap_or(100.0);
    let length = Duration::from_secs_f64(minutes * 60.0);
    let live = bench.options.live_bytes.unwrap_or(bench.options.pick(LIVE_BYTES, 4 << 20));
    let settings = SETTINGS.map(str::to_owned);
    let server = bench.ossia_with("ossia", &settings)?;
    bench.make_bucket(&server)?;
    let begun = Instant::now();
    let shared = Shared {
        address: server.address,
        signature: bench.options.signature,
        pattern: bench.pattern.clone(),
        live_each: live / CONNECTIONS as u64,
        pause: Duration::from_secs_f64(CONNECTIONS as f64 / rate),
        until: begun + length,
        stop: AtomicBool::new(false),
        live: AtomicU64::new(0),
        stored: AtomicU64::new(0),
        busy: AtomicU64::new(0),
        deeds: Default::default(),
        latency: Mutex::default(),
    };
    let mut diary = Diary {
        bench,
        server: &server,
        shared: &shared,
        begun,
        file: csv(bench)?,
        looks: Vec::new(),
    };
    let kept = thread::scope(|scope| {
        let workers = scope.spawn(|| load(&shared));
        let watched = watch(&mut diary, LOOK.min(length / LOOKS_MIN), || workers.is_finished());
        shared.stop.store(true, Ordering::Relaxed);
        let kept = workers.join().unwrap_or(Err(BenchError::Stalled));
        // What went wrong for a client tells more than what the watch then did not find.
        let kept = kept?;
        watched.map(|()| kept)
    })?;
    let run_length = begun.elapsed();
    rest(&server, bench.options.short)?;
    diary.look()?;
    let looks = std::mem::take(&mut diary.looks);
    drop(diary);
    look_at_all(bench, &server, &kept)?;
    let clean = server.stop_and_tell()?;
    let started = Instant::now();
    let server = bench.ossia_with("ossia", &settings)?;
    let restart = started.elapsed();
    look_at_all(bench, &server, &kept)?;
    let clean = clean && server.stop_and_tell()?;
    report(bench, &Ended { looks, shared, kept: kept.len(), run_length, restart, clean });
    Ok(())
}

fn csv(bench: &Bench) -> Result<File, BenchError> {
    let (folder, path) = (&bench.options.out, bench.options.out.join("soak-long.csv"));
    let failed = BenchError::io(format!("write {}", path.display()));
    fs::create_dir_all(folder)
        .and_then(|()| File::create(&path))
        .and_then(|mut file| writeln!(file, "{CSV_HEAD}").map(|()| file))
        .map_err(failed)
}

/// All connections on one thread: what the client spends, others lack.
fn load(shared: &Shared) -> Result<Vec<Kept>, BenchError> {
    block_on(async {
        let mut workers = Vec::new();
        for number in 0..CONNECTIONS {
            workers.push(Box::pin(Worker::open(shared, number).await?.work()));
        }
        let mut kept = Vec::new();
        let mut ended = [const { false }; CONNECTIONS];
        // One that fails ends the others.
        std::future::poll_fn(|context| {
            for (worker, ended) in workers.iter_mut().zip(&mut ended) {
                if *ended {
                    continue;
                }
                if let std::task::Poll::Ready(told) = worker.as_mut().poll(context) {
                    *ended = true;
                    match told {
                        Ok(more) => kept.extend(more),
                        Err(error) => return std::task::Poll::Ready(Err(error)),
                    }
                }
            }
            if ended.iter().all(|ended| *ended) {
                return std::task::Poll::Ready(Ok(()));
            }
            std::task::Poll::Pending
        })
        .await?;
        Ok(kept)
    })
}

/// Looks at the server until the load has ended.
fn watch(
    diary: &mut Diary<'_>,
    every: Duration,
    ended: impl Fn() -> bool,
) -> Result<(), BenchError> {
    let mut next = diary.begun + every;
    while !ended() {
        thread::sleep(Duration::from_millis(20));
        if Instant::now() >= next {
            diary.look()?;
            next += every;
        }
    }
    Ok(())
}

/// Waits until the server has written nothing for a while.
fn rest(server: &Server, short: bool) -> Result<(), BenchError> {
    let (quiet, most) =
        if short { (Duration::from_secs(1), Duration::from_secs(2)) } else { (QUIET, REST_MAX) };
    let begun = Instant::now();
    let (mut last, mut since) = (None, begun);
    while begun.elapsed() < most && since.elapsed() < quiet {
        let written = server.figures()?.and_then(|told| told.written_bytes());
        if written != last {
            (last, since) = (written, Instant::now());
        }
        thread::sleep(Duration::from_millis(250));
    }
    Ok(())
}

/// Whether there are exactly these objects, with these bytes.
fn look_at_all(bench: &Bench, server: &Server, kept: &[Kept]) -> Result<(), BenchError> {
    block_on(async {
        let mut caller = Caller::open(server.address, bench.options.signature).await?;
        let mut left: BTreeSet<&str> = kept.iter().map(|kept| kept.key.as_str()).collect();
        let mut marker = String::new();
        loop {
            let page = caller.keys(&marker, PAGE).await?;
            let Some(last) = page.last() else { break };
            if let Some(key) = page.iter().find(|key| !left.remove(key.as_str())) {
                return Err(BenchError::Content(format!("{key} is there and should not be")));
            }
            marker.clone_from(last);
        }
        if let Some(key) = left.first() {
            return Err(BenchError::Content(format!("{key} and {} more are gone", left.len() - 1)));
        }
        for one in kept {
            let whole = 0..one.length;
            caller.verify_from(&one.object, &bench.pattern, one.base, whole, one.length).await?;
        }
        Ok(())
    })
}

struct Ended {
    looks: Vec<Look>,
    shared: Shared,
    kept: usize,
    run_length: Duration,
    restart: Duration,
    clean: bool,
}

/// The means of the first, the second and the last quarter of the looks that were made under load.
fn quarters(looks: &[Look], of: &dyn Fn(&Look) -> f64) -> [Option<f64>; 3] {
    let count = looks.len() / 4;
    let mean = |some: &[Look]| {
        (!some.is_empty()).then(|| some.iter().map(of).sum::<f64>() / some.len() as f64)
    };
    [&looks[..count], &looks[count..2 * count], &looks[looks.len() - count..]].map(mean)
}

fn report(bench: &mut Bench, ended: &Ended) {
    let Some((idle, looks)) = ended.looks.split_last() else { return };
    let mut table = Table::new(
        format!("{:.0} minutes of everything", ended.run_length.as_secs_f64() / 60.0),
        &[
            "figure",
            "first quarter",
            "second quarter",
            "last quarter",
            "last by second",
            "most",
            "at rest",
        ],
    );
    type Of<'a> = &'a dyn Fn(&Look) -> f64;
    let figures: [(&str, usize, Of<'_>); 8] = [
        ("resident memory, MiB", 1, &|look| look.resident as f64 / MIB),
        ("open file descriptors", 1, &|look| look.handles.files as f64),
        ("threads", 1, &|look| look.handles.threads as f64),
        ("live MiB", 1, &|look| look.live as f64 / MIB),
        ("disk MiB", 1, &|look| look.disk as f64 / MIB),
        ("disk by live + journal", 2, &Look::disk_ratio),
        ("p50 ms", 2, &|look| look.p50 as f64 / 1e6),
        ("p99 ms", 2, &|look| look.p99 as f64 / 1e6),
    ];
    let mut aims = Aims::default();
    for (name, digits, of) in figures {
        let [first, second, last] = quarters(looks, of);
        let growth = ratio(last, second);
        let most = looks.iter().map(of).max_by(f64::total_cmp);
        // Nobody asks anything of a server at rest.
        let at_rest = (!name.starts_with('p')).then(|| of(idle));
        table.row([
            Cell::text(name),
            Cell::number(first, digits),
            Cell::number(second, digits),
            Cell::number(last, digits),
            Cell::number(growth, 3),
            Cell::number(most, digits),
            Cell::number(at_rest, digits),
        ]);
        match name {
            "resident memory, MiB" => {
                aims.at_most("resident memory, last quarter by second", 1.2, growth);
            }
            "open file descriptors" => {
                aims.at_most("file descriptors, last quarter by second", 1.2, growth);
            }
            "disk by live + journal" => {
                aims.at_most("most disk use by live bytes and journal", 1.5, most);
            }
            _ => {}
        }
    }
    table.note(
        "Means of the looks in each quarter. The first one begins with an empty store and empty caches and includes their growth to \
         what is then kept level, so what is flat is told by the second and the last. Latencies are of single requests over loopback, beside whatever else the machine did.",
    );
    bench.report.table(&table);
    let mut table = Table::new("What was done", &["deed", "times"]);
    for ((_, name, _), count) in DEEDS.iter().zip(&ended.shared.deeds) {
        table.row([Cell::text(*name), Cell::Number(count.load(Ordering::Relaxed) as f64, 0)]);
    }
    let count = |figure: Option<u64>, unit: f64| Cell::number(figure.map(|n| n as f64 / unit), 0);
    table.row([Cell::text("answers 503"), count(Some(idle.busy), 1.0)]);
    table.row([Cell::text("MiB stored"), count(Some(idle.stored), MIB)]);
    table.row([Cell::text("MiB written by the engine"), count(idle.written, MIB)]);
    table.row([Cell::text("journal segments recycled"), count(idle.recycled, 1.0)]);
    table.row([Cell::text("MiB evacuated"), count(idle.evacuated, MIB)]);
    table.row([Cell::text("server CPU seconds"), count(Some(idle.cpu.as_secs()), 1.0)]);
    table.row([Cell::text("restart ms"), Cell::Number(ended.restart.as_secs_f64() * 1e3, 0)]);
    table.note(format!(
        "At the end there were exactly the {} objects that should be, every byte of them right, before a stop and after the start \
         behind it.{}",
        ended.kept,
        if ended.clean { " Both stops were clean." } else { " A stop was NOT clean." },
    ));
    bench.report.table(&table);
    aims.at_least("journal segments recycled", 8.0, idle.recycled.map(|n| n as f64));
    aims.report(&mut bench.report);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_a_hundred_and_each_is_chosen() {
        assert_eq!(DEEDS.iter().map(|(_, _, share)| share).sum::<u64>(), 100);
        assert_eq!(SIZES.iter().map(|(_, share)| share).sum::<u64>(), 100);
        let mut dice = Dice::new(1);
        let seen: BTreeSet<u64> = (0..5_000).map(|_| choose(&mut dice, SIZES, 0)).collect();
        assert_eq!(seen, SIZES.iter().map(|(size, _)| *size).collect());
    }

    #[test]
    fn quarters_are_means_of_the_first_the_second_and_the_last() {
        let looks: Vec<Look> = [10, 20, 0, 1, 0, 0, 40, 80]
            .map(|resident| Look { resident, ..Look::default() })
            .into();
        let of = |look: &Look| look.resident as f64;
        assert_eq!(quarters(&looks, &of), [Some(15.0), Some(0.5), Some(60.0)]);
        assert_eq!(quarters(&looks[..3], &of), [None, None, None], "too few to have quarters");
        assert_eq!(looks[0].csv().split(',').count(), CSV_HEAD.split(',').count());
    }
}
