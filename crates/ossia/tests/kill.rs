//! `kill -9` at random moments under load, again and again on one data folder: whatever was acknowledged is there.
//!
//! Thirty-two clients append, most to an object of their own, some in contention for shared ones; others put and delete. Once
//! enough has been acknowledged the server is killed, started again, and every object is read:
//!
//! - an object with one writer is exactly what was acknowledged, or that with the one operation in flight done;
//! - a shared object begins with what it was before the round, and goes on with whole records: every acknowledged one at the
//!   position that its answer told, each record at most once, nothing else;
//!   a length that a refusal told is reached;
//! - the object's CRC-64, its next append position and the listing agree with its bytes.
//!
//! Now and then a server is killed while it starts, in the middle of its recovery.
//!
//! It prints its seed. The seed repeats what clients send and when the kill comes, not how the system schedules them.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Random, Server};
use ossia_client::{
    AppendObjectRequest, Client, ClientError, CreateBucketRequest, GetObjectRequest,
    ListObjectsRequest, Outcome, PutObjectRequest,
};

const BUCKET: &str = "kill";
const ROUNDS: u64 = 50;
const RESTLESS_ROUNDS: u64 = 20;
/// Acknowledgements before a kill: so many, and up to so many more.
const ACKNOWLEDGED_MIN: u64 = 50;
const ACKNOWLEDGED_MORE: u64 = 150;
/// One start in so many is cut off, within so long.
const CUT_STARTS: u64 = 6;
const CUT_WITHIN_MICROS: u64 = 80_000;
/// Longest wait for them.
const ROUND_MAX: Duration = Duration::from_secs(120);
/// A kill comes up to this long after the last acknowledgement that is waited for.
const KILL_WITHIN_MICROS: u64 = 60_000;

const OWN_APPENDERS: usize = 24;
const SHARED_APPENDERS: usize = 8;
const SHARED_OBJECTS: usize = 2;
const PUTTERS: usize = 4;

/// Longest object that is read back.
const READ_MAX: usize = 1 << 30;

/// How a round's clients count and learn of its end.
#[derive(Default)]
struct Round {
    acknowledged: AtomicU64,
}

impl Round {
    fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether a call failed because the server is gone. Anything else is a fault.
fn server_is_gone(error: &ClientError) -> bool {
    match error {
        ClientError::Transport { .. } | ClientError::Timeout { .. } => true,
        error => panic!("an operation failed otherwise than by the kill: {error}"),
    }
}

/// An object with one writer: what it is, and what may have become of it.
struct Owned {
    key: String,
    random: Random,
    /// Bytes by everything acknowledged; `None` if it does not exist.
    acknowledged: Option<Vec<u8>>,
    /// Bytes if the operation in flight was done.
    in_flight: Option<Option<Vec<u8>>>,
}

/// Sizes around what is kept inline, and now and then a body that is not.
fn size(random: &mut Random) -> usize {
    let limit = match random.below(100) {
        0..60 => 300,
        60..90 => 8 << 10,
        90..98 => 128 << 10,
        _ => 1536 << 10,
    };
    1 + random.below(limit) as usize
}

impl Owned {
    fn new(key: String, random: Random) -> Owned {
        Owned { key, random, acknowledged: None, in_flight: None }
    }

    /// Appends until the server is gone; at times it deletes the object and begins anew.
    async fn append(&mut self, client: &Client, round: &Round) {
        loop {
            let exists = self.acknowledged.is_some();
            let done = if exists && self.random.below(40) == 0 {
                self.delete(client).await
            } else {
                self.append_once(client).await
            };
            if !done {
                return;
            }
            round.acknowledge();
        }
    }

    async fn append_once(&mut self, client: &Client) -> bool {
        let before = self.acknowledged.clone().unwrap_or_default();
        let count = size(&mut self.random);
        let data = self.random.bytes(count);
        let position = before.len() as u64;
        let after = [before, data.clone()].concat();
        let append = AppendObjectRequest::new(BUCKET, self.key.as_str(), data).position(position);
        self.settle(client.append_object(append).await.map(drop), Some(after))
    }

    /// Puts and deletes in turn until the server is gone.
    async fn put_and_delete(&mut self, client: &Client, round: &Round) {
        loop {
            let done = match self.acknowledged {
                Some(_) if self.random.below(2) == 0 => self.delete(client).await,
                _ => self.put(client).await,
            };
            if !done {
                return;
            }
            round.acknowledge();
        }
    }

