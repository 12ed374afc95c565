//! The judge: takes in what was recorded, batch by batch, and keeps what each object can be.

use std::{collections::BTreeMap, fmt};

use ossia_model::{Bucket, Key, Operation, Versioning};

use super::event::{Batch, Outcome};
use super::parts::take_apart;
use super::search::{Verdict, search};
use super::story;

/// What is forgiven.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tolerance {
    /// Whether reads may fail with a 5xx: only where the disk is made to fail.
    pub failed_reads: bool,
}

/// What can stand under each key, batch after batch.
#[derive(Debug, Clone, Default)]
pub struct Checker {
    seed: u64,
    tolerance: Tolerance,
    bucket: Bucket,
    /// Under each key that was ever named; most have one state when nothing is under way.
    keys: BTreeMap<String, Vec<Key>>,
}

/// What was judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Operations in all.
    pub operations: usize,
    /// Changes that were acknowledged.
    pub acknowledged: usize,
    /// Refusals that reveal state.
    pub refused: usize,
    /// Operations that may have happened.
    pub unknown: usize,
    /// Operations that did not happen, and told nothing.
    pub not_done: usize,
    /// Reads and listings answered with a 5xx.
    pub failed_reads: usize,
    /// The most configurations that were possible at once under one key.
    pub widest: usize,
}

/// A history that no server that keeps its promises can have had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The key, where it is about one.
    pub key: Option<String>,
    /// What happened, for people.
    pub story: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.story)
    }
}

impl std::error::Error for Violation {}

impl Checker {
    /// Starts with an empty bucket. The seed is for the stories only.
    pub fn new(seed: u64, tolerance: Tolerance) -> Self {
        Self { seed, tolerance, bucket: Bucket::default(), keys: BTreeMap::new() }
    }

    /// The same of a bucket that does so with versions from its making on.
    #[must_use]
    pub fn with_versions(mut self, versioning: Versioning) -> Self {
        self.bucket.versioning = versioning;
        self
    }

    /// What can stand under each key that was named so far.
    pub fn keys(&self) -> &BTreeMap<String, Vec<Key>> {
        &self.keys
    }

    /// Judges what happened since the last batch. Nothing may be under way when a batch ends: an operation of unknown outcome must
    /// have been settled by a cut, or it is taken for settled here.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn absorb(&mut self, batch: &Batch) -> Result<Figures, Violation> {
        let mut figures = count(batch);
        let parts = take_apart(batch, &self.keys);
        if let Some((event, why)) = parts.strange.first() {
            return Err(Violation {
                key: None,
                story: story::strange(self.seed, &batch.events[*event], why),
            });
        }
        if figures.failed_reads > 0 && !self.tolerance.failed_reads {
            let failed = batch.events.iter().find(|event| is_failed_read(event));
            let story = failed.map(|event| story::strange(self.seed, event, "a read failed"));
            return Err(Violation { key: None, story: story.unwrap_or_default() });
        }
        for (key, parts) in &parts.by_key {
            let vacant = vec![Key::default()];
            let before = self.keys.get(key).unwrap_or(&vacant);
            match search(&self.bucket, before, parts) {
                Verdict::Explained { ends, widest } => {
                    figures.widest = figures.widest.max(widest);
                    self.keys.insert(key.clone(), ends);
                }
                Verdict::Stuck { part, before, certain } => {
                    let story = story::stuck(
                        (self.seed, &self.bucket),
                        key,
                        batch,
                        parts,
                        part,
                        &before,
                        certain,
                    );
                    return Err(Violation { key: Some(key.clone()), story });
                }
                Verdict::TooWide { part } => {
                    let event = &batch.events[parts[part].event];
                    let why = "too much was under way to decide: use more keys or fewer clients";
                    let story = story::strange(self.seed, event, why);
                    return Err(Violation { key: Some(key.clone()), story });
                }
            }
        }
        Ok(figures)
    }
}

fn is_failed_read(event: &super::Event) -> bool {
    let may_change = match &event.operation {
        Operation::On { step, .. } => step.may_change(),
        Operation::Copy { .. } | Operation::CopyPart { .. } => true,
        Operation::Set(_) => true,
        Operation::List { .. } | Operation::ListUploads { .. } => false,
        Operation::ListVersions { .. } | Operation::Round => false,
    };
    // 503 is the answer of a server that is too busy to read, 500 of one that cannot.
    let failed = |why: &super::Why| why.status.is_some_and(|status| status != 503);
    match &event.outcome {
        Outcome::NotDone(why) | Outcome::Unknown(why) => !may_change && failed(why),
        Outcome::Answered(_) | Outcome::Impossible(_) => false,
    }
}

fn count(batch: &Batch) -> Figures {
    let mut figures = Figures { operations: batch.events.len(), ..Figures::default() };
    for event in &batch.events {
        figures.acknowledged += usize::from(event.outcome.changed());
        figures.refused += usize::from(event.outcome.refused());
        figures.unknown += usize::from(matches!(event.outcome, Outcome::Unknown(_)));
        figures.not_done += usize::from(matches!(event.outcome, Outcome::NotDone(_)));
        figures.failed_reads += usize::from(is_failed_read(event));
    }
    figures
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.not_done += other.not_done;
        self.failed_reads += other.failed_reads;
        self.widest = self.widest.max(other.widest);
    }
}
