//! Snapshots: what readers may see, and what must be kept for them.
//!
//! Every read registers under the lock that the watermark is computed under. Otherwise a version of the tree that a reader has just
//! chosen could be given up before the reader gets to it.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lsm_tree::Memtable;
use ossia_store::mutants::{self, Mutant};

use super::told::Told;

/// The part of the index that is in memory: enough to answer many reads without a disk and without the tree's locks.
#[derive(Clone)]
pub(crate) struct MemoryView {
    /// The memtable that the commit thread inserts into.
    pub(crate) active: Arc<Memtable>,
    /// Those that wait for their flush, newest first.
    pub(crate) sealed: Vec<Arc<Memtable>>,
    /// What the tree's tables have told; `None` if it has none, and what is not in memory is absent.
    pub(crate) tables: Option<Arc<Told>>,
}

impl fmt::Debug for MemoryView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryView")
            .field("active", &self.active.id())
            .field("sealed", &self.sealed.len())
            .field("has_tables", &self.tables.is_some())
            .finish()
    }
}

/// What the part in memory knows of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// This value, or that it is absent.
    Is(Option<lsm_tree::Slice>),
    /// Only the tables can tell.
    AskTables,
}

impl MemoryView {
    pub(crate) fn get(&self, key: &[u8], seq: u64) -> Known {
        for memtable in std::iter::once(&self.active).chain(&self.sealed) {
            if let Some(item) = memtable.get(key, seq) {
                return Known::Is((!item.is_tombstone()).then_some(item.value));
            }
        }
        match &self.tables {
            None => Known::Is(None),
            Some(told) => told.get(key).map_or(Known::AskTables, Known::Is),
        }
    }

    /// Keeps what the tables told to a reader of this view.
    pub(crate) fn keep(&self, key: &[u8], value: Option<&[u8]>) {
        if let Some(told) = &self.tables {
            told.keep(key, value);
        }
    }

    /// What the tables will have told once these memtables, newest first, are tables. Takes a while: not for use under a lock.
    pub(crate) fn told_after(&self, flushed: &[Arc<Memtable>]) -> Arc<Told> {
        Arc::new(self.tables.as_ref().map(|told| told.after(flushed)).unwrap_or_default())
    }

    /// These memtables are tables now.
    pub(crate) fn flushed(&mut self, flushed: &[Arc<Memtable>], told: Arc<Told>) {
        self.tables = Some(told);
        self.sealed.retain(|sealed| flushed.iter().all(|flushed| flushed.id() != sealed.id()));
    }
}

#[derive(Debug)]
struct State {
    /// Readers see sequence numbers below this.
    visible: u64,
    /// How many readers are registered at which number, in order.
    open: VecDeque<(u64, usize)>,
    view: Arc<MemoryView>,
}

/// The registry of snapshots.
#[derive(Debug)]
pub(crate) struct Snapshots(Mutex<State>);

impl Snapshots {
    pub(crate) fn new(visible: u64, view: MemoryView) -> Self {
        Self(Mutex::new(State { visible, open: VecDeque::new(), view: Arc::new(view) }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a reader of everything visible now.
    pub(crate) fn open(self: &Arc<Self>) -> Snapshot {
        let mut state = self.lock();
        let seq = state.visible;
        // What is visible never falls, so new numbers come last.
        match state.open.back_mut() {
            Some((last, count)) if *last == seq => *count += 1,
            _ => state.open.push_back((seq, 1)),
        }
        Snapshot { seq, registered: seq, view: Arc::clone(&state.view), registry: Arc::clone(self) }
    }

    /// [`Self::open`] for who reads one key.
    pub(crate) fn open_for_one(self: &Arc<Self>) -> Snapshot {
        let mut snapshot = self.open();
        if mutants::on(Mutant::StaleSnapshot) {
            snapshot.seq -= 1;
        }
        snapshot
    }

    /// Makes everything below `seq` visible; the caller has made it durable (I3). Returns the watermark.
    pub(crate) fn publish(&self, seq: u64) -> u64 {
        let mut state = self.lock();
        assert!(seq >= state.visible, "what is visible stays so");
        state.visible = seq;
        state.watermark()
    }

    /// No snapshot below this is open, or will be.
    pub(crate) fn watermark(&self) -> u64 {
        self.lock().watermark()
    }

    /// Changes what readers find in memory from now on.
    pub(crate) fn change_view(&self, change: impl FnOnce(&mut MemoryView)) {
        let mut state = self.lock();
        let mut view = MemoryView::clone(&state.view);
        change(&mut view);
        state.view = Arc::new(view);
    }

    /// The part in memory, as it is now.
    pub(crate) fn view(&self) -> Arc<MemoryView> {
        Arc::clone(&self.lock().view)
    }
}

impl State {
    fn watermark(&self) -> u64 {
        self.open.front().map_or(self.visible, |&(seq, _)| seq)
    }
}

/// A registered reader; what it may see stays until it is dropped.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// It sees sequence numbers below this.
    pub(crate) seq: u64,
    /// The number that it is registered at.
    registered: u64,
    pub(crate) view: Arc<MemoryView>,
    registry: Arc<Snapshots>,
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        if let Ok(at) = state.open.binary_search_by_key(&self.registered, |&(seq, _)| seq)
            && let Some((_, count)) = state.open.get_mut(at)
        {
            *count -= 1;
            if *count == 0 {
                state.open.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lsm_tree::{InternalValue, ValueType};

    fn registry() -> Arc<Snapshots> {
        let active = Arc::new(Memtable::new(0));
        Arc::new(Snapshots::new(1, MemoryView { active, sealed: Vec::new(), tables: None }))
    }

    #[test]
    fn the_watermark_waits_for_the_oldest_reader() {
        let registry = registry();
        let old = registry.open();
        assert_eq!(registry.publish(5), 1);
        let young = registry.open();
        assert_eq!((old.seq, young.seq), (1, 5));
        assert_eq!(registry.publish(7), 1);
        let youngest = registry.open();
        drop(young);
        assert_eq!(registry.watermark(), 1);
        drop(old);
        assert_eq!(registry.watermark(), 7);
        assert_eq!(registry.publish(9), 7);
        drop(youngest);
        assert_eq!(registry.watermark(), 9);
    }

    #[test]
    fn the_newest_memtable_answers_first_and_a_snapshot_hides_what_came_after_it() {
        let put = |memtable: &Memtable, seq, value: &str| {
            memtable.insert(InternalValue::from_components("k", value, seq, ValueType::Value));
        };
        let (old, new) = (Arc::new(Memtable::new(0)), Arc::new(Memtable::new(1)));
        put(&old, 1, "first");
        put(&new, 2, "second");
        new.insert(InternalValue::new_tombstone("k", 3));
        let view = MemoryView { active: new, sealed: vec![old], tables: Some(Arc::default()) };
        assert_eq!(view.get(b"k", 4), Known::Is(None));
        assert_eq!(view.get(b"k", 3), Known::Is(Some("second".into())));
        assert_eq!(view.get(b"k", 2), Known::Is(Some("first".into())));
        assert_eq!(view.get(b"k", 1), Known::AskTables);
        view.keep(b"k", Some(b"zeroth"));
        assert_eq!(view.get(b"k", 1), Known::Is(Some("zeroth".into())));
        assert_eq!(view.get(b"k", 2), Known::Is(Some("first".into())), "memory is asked first");
    }
}
