//! What the cases are written with. A helper that cannot do its part has found a broken promise and panics.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    BlobError, BlobId, Decision, FinishedBlob, Fold, Item, NotBrought, Partition, Payload,
    PayloadRef, ReadError, Record, Rejection, Scan, Settled, Store, StoreError, View, Writes,
    successor, transact,
};

pub(super) const P: Partition = Partition(7);

/// How often a call is repeated that an engine may turn away for a moment.
const PATIENCE: usize = 1_000;

pub(super) fn key(text: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(text.as_ref())
}

/// Numbers as record values.
pub(super) fn number(value: u64) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

/// The number in a record; 0 when there is none.
pub(super) fn count(record: Option<&Record>) -> u64 {
    record.map_or(0, |record| {
        u64::from_be_bytes(record.value.as_ref().try_into().expect("eight bytes were written"))
    })
}

/// Runs a transaction to its end: sends it again when it was turned away, settles what is unknown.
pub(super) async fn run<T, E, F>(
    store: &dyn Store,
    partition: Partition,
    hints: Vec<Bytes>,
    body: F,
) -> Result<Result<T, E>, Rejection>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Fn(&dyn View) -> Result<Decision<T, E>, NotBrought> + Send + Sync + 'static,
{
    let body = Arc::new(body);
    for _ in 0..PATIENCE {
        let body = Arc::clone(&body);
        match transact(store, partition, hints.clone(), move |view| body(view)).await {
            Ok(told) => return Ok(told),
            Err(StoreError::Rejected(Rejection::Busy)) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(StoreError::Rejected(rejection)) => return Err(rejection),
            Err(StoreError::Unknown(why)) => panic!("an outcome stayed unknown: {why}"),
        }
    }
    panic!("the store stayed busy")
}

/// Writes, whatever stands.
pub(super) async fn try_write(
    store: &dyn Store,
    partition: Partition,
    writes: Writes,
) -> Result<(), Rejection> {
    // What `Payload::Of` names must have been read.
    let of: Vec<Bytes> = writes
        .changes()
        .iter()
        .filter_map(|(_, change)| match change {
            crate::Change::Put { payload: Payload::Of(other), .. } => Some(other.clone()),
            _ => None,
        })
        .collect();
    let told = run(store, partition, Vec::new(), move |view| {
        for key in &of {
            view.get(key)?;
        }
        Ok(Decision::<(), ()>::Commit(writes.clone(), ()))
    });
    told.await.map(|told| told.expect("the body does not refuse"))
}

pub(super) async fn write(store: &dyn Store, partition: Partition, writes: Writes) {
    try_write(store, partition, writes).await.expect("a plain write is taken");
}

pub(super) async fn put(
    store: &dyn Store,
    partition: Partition,
    key: &Bytes,
    value: impl Into<Bytes>,
) {
    let mut writes = Writes::none();
    writes.put(key.clone(), value);
    write(store, partition, writes).await;
}

pub(super) async fn put_with(
    store: &dyn Store,
    partition: Partition,
    key: &Bytes,
    value: impl Into<Bytes>,
    payload: Payload,
) {
    let mut writes = Writes::none();
    writes.put_with(key.clone(), value, payload);
    write(store, partition, writes).await;
}

pub(super) async fn delete(store: &dyn Store, partition: Partition, key: &Bytes) {
    let mut writes = Writes::none();
    writes.delete(key.clone());
    write(store, partition, writes).await;
}

/// A payload of one piece.
pub(super) fn new(bytes: impl Into<Bytes>) -> Payload {
    Payload::New(vec![bytes.into()])
}

/// Adds one to a counter and tells what it is then.
pub(super) async fn increment(store: &dyn Store, partition: Partition, key: &Bytes) -> u64 {
    let key = key.clone();
    let told = run(store, partition, Vec::new(), move |view| {
        let next = count(view.get(&key)?.as_ref()) + 1;
        let mut writes = Writes::none();
        writes.put(key.clone(), number(next));
        Ok(Decision::<u64, ()>::Commit(writes, next))
    });
    told.await.expect("an increment is taken").expect("the body does not refuse")
}

pub(super) async fn get(store: &dyn Store, partition: Partition, key: &Bytes) -> Option<Record> {
    store.get(partition, key.clone()).await.expect("a key can be looked up")
}

pub(super) async fn value(store: &dyn Store, partition: Partition, key: &Bytes) -> Option<Bytes> {
    get(store, partition, key).await.map(|record| record.value)
}

/// The payload of a record that stands and that nobody changes meanwhile.
pub(super) async fn payload(store: &dyn Store, partition: Partition, key: &Bytes) -> Option<Bytes> {
    let record = get(store, partition, key).await.expect("the record stands");
    let wanted = record.payload?;
    let read = referred(store, partition, key, wanted).await.expect("its payload can be read");
    assert_eq!(read.len(), wanted.length as usize, "a reference tells the payload's length");
    Some(read)
}

/// What a reference that was read earlier yields now.
pub(super) async fn referred(
    store: &dyn Store,
    partition: Partition,
    key: &Bytes,
    wanted: PayloadRef,
) -> Result<Bytes, ReadError> {
    let mut read = store.payloads(partition, vec![(key.clone(), wanted)]).await?;
    assert_eq!(read.len(), 1, "one payload was asked for");
    Ok(read.remove(0))
}

