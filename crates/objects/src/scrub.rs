//! The scrub: reads everything stored in turn, slowly, so that damage is found while there is still a backup to heal it from.
//!
//! It looks at objects as `ossia check` does (`check`), each under a pin as a reader has it; what is changed meanwhile is no damage.
//! Where it is stands in a record of the system, so that a restart does not begin anew. It changes nothing else (I10).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ossia_store::{Item, Scan, Writes, successor};
use tokio::time::Instant;

use crate::{
    Failure,
    background::Background,
    check::{CheckOptions, Checker, Finding, Walked},
    core::{Core, run_plain},
    keys::{self, SYSTEM},
    records::{BucketState, Stored},
};

/// Heads read at once. Markers have no bytes to read.
const PAGE: usize = 64;
/// How often the place is noted.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// The pause after the store could not be read.
const PAUSE_FAILED: Duration = Duration::from_secs(10);
/// The longest wait at once for the next round, and the shortest between two.
const WAIT_MAX: Duration = Duration::from_secs(60);
const WAIT_MIN: Duration = Duration::from_millis(200);
/// Findings of one round that are logged; the rest is counted.
const LOGGED_MAX: u64 = 1_000;

/// How everything stored is read in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrub {
    /// The most bytes read a second; 0 reads nothing. Default 0: who runs a server says how gentle it is to be.
    pub bytes_per_s: u64,
    /// A round begins no sooner than this after the last one began. Default 14 days.
    pub every: Duration,
    /// Nor sooner than this after a start. Default 60 s.
    pub settle: Duration,
}

impl Default for Scrub {
    fn default() -> Self {
        Self {
            bytes_per_s: 0,
            every: Duration::from_secs(14 * 86_400),
            settle: Duration::from_secs(60),
        }
    }
}

/// What the scrub has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScrubFigures {
    /// Objects that were looked at since the start of the process.
    pub objects: u64,
    /// Bytes of objects that were read since then.
    pub bytes: u64,
    /// Rounds that came to their end since then.
    pub rounds: u64,
    /// Damages found since then, those of each round.
    pub findings: u64,
    /// Damages that the last whole round and the present one know of, the greater of both; it outlives a restart.
    pub damaged: u64,
    /// When the last whole round ended, in milliseconds since 1970; 0 before the first.
    pub finished_ms: u64,
}

/// The figures, shared.
#[derive(Debug, Default)]
pub(crate) struct Told {
    objects: AtomicU64,
    bytes: AtomicU64,
    rounds: AtomicU64,
    findings: AtomicU64,
    damaged: AtomicU64,
    finished_ms: AtomicU64,
}

impl Told {
    pub(crate) fn figures(&self) -> ScrubFigures {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ScrubFigures {
            objects: of(&self.objects),
            bytes: of(&self.bytes),
            rounds: of(&self.rounds),
            findings: of(&self.findings),
            damaged: of(&self.damaged),
            finished_ms: of(&self.finished_ms),
        }
    }
}

/// Where the scrub is; the record `S` of the system.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Place {
    /// When the present round began, or the last one; 0 before the first.
    #[prost(uint64, tag = "1")]
    began_ms: u64,
    /// When the last whole round ended.
    #[prost(uint64, tag = "2")]
    finished_ms: u64,
    /// Whether a round is under way.
    #[prost(bool, tag = "3")]
    under_way: bool,
    /// The bucket that it is in, the partition within, and the key of the last head that it has looked at.
    #[prost(bytes = "vec", tag = "4")]
    bucket: Vec<u8>,
    #[prost(uint32, tag = "5")]
    partition: u32,
    #[prost(bytes = "vec", tag = "6")]
    key: Vec<u8>,
    /// Damages found in this round, and in the one before.
    #[prost(uint64, tag = "7")]
    findings: u64,
    #[prost(uint64, tag = "8")]
    findings_before: u64,
}

impl Stored for Place {
    const NAME: &'static str = "scrub";
    type Wire = Self;

    fn to_wire(&self) -> Self {
        self.clone()
    }

    fn from_wire(wire: Self) -> Result<Self, &'static str> {
        Ok(wire)
    }
}

/// Starts the scrub, unless it is switched off. Where it is stopped, what it has looked at since its last note is looked at again.
pub(crate) fn start(core: Arc<Core>) -> Background {
    let on = core.settings.scrub.bytes_per_s > 0;
    Background::start(on.then(|| run(core)))
}

