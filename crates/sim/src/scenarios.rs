//! A disk that is full, slow or fails, under the real binary: what goes on, what is refused, and that nothing acknowledged is lost.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ossia_client::{
    AppendObjectRequest, Client, ClientError, CreateBucketRequest, GetObjectRequest,
    PutObjectRequest,
};
use tokio::runtime::Runtime;

use crate::fs::{Call, Effect, Fault, SimFs, SimOptions};
use crate::owned::{self, BUCKET, Deed, Owner, Patience, Tally};
use crate::random::Random;
use crate::server::{Program, Server};
use crate::settings::{DEFAULT, RESTLESS, RESTLESS_TWO, Settings};

/// Longest wait for something that must come.
const WAIT_MAX: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;
const OWNERS: usize = 12;
/// Puts at once on a slow disk: more than twice as many bytes as have room.
const BODIES: u64 = 192;
/// What a disk is filled with.
static FILLING: [u8; 200 << 10] = [9; 200 << 10];
/// What a server answers that cannot take a write at the moment.
const UNABLE: &str = "503 ServiceUnavailable";

/// A scenario: its name as a sentence, and what it does.
pub struct Scenario {
    /// What it shows.
    pub name: &'static str,
    run: fn(&mut Stage<'_>) -> Result<(), String>,
}

/// The name of the scenario that looks for acknowledgements after a failed sync.
pub const FAILED_SYNC: &str = "after a sync that failed nothing is acknowledged until a start";
/// The name of the scenario that deletes what is being read.
pub const DOWNLOAD: &str = "a download that began before a delete ends with the same bytes";

/// All of them.
pub const ALL: [Scenario; 8] = [
    Scenario {
        name: "a full disk refuses writes, lets reads and deletes pass, and takes writes again",
        run: full_disk,
    },
    Scenario {
        name: "a disk that is full in the middle of a write loses nothing and recovers by itself",
        run: full_in_a_write,
    },
    Scenario { name: FAILED_SYNC, run: failed_sync },
    Scenario { name: DOWNLOAD, run: download },
    Scenario {
        name: "a file that cannot be read refuses the objects in it and no others",
        run: failed_read,
    },
    Scenario { name: "a slow disk makes the server refuse rather than grow", run: slow_disk },
    Scenario {
        name: "bits that flip on their way from the disk never reach a client",
        run: flipped_reads,
    },
    Scenario { name: "calls that fail at random cost no acknowledged byte", run: random_faults },
];

impl Scenario {
    /// Runs it with this binary; the seed decides what it decides.
    ///
    /// # Errors
    /// What went wrong, with the server's log.
    pub fn run(
        &self,
        binary: &Path,
        environment: &[(String, String)],
        seed: u64,
    ) -> Result<(), String> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().map_err(text)?;
        let sim = SimFs::mount(SimOptions::default()).map_err(text)?;
        sim.seed_faults(seed);
        let mut stage = Stage {
            sim: &sim,
            runtime: &runtime,
            binary: binary.to_owned(),
            environment: environment.to_vec(),
            random: Random::new(seed),
            tally: Arc::default(),
            owners: Vec::new(),
        };
        (self.run)(&mut stage)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// What a scenario plays on.
struct Stage<'a> {
    sim: &'a SimFs,
    runtime: &'a Runtime,
    binary: PathBuf,
    environment: Vec<(String, String)>,
    random: Random,
    tally: Arc<Tally>,
    owners: Vec<Owner>,
}

/// A server of a stage, and a client of it.
struct Played {
    server: Server,
    client: Client,
}

impl Stage<'_> {
    fn program(&self, settings: Settings, more: &[&str]) -> Program {
        let mut arguments = settings.arguments();
        for value in more {
            arguments.extend(["--set".to_owned(), (*value).to_owned()]);
        }
        Program { binary: self.binary.clone(), arguments, environment: self.environment.clone() }
    }

    fn start(&self, program: &Program) -> Result<Played, String> {
        let server = program.start(self.sim.path()).map_err(text)?;
        let client = server.client().map_err(text)?;
        Ok(Played { server, client })
    }

