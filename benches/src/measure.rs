//! One bench's surroundings, what it measures of each subject in each round, and the medians that tables show.

use std::{path::PathBuf, process::Command, thread, time::Duration};

use crate::{
    child::{Scratch, Server},
    error::BenchError,
    floors::{handler, log::GroupLog},
    load::{self, Outcome, Pace, Plan, Worker},
    machine,
    options::Options,
    pattern::Pattern,
    proc::{Device, DeviceCounters},
    report::{Cell, Report},
    stats::median,
    workloads::Caller,
};

const HEALTH_PATH: &str = "/_ossia/health";
const MIB: f64 = 1_048_576.0;

/// What every bench has at hand.
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) pattern: Pattern,
    pub(crate) report: Report,
    pub(crate) scratch: Scratch,
    pub(crate) device: DeviceCounters,
}

impl Bench {
    /// Makes a folder for the data and begins the report.
    pub(crate) fn new(name: &'static str, options: Options) -> Result<Bench, BenchError> {
        let make = if options.keep { Scratch::kept } else { Scratch::new };
        let scratch = make(&options.data, name)?;
        let device = DeviceCounters::of(scratch.path());
        let mut facts = machine::facts(scratch.path());
        facts.push((
            "sync",
            "every acknowledged write is on the disk (fdatasync, shared by those that wait)"
                .to_owned(),
        ));
        facts.push((
            "load",
            format!(
                "{} client threads on the same cores, signature {}, {} rounds of {:?}, medians",
                options.threads,
                options.signature.name(),
                options.rounds(),
                options.window(),
            ),
        ));
        let command: Vec<String> = std::env::args().skip(1).collect();
        facts.push(("command", format!("`ossia-bench {}`", command.join(" "))));
        let (pattern, report) = (Pattern::new(), Report::new(name, facts));
        Ok(Bench { options, pattern, report, scratch, device })
    }

    /// Starts the server on a folder, which is made when it is absent, and waits until it is ready.
    pub(crate) fn ossia(&self, folder: &str) -> Result<Server, BenchError> {
        self.ossia_with(folder, &[])
    }

    /// The same with more settings, each `path=value`.
    pub(crate) fn ossia_with(
        &self,
        folder: &str,
        settings: &[String],
    ) -> Result<Server, BenchError> {
        let mut command = Command::new(self.ossia_program()?);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--set", "metrics.listen=127.0.0.1:0", "--data"])
            .arg(self.scratch.path().join(folder))
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .args(&self.options.serve_args);
        if std::env::var_os("OSSIA_LOG").is_none() {
            command.env("OSSIA_LOG", "warn");
        }
        let server = Server::start("ossia", command)?;
        server.wait_ready(HEALTH_PATH)?;
        Ok(server)
    }

    /// The same with the bucket made.
    pub(crate) fn ossia_with_bucket(&self, folder: &str) -> Result<Server, BenchError> {
        let server = self.ossia(folder)?;
        self.make_bucket(&server)?;
        Ok(server)
    }

    /// Makes the bucket of the benches.
    pub(crate) fn make_bucket(&self, server: &Server) -> Result<(), BenchError> {
        let (address, signature) = (server.address, self.options.signature);
        block_on(async { Caller::open(address, signature).await?.make_bucket().await })
    }

    fn ossia_program(&self) -> Result<PathBuf, BenchError> {
        if let Some(named) = &self.options.ossia {
            return Ok(named.clone());
        }
        let own = std::env::current_exe().map_err(BenchError::io("find this program"))?;
        let beside = own.with_file_name("ossia");
        if !beside.is_file() {
            let text =
                format!("{} is not there: build it, or name it by --ossia", beside.display());
            return Err(BenchError::Usage(text));
        }
        Ok(beside)
    }

    /// Starts the bare handler on a folder of its own.
    pub(crate) fn handler(&self, folder: &str) -> Result<Server, BenchError> {
        let own = std::env::current_exe().map_err(BenchError::io("find this program"))?;
        let folder = self.folder(folder)?;
        let mut command = Command::new(own);
        command.arg("handler").arg("--data").arg(folder);
        if self.options.short {
            command.arg("--short");
        }
        Server::start("the bare handler", command)
    }

    /// Makes a raw log in a folder of its own.
    pub(crate) fn log(&self, folder: &str) -> Result<GroupLog, BenchError> {
        GroupLog::create(&self.folder(folder)?.join("log"), floor_bytes(&self.options))
    }

