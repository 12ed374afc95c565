//! Every file access of the engine, so that a test can stand in for the disk and make it fail.
//!
//! The one exception is the tree, whose crate opens its own files. Nothing here retries: what to do about a failure is decided by
//! the caller, and mostly it is to stop (I5).

use std::{
    fmt, fs,
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, FileExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FlockOperation, flock};

/// How [`Disk::open`] opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// An existing file, to be read.
    Read,
    /// An existing file, to be read and written.
    Write,
    /// A new file, to be read and written; an older one of that name is emptied.
    Create,
}

/// A folder tree, as far as the engine uses one.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Opens a file.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a folder and those above it, for their owner alone; harmless when it stands.
    ///
    /// # Errors
    /// What the system says.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// What the system says; the folder's state is unknown then.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name, replacing what stood there.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name; `false` where the medium knows no second names.
    ///
    /// # Errors
    /// What the system says, also when the second name is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<bool>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says, also when it is not there.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder and all that is in it.
    ///
    /// # Errors
    /// What the system says; a part may be gone then.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// The names of the files in a folder, in no order; folders and odd names are left out.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Whether something has this name.
    ///
    /// # Errors
    /// What the system says.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Bytes free to this process on the medium that holds `path`.
    ///
    /// # Errors
    /// What the system says.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Makes `to` a second file that shares the bytes of `from`; `false` where the medium cannot.
    ///
    /// # Errors
    /// What the system says.
    fn share(&self, from: &Path, to: &Path) -> io::Result<bool>;
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads until the buffer is full or the file ends; returns how many bytes were read.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Fills the buffer if that takes no waiting for the medium; `false` when it does, or when it cannot be told, and then the
    /// buffer holds anything. A caller that gets `false` or an error asks [`Self::read_at`].
    ///
    /// # Errors
    /// What the system says.
    fn read_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        let _ = (buffer, offset);
        Ok(false)
    }

    /// Writes all of the bytes, with one call to the system unless that takes fewer.
    ///
    /// # Errors
    /// What the system says; any part may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable.
    ///
    /// # Errors
    /// What the system says; none of the bytes since the last good sync can be relied on then, nor can a second try.
    fn sync(&self) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn length(&self) -> io::Result<u64>;

    /// Cuts the file.
    ///
    /// # Errors
    /// What the system says.
    fn set_length(&self, bytes: u64) -> io::Result<()>;
}

/// Makes a folder and those above it that are not there, for their owner alone: neither what is stored nor its records are anybody
/// else's to read. One that stands keeps its permissions.
///
/// # Errors
/// What the system says.
pub fn make_private_folder(path: impl AsRef<Path>) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The disk that the operating system gives.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = fs::OpenOptions::new();
        match access {
            Access::Read => options.read(true),
            Access::Write => options.read(true).write(true),
            Access::Create => options.read(true).write(true).create(true).truncate(true),
        };
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        make_private_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<bool> {
        use rustix::io::Errno;
        const CANNOT: [Errno; 4] = [Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS, Errno::MLINK];
        match fs::hard_link(from, to) {
            Ok(()) => Ok(true),
            Err(error)
                if CANNOT.iter().any(|no| error.raw_os_error() == Some(no.raw_os_error())) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let told = rustix::fs::statvfs(path)?;
        Ok(told.f_bavail.saturating_mul(told.f_frsize))
    }

    fn share(&self, from: &Path, to: &Path) -> io::Result<bool> {
        let source = fs::File::open(from)?;
        let target = fs::OpenOptions::new().write(true).create_new(true).open(to)?;
        if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
            return Ok(true);
        }
        // Each file system has its own way to say that it cannot; the caller copies then.
        fs::remove_file(to)?;
        Ok(false)
    }
}

#[derive(Debug)]
struct RealFile(fs::File);

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..)
            && !rest.is_empty()
        {
            match self.0.read_at(rest, offset.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn read_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};
        let wanted = buffer.len();
        let into = &mut [io::IoSliceMut::new(buffer)];
        match preadv2(&self.0, into, offset, ReadWriteFlags::NOWAIT) {
            // Fewer: the rest would have to be waited for, or is not there.
            Ok(count) => Ok(count == wanted),
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
}

/// A lock file that this process holds.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "holding it open is all it is for")] fs::File);

/// Takes a lock file for this process, and leaves its number in it; tells what stands in it where another process has it.
///
/// The lock is a matter between processes and not of what is stored, so it is none of [`Disk`]'s.
pub(crate) fn lock(path: &Path) -> io::Result<Result<Lock, String>> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // Only for a message: whatever cannot be read is left out of it.
            let _ = file.take(32).read_to_string(&mut text);
            return Ok(Err(text));
        }
        Err(error) => return Err(error.into()),
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Ok(Lock(file)))
}

/// Whether the system has said that no room is left.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Writes a small file so that it stands whole or not at all, and durably.
pub(crate) fn write_whole(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut scratch = PathBuf::from(path).into_os_string();
    scratch.push(".new");
    let scratch = PathBuf::from(scratch);
    let file = disk.open(&scratch, Access::Create)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    disk.rename(&scratch, path)?;
    match path.parent() {
        Some(folder) => disk.sync_folder(folder),
        None => Ok(()),
    }
}

/// Reads a small file, refusing one that is longer than it can be.
pub(crate) fn read_whole(disk: &dyn Disk, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Access::Read)?;
    let length = file.length()?;
    let fits = usize::try_from(length).ok().filter(|_| length <= bytes_max);
    let Some(length) = fits else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file is longer than it can be",
        ));
    };
    let mut bytes = vec![0; length];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}
