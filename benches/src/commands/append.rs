//! `append`: durable appends, to distinct objects from many connections and to one object many times.

use std::sync::Arc;

use super::one_object;
use crate::{
    child::{Halted, Server},
    error::BenchError,
    floors::{
        log::{GroupLog, LogWriter},
        lone::LoneWriter,
    },
    load::{Pace, Plan},
    measure::{Aims, Bench, Figures, Round, Subject, floor_bytes, ratio},
    options::{Part, human},
    report::{Cell, Table},
    wire::Signature,
    workloads::{Appender, Caller, ClientAppender, Object},
};

const KIB: usize = 1 << 10;

/// Record sizes and connections of the matrix.
const MATRIX: [(usize, usize); 6] =
    [(KIB, 1), (KIB, 64), (KIB, 256), (16 * KIB, 64), (100, 64), (1 << 20, 64)];
/// The same of a short run.
const MATRIX_SHORT: [(usize, usize); 3] = [(KIB, 1), (KIB, 64), (1 << 20, 4)];

/// Shares of the closed loop's rate at which the open loop sends.
const OPEN_SHARES: [f64; 2] = [0.5, 0.8];

/// Runs the parts that are wanted.
pub(crate) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let mut aims = Aims::default();
    if bench.options.wants(Part::Matrix) {
        matrix(bench, &mut aims)?;
    }
    if bench.options.wants(Part::Open) {
        open_loop(bench)?;
    }
    if bench.options.wants(Part::Client) {
        clients(bench)?;
    }
    if bench.options.wants(Part::OneObject) {
        one_object::run(bench, &mut aims)?;
    }
    aims.report(&mut bench.report);
    Ok(())
}

fn cases(bench: &Bench) -> Vec<(usize, usize)> {
    let options = &bench.options;
    if options.records.is_empty() && options.connections.is_empty() {
        return options.pick(MATRIX.to_vec(), MATRIX_SHORT.to_vec());
    }
    let or = |given: &[usize], usual| if given.is_empty() { vec![usual] } else { given.to_vec() };
    let connections = or(&options.connections, 64);
    or(&options.records, KIB)
        .into_iter()
        .flat_map(|record| connections.iter().map(move |connections| (record, *connections)))
        .collect()
}

/// The medians of all subjects of one case.
struct Case {
    lone: Option<Figures>,
    log: Figures,
    handler: Figures,
    ossia: Figures,
}

const COLUMNS: [&str; 17] = [
    "record",
    "connections",
    "subject",
    "appends/s",
    "MiB/s",
    "p50 ms",
    "p99 ms",
    "of the raw log",
    "of the bare handler",
    "last/first round",
    "server CPU us/append",
    "client CPU us/append",
    "bytes written/stored",
    "engine wrote/stored",
    "syncs/append",
    "device flushes/append",
    "peak MiB",
];

fn matrix(bench: &mut Bench, aims: &mut Aims) -> Result<(), BenchError> {
    let mut table = Table::new("Appends to distinct objects, closed loop", &COLUMNS);
    for (record, connections) in cases(bench) {
        let case = Case::measure(bench, record, connections)?;
        case.rows(&mut table, record, connections);
        case.aims(aims, record, connections);
    }
    table.note(
        "*bytes written* and *device flushes* are what the whole disk did meanwhile, whoever asked, the file \
         system's own journal included; a flush is what a sync costs the device. *engine wrote* and *syncs* of \
         ossia are what its engine counts: the zeros of new segments and the tables of its index are among the \
         bytes, the tables' syncs are not among the syncs. All rounds of a case use one store: *last/first round* \
         shows whether it slows down as it fills. The raw log and the lone write run inside the client's process.",
    );
    bench.report.table(&table);
    Ok(())
}

impl Case {
    fn measure(bench: &Bench, record: usize, connections: usize) -> Result<Case, BenchError> {
        let folder = |name: &str| format!("{name}-{record}-{connections}");
        let ossia = bench.ossia_with_bucket(&folder("ossia"))?;
        let handler = bench.handler(&folder("handler"))?;
        let log = Arc::new(bench.log(&folder("log"))?);
        let lone = bench.folder(&folder("lone"))?;
        let (mut lones, mut logs, mut handlers, mut ossias) = (vec![], vec![], vec![], vec![]);
        for round in 0..bench.options.rounds() {
            let halted = Halted::all([&ossia, &handler])?;
            if connections == 1 {
                lones.push(lone_round(bench, &lone.join(round.to_string()), record)?);
            }
            logs.push(log_round(bench, &log, record, connections)?);
            drop(halted);
            let plan = bench.plan(connections, Pace::Closed);
            let load = Load { record, signature: bench.options.signature, plan, round };
            let (of_handler, of_ossia) = load.both(bench, &handler, &ossia)?;
            handlers.push(of_handler);
            ossias.push(of_ossia);
        }
        handler.stop()?;
        ossia.stop()?;
        // The next case has a store of its own; this one's need not stay on the disk.
        let _ = std::fs::remove_dir_all(bench.scratch.path().join(folder("ossia")));
        Ok(Case {
            lone: (connections == 1).then(|| Figures::of(&lones)),
            log: Figures::of(&logs),
            handler: Figures::of(&handlers),
            ossia: Figures::of(&ossias),
        })
    }