    /// A new folder.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, BenchError> {
        let path = self.scratch.path().join(name);
        std::fs::create_dir_all(&path)
            .map_err(BenchError::io(format!("make {}", path.display())))?;
        Ok(path)
    }

    /// How to run for one round.
    pub(crate) fn plan(&self, workers: usize, pace: Pace) -> Plan {
        Plan {
            workers,
            threads: self.options.threads,
            pace,
            warm_up: self.options.warm_up(),
            window: Some(self.options.window()),
        }
    }

    /// Runs load on a subject and reads its meters when the window opens and when it closes.
    pub(crate) fn measure<W: Worker + 'static>(
        &self,
        subject: Subject<'_>,
        plan: Plan,
        worker: impl AsyncFn(usize) -> Result<W, BenchError> + Sync,
    ) -> Result<Round, BenchError> {
        // The connections of the run before end in their own time.
        thread::sleep(self.options.pick(Duration::from_millis(200), Duration::ZERO));
        let mut samples = Vec::with_capacity(2);
        let outcome = load::run(plan, worker, || {
            samples.push(self.sample(subject)?);
            Ok(())
        })?;
        if outcome.operations == 0 {
            return Err(BenchError::Idle);
        }
        let peak_bytes = match subject {
            Subject::Process(server) | Subject::Handler(server) => {
                Some(server.memory()?.peak_bytes)
            }
            Subject::Log(_) | Subject::Own => None,
        };
        match samples.as_slice() {
            [before, after] => Ok(Round { outcome, used: after.since(before), peak_bytes }),
            _ => Err(BenchError::Stalled),
        }
    }

    fn sample(&self, subject: Subject<'_>) -> Result<Sample, BenchError> {
        let mut sample = Sample { device: self.device.read(), ..Sample::default() };
        match subject {
            Subject::Process(server) => {
                sample.cpu = Some(server.cpu()?);
                if let Some(figures) = server.figures()? {
                    sample.syncs = figures.get("ossia_engine_syncs_total");
                    sample.engine_bytes = figures.written_bytes();
                }
            }
            Subject::Handler(server) => {
                sample.cpu = Some(server.cpu()?);
                sample.syncs = server.ask(handler::SYNCS_PATH)?.trim().parse().ok();
            }
            Subject::Log(log) => sample.syncs = Some(log.syncs()),
            Subject::Own => {}
        }
        Ok(sample)
    }
}

/// How long the files of the floors are: longer than any group, of which no case of the matrix has more than 64 MiB.
pub(crate) fn floor_bytes(options: &Options) -> u64 {
    options.pick(256 << 20, 80 << 20)
}

/// Runs a future that is not measured.
pub(crate) fn block_on<T>(
    future: impl Future<Output = Result<T, BenchError>>,
) -> Result<T, BenchError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BenchError::io("start a runtime"))?
        .block_on(future)
}

/// What is under load, for its meters.
#[derive(Clone, Copy)]
pub(crate) enum Subject<'a> {
    /// The server, or nginx.
    Process(&'a Server),
    /// The bare handler, which counts its syncs.
    Handler(&'a Server),
    /// The raw log, in this process.
    Log(&'a GroupLog),
    /// This process, with nothing to read.
    Own,
}

/// Meters, absolute or as a difference.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    cpu: Option<Duration>,
    syncs: Option<u64>,
    /// Bytes that an engine says it has written.
    engine_bytes: Option<u64>,
    device: Option<Device>,
}

impl Sample {
    fn since(&self, before: &Sample) -> Sample {
        let less = |now: Option<u64>, before: Option<u64>| Some(now?.saturating_sub(before?));
        Sample {
            cpu: self.cpu.zip(before.cpu).map(|(now, before)| now.saturating_sub(before)),
            syncs: less(self.syncs, before.syncs),
            engine_bytes: less(self.engine_bytes, before.engine_bytes),
            device: self.device.zip(before.device).map(|(now, before)| now.since(before)),
        }
    }
}

/// One subject in one round.
pub(crate) struct Round {
    pub(crate) outcome: Outcome,
    used: Sample,
    peak_bytes: Option<u64>,
}

/// The medians of a subject's rounds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// Operations a second.
    pub(crate) rate: Option<f64>,
    /// Payload in MiB a second.
    pub(crate) mib: Option<f64>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) p999_ms: Option<f64>,
    /// The greatest latency of all rounds.
    pub(crate) max_ms: Option<f64>,
    /// CPU of the server an operation, in microseconds.
    pub(crate) server_us: Option<f64>,
    /// The same of this process.
    pub(crate) client_us: Option<f64>,
    /// Bytes that the device wrote for each byte of payload.
    pub(crate) written: Option<f64>,
    /// Bytes that the engine itself wrote for each byte of payload.
    pub(crate) engine_written: Option<f64>,
    /// Flushes of the whole device an operation.
    pub(crate) flushes: Option<f64>,
    pub(crate) syncs: Option<f64>,
    pub(crate) peak_mib: Option<f64>,
    /// The rate of the last round by that of the first: below 1, the subject slows down as its store grows.
    pub(crate) drift: Option<f64>,
    /// Operations of an open loop that were due and not begun, of all rounds.
    pub(crate) unsent: u64,
}

