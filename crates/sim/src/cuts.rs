//! Power cuts, one after another: a server, clients, a cut, a server again, and everything is read.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ossia_client::{Client, CreateBucketRequest};
use tokio::runtime::Runtime;

use crate::fs::{CutPoint, SimFs, SimOptions};
use crate::owned::{self, Owner, Patience, Tally};
use crate::random::Random;
use crate::server::{Program, Server};
use crate::settings::Settings;

/// Clients at once.
pub const CLIENTS: usize = 16;
/// A cut comes within so many syncs of a server, or so many changes of names, or four times as many writes.
const SYNCS: u64 = 400;
/// And within this time, where the server does not come to that.
const BURST_MAX: Duration = Duration::from_millis(1500);
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
        let owners = (0..CLIENTS).map(|name| Owner::new(name, random.fork(), Arc::clone(&tally)));
        let mut store = Store {
            sim: &sim,
            runtime: &runtime,
            program,
            owners: owners.collect(),
            random: random.fork(),
            made: false,
        };
        let cuts = CUTS_OF_STORE.min(plan.cuts - found.cuts);
        if let Err(wrong) = store.live(cuts, &mut found) {
            found.wrong = Some(format!("settings {}: {wrong}", settings.name));
        }
    }
    found.operations = tally.operations.load(Ordering::Relaxed);
    found.acknowledged = tally.acknowledged.load(Ordering::Relaxed);
    Ok(found)
}

/// One store from its making to its end.
struct Store<'a> {
    sim: &'a SimFs,
    runtime: &'a Runtime,
    program: Program,
    owners: Vec<Owner>,
    random: Random,
    made: bool,
}

impl Store<'_> {
    fn live(&mut self, cuts: u64, found: &mut Found) -> Result<(), String> {
        let until = found.cuts + cuts;
        while found.cuts < until {
            if self.random.below(CUT_STARTS) == 0 {
                self.cut_start(found)?;
                continue;
            }
            let server = self.start()?;
            let client = server.client().map_err(|error| error.to_string())?;
            self.verify(&client, &server)?;
            self.burst(client, server)?;
            self.cut(found);
        }
        let server = self.start()?;
        let client = server.client().map_err(|error| error.to_string())?;
        self.verify(&client, &server)?;
        drop(client);
        let (status, log) = server.stop().map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("the server ended with {status}:\n{log}"));
        }
        // What an orderly stop leaves must stand without its sync: the power may go right after.
        self.cut(found);
        found.cuts -= 1;
        let server = self.start()?;
        let client = server.client().map_err(|error| error.to_string())?;
        self.verify(&client, &server)?;
        server.kill(|| {}).map_err(|error| error.to_string())?;
        self.sim.revive();
        Ok(())
    }

    fn start(&self) -> Result<Server, String> {
        self.program.start(self.sim.path()).map_err(|error| error.to_string())
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
        let starting = self.program.spawn(self.sim.path()).map_err(|error| error.to_string())?;
        // A start that needs fewer calls is cut when it is done, or soon after.
        if !self.sim.wait_frozen(BURST_MAX / 4) {
            self.sim.freeze();
        }
        starting.kill(|| self.sim.let_go()).map_err(|error| error.to_string())?;
        self.cut(found);
        found.cut_starts += 1;
        Ok(())
    }

    /// Reads everything.
    fn verify(&mut self, client: &Client, server: &Server) -> Result<(), String> {
        let owners = &mut self.owners;
        let made = self.made;
        let checked = self.runtime.block_on(async {
            if !made {
                let bucket = CreateBucketRequest::new(owned::BUCKET);
                client.create_bucket(bucket).await.map_err(|error| error.to_string())?;
            }
            owned::verify_all(owners, client).await
        });
        self.made = true;
        checked.map_err(|wrong| format!("{wrong}\n{}", server.log()))
    }

    /// All clients work until the power goes.
    fn burst(&mut self, client: Client, server: Server) -> Result<(), String> {
        let stop = Arc::new(AtomicBool::new(false));
        self.sim.freeze_at(CutPoint::choose(&mut self.random, SYNCS));
        let tasks: Vec<_> = self
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
        let begin = Instant::now();
        let within = BURST_MAX.mul_f64(self.random.below(100) as f64 / 100.0);
        self.sim.wait_frozen(within.saturating_sub(begin.elapsed()));
        self.sim.freeze();
        let log = server.kill(|| self.sim.let_go()).map_err(|error| error.to_string())?;
        stop.store(true, Ordering::Relaxed);
        let mut wrong = Ok(());
        for task in tasks {
            let (owner, ended) = self.runtime.block_on(task).map_err(|error| error.to_string())?;
            self.owners.push(owner);
            wrong = wrong.and(ended);
        }
        wrong.map_err(|wrong| format!("while it worked: {wrong}\n{log}"))?;
        match log.lines().find(|line| line.contains(" ERROR ") || line.contains("panicked")) {
            Some(line) => Err(format!("the server complained: {line}\n{log}")),
            None => Ok(()),
        }
    }
}
