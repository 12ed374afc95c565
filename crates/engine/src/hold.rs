//! Keeping a store's files as they are while somebody copies them: what `ossia backup` stands on.
//!
//! Everything is written once and removed later, so a copy of a store needs no stop: it is enough that nothing is removed while it
//! is made, and that all parts are of one moment. That moment is the journal's end. The order matters:
//!
//! ```text
//! 1. hold      no segment is given up, no file of the value log removed, from now on
//! 2. tables    the tables of the present version, and `current` and the manifest that name them
//! 3. end       where the journal ends now: behind the last group that is durable
//! ```
//!
//! The tables stand on a frame before the end, so segments up to the end continue them: a start from the copy finds what it would
//! find after a crash at that moment, everything that had been acknowledged, in its order, over all shards. Blobs are not this
//! file's: whoever holds keeps them by keeping the reaper from them.
//!
//! The note of how far a journal reaches stays behind: it may know of a frame behind the end. A store that nobody has open has its
//! note copied, so that a loss that a start would see is seen in the copy, too.
//!
//! Segments are held only until [`Hold::segments_copied`]: while they are, writers that fill the journal wait
//! ([`Hold::stops_writers`]).

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::Duration,
};

use crate::{
    LocalEngine, OpenError,
    disk::{Access, Disk, DiskFile, Lock, RealDisk, read_whole},
    journal::{frame::BLOCK_BYTES, segment},
    layout,
    shared::Shared,
    tree::TableFile,
    values,
};

/// How often the tables are asked for again because they changed meanwhile.
const TRIES: usize = 512;
const TRIED_EVERY: Duration = Duration::from_millis(10);

/// A file to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldFile {
    /// Its name in the data folder.
    pub path: PathBuf,
    /// How many of its first bytes belong to the copy; they do not change.
    pub length: u64,
    /// What these bytes are called: two files with one name, whenever asked, have the same bytes. Empty where that cannot be said,
    /// and only the file's own times can tell.
    pub name: String,
}

/// A small file to be copied, with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBytes {
    /// Its name in the data folder.
    pub path: PathBuf,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Keeps the files that a copy of the store needs, for as long as this lives; and says which these are.
#[must_use]
pub struct Hold {
    engine: LocalEngine,
    /// Those of the journal, the oldest first; copy these first.
    pub segments: Vec<HeldFile>,
    /// Those of the index and of the value log.
    pub files: Vec<HeldFile>,
    /// `LAYOUT`, and of each index `current` and the manifest.
    pub small: Vec<HeldBytes>,
    held: bool,
    _tables: Vec<TableFile>,
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold").field("held", &self.held).finish_non_exhaustive()
    }
}

impl LocalEngine {
    /// Keeps the store's files as they are, and lists them. Blocks for a moment.
    ///
    /// # Errors
    /// What the system says, or that the store is closed or poisoned: then what is on its disk is not known.
    pub fn hold(&self) -> io::Result<Hold> {
        for shared in self.shards() {
            shared.span.hold();
        }
        let mut hold = Hold {
            engine: self.clone(),
            segments: Vec::new(),
            files: Vec::new(),
            small: Vec::new(),
            held: true,
            _tables: Vec::new(),
        };
        let folder = match self.shards().next() {
            Some(shared) => shared.options.data.clone(),
            None => return Err(io::Error::other("the store has no shard")),
        };
        for (number, shared) in self.shards().enumerate() {
            hold.tables(&folder, number, shared)?;
        }
        // All ends after all tables, and all at once: a shard tells its end before it answers, so while these are locked nobody hears
        // of anything that could have led to what another shard has behind its own.
        let locked: Vec<_> = self
            .shards()
            .map(|shared| shared.end.lock().unwrap_or_else(PoisonError::into_inner))
            .collect();
        let ends: Vec<(u64, u64)> = locked.iter().map(|end| **end).collect();
        drop(locked);
        for ((number, shared), end) in self.shards().enumerate().zip(ends) {
            hold.values(&folder, number, shared)?;
            hold.journal(&folder, number, shared, end)?;
            // Afterwards: what failed before this was asked has not been taken for durable.
            shared.condition.check().map_err(|why| io::Error::other(why.to_string()))?;
        }
        let path = PathBuf::from("LAYOUT");
        let disk = self.shards().next().map(|shared| Arc::clone(&shared.disk));
        if let Some(disk) = disk {
            let bytes = read_whole(disk.as_ref(), &folder.join(&path), 4_096)?;
            hold.small.push(HeldBytes { path, bytes });
        }
        Ok(hold)
    }
}