impl Figures {
    /// Medians, each on its own.
    pub(crate) fn of(rounds: &[Round]) -> Figures {
        let of = |figure: &dyn Fn(&Round) -> Option<f64>| median(rounds.iter().filter_map(figure));
        let each = |round: &Round, amount: Option<f64>| {
            amount.map(|amount| amount / round.outcome.operations as f64)
        };
        let a_byte = |round: &Round, amount: Option<u64>| {
            amount.map(|amount| amount as f64 / round.outcome.bytes as f64)
        };
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let at = |share: f64| {
            of(&move |round: &Round| Some(round.outcome.latency.quantile(share) as f64 / 1e6))
        };
        Figures {
            rate: of(&|round| Some(round.outcome.rate())),
            mib: of(&|round| {
                Some(round.outcome.bytes as f64 / MIB / round.outcome.elapsed.as_secs_f64())
            }),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: rounds
                .iter()
                .map(|round| round.outcome.latency.max() as f64 / 1e6)
                .max_by(f64::total_cmp),
            server_us: of(&|round| each(round, round.used.cpu.map(micros))),
            client_us: of(&|round| each(round, Some(micros(round.outcome.client_cpu)))),
            written: of(&|round| {
                a_byte(round, round.used.device.map(|device| device.written_bytes))
            }),
            engine_written: of(&|round| a_byte(round, round.used.engine_bytes)),
            flushes: of(&|round| {
                each(round, round.used.device.map(|device| device.flushes as f64))
            }),
            syncs: of(&|round| each(round, round.used.syncs.map(|syncs| syncs as f64))),
            peak_mib: rounds
                .iter()
                .filter_map(|round| Some(round.peak_bytes? as f64 / MIB))
                .max_by(f64::total_cmp),
            drift: match rounds {
                [first, .., last] => Some(last.outcome.rate() / first.outcome.rate()),
                _ => None,
            },
            unsent: rounds.iter().map(|round| round.outcome.unsent).sum(),
        }
    }
}

/// One figure as a multiple of another.
pub(crate) fn ratio(figure: Option<f64>, floor: Option<f64>) -> Option<f64> {
    figure.zip(floor).map(|(figure, floor)| figure / floor)
}

/// What the figures are meant to reach. A missed aim is reported; it fails nothing.
#[derive(Debug, Default)]
pub(crate) struct Aims(Vec<[Cell; 4]>);

impl Aims {
    /// The columns of their table.
    pub(crate) const COLUMNS: [&'static str; 4] = ["aim", "wanted", "measured", "met"];

    /// At least so much.
    pub(crate) fn at_least(&mut self, what: impl Into<String>, wanted: f64, measured: Option<f64>) {
        let met = measured.map(|measured| measured >= wanted);
        self.add(what.into(), format!("at least {wanted}"), measured, met);
    }

    /// At most so much.
    pub(crate) fn at_most(&mut self, what: impl Into<String>, wanted: f64, measured: Option<f64>) {
        let met = measured.map(|measured| measured <= wanted);
        self.add(what.into(), format!("at most {wanted}"), measured, met);
    }

    fn add(&mut self, what: String, wanted: String, measured: Option<f64>, met: Option<bool>) {
        let met = match met {
            Some(true) => Cell::text("yes"),
            Some(false) => Cell::text("no"),
            None => Cell::Absent("n/a"),
        };
        self.0.push([Cell::Text(what), Cell::Text(wanted), Cell::number(measured, 2), met]);
    }

    /// Their table.
    pub(crate) fn report(self, report: &mut Report) {
        let mut table = crate::report::Table::new("Against the aims", &Aims::COLUMNS);
        self.0.into_iter().for_each(|row| table.row(row));
        report.table(&table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(operations: u64, cpu_ms: u64, latency: u64) -> Round {
        let mut outcome = Outcome {
            operations,
            bytes: operations * 100,
            elapsed: Duration::from_secs(2),
            ..Outcome::default()
        };
        outcome.latency.record(latency);
        let used = Sample {
            cpu: Some(Duration::from_millis(cpu_ms)),
            device: Some(Device { written_bytes: operations * 250, flushes: operations / 2 }),
            ..Sample::default()
        };
        Round { outcome, used, peak_bytes: Some(operations << 20) }
    }

    #[test]
    fn each_figure_is_the_median_of_its_own() {
        let rounds =
            [round(100, 10, 5_000_000), round(300, 6, 1_000_000), round(200, 2, 9_000_000)];
        let figures = Figures::of(&rounds);
        assert_eq!((figures.rate, figures.written), (Some(100.0), Some(2.5)));
        // 100, 20 and 10 us an operation.
        assert_eq!(figures.server_us, Some(20.0));
        assert!((figures.p50_ms.unwrap() - 5.0).abs() < 0.04);
        assert_eq!((figures.max_ms, figures.peak_mib), (Some(9.0), Some(300.0)));
        assert_eq!(figures.drift, Some(2.0));
        assert_eq!((figures.syncs, figures.flushes), (None, Some(0.5)));
    }

    #[test]
    fn a_ratio_needs_both_sides() {
        assert_eq!(ratio(Some(1.0), Some(4.0)), Some(0.25));
        assert_eq!(ratio(None, Some(4.0)), None);
    }
}
