//! Segments: the files that the journal is made of.
//!
//! ```text
//! journal/0000000000000001.seg          16 hex digits: the segment's number
//! +-----------------+---------+---------+ ... +-------------------+
//! | header, 4,096   | frame   | frame   |     | zeros to the end  |
//! +-----------------+---------+---------+ ... +-------------------+
//!
//! header
//!  0 magic       8   "OSSIAJNL"
//!  8 version     4   1
//! 12 reserved    4   zero
//! 16 store      16   the store's id
//! 32 number      8   as in the name, from 1, never used again
//! 40 salt        8   random
//! 48 reserved    8   zero
//! 56 check       4   crc32c of header 0..56
//! 60 reserved    to 4,096, zero
//! ```
//!
//! A segment is made of a file that was given up, where there is one: its name is taken away first, durably, then it gets a new
//! header with a new salt, under which nothing that lies in it is a frame. Else it is made as `.new`, filled with zeros, synced with
//! its header, and only then gets its name: so a `.seg` whose header does not read is damage, never a crash. Zeros are there for
//! speed (a sync need not write the file's own data) and no more: a file that ends early reads as zeros, and a frame longer than a
//! segment simply makes its segment longer.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ossia_store::mutants::{self, Mutant};

use super::{
    frame::{BLOCK_BYTES, Site},
    reached::{self, Reached},
};
use crate::{
    codec::{Reader, numbered},
    disk::{Access, Disk, DiskFile, is_full},
};

const MAGIC: [u8; 8] = *b"OSSIAJNL";
const VERSION: u32 = 1;
pub(crate) const CHECK_AT: usize = 56;
/// Where the salt stands in the header.
pub(crate) const SALT_AT: u64 = 40;
/// Zeros are written in pieces of this size.
const FILL_BYTES: usize = 1 << 20;
/// The first segment of a start that finds no spare one is no longer than this, so that the start is quick.
pub(crate) const START_SEGMENT_BYTES: u64 = 4 << 20;

/// How long a full medium is taken at its word before the next try to make a segment: each try writes until there is no room.
const FULL_GOOD_FOR: Duration = Duration::from_millis(500);

/// An open segment.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) salt: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    /// The file's length when it was opened or made.
    pub(crate) bytes: u64,
}

impl Segment {
    pub(crate) fn site(&self, store: [u8; 16], offset: u64) -> Site {
        Site { store, segment: self.number, salt: self.salt, offset }
    }
}

/// Opens segments' files when they are used, and holds one open at a time: there may be more segments than a process may have files.
#[derive(Debug)]
pub(crate) struct Opener {
    yard: Yard,
    last: Mutex<Option<(u64, Arc<dyn DiskFile>)>>,
}

impl Opener {
    pub(crate) fn new(yard: &Yard) -> Arc<Self> {
        Arc::new(Self { yard: yard.clone(), last: Mutex::default() })
    }

    /// A segment's file, which must stand.
    pub(crate) fn file(self: &Arc<Self>, number: u64) -> Arc<dyn DiskFile> {
        Arc::new(OnDemand { opener: Arc::clone(self), number })
    }

    fn open(&self, number: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, file)) = &*last
            && *of == number
        {
            return Ok(Arc::clone(file));
        }
        let file = self.yard.disk.open(&path(&self.yard.folder, number), Access::Write)?;
        *last = Some((number, Arc::clone(&file)));
        Ok(file)
    }
}

#[derive(Debug)]
struct OnDemand {
    opener: Arc<Opener>,
    number: u64,
}

impl DiskFile for OnDemand {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.opener.open(self.number)?.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.opener.open(self.number)?.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.opener.open(self.number)?.sync()
    }

    fn length(&self) -> io::Result<u64> {
        self.opener.open(self.number)?.length()
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.opener.open(self.number)?.set_length(bytes)
    }
}

/// The name of a segment's file.
pub(crate) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.seg"))
}

/// The segment that a file name stands for.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    numbered(name, ".seg")
}

pub(crate) fn encode_header(store: [u8; 16], number: u64, salt: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK_BYTES as usize);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(store);
    bytes.extend(number.to_le_bytes());
    bytes.extend(salt.to_le_bytes());
    bytes.extend([0; 8]);
    let check = crc32c::crc32c(&bytes);
    bytes.extend(check.to_le_bytes());
    bytes.resize(BLOCK_BYTES as usize, 0);
    bytes
}

