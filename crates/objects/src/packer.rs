//! The packer: remembers what small appends have added to which content, and has runs packed when they are ripe (`pack`).
//!
//! An append only leaves a note, under a lock held for a moment; what is remembered is bounded, and what is forgotten, by that bound
//! or by a restart, is found again by a slow walk over all extents. Nothing here is needed for anything to be right: it may stop
//! at any point, and no reader can tell whether it runs (I10).

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ossia_store::{Item, Partition, Scan, successor};
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use crate::{
    Failure,
    core::Core,
    keys::{self, ContentId},
    pack::{Left, Tier},
    records::{Extent, Source, Stored},
    settings::Packing,
};

/// A run is worth packing while its object grows once it is this part of the object.
const OBJECT_SHARE: u64 = 64;
/// Content with more blobs than this has its small ones folded together; so it is again after as many more.
const BLOBS_MAX: u64 = 4_096;
/// After a failure a content waits for so long, twice as long each time, so many times.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_DOUBLINGS: u32 = 10;
/// A pause shorter than this is put off and added to the next.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// How long a stop waits for the run that is being named, and then for the transaction under way.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// After a failure a walk begins anew so much later.
const WALK_RETRY: Duration = Duration::from_secs(60);
/// Records, or buckets, walked at once.
const WALK_PAGE: usize = 512;

const RUNNING: u8 = 0;
const STOPPING: u8 = 1;
const HURRIED: u8 = 2;

/// What others tell the packer, and what it knows.
#[derive(Debug)]
pub(crate) struct Packer {
    settings: Packing,
    backlog: Mutex<Backlog>,
    notify: Notify,
    phase: AtomicU8,
}

/// What has been added to a content since it was looked at.
#[derive(Debug, Clone)]
struct Run {
    partition: Partition,
    /// Everything before this position has been looked at.
    from: u64,
    /// The furthest end of an append that was noted.
    end: u64,
    bytes: u64,
    extents: u64,
    /// Blobs before `from`, and at how many to fold them.
    blobs: u64,
    fold_at: u64,
    /// The begin of the run, or when the last one was packed.
    since: Instant,
    touched: Instant,
    /// After a failure.
    not_before: Option<Instant>,
    failures: u32,
}

/// Contents with something to pack, least recently used ones first to be forgotten.
#[derive(Debug, Default)]
struct Backlog {
    /// Those that will be ripe after some time at the latest, if they rest.
    waiting: HashMap<ContentId, Run>,
    waiting_bytes: u64,
    /// All others, in two generations: what is noted moves to the young one, and when that is full the old one is forgotten.
    young: HashMap<ContentId, Run>,
    old: HashMap<ContentId, Run>,
    /// Something that may be worth packing has been forgotten.
    forgot: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Job {
    partition: Partition,
    content: ContentId,
    from: u64,
}

impl Run {
    fn new(partition: Partition, now: Instant) -> Self {
        Self {
            partition,
            from: 0,
            end: 0,
            bytes: 0,
            extents: 0,
            blobs: 0,
            fold_at: BLOBS_MAX,
            since: now,
            touched: now,
            not_before: None,
            failures: 0,
        }
    }

    fn add(&mut self, end: u64, length: u64, now: Instant) {
        if self.extents == 0 {
            self.since = self.since.max(now);
        }
        self.end = self.end.max(end);
        self.bytes += length;
        self.extents += 1;
        self.touched = now;
    }

    /// Whether it would be packed at rest.
    fn is_worth(&self, settings: &Packing) -> bool {
        self.extents > 1
            && (self.bytes >= settings.rest_bytes || self.extents >= settings.run_appends)
    }

    fn is_full(&self, settings: &Packing) -> bool {
        self.bytes >= settings.run_bytes_full
    }

