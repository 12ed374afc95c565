//! The value log: where payloads go that outlive their journal segment.
//!
//! ```text
//! values/0000000000000001.val          16 hex digits: the file's number
//! +-----------------+-----------------------------+
//! | header, 4,096   | payloads, one after another |
//! +-----------------+-----------------------------+
//!
//! header
//!  0 magic       8   "OSSIAVAL"
//!  8 version     4   1
//! 12 reserved    4   zero
//! 16 store      16   the store's id
//! 32 number      8   as in the name
//! 40 reserved   16   zero
//! 56 check       4   crc32c of header 0..56
//! 60 reserved    to 4,096, zero
//! ```
//!
//! A file is made, synced and named by a record of the engine before the index names anything in it; what it says of its payloads
//! stands in the index, with their checksums. It only grows, by what is synced before it is named; after a start a new one is begun.
//! Its bytes are never changed, so a reader of a file that has been removed still reads what was there.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ossia_store::mutants::{self, Mutant};

use crate::{
    codec::{Reader, numbered},
    disk::{Access, Disk, DiskFile},
    journal::{
        frame::BLOCK_BYTES,
        record::{Home, Place},
    },
};

const MAGIC: [u8; 8] = *b"OSSIAVAL";
const VERSION: u32 = 1;
const CHECK_AT: usize = 56;

/// The name of a file of the value log.
pub(crate) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.val"))
}

/// The file that a name stands for.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    numbered(name, ".val")
}

fn encode_header(store: [u8; 16], number: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK_BYTES as usize);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(store);
    bytes.extend(number.to_le_bytes());
    bytes.resize(CHECK_AT, 0);
    let check = crc32c::crc32c(&bytes);
    bytes.extend(check.to_le_bytes());
    bytes.resize(BLOCK_BYTES as usize, 0);
    bytes
}

/// Whether these are the first bytes of this file.
pub(crate) fn is_header(bytes: &[u8], store: [u8; 16], number: u64) -> bool {
    let checked = bytes.get(..CHECK_AT);
    let check = bytes.get(CHECK_AT..).and_then(|rest| Reader(rest).u32());
    checked.is_some_and(|checked| Some(crc32c::crc32c(checked)) == check)
        && bytes == encode_header(store, number)
}

/// The files, as the one who writes and removes them knows them.
#[derive(Debug)]
pub(crate) struct ValueLog {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    store: [u8; 16],
    file_bytes_max: u64,
    /// Closed and open files with their lengths.
    files: BTreeMap<u64, u64>,
    next: u64,
    open: Option<(u64, Arc<dyn DiskFile>)>,
}

impl ValueLog {
    /// On files that the index names, and those only.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        store: [u8; 16],
        file_bytes_max: u64,
        files: BTreeMap<u64, u64>,
    ) -> Self {
        let next = files.last_key_value().map_or(1, |(&last, _)| last + 1);
        Self { disk, folder, store, file_bytes_max, files, next, open: None }
    }

    /// The file that takes payloads; a new one, still to be named, where the flag says so.
    pub(crate) fn writable(&mut self) -> io::Result<(u64, bool)> {
        if let Some((number, _)) = &self.open
            && self.files.get(number).is_some_and(|&bytes| bytes < self.file_bytes_max)
        {
            return Ok((*number, false));
        }
        self.open = None;
        let number = self.next;
        // Never again, even if this one comes to nothing: someone may have seen its name.
        self.next += 1;
        let path = path(&self.folder, number);
        let made = (|| {
            let file = self.disk.open(&path, Access::Create)?;
            file.write_at(&encode_header(self.store, number), 0)?;
            file.sync()?;
            self.disk.sync_folder(&self.folder)?;
            Ok(file)
        })();
        match made {
            Ok(file) => {
                self.files.insert(number, BLOCK_BYTES);
                self.open = Some((number, file));
                Ok((number, true))
            }
            Err(error) => {
                // What is left would only take room; the next start removes it, too.
                let _ = self.disk.remove(&path);
                Err(error)
            }
        }
    }

    /// Writes bytes behind what is there, and syncs; returns where they begin.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<(u64, u64)> {
        let Some((number, file)) = &self.open else {
            return Err(io::Error::other("no file of the value log is open"));
        };
        let number = *number;
        let offset = self.files.get(&number).copied().unwrap_or(BLOCK_BYTES);
        let sync = || if mutants::on(Mutant::EvacuationUnsynced) { Ok(()) } else { file.sync() };
        let written = file.write_at(bytes, offset).and_then(|()| sync());
        if let Err(error) = written {
            // What lies behind its end is unknown now: no more is written to it.
            self.open = None;
            return Err(error);
        }
        self.files.insert(number, offset + bytes.len() as u64);
        Ok((number, offset))
    }

    /// Gives up the file that is written.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }

    /// The files that no more is written to, with their lengths.
    pub(crate) fn closed(&self) -> impl Iterator<Item = (u64, u64)> {
        let open = self.open.as_ref().map(|(number, _)| *number);
        self.files.iter().map(|(&n, &bytes)| (n, bytes)).filter(move |(n, _)| Some(*n) != open)
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().sum()
    }

    /// How many files there are.
    pub(crate) fn files(&self) -> u64 {
        self.files.len() as u64
    }

    /// Removes a file that nothing names.
    pub(crate) fn remove(&mut self, number: u64) -> io::Result<()> {
        match self.disk.remove(&path(&self.folder, number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.files.remove(&number);
        Ok(())
    }
}

/// The place of a payload in the value log.
pub(crate) fn place(number: u64, offset: u64, of: &Place) -> Place {
    Place { home: Home::Values, number, offset, ..*of }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn files_grow_to_their_bound_and_their_numbers_are_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let files = BTreeMap::from([(4, 5_000)]);
        let disk = Arc::new(RealDisk);
        let mut log = ValueLog::new(disk, folder.path().into(), [1; 16], 5_000, files);
        assert_eq!(log.writable().unwrap(), (5, true));
        assert_eq!(log.append(b"first").unwrap(), (5, 4_096));
        assert_eq!(log.writable().unwrap(), (5, false));
        assert_eq!(log.append(&[7; 1_000]).unwrap(), (5, 4_101));
        assert_eq!(log.writable().unwrap(), (6, true));
        assert_eq!(log.closed().collect::<Vec<_>>(), [(4, 5_000), (5, 5_101)]);
        let bytes = std::fs::read(path(folder.path(), 5)).unwrap();
        assert!(is_header(&bytes[..4_096], [1; 16], 5));
        assert!(!is_header(&bytes[..4_096], [2; 16], 5));
        assert_eq!(&bytes[4_096..4_101], b"first");
        log.remove(5).unwrap();
        log.remove(5).unwrap();
        assert!(!path(folder.path(), 5).exists());
        assert_eq!(log.writable().unwrap(), (6, false));
    }

    #[test]
    fn names_and_numbers_agree() {
        assert_eq!(path(Path::new(""), 42).to_str(), Some("000000000000002a.val"));
        assert_eq!(number_of("000000000000002a.val"), Some(42));
        assert_eq!(number_of("2a.val"), None);
    }
}
