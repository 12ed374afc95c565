//! Reading a blob.

use std::{io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use ossia_store::{BlobError, BlobId, BlobReader, BoxFuture};

use super::{
    Folder, failed,
    format::{self, BLOCK_BYTES, CHECK_BYTES, FOOTER_BYTES, HEADER_BYTES},
};
use crate::{
    codec,
    disk::{Access, DiskFile},
};

/// A blob whose file is open; its bytes stay as long as this does.
#[derive(Debug)]
pub(super) struct OpenBlob {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    length: u64,
}

impl OpenBlob {
    pub(super) fn open(folder: &Folder, id: BlobId) -> Result<Self, BlobError> {
        // It may be moved between the look and the opening.
        const TRIES: usize = 4;
        for _ in 0..TRIES {
            let path = folder.find(id)?;
            match folder.disk().open(&path, Access::Read) {
                Ok(file) => return Self::verify(file, path, id),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&path, &error)),
            }
        }
        Err(BlobError::NotFound)
    }

    fn verify(file: Arc<dyn DiskFile>, path: PathBuf, id: BlobId) -> Result<Self, BlobError> {
        let damaged = |what: &str| BlobError::Damaged(format!("{}: {what}", path.display()));
        let io = |error: io::Error| failed(&path, &error);
        let bytes = file.length().map_err(io)?;
        let mut header = vec![0; HEADER_BYTES];
        let read = file.read_at(&mut header, 0).map_err(io)?;
        header.truncate(read);
        format::decode_header(&header, id).ok_or_else(|| damaged("the header is damaged"))?;
        let footer_at = bytes
            .checked_sub(FOOTER_BYTES as u64)
            .ok_or_else(|| damaged("the file is cut short"))?;
        let mut footer = vec![0; FOOTER_BYTES];
        let read = file.read_at(&mut footer, footer_at).map_err(io)?;
        footer.truncate(read);
        match format::decode_footer(&footer) {
            Some((length, _)) if format::file_bytes(length) == bytes => {
                Ok(Self { file, path, length })
            }
            _ => Err(damaged("the footer is damaged")),
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Reads whole blocks around the range, verifies them, and gives the range.
    pub(super) fn read(&self, offset: u64, length: usize) -> Result<Bytes, BlobError> {
        let end = offset.checked_add(length as u64).filter(|&end| end <= self.length);
        let end = end.ok_or(BlobError::OutOfRange)?;
        if length == 0 {
            return Ok(Bytes::new());
        }
        let block = BLOCK_BYTES as u64;
        let (first, behind) = (offset / block, format::blocks(end));
        let start = first * block;
        let stop = behind.saturating_mul(block).min(self.length);
        let data = self.exactly((HEADER_BYTES as u64).saturating_add(start), stop - start)?;
        let check_bytes = CHECK_BYTES as u64;
        let table_at = format::table_at(self.length).saturating_add(first * check_bytes);
        let table = self.exactly(table_at, (behind - first) * check_bytes)?;
        let mut checks = codec::Reader(&table);
        for (index, piece) in data.chunks(BLOCK_BYTES).enumerate() {
            if checks.u32() != Some(crc32c::crc32c(piece)) {
                let at = (first + index as u64) * block;
                let what = format!("{}: bytes from {at} are damaged", self.path.display());
                return Err(BlobError::Damaged(what));
            }
        }
        let skip = usize::try_from(offset - start).map_err(|_| BlobError::OutOfRange)?;
        Ok(Bytes::from(data).slice(skip..skip + length))
    }

    fn exactly(&self, offset: u64, count: u64) -> Result<Vec<u8>, BlobError> {
        let count = usize::try_from(count).map_err(|_| BlobError::OutOfRange)?;
        let mut bytes = vec![0; count];
        let read =
            self.file.read_at(&mut bytes, offset).map_err(|error| failed(&self.path, &error))?;
        if read < count {
            let what = format!("{}: the file is cut short", self.path.display());
            return Err(BlobError::Damaged(what));
        }
        Ok(bytes)
    }
}

/// The contract's reader.
pub(super) struct Reader {
    folder: Arc<Folder>,
    open: Arc<OpenBlob>,
}

impl Reader {
    pub(super) fn new(folder: Arc<Folder>, open: OpenBlob) -> Self {
        Self { folder, open: Arc::new(open) }
    }
}

impl BlobReader for Reader {
    fn length(&self) -> u64 {
        self.open.length
    }

    fn read(&self, offset: u64, length: usize) -> BoxFuture<'_, Result<Bytes, BlobError>> {
        let open = Arc::clone(&self.open);
        Box::pin(self.folder.run(move || open.read(offset, length)))
    }
}