    /// When it is to be packed, for one that is worth it.
    fn ripe_at(&self, settings: &Packing) -> Instant {
        let enough = settings.run_bytes.max(self.end / OBJECT_SHARE);
        let grown = self.bytes >= enough.min(settings.run_bytes_full)
            || (self.extents >= settings.run_appends && self.bytes >= settings.rest_bytes);
        let at_rest = self.touched + settings.quiet;
        let at = match (self.is_full(settings), grown) {
            (true, _) => self.touched,
            (false, true) => at_rest.min(self.since + settings.spacing),
            (false, false) => at_rest,
        };
        self.not_before.map_or(at, |wait| at.max(wait))
    }
}

impl Backlog {
    /// Notes an append. Whether the packer should look now.
    fn add(
        &mut self,
        (partition, content): (Partition, ContentId),
        (end, length): (u64, u64),
        now: Instant,
        settings: &Packing,
    ) -> bool {
        if let Some(run) = self.waiting.get_mut(&content) {
            let was_full = run.is_full(settings);
            run.add(end, length, now);
            self.waiting_bytes += length;
            return !was_full && run.is_full(settings);
        }
        let run = match self.young.get_mut(&content) {
            Some(run) => run,
            None => {
                if self.young.len() >= settings.objects_max / 2 {
                    let forgotten =
                        std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
                    self.forgot |= !forgotten.is_empty();
                }
                let run = self.old.remove(&content);
                self.young.entry(content).or_insert(run.unwrap_or_else(|| Run::new(partition, now)))
            }
        };
        run.add(end, length, now);
        if !run.is_worth(settings) {
            return false;
        }
        match self.young.remove(&content) {
            Some(run) => self.wait(content, run, settings),
            None => false,
        }
    }

    /// Lets a content wait until it is ripe, if there is room for it.
    fn wait(&mut self, content: ContentId, run: Run, settings: &Packing) -> bool {
        if self.waiting.len() >= settings.objects_max / 2 {
            self.forgot = true;
            return false;
        }
        self.waiting_bytes += run.bytes;
        self.waiting.insert(content, run);
        true
    }

    /// The largest run that is ripe, or when to look again.
    fn next(&mut self, now: Instant, settings: &Packing) -> Result<Job, Option<Instant>> {
        let mut best: Option<(u64, ContentId)> = None;
        let mut soonest = None;
        for (&content, run) in &self.waiting {
            let at = run.ripe_at(settings);
            if at > now {
                soonest = Some(soonest.map_or(at, |soonest: Instant| soonest.min(at)));
            } else if best.is_none_or(|(bytes, _)| run.bytes > bytes) {
                best = Some((run.bytes, content));
            }
        }
        let taken = best.and_then(|(_, content)| Some((content, self.waiting.get_mut(&content)?)));
        let (content, run) = taken.ok_or(soonest)?;
        // What is noted from here on counts from nothing; what is left over is added at the end.
        self.waiting_bytes -= std::mem::take(&mut run.bytes);
        run.extents = 0;
        run.since = now;
        Ok(Job { partition: run.partition, content, from: run.from })
    }

    /// After a job: what is left of the content is remembered.
    fn done(
        &mut self,
        content: ContentId,
        told: Result<&Left, &Failure>,
        now: Instant,
        settings: &Packing,
    ) {
        let Some(mut run) = self.waiting.remove(&content) else { return };
        self.waiting_bytes -= run.bytes;
        match told {
            Ok(left) if left.gone => return,
            Ok(left) => {
                // What came behind the last look is not known one by one, but the rest has been seen.
                let later = run.end.saturating_sub(left.seen);
                if later == 0 {
                    run.extents = 0;
                }
                run.bytes = run.bytes.min(later) + left.bytes;
                run.extents += left.extents;
                run.from = left.from;
                run.blobs += left.blobs;
                run.end = run.end.max(left.seen);
                (run.not_before, run.failures) = (None, 0);
            }
            // Left as it is: nothing makes it whole again, but what is damaged may be let go.
            // Nor can anything be packed without its master key.
            Err(Failure::Damaged(_) | Failure::NoMasterKey(_)) => {
                (run.bytes, run.extents) = (0, 0);
                run.not_before = Some(now + settings.walk_interval);
            }
            Err(_) => {
                // Found again by the next try, which looks at everything from the same place on.
                run.bytes += settings.rest_bytes;
                run.extents += settings.run_appends;
                run.failures = (run.failures + 1).min(RETRY_DOUBLINGS);
                run.not_before = Some(now + RETRY * (1 << run.failures));
            }
        }
        run.since = now;
        if run.is_worth(settings) {
            self.wait(content, run, settings);
        } else {
            self.young.insert(content, run);
        }
    }