impl Hold {
    fn tables(&mut self, folder: &Path, number: usize, shared: &Shared) -> io::Result<()> {
        let index = layout::shard(Path::new(""), number).join("index");
        for _ in 0..TRIES {
            let (version, tables) = shared.index.table_files();
            let Some(small) = shared.index.manifest_of(version)? else {
                // One is being written, which may take as long as a sync does.
                std::thread::sleep(TRIED_EVERY);
                continue;
            };
            let copies = layout::shard(Path::new(""), number).join("copies");
            for (name, bytes) in small {
                self.small.push(HeldBytes { path: copies.join(&name), bytes: bytes.clone() });
                self.small.push(HeldBytes { path: index.join(name), bytes });
            }
            for table in &tables {
                let path = table.path.strip_prefix(folder).unwrap_or(&table.path).to_owned();
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let name = format!("table-{number}-{file}-{:032x}", table.checksum);
                let length = shared.disk.open(&table.path, Access::Read)?.length()?;
                self.files.push(HeldFile { path, length, name });
            }
            self._tables.extend(tables);
            return Ok(());
        }
        Err(io::Error::other("the index changed at each try"))
    }

    fn values(&mut self, folder: &Path, number: usize, shared: &Shared) -> io::Result<()> {
        let beneath = layout::values(&layout::shard(Path::new(""), number));
        let mut names = shared.disk.list(&folder.join(&beneath))?;
        names.retain(|name| values::number_of(name).is_some());
        names.sort_unstable();
        for name in names {
            let path = beneath.join(name);
            let file = shared.disk.open(&folder.join(&path), Access::Read)?;
            // It only grows. What is behind the moment is named by nothing in the copy.
            self.files.push(HeldFile { path, length: file.length()?, name: String::new() });
        }
        Ok(())
    }

    fn journal(
        &mut self,
        folder: &Path,
        number: usize,
        shared: &Shared,
        (last, end): (u64, u64),
    ) -> io::Result<()> {
        let beneath = layout::shard(Path::new(""), number).join("journal");
        for segment in shared.span.first()..=last {
            let path = segment::path(&beneath, segment);
            let file = shared.disk.open(&folder.join(&path), Access::Read)?;
            let length = if segment == last { end } else { without_zeros(file.as_ref())? };
            let name = segment_name(file.as_ref(), number, segment, length)?;
            self.segments.push(HeldFile { path, length, name });
        }
        Ok(())
    }

    /// Whether writers wait for segments that this keeps: their journal is full of them.
    pub fn stops_writers(&self) -> bool {
        self.held && self.engine.shards().any(|shared| shared.span.is_full())
    }

    /// The segments have been copied: the journal goes on being used again.
    pub fn segments_copied(&mut self) {
        if !std::mem::take(&mut self.held) {
            return;
        }
        for shared in self.engine.shards() {
            shared.span.release_segments();
            shared.chores.ask(|asked| asked.evacuate = true);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.segments_copied();
        for shared in self.engine.shards() {
            shared.span.release_values();
        }
    }
}

/// What a data folder is, without opening the store: its id, 32 hex digits, and its format.
///
/// # Errors
/// [`OpenError`], also when there is no store.
pub fn identify(data: &Path) -> Result<(String, u32), OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let layout = layout::read(&disk, data)?;
    Ok((format!("{:032x}", u128::from_be_bytes(layout.store)), layout.format))
}