    fn rows(&self, table: &mut Table, record: usize, connections: usize) {
        let lone = self.lone.iter().map(|lone| ("lone synced write", lone));
        let rest =
            [("raw log", &self.log), ("bare handler", &self.handler), ("ossia", &self.ossia)];
        for (name, figures) in lone.chain(rest) {
            table.row([
                Cell::text(human(record as u64)),
                Cell::Number(connections as f64, 0),
                Cell::text(name),
                Cell::number(figures.rate, 0),
                Cell::number(figures.mib, 1),
                Cell::number(figures.p50_ms, 3),
                Cell::number(figures.p99_ms, 3),
                Cell::number(ratio(figures.rate, self.log.rate), 2),
                Cell::number(ratio(figures.rate, self.handler.rate), 2),
                Cell::number(figures.drift, 2),
                Cell::number(figures.server_us, 1),
                Cell::number(figures.client_us, 1),
                Cell::number(figures.written, 2),
                Cell::number(figures.engine_written, 2),
                Cell::number(figures.syncs, 3),
                Cell::number(figures.flushes, 3),
                Cell::number(figures.peak_mib, 0),
            ]);
        }
    }

    /// The aims that this case has a say in.
    fn aims(&self, aims: &mut Aims, record: usize, connections: usize) {
        let of_handler = ratio(self.ossia.rate, self.handler.rate);
        let of_log = ratio(self.ossia.rate, self.log.rate);
        let name = format!("{} over {connections}", human(record as u64));
        match (record, connections) {
            (KIB, 1) => {
                let lone = self.lone.unwrap_or_default();
                let p50 = ratio(self.ossia.p50_ms, lone.p50_ms);
                let p99 = ratio(self.ossia.p99_ms, lone.p99_ms);
                aims.at_most(format!("{name}: p50 of a lone synced write's"), 1.7, p50);
                aims.at_most(format!("{name}: p99 of a lone synced write's"), 4.0, p99);
            }
            (KIB, 64) => {
                aims.at_least(format!("{name}: of the bare handler"), 0.65, of_handler);
                aims.at_least(format!("{name}: of the raw log"), 0.35, of_log);
                let cpu = self.ossia.server_us;
                aims.at_most(format!("{name}: server CPU us/append"), 35.0, cpu);
            }
            (KIB, 256) => {
                aims.at_least(format!("{name}: of the bare handler"), 0.6, of_handler);
            }
            (16_384, 64) => aims.at_least(format!("{name}: of the raw log"), 0.5, of_log),
            _ => {}
        }
    }
}

fn lone_round(bench: &Bench, path: &std::path::Path, record: usize) -> Result<Round, BenchError> {
    let bytes = floor_bytes(&bench.options) / 4;
    let make = async |_| LoneWriter::create(path, bytes, record, bench.pattern.clone());
    let round = bench.measure(Subject::Own, bench.plan(1, Pace::Closed), make)?;
    let _ = std::fs::remove_file(path);
    Ok(round)
}

fn log_round(
    bench: &Bench,
    log: &Arc<GroupLog>,
    record: usize,
    writers: usize,
) -> Result<Round, BenchError> {
    let make = async |_| {
        let (log, pattern) = (Arc::clone(log), bench.pattern.clone());
        Ok(LogWriter { log, pattern, record, position: 0 })
    };
    bench.measure(Subject::Log(log), bench.plan(writers, Pace::Closed), make)
}

/// Signed appends to one object a connection.
#[derive(Clone, Copy)]
struct Load {
    record: usize,
    signature: Signature,
    plan: Plan,
    /// Each round has objects of its own.
    round: usize,
}

impl Load {
    fn append(
        &self,
        bench: &Bench,
        subject: Subject<'_>,
        server: &Server,
    ) -> Result<Round, BenchError> {
        let make = async |index| {
            let caller = Caller::open(server.address, self.signature).await?;
            let object = Object::new(&self.key(index));
            let pattern = bench.pattern.clone();
            Ok(Appender { caller, object, pattern, record: self.record, position: 0 })
        };
        bench.measure(subject, self.plan, make)
    }

