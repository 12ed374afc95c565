//! Random operations, uploads among them, compared one by one with the specification in `ossia-model`, on every store: the
//! reference, the reference in hostile mode, and the local engine. Packing and reaping go on in between, the clock jumps, and the
//! store is opened anew at any point: none of that may be seen (I10).
//!
//! `OSSIA_MODEL_SEQUENCES` sets how many sequences each test runs.

mod uploads;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use ossia_engine::{EngineOptions, LocalEngine};
use ossia_model as model;
use ossia_model::{Answer, Body, Content, Info, Operation, Refusal, Reply, Step, stable_etag};
use ossia_store::Store;
use proptest::prelude::*;

use self::uploads::{Ids, Trouble, UploadAct, upload_act};
use super::support::{
    Mode, NOW_MS, World, always_packing, body, collect, key, logs, packing, pattern, settings,
};
use crate::{
    AppendError, CopyError, CopyInput, CreateBucketInput, Creation, ListInput, ManualClock,
    ObjectInfo, Objects, PutError, ReadObjectError, SealError, SealInput, Settings,
    pack::Tier,
    words::{Attributes, Conditions, Directive, ObjectType, crc64},
};

/// Keys that are each other's beginnings, and one whose bytes sort behind all of them.
const KEYS: [&str; 4] = ["a", "a/b", "ab", "\u{fc}"];

/// What happens next.
#[derive(Debug, Clone)]
enum Act {
    Append {
        key: usize,
        at: At,
        length: usize,
    },
    Put {
        key: usize,
        length: usize,
        forbid_overwrite: bool,
    },
    Copy {
        source: usize,
        key: usize,
        forbid_overwrite: bool,
    },
    Seal {
        key: usize,
        at: At,
    },
    Delete {
        key: usize,
    },
    Get {
        key: usize,
        range: Option<(u64, u64)>,
    },
    Head {
        key: usize,
    },
    List {
        prefix: usize,
    },
    Upload(UploadAct),
    /// The store dies at a change of its own while this runs, before that change happens or after it.
    Die(UploadAct, u64, bool),
    /// Nothing that may be seen.
    Unseen(Unseen),
}

#[derive(Debug, Clone)]
enum Unseen {
    Pack(bool),
    Reap,
    Restart,
    Clock(i64),
}

/// Where a client believes an object to end.
#[derive(Debug, Clone)]
enum At {
    End,
    Past(u64),
    Before(u64),
    Start,
}

impl At {
    fn of(&self, length: u64) -> u64 {
        match self {
            At::End => length,
            At::Past(by) => length + by,
            At::Before(by) => length.saturating_sub(*by),
            At::Start => 0,
        }
    }
}

fn at() -> impl Strategy<Value = At> {
    prop_oneof![
        12 => Just(At::End),
        1 => (1_u64..90).prop_map(At::Past),
        1 => (1_u64..90).prop_map(At::Before),
        1 => Just(At::Start),
    ]
}

/// Below and above what is kept inline.
fn a_length() -> impl Strategy<Value = usize> {
    prop_oneof![5 => 1_usize..40, 2 => 60_usize..200, 1 => Just(0)]
}

fn act() -> impl Strategy<Value = Act> {
    let a_key = || 0..KEYS.len();
    let length = a_length;
    let range = proptest::option::of((0_u64..300, 1_u64..300));
    let unseen = prop_oneof![
        any::<bool>().prop_map(Unseen::Pack),
        Just(Unseen::Reap),
        Just(Unseen::Restart),
        (-5_000_i64..5_000).prop_map(Unseen::Clock),
    ];
    prop_oneof![
        16 => (a_key(), at(), length()).prop_map(|(key, at, length)| Act::Append { key, at, length }),
        4 => (a_key(), length(), any::<bool>()).prop_map(|(key, length, forbid_overwrite)| Act::Put {
            key,
            length,
            forbid_overwrite,
        }),
        3 => (a_key(), a_key(), any::<bool>()).prop_map(|(source, key, forbid_overwrite)| Act::Copy {
            source,
            key,
            forbid_overwrite,
        }),
        1 => (a_key(), at()).prop_map(|(key, at)| Act::Seal { key, at }),
        3 => a_key().prop_map(|key| Act::Delete { key }),
        5 => (a_key(), range).prop_map(|(key, range)| Act::Get { key, range }),
        2 => a_key().prop_map(|key| Act::Head { key }),
        2 => (0..=KEYS.len()).prop_map(|prefix| Act::List { prefix }),
        24 => upload_act().prop_map(Act::Upload),
        2 => (upload_act(), 1..6_u64, any::<bool>())
            .prop_map(|(act, at, after)| Act::Die(act, at, after)),
        4 => unseen.prop_map(Act::Unseen),
    ]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    proptest::collection::vec(act(), 1..50)
}

