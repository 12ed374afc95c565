//! Looking at a store without changing it: what `ossia check` stands on.
//!
//! A start verifies, repairs what a crash may leave, and writes: it cuts a torn tail, begins a segment, flushes. A look must change
//! nothing, least of all in a store that is damaged. So the same code opens the store through a disk that drops every change, and
//! `lsm-tree`, which opens its own files, gets a scratch folder with links to the tables; what a replay flushes stays there.
//!
//! What is looked at is what a start would serve: the journal is replayed into the scratch index.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use ossia_store::{
    BlobError, BlobId, BlobReader, BlobWriter, Blobs, BoxFuture, FinishedBlob, Health, Index, Page,
    Partition, PayloadRef, ReadError, Record, Scan, Settled, StagedBlob, Store, StoreError, Token,
    Transaction,
};

use crate::{
    EngineOptions, LocalEngine, OpenError,
    blobs::{self, HEADER_BYTES},
    counters::Counters,
    disk::{Access, Disk, DiskFile, Lock, RealDisk, make_private_folder},
    journal::{
        frame::{BLOCK_BYTES, FrameKind, Head},
        record,
        recover::{self, Located},
        segment::{self, Segment, Spares, Yard},
    },
    layout::{self, Layout},
    open,
    shared::Condition,
    tree::{guard, value},
};

/// Something in a file of the engine that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFinding {
    /// The file.
    pub file: PathBuf,
    /// Where in it, in bytes; 0 for the file as a whole.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// What [`Inspection::check_journal`] has read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalCounts {
    /// Segments that hold frames.
    pub segments: u64,
    /// Frames, each with its records.
    pub frames: u64,
    /// Bytes of these frames, payloads counted, which are verified where the index names them.
    pub bytes: u64,
}

/// What [`Inspection::check_tables`] has read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableCounts {
    /// Tables of the index.
    pub tables: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A store that is only looked at. Its [`Store`] serves reads; writes are refused.
///
/// The data folder is held for as long as this lives, so no server can start on it meanwhile.
#[derive(Debug)]
pub struct Inspection {
    engine: LocalEngine,
    shards: Vec<ShardSeen>,
    layout: Layout,
    data: PathBuf,
    scratch: Scratch,
    _held: Option<Lock>,
}

#[derive(Debug)]
struct ShardSeen {
    yard: Yard,
    segments: Vec<Segment>,
}

impl Inspection {
    /// Opens the store in `data`. Blocks while it replays the journal behind the last checkpoint. `scratch` takes what that needs
    /// on a disk, some of the index's size at most; it is removed with this.
    ///
    /// # Errors
    /// [`OpenError`], as a start would tell it; nothing has been changed in `data` but the number in `LOCK`.
    pub fn open(data: &Path, scratch: &Path) -> Result<Self, OpenError> {
        let data = fs::canonicalize(data).map_err(OpenError::io(data))?;
        let layout = layout::read(&(Arc::new(RealDisk) as Arc<dyn Disk>), &data)?;
        let held = hold(&data)?;
        let scratch = Scratch::make(scratch, &data, layout.shards)?;
        let told = Self::open_in(&data, &scratch.0, layout);
        // What the shadow's files are called is of no use to anyone.
        let (engine, shards) = told.map_err(|error| scratch.real_error(error, &data))?;
        Ok(Self { engine, shards, layout, data, scratch, _held: held })
    }

