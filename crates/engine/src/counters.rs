//! What the engine counts about itself, for those who run it.
//!
//! Counters stand alone: each is one relaxed addition, and a reader may see one of two that belong together move first. Nothing in
//! the engine decides by them.

use std::{
    collections::HashSet,
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::disk::{Access, Disk, DiskFile};

/// What an engine has done since it was opened, and how it stands. See [`crate::LocalEngine::metrics`].
///
/// Amounts only grow; what stands under *now* goes up and down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineMetrics {
    /// Groups made durable: each was one write to the journal and one sync.
    pub groups: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Bytes of frames that the journal has written, padding included.
    pub journal_bytes: u64,
    /// Bytes of new payloads among them.
    pub payload_bytes: u64,
    /// Syncs of files and folders, of the journal and of all else. Those of the index's own files are not among them.
    pub syncs: u64,
    /// Bytes written to files: journal, blobs, value log, and the zeros that make a segment. The index's own files are not among
    /// them.
    pub written_bytes: u64,
    /// Bytes of the index's tables that were written, by flushes and by compactions.
    pub index_bytes: u64,
    /// Transactions refused because their turn did not come in time.
    pub refused_busy: u64,
    /// Transactions refused because the medium is full.
    pub refused_full: u64,
    /// Memtables sealed behind a checkpoint.
    pub rotations: u64,
    /// Blobs finished.
    pub blobs_created: u64,
    /// Their data, in bytes.
    pub blob_bytes_created: u64,
    /// Blobs removed.
    pub blobs_deleted: u64,
    /// The bytes of their files.
    pub blob_bytes_deleted: u64,
    /// Journal segments that were emptied and used again.
    pub segments_recycled: u64,
    /// Bytes of payloads that were moved to the value log, from the journal and from older files of the value log.
    pub evacuated_bytes: u64,
    /// Bytes of the value log's files, now.
    pub value_bytes: u64,
    /// Files of the value log, now.
    pub value_files: u64,
    /// Journal segments on the medium, spare ones included, now.
    pub segments: u64,
    /// Runs in the index's first level, now. Admission slows at 8 and stops at 16.
    pub runs: u64,
    /// Memtables that wait for their flush, now. Admission stops at 3.
    pub sealed_memtables: u64,
    /// Bytes of the index that are in memory, now.
    pub index_memory_bytes: u64,
    /// Bytes of transactions that are accepted and not answered, now.
    pub queue_bytes: u64,
}

/// A number that is added to from any thread.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Changes what goes up and down by what one part of it has changed.
    pub(crate) fn change(&self, before: u64, now: u64) {
        self.0.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters behind [`EngineMetrics`], under the same names.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) groups: Counter,
    pub(crate) transactions: Counter,
    pub(crate) journal_bytes: Counter,
    pub(crate) payload_bytes: Counter,
    pub(crate) refused_busy: Counter,
    pub(crate) refused_full: Counter,
    pub(crate) rotations: Counter,
    pub(crate) blobs_created: Counter,
    pub(crate) blob_bytes_created: Counter,
    pub(crate) blobs_deleted: Counter,
    pub(crate) blob_bytes_deleted: Counter,
    pub(crate) segments_recycled: Counter,
    pub(crate) evacuated_bytes: Counter,
    pub(crate) value_bytes: Counter,
    pub(crate) value_files: Counter,
    syncs: Counter,
    written_bytes: Counter,
    index_bytes: Counter,
}

impl Counters {
    /// A disk that counts what is written and synced on `disk`.
    pub(crate) fn watch(self: &Arc<Self>, disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
        Arc::new(Watched { disk, counters: Arc::clone(self) })
    }

    /// What was counted; what is not counted but looked at is left at zero.
    pub(crate) fn told(&self) -> EngineMetrics {
        EngineMetrics {
            groups: self.groups.get(),
            transactions: self.transactions.get(),
            journal_bytes: self.journal_bytes.get(),
            payload_bytes: self.payload_bytes.get(),
            syncs: self.syncs.get(),
            written_bytes: self.written_bytes.get(),
            index_bytes: self.index_bytes.get(),
            refused_busy: self.refused_busy.get(),
            refused_full: self.refused_full.get(),
            rotations: self.rotations.get(),
            blobs_created: self.blobs_created.get(),
            blob_bytes_created: self.blob_bytes_created.get(),
            blobs_deleted: self.blobs_deleted.get(),
            blob_bytes_deleted: self.blob_bytes_deleted.get(),
            segments_recycled: self.segments_recycled.get(),
            evacuated_bytes: self.evacuated_bytes.get(),
            value_bytes: self.value_bytes.get(),
            value_files: self.value_files.get(),
            ..EngineMetrics::default()
        }
    }
}

/// Tells which of an index's tables are new.
#[derive(Debug, Default)]
pub(crate) struct Tables(Mutex<HashSet<u64>>);

impl Tables {
    /// Takes the tables that stand, by number and length in bytes, and counts those that were not there the last time. One that comes
    /// and goes between two calls is missed.
    pub(crate) fn look(&self, now: impl Iterator<Item = (u64, u64)>, counters: &Counters) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stand = HashSet::with_capacity(known.len());
        for (number, bytes) in now {
            if !known.contains(&number) {
                counters.index_bytes.add(bytes);
            }
            stand.insert(number);
        }
        *known = stand;
    }
}

#[derive(Debug)]
struct Watched {
    disk: Arc<dyn Disk>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn DiskFile>,
    counters: Arc<Counters>,
}

impl Disk for Watched {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, access)?;
        match access {
            Access::Read => Ok(file),
            Access::Write | Access::Create => {
                Ok(Arc::new(WatchedFile { file, counters: Arc::clone(&self.counters) }))
            }
        }
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.make_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.counters.syncs.add(1);
        self.disk.sync_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<bool> {
        self.disk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_folder(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }

    fn share(&self, from: &Path, to: &Path) -> io::Result<bool> {
        self.disk.share(from, to)
    }
}

impl DiskFile for WatchedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn read_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        self.file.read_now(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.counters.written_bytes.add(bytes.len() as u64);
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.counters.syncs.add(1);
        self.file.sync()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.file.set_length(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_counted_once_however_often_it_is_seen() {
        let (tables, counters) = (Tables::default(), Counters::default());
        tables.look([(1, 100), (2, 50)].into_iter(), &counters);
        tables.look([(2, 50), (3, 120)].into_iter(), &counters);
        tables.look([(3, 120)].into_iter(), &counters);
        assert_eq!(counters.told().index_bytes, 270);
    }
}