impl Act {
    /// The operation that this is, now; bodies differ by `number`.
    fn operation(&self, ids: &Ids, store: &model::Store, number: u64) -> Option<Operation> {
        let length_of = |key| store.object(key).content().map_or(0, Content::length);
        let bytes = |length| Body::new(pattern(length, number));
        let on = |key: usize, step| Operation::On { key: KEYS[key].to_owned(), step };
        Some(match self {
            Act::Append { key, at, length } => {
                let position = at.of(length_of(KEYS[*key]));
                on(*key, Step::Append { position, body: bytes(*length) })
            }
            Act::Put { key, length, forbid_overwrite } => {
                let content = Content::of(&bytes(*length));
                on(*key, Step::Put { content, forbid_overwrite: *forbid_overwrite })
            }
            Act::Copy { source, key, forbid_overwrite } => Operation::Copy {
                source: KEYS[*source].to_owned(),
                key: KEYS[*key].to_owned(),
                forbid_overwrite: *forbid_overwrite,
            },
            Act::Seal { key, at } => {
                on(*key, Step::Seal { position: at.of(length_of(KEYS[*key])) })
            }
            Act::Delete { key } => on(*key, Step::Delete),
            Act::Get { key, range } => {
                on(*key, Step::Get { range: range.map(|(from, count)| from..from + count) })
            }
            Act::Head { key } => on(*key, Step::Head),
            Act::List { prefix } => {
                let prefix = KEYS.get(*prefix).copied().unwrap_or_default().to_owned();
                Operation::List { prefix }
            }
            Act::Upload(act) | Act::Die(act, ..) => act.operation(ids, store, &bytes),
            Act::Unseen(_) => return None,
        })
    }
}

/// An object layer on some store.
enum Bed {
    Memory(World),
    Local(Local),
}

/// On the local engine, in a folder of its own.
struct Local {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    settings: Settings,
    store: Arc<LocalEngine>,
    objects: Objects,
}

impl Local {
    async fn new(settings: Settings) -> Self {
        let folder = folder();
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let store = Arc::new(LocalEngine::open(options(folder.path().to_owned())).unwrap());
        let opened = Objects::open(store.clone(), clock.clone(), settings.clone());
        let objects = opened.await.unwrap();
        let input =
            CreateBucketInput { name: logs(), acl: None, storage_class: None, redundancy: None };
        objects.create_bucket(input).await.unwrap();
        Self { folder, clock, settings, store, objects }
    }

    async fn restart(self) -> Self {
        let Self { folder, clock, settings, store, objects } = self;
        objects.close().await;
        drop(objects);
        store.shutdown().await.unwrap();
        drop(store);
        let store = Arc::new(LocalEngine::open(options(folder.path().to_owned())).unwrap());
        let opened = Objects::open(store.clone(), clock.clone(), settings.clone());
        let objects = opened.await.unwrap();
        Self { folder, clock, settings, store, objects }
    }
}

/// In memory where the system has such a folder: nothing here depends on what a disk does.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Everything so small that a few operations use it up.
fn options(data: PathBuf) -> EngineOptions {
    EngineOptions {
        shards: 1,
        segment_bytes: 16 << 10,
        journal_bytes: 128 << 10,
        memtable_bytes: 4 << 10,
        checkpoint_bytes: 32 << 10,
        cache_bytes: 64 << 10,
        reserve_bytes: 0,
        idle_flush_ms: 60_000,
        ..EngineOptions::new(data)
    }
}