    fn open_in(
        data: &Path,
        scratch: &Path,
        layout: Layout,
    ) -> Result<(LocalEngine, Vec<ShardSeen>), OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(DeafDisk { scratch: scratch.into() });
        let options = EngineOptions::new(scratch).of_shard(layout.shards);
        let condition = Arc::new(Condition::new(Arc::clone(&disk), scratch.into(), 0));
        condition.only_read();
        let counters = Arc::<Counters>::default();
        let (mut shared, mut seen) = (Vec::new(), Vec::new());
        for number in 0..layout.shards {
            let read = open::read_shard(&options, &disk, &layout::shard(scratch, number), layout)?;
            // Verifies that every file that is named stands, with its header.
            read.values(&options, &disk, layout)?;
            let real = Arc::new(RealDisk) as Arc<dyn Disk>;
            let yard = layout::yard(&real, &layout::shard(data, number), layout);
            let spares = Arc::new(Spares::new(read.yard.clone(), 0, 0, Default::default()));
            let segments = read.walk.segments.clone();
            let last = segments.last().map_or(1, |segment| segment.number);
            seen.push(ShardSeen { yard, segments });
            shared.push(read.share(&options, &disk, &condition, &counters, (last, spares)));
        }
        Ok((LocalEngine::to_be_read(shared, scratch)?, seen))
    }

    /// The format that `LAYOUT` names.
    pub fn format(&self) -> u32 {
        self.layout.format
    }

    /// How many shards the store has.
    pub fn shards(&self) -> usize {
        self.layout.shards
    }

    /// A message of a read of this store, with the files' real names.
    pub fn real_names(&self, text: &str) -> String {
        self.scratch.real(text, &self.data)
    }

    /// Reads every frame of every segment that stands: the chain, the heads and the records. Blocks.
    pub fn check_journal(&self, found: &mut dyn FnMut(FileFinding)) -> JournalCounts {
        let mut counts = JournalCounts::default();
        for shard in &self.shards {
            check_segments(shard, found, &mut counts);
        }
        counts
    }

    /// Reads every table of the index through and compares it with its writer's checksum. Blocks.
    pub fn check_tables(&self, found: &mut dyn FnMut(FileFinding)) -> TableCounts {
        let mut counts = TableCounts::default();
        for shared in self.engine.shards() {
            for table in shared.index.table_files().1 {
                counts.tables += 1;
                counts.bytes += table.bytes;
                let what = match guard::file_checksum(&RealDisk, &table.path) {
                    Ok(told) if told == table.checksum => continue,
                    Ok(_) => "a table of the index does not match its checksum".to_owned(),
                    Err(error) => format!("a table of the index cannot be read: {error}"),
                };
                let file = self.scratch.real_path(&table.path, &self.data);
                found(FileFinding { file, offset: 0, what });
            }
        }
        counts
    }

    /// The first partition that has a record, of those above `after`. Blocks.
    ///
    /// # Errors
    /// As [`Index::get`].
    pub fn next_partition(&self, after: Option<Partition>) -> Result<Option<Partition>, ReadError> {
        let (first, last) = value::users();
        let from = after.map_or(first, |partition| value::behind(partition.0));
        let mut lowest: Option<u64> = None;
        for shared in self.engine.shards() {
            if let Some(item) = shared.index.range(&from, &last, shared.index.seq_bound()).next() {
                let (key, _) = item?;
                let found = value::split(&key).map(|(partition, _)| partition);
                lowest = lowest.into_iter().chain(found).min();
            }
        }
        Ok(lowest.map(Partition))
    }

    /// The adopted blobs whose names begin with this byte, in order. Blocks.
    ///
    /// # Errors
    /// What the system says.
    pub fn adopted_blobs(&self, first: u8) -> io::Result<Vec<BlobId>> {
        let folder = self.data.join("blobs").join(format!("{first:02x}"));
        let names = match RealDisk.list(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            told => told?,
        };
        let mut ids: Vec<BlobId> = names.iter().filter_map(|name| blobs::id_of(name)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// What an adopted blob's header says of its owner; `None` when the header is damaged. Blocks.
    ///
    /// # Errors
    /// What the system says.
    pub fn blob_owner(&self, id: BlobId) -> io::Result<Option<Bytes>> {
        let file = RealDisk.open(&self.blob_path(id), Access::Read)?;
        let mut header = vec![0; HEADER_BYTES];
        let read = file.read_at(&mut header, 0)?;
        header.truncate(read);
        Ok(blobs::decode_header(&header, id).map(Bytes::copy_from_slice))
    }

    /// The file of an adopted blob.
    pub fn blob_path(&self, id: BlobId) -> PathBuf {
        let [first, ..] = id.0;
        self.data.join("blobs").join(format!("{first:02x}")).join(id.to_string())
    }
}

fn hold(data: &Path) -> Result<Option<Lock>, OpenError> {
    match layout::hold(data) {
        Ok(lock) => Ok(Some(lock)),
        // Nobody can have such a folder open for writing from here; it may be looked at all the same.
        Err(OpenError::Io { error, .. })
            if matches!(
                error.kind(),
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn check_segments(
    shard: &ShardSeen,
    found: &mut dyn FnMut(FileFinding),
    counts: &mut JournalCounts,
) {
    let mut before: Option<(u64, u32)> = None;
    for (at, segment) in shard.segments.iter().enumerate() {
        let mut told = |offset, what: String| {
            let file = segment::path(&shard.yard.folder, segment.number);
            found(FileFinding { file, offset, what });
        };
        let first_of_next = match shard.segments.get(at + 1) {
            Some(next) => head_at(shard, next, BLOCK_BYTES).unwrap_or_default(),
            None => None,
        };
        let mut offset = BLOCK_BYTES;
        let mut any = false;
        loop {
            let due = before.map(|(number, _)| number + 1);
            if due.is_some() && due == first_of_next.map(|(head, _)| head.number) {
                break;
            }
            let head = match head_at(shard, segment, offset) {
                Ok(head) => head,
                Err(error) => {
                    told(offset, format!("the journal cannot be read here: {error}"));
                    before = None;
                    break;
                }
            };
            let follows = |(head, _): &(Head, u32)| {
                before.is_none_or(|(number, check)| {
                    (head.number, head.previous) == (number + 1, check)
                })
            };
            let Some((head, check)) = head.filter(follows) else {
                // Where nothing follows, the journal ends, and opening the store has judged how.
                if first_of_next.is_some() {
                    told(offset, "a frame of the journal cannot be read".into());
                    before = None;
                }
                break;
            };
            check_frame(shard, at, Located { at, offset, head, check }, &mut told);
            (any, before) = (true, Some((head.number, check)));
            counts.frames += 1;
            counts.bytes = counts.bytes.saturating_add(head.frame_bytes());
            offset = offset.saturating_add(head.frame_bytes());
        }
        counts.segments += u64::from(any);
    }
}

fn check_frame(shard: &ShardSeen, at: usize, frame: Located, told: &mut dyn FnMut(u64, String)) {
    debug_assert_eq!(at, frame.at);
    if frame.head.kind != FrameKind::Group {
        return;
    }
    let number = frame.head.number;
    match recover::read_records(&shard.segments, &frame) {
        Err(error) => told(frame.offset, format!("frame {number} cannot be read: {error}")),
        Ok(Err(what)) => told(frame.offset, format!("frame {number}: {what}")),
        Ok(Ok(records)) => {
            let (count, bytes) = (frame.head.transactions, frame.head.payload_bytes);
            if record::decode_transactions(&records, count, bytes).is_none() {
                told(frame.offset, format!("frame {number}: the records are not of their form"));
            }
        }
    }
}

fn head_at(shard: &ShardSeen, segment: &Segment, offset: u64) -> io::Result<Option<(Head, u32)>> {
    let mut block = vec![0; BLOCK_BYTES as usize];
    let read = segment.file.read_at(&mut block, offset)?;
    block.truncate(read);
    Ok(Head::decode(&block, segment.site(shard.yard.store, offset)))
}

/// A folder that stands in for the data folder; removed in the end.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn make(beneath: &Path, data: &Path, shards: usize) -> Result<Self, OpenError> {
        let random = getrandom::u64().map_err(|error| OpenError::Io {
            path: beneath.into(),
            error: io::Error::other(format!("no random bytes: {error}")),
        })?;
        let folder = beneath.join(format!("ossia-look-{random:016x}"));
        let scratch = Self(folder.clone());
        scratch.fill(data, shards).map_err(OpenError::io(&folder))?;
        Ok(scratch)
    }

    fn fill(&self, data: &Path, shards: usize) -> io::Result<()> {
        make_private_folder(&self.0)?;
        for name in ["blobs", "staging"] {
            link(&data.join(name), &self.0.join(name))?;
        }
        for number in 0..shards {
            let (from, to) = (layout::shard(data, number), layout::shard(&self.0, number));
            fs::create_dir(&to)?;
            for name in ["journal", "values", "reached"] {
                link(&from.join(name), &to.join(name))?;
            }
            for name in ["index", "copies"] {
                copy_files(&from.join(name), &to.join(name))?;
            }
            let tables = from.join("index/tables");
            if tables.try_exists()? {
                fs::create_dir(to.join("index/tables"))?;
                for entry in fs::read_dir(&tables)? {
                    let entry = entry?;
                    link(&entry.path(), &to.join("index/tables").join(entry.file_name()))?;
                }
            }
        }
        Ok(())
    }

    fn real(&self, text: &str, data: &Path) -> String {
        text.replace(&*self.0.to_string_lossy(), &data.to_string_lossy())
    }

    fn real_path(&self, path: &Path, data: &Path) -> PathBuf {
        path.strip_prefix(&self.0).map_or_else(|_| path.into(), |rest| data.join(rest))
    }

    fn real_error(&self, error: OpenError, data: &Path) -> OpenError {
        match error {
            OpenError::Damaged { file, offset, what, advice } => OpenError::Damaged {
                file: self.real_path(&file, data),
                offset,
                what: self.real(&what, data),
                advice: self.real(&advice, data),
            },
            OpenError::Io { path, error } => {
                OpenError::Io { path: self.real_path(&path, data), error }
            }
            other => other,
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Links are removed, not followed. What stays lies where the system keeps what it clears by itself.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A link to what stands there, if something does.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    if !from.try_exists()? {
        return Ok(());
    }
    std::os::unix::fs::symlink(from, to)
}

/// Copies the files of a folder, not its folders.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    if !from.try_exists()? {
        return Ok(());
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// A disk that takes every change to what stands in the data folder as done, and does none. Files that it makes are in the scratch
/// folder, whose own names lead nowhere else.
#[derive(Debug)]
struct DeafDisk {
    scratch: PathBuf,
}

impl DeafDisk {
    /// Whether a name is of a file of the index or its copies, which are the scratch folder's own.
    fn is_own(&self, path: &Path) -> bool {
        let Ok(rest) = path.strip_prefix(&self.scratch) else { return false };
        let kind = rest.iter().nth(1);
        kind.is_some_and(|name| name == "index" || name == "copies") && !path.is_symlink()
    }
}

impl Disk for DeafDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        match access {
            Access::Read => RealDisk.open(path, access),
            _ if self.is_own(path) => RealDisk.open(path, access),
            Access::Write => Ok(Arc::new(DeafFile(RealDisk.open(path, Access::Read)?))),
            Access::Create => Err(only_looked_at()),
        }
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        // Where the name is a link the folder stands.
        RealDisk.make_folder(path)
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.is_own(from) && self.is_own(to) {
            return RealDisk.rename(from, to);
        }
        Err(only_looked_at())
    }

    fn link(&self, _: &Path, _: &Path) -> io::Result<bool> {
        Err(only_looked_at())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.is_own(path) { RealDisk.remove(path) } else { Ok(()) }
    }

    fn remove_folder(&self, _: &Path) -> io::Result<()> {
        Err(only_looked_at())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(folder)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }

    fn share(&self, _: &Path, _: &Path) -> io::Result<bool> {
        Err(only_looked_at())
    }
}

fn only_looked_at() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "the store is only looked at")
}

