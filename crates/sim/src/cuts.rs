//! Power cuts, one after another: a server, clients, a cut, a server again, and everything is read.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ossia_client::{Client, CreateBucketRequest, Timeouts};
use tokio::runtime::Runtime;

use crate::fs::{CutPoint, SimFs, SimOptions};
use crate::history::{self, Checker, History, Target, Tolerance, Workload, read_back};
use crate::owned::{self, Owner, Patience, Tally};
use crate::random::Random;
use crate::server::{KEY_ID, KEY_SECRET, Program, Server};
use crate::settings::Settings;

/// Clients at once that have their objects for themselves.
pub const OWNERS: usize = 6;
/// Clients at once that get in each other's way.
pub const RACERS: u16 = 10;
/// The bucket of those.
const RACED: &str = "raced";
/// A cut comes within so many syncs of a server, or so many changes of names, or four times as many writes.
const SYNCS: u64 = 400;
/// And within this time, where the server does not come to that.
const BURST_MAX: Duration = Duration::from_millis(1500);
/// Between the moment at which every call hangs and the end of the process passes so much time at most.
const GRACE_MAX: Duration = Duration::from_millis(30);
/// A start is cut within this time.
const START_MAX: Duration = Duration::from_millis(400);
/// Cuts on one store before the next begins.
const CUTS_OF_STORE: u64 = 20;
/// One start in so many is cut itself.
const CUT_STARTS: u64 = 5;
/// Calls of a start that a cut chooses from.
const CALLS_OF_START: u64 = 30;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server's binary.
    pub binary: PathBuf,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
    /// How many cuts.
    pub cuts: u64,
    /// What all choices follow from.
    pub seed: u64,
    /// These settings alone.
    pub settings: Option<Settings>,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Cuts made, those in the middle of a start among them.
    pub cuts: u64,
    /// Cuts in the middle of a start.
    pub cut_starts: u64,
    /// Changes that were not synced at a cut, and were lost or torn.
    pub changes_lost: u64,
    /// Changes of names undone.
    pub names_lost: u64,
    /// Operations sent.
    pub operations: u64,
    /// Of them, changes acknowledged.
    pub acknowledged: u64,
    /// What was wrong, and with which server's log; the run ends there.
    pub wrong: Option<String>,
}

/// Runs a plan. An `Err` is a fault of the machine or the harness; what the server does wrong is in [`Found::wrong`].
///
/// # Errors
/// That nothing can be mounted, or the binary cannot be run.
pub fn run(plan: &Plan) -> io::Result<Found> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    let options = SimOptions::default();
    let sim = SimFs::mount(options)?;
    let mut found = Found::default();
    let tally = Arc::new(Tally::default());
    let mut random = Random::new(plan.seed);
    while found.cuts < plan.cuts && found.wrong.is_none() {
        sim.reset(options.capacity_bytes);
        let settings = Settings::choose(&mut random);
        let settings = plan.settings.unwrap_or(settings);
        let mut program = Program {
            binary: plan.binary.clone(),
            arguments: settings.arguments(),
            environment: plan.environment.clone(),
        };
        program.environment.push(("OSSIA_LOG".to_owned(), "info".to_owned()));
        let owners = (0..OWNERS).map(|name| Owner::new(name, random.fork(), Arc::clone(&tally)));
        let owners = owners.collect();
        let seed = random.next();
        let racing = history::Settings { clients: RACERS, ..history::Settings::new(seed) };
        let mut store = Store {
            sim: &sim,
            runtime: &runtime,
            program,
            owners,
            workload: Workload::new(racing),
            history: History::new(),
            checker: Checker::new(seed, Tolerance::default()),
            round: 0,
            random: random.fork(),
            made: false,
        };
        let cuts = CUTS_OF_STORE.min(plan.cuts - found.cuts);
        if let Err(wrong) = store.live(cuts, &mut found) {
            found.wrong = Some(format!("settings {}: {wrong}", settings.name));
        }
    }
    found.operations += tally.operations.load(Ordering::Relaxed);
    found.acknowledged += tally.acknowledged.load(Ordering::Relaxed);
    // Where nothing is acknowledged nothing can be lost, and nothing is shown.
    if found.wrong.is_none() && found.cuts >= CUTS_OF_STORE && found.acknowledged < found.cuts {
        let Found { cuts, acknowledged, .. } = found;
        found.wrong =
            Some(format!("the server acknowledged {acknowledged} changes in {cuts} cuts"));
    }
    Ok(found)
}

/// One store from its making to its end.
struct Store<'a> {
    sim: &'a SimFs,
    runtime: &'a Runtime,
    program: Program,
    owners: Vec<Owner>,
    workload: Workload,
    history: History,
    checker: Checker,
    round: u32,
    random: Random,
    made: bool,
}

/// A running server, and how it is spoken to.
struct Running {
    server: Server,
    client: Client,
    target: Target,
}