impl Bed {
    fn objects(&self) -> &Objects {
        match self {
            Bed::Memory(world) => &world.objects,
            Bed::Local(local) => &local.objects,
        }
    }

    fn clock(&self) -> &ManualClock {
        match self {
            Bed::Memory(world) => &world.clock,
            Bed::Local(local) => &local.clock,
        }
    }

    async fn unseen(self, unseen: &Unseen) -> Self {
        match (unseen, self) {
            (Unseen::Restart, Bed::Memory(mut world)) => {
                world.restart().await;
                Bed::Memory(world)
            }
            (Unseen::Restart, Bed::Local(local)) => Bed::Local(local.restart().await),
            (Unseen::Pack(blobs), Bed::Memory(world)) => {
                world.pack(if *blobs { Tier::Blobs } else { Tier::Payloads }).await;
                Bed::Memory(world)
            }
            // On the engine the packer is at it all the time.
            (Unseen::Pack(_), bed) => bed,
            (Unseen::Reap, bed) => {
                // A hostile store's blobs refuse to go now and then.
                let _ = bed.objects().core.reap_all().await;
                bed
            }
            (Unseen::Clock(by), bed) => {
                let clock = bed.clock();
                use crate::Clock as _;
                clock.set_ms(clock.now_ms().saturating_add_signed(*by));
                bed
            }
        }
    }
}

/// Does an operation and reads its answer.
async fn ask(objects: &Objects, ids: &mut Ids, operation: &Operation, page: usize) -> Answer {
    let uploads = |told: Result<Answer, Trouble>| match told {
        Ok(answer) => answer,
        Err(Trouble::Refused(refusal)) => Answer::One(Reply::Refused(refusal)),
        Err(Trouble::Store(failure)) => panic!("{operation:?}: {failure}"),
    };
    let reply = match operation {
        Operation::On { key, step: Step::Upload(step) } => {
            let told = uploads::ask_upload(objects, ids, key, step).await;
            return uploads(told.map(Answer::One));
        }
        Operation::CopyPart { .. } => {
            return uploads(uploads::copy_part(objects, ids, operation).await);
        }
        Operation::ListUploads { prefix } => {
            return uploads::list_uploads(objects, ids, prefix).await;
        }
        Operation::On { key, step } => match ask_one(objects, key, step).await {
            Ok(reply) => reply,
            Err(refusal) => Reply::Refused(refusal),
        },
        Operation::Copy { source, key: to, forbid_overwrite } => {
            let input = CopyInput {
                source_bucket: logs(),
                source_key: key(source),
                source_version: None,
                bucket: logs(),
                key: key(to),
                conditions: Conditions::default(),
                metadata_directive: Directive::Copy,
                attributes: Attributes::default(),
                tagging_directive: Directive::Copy,
                tags: Vec::new(),
                acl: None,
                storage_class: None,
                forbid_overwrite: *forbid_overwrite,
            };
            match objects.copy(input).await {
                Ok(told) => return Answer::Copied { etag: told.etag },
                Err(CopyError::NoSuchSourceKey) => Reply::Refused(Refusal::NoSuchKey),
                Err(CopyError::SourceAppendable) => Reply::Refused(Refusal::SourceAppendable),
                Err(CopyError::AlreadyExists) => Reply::Refused(Refusal::AlreadyExists),
                Err(error) => panic!("{operation:?}: {error}"),
            }
        }
        Operation::List { prefix } => return Answer::Listed(list(objects, prefix, page).await),
    };
    Answer::One(reply)
}

