//! Blob files: immutable byte strings beside the journal.
//!
//! A blob is written under a name of its own in `staging/`, synced as a whole, and only then named as finished; so what has a
//! finished name is whole, and everything else is removed at the next open. Names are random, never made from user input. Each
//! 64 KiB has a checksum, which every read verifies. Only `staging/` is ever swept (I9).
//!
//! Must not know what the bytes are, nor who names a blob.

pub(crate) mod format;
mod handles;
mod read;
mod write;

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use ossia_store::{
    BlobError, BlobId, BlobReader, BlobWriter, FinishedBlob, Rejection, StagedBlob,
    mutants::{self, Mutant},
};
use tokio::sync::Semaphore;

pub(crate) use format::{HEADER_BYTES, decode_header};

use crate::{
    OpenError,
    buffers::Buffers,
    disk::{Access, Disk, is_full},
    shared::Shared,
};

/// What is added to the name of a blob that is not finished.
const PART: &str = ".part";
/// A copy moves this much at a time.
const COPY_BYTES: usize = 1 << 20;

/// The blobs of a store.
#[derive(Debug, Clone)]
pub(crate) struct BlobFolder(Arc<Folder>);

#[derive(Debug)]
struct Folder {
    shared: Arc<Shared>,
    staging: PathBuf,
    adopted: PathBuf,
    /// Fan-out folders whose names are known to be durable.
    fans: Mutex<HashSet<u8>>,
    /// Blob input and output at the disk.
    at_disk: Arc<Semaphore>,
    /// Blobs that were read lately.
    handles: handles::Handles,
    buffers: Arc<Buffers>,
}

impl BlobFolder {
    /// Makes the folders and removes what was never finished.
    pub(crate) fn open(
        shared: Arc<Shared>,
        data: &Path,
        buffers: Arc<Buffers>,
    ) -> Result<Self, OpenError> {
        let (staging, adopted) = (data.join("staging"), data.join("blobs"));
        let disk = &shared.disk;
        for folder in [&staging, &adopted] {
            disk.make_folder(folder).map_err(OpenError::io(folder))?;
        }
        disk.sync_folder(data).map_err(OpenError::io(data))?;
        for name in disk.list(&staging).map_err(OpenError::io(&staging))? {
            if name.ends_with(PART) {
                let path = staging.join(name);
                disk.remove(&path).map_err(OpenError::io(&path))?;
            }
        }
        let at_disk = Arc::new(Semaphore::new(shared.options.disk_reads_max));
        let fans = Mutex::default();
        let handles = handles::Handles::default();
        let folder = Folder { shared, staging, adopted, fans, at_disk, handles, buffers };
        Ok(Self(Arc::new(folder)))
    }

    pub(crate) async fn create(&self, owner: Bytes) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.0.check_writable(&owner)?;
        let folder = Arc::clone(&self.0);
        let writing = self.0.run(move || write::Writing::create(folder, &owner)).await?;
        Ok(Box::new(write::Writer::new(Arc::clone(&self.0), writing)))
    }

    pub(crate) async fn open_blob(&self, id: BlobId) -> Result<Box<dyn BlobReader>, BlobError> {
        self.0.check_open()?;
        let open = match self.0.handles.get(id) {
            Some(open) => open,
            None => {
                let folder = Arc::clone(&self.0);
                self.0.run(move || folder.open_to_keep(id)).await?
            }
        };
        Ok(Box::new(read::Reader::new(Arc::clone(&self.0), open)))
    }

    pub(crate) async fn adopt(&self, id: BlobId) -> Result<(), BlobError> {
        self.0.check_open()?;
        let folder = Arc::clone(&self.0);
        self.0.run(move || folder.adopt(id)).await
    }

    pub(crate) async fn delete(&self, id: BlobId) -> Result<(), BlobError> {
        self.0.check_open()?;
        let folder = Arc::clone(&self.0);
        self.0.run(move || folder.delete(id)).await
    }

    pub(crate) async fn duplicate(
        &self,
        id: BlobId,
        owner: Bytes,
    ) -> Result<FinishedBlob, BlobError> {
        self.0.check_writable(&owner)?;
        let folder = Arc::clone(&self.0);
        self.0.run(move || folder.duplicate(id, &owner)).await
    }

    pub(crate) async fn staged(&self) -> Result<Vec<StagedBlob>, BlobError> {
        self.0.check_open()?;
        let folder = Arc::clone(&self.0);
        self.0.run(move || folder.staged()).await
    }
}