    /// The bare handler, then the server, each while the other is halted.
    fn both(
        &self,
        bench: &Bench,
        handler: &Server,
        ossia: &Server,
    ) -> Result<(Round, Round), BenchError> {
        let halted = Halted::all([ossia])?;
        let of_handler = self.append(bench, Subject::Handler(handler), handler)?;
        drop(halted);
        let _halted = Halted::all([handler])?;
        let of_ossia = self.append(bench, Subject::Process(ossia), ossia)?;
        Ok((of_handler, of_ossia))
    }

    fn append_by_client(&self, bench: &Bench, server: &Server) -> Result<Round, BenchError> {
        let make = async |index| {
            Ok(ClientAppender {
                // One each: a client's connections belong to the thread that uses them.
                client: ClientAppender::client(server.address, self.signature)?,
                key: self.key(index),
                pattern: bench.pattern.clone(),
                record: self.record,
                position: 0,
                crc64: 0,
            })
        };
        bench.measure(Subject::Process(server), self.plan, make)
    }

    fn key(&self, index: usize) -> String {
        format!("append/{:?}-{}/{index:04}", self.signature, self.round)
    }
}

fn open_loop(bench: &mut Bench) -> Result<(), BenchError> {
    const CONNECTIONS: usize = 64;
    let mut table = Table::new(
        "Appends of 1 KiB over 64 connections, open loop: latency from the intended send time",
        &[
            "wanted appends/s",
            "subject",
            "appends/s",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
            "unsent",
        ],
    );
    let (ossia, handler) = (bench.ossia_with_bucket("ossia-open")?, bench.handler("handler-open")?);
    let plan = bench.plan(CONNECTIONS, Pace::Closed);
    let closed = Load { record: KIB, signature: bench.options.signature, plan, round: 0 };
    let mut closed_rounds = vec![];
    for round in 0..bench.options.rounds() {
        let load = Load { round, ..closed };
        closed_rounds.push(load.append(bench, Subject::Process(&ossia), &ossia)?);
    }
    let rate = Figures::of(&closed_rounds).rate.unwrap_or(1.0);
    for (number, share) in OPEN_SHARES.into_iter().enumerate() {
        let wanted = (rate * share / 100.0).ceil() * 100.0;
        let plan = Plan { pace: Pace::Open(wanted), ..plan };
        let (mut handlers, mut ossias) = (vec![], vec![]);
        for round in 0..bench.options.rounds() {
            let round = (1 + number) * bench.options.rounds() + round;
            let load = Load { plan, round, ..closed };
            let (of_handler, of_ossia) = load.both(bench, &handler, &ossia)?;
            handlers.push(of_handler);
            ossias.push(of_ossia);
        }
        for (name, rounds) in [("bare handler", handlers), ("ossia", ossias)] {
            let figures = Figures::of(&rounds);
            table.row([
                Cell::Number(wanted, 0),
                Cell::text(name),
                Cell::number(figures.rate, 0),
                Cell::number(figures.p50_ms, 3),
                Cell::number(figures.p99_ms, 3),
                Cell::number(figures.p999_ms, 3),
                Cell::number(figures.max_ms, 1),
                Cell::Number(figures.unsent as f64, 0),
            ]);
        }
    }
    table.note(
        "The rates are 0.5 and 0.8 of what the server did in a closed loop just before. *unsent* are requests that were due and not \
         begun when their round ended: with more than a few the rate was too high for the subject.",
    );
    bench.report.table(&table);
    handler.stop()?;
    ossia.stop()
}

fn clients(bench: &mut Bench) -> Result<(), BenchError> {
    let mut table = Table::new(
        "What client and signature cost: 1 KiB over 64 connections, closed loop",
        &[
            "client",
            "signature",
            "appends/s",
            "p50 ms",
            "server CPU us/append",
            "client CPU us/append",
        ],
    );
    let ossia = bench.ossia_with_bucket("ossia-client")?;
    let plan = bench.plan(64, Pace::Closed);
    for (number, signature) in [Signature::V1, Signature::V4].into_iter().enumerate() {
        let (mut bare, mut ours) = (vec![], vec![]);
        for round in 0..bench.options.rounds() {
            let round = 2 * (number * bench.options.rounds() + round);
            let load = Load { record: KIB, signature, plan, round };
            bare.push(load.append(bench, Subject::Process(&ossia), &ossia)?);
            let load = Load { round: round + 1, ..load };
            ours.push(load.append_by_client(bench, &ossia)?);
        }
        for (name, rounds) in [("bare socket", bare), ("ossia-client", ours)] {
            let figures = Figures::of(&rounds);
            table.row([
                Cell::text(name),
                Cell::text(signature.name()),
                Cell::number(figures.rate, 0),
                Cell::number(figures.p50_ms, 3),
                Cell::number(figures.server_us, 1),
                Cell::number(figures.client_us, 1),
            ]);
        }
    }
    bench.report.table(&table);
    ossia.stop()
}
