//! The raw log: records from many writers, one write and one `fdatasync` for all that wait.
//!
//! ```text
//! record = length u32 | crc64 of the bytes u64 | bytes      group = records, zeros up to the next 4 KiB
//! ```
//!
//! The file is filled with zeros and synced before it is used, so that a sync has no metadata to write, and written round and
//! round. Nothing reads it: a floor that keeps less would be no log.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{error::BenchError, load::Worker, pattern::Pattern};

const BLOCK: usize = 4096;
const RECORD_HEADER: usize = 12;
const ZEROS: usize = 1 << 20;

/// A file of this many zeros, on the disk.
pub(super) fn zeroed(path: &Path, bytes: u64) -> Result<File, BenchError> {
    let fill = || -> io::Result<File> {
        let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
        let zeros = vec![0; ZEROS];
        let mut left = bytes;
        while left > 0 {
            let piece = left.min(ZEROS as u64);
            file.write_all(&zeros[..piece as usize])?;
            left -= piece;
        }
        file.sync_all()?;
        if let Some(folder) = path.parent() {
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(file)
    };
    fill().map_err(BenchError::io(format!("fill {}", path.display())))
}

struct Waiting {
    crc64: u64,
    bytes: Bytes,
    done: oneshot::Sender<io::Result<()>>,
}

#[derive(Default)]
struct Queue {
    // Bounded by the number of writers: each waits for its record.
    waiting: Vec<Waiting>,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    syncs: AtomicU64,
}

/// The log. Cheap to share; its thread ends when the last owner is gone.
pub(crate) struct GroupLog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl GroupLog {
    /// A new log in a file of `bytes`, which must be more than any group.
    pub(crate) fn create(path: &Path, bytes: u64) -> Result<GroupLog, BenchError> {
        let file = zeroed(path, bytes)?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            syncs: AtomicU64::new(0),
        });
        let writer = Writer { shared: Arc::clone(&shared), file, length: bytes, offset: 0 };
        let thread = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run())
            .map_err(BenchError::io("start the log's thread"))?;
        Ok(GroupLog { shared, thread: Some(thread) })
    }

    /// Waits until the record is on the disk.
    pub(crate) async fn append(&self, crc64: u64, bytes: Bytes) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        {
            let mut queue = self.shared.queue.lock().expect("the log's thread does not panic");
            queue.waiting.push(Waiting { crc64, bytes, done });
        }
        self.shared.filled.notify_one();
        answer.await.unwrap_or_else(|_| Err(io::Error::other("the log's thread is gone")))
    }

    /// How many syncs there were.
    pub(crate) fn syncs(&self) -> u64 {
        self.shared.syncs.load(Ordering::Relaxed)
    }
}

impl Drop for GroupLog {
    fn drop(&mut self) {
        if let Ok(mut queue) = self.shared.queue.lock() {
            queue.closed = true;
        }
        self.shared.filled.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    file: File,
    length: u64,
    offset: u64,
}

impl Writer {
    fn run(mut self) {
        let (mut group, mut buffer) = (Vec::new(), Vec::new());
        while self.gather(&mut group) {
            encode(&group, &mut buffer);
            let result = self.write(&buffer);
            for waiting in group.drain(..) {
                let copy = match &result {
                    Ok(()) => Ok(()),
                    Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
                };
                // A writer that has gone away does not want to know.
                let _ = waiting.done.send(copy);
            }
        }
    }

    /// Takes all that waits; `false` when there will be no more.
    fn gather(&self, group: &mut Vec<Waiting>) -> bool {
        let queue = self.shared.queue.lock().expect("no writer panics with it held");
        let mut queue = self
            .shared
            .filled
            .wait_while(queue, |queue| queue.waiting.is_empty() && !queue.closed)
            .expect("no writer panics with it held");
        std::mem::swap(&mut queue.waiting, group);
        !group.is_empty()
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<()> {
        let bytes = buffer.len() as u64;
        if self.offset + bytes > self.length {
            self.offset = 0;
        }
        self.file.write_all_at(buffer, self.offset)?;
        self.file.sync_data()?;
        self.offset += bytes;
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn encode(group: &[Waiting], buffer: &mut Vec<u8>) {
    buffer.clear();
    for Waiting { crc64, bytes, .. } in group {
        buffer.reserve(RECORD_HEADER + bytes.len());
        buffer.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        buffer.extend_from_slice(&crc64.to_le_bytes());
        buffer.extend_from_slice(bytes);
    }
    buffer.resize(buffer.len().next_multiple_of(BLOCK), 0);
}

/// Writes records of one size to a log, each after the one before is on the disk.
pub(crate) struct LogWriter {
    pub(crate) log: Arc<GroupLog>,
    pub(crate) pattern: Pattern,
    pub(crate) record: usize,
    pub(crate) position: u64,
}

impl Worker for LogWriter {
    async fn step(&mut self) -> Result<Option<u64>, BenchError> {
        let record = self.pattern.piece(self.position, self.record);
        self.position += self.record as u64;
        let crc64 = ossia_protocol::crc64::checksum(&record);
        self.log.append(crc64, record).await.map_err(BenchError::io("write the raw log"))?;
        Ok(Some(self.record as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::Scratch;

    #[test]
    fn records_of_a_group_share_a_sync_and_stand_in_the_file() {
        let scratch = Scratch::new(&std::env::temp_dir(), "log").unwrap();
        let path = scratch.path().join("log");
        let log = GroupLog::create(&path, 1 << 16).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            log.append(7, Bytes::from_static(b"first")).await.unwrap();
            let other = |crc64| log.append(crc64, Bytes::from_static(b"other"));
            let (a, b, c) = tokio::join!(other(1), other(2), other(3));
            assert!(a.is_ok() && b.is_ok() && c.is_ok());
        });
        assert!((2..=4).contains(&log.syncs()), "{}", log.syncs());
        drop(log);
        let stored = fs::read(&path).unwrap();
        assert_eq!(stored[..17], *b"\x05\0\0\0\x07\0\0\0\0\0\0\0first");
        assert_eq!(stored[BLOCK..BLOCK + 4], [5, 0, 0, 0]);
    }

    #[test]
    fn the_file_is_used_again_from_its_beginning() {
        let scratch = Scratch::new(&std::env::temp_dir(), "log").unwrap();
        let path = scratch.path().join("log");
        let log = GroupLog::create(&path, 3 * BLOCK as u64).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for _ in 0..5 {
            runtime.block_on(log.append(1, Bytes::from_static(b"x"))).unwrap();
        }
        assert_eq!((log.syncs(), fs::metadata(&path).unwrap().len()), (5, 3 * BLOCK as u64));
    }
}
