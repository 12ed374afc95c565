//! What the callers, the commit thread and the background threads share.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ossia_store::{Health, Rejection, Settled, StoreError, Token};
use tokio::sync::watch;

use crate::{
    EngineOptions,
    counters::Counters,
    disk::Disk,
    journal::segment::Spares,
    queue::Queue,
    span::Span,
    tree::{Index, TreeFailed, snapshots::Snapshots},
};

/// How long a look at the medium's free room is good for.
const ROOM_GOOD_FOR: Duration = Duration::from_millis(500);
/// Tokens remembered; far more than one group holds.
const TOKENS_MAX: usize = 64 << 10;

/// Everything that is one per store.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: EngineOptions,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) index: Index,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) queue: Queue,
    pub(crate) spares: Arc<Spares>,
    pub(crate) condition: Arc<Condition>,
    pub(crate) tokens: Tokens,
    pub(crate) pressure: watch::Sender<Pressure>,
    pub(crate) measuring: Mutex<()>,
    pub(crate) chores: Chores,
    pub(crate) span: Arc<Span>,
    /// The journal's segment and offset behind the last group that is durable.
    pub(crate) end: Mutex<(u64, u64)>,
    /// Bytes of payloads in the value log that lost their record since its files were last looked at; too few rather than too many.
    pub(crate) values_let_go: AtomicU64,
    pub(crate) counters: Arc<Counters>,
}

impl Shared {
    /// Ends all writing until the store is opened anew (I5).
    pub(crate) fn poison(&self, what: String) {
        self.condition.poison(what);
        // Whoever waits for pressure to fall must learn that it will not.
        self.pressure.send_modify(|_| {});
        self.queue.nudge();
    }

    /// Renews the copies of the index's manifest, and so passes segments; whether that was done. Where it was not, the thread that
    /// empties segments tries again.
    pub(crate) fn renew_copies(&self) -> bool {
        // An older manifest may be put back in need, and a start from that needs the segments before.
        let bound = self.span.in_tables();
        match self.index.verify_new_tables() {
            Ok(()) => {}
            Err(TreeFailed::Damaged(what)) => {
                // The journal still has all of it: a start that finds the damage can be told what to do.
                self.poison(format!("a new table of the index is damaged: {what}"));
                return false;
            }
            Err(TreeFailed::Io(what)) => {
                tracing::warn!(what, "a new table of the index could not be verified");
                return false;
            }
        }
        let copied = self.index.renew_copies();
        if copied && self.span.pass(bound) || self.span.lacks_copies() {
            self.chores.ask(|asked| asked.evacuate = true);
        }
        copied
    }

    /// Tells admission how far background work is behind.
    pub(crate) fn measure_pressure(&self) {
        // What was measured first must not be told last: it could stay.
        let _one_at_a_time = self.measuring.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Pressure {
            sealed: self.snapshots.view().sealed.len(),
            runs: self.index.runs(),
            journal_full: self.span.is_full(),
        };
        self.pressure.send_if_modified(|pressure| std::mem::replace(pressure, now) != now);
    }
}

/// How far background work is behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    /// Memtables that wait for their flush.
    pub(crate) sealed: usize,
    /// Runs in the tree's first level.
    pub(crate) runs: usize,
    /// The journal is as long as it may be.
    pub(crate) journal_full: bool,
}

/// Whether the store takes writes.
#[derive(Debug)]
pub(crate) struct Condition {
    poisoned: OnceLock<String>,
    closed: AtomicBool,
    room: Mutex<Room>,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    reserve_bytes: u64,
}

#[derive(Debug)]
struct Room {
    looked: Option<Instant>,
    /// Bytes that were let in since.
    since_bytes: u64,
    full: Option<String>,
}

impl Condition {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf, reserve_bytes: u64) -> Self {
        let room = Mutex::new(Room { looked: None, since_bytes: 0, full: None });
        let (poisoned, closed) = (OnceLock::new(), AtomicBool::new(false));
        Self { poisoned, closed, room, disk, folder, reserve_bytes }
    }

    pub(crate) fn poison(&self, what: String) {
        if self.poisoned.set(what.clone()).is_ok() {
            tracing::error!(what, "the store is poisoned: it refuses writes until it is reopened");
        }
    }

    /// The store was opened to be read, and takes no writes.
    pub(crate) fn only_read(&self) {
        // The first one to say so counts, and nobody came before.
        let _ = self.poisoned.set("it is only looked at".into());
    }

    pub(crate) fn poisoned(&self) -> Option<&str> {
        self.poisoned.get().map(String::as_str)
    }

    /// Closes the store to callers; returns whether it was open.
    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether writes may be accepted at all.
    pub(crate) fn check(&self) -> Result<(), Rejection> {
        if self.is_closed() {
            return Err(Rejection::Closed);
        }
        match self.poisoned() {
            Some(what) => Err(Rejection::Poisoned(what.into())),
            None => Ok(()),
        }
    }

    /// Whether there is room for writes that are not deletes. A look at the medium is one quick call, and at most two a second.
    pub(crate) fn check_room(&self) -> Result<(), Rejection> {
        self.check_room_for(0)
    }

    /// The same for so many bytes, of which enough since the last look ask for another: fast writes must not use up between two
    /// looks what is kept for the index and for deletes.
    pub(crate) fn check_room_for(&self, bytes: u64) -> Result<(), Rejection> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        room.since_bytes = room.since_bytes.saturating_add(bytes);
        let much = bytes > 0 && room.since_bytes >= (self.reserve_bytes / 8).max(1);
        if much || room.looked.is_none_or(|looked| now.duration_since(looked) >= ROOM_GOOD_FOR) {
            (room.looked, room.since_bytes) = (Some(now), 0);
            let was_full = room.full.take().is_some();
            match self.disk.free_bytes(&self.folder) {
                Ok(free) if free < self.reserve_bytes => {
                    let what = format!(
                        "{free} bytes are free, {} are kept in reserve",
                        self.reserve_bytes
                    );
                    if !was_full {
                        tracing::error!(what, "the medium is full: only deletes are accepted");
                    }
                    room.full = Some(what);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "cannot tell how much room is left"),
            }
        }
        room.full.clone().map_or(Ok(()), |what| Err(Rejection::Full(what)))
    }

    /// The medium has said that it is full, whatever it said before.
    pub(crate) fn found_full(&self, what: String) {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        *room = Room { looked: Some(Instant::now()), since_bytes: 0, full: Some(what) };
    }

    /// Whether so many bytes are free, the reserve among them; also where that cannot be told.
    pub(crate) fn has_free(&self, bytes: u64) -> bool {
        self.disk.free_bytes(&self.folder).map_or(true, |free| free >= bytes)
    }

    pub(crate) fn health(&self) -> Health {
        if self.is_closed() {
            return Health::Closed;
        }
        if let Some(what) = self.poisoned() {
            return Health::Poisoned(what.into());
        }
        match self.check_room() {
            Err(Rejection::Full(what)) => Health::Full(what),
            _ => Health::Open,
        }
    }
}

