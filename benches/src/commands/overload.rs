//! `overload`: what idle connections, slow senders, slow readers and unsigned requests cost the others, and what is left of them.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{
    child::Server,
    error::BenchError,
    load::{Pace, Worker},
    measure::{Bench, Figures, Subject, block_on},
    report::{Cell, Table},
    wire::Signature,
    workloads::{Appender, Caller, Getter, Object},
};

const KIB: u64 = 1 << 10;
const MIB: f64 = 1_048_576.0;
/// Connections of the clients that are measured, half for appends and half for reads, one kind after the other.
const CONNECTIONS: usize = 16;
/// What a slow sender announces, far more than it will ever send.
const SLOW_LENGTH: u64 = 64 << 20;
/// What a slow reader asks for, more than the kernel takes off the server's hands.
const READ_LENGTH: u64 = 8 << 20;
/// What they send, or take, each time.
const SLOW_PIECE: usize = 2 << 10;
const SLOW_PAUSE: Duration = Duration::from_millis(500);
/// Room in the table of open files for all of them, and as many again for what the server opens for each.
const FILES: u64 = 65_536;
/// For the last of them to be gone.
const GONE_MAX: Duration = Duration::from_secs(60);
/// Descriptors that the store itself may have opened meanwhile.
const FILES_SPARE: u64 = 64;
/// The aim: p99 beside the crowd at most so many times the quiet one.
const AIM: f64 = 3.0;

/// Who is there beside the clients that are measured.
#[derive(Clone, Copy)]
struct Crowd {
    idle: usize,
    senders: usize,
    readers: usize,
}

/// Measures appends and reads in quiet and beside crowds, then what a refusal costs.
pub(crate) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let files = raise_files();
    let settings = ["limits.idle_ms=3600000".to_owned()];
    let server = bench.ossia_with("ossia", &settings)?;
    bench.make_bucket(&server)?;
    let (address, signature) = (server.address, bench.options.signature);
    let small: Arc<[Object]> =
        (0..100).map(|number| Object::new(&format!("small-{number}"))).collect();
    let large = Object::new("large");
    block_on(async {
        let mut caller = Caller::open(address, signature).await?;
        for object in small.iter() {
            caller.put(object, &bench.pattern, KIB).await?;
        }
        caller.put(&large, &bench.pattern, READ_LENGTH).await
    })?;
    // Few readers: what they do not take lies in the kernel, some MiB each over loopback, and all of it is bounded.
    let (idle, slow, readers) = bench.options.pick((10_000, 1_000, 200), (300, 50, 20));
    let taken = server.figures()?.and_then(|told| told.get("ossia_connections_max"));
    let room =
        usize::try_from(taken.unwrap_or(files.saturating_sub(1_024) / 2)).unwrap_or(usize::MAX);
    let idle = idle.min(room.saturating_sub(slow + readers + 100));
    let crowds = [
        ("nobody", Crowd { idle: 0, senders: 0, readers: 0 }),
        ("idle", Crowd { idle, senders: 0, readers: 0 }),
        ("idle, slow senders", Crowd { idle, senders: slow, readers: 0 }),
        ("idle, slow senders and readers", Crowd { idle, senders: slow, readers }),
        ("nobody again", Crowd { idle: 0, senders: 0, readers: 0 }),
    ];
    let mut table = Table::new(
        "Appends and reads of 1 KiB beside a crowd, closed loop over 16 connections",
        &[
            "beside",
            "idle",
            "slow senders",
            "slow readers",
            "appends/s",
            "append p99 ms",
            "of quiet",
            "GET/s",
            "GET p99 ms",
            "of quiet GET",
            "server CPU us/append",
            "memory MiB",
            "open files",
            "files in staging",
        ],
    );
    let (mut quiet, mut worst, mut before) = (None, 0.0_f64, None);
    for (number, (name, crowd)) in crowds.into_iter().enumerate() {
        let there = Gathered::gather(bench, address, crowd, &large)?;
        let (appends, gets) = pair(bench, &server, &small, number)?;
        let memory = server.memory()?.resident_bytes as f64 / MIB;
        let open = server.handles()?.files;
        let staged = staged(bench);
        let (quiet_append, quiet_get) = *quiet.get_or_insert((appends.p99_ms, gets.p99_ms));
        let of = |now: Option<f64>, quiet: Option<f64>| Some(now? / quiet?);
        let (append_ratio, get_ratio) =
            (of(appends.p99_ms, quiet_append), of(gets.p99_ms, quiet_get));
        if crowd.senders > 0 && crowd.readers == 0 {
            worst = append_ratio.unwrap_or(f64::NAN).max(get_ratio.unwrap_or(f64::NAN));
        }
        let count = |number: usize| Cell::Number(number as f64, 0);
        table.row([
            Cell::text(name),
            count(crowd.idle),
            count(crowd.senders),
            count(crowd.readers),
            Cell::number(appends.rate, 0),
            Cell::number(appends.p99_ms, 3),
            Cell::number(append_ratio, 2),
            Cell::number(gets.rate, 0),
            Cell::number(gets.p99_ms, 3),
            Cell::number(get_ratio, 2),
            Cell::number(appends.server_us, 1),
            Cell::number(Some(memory), 1),
            count(open as usize),
            count(staged),
        ]);
        before.get_or_insert(open);
        there.scatter()?;
        until_gone(bench, &server, before.unwrap_or(open) + FILES_SPARE)?;
    }
    table.note(format!(
        "Every second idle connection has asked for its health once; the others have said nothing. Slow senders put {} MiB at {} KiB a \
         second each, slow readers take a GET of {} MiB as slowly. Memory is resident, at the end of each row's \
         rounds. The server may \
         have {files} files open.",
        SLOW_LENGTH >> 20,
        SLOW_PIECE as f64 / 1024.0 / SLOW_PAUSE.as_secs_f64(),
        READ_LENGTH >> 20,
    ));
    bench.report.table(&table);
    let verdict = if worst <= AIM { "met" } else { "missed" };
    bench.report.sentence(&format!(
        "Aim: p99 beside idle connections and slow senders at most {AIM} times the quiet one: {worst:.2}, {verdict}."
    ));
    refusals(bench, &server, &small)?;
    server.stop()
}

