//! The index: the `lsm-tree` crate, and what it takes to use it safely.
//!
//! - It shares *our* sequence counter, so that a version of the tree is younger than all that its tables hold, and old snapshots
//!   keep choosing the version before. It gets a *dummy* visible counter: it raises that by itself when it flushes, and would so
//!   publish groups that are half inserted. Only the commit thread publishes, through [`snapshots::Snapshots`].
//! - Memtables are rotated by the commit thread alone, between groups; the last insert before is a *checkpoint*: which journal frame
//!   the memtable ends with, and the next sequence number. Recovery starts there. (The highest number that the tree itself can
//!   tell is too low, or missing, after deletes.)
//! - Its files are verified before it opens them; see [`guard`].
//!
//! Must not know the journal's files: a checkpoint names a frame, and that is all.

pub(crate) mod guard;
pub(crate) mod snapshots;
mod told;
pub(crate) mod value;

use std::{
    collections::HashSet,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use lsm_tree::{
    AbstractTree, AnyTree, Cache, Config, InternalValue, Memtable, SequenceNumberCounter, Slice,
    ValueType, compaction::Leveled,
};
use ossia_store::ReadError;
use snapshots::{MemoryView, Snapshots};

use crate::{
    OpenError,
    codec::Reader,
    counters::{Counters, Tables},
    disk::Disk,
    journal::{Written, record::Place, recover::Standing},
};

/// Runs of the first level from which admission slows, and at which it stops. Above 255 lsm-tree cannot reopen its manifest.
pub(crate) const RUNS_SLOW: usize = 8;
/// See [`RUNS_SLOW`].
pub(crate) const RUNS_STOP: usize = 16;
/// Sealed memtables at which admission stops.
pub(crate) const SEALED_STOP: usize = 3;

/// A start reads the newest tables through, so many bytes of each shard: a small store wholly, and none for long.
const VERIFY_BYTES_MAX: u64 = 32 << 20;

const CHECKPOINT: &[u8] = b"checkpoint";
const CHECKPOINT_VERSION: u8 = 1;

/// A record of the index as the commit thread inserts it.
pub(crate) enum Insert<'a> {
    Put(&'a [u8], Option<Place>),
    Delete,
}

/// A table's file, which stays for as long as this does.
pub(crate) struct TableFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// Of the whole file, as its writer computed it.
    pub(crate) checksum: u128,
    _keeps: Box<dyn std::any::Any + Send + Sync>,
}

