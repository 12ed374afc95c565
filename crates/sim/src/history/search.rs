//! Whether the operations on one object can be put into one order, by walking through time with every state that is still possible.
//!
//! The walk holds *configurations*: a state of the object, and which of the operations under way have happened in it already. When an
//! operation ends, it must have happened: each configuration in which it has not is carried on by whatever order of operations
//! under way leads to it, and those that cannot be are dropped. If none is left the history cannot be explained. This is the search
//! of Wing and Gong with Lowe's memory of what has been tried, but with a memory only as wide as what is under way at one moment,
//! and exhaustive: at the end it knows every state that the object may be in.
//!
//! Two things keep it narrow. An operation that changes nothing happens as soon as a state fits: later is never better for anybody.
//! And of two configurations that differ only in operations of unknown outcome, the one in which fewer have happened can do
//! everything that the other can.

#![expect(
    clippy::mutable_key_type,
    reason = "an MD5 that is computed late is no part of what is compared"
)]

use std::collections::{HashMap, HashSet};

use ossia_model::{Bucket, Key, Refusal, Reply};

use super::parts::Part;

/// The most configurations that are followed.
const CONFIGURATIONS_MAX: usize = 1 << 20;
/// The most operations on one object that can be under way at once: bits of [`Configuration::done`].
const UNDER_WAY_MAX: usize = 128;

/// What the search found.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It can be explained.
    Explained {
        /// The states in which the key can be at the end.
        ends: Vec<Key>,
        /// The most configurations at one moment.
        widest: usize,
    },
    /// It cannot.
    Stuck {
        /// The part that nothing explains.
        part: usize,
        /// The states that were possible before it.
        before: Vec<Key>,
        /// The last moment at which nothing was under way and the state was certain.
        certain: u64,
    },
    /// It was not decided: too much was under way.
    TooWide {
        /// The part at which it was given up.
        part: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Configuration {
    /// The operations under way that have happened, a bit for each slot.
    done: u128,
    key: Key,
}

/// An operation under way.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    part: usize,
    /// Its answer tells that it changed nothing.
    asks: bool,
}

struct Search<'a> {
    bucket: &'a Bucket,
    parts: &'a [Part],
    slots: Vec<Option<UnderWay>>,
    frontier: Vec<Configuration>,
}

/// Searches for an order of `parts` in a bucket that is set so, from any of the states in `before`.
pub(super) fn search(bucket: &Bucket, before: &[Key], parts: &[Part]) -> Verdict {
    let mut marks: Vec<(u64, bool, usize)> = Vec::with_capacity(parts.len() * 2);
    for (number, part) in parts.iter().enumerate() {
        marks.push((part.begun, false, number));
        marks.push((part.ended, true, number));
    }
    marks.sort_unstable();
    let frontier = before.iter().map(|key| Configuration { done: 0, key: key.clone() });
    let mut search =
        Search { bucket, parts, slots: vec![None; UNDER_WAY_MAX], frontier: frontier.collect() };
    let (mut widest, mut certain) = (search.frontier.len(), 0);
    for (moment, ends, part) in marks {
        if !ends {
            if !search.begin(part) {
                return Verdict::TooWide { part };
            }
            continue;
        }
        let Some(next) = search.end(part) else { return Verdict::TooWide { part } };
        if next.is_empty() {
            let before: HashSet<_> = search.frontier.into_iter().map(|it| it.key).collect();
            return Verdict::Stuck { part, before: before.into_iter().collect(), certain };
        }
        search.frontier = next;
        widest = widest.max(search.frontier.len());
        if search.frontier.len() == 1 && search.slots.iter().all(Option::is_none) {
            certain = moment;
        }
    }
    let ends: HashSet<_> = search.frontier.into_iter().map(|it| it.key).collect();
    Verdict::Explained { ends: ends.into_iter().collect(), widest }
}

/// As clients are told: a delete marker that is current is nothing.
fn as_told(reply: Reply) -> Reply {
    match reply {
        Reply::Refused(Refusal::Marker { named: false, .. }) => Reply::Refused(Refusal::NoSuchKey),
        reply => reply,
    }
}

