//! Faults on command, and the choice of the call at which the power goes.

use std::time::Duration;

use crate::random::Random;

/// The calls that are counted, and that faults and cuts choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Reading a file.
    Read,
    /// Writing a file, or changing its length.
    Write,
    /// Syncing a file or a folder.
    Sync,
    /// Making, linking, renaming or removing a file or folder.
    Name,
    /// Looking up and opening, statistics and the like.
    Other,
}

impl Call {
    /// All that a cut may be timed by.
    pub const TIMERS: [Call; 3] = [Call::Write, Call::Sync, Call::Name];

    fn index(self) -> usize {
        match self {
            Call::Read => 0,
            Call::Write => 1,
            Call::Sync => 2,
            Call::Name => 3,
            Call::Other => 4,
        }
    }
}

/// How many calls of each kind were seen since the file system was last reset, cut or revived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u64; 5]);

impl Counts {
    /// How many of this kind.
    pub fn of(&self, call: Call) -> u64 {
        self.0[call.index()]
    }

    pub(super) fn add(&mut self, call: Call) {
        self.0[call.index()] += 1;
    }
}

/// What a fault does to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It fails with EIO. A sync that fails leaves some of what it was for durable, and no later sync makes up for the rest.
    Fail,
    /// It fails with ENOSPC.
    Full,
    /// It takes so long, and then goes on; eight calls at a time are under way at most.
    Slow(Duration),
    /// One bit of what is read, or of what is written, is turned over.
    Flip,
}

/// Which calls fail, and how.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What kind of call.
    pub call: Call,
    /// A part of the file's path below the mount; empty for every file.
    pub path: String,
    /// How many such calls pass before.
    pub after: u64,
    /// How many are affected then; `u64::MAX` for all until [`super::SimFs::clear_faults`].
    pub count: u64,
    /// What happens to them.
    pub effect: Effect,
}

impl Fault {
    /// Every such call, from now on.
    pub fn every(call: Call, effect: Effect) -> Fault {
        Fault { call, path: String::new(), after: 0, count: u64::MAX, effect }
    }

    /// The `number`-th such call from now on, counted from 1, and no other.
    pub fn nth(call: Call, number: u64, effect: Effect) -> Fault {
        Fault { after: number.saturating_sub(1), count: 1, ..Fault::every(call, effect) }
    }

    /// The same for files alone whose path has this part.
    pub fn on(self, path: &str) -> Fault {
        Fault { path: path.to_owned(), ..self }
    }
}

/// The faults in force.
#[derive(Debug, Default)]
pub(super) struct Faults {
    all: Vec<Fault>,
    met: u64,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.all.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.met = 0;
    }

    pub(super) fn met(&self) -> u64 {
        self.met
    }

    /// What is to happen to this call.
    pub(super) fn meet(&mut self, call: Call, path: &str) -> Option<Effect> {
        let mut effect = None;
        for fault in &mut self.all {
            if fault.call != call || !path.contains(&fault.path) {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
            } else if fault.count > 0 && effect.is_none() {
                if fault.count != u64::MAX {
                    fault.count -= 1;
                }
                effect = Some(fault.effect);
            }
        }
        self.met += u64::from(effect.is_some());
        effect
    }
}

/// The call at which everything stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutPoint {
    /// What kind of call.
    pub call: Call,
    /// Which one, counted from 1 from now on.
    pub number: u64,
    /// Whether it is still done, though never answered.
    pub done: bool,
}

impl CutPoint {
    /// A point that the seed chooses, within so many syncs or names or four times as many writes.
    pub fn choose(random: &mut Random, syncs: u64) -> CutPoint {
        let call = Call::TIMERS[random.below(3) as usize];
        let within = if call == Call::Write { syncs * 4 } else { syncs };
        CutPoint { call, number: 1 + random.below(within), done: random.percent(50) }
    }
}