/// What became of recent transactions.
///
/// `submit` answers unknown only when the store is poisoned, for transactions of the group that was being written, the journal's
/// last. So the store that is opened next has read them all back, or none stands, and a token that it does not know is absent.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Transactions in the order of their commits, each with the sequence number of its group. Every commit adds to them and hardly
    /// anyone ever asks, so asking is what takes its time.
    recent: VecDeque<(Token, u64)>,
    /// Groups below this are durable.
    durable: u64,
    /// Told to be absent: they must stay so.
    fenced: HashMap<Token, ()>,
    fenced_order: VecDeque<Token>,
}

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a transaction of group `seq`; `false` if it has been told to be absent and must not commit.
    pub(crate) fn enter(&self, token: Token, seq: u64) -> bool {
        let mut known = self.lock();
        if !known.fenced.is_empty() && known.fenced.contains_key(&token) {
            return false;
        }
        if known.recent.len() == TOKENS_MAX {
            known.recent.pop_front();
        }
        known.recent.push_back((token, seq));
        true
    }

    /// Groups below `seq` are durable now.
    pub(crate) fn durable(&self, seq: u64) {
        self.lock().durable = seq;
    }

    pub(crate) fn settle(&self, token: Token) -> Result<Settled, StoreError> {
        let mut known = self.lock();
        match known.recent.iter().rev().find(|(recent, _)| *recent == token) {
            Some(&(_, seq)) if seq < known.durable => Ok(Settled::Committed),
            Some(_) => Err(StoreError::Unknown("the transaction is being committed".into())),
            None => {
                if known.fenced.insert(token, ()).is_none() {
                    known.fenced_order.push_back(token);
                    if known.fenced_order.len() > TOKENS_MAX
                        && let Some(oldest) = known.fenced_order.pop_front()
                    {
                        known.fenced.remove(&oldest);
                    }
                }
                Ok(Settled::Absent)
            }
        }
    }
}

/// What the background threads are asked to do.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    state: Mutex<Asked>,
    changed: Condvar,
}

/// Open requests.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) flush: bool,
    pub(crate) trim: bool,
    pub(crate) compact: bool,
    pub(crate) evacuate: bool,
    pub(crate) stop: bool,
}

impl Chores {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ask(&self, change: impl FnOnce(&mut Asked)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    /// Waits for a while; whether the store is still open then.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let asked = self.lock();
        let still = |asked: &mut Asked| !asked.stop;
        let waited = self.changed.wait_timeout_while(asked, time, still);
        let (asked, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !asked.stop
    }

    /// Waits until `take` takes something, or until the end (`None`).
    pub(crate) fn wait<T>(&self, mut take: impl FnMut(&mut Asked) -> Option<T>) -> Option<T> {
        let mut asked = self.lock();
        loop {
            if asked.stop {
                return None;
            }
            if let Some(taken) = take(&mut asked) {
                return Some(taken);
            }
            asked = self.changed.wait(asked).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_told_to_be_absent_cannot_commit_any_more() {
        let tokens = Tokens::default();
        let (early, late) = (Token([1; 16]), Token([2; 16]));
        assert!(tokens.enter(early, 5));
        assert!(matches!(tokens.settle(early), Err(StoreError::Unknown(_))));
        tokens.durable(6);
        assert_eq!(tokens.settle(early), Ok(Settled::Committed));
        assert_eq!(tokens.settle(late), Ok(Settled::Absent));
        assert!(!tokens.enter(late, 7));
    }

    #[test]
    fn tokens_take_bounded_memory() {
        let tokens = Tokens::default();
        for number in 0..(TOKENS_MAX as u128 + 10) {
            tokens.enter(Token(number.to_be_bytes()), 1);
            let _ = tokens.settle(Token((number | 1 << 100).to_be_bytes()));
        }
        let known = tokens.lock();
        assert_eq!((known.recent.len(), known.fenced.len()), (TOKENS_MAX, TOKENS_MAX));
    }
}