    /// A new store with a server on it.
    fn begin(&mut self, program: &Program, capacity_bytes: u64) -> Result<Played, String> {
        self.sim.reset(capacity_bytes);
        self.tally = Arc::default();
        let owner = |name| Owner::new(name, self.random.fork(), Arc::clone(&self.tally));
        self.owners = (0..OWNERS).map(owner).collect();
        let played = self.start(program)?;
        let bucket = CreateBucketRequest::new(BUCKET);
        self.runtime.block_on(played.client.create_bucket(bucket)).map_err(text)?;
        Ok(played)
    }

    /// Lets all owners work until `enough` says so; an error if that takes too long.
    fn work(
        &mut self,
        played: &Played,
        what: &str,
        mut enough: impl FnMut() -> bool,
    ) -> Result<(), String> {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = self
            .owners
            .drain(..)
            .map(|mut owner| {
                let (client, stop) = (played.client.clone(), Arc::clone(&stop));
                self.runtime.spawn(async move {
                    let ended = owner.work(&client, Patience::GoOn, &stop).await;
                    (owner, ended)
                })
            })
            .collect();
        let begin = Instant::now();
        let mut came = true;
        while !enough() {
            if begin.elapsed() > WAIT_MAX {
                came = false;
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        stop.store(true, Ordering::Relaxed);
        let mut wrong = Ok(());
        for task in tasks {
            let (owner, ended) = self.runtime.block_on(task).map_err(text)?;
            self.owners.push(owner);
            wrong = wrong.and(ended);
        }
        let told = || format!("{what}: refused {:?}\n{}", self.tally.refused, played.server.log());
        wrong.map_err(|wrong| format!("{wrong}; {}", told()))?;
        if came { Ok(()) } else { Err(format!("it did not come to this: {}", told())) }
    }

    fn acknowledged(&self) -> u64 {
        self.tally.acknowledged.load(Ordering::Relaxed)
    }

    /// Works until so many more changes are acknowledged.
    fn work_well(&mut self, played: &Played, more: u64) -> Result<(), String> {
        let tally = Arc::clone(&self.tally);
        let until = self.acknowledged() + more;
        self.work(played, "changes acknowledged", move || {
            tally.acknowledged.load(Ordering::Relaxed) >= until
        })
    }

    /// Does one thing with each owner, one after the other; every answer is given to `each`.
    fn each(
        &mut self,
        played: &Played,
        deed: Deed,
        mut each: impl FnMut(Result<(), ClientError>) -> Result<(), String>,
    ) -> Result<(), String> {
        for owner in &mut self.owners {
            let answer = self.runtime.block_on(owner.act(&played.client, deed))?;
            each(answer).map_err(|wrong| format!("{deed:?}: {wrong}\n{}", played.server.log()))?;
        }
        Ok(())
    }

    fn verify(&mut self, played: &Played) -> Result<(), String> {
        let verified = owned::verify_all(&mut self.owners, &played.client);
        self.runtime.block_on(verified).map_err(|wrong| format!("{wrong}\n{}", played.server.log()))
    }

    /// Kills the server, cuts the power, takes the faults away, starts again and reads everything.
    fn cut_and_verify(
        &mut self,
        program: &Program,
        played: Played,
        filled: u64,
    ) -> Result<Played, String> {
        let Played { server, client } = played;
        drop(client);
        self.sim.freeze();
        let log = server.kill(|| self.sim.let_go()).map_err(text)?;
        self.sim.clear_faults();
        self.sim.cut(self.random.next());
        let played =
            self.start(program).map_err(|wrong| format!("{wrong}\nbefore that:\n{log}"))?;
        for number in 0..filled {
            let key = format!("fill/{number}");
            // Of the last it is not known whether it was put.
            match self.get(&played, &key) {
                Ok(bytes) if bytes[..] == FILLING[..] => {}
                Err(error) if error.is_not_found() && number + 1 == filled => {}
                other => return Err(format!("{key}: {other:?}\nbefore the cut:\n{log}")),
            }
        }
        if filled == 0 {
            self.verify(&played).map_err(|wrong| format!("{wrong}\nbefore the cut:\n{log}"))?;
        }
        Ok(played)
    }

    fn put(&self, played: &Played, key: &str, bytes: Vec<u8>) -> Result<(), ClientError> {
        let put = PutObjectRequest::new(BUCKET, key, bytes);
        self.runtime.block_on(played.client.put_object(put)).map(drop)
    }

    /// Puts objects of their own until one is refused; tells how many there may be.
    fn fill(&self, played: &Played) -> Result<u64, String> {
        for number in 0..4096 {
            if let Err(error) = self.put(played, &format!("fill/{number}"), FILLING.to_vec()) {
                return match error.status() {
                    Some(500 | 503) => Ok(number + 1),
                    _ => Err(format!("a full disk is no reason for this: {error}")),
                };
            }
        }
        Err("the disk does not fill".to_owned())
    }

    /// Deletes what [`Self::fill`] put.
    fn empty(&self, played: &Played, count: u64) -> Result<(), String> {
        for number in 0..count {
            let key = format!("fill/{number}");
            self.runtime.block_on(played.client.delete_object(BUCKET, &key)).map_err(text)?;
        }
        Ok(())
    }

    fn get(&self, played: &Played, key: &str) -> Result<Vec<u8>, ClientError> {
        self.runtime.block_on(async {
            let answer = played.client.get_object(GetObjectRequest::new(BUCKET, key)).await?;
            Ok(answer.body.collect(1 << 30).await?.into())
        })
    }

    /// All files of the store.
    fn files(&self) -> io::Result<BTreeSet<PathBuf>> {
        let mut files = BTreeSet::new();
        let mut folders = vec![self.sim.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path);
                }
            }
        }
        Ok(files)
    }
}

