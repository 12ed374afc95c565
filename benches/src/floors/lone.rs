//! A lone synced write: what one durable record costs when nobody else writes.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use super::log::zeroed;
use crate::{error::BenchError, load::Worker, pattern::Pattern};

/// One writer that syncs after each record.
pub(crate) struct LoneWriter {
    file: File,
    length: u64,
    offset: u64,
    record: usize,
    pattern: Pattern,
}

impl LoneWriter {
    /// Writes records of `record` bytes, one behind the other, into a file of `bytes` zeros.
    pub(crate) fn create(
        path: &Path,
        bytes: u64,
        record: usize,
        pattern: Pattern,
    ) -> Result<LoneWriter, BenchError> {
        Ok(LoneWriter { file: zeroed(path, bytes)?, length: bytes, offset: 0, record, pattern })
    }
}

impl Worker for LoneWriter {
    async fn step(&mut self) -> Result<Option<u64>, BenchError> {
        let bytes = self.record as u64;
        if self.offset + bytes > self.length {
            self.offset = 0;
        }
        let record = self.pattern.piece(self.offset, self.record);
        // Blocks the thread, which has no other worker.
        self.file
            .write_all_at(&record, self.offset)
            .and_then(|()| self.file.sync_data())
            .map_err(BenchError::io("write and sync"))?;
        self.offset += bytes;
        Ok(Some(bytes))
    }
}
