//! Many appends to one object: whether the last cost what the first did, and whether it reads like an object put whole.

use std::time::{Duration, Instant};

use crate::{
    child::{Halted, Server},
    error::BenchError,
    floors::lone::LoneWriter,
    load::Worker,
    measure::{Aims, Bench, block_on, floor_bytes, ratio},
    options::human,
    report::{Cell, Table},
    stats::median,
    workloads::{Caller, Object},
};

const MIB: f64 = 1_048_576.0;

/// One object to be made of equal pieces.
#[derive(Clone, Copy)]
struct Shape {
    piece: usize,
    pieces: u64,
    /// How many of the first and of the last pieces are compared.
    compared: u64,
}

const SMALL: Shape = Shape { piece: 100, pieces: 1_000_000, compared: 1_000 };
const SMALL_SHORT: Shape = Shape { piece: 100, pieces: 2_000, compared: 200 };
const LARGE: Shape = Shape { piece: 1 << 20, pieces: 1_024, compared: 100 };
const LARGE_SHORT: Shape = Shape { piece: 1 << 20, pieces: 16, compared: 4 };

/// What one shape came to. Times are of all compared appends together.
struct Took {
    total: Duration,
    first: Duration,
    last: Duration,
    lone_before: Duration,
    lone_after: Duration,
    appended_mib: Option<f64>,
    whole_mib: Option<f64>,
}

/// Both shapes, on one server.
pub(crate) fn run(bench: &mut Bench, aims: &mut Aims) -> Result<(), BenchError> {
    let ossia = bench.ossia_with_bucket("ossia-one")?;
    let mut cost = Table::new(
        "Appends to one object over one connection: does the cost grow?",
        &[
            "record",
            "appends",
            "compared",
            "all: appends/s",
            "first: us/append",
            "last: us/append",
            "last/first",
            "lone synced write before: us",
            "after: us",
        ],
    );
    let mut reads = Table::new(
        "The same object read back whole, against the same bytes put whole (from the page cache)",
        &["record", "bytes", "appended: MiB/s", "put whole: MiB/s", "of put whole"],
    );
    let shapes = [bench.options.pick(SMALL, SMALL_SHORT), bench.options.pick(LARGE, LARGE_SHORT)];
    for shape in shapes {
        let result = shape.measure(bench, &ossia)?;
        shape.report(&result, &mut cost, &mut reads, aims);
    }
    bench.report.table(&cost);
    bench.report.table(&reads);
    ossia.stop()
}

impl Shape {
    fn bytes(self) -> u64 {
        self.pieces * self.piece as u64
    }

    fn measure(self, bench: &Bench, ossia: &Server) -> Result<Took, BenchError> {
        let lone_before = self.lone(bench, ossia, "lone-before")?;
        let (appended, whole) = (self.object("appended"), self.object("whole"));
        let (address, signature) = (ossia.address, bench.options.signature);
        let pattern = &bench.pattern;
        let (total, first, last) = block_on(async {
            let mut caller = Caller::open(address, signature).await?;
            // A server that has just started is slower for reasons that are not this object's.
            let warm = self.object("warm-up");
            self.append(&mut caller, &warm, bench, self.compared).await?;
            let took = self.append(&mut caller, &appended, bench, self.pieces).await?;
            caller.verify(&appended, pattern, self.bytes()).await?;
            caller.put(&whole, pattern, self.bytes()).await?;
            caller.verify(&whole, pattern, self.bytes()).await?;
            Ok(took)
        })?;
        let lone_after = self.lone(bench, ossia, "lone-after")?;
        let (mut of_appended, mut of_whole) = (vec![], vec![]);
        for _ in 0..bench.options.rounds() {
            for (object, speeds) in [(&appended, &mut of_appended), (&whole, &mut of_whole)] {
                speeds.push(block_on(async {
                    let mut caller = Caller::open(address, signature).await?;
                    self.read(&mut caller, object).await
                })?);
            }
        }
        let (appended_mib, whole_mib) = (median(of_appended), median(of_whole));
        Ok(Took { total, first, last, lone_before, lone_after, appended_mib, whole_mib })
    }

    /// Appends so many pieces; returns the time of all, of the first and of the last ones.
    async fn append(
        self,
        caller: &mut Caller,
        object: &Object,
        bench: &Bench,
        pieces: u64,
    ) -> Result<(Duration, Duration, Duration), BenchError> {
        let (begun, mut first, mut last) = (Instant::now(), Duration::ZERO, Duration::ZERO);
        for number in 0..pieces {
            let position = number * self.piece as u64;
            let piece = bench.pattern.piece(position, self.piece);
            let sent = Instant::now();
            caller.append(object, position, &piece).await?;
            let took = sent.elapsed();
            if number < self.compared {
                first += took;
            }
            if number + self.compared >= pieces {
                last += took;
            }
        }
        Ok((begun.elapsed(), first, last))
    }

    async fn read(self, caller: &mut Caller, object: &Object) -> Result<f64, BenchError> {
        let (begun, mut length) = (Instant::now(), 0);
        caller.get(object, |piece| length += piece.len() as u64).await?;
        if length != self.bytes() {
            return Err(BenchError::Content(format!("{} bytes of {}", length, self.bytes())));
        }
        Ok(length as f64 / MIB / begun.elapsed().as_secs_f64())
    }

    /// So many lone synced writes of a piece's size, to see whether the disk has changed meanwhile.
    fn lone(self, bench: &Bench, ossia: &Server, name: &str) -> Result<Duration, BenchError> {
        let _halted = Halted::all([ossia])?;
        let path = bench.scratch.path().join(format!("{name}-{}", self.piece));
        let bytes = floor_bytes(&bench.options) / 4;
        let mut writer = LoneWriter::create(&path, bytes, self.piece, bench.pattern.clone())?;
        let took = block_on(async {
            let begun = Instant::now();
            for _ in 0..self.compared {
                writer.step().await?;
            }
            Ok(begun.elapsed())
        })?;
        let _ = std::fs::remove_file(&path);
        Ok(took)
    }

    fn object(self, name: &str) -> Object {
        Object::new(&format!("one/{name}-{}", self.piece))
    }

    fn report(self, result: &Took, cost: &mut Table, reads: &mut Table, aims: &mut Aims) {
        let each = |time: Duration| Some(time.as_secs_f64() * 1e6 / self.compared as f64);
        let growth = ratio(each(result.last), each(result.first));
        let record = human(self.piece as u64);
        cost.row([
            Cell::text(&record),
            Cell::Number(self.pieces as f64, 0),
            Cell::Number(self.compared as f64, 0),
            Cell::number(Some(self.pieces as f64 / result.total.as_secs_f64()), 0),
            Cell::number(each(result.first), 1),
            Cell::number(each(result.last), 1),
            Cell::number(growth, 2),
            Cell::number(each(result.lone_before), 1),
            Cell::number(each(result.lone_after), 1),
        ]);
        let of_whole = ratio(result.appended_mib, result.whole_mib);
        reads.row([
            Cell::text(&record),
            Cell::text(human(self.bytes())),
            Cell::number(result.appended_mib, 0),
            Cell::number(result.whole_mib, 0),
            Cell::number(of_whole, 2),
        ]);
        let name = format!("{} appends of {record} to one object", self.pieces);
        aims.at_most(
            format!("{name}: cost of the last {} by the first", self.compared),
            1.2,
            growth,
        );
        aims.at_least(format!("{name}: read back, of put whole"), 0.9, of_whole);
    }
}