    /// Notes a run that a walk has found.
    fn find(&mut self, found: &Found, now: Instant, settings: &Packing) {
        let Found { partition, content, bytes, extents, .. } = *found;
        if self.waiting.contains_key(&content) {
            return;
        }
        let known = self.young.remove(&content).or_else(|| self.old.remove(&content));
        let mut run = known.unwrap_or_else(|| Run::new(partition, now));
        (run.bytes, run.extents) = (run.bytes.max(bytes), run.extents.max(extents));
        self.wait(content, run, settings);
    }

    /// Whether a content's blobs are to be folded, once each time.
    fn folds(&mut self, content: ContentId) -> bool {
        let run = match self.waiting.get_mut(&content) {
            Some(run) => Some(run),
            None => self.young.get_mut(&content),
        };
        run.is_some_and(|run| {
            let folds = run.blobs > run.fold_at;
            if folds {
                run.fold_at = run.blobs + BLOBS_MAX;
            }
            folds
        })
    }

    /// After the blobs of a content were folded: so many are left.
    fn folded(&mut self, content: ContentId, blobs: u64) {
        for runs in [&mut self.waiting, &mut self.young] {
            if let Some(run) = runs.get_mut(&content) {
                run.blobs = blobs;
                run.fold_at = blobs + BLOBS_MAX;
            }
        }
    }
}

impl Packer {
    pub(crate) fn new(settings: Packing) -> Self {
        Self {
            settings,
            backlog: Mutex::default(),
            notify: Notify::new(),
            phase: AtomicU8::new(RUNNING),
        }
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing new is to be begun.
    pub(crate) fn is_stopping(&self) -> bool {
        self.phase.load(Ordering::Relaxed) >= STOPPING
    }

    /// Whether what has been begun is to end with the next step.
    pub(crate) fn is_hurried(&self) -> bool {
        self.phase.load(Ordering::Relaxed) >= HURRIED
    }

    fn add(&self, content: (Partition, ContentId), end: u64, length: u64, now: Instant) {
        let wake = self.backlog().add(content, (end, length), now, &self.settings);
        if wake {
            self.notify.notify_one();
        }
    }
}

/// Keeps background work from taking more than its share: rests in proportion to what it took.
#[derive(Debug)]
pub(crate) struct Pace<'a> {
    packer: &'a Packer,
    since: Instant,
    owed: Duration,
}

impl<'a> Pace<'a> {
    pub(crate) fn new(packer: &'a Packer) -> Self {
        Self { packer, since: Instant::now(), owed: Duration::ZERO }
    }

