//! Retention and restores.

use std::time::Duration;

use ossia_store::Index;

use super::support::*;
use crate::{
    AppendError, BucketError, ChosenParts, Clock, CompleteUploadError, CompleteUploadInput,
    CopyError, CopyInput, Creation, DefaultRetention, DeleteError, DeleteIf, DeleteInput,
    InitiateUploadInput, ObjectRetention, ObjectWormRules, PutError, PutSymlinkInput,
    ReadObjectError, RestoreError, RestoreInput, RestoreState, RestoreTier, RetentionChange,
    RetentionError, RetentionMode, RetentionPeriod, Settings, UploadPartInput, WormError,
    keys::{self, SYSTEM},
    records::{BucketRecord, Catalogue, Stored},
    words::{Attributes, Conditions, Directive, ObjectAcl, ObjectKey, StorageClass, Versioning},
};

const DAY_MS: u64 = 86_400_000;

pub(super) fn copy_input<'a>(from: &str, to: &str) -> CopyInput<'a> {
    CopyInput {
        source_bucket: logs(),
        source_key: key(from),
        source_version: None,
        bucket: logs(),
        key: key(to),
        conditions: Conditions::default(),
        metadata_directive: Directive::Copy,
        attributes: Attributes::default(),
        tagging_directive: Directive::Copy,
        tags: vec![],
        acl: None,
        storage_class: None,
        encrypt: crate::Encrypt::No,
        forbid_overwrite: false,
    }
}

/// Everything that would change or remove an object, and whether it was refused as protected.
async fn refusals(world: &World, at: &str, position: u64) -> Vec<&'static str> {
    let objects = &world.objects;
    let mut refused = Vec::new();
    let mut note = |what, is| {
        if is {
            refused.push(what);
        }
    };
    note("append", world.append(at, position, b"x").await == Err(AppendError::Immutable));
    let put = objects.put(world.put_input(at, b"other")).await;
    note("put", put == Err(PutError::Immutable));
    note("delete", objects.delete(&logs(), &key(at)).await == Err(DeleteError::Immutable));
    let many =
        objects.delete_many(&logs(), vec![(key(at), None), (key("absent"), None)]).await.unwrap();
    note("delete many", many[0] == Err(DeleteError::Immutable));
    assert!(many[1].is_ok());
    for (what, source) in [("copy over", "other"), ("copy onto itself", at)] {
        let copied = objects.copy(copy_input(source, at)).await;
        note(what, copied == Err(CopyError::Immutable));
    }
    let link = PutSymlinkInput {
        bucket: logs(),
        key: key(at),
        target: key("other"),
        creation: Creation::default(),
        forbid_overwrite: false,
    };
    note("link over", objects.put_symlink(link).await == Err(PutError::Immutable));
    note("complete over", complete(world, at).await == Err(CompleteUploadError::Immutable));
    refused
}

async fn complete(world: &World, at: &str) -> Result<(), CompleteUploadError> {
    let input = InitiateUploadInput {
        bucket: logs(),
        key: key(at),
        creation: Creation::default(),
        acl: None,
        sequential: false,
        forbid_overwrite: false,
    };
    let upload = world.objects.initiate_upload(input).await.unwrap();
    let part =
        UploadPartInput { bucket: logs(), key: key(at), upload, number: 1, body: body(b"part") };
    world.objects.upload_part(part).await.unwrap();
    let input = CompleteUploadInput {
        bucket: logs(),
        key: key(at),
        upload,
        parts: ChosenParts::All,
        acl: None,
        forbid_overwrite: false,
    };
    world.objects.complete_upload(input).await.map(|_| ())
}

const ALL: [&str; 8] = [
    "append",
    "put",
    "delete",
    "delete many",
    "copy over",
    "copy onto itself",
    "link over",
    "complete over",
];

fn copies_allowed() -> Settings {
    Settings { copy_appendable: true, ..settings() }
}

