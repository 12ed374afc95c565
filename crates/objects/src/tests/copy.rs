//! Copy.

use super::{
    append::md5,
    support::{World, in_every_world, key, logs, modes, name, pattern, plain, settings},
};
use crate::{
    AppendError, Clock, CopyError, CopyInput, Creation, Directive, SealInput, Settings,
    words::{Attributes, Conditions, ObjectAcl, ObjectType, StorageClass, crc64, etag},
};

pub(super) fn input(from: &str, to: &str) -> CopyInput<'static> {
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

fn html() -> Attributes {
    Attributes { content_type: "text/html".into(), ..Attributes::default() }
}

/// Puts an object with everything set.
async fn put_rich(world: &World, at: &str, bytes: &[u8]) {
    let mut put = world.put_input(at, bytes);
    put.creation = Creation {
        attributes: html(),
        acl: ObjectAcl::PublicRead,
        tags: vec![("a".into(), "1".into())],
        storage_class: Some(StorageClass::Ia),
        encrypted: false,
    };
    world.objects.put(put).await.unwrap();
}

#[tokio::test]
async fn a_copy_has_the_bytes_and_what_the_directives_say() {
    in_every_world(async |mut world| {
        for length in [0, 30, 64, 65, 5_000] {
            let bytes = pattern(length, 3);
            put_rich(&world, "from", &bytes).await;
            let told = world.objects.copy(input("from", "to")).await.unwrap();
            assert_eq!(told.etag, etag::from_md5(&md5(&bytes)));
            assert_eq!((told.crc64, told.length), (crc64::checksum(&bytes), length as u64));
            let info = world.objects.head(&logs(), &key("to")).await.unwrap();
            assert_eq!((info.kind, info.md5), (ObjectType::Normal, Some(md5(&bytes))));
            assert_eq!((&info.attributes, info.acl), (&html(), ObjectAcl::Default));
            assert_eq!(info.tags, vec![("a".into(), "1".into())]);
            assert_eq!(info.storage_class, StorageClass::Standard);

            let mut replace = input("from", "other");
            replace.metadata_directive = Directive::Replace;
            replace.tagging_directive = Directive::Replace;
            replace.tags = vec![("b".into(), String::new())];
            (replace.acl, replace.storage_class) =
                (Some(ObjectAcl::Private), Some(StorageClass::Ia));
            world.objects.copy(replace.clone()).await.unwrap();
            let info = world.objects.head(&logs(), &key("other")).await.unwrap();
            assert_eq!((info.attributes, info.acl), (replace.attributes, ObjectAcl::Private));
            assert_eq!((info.tags, info.storage_class), (replace.tags, StorageClass::Ia));

            // Each lives on without the other.
            world.objects.delete(&logs(), &key("from")).await.unwrap();
            world.reap().await;
            assert!(world.read("to").await == bytes);
            assert!(world.read("other").await == bytes);
        }
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn a_copy_of_a_blob_reads_no_bytes_and_one_of_many_extents_does() {
    let settings = Settings { copy_appendable: true, ..settings() };
    for mode in modes() {
        let mut world = World::new(mode, settings.clone()).await;
        let bytes = pattern(3_000, 1);
        for (i, part) in bytes.chunks(37).enumerate() {
            world.append("log", i as u64 * 37, part).await.unwrap();
        }
        let told = world.objects.copy(input("log", "copy")).await.unwrap();
        assert_eq!(told.etag, etag::from_md5(&md5(&bytes)));
        let info = world.objects.head(&logs(), &key("copy")).await.unwrap();
        assert_eq!((info.kind, info.crc64), (ObjectType::Normal, crc64::checksum(&bytes)));
        assert!(world.read("copy").await == bytes);
        assert_eq!(world.append("copy", 3_000, b"x").await, Err(AppendError::NotAppendable));
        // A short one becomes a body in its head.
        world.append("short", 0, b"hello").await.unwrap();
        world.objects.copy(input("short", "short-copy")).await.unwrap();
        assert_eq!(world.read("short-copy").await, b"hello");
        world.assert_tidy().await;
    }
}

#[tokio::test]
async fn an_appendable_is_not_copied_unless_that_is_allowed() {
    in_every_world(async |world| {
        world.append("log", 0, b"hello").await.unwrap();
        for to in ["copy", "log"] {
            let refused = world.objects.copy(input("log", to)).await;
            assert_eq!(refused, Err(CopyError::SourceAppendable));
        }
        assert_eq!(world.append("log", 5, b"!").await.unwrap().next_position, 6);
    })
    .await;
}

#[tokio::test]
async fn a_copy_onto_itself_changes_headers_and_leaves_the_bytes_alone() {
    let settings = Settings { copy_appendable: true, ..settings() };
    for mode in modes() {
        let mut world = World::new(mode, settings.clone()).await;
        put_rich(&world, "inline", b"hello").await;
        put_rich(&world, "blob", &pattern(500, 1)).await;
        world.append("log", 0, b"hello").await.unwrap();
        for at in ["inline", "blob", "log"] {
            let before = world.objects.head(&logs(), &key(at)).await.unwrap();
            let bytes = world.read(at).await;
            let blobs = world.store.blobs.lock().unwrap().clone();
            world.clock.advance_ms(7_000);
            let mut edit = input(at, at);
            edit.attributes.cache_control = Some("no-store".into());
            let told = world.objects.copy(edit.clone()).await.unwrap();
            assert_eq!(told.etag, before.etag);
            let after = world.objects.head(&logs(), &key(at)).await.unwrap();
            assert_eq!(after.attributes, edit.attributes);
            assert_eq!((after.acl, &after.tags), (before.acl, &before.tags));
            assert_eq!((after.kind, after.storage_class), (before.kind, before.storage_class));
            assert_eq!(after.last_modified, world.clock.now_ms() / 1_000);
            assert!(world.read(at).await == bytes);
            assert_eq!(*world.store.blobs.lock().unwrap(), blobs);
        }
        // The appendable is one still, and its ETag's time is that of the last append.
        world.clock.set_ms(super::support::NOW_MS);
        let told = world.append("log", 5, b" world").await.unwrap();
        let crc = crc64::checksum(b"hello world");
        let head = world.objects.head(&logs(), &key("log")).await.unwrap();
        assert_eq!(told.etag, etag::appendable(crc, head.last_modified as i64));
        let mut cold = input("log", "log");
        cold.storage_class = Some(StorageClass::ColdArchive);
        let refused = world.objects.copy(cold.clone()).await;
        assert_eq!(refused, Err(CopyError::SourceAppendable));
        let seal = SealInput { bucket: logs(), key: key("log"), position: 11 };
        world.objects.seal(seal).await.unwrap();
        world.objects.copy(cold).await.unwrap();
        let sealed = world.objects.head(&logs(), &key("log")).await.unwrap();
        assert_eq!(sealed.storage_class, StorageClass::ColdArchive);
        assert!(sealed.sealed_at.is_some());
        world.assert_tidy().await;
    }
}

#[tokio::test]
async fn conditions_on_the_source_decide() {
    in_every_world(async |world| {
        let put = world.put("from", b"hello").await;
        let quoted = etag::quoted(&put.etag);
        for to in ["to", "from"] {
            let with = |name: &'static str, value: &str| {
                let value = value.as_bytes().to_vec().leak();
                let mut input = input("from", to);
                input.conditions =
                    Conditions::of_copy_source(|asked| (asked == name).then_some(&*value));
                input
            };
            let wrong = world.objects.copy(with("x-oss-copy-source-if-match", "\"00\"")).await;
            let name = "x-oss-copy-source-if-match";
            assert_eq!(wrong, Err(CopyError::PreconditionFailed(name)));
            let same = world.objects.copy(with("x-oss-copy-source-if-none-match", &quoted)).await;
            assert_eq!(same, Err(CopyError::NotModified));
            world.objects.copy(with("x-oss-copy-source-if-match", &quoted)).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_copy_is_told() {
    let limits = Settings { copy_max_bytes: 100, copy_class_change_max_bytes: 50, ..settings() };
    let mut world = World::new(plain(3), limits).await;
    world.create(&name("other")).await;
    world.put("from", &pattern(101, 1)).await;
    world.put("to", b"there").await;
    let mut absent = input("from", "to");
    absent.source_bucket = name("none");
    assert_eq!(world.objects.copy(absent).await, Err(CopyError::NoSuchSourceBucket));
    let mut absent = input("from", "to");
    absent.bucket = name("none");
    assert_eq!(world.objects.copy(absent).await, Err(CopyError::NoSuchBucket));
    for to in ["to", "none"] {
        let absent = world.objects.copy(input("none", to)).await;
        assert_eq!(absent, Err(CopyError::NoSuchSourceKey));
    }
    let mut forbid = input("from", "to");
    forbid.forbid_overwrite = true;
    assert_eq!(world.objects.copy(forbid).await, Err(CopyError::AlreadyExists));
    let mut far = input("from", "to");
    far.bucket = name("other");
    assert_eq!(world.objects.copy(far).await, Err(CopyError::TooLarge { max: 100 }));
    let mut class = input("from", "copy");
    class.storage_class = Some(StorageClass::Ia);
    assert_eq!(world.objects.copy(class).await, Err(CopyError::TooLarge { max: 50 }));
    world.objects.copy(input("from", "copy")).await.unwrap();
    assert_eq!(world.read("to").await, b"there");
    world.assert_tidy().await;
}
