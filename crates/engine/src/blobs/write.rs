//! Writing a blob.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use ossia_store::{
    BlobError, BlobId, BlobWriter, BoxFuture, FinishedBlob,
    mutants::{self, Mutant},
};

use super::{
    Folder, PART, failed,
    format::{self, BLOCK_BYTES, HEADER_BYTES},
};
use crate::disk::{Access, DiskFile};

/// Pieces are gathered up to this size before they go to the disk.
const GATHER_BYTES: usize = 512 << 10;
/// Or up to so many: a client chooses how short they are, and the handle of each takes room of its own (I7).
const GATHER_PIECES: usize = 512;

/// A blob on its way; dropped unfinished it leaves nothing.
#[derive(Debug)]
pub(super) struct Writing {
    folder: Arc<Folder>,
    id: BlobId,
    owner: Vec<u8>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    length: u64,
    table: Vec<u8>,
    /// Of the block that is not full yet: its bytes so far, and their check.
    block_bytes: usize,
    block_check: u32,
    finished: bool,
}

fn new_id() -> Result<BlobId, BlobError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| BlobError::Io(format!("no random bytes: {error}")))?;
    Ok(BlobId(id))
}

impl Writing {
    pub(super) fn create(folder: Arc<Folder>, owner: &[u8]) -> Result<Self, BlobError> {
        let id = new_id()?;
        let path = part_path(&folder, id);
        let file =
            folder.disk().open(&path, Access::Create).map_err(|error| failed(&path, &error))?;
        Ok(Self {
            folder,
            id,
            owner: owner.to_vec(),
            path,
            file,
            length: 0,
            table: Vec::new(),
            block_bytes: 0,
            block_check: 0,
            finished: false,
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = BLOCK_BYTES - self.block_bytes;
            let (piece, others) = rest.split_at(room.min(rest.len()));
            self.block_check = crc32c::crc32c_append(self.block_check, piece);
            self.block_bytes += piece.len();
            if self.block_bytes == BLOCK_BYTES {
                self.end_block();
            }
            rest = others;
        }
        // A long body must not use up on its way what is kept for the index and for deletes.
        let room = self.folder.shared.condition.check_room_for(bytes.len() as u64);
        room.map_err(super::refused)?;
        let offset = (HEADER_BYTES as u64).saturating_add(self.length);
        self.file.write_at(bytes, offset).map_err(|error| failed(&self.path, &error))?;
        self.length = self.length.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn end_block(&mut self) {
        self.table.extend(self.block_check.to_le_bytes());
        (self.block_bytes, self.block_check) = (0, 0);
    }

    pub(super) fn finish(mut self) -> Result<FinishedBlob, BlobError> {
        if self.block_bytes > 0 {
            self.end_block();
        }
        let check = crc32c::crc32c(&self.table);
        let mut end = std::mem::take(&mut self.table);
        end.extend(format::encode_footer(self.length, check));
        let header = format::encode_header(self.id, &self.owner);
        let io = |error| failed(&self.path, &error);
        self.file.write_at(&end, format::table_at(self.length)).map_err(io)?;
        self.file.write_at(&header, 0).map_err(io)?;
        name(&self.folder, self.id, &self.path, self.file.as_ref())?;
        self.finished = true;
        created(&self.folder, self.length);
        Ok(FinishedBlob { id: self.id, length: self.length })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.finished {
            // If this fails the next start removes it.
            let _ = self.folder.disk().remove(&self.path);
        }
    }
}

fn part_path(folder: &Folder, id: BlobId) -> PathBuf {
    folder.staging.join(format!("{id}{PART}"))
}

/// Makes a whole file durable, then its finished name.
fn name(folder: &Folder, id: BlobId, path: &Path, file: &dyn DiskFile) -> Result<(), BlobError> {
    // What has been written may rely on a sync that failed, or the folder may be someone else's by now.
    folder.check_alive()?;
    if !mutants::on(Mutant::BlobUnsynced) {
        file.sync().map_err(|error| folder.sync_failed(path, &error))?;
    }
    let disk = folder.disk();
    disk.rename(path, &folder.staged_path(id)).map_err(|error| failed(path, &error))?;
    disk.sync_folder(&folder.staging).map_err(|error| folder.sync_failed(&folder.staging, &error))
}

/// Counts a finished blob.
fn created(folder: &Folder, length: u64) {
    let counters = &folder.shared.counters;
    counters.blobs_created.add(1);
    counters.blob_bytes_created.add(length);
}

/// A second blob that shares the bytes of a file; `None` where the medium cannot.
pub(super) fn share(
    folder: &Arc<Folder>,
    source: &Path,
    length: u64,
    owner: &[u8],
) -> Result<Option<FinishedBlob>, BlobError> {
    let id = new_id()?;
    let path = part_path(folder, id);
    let io = |error: std::io::Error| failed(&path, &error);
    match folder.disk().share(source, &path) {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(BlobError::NotFound);
        }
        Err(error) => return Err(io(error)),
    }
    let named = folder.disk().open(&path, Access::Write).map_err(io).and_then(|file| {
        // Only the header differs: it holds the id and the owner.
        file.write_at(&format::encode_header(id, owner), 0).map_err(io)?;
        name(folder, id, &path, file.as_ref())
    });
    if named.is_err() {
        // If this fails the next start removes it.
        let _ = folder.disk().remove(&path);
    }
    named.map(|()| {
        created(folder, length);
        Some(FinishedBlob { id, length })
    })
}

/// The contract's writer: gathers pieces, and writes off the executor.
pub(super) struct Writer {
    folder: Arc<Folder>,
    /// `None` after a failure, or after a call that was abandoned halfway.
    writing: Option<Writing>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
}

impl Writer {
    pub(super) fn new(folder: Arc<Folder>, writing: Writing) -> Self {
        Self { folder, writing: Some(writing), gathered: Vec::new(), gathered_bytes: 0 }
    }

    fn take(&mut self) -> Result<(Writing, Vec<Bytes>), BlobError> {
        let writing = self.writing.take();
        let writing = writing.ok_or_else(|| BlobError::Io("an earlier write failed".into()))?;
        self.gathered_bytes = 0;
        Ok((writing, std::mem::take(&mut self.gathered)))
    }
}

/// Writes pieces, small ones together.
fn write_all(writing: &mut Writing, pieces: &[Bytes]) -> Result<(), BlobError> {
    match pieces {
        [] => Ok(()),
        [one] => writing.write(one),
        many => writing.write(&many.concat()),
    }
}

impl BlobWriter for Writer {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            let now = bytes.is_empty() && self.gathered_bytes > 0;
            self.gathered_bytes += bytes.len();
            self.gathered.push(bytes);
            let more = self.gathered_bytes < GATHER_BYTES && self.gathered.len() < GATHER_PIECES;
            if more && !now {
                return match self.writing {
                    Some(_) => Ok(()),
                    None => Err(BlobError::Io("an earlier write failed".into())),
                };
            }
            let (mut writing, pieces) = self.take()?;
            let work = move || write_all(&mut writing, &pieces).map(|()| writing);
            self.writing = Some(self.folder.run(work).await?);
            Ok(())
        })
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<FinishedBlob, BlobError>> {
        Box::pin(async move {
            let (mut writing, pieces) = self.take()?;
            let work = move || {
                write_all(&mut writing, &pieces)?;
                writing.finish()
            };
            self.folder.run(work).await
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Removing a large file takes its time, which the executor should not spend.
        if let Some(writing) = self.writing.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn_blocking(move || drop(writing));
        }
    }
}