#[tokio::test]
async fn what_a_policy_protects_is_changed_by_nothing_until_its_time_is_over() {
    for mode in [plain(1), plain(3)] {
        let world = World::new(mode, copies_allowed()).await;
        world.put("other", b"other").await;
        world.append("log", 0, b"hello").await.unwrap();
        let objects = &world.objects;
        let id = objects.initiate_worm(&logs(), 2).await.unwrap();
        assert_eq!(refusals(&world, "log", 5).await, ALL);
        // Not what does not change it.
        objects.set_acl(&logs(), &key("log"), None, ObjectAcl::Private).await.unwrap();
        objects.set_tags(&logs(), &key("log"), None, vec![("a".into(), "b".into())]).await.unwrap();
        assert_eq!(world.read("log").await, b"hello");
        // New keys come in freely; a new log takes one append, its creation.
        world.put("new", b"new").await;
        world.append("second", 0, b"x").await.unwrap();
        assert_eq!(world.append("second", 1, b"x").await, Err(AppendError::Immutable));
        objects.lock_worm(&logs(), &id).await.unwrap();
        world.clock.advance_ms(2 * DAY_MS - 1_000);
        assert_eq!(refusals(&world, "log", 5).await, ALL);
        world.clock.advance_ms(1_000);
        // Appended to, the log is new again.
        assert_eq!(world.append("log", 5, b"!").await.unwrap().next_position, 6);
        assert_eq!(refusals(&world, "log", 6).await, ALL);
        objects.delete(&logs(), &key("second")).await.unwrap();
    }
}

#[tokio::test]
async fn the_order_is_type_seal_retention_position() {
    let world = World::new(plain(1), settings()).await;
    world.put("normal", b"x").await;
    world.append("log", 0, b"x").await.unwrap();
    world.objects.initiate_worm(&logs(), 1).await.unwrap();
    assert_eq!(world.append("normal", 0, b"x").await, Err(AppendError::NotAppendable));
    assert_eq!(world.append("log", 9, b"x").await, Err(AppendError::Immutable));
    let seal = crate::SealInput { bucket: logs(), key: key("log"), position: 1 };
    world.objects.seal(seal).await.unwrap();
    assert_eq!(world.append("log", 1, b"x").await, Err(AppendError::Sealed));
}

#[tokio::test]
async fn a_policy_lapses_unless_it_is_locked_and_a_locked_one_only_grows() {
    in_every_world(|world| async move {
        let (objects, bucket) = (&world.objects, logs());
        assert_eq!(objects.bucket_worm(&bucket).await, Err(WormError::NotFound));
        let first = objects.initiate_worm(&bucket, 10).await.unwrap();
        assert_eq!(objects.initiate_worm(&bucket, 10).await, Err(WormError::Exists));
        assert_eq!(objects.extend_worm(&bucket, &first, 11).await, Err(WormError::NotLocked));
        assert_eq!(objects.lock_worm(&bucket, "nonsense").await, Err(WormError::NotFound));
        objects.abort_worm(&bucket).await.unwrap();
        assert_eq!(objects.abort_worm(&bucket).await, Err(WormError::NotFound));
        let second = objects.initiate_worm(&bucket, 10).await.unwrap();
        world.put("a", b"a").await;
        world.clock.advance_ms(DAY_MS - 1);
        assert_eq!(objects.delete(&bucket, &key("a")).await, Err(DeleteError::Immutable));
        world.clock.advance_ms(1);
        assert_eq!(objects.bucket_worm(&bucket).await, Err(WormError::NotFound));
        assert_eq!(objects.lock_worm(&bucket, &second).await, Err(WormError::NotFound));
        objects.delete(&bucket, &key("a")).await.unwrap();
        let third = objects.initiate_worm(&bucket, 10).await.unwrap();
        assert!(first != second && second != third);
        for _ in 0..2 {
            objects.lock_worm(&bucket, &third).await.unwrap();
        }
        assert_eq!(objects.abort_worm(&bucket).await, Err(WormError::Locked));
        assert_eq!(objects.extend_worm(&bucket, &third, 9).await, Err(WormError::Shorter));
        objects.extend_worm(&bucket, &third, 12).await.unwrap();
        world.clock.advance_ms(100 * DAY_MS);
        let told = objects.bucket_worm(&bucket).await.unwrap();
        assert_eq!((told.id, told.locked, told.days), (third, true, 12));
        assert_eq!(objects.bucket_worm(&name("absent")).await, Err(WormError::NoSuchBucket));
    })
    .await;
}