/// The files of a store that nobody has open, and that nobody can open while this lives.
#[derive(Debug)]
#[must_use]
pub struct AtRest {
    /// Those of the journal, the index and the value log.
    pub files: Vec<HeldFile>,
    /// `LAYOUT`, of each journal how far it reaches, and of each index what names its tables.
    pub small: Vec<HeldBytes>,
    _held: Lock,
}

impl AtRest {
    /// Lists the files as they stand, whatever a crash has left: a start from a copy of them does what one from them would do.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn of(data: &Path) -> Result<Self, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let layout = layout::read(&disk, data)?;
        let _held = layout::hold(data)?;
        let (mut files, mut small) = (Vec::new(), Vec::new());
        let mut read = |path: PathBuf| {
            let from = data.join(&path);
            let bytes = read_whole(&RealDisk, &from, 256 << 20).map_err(OpenError::io(&from))?;
            small.push(HeldBytes { path, bytes });
            Ok::<(), OpenError>(())
        };
        read(PathBuf::from("LAYOUT"))?;
        for number in 0..layout.shards {
            let shard = layout::shard(Path::new(""), number);
            let reached = shard.join("reached");
            if RealDisk.exists(&data.join(&reached)).map_err(OpenError::io(data))? {
                read(reached)?;
            }
            for folder in [shard.join("index"), shard.join("copies")] {
                for path in names(data, &folder)? {
                    read(path)?;
                }
            }
            for folder in ["journal", "index/tables", "values"] {
                for path in names(data, &shard.join(folder))? {
                    let from = data.join(&path);
                    let file = RealDisk.open(&from, Access::Read).map_err(OpenError::io(&from))?;
                    let text = path.file_name().unwrap_or_default().to_string_lossy();
                    let told = match segment::number_of(&text) {
                        Some(segment) => without_zeros(file.as_ref()).and_then(|length| {
                            Ok((length, segment_name(file.as_ref(), number, segment, length)?))
                        }),
                        None => file.length().map(|length| (length, String::new())),
                    };
                    let (length, name) = told.map_err(OpenError::io(&from))?;
                    files.push(HeldFile { path, length, name });
                }
            }
        }
        Ok(Self { files, small, _held })
    }
}

/// What the first bytes of a segment are called: a frame that stands is not changed, and each use of a file has a salt of its own.
fn segment_name(
    file: &dyn DiskFile,
    shard: usize,
    segment: u64,
    length: u64,
) -> io::Result<String> {
    let mut salt = [0; 8];
    file.read_at(&mut salt, segment::SALT_AT)?;
    let salt = u64::from_le_bytes(salt);
    Ok(format!("segment-{shard}-{segment:016x}-{salt:016x}-{length:x}"))
}

/// The length of a segment without the zeros at its end, which a reader takes for granted.
fn without_zeros(file: &dyn DiskFile) -> io::Result<u64> {
    const WINDOW_BYTES: u64 = 1 << 20;
    let mut end = file.length()?;
    while end > 0 {
        let start = end.saturating_sub(1) / WINDOW_BYTES * WINDOW_BYTES;
        let mut window = vec![0; usize::try_from(end - start).unwrap_or(0)];
        let read = file.read_at(&mut window, start)?;
        window.truncate(read);
        if let Some(last) = window.iter().rposition(|&byte| byte != 0) {
            let used = start + last as u64 + 1;
            return Ok(used.next_multiple_of(BLOCK_BYTES).min(end));
        }
        end = start;
    }
    Ok(0)
}

/// The finished files of a folder, in order.
fn names(data: &Path, folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let from = data.join(folder);
    let mut names = match RealDisk.list(&from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        told => told.map_err(OpenError::io(&from))?,
    };
    names.retain(|name| !name.ends_with(".new"));
    names.sort_unstable();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}