    /// To be called every few milliseconds of work.
    pub(crate) async fn rest(&mut self) {
        let settings = &self.packer.settings;
        self.owed += self.since.elapsed() * settings.pause_factor;
        let free = self.packer.is_stopping()
            || self.packer.backlog().waiting_bytes > settings.backlog_bytes;
        if free || self.owed < PAUSE_MIN {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(self.owed.min(PAUSE_MAX)).await;
        }
        if free || self.owed >= PAUSE_MIN {
            self.owed = Duration::ZERO;
        }
        self.since = Instant::now();
    }
}

/// The running packer; ends with this handle.
#[derive(Debug)]
pub(crate) struct PackerTask {
    packer: Arc<Packer>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl PackerTask {
    pub(crate) fn start(core: Arc<Core>) -> Self {
        let packer = Arc::clone(&core.packer);
        let enabled = core.settings.packing.enabled;
        let task = Mutex::new(enabled.then(|| tokio::spawn(run(core))));
        Self { packer, task }
    }

    /// Stops it in bounded time, but for a transaction under way.
    pub(crate) async fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else { return };
        for phase in [STOPPING, HURRIED] {
            self.packer.phase.store(phase, Ordering::Relaxed);
            self.packer.notify.notify_one();
            if tokio::time::timeout(STOP_PATIENCE, &mut task).await.is_ok() {
                return;
            }
        }
        task.abort();
        // Cancelled, which is what was asked for.
        let _ = task.await;
    }
}

impl Drop for PackerTask {
    fn drop(&mut self) {
        self.packer.phase.store(HURRIED, Ordering::Relaxed);
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

async fn run(core: Arc<Core>) {
    let packer = Arc::clone(&core.packer);
    let settings = &packer.settings;
    let mut walk_at = Instant::now() + settings.quiet;
    let mut walk: Option<Walk> = Some(Walk::default());
    while !packer.is_stopping() {
        let next = packer.backlog().next(Instant::now(), settings);
        let soonest = match next {
            Ok(job) => {
                core.pack_job(job).await;
                continue;
            }
            Err(soonest) => soonest,
        };
        let wake = soonest.map_or(walk_at, |soonest| soonest.min(walk_at));
        tokio::select! {
            () = packer.notify.notified() => continue,
            () = tokio::time::sleep_until(wake) => {}
        }
        if Instant::now() < walk_at {
            continue;
        }
        let forgot = walk.is_none() && std::mem::take(&mut packer.backlog().forgot);
        let step = match walk.take().or_else(|| forgot.then(Walk::default)) {
            Some(walk) => core.walk_step(walk).await,
            None => Ok(None),
        };
        let pause = match step {
            Ok(Some(more)) => {
                walk = Some(more);
                settings.walk_pause
            }
            Ok(None) => settings.walk_interval,
            Err(failure) => {
                tracing::debug!(%failure, "looking for runs to pack put off");
                walk = Some(Walk::default());
                WALK_RETRY
            }
        };
        walk_at = Instant::now() + pause;
    }
}

impl Core {
    /// Tells the packer of an append whose bytes stand with its record.
    pub(crate) fn note_small_append(
        &self,
        partition: Partition,
        content: ContentId,
        end: u64,
        length: u64,
    ) {
        if self.settings.packing.enabled && length > 0 {
            self.packer.add((partition, content), end, length, Instant::now());
        }
    }

    async fn pack_job(self: &Arc<Self>, job: Job) {
        let Job { partition, content, from } = job;
        let told = self.pack_content(partition, content, from, Tier::Payloads).await;
        report(content, told.as_ref().err());
        let now = Instant::now();
        let folds = {
            let mut backlog = self.packer.backlog();
            backlog.done(content, told.as_ref(), now, &self.settings.packing);
            told.is_ok() && backlog.folds(content)
        };
        if !folds {
            return;
        }
        let told = self.pack_content(partition, content, 0, Tier::Blobs).await;
        report(content, told.as_ref().err());
        if let Ok(left) = told {
            self.packer.backlog().folded(content, left.blobs);
        }
    }

    /// Looks at one more page of extents. `None` at the end of the last bucket.
    async fn walk_step(&self, mut walk: Walk) -> Result<Option<Walk>, Failure> {
        loop {
            if let Some((partition, start)) = walk.at.take() {
                let end = successor(&[keys::EXTENT]);
                let scan = Scan { start, end, limit: WALK_PAGE, fold: None };
                let page = self.store.scan(partition, scan).await?;
                for item in page.items {
                    let Item::Record(key, record) = item else { continue };
                    // Damage is told by who reads it.
                    let content = keys::extent_content(&key);
                    if let Some((content, extent)) = content.zip(Extent::decode(&record.value).ok())
                    {
                        let end = keys::extent_end(&key).unwrap_or(0);
                        walk.look((partition, content), end, &extent, &self.packer);
                    }
                }
                walk.at = page.resume.map(|resume| (partition, resume));
                if walk.at.is_none() {
                    walk.end_run(&self.packer);
                }
                return Ok(Some(walk));
            }
            if let Some(partition) = walk.partitions.pop_front() {
                walk.at = Some((partition, keys::tagged(keys::EXTENT, &[])));
                continue;
            }
            let Some(start) = walk.catalogue.take() else { return Ok(None) };
            let prefix = keys::tagged(keys::CATALOGUE, &[]);
            let (page, resume) = self.catalogue_page(start, &prefix, WALK_PAGE).await?;
            for (_, catalogue) in page {
                walk.partitions.extend(keys::partitions(catalogue.id, catalogue.partitions));
            }
            walk.catalogue = resume;
        }
    }
}

fn report(content: ContentId, failure: Option<&Failure>) {
    match failure {
        None => {}
        Some(failure @ Failure::Damaged(_)) => {
            tracing::warn!(?content, %failure, "appends are left as they are, not packed");
        }
        // Others are told of the store's state by their own operations.
        Some(failure) => tracing::debug!(?content, %failure, "packing put off"),
    }
}

/// A walk over all extents, for runs that nobody remembers.
#[derive(Debug)]
struct Walk {
    /// Where to go on in the catalogue; `None` at its end.
    catalogue: Option<Bytes>,
    partitions: VecDeque<Partition>,
    at: Option<(Partition, Bytes)>,
    found: Option<Found>,
}

/// The run that a walk is in.
#[derive(Debug)]
struct Found {
    partition: Partition,
    content: ContentId,
    end: u64,
    bytes: u64,
    extents: u64,
    /// This run, or one before it in the same content, is worth packing.
    worth: bool,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            catalogue: Some(keys::tagged(keys::CATALOGUE, &[])),
            partitions: VecDeque::new(),
            at: None,
            found: None,
        }
    }
}

impl Walk {
    fn look(
        &mut self,
        (partition, content): (Partition, ContentId),
        end: u64,
        extent: &Extent,
        to: &Packer,
    ) {
        if self.found.as_ref().is_none_or(|found| found.content != content) {
            self.end_run(to);
        }
        let new = Found { partition, content, end: 0, bytes: 0, extents: 0, worth: false };
        let found = self.found.get_or_insert(new);
        let goes_on = end.checked_sub(extent.length) == Some(found.end);
        found.end = end;
        if !goes_on || extent.source != Source::Payload {
            (found.bytes, found.extents) = (0, 0);
        }
        if extent.source != Source::Payload {
            return;
        }
        found.bytes += extent.length;
        found.extents += 1;
        let settings = &to.settings;
        found.worth |= found.extents > 1
            && (found.bytes >= settings.rest_bytes || found.extents >= settings.run_appends);
    }

