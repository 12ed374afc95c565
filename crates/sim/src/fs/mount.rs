//! The disk as a mounted file system.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::content::BLOCK_BYTES;
use super::disk::{CutReport, Disk, Facts, Refusal};
use super::faults::{Call, Counts, CutPoint, Effect, Fault, Faults};
use crate::random::Random;

/// Calls that are under way at once.
const THREADS: usize = 8;
/// The kernel asks anew each time: a cut changes everything behind its back.
const TTL: Duration = Duration::ZERO;
/// How long the kernel may take to let go of a mount.
const UNMOUNT_MAX: Duration = Duration::from_secs(20);
/// How the folders of mounts begin.
const PREFIX: &str = "ossia-sim-";

/// What a file system is made as.
#[derive(Debug, Clone, Copy)]
pub struct SimOptions {
    /// Its size in bytes. Everything is in memory, at most twice.
    pub capacity_bytes: u64,
    /// Whether a new sector that was never written may hold, after a cut, what a removed file left there.
    pub stale: bool,
    /// Whether a sync of a file makes its names durable too.
    pub sync_names: bool,
}

impl Default for SimOptions {
    fn default() -> Self {
        SimOptions { capacity_bytes: 2 << 30, stale: true, sync_names: false }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Running,
    /// The power is gone: calls hang.
    Frozen,
    /// Those who hung are told, so that they can die.
    Dead,
}

/// Answers a call that will never be done.
type Held = Box<dyn FnOnce(Errno) + Send>;

struct State {
    disk: Disk,
    mode: Mode,
    held: Vec<Held>,
    cut_at: Option<CutPoint>,
    faults: Faults,
    counts: Counts,
    random: Random,
    /// Open files and folders; for a folder what it held when it was opened.
    handles: HashMap<u64, (u64, Listing)>,
    next_handle: u64,
}

type Listing = Vec<(OsString, u64, bool)>;

struct Shared {
    state: Mutex<State>,
    frozen: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mounted file system. Dropping it unmounts it; no process may be on it by then.
pub struct SimFs {
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
    folder: PathBuf,
}

impl SimFs {
    /// Mounts an empty file system in a new folder below the system's temporary one.
    ///
    /// # Errors
    /// What the system says, such as that FUSE is absent or that this user may not mount.
    pub fn mount(options: SimOptions) -> io::Result<SimFs> {
        let mut disk = Disk::new(options.capacity_bytes);
        (disk.stale, disk.sync_names) = (options.stale, options.sync_names);
        let state = State {
            disk,
            mode: Mode::Running,
            held: Vec::new(),
            cut_at: None,
            faults: Faults::default(),
            counts: Counts::default(),
            random: Random::new(0),
            handles: HashMap::new(),
            next_handle: 1,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), frozen: Condvar::new() });
        clear_away();
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir()?.keep();
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("ossia-sim".into()), MountOption::NoAtime];
        config.n_threads = Some(THREADS);
        let mounted = fuser::spawn_mount(Served(Arc::clone(&shared)), &folder, &config);
        match mounted {
            Ok(session) => Ok(SimFs { shared, session: Some(session), folder }),
            Err(error) => {
                std::fs::remove_dir(&folder)?;
                let needs = "it needs /dev/fuse, and to be root";
                Err(io::Error::new(error.kind(), format!("cannot mount: {error}; {needs}")))
            }
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Makes it empty, without faults, and of the given size in bytes. Nothing may be open on it.
    pub fn reset(&self, capacity_bytes: u64) {
        let mut state = self.shared.lock();
        state.disk.clear();
        state.disk.set_capacity(capacity_bytes);
        state.faults.clear();
        state.run();
    }

    /// The power goes: every call from now on hangs, until [`Self::let_go`].
    pub fn freeze(&self) {
        self.shared.lock().mode = Mode::Frozen;
        self.shared.frozen.notify_all();
    }

    /// The power is to go at this call.
    pub fn freeze_at(&self, point: CutPoint) {
        self.shared.lock().cut_at = Some(point);
    }

    /// Waits until the power is gone, at most so long; whether it is.
    pub fn wait_frozen(&self, at_most: Duration) -> bool {
        let state = self.shared.lock();
        let running = |state: &mut State| state.mode == Mode::Running;
        let waited = self.shared.frozen.wait_timeout_while(state, at_most, running);
        waited.unwrap_or_else(PoisonError::into_inner).0.mode != Mode::Running
    }

    /// Fails all calls that hang. A killed process ends only then; it must have been sent its SIGKILL before, so that it sees
    /// nothing of it.
    pub fn let_go(&self) {
        let held = {
            let mut state = self.shared.lock();
            state.mode = Mode::Dead;
            std::mem::take(&mut state.held)
        };
        for answer in held {
            answer(Errno::EIO);
        }
    }

    /// Leaves of what was not synced what a cut leaves, and goes on. The process must have ended.
    pub fn cut(&self, seed: u64) -> CutReport {
        let mut state = self.shared.lock();
        let report = state.disk.cut(&mut Random::new(seed));
        state.run();
        report
    }

    /// Goes on with everything that was written, as after the end of a process alone. It must have ended.
    pub fn revive(&self) {
        let mut state = self.shared.lock();
        state.disk.close_all();
        state.run();
    }

    /// Adds a fault, counted from now on.
    pub fn add_fault(&self, fault: Fault) {
        self.shared.lock().faults.add(fault);
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// How many calls have met a fault since faults were last cleared.
    pub fn faults_met(&self) -> u64 {
        self.shared.lock().faults.met()
    }

    /// Changes the size. What is there stays, also when it takes more.
    pub fn set_capacity(&self, bytes: u64) {
        self.shared.lock().disk.set_capacity(bytes);
    }

    /// Bytes that files take.
    pub fn taken_bytes(&self) -> u64 {
        let (all, free) = self.shared.lock().disk.room();
        (all - free) * BLOCK_BYTES as u64
    }

    /// Calls seen.
    pub fn counts(&self) -> Counts {
        self.shared.lock().counts
    }

    /// Turns over one bit of a file, given by its path below the mount, for good; `false` where there is no such byte.
    pub fn flip(&self, path: &str, offset: u64, bit: u8) -> bool {
        let mut state = self.shared.lock();
        let found = state.disk.find(path);
        found.and_then(|inode| state.disk.flip(inode, offset, bit)).unwrap_or(false)
    }

    /// The random numbers for faults.
    pub fn seed_faults(&self, seed: u64) {
        self.shared.lock().random = Random::new(seed);
    }
}

/// Takes away the mounts of processes that were killed: nobody else would. What can be done about one that stays is nothing.
fn clear_away() {
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        // The kernel's word for a mount whose process has ended.
        let gone = rustix::io::Errno::NOTCONN.raw_os_error();
        if std::fs::metadata(entry.path()).is_err_and(|error| error.raw_os_error() == Some(gone)) {
            let _ = rustix::mount::unmount(entry.path(), rustix::mount::UnmountFlags::DETACH);
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

impl Drop for SimFs {
    fn drop(&mut self) {
        self.let_go();
        let Some(session) = self.session.take() else { return };
        let deadline = Instant::now() + UNMOUNT_MAX;
        // A process that was killed may still be letting go of its files.
        loop {
            match rustix::mount::unmount(&self.folder, rustix::mount::UnmountFlags::empty()) {
                Err(rustix::io::Errno::BUSY) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) => {
                    let detach = rustix::mount::UnmountFlags::DETACH;
                    let _ = rustix::mount::unmount(&self.folder, detach);
                    break;
                }
                Ok(()) => break,
            }
        }
        // The session has ended with the mount; what it says of that is of no use to anyone.
        let _ = session.join();
        let _ = std::fs::remove_dir(&self.folder);
    }
}

impl State {
    fn run(&mut self) {
        self.mode = Mode::Running;
        self.cut_at = None;
        self.counts = Counts::default();
        self.handles.clear();
    }

    /// Whether this call is the one at which the power goes, and whether it is still done.
    fn cuts(&mut self, call: Call) -> Option<bool> {
        let point = self.cut_at.as_mut().filter(|point| point.call == call)?;
        point.number = point.number.saturating_sub(1);
        (point.number == 0).then_some(point.done)
    }

    fn handle(&mut self, inode: u64, listing: Listing) -> FileHandle {
        let handle = self.next_handle;
        self.next_handle += 1;
        self.handles.insert(handle, (inode, listing));
        FileHandle(handle)
    }
}

/// An answer that can be a refusal.
trait Answer: Send + Sized + 'static {
    fn refuse(self, errno: Errno);
}

macro_rules! answers {
    ($($reply:ty),*) => {
        $(impl Answer for $reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        })*
    };
}
answers!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyEmpty,
    ReplyEntry,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite
);