/// Appends, then reads.
fn pair(
    bench: &Bench,
    server: &Server,
    small: &Arc<[Object]>,
    number: usize,
) -> Result<(Figures, Figures), BenchError> {
    let (address, signature) = (server.address, bench.options.signature);
    let (mut appends, mut gets) = (vec![], vec![]);
    for round in 0..bench.options.rounds() {
        let make = async |index| {
            let caller = Caller::open(address, signature).await?;
            let object = Object::new(&format!("log-{number}-{round}-{index}"));
            let pattern = bench.pattern.clone();
            Ok(Appender { caller, object, pattern, record: KIB as usize, position: 0 })
        };
        let plan = bench.plan(CONNECTIONS, Pace::Closed);
        appends.push(bench.measure(Subject::Process(server), plan, make)?);
        let make = async |index| {
            let caller = Caller::open(address, signature).await?;
            Ok(Getter { caller, objects: Arc::clone(small), length: KIB, next: index })
        };
        gets.push(bench.measure(Subject::Process(server), plan, make)?);
    }
    Ok((Figures::of(&appends), Figures::of(&gets)))
}

/// What an unsigned request costs the server, beside a signed one.
fn refusals(bench: &mut Bench, server: &Server, small: &Arc<[Object]>) -> Result<(), BenchError> {
    let mut table = Table::new(
        "Unsigned requests, closed loop over 64 connections",
        &["request", "answers/s", "p50 ms", "p99 ms", "server CPU us/request"],
    );
    let (address, signature) = (server.address, bench.options.signature);
    let workers = bench.options.pick(64, 8);
    let (mut refused, mut signed) = (vec![], vec![]);
    for _ in 0..bench.options.rounds() {
        let plan = bench.plan(workers, Pace::Closed);
        let make = async |index| {
            let caller = Caller::open(address, Signature::Unsigned).await?;
            Ok(Refused { caller, objects: Arc::clone(small), next: index })
        };
        refused.push(bench.measure(Subject::Process(server), plan, make)?);
        let make = async |index| {
            let caller = Caller::open(address, signature).await?;
            Ok(Getter { caller, objects: Arc::clone(small), length: KIB, next: index })
        };
        signed.push(bench.measure(Subject::Process(server), plan, make)?);
    }
    for (name, rounds) in
        [("GET without a signature: 403", refused), ("signed GET of 1 KiB", signed)]
    {
        let figures = Figures::of(&rounds);
        table.row([
            Cell::text(name),
            Cell::number(figures.rate, 0),
            Cell::number(figures.p50_ms, 3),
            Cell::number(figures.p99_ms, 3),
            Cell::number(figures.server_us, 1),
        ]);
    }
    bench.report.table(&table);
    Ok(())
}

/// Asks for what it may not have.
struct Refused {
    caller: Caller,
    objects: Arc<[Object]>,
    next: usize,
}

impl Worker for Refused {
    async fn step(&mut self) -> Result<Option<u64>, BenchError> {
        let object = &self.objects[self.next % self.objects.len()];
        self.next += 1;
        match self.caller.get(object, |_| {}).await {
            Err(BenchError::Answer { status: 403, .. }) => Ok(Some(1)),
            Err(error) => Err(error),
            Ok(_) => Err(BenchError::answer("an unsigned request was served")),
        }
    }
}