/// The copies that transactions see, of all partitions.
async fn days_seen(world: &World) -> Vec<Option<u32>> {
    let record = world.store.get(SYSTEM, keys::catalogue(&logs())).await.unwrap();
    let catalogue = Catalogue::decode(&record.unwrap().value).unwrap();
    let mut seen = Vec::new();
    for partition in keys::partitions(catalogue.id, catalogue.partitions) {
        let copy = world.store.get(partition, keys::bucket()).await.unwrap().unwrap();
        let copy = BucketRecord::decode(&copy.value).unwrap();
        seen.push(copy.retention.worm.map(|worm| worm.days));
    }
    seen
}

#[tokio::test]
async fn a_policy_that_a_crash_left_in_some_partitions_is_in_all_after_the_start() {
    for writes in 1..=4 {
        let mut world = World::new(plain(3), settings()).await;
        world.put("a", b"a").await;
        world.store.die_at(writes, true);
        let begun = world.objects.initiate_worm(&logs(), 3).await;
        world.restart().await;
        let seen = days_seen(&world).await;
        match world.objects.bucket_worm(&logs()).await {
            Ok(told) => {
                assert_eq!(told.days, 3);
                assert_eq!(seen, [Some(3); 3], "{writes}");
                let deleted = world.objects.delete(&logs(), &key("a")).await;
                assert_eq!(deleted, Err(DeleteError::Immutable));
            }
            Err(error) => {
                assert_eq!(error, WormError::NotFound);
                assert!(begun.is_err());
                assert_eq!(seen, [None; 3], "{writes}");
            }
        }
    }
}

#[tokio::test]
async fn a_bucket_of_protected_objects_is_not_deleted_and_an_empty_one_is() {
    let world = World::new(plain(3), settings()).await;
    world.put("a", b"a").await;
    let id = world.objects.initiate_worm(&logs(), 3).await.unwrap();
    world.objects.lock_worm(&logs(), &id).await.unwrap();
    world.objects.delete_bucket(&logs()).await.unwrap_err();
    // An attempt to delete must not have let go of the policy.
    assert_eq!(days_seen(&world).await, [Some(3); 3]);
    world.clock.advance_ms(3 * DAY_MS);
    world.objects.delete(&logs(), &key("a")).await.unwrap();
    world.objects.delete_bucket(&logs()).await.unwrap();
    world.create(&logs()).await;
    assert_eq!(world.objects.bucket_worm(&logs()).await, Err(WormError::NotFound));
}

async fn put_as(world: &World, at: &str, class: StorageClass) {
    let mut input = world.put_input(at, b"cold bytes");
    input.creation.storage_class = Some(class);
    world.objects.put(input).await.unwrap();
}

fn restore(at: &str, days: Option<u32>) -> RestoreInput {
    RestoreInput { bucket: logs(), key: key(at), version: None, days, job: None }
}

async fn state(world: &World, at: &ObjectKey) -> Option<RestoreState> {
    world.objects.head(&logs(), at).await.unwrap().restore(world.clock.now_ms())
}