pub(super) async fn reference(store: &dyn Store, partition: Partition, key: &Bytes) -> PayloadRef {
    let record = get(store, partition, key).await.expect("the record stands");
    record.payload.expect("the record has a payload")
}

/// The key or prefix of an item.
pub(super) fn name(item: &Item) -> &Bytes {
    match item {
        Item::Record(key, _) => key,
        Item::Prefix(prefix) => prefix,
    }
}

pub(super) fn whole(limit: usize) -> Scan {
    Scan { start: Bytes::new(), end: None, limit, fold: None }
}

pub(super) fn fold(at: usize, delimiter: &'static [u8]) -> Option<Fold> {
    Some(Fold { at, delimiter: Bytes::from_static(delimiter) })
}

/// Follows a scan to its end and checks, on the way, what every page must keep.
pub(super) async fn scan_all(store: &dyn Store, partition: Partition, scan: &Scan) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let mut start = scan.start.clone();
    for _ in 0..100_000 {
        let asked = Scan { start: start.clone(), ..scan.clone() };
        let page = store.scan(partition, asked).await.expect("a range can be scanned");
        assert!(page.items.len() <= scan.limit, "a page keeps the limit");
        for item in page.items {
            if let Some(last) = items.last() {
                assert!(name(last) < name(&item), "{:?} before {:?}", name(last), name(&item));
            }
            items.push(item);
        }
        let Some(resume) = page.resume else { return items };
        assert!(resume > start, "a page leads on");
        if let Some(last) = items.last() {
            let past = match last {
                Item::Record(key, _) => resume > *key,
                Item::Prefix(prefix) => successor(prefix).is_some_and(|past| resume >= past),
            };
            assert!(past, "resuming at {resume:?} would repeat {:?}", name(last));
        }
        start = resume;
    }
    panic!("a scan does not end")
}

/// The keys and prefixes that a scan tells.
pub(super) async fn names(store: &dyn Store, partition: Partition, scan: &Scan) -> Vec<Bytes> {
    scan_all(store, partition, scan).await.iter().map(|item| name(item).clone()).collect()
}

/// Adopts, again when the engine cannot for a moment.
pub(super) async fn adopt(store: &dyn Store, id: BlobId) -> Result<(), BlobError> {
    for _ in 0..PATIENCE {
        match store.adopt(id).await {
            Err(BlobError::Io(_)) => tokio::task::yield_now().await,
            told => return told,
        }
    }
    panic!("a blob cannot be adopted")
}

/// Deletes, again when the engine cannot for a moment.
pub(super) async fn delete_blob(store: &dyn Store, id: BlobId) {
    for _ in 0..PATIENCE {
        match store.delete(id).await {
            Err(BlobError::Io(_)) => tokio::task::yield_now().await,
            told => return told.expect("a blob can be deleted"),
        }
    }
    panic!("a blob cannot be deleted")
}

pub(super) async fn blob(store: &dyn Store, owner: &Bytes, content: &[u8]) -> FinishedBlob {
    let mut writer = store.create(owner.clone()).await.expect("a blob can be created");
    for piece in content.chunks(100_000) {
        writer.write(key(piece)).await.expect("a blob can be written");
    }
    let finished = writer.finish().await.expect("a blob can be finished");
    assert_eq!(finished.length, content.len() as u64, "a finished blob tells its length");
    finished
}

/// All bytes of a blob.
pub(super) async fn content(store: &dyn Store, id: BlobId) -> Result<Vec<u8>, BlobError> {
    read_through(store.open(id).await?.as_ref()).await
}

pub(super) async fn read_through(reader: &dyn crate::BlobReader) -> Result<Vec<u8>, BlobError> {
    let mut all = Vec::new();
    while (all.len() as u64) < reader.length() {
        let rest = reader.length() - all.len() as u64;
        let piece = reader.read(all.len() as u64, rest.min(1 << 20) as usize).await?;
        assert!(!piece.is_empty(), "a read inside a blob yields bytes");
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// The staged blobs and their owners, in the order of their ids.
pub(super) async fn staged(store: &dyn Store) -> Vec<(BlobId, Bytes)> {
    let staged = store.staged().await.expect("the staged blobs can be told");
    let mut staged: Vec<_> = staged.into_iter().map(|blob| (blob.id, blob.owner)).collect();
    staged.sort();
    staged
}

/// Asks until the outcome is told.
pub(super) async fn settle(
    store: &dyn Store,
    partition: Partition,
    token: crate::Token,
) -> Settled {
    for _ in 0..PATIENCE {
        match store.settle(partition, token).await {
            Ok(settled) => return settled,
            Err(StoreError::Unknown(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(StoreError::Rejected(why)) => panic!("an unknown outcome is never told: {why}"),
        }
    }
    panic!("an outcome stayed unknown")
}

/// Numbers that follow from a seed (splitmix64). Tells the seed when the case that holds it fails.
pub(super) struct Seeded {
    seed: u64,
    state: u64,
}

impl Seeded {
    pub(super) fn new(default: u64) -> Self {
        let given = std::env::var("OSSIA_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or(default);
        Self { seed, state: seed }
    }

    /// A sequence of its own, told as this one.
    pub(super) fn part(&self, number: u64) -> Self {
        Self { seed: self.seed, state: self.seed ^ number.wrapping_mul(0xd134_2543_de82_ef95) }
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.roll().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

impl Drop for Seeded {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat: OSSIA_SEED={}", self.seed);
        }
    }
}