fn must(answer: Result<(), ClientError>) -> Result<(), String> {
    answer.map_err(|error| format!("refused: {error}"))
}

/// Whether a refusal says that the server cannot at the moment.
fn unable(error: &ClientError) -> bool {
    error.status() == Some(503) && error.code() == Some("ServiceUnavailable")
}

fn full_disk(stage: &mut Stage<'_>) -> Result<(), String> {
    let program = stage.program(RESTLESS_TWO, &[]);
    let played = stage.begin(&program, 40 * MIB)?;
    stage.work_well(&played, 100)?;
    let filled = stage.fill(&played)?;
    let tally = Arc::clone(&stage.tally);
    stage.work(&played, "a full disk", move || tally.refused(UNABLE) > 50)?;
    stage.each(&played, Deed::Read, must)?;
    stage.each(&played, Deed::Delete, must)?;
    stage.sim.set_capacity(2 << 30);
    stage.work_well(&played, 200)?;
    stage.empty(&played, filled)?;
    let played = stage.cut_and_verify(&program, played, 0)?;
    stage.work_well(&played, 50)?;
    stage.cut_and_verify(&program, played, 0).map(drop)
}

/// Without a reserve, so that the disk itself says no, in whatever file. The store may stop then until it is started again, as after
/// any write of its index that fails; it must not lose anything.
fn full_in_a_write(stage: &mut Stage<'_>) -> Result<(), String> {
    let program = stage.program(RESTLESS, &["engine.reserve_bytes=0"]);
    let capacity = 12 * MIB + stage.random.below(64) * (64 << 10);
    let played = stage.begin(&program, capacity)?;
    stage.work_well(&played, 50)?;
    let filled = stage.fill(&played)?;
    let tally = Arc::clone(&stage.tally);
    stage.work(&played, "a full disk", move || {
        tally.refused(UNABLE) + tally.refused("500 InternalError") > 50
    })?;
    stage.each(&played, Deed::Read, must)?;
    stage.sim.set_capacity(2 << 30);
    let stopped = played.server.log().contains("poisoned");
    let played = if stopped { stage.cut_and_verify(&program, played, filled)? } else { played };
    stage.work_well(&played, 200)?;
    stage.empty(&played, filled)?;
    let played = stage.cut_and_verify(&program, played, 0)?;
    stage.work_well(&played, 50)?;
    stage.cut_and_verify(&program, played, 0).map(drop)
}

fn failed_sync(stage: &mut Stage<'_>) -> Result<(), String> {
    for _ in 0..4 {
        let program = stage.program(RESTLESS, &[]);
        let played = stage.begin(&program, 2 << 30)?;
        stage.work_well(&played, 50)?;
        let number = 1 + stage.random.below(40);
        stage.sim.add_fault(Fault::nth(Call::Sync, number, Effect::Fail).on(".seg"));
        let tally = Arc::clone(&stage.tally);
        stage.work(&played, "refusals after a sync that failed", move || {
            tally.refused(UNABLE) > 50
        })?;
        // Everything that was under way has ended: from here on not one change may be acknowledged.
        for deed in [Deed::Append, Deed::Put, Deed::Delete] {
            stage.each(&played, deed, |answer| match answer {
                Err(error) if unable(&error) => Ok(()),
                other => Err(format!("after a sync that failed: {other:?}")),
            })?;
        }
        stage.each(&played, Deed::Read, must)?;
        let played = stage.cut_and_verify(&program, played, 0)?;
        stage.work_well(&played, 20)?;
        stage.cut_and_verify(&program, played, 0)?;
    }
    Ok(())
}