#[tokio::test]
async fn an_archived_object_is_read_and_copied_only_while_it_is_restored() {
    let mut world = World::new(plain(1), copies_allowed()).await;
    for class in [StorageClass::Archive, StorageClass::ColdArchive, StorageClass::DeepColdArchive] {
        let at = class.as_str();
        put_as(&world, at, class).await;
        let frozen = world.objects.get(&logs(), &key(at)).await.err();
        assert_eq!(frozen, Some(ReadObjectError::Frozen));
        for to in ["copy", at] {
            let copied = world.objects.copy(copy_input(at, to)).await;
            assert_eq!(copied, Err(CopyError::SourceFrozen));
        }
        assert_eq!(state(&world, &key(at)).await, None);
        assert_eq!(world.objects.freeze(&logs(), &key(at), None).await, Ok(None));
        let taken = world.objects.restore(restore(at, Some(2))).await.unwrap();
        assert!(!taken.extended);
        assert_eq!(state(&world, &key(at)).await, Some(RestoreState::Ongoing));
        let again = world.objects.restore(restore(at, Some(2))).await;
        assert_eq!(again, Err(RestoreError::InProgress));
        assert_eq!(
            world.objects.freeze(&logs(), &key(at), None).await,
            Err(RestoreError::InProgress)
        );
        assert!(world.objects.get(&logs(), &key(at)).await.is_err());
        // A restart in between is of no account.
        world.restart().await;
        world.clock.advance_ms(5_000);
        assert_eq!(world.read(at).await, b"cold bytes");
        let until = world.clock.now_ms() / 1_000 + 2 * 86_400;
        assert_eq!(state(&world, &key(at)).await, Some(RestoreState::Until(until)));
        assert!(world.objects.restore(restore(at, Some(3))).await.unwrap().extended);
        assert_eq!(state(&world, &key(at)).await, Some(RestoreState::Until(until + 86_400)));
        // Less than there is left takes nothing away.
        assert!(world.objects.restore(restore(at, Some(1))).await.unwrap().extended);
        world.objects.copy(copy_input(at, "copy")).await.unwrap();
        assert_eq!(world.read("copy").await, b"cold bytes");
        world.clock.advance_ms(3 * DAY_MS);
        assert!(world.objects.get(&logs(), &key(at)).await.is_err());
        world.objects.restore(restore(at, None)).await.unwrap();
        world.clock.advance_ms(5_000);
        world.objects.freeze(&logs(), &key(at), None).await.unwrap();
        assert!(world.objects.get(&logs(), &key(at)).await.is_err());
    }
}

#[tokio::test]
async fn a_class_is_restored_only_as_it_can_be() {
    let world = World::new(plain(1), settings()).await;
    let job = |at: &str, tier| RestoreInput { job: Some(tier), ..restore(at, Some(1)) };
    for class in [StorageClass::Standard, StorageClass::Ia] {
        put_as(&world, "warm", class).await;
        let told = world.objects.restore(restore("warm", None)).await;
        assert_eq!(told, Err(RestoreError::NotArchived));
        let told = world.objects.freeze(&logs(), &key("warm"), None).await;
        assert_eq!(told, Err(RestoreError::NotArchived));
    }
    put_as(&world, "archive", StorageClass::Archive).await;
    put_as(&world, "cold", StorageClass::ColdArchive).await;
    put_as(&world, "deep", StorageClass::DeepColdArchive).await;
    for (input, error) in [
        (job("archive", None), RestoreError::NoJob),
        (restore("archive", Some(8)), RestoreError::Days { max: 7 }),
        (restore("archive", Some(0)), RestoreError::Days { max: 7 }),
        (restore("cold", Some(366)), RestoreError::Days { max: 365 }),
        (job("deep", Some(RestoreTier::Bulk)), RestoreError::NoSuchTier),
        (restore("absent", None), ReadObjectError::NoSuchKey.into()),
        (
            RestoreInput { bucket: name("absent"), ..restore("cold", None) },
            ReadObjectError::NoSuchBucket.into(),
        ),
    ] {
        assert_eq!(world.objects.restore(input).await, Err(error));
    }
    let bulk = world.objects.restore(job("cold", Some(RestoreTier::Bulk))).await.unwrap();
    assert_eq!(bulk.tier, Some(RestoreTier::Bulk));
    let plain = world.objects.restore(restore("deep", None)).await.unwrap();
    assert_eq!(plain.tier, Some(RestoreTier::Standard));
}