async fn ask_one(objects: &Objects, at: &str, step: &Step) -> Result<Reply, Refusal> {
    let strange = |error: &dyn std::fmt::Display| -> Refusal { panic!("{step:?}: {error}") };
    Ok(match step {
        Step::Append { position, body: bytes } => {
            let input = crate::AppendInput {
                bucket: logs(),
                key: key(at),
                position: *position,
                creation: Some(Creation::default()),
                acl: None,
                body: body(bytes.bytes()),
            };
            let told = objects.append(input).await.map_err(|error| match error {
                AppendError::NotAppendable => Refusal::NotAppendable,
                AppendError::Sealed => Refusal::Sealed,
                AppendError::PositionMismatch { length, crc64 } => {
                    Refusal::WrongPosition { length, crc64 }
                }
                error => strange(&error),
            })?;
            Reply::Appended {
                next_position: told.next_position,
                crc64: told.crc64,
                etag: stable_etag(model::Kind::Appendable, &told.etag).unwrap(),
            }
        }
        Step::Put { content, forbid_overwrite } => {
            let bytes = content.last_body().map(|body| body.bytes().clone()).unwrap_or_default();
            let input = crate::PutInput {
                bucket: logs(),
                key: key(at),
                creation: Creation::default(),
                body: body(&bytes),
                forbid_overwrite: *forbid_overwrite,
            };
            let told = objects.put(input).await.map_err(|error| match error {
                PutError::AlreadyExists => Refusal::AlreadyExists,
                error => strange(&error),
            })?;
            Reply::Stored { etag: told.etag, crc64: told.crc64 }
        }
        Step::Seal { position } => {
            let input = SealInput { bucket: logs(), key: key(at), position: *position };
            objects.seal(input).await.map_err(|error| match error {
                SealError::NoSuchKey => Refusal::NoSuchKey,
                SealError::NotAppendable => Refusal::NotAppendable,
                SealError::PositionMismatch { length, crc64 } => {
                    Refusal::WrongPosition { length, crc64 }
                }
                error => strange(&error),
            })?;
            Reply::Sealed
        }
        Step::Delete => {
            objects.delete(&logs(), &key(at)).await.map_err(|error| strange(&error))?;
            Reply::Deleted
        }
        Step::Get { range } => {
            let open = objects.get(&logs(), &key(at)).await.map_err(no_such_key)?;
            // Whether a range can be read is the front door's decision.
            if range.as_ref().is_some_and(|range| range.start >= open.info.length) {
                return Err(Refusal::InvalidRange);
            }
            let range = range.clone().unwrap_or(0..u64::MAX);
            let bytes = collect(open.read(range)).await.unwrap();
            let (length, crc64) = (bytes.len() as u64, crc64::checksum(&bytes));
            Reply::Read { info: told(&open.info), crc64, length }
        }
        Step::Head => {
            Reply::Found(told(&objects.head(&logs(), &key(at)).await.map_err(no_such_key)?))
        }
        Step::List
        | Step::ReadSource
        | Step::Place { .. }
        | Step::ReadPart { .. }
        | Step::Upload(_) => unreachable!("nobody asks for half an operation"),
    })
}

fn no_such_key(error: ReadObjectError) -> Refusal {
    assert_eq!(error, ReadObjectError::NoSuchKey);
    Refusal::NoSuchKey
}

fn told(info: &ObjectInfo) -> Info {
    let kind = kind(info.kind);
    Info {
        kind,
        length: info.length,
        crc64: info.crc64,
        etag: stable_etag(kind, &info.etag).unwrap(),
        sealed: info.sealed_at.is_some(),
    }
}

fn kind(kind: ObjectType) -> model::Kind {
    match kind {
        ObjectType::Normal => model::Kind::Normal,
        ObjectType::Appendable => model::Kind::Appendable,
        ObjectType::Multipart => model::Kind::Multipart,
        kind => panic!("nobody makes {kind:?}"),
    }
}

/// Page after page.
async fn list(
    objects: &Objects,
    prefix: &str,
    page: usize,
) -> BTreeMap<String, (model::Kind, u64, String)> {
    let mut all = BTreeMap::new();
    let mut after = None;
    loop {
        let input = ListInput {
            bucket: logs(),
            prefix: prefix.to_owned(),
            delimiter: None,
            after: after.take(),
            limit: page,
        };
        let output = objects.list(input).await.unwrap();
        for info in &output.objects {
            let Info { kind, length, etag, .. } = told(info);
            let entry = (kind, length, etag);
            assert_eq!(all.insert(info.key.as_str().to_owned(), entry), None, "listed twice");
        }
        if !output.truncated {
            return all;
        }
        after = output.last;
    }
}

