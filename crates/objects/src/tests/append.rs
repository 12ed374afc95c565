//! Append and seal.

use std::{
    future::{Future, poll_fn},
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use futures_core::Stream;

use super::support::{
    World, body, collect, in_every_world, key, logs, modes, name, pattern, pieces, plain, settings,
};
use crate::{
    AppendError, AppendInput, BodyError, CreateBucketInput, Creation, Failure, SealError,
    SealInput, Settings,
    words::{Attributes, ObjectAcl, ObjectType, StorageClass, crc64, etag},
};

const HELLO: u64 = 11_177_612_005_948_864_433;
const HELLO_WORLD: u64 = 5_981_764_153_023_615_706;

fn seal_input(at: &str, position: u64) -> SealInput {
    SealInput { bucket: logs(), key: key(at), position }
}

#[tokio::test]
async fn appends_create_grow_and_read_back_as_the_service_tells() {
    in_every_world(async |mut world| {
        let empty = world.append("log", 0, b"").await.unwrap();
        assert_eq!((empty.next_position, empty.crc64, empty.created), (0, 0, true));
        assert_eq!(empty.etag, etag::appendable(0, 1_767_225_600));
        let hello = world.append("log", 0, b"hello").await.unwrap();
        assert_eq!((hello.next_position, hello.crc64, hello.created), (5, HELLO, false));
        let world_ = world.append("log", 5, b" world").await.unwrap();
        assert_eq!((world_.next_position, world_.crc64), (11, HELLO_WORLD));
        assert_eq!(world.read("log").await, b"hello world");

        let info = world.objects.head(&logs(), &key("log")).await.unwrap();
        assert_eq!(info.kind, ObjectType::Appendable);
        assert_eq!((info.length, info.crc64), (11, HELLO_WORLD));
        assert_eq!((&info.etag, info.md5), (&world_.etag, None));
        assert_eq!(info.last_modified, 1_767_225_600);
        assert_eq!((info.sealed_at, info.version_id), (None, None));
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn a_wrong_position_names_the_length_and_changes_nothing() {
    in_every_world(async |world| {
        world.append("log", 0, b"hello world").await.unwrap();
        let mismatch = AppendError::PositionMismatch { length: 11, crc64: HELLO_WORLD };
        for position in [0, 5, 10, 12, u64::MAX] {
            assert_eq!(world.append("log", position, b"x").await, Err(mismatch.clone()));
            assert_eq!(world.append("log", position, b"").await, Err(mismatch.clone()));
        }
        let absent = AppendError::PositionMismatch { length: 0, crc64: 0 };
        assert_eq!(world.append("none", 5, b"x").await, Err(absent));
        assert_eq!(world.read("log").await, b"hello world");
    })
    .await;
}

#[tokio::test]
async fn the_type_is_looked_at_before_the_position() {
    in_every_world(async |world| {
        world.put("put", b"hello").await;
        for position in [0, 5, 77] {
            let refused = world.append("put", position, b"x").await;
            assert_eq!(refused, Err(AppendError::NotAppendable));
        }
        assert_eq!(world.read("put").await, b"hello");
        let bucket =
            AppendInput { bucket: name("absent"), ..world.append_input("log", 0, body(b"x")) };
        assert_eq!(world.objects.append(bucket).await, Err(AppendError::NoSuchBucket));
    })
    .await;
}

#[tokio::test]
async fn a_refusal_comes_before_the_body_is_polled() {
    struct Untouched;
    impl Stream for Untouched {
        type Item = Result<Bytes, BodyError>;
        fn poll_next(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            panic!("the body was polled");
        }
    }
    let limits = Settings { append_max_bytes: 20, put_max_bytes: 20, ..settings() };
    let world = World::new(plain(1), limits).await;
    world.append("log", 0, b"hello").await.unwrap();
    world.append("sealed", 0, b"").await.unwrap();
    world.objects.seal(seal_input("sealed", 0)).await.unwrap();
    world.put("put", b"").await;
    let input = |at, position, length| {
        let mut body = pieces(Vec::new(), length);
        body.stream = Box::pin(Untouched);
        world.append_input(at, position, body)
    };
    let too_large = Err(AppendError::TooLarge { max: 20 });
    let mismatch = AppendError::PositionMismatch { length: 5, crc64: HELLO };
    assert_eq!(world.objects.append(input("log", 4, Some(1))).await, Err(mismatch));
    assert_eq!(world.objects.append(input("log", 5, Some(16))).await, too_large);
    assert_eq!(world.objects.append(input("new", 0, Some(21))).await, too_large);
    let sealed = world.objects.append(input("sealed", 0, None)).await;
    assert_eq!(sealed, Err(AppendError::Sealed));
    let put = world.objects.append(input("put", 0, None)).await;
    assert_eq!(put, Err(AppendError::NotAppendable));
}

#[tokio::test]
async fn the_size_limit_is_that_of_the_result() {
    let limits = Settings { append_max_bytes: 100, ..settings() };
    let world = World::new(plain(1), limits).await;
    let too_large = Err(AppendError::TooLarge { max: 100 });
    world.append("log", 0, &pattern(90, 1)).await.unwrap();
    assert_eq!(world.append("log", 90, &pattern(11, 2)).await, too_large);
    // Without a length it shows only while the body comes in.
    let chunked = pieces(vec![Ok(pattern(6, 3).into()), Ok(pattern(6, 4).into())], None);
    assert_eq!(world.objects.append(world.append_input("log", 90, chunked)).await, too_large);
    let full = world.append("log", 90, &pattern(10, 5)).await.unwrap();
    assert_eq!(full.next_position, 100);
    assert_eq!(world.append("log", 100, b"x").await, too_large);
    assert_eq!(world.append("log", 100, b"").await.unwrap().next_position, 100);
}

#[tokio::test]
async fn what_creates_counts_and_later_headers_do_not_but_for_the_acl() {
    in_every_world(async |world| {
        let mut attributes = Attributes { content_type: "text/plain".into(), ..Default::default() };
        attributes.metadata = vec![("a".into(), Bytes::from_static(b"\xff1"))];
        let creation = Creation {
            attributes,
            acl: ObjectAcl::Private,
            tags: vec![("k".into(), "v".into())],
            storage_class: Some(StorageClass::Ia),
            encrypted: false,
        };
        let mut input = world.append_input("log", 0, body(b"hello"));
        input.creation = Some(creation.clone());
        world.objects.append(input).await.unwrap();

        let mut later = world.append_input("log", 5, body(b" world"));
        later.creation = Some(Creation { tags: vec![], ..Creation::default() });
        world.objects.append(later).await.unwrap();
        let info = world.objects.head(&logs(), &key("log")).await.unwrap();
        assert_eq!((&info.attributes, info.acl), (&creation.attributes, ObjectAcl::Private));
        assert_eq!((&info.tags, info.storage_class), (&creation.tags, StorageClass::Ia));

        // Invalid creation headers are ignored later; the ACL takes effect, with an append of nothing too.
        let before = info;
        let mut nothing = world.append_input("log", 11, body(b""));
        (nothing.creation, nothing.acl) = (None, Some(ObjectAcl::PublicRead));
        world.clock.advance_ms(5_000);
        world.objects.append(nothing).await.unwrap();
        let after = world.objects.head(&logs(), &key("log")).await.unwrap();
        assert_eq!(after.acl, ObjectAcl::PublicRead);
        assert_eq!(after, crate::ObjectInfo { acl: ObjectAcl::PublicRead, ..before });
    })
    .await;
}

#[tokio::test]
async fn creating_needs_valid_headers_and_a_class_that_takes_appends() {
    in_every_world(async |world| {
        let mut refused = world.append_input("log", 0, body(b"hello"));
        refused.creation = None;
        let refused = world.objects.append(refused).await;
        assert_eq!(refused, Err(AppendError::CreationRefused));
        for class in [StorageClass::ColdArchive, StorageClass::DeepColdArchive] {
            let mut cold = world.append_input("log", 0, body(b"hello"));
            cold.creation = Some(Creation { storage_class: Some(class), ..Creation::default() });
            let cold = world.objects.append(cold).await;
            assert_eq!(cold, Err(AppendError::ClassNotAppendable));
        }
        let bucket = CreateBucketInput {
            name: name("cold"),
            acl: None,
            storage_class: Some(StorageClass::ColdArchive),
            redundancy: None,
        };
        world.objects.create_bucket(bucket).await.unwrap();
        let input = |class| {
            let mut input = world.append_input("log", 0, body(b"hello"));
            input.bucket = name("cold");
            input.creation = Some(Creation { storage_class: class, ..Creation::default() });
            input
        };
        let inherited = world.objects.append(input(None)).await;
        assert_eq!(inherited, Err(AppendError::ClassNotAppendable));
        world.objects.append(input(Some(StorageClass::Archive))).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn times_never_go_back_whatever_the_clock_does() {
    in_every_world(async |world| {
        let start = 1_767_225_600;
        world.append("log", 0, b"a").await.unwrap();
        world.clock.advance_ms(10_999);
        let second = world.append("log", 1, b"b").await.unwrap();
        assert_eq!(second.last_modified, start + 10);
        world.clock.set_ms(1_000);
        let third = world.append("log", 2, b"c").await.unwrap();
        assert_eq!(third.last_modified, start + 10);
        let crc = crc64::checksum(b"abc");
        assert_eq!(third.etag, etag::appendable(crc, start as i64 + 10));
        let sealed = world.objects.seal(seal_input("log", 3)).await.unwrap();
        assert_eq!(sealed.sealed_at, start + 10);
        // Nothing was appended, so nothing has changed.
        let put = world.put("log", b"new").await;
        assert_eq!(put.last_modified, start + 10);
    })
    .await;
}

#[tokio::test]
async fn a_sealed_object_takes_no_more_and_keeps_its_first_time() {
    in_every_world(async |world| {
        let absent = world.objects.seal(seal_input("log", 0)).await;
        assert_eq!(absent, Err(SealError::NoSuchKey));
        world.put("put", b"hello").await;
        let put = world.objects.seal(seal_input("put", 5)).await;
        assert_eq!(put, Err(SealError::NotAppendable));
        world.append("log", 0, b"hello").await.unwrap();
        let mismatch = SealError::PositionMismatch { length: 5, crc64: HELLO };
        assert_eq!(world.objects.seal(seal_input("log", 4)).await, Err(mismatch.clone()));
        let first = world.objects.seal(seal_input("log", 5)).await.unwrap();
        assert_eq!((first.sealed_at, first.crc64), (1_767_225_600, HELLO));
        world.clock.advance_ms(60_000);
        assert_eq!(world.objects.seal(seal_input("log", 5)).await.unwrap(), first);
        assert_eq!(world.objects.seal(seal_input("log", 6)).await, Err(mismatch));
        for position in [0, 5] {
            assert_eq!(world.append("log", position, b"x").await, Err(AppendError::Sealed));
        }
        let info = world.objects.head(&logs(), &key("log")).await.unwrap();
        assert_eq!((info.sealed_at, info.kind), (Some(1_767_225_600), ObjectType::Appendable));
        assert_eq!(world.read("log").await, b"hello");
        // Put and delete do not mind.
        world.objects.delete(&logs(), &key("log")).await.unwrap();
        assert!(world.append("log", 0, b"again").await.unwrap().created);
    })
    .await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_as_announced_leaves_nothing() {
    in_every_world(async |mut world| {
        world.append("log", 0, b"hello").await.unwrap();
        for length in [10_usize, 60, 5_000] {
            let bytes = pattern(length, 9);
            let (piece, announced) = (Bytes::from(bytes.clone()), Some(length as u64));
            let broken = || Err(BodyError::Broken("gone".into()));
            let mut wrong_md5 = body(&bytes);
            wrong_md5.md5 = Some([7; 16]);
            let mut wrong_crc = body(&bytes);
            wrong_crc.crc64 = Some(crc64::checksum(&bytes) ^ 1);
            let cases = [
                (
                    pieces(vec![Ok(piece.clone())], Some(length as u64 + 1)),
                    AppendError::Body(BodyError::Truncated),
                ),
                (
                    pieces(vec![Ok(piece.clone()), Ok("x".into())], announced),
                    AppendError::Body(BodyError::TooLong),
                ),
                (
                    pieces(vec![Ok(piece.clone()), broken()], None),
                    AppendError::Body(BodyError::Broken("gone".into())),
                ),
                (
                    pieces(vec![Ok(piece), Err(BodyError::Stalled)], None),
                    AppendError::Body(BodyError::Stalled),
                ),
                (wrong_md5, AppendError::DigestMismatch),
                (wrong_crc, AppendError::CrcMismatch),
            ];
            for (body, error) in cases {
                let refused = world.objects.append(world.append_input("log", 5, body)).await;
                assert_eq!(refused, Err(error));
            }
        }
        let info = world.objects.head(&logs(), &key("log")).await.unwrap();
        assert_eq!((info.length, info.crc64), (5, HELLO));
        assert_eq!(*world.store.blobs.lock().unwrap(), Default::default());
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn right_digests_are_taken_and_pieces_of_any_size_too() {
    in_every_world(async |mut world| {
        let bytes = pattern(3_000, 4);
        let mut position = 0;
        for size in [1, 7, 64, 100, 3_000] {
            let list = bytes.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let mut body = pieces(list, None);
            body.md5 = Some(md5(&bytes));
            body.crc64 = Some(crc64::checksum(&bytes));
            let told = world.objects.append(world.append_input("log", position, body)).await;
            position = told.unwrap().next_position;
        }
        assert_eq!(world.read("log").await, bytes.repeat(5));
        world.assert_tidy().await;
    })
    .await;
}

pub(super) fn md5(bytes: &[u8]) -> [u8; 16] {
    use md5::{Digest, Md5};
    Md5::digest(bytes).into()
}

/// Small and large bodies in turn: payloads and blobs, of which every range reads right.
#[tokio::test]
async fn every_range_of_a_mixed_object_reads_right() {
    in_every_world(async |mut world| {
        let mut whole = Vec::new();
        for (i, length) in [10, 64, 65, 1, 2_500, 30, 30, 700, 5].into_iter().enumerate() {
            let bytes = pattern(length, i as u64);
            let told = world.append("log", whole.len() as u64, &bytes).await.unwrap();
            whole.extend_from_slice(&bytes);
            assert_eq!(told.next_position, whole.len() as u64);
            assert_eq!(told.crc64, crc64::checksum(&whole));
        }
        assert_eq!(world.read("log").await, whole);
        let object = world.objects.get(&logs(), &key("log")).await.unwrap();
        let edges = [0, 1, 9, 10, 11, 73, 74, 138, 139, 140, 141, 2_639, 2_640, 2_641, 3_405];
        for &start in &edges {
            for &end in edges.iter().filter(|&&end| end >= start) {
                let read = collect(object.read(start..end)).await.unwrap();
                let end = (end as usize).min(whole.len());
                let start = (start as usize).min(end);
                assert!(read == whole[start..end], "{start}..{end}");
            }
        }
        let past = collect(object.read(3_400..u64::MAX)).await.unwrap();
        assert_eq!(past, &whole[3_400.min(whole.len())..]);
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_appends_at_one_position_one_wins_and_the_rest_are_told_where_to_go() {
    for mode in modes() {
        let rounds = if mode.hostile.is_some() { 40 } else { 200 };
        println!("{mode:?}");
        let world = Arc::new(World::new(mode, settings()).await);
        let mut expected = Vec::new();
        for round in 0..rounds {
            let position = expected.len() as u64;
            let racers: Vec<_> = (0..10_u64)
                .map(|racer| {
                    let world = Arc::clone(&world);
                    // Some go through a blob.
                    let bytes = pattern(10 + racer as usize * 9, round * 10 + racer);
                    tokio::spawn(async move {
                        let told = world.append("log", position, &bytes).await;
                        (bytes, told)
                    })
                })
                .collect();
            let mut winner = None;
            let mut refused = Vec::new();
            for racer in racers {
                match racer.await.unwrap() {
                    (bytes, Ok(told)) => {
                        assert!(winner.replace((bytes, told)).is_none(), "two winners");
                    }
                    (_, Err(error)) => refused.push(error),
                }
            }
            let (bytes, told) = winner.expect("a winner");
            expected.extend_from_slice(&bytes);
            assert_eq!(told.next_position, expected.len() as u64);
            assert_eq!(told.crc64, crc64::checksum(&expected));
            assert_eq!(told.created, round == 0);
            let mismatch =
                AppendError::PositionMismatch { length: told.next_position, crc64: told.crc64 };
            assert_eq!(refused, vec![mismatch; 9]);
        }
        assert_eq!(world.read("log").await, expected);
        let mut world = Arc::into_inner(world).expect("all racers are through");
        world.assert_tidy().await;
    }
}

#[tokio::test]
async fn twenty_thousand_small_appends_agree_in_content_length_and_crc() {
    for mode in modes() {
        let count = if mode.hostile.is_some() { 1_000 } else { 20_000 };
        println!("{mode:?}");
        let world = World::new(mode, settings()).await;
        let mut whole = Vec::new();
        let mut crc = crc64::Crc64::new();
        for i in 0..count {
            let bytes = pattern(1 + i % 37, i as u64);
            crc.update(&bytes);
            let told = world.append("log", whole.len() as u64, &bytes).await.unwrap();
            whole.extend_from_slice(&bytes);
            assert_eq!((told.next_position, told.crc64), (whole.len() as u64, crc.value()));
        }
        assert!(world.read("log").await == whole);
        let info = world.objects.head(&logs(), &key("log")).await.unwrap();
        assert_eq!((info.length, info.crc64), (whole.len() as u64, crc64::checksum(&whole)));
    }
}

#[tokio::test]
async fn the_cost_of_an_append_does_not_grow_with_the_object() {
    let world = World::new(plain(1), settings()).await;
    let mut costs = Vec::new();
    let mut position = 0;
    for i in 0..2_000 {
        let before = world.store.counts.all();
        let told = world.append("log", position, &pattern(50, i)).await.unwrap();
        position = told.next_position;
        let after = world.store.counts.all();
        costs.push(std::array::from_fn::<_, 4, _>(|k| after[k] - before[k]));
    }
    // One transaction, the head once for the early look, no scan and no payload; the bucket is known.
    assert_eq!(costs[1], [1, 1, 0, 0]);
    assert!(costs[1..].iter().all(|cost| *cost == costs[1]));
    let partition = world.catalogue().await[0].id << 16;
    let keys = world.keys(ossia_store::Partition(partition)).await;
    let head = keys.iter().find(|(key, _)| key[0] == b'h').unwrap();
    assert!(head.1.value.len() < 100, "the head has {} bytes", head.1.value.len());
}

#[tokio::test]
async fn a_reader_sees_the_length_it_opened_whatever_is_appended() {
    in_every_world(async |world| {
        let bytes = pattern(5_000, 1);
        for (i, part) in bytes.chunks(50).enumerate() {
            world.append("log", i as u64 * 50, part).await.unwrap();
        }
        let object = world.objects.get(&logs(), &key("log")).await.unwrap();
        let mut stream = Box::pin(object.read(0..u64::MAX));
        let mut read = Vec::new();
        let mut length = 5_000;
        while let Some(piece) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
            read.extend_from_slice(&piece.unwrap());
            length = world.append("log", length, b"more").await.unwrap().next_position;
        }
        assert!(read == bytes);
    })
    .await;
}

#[tokio::test]
async fn a_closed_store_is_told_as_such() {
    let world = World::new(plain(1), settings()).await;
    ossia_store::Store::shutdown(&*world.store).await.unwrap();
    let told = world.append("log", 0, b"x").await;
    assert_eq!(told, Err(AppendError::Store(Failure::Closed)));
}

#[tokio::test]
async fn an_append_whose_outcome_cannot_be_told_keeps_its_blob() {
    let mut world = World::new(plain(1), settings()).await;
    let bytes = pattern(500, 1);
    world.store.mute.store(true, Ordering::SeqCst);
    let told = world.append("log", 0, &bytes).await;
    assert!(matches!(told, Err(AppendError::Store(Failure::Unknown(_)))), "{told:?}");
    world.store.mute.store(false, Ordering::SeqCst);
    // It has happened, as it turns out, now and after the next start.
    assert!(world.read("log").await == bytes);
    world.assert_tidy().await;
    assert!(world.read("log").await == bytes);
}

#[tokio::test]
async fn a_caller_that_goes_away_at_any_point_leaves_nothing_staged() {
    let mut world = World::new(plain(1), settings()).await;
    for polls in 0..40 {
        let at = format!("k{polls}");
        let bytes = pattern(500, polls);
        let mut put = Box::pin(world.objects.put(world.put_input(&at, &bytes)));
        let mut append = Box::pin(world.append("log", 0, &bytes));
        for _ in 0..polls {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            if put.as_mut().poll(&mut cx).is_ready() {
                break;
            }
            if append.as_mut().poll(&mut cx).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop((put, append));
        world.objects.delete(&logs(), &key("log")).await.unwrap();
    }
    // What went on without its caller ends by itself, and not only at the next start.
    let settled = async {
        while !ossia_store::Blobs::staged(&world.store.inner).await.unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), settled).await.unwrap();
    world.assert_tidy().await;
}
