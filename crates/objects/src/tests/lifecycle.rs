//! The lifecycle worker. Rounds are run by the tests; by itself it does not begin.

use std::time::Duration;

use super::support::*;
use crate::{
    ConfigKind, Creation, InitiateUploadInput, Lifecycle, ListUploadsInput, ListVersionsInput,
    ReadObjectError, Settings,
    words::{StorageClass, Versioning},
};

const DAY_MS: u64 = 86_400_000;

fn by_hand() -> Settings {
    let lifecycle =
        Lifecycle { every: Duration::ZERO, records_per_s: u32::MAX, ..Lifecycle::default() };
    Settings { lifecycle, ..settings() }
}

async fn follow(world: &World, rules: &str) {
    let text = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
    let bucket = logs();
    let set = world.objects.configure(Some(&bucket), ConfigKind::Lifecycle, move |_| {
        Ok(vec![(String::new(), text.clone().into())])
    });
    set.await.unwrap();
}

fn rule(id: &str, prefix: &str, inside: &str) -> String {
    format!("<Rule><ID>{id}</ID><Prefix>{prefix}</Prefix><Status>Enabled</Status>{inside}</Rule>")
}

const EXPIRE: &str = "<Expiration><Days>1</Days></Expiration>";

async fn round(world: &World) {
    while let Err(failure) = world.objects.core.lifecycle_round().await {
        assert!(world.hostile, "{failure}");
    }
}

