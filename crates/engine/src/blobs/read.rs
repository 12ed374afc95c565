//! Reading a blob.

use std::{io, ops::Range, path::PathBuf, sync::Arc};

use bytes::Bytes;
use ossia_store::{BlobError, BlobId, BlobReader, BoxFuture};

use super::{
    Folder, failed,
    format::{self, BLOCK_BYTES, CHECK_BYTES, FOOTER_BYTES, HEADER_BYTES},
};
use crate::{
    buffers::{Buffer, Buffers},
    codec,
    disk::{Access, DiskFile},
};

/// The checksums of a blob are kept in memory when they are no longer than this: those of blobs up to 256 MiB.
const TABLE_BYTES_MAX: u64 = 16 << 10;
/// No more than this is read without another thread: the reader's own has other readers to serve.
const NOW_BYTES_MAX: u64 = 1 << 20;

/// A blob whose file is open; its bytes stay as long as this does.
#[derive(Debug)]
pub(super) struct OpenBlob {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    length: u64,
    /// The checksums of all blocks, verified; empty when they are too many to be kept.
    table: Vec<u8>,
    buffers: Arc<Buffers>,
}

impl OpenBlob {
    pub(super) fn open(folder: &Folder, id: BlobId) -> Result<Self, BlobError> {
        // It may be moved between the look and the opening.
        const TRIES: usize = 4;
        for _ in 0..TRIES {
            let path = folder.find(id)?;
            match folder.disk().open(&path, Access::Read) {
                Ok(file) => return Self::verify(file, path, id, Arc::clone(&folder.buffers)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&path, &error)),
            }
        }
        Err(BlobError::NotFound)
    }

    fn verify(
        file: Arc<dyn DiskFile>,
        path: PathBuf,
        id: BlobId,
        buffers: Arc<Buffers>,
    ) -> Result<Self, BlobError> {
        let bytes = file.length().map_err(|error| failed(&path, &error))?;
        let mut blob = Self { file, path, length: 0, table: Vec::new(), buffers };
        let mut header = vec![0; HEADER_BYTES];
        blob.exactly(0, &mut header)?;
        format::decode_header(&header, id).ok_or_else(|| blob.damaged("the header is damaged"))?;
        let footer_at = bytes
            .checked_sub(FOOTER_BYTES as u64)
            .ok_or_else(|| blob.damaged("the file is cut short"))?;
        let mut footer = vec![0; FOOTER_BYTES];
        blob.exactly(footer_at, &mut footer)?;
        let table_check = match format::decode_footer(&footer) {
            Some((length, check)) if format::file_bytes(length) == bytes => {
                blob.length = length;
                check
            }
            _ => return Err(blob.damaged("the footer is damaged")),
        };
        let table_bytes = format::blocks(blob.length).saturating_mul(CHECK_BYTES as u64);
        if let Ok(count) = usize::try_from(table_bytes.min(TABLE_BYTES_MAX + 1))
            && count as u64 == table_bytes
        {
            let mut table = vec![0; count];
            blob.exactly(format::table_at(blob.length), &mut table)?;
            if crc32c::crc32c(&table) != table_check {
                return Err(blob.damaged("the checksums are damaged"));
            }
            blob.table = table;
        }
        Ok(blob)
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Reads whole blocks around the range, verifies them, and gives the range.
    pub(super) fn read(&self, offset: u64, length: usize) -> Result<Bytes, BlobError> {
        let Some(blocks) = Blocks::around(offset, length, self.length)? else {
            return Ok(Bytes::new());
        };
        let mut data = self.buffers.take(blocks.bytes()?);
        self.exactly((HEADER_BYTES as u64).saturating_add(blocks.start), data.as_mut())?;
        let mut read = Vec::new();
        let checks = match self.checks(&blocks) {
            Some(checks) => checks,
            None => {
                let (first, behind) = blocks.numbers;
                let check_bytes = CHECK_BYTES as u64;
                let at = format::table_at(self.length).saturating_add(first * check_bytes);
                let count = (behind - first) * check_bytes;
                read.resize(usize::try_from(count).map_err(|_| BlobError::OutOfRange)?, 0);
                self.exactly(at, &mut read)?;
                &read
            }
        };
        self.verified(&blocks, data, checks)
    }

    /// As [`Self::read`], if that takes no waiting for the medium; else, and on any failure, `None`: [`Self::read`] tells what
    /// there is to tell.
    fn read_now(&self, offset: u64, length: usize) -> Option<Bytes> {
        let blocks = Blocks::around(offset, length, self.length).ok()??;
        let count = blocks.bytes().ok().filter(|&count| count as u64 <= NOW_BYTES_MAX)?;
        let checks = self.checks(&blocks)?;
        let mut data = self.buffers.take(count);
        let at = (HEADER_BYTES as u64).saturating_add(blocks.start);
        match self.file.read_now(data.as_mut(), at) {
            Ok(true) => self.verified(&blocks, data, checks).ok(),
            Ok(false) | Err(_) => None,
        }
    }

    /// The checksums of these blocks, if they are in memory.
    fn checks(&self, blocks: &Blocks) -> Option<&[u8]> {
        let (first, behind) = blocks.numbers;
        let at = |number: u64| usize::try_from(number).ok()?.checked_mul(CHECK_BYTES);
        self.table.get(at(first)?..at(behind)?)
    }

    /// The range that was asked for of blocks that were read, when each of them matches its checksum.
    fn verified(&self, blocks: &Blocks, data: Buffer, checks: &[u8]) -> Result<Bytes, BlobError> {
        let mut checks = codec::Reader(checks);
        for (index, piece) in data.as_ref().chunks(BLOCK_BYTES).enumerate() {
            if checks.u32() != Some(crc32c::crc32c(piece)) {
                let at = blocks.start + (index * BLOCK_BYTES) as u64;
                return Err(self.damaged(&format!("bytes from {at} are damaged")));
            }
        }
        Ok(data.freeze().slice(blocks.wanted.clone()))
    }

    fn exactly(&self, offset: u64, into: &mut [u8]) -> Result<(), BlobError> {
        let wanted = into.len();
        let read = self.file.read_at(into, offset).map_err(|error| failed(&self.path, &error))?;
        if read < wanted { Err(self.damaged("the file is cut short")) } else { Ok(()) }
    }

    fn damaged(&self, what: &str) -> BlobError {
        BlobError::Damaged(format!("{}: {what}", self.path.display()))
    }

    #[cfg(test)]
    pub(super) fn of_nothing() -> Self {
        use crate::disk::Disk as _;
        let file = crate::disk::RealDisk.open(std::path::Path::new("/dev/null"), Access::Read);
        Self {
            file: file.unwrap(),
            path: PathBuf::new(),
            length: 0,
            table: Vec::new(),
            buffers: Arc::default(),
        }
    }
}