/// The salt in a header, or what is wrong with it.
pub(crate) fn decode_header(
    bytes: &[u8],
    store: [u8; 16],
    number: u64,
) -> Result<u64, &'static str> {
    let short = "the segment header is cut short";
    let bytes = bytes.get(..BLOCK_BYTES as usize).ok_or(short)?;
    let mut reader = Reader(bytes);
    let checked = bytes.get(..CHECK_AT).ok_or(short)?;
    let check = Reader(bytes.get(CHECK_AT..).ok_or(short)?).u32().ok_or(short)?;
    if reader.array() != Some(MAGIC) || crc32c::crc32c(checked) != check {
        return Err("the segment header does not match its checksum");
    }
    if reader.u32() != Some(VERSION) {
        return Err("the segment has a version that this program does not know");
    }
    reader.reserved(4).ok_or("reserved bytes of the segment header are set")?;
    if reader.array() != Some(store) {
        return Err("the segment belongs to another store");
    }
    if reader.u64() != Some(number) {
        return Err("the segment header names another number than the file");
    }
    let salt = reader.u64().ok_or(short)?;
    reader.reserved(8).ok_or("reserved bytes of the segment header are set")?;
    reader.u32().ok_or(short)?;
    reader.reserved(reader.0.len()).ok_or("bytes behind the segment header are set")?;
    Ok(salt)
}

/// Where segments are made.
#[derive(Debug, Clone)]
pub(crate) struct Yard {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) store: [u8; 16],
}

impl Yard {
    /// Makes a segment, durably; one of that number that holds nothing is replaced.
    pub(crate) fn prepare(&self, number: u64, bytes: u64) -> io::Result<Segment> {
        let scratch = self.folder.join(format!("{number:016x}.new"));
        let made = self.fill(&scratch, number, bytes);
        if made.is_err() {
            // What is left would only take room; the next start removes it, too.
            let _ = self.disk.remove(&scratch);
        }
        let (file, salt) = made?;
        self.disk.rename(&scratch, &path(&self.folder, number))?;
        self.sync_name()?;
        Ok(Segment { number, salt, file, bytes })
    }

    /// Makes a segment of one that was given up, durably. Nothing but the old name is left of that when this fails.
    fn recycle(&self, given_up: u64, number: u64, bytes: u64) -> io::Result<Segment> {
        let scratch = self.folder.join(format!("{number:016x}.new"));
        self.disk.rename(&path(&self.folder, given_up), &scratch)?;
        // A file under the old name with a new header would be damage. That the medium is full is no excuse from here on.
        self.disk.sync_folder(&self.folder).map_err(|error| io::Error::other(error.to_string()))?;
        let made = self.refill(&scratch, number, bytes);
        if made.is_err() {
            let _ = self.disk.remove(&scratch);
        }
        let (file, salt, bytes) = made?;
        self.disk.rename(&scratch, &path(&self.folder, number))?;
        self.sync_name()?;
        Ok(Segment { number, salt, file, bytes })
    }

    /// Makes a segment's name durable.
    fn sync_name(&self) -> io::Result<()> {
        if mutants::on(Mutant::SegmentFolderUnsynced) {
            return Ok(());
        }
        self.disk.sync_folder(&self.folder)
    }

    fn refill(
        &self,
        scratch: &Path,
        number: u64,
        bytes: u64,
    ) -> io::Result<(Arc<dyn DiskFile>, u64, u64)> {
        let salt = new_salt()?;
        let file = self.disk.open(scratch, Access::Write)?;
        file.write_at(&encode_header(self.store, number, salt), 0)?;
        let length = file.length()?;
        if length > bytes {
            // A frame that was longer than a segment had made it so.
            file.set_length(bytes)?;
        }
        zeros(file.as_ref(), length.max(BLOCK_BYTES), bytes)?;
        file.sync()?;
        Ok((file, salt, bytes))
    }