impl From<Refusal> for Errno {
    fn from(refusal: Refusal) -> Errno {
        match refusal {
            Refusal::NotFound => Errno::ENOENT,
            Refusal::Exists => Errno::EEXIST,
            Refusal::NotAFolder => Errno::ENOTDIR,
            Refusal::IsAFolder => Errno::EISDIR,
            Refusal::NotEmpty => Errno::ENOTEMPTY,
            Refusal::Full => Errno::ENOSPC,
        }
    }
}

/// What the kernel speaks to.
struct Served(Arc<Shared>);

impl Served {
    /// Forgets a handle of a file or folder that was closed, and lets the disk drop what nobody can reach any more.
    fn let_handle_go(&self, handle: FileHandle) {
        let mut state = self.0.lock();
        if let Some((inode, _)) = state.handles.remove(&handle.0) {
            state.disk.released(inode);
        }
    }

    /// Does a call under the lock, unless the power is gone or a fault is due, and answers it.
    fn serve<R: Answer, T>(
        &self,
        call: Call,
        inode: u64,
        reply: R,
        work: impl FnOnce(&mut State, bool) -> Result<T, Refusal>,
        answer: impl FnOnce(R, T),
    ) {
        let mut state = self.0.lock();
        let mut effect = None;
        if state.mode == Mode::Running {
            state.counts.add(call);
            let State { faults, disk, .. } = &mut *state;
            effect = faults.meet(call, disk.path(inode));
            if let Some(Effect::Slow(time)) = effect {
                drop(state);
                std::thread::sleep(time);
                state = self.0.lock();
            }
        }
        match state.mode {
            Mode::Running => {}
            Mode::Frozen => return state.held.push(Box::new(|errno| reply.refuse(errno))),
            Mode::Dead => return reply.refuse(Errno::EIO),
        }
        let errno = match effect {
            Some(Effect::Fail) => Some(Errno::EIO),
            Some(Effect::Full) => Some(Errno::ENOSPC),
            _ => None,
        };
        let cut = state.cuts(call);
        let done = match (cut, errno) {
            (Some(false), _) => None,
            (_, Some(errno)) => {
                if call == Call::Sync {
                    let mut random = state.random.fork();
                    state.disk.fail_sync(inode, &mut random);
                }
                Some(Err(errno))
            }
            _ => Some(work(&mut state, effect == Some(Effect::Flip)).map_err(Errno::from)),
        };
        if cut.is_some() {
            state.mode = Mode::Frozen;
            self.0.frozen.notify_all();
            return state.held.push(Box::new(|errno| reply.refuse(errno)));
        }
        drop(state);
        match done {
            Some(Ok(done)) => answer(reply, done),
            Some(Err(errno)) => reply.refuse(errno),
            None => reply.refuse(Errno::EIO),
        }
    }

