//! `multipart`: whether completing an upload costs what its parts are, or only how many they are; and the most parts that there can
//! be.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use crate::{
    child::Server,
    error::BenchError,
    load::{Pace, Plan},
    measure::{Aims, Bench, Subject, block_on, ratio},
    options::human,
    report::{Cell, Table},
    stats::median,
    workloads::{Caller, Object, PartSender},
};

const MIB: f64 = 1_048_576.0;
const SENDERS: usize = 8;
const SMALL: usize = 100 << 10;
const LARGE: usize = 1 << 20;
/// The most that an upload may have.
const PARTS_MAX: u64 = 10_000;

/// An upload of parts of one length.
#[derive(Clone, Copy)]
struct Shape {
    length: usize,
    parts: u64,
}

/// What one upload came to.
struct Took {
    send: Duration,
    complete: Duration,
    read: Duration,
}

/// Both lengths in turn, then the most parts.
pub(crate) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let server = bench.ossia_with_bucket("multipart")?;
    let parts = bench.options.pick(1_000, 20);
    let shapes = [SMALL, LARGE].map(|length| Shape { length, parts });
    let most = Shape { length: SMALL, parts: bench.options.pick(PARTS_MAX, 300) };
    // What is new costs more the first time.
    shapes[0].upload(bench, &server, "warm-up")?;
    let mut took = [vec![], vec![]];
    for round in 0..bench.options.rounds() {
        for (shape, took) in shapes.iter().zip(&mut took) {
            took.push(shape.upload(bench, &server, &format!("round-{round}"))?);
        }
    }
    let [small, large] = took;
    let most_took = [most.upload(bench, &server, "most")?];
    let peak = server.memory()?.peak_bytes as f64 / MIB;
    let mut table = Table::new(
        format!("Uploads over {SENDERS} connections, completed and read back over one; medians"),
        &["part", "parts", "send MiB/s", "complete ms", "us/part", "read back MiB/s"],
    );
    for (shape, took) in [(&shapes[0], &small[..]), (&shapes[1], &large), (&most, &most_took)] {
        table.row(shape.row(took));
    }
    table.note("Completions name no parts (`x-oss-complete-all`); every byte is compared when it is read back.");
    bench.report.table(&table);
    let mut aims = Aims::default();
    aims.at_most(
        format!("completing {parts} parts of 1 MiB by as many of 100 KiB"),
        1.5,
        ratio(complete_ms(&large), complete_ms(&small)),
    );
    let all = format!("{} parts: completed, seconds", most.parts);
    aims.at_most(all, 10.0, complete_ms(&most_took).map(|ms| ms / 1e3));
    aims.at_most("peak memory, MiB", 200.0, Some(peak));
    aims.report(&mut bench.report);
    server.stop()
}

fn complete_ms(took: &[Took]) -> Option<f64> {
    median(took.iter().map(|took| took.complete.as_secs_f64() * 1e3))
}

impl Shape {
    fn bytes(self) -> u64 {
        self.parts * self.length as u64
    }

    /// Sends, completes, compares and deletes.
    fn upload(self, bench: &Bench, server: &Server, name: &str) -> Result<Took, BenchError> {
        let object = Object::new(&format!("multipart/{name}-{}", self.length));
        let (address, signature) = (server.address, bench.options.signature);
        let upload: Arc<str> =
            block_on(async { Caller::open(address, signature).await?.initiate(&object).await })?
                .into();
        let next = Arc::new(AtomicU64::new(0));
        let plan = Plan {
            workers: SENDERS,
            threads: bench.options.threads,
            pace: Pace::Closed,
            warm_up: Duration::ZERO,
            window: None,
        };
        let make = async |_| {
            Ok(PartSender {
                caller: Caller::open(address, signature).await?,
                pattern: bench.pattern.clone(),
                object: object.clone(),
                upload: Arc::clone(&upload),
                length: self.length,
                next: Arc::clone(&next),
                count: self.parts,
            })
        };
        let sent = bench.measure(Subject::Process(server), plan, make)?;
        let (complete, read) = block_on(async {
            let mut caller = Caller::open(address, signature).await?;
            let begun = Instant::now();
            caller.complete(&object, &upload).await?;
            let complete = begun.elapsed();
            let begun = Instant::now();
            caller.verify(&object, &bench.pattern, self.bytes()).await?;
            let read = begun.elapsed();
            caller.delete(&object).await?;
            Ok((complete, read))
        })?;
        Ok(Took { send: sent.outcome.elapsed, complete, read })
    }

    fn row(self, took: &[Took]) -> [Cell; 6] {
        let mib = self.bytes() as f64 / MIB;
        let speed = |time: fn(&Took) -> Duration| {
            median(took.iter().map(|took| time(took).as_secs_f64())).map(|seconds| mib / seconds)
        };
        let complete = complete_ms(took);
        [
            Cell::text(human(self.length as u64)),
            Cell::Number(self.parts as f64, 0),
            Cell::number(speed(|took| took.send), 0),
            Cell::number(complete, 1),
            Cell::number(complete.map(|ms| ms * 1e3 / self.parts as f64), 1),
            Cell::number(speed(|took| took.read), 0),
        ]
    }
}
