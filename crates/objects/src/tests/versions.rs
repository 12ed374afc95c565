//! Versions: each operation by hand, deaths and races; random sequences of all of them are in `model`.

use std::{collections::BTreeSet, sync::Arc};

use super::support::*;
use crate::{
    AppendError, CheckOptions, CopyError, CopyInput, DeleteBucketError, DeleteIf, DeleteInput,
    DeleteOutput, Directive, ListInput, ListVersionsInput, ListVersionsOutput, PutError,
    PutSymlinkInput, ReadObjectError, StoreCheck, VersionId, VersionInfo, keys,
    pack::Tier,
    records::{BucketRecord, Stored},
    words::{Conditions, ObjectAcl, Versioning},
};

impl World {
    async fn versioning(&self, versioning: Versioning) {
        self.objects.set_bucket_versioning(&logs(), versioning).await.unwrap();
    }

    async fn read_version(&self, at: &str, version: VersionId) -> Result<Vec<u8>, ReadObjectError> {
        let object = self.objects.get_version(&logs(), &key(at), Some(version)).await?;
        assert_eq!(object.info.version_id, Some(version));
        collect(object.read(0..object.info.length)).await
    }

    async fn remove(&self, at: &str, version: VersionId, only: DeleteIf) -> DeleteOutput {
        let (bucket, key) = (logs(), key(at));
        let input = DeleteInput { bucket, key, version: Some(version), only };
        self.objects.delete_with(input).await.unwrap()
    }

    async fn delete(&self, at: &str) -> DeleteOutput {
        self.objects.delete(&logs(), &key(at)).await.unwrap()
    }

    async fn page(&self, input: ListVersionsInput) -> ListVersionsOutput {
        self.objects.list_versions(input).await.unwrap()
    }

    /// All versions, page by page.
    async fn versions(&self, limit: usize) -> Vec<VersionInfo> {
        let mut all = Vec::new();
        let mut input = versions(limit);
        loop {
            let page = self.page(input.clone()).await;
            assert!(page.versions.len() <= limit);
            all.extend(page.versions);
            if !page.truncated {
                return all;
            }
            assert!(page.last.is_some());
            (input.after, input.after_version) = (page.last, page.last_version);
        }
    }

    /// What `ossia check` has to say.
    pub(super) async fn findings(&self) -> Vec<String> {
        let options = CheckOptions { bytes: true, jobs: 2, bytes_per_s: 0 };
        let found = Arc::new(std::sync::Mutex::new(Vec::new()));
        let told = Arc::clone(&found);
        let store = Arc::clone(&self.store) as Arc<dyn ossia_store::Store>;
        let tell = move |finding: crate::Finding| told.lock().unwrap().push(finding.to_string());
        StoreCheck::new(store, &options, Arc::clone(master_keys()), tell).buckets().await.unwrap();
        let found = found.lock().unwrap();
        found.clone()
    }
}

fn versions(limit: usize) -> ListVersionsInput {
    ListVersionsInput {
        bucket: logs(),
        prefix: String::new(),
        delimiter: None,
        after: None,
        after_version: None,
        limit,
    }
}

fn copy(from: &str, version: Option<VersionId>, to: &str) -> CopyInput<'static> {
    CopyInput {
        source_bucket: logs(),
        source_key: key(from),
        source_version: version,
        bucket: logs(),
        key: key(to),
        conditions: Conditions::default(),
        metadata_directive: Directive::Copy,
        attributes: Default::default(),
        tagging_directive: Directive::Copy,
        tags: vec![],
        acl: None,
        storage_class: None,
        encrypt: crate::Encrypt::No,
        forbid_overwrite: true,
    }
}

fn marker(version: VersionId, named: bool) -> ReadObjectError {
    ReadObjectError::DeleteMarker { version, named }
}

