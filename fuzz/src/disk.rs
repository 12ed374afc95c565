//! A disk in memory, which loses and fails nothing.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ossia_engine::disk::{Access, Disk, DiskFile};

type Bytes = Arc<Mutex<Vec<u8>>>;

/// Files by path. Folders exist without being made.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryDisk(Arc<Mutex<BTreeMap<PathBuf, Bytes>>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn absent() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl MemoryDisk {
    /// The paths of all files, in order.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        lock(&self.0).keys().cloned().collect()
    }

    /// Changes a file behind everybody's back.
    pub(crate) fn change(&self, path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
        if let Some(file) = lock(&self.0).get(path) {
            how(&mut lock(file));
        }
    }

    /// A file's bytes, none where there is no file.
    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        lock(&self.0).get(path).map(|file| lock(file).clone()).unwrap_or_default()
    }
}

#[derive(Debug)]
struct MemoryFile(Bytes);

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = lock(&self.0);
        if access == Access::Create {
            files.insert(path.into(), Bytes::default());
        }
        let file = files.get(path).ok_or_else(absent)?;
        Ok(Arc::new(MemoryFile(Arc::clone(file))))
    }

    fn make_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = lock(&self.0);
        let file = files.remove(from).ok_or_else(absent)?;
        files.insert(to.into(), file);
        Ok(())
    }

    fn link(&self, _: &Path, _: &Path) -> io::Result<bool> {
        Ok(false)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        lock(&self.0).remove(path).map(drop).ok_or_else(absent)
    }

    fn remove_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let files = lock(&self.0);
        let names = files.keys().filter(|path| path.parent() == Some(folder));
        Ok(names
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(lock(&self.0).contains_key(path))
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn share(&self, _: &Path, _: &Path) -> io::Result<bool> {
        Ok(false)
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = lock(&self.0);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
        let count = buffer.len().min(file.len() - from);
        buffer[..count].copy_from_slice(&file[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut file = lock(&self.0);
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let end = from + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[from..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        lock(&self.0).resize(usize::try_from(bytes).map_err(io::Error::other)?, 0);
        Ok(())
    }
}