impl Search<'_> {
    /// Something is under way. False if there is too much.
    fn begin(&mut self, part: usize) -> bool {
        let Some(slot) = self.slots.iter().position(Option::is_none) else { return false };
        let asks = self.parts[part].seen.as_ref().is_some_and(Reply::changes_nothing);
        self.slots[slot] = Some(UnderWay { part, asks });
        if asks {
            let mut frontier = std::mem::take(&mut self.frontier);
            frontier.iter_mut().for_each(|configuration| self.ask(configuration));
            self.frontier = frontier;
        }
        true
    }

    /// What is possible once this part has happened; if its outcome is unknown, or never will. `None` if that is too much.
    fn end(&mut self, part: usize) -> Option<Vec<Configuration>> {
        let slot = self.slots.iter().position(|it| it.is_some_and(|it| it.part == part))?;
        let bit = 1_u128 << slot;
        let unknown = self.parts[part].seen.is_none();
        let without = |it: Configuration| Configuration { done: it.done & !bit, ..it };
        let (mut found, mut tried) = (HashSet::new(), HashSet::new());
        let mut work = Vec::new();
        for configuration in &self.frontier {
            if configuration.done & bit != 0 {
                found.insert(without(configuration.clone()));
                continue;
            }
            if unknown {
                found.insert(configuration.clone());
            }
            if tried.insert(configuration.clone()) {
                work.push(configuration.clone());
            }
        }
        while let Some(configuration) = work.pop() {
            for next in self.after(&configuration) {
                if next.done & bit != 0 {
                    found.insert(without(next));
                } else if tried.insert(next.clone()) {
                    work.push(next);
                }
            }
            if tried.len() + found.len() > CONFIGURATIONS_MAX {
                return None;
            }
        }
        self.slots[slot] = None;
        Some(self.narrow(found))
    }

    /// What one more change under way makes of a configuration.
    fn after(&self, from: &Configuration) -> Vec<Configuration> {
        let mut all = Vec::new();
        for (slot, under_way) in self.slots.iter().enumerate() {
            let bit = 1_u128 << slot;
            let Some(UnderWay { part, asks: false }) = *under_way else { continue };
            if from.done & bit != 0 {
                continue;
            }
            let part = &self.parts[part];
            for step in &part.steps {
                let (key, reply) = from.key.step(step, self.bucket);
                let fits = match &part.seen {
                    Some(seen) => *seen == as_told(reply),
                    // What changes nothing might as well not have happened.
                    None => key != from.key,
                };
                if fits {
                    let mut next = Configuration { done: from.done | bit, key };
                    self.ask(&mut next);
                    all.push(next);
                }
            }
        }
        all
    }

    /// Lets everything happen that fits this state and changes nothing.
    fn ask(&self, configuration: &mut Configuration) {
        for (slot, under_way) in self.slots.iter().enumerate() {
            let bit = 1_u128 << slot;
            let Some(UnderWay { part, asks: true }) = *under_way else { continue };
            if configuration.done & bit != 0 {
                continue;
            }
            let part = &self.parts[part];
            let reply = |step| as_told(configuration.key.step(step, self.bucket).1);
            let fits = |step| part.seen.as_ref() == Some(&reply(step));
            if part.steps.iter().any(fits) {
                configuration.done |= bit;
            }
        }
    }

    /// Drops what another configuration can do as well.
    fn narrow(&self, all: HashSet<Configuration>) -> Vec<Configuration> {
        let mut unknown = 0;
        for (slot, under_way) in self.slots.iter().enumerate() {
            if under_way.is_some_and(|it| self.parts[it.part].seen.is_none()) {
                unknown |= 1_u128 << slot;
            }
        }
        if unknown == 0 {
            return all.into_iter().collect();
        }
        let mut least: HashMap<Configuration, Vec<u128>> = HashMap::new();
        for Configuration { done, key } in all {
            let known = Configuration { done: done & !unknown, key };
            let kept = least.entry(known).or_default();
            let done = done & unknown;
            if kept.iter().any(|other| other & done == *other) {
                continue;
            }
            kept.retain(|other| other & done != done);
            kept.push(done);
        }
        let whole = |(known, kept): (Configuration, Vec<u128>)| {
            kept.into_iter().map(move |unknown| Configuration {
                done: known.done | unknown,
                key: known.key.clone(),
            })
        };
        least.into_iter().flat_map(whole).collect()
    }
}