async fn run(core: Arc<Core>) {
    let mut place = loop {
        match core.store.get(SYSTEM, keys::scrub()).await {
            // A place that cannot be read is none: the round begins anew, and writes it again.
            Ok(record) => {
                break Place::decode_option(record.as_ref()).ok().flatten().unwrap_or_default();
            }
            Err(_) => tokio::time::sleep(PAUSE_FAILED).await,
        }
    };
    let damaged = place.findings.max(place.findings_before);
    core.scrub.damaged.store(damaged, Ordering::Relaxed);
    core.scrub.finished_ms.store(place.finished_ms, Ordering::Relaxed);
    tokio::time::sleep(core.settings.scrub.settle).await;
    loop {
        if !place.under_way {
            let every = u64::try_from(core.settings.scrub.every.as_millis()).unwrap_or(u64::MAX);
            let due = if place.began_ms == 0 { 0 } else { place.began_ms.saturating_add(every) };
            // A clock that was set back must not end the rounds: no wait is longer than one round's.
            let left = due.saturating_sub(core.now_ms()).min(every);
            tokio::time::sleep(Duration::from_millis(left).clamp(WAIT_MIN, WAIT_MAX)).await;
            if Duration::from_millis(left) > WAIT_MAX {
                continue;
            }
            let findings_before = place.findings;
            let (began_ms, finished_ms) = (core.now_ms().max(1), place.finished_ms);
            let under_way = true;
            place = Place { began_ms, finished_ms, under_way, findings_before, ..Place::default() };
        }
        match core.scrub_round(&mut place).await {
            Ok(()) => {
                place = Place {
                    under_way: false,
                    finished_ms: core.now_ms(),
                    bucket: Vec::new(),
                    partition: 0,
                    key: Vec::new(),
                    // What the round before had found and this one has not is whole again, or gone.
                    findings_before: 0,
                    ..place
                };
                core.scrub.rounds.fetch_add(1, Ordering::Relaxed);
                core.scrub.damaged.store(place.findings, Ordering::Relaxed);
                core.scrub.finished_ms.store(place.finished_ms, Ordering::Relaxed);
                if place.findings > 0 {
                    tracing::error!(findings = place.findings, "the scrub has found damage");
                } else {
                    tracing::debug!("the scrub has read everything, and all was well");
                }
                core.note(&place).await;
            }
            Err(failure) => {
                tracing::debug!(%failure, "the scrub goes on later");
                tokio::time::sleep(PAUSE_FAILED).await;
            }
        }
    }
}

impl Core {
    /// Goes on from the place to the end of the last bucket.
    async fn scrub_round(self: &Arc<Self>, place: &mut Place) -> Result<(), Failure> {
        let scrub = &self.settings.scrub;
        let options = CheckOptions { bytes: true, jobs: 1, bytes_per_s: scrub.bytes_per_s };
        let told = Arc::clone(self);
        let tell = move |finding: Finding| {
            if told.scrub.findings.fetch_add(1, Ordering::Relaxed) < LOGGED_MAX {
                tracing::error!(%finding, "the scrub has found damage");
            }
        };
        let (store, readers) = (Arc::clone(&self.store), Arc::clone(&self.readers));
        let keys = Arc::clone(&self.keys);
        let checker = Checker::new(store, readers, keys, &options, false, Box::new(tell));
        let mut round = Round { core: self, checker, noted: Instant::now(), seen: (0, 0, 0) };
        let first = keys::tagged(keys::CATALOGUE, &place.bucket);
        let mut next = Some(first);
        while let Some(start) = next {
            let (buckets, resume, _) = round.checker.buckets(start).await?;
            for bucket in buckets {
                if bucket.catalogue.state == BucketState::Creating {
                    continue;
                }
                let name = bucket.name.as_str().as_bytes();
                if place.bucket != name {
                    (place.partition, place.key) = (0, Vec::new());
                    name.clone_into(&mut place.bucket);
                }
                round.bucket(&bucket, place).await?;
            }
            next = resume;
        }
        Ok(())
    }

    /// Notes where the scrub is. A store that takes no writes is scrubbed all the same.
    async fn note(&self, place: &Place) {
        let record = place.encode();
        let written = run_plain(&*self.store, SYSTEM, Vec::new(), move |_| {
            let mut writes = Writes::none();
            writes.put(keys::scrub(), record.clone());
            Ok((writes, ()))
        });
        if let Err(failure) = written.await {
            tracing::debug!(%failure, "the scrub's place could not be noted");
        }
    }
}

struct Round<'a> {
    core: &'a Arc<Core>,
    checker: Checker,
    noted: Instant,
    /// Objects, bytes and findings that have been counted.
    seen: (u64, u64, u64),
}

impl Round<'_> {
    async fn bucket(&mut self, bucket: &Walked, place: &mut Place) -> Result<(), Failure> {
        let catalogue = &bucket.catalogue;
        let done = usize::try_from(place.partition).unwrap_or(usize::MAX);
        for partition in keys::partitions(catalogue.id, catalogue.partitions).skip(done) {
            let (mut tag, from) = match &place.key[..] {
                [] => (keys::HEAD, keys::tagged(keys::HEAD, &[])),
                // One of the time before there were versions is a head's, too.
                key => (key[0].clamp(keys::HEAD, keys::OLDER), [key, &[0]].concat().into()),
            };
            let mut next: Option<Bytes> = Some(from);
            while let Some(start) = next {
                let (end, limit) = (successor(&[tag]), PAGE);
                let scan = Scan { start, end, limit, fold: None };
                let page = self.core.store.scan(partition, scan).await?;
                for item in page.items {
                    let Item::Record(key, _) = item else { continue };
                    self.checker.object(bucket, partition, key.clone()).await?;
                    place.key = key.to_vec();
                    self.count(place);
                    if self.noted.elapsed() >= NOTE_EVERY {
                        self.noted = Instant::now();
                        self.core.note(place).await;
                    }
                    tokio::task::yield_now().await;
                }
                next = page.resume;
                if next.is_none() && tag == keys::HEAD {
                    tag = keys::OLDER;
                    next = Some(keys::tagged(tag, &[]));
                }
            }
            (place.partition, place.key) = (place.partition.saturating_add(1), Vec::new());
        }
        Ok(())
    }

    fn count(&mut self, place: &mut Place) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.checker.counts;
        let now = (of(&counts.objects), of(&counts.bytes), of(&counts.findings));
        let told = &self.core.scrub;
        told.objects.fetch_add(now.0 - self.seen.0, Ordering::Relaxed);
        told.bytes.fetch_add(now.1 - self.seen.1, Ordering::Relaxed);
        place.findings += now.2 - self.seen.2;
        told.damaged.store(place.findings.max(place.findings_before), Ordering::Relaxed);
        self.seen = now;
    }
}