async fn is_there(world: &World, at: &str) -> bool {
    match world.objects.head(&logs(), &key(at)).await {
        Ok(_) => true,
        Err(ReadObjectError::NoSuchKey) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn in_every_mode<T: Future<Output = ()>>(test: impl Fn(World) -> T) {
    for mode in modes() {
        println!("{mode:?}");
        test(World::new(mode, by_hand()).await).await;
    }
}

#[tokio::test]
async fn what_is_due_is_deleted_and_nothing_else_however_often_it_is_looked_at() {
    in_every_mode(|mut world| async move {
        for number in 0..70 {
            world.put(&format!("tmp/{number}"), &pattern(number * 7, 3)).await;
        }
        world.put("other", b"stays").await;
        world.append("tmp/log", 0, b"grows").await.unwrap();
        follow(&world, &rule("a", "tmp/", EXPIRE)).await;
        round(&world).await;
        world.clock.advance_ms(DAY_MS - 1_000);
        world.append("tmp/log", 5, b" on").await.unwrap();
        world.clock.advance_ms(1_000);
        for _ in 0..2 {
            round(&world).await;
            assert!(is_there(&world, "other").await);
            // A log that grows does not expire.
            assert_eq!(world.read("tmp/log").await, b"grows on");
            for number in 0..70 {
                assert!(!is_there(&world, &format!("tmp/{number}")).await, "{number}");
            }
        }
        let told = world.objects.lifecycle();
        assert!(told.rounds >= 3 && told.records >= 72, "{told:?}");
        assert_eq!((told.expired, told.transitioned, told.aborted), (70, 0, 0));
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn a_key_that_was_written_to_after_it_was_judged_is_left_alone() {
    for pause in 0..12 {
        let world = World::new(plain(1), by_hand()).await;
        world.put("a", b"old").await;
        world.append("log", 0, b"old").await.unwrap();
        follow(&world, &rule("a", "", EXPIRE)).await;
        world.clock.advance_ms(DAY_MS);
        let core = std::sync::Arc::clone(&world.objects.core);
        let worker = tokio::spawn(async move { core.lifecycle_round().await });
        // Somewhere between its look and its transaction, in one of the turns.
        for _ in 0..pause {
            tokio::task::yield_now().await;
        }
        world.put("a", b"new").await;
        let appended = world.append("log", 3, b"!").await;
        worker.await.unwrap().unwrap();
        round(&world).await;
        assert_eq!(world.read("a").await, b"new", "{pause}");
        match appended {
            Ok(_) => assert_eq!(world.read("log").await, b"old!", "{pause}"),
            Err(_) => assert!(!is_there(&world, "log").await, "{pause}"),
        }
    }
}

#[tokio::test]
async fn what_is_protected_is_not_deleted_but_changes_its_class() {
    let world = World::new(plain(3), by_hand()).await;
    world.put("a", b"a").await;
    world.append("log", 0, b"log").await.unwrap();
    let id = world.objects.initiate_worm(&logs(), 30).await.unwrap();
    world.objects.lock_worm(&logs(), &id).await.unwrap();
    let to = "<Transition><Days>1</Days><StorageClass>IA</StorageClass></Transition>";
    let expire = "<Expiration><Days>2</Days></Expiration>";
    follow(&world, &rule("a", "", &(expire.to_owned() + to))).await;
    let before = world.objects.head(&logs(), &key("a")).await.unwrap();
    world.clock.advance_ms(3 * DAY_MS);
    for _ in 0..2 {
        round(&world).await;
        for at in ["a", "log"] {
            let info = world.objects.head(&logs(), &key(at)).await.unwrap();
            assert_eq!(info.storage_class, StorageClass::Ia);
            let moved = NOW_MS / 1_000 + 3 * 86_400;
            assert_eq!(info.lifetime.transitioned(), Some(moved));
            assert_eq!(info.last_modified, before.last_modified);
        }
        assert_eq!(world.read("a").await, b"a");
    }
    assert_eq!(world.objects.lifecycle().transitioned, 2);
    world.clock.advance_ms(27 * DAY_MS);
    round(&world).await;
    assert!(!is_there(&world, "a").await && !is_there(&world, "log").await);
}

#[tokio::test]
async fn an_appendable_object_goes_no_colder_than_archive_until_it_is_sealed() {
    let world = World::new(plain(1), by_hand()).await;
    world.append("log", 0, b"log").await.unwrap();
    world.put("a", b"a").await;
    let to = "<Transition><Days>1</Days><StorageClass>ColdArchive</StorageClass></Transition>";
    follow(&world, &rule("a", "", to)).await;
    world.clock.advance_ms(DAY_MS);
    round(&world).await;
    let class = async |at: &str| world.objects.head(&logs(), &key(at)).await.unwrap().storage_class;
    assert_eq!(class("a").await, StorageClass::ColdArchive);
    assert_eq!(class("log").await, StorageClass::Standard);
    let seal = crate::SealInput { bucket: logs(), key: key("log"), position: 3 };
    world.objects.seal(seal).await.unwrap();
    round(&world).await;
    assert_eq!(class("log").await, StorageClass::ColdArchive);
}

#[tokio::test]
async fn uploads_are_given_up_by_their_age() {
    in_every_mode(|world| async move {
        let begin = async |at: &str| {
            let input = InitiateUploadInput {
                bucket: logs(),
                key: key(at),
                creation: Creation::default(),
                acl: None,
                sequential: false,
                forbid_overwrite: false,
            };
            world.objects.initiate_upload(input).await.unwrap();
        };
        begin("up/a").await;
        begin("up/b").await;
        begin("kept").await;
        world.clock.advance_ms(DAY_MS);
        begin("up/new").await;
        let abort = "<AbortMultipartUpload><Days>1</Days></AbortMultipartUpload>";
        follow(&world, &rule("a", "up/", abort)).await;
        for _ in 0..2 {
            round(&world).await;
            let input = ListUploadsInput { bucket: logs(), limit: 10, ..list_uploads() };
            let left = world.objects.list_uploads(input).await.unwrap().uploads;
            let keys: Vec<_> = left.iter().map(|upload| upload.key.as_str()).collect();
            assert_eq!(keys, ["kept", "up/new"]);
        }
        assert_eq!(world.objects.lifecycle().aborted, 2);
    })
    .await;
}

fn list_uploads() -> ListUploadsInput {
    ListUploadsInput {
        bucket: logs(),
        prefix: String::new(),
        delimiter: None,
        after_key: None,
        after_upload: None,
        limit: 10,
    }
}

#[tokio::test]
async fn rules_that_were_taken_back_do_nothing_and_a_short_day_is_a_day() {
    let mut short = by_hand();
    short.lifecycle.day = Duration::from_secs(2);
    let world = World::new(plain(1), short).await;
    world.put("a", b"a").await;
    follow(&world, &rule("a", "", EXPIRE)).await;
    let rules = world.objects.rules(&logs()).await.unwrap();
    let info = world.objects.head(&logs(), &key("a")).await.unwrap();
    let told = world.objects.expiration(&rules, &info).unwrap();
    assert_eq!((told.at, told.rule.as_str()), (NOW_MS / 1_000 + 2, "a"));
    let bucket = logs();
    let none = world.objects.configure(Some(&bucket), ConfigKind::Lifecycle, |_| Ok(Vec::new()));
    none.await.unwrap();
    world.clock.advance_ms(2_000);
    round(&world).await;
    assert!(is_there(&world, "a").await);
    follow(&world, &rule("a", "", EXPIRE)).await;
    round(&world).await;
    assert!(!is_there(&world, "a").await);
}

#[tokio::test]
async fn the_worker_goes_its_rounds_by_itself_and_stops() {
    let mut often = by_hand();
    often.lifecycle.every = Duration::from_millis(5);
    let world = World::new(plain(1), often).await;
    world.put("a", b"a").await;
    follow(&world, &rule("a", "", EXPIRE)).await;
    world.clock.advance_ms(DAY_MS);
    let gone = async {
        while is_there(&world, "a").await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
    world.objects.close().await;
    let rounds = world.objects.lifecycle().rounds;
    tokio::task::yield_now().await;
    assert_eq!(world.objects.lifecycle().rounds, rounds);
}

/// Keys, whether each is a marker, and whether it is the current version.
async fn versions(world: &World) -> Vec<(String, bool, bool)> {
    let input = ListVersionsInput {
        bucket: logs(),
        prefix: String::new(),
        delimiter: None,
        after: None,
        after_version: None,
        limit: 100,
    };
    let page = world.objects.list_versions(input).await.unwrap();
    let told =
        |one: crate::VersionInfo| (one.key.as_str().to_owned(), one.object.is_none(), one.latest);
    page.versions.into_iter().map(told).collect()
}

#[tokio::test]
async fn where_versions_are_kept_a_marker_comes_first_then_older_ones_go_and_then_the_marker() {
    in_every_mode(|world| async move {
        world.objects.set_bucket_versioning(&logs(), Versioning::Enabled).await.unwrap();
        world.put("a", b"first").await;
        world.put("a", &pattern(500, 1)).await;
        let rules = rule("a", "", EXPIRE)
            + &rule(
                "b",
                "a",
                "<NoncurrentVersionExpiration><NoncurrentDays>2</NoncurrentDays></NoncurrentVersionExpiration>\
                 <NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays><StorageClass>IA</StorageClass>\
                 </NoncurrentVersionTransition>",
            );
        follow(&world, &rules).await;
        let (current, older) = (("a".to_owned(), false, true), ("a".to_owned(), false, false));
        round(&world).await;
        assert_eq!(versions(&world).await, [current, older.clone()]);
        world.clock.advance_ms(DAY_MS);
        let marker = ("a".to_owned(), true, true);
        for _ in 0..2 {
            round(&world).await;
            assert_eq!(versions(&world).await, [marker.clone(), older.clone(), older.clone()]);
        }
        // The first has been no longer current for two days, the second for one.
        world.clock.advance_ms(DAY_MS);
        round(&world).await;
        assert_eq!(versions(&world).await, [marker.clone(), older]);
        world.clock.advance_ms(DAY_MS);
        for _ in 0..3 {
            round(&world).await;
        }
        assert_eq!(versions(&world).await, []);
        let told = world.objects.lifecycle();
        assert_eq!((told.expired, told.trimmed), (1, 3), "{told:?}");
        assert!(told.transitioned >= 1, "{told:?}");
    })
    .await;
}