impl Folder {
    fn disk(&self) -> &dyn Disk {
        self.shared.disk.as_ref()
    }

    fn check_open(&self) -> Result<(), BlobError> {
        if self.shared.condition.is_closed() { Err(BlobError::Closed) } else { Ok(()) }
    }

    fn check_writable(&self, owner: &Bytes) -> Result<(), BlobError> {
        if owner.len() > format::OWNER_BYTES_MAX {
            return Err(BlobError::OwnerTooLong);
        }
        self.check_alive()?;
        self.shared.condition.check_room().map_err(refused)
    }

    fn check_alive(&self) -> Result<(), BlobError> {
        self.shared.condition.check().map_err(refused)
    }

    /// Runs blocking work off the executor; only so much at once.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let permit =
            Arc::clone(&self.at_disk).acquire_owned().await.map_err(|_| BlobError::Closed)?;
        let work = move || {
            let told = work();
            drop(permit);
            told
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(told) => told,
            Err(error) => Err(BlobError::Io(format!("blob work ended early: {error}"))),
        }
    }

    /// A failed sync: what it covered cannot be relied on, nor can a second try (I5).
    fn sync_failed(&self, what: &Path, error: &io::Error) -> BlobError {
        let what = format!("syncing {} failed: {error}", what.display());
        self.shared.poison(what.clone());
        BlobError::Poisoned(what)
    }

    fn staged_path(&self, id: BlobId) -> PathBuf {
        self.staging.join(id.to_string())
    }

    fn fan(&self, id: BlobId) -> PathBuf {
        let [first, ..] = id.0;
        self.adopted.join(format!("{first:02x}"))
    }

    fn adopted_path(&self, id: BlobId) -> PathBuf {
        self.fan(id).join(id.to_string())
    }

    /// Opens a blob, and keeps it open for the next one who asks.
    fn open_to_keep(&self, id: BlobId) -> Result<Arc<read::OpenBlob>, BlobError> {
        let deletions = self.handles.deletions();
        let open = Arc::new(read::OpenBlob::open(self, id)?);
        self.handles.keep(id, &open, deletions);
        Ok(open)
    }

    /// Where a finished blob is. It may be adopted while this looks, so the second place is asked twice.
    fn find(&self, id: BlobId) -> Result<PathBuf, BlobError> {
        let places = [self.adopted_path(id), self.staged_path(id), self.adopted_path(id)];
        for path in places {
            if self.disk().exists(&path).map_err(|error| failed(&path, &error))? {
                return Ok(path);
            }
        }
        Err(BlobError::NotFound)
    }

    fn adopt(&self, id: BlobId) -> Result<(), BlobError> {
        let (from, to, fan) = (self.staged_path(id), self.adopted_path(id), self.fan(id));
        let disk = self.disk();
        let [first, ..] = id.0;
        let known = |fans: &Mutex<HashSet<u8>>| {
            fans.lock().unwrap_or_else(PoisonError::into_inner).contains(&first)
        };
        if !known(&self.fans) {
            disk.make_folder(&fan).map_err(|error| failed(&fan, &error))?;
            disk.sync_folder(&self.adopted).map_err(|error| failed(&self.adopted, &error))?;
            self.fans.lock().unwrap_or_else(PoisonError::into_inner).insert(first);
        }
        if self.second_name(&from, &to)? {
            // Its one durable name must never be the one that goes: the new one is made sure of first.
            if !mutants::on(Mutant::BlobFolderUnsynced) {
                disk.sync_folder(&fan).map_err(|error| failed(&fan, &error))?;
            }
            match disk.remove(&from) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&from, &error));
                }
                _ => {}
            }
        } else if !mutants::on(Mutant::BlobFolderUnsynced) {
            disk.sync_folder(&fan).map_err(|error| failed(&fan, &error))?;
        }
        // If this fails the blob may be back in staging after a crash; the sweep adopts it again.
        disk.sync_folder(&self.staging).map_err(|error| failed(&self.staging, &error))
    }

    /// Gives a staged blob its adopted name; `false` when the staged name went with that, or has gone before.
    fn second_name(&self, from: &Path, to: &Path) -> Result<bool, BlobError> {
        let disk = self.disk();
        let moved = match disk.link(from, to) {
            Ok(true) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(true),
            Ok(false) => disk.rename(from, to),
            Err(error) => Err(error),
        };
        match moved {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let stands = disk.exists(to).map_err(|error| failed(to, &error))?;
                if stands { Ok(false) } else { Err(BlobError::NotFound) }
            }
            Err(error) => Err(failed(from, &error)),
        }
    }

    fn delete(&self, id: BlobId) -> Result<(), BlobError> {
        let told = self.delete_names(id);
        // Afterwards, and however that ended: who finds no name keeps nothing, who found one before keeps it until here.
        self.handles.forget(id);
        told
    }

    fn delete_names(&self, id: BlobId) -> Result<(), BlobError> {
        let disk = self.disk();
        for (path, folder) in
            [(self.staged_path(id), &self.staging), (self.adopted_path(id), &self.fan(id))]
        {
            // Only a figure: whether the file can be removed is told by removing it.
            let bytes = disk.open(&path, Access::Read).and_then(|file| file.length());
            match disk.remove(&path) {
                Ok(()) => {
                    // Durably: nobody asks for it again, so one that came back would stay for ever.
                    disk.sync_folder(folder).map_err(|error| failed(folder, &error))?;
                    let counters = &self.shared.counters;
                    counters.blobs_deleted.add(1);
                    counters.blob_bytes_deleted.add(bytes.unwrap_or(0));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&path, &error)),
            }
        }
        Ok(())
    }

    fn duplicate(self: &Arc<Self>, id: BlobId, owner: &[u8]) -> Result<FinishedBlob, BlobError> {
        let source = read::OpenBlob::open(self, id)?;
        // It may be adopted between the look and the sharing, but only once.
        let share = || write::share(self, &self.find(id)?, source.length(), owner);
        let shared = match share() {
            Err(BlobError::NotFound) => share()?,
            told => told?,
        };
        if let Some(finished) = shared {
            return Ok(finished);
        }
        let mut writing = write::Writing::create(Arc::clone(self), owner)?;
        let mut offset = 0;
        while offset < source.length() {
            let left = source.length() - offset;
            let count = usize::try_from(left).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
            writing.write(&source.read(offset, count)?)?;
            offset += count as u64;
        }
        writing.finish()
    }

    fn staged(&self) -> Result<Vec<StagedBlob>, BlobError> {
        let disk = self.disk();
        let names = disk.list(&self.staging).map_err(|error| failed(&self.staging, &error))?;
        let mut staged = Vec::new();
        for name in names {
            let Some(id) = id_of(&name) else { continue };
            let path = self.staging.join(&name);
            let mut header = vec![0; format::HEADER_BYTES];
            let file = match disk.open(&path, Access::Read) {
                Ok(file) => file,
                // Adopted or deleted since the folder was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&path, &error)),
            };
            let read = file.read_at(&mut header, 0).map_err(|error| failed(&path, &error))?;
            header.truncate(read);
            match format::decode_header(&header, id) {
                Some(owner) => {
                    staged.push(StagedBlob { id, owner: Bytes::copy_from_slice(owner) });
                }
                None => {
                    tracing::error!(path = %path.display(), "a staged blob's header is damaged")
                }
            }
        }
        Ok(staged)
    }
}

fn refused(why: Rejection) -> BlobError {
    match why {
        Rejection::Full(what) => BlobError::Full(what),
        Rejection::Poisoned(what) => BlobError::Poisoned(what),
        Rejection::Closed => BlobError::Closed,
        other => BlobError::Io(other.to_string()),
    }
}

/// The blob that a file name stands for.
pub(crate) fn id_of(name: &str) -> Option<BlobId> {
    let lower = name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let number = (name.len() == 32 && lower).then(|| u128::from_str_radix(name, 16).ok());
    number.flatten().map(|number| BlobId(number.to_be_bytes()))
}

fn failed(path: &Path, error: &io::Error) -> BlobError {
    let what = format!("{}: {error}", path.display());
    if is_full(error) { BlobError::Full(what) } else { BlobError::Io(what) }
}