#[tokio::test]
async fn a_bucket_keeps_versions_from_when_it_is_told_and_never_forgets_that_it_did() {
    in_every_world(async |mut world| {
        let of = async |world: &World| world.objects.bucket(&logs()).await.unwrap().versioning;
        assert_eq!(of(&world).await, None);
        assert_eq!(world.put("k", b"0").await.version_id, None);
        for versioning in [Versioning::Enabled, Versioning::Suspended, Versioning::Enabled] {
            for _ in 0..2 {
                world.versioning(versioning).await;
                assert_eq!(of(&world).await, Some(versioning));
            }
        }
        // As an ACL it outlives a deletion that comes to nothing.
        let refused = world.objects.delete_bucket(&logs()).await;
        assert_eq!(refused, Err(DeleteBucketError::NotEmpty));
        world.restart().await;
        assert_eq!(of(&world).await, Some(Versioning::Enabled));
        let id = world.catalogue().await[0].id;
        for partition in keys::partitions(id, world.catalogue().await[0].partitions) {
            let keys = world.keys(partition).await;
            let record = BucketRecord::decode(&keys[0].1.value).unwrap();
            assert_eq!(record.versioning, Some(Versioning::Enabled), "{partition:?}");
        }
        let absent = world.objects.set_bucket_versioning(&name("none"), Versioning::Enabled).await;
        assert!(absent.is_err());
        let head = world.objects.head(&logs(), &key("k")).await.unwrap();
        assert_eq!(head.version_id, Some(VersionId::Null));
    })
    .await;
}

