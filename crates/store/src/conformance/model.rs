//! Random operations against a plain model, several tasks side by side, each with keys of its own in a shared partition.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{
    Subject,
    durability::reopened,
    scans::expected,
    tools::{
        Seeded, adopt, blob, content, delete_blob, get, key, payload, referred, run, scan_all,
        staged, try_write,
    },
};
use crate::{
    BlobError, BlobId, Change, Decision, Fold, Item, Partition, Payload, PayloadRef, ReadError,
    Rejection, Scan, Store, Writes, successor,
};

/// What one key holds: the record's value and the payload's bytes.
type Held = (Bytes, Option<Bytes>);

/// One task's part of the store, and what it must hold.
struct Model {
    seeded: Seeded,
    partition: Partition,
    prefix: Bytes,
    records: BTreeMap<Bytes, Held>,
    blobs: BTreeMap<BlobId, (Vec<u8>, bool)>,
    references: Vec<Reference>,
}

/// A reference that was read at some time.
struct Reference {
    key: Bytes,
    wanted: PayloadRef,
    bytes: Bytes,
    /// Whether the key has had this payload ever since.
    stands: bool,
}

impl Model {
    fn new(seeded: Seeded, number: u64) -> Self {
        Self {
            seeded,
            // Two tasks share a partition.
            partition: Partition(number / 2),
            prefix: key(format!("task {number}|")),
            records: BTreeMap::new(),
            blobs: BTreeMap::new(),
            references: Vec::new(),
        }
    }

    fn some_key(&mut self) -> Bytes {
        const LETTERS: &[u8] = b"ab/\xff";
        let mut some = self.prefix.to_vec();
        for _ in 0..=self.seeded.below(3) {
            some.push(LETTERS[self.seeded.below(LETTERS.len())]);
        }
        some.into()
    }

    fn some_bytes(&mut self) -> Bytes {
        let length = match self.seeded.below(20) {
            0 => self.seeded.below(200_000),
            1..5 => self.seeded.below(9_000),
            _ => self.seeded.below(100),
        };
        self.seeded.bytes(length).into()
    }

    fn some_writes(&mut self) -> Writes {
        let mut writes = Writes::none();
        for _ in 0..=self.seeded.below(4) {
            let key = self.some_key();
            let length = 1 + self.seeded.below(60);
            let value = self.seeded.bytes(length);
            match self.seeded.below(6) {
                0 => writes.delete(key),
                1 => writes.put(key, value),
                2 => writes.put_with(key.clone(), value, Payload::Of(key)),
                3 => {
                    let other = self.some_key();
                    writes.put_with(key, value, Payload::Of(other));
                }
                _ => {
                    let pieces = vec![self.some_bytes(), self.some_bytes()];
                    writes.put_with(key, value, Payload::New(pieces));
                }
            }
        }
        writes
    }

    fn apply(&mut self, writes: &Writes) {
        let before = self.records.clone();
        for (key, change) in writes.changes() {
            let kept = matches!(change, Change::Put { payload: Payload::Of(of), .. } if of == key);
            let lost =
                self.references.iter_mut().filter(|reference| reference.key == *key && !kept);
            lost.for_each(|reference| reference.stands = false);
            let Change::Put { value, payload } = change else {
                self.records.remove(key);
                continue;
            };
            let payload = match payload {
                Payload::None => None,
                Payload::New(pieces) => {
                    Some(pieces.concat().into()).filter(|b: &Bytes| !b.is_empty())
                }
                Payload::Of(other) => before.get(other).and_then(|(_, payload)| payload.clone()),
            };
            self.records.insert(key.clone(), (value.clone(), payload));
        }
    }

    async fn step(&mut self, store: &dyn Store) {
        match self.seeded.below(20) {
            0..8 => self.write(store).await,
            8 => self.refuse(store).await,
            9..13 => self.look_up(store).await,
            13..16 => self.scan(store).await,
            16 => self.follow_references(store).await,
            _ => self.use_blobs(store).await,
        }
    }

    async fn write(&mut self, store: &dyn Store) {
        let writes = self.some_writes();
        try_write(store, self.partition, writes.clone()).await.expect("a write is taken");
        self.apply(&writes);
    }

    /// Three ways to write nothing; each reveals the state that stands.
    async fn refuse(&mut self, store: &dyn Store) {
        let (key, writes) = (self.some_key(), self.some_writes());
        let how = self.seeded.below(3);
        let wanted = self.records.get(&key).map(|(value, _)| value.clone());
        let told = run(store, self.partition, vec![key.clone()], move |view| {
            let seen = view.get(&key)?.map(|record| record.value);
            match how {
                0 => Ok(Decision::Refuse(seen)),
                1 => Ok(Decision::Commit(Writes::none(), seen)),
                _ => {
                    let mut bad = writes.clone();
                    bad.put(Bytes::new(), "no key");
                    Ok(Decision::Commit(bad, seen))
                }
            }
        });
        match told.await {
            Ok(Ok(seen) | Err(seen)) => assert_eq!(seen, wanted),
            Err(Rejection::Limit(_)) => assert_eq!(how, 2),
            Err(why) => panic!("a transaction is taken: {why}"),
        }
    }

    async fn look_up(&mut self, store: &dyn Store) {
        let key = self.some_key();
        let Some((value, bytes)) = self.records.get(&key) else {
            assert_eq!(get(store, self.partition, &key).await, None);
            return;
        };
        let record = get(store, self.partition, &key).await.expect("the record stands");
        assert_eq!(record.value, *value);
        assert!(payload(store, self.partition, &key).await == *bytes, "the payload of {key:?}");
        if let (Some(wanted), Some(bytes)) = (record.payload, bytes) {
            self.references.push(Reference { key, wanted, bytes: bytes.clone(), stands: true });
        }
    }