fn failed_read(stage: &mut Stage<'_>) -> Result<(), String> {
    let program = stage.program(DEFAULT, &[]);
    let played = stage.begin(&program, 4 << 30)?;
    stage.work_well(&played, 100)?;
    let before = stage.files().map_err(text)?;
    let bytes = vec![7; 2 << 20];
    stage.put(&played, "bad", bytes.clone()).map_err(text)?;
    let after = stage.files().map_err(text)?;
    let mut made =
        after.difference(&before).filter(|path| path.to_string_lossy().contains("/blobs/"));
    let file = made.next().ok_or("a large object makes a file of its own")?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    stage.put(&played, "good", bytes.clone()).map_err(text)?;
    stage.sim.add_fault(Fault::every(Call::Read, Effect::Fail).on(&name));
    match stage.get(&played, "bad") {
        Err(error) if error.status().is_none_or(|status| status >= 500) => {}
        other => return Err(format!("a file that cannot be read: {other:?}")),
    }
    if stage.get(&played, "good").map_err(text)? != bytes {
        return Err("another object is not as it was".to_owned());
    }
    stage.each(&played, Deed::Read, must)?;
    stage.work_well(&played, 50)?;
    stage.sim.clear_faults();
    if stage.get(&played, "bad").map_err(text)? != bytes {
        return Err("once it can be read again it is not as it was".to_owned());
    }
    stage.runtime.block_on(async {
        for key in ["bad", "good"] {
            played.client.delete_object(BUCKET, key).await.map_err(text)?;
        }
        Ok::<(), String>(())
    })?;
    stage.cut_and_verify(&program, played, 0).map(drop)
}