#[tokio::test]
async fn each_write_is_a_version_of_its_own_and_is_read_by_its_id() {
    in_every_world(async |mut world| {
        let bytes: Vec<Vec<u8>> = [5, 64, 65, 2_000].map(|n| pattern(n, n as u64)).into();
        world.put("k", b"before").await;
        world.versioning(Versioning::Enabled).await;
        let mut ids = vec![VersionId::Null];
        for bytes in &bytes {
            let mut input = world.put_input("k", bytes);
            // Nothing is overwritten.
            input.forbid_overwrite = true;
            ids.push(world.objects.put(input).await.unwrap().version_id.unwrap());
        }
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 5);
        let all = world.versions(1_000).await;
        let listed: Vec<_> = all.iter().rev().map(|version| version.version).collect();
        assert_eq!(listed, ids);
        assert_eq!(
            all.iter().map(|version| version.latest).collect::<Vec<_>>(),
            [true, false, false, false, false]
        );
        world.reap().await;
        for _ in 0..2 {
            assert_eq!(world.read_version("k", ids[0]).await.unwrap(), b"before");
            for (id, bytes) in ids[1..].iter().zip(&bytes) {
                assert_eq!(world.read_version("k", *id).await.unwrap(), *bytes);
            }
            assert_eq!(world.read("k").await, bytes[3]);
            world.restart().await;
        }
        let unknown = VersionId::made(2, 7);
        let told = world.read_version("k", unknown).await;
        assert_eq!(told, Err(ReadObjectError::NoSuchVersion));
        let told = world.read_version("none", ids[1]).await;
        assert_eq!(told, Err(ReadObjectError::NoSuchVersion));
        assert!(!world.remove("k", unknown, DeleteIf::Any).await.existed);
        // From the middle, the top, the bottom; each time the newest that is left is current.
        for (gone, then) in [(2, 4), (4, 3), (0, 3), (3, 1)] {
            let told = world.remove("k", ids[gone], DeleteIf::Any).await;
            assert_eq!((told.existed, told.delete_marker), (true, false));
            assert_eq!(told.version_id, Some(ids[gone]));
            let told = world.read_version("k", ids[gone]).await;
            assert_eq!(told, Err(ReadObjectError::NoSuchVersion));
            assert_eq!(world.read("k").await, bytes[then - 1]);
        }
        world.remove("k", ids[1], DeleteIf::Any).await;
        let told = world.objects.head(&logs(), &key("k")).await;
        assert_eq!(told, Err(ReadObjectError::NoSuchKey));
        assert!(world.versions(10).await.is_empty());
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn deleting_leaves_a_marker_and_removing_the_marker_brings_the_object_back() {
    in_every_world(async |mut world| {
        world.put("k", &pattern(100, 1)).await;
        world.versioning(Versioning::Enabled).await;
        let mut markers = Vec::new();
        for existed in [true, false] {
            let told = world.delete("k").await;
            assert_eq!((told.existed, told.delete_marker), (existed, true));
            markers.push(told.version_id.unwrap());
        }
        let told = world.delete("none").await;
        assert!(told.delete_marker && !told.existed);
        assert!(world.objects.list(list()).await.unwrap().objects.is_empty());
        let current = marker(markers[1], false);
        assert_eq!(world.objects.head(&logs(), &key("k")).await, Err(current.clone()));
        assert_eq!(world.objects.get(&logs(), &key("k")).await.unwrap_err(), current);
        let told = world.objects.set_tags(&logs(), &key("k"), None, vec![]).await;
        assert_eq!(told, Err(current));
        for id in &markers {
            assert_eq!(world.read_version("k", *id).await, Err(marker(*id, true)));
            let told = world.objects.set_tags(&logs(), &key("k"), Some(*id), vec![]).await;
            assert_eq!(told, Err(marker(*id, true)));
        }
        assert_eq!(world.read_version("k", VersionId::Null).await.unwrap(), pattern(100, 1));
        let kinds: Vec<_> =
            world.versions(10).await.iter().map(|version| version.object.is_some()).collect();
        assert_eq!(kinds, [false, false, true, false]);
        let stat = world.objects.bucket_stat(&logs()).await.unwrap();
        assert_eq!((stat.object_count, stat.delete_marker_count, stat.storage), (1, 3, 100));
        for id in markers {
            let told = world.remove("k", id, DeleteIf::Any).await;
            assert!(told.existed && told.delete_marker);
        }
        assert_eq!(world.read("k").await, pattern(100, 1));
        assert_eq!(world.objects.list(list()).await.unwrap().objects.len(), 1);
        let refused = world.objects.delete_bucket(&logs()).await;
        assert_eq!(refused, Err(DeleteBucketError::NotEmpty));
        world.remove("k", VersionId::Null, DeleteIf::Any).await;
        // A marker alone keeps a bucket, too.
        let refused = world.objects.delete_bucket(&logs()).await;
        assert_eq!(refused, Err(DeleteBucketError::NotEmpty));
        let left = world.versions(10).await;
        world.remove("none", left[0].version, DeleteIf::Any).await;
        world.reap().await;
        assert_eq!(world.findings().await, Vec::<String>::new());
        world.objects.delete_bucket(&logs()).await.unwrap();
        world.assert_tidy().await;
    })
    .await;
}

fn list() -> ListInput {
    ListInput { bucket: logs(), prefix: String::new(), delimiter: None, after: None, limit: 1_000 }
}

#[tokio::test]
async fn where_versions_are_suspended_the_null_one_is_replaced_wherever_it_lies() {
    in_every_world(async |mut world| {
        world.put("k", &pattern(200, 0)).await;
        world.versioning(Versioning::Enabled).await;
        let kept = world.put("k", &pattern(200, 1)).await.version_id.unwrap();
        world.versioning(Versioning::Suspended).await;
        let told = world.put("k", &pattern(200, 2)).await;
        assert_eq!(told.version_id, Some(VersionId::Null));
        assert_eq!(world.read_version("k", VersionId::Null).await.unwrap(), pattern(200, 2));
        assert_eq!(world.read_version("k", kept).await.unwrap(), pattern(200, 1));
        assert_eq!(world.versions(9).await.len(), 2);
        world.put("k", b"inline").await;
        assert_eq!(world.versions(9).await.len(), 2);
        // A null marker replaces the null version, and the other way round.
        for _ in 0..2 {
            let told = world.delete("k").await;
            assert_eq!(told.version_id, Some(VersionId::Null));
            let told = world.read_version("k", VersionId::Null).await;
            assert_eq!(told, Err(marker(VersionId::Null, true)));
            assert_eq!(world.versions(9).await.len(), 2);
        }
        let target = key("elsewhere");
        let link = PutSymlinkInput {
            bucket: logs(),
            key: key("k"),
            target,
            creation: Default::default(),
            forbid_overwrite: true,
        };
        let told = world.objects.put_symlink(link).await.unwrap();
        assert_eq!(told.version_id, Some(VersionId::Null));
        assert_eq!(world.versions(9).await.len(), 2);
        // Beneath another one it stays, and is found there.
        world.versioning(Versioning::Enabled).await;
        world.put("k", b"top").await;
        let head = world.objects.head_version(&logs(), &key("k"), Some(VersionId::Null)).await;
        assert!(head.unwrap().link_target.is_some());
        world.remove("k", VersionId::Null, DeleteIf::Any).await;
        let told = world.read_version("k", VersionId::Null).await;
        assert_eq!(told, Err(ReadObjectError::NoSuchVersion));
        assert_eq!(world.versions(9).await.len(), 2);
        assert_eq!(world.findings().await, Vec::<String>::new());
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn appends_go_on_with_the_current_version_and_begin_anew_on_a_marker() {
    in_every_world(async |mut world| {
        world.versioning(Versioning::Enabled).await;
        let first = world.append("log", 0, b"hello").await.unwrap();
        let id = first.version_id.unwrap();
        assert!(first.created && id != VersionId::Null);
        for versioning in [Versioning::Suspended, Versioning::Enabled] {
            world.versioning(versioning).await;
            let length = world.read("log").await.len() as u64;
            let more = world.append("log", length, b" world").await.unwrap();
            assert_eq!((more.created, more.version_id), (false, Some(id)));
        }
        assert_eq!(world.versions(9).await.len(), 1);
        let gone = world.delete("log").await.version_id.unwrap();
        let told = world.append("log", 17, b"x").await;
        assert_eq!(told, Err(AppendError::PositionMismatch { length: 0, crc64: 0 }));
        let anew = world.append("log", 0, b"anew").await.unwrap();
        assert!(anew.created);
        let second = anew.version_id.unwrap();
        assert_eq!(world.read_version("log", id).await.unwrap(), b"hello world world");
        // The one beneath cannot be appended to before it is current again.
        assert!(world.append("log", 17, b"x").await.is_err());
        world.remove("log", second, DeleteIf::Any).await;
        world.remove("log", gone, DeleteIf::Any).await;
        let more = world.append("log", 17, b"!").await.unwrap();
        assert_eq!(more.version_id, Some(id));
        world.pack(Tier::Payloads).await;
        // What is put over it stays what it is, and so does it.
        world.put("log", b"put").await;
        assert_eq!(world.append("log", 18, b"x").await, Err(AppendError::NotAppendable));
        world.pack(Tier::Payloads).await;
        world.reap().await;
        assert_eq!(world.read_version("log", id).await.unwrap(), b"hello world world!");
        world.versioning(Versioning::Suspended).await;
        let told = world.delete("log").await;
        assert_eq!(told.version_id, Some(VersionId::Null));
        let null = world.append("log", 0, b"null").await.unwrap();
        assert_eq!(null.version_id, Some(VersionId::Null));
        assert_eq!(world.versions(9).await.len(), 3);
        assert_eq!(world.findings().await, Vec::<String>::new());
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn a_copy_is_a_new_version_and_reads_the_one_that_it_names() {
    in_every_world(async |mut world| {
        world.put("k", &pattern(300, 0)).await;
        world.versioning(Versioning::Enabled).await;
        let second = world.put("k", &pattern(300, 1)).await.version_id.unwrap();
        // Back to an earlier one: onto itself, which elsewhere changes headers only.
        let told = world.objects.copy(copy("k", Some(VersionId::Null), "k")).await.unwrap();
        assert_eq!(told.source_version_id, Some(VersionId::Null));
        let third = told.version_id.unwrap();
        assert_eq!(world.read("k").await, pattern(300, 0));
        assert_eq!(world.versions(9).await.len(), 3);
        world.objects.copy(copy("k", Some(second), "other")).await.unwrap();
        assert_eq!(world.read("other").await, pattern(300, 1));
        let told = world.objects.copy(copy("k", Some(VersionId::made(1, 1)), "x")).await;
        assert_eq!(told, Err(CopyError::NoSuchSourceVersion));
        let gone = world.delete("k").await.version_id.unwrap();
        for (version, named) in [(None, false), (Some(gone), true)] {
            let told = world.objects.copy(copy("k", version, "x")).await;
            assert_eq!(told, Err(CopyError::SourceDeleteMarker { version: gone, named }));
        }
        world.objects.copy(copy("k", Some(third), "k")).await.unwrap();
        assert_eq!(world.read("k").await, pattern(300, 0));
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn attributes_belong_to_a_version() {
    in_every_world(async |world| {
        world.put("k", b"0").await;
        world.versioning(Versioning::Enabled).await;
        let tags = |tag: &str| vec![(tag.to_owned(), String::new())];
        let id = world.put("k", b"1").await.version_id.unwrap();
        let set = async |version, tag| {
            world.objects.set_tags(&logs(), &key("k"), version, tags(tag)).await.unwrap().version_id
        };
        assert_eq!(set(None, "new").await, Some(id));
        assert_eq!(set(Some(VersionId::Null), "old").await, Some(VersionId::Null));
        let acl = ObjectAcl::PublicRead;
        world.objects.set_acl(&logs(), &key("k"), Some(VersionId::Null), acl).await.unwrap();
        for (version, tag) in [(id, "new"), (VersionId::Null, "old")] {
            let info = world.objects.head_version(&logs(), &key("k"), Some(version)).await;
            let info = info.unwrap();
            assert_eq!(info.tags, tags(tag));
            assert_eq!(info.acl == acl, version == VersionId::Null);
        }
        assert_eq!(world.read_version("k", VersionId::Null).await.unwrap(), b"0");
        let unknown = Some(VersionId::made(1, 1));
        let told = world.objects.set_acl(&logs(), &key("k"), unknown, acl).await;
        assert_eq!(told, Err(ReadObjectError::NoSuchVersion));
    })
    .await;
}

#[tokio::test]
async fn what_must_be_so_for_a_version_to_go_is_looked_at_when_it_goes() {
    in_every_world(async |world| {
        world.versioning(Versioning::Enabled).await;
        let first = world.put("k", b"1").await.version_id.unwrap();
        let put = world.put("k", b"2").await;
        let second = put.version_id.unwrap();
        let only = DeleteIf::Noncurrent;
        assert!(!world.remove("k", second, only).await.existed);
        assert!(world.remove("k", first, only).await.existed);
        let current = async |version, last_modified| {
            let only = DeleteIf::CurrentIs { version, last_modified };
            let (bucket, key) = (logs(), key("k"));
            let input = DeleteInput { bucket, key, version: None, only };
            world.objects.delete_with(input).await.unwrap()
        };
        assert!(!current(first, put.last_modified).await.delete_marker);
        assert!(!current(second, put.last_modified + 1).await.delete_marker);
        let gone = current(second, put.last_modified).await;
        assert!(gone.delete_marker);
        let gone = gone.version_id.unwrap();
        assert!(!current(gone, put.last_modified).await.delete_marker);
        let lone = DeleteIf::LoneMarker;
        assert!(!world.remove("k", gone, lone).await.existed);
        assert!(!world.remove("k", second, lone).await.existed);
        assert!(world.remove("k", second, only).await.existed);
        assert!(world.remove("k", gone, lone).await.existed);
        assert!(world.versions(9).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn many_are_deleted_and_removed_at_once_each_in_its_turn() {
    in_every_world(async |mut world| {
        for i in 0..100 {
            world.put(&format!("k{i}"), &pattern(if i % 9 == 0 { 100 } else { 5 }, i)).await;
        }
        world.versioning(Versioning::Enabled).await;
        let named = (0..100).chain([7]).map(|i| (key(&format!("k{i}")), None)).collect();
        let told = world.objects.delete_many(&logs(), named).await.unwrap();
        let told: Vec<_> = told.into_iter().map(Result::unwrap).collect();
        assert!(told.iter().all(|told| told.delete_marker));
        assert!(told[..100].iter().all(|told| told.existed) && !told[100].existed);
        let all = world.versions(1_000).await;
        assert_eq!(all.len(), 201);
        assert_eq!(all, world.versions(7).await);
        let named = all.iter().map(|version| (version.key.clone(), Some(version.version)));
        let named: Vec<_> = named.chain([(key("none"), Some(VersionId::Null))]).collect();
        let told = world.objects.delete_many(&logs(), named).await.unwrap();
        for (told, was) in told.iter().zip(&all) {
            let told = told.as_ref().unwrap();
            assert_eq!(told.version_id, Some(was.version));
            assert_eq!((told.existed, told.delete_marker), (true, was.object.is_none()));
        }
        assert!(!told[201].as_ref().unwrap().existed);
        assert!(world.versions(1_000).await.is_empty());
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn a_listing_rolls_up_and_goes_on_from_any_version() {
    in_every_world(async |world| {
        world.versioning(Versioning::Enabled).await;
        for at in ["a", "a/1", "a/2", "b", "b/1", "c"] {
            world.put(at, b"1").await;
            world.put(at, b"2").await;
        }
        world.delete("a/2").await;
        world.delete("b").await;
        let by = |prefix: &str, delimiter: &str| ListVersionsInput {
            prefix: prefix.into(),
            delimiter: Some(delimiter.into()),
            ..versions(1_000)
        };
        let keys = |page: &ListVersionsOutput| {
            page.versions.iter().map(|v| v.key.as_str().to_owned()).collect::<Vec<_>>()
        };
        let page = world.page(by("", "/")).await;
        assert_eq!(keys(&page), ["a", "a", "b", "b", "b", "c", "c"]);
        assert_eq!(page.prefixes, ["a/", "b/"]);
        assert_eq!(keys(&world.page(by("a/", "/")).await), ["a/1", "a/1", "a/2", "a/2", "a/2"]);
        for limit in 1..10 {
            let (mut all, mut prefixes, mut input) = (Vec::new(), Vec::new(), by("", "/"));
            loop {
                input.limit = limit;
                let page = world.page(input.clone()).await;
                assert!(page.versions.len() + page.prefixes.len() <= limit);
                all.extend(keys(&page));
                prefixes.extend(page.prefixes);
                if !page.truncated {
                    break;
                }
                (input.after, input.after_version) = (page.last, page.last_version);
            }
            assert_eq!(all, keys(&page));
            assert_eq!(prefixes, page.prefixes);
        }
        // Without a version a key marker means: behind all of it.
        let after = |key: &str, version| ListVersionsInput {
            after: Some(key.into()),
            after_version: version,
            ..versions(1_000)
        };
        assert_eq!(keys(&world.page(after("b", None)).await), ["b/1", "b/1", "c", "c"]);
        // Nor does it matter that the version is gone.
        let three = world.versions(1_000).await;
        let three: Vec<_> = three.iter().filter(|v| v.key.as_str() == "b").collect();
        world.remove("b", three[0].version, DeleteIf::Any).await;
        let page = world.page(after("b", Some(three[0].version))).await;
        assert_eq!(keys(&page), ["b", "b", "b/1", "b/1", "c", "c"]);
        let page = world.page(after("b", Some(three[1].version))).await;
        assert_eq!(keys(&page), ["b", "b/1", "b/1", "c", "c"]);
    })
    .await;
}

#[tokio::test]
async fn what_never_had_versions_pays_nothing_for_them() {
    let world = World::new(plain(1), settings()).await;
    world.append("log", 0, b"x").await.unwrap();
    world.put("k", b"x").await;
    let cost = async |what: &str| {
        let before = world.store.counts.all();
        match what {
            "append" => drop(world.append("log", 1, b"y").await.unwrap()),
            "put" => drop(world.put("k", b"y").await),
            "head" => drop(world.objects.head(&logs(), &key("k")).await.unwrap()),
            "absent" => drop(world.objects.head(&logs(), &key("none")).await.unwrap_err()),
            _ => drop(world.objects.get(&logs(), &key("k")).await.unwrap()),
        }
        let after = world.store.counts.all();
        [after[0] - before[0], after[1] - before[1], after[2] - before[2], after[3] - before[3]]
    };
    // Transactions, reads of one record, scans, reads of payloads.
    assert_eq!(cost("append").await, [1, 1, 0, 0]);
    assert_eq!(cost("put").await, [1, 0, 0, 0]);
    assert_eq!(cost("head").await, [0, 1, 0, 0]);
    assert_eq!(cost("absent").await, [0, 1, 0, 0]);
    assert_eq!(cost("get").await, [0, 1, 0, 1]);
    world.versioning(Versioning::Enabled).await;
    // The bucket is looked up again, once.
    cost("head").await;
    assert_eq!(cost("head").await, [0, 1, 0, 0]);
    assert_eq!(cost("absent").await, [0, 1, 2, 0]);
    assert_eq!(cost("get").await, [0, 1, 0, 1]);
}

#[tokio::test]
async fn switching_versions_on_comes_to_its_end_wherever_it_stopped() {
    for after in [false, true] {
        for at in 1..=6 {
            let mut world = World::new(plain(3), settings()).await;
            world.store.die_at(at, after);
            let told = world.objects.set_bucket_versioning(&logs(), Versioning::Enabled).await;
            let died = world.store.died();
            assert_eq!(told.is_err(), died);
            world.restart().await;
            let now = world.objects.bucket(&logs()).await.unwrap().versioning;
            assert!(now.is_some() || (died && at == 1));
            for i in 0..12 {
                let put = world.put(&format!("k{i}"), b"x").await;
                assert_eq!(put.version_id.is_some(), now.is_some(), "died at {at}");
            }
            assert!(died || at > 5);
        }
    }
}

/// A small generator: the seed is all that a failure needs to be told.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % sides
    }
}

#[tokio::test]
async fn a_store_that_dies_anywhere_keeps_each_version_that_was_told() {
    for at in 1..=14 {
        for after in [false, true] {
            let mut world = World::new(plain(1), settings()).await;
            world.put("k", &pattern(100, 0)).await;
            world.versioning(Versioning::Enabled).await;
            let second = world.put("k", b"inline").await.version_id.unwrap();
            world.store.die_at(at, after);
            let mut kept = vec![(second, b"inline".to_vec())];
            let mut gone = vec![];
            let put = world.objects.put(world.put_input("k", &pattern(100, 2))).await;
            if let Ok(put) = &put {
                kept.push((put.version_id.unwrap(), pattern(100, 2)));
            }
            let marker = world.objects.delete(&logs(), &key("k")).await;
            for id in
                [VersionId::Null].into_iter().chain(marker.ok().and_then(|told| told.version_id))
            {
                let (bucket, key) = (logs(), key("k"));
                let only = DeleteIf::Any;
                let input = DeleteInput { bucket, key, version: Some(id), only };
                if world.objects.delete_with(input).await.is_ok() {
                    gone.push(id);
                }
            }
            let died = world.store.died();
            world.restart().await;
            for (id, bytes) in kept {
                assert_eq!(world.read_version("k", id).await.as_ref(), Ok(&bytes), "died at {at}");
            }
            for id in gone {
                assert!(world.read_version("k", id).await.is_err(), "died at {at}");
            }
            world.reap().await;
            assert_eq!(world.findings().await, Vec::<String>::new());
            world.assert_tidy().await;
            assert!(died || at > 4);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn versions_that_come_and_go_at_once_never_lose_one_that_stays() {
    for seed in [None, Some(3)] {
        let mode = Mode { partitions: 1, hostile: seed };
        let mut world = World::new(mode, settings()).await;
        world.put("k", b"stays").await;
        world.versioning(Versioning::Enabled).await;
        let tasks: Vec<_> = (0..6_u64)
            .map(|task| {
                let world = world.clone();
                tokio::spawn(async move {
                    let mut dice = Dice(task + 1);
                    for _ in 0..40 {
                        let told = match dice.roll(2) {
                            0 => world.put("k", &pattern(100, task)).await.version_id,
                            _ => world.delete("k").await.version_id,
                        };
                        let page = world.page(versions(1_000)).await;
                        let stays = |v: &VersionInfo| v.version == VersionId::Null;
                        assert!(page.versions.iter().any(stays), "not listed");
                        let read = world.read_version("k", VersionId::Null).await;
                        assert_eq!(read.as_deref(), Ok(&b"stays"[..]));
                        let told = world.remove("k", told.unwrap(), DeleteIf::Any).await;
                        assert!(told.existed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let left = world.versions(10).await;
        assert_eq!(left.len(), 1);
        assert_eq!(world.read("k").await, b"stays");
        world.assert_tidy().await;
    }
}

#[tokio::test]
async fn a_bucket_that_is_being_deleted_takes_no_marker_and_loses_no_version() {
    let world = World::new(plain(1), settings()).await;
    world.versioning(Versioning::Enabled).await;
    world.put("k", b"x").await;
    let gone = world.delete("k").await.version_id.unwrap();
    // The last one may go at any time; one that others lie beneath not while they are counted.
    let partition = keys::partitions(world.catalogue().await[0].id, 1).next().unwrap();
    let set = async |state| {
        use ossia_store::{Decision, Writes, transact};
        let old = world.keys(partition).await;
        let old = BucketRecord::decode(&old[0].1.value).unwrap();
        let record = BucketRecord { state, ..old }.encode();
        let written = transact::<(), (), _>(&world.store.inner, partition, vec![], move |_| {
            let mut writes = Writes::none();
            writes.put(keys::bucket(), record.clone());
            Ok(Decision::Commit(writes, ()))
        });
        written.await.unwrap().unwrap();
    };
    set(crate::records::BucketState::Closing).await;
    let input =
        |version| DeleteInput { bucket: logs(), key: key("k"), version, only: DeleteIf::Any };
    for version in [None, Some(gone)] {
        let told = world.objects.delete_with(input(version)).await;
        assert!(told.is_err(), "{told:?}");
    }
    let left = world.versions(9).await;
    world.objects.delete_with(input(Some(left[1].version))).await.unwrap();
    world.objects.delete_with(input(Some(gone))).await.unwrap();
    set(crate::records::BucketState::Open).await;
    assert!(world.versions(9).await.is_empty());
}

#[tokio::test]
async fn a_put_that_must_not_overwrite_is_refused_only_where_no_versions_are_kept() {
    let world = World::new(plain(1), settings()).await;
    world.put("k", b"x").await;
    let put = async || {
        let mut input = world.put_input("k", b"y");
        input.forbid_overwrite = true;
        world.objects.put(input).await
    };
    assert_eq!(put().await, Err(PutError::AlreadyExists));
    for versioning in [Versioning::Suspended, Versioning::Enabled] {
        world.versioning(versioning).await;
        put().await.unwrap();
    }
}
