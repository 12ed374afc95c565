//! The queue in front of the commit thread.
//!
//! It needs no bound of its own: each entry holds a permit of its bytes, and the permits are bounded (I7).

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use ossia_store::{Record, StoreError, Transaction, Writes};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{journal::record::Place, tree::snapshots::Snapshot};

/// What the caller has read for its transaction.
pub(crate) type Brought = HashMap<Bytes, Option<Record>>;

/// A transaction on its way to the commit thread.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) transaction: Transaction,
    /// Of this state the values were brought.
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) brought: Brought,
    /// What the body has read and decided on the brought values; good if none of them has changed.
    pub(crate) preview: Preview,
    /// What the engine itself adds to its own transactions.
    pub(crate) extra: Option<Box<Extra>>,
    pub(crate) reply: oneshot::Sender<Reply>,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// What no caller can ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extra {
    /// Payloads that the transaction keeps, and where they stand from now on.
    pub(crate) moves: HashMap<Place, Place>,
    /// The engine's own records by their names; `None` removes one.
    pub(crate) own: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A run of the body on what was brought.
#[derive(Debug)]
pub(crate) struct Preview {
    pub(crate) reads: Vec<Bytes>,
    pub(crate) writes: Writes,
}

/// What the commit thread says.
#[derive(Debug)]
pub(crate) enum Reply {
    Done(Result<(), StoreError>),
    /// A key that was not brought, or that has changed unseen, is to be read, and the transaction brought again.
    Again {
        missing: Option<Bytes>,
        permit: OwnedSemaphorePermit,
    },
}

/// Why the commit thread woke up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Entries were moved out.
    Work,
    /// Background work asks for a publish.
    Nudge,
    /// The time is over.
    Idle,
    /// No entry will come any more, and none is left.
    Closed,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    nudged: bool,
    closed: bool,
    /// The commit thread sleeps; while it works nobody need make a system call to wake it.
    waiting: bool,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry; gives it back when the queue is closed.
    pub(crate) fn push(&self, entry: Entry) -> Result<(), Box<Entry>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Box::new(entry));
        }
        state.entries.push_back(entry);
        self.wake(state);
        Ok(())
    }

    pub(crate) fn nudge(&self) {
        let mut state = self.lock();
        state.nudged = true;
        self.wake(state);
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake(state);
    }

    /// Wakes the commit thread if it sleeps, once; without the lock, which it needs first.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        if waiting {
            self.filled.notify_one();
        }
    }

    /// Moves everything queued out, or waits for something until `deadline`.
    pub(crate) fn wait(&self, into: &mut VecDeque<Entry>, deadline: Option<Instant>) -> Wake {
        let mut state = self.lock();
        loop {
            if !state.entries.is_empty() {
                into.append(&mut state.entries);
                return Wake::Work;
            }
            if std::mem::take(&mut state.nudged) {
                return Wake::Nudge;
            }
            if state.closed {
                return Wake::Closed;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Wake::Idle;
            }
            state.waiting = true;
            state = match left {
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.waiting = false;
        }
    }

    /// Moves everything queued out without waiting.
    pub(crate) fn drain(&self, into: &mut VecDeque<Entry>) {
        into.append(&mut self.lock().entries);
    }
}
