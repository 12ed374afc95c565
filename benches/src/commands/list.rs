//! `list`: what a store full of objects costs: its start, its memory, an append and a page of a list.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use crate::{
    child::Server,
    error::BenchError,
    load::{Pace, Plan},
    measure::{Aims, Bench, Figures, Round, Subject, ratio},
    options::human,
    proc,
    report::{Cell, Table},
    stats::{Dice, median},
    workloads::{Appender, Caller, Lister, Listing, Loader, Object},
};

const MIB: f64 = 1_048_576.0;
const OBJECT: usize = 1 << 10;
const PAGE: u32 = 1_000;
/// What the full store stands beside: enough for pages that begin anywhere.
const SMALL: u64 = 10_000;
const LOADERS: usize = 64;

/// One store, and what was measured on it.
struct Store {
    name: &'static str,
    objects: u64,
    load: Figures,
    disk_bytes: u64,
    starts: Vec<Duration>,
    resident_mib: Option<f64>,
    peak_mib: Option<f64>,
    append: Figures,
    page: Figures,
    delimited: Figures,
    rolled: Figures,
    one: Figures,
}

/// The full store beside a small one.
pub(crate) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let count = bench.options.objects.unwrap_or(bench.options.pick(1_000_000, 3_000));
    let small =
        Store::measure(bench, "small", bench.options.pick(SMALL, u64::from(PAGE)).min(count))?;
    let full = Store::measure(bench, "full", count)?;
    let mut table = Table::new(
        format!("A store with objects of {} put over {LOADERS} connections", human(OBJECT as u64)),
        &[
            "store",
            "objects",
            "puts/s",
            "server CPU us/put",
            "bytes written/stored",
            "engine wrote/stored",
            "disk MiB",
            "start ms",
            "memory after start MiB",
            "peak MiB",
        ],
    );
    for store in [&small, &full] {
        table.row(store.size_row());
    }
    table.note(
        "*start* is from the beginning of the process to the first 200 of its health check, median of the rounds; *memory* is \
         resident then, *peak* after all of the bench.",
    );
    bench.report.table(&table);
    let mut table = Table::new(
        format!("One connection on such a store: an append of 1 KiB, a page of {PAGE} keys"),
        &[
            "store",
            "objects",
            "append p50 ms",
            "append p99 ms",
            "append CPU us",
            "page p50 ms",
            "page p99 ms",
            "page CPU us",
            "keys/page",
        ],
    );
    for store in [&small, &full] {
        table.row(store.cost_row());
    }
    bench.report.table(&table);
    let mut table = Table::new(
        format!(
            "The same: a page of {PAGE} keys with a delimiter that none has, the common prefixes of all, of which there are ten, and a \
             page of one key"
        ),
        &[
            "store",
            "objects",
            "page with delimiter p50 ms",
            "p99 ms",
            "ten prefixes p50 ms",
            "p99 ms",
            "CPU us",
            "one key p50 ms",
        ],
    );
    for store in [&small, &full] {
        table.row(store.delimiter_row());
    }
    bench.report.table(&table);
    let mut aims = Aims::default();
    full.aims(&small, &mut aims);
    aims.report(&mut bench.report);
    Ok(())
}

impl Store {
    fn measure(bench: &Bench, name: &'static str, objects: u64) -> Result<Store, BenchError> {
        let server = bench.ossia_with_bucket(name)?;
        let load = Figures::of(&[load(bench, &server, objects)?]);
        let mut server = Some(server);
        let mut starts = Vec::new();
        for _ in 0..bench.options.rounds() {
            server.take().map_or(Ok(()), Server::stop)?;
            let begun = Instant::now();
            server = Some(bench.ossia(name)?);
            starts.push(begun.elapsed());
        }
        let Some(server) = server else { return Err(BenchError::Stalled) };
        let resident = server.memory()?.resident_bytes;
        let mut appends = vec![];
        let mut pages = [(); 4].map(|()| vec![]);
        for round in 0..bench.options.rounds() {
            appends.push(append(bench, &server, round)?);
            let asks =
                [Listing::Keys(PAGE), Listing::Delimited(PAGE), Listing::Rolled, Listing::Keys(1)];
            for (ask, rounds) in asks.into_iter().zip(&mut pages) {
                rounds.push(page(bench, &server, round, objects, ask)?);
            }
        }
        let [page, delimited, rolled, one] = pages.map(|rounds| Figures::of(&rounds));
        let peak = server.memory()?.peak_bytes;
        let disk_bytes = proc::disk_bytes(&bench.scratch.path().join(name));
        server.stop()?;
        Ok(Store {
            name,
            objects,
            load,
            disk_bytes,
            starts,
            resident_mib: Some(resident as f64 / MIB),
            peak_mib: Some(peak as f64 / MIB),
            append: Figures::of(&appends),
            page,
            delimited,
            rolled,
            one,
        })
    }