    /// A range within the task's own keys, with their payloads.
    async fn scan(&mut self, store: &dyn Store) {
        let (mut one, mut other) = (self.some_key(), self.some_key());
        if self.seeded.below(3) == 0 {
            one = self.prefix.clone();
            other = successor(&self.prefix).expect("no byte of the prefix is 0xFF");
        }
        let fold = (self.seeded.below(2) == 0).then(|| {
            let at = self.prefix.len() + self.seeded.below(2);
            Fold { at, delimiter: key([b"/", &b"\xff"[..]][self.seeded.below(2)]) }
        });
        let limit = 1 + self.seeded.below(20);
        let scan = Scan { start: one, end: Some(other), limit, fold };
        let told = scan_all(store, self.partition, &scan).await;
        let wanted = expected(&self.records, &scan);
        assert_eq!(told.len(), wanted.len(), "{scan:?}");
        let mut referred = Vec::new();
        let mut payloads = Vec::new();
        for (item, (name, held)) in told.into_iter().zip(wanted) {
            match (item, held) {
                (Item::Prefix(prefix), None) => assert_eq!(prefix, name),
                (Item::Record(key, record), Some((value, bytes))) => {
                    assert_eq!((&key, record.value), (&name, value));
                    assert_eq!(record.payload.is_some(), bytes.is_some());
                    referred.extend(record.payload.map(|wanted| (key, wanted)));
                    payloads.extend(bytes);
                }
                (item, held) => panic!("{item:?} instead of {held:?}"),
            }
        }
        assert!(store.payloads(self.partition, referred).await == Ok(payloads), "{scan:?}");
    }

    /// Old references yield what they named, and must while their key has that payload.
    async fn follow_references(&mut self, store: &dyn Store) {
        for Reference { key, wanted, bytes, stands } in std::mem::take(&mut self.references) {
            match referred(store, self.partition, &key, wanted).await {
                Ok(read) => assert!(read == bytes, "other bytes under {key:?}"),
                Err(why) => assert!(why == ReadError::Gone && !stands, "{why} under {key:?}"),
            }
        }
    }

    async fn use_blobs(&mut self, store: &dyn Store) {
        let place = self.seeded.below(self.blobs.len().max(1));
        let known = self.blobs.keys().nth(place).copied();
        let owner = self.prefix.clone();
        match (self.seeded.below(6), known) {
            (0, Some(id)) => {
                adopt(store, id).await.expect("a blob can be adopted");
                self.blobs.entry(id).and_modify(|(_, staged)| *staged = false);
            }
            (1, Some(id)) => {
                delete_blob(store, id).await;
                self.blobs.remove(&id);
                assert_eq!(content(store, id).await, Err(BlobError::NotFound));
            }
            (2, Some(id)) => {
                let bytes = self.blobs[&id].0.clone();
                let copy = store.duplicate(id, owner).await.expect("a blob can be duplicated");
                assert!(self.blobs.insert(copy.id, (bytes, true)).is_none(), "an id comes again");
            }
            (3, Some(id)) => {
                assert!(content(store, id).await.as_ref() == Ok(&self.blobs[&id].0));
            }
            (4, _) => {
                let mut told = staged(store).await;
                told.retain(|(_, of)| *of == owner);
                let waiting = self.blobs.iter().filter(|(_, (_, staged))| *staged);
                let wanted: Vec<_> = waiting.map(|(id, _)| (*id, owner.clone())).collect();
                assert_eq!(told, wanted);
            }
            _ => {
                let bytes = self.some_bytes();
                let id = blob(store, &owner, &bytes).await.id;
                assert!(self.blobs.insert(id, (bytes.into(), true)).is_none(), "an id comes again");
            }
        }
    }

    /// Everything, once more.
    async fn check(&mut self, store: &dyn Store) {
        let end = successor(&self.prefix);
        let scan = Scan { start: self.prefix.clone(), end, limit: 50, fold: None };
        let told = scan_all(store, self.partition, &scan).await.len();
        assert_eq!(told, self.records.len());
        for (key, (value, bytes)) in &self.records {
            let record = get(store, self.partition, key).await.expect("the record stands");
            assert_eq!(record.value, *value);
            assert!(payload(store, self.partition, key).await == *bytes, "the payload of {key:?}");
        }
        for (id, (bytes, _)) in &self.blobs {
            assert!(content(store, *id).await.as_ref() == Ok(bytes));
        }
    }
}

/// Runs each model for a while, all at once.
async fn run_models(store: &Arc<dyn Store>, models: Vec<Model>, steps: usize) -> Vec<Model> {
    let mut tasks = JoinSet::new();
    for mut model in models {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            for _ in 0..steps {
                model.step(&*store).await;
            }
            model.check(&*store).await;
            model
        });
    }
    tasks.join_all().await
}

fn four_models(seed: u64) -> Vec<Model> {
    let seeded = Seeded::new(seed);
    (0..4).map(|number| Model::new(seeded.part(number), number)).collect()
}

/// Some thousand random operations agree with the model.
pub async fn random_operations_agree_with_a_model(store: Arc<dyn Store>) {
    run_models(&store, four_models(12), 600).await;
}

/// Random operations agree with the model although the store is shut down and opened between them.
pub async fn random_operations_agree_with_a_model_across_shutdowns(subject: &dyn Subject) {
    let mut store = subject.open().await;
    let mut models = four_models(13);
    for _ in 0..5 {
        models = run_models(&store, models, 80).await;
        // What a reference names is only promised by the store that made it.
        models.iter_mut().for_each(|model| model.references.clear());
        store = reopened(subject, store).await;
        for model in &mut models {
            model.check(&*store).await;
        }
    }
    assert_eq!(store.shutdown().await, Ok(()));
}
