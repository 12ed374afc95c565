//! A transaction's way from its caller to the commit thread.
//!
//! The caller reads, off the commit thread, on a registered snapshot; runs the body on that once, which shows what else it reads
//! and how large it is; takes a permit of its bytes; and queues. A transaction that turns out to need more comes back here.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use ossia_store::{
    Change, KEYS_MAX, NotBrought, Partition, ReadError, Record, Rejection, StoreError, Transaction,
    View, Writes,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    commit::run_body,
    queue::{Brought, Entry, Preview, Reply},
    shared::{Pressure, Shared},
    tree::{
        RUNS_SLOW, RUNS_STOP, SEALED_STOP,
        snapshots::{Known, Snapshot},
        value,
    },
};

/// How often a transaction may come back before it is told that the store is busy.
const ROUNDS_MAX: usize = 256;
/// What a transaction costs beside its bytes.
const ENTRY_BYTES: usize = 1_024;
/// A transaction that deletes may put this many bytes on a full medium, and so many more for each delete: deleting an object notes
/// what is to be reaped, and many objects may be deleted at once.
const LETTING_GO_BYTES_MAX: usize = 4 << 10;
const LETTING_GO_BYTES_EACH: usize = 128;

/// The front of the store.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) shared: Arc<Shared>,
    /// Bytes of transactions in flight.
    pub(crate) permits: Arc<Semaphore>,
    /// Reads at the disk.
    pub(crate) reads: Arc<Semaphore>,
    /// Those that are under way.
    pub(crate) flights: Arc<Flights>,
}

