//! Who is reading what: keeps the reaper from what is still being read (I9).
//!
//! A reader takes a [`Ticket`] *before* it reads a head, turns it into a [`Pin`] on the content that the head names, and only then
//! gives the ticket back. The reaper notes the time (a count of tickets) after it has seen a tombstone and waits until every older
//! ticket is gone: whoever comes later sees a head that no longer names the content, whoever came before has pinned it by then.
//!
//! This holds within one process; several gateways on one store will need a time of grace besides.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use ossia_store::Partition;
use tokio::sync::Notify;

use crate::keys::ContentId;

/// The open tickets and pins. One entry for each read under way, so bounded by the connections.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    state: Mutex<State>,
    /// The reaper waits for tickets to go.
    awaited: AtomicBool,
    tickets_freed: Notify,
    pins_freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    next_ticket: u64,
    tickets: BTreeSet<u64>,
    pins: HashMap<ContentId, usize>,
    /// Pinned content that the reaper wants, and where it lies.
    wanted: HashMap<ContentId, Partition>,
    /// Where content that it wanted has been unpinned.
    freed: BTreeSet<Partition>,
}

/// A reader that has not read its head yet.
#[derive(Debug)]
pub(crate) struct Ticket {
    readers: Arc<Readers>,
    number: u64,
}

/// Keeps content from being reclaimed.
#[derive(Debug)]
pub(crate) struct Pin {
    readers: Arc<Readers>,
    content: ContentId,
}

impl Readers {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be taken before a head is read.
    pub(crate) fn ticket(self: &Arc<Self>) -> Ticket {
        let mut state = self.state();
        let number = state.next_ticket;
        state.next_ticket += 1;
        state.tickets.insert(number);
        drop(state);
        Ticket { readers: Arc::clone(self), number }
    }

    /// To be taken after a tombstone has been seen; for [`Readers::passed`].
    pub(crate) fn horizon(&self) -> u64 {
        self.state().next_ticket
    }

    /// Waits until no ticket from before `horizon` is open.
    pub(crate) async fn passed(&self, horizon: u64) {
        loop {
            let freed = self.tickets_freed.notified();
            tokio::pin!(freed);
            // Registered before the look, so that nothing freed in between is missed.
            freed.as_mut().enable();
            self.awaited.store(true, Ordering::SeqCst);
            if self.state().tickets.first().is_none_or(|&oldest| oldest >= horizon) {
                return;
            }
            freed.await;
        }
    }

    /// Whether content is being read. If so, [`Readers::freed`] tells when that is over.
    pub(crate) fn is_pinned(&self, content: ContentId, partition: Partition) -> bool {
        let mut state = self.state();
        let pinned = state.pins.contains_key(&content);
        if pinned {
            state.wanted.insert(content, partition);
        }
        pinned
    }

    /// Waits until content that was wanted is no longer read, and tells where it lies.
    pub(crate) async fn freed(&self) -> BTreeSet<Partition> {
        loop {
            let freed = std::mem::take(&mut self.state().freed);
            if !freed.is_empty() {
                return freed;
            }
            self.pins_freed.notified().await;
        }
    }
}

impl Ticket {
    /// Turns into a pin on what the head named.
    pub(crate) fn pin(self, content: ContentId) -> Pin {
        *self.readers.state().pins.entry(content).or_default() += 1;
        Pin { readers: Arc::clone(&self.readers), content }
        // The ticket goes only now.
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.readers.state().tickets.remove(&self.number);
        if self.readers.awaited.swap(false, Ordering::SeqCst) {
            self.readers.tickets_freed.notify_waiters();
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.readers.state();
        let Some(count) = state.pins.get_mut(&self.content) else {
            return;
        };
        *count -= 1;
        if *count > 0 {
            return;
        }
        state.pins.remove(&self.content);
        if let Some(partition) = state.wanted.remove(&self.content) {
            state.freed.insert(partition);
            self.readers.pins_freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use super::*;

    #[tokio::test]
    async fn what_was_wanted_is_told_once_its_last_pin_goes() {
        let readers = Arc::new(Readers::default());
        let (wanted, other) = (ContentId::new(1), ContentId::new(1));
        let pins = [readers.ticket().pin(wanted), readers.ticket().pin(wanted)];
        let unwanted = readers.ticket().pin(other);
        assert!(readers.is_pinned(wanted, Partition(7)));
        drop(unwanted);
        let mut freed = std::pin::pin!(readers.freed());
        let mut look = || {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            freed.as_mut().poll(&mut cx)
        };
        assert!(look().is_pending());
        let [first, second] = pins;
        drop(first);
        assert!(look().is_pending());
        drop(second);
        assert_eq!(look(), std::task::Poll::Ready(BTreeSet::from([Partition(7)])));
        assert!(readers.state().wanted.is_empty());
    }

    #[test]
    fn a_pin_outlives_its_ticket_and_counts() {
        let readers = Arc::new(Readers::default());
        let content = ContentId::new(1);
        let first = readers.ticket().pin(content);
        let second = readers.ticket().pin(content);
        assert!(readers.state().tickets.is_empty());
        drop(first);
        assert!(readers.is_pinned(content, Partition(7)));
        drop(second);
        assert!(!readers.is_pinned(content, Partition(7)));
        assert!(readers.state().pins.is_empty());
    }

    #[tokio::test]
    async fn the_horizon_passes_when_the_last_older_ticket_goes() {
        let readers = Arc::new(Readers::default());
        let old = readers.ticket();
        let horizon = readers.horizon();
        let _young = readers.ticket();
        let waiting = {
            let readers = Arc::clone(&readers);
            tokio::spawn(async move { readers.passed(horizon).await })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(old);
        waiting.await.unwrap();
    }
}