#[tokio::test]
async fn an_archived_log_is_appended_to_as_it_is_and_a_restore_leaves_it_what_it_was() {
    let world = World::new(plain(1), settings()).await;
    let mut input = world.append_input("log", 0, body(b"hello"));
    let class = Some(StorageClass::Archive);
    input.creation = Some(Creation { storage_class: class, ..Creation::default() });
    world.objects.append(input).await.unwrap();
    world.append("log", 5, b" world").await.unwrap();
    assert_eq!(world.objects.get(&logs(), &key("log")).await.err(), Some(ReadObjectError::Frozen));
    let before = world.objects.head(&logs(), &key("log")).await.unwrap();
    world.objects.restore(restore("log", None)).await.unwrap();
    world.clock.advance_ms(Duration::from_secs(60).as_millis() as u64);
    assert_eq!(world.read("log").await, b"hello world");
    let after = world.objects.head(&logs(), &key("log")).await.unwrap();
    assert_eq!((after.etag, after.last_modified), (before.etag, before.last_modified));
    // Overwritten, it is another object and has no restore.
    put_as(&world, "log", StorageClass::Archive).await;
    assert!(world.objects.get(&logs(), &key("log")).await.is_err());
}

#[tokio::test]
async fn a_policy_is_a_decision_of_the_bucket_that_is_there() {
    let world = World::new(plain(1), settings()).await;
    let absent = world.objects.initiate_worm(&name("absent"), 1).await;
    assert_eq!(absent, Err(WormError::NoSuchBucket));
    // Without versions objects have no retention of their own.
    let rules = crate::ObjectWormRules { default: None };
    let told = world.objects.set_object_worm(&logs(), rules).await;
    assert!(matches!(told, Err(WormError::Excluded(_))), "{told:?}");
    assert_eq!(world.objects.object_worm(&logs()).await, Err(WormError::NotFound));
}

fn retained(until: u64, mode: RetentionMode, bypass: bool) -> RetentionChange {
    RetentionChange::Retain { to: ObjectRetention { mode, until }, bypass }
}

