//! Random operations, with versions, retention, restores, the lifecycle and uploads among them, compared one by one with the
//! specification in `ossia-model`, on every store: the reference, the reference in hostile mode, and the local engine. Packing and
//! reaping go on in between, the clock jumps, and the store is opened anew at any point: none of that may be seen (I10).
//!
//! `OSSIA_MODEL_SEQUENCES` sets how many sequences each test runs.

mod uploads;
mod versions;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use ossia_engine::{EngineOptions, LocalEngine};
use ossia_model as model;
use ossia_model::{Answer, Body, Content, Info, Operation, Refusal, Reply, Step, stable_etag};
use ossia_store::Store;
use proptest::prelude::*;

use self::uploads::{Ids, Trouble, UploadAct, upload_act};
use self::versions::{Flavour, VersionAct, about, flavour};
use super::support::{
    Mode, NOW_MS, World, always_packing, body, collect, key, logs, master_keys, packing, pattern,
    settings,
};
use crate::{
    AppendError, CopyError, CopyInput, CreateBucketInput, Creation, Lifecycle, ListInput,
    ManualClock, ObjectInfo, Objects, PutError, SealError, SealInput, Settings,
    pack::Tier,
    words::{Attributes, Conditions, Directive, ObjectType, StorageClass, crc64},
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
    Versioned(VersionAct),
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

fn act(flavour: Flavour) -> impl Strategy<Value = Act> {
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
        flavour.weight() => flavour.act().prop_map(Act::Versioned),
    ]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    flavour().prop_flat_map(|flavour| {
        let acts = proptest::collection::vec(act(flavour), 1..60);
        acts.prop_map(move |acts| [flavour.begin(), acts].concat())
    })
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
                version: None,
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
            Act::Versioned(act) => act.operation(ids, store, &bytes),
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
        let keys = Arc::clone(master_keys());
        let opened = Objects::open_with(store.clone(), clock.clone(), settings.clone(), keys);
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
        let keys = Arc::clone(master_keys());
        let opened = Objects::open_with(store.clone(), clock.clone(), settings.clone(), keys);
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
        Operation::On { key, step } => match ask_one(objects, ids, key, step).await {
            Ok(reply) => reply,
            Err(refusal) => Reply::Refused(refusal),
        },
        Operation::Copy { .. } => match copy(objects, ids, operation).await {
            Ok(answer) => return answer,
            Err(refusal) => Reply::Refused(refusal),
        },
        Operation::ListVersions { prefix } => {
            return versions::list(objects, ids, prefix, page).await;
        }
        Operation::Set(setting) => match versions::set(objects, ids, setting).await {
            Ok(()) => return Answer::Done,
            Err(refusal) => Reply::Refused(refusal),
        },
        Operation::Round => unreachable!("nobody asks for it"),
        Operation::List { prefix } => return Answer::Listed(list(objects, prefix, page).await),
    };
    Answer::One(reply)
}

async fn copy(objects: &Objects, ids: &mut Ids, operation: &Operation) -> Result<Answer, Refusal> {
    let Operation::Copy { source, version, key: to, forbid_overwrite } = operation else {
        unreachable!("an object is copied");
    };
    let input = CopyInput {
        source_bucket: logs(),
        source_key: key(source),
        source_version: version.as_ref().map(|version| ids.version_id(version)),
        bucket: logs(),
        key: key(to),
        conditions: Conditions::default(),
        metadata_directive: Directive::Copy,
        attributes: Attributes::default(),
        tagging_directive: Directive::Copy,
        tags: Vec::new(),
        acl: None,
        storage_class: None,
        encrypt: crate::Encrypt::No,
        forbid_overwrite: *forbid_overwrite,
    };
    match objects.copy(input).await {
        Ok(told) => {
            let version = told.version_id.map(|version| ids.version(version));
            Ok(Answer::Copied { etag: told.etag, version })
        }
        Err(CopyError::NoSuchSourceKey) => Err(Refusal::NoSuchKey),
        Err(CopyError::NoSuchSourceVersion) => Err(Refusal::NoSuchVersion),
        Err(CopyError::SourceDeleteMarker { version, named }) => {
            Err(Refusal::Marker { id: ids.version(version), named })
        }
        Err(CopyError::SourceFrozen) => Err(Refusal::Frozen),
        Err(CopyError::SourceAppendable) => Err(Refusal::SourceAppendable),
        Err(CopyError::AlreadyExists) => Err(Refusal::AlreadyExists),
        Err(CopyError::Immutable) => Err(Refusal::Immutable),
        Err(error) => panic!("{operation:?}: {error}"),
    }
}