    async fn put(&mut self, client: &Client) -> bool {
        let count = size(&mut self.random);
        let data = self.random.bytes(count);
        let put = PutObjectRequest::new(BUCKET, self.key.as_str(), data.clone());
        self.settle(client.put_object(put).await.map(drop), Some(data))
    }

    async fn delete(&mut self, client: &Client) -> bool {
        self.settle(client.delete_object(BUCKET, &self.key).await.map(drop), None)
    }

    /// Notes how an operation that leads to `after` ended. False if the server is gone.
    fn settle(&mut self, result: Result<(), ClientError>, after: Option<Vec<u8>>) -> bool {
        match result {
            Ok(()) => {
                self.acknowledged = after;
                true
            }
            Err(error) => {
                assert!(server_is_gone(&error));
                // What cannot have reached the server whole must not appear.
                self.in_flight = (error.outcome() == Outcome::Unknown).then_some(after);
                false
            }
        }
    }

    /// Compares what is there with what may be there, and takes it for what is acknowledged from now on.
    async fn verify(&mut self, client: &Client) {
        let found = read(client, &self.key).await;
        let possible = [Some(self.acknowledged.take()), self.in_flight.take()];
        let key = &self.key;
        let fits = possible.iter().flatten().any(|state| *state == found);
        assert!(
            fits,
            "{key}: {} bytes are there, acknowledged were {:?}, with the operation in flight {:?}",
            found.as_ref().map_or(-1, |bytes| bytes.len() as i64),
            possible[0].as_ref().and_then(|state| state.as_ref().map(Vec::len)),
            possible[1].as_ref().map(|state| state.as_ref().map(Vec::len)),
        );
        self.acknowledged = found;
    }
}

/// An object that several clients append to.
struct Shared {
    key: String,
    /// Bytes that were there when the round began.
    settled: Vec<u8>,
    /// Every record of the round: where it was acknowledged, if it was.
    records: Mutex<HashMap<RecordId, Record>>,
    /// The longest length that a refusal has told: what it told must be durable too.
    told: AtomicU64,
}

/// Writer and number.
type RecordId = (usize, u64);

struct Record {
    bytes: Bytes,
    position: Option<u64>,
}

/// A record says who wrote it and how long it is, so that an object can be taken apart again.
fn record_bytes(id: RecordId, random: &mut Random) -> Bytes {
    let count = size(random);
    let mut bytes = format!("{} {} {count}\n", id.0, id.1).into_bytes();
    bytes.extend(random.bytes(count));
    Bytes::from(bytes)
}

/// Reads the id and the whole length of the record at the beginning.
fn record_at(bytes: &[u8]) -> Option<(RecordId, usize)> {
    let end = bytes.iter().take(64).position(|byte| *byte == b'\n')?;
    let mut words = std::str::from_utf8(&bytes[..end]).ok()?.split(' ');
    let writer = words.next()?.parse().ok()?;
    let number = words.next()?.parse().ok()?;
    let length: usize = words.next()?.parse().ok()?;
    Some(((writer, number), end + 1 + length))
}

/// One writer of shared objects.
struct Contender {
    writer: usize,
    number: u64,
    random: Random,
}

impl Contender {
    /// Appends until the server is gone, at whatever position it is told.
    async fn append(&mut self, client: &Client, object: &Shared, round: &Round) {
        let mut position = object.settled.len() as u64;
        loop {
            let id = (self.writer, self.number);
            self.number += 1;
            let bytes = record_bytes(id, &mut self.random);
            let record = Record { bytes: bytes.clone(), position: None };
            object.records.lock().unwrap().insert(id, record);
            loop {
                let append = AppendObjectRequest::new(BUCKET, object.key.as_str(), bytes.clone());
                match client.append_object(append.position(position)).await {
                    Ok(answer) => {
                        let mut records = object.records.lock().unwrap();
                        records.get_mut(&id).unwrap().position = Some(position);
                        position = answer.next_position;
                        break;
                    }
                    Err(ClientError::PositionNotEqualToLength { next_position, .. }) => {
                        object.told.fetch_max(next_position, Ordering::Relaxed);
                        position = next_position;
                    }
                    Err(error) => {
                        assert!(server_is_gone(&error));
                        return;
                    }
                }
            }
            round.acknowledge();
        }
    }
}

impl Shared {
    async fn verify(&mut self, client: &Client) {
        let found = read(client, &self.key).await.unwrap_or_default();
        let key = &self.key;
        assert!(found.starts_with(&self.settled), "{key}: what was there before the round is not");
        let mut records = std::mem::take(&mut *self.records.lock().unwrap());
        let mut at = self.settled.len();
        while at < found.len() {
            let rest = &found[at..];
            let (id, length) =
                record_at(rest).unwrap_or_else(|| panic!("{key}: no record begins at byte {at}"));
            let record = records.remove(&id).unwrap_or_else(|| {
                panic!("{key}: record {id:?} at byte {at} is there twice, or nobody's")
            });
            assert!(rest.len() >= length, "{key}: record {id:?} at byte {at} is cut short");
            assert!(rest[..length] == record.bytes, "{key}: record {id:?} at byte {at} is damaged");
            if let Some(position) = record.position {
                assert_eq!(
                    position, at as u64,
                    "{key}: record {id:?} is not where it was acknowledged"
                );
            }
            at += length;
        }
        let told = self.told.load(Ordering::Relaxed);
        assert!(at as u64 >= told, "{key}: a refusal told of {told} bytes, {at} are there");
        let lost: Vec<_> = records.iter().filter(|(_, record)| record.position.is_some()).collect();
        assert!(lost.is_empty(), "{key}: {} acknowledged records are lost", lost.len());
        self.settled = found;
    }
}

/// Reads an object whole; the client compares its CRC-64 with its bytes. `None` if it does not exist.
async fn read(client: &Client, key: &str) -> Option<Vec<u8>> {
    let answer = match client.get_object(GetObjectRequest::new(BUCKET, key)).await {
        Ok(answer) => answer,
        Err(error) if error.code() == Some("NoSuchKey") => return None,
        Err(error) => panic!("{key} cannot be read: {error}"),
    };
    let meta = answer.meta;
    assert!(meta.crc64.is_some(), "{key} has no CRC-64");
    let bytes =
        answer.body.collect(READ_MAX).await.unwrap_or_else(|error| panic!("{key}: {error}"));
    assert_eq!(meta.length, bytes.len() as u64, "{key}");
    if let Some(position) = meta.next_append_position {
        assert_eq!(position, meta.length, "{key}");
    }
    Some(bytes.into())
}

/// Everything that the rounds leave behind and find again.
struct World {
    appended: Vec<Owned>,
    put: Vec<Owned>,
    shared: Vec<Arc<Shared>>,
    contenders: Vec<Contender>,
}

impl World {
    fn new(random: &mut Random) -> World {
        let mut owned = |name: &str, count| -> Vec<Owned> {
            (0..count).map(|i| Owned::new(format!("{name}/{i}"), random.fork())).collect()
        };
        let (appended, put) = (owned("own", OWN_APPENDERS), owned("put", PUTTERS));
        let shared = |i| Shared {
            key: format!("shared/{i}"),
            settled: Vec::new(),
            records: Mutex::default(),
            told: AtomicU64::new(0),
        };
        let contender = |writer| Contender { writer, number: 0, random: random.fork() };
        World {
            appended,
            put,
            shared: (0..SHARED_OBJECTS).map(|i| Arc::new(shared(i))).collect(),
            contenders: (0..SHARED_APPENDERS).map(contender).collect(),
        }
    }

