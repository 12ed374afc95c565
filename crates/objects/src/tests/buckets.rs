//! Buckets: create, list, change, delete.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::task::JoinHandle;

use super::support::{World, body, in_every_world, key, logs, modes, name, plain, settings};
use crate::{
    AbortUploadInput, AppendError, BucketError, BucketSetting, ChosenParts, CompleteUploadInput,
    CreateBucketError, CreateBucketInput, Creation, DeleteBucketError, DeleteError, Failure,
    InitiateUploadError, InitiateUploadInput, ListBucketsInput, PutError, Settings,
    UploadPartInput,
    words::{BucketAcl, BucketName, Redundancy, StorageClass},
};

fn create(bucket: &str) -> CreateBucketInput {
    CreateBucketInput { name: name(bucket), acl: None, storage_class: None, redundancy: None }
}

#[tokio::test]
async fn creating_twice_is_fine_and_settings_that_cannot_change_do_not() {
    in_every_world(async |mut world| {
        let first = world.objects.create_bucket(create("two")).await.unwrap();
        assert_eq!((first.acl, first.storage_class), Default::default());
        assert_eq!(first.created, 1_767_225_600);
        world.clock.advance_ms(10_000);
        assert_eq!(world.objects.create_bucket(create("two")).await.unwrap(), first);
        let acl = Some(BucketAcl::PublicRead);
        let changed = world.objects.create_bucket(CreateBucketInput { acl, ..create("two") });
        assert_eq!(changed.await.unwrap().acl, BucketAcl::PublicRead);
        // Absent leaves it alone.
        let again = world.objects.create_bucket(create("two")).await.unwrap();
        assert_eq!(again.acl, BucketAcl::PublicRead);
        let class = Some(StorageClass::Ia);
        let refused = world
            .objects
            .create_bucket(CreateBucketInput { storage_class: class, ..create("two") });
        let conflict = CreateBucketError::Conflict(BucketSetting::StorageClass);
        assert_eq!(refused.await, Err(conflict));
        let zrs = Some(Redundancy::Zrs);
        let refused =
            world.objects.create_bucket(CreateBucketInput { redundancy: zrs, ..create("two") });
        assert_eq!(refused.await, Err(CreateBucketError::Conflict(BucketSetting::Redundancy)));

        world.objects.set_bucket_acl(&name("two"), BucketAcl::Private).await.unwrap();
        assert_eq!(world.objects.bucket(&name("two")).await.unwrap().acl, BucketAcl::Private);
        let absent = world.objects.set_bucket_acl(&name("none"), BucketAcl::Private).await;
        assert_eq!(absent, Err(BucketError::NoSuchBucket));
        assert_eq!(world.objects.bucket(&name("none")).await, Err(BucketError::NoSuchBucket));
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn a_bucket_that_is_remembered_is_never_an_older_one() {
    in_every_world(async |world| {
        let known = world.objects.bucket(&logs()).await.unwrap();
        assert_eq!(world.objects.bucket(&logs()).await.unwrap(), known);
        for round in 0..20 {
            for acl in [BucketAcl::PublicRead, BucketAcl::PublicReadWrite] {
                world.objects.set_bucket_acl(&logs(), acl).await.unwrap();
                assert_eq!(world.objects.bucket(&logs()).await.unwrap().acl, acl);
            }
            world.put("k", format!("{round}").as_bytes()).await;
            let told = world.objects.delete_bucket(&logs()).await;
            assert_eq!(told, Err(DeleteBucketError::NotEmpty));
            assert_eq!(world.read("k").await, format!("{round}").as_bytes());
            world.objects.delete(&logs(), &key("k")).await.unwrap();
            world.objects.delete_bucket(&logs()).await.unwrap();
            assert_eq!(world.objects.bucket(&logs()).await, Err(BucketError::NoSuchBucket));
            let late = world.objects.delete(&logs(), &key("k")).await;
            assert_eq!(late, Err(DeleteError::NoSuchBucket));
            world.clock.advance_ms(1_000);
            world.create(&logs()).await;
            let again = world.objects.bucket(&logs()).await.unwrap();
            assert_eq!((again.acl, again.created), (known.acl, known.created + round + 1));
        }
    })
    .await;
}

#[tokio::test]
async fn only_so_many_buckets_and_a_deleted_one_makes_room() {
    for mode in modes() {
        let world = World::new(mode, Settings { buckets_max: 3, ..settings() }).await;
        world.create(&name("two")).await;
        world.create(&name("three")).await;
        let full = Err(CreateBucketError::TooMany { max: 3 });
        assert_eq!(world.objects.create_bucket(create("four")).await, full);
        world.create(&name("two")).await;
        world.objects.delete_bucket(&name("two")).await.unwrap();
        world.create(&name("four")).await;
        assert_eq!(world.objects.create_bucket(create("two")).await, full);
    }
}

#[tokio::test]
async fn buckets_are_listed_by_name_page_by_page() {
    in_every_world(async |world| {
        for bucket in ["b-2", "b-1", "b-10", "a-1", "c-1"] {
            world.create(&name(bucket)).await;
        }
        let list = async |prefix: &str, marker: Option<&str>, limit| {
            let (prefix, marker) = (prefix.to_owned(), marker.map(str::to_owned));
            let told = world
                .objects
                .list_buckets(ListBucketsInput { prefix, marker, limit })
                .await
                .unwrap();
            let names: Vec<String> =
                told.buckets.iter().map(|bucket| bucket.name.as_str().to_owned()).collect();
            assert_eq!(told.next_marker, names.last().filter(|_| told.truncated).cloned());
            (names.join(" "), told.truncated)
        };
        assert_eq!(list("", None, 100).await, ("a-1 b-1 b-10 b-2 c-1 logs".into(), false));
        assert!(!list("", None, 6).await.1);
        assert_eq!(list("", None, 2).await, ("a-1 b-1".into(), true));
        assert_eq!(list("", Some("b-1"), 2).await, ("b-10 b-2".into(), true));
        assert_eq!(list("b-", None, 100).await, ("b-1 b-10 b-2".into(), false));
        assert_eq!(list("b-", Some("a"), 3).await, ("b-1 b-10 b-2".into(), false));
        assert_eq!(list("b-", Some("b-10"), 1).await, ("b-2".into(), false));
        assert_eq!(list("b-", Some("x"), 1).await, ("".into(), false));
    })
    .await;
}

#[tokio::test]
async fn a_bucket_is_deleted_when_it_is_empty_and_its_name_starts_anew() {
    in_every_world(async |mut world| {
        let absent = world.objects.delete_bucket(&name("none")).await;
        assert_eq!(absent, Err(DeleteBucketError::NoSuchBucket));
        for i in 0..5 {
            world.put(&format!("k{i}"), &[b'x'; 100]).await;
        }
        let not_empty = Err(DeleteBucketError::NotEmpty);
        assert_eq!(world.objects.delete_bucket(&logs()).await, not_empty);
        // It is as open as before.
        world.append("log", 0, b"hello").await.unwrap();
        for at in ["k0", "k1", "k2", "k3", "k4"] {
            world.objects.delete(&logs(), &key(at)).await.unwrap();
        }
        assert_eq!(world.objects.delete_bucket(&logs()).await, not_empty);
        world.objects.delete(&logs(), &key("log")).await.unwrap();
        world.objects.delete_bucket(&logs()).await.unwrap();
        let gone = world.objects.delete_bucket(&logs()).await;
        assert_eq!(gone, Err(DeleteBucketError::NoSuchBucket));
        assert_eq!(world.append("log", 0, b"x").await, Err(AppendError::NoSuchBucket));
        assert_eq!(world.objects.bucket(&logs()).await, Err(BucketError::NoSuchBucket));
        world.create(&logs()).await;
        assert_eq!(world.objects.bucket_stat(&logs()).await.unwrap().object_count, 0);
        assert!(world.append("log", 0, b"x").await.unwrap().created);
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn a_reader_outlives_its_bucket_and_what_it_held_is_cleared_after_the_next_start() {
    in_every_world(async |mut world| {
        let bytes = [b'x'; 3_000];
        world.put("k", &bytes).await;
        let object = world.objects.get(&logs(), &key("k")).await.unwrap();
        world.objects.delete(&logs(), &key("k")).await.unwrap();
        world.objects.delete_bucket(&logs()).await.unwrap();
        let _ = world.objects.core.reap_all().await;
        let read = super::support::collect(object.read(0..u64::MAX)).await.unwrap();
        assert_eq!(read, bytes);
        // Nothing that the process knows of is left; what the store knows must do.
        world.objects.close().await;
        drop(object);
        world.assert_tidy().await;
    })
    .await;
}

/// Whether one of them has deleted the bucket; the others found it in use, or gone.
async fn any_deleted(deleters: Vec<JoinHandle<Result<(), DeleteBucketError>>>) -> bool {
    let mut deleted = false;
    for deleter in deleters {
        match deleter.await.unwrap() {
            Ok(()) => deleted = true,
            Err(DeleteBucketError::NotEmpty | DeleteBucketError::NoSuchBucket) => {}
            Err(error) => panic!("{error}"),
        }
    }
    deleted
}

/// A write either is there after a refused deletion, or was refused because the bucket is gone: nothing acknowledged is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deleting_a_bucket_against_writes_loses_nothing_acknowledged() {
    for mode in modes() {
        println!("{mode:?}");
        let patience = std::time::Duration::from_secs(20);
        let mut world = World::new(mode, Settings { closing_wait: patience, ..settings() }).await;
        for round in 0..30_u32 {
            let bucket = name(&format!("b-{round}"));
            world.create(&bucket).await;
            let writers: Vec<_> = (0..4_u32)
                .map(|writer| {
                    let (world, bucket) = (world.clone(), bucket.clone());
                    tokio::spawn(async move {
                        for _ in 0..(round + writer) % 4 {
                            tokio::task::yield_now().await;
                        }
                        let mut input = world.put_input(&format!("k{writer}"), &[b'x'; 70]);
                        input.bucket = bucket;
                        world.objects.put(input).await
                    })
                })
                .collect();
            let deleters: Vec<_> = (0..2)
                .map(|_| {
                    let (world, bucket) = (world.clone(), bucket.clone());
                    tokio::spawn(async move { world.objects.delete_bucket(&bucket).await })
                })
                .collect();
            let deleted = any_deleted(deleters).await;
            let mut written = 0;
            for writer in writers {
                match writer.await.unwrap() {
                    Ok(_) => written += 1,
                    Err(error) => assert_eq!(error, PutError::NoSuchBucket),
                }
            }
            if deleted {
                assert_eq!(written, 0, "acknowledged writes went with the bucket");
                let gone = world.objects.bucket(&bucket).await;
                assert_eq!(gone, Err(BucketError::NoSuchBucket));
            } else {
                let stat = world.objects.bucket_stat(&bucket).await.unwrap();
                assert_eq!(stat.object_count, written);
                let keys = (0..4).map(|writer| (key(&format!("k{writer}")), None)).collect();
                world.objects.delete_many(&bucket, keys).await.unwrap();
                world.objects.delete_bucket(&bucket).await.unwrap();
            }
        }
        world.assert_tidy().await;
    }
}

/// An upload that was begun keeps its bucket until it is over, and its object does so afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deleting_a_bucket_against_uploads_takes_none_that_was_begun() {
    for mode in modes() {
        println!("{mode:?}");
        let patience = std::time::Duration::from_secs(20);
        let mut world = World::new(mode, Settings { closing_wait: patience, ..settings() }).await;
        for round in 0..20_u32 {
            let bucket = name(&format!("b-{round}"));
            world.create(&bucket).await;
            let writers: Vec<_> = (0..4_u32)
                .map(|writer| {
                    let (world, bucket) = (world.clone(), bucket.clone());
                    tokio::spawn(async move {
                        for _ in 0..(round + writer) % 4 {
                            tokio::task::yield_now().await;
                        }
                        upload_or_abort(&world, &bucket, writer, (round + writer) % 3 == 0).await
                    })
                })
                .collect();
            let deleters: Vec<_> = (0..3_u32)
                .map(|turns| {
                    let (world, bucket) = (world.clone(), bucket.clone());
                    tokio::spawn(async move {
                        for _ in 0..turns * 3 {
                            tokio::task::yield_now().await;
                        }
                        world.objects.delete_bucket(&bucket).await
                    })
                })
                .collect();
            let deleted = any_deleted(deleters).await;
            let mut completed = 0;
            for writer in writers {
                completed += u64::from(writer.await.unwrap());
            }
            if deleted {
                assert_eq!(completed, 0, "an object went with its bucket");
            } else {
                let stat = world.objects.bucket_stat(&bucket).await.unwrap();
                assert_eq!((stat.object_count, stat.multipart_upload_count), (completed, 0));
                let keys = (0..4).map(|writer| (key(&format!("k{writer}")), None)).collect();
                world.objects.delete_many(&bucket, keys).await.unwrap();
                world.objects.delete_bucket(&bucket).await.unwrap();
            }
        }
        world.assert_tidy().await;
    }
}

/// Whether it became an object; not where it was to be given up, or its bucket was gone before it began.
async fn upload_or_abort(world: &World, bucket: &BucketName, writer: u32, give_up: bool) -> bool {
    let at = key(&format!("k{writer}"));
    let input = InitiateUploadInput {
        bucket: bucket.clone(),
        key: at.clone(),
        creation: Creation::default(),
        acl: None,
        sequential: false,
        forbid_overwrite: false,
    };
    let upload = match world.objects.initiate_upload(input).await {
        Ok(upload) => upload,
        Err(InitiateUploadError::NoSuchBucket) => return false,
        Err(error) => panic!("{error}"),
    };
    let (bucket, key) = (bucket.clone(), at);
    let input = UploadPartInput {
        bucket: bucket.clone(),
        key: key.clone(),
        upload,
        number: 1,
        body: body(&[b'x'; 70]),
    };
    world.objects.upload_part(input).await.unwrap();
    if give_up {
        world.objects.abort_upload(AbortUploadInput { bucket, key, upload }).await.unwrap();
        return false;
    }
    let (parts, forbid_overwrite) = (ChosenParts::All, false);
    let input = CompleteUploadInput { bucket, key, upload, parts, acl: None, forbid_overwrite };
    world.objects.complete_upload(input).await.unwrap();
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_creators_get_one_bucket() {
    for mode in modes() {
        let mut world = World::new(mode, settings()).await;
        for round in 0..10 {
            let bucket = format!("b-{round}");
            let creators: Vec<_> = (0..6)
                .map(|_| {
                    let (world, bucket) = (world.clone(), bucket.clone());
                    tokio::spawn(async move { world.objects.create_bucket(create(&bucket)).await })
                })
                .collect();
            for creator in creators {
                creator.await.unwrap().unwrap();
            }
        }
        assert_eq!(world.catalogue().await.len(), 11);
        world.assert_tidy().await;
    }
}

#[tokio::test]
async fn a_write_that_finds_its_bucket_closing_waits_and_then_says_busy() {
    use ossia_store::{Decision, Writes, transact};

    use crate::{
        keys,
        records::{BucketRecord, BucketState, Catalogue, Stored},
    };
    let world = World::new(plain(1), settings()).await;
    let found: Catalogue = world.catalogue().await[0].clone();
    let set = async |state| {
        let catalogue = Catalogue { state, epoch: 1, ..found.clone() };
        let copy = BucketRecord {
            state,
            epoch: 1,
            versioning: None,
            versioning_epoch: 0,
            retention: Default::default(),
        };
        for (partition, key, value) in [
            (keys::SYSTEM, keys::catalogue(&logs()), catalogue.encode()),
            (ossia_store::Partition(found.id << 16), keys::bucket(), copy.encode()),
        ] {
            let written = transact::<(), (), _>(&world.store.inner, partition, vec![], move |_| {
                let mut writes = Writes::none();
                writes.put(key.clone(), value.clone());
                Ok(Decision::Commit(writes, ()))
            });
            written.await.unwrap().unwrap();
        }
    };
    set(BucketState::Closing).await;
    assert_eq!(world.append("log", 0, b"x").await, Err(AppendError::Store(Failure::Busy)));
    // Deleting does not wait, and reads go on.
    world.objects.delete(&logs(), &key("log")).await.unwrap();
    assert_eq!(
        world
            .objects
            .list_buckets(ListBucketsInput { limit: 9, ..Default::default() })
            .await
            .unwrap()
            .buckets
            .len(),
        1
    );
    let waiting = {
        let world = world.clone();
        let through = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&through);
        let task = tokio::spawn(async move {
            let told = world.append("log", 0, b"x").await;
            flag.store(true, Ordering::SeqCst);
            told
        });
        tokio::task::yield_now().await;
        assert!(!through.load(Ordering::SeqCst));
        task
    };
    set(BucketState::Open).await;
    waiting.await.unwrap().unwrap();
}
