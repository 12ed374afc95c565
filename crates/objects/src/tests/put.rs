//! Put, get, head, delete.

use bytes::Bytes;

use super::{
    append::md5,
    support::{World, body, in_every_world, key, logs, name, pattern, pieces, plain, settings},
};
use crate::{
    AppendError, BodyError, Creation, Failure, PutError, ReadObjectError, Settings,
    words::{Attributes, ObjectAcl, ObjectType, StorageClass, crc64, etag},
};

#[tokio::test]
async fn what_is_put_reads_back_at_every_size() {
    in_every_world(async |mut world| {
        for length in [0, 1, 63, 64, 65, 1_024, 1_025, 700_000] {
            let at = format!("put-{length}");
            let bytes = pattern(length, length as u64);
            let put = world.put(&at, &bytes).await;
            assert_eq!(put.md5, md5(&bytes), "{length}");
            assert_eq!(put.etag, etag::from_md5(&md5(&bytes)));
            assert_eq!((put.crc64, put.length), (crc64::checksum(&bytes), length as u64));
            assert!(world.read(&at).await == bytes, "{length}");
            let info = world.objects.head(&logs(), &key(&at)).await.unwrap();
            assert_eq!((info.kind, info.md5), (ObjectType::Normal, Some(put.md5)));
            assert_eq!((info.length, info.crc64), (put.length, put.crc64));
            assert_eq!(info.storage_class, StorageClass::Standard);
        }
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn overwriting_replaces_everything_and_leaves_nothing_behind() {
    in_every_world(async |mut world| {
        let creation = Creation {
            attributes: Attributes { content_type: "text/plain".into(), ..Default::default() },
            acl: ObjectAcl::PublicRead,
            tags: vec![("a".into(), String::new())],
            storage_class: Some(StorageClass::Archive),
            encrypted: false,
        };
        let mut input = world.put_input("k", &pattern(500, 1));
        input.creation = creation.clone();
        world.objects.put(input).await.unwrap();
        let info = world.objects.head(&logs(), &key("k")).await.unwrap();
        assert_eq!((info.attributes, info.acl), (creation.attributes, creation.acl));
        assert_eq!((info.tags, info.storage_class), (creation.tags, StorageClass::Archive));

        world.put("k", b"small").await;
        let info = world.objects.head(&logs(), &key("k")).await.unwrap();
        assert_eq!((info.attributes, info.acl), (Attributes::default(), ObjectAcl::Default));
        assert_eq!((info.tags, info.storage_class), (vec![], StorageClass::Standard));
        assert_eq!(world.read("k").await, b"small");

        world.put("k", &pattern(900, 2)).await;
        world.put("k", &pattern(901, 3)).await;
        assert_eq!(world.read("k").await, pattern(901, 3));
        // An appendable is replaced like any other, and is not appendable then.
        world.append("log", 0, &pattern(100, 4)).await.unwrap();
        world.put("log", b"put").await;
        assert_eq!(world.append("log", 3, b"x").await, Err(AppendError::NotAppendable));
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn forbid_overwrite_refuses_what_exists() {
    in_every_world(async |mut world| {
        let input = |bytes: &[u8]| {
            let mut input = world.put_input("k", bytes);
            input.forbid_overwrite = true;
            input
        };
        world.objects.put(input(b"first")).await.unwrap();
        for length in [3, 300] {
            let refused = world.objects.put(input(&pattern(length, 1))).await;
            assert_eq!(refused, Err(PutError::AlreadyExists));
        }
        assert_eq!(world.read("k").await, b"first");
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_puts_that_forbid_overwriting_one_wins() {
    for mode in super::support::modes() {
        println!("{mode:?}");
        let mut world = World::new(mode, settings()).await;
        for round in 0..20 {
            let at = format!("k{round}");
            let racers: Vec<_> = (0..8)
                .map(|racer| {
                    let (world, at) = (world.clone(), at.clone());
                    tokio::spawn(async move {
                        let mut input = world.put_input(&at, &pattern(20 + racer * 20, 1));
                        input.forbid_overwrite = true;
                        world.objects.put(input).await
                    })
                })
                .collect();
            let mut won = 0;
            for racer in racers {
                match racer.await.unwrap() {
                    Ok(_) => won += 1,
                    Err(error) => assert_eq!(error, PutError::AlreadyExists),
                }
            }
            assert_eq!(won, 1);
        }
        world.assert_tidy().await;
    }
}

#[tokio::test]
async fn a_bad_body_stores_nothing_and_spares_what_is_there() {
    in_every_world(async |mut world| {
        world.put("k", b"before").await;
        for length in [10_usize, 3_000] {
            let bytes = pattern(length, 9);
            let mut wrong = body(&bytes);
            wrong.md5 = Some([1; 16]);
            let mut wrong_crc = body(&bytes);
            wrong_crc.crc64 = Some(1);
            let short = pieces(vec![Ok(Bytes::from(bytes.clone()))], Some(length as u64 * 2));
            for (body, error) in [
                (wrong, PutError::DigestMismatch),
                (wrong_crc, PutError::CrcMismatch),
                (short, PutError::Body(BodyError::Truncated)),
            ] {
                let mut input = world.put_input("k", b"");
                input.body = body;
                assert_eq!(world.objects.put(input).await, Err(error));
            }
            let mut right = body(&bytes);
            (right.md5, right.crc64) = (Some(md5(&bytes)), Some(crc64::checksum(&bytes)));
            let mut input = world.put_input("right", b"");
            input.body = right;
            world.objects.put(input).await.unwrap();
        }
        assert_eq!(world.read("k").await, b"before");
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn a_put_beyond_the_limit_is_refused_with_and_without_a_length() {
    let mut world = World::new(plain(1), Settings { put_max_bytes: 100, ..settings() }).await;
    let too_large = Err(PutError::TooLarge { max: 100 });
    assert_eq!(world.objects.put(world.put_input("k", &pattern(101, 1))).await, too_large);
    let mut input = world.put_input("k", b"");
    input.body = pieces(vec![Ok(pattern(80, 1).into()), Ok(pattern(21, 2).into())], None);
    assert_eq!(world.objects.put(input).await, too_large);
    world.put("k", &pattern(100, 3)).await;
    world.assert_tidy().await;
}

#[tokio::test]
async fn what_is_absent_is_told_as_absent() {
    in_every_world(async |world| {
        let no_key = ReadObjectError::NoSuchKey;
        let no_bucket = ReadObjectError::NoSuchBucket;
        assert_eq!(world.objects.head(&logs(), &key("k")).await, Err(no_key.clone()));
        assert_eq!(world.objects.get(&logs(), &key("k")).await.unwrap_err(), no_key);
        assert_eq!(world.objects.head(&name("none"), &key("k")).await, Err(no_bucket));
        let mut input = world.put_input("k", b"");
        input.bucket = name("none");
        assert_eq!(world.objects.put(input).await, Err(PutError::NoSuchBucket));
    })
    .await;
}

#[tokio::test]
async fn deleting_removes_and_does_not_mind_what_is_absent() {
    in_every_world(async |mut world| {
        world.put("inline", b"x").await;
        world.put("blob", &pattern(500, 1)).await;
        world.append("log", 0, b"hello").await.unwrap();
        for at in ["inline", "blob", "log", "none"] {
            let told = world.objects.delete(&logs(), &key(at)).await.unwrap();
            assert_eq!(told.existed, at != "none");
            let again = world.objects.delete(&logs(), &key(at)).await.unwrap();
            assert!(!again.existed);
            let head = world.objects.head(&logs(), &key(at)).await;
            assert_eq!(head, Err(ReadObjectError::NoSuchKey));
        }
        // A new life starts anew.
        assert!(world.append("log", 0, b"again").await.unwrap().created);
        assert_eq!(world.read("log").await, b"again");
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn many_are_deleted_in_the_order_asked_and_twice_named_is_fine() {
    in_every_world(async |mut world| {
        for i in 0..600 {
            let length = if i % 50 == 0 { 100 } else { 5 };
            world.put(&format!("k{i}"), &pattern(length, i)).await;
        }
        let mut keys: Vec<_> = (0..600).map(|i| (key(&format!("k{i}")), None)).collect();
        keys.push((key("none"), None));
        keys.push((key("k7"), None));
        let told = world.objects.delete_many(&logs(), keys).await.unwrap();
        assert_eq!(told.len(), 602);
        assert!(told[..600].iter().all(|told| told.as_ref().unwrap().existed));
        assert!(!told[600].as_ref().unwrap().existed);
        assert!(told[601].is_ok());
        assert_eq!(world.objects.bucket_stat(&logs()).await.unwrap().object_count, 0);
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_told_as_damaged_and_is_not_overwritten() {
    use ossia_store::{Decision, Writes, transact};
    let world = World::new(plain(1), settings()).await;
    let partition = ossia_store::Partition(world.catalogue().await[0].id << 16);
    for garbage in [&b"\x01\xff\xff\xff"[..], b"\x02", b"\x01\x08\x63"] {
        let garbage = Bytes::copy_from_slice(garbage);
        let head = crate::keys::head(&key("k"));
        let written = transact::<(), (), _>(&world.store.inner, partition, vec![], move |_| {
            let mut writes = Writes::none();
            writes.put(head.clone(), garbage.clone());
            Ok(Decision::Commit(writes, ()))
        });
        written.await.unwrap().unwrap();
        let head = world.objects.head(&logs(), &key("k")).await;
        assert!(matches!(head, Err(ReadObjectError::Store(Failure::Damaged(_)))), "{head:?}");
        let append = world.append("k", 0, b"x").await;
        assert!(matches!(append, Err(AppendError::Store(Failure::Damaged(_)))), "{append:?}");
        let put = world.objects.put(world.put_input("k", b"x")).await;
        assert!(matches!(put, Err(PutError::Store(Failure::Damaged(_)))), "{put:?}");
    }
}

#[tokio::test]
async fn reads_of_small_objects_survive_being_overwritten_in_between() {
    in_every_world(async |world| {
        world.put("k", &[b'a'; 40]).await;
        let opened = world.objects.get(&logs(), &key("k")).await.unwrap();
        world.put("k", &[b'b'; 40]).await;
        let read = super::support::collect(opened.read(10..20)).await.unwrap();
        assert_eq!(read, [b'a'; 10]);
        assert_eq!(world.read("k").await, [b'b'; 40]);
    })
    .await;
}
