//! Reads that need not wait for the medium, and those that must.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed assertion with a line number")]

mod common;

use std::{fs, sync::Arc};

use bytes::Bytes;
use common::{Folder, faulty::FaultyDisk, frames, key, options, put_payload, runtime};
use ossia_engine::LocalEngine;
use ossia_store::{BlobError, BlobId, BlobReader, Blobs, Index, Partition, PayloadRef, ReadError};

const P: Partition = Partition(7);

fn content(count: usize) -> Vec<u8> {
    (0..count).map(|at| ((at * 31) >> 3) as u8).collect()
}

async fn blob(engine: &LocalEngine, bytes: &[u8]) -> BlobId {
    let mut writer = engine.create(Bytes::new()).await.unwrap();
    writer.write(Bytes::copy_from_slice(bytes)).await.unwrap();
    let id = writer.finish().await.unwrap().id;
    engine.adopt(id).await.unwrap();
    id
}

async fn whole(reader: &dyn BlobReader) -> Vec<u8> {
    let mut read = Vec::new();
    while (read.len() as u64) < reader.length() {
        let left = reader.length() - read.len() as u64;
        let count = usize::try_from(left).unwrap().min(100_000);
        read.extend(reader.read(read.len() as u64, count).await.unwrap());
    }
    read
}

async fn reference(engine: &LocalEngine, name: &str) -> (Bytes, PayloadRef) {
    (key(name), engine.get(P, key(name)).await.unwrap().unwrap().payload.unwrap())
}

#[test]
fn what_is_read_is_the_same_whether_or_not_it_has_to_be_waited_for() {
    let (folder, disk) = (Folder::new(), FaultyDisk::default());
    runtime().block_on(async {
        let engine = LocalEngine::open_on(options(&folder), Arc::new(disk.clone())).unwrap();
        let bytes = content(700_001);
        let (blob, mut wanted) = (blob(&engine, &bytes).await, Vec::new());
        for number in 0..200_usize {
            let name = format!("k{number}");
            put_payload(&engine, P, &name, "v", &content(1 + number * 37)).await;
            wanted.push(reference(&engine, &name).await);
        }
        let check = async || {
            let told = engine.payloads(P, wanted.clone()).await.unwrap();
            for (number, payload) in told.iter().enumerate() {
                assert_eq!(*payload, content(1 + number * 37), "payload {number}");
                let alone = engine.payloads(P, vec![wanted[number].clone()]).await.unwrap();
                assert_eq!(&alone, std::slice::from_ref(payload));
            }
            assert!(whole(&*engine.open(blob).await.unwrap()).await == bytes);
        };
        // Opens the files, and keeps them open.
        check().await;
        disk.reads();
        check().await;
        let (now, waiting) = disk.reads();
        assert!(now > 200);
        assert_eq!(waiting, 0, "no read of an open file took another thread");
        disk.let_reads_wait(true);
        check().await;
        let (now, waiting) = disk.reads();
        assert_eq!(now, 0);
        assert!(waiting > 200);
    });
}

#[test]
fn damage_is_told_of_files_that_are_open_already() {
    let (folder, disk) = (Folder::new(), FaultyDisk::default());
    runtime().block_on(async {
        let engine = LocalEngine::open_on(options(&folder), Arc::new(disk.clone())).unwrap();
        let payload = b"a payload that is found in its segment".repeat(20);
        put_payload(&engine, P, "k", "v", &payload).await;
        let wanted = vec![reference(&engine, "k").await];
        assert_eq!(engine.payloads(P, wanted.clone()).await.unwrap(), [&payload[..]]);
        let id = blob(&engine, &content(200_000)).await;
        let reader = engine.open(id).await.unwrap();
        assert!(whole(&*reader).await == content(200_000));

        let segment = frames::segments(folder.path()).into_iter().find_map(|path| {
            let bytes = fs::read(&path).unwrap();
            let at = bytes.windows(payload.len()).position(|window| window == payload)?;
            Some((path, bytes, at))
        });
        let (path, mut bytes, at) = segment.unwrap();
        bytes[at + 100] ^= 1;
        fs::write(&path, bytes).unwrap();
        let path = folder.path().join("blobs").join(&id.to_string()[..2]).join(id.to_string());
        let mut bytes = fs::read(&path).unwrap();
        bytes[4_096 + 150_000] ^= 1;
        fs::write(&path, bytes).unwrap();
        for wait in [false, true] {
            disk.let_reads_wait(wait);
            let told = engine.payloads(P, wanted.clone()).await;
            assert!(matches!(told, Err(ReadError::Damaged(_))), "{told:?}");
            for reader in [&reader, &engine.open(id).await.unwrap()] {
                assert!(matches!(reader.read(140_000, 1).await, Err(BlobError::Damaged(_))));
                assert_eq!(reader.read(0, 100).await.unwrap(), content(100));
            }
        }
    });
}

#[test]
fn a_deleted_blob_is_gone_for_whoever_comes_and_stays_for_whoever_reads() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        let bytes = content(300_000);
        let id = blob(&engine, &bytes).await;
        let readers = [engine.open(id).await.unwrap(), engine.open(id).await.unwrap()];
        engine.delete(id).await.unwrap();
        assert!(matches!(engine.open(id).await.map(|_| ()), Err(BlobError::NotFound)));
        for reader in readers {
            assert!(whole(&*reader).await == bytes);
        }
        engine.delete(id).await.unwrap();
        assert!(matches!(engine.open(id).await.map(|_| ()), Err(BlobError::NotFound)));
    });
}