/// The tree, opened.
pub(crate) struct Index {
    tree: AnyTree,
    seq: SequenceNumberCounter,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    copies: PathBuf,
    copying: Mutex<()>,
    /// Tables that need not be verified any more.
    verified: Mutex<HashSet<u64>>,
    tables: Tables,
    strategy: Arc<Leveled>,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// A failure of the tree. One of a write is final for the store (I5).
#[derive(Debug, Clone)]
pub(crate) enum TreeFailed {
    /// What it has stored is not what was written.
    Damaged(String),
    /// The medium failed.
    Io(String),
}

impl From<lsm_tree::Error> for TreeFailed {
    fn from(error: lsm_tree::Error) -> Self {
        match error {
            lsm_tree::Error::Io(error) if !tells_of_damage(&error) => Self::Io(error.to_string()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Whether an error comes from what a file holds and not from the medium: it ends too early, or says what cannot be.
fn tells_of_damage(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

impl TreeFailed {
    /// What it means for an open of the store.
    pub(crate) fn at_open(self, folder: &Path) -> OpenError {
        match self {
            Self::Damaged(what) => damaged(folder, what),
            Self::Io(what) => {
                OpenError::Io { path: folder.into(), error: std::io::Error::other(what) }
            }
        }
    }
}

impl From<TreeFailed> for ReadError {
    fn from(failed: TreeFailed) -> Self {
        match failed {
            TreeFailed::Damaged(what) => Self::Damaged(what),
            TreeFailed::Io(what) => Self::Io(what),
        }
    }
}

impl fmt::Display for TreeFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Damaged(what) | Self::Io(what)) = self;
        f.write_str(what)
    }
}

/// Where the index's files are.
pub(crate) struct Folders {
    pub(crate) index: PathBuf,
    pub(crate) copies: PathBuf,
}

impl Folders {
    pub(crate) fn of(shard: &Path) -> Self {
        Self { index: shard.join("index"), copies: shard.join("copies") }
    }
}

impl Index {
    /// Makes an empty tree; its folder must not stand yet.
    pub(crate) fn create(disk: &Arc<dyn Disk>, shard: &Path) -> Result<(), OpenError> {
        let folders = Folders::of(shard);
        disk.make_folder(&folders.copies).map_err(OpenError::io(&folders.copies))?;
        let dummy = SequenceNumberCounter::default();
        open_tree(&folders.index, SequenceNumberCounter::default(), dummy, 0)?;
        guard::copy(disk.as_ref(), &folders.index, &folders.copies)
            .map_err(OpenError::io(&folders.copies))
    }

    /// Verifies and opens the tree, and tells where it stands.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        shard: &Path,
        cache_bytes: u64,
    ) -> Result<(Self, Option<Standing>), OpenError> {
        let Folders { index: folder, copies } = Folders::of(shard);
        let listed = guard::verify(disk.as_ref(), &folder, &copies)?;
        guard::verify_tables(disk.as_ref(), &folder, &listed, VERIFY_BYTES_MAX)?;
        // Where the tree tells of damage and not where: whatever it takes, the file is found.
        let blame = |error: OpenError| {
            let told = guard::verify_tables(disk.as_ref(), &folder, &listed, u64::MAX);
            if matches!(error, OpenError::Io { .. }) { error } else { told.err().unwrap_or(error) }
        };
        // A killed process may have left a `current` that is not durable yet, and opening removes whatever that does not name.
        disk.sync_folder(&folder).map_err(OpenError::io(&folder))?;
        let seq = SequenceNumberCounter::new(1);
        let dummy = SequenceNumberCounter::default();
        let tree = open_tree(&folder, seq.clone(), dummy, cache_bytes).map_err(blame)?;
        for table in tree.current_version().iter_tables() {
            let name = table.path.file_name().and_then(std::ffi::OsStr::to_str);
            if name != Some(table.id().to_string().as_str()) {
                return Err(OpenError::Damaged {
                    file: table.path.to_path_buf(),
                    offset: 0,
                    what: format!("it is table {} under another name", table.id()),
                    advice: "nothing has been changed; give the tables their own names back, or restore the data folder from a backup".into(),
                });
            }
        }
        let damaged = |what: String| blame(damaged(&folder, what));
        let found = catch_unwind(AssertUnwindSafe(|| {
            tree.get(value::own_key(CHECKPOINT), lsm_tree::SeqNo::MAX)
        }))
        .map_err(|_| damaged("reading the checkpoint panicked".into()))?
        .map_err(|error| damaged(format!("the checkpoint cannot be read: {error}")))?;
        let standing = match found {
            None if tree.table_count() > 0 => {
                return Err(damaged("the index has tables and no checkpoint".into()));
            }
            None => None,
            Some(bytes) => {
                let (standing, next) = decode_checkpoint(&bytes)
                    .ok_or_else(|| damaged("the checkpoint is not of its form".into()))?;
                seq.set(next);
                Some(standing)
            }
        };
        let (disk, strategy) = (Arc::clone(disk), Arc::new(Leveled::default()));
        let copying = Mutex::new(());
        let tables = Tables::default();
        let verified = tree.current_version().iter_tables().map(|table| table.id()).collect();
        let verified = Mutex::new(verified);
        let index = Self { tree, seq, disk, folder, copies, copying, verified, tables, strategy };
        // What stands is known from now on.
        index.count_tables(&Counters::default());
        Ok((index, standing))
    }

    /// What a failure means for an open of the store: where the tree tells of damage, which of its files has it.
    pub(crate) fn blame(&self, failed: TreeFailed) -> OpenError {
        let error = failed.at_open(&self.folder);
        if matches!(error, OpenError::Io { .. }) {
            return error;
        }
        let listed = guard::verify(self.disk.as_ref(), &self.folder, &self.copies);
        let told = listed.and_then(|listed| {
            guard::verify_tables(self.disk.as_ref(), &self.folder, &listed, u64::MAX)
        });
        told.err().unwrap_or(error)
    }

    /// The next sequence number, for one group.
    pub(crate) fn next_seq(&self) -> u64 {
        self.seq.next()
    }

    /// Above every number that was given out, to groups and to versions of the tree.
    pub(crate) fn seq_bound(&self) -> u64 {
        self.seq.get()
    }

    /// What readers start with; everything inserted so far must be durable.
    pub(crate) fn snapshots(&self) -> Snapshots {
        let view = MemoryView {
            active: self.tree.active_memtable(),
            sealed: Vec::new(),
            tables: (self.tree.table_count() > 0).then(Arc::default),
        };
        Snapshots::new(self.seq_bound(), view)
    }

    /// The memtable that takes inserts until the next rotation.
    pub(crate) fn active(&self) -> Arc<Memtable> {
        self.tree.active_memtable()
    }

    /// The value of a key; may read the disk, and may wait while a new version of the tree is synced.
    pub(crate) fn get(&self, key: &[u8], seq: u64) -> Result<Option<Slice>, TreeFailed> {
        Ok(self.tree.get(key, seq)?)
    }

    /// The keys of a range in order; may read the disk.
    pub(crate) fn range(
        &self,
        from: &[u8],
        to: &[u8],
        seq: u64,
    ) -> impl Iterator<Item = Result<(Slice, Slice), TreeFailed>> + use<> {
        use lsm_tree::Guard as _;
        let bounds = if from < to { from..to } else { to..to };
        self.tree.range(bounds, seq, None).map(|item| item.into_inner().map_err(TreeFailed::from))
    }

    /// Inserts the checkpoint and seals the memtable. Only the commit thread calls it, between groups.
    pub(crate) fn rotate(
        &self,
        active: &Memtable,
        last: Written,
        oldest: u64,
    ) -> Option<Arc<Memtable>> {
        let standing = Standing {
            segment: last.segment,
            offset: last.offset,
            number: last.number,
            check: last.check,
            oldest,
        };
        let seq = self.seq.next();
        let bytes = encode_checkpoint(standing, seq + 1);
        active.insert(InternalValue::from_components(
            value::own_key(CHECKPOINT),
            bytes,
            seq,
            ValueType::Value,
        ));
        self.tree.rotate_memtable()
    }

    /// Writes the sealed memtables out; returns whether there was one.
    pub(crate) fn flush(&self, watermark: u64) -> Result<bool, TreeFailed> {
        let lock = self.tree.get_flush_lock();
        Ok(self.tree.flush(&lock, watermark)?.is_some())
    }

    /// Does one piece of compaction; returns whether the set of tables has changed.
    pub(crate) fn compact(&self, watermark: u64) -> Result<bool, TreeFailed> {
        let before = self.tree.current_version().id();
        self.tree.compact(Arc::<Leveled>::clone(&self.strategy), watermark)?;
        Ok(self.tree.current_version().id() != before)
    }

    /// Gives up the versions of the tree, and their memtables, that no reader can reach.
    pub(crate) fn trim(&self, watermark: u64) {
        let kept = self.tree.get_version_history_lock().maintenance(&self.folder, watermark);
        if let Err(error) = kept {
            // A manifest that could not be removed stays in the way of nothing.
            tracing::warn!(%error, "could not remove an old manifest");
        }
    }

    /// Reads tables that are new through, and compares them with the checksum that their writer has computed: what they cover is
    /// about to be given up elsewhere. Those that stood at the open are not new.
    pub(crate) fn verify_new_tables(&self) -> Result<(), TreeFailed> {
        let version = self.tree.current_version();
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        for table in version.iter_tables().filter(|table| !verified.contains(&table.id())) {
            let told = guard::file_checksum(self.disk.as_ref(), &table.path)
                .map_err(|error| TreeFailed::Io(format!("{}: {error}", table.path.display())))?;
            if told != table.checksum().into_u128() {
                let path = table.path.display();
                return Err(TreeFailed::Damaged(format!("{path} is not what was written")));
            }
        }
        *verified = version.iter_tables().map(|table| table.id()).collect();
        Ok(())
    }

    /// The tables of the present version, whose files stay for as long as what this returns, and that version's number.
    pub(crate) fn table_files(&self) -> (u64, Vec<TableFile>) {
        let version = self.tree.current_version();
        let file = |table: &lsm_tree::Table| TableFile {
            path: table.path.to_path_buf(),
            bytes: table.metadata.file_size,
            checksum: table.checksum().into_u128(),
            _keeps: Box::new(table.clone()),
        };
        let files = version.iter_tables().map(file).collect();
        (version.id(), files)
    }

    /// `current` and the manifest of this version by their names in the index's folder; `None` when another version holds by now.
    pub(crate) fn manifest_of(&self, version: u64) -> io::Result<Option<Vec<guard::Named>>> {
        guard::manifest_of(self.disk.as_ref(), &self.folder, version)
    }

    /// Renews the copies of `current` and the manifest; whether that was done.
    pub(crate) fn renew_copies(&self) -> bool {
        let _one_at_a_time = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        let copied = guard::copy(self.disk.as_ref(), &self.folder, &self.copies);
        if let Err(error) = &copied {
            tracing::warn!(%error, "could not renew the copies of the index's manifest");
        }
        copied.is_ok()
    }

    /// Counts the tables that are new since the last call.
    pub(crate) fn count_tables(&self, counters: &Counters) {
        let version = self.tree.current_version();
        let tables = version.iter_tables().map(|table| (table.id(), table.metadata.file_size));
        self.tables.look(tables, counters);
    }

    /// What the tree itself says of how far its tables reach: not to be relied on, so only a planted fault does.
    pub(crate) fn highest_in_tables(&self) -> Option<u64> {
        self.tree.get_highest_persisted_seqno()
    }

    pub(crate) fn runs(&self) -> usize {
        self.tree.l0_run_count()
    }

    /// How many past versions of the tree are kept, and the bytes of all memtables that they and the present one hold.
    pub(crate) fn history(&self) -> (usize, u64) {
        (self.tree.version_free_list_len(), self.tree.version_memtable_size_sum())
    }
}

/// Inserts one key's change. The memtable is the one that [`Index::active`] told since the last rotation.
pub(crate) fn insert(
    active: &Memtable,
    scratch: &mut Vec<u8>,
    partition: u64,
    key: &[u8],
    change: &Insert<'_>,
    seq: u64,
) {
    scratch.clear();
    scratch.extend_from_slice(&value::prefix(partition));
    scratch.extend_from_slice(key);
    let key = Slice::from(scratch.as_slice());
    active.insert(match change {
        Insert::Delete => InternalValue::new_tombstone(key, seq),
        Insert::Put(record, payload) => {
            value::encode(scratch, record, *payload);
            InternalValue::from_components(key, scratch.as_slice(), seq, ValueType::Value)
        }
    });
}

/// Inserts a change of one of the engine's own records.
pub(crate) fn insert_own(active: &Memtable, name: &[u8], change: Option<&[u8]>, seq: u64) {
    let key = Slice::from(value::own_key(name));
    active.insert(match change {
        None => InternalValue::new_tombstone(key, seq),
        Some(value) => InternalValue::from_components(key, value, seq, ValueType::Value),
    });
}

fn open_tree(
    folder: &Path,
    seq: SequenceNumberCounter,
    dummy: SequenceNumberCounter,
    cache_bytes: u64,
) -> Result<AnyTree, OpenError> {
    let cache = Arc::new(Cache::with_capacity_bytes(cache_bytes));
    // lsm-tree asks for the current folder, whatever path it is given, and panics where that has been removed.
    std::env::current_dir().map_err(OpenError::io(Path::new(".")))?;
    let config = Config::new(folder, seq, dummy).use_cache(cache);
    // Some damages make lsm-tree panic instead of telling.
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(tree)) => Ok(tree),
        Ok(Err(lsm_tree::Error::Io(error))) if !tells_of_damage(&error) => {
            Err(OpenError::Io { path: folder.into(), error })
        }
        Ok(Err(error)) => Err(damaged(folder, format!("the index cannot be opened: {error}"))),
        Err(_) => Err(damaged(folder, "opening the index panicked".into())),
    }
}