async fn ask_one(
    objects: &Objects,
    ids: &mut Ids,
    at: &str,
    step: &Step,
) -> Result<Reply, Refusal> {
    let strange = |error: &dyn std::fmt::Display| -> Refusal { panic!("{step:?}: {error}") };
    let (mut creation, mut version) = (Creation::default(), None);
    let step = match step {
        Step::Making { archived, step, .. } => {
            creation.storage_class = archived.then_some(StorageClass::Archive);
            step
        }
        Step::Of { version: of, step } => {
            version = Some(ids.version_id(of));
            step
        }
        step => step,
    };
    Ok(match step {
        Step::Append { position, body: bytes } => {
            let input = crate::AppendInput {
                bucket: logs(),
                key: key(at),
                position: *position,
                creation: Some(creation),
                acl: None,
                body: body(bytes.bytes()),
            };
            let told = objects.append(input).await.map_err(|error| match error {
                AppendError::NotAppendable => Refusal::NotAppendable,
                AppendError::Sealed => Refusal::Sealed,
                AppendError::Immutable => Refusal::Immutable,
                AppendError::BucketRetained => Refusal::Excluded,
                AppendError::PositionMismatch { length, crc64 } => {
                    Refusal::WrongPosition { length, crc64 }
                }
                error => strange(&error),
            })?;
            let reply = Reply::Appended {
                next_position: told.next_position,
                crc64: told.crc64,
                etag: stable_etag(model::Kind::Appendable, &told.etag).unwrap(),
            };
            about(ids, told.version_id, reply)
        }
        Step::Put { content, forbid_overwrite } => {
            let bytes = content.last_body().map(|body| body.bytes().clone()).unwrap_or_default();
            let input = crate::PutInput {
                bucket: logs(),
                key: key(at),
                creation,
                body: body(&bytes),
                forbid_overwrite: *forbid_overwrite,
            };
            let told = objects.put(input).await.map_err(|error| match error {
                PutError::AlreadyExists => Refusal::AlreadyExists,
                PutError::Immutable => Refusal::Immutable,
                error => strange(&error),
            })?;
            about(ids, told.version_id, Reply::Stored { etag: told.etag, crc64: told.crc64 })
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
        Step::Delete => return versions::delete(objects, ids, at, version).await,
        Step::Get { range } => {
            let open = objects.get_version(&logs(), &key(at), version).await;
            let open = open.map_err(|error| versions::refusal(ids, error))?;
            // Whether a range can be read is the front door's decision.
            if range.as_ref().is_some_and(|range| range.start >= open.info.length) {
                return Err(Refusal::InvalidRange);
            }
            let range = range.clone().unwrap_or(0..u64::MAX);
            let bytes = collect(open.read(range)).await.unwrap();
            let (length, crc64) = (bytes.len() as u64, crc64::checksum(&bytes));
            let reply = Reply::Read { info: told(&open.info), crc64, length };
            about(ids, open.info.version_id, reply)
        }
        Step::Head => {
            let info = objects.head_version(&logs(), &key(at), version).await;
            let info = info.map_err(|error| versions::refusal(ids, error))?;
            about(ids, info.version_id, Reply::Found(told(&info)))
        }
        step => return versions::ask_beside(objects, ids, at, version, step).await,
    })
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
    use crate::Clock as _;
    let restore_ms = settings().restore_delay.as_millis() as u64;
    let mut store = model::Store::new(model::Bucket { restore_ms, ..model::Bucket::default() });
    let mut ids = Ids::default();
    for (number, act) in acts.iter().enumerate() {
        store.bucket.now_ms = bed.clock().now_ms();
        match (act, act.operation(&ids, &store, number as u64)) {
            (Act::Unseen(unseen), _) => bed = bed.unseen(unseen).await,
            (Act::Die(_, at, after), Some(operation)) => {
                bed = uploads::die(bed, &mut ids, &mut store, &operation, (*at, *after)).await;
            }
            (Act::Versioned(VersionAct::Pass(seconds)), _) => {
                bed.clock().advance_ms(seconds * 1_000);
            }
            (Act::Versioned(VersionAct::Round), _) => {
                versions::round(&bed).await;
                store.apply(&Operation::Round);
                // Here what it made is named.
                let everything = Operation::ListVersions { prefix: String::new() };
                let answer = ask(bed.objects(), &mut ids, &everything, 2).await;
                assert_eq!(answer, store.apply(&everything));
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
        store.bucket.now_ms = bed.clock().now_ms();
        for at in KEYS {
            for step in [Step::Head, Step::Get { range: None }] {
                let operation = Operation::On { key: at.to_owned(), step };
                let expected = store.apply(&operation);
                let answer = ask(bed.objects(), &mut ids, &operation, 1).await;
                assert_eq!(answer, expected, "{operation:?}");
            }
        }
        let prefix = String::new;
        let listings =
            [Operation::List { prefix: prefix() }, Operation::ListUploads { prefix: prefix() }];
        for operation in versions::questions(&store).into_iter().chain(listings) {
            let answer = ask(bed.objects(), &mut ids, &operation, 2).await;
            assert_eq!(answer, store.apply(&operation), "{operation:?}");
        }
        let stat = bed.objects().bucket_stat(&logs()).await.unwrap();
        let markers = store.versions().filter(|(_, version)| version.is_marker()).count() as u64;
        let (uploads, parts) = uploads::counted(&store);
        assert_eq!(stat.object_count, store.versions().count() as u64 - markers);
        assert_eq!(stat.delete_marker_count, markers);
        assert_eq!(stat.storage, store.bytes());
        assert_eq!((stat.multipart_upload_count, stat.multipart_part_count), (uploads, parts));
    }
    match bed {
        Bed::Memory(mut world) => {
            if !world.hostile {
                world.objects.close().await;
                world.reap().await;
                assert_eq!(world.findings().await, Vec::<String>::new());
            }
            world.assert_tidy().await;
        }
        Bed::Local(local) => {
            local.objects.close().await;
            local.store.shutdown().await.unwrap();
        }
    }
}

/// The lifecycle goes its rounds when it is told to.
fn by_hand(settings: Settings) -> Settings {
    let lifecycle =
        Lifecycle { every: Duration::ZERO, records_per_s: u32::MAX, ..Lifecycle::default() };
    Settings { lifecycle, ..settings }
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
        encrypt_all: bool,
    ) {
        let settings =
            by_hand(Settings { packing: packing(), encrypt_all, ..settings() });
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
            let settings = Settings { encrypt_all: seed % 2 == 0, ..always_packing() };
            compare(Bed::Memory(World::new(mode, by_hand(settings)).await), acts).await;
        });
    }
}

proptest! {
    #![proptest_config(sequences(600))]

    #[test]
    fn on_the_local_engine_everything_answers_as_the_specification(
        acts in acts(),
        encrypt_all: bool,
    ) {
        run(async {
            let settings = Settings { encrypt_all, ..always_packing() };
            compare(Bed::Local(Local::new(by_hand(settings)).await), acts).await;
        });
    }
}
