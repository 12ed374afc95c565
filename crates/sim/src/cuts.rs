//! Power cuts, one after another: a server, clients, a cut, a server again, and everything is read.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ossia_client::{Client, CreateBucketRequest, Timeouts};
use ossia_model::Versioning;
use tokio::runtime::Runtime;

use crate::expiring::{self, Expirer};
use crate::fs::{CutPoint, SimFs, SimOptions};
use crate::history::{self, Checker, History, Target, Tolerance, Workload, read_back};
use crate::kept::{FLAVOURS, Keeper};
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
/// Clients at once that do so in a bucket that keeps versions.
pub const VERSION_RACERS: u16 = 6;
/// The bucket of those.
const VERSIONED: &str = "versioned";
/// A cut comes within so many syncs of a server, or so many changes of names, or four times as many writes.
const SYNCS: u64 = 400;
/// And within this time, where the server does not come to that.
const BURST_MAX: Duration = Duration::from_millis(1500);
/// One time in so many it comes so many times later, so that what a server does now and then is cut as well.
const LATER: u64 = 8;
const LATER_BY: u32 = 4;
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
    /// Versions that rules have removed.
    pub expired: u64,
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
        let mut arguments = settings.arguments();
        // Only buckets that are about it see these.
        arguments
            .extend(expiring::ARGUMENTS.iter().flat_map(|it| ["--set".to_owned(), (*it).into()]));
        let mut program = Program {
            binary: plan.binary.clone(),
            arguments,
            environment: plan.environment.clone(),
        };
        program.environment.push(("OSSIA_LOG".to_owned(), "info".to_owned()));
        let owners = (0..OWNERS).map(|name| Owner::new(name, random.fork(), Arc::clone(&tally)));
        let owners = owners.collect();
        let keeper = |flavour| Keeper::new(flavour, random.fork(), Arc::clone(&tally));
        let keepers = FLAVOURS.map(keeper).into();
        let expirer = Some(Expirer::new(random.fork(), Arc::clone(&tally)));
        let seed = random.next();
        let racing = history::Settings { clients: RACERS, ..history::Settings::new(seed) };
        let raced = Raced {
            workload: Workload::new(racing),
            history: History::new(),
            checker: Checker::new(seed, Tolerance::default()),
        };
        let seed = random.next();
        let racing = history::Settings {
            clients: VERSION_RACERS,
            versions: true,
            ..history::Settings::new(seed)
        };
        let checker = Checker::new(seed, Tolerance::default());
        let versioned = Raced {
            workload: Workload::new(racing),
            history: History::new(),
            checker: checker.with_versions(Versioning::Enabled),
        };
        let mut store = Store {
            sim: &sim,
            runtime: &runtime,
            program,
            owners,
            keepers,
            expirer,
            raced,
            versioned,
            round: 0,
            random: random.fork(),
            made: false,
        };
        let cuts = CUTS_OF_STORE.min(plan.cuts - found.cuts);
        let lived = store.live(cuts, &mut found);
        found.expired += store.expirer.as_ref().map_or(0, Expirer::removed);
        if let Err(wrong) = lived {
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
    keepers: Vec<Keeper>,
    /// `None` while it works.
    expirer: Option<Expirer>,
    raced: Raced,
    versioned: Raced,
    round: u32,
    random: Random,
    made: bool,
}

/// Clients in each other's way, what they saw, and its judge.
struct Raced {
    workload: Workload,
    history: History,
    checker: Checker,
}

impl Raced {
    /// Judges what was seen so far.
    fn judge(&mut self, found: &mut Found) -> Result<(), String> {
        let figures = self.checker.absorb(&self.history.take()).map_err(text)?;
        found.operations += figures.operations as u64;
        found.acknowledged += figures.acknowledged as u64;
        Ok(())
    }
}

/// A running server, and how it is spoken to.
struct Running {
    server: Server,
    client: Client,
    target: Target,
    versioned: Target,
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
        let versioned =
            Target::new(&server.endpoint(), KEY_ID, KEY_SECRET, VERSIONED, Timeouts::default());
        let versioned = versioned.map_err(text)?.with_versions();
        Ok(Running { server, client, target, versioned })
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
        let Running { client, target, versioned, .. } = running;
        let read = async {
            if !self.made {
                let bucket = CreateBucketRequest::new(owned::BUCKET);
                client.create_bucket(bucket).await.map_err(text)?;
                target.create_bucket().await.map_err(text)?;
                versioned.create_bucket().await.map_err(text)?;
            }
            owned::verify_all(&mut self.owners, client).await?;
            for keeper in &mut self.keepers {
                keeper.verify(client).await?;
            }
            if let Some(expirer) = &mut self.expirer {
                expirer.verify(client).await?;
            }
            for (raced, target) in [(&self.raced, target), (&self.versioned, versioned)] {
                let keys = raced.workload.keys();
                read_back(target, &raced.history, &keys, self.round).await.map_err(text)?;
            }
            Ok(())
        };
        self.runtime.block_on(read).map_err(told)?;
        self.made = true;
        self.raced.judge(found).and_then(|()| self.versioned.judge(found)).map_err(told)
    }

    /// All clients work until the power goes.
    fn burst(&mut self, running: Running) -> Result<(), String> {
        let Running { server, client, target, versioned } = running;
        let stop = Arc::new(AtomicBool::new(false));
        let later = if self.random.below(LATER) == 0 { LATER_BY } else { 1 };
        self.sim.freeze_at(CutPoint::choose(&mut self.random, SYNCS * u64::from(later.pow(2))));
        let within = (BURST_MAX * later).mul_f64(self.random.below(100) as f64 / 100.0);
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
        let keepers: Vec<_> = self
            .keepers
            .drain(..)
            .map(|mut keeper| {
                let (client, stop) = (client.clone(), Arc::clone(&stop));
                self.runtime.spawn(async move {
                    let ended = keeper.work(&client, &stop).await;
                    (keeper, ended)
                })
            })
            .collect();
        let expirer = self.expirer.take().map(|mut expirer| {
            let (client, stop) = (client.clone(), Arc::clone(&stop));
            self.runtime.spawn(async move {
                let ended = expirer.work(&client, &stop).await;
                (expirer, ended)
            })
        });
        let (sim, raced, racing) = (self.sim, &mut self.raced, &mut self.versioned);
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
            let both = async {
                tokio::join!(
                    raced.workload.run(&target, &raced.history, &stop),
                    racing.workload.run(&versioned, &racing.history, &stop),
                )
            };
            self.runtime.block_on(both);
            cutting.join()
        });
        let log = log.map_err(|_| "the thread that cuts has panicked".to_owned())?.map_err(text)?;
        let mut wrong = Ok(());
        for task in owners {
            let (owner, ended) = self.runtime.block_on(task).map_err(text)?;
            self.owners.push(owner);
            wrong = wrong.and(ended);
        }
        for task in keepers {
            let (keeper, ended) = self.runtime.block_on(task).map_err(text)?;
            self.keepers.push(keeper);
            wrong = wrong.and(ended);
        }
        if let Some(task) = expirer {
            let (expirer, ended) = self.runtime.block_on(task).map_err(text)?;
            self.expirer = Some(expirer);
            wrong = wrong.and(ended);
        }
        self.raced.history.cut();
        self.versioned.history.cut();
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