fn damaged(folder: &Path, what: String) -> OpenError {
    let advice = "restore the data folder from a backup, or keep a copy of it before you try \
                  anything"
        .into();
    OpenError::Damaged { file: folder.into(), offset: 0, what, advice }
}

/// ```text
/// checkpoint: version 1, segment 8, offset 8, number 8, check 4, oldest segment 8, next sequence 8, crc32c of all before 4
/// ```
fn encode_checkpoint(standing: Standing, next_seq: u64) -> Vec<u8> {
    let mut bytes = vec![CHECKPOINT_VERSION];
    bytes.extend(standing.segment.to_le_bytes());
    bytes.extend(standing.offset.to_le_bytes());
    bytes.extend(standing.number.to_le_bytes());
    bytes.extend(standing.check.to_le_bytes());
    bytes.extend(standing.oldest.to_le_bytes());
    bytes.extend(next_seq.to_le_bytes());
    let check = crc32c::crc32c(&bytes);
    bytes.extend(check.to_le_bytes());
    bytes
}

fn decode_checkpoint(bytes: &[u8]) -> Option<(Standing, u64)> {
    let (checked, check) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    if Reader(check).u32()? != crc32c::crc32c(checked) {
        return None;
    }
    let mut reader = Reader(checked);
    if reader.u8()? != CHECKPOINT_VERSION {
        return None;
    }
    let standing = Standing {
        segment: reader.u64()?,
        offset: reader.u64()?,
        number: reader.u64()?,
        check: reader.u32()?,
        oldest: reader.u64()?,
    };
    let next_seq = reader.u64()?;
    // The upper half of sequence numbers is not lsm-tree's to use.
    (reader.is_empty() && next_seq > 0 && next_seq >> 63 == 0).then_some((standing, next_seq))
}

