//! A disk that counts, and that fails when it is told to.

use std::{
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use ossia_engine::disk::{Access, Disk, DiskFile, RealDisk};

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Write,
    Sync,
    Rename,
    SyncFolder,
}

#[derive(Debug, Default)]
struct State {
    writes: usize,
    syncs: usize,
    /// Fails the n-th from now, and with it every later one.
    fail: Option<(Op, usize)>,
    error: Option<io::ErrorKind>,
    /// Only paths that contain this are counted and fail.
    within: String,
    free_bytes: Option<u64>,
    /// Syncs wait while this is set; how many do.
    hold: bool,
    held: usize,
    /// Files of the journal that are open, and the most there have been at once.
    open: usize,
    most_open: usize,
    no_links: bool,
    synced_folders: Vec<std::path::PathBuf>,
    /// Nothing is ever at hand.
    reads_wait: bool,
    /// Reads that could not wait, and those that could.
    reads: (usize, usize),
    /// The next read over this place finds a bit flipped.
    misread: Option<(std::path::PathBuf, u64)>,
    /// Where the journal was written.
    written: Vec<(std::path::PathBuf, u64)>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct FaultyDisk(Arc<(Mutex<State>, Condvar)>);

impl FaultyDisk {
    /// Fails operation number `at` (0 is the next) of this kind on paths with `within`, and all after it.
    pub(crate) fn fail(&self, op: Op, at: usize, within: &str, error: io::ErrorKind) {
        let mut state = self.0.0.lock().unwrap();
        state.fail = Some((op, at));
        (state.error, state.within) = (Some(error), within.into());
    }

    /// Lets no sync go on until told otherwise.
    pub(crate) fn hold_syncs(&self, hold: bool) {
        self.0.0.lock().unwrap().hold = hold;
        self.0.1.notify_all();
    }

    /// How many syncs wait.
    pub(crate) fn held(&self) -> usize {
        self.0.0.lock().unwrap().held
    }

    pub(crate) fn heal(&self) {
        self.0.0.lock().unwrap().fail = None;
    }

    pub(crate) fn set_free_bytes(&self, bytes: Option<u64>) {
        self.0.0.lock().unwrap().free_bytes = bytes;
    }

    pub(crate) fn syncs(&self) -> usize {
        self.0.0.lock().unwrap().syncs
    }

    pub(crate) fn writes(&self) -> usize {
        self.0.0.lock().unwrap().writes
    }

    pub(crate) fn without_links(&self) {
        self.0.0.lock().unwrap().no_links = true;
    }

    pub(crate) fn synced_folders(&self) -> Vec<std::path::PathBuf> {
        self.0.0.lock().unwrap().synced_folders.clone()
    }

    /// The places at which writes to the journal began.
    pub(crate) fn written(&self) -> Vec<(std::path::PathBuf, u64)> {
        self.0.0.lock().unwrap().written.clone()
    }

    /// Makes every read one that has to wait, or not.
    pub(crate) fn let_reads_wait(&self, wait: bool) {
        self.0.0.lock().unwrap().reads_wait = wait;
    }

    /// How many reads there were since the last call: those that could not wait and were served, and those that could.
    pub(crate) fn reads(&self) -> (usize, usize) {
        std::mem::take(&mut self.0.0.lock().unwrap().reads)
    }

    /// Flips a bit of this byte in the next read that holds it; the disk keeps the right one.
    pub(crate) fn misread(&self, path: &Path, offset: u64) {
        self.0.0.lock().unwrap().misread = Some((path.into(), offset));
    }

    /// Whether a [`Self::misread`] still waits for its read.
    pub(crate) fn misread_is_due(&self) -> bool {
        self.0.0.lock().unwrap().misread.is_some()
    }

    /// The most files of the journal that were open at once.
    pub(crate) fn most_open(&self) -> usize {
        self.0.0.lock().unwrap().most_open
    }

    /// Waits until there have been this many syncs; whether that came to be.
    pub(crate) fn wait_for_syncs(&self, count: usize) -> bool {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut state = self.0.0.lock().unwrap();
        while state.syncs < count {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.0.1.wait_timeout(state, left).unwrap().0;
        }
        true
    }

    fn step(&self, op: Op, path: &Path) -> io::Result<()> {
        let mut state = self.0.0.lock().unwrap();
        if op == Op::Sync && state.hold {
            state.held += 1;
            state = self.0.1.wait_while(state, |state| state.hold).unwrap();
            state.held -= 1;
        }
        match op {
            Op::Write => state.writes += 1,
            Op::Sync => state.syncs += 1,
            Op::Rename | Op::SyncFolder => {}
        }
        self.0.1.notify_all();
        let within = path.to_str().unwrap().contains(&state.within);
        if let Some((of, left)) = &mut state.fail
            && *of == op
            && within
        {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => return Err(io::Error::new(state.error.unwrap(), "on purpose")),
            }
        }
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let file = RealDisk.open(path, access)?;
        if path.to_str().unwrap().contains("journal") {
            let mut state = self.0.0.lock().unwrap();
            state.open += 1;
            state.most_open = state.most_open.max(state.open);
        }
        Ok(Arc::new(FaultyFile { disk: self.clone(), path: path.into(), file }))
    }
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.make_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step(Op::SyncFolder, path)?;
        self.0.0.lock().unwrap().synced_folders.push(path.into());
        RealDisk.sync_folder(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Op::Rename, from)?;
        RealDisk.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<bool> {
        if self.0.0.lock().unwrap().no_links {
            return Ok(false);
        }
        RealDisk.link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_folder(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(folder)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        match self.0.0.lock().unwrap().free_bytes {
            Some(bytes) => Ok(bytes),
            None => RealDisk.free_bytes(path),
        }
    }
    fn share(&self, from: &Path, to: &Path) -> io::Result<bool> {
        RealDisk.share(from, to)
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    path: std::path::PathBuf,
    file: Arc<dyn DiskFile>,
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        if self.path.to_str().unwrap().contains("journal") {
            self.disk.0.0.lock().unwrap().open -= 1;
        }
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        // Background work reads other files, and when it likes.
        let path = self.path.to_str().unwrap();
        if path.ends_with(".seg") || path.contains("/blobs/") {
            self.disk.0.0.lock().unwrap().reads.1 += 1;
        }
        let read = self.file.read_at(buffer, offset)?;
        let mut state = self.disk.0.0.lock().unwrap();
        if let Some((wrong, at)) = &state.misread
            && *wrong == self.path
            && (offset..offset + read as u64).contains(at)
        {
            buffer[(at - offset) as usize] ^= 0x10;
            state.misread = None;
        }
        Ok(read)
    }
    fn read_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        if self.disk.0.0.lock().unwrap().reads_wait {
            // Whoever would use it all the same is found out.
            buffer.fill(0xa5);
            return Ok(false);
        }
        self.disk.0.0.lock().unwrap().reads.0 += 1;
        // Not every file system can tell; then the answer is the same, and later.
        Ok(self.file.read_now(buffer, offset)?
            || self.file.read_at(buffer, offset)? == buffer.len())
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.path.to_str().unwrap().contains("journal") {
            self.disk.0.0.lock().unwrap().written.push((self.path.clone(), offset));
        }
        if let Err(error) = self.disk.step(Op::Write, &self.path) {
            // A failed write may still have written a part.
            self.file.write_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(error);
        }
        self.file.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()?;
        self.disk.step(Op::Sync, &self.path)
    }
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.file.set_length(bytes)
    }
}