    /// Lets every client run until the server is gone, which `kill` brings about.
    async fn run(&mut self, client: &Client, round: Arc<Round>, kill: impl Future<Output = ()>) {
        let mut appended = Vec::new();
        for mut owned in self.appended.drain(..) {
            let (client, round) = (client.clone(), Arc::clone(&round));
            appended.push(tokio::spawn(async move {
                owned.append(&client, &round).await;
                owned
            }));
        }
        let mut put = Vec::new();
        for mut owned in self.put.drain(..) {
            let (client, round) = (client.clone(), Arc::clone(&round));
            put.push(tokio::spawn(async move {
                owned.put_and_delete(&client, &round).await;
                owned
            }));
        }
        let mut contenders = Vec::new();
        for mut contender in self.contenders.drain(..) {
            let object = Arc::clone(&self.shared[contender.writer % SHARED_OBJECTS]);
            let (client, round) = (client.clone(), Arc::clone(&round));
            contenders.push(tokio::spawn(async move {
                contender.append(&client, &object, &round).await;
                contender
            }));
        }
        kill.await;
        for task in appended {
            self.appended.push(task.await.unwrap());
        }
        for task in put {
            self.put.push(task.await.unwrap());
        }
        for task in contenders {
            self.contenders.push(task.await.unwrap());
        }
    }