    /// Removes a segment that was given up.
    fn discard(&self, given_up: u64) -> io::Result<()> {
        match self.disk.remove(&path(&self.folder, given_up)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.disk.sync_folder(&self.folder)
    }

    /// Whether a segment may have its name still.
    fn stands(&self, number: u64) -> bool {
        self.disk.exists(&path(&self.folder, number)).unwrap_or(true)
    }

    /// A segment that recovery has looked at, its file held open from now on.
    pub(crate) fn keep_open(&self, segment: &Segment) -> io::Result<Segment> {
        let file = self.disk.open(&path(&self.folder, segment.number), Access::Write)?;
        Ok(Segment { file, ..segment.clone() })
    }

    fn fill(
        &self,
        scratch: &Path,
        number: u64,
        bytes: u64,
    ) -> io::Result<(Arc<dyn DiskFile>, u64)> {
        let salt = new_salt()?;
        let file = self.disk.open(scratch, Access::Create)?;
        file.write_at(&encode_header(self.store, number, salt), 0)?;
        zeros(file.as_ref(), BLOCK_BYTES, bytes)?;
        file.sync()?;
        Ok((file, salt))
    }
}

fn new_salt() -> io::Result<u64> {
    getrandom::u64().map_err(|error| io::Error::other(format!("no random bytes: {error}")))
}

fn zeros(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; FILL_BYTES];
    let mut offset = from;
    while offset < to {
        let count = usize::try_from(to - offset).map_or(FILL_BYTES, |c| c.min(FILL_BYTES));
        file.write_at(zeros.get(..count).unwrap_or(&zeros), offset)?;
        // Piece by piece: a whole segment at once would keep the medium from the commits' own syncs for a tenth of a second.
        file.sync()?;
        offset += count as u64;
    }
    Ok(())
}

/// Why there is no next segment.
#[derive(Debug, Clone)]
pub(crate) enum NoSpare {
    /// The medium is full; another try may succeed.
    Full(String),
    /// The medium failed.
    Failed(String),
    /// The store is closing.
    Stopped,
}

/// Segments made ahead of their use, by a thread of their own.
#[derive(Debug)]
pub(crate) struct Spares {
    yard: Yard,
    bytes: u64,
    /// Files that were given up are kept for later use up to this number.
    keep_max: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// The last frame that was noted; held while a note is written.
    noted: Mutex<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// How far the journal reaches, to be noted.
    note: Option<Reached>,
    ready: VecDeque<Segment>,
    /// Segments that were given up and still have their names, oldest first. Only the maker takes those away, in this order: a gap
    /// between the names that stand would be taken for a loss.
    given_up: VecDeque<u64>,
    wanted: Option<u64>,
    failed: Option<NoSpare>,
    /// A name was taken away, and whether that lasts is not known: another one taken away after it could leave a gap.
    broken: Option<String>,
    /// When the medium was last found full, and what it said.
    full: Option<(Instant, String)>,
    stopped: bool,
}

impl State {
    fn still_full(&self) -> Option<NoSpare> {
        let (when, what) = self.full.as_ref()?;
        (when.elapsed() < FULL_GOOD_FOR).then(|| NoSpare::Full(what.clone()))
    }
}

impl Spares {
    pub(crate) fn new(yard: Yard, bytes: u64, keep_max: usize, ready: VecDeque<Segment>) -> Self {
        let state = Mutex::new(State { ready, ..State::default() });
        Self { yard, bytes, keep_max, state, changed: Condvar::new(), noted: Mutex::default() }
    }

    /// Has it noted how far the journal reaches; not by the caller, who has better things to do.
    pub(crate) fn note_soon(&self, reached: Reached) {
        self.lock().note = Some(reached);
        self.changed.notify_all();
    }

