//! What the engine's tests share.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod faulty;
pub(crate) mod frames;

use std::path::Path;

use bytes::Bytes;
use ossia_engine::{EngineOptions, LocalEngine};
use ossia_store::{Decision, Index, Item, Partition, Payload, Scan, StoreError, Writes, transact};

/// A folder that goes away with the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A second folder with the same files: what a kill would leave.
    ///
    /// A kill stops everything at one moment. Background work goes on while this copies, so a copy during which the index has
    /// changed is thrown away.
    pub(crate) fn copy_of(other: &Path) -> Self {
        loop {
            let folder = Self::new();
            let index = other.join("shard-0/index");
            let before = state(&index);
            let copied = copy(other, folder.path());
            if copied.is_ok() && before.is_some() && before == state(&index) {
                return folder;
            }
        }
    }
}

/// What the index's files are at this moment, if they hold still.
fn state(index: &Path) -> Option<(Vec<u8>, Vec<std::ffi::OsString>)> {
    let mut names = Vec::new();
    for folder in [index.to_owned(), index.join("tables")] {
        for entry in std::fs::read_dir(folder).ok()? {
            names.push(entry.ok()?.file_name());
        }
    }
    names.sort();
    Some((std::fs::read(index.join("current")).ok()?, names))
}

pub(crate) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Tiny everything, so that segments, memtables and checkpoints change all the time.
pub(crate) fn options(folder: &Folder) -> EngineOptions {
    options_at(folder.path())
}

pub(crate) fn options_at(path: &Path) -> EngineOptions {
    EngineOptions {
        segment_bytes: 32 << 10,
        memtable_bytes: 8 << 10,
        checkpoint_bytes: 128 << 10,
        cache_bytes: 1 << 20,
        reserve_bytes: 0,
        idle_flush_ms: 60_000,
        ..EngineOptions::new(path)
    }
}

/// A journal of 8 segments of 16 KiB a shard: it is emptied and used again all the time.
pub(crate) fn short_journal(folder: &Folder) -> EngineOptions {
    EngineOptions {
        segment_bytes: 16 << 10,
        journal_bytes: 1,
        checkpoint_bytes: 64 << 10,
        ..options(folder)
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub(crate) fn key(name: &str) -> Bytes {
    Bytes::copy_from_slice(name.as_bytes())
}

pub(crate) async fn change(
    engine: &LocalEngine,
    partition: Partition,
    writes: Writes,
) -> Result<(), StoreError> {
    let done = transact(engine, partition, Vec::new(), move |_| {
        Ok(Decision::<(), ()>::Commit(writes.clone(), ()))
    });
    done.await.map(|told| told.unwrap())
}

pub(crate) async fn put(engine: &LocalEngine, partition: Partition, name: &str, value: &str) {
    let mut writes = Writes::none();
    writes.put(key(name), value.to_owned());
    change(engine, partition, writes).await.unwrap();
}

pub(crate) async fn put_payload(
    engine: &LocalEngine,
    partition: Partition,
    name: &str,
    value: &str,
    payload: &[u8],
) {
    let mut writes = Writes::none();
    let payload = Payload::New(vec![Bytes::copy_from_slice(payload)]);
    writes.put_with(key(name), value.to_owned(), payload);
    change(engine, partition, writes).await.unwrap();
}

pub(crate) async fn delete(engine: &LocalEngine, partition: Partition, name: &str) {
    let mut writes = Writes::none();
    writes.delete(key(name));
    change(engine, partition, writes).await.unwrap();
}

pub(crate) async fn get(engine: &LocalEngine, partition: Partition, name: &str) -> Option<String> {
    let record = engine.get(partition, key(name)).await.unwrap()?;
    Some(String::from_utf8(record.value.to_vec()).unwrap())
}

pub(crate) async fn read_payload(
    engine: &LocalEngine,
    partition: Partition,
    name: &str,
) -> Vec<u8> {
    let record = engine.get(partition, key(name)).await.unwrap().unwrap();
    let wanted = vec![(key(name), record.payload.unwrap())];
    engine.payloads(partition, wanted).await.unwrap()[0].to_vec()
}

/// Every record of a partition, with its payload's bytes.
pub(crate) async fn everything(
    engine: &LocalEngine,
    partition: Partition,
) -> Vec<(Bytes, Bytes, Option<Bytes>)> {
    let mut told = Vec::new();
    let mut start = Some(Bytes::new());
    while let Some(from) = start {
        let scan = Scan { start: from, end: None, limit: 100, fold: None };
        let page = engine.scan(partition, scan).await.unwrap();
        for item in page.items {
            let Item::Record(key, record) = item else { panic!("nothing is folded") };
            let payload = match record.payload {
                None => None,
                Some(payload) => {
                    let wanted = vec![(key.clone(), payload)];
                    Some(engine.payloads(partition, wanted).await.unwrap().remove(0))
                }
            };
            told.push((key, record.value, payload));
        }
        start = page.resume;
    }
    told
}