/// Counts what is at the tree, so that a close can wait for it.
///
/// A table that compaction has replaced is removed by `lsm-tree` when its last reader ends. After the folder has been given back
/// that could hit a new file of the same name.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    count: Mutex<(usize, bool)>,
    landed: Condvar,
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, (usize, bool)> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` once the store is closing.
    pub(crate) fn start(self: &Arc<Self>) -> Option<Flight> {
        let mut count = self.lock();
        if count.1 {
            return None;
        }
        count.0 += 1;
        Some(Flight(Arc::clone(self)))
    }

    /// Lets no more start, and waits for the last to end.
    pub(crate) fn close(&self) {
        let mut count = self.lock();
        count.1 = true;
        while count.0 > 0 {
            count = self.landed.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Flight(Arc<Flights>);

impl Drop for Flight {
    fn drop(&mut self) {
        let mut count = self.0.lock();
        count.0 -= 1;
        // A wake is a system call, and only a close waits.
        if count.1 {
            self.0.landed.notify_all();
        }
    }
}

/// What was brought.
pub(crate) struct Bringing<'a>(pub(crate) &'a Brought);

impl View for Bringing<'_> {
    fn get(&self, key: &Bytes) -> Result<Option<Record>, NotBrought> {
        self.0.get(key).cloned().ok_or_else(|| NotBrought(key.clone()))
    }
}

impl Front {
    pub(crate) async fn submit(&self, mut transaction: Transaction) -> Result<(), StoreError> {
        self.shared.condition.check()?;
        let mut keys = std::mem::take(&mut transaction.hints);
        let mut permit = None;
        for _ in 0..ROUNDS_MAX {
            let snapshot = Arc::new(self.shared.snapshots.open());
            let (brought, preview) = self.bring(&transaction, &snapshot, &mut keys).await?;
            let held = match permit.take() {
                Some(held) => held,
                None => self.admit(&preview.writes).await?,
            };
            let (reply, told) = oneshot::channel();
            let transaction = transaction.clone();
            let extra = None;
            let entry =
                Entry { transaction, snapshot, brought, preview, extra, reply, permit: held };
            if self.shared.queue.push(entry).is_err() {
                return Err(Rejection::Closed.into());
            }
            match told.await {
                Ok(Reply::Done(result)) => return result,
                Ok(Reply::Again { missing, permit: held }) => {
                    keys.extend(missing);
                    permit = Some(held);
                }
                Err(_) => return Err(StoreError::Unknown("the commit thread has ended".into())),
            }
        }
        Err(Rejection::Busy.into())
    }

    /// Reads what the body reads, as of the snapshot, and runs it on that.
    async fn bring(
        &self,
        transaction: &Transaction,
        snapshot: &Arc<Snapshot>,
        keys: &mut Vec<Bytes>,
    ) -> Result<(Brought, Preview), StoreError> {
        let mut brought = Brought::with_capacity(keys.len());
        loop {
            let missing: Vec<Bytes> =
                keys.iter().filter(|key| !brought.contains_key(*key)).cloned().collect();
            if brought.len().saturating_add(missing.len()) > KEYS_MAX {
                return Err(Rejection::Limit("more than 1,024 keys").into());
            }
            let records =
                self.read(snapshot, transaction.partition, &missing).await.map_err(|error| {
                    match error {
                        ReadError::Closed => Rejection::Closed,
                        other => Rejection::Read(other),
                    }
                })?;
            brought.extend(missing.into_iter().zip(records));
            match run_body(transaction, &Bringing(&brought))? {
                Ok(preview) => return Ok((brought, preview)),
                Err(NotBrought(key)) => keys.push(key),
            }
        }
    }

    /// The records under these keys, as of the snapshot.
    pub(crate) async fn read(
        &self,
        snapshot: &Arc<Snapshot>,
        partition: Partition,
        keys: &[Bytes],
    ) -> Result<Vec<Option<Record>>, ReadError> {
        let mut records = vec![None; keys.len()];
        let mut ask = Vec::new();
        for (at, (key, slot)) in keys.iter().zip(&mut records).enumerate() {
            let key = value::key(partition.0, key);
            match known(snapshot, &key)? {
                Some(record) => *slot = record,
                None => ask.push((at, key)),
            }
        }
        if !ask.is_empty() {
            let snapshot = Arc::clone(snapshot);
            let found = self
                .at_disk(move |shared| {
                    // The snapshot stays registered until the last read is done, whether or not anyone still waits for it.
                    let seq = snapshot.seq;
                    let read = |(at, key): (usize, Vec<u8>)| {
                        let value = shared.index.get(&key, seq)?;
                        snapshot.view.keep(&key, value.as_deref());
                        Ok((at, decode(value.as_deref())?))
                    };
                    ask.into_iter().map(read).collect::<Result<Vec<_>, ReadError>>()
                })
                .await?;
            for (at, record) in found {
                if let Some(slot) = records.get_mut(at) {
                    *slot = record;
                }
            }
        }
        Ok(records)
    }

    /// Runs a blocking read off the executor; only so many at once.
    pub(crate) async fn at_disk<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let permit =
            Arc::clone(&self.reads).acquire_owned().await.map_err(|_| ReadError::Closed)?;
        let flight = self.flights.start().ok_or(ReadError::Closed)?;
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let told = read(&shared);
            drop((flight, permit));
            told
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(told) => told,
            Err(error) => Err(ReadError::Io(format!("a read ended early: {error}"))),
        }
    }

    /// Waits until the store can take a transaction of this size.
    async fn admit(&self, writes: &Writes) -> Result<OwnedSemaphorePermit, StoreError> {
        let lets_go = lets_go(writes);
        if !lets_go {
            self.shared.condition.check_room()?;
        }
        let wait = Duration::from_millis(self.shared.options.admission_wait_ms);
        let deadline = Instant::now() + wait;
        if !writes.is_empty() {
            self.wait_for_background_work(deadline, lets_go).await?;
        }
        let cost = cost(writes).min(self.shared.options.queue_bytes_max);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_many_owned(cost) {
            return Ok(permit);
        }
        let acquire = Arc::clone(&self.permits).acquire_many_owned(cost);
        match tokio::time::timeout_at(deadline.into(), acquire).await {
            Ok(Ok(permit)) => {
                self.shared.condition.check()?;
                Ok(permit)
            }
            Ok(Err(_)) => Err(Rejection::Closed.into()),
            Err(_) => Err(Rejection::Busy.into()),
        }
    }

    /// Slows down, and stops, while the index or the journal is behind with its work. What lets go is stopped later: it helps.
    async fn wait_for_background_work(
        &self,
        deadline: Instant,
        lets_go: bool,
    ) -> Result<(), StoreError> {
        let stopped = |pressure: &Pressure| {
            if lets_go {
                pressure.runs >= RUNS_STOP * 4 || pressure.sealed > SEALED_STOP
            } else {
                let behind = pressure.runs >= RUNS_STOP || pressure.sealed >= SEALED_STOP;
                behind || pressure.journal_full
            }
        };
        let now = *self.shared.pressure.borrow();
        if stopped(&now) {
            let mut pressure = self.shared.pressure.subscribe();
            let condition = &self.shared.condition;
            let eased = pressure.wait_for(|now| !stopped(now) || condition.check().is_err());
            let waited = tokio::time::timeout_at(deadline.into(), eased).await.is_ok();
            condition.check()?;
            return if waited { Ok(()) } else { Err(Rejection::Busy.into()) };
        }
        if let Some(over) = now.runs.checked_sub(RUNS_SLOW) {
            tokio::time::sleep(Duration::from_millis(over as u64 + 1)).await;
        }
        Ok(())
    }
}

/// What can be told of a key, as the tree has it, without asking the tables.
pub(crate) fn known(snapshot: &Snapshot, key: &[u8]) -> Result<Option<Option<Record>>, ReadError> {
    match snapshot.view.get(key, snapshot.seq) {
        Known::Is(value) => decode(value.as_deref()).map(Some),
        Known::AskTables => Ok(None),
    }
}

fn decode(value: Option<&[u8]>) -> Result<Option<Record>, ReadError> {
    let Some(value) = value else { return Ok(None) };
    match value::decode(value) {
        Some(record) => Ok(Some(record)),
        None => Err(ReadError::Damaged("a record of the index is not of its form".into())),
    }
}

/// What a transaction holds in memory while it is in flight.
fn cost(writes: &Writes) -> usize {
    let change = |(key, change): &(Bytes, Change)| {
        let bytes = match change {
            Change::Put { value, payload } => value.len() + payload.new_bytes(),
            Change::Delete => 0,
        };
        // Once as the caller's bytes, once in the group that is being made.
        2 * (key.len() + bytes)
    };
    writes.changes().iter().map(change).sum::<usize>() + ENTRY_BYTES
}

/// Whether a transaction makes room, or at least takes none worth speaking of: those are accepted on a full medium, too.
fn lets_go(writes: &Writes) -> bool {
    let mut deletes = 0_usize;
    let mut bytes = 0_usize;
    for (key, change) in writes.changes() {
        match change {
            Change::Delete => deletes += 1,
            Change::Put { value, payload } => {
                if payload.new_bytes() > 0 {
                    return false;
                }
                bytes += key.len() + value.len();
            }
        }
    }
    let most = LETTING_GO_BYTES_MAX.saturating_add(deletes.saturating_mul(LETTING_GO_BYTES_EACH));
    writes.is_empty() || (deletes > 0 && bytes <= most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ossia_store::Payload;

    #[test]
    fn only_what_makes_room_is_let_in_on_a_full_medium() {
        let key = |name: &'static str| Bytes::from_static(name.as_bytes());
        let mut deletes = Writes::none();
        deletes.delete(key("a"));
        assert!(lets_go(&deletes));
        deletes.put(key("tombstone"), "to be reaped");
        assert!(lets_go(&deletes), "a note of what is to be reaped goes along");
        let mut large = deletes.clone();
        large.put(key("b"), vec![1; LETTING_GO_BYTES_MAX + LETTING_GO_BYTES_EACH]);
        assert!(!lets_go(&large));
        let mut many = Writes::none();
        for number in 0..256_u32 {
            let name = Bytes::copy_from_slice(&number.to_be_bytes());
            many.delete([&b"h"[..], &name].concat().into());
            many.put([&b"tombstone of "[..], &name].concat().into(), vec![1; 30]);
        }
        assert!(lets_go(&many), "however many objects are deleted at once");
        let mut payload = deletes.clone();
        payload.put_with(key("c"), "v", Payload::New(vec![key("x")]));
        assert!(!lets_go(&payload));
        let mut put = Writes::none();
        put.put(key("d"), "v");
        assert!(!lets_go(&put));
        assert!(lets_go(&Writes::none()), "reading takes no room");
    }
}
