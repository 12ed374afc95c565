//! `read`: whole objects over many connections, against nginx with the same bytes.

use std::{fs, path::Path, sync::Arc};

use crate::{
    child::{Halted, Server},
    error::BenchError,
    floors::nginx,
    load::Pace,
    measure::{Aims, Bench, Figures, Round, Subject, block_on, ratio},
    options::human,
    report::{Cell, Table},
    wire::{BUCKET, Signature},
    workloads::{Caller, Getter, Object},
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// How long the objects are, how many there are, and how many connections read them.
#[derive(Clone, Copy)]
struct Case {
    length: u64,
    objects: usize,
    connections: usize,
}

const CASES: [Case; 5] = [
    Case { length: KIB, objects: 1_000, connections: 1 },
    Case { length: KIB, objects: 1_000, connections: 64 },
    Case { length: MIB, objects: 100, connections: 1 },
    Case { length: MIB, objects: 100, connections: 16 },
    Case { length: 16 * MIB, objects: 8, connections: 8 },
];
const CASES_SHORT: [Case; 3] = [
    Case { length: KIB, objects: 50, connections: 16 },
    Case { length: MIB, objects: 4, connections: 4 },
    Case { length: 16 * MIB, objects: 2, connections: 2 },
];

/// Reads every size from both.
pub(crate) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let ossia = bench.ossia_with_bucket("ossia")?;
    let folder = bench.folder("nginx")?;
    let program = nginx::find(bench.options.nginx.as_deref());
    let nginx = program.map(|program| nginx::start(&program, &folder)).transpose()?;
    let mut table = Table::new(
        "GET of whole objects, closed loop (from the page cache)",
        &[
            "object",
            "objects",
            "connections",
            "subject",
            "GET/s",
            "MiB/s",
            "p50 ms",
            "p99 ms",
            "of nginx",
            "server CPU us/GET",
            "client CPU us/GET",
            "peak MiB",
        ],
    );
    let mut aims = Aims::default();
    for case in bench.options.pick(CASES.to_vec(), CASES_SHORT.to_vec()) {
        let objects = case.store(bench, &ossia, &folder.join("www"))?;
        let (mut from_nginx, mut from_ossia) = (vec![], vec![]);
        for _ in 0..bench.options.rounds() {
            if let Some(nginx) = &nginx {
                let _halted = Halted::all([&ossia])?;
                from_nginx.push(case.round(bench, nginx, Signature::Unsigned, &objects)?);
            }
            from_ossia.push(case.round(bench, &ossia, bench.options.signature, &objects)?);
        }
        let floor = nginx.as_ref().map(|_| Figures::of(&from_nginx));
        case.report(floor, Figures::of(&from_ossia), &mut table, &mut aims);
    }
    table.note(
        "nginx verifies no signature; it serves the same bytes from files of the same disk by `sendfile`, without an access log. Before \
         the rounds each object is read once and compared byte for byte.",
    );
    bench.report.table(&table);
    aims.report(&mut bench.report);
    nginx.map_or(Ok(()), Server::stop)?;
    ossia.stop()
}

impl Case {
    /// Puts the objects into the server and beside nginx, and reads the server's back.
    fn store(
        self,
        bench: &Bench,
        ossia: &Server,
        root: &Path,
    ) -> Result<Arc<[Object]>, BenchError> {
        let key = |number: usize| format!("read/{}-{number:04}", self.length);
        let folder = root.join(BUCKET).join("read");
        fs::create_dir_all(&folder).map_err(BenchError::io("make the folder of nginx"))?;
        let (address, signature) = (ossia.address, bench.options.signature);
        let objects: Arc<[Object]> =
            (0..self.objects).map(|number| Object::new(&key(number))).collect();
        block_on(async {
            let mut caller = Caller::open(address, signature).await?;
            for object in objects.iter() {
                caller.put(object, &bench.pattern, self.length).await?;
                caller.verify(object, &bench.pattern, self.length).await?;
                let file = root.join(object.path().trim_start_matches('/'));
                self.write(bench, &file)?;
            }
            Ok(objects)
        })
    }

    fn write(self, bench: &Bench, file: &Path) -> Result<(), BenchError> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.length).unwrap_or(0));
        while (bytes.len() as u64) < self.length {
            let position = bytes.len() as u64;
            let piece = (self.length - position).min(MIB) as usize;
            bytes.extend_from_slice(&bench.pattern.piece(position, piece));
        }
        fs::write(file, bytes).map_err(BenchError::io("write a file for nginx"))
    }

    fn round(
        self,
        bench: &Bench,
        server: &Server,
        signature: Signature,
        objects: &Arc<[Object]>,
    ) -> Result<Round, BenchError> {
        let make = async |index| {
            let caller = Caller::open(server.address, signature).await?;
            // Each connection begins elsewhere.
            let next = index * objects.len() / self.connections;
            Ok(Getter { caller, objects: Arc::clone(objects), length: self.length, next })
        };
        bench.measure(Subject::Process(server), bench.plan(self.connections, Pace::Closed), make)
    }

    fn report(self, floor: Option<Figures>, ossia: Figures, table: &mut Table, aims: &mut Aims) {
        let size = human(self.length);
        let floor_rate = floor.and_then(|floor| floor.rate);
        for (name, figures) in [("nginx", floor), ("ossia", Some(ossia))] {
            let names = [
                Cell::text(&size),
                Cell::Number(self.objects as f64, 0),
                Cell::Number(self.connections as f64, 0),
                Cell::text(name),
            ];
            let numbers = match figures {
                None => std::array::from_fn(|_| Cell::Absent("skipped: no nginx")),
                Some(figures) => [
                    Cell::number(figures.rate, 0),
                    Cell::number(figures.mib, 0),
                    Cell::number(figures.p50_ms, 3),
                    Cell::number(figures.p99_ms, 3),
                    Cell::number(ratio(figures.rate, floor_rate), 2),
                    Cell::number(figures.server_us, 1),
                    Cell::number(figures.client_us, 1),
                    Cell::number(figures.peak_mib, 0),
                ],
            };
            table.row(names.into_iter().chain(numbers));
        }
        let name = format!("GET of {size} over {}", self.connections);
        let wanted = if self.length < MIB { 0.5 } else { 0.7 };
        aims.at_least(format!("{name}: of nginx"), wanted, ratio(ossia.rate, floor_rate));
        if self.length == KIB {
            aims.at_most(format!("{name}: server CPU us/GET"), 20.0, ossia.server_us);
        }
    }
}