    async fn verify(&mut self, client: &Client) {
        for owned in self.appended.iter_mut().chain(&mut self.put) {
            owned.verify(client).await;
        }
        for shared in &mut self.shared {
            Arc::get_mut(shared).expect("its writers have ended").verify(client).await;
        }
        self.verify_listing(client).await;
    }

    /// The listing names what exists, with its length, and nothing else: no acknowledged delete has come back there either.
    async fn verify_listing(&self, client: &Client) {
        let mut expected = BTreeMap::new();
        for owned in self.appended.iter().chain(&self.put) {
            if let Some(bytes) = &owned.acknowledged {
                expected.insert(owned.key.clone(), bytes.len() as u64);
            }
        }
        for shared in &self.shared {
            // It may be that nothing was ever appended to it.
            if !shared.settled.is_empty() {
                expected.insert(shared.key.clone(), shared.settled.len() as u64);
            }
        }
        let mut listed = BTreeMap::new();
        let mut pages = client.list_objects_pages(ListObjectsRequest::new(BUCKET));
        while let Some(page) = pages.next_page().await.unwrap() {
            listed.extend(page.objects.into_iter().map(|object| (object.key, object.size)));
        }
        assert_eq!(listed, expected);
    }
}

/// Waits until enough has been acknowledged, and then a random moment longer.
async fn moment(round: &Round, wanted: u64, within: Duration) {
    let begin = Instant::now();
    while round.acknowledged.load(Ordering::Relaxed) < wanted {
        assert!(begin.elapsed() < ROUND_MAX, "the server acknowledges too little");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    tokio::time::sleep(within).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_acknowledged_survives_kill_9() {
    survive(rounds(ROUNDS), &[]).await;
}

/// The same while the engine is at its background work all the time: rotation, flush, compaction, evacuation, the use of segments
/// once more, in two shards beside one another. Nothing of that may be seen (I10).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_survives_kill_9_in_the_middle_of_background_work() {
    let two_shards = [&common::RESTLESS[..], &["--set", "engine.shards=2"]].concat();
    let folder = survive(rounds(RESTLESS_ROUNDS), &two_shards).await;
    common::assert_journal_went_round(folder.path());
}

fn rounds(usual: u64) -> u64 {
    std::env::var("OSSIA_KILL_ROUNDS")
        .map_or(usual, |rounds| rounds.parse().expect("OSSIA_KILL_ROUNDS is a number"))
}

/// Kills servers with these arguments, round after round on one folder, and looks for everything that was acknowledged.
async fn survive(rounds: u64, arguments: &[&str]) -> tempfile::TempDir {
    let mut random = Random::seeded();
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(&mut random);
    let mut total = 0;
    for number in 0..rounds {
        if random.below(CUT_STARTS) == 0 {
            let within = Duration::from_micros(random.below(CUT_WITHIN_MICROS));
            common::kill_while_starting(folder.path(), arguments, within);
        }
        let server = Server::start_with(folder.path(), arguments);
        let client = server.client();
        if number == 0 {
            client.create_bucket(CreateBucketRequest::new(BUCKET)).await.unwrap();
        }
        world.verify(&client).await;
        let round = Arc::new(Round::default());
        let wanted = ACKNOWLEDGED_MIN + random.below(ACKNOWLEDGED_MORE);
        let within = Duration::from_micros(random.below(KILL_WITHIN_MICROS));
        let watched = Arc::clone(&round);
        let kill = async move {
            moment(&watched, wanted, within).await;
            // Waiting for a process blocks; the clients must go on meanwhile.
            tokio::task::spawn_blocking(move || server.kill()).await.unwrap();
        };
        world.run(&client, Arc::clone(&round), kill).await;
        let acknowledged = round.acknowledged.load(Ordering::Relaxed);
        assert!(acknowledged >= ACKNOWLEDGED_MIN);
        total += acknowledged;
    }
    let server = Server::start_with(folder.path(), arguments);
    world.verify(&server.client()).await;
    // An orderly stop and one more start must not change anything either.
    assert!(server.stop().success());
    let server = Server::start_with(folder.path(), arguments);
    world.verify(&server.client()).await;
    println!("{rounds} rounds, {total} acknowledgements");
    folder
}
