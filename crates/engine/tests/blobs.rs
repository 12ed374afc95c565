//! Blob files, beyond the contract's own suite.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed assertion with a line number")]

mod common;

use std::{fs, path::PathBuf};

use bytes::Bytes;
use common::{Folder, options, runtime};
use ossia_engine::LocalEngine;
use ossia_store::{BlobError, BlobId, Blobs, Store};

fn content(count: usize) -> Vec<u8> {
    (0..count).map(|at| ((at * 31) >> 3) as u8).collect()
}

async fn write(engine: &LocalEngine, owner: &'static str, bytes: &[u8]) -> BlobId {
    let mut writer = engine.create(Bytes::from_static(owner.as_bytes())).await.unwrap();
    for piece in bytes.chunks(40_000) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let finished = writer.finish().await.unwrap();
    assert_eq!(finished.length, bytes.len() as u64);
    finished.id
}

fn names(folder: &Folder, under: &str) -> Vec<PathBuf> {
    fs::read_dir(folder.path().join(under)).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn unfinished_blobs_are_removed_at_the_next_start_and_finished_ones_are_told() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        let kept = write(&engine, "kept", b"1").await;
        let mut open = engine.create(Bytes::new()).await.unwrap();
        open.write(content(1 << 20).into()).await.unwrap();
        let copy = Folder::copy_of(folder.path());
        assert_eq!(names(&copy, "staging").len(), 2);
        let again = LocalEngine::open(options(&copy)).unwrap();
        let staged = again.staged().await.unwrap();
        assert_eq!(staged.len(), 1);
        assert_eq!((staged[0].id, &staged[0].owner[..]), (kept, &b"kept"[..]));
        assert_eq!(names(&copy, "staging").len(), 1);
    });
}

#[test]
fn every_range_of_a_blob_reads_right_and_damage_is_told_where_it_is() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        let bytes = content(300_000);
        let id = write(&engine, "o", &bytes).await;
        engine.adopt(id).await.unwrap();
        let reader = engine.open(id).await.unwrap();
        for (offset, length) in
            [(0, 1), (0, 300_000), (65_535, 2), (65_536, 65_536), (131_000, 100_000), (299_999, 1)]
        {
            let told = reader.read(offset, length).await.unwrap();
            assert_eq!(told, bytes[offset as usize..offset as usize + length]);
        }
        let path = names(&folder, "blobs").pop().unwrap().join(id.to_string());
        let mut file = fs::read(&path).unwrap();
        file[4_096 + 70_000] ^= 1;
        fs::write(&path, file).unwrap();
        let reader = engine.open(id).await.unwrap();
        assert_eq!(reader.read(0, 65_536).await.unwrap(), bytes[..65_536]);
        assert!(matches!(reader.read(65_536, 1).await, Err(BlobError::Damaged(_))));
        assert!(matches!(reader.read(0, 300_000).await, Err(BlobError::Damaged(_))));
        assert_eq!(reader.read(131_072, 100).await.unwrap(), bytes[131_072..131_172]);
    });
}

#[test]
fn a_blob_that_is_cut_short_is_damaged_at_every_length() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        let id = write(&engine, "o", &content(70_000)).await;
        let path = folder.path().join("staging").join(id.to_string());
        let whole = fs::read(&path).unwrap();
        for length in (0..whole.len()).step_by(997).chain([whole.len() - 1]) {
            fs::write(&path, &whole[..length]).unwrap();
            let told = engine.open(id).await.map(|_| ());
            assert!(matches!(told, Err(BlobError::Damaged(_))), "{length} bytes: {told:?}");
        }
    });
}

#[test]
fn a_duplicate_has_its_own_name_and_owner_and_outlives_the_first() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        let bytes = content(2_500_000);
        let first = write(&engine, "first", &bytes).await;
        engine.adopt(first).await.unwrap();
        let second = engine.duplicate(first, Bytes::from_static(b"second")).await.unwrap();
        assert_ne!(second.id, first);
        engine.delete(first).await.unwrap();
        engine.shutdown().await.unwrap();
        drop(engine);
        let engine = LocalEngine::open(options(&folder)).unwrap();
        let staged = engine.staged().await.unwrap();
        assert_eq!((staged[0].id, &staged[0].owner[..]), (second.id, &b"second"[..]));
        let reader = engine.open(second.id).await.unwrap();
        assert_eq!(reader.read(0, bytes.len()).await.unwrap(), bytes);
    });
}