#[tokio::test]
async fn versions_are_retained_and_held_one_by_one_and_the_bucket_takes_no_appends() {
    use RetentionMode::{Compliance, Governance};
    for mode in [plain(1), plain(3)] {
        let world = World::new(mode, settings()).await;
        let objects = &world.objects;
        world.append("log", 0, b"log").await.unwrap();
        objects.set_bucket_versioning(&logs(), Versioning::Enabled).await.unwrap();
        let period = RetentionPeriod::Days(2);
        let default = Some(DefaultRetention { mode: Compliance, period });
        let rules = ObjectWormRules { default };
        objects.set_object_worm(&logs(), rules).await.unwrap();
        assert_eq!(objects.object_worm(&logs()).await, Ok(rules));
        let suspended = objects.set_bucket_versioning(&logs(), Versioning::Suspended).await;
        assert_eq!(suspended, Err(BucketError::Retained));
        let worm = objects.initiate_worm(&logs(), 1).await;
        assert!(matches!(worm, Err(WormError::Excluded(_))));
        for (at, position) in [("log", 3), ("new", 0)] {
            let told = world.append(at, position, b"x").await;
            assert_eq!(told, Err(AppendError::BucketRetained));
        }
        let first = world.put("a", b"first").await.version_id;
        let second = world.put("a", b"second").await.version_id;
        // A delete marker may come, and go.
        let marker = objects.delete(&logs(), &key("a")).await.unwrap();
        assert!(marker.delete_marker);
        let remove = async |version| {
            let (bucket, key, only) = (logs(), key("a"), DeleteIf::Any);
            objects.delete_with(DeleteInput { bucket, key, version, only }).await
        };
        for version in [first, second] {
            assert_eq!(remove(version).await, Err(DeleteError::Immutable));
        }
        remove(marker.version_id).await.unwrap();
        assert_eq!(world.read("a").await, b"second");
        let now_s = world.clock.now_ms() / 1_000;
        let change = async |version, change| {
            objects.change_object_retention(&logs(), &key("a"), version, change).await
        };
        for (until, mode) in [(now_s + 86_400, Compliance), (now_s + 9 * 86_400, Governance)] {
            let told = change(first, retained(until, mode, true)).await;
            assert_eq!(told, Err(RetentionError::Shorter));
        }
        let past = change(None, retained(now_s, Compliance, false)).await;
        assert_eq!(past, Err(RetentionError::Past));
        let appendable = objects
            .change_object_retention(
                &logs(),
                &key("log"),
                None,
                retained(now_s + 99, Compliance, false),
            )
            .await;
        assert_eq!(appendable, Err(RetentionError::Appendable));
        change(first, retained(now_s + 3 * 86_400, Compliance, false)).await.unwrap();
        change(second, RetentionChange::Hold(true)).await.unwrap();
        let info = objects.head_version(&logs(), &key("a"), first).await.unwrap();
        let own = ObjectRetention { mode: Compliance, until: now_s + 3 * 86_400 };
        assert_eq!((info.lifetime.retention(), info.lifetime.held()), (Some(own), false));
        world.clock.advance_ms(2 * DAY_MS);
        // Its time is over, but it is held.
        assert_eq!(remove(second).await, Err(DeleteError::Immutable));
        change(second, RetentionChange::Hold(false)).await.unwrap();
        remove(second).await.unwrap();
        assert_eq!(remove(first).await, Err(DeleteError::Immutable));
        world.clock.advance_ms(DAY_MS);
        remove(first).await.unwrap();
        // A governance retention is shortened by who may bypass it.
        let third = world.put("a", b"third").await.version_id;
        world.clock.advance_ms(2 * DAY_MS);
        let now_s = world.clock.now_ms() / 1_000;
        change(third, retained(now_s + 500, Governance, false)).await.unwrap();
        let shorter = retained(now_s + 1, Governance, false);
        assert_eq!(change(third, shorter).await, Err(RetentionError::Shorter));
        change(third, retained(now_s + 1, Governance, true)).await.unwrap();
        // Who goes past it removes what is governed, and nothing that anything else protects.
        let remove = async |version, bypass| {
            let (bucket, key, only) = (logs(), key("a"), DeleteIf::Any);
            objects.delete_governed(DeleteInput { bucket, key, version, only }, bypass).await
        };
        assert_eq!(remove(third, false).await, Err(DeleteError::Immutable));
        change(third, RetentionChange::Hold(true)).await.unwrap();
        assert_eq!(remove(third, true).await, Err(DeleteError::Immutable));
        change(third, RetentionChange::Hold(false)).await.unwrap();
        let named = vec![(key("a"), third)];
        let told = objects.delete_many(&logs(), named.clone()).await.unwrap();
        assert_eq!(told, [Err(DeleteError::Immutable)]);
        let told = objects.delete_many_governed(&logs(), named, true).await.unwrap();
        assert!(told[0].as_ref().unwrap().existed);
        let fourth = world.put("a", b"fourth").await.version_id;
        change(fourth, retained(now_s + 9 * 86_400, Compliance, false)).await.unwrap();
        assert_eq!(remove(fourth, true).await, Err(DeleteError::Immutable));
    }
}

#[tokio::test]
async fn where_versions_are_kept_a_policy_protects_each_of_them_and_lets_new_ones_come() {
    let world = World::new(plain(1), settings()).await;
    let objects = &world.objects;
    objects.set_bucket_versioning(&logs(), Versioning::Enabled).await.unwrap();
    let first = world.put("a", b"first").await.version_id;
    world.append("log", 0, b"x").await.unwrap();
    let id = objects.initiate_worm(&logs(), 1).await.unwrap();
    objects.lock_worm(&logs(), &id).await.unwrap();
    world.put("a", b"second").await;
    assert_eq!(world.append("log", 1, b"x").await, Err(AppendError::Immutable));
    let remove = async || {
        let (bucket, key, only) = (logs(), key("a"), DeleteIf::Any);
        objects.delete_with(DeleteInput { bucket, key, version: first, only }).await
    };
    assert_eq!(remove().await, Err(DeleteError::Immutable));
    let suspended = objects.set_bucket_versioning(&logs(), Versioning::Suspended).await;
    assert_eq!(suspended, Err(BucketError::Retained));
    world.clock.advance_ms(DAY_MS);
    assert!(remove().await.unwrap().existed);
}