impl Store<'_> {
    fn live(&mut self, cuts: u64, found: &mut Found) -> Result<(), String> {
        let until = found.cuts + cuts;
        while found.cuts < until {
            if self.random.below(CUT_STARTS) == 0 {
                self.cut_start(found)?;
                continue;
            }
            let running = self.start()?;
            self.verify(&running, found)?;
            self.burst(running)?;
            self.cut(found);
        }
        let running = self.start()?;
        self.verify(&running, found)?;
        let (status, log) = running.server.stop().map_err(text)?;
        if !status.success() {
            return Err(format!("the server ended with {status}:\n{log}"));
        }
        // An orderly stop leaves nothing to lose: the power may go right after.
        self.cut(found);
        found.cuts -= 1;
        let running = self.start()?;
        self.verify(&running, found)?;
        running.server.kill(|| {}).map_err(text)?;
        self.sim.revive();
        Ok(())
    }

    fn start(&self) -> Result<Running, String> {
        let server = self.program.start(self.sim.path()).map_err(text)?;
        let client = server.client().map_err(text)?;
        let target =
            Target::new(&server.endpoint(), KEY_ID, KEY_SECRET, RACED, Timeouts::default());
        let target = target.map_err(text)?;
        Ok(Running { server, client, target })
    }

    fn cut(&mut self, found: &mut Found) {
        self.sim.freeze();
        let report = self.sim.cut(self.random.next());
        found.cuts += 1;
        found.changes_lost += report.changes_lost;
        found.names_lost += report.names_lost;
    }

    /// The power goes while the server starts.
    fn cut_start(&mut self, found: &mut Found) -> Result<(), String> {
        let point = CutPoint::choose(&mut self.random, CALLS_OF_START);
        self.sim.freeze_at(point);
        let starting = self.program.spawn(self.sim.path()).map_err(text)?;
        // A start that needs fewer calls is cut when it is done, or soon after.
        if !self.sim.wait_frozen(START_MAX) {
            self.sim.freeze();
        }
        starting.kill(|| self.sim.let_go()).map_err(text)?;
        self.cut(found);
        found.cut_starts += 1;
        Ok(())
    }

    /// Reads everything, and judges what was seen so far.
    fn verify(&mut self, running: &Running, found: &mut Found) -> Result<(), String> {
        let told = |wrong: String| format!("{wrong}\n{}", running.server.log());
        self.round += 1;
        let Running { client, target, .. } = running;
        let read = async {
            if !self.made {
                let bucket = CreateBucketRequest::new(owned::BUCKET);
                client.create_bucket(bucket).await.map_err(text)?;
                target.create_bucket().await.map_err(text)?;
            }
            owned::verify_all(&mut self.owners, client).await?;
            let keys = self.workload.keys();
            read_back(target, &self.history, &keys, self.round).await.map_err(text)
        };
        self.runtime.block_on(read).map_err(told)?;
        self.made = true;
        let figures =
            self.checker.absorb(&self.history.take()).map_err(|wrong| told(text(wrong)))?;
        found.operations += figures.operations as u64;
        found.acknowledged += figures.acknowledged as u64;
        Ok(())
    }

    /// All clients work until the power goes.
    fn burst(&mut self, running: Running) -> Result<(), String> {
        let Running { server, client, target } = running;
        let stop = Arc::new(AtomicBool::new(false));
        self.sim.freeze_at(CutPoint::choose(&mut self.random, SYNCS));
        let within = BURST_MAX.mul_f64(self.random.below(100) as f64 / 100.0);
        let grace = GRACE_MAX.mul_f64(self.random.below(100) as f64 / 100.0);
        let owners: Vec<_> = self
            .owners
            .drain(..)
            .map(|mut owner| {
                let (client, stop) = (client.clone(), Arc::clone(&stop));
                self.runtime.spawn(async move {
                    let ended = owner.work(&client, Patience::UntilGone, &stop).await;
                    (owner, ended)
                })
            })
            .collect();
        let (sim, workload, history) = (self.sim, &mut self.workload, &self.history);
        let log = std::thread::scope(|scope| {
            let cutting = scope.spawn(|| {
                sim.wait_frozen(within);
                sim.freeze();
                // What was decided before must come to its client: then it counts.
                std::thread::sleep(grace);
                let log = server.kill(|| sim.let_go());
                stop.store(true, Ordering::Relaxed);
                log
            });
            self.runtime.block_on(workload.run(&target, history, &stop));
            cutting.join()
        });
        let log = log.map_err(|_| "the thread that cuts has panicked".to_owned())?.map_err(text)?;
        let mut wrong = Ok(());
        for task in owners {
            let (owner, ended) = self.runtime.block_on(task).map_err(text)?;
            self.owners.push(owner);
            wrong = wrong.and(ended);
        }
        self.history.cut();
        wrong.map_err(|wrong| format!("while it worked: {wrong}\n{log}"))?;
        match log.lines().find(|line| line.contains(" ERROR ") || line.contains("panicked")) {
            Some(line) => Err(format!("the server complained: {line}\n{log}")),
            None => Ok(()),
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
