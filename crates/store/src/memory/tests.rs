//! The reference under the suite, plain and hostile.

use std::sync::{Arc, atomic::Ordering};

use super::{Hostility, MemoryOptions, MemoryStore};
use crate::{BoxFuture, Store, conformance::Subject};

/// A store that opens again with what it had. The memory does not outlive a process, but the cases must be tried on something.
struct Reopening(MemoryStore);

impl Subject for Reopening {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Store>> {
        self.0.inner.closed.store(false, Ordering::Release);
        Box::pin(async move { Arc::new(self.0.clone()) as Arc<dyn Store> })
    }

    fn is_durable(&self) -> bool {
        true
    }
}

fn made(hostility: Option<Hostility>) -> Reopening {
    let options = MemoryOptions { partitions_per_bucket: 3, hostility, ..Default::default() };
    Reopening(MemoryStore::new(options))
}

/// The seed of the environment, with which the suite's own random cases run, too.
fn seed(default: u64) -> u64 {
    std::env::var("OSSIA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(default)
}

mod plain {
    crate::conformance_tests!(super::made(None));
}

mod hostile {
    crate::conformance_tests!(super::made(Some(super::Hostility::new(super::seed(1)))));
}

/// Everything at once and as often as it can be.
fn savage(seed: u64) -> Hostility {
    Hostility {
        brings_max: 20,
        discards_max: 6,
        stale_per_mille: 600,
        yields_max: 5,
        unknown_per_mille: 400,
        settle_unknown_max: 0,
        short_page_per_mille: 900,
        relocation_per_mille: 900,
        blob_move_fails_per_mille: 700,
        busy_per_mille: 200,
        ..Hostility::new(seed)
    }
}

mod savage {
    crate::conformance_tests!(super::made(Some(super::savage(super::seed(2)))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_run_tells_what_was_skipped() {
    let report = crate::conformance::run_all(|| {
        || Arc::new(MemoryStore::new(MemoryOptions::default())) as Arc<dyn Store>
    });
    let report = report.await;
    assert!(report.ran.contains(&"write_skew_is_prevented"));
    assert!(report.skipped.contains(&"blobs_outlive_a_shutdown"));
    let all = crate::conformance::run_all(|| made(None)).await;
    assert_eq!(all.ran.len(), report.ran.len() + report.skipped.len());
    assert_eq!(all.skipped, [""; 0]);
}

mod bounds {
    use bytes::Bytes;

    use crate::{
        BlobError, Blobs, Decision, Health, Index, MemoryOptions, MemoryStore, Partition, Payload,
        Rejection, Store, StoreError, Token, Transaction, View, Writes, transact,
    };

    const P: Partition = Partition(1);

    fn bounded(bytes_max: u64) -> MemoryStore {
        MemoryStore::new(MemoryOptions { bytes_max: Some(bytes_max), ..Default::default() })
    }

    async fn write(store: &MemoryStore, writes: Writes) -> Result<(), Rejection> {
        let body = std::sync::Arc::new(move |_: &dyn View| Ok(writes.clone()));
        let sent = Transaction { partition: P, token: Token::unique(), hints: Vec::new(), body };
        match store.submit(sent).await {
            Ok(()) => Ok(()),
            Err(StoreError::Rejected(why)) => Err(why),
            Err(unknown) => panic!("{unknown}"),
        }
    }

    fn record(key: &str, value: usize, payload: usize) -> Writes {
        let mut writes = Writes::none();
        let payload = Payload::New(vec![vec![1; payload].into()]);
        writes.put_with(key.to_owned().into(), vec![2; value], payload);
        writes
    }

    #[tokio::test]
    async fn a_full_store_takes_what_fits_and_no_more() {
        let store = bounded(1_000);
        assert_eq!(write(&store, record("k", 499, 500)).await, Ok(()));
        assert_eq!(store.health(), Health::Open);
        let told = write(&store, record("l", 1, 0)).await;
        assert!(matches!(told, Err(Rejection::Full(_))), "{told:?}");
        assert!(matches!(store.health(), Health::Full(_)));
        assert_eq!(store.get(P, "l".into()).await, Ok(None));
        // What is replaced makes room for what replaces it only where it is a record: a payload goes once nobody reads it.
        assert_eq!(write(&store, record("k", 499, 0)).await, Ok(()));
        assert_eq!(store.health(), Health::Open);
        assert_eq!(write(&store, record("l", 499, 0)).await, Ok(()));
    }

    #[tokio::test]
    async fn a_full_store_can_be_emptied() {
        let store = bounded(1_000);
        assert_eq!(write(&store, record("k", 100, 899)).await, Ok(()));
        assert!(write(&store, record("l", 1, 0)).await.is_err());
        let mut writes = Writes::none();
        writes.delete("k".into());
        writes.put("a tombstone that is longer than the record".into(), vec![3; 200]);
        assert_eq!(write(&store, writes).await, Ok(()));
        assert_eq!(store.health(), Health::Open);
        assert_eq!(write(&store, record("m", 100, 500)).await, Ok(()));
    }

    #[tokio::test]
    async fn room_returns_with_the_last_key_of_a_shared_payload() {
        let store = bounded(1_000);
        assert_eq!(write(&store, record("a", 10, 900)).await, Ok(()));
        let shared: Result<Result<(), ()>, _> = transact(&store, P, Vec::new(), |view| {
            view.get(&"a".into())?;
            let mut writes = Writes::none();
            writes.delete("a".into());
            writes.put_with("b".into(), "v", Payload::Of("a".into()));
            writes.put_with("c".into(), "v", Payload::Of("a".into()));
            Ok(Decision::Commit(writes, ()))
        })
        .await;
        assert_eq!(shared, Ok(Ok(())));
        for last in ["b", "c"] {
            assert!(write(&store, record("new", 10, 900)).await.is_err());
            let mut writes = Writes::none();
            writes.delete(last.into());
            assert_eq!(write(&store, writes).await, Ok(()));
        }
        assert_eq!(write(&store, record("new", 10, 900)).await, Ok(()));
    }

    #[tokio::test]
    async fn blobs_count_until_their_last_reader_is_gone() {
        let store = bounded(1_000_000);
        let mut writer = store.create("owner".into()).await.unwrap();
        writer.write(vec![1; 600_000].into()).await.unwrap();
        let told = writer.write(vec![1; 600_000].into()).await;
        assert!(matches!(told, Err(BlobError::Full(_))), "{told:?}");
        drop(writer);
        let mut writer = store.create("owner".into()).await.unwrap();
        writer.write(vec![1; 1_000_000].into()).await.unwrap();
        let blob = writer.finish().await.unwrap();
        let copy = store.duplicate(blob.id, "copy".into()).await.unwrap();
        let reader = store.open(copy.id).await.unwrap();
        store.delete(blob.id).await.unwrap();
        store.delete(copy.id).await.unwrap();
        assert!(write(&store, record("k", 10, 0)).await.is_err());
        assert_eq!(reader.read(999_999, 1).await.unwrap(), Bytes::from_static(&[1]));
        drop(reader);
        assert_eq!(write(&store, record("k", 10, 0)).await, Ok(()));
    }

    #[tokio::test]
    async fn the_payload_of_a_key_that_was_not_read_is_refused() {
        let store = bounded(1_000);
        let mut writes = Writes::none();
        writes.put_with("k".into(), "v", Payload::Of("other".into()));
        assert!(matches!(write(&store, writes).await, Err(Rejection::Limit(_))));
    }

    #[tokio::test]
    async fn a_partition_without_keys_costs_nothing() {
        let store = bounded(1_000);
        for number in 0..100 {
            store.get(Partition(number), "k".into()).await.unwrap();
        }
        write(&store, record("k", 10, 10)).await.unwrap();
        let held = || store.inner.shards.iter().map(|s| s.lock().unwrap().len()).sum::<usize>();
        assert_eq!(held(), 1);
        let mut writes = Writes::none();
        writes.delete("k".into());
        write(&store, writes).await.unwrap();
        assert_eq!(held(), 0);
    }
}
