//! Blobs that stay open after a read: a blob's bytes never change, so its header, footer and checksums need to be verified only once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ossia_store::BlobId;

use super::read::OpenBlob;

/// The most blobs that are kept open, each with one file (I7).
const HANDLES_MAX: usize = 128;

/// The blobs that were asked for last.
#[derive(Debug, Default)]
pub(super) struct Handles(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: HashMap<BlobId, (u64, Arc<OpenBlob>)>,
    clock: u64,
    deletions: u64,
}

impl Handles {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: BlobId) -> Option<Arc<OpenBlob>> {
        let mut state = self.state();
        state.clock += 1;
        let now = state.clock;
        let (used, open) = state.open.get_mut(&id)?;
        *used = now;
        Some(Arc::clone(open))
    }

    /// How many deletions there have been; to be asked before a blob is opened that is to be kept.
    pub(super) fn deletions(&self) -> u64 {
        self.state().deletions
    }

    /// Keeps a blob, unless any was deleted since: it could be this one, whose name was still there when its file was opened.
    pub(super) fn keep(&self, id: BlobId, open: &Arc<OpenBlob>, deletions: u64) {
        let mut state = self.state();
        if state.deletions != deletions {
            return;
        }
        if state.open.len() >= HANDLES_MAX {
            let oldest = state.open.iter().min_by_key(|(_, (used, _))| *used).map(|(&id, _)| id);
            oldest.and_then(|oldest| state.open.remove(&oldest));
        }
        state.clock += 1;
        let now = state.clock;
        state.open.insert(id, (now, Arc::clone(open)));
    }

    /// To be called when the names of a blob have gone. Its readers keep what they hold.
    pub(super) fn forget(&self, id: BlobId) {
        let mut state = self.state();
        state.deletions += 1;
        state.open.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> BlobId {
        BlobId(number.to_be_bytes())
    }

    #[test]
    fn the_least_used_handle_goes_and_what_was_opened_around_a_deletion_is_not_kept() {
        let (handles, open) = (Handles::default(), Arc::new(OpenBlob::of_nothing()));
        for number in 0..=HANDLES_MAX as u128 {
            handles.keep(id(number), &open, handles.deletions());
            assert!(handles.get(id(0)).is_some());
        }
        assert!(handles.get(id(1)).is_none());
        assert_eq!(handles.state().open.len(), HANDLES_MAX);
        let before = handles.deletions();
        handles.forget(id(7));
        assert!(handles.get(id(7)).is_none());
        handles.keep(id(7), &open, before);
        assert!(handles.get(id(7)).is_none());
    }
}
