//! Blobs: staged, named, adopted, deleted, and readable to whoever has them open.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::tools::{Seeded, adopt, blob, content, delete_blob, key, read_through, staged};
use crate::{BlobError, BlobId, Store};

const UNKNOWN: BlobId = BlobId([0xab; 16]);

async fn missing(store: &dyn Store, id: BlobId) -> bool {
    matches!(store.open(id).await.map(|_| ()), Err(BlobError::NotFound))
}

/// Blobs of all sizes come back byte for byte, whole and in ranges.
pub async fn a_blob_is_read_back(store: Arc<dyn Store>) {
    let mut seeded = Seeded::new(4);
    let around = |size: usize| [size - 1, size, size + 1];
    let sizes = [0, 1, 100].into_iter().chain(around(4_096)).chain(around(65_536));
    for size in sizes.chain(around(256 << 10)).chain(around(1 << 20)).chain([5_000_003]) {
        let bytes = seeded.bytes(size);
        let finished = blob(&*store, &key("owner"), &bytes).await;
        assert!(content(&*store, finished.id).await == Ok(bytes.clone()), "{size} bytes come back");
        let reader = store.open(finished.id).await.expect("a finished blob can be opened");
        assert_eq!(reader.length(), size as u64);
        for _ in 0..10 {
            let from = seeded.below(size + 1);
            let length = seeded.below((size - from + 1).min(1 << 20));
            let read = reader.read(from as u64, length).await.expect("a range can be read");
            assert!(read == bytes[from..from + length], "{length} bytes from {from} of {size}");
        }
    }
}

/// Pieces of any size, empty ones too, add up.
pub async fn a_blob_is_written_in_pieces_of_any_size(store: Arc<dyn Store>) {
    let mut seeded = Seeded::new(5);
    let mut writer = store.create(key("owner")).await.expect("a blob can be created");
    let mut all = Vec::new();
    for round in 0..200 {
        let length = if round % 20 == 7 { 0 } else { seeded.below(20_000) };
        let piece = seeded.bytes(length);
        all.extend_from_slice(&piece);
        writer.write(piece.into()).await.expect("a blob can be written");
    }
    let finished = writer.finish().await.expect("a blob can be finished");
    assert_eq!(finished.length, all.len() as u64);
    assert!(content(&*store, finished.id).await == Ok(all));
}

/// A range that reaches past the end is refused, and does not break the reader.
pub async fn a_range_past_the_end_is_refused(store: Arc<dyn Store>) {
    let finished = blob(&*store, &key("owner"), b"ten bytes.").await;
    let reader = store.open(finished.id).await.expect("a finished blob can be opened");
    for (offset, length) in [(0, 11), (10, 1), (11, 1), (9, 2), (u64::MAX, 2), (u64::MAX - 1, 1)] {
        let told = reader.read(offset, length).await;
        assert_eq!(told, Err(BlobError::OutOfRange), "{length} from {offset}");
    }
    assert_eq!(reader.read(4, 6).await, Ok(key("bytes.")));
    assert_eq!(reader.read(10, 0).await, Ok(Bytes::new()));
}

/// Nobody hears of a blob before it is finished, nor of one that was dropped.
pub async fn an_unfinished_blob_is_nowhere(store: Arc<dyn Store>) {
    let mut kept = store.create(key("kept")).await.expect("a blob can be created");
    let mut dropped = store.create(key("dropped")).await.expect("a blob can be created");
    kept.write(key("bytes")).await.expect("a blob can be written");
    dropped.write(vec![1; 2_000_000].into()).await.expect("a blob can be written");
    assert_eq!(staged(&*store).await, []);
    drop(dropped);
    assert_eq!(staged(&*store).await, []);
    let finished = kept.finish().await.expect("a blob can be finished");
    assert_eq!(staged(&*store).await, [(finished.id, key("kept"))]);
}

/// Staging tells each finished blob with its owner until it is adopted or deleted.
pub async fn staging_tells_owners_until_blobs_are_adopted(store: Arc<dyn Store>) {
    let owners = [key(""), key("owner"), key([0, 0xff, b'\n']), key([b'o'; 256])];
    let mut told = Vec::new();
    for owner in &owners {
        told.push((blob(&*store, owner, b"content").await.id, owner.clone()));
    }
    told.sort();
    assert_eq!(staged(&*store).await, told);
    adopt(&*store, told[1].0).await.expect("a staged blob can be adopted");
    delete_blob(&*store, told[2].0).await;
    assert_eq!(staged(&*store).await, [told[0].clone(), told[3].clone()]);
    assert_eq!(content(&*store, told[1].0).await, Ok(b"content".to_vec()));
    assert!(missing(&*store, told[2].0).await);
}

/// An owner past the limit is refused, where a blob is made and where it is duplicated.
pub async fn an_owner_that_is_too_long_is_refused(store: Arc<dyn Store>) {
    let told = store.create(key([b'o'; 257])).await.map(|_| ());
    assert_eq!(told, Err(BlobError::OwnerTooLong));
    let finished = blob(&*store, &key("owner"), b"content").await;
    let told = store.duplicate(finished.id, key([b'o'; 257])).await;
    assert_eq!(told, Err(BlobError::OwnerTooLong));
    assert_eq!(staged(&*store).await, [(finished.id, key("owner"))]);
}