    fn start_ms(&self) -> Option<f64> {
        median(self.starts.iter().map(|start| start.as_secs_f64() * 1e3))
    }

    fn size_row(&self) -> [Cell; 10] {
        let load = &self.load;
        [
            Cell::text(self.name),
            Cell::Number(self.objects as f64, 0),
            Cell::number(load.rate, 0),
            Cell::number(load.server_us, 1),
            Cell::number(load.written, 2),
            Cell::number(load.engine_written, 2),
            Cell::number(Some(self.disk_bytes as f64 / MIB), 0),
            Cell::number(self.start_ms(), 0),
            Cell::number(self.resident_mib, 0),
            Cell::number(self.peak_mib, 0),
        ]
    }

    fn cost_row(&self) -> [Cell; 9] {
        // Of a page the bytes are its keys.
        let keys = self.page.mib.zip(self.page.rate).map(|(mib, rate)| mib * MIB / rate);
        [
            Cell::text(self.name),
            Cell::Number(self.objects as f64, 0),
            Cell::number(self.append.p50_ms, 3),
            Cell::number(self.append.p99_ms, 3),
            Cell::number(self.append.server_us, 1),
            Cell::number(self.page.p50_ms, 3),
            Cell::number(self.page.p99_ms, 3),
            Cell::number(self.page.server_us, 0),
            Cell::number(keys, 0),
        ]
    }

    fn delimiter_row(&self) -> [Cell; 8] {
        [
            Cell::text(self.name),
            Cell::Number(self.objects as f64, 0),
            Cell::number(self.delimited.p50_ms, 3),
            Cell::number(self.delimited.p99_ms, 3),
            Cell::number(self.rolled.p50_ms, 3),
            Cell::number(self.rolled.p99_ms, 3),
            Cell::number(self.rolled.server_us, 0),
            Cell::number(self.one.p50_ms, 3),
        ]
    }

    fn aims(&self, small: &Store, aims: &mut Aims) {
        let of = format!("{} objects", self.objects);
        aims.at_most(format!("{of}: start, seconds"), 1.0, self.start_ms().map(|ms| ms / 1e3));
        aims.at_most(format!("{of}: memory after the start, MiB"), 150.0, self.resident_mib);
        let append = ratio(self.append.p50_ms, small.append.p50_ms);
        let page = ratio(self.page.p50_ms, small.page.p50_ms);
        aims.at_most(format!("{of}: append by the small store's"), 1.3, append);
        let name = format!("{of}: list page by that of {}", small.objects);
        aims.at_most(name.clone(), 1.5, page);
        let delimited = ratio(self.delimited.p50_ms, small.delimited.p50_ms);
        aims.at_most(format!("{name}, with a delimiter"), 1.5, delimited);
        let seeks = ratio(self.rolled.p50_ms, self.one.p50_ms);
        aims.at_most(format!("{of}: ten prefixes by a page of one key"), 10.0, seeks);
        aims.at_most(format!("{of}: peak memory, MiB"), 150.0, self.peak_mib);
    }
}

fn load(bench: &Bench, server: &Server, count: u64) -> Result<Round, BenchError> {
    let next = Arc::new(AtomicU64::new(0));
    let plan = Plan {
        workers: LOADERS,
        threads: bench.options.threads,
        pace: Pace::Closed,
        warm_up: Duration::ZERO,
        window: None,
    };
    let make = async |_| {
        let caller = Caller::open(server.address, bench.options.signature).await?;
        let (pattern, next) = (bench.pattern.clone(), Arc::clone(&next));
        Ok(Loader { caller, pattern, length: OBJECT, next, count })
    };
    bench.measure(Subject::Process(server), plan, make)
}

fn append(bench: &Bench, server: &Server, round: usize) -> Result<Round, BenchError> {
    let make = async |_| {
        let caller = Caller::open(server.address, bench.options.signature).await?;
        // Behind the listed keys in order, so that pages stay full and the same.
        let object = Object::new(&format!("zappend/{round}"));
        Ok(Appender { caller, object, pattern: bench.pattern.clone(), record: OBJECT, position: 0 })
    };
    bench.measure(Subject::Process(server), bench.plan(1, Pace::Closed), make)
}

fn page(
    bench: &Bench,
    server: &Server,
    round: usize,
    count: u64,
    ask: Listing,
) -> Result<Round, BenchError> {
    let make = async |_| {
        let caller = Caller::open(server.address, bench.options.signature).await?;
        let dice = Dice::new(round as u64);
        // Of a store that has one page every page begins at the start.
        let from_the_start = count <= u64::from(PAGE);
        Ok(Lister { caller, dice, ask, from_the_start })
    };
    bench.measure(Subject::Process(server), bench.plan(1, Pace::Closed), make)
}