/// Whether what is taken for a checkpoint is one.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_checkpoint(bytes: &[u8]) {
    if let Some((standing, next_seq)) = decode_checkpoint(bytes) {
        assert_eq!(encode_checkpoint(standing, next_seq), bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    struct Bench {
        _folder: tempfile::TempDir,
        index: Index,
        snapshots: Arc<Snapshots>,
        number: u64,
    }

    fn bench() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        Index::create(&disk, folder.path()).unwrap();
        let (index, standing) = Index::open(&disk, folder.path(), 1 << 20).unwrap();
        assert_eq!(standing, None);
        let snapshots = Arc::new(index.snapshots());
        Bench { _folder: folder, index, snapshots, number: 0 }
    }

    impl Bench {
        fn put(&mut self, key: &str, value: &str) {
            let seq = self.index.next_seq();
            let change = Insert::Put(value.as_bytes(), None);
            insert(&self.index.active(), &mut Vec::new(), 1, key.as_bytes(), &change, seq);
            self.snapshots.publish(self.index.seq_bound());
        }

        fn flush(&mut self) {
            self.number += 1;
            let number = self.number;
            let last = Written { segment: 1, offset: 4_096 * number, number, check: 0, bytes: 1 };
            self.index.rotate(&self.index.active(), last, 1).unwrap();
            assert!(self.index.flush(self.snapshots.watermark()).unwrap());
        }

        fn read(&self, key: &str, seq: u64) -> Option<Vec<u8>> {
            let found = self.index.get(&value::key(1, key.as_bytes()), seq).unwrap();
            found.map(|bytes| value::decode(&bytes).unwrap().value.to_vec())
        }
    }

    #[test]
    fn checkpoints_come_back_and_damaged_ones_do_not() {
        let standing = Standing { segment: 1, offset: 4_096, number: 3, check: 4, oldest: 1 };
        let bytes = encode_checkpoint(standing, 9);
        assert_eq!(decode_checkpoint(&bytes), Some((standing, 9)));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert_eq!(decode_checkpoint(&damaged), None, "byte {at}");
            assert_eq!(decode_checkpoint(&bytes[..at]), None);
        }
    }

    #[test]
    fn an_old_snapshot_keeps_its_values_through_flushes_and_compactions() {
        let mut bench = bench();
        for key in ["a", "b", "c"] {
            bench.put(key, "old");
        }
        let old = bench.snapshots.open();
        for round in 0..30 {
            for key in ["a", "b", "c"] {
                bench.put(key, &format!("round {round}"));
            }
            bench.flush();
            while bench.index.compact(bench.snapshots.watermark()).unwrap() {}
            bench.index.trim(bench.snapshots.watermark());
            for key in ["a", "b", "c"] {
                assert_eq!(bench.read(key, old.seq).as_deref(), Some(&b"old"[..]), "round {round}");
            }
            let now = bench.snapshots.open();
            let told = bench.read("b", now.seq).unwrap();
            assert_eq!(told, format!("round {round}").into_bytes());
        }
        let (kept, _) = bench.index.history();
        assert!(kept > 0, "the old snapshot holds a version of the tree");
        drop(old);
        bench.snapshots.publish(bench.index.seq_bound());
        bench.index.trim(bench.snapshots.watermark());
        assert_eq!(bench.index.history().0, 0);
    }

    #[test]
    fn a_new_table_that_is_not_what_was_written_is_found_out() {
        let mut bench = bench();
        bench.put("a", "1");
        bench.flush();
        bench.index.verify_new_tables().unwrap();
        bench.put("b", "2");
        bench.flush();
        let version = bench.index.tree.current_version();
        let newest = version.iter_tables().max_by_key(|table| table.id()).unwrap();
        let path = newest.path.to_path_buf();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let told = bench.index.verify_new_tables();
        assert!(matches!(told, Err(TreeFailed::Damaged(_))), "{told:?}");
    }

    #[test]
    fn a_flush_between_the_inserts_of_a_group_publishes_nothing() {
        let mut bench = bench();
        bench.put("a", "old");
        bench.put("b", "old");
        bench.flush();
        bench.put("c", "to be flushed");
        let number = Written { segment: 1, offset: 9 * 4_096, number: 9, check: 0, bytes: 1 };
        bench.index.rotate(&bench.index.active(), number, 1).unwrap();
        // The commit thread is halfway through a group when the background flush takes a number of its own.
        let group = bench.index.next_seq();
        let active = bench.index.active();
        let new = Insert::Put(b"new", None);
        insert(&active, &mut Vec::new(), 1, b"a", &new, group);
        assert!(bench.index.flush(bench.snapshots.watermark()).unwrap());
        let during = bench.snapshots.open();
        assert_eq!(bench.read("a", during.seq).as_deref(), Some(&b"old"[..]));
        insert(&active, &mut Vec::new(), 1, b"b", &new, group);
        bench.snapshots.publish(bench.index.seq_bound());
        let after = bench.snapshots.open();
        for key in ["a", "b"] {
            assert_eq!(bench.read(key, during.seq).as_deref(), Some(&b"old"[..]));
            assert_eq!(bench.read(key, after.seq).as_deref(), Some(&b"new"[..]));
        }
    }

    #[test]
    fn the_checkpoint_is_the_last_thing_in_every_flush() {
        let mut bench = bench();
        for round in 1..=5_u64 {
            bench.put("k", "v");
            bench.flush();
            let bytes = bench.index.get(&value::own_key(CHECKPOINT), u64::MAX).unwrap().unwrap();
            let (standing, next) = decode_checkpoint(&bytes).unwrap();
            assert_eq!(standing.number, round);
            assert!(next <= bench.index.seq_bound());
            assert_eq!(bench.index.tree.get_highest_persisted_seqno(), Some(next - 1));
        }
    }
}