/// Adopting twice is harmless; adopting what is not there is told.
pub async fn a_blob_is_adopted_once_and_for_all(store: Arc<dyn Store>) {
    let finished = blob(&*store, &key("owner"), b"content").await;
    for _ in 0..3 {
        assert_eq!(adopt(&*store, finished.id).await, Ok(()));
        assert_eq!(staged(&*store).await, []);
        assert_eq!(content(&*store, finished.id).await, Ok(b"content".to_vec()));
    }
    assert_eq!(adopt(&*store, UNKNOWN).await, Err(BlobError::NotFound));
    delete_blob(&*store, finished.id).await;
    assert_eq!(adopt(&*store, finished.id).await, Err(BlobError::NotFound));
}

/// Deleting twice, or what never was, is harmless; what is deleted is gone, staged or adopted.
pub async fn a_deleted_blob_is_gone(store: Arc<dyn Store>) {
    let one = blob(&*store, &key("staged"), b"content").await.id;
    let two = blob(&*store, &key("adopted"), b"content").await.id;
    adopt(&*store, two).await.expect("a staged blob can be adopted");
    for _ in 0..2 {
        for id in [one, two, UNKNOWN] {
            delete_blob(&*store, id).await;
            assert!(missing(&*store, id).await);
        }
    }
    assert_eq!(staged(&*store).await, []);
}

/// Whoever has a blob open reads it to the end, although it is adopted and deleted meanwhile.
pub async fn an_open_reader_outlives_the_deletion(store: Arc<dyn Store>) {
    let bytes = Seeded::new(6).bytes(3_000_000);
    for adopted in [false, true] {
        let id = blob(&*store, &key("owner"), &bytes).await.id;
        let early = store.open(id).await.expect("a finished blob can be opened");
        let start = early.read(0, 1_000).await.expect("a range can be read");
        assert!(start == bytes[..1_000]);
        if adopted {
            adopt(&*store, id).await.expect("a staged blob can be adopted");
        }
        let late = store.open(id).await.expect("a finished blob can be opened");
        delete_blob(&*store, id).await;
        assert!(missing(&*store, id).await);
        assert!(read_through(&*early).await == Ok(bytes.clone()));
        drop(early);
        assert!(read_through(&*late).await == Ok(bytes.clone()));
    }
}

/// A duplicate has the bytes, an id and an owner of its own, and neither needs the other.
pub async fn a_duplicate_stands_alone(store: Arc<dyn Store>) {
    let bytes = Seeded::new(7).bytes(700_000);
    let origin = blob(&*store, &key("origin"), &bytes).await.id;
    let first = store.duplicate(origin, key("first")).await.expect("a blob can be duplicated");
    assert_eq!(first.length, bytes.len() as u64);
    adopt(&*store, origin).await.expect("a staged blob can be adopted");
    let second = store.duplicate(origin, key("second")).await.expect("an adopted one too");
    let mut told = vec![(first.id, key("first")), (second.id, key("second"))];
    told.sort();
    assert_eq!(staged(&*store).await, told);

    delete_blob(&*store, origin).await;
    assert!(content(&*store, first.id).await == Ok(bytes.clone()));
    adopt(&*store, first.id).await.expect("a staged blob can be adopted");
    delete_blob(&*store, first.id).await;
    assert!(content(&*store, second.id).await == Ok(bytes));
    let told = store.duplicate(first.id, key("late")).await;
    assert_eq!(told, Err(BlobError::NotFound));
}

/// An empty blob is a blob.
pub async fn an_empty_blob_lives_as_any_other(store: Arc<dyn Store>) {
    let writer = store.create(key("owner")).await.expect("a blob can be created");
    let finished = writer.finish().await.expect("a blob can be finished");
    assert_eq!(finished.length, 0);
    let copy = store.duplicate(finished.id, key("copy")).await.expect("a blob can be duplicated");
    adopt(&*store, finished.id).await.expect("a staged blob can be adopted");
    assert_eq!(content(&*store, finished.id).await, Ok(Vec::new()));
    assert_eq!(staged(&*store).await, [(copy.id, key("copy"))]);
    let reader = store.open(copy.id).await.expect("a finished blob can be opened");
    assert_eq!(reader.read(0, 1).await, Err(BlobError::OutOfRange));
}

/// Blobs written side by side keep their own bytes, and no id comes twice.
pub async fn blobs_written_side_by_side_do_not_mix(store: Arc<dyn Store>) {
    let seeded = Seeded::new(8);
    let mut tasks = JoinSet::new();
    for task in 0..6 {
        let (store, mut seeded) = (Arc::clone(&store), seeded.part(task));
        tasks.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..5 {
                let length = seeded.below(300_000);
                let bytes = seeded.bytes(length);
                let id = blob(&*store, &key("owner"), &bytes).await.id;
                if seeded.below(2) == 0 {
                    adopt(&*store, id).await.expect("a staged blob can be adopted");
                }
                assert!(content(&*store, id).await == Ok(bytes));
                ids.push(id);
            }
            ids
        });
    }
    let ids: Vec<BlobId> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 30);
}
