//! Uploads: what they become, what is left of them, and who wins when several want different things.

use std::{collections::BTreeSet, sync::Arc};

use md5::{Digest as _, Md5};
use ossia_store::{Item, Scan};

use super::{
    crash::die_everywhere,
    support::{
        World, body, collect, in_every_world, key, logs, name, packing, pattern, plain, settings,
    },
};
use crate::{
    AbortUploadInput, ChosenParts, CompleteUploadError, CompleteUploadInput, CompleteUploadOutput,
    CopyRange, Creation, DeleteBucketError, Failure, InitiateUploadError, InitiateUploadInput,
    ListPartsInput, ListUploadsInput, ListUploadsOutput, PartOutput, Settings, UploadError,
    UploadId, UploadPartCopyError, UploadPartCopyInput, UploadPartError, UploadPartInput,
    keys::{self, ContentId},
    pack::Tier,
    records::{Stored, Upload},
    words::{Conditions, ObjectAcl, ObjectType, crc64},
};

impl World {
    pub(super) fn initiate_input(&self, at: &str) -> InitiateUploadInput {
        InitiateUploadInput {
            bucket: logs(),
            key: key(at),
            creation: Creation::default(),
            acl: None,
            sequential: false,
            forbid_overwrite: false,
        }
    }

    pub(super) async fn initiate(&self, at: &str) -> UploadId {
        self.objects.initiate_upload(self.initiate_input(at)).await.unwrap()
    }

    pub(super) async fn part(
        &self,
        at: &str,
        upload: UploadId,
        number: u16,
        bytes: &[u8],
    ) -> Result<PartOutput, UploadPartError> {
        let (bucket, key, body) = (logs(), key(at), body(bytes));
        self.objects.upload_part(UploadPartInput { bucket, key, upload, number, body }).await
    }

    pub(super) async fn complete(
        &self,
        at: &str,
        upload: UploadId,
        parts: ChosenParts,
    ) -> Result<CompleteUploadOutput, CompleteUploadError> {
        let (bucket, key) = (logs(), key(at));
        let forbid_overwrite = false;
        let input = CompleteUploadInput { bucket, key, upload, parts, acl: None, forbid_overwrite };
        self.objects.complete_upload(input).await
    }

    pub(super) async fn abort(&self, at: &str, upload: UploadId) -> Result<(), UploadError> {
        let (bucket, key) = (logs(), key(at));
        self.objects.abort_upload(AbortUploadInput { bucket, key, upload }).await
    }

    async fn numbers(&self, at: &str, upload: UploadId) -> Result<Vec<u16>, UploadError> {
        let (bucket, key) = (logs(), key(at));
        let input = ListPartsInput { bucket, key, upload, after: 0, limit: 1_000 };
        let listed = self.objects.list_parts(input).await?;
        Ok(listed.parts.iter().map(|part| part.number).collect())
    }

    async fn uploads(&self, prefix: &str, delimiter: &str) -> Vec<(String, UploadId)> {
        let listed = self.objects.list_uploads(uploads_input(prefix, delimiter)).await.unwrap();
        assert!(!listed.truncated);
        listed.uploads.iter().map(|info| (info.key.as_str().to_owned(), info.id)).collect()
    }
}

fn uploads_input(prefix: &str, delimiter: &str) -> ListUploadsInput {
    ListUploadsInput {
        bucket: logs(),
        prefix: prefix.to_owned(),
        delimiter: Some(delimiter.to_owned()),
        after_key: None,
        after_upload: None,
        limit: 1_000,
    }
}

fn listed(parts: &[(u16, &PartOutput)]) -> ChosenParts {
    let one = |(number, part): &(u16, &PartOutput)| (u64::from(*number), part.etag.clone());
    ChosenParts::Listed(parts.iter().map(one).collect())
}