fn download(stage: &mut Stage<'_>) -> Result<(), String> {
    let program = stage.program(RESTLESS, &[]);
    let played = stage.begin(&program, 2 << 30)?;
    for turn in 0..2 {
        // Longer than what server and sockets hold on their way, so that most of it is read after the delete; and in pieces, so
        // that what is read late is opened late.
        let bytes: Vec<u8> = (0..24_u32 << 20).map(|at| (at / 251) as u8 ^ turn).collect();
        let mut position = 0;
        for piece in bytes.chunks(1 << 20) {
            let append = AppendObjectRequest::new(BUCKET, "long", piece.to_vec());
            let append = played.client.append_object(append.position(position));
            position = stage.runtime.block_on(append).map_err(text)?.next_position;
        }
        let blobs = stage.files().map_err(text)?.into_iter();
        let blobs: Vec<_> =
            blobs.filter(|path| path.to_string_lossy().contains("/blobs/")).collect();
        let read = async {
            let get = GetObjectRequest::new(BUCKET, "long");
            let mut body = played.client.get_object(get).await.map_err(text)?.body;
            let mut found = Vec::new();
            if let Some(chunk) = body.next_chunk().await {
                found.extend_from_slice(&chunk.map_err(text)?);
            }
            played.client.delete_object(BUCKET, "long").await.map_err(text)?;
            // Others work meanwhile, and a reaper that is too eager has its time.
            let gone = Instant::now() + Duration::from_millis(1200);
            while blobs.iter().all(|path| path.exists()) && Instant::now() < gone {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            while let Some(chunk) = body.next_chunk().await {
                found.extend_from_slice(&chunk.map_err(text)?);
            }
            Ok::<_, String>(found)
        };
        let found = stage.runtime.block_on(read);
        let found = found.map_err(|wrong| format!("{wrong}\n{}", played.server.log()))?;
        if found != bytes {
            return Err(format!("{} bytes were read, and not those that were put", found.len()));
        }
    }
    stage.cut_and_verify(&program, played, 0).map(drop)
}

fn slow_disk(stage: &mut Stage<'_>) -> Result<(), String> {
    let more = [
        "engine.queue_bytes=8388608",
        "engine.admission_wait_ms=100",
        "limits.body_wait_ms=200",
        "limits.body_bytes=8388608",
    ];
    let program = stage.program(RESTLESS, &more);
    let played = stage.begin(&program, 2 << 30)?;
    stage.work_well(&played, 50)?;
    let quiet = played.server.resident_bytes().map_err(text)?;
    stage.sim.add_fault(Fault::every(Call::Sync, Effect::Slow(Duration::from_millis(150))));
    let bodies: Vec<_> = (0..BODIES)
        .map(|at| {
            let client = played.client.clone();
            stage.runtime.spawn(async move {
                let mut busy = 0;
                for turn in 0..4 {
                    let key = format!("slow/{at}-{turn}");
                    let put = PutObjectRequest::new(BUCKET, key.as_str(), vec![1; 100 << 10]);
                    match client.put_object(put).await {
                        Ok(_) => drop(client.delete_object(BUCKET, &key).await),
                        Err(error) if unable(&error) => busy += 1,
                        Err(error) => return Err(text(error)),
                    }
                }
                Ok(busy)
            })
        })
        .collect();
    let mut most = quiet;
    while bodies.iter().any(|body| !body.is_finished()) {
        most = most.max(played.server.resident_bytes().map_err(text)?);
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut busy = 0;
    for body in bodies {
        busy += stage.runtime.block_on(body).map_err(text)??;
    }
    stage.sim.clear_faults();
    // Far more than the bounds above allow, far less than what was sent.
    let bound = quiet + 96 * MIB;
    if most > bound {
        return Err(format!("the server grew from {quiet} to {most} bytes"));
    }
    if busy == 0 {
        return Err(format!("it never said that it was busy\n{}", played.server.log()));
    }
    stage.work_well(&played, 50)?;
    // What is left of those puts is none of the owners'.
    stage.runtime.block_on(async {
        for at in 0..BODIES {
            for turn in 0..4 {
                let key = format!("slow/{at}-{turn}");
                played.client.delete_object(BUCKET, &key).await.map_err(text)?;
            }
        }
        Ok::<(), String>(())
    })?;
    stage.cut_and_verify(&program, played, 0).map(drop)
}

/// Reads of blobs and of the journal alone: what a start does with damage has tests of its own.
fn flipped_reads(stage: &mut Stage<'_>) -> Result<(), String> {
    let program = stage.program(RESTLESS_TWO, &[]);
    let played = stage.begin(&program, 2 << 30)?;
    stage.work_well(&played, 300)?;
    let sim = stage.sim;
    let mut random = stage.random.fork();
    let mut given = 0;
    stage.work(&played, "flipped bits", move || {
        if sim.faults_met() >= given {
            let number = 1 + random.below(8);
            sim.add_fault(Fault::nth(Call::Read, number, Effect::Flip));
            given += 1;
        }
        given > 40
    })?;
    stage.cut_and_verify(&program, played, 0).map(drop)
}

fn random_faults(stage: &mut Stage<'_>) -> Result<(), String> {
    for _ in 0..12 {
        let settings = Settings::choose(&mut stage.random);
        let program = stage.program(settings, &[]);
        let played = stage.begin(&program, 2 << 30)?;
        stage.work_well(&played, 30)?;
        let call = [Call::Write, Call::Sync, Call::Name][stage.random.below(3) as usize];
        let effect = if stage.random.percent(70) { Effect::Fail } else { Effect::Full };
        let number = 1 + stage.random.below(60);
        stage.sim.add_fault(Fault::nth(call, number, effect));
        let begin = Instant::now();
        let sim = stage.sim;
        let during = Duration::from_millis(50 + stage.random.below(200));
        stage.work(&played, "a fault", move || {
            sim.faults_met() > 0 && begin.elapsed() > during
                || begin.elapsed() > Duration::from_secs(5)
        })?;
        let fault = format!("{settings:?}, {call:?} {number} {effect:?}");
        let played = stage
            .cut_and_verify(&program, played, 0)
            .map_err(|wrong| format!("{wrong}\nafter {fault}"))?;
        stage.work_well(&played, 20)?;
        stage.cut_and_verify(&program, played, 0)?;
    }
    Ok(())
}