#[derive(Debug)]
struct DeafFile(Arc<dyn DiskFile>);

impl DiskFile for DeafFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn set_length(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Index for Inspection {
    fn partitions_per_bucket(&self) -> u16 {
        self.engine.partitions_per_bucket()
    }

    fn submit(&self, transaction: Transaction) -> BoxFuture<'_, Result<(), StoreError>> {
        self.engine.submit(transaction)
    }

    fn settle(
        &self,
        partition: Partition,
        token: Token,
    ) -> BoxFuture<'_, Result<Settled, StoreError>> {
        self.engine.settle(partition, token)
    }

    fn get(
        &self,
        partition: Partition,
        key: Bytes,
    ) -> BoxFuture<'_, Result<Option<Record>, ReadError>> {
        self.engine.get(partition, key)
    }

    fn scans(
        &self,
        partition: Partition,
        scans: Vec<Scan>,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>> {
        self.engine.scans(partition, scans)
    }

    fn payloads(
        &self,
        partition: Partition,
        wanted: Vec<(Bytes, PayloadRef)>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ReadError>> {
        self.engine.payloads(partition, wanted)
    }
}

impl Blobs for Inspection {
    fn create(&self, owner: Bytes) -> BoxFuture<'_, Result<Box<dyn BlobWriter>, BlobError>> {
        self.engine.create(owner)
    }

    fn open(&self, id: BlobId) -> BoxFuture<'_, Result<Box<dyn BlobReader>, BlobError>> {
        Blobs::open(&self.engine, id)
    }

    fn adopt(&self, _: BlobId) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async { Err(BlobError::Io(only_looked_at().to_string())) })
    }

    fn delete(&self, _: BlobId) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async { Err(BlobError::Io(only_looked_at().to_string())) })
    }

    fn duplicate(
        &self,
        id: BlobId,
        owner: Bytes,
    ) -> BoxFuture<'_, Result<FinishedBlob, BlobError>> {
        self.engine.duplicate(id, owner)
    }

    fn staged(&self) -> BoxFuture<'_, Result<Vec<StagedBlob>, BlobError>> {
        self.engine.staged()
    }
}

impl Store for Inspection {
    fn health(&self) -> Health {
        Health::Poisoned("the store is only looked at".into())
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.engine.shutdown()
    }
}