/// The comparison.
async fn compare(mut bed: Bed, acts: Vec<Act>) {
    let mut store = model::Store::default();
    let mut ids = Ids::default();
    for (number, act) in acts.iter().enumerate() {
        match (act, act.operation(&ids, &store, number as u64)) {
            (Act::Unseen(unseen), _) => bed = bed.unseen(unseen).await,
            (Act::Die(_, at, after), Some(operation)) => {
                bed = uploads::die(bed, &mut ids, &mut store, &operation, (*at, *after)).await;
            }
            (_, Some(operation)) => {
                let expected = store.apply(&operation);
                let answer = ask(bed.objects(), &mut ids, &operation, 1 + number % 3).await;
                assert_eq!(answer, expected, "{operation:?}");
            }
            (_, None) => unreachable!("an act is an operation, or unseen"),
        }
    }
    for round in 0..2 {
        if round == 1 {
            bed = bed.unseen(&Unseen::Restart).await;
        }
        for at in KEYS {
            for step in [Step::Head, Step::Get { range: None }] {
                let operation = Operation::On { key: at.to_owned(), step };
                let expected = store.apply(&operation);
                let answer = ask(bed.objects(), &mut ids, &operation, 1).await;
                assert_eq!(answer, expected, "{operation:?}");
            }
        }
        let prefix = String::new;
        for operation in
            [Operation::List { prefix: prefix() }, Operation::ListUploads { prefix: prefix() }]
        {
            let answer = ask(bed.objects(), &mut ids, &operation, 2).await;
            assert_eq!(answer, store.apply(&operation));
        }
        let stat = bed.objects().bucket_stat(&logs()).await.unwrap();
        let lengths =
            store.keys().map(|key| store.object(key).content().map_or(0, Content::length));
        let (uploads, parts, bytes) = uploads::counted(&store);
        assert_eq!(stat.object_count, store.keys().count() as u64);
        assert_eq!(stat.storage, lengths.sum::<u64>() + bytes);
        assert_eq!((stat.multipart_upload_count, stat.multipart_part_count), (uploads, parts));
    }
    match bed {
        Bed::Memory(mut world) => world.assert_tidy().await,
        Bed::Local(local) => {
            local.objects.close().await;
            local.store.shutdown().await.unwrap();
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}

fn sequences(usual: u32) -> ProptestConfig {
    let wanted = std::env::var("OSSIA_MODEL_SEQUENCES").ok().and_then(|count| count.parse().ok());
    // Each case is a store of its own; shrinking tries many.
    ProptestConfig {
        max_shrink_iters: 2_000,
        ..ProptestConfig::with_cases(wanted.unwrap_or(usual))
    }
}

proptest! {
    #![proptest_config(sequences(7_000))]

    #[test]
    fn on_the_reference_store_everything_answers_as_the_specification(
        acts in acts(),
        partitions in prop_oneof![Just(1_u16), Just(3)],
    ) {
        let settings = Settings { packing: packing(), ..settings() };
        run(async {
            let world = World::new(Mode { partitions, hostile: None }, settings).await;
            compare(Bed::Memory(world), acts).await;
        });
    }
}

proptest! {
    #![proptest_config(sequences(2_600))]

    #[test]
    fn on_a_hostile_store_everything_answers_as_the_specification(
        acts in acts(),
        seed: u64,
        partitions in prop_oneof![Just(1_u16), Just(3)],
    ) {
        run(async {
            let mode = Mode { partitions, hostile: Some(seed) };
            compare(Bed::Memory(World::new(mode, always_packing()).await), acts).await;
        });
    }
}

proptest! {
    #![proptest_config(sequences(600))]

    #[test]
    fn on_the_local_engine_everything_answers_as_the_specification(acts in acts()) {
        run(async {
            compare(Bed::Local(Local::new(always_packing()).await), acts).await;
        });
    }
}