    fn name(
        &self,
        folder: INodeNo,
        reply: ReplyEmpty,
        work: impl FnOnce(&mut Disk) -> Result<(), Refusal>,
    ) {
        let work = |state: &mut State, _| work(&mut state.disk);
        self.serve(Call::Name, folder.0, reply, work, |reply, ()| reply.ok());
    }

    fn entry(
        &self,
        call: Call,
        folder: INodeNo,
        reply: ReplyEntry,
        work: impl FnOnce(&mut Disk) -> Result<u64, Refusal>,
    ) {
        let work = |state: &mut State, _| {
            let inode = work(&mut state.disk)?;
            state.disk.facts(inode)
        };
        self.serve(call, folder.0, reply, work, |reply, facts| {
            reply.entry(&TTL, &attributes(facts), Generation(0));
        });
    }
}

/// Turns one bit over.
fn flip(bytes: &mut [u8], random: &mut Random) {
    let at = random.below(bytes.len() as u64) as usize;
    let bit = random.below(8);
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << bit;
    }
}

fn attributes(facts: Facts) -> FileAttr {
    let Facts { inode, folder, length, blocks, links, mode, changed } = facts;
    FileAttr {
        ino: INodeNo(inode),
        size: length,
        blocks: blocks * (BLOCK_BYTES as u64 / 512),
        atime: changed,
        mtime: changed,
        ctime: changed,
        crtime: changed,
        kind: if folder { FileType::Directory } else { FileType::RegularFile },
        perm: mode & 0o7777,
        nlink: links.max(1),
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: BLOCK_BYTES as u32,
        flags: 0,
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(Call::Other, parent, reply, |disk| disk.lookup(parent.0, name));
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let work = |state: &mut State, _| state.disk.facts(inode.0);
        self.serve(Call::Other, inode.0, reply, work, |reply, facts| {
            reply.attr(&TTL, &attributes(facts));
        });
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let call = if size.is_some() { Call::Write } else { Call::Other };
        let work = |state: &mut State, _| {
            if let Some(length) = size {
                state.disk.set_length(inode.0, length)?;
            }
            if let Some(mode) = mode {
                state.disk.set_mode(inode.0, mode as u16)?;
            }
            state.disk.facts(inode.0)
        };
        self.serve(call, inode.0, reply, work, |reply, facts| {
            reply.attr(&TTL, &attributes(facts));
        });
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let mode = (mode & !umask) as u16;
        self.entry(Call::Name, parent, reply, |disk| disk.make(parent.0, name, true, mode));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.name(parent, reply, |disk| disk.remove(parent.0, name, false));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.name(parent, reply, |disk| disk.remove(parent.0, name, true));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let replace = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            return reply.error(Errno::EINVAL);
        }
        let (from, to) = ((parent.0, name), (new_parent.0, new_name));
        self.name(new_parent, reply, |disk| disk.rename(from, to, replace));
    }

    fn link(&self, _: &Request, inode: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let work = |disk: &mut Disk| disk.link(inode.0, parent.0, name).map(|()| inode.0);
        self.entry(Call::Name, parent, reply, work);
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mode = (mode & !umask) as u16;
        let work = |state: &mut State, _| {
            let inode = state.disk.make(parent.0, name, false, mode)?;
            state.disk.opened(inode)?;
            Ok((state.disk.facts(inode)?, state.handle(inode, Listing::new())))
        };
        self.serve(Call::Name, parent.0, reply, work, |reply, (facts, handle)| {
            let direct = FopenFlags::FOPEN_DIRECT_IO;
            reply.created(&TTL, &attributes(facts), Generation(0), handle, direct);
        });
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let work = |state: &mut State, _| {
            state.disk.opened(inode.0)?;
            Ok(state.handle(inode.0, Listing::new()))
        };
        self.serve(Call::Other, inode.0, reply, work, |reply, handle| {
            reply.opened(handle, FopenFlags::FOPEN_DIRECT_IO);
        });
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let work = |state: &mut State, flipped| {
            let mut bytes = state.disk.read(inode.0, offset, size as usize)?;
            if flipped {
                flip(&mut bytes, &mut state.random);
            }
            Ok(bytes)
        };
        self.serve(Call::Read, inode.0, reply, work, |reply, bytes| reply.data(&bytes));
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let work = |state: &mut State, flipped| {
            if flipped {
                let mut data = data.to_vec();
                flip(&mut data, &mut state.random);
                return state.disk.write(inode.0, offset, &data);
            }
            state.disk.write(inode.0, offset, data)
        };
        self.serve(Call::Write, inode.0, reply, work, |reply, count| reply.written(count as u32));
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let work = |state: &mut State, _| state.disk.sync_file(inode.0);
        self.serve(Call::Sync, inode.0, reply, work, |reply, ()| reply.ok());
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let work = |state: &mut State, _| state.disk.sync_folder(inode.0);
        self.serve(Call::Sync, inode.0, reply, work, |reply, ()| reply.ok());
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        // At any time: it is the kernel that lets go, maybe for a process that is gone.
        self.let_handle_go(handle);
        reply.ok();
    }

    fn opendir(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let work = |state: &mut State, _| {
            let mut listing = vec![(".".into(), inode.0, true), ("..".into(), inode.0, true)];
            listing.extend(state.disk.list(inode.0)?);
            state.disk.opened(inode.0)?;
            Ok(state.handle(inode.0, listing))
        };
        self.serve(Call::Other, inode.0, reply, work, |reply, handle| {
            reply.opened(handle, FopenFlags::empty());
        });
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let state = self.0.lock();
        let Some((_, listing)) = state.handles.get(&handle.0) else {
            return reply.error(Errno::EIO);
        };
        let listing = listing.clone();
        drop(state);
        let rest = listing.iter().enumerate().skip(offset as usize);
        for (at, (name, inode, folder)) in rest {
            let kind = if *folder { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(*inode), at as u64 + 1, kind, name) {
                break;
            }
        }
        let work = |_: &mut State, _| Ok(());
        self.serve(Call::Other, inode.0, reply, work, |reply, ()| reply.ok());
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.let_handle_go(handle);
        reply.ok();
    }

    fn statfs(&self, _: &Request, inode: INodeNo, reply: ReplyStatfs) {
        let work = |state: &mut State, _| Ok(state.disk.room());
        self.serve(Call::Other, inode.0, reply, work, |reply, (all, free)| {
            let size = BLOCK_BYTES as u32;
            reply.statfs(all, free, free, 1 << 32, 1 << 31, size, 255, size);
        });
    }
}