#[tokio::test]
async fn parts_in_any_order_become_one_object_and_nothing_is_left_of_them() {
    in_every_world(|mut world| async move {
        world.put("k", b"what was there").await;
        let id = world.initiate("k").await;
        // Small ones lie in their records, large ones in blobs.
        let bytes: Vec<Vec<u8>> =
            [300, 20, 500, 64, 65, 7, 9, 0].iter().map(|&n| pattern(n, n as u64)).collect();
        for at in [5, 0, 7, 3, 2, 1, 6, 4] {
            let sent = world.part("k", id, at as u16 * 3 + 1, &bytes[at]).await.unwrap();
            assert_eq!(sent.crc64, crc64::checksum(&bytes[at]));
        }
        assert_eq!(world.read("k").await, b"what was there");
        let stat = world.objects.bucket_stat(&logs()).await.unwrap();
        let held: usize = bytes.iter().map(Vec::len).sum();
        assert_eq!((stat.multipart_upload_count, stat.multipart_part_count), (1, 8));
        assert_eq!((stat.object_count, stat.storage), (1, held as u64 + 14));
        let done = world.complete("k", id, ChosenParts::All).await.unwrap();
        let whole = bytes.concat();
        assert_eq!((done.length, done.crc64), (whole.len() as u64, crc64::checksum(&whole)));
        assert!(done.etag.ends_with("-8"), "{}", done.etag);
        for _ in 0..2 {
            assert!(world.read("k").await == whole);
            let info = world.objects.head(&logs(), &key("k")).await.unwrap();
            assert_eq!((info.kind, &info.etag), (ObjectType::Multipart, &done.etag));
            assert_eq!((info.crc64, info.md5), (done.crc64, None));
            assert_eq!(world.numbers("k", id).await, Err(UploadError::NoSuchUpload));
            let stat = world.objects.bucket_stat(&logs()).await.unwrap();
            assert_eq!((stat.multipart_upload_count, stat.multipart_part_count), (0, 0));
            world.assert_tidy().await;
        }
        assert_eq!(
            world.append("k", done.length, b"more").await,
            Err(crate::AppendError::NotAppendable)
        );
        let part = collect(world.objects.get(&logs(), &key("k")).await.unwrap().read(310..900));
        assert!(part.await.unwrap() == whole[310..900]);
        world.objects.delete(&logs(), &key("k")).await.unwrap();
        world.assert_tidy().await;
        assert!(world.store.blobs.lock().unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn replaced_and_unlisted_parts_are_reclaimed() {
    in_every_world(|mut world| async move {
        let id = world.initiate("k").await;
        for round in 0..3 {
            for number in 1..=4 {
                world
                    .part("k", id, number, &pattern(100, round * 10 + u64::from(number)))
                    .await
                    .unwrap();
            }
        }
        world.assert_tidy().await;
        let blobs = world.store.blobs.lock().unwrap().len();
        assert_eq!(blobs, 4, "one for each part that counts");
        let two = world.part("k", id, 2, b"short").await.unwrap();
        let four = world.part("k", id, 4, &pattern(100, 7)).await.unwrap();
        let done = world.complete("k", id, listed(&[(2, &two), (4, &four)])).await.unwrap();
        assert!(done.etag.ends_with("-2"));
        assert!(world.read("k").await == [b"short".to_vec(), pattern(100, 7)].concat());
        world.assert_tidy().await;
        assert_eq!(world.store.blobs.lock().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn one_part_may_have_any_length_and_none_makes_an_empty_object_if_that_is_said() {
    in_every_world(|mut world| async move {
        let id = world.initiate("k").await;
        let told = world.complete("k", id, ChosenParts::All).await;
        assert_eq!(told, Err(CompleteUploadError::NoParts));
        let nothing = world.complete("k", id, listed(&[])).await.unwrap();
        assert_eq!((nothing.length, nothing.crc64), (0, 0));
        assert_eq!(world.read("k").await, b"");
        world.assert_tidy().await;
        let id = world.initiate("k").await;
        let empty = world.part("k", id, 10_000, b"").await.unwrap();
        assert_eq!(empty.etag, "D41D8CD98F00B204E9800998ECF8427E");
        world.complete("k", id, listed(&[(10_000, &empty)])).await.unwrap();
        assert_eq!(world.read("k").await, b"");
        world.assert_tidy().await;
        let id = world.initiate("k").await;
        world.part("k", id, 1, b"four").await.unwrap();
        world.part("k", id, 2, b"more").await.unwrap();
        let told = world.complete("k", id, listed(&[])).await;
        assert_eq!(told, Err(CompleteUploadError::NoParts));
        let told = world.complete("k", id, ChosenParts::All).await;
        assert!(
            matches!(told, Err(CompleteUploadError::PartTooSmall { number: 1, .. })),
            "{told:?}"
        );
        assert_eq!(world.numbers("k", id).await, Ok(vec![1, 2]));
        world.abort("k", id).await.unwrap();
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn an_aborted_upload_is_gone_with_its_parts_and_others_stay() {
    in_every_world(|mut world| async move {
        let (one, two) = (world.initiate("k").await, world.initiate("k").await);
        for number in 1..=5 {
            world.part("k", one, number, &pattern(200, 1)).await.unwrap();
            world.part("k", two, number, &pattern(200, 2)).await.unwrap();
        }
        world.abort("k", one).await.unwrap();
        assert_eq!(world.abort("k", one).await, Err(UploadError::NoSuchUpload));
        assert_eq!(world.part("k", one, 1, b"x").await, Err(UploadPartError::NoSuchUpload));
        let told = world.complete("k", one, ChosenParts::All).await;
        assert_eq!(told, Err(CompleteUploadError::NoSuchUpload));
        assert_eq!(world.numbers("k", one).await, Err(UploadError::NoSuchUpload));
        // An id belongs to its key.
        assert_eq!(world.part("other", two, 1, b"x").await, Err(UploadPartError::NoSuchUpload));
        world.assert_tidy().await;
        assert_eq!(world.store.blobs.lock().unwrap().len(), 5);
        world.complete("k", two, ChosenParts::All).await.unwrap();
        assert!(world.read("k").await == pattern(200, 2).repeat(5));
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn what_was_given_at_the_start_is_on_the_object() {
    let world = World::new(plain(1), settings()).await;
    let mut input = world.initiate_input("k");
    input.creation.tags = vec![("a".into(), "1".into())];
    input.creation.attributes.metadata = vec![("m".into(), "v".into())];
    input.acl = Some(ObjectAcl::PublicRead);
    let id = world.objects.initiate_upload(input.clone()).await.unwrap();
    world.part("k", id, 1, b"x").await.unwrap();
    world.complete("k", id, ChosenParts::All).await.unwrap();
    let info = world.objects.head(&logs(), &key("k")).await.unwrap();
    assert_eq!((&info.tags, &info.attributes), (&input.creation.tags, &input.creation.attributes));
    assert_eq!(info.acl, ObjectAcl::PublicRead);
    input.forbid_overwrite = true;
    let told = world.objects.initiate_upload(input.clone()).await;
    assert_eq!(told, Err(InitiateUploadError::AlreadyExists));
    input.forbid_overwrite = false;
    let id = world.objects.initiate_upload(input).await.unwrap();
    world.part("k", id, 1, b"y").await.unwrap();
    let mut input = CompleteUploadInput {
        bucket: logs(),
        key: key("k"),
        upload: id,
        parts: ChosenParts::All,
        acl: Some(ObjectAcl::Private),
        forbid_overwrite: true,
    };
    let told = world.objects.complete_upload(input.clone()).await;
    assert_eq!(told, Err(CompleteUploadError::AlreadyExists));
    assert_eq!(world.read("k").await, b"x");
    input.forbid_overwrite = false;
    world.objects.complete_upload(input).await.unwrap();
    let info = world.objects.head(&logs(), &key("k")).await.unwrap();
    assert_eq!((info.acl, info.length), (ObjectAcl::Private, 1));
}

#[tokio::test]
async fn a_sequential_upload_takes_parts_in_their_turn() {
    let mut world = World::new(plain(1), settings()).await;
    let mut input = world.initiate_input("k");
    input.sequential = true;
    let id = world.objects.initiate_upload(input).await.unwrap();
    let refused = Err(UploadPartError::NotSequential);
    assert_eq!(world.part("k", id, 2, b"x").await, refused);
    world.part("k", id, 1, b"first").await.unwrap();
    assert_eq!(world.part("k", id, 3, b"x").await, refused);
    world.part("k", id, 2, b"wrong").await.unwrap();
    world.part("k", id, 2, b"second").await.unwrap();
    assert_eq!(world.part("k", id, 1, b"x").await, refused);
    world.complete("k", id, ChosenParts::All).await.unwrap();
    assert_eq!(world.read("k").await, b"firstsecond");
    world.assert_tidy().await;
}

#[tokio::test]
async fn only_of_parts_that_came_in_turn_the_whole_has_an_md5_which_its_copies_keep() {
    in_every_world(|mut world| async move {
        for sequential in [false, true] {
            let mut input = world.initiate_input("k");
            input.sequential = sequential;
            let id = world.objects.initiate_upload(input).await.unwrap();
            world.part("k", id, 1, &pattern(300, 1)).await.unwrap();
            world.part("k", id, 2, &pattern(100, 2)).await.unwrap();
            world.part("k", id, 3, b"end").await.unwrap();
            world.complete("k", id, ChosenParts::All).await.unwrap();
            let whole = [pattern(300, 1), pattern(100, 2), b"end".to_vec()].concat();
            let md5 = sequential.then(|| <[u8; 16]>::from(Md5::digest(&whole)));
            let info = world.objects.head(&logs(), &key("k")).await.unwrap();
            assert_eq!((info.kind, info.md5), (ObjectType::Multipart, md5));
            let copied = super::retention::copy_input("k", "copy");
            world.objects.copy(copied).await.unwrap();
            let copy = world.objects.head(&logs(), &key("copy")).await.unwrap();
            assert_eq!((copy.etag, copy.md5), (info.etag, md5));
            world.assert_tidy().await;
        }
    })
    .await;
}

#[tokio::test]
async fn parts_are_copied_whole_and_by_range_from_objects_of_every_kind() {
    in_every_world(|mut world| async move {
        world.put("blob", &pattern(300, 1)).await;
        world.put("small", &pattern(30, 2)).await;
        world.append("log", 0, &pattern(40, 3)).await.unwrap();
        world.append("log", 40, &pattern(90, 4)).await.unwrap();
        let log = [pattern(40, 3), pattern(90, 4)].concat();
        let id = world.initiate("k").await;
        let bytes = |first, last| CopyRange::Bytes { first, last };
        let mut whole = Vec::new();
        for (number, (from, range, wanted)) in [
            ("blob", CopyRange::Whole, pattern(300, 1)),
            ("blob", bytes(100, Some(250)), pattern(300, 1)[100..=250].to_vec()),
            ("small", bytes(5, None), pattern(30, 2)[5..].to_vec()),
            ("log", bytes(30, Some(129)), log[30..].to_vec()),
            ("log", CopyRange::Whole, log.clone()),
        ]
        .into_iter()
        .enumerate()
        {
            let copied =
                world.objects.upload_part_copy(copy_input(id, number as u16 + 1, from, range));
            let copied = copied.await.unwrap();
            assert_eq!(copied.part.length, wanted.len() as u64);
            assert_eq!(copied.part.crc64, crc64::checksum(&wanted));
            assert_eq!(copied.range.is_some(), range != CopyRange::Whole);
            whole.extend(wanted);
        }
        for range in [bytes(0, Some(300)), bytes(300, None), bytes(u64::MAX, Some(u64::MAX))] {
            let told = world.objects.upload_part_copy(copy_input(id, 9, "blob", range)).await;
            assert_eq!(told, Err(UploadPartCopyError::OutOfRange { length: 300 }));
        }
        let told =
            world.objects.upload_part_copy(copy_input(id, 9, "none", CopyRange::Whole)).await;
        assert_eq!(told, Err(UploadPartCopyError::NoSuchSourceKey));
        world.complete("k", id, ChosenParts::All).await.unwrap();
        for source in ["blob", "small", "log"] {
            world.objects.delete(&logs(), &key(source)).await.unwrap();
        }
        world.assert_tidy().await;
        assert!(world.read("k").await == whole);
    })
    .await;
}

fn copy_input(
    upload: UploadId,
    number: u16,
    from: &str,
    range: CopyRange,
) -> UploadPartCopyInput<'static> {
    UploadPartCopyInput {
        source_bucket: logs(),
        source_key: key(from),
        source_version: None,
        range,
        conditions: Conditions::default(),
        bucket: logs(),
        key: key("k"),
        upload,
        number,
    }
}

#[tokio::test]
async fn ten_thousand_parts_become_one_object() {
    let settings = Settings { part_batch: 224, reap_batch: 128, part_min_bytes: 1, ..settings() };
    let mut world = World::new(plain(1), settings).await;
    let id = world.initiate("k").await;
    for number in 1..=10_000_u16 {
        world.part("k", id, number, &number.to_be_bytes()).await.unwrap();
    }
    let submits = world.store.counts.all()[0];
    let done = world.complete("k", id, ChosenParts::All).await.unwrap();
    assert!(world.store.counts.all()[0] - submits <= 10_000 / 224 + 4);
    assert!(done.etag.ends_with("-10000"));
    let whole: Vec<u8> = (1..=10_000_u16).flat_map(u16::to_be_bytes).collect();
    assert_eq!(done.crc64, crc64::checksum(&whole));
    assert!(world.read("k").await == whole);
    world.assert_tidy().await;
    assert!(world.read("k").await == whole);
}

#[tokio::test]
async fn completing_copies_no_byte() {
    let mut world = World::new(plain(1), settings()).await;
    let id = world.initiate("k").await;
    for number in 1..=9 {
        world.part("k", id, number, &pattern(100, number.into())).await.unwrap();
    }
    let blobs = world.store.blobs.lock().unwrap().clone();
    let payloads = world.store.counts.all()[3];
    world.complete("k", id, ChosenParts::All).await.unwrap();
    world.assert_tidy().await;
    assert_eq!(*world.store.blobs.lock().unwrap(), blobs, "the same blobs");
    assert_eq!(world.store.counts.all()[3], payloads, "nothing was read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_completes_and_aborts_that_race_one_wins_and_parts_that_race_are_in_whole_or_not() {
    in_every_world(|mut world| async move {
        for round in 0..4_u64 {
            let id = world.initiate("k").await;
            for number in 1..=7 {
                world.part("k", id, number, &pattern(100, 1)).await.unwrap();
            }
            let mut racers = tokio::task::JoinSet::new();
            for racer in 0..6_u64 {
                let world = world.clone();
                racers.spawn(async move {
                    match racer {
                        0..3 => match world.complete("k", id, ChosenParts::All).await {
                            Ok(_) => Some(true),
                            Err(
                                CompleteUploadError::NoSuchUpload
                                | CompleteUploadError::Store(Failure::Busy),
                            ) => None,
                            Err(error) => panic!("{error}"),
                        },
                        3 if round % 2 == 0 => match world.abort("k", id).await {
                            Ok(()) => Some(false),
                            Err(UploadError::NoSuchUpload) => None,
                            Err(error) => panic!("{error}"),
                        },
                        _ => {
                            let number = racer as u16;
                            match world.part("k", id, number, &pattern(100, racer)).await {
                                Ok(_) | Err(UploadPartError::NoSuchUpload) => None,
                                Err(error) => panic!("{error}"),
                            }
                        }
                    }
                });
            }
            let told: Vec<_> = racers.join_all().await.into_iter().flatten().collect();
            if told.is_empty() {
                world.complete("k", id, ChosenParts::All).await.unwrap();
            }
            assert!(told.len() <= 1, "{told:?}");
            if told != [false] {
                let read = world.read("k").await;
                assert_eq!(read.len(), 700);
                for (at, part) in read.chunks(100).enumerate() {
                    let old = part == pattern(100, 1);
                    assert!(old || part == pattern(100, at as u64 + 1), "a part of both");
                }
            }
            assert_eq!(world.numbers("k", id).await, Err(UploadError::NoSuchUpload));
        }
        world.assert_tidy().await;
    })
    .await;
}

/// A sequential upload to `k` of twenty parts.
async fn twenty_in_a_row(world: &World) -> UploadId {
    let mut input = world.initiate_input("k");
    input.sequential = true;
    let id = world.objects.initiate_upload(input).await.unwrap();
    for number in 1..=20 {
        world.part("k", id, number, &pattern(200, 1)).await.unwrap();
    }
    id
}

/// The MD5 of a sequential upload is read from bytes that an abort takes away: that is no damage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequential_upload_that_is_aborted_while_it_completes_is_no_upload_any_more() {
    in_every_world(|mut world| async move {
        for round in 0..24_u64 {
            let id = twenty_in_a_row(&world).await;
            let aborting = {
                let world = world.clone();
                tokio::spawn(async move {
                    for _ in 0..round * 3 {
                        tokio::task::yield_now().await;
                    }
                    let told = world.abort("k", id).await;
                    let _ = world.objects.core.reap_all().await;
                    told
                })
            };
            let completed = world.complete("k", id, ChosenParts::All).await;
            let aborted = aborting.await.unwrap();
            match (&completed, &aborted) {
                (Ok(_), Err(UploadError::NoSuchUpload))
                | (Err(CompleteUploadError::NoSuchUpload), Ok(())) => {}
                _ => panic!("{completed:?}, {aborted:?}"),
            }
        }
        world.assert_tidy().await;
    })
    .await;
}

/// Neither is what a part takes away that comes in the place of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequential_upload_whose_last_part_is_sent_again_while_it_completes_has_one_or_the_other()
{
    in_every_world(|mut world| async move {
        for round in 0..24_u64 {
            let id = twenty_in_a_row(&world).await;
            let sending = {
                let world = world.clone();
                tokio::spawn(async move {
                    for _ in 0..round * 3 {
                        tokio::task::yield_now().await;
                    }
                    world.part("k", id, 20, &pattern(200, 2)).await
                })
            };
            let completed = world.complete("k", id, ChosenParts::All).await;
            let sent = sending.await.unwrap();
            assert!(matches!(sent, Ok(_) | Err(UploadPartError::NoSuchUpload)), "{sent:?}");
            completed.unwrap();
            let last = if sent.is_ok() { 2 } else { 1 };
            let wanted = [pattern(200, 1).repeat(19), pattern(200, last)].concat();
            assert!(world.read("k").await == wanted, "{sent:?}");
        }
        world.assert_tidy().await;
    })
    .await;
}

/// Three parts of each kind; what they say.
async fn send_parts(world: &World, id: UploadId, seed: u64) -> Vec<u8> {
    let mut whole = Vec::new();
    for number in 1..=6_u16 {
        let bytes = pattern(if number % 2 == 0 { 20 } else { 90 }, seed + u64::from(number));
        world.part("k", id, number, &bytes).await.unwrap();
        whole.extend(bytes);
    }
    whole
}

/// The only upload.
async fn only(world: &World) -> Option<UploadId> {
    let uploads = world.uploads("", "").await;
    assert!(uploads.len() <= 1);
    uploads.first().map(|(_, id)| *id)
}

#[tokio::test]
async fn a_completion_that_dies_leaves_the_upload_or_the_object() {
    for partitions in [1, 3] {
        die_everywhere(
            partitions,
            async |world| {
                world.put("k", &pattern(200, 9)).await;
                let id = world.initiate("k").await;
                send_parts(world, id, 10).await;
                world.part("k", id, 9, b"left out").await.unwrap();
            },
            async |world| {
                let id = only(world).await.unwrap();
                let wanted = chosen(world, id).await;
                let done = world.complete("k", id, wanted).await.is_ok();
                // Clearing up is part of the story.
                let _ = world.objects.core.reap_all().await;
                done
            },
            async |world, acknowledged| {
                let whole: Vec<u8> = (1..=6_u64)
                    .flat_map(|n| pattern(if n % 2 == 0 { 20 } else { 90 }, 10 + n))
                    .collect();
                let read = world.read("k").await;
                match only(world).await {
                    None => assert!(read == whole),
                    Some(id) => {
                        assert!(!acknowledged);
                        assert!(read == pattern(200, 9));
                        assert_eq!(world.numbers("k", id).await.unwrap(), [1, 2, 3, 4, 5, 6, 9]);
                        // Parts replaced over what was staged, and completed after all, on a second look.
                        if only_seen_before(world, id).await {
                            send_parts(world, id, 10).await;
                            let wanted = chosen(world, id).await;
                            world.complete("k", id, wanted).await.unwrap();
                            assert!(world.read("k").await == whole);
                        } else {
                            world.part("k", id, 3, &pattern(90, 13)).await.unwrap();
                        }
                    }
                }
            },
        )
        .await;
    }
}

/// All parts but the last one.
async fn chosen(world: &World, id: UploadId) -> ChosenParts {
    let input =
        ListPartsInput { bucket: logs(), key: key("k"), upload: id, after: 0, limit: 1_000 };
    let Ok(listed) = world.objects.list_parts(input).await else { return ChosenParts::All };
    let parts = listed.parts.into_iter().filter(|part| part.number != 9);
    ChosenParts::Listed(parts.map(|part| (part.number.into(), part.etag)).collect())
}

/// Whether this upload was looked at before: then it is marked, or was never staged.
async fn only_seen_before(world: &World, _: UploadId) -> bool {
    for partition in world.partitions().await {
        for (key, record) in world.keys(partition).await {
            if key[0] == keys::UPLOAD {
                let upload = Upload::decode(&record.value).unwrap();
                return upload.stale || upload.staged.is_none();
            }
        }
    }
    false
}

#[tokio::test]
async fn a_part_that_dies_is_the_old_one_or_the_new_one() {
    for size in [20, 300] {
        die_everywhere(
            1,
            async |world| {
                let id = world.initiate("k").await;
                world.part("k", id, 1, &pattern(100, 1)).await.unwrap();
            },
            async |world| {
                let id = only(world).await.unwrap();
                let sent = world.part("k", id, 1, &pattern(size, 2)).await.is_ok();
                let _ = world.objects.core.reap_all().await;
                sent
            },
            async |world, acknowledged| {
                let id = only(world).await.unwrap();
                let (bucket, key) = (logs(), key("k"));
                let input = ListPartsInput { bucket, key, upload: id, after: 0, limit: 9 };
                let part = world.objects.list_parts(input).await.unwrap().parts.remove(0);
                let new = part.crc64 == crc64::checksum(&pattern(size, 2));
                assert!(new || (!acknowledged && part.crc64 == crc64::checksum(&pattern(100, 1))));
            },
        )
        .await;
    }
}

#[tokio::test]
async fn an_abort_that_dies_has_happened_or_not() {
    for half_completed in [false, true] {
        die_everywhere(
            3,
            async |world| {
                let id = world.initiate("k").await;
                send_parts(world, id, 1).await;
                if half_completed {
                    stop_half_way(world, id).await;
                }
            },
            async |world| {
                let id = only(world).await.unwrap();
                let gone = world.abort("k", id).await.is_ok();
                let _ = world.objects.core.reap_all().await;
                gone
            },
            async |world, acknowledged| {
                let left = only(world).await;
                assert!(left.is_none() || !acknowledged);
                if let Some(id) = left {
                    assert_eq!(world.numbers("k", id).await.unwrap().len(), 6);
                } else {
                    assert!(world.objects.head(&logs(), &key("k")).await.is_err());
                }
            },
        )
        .await;
    }
}

/// Leaves an upload as a completion that died behind its second batch would, and tells the content that was being made.
async fn stop_half_way(world: &World, id: UploadId) -> ContentId {
    // The mark, and two batches.
    world.store.die_at(3, true);
    world.complete("k", id, ChosenParts::All).await.unwrap_err();
    world.store.revive();
    for partition in world.partitions().await {
        for (key, record) in world.keys(partition).await {
            if key[0] == keys::UPLOAD {
                return Upload::decode(&record.value).unwrap().staged.unwrap();
            }
        }
    }
    panic!("no upload");
}

#[tokio::test]
async fn content_in_the_making_is_not_packed_and_what_it_became_may_be() {
    let settings = Settings { packing: packing(), ..settings() };
    let mut world = World::new(plain(1), settings).await;
    let id = world.initiate("k").await;
    let mut whole = Vec::new();
    for number in 1..=40_u16 {
        // A run of small ones between large ones: what is packed leaves a gap among the others.
        let bytes = pattern(if (3..=20).contains(&number) { 20 } else { 70 }, number.into());
        world.part("k", id, number, &bytes).await.unwrap();
        whole.extend(bytes);
    }
    let staged = stop_half_way(&world, id).await;
    let before = world.extents(staged).await;
    assert_eq!(before.len(), 6);
    for partition in world.partitions().await {
        for tier in [Tier::Payloads, Tier::Blobs] {
            let left = world.objects.core.pack_content(partition, staged, 0, tier).await.unwrap();
            assert!(left.gone || world.keys(partition).await.is_empty());
        }
    }
    assert_eq!(world.extents(staged).await, before);
    world.complete("k", id, ChosenParts::All).await.unwrap();
    assert!(world.extents(staged).await.is_empty(), "taken back");
    // Packed before the parts are cleared: blobs are let go that these still name.
    world.pack(Tier::Payloads).await;
    world.pack(Tier::Blobs).await;
    assert!(world.read("k").await == whole);
    world.assert_tidy().await;
    assert!(world.read("k").await == whole);
}

#[tokio::test]
async fn an_object_is_deleted_before_its_parts_are_cleared() {
    let mut world = World::new(plain(1), settings()).await;
    let id = world.initiate("k").await;
    send_parts(&world, id, 1).await;
    world.complete("k", id, ChosenParts::All).await.unwrap();
    world.objects.delete(&logs(), &key("k")).await.unwrap();
    world.assert_tidy().await;
    assert!(world.store.blobs.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_bucket_with_an_upload_is_not_empty_and_one_whose_uploads_are_over_goes_whole() {
    in_every_world(|mut world| async move {
        let id = world.initiate("k").await;
        send_parts(&world, id, 1).await;
        let told = world.objects.delete_bucket(&logs()).await;
        assert_eq!(told, Err(DeleteBucketError::NotEmpty));
        assert_eq!(world.numbers("k", id).await.unwrap().len(), 6);
        world.abort("k", id).await.unwrap();
        world.objects.delete_bucket(&logs()).await.unwrap();
        world.assert_tidy().await;
        assert!(world.store.blobs.lock().unwrap().is_empty());
        let told = world.objects.upload(&name("logs"), &key("k"), id).await;
        assert_eq!(told, Err(UploadError::NoSuchBucket));
    })
    .await;
}

#[tokio::test]
async fn uploads_are_listed_page_by_page_like_a_sorted_set() {
    in_every_world(|world| async move {
        let names = [
            "a",
            "a\0",
            "a\0b",
            "a/1",
            "a/2",
            "a/b/c",
            "ab",
            "b",
            "longer than one group/x",
            "ü/4",
        ];
        let mut all = BTreeSet::new();
        for (at, name) in names.iter().enumerate() {
            for _ in 0..=at % 3 {
                all.insert(((*name).to_owned(), world.initiate(name).await));
            }
        }
        for (prefix, delimiter) in [
            ("", ""),
            ("a", ""),
            ("", "/"),
            ("a/", "/"),
            ("", "4"),
            ("l", "n"),
            ("", "\0"),
            ("a\0", ""),
            ("b\0", ""),
            ("b\0\0", "/"),
            ("z", "/"),
        ] {
            let mut wanted: Vec<(String, Option<UploadId>)> = Vec::new();
            for (name, id) in all.iter().filter(|(name, _)| name.starts_with(prefix)) {
                let cut = name[prefix.len()..].find(delimiter).filter(|_| !delimiter.is_empty());
                let entry = match cut {
                    Some(at) => (name[..prefix.len() + at + delimiter.len()].to_owned(), None),
                    None => (name.clone(), Some(*id)),
                };
                if wanted.last() != Some(&entry) {
                    wanted.push(entry);
                }
            }
            wanted.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
            wanted.dedup();
            for limit in [1, 2, 3, 1_000] {
                let mut input = ListUploadsInput { limit, ..uploads_input(prefix, delimiter) };
                let mut found = Vec::new();
                loop {
                    let page = world.objects.list_uploads(input.clone()).await.unwrap();
                    let count = page.uploads.len() + page.prefixes.len();
                    assert!(count <= limit && (count > 0 || !page.truncated));
                    found.extend(entries(&page));
                    if !page.truncated {
                        break;
                    }
                    input.after_key = page.last_key;
                    input.after_upload = page.last_upload.map(|id| id.to_string());
                }
                assert_eq!(found, wanted, "{prefix:?} {delimiter:?} {limit}");
            }
        }
        // A key alone skips all of its uploads; text that is no id still has its place among them.
        let after = |key: &str, id: &str| ListUploadsInput {
            after_key: Some(key.to_owned()),
            after_upload: Some(id.to_owned()).filter(|id| !id.is_empty()),
            ..uploads_input("", "")
        };
        for (key, id, wanted) in [("b", "", 0), ("b", "0", 2), ("b", "z", 0), ("a\0", "z", 3)] {
            let page = world.objects.list_uploads(after(key, id)).await.unwrap();
            let of_next = if key == "b" { "b" } else { "a\0b" };
            let count = page.uploads.iter().filter(|info| info.key.as_str() == of_next).count();
            assert_eq!(count, wanted, "{key:?} {id:?}");
        }
    })
    .await;
}

fn entries(page: &ListUploadsOutput) -> Vec<(String, Option<UploadId>)> {
    let uploads = page.uploads.iter().map(|info| (info.key.as_str().to_owned(), Some(info.id)));
    let prefixes = page.prefixes.iter().map(|prefix| (prefix.clone(), None));
    let mut all: Vec<_> = uploads.chain(prefixes).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_page_of_parts_and_a_page_of_prefixes_cost_what_they_hold() {
    let world = World::new(plain(1), settings()).await;
    for group in 0..5 {
        for at in 0..40 {
            world.initiate(&format!("{group}/{at}")).await;
        }
    }
    world.store.started.lock().unwrap().clear();
    let listed = world.objects.list_uploads(uploads_input("", "/")).await.unwrap();
    assert_eq!((listed.prefixes.len(), listed.uploads.len()), (5, 0));
    assert!(world.store.started.lock().unwrap().len() <= 7);
    let partition = Arc::clone(&world.store);
    let scan = Scan { start: "u".into(), end: Some("v".into()), limit: 9, fold: None };
    let id = world.initiate("k").await;
    send_parts(&world, id, 1).await;
    let input = ListPartsInput { bucket: logs(), key: key("k"), upload: id, after: 2, limit: 3 };
    let page = world.objects.list_parts(input).await.unwrap();
    assert_eq!(page.parts.iter().map(|part| part.number).collect::<Vec<_>>(), [3, 4, 5]);
    assert!(page.truncated);
    let place = keys::partition(1, 1, &key("k"));
    let found = ossia_store::Index::scan(&partition.inner, place, scan).await.unwrap();
    assert_eq!(found.items.iter().filter(|item| matches!(item, Item::Record(..))).count(), 6);
}