/// As many files as the system lets this process and its children have.
fn raise_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(FILES, |maximum| maximum.max(FILES));
    for wanted in [Some(most), limit.maximum] {
        if setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum: wanted }).is_ok() {
            return wanted.unwrap_or(FILES);
        }
    }
    limit.current.unwrap_or(FILES)
}

/// Files of uploads that have not ended.
fn staged(bench: &Bench) -> usize {
    fs::read_dir(bench.scratch.path().join("ossia/staging")).map_or(0, Iterator::count)
}

/// Waits until nothing is left of a crowd.
fn until_gone(bench: &Bench, server: &Server, files: u64) -> Result<(), BenchError> {
    let until = Instant::now() + GONE_MAX;
    loop {
        let open = server.handles()?.files;
        let staged = staged(bench);
        if open <= files && staged == 0 {
            return Ok(());
        }
        if Instant::now() > until {
            let text = format!("of a crowd that has gone {open} files stay open, {staged} staged");
            return Err(BenchError::Content(text));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// A crowd on a thread of its own.
struct Gathered {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), BenchError>>,
}

impl Gathered {
    fn gather(
        bench: &Bench,
        address: SocketAddr,
        crowd: Crowd,
        large: &Object,
    ) -> Result<Gathered, BenchError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, large) = (Arc::clone(&stop), large.clone());
        let signature = bench.options.signature;
        let (told, tells) = mpsc::channel();
        let thread = thread::spawn(move || {
            block_on(async {
                let gathered = gather(address, crowd, signature, &large).await;
                // Gathered or not: the bench waits for it.
                let _ = told.send(());
                linger(gathered?, &stopped).await;
                Ok(())
            })
        });
        let _ = tells.recv();
        Ok(Gathered { stop, thread })
    }

    fn scatter(self) -> Result<(), BenchError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The sockets of a crowd.
struct Sockets {
    _idle: Vec<TcpStream>,
    senders: Vec<TcpStream>,
    readers: Vec<TcpStream>,
}

/// Several addresses of this machine, so that no port range ends.
async fn connect(address: SocketAddr, number: usize) -> Result<TcpStream, BenchError> {
    let from = u8::try_from(2 + number / 4_000).unwrap_or(u8::MAX);
    let failed = || BenchError::io("connect one of a crowd");
    let socket = TcpSocket::new_v4().map_err(failed())?;
    let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, from)), 0);
    socket.bind(local).map_err(failed())?;
    socket.connect(address).await.map_err(failed())
}

async fn gather(
    address: SocketAddr,
    crowd: Crowd,
    signature: Signature,
    large: &Object,
) -> Result<Sockets, BenchError> {
    let failed = || BenchError::io("talk as one of a crowd");
    let mut sockets = Sockets { _idle: Vec::new(), senders: Vec::new(), readers: Vec::new() };
    let scribe = crate::wire::Scribe::new(address, signature);
    let mut head = Vec::new();
    for number in 0..crowd.idle {
        let mut socket = connect(address, number).await?;
        if number % 2 == 0 {
            let ask = format!("GET /_ossia/health HTTP/1.1\r\nhost: {address}\r\n\r\n");
            socket.write_all(ask.as_bytes()).await.map_err(failed())?;
            let mut answer = [0; 1024];
            if socket.read(&mut answer).await.map_err(failed())? == 0 {
                return Err(BenchError::answer("an idle connection was closed"));
            }
        }
        sockets._idle.push(socket);
    }
    for number in 0..crowd.senders {
        let mut socket = connect(address, number).await?;
        let object = Object::new(&format!("slow-{number}"));
        scribe.write(&mut head, object.ask("PUT", Some(SLOW_LENGTH)))?;
        socket.write_all(&head).await.map_err(failed())?;
        sockets.senders.push(socket);
    }
    for number in 0..crowd.readers {
        let mut socket = connect(address, number).await?;
        scribe.write(&mut head, large.ask("GET", None))?;
        socket.write_all(&head).await.map_err(failed())?;
        sockets.readers.push(socket);
    }
    Ok(sockets)
}

/// Sends a little and reads a little, until told to go.
async fn linger(mut sockets: Sockets, stop: &AtomicBool) {
    let piece = vec![b'x'; SLOW_PIECE];
    let mut room = vec![0; SLOW_PIECE];
    while !stop.load(Ordering::Relaxed) {
        for socket in &mut sockets.senders {
            // Whoever is refused has been heard.
            let _ = socket.try_write(&piece);
        }
        for socket in &mut sockets.readers {
            let _ = socket.try_read(&mut room);
        }
        tokio::time::sleep(SLOW_PAUSE).await;
    }
}