    fn end_run(&mut self, to: &Packer) {
        if let Some(found) = self.found.take().filter(|found| found.worth) {
            to.backlog().find(&found, Instant::now(), &to.settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Partition = Partition(7);

    fn settings() -> Packing {
        Packing {
            run_bytes_full: 1_000,
            run_bytes: 100,
            run_appends: 20,
            rest_bytes: 30,
            spacing: Duration::from_secs(1),
            quiet: Duration::from_secs(5),
            objects_max: 8,
            ..Packing::default()
        }
    }

    /// A backlog and the time at which it was asked.
    struct Desk {
        backlog: Backlog,
        settings: Packing,
        start: Instant,
        now: Instant,
    }

    impl Desk {
        fn new() -> Self {
            let now = Instant::now();
            Self { backlog: Backlog::default(), settings: settings(), start: now, now }
        }

        fn pass(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }

        fn add(&mut self, content: ContentId, lengths: &[u64]) {
            for &length in lengths {
                let known = [&self.backlog.waiting, &self.backlog.young, &self.backlog.old];
                let end = known.iter().find_map(|runs| runs.get(&content)).map_or(0, |run| run.end);
                let added = (end + length, length);
                self.backlog.add((AT, content), added, self.now, &self.settings);
            }
        }

        /// From where on the next job packs, or when to ask again, in milliseconds since the start.
        fn next(&mut self) -> Result<u64, Option<u64>> {
            let told = self.backlog.next(self.now, &self.settings);
            told.map(|job| job.from).map_err(|at| at.map(|at| (at - self.start).as_millis() as u64))
        }

        fn done(&mut self, content: ContentId, left: Left) {
            self.backlog.done(content, Ok(&left), self.now, &self.settings);
        }

        fn bytes_waiting(&self) -> u64 {
            self.backlog.waiting.values().map(|run| run.bytes).sum()
        }
    }

    #[test]
    fn a_run_is_ripe_by_its_bytes_its_appends_or_at_rest() {
        let one = ContentId::new(1);
        type Case<'a> = (&'a [u64], Result<u64, Option<u64>>, &'a str);
        let cases: [Case<'_>; 7] = [
            (&[500, 600], Ok(0), "full"),
            (&[60, 60], Err(Some(1_000)), "large enough, after the spacing"),
            (&[2; 20], Err(Some(1_000)), "many enough, after the spacing"),
            (&[20, 20], Err(Some(5_000)), "worth it, at rest"),
            (&[1; 20], Err(Some(5_000)), "many but tiny, at rest"),
            (&[10, 10], Err(None), "not worth it"),
            (&[900], Err(None), "one is packed by nothing"),
        ];
        for (lengths, expected, what) in cases {
            let mut desk = Desk::new();
            desk.add(one, lengths);
            assert_eq!(desk.next(), expected, "{what}");
            if let Err(Some(ms)) = expected {
                desk.pass(ms - 1);
                assert_eq!(desk.next(), expected, "{what}");
                desk.pass(1);
                assert_eq!(desk.next(), Ok(0), "{what}");
            }
        }
    }

    #[test]
    fn what_was_left_counts_again_and_what_came_meanwhile_too() {
        let one = ContentId::new(1);
        let mut desk = Desk::new();
        desk.add(one, &[500, 600]);
        assert_eq!(desk.next(), Ok(0));
        assert_eq!(desk.backlog.waiting_bytes, 0);
        desk.add(one, &[10, 10]);
        // The look saw one of the two.
        let left = Left { from: 1_100, seen: 1_110, bytes: 10, extents: 1, ..Left::default() };
        desk.done(one, left);
        assert_eq!(desk.next(), Err(None));
        desk.add(one, &[90]);
        assert_eq!(desk.backlog.waiting_bytes, desk.bytes_waiting());
        assert_eq!(desk.bytes_waiting(), 110);
        desk.pass(999);
        assert_eq!(desk.next(), Err(Some(1_000)), "the spacing counts from the last packing");
        desk.pass(1);
        assert_eq!(desk.next(), Ok(1_100));
        desk.done(one, Left { gone: true, ..left });
        assert_eq!((desk.backlog.waiting.len(), desk.backlog.waiting_bytes), (0, 0));
    }

    #[test]
    fn after_a_failure_a_content_waits_longer_each_time() {
        let one = ContentId::new(1);
        let mut desk = Desk::new();
        desk.add(one, &[500, 600]);
        let mut pauses = Vec::new();
        for _ in 0..3 {
            desk.next().unwrap();
            desk.backlog.done(one, Err(&Failure::Busy), desk.now, &desk.settings);
            let before = (desk.now - desk.start).as_millis() as u64;
            let at = desk.next().unwrap_err().unwrap();
            pauses.push(at - before);
            desk.pass(at - before);
        }
        assert_eq!(pauses, [2_000, 4_000, 8_000]);
        desk.next().unwrap();
        let damaged = Failure::Damaged("a byte".into());
        desk.backlog.done(one, Err(&damaged), desk.now, &desk.settings);
        assert_eq!(desk.next(), Err(None));
    }

    #[test]
    fn as_much_is_remembered_as_is_allowed() {
        let mut desk = Desk::new();
        let all: Vec<_> = (0..40).map(ContentId::new).collect();
        for &content in &all {
            desk.add(content, &[10]);
            // Used all the time, and so never forgotten.
            desk.add(all[0], &[0]);
        }
        let known = desk.backlog.young.len() + desk.backlog.old.len();
        assert!(known <= 8, "{known}");
        assert!(desk.backlog.forgot);
        assert!(desk.backlog.waiting.contains_key(&all[0]));
        for &content in &all {
            desk.add(content, &[50, 50]);
        }
        assert!(desk.backlog.waiting.len() <= 4);
        assert_eq!(desk.backlog.waiting_bytes, desk.bytes_waiting());
    }
}