/// The blocks around a range.
struct Blocks {
    /// The first, and the first behind them.
    numbers: (u64, u64),
    /// Their bytes in the blob.
    start: u64,
    stop: u64,
    /// The range within these.
    wanted: Range<usize>,
}

impl Blocks {
    /// `None` when the range is empty.
    fn around(offset: u64, length: usize, blob: u64) -> Result<Option<Self>, BlobError> {
        let end = offset.checked_add(length as u64).filter(|&end| end <= blob);
        let end = end.ok_or(BlobError::OutOfRange)?;
        if length == 0 {
            return Ok(None);
        }
        let block = BLOCK_BYTES as u64;
        let (first, behind) = (offset / block, format::blocks(end));
        let start = first * block;
        let stop = behind.saturating_mul(block).min(blob);
        let skip = usize::try_from(offset - start).map_err(|_| BlobError::OutOfRange)?;
        Ok(Some(Self { numbers: (first, behind), start, stop, wanted: skip..skip + length }))
    }

    fn bytes(&self) -> Result<usize, BlobError> {
        usize::try_from(self.stop - self.start).map_err(|_| BlobError::OutOfRange)
    }
}

/// The contract's reader.
pub(super) struct Reader {
    folder: Arc<Folder>,
    open: Arc<OpenBlob>,
}

impl Reader {
    pub(super) fn new(folder: Arc<Folder>, open: Arc<OpenBlob>) -> Self {
        Self { folder, open }
    }
}

impl BlobReader for Reader {
    fn length(&self) -> u64 {
        self.open.length
    }

    fn read(&self, offset: u64, length: usize) -> BoxFuture<'_, Result<Bytes, BlobError>> {
        Box::pin(async move {
            if let Some(bytes) = self.open.read_now(offset, length) {
                return Ok(bytes);
            }
            let open = Arc::clone(&self.open);
            self.folder.run(move || open.read(offset, length)).await
        })
    }
}