    /// Notes it now. Where that fails the older note stands, which is as true.
    pub(crate) fn note(&self, reached: Reached) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if *noted >= reached.number {
            return;
        }
        match reached::write(&self.yard, reached) {
            Ok(()) => *noted = reached.number,
            Err(error) => tracing::warn!(%error, "could not note how far the journal reaches"),
        }
    }

    /// Takes over the file of a segment that was given up; they come in order.
    pub(crate) fn give_up(&self, number: u64) {
        self.lock().given_up.push_back(number);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has segment `number` made, unless it is there.
    pub(crate) fn ask(&self, number: u64) {
        let mut state = self.lock();
        let there = state.ready.iter().any(|segment| segment.number == number);
        if !there && state.still_full().is_none() {
            state.wanted = Some(number);
            self.changed.notify_all();
        }
    }

    /// Segment `number`; waits while it is being made, which is as fast as the medium writes.
    pub(crate) fn take(&self, number: u64) -> Result<Segment, NoSpare> {
        let mut state = self.lock();
        state.failed = None;
        loop {
            if let Some(at) = state.ready.iter().position(|segment| segment.number == number) {
                return state.ready.remove(at).ok_or(NoSpare::Stopped);
            }
            if let Some(what) = &state.broken {
                return Err(NoSpare::Failed(what.clone()));
            }
            if let Some(why) = state.failed.take() {
                return Err(why);
            }
            if state.stopped {
                return Err(NoSpare::Stopped);
            }
            if state.wanted.is_none() {
                if let Some(full) = state.still_full() {
                    return Err(full);
                }
                state.wanted = Some(number);
                self.changed.notify_all();
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The maker's thread.
    pub(crate) fn run(&self) {
        // However this ends, nobody may wait for it any more.
        struct End<'a>(&'a Spares);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.stop();
            }
        }
        let _end = End(self);
        let mut state = self.lock();
        while !state.stopped && state.broken.is_none() {
            let Some(number) = state.wanted else {
                if let Some(reached) = state.note.take() {
                    drop(state);
                    self.note(reached);
                    state = self.lock();
                    continue;
                }
                state = match state.given_up.front().copied() {
                    Some(surplus) if state.given_up.len() > self.keep_max => {
                        drop(state);
                        let discarded = self.yard.discard(surplus);
                        let mut state = self.lock();
                        match discarded {
                            Ok(()) => drop(state.given_up.pop_front()),
                            Err(error) => {
                                tracing::warn!(%error, segment = surplus, "could not remove a segment");
                                // Whatever was told meanwhile was told to nobody.
                                if !state.stopped && state.wanted.is_none() {
                                    state = self.wait(state);
                                }
                            }
                        }
                        state
                    }
                    _ => self.wait(state),
                };
                continue;
            };
            let old = state.given_up.front().copied();
            drop(state);
            let made = match old {
                Some(old) => self.yard.recycle(old, number, self.bytes),
                None => self.yard.prepare(number, self.bytes),
            };
            let gone = old.is_some_and(|old| made.is_ok() || !self.yard.stands(old));
            state = self.lock();
            state.wanted = None;
            if gone {
                state.given_up.pop_front();
                state.broken = made.as_ref().err().filter(|error| !is_full(error)).map(|error| {
                    format!("making a segment of one that was given up failed: {error}")
                });
            }
            match made {
                Ok(segment) => state.ready.push_back(segment),
                Err(error) if is_full(&error) => {
                    state.full = Some((Instant::now(), error.to_string()));
                    state.failed = Some(NoSpare::Full(error.to_string()));
                }
                Err(error) => state.failed = Some(NoSpare::Failed(error.to_string())),
            }
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        let name = path(Path::new(""), 0x2a);
        assert_eq!(name.to_str(), Some("000000000000002a.seg"));
        assert_eq!(number_of("000000000000002a.seg"), Some(0x2a));
        for odd in
            ["2a.seg", "000000000000002A.seg", "000000000000002a.new", "+00000000000002a.seg"]
        {
            assert_eq!(number_of(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_segment_that_could_not_be_used_again_is_the_next_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(crate::disk::RealDisk);
        let yard = Yard { disk, folder: folder.path().into(), store: [1; 16] };
        for number in 1..=3 {
            yard.prepare(number, 16 << 10).unwrap();
        }
        let spares = Spares::new(yard, 16 << 10, 8, VecDeque::new());
        std::thread::scope(|scope| {
            scope.spawn(|| spares.run());
            spares.give_up(1);
            spares.give_up(2);
            // No file can take the place of a folder.
            let in_the_way = folder.path().join("0000000000000004.new");
            std::fs::create_dir(&in_the_way).unwrap();
            assert!(matches!(spares.take(4), Err(NoSpare::Failed(_))));
            std::fs::remove_dir(&in_the_way).unwrap();
            spares.take(4).unwrap();
            spares.stop();
        });
        let stands = |number: u64| path(folder.path(), number).exists();
        // Without the second a start would miss it, and refuse.
        assert_eq!([1, 2, 3, 4].map(stands), [false, true, true, true]);
    }

    #[test]
    fn a_damaged_or_foreign_header_is_told() {
        let header = encode_header([1; 16], 5, 77);
        assert_eq!(decode_header(&header, [1; 16], 5), Ok(77));
        assert!(decode_header(&header, [2; 16], 5).is_err());
        assert!(decode_header(&header, [1; 16], 6).is_err());
        assert!(decode_header(&header[..4_095], [1; 16], 5).is_err());
        for at in 0..header.len() {
            let mut damaged = header.clone();
            damaged[at] ^= 1;
            assert!(decode_header(&damaged, [1; 16], 5).is_err(), "byte {at}");
        }
    }
}
