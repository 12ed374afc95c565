//! The process dies at every single change that an operation makes to the store, before it happens or just after; the next start
//! finds all that was acknowledged, and a store without anything left over.

use super::support::{World, key, logs, name, packing, pattern, plain, settings};
use crate::{
    CopyInput, Directive, Settings,
    pack::Tier,
    words::{Attributes, Conditions},
};

/// Steps that an operation could not take more of.
const STEPS_MAX: u64 = 200;

/// Runs `act` with a death at every step that it takes, then restarts and asks `check`; `acknowledged` is what `act` told.
pub(super) async fn die_everywhere<A, C>(
    partitions: u16,
    prepare: impl AsyncFn(&World),
    act: A,
    check: C,
) where
    A: AsyncFn(&World) -> bool,
    C: AsyncFn(&World, bool),
{
    let settings = Settings {
        copy_appendable: true,
        closing_wait: std::time::Duration::ZERO,
        packing: packing(),
        ..settings()
    };
    for (after, encrypt_all) in [(false, false), (true, false), (false, true), (true, true)] {
        let settings = Settings { encrypt_all, ..settings.clone() };
        let mut step = 1;
        loop {
            assert!(step < STEPS_MAX, "it never ends");
            let mut world = World::new(plain(partitions), settings.clone()).await;
            prepare(&world).await;
            world.reap().await;
            world.store.die_at(step, after);
            let acknowledged = act(&world).await;
            let died = world.store.died();
            world.objects.close().await;
            world.assert_named_blobs_exist().await;
            world.restart().await;
            check(&world, acknowledged).await;
            world.assert_tidy().await;
            check(&world, acknowledged).await;
            if !died {
                assert!(acknowledged, "nothing was in the way");
                break;
            }
            step += 1;
        }
        println!("{partitions} partitions, {step} steps");
    }
}

async fn length(world: &World, at: &str) -> Option<u64> {
    world.objects.head(&logs(), &key(at)).await.ok().map(|info| info.length)
}

#[tokio::test]
async fn an_append_is_there_or_not_and_never_half() {
    for size in [20, 500] {
        let old = pattern(100, 1);
        let new = pattern(size, 2);
        die_everywhere(
            1,
            async |world| {
                world.append("log", 0, &old).await.unwrap();
            },
            async |world| world.append("log", 100, &new).await.is_ok(),
            async |world, acknowledged| {
                let read = world.read("log").await;
                let whole = [&old[..], &new].concat();
                assert!(read == whole || (!acknowledged && read == old));
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_put_over_a_blob_is_there_or_the_old_one_is() {
    for size in [20, 500] {
        let old = pattern(300, 1);
        let new = pattern(size, 2);
        die_everywhere(
            3,
            async |world| {
                world.put("k", &old).await;
            },
            async |world| {
                let put = world.objects.put(world.put_input("k", &new)).await.is_ok();
                // The reaper is part of the story.
                let _ = world.objects.core.reap_all().await;
                put
            },
            async |world, acknowledged| {
                let read = world.read("k").await;
                assert!(read == new || (!acknowledged && read == old));
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_deleted_log_does_not_come_back_and_is_reaped_from_wherever_it_stopped() {
    die_everywhere(
        1,
        async |world| {
            for i in 0..8 {
                let length = if i % 3 == 0 { 100 } else { 10 };
                let position = self::length(world, "log").await.unwrap_or(0);
                world.append("log", position, &pattern(length, i)).await.unwrap();
            }
            world.put("other", &pattern(200, 9)).await;
        },
        async |world| {
            let deleted = world.objects.delete(&logs(), &key("log")).await.is_ok();
            let _ = world.objects.core.reap_all().await;
            deleted
        },
        async |world, acknowledged| {
            if acknowledged {
                assert_eq!(length(world, "log").await, None);
            }
            assert_eq!(world.read("other").await, pattern(200, 9));
        },
    )
    .await;
}

/// Eight small appends, a large one, eight small ones, and the bytes of all.
async fn append_two_runs(world: &World) -> Vec<u8> {
    let mut whole = Vec::new();
    for i in 0..17 {
        let bytes = pattern(if i == 8 { 100 } else { 10 + i as usize }, i);
        world.append("log", whole.len() as u64, &bytes).await.unwrap();
        whole.extend_from_slice(&bytes);
    }
    whole
}

/// Packs everything; whether nothing was in the way.
async fn pack_all(world: &World, tier: Tier) -> bool {
    let mut done = true;
    for (partition, content) in world.contents().await {
        done &= world.objects.core.pack_content(partition, content, 0, tier).await.is_ok();
    }
    done
}

#[tokio::test]
async fn packing_may_stop_anywhere_and_nothing_is_lost_or_left_over() {
    let (whole, bytes) = (std::sync::OnceLock::new(), |whole: &std::sync::OnceLock<Vec<u8>>| {
        whole.get().cloned().unwrap()
    });
    for later in [Tier::Payloads, Tier::Blobs] {
        die_everywhere(
            1,
            async |world| {
                let appended = append_two_runs(world).await;
                whole.get_or_init(|| appended);
                if later == Tier::Blobs {
                    world.pack(Tier::Payloads).await;
                    append_blobs(world, 30).await;
                }
            },
            async |world| {
                let packed = pack_all(world, later).await;
                // What packing lets go of is part of the story.
                packed & world.objects.core.reap_all().await.is_ok()
            },
            async |world, _| {
                let read = world.read("log").await;
                assert!(read[..].starts_with(&bytes(&whole)));
                assert_eq!(Some(read.len() as u64), length(world, "log").await);
                // Once more, over whatever the first time has left.
                assert!(pack_all(world, Tier::Payloads).await);
                assert!(world.read("log").await == read);
                assert_eq!(world.objects.head(&logs(), &key("log")).await.unwrap().crc64, {
                    crate::words::crc64::checksum(&read)
                });
            },
        )
        .await;
    }
}

/// Appends that become a blob each.
async fn append_blobs(world: &World, count: u64) {
    for i in 0..count {
        let position = length(world, "log").await.unwrap();
        world.append("log", position, &pattern(65, i)).await.unwrap();
    }
}

#[tokio::test]
async fn a_log_deleted_while_it_was_packed_goes_wherever_either_stopped() {
    for packed_first in [true, false] {
        die_everywhere(
            1,
            async |world| {
                append_two_runs(world).await;
                world.put("other", &pattern(200, 9)).await;
            },
            async |world| {
                let mut packed = true;
                if packed_first {
                    packed = pack_all(world, Tier::Payloads).await;
                }
                let contents = world.contents().await;
                let deleted = world.objects.delete(&logs(), &key("log")).await.is_ok();
                if !packed_first {
                    for (partition, content) in contents {
                        let core = &world.objects.core;
                        let told = core.pack_content(partition, content, 0, Tier::Payloads).await;
                        packed &= told.is_ok();
                    }
                }
                let _ = world.objects.core.reap_all().await;
                deleted && (packed || !packed_first)
            },
            async |world, acknowledged| {
                if acknowledged {
                    assert_eq!(length(world, "log").await, None);
                }
                assert_eq!(world.read("other").await, pattern(200, 9));
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_copy_is_there_or_not() {
    for from in ["blob", "log"] {
        die_everywhere(
            3,
            async |world| {
                world.put("blob", &pattern(300, 1)).await;
                for i in 0..10 {
                    world
                        .append("log", i * 30, &pattern(300, 1)[i as usize * 30..][..30])
                        .await
                        .unwrap();
                }
            },
            async |world| {
                let input = CopyInput {
                    source_bucket: logs(),
                    source_key: key(from),
                    source_version: None,
                    bucket: logs(),
                    key: key("copy"),
                    conditions: Conditions::default(),
                    metadata_directive: Directive::Copy,
                    attributes: Attributes::default(),
                    tagging_directive: Directive::Copy,
                    tags: vec![],
                    acl: None,
                    storage_class: None,
                    encrypt: crate::Encrypt::No,
                    forbid_overwrite: false,
                };
                world.objects.copy(input).await.is_ok()
            },
            async |world, acknowledged| {
                match length(world, "copy").await {
                    Some(_) => assert!(world.read("copy").await == pattern(300, 1)),
                    None => assert!(!acknowledged),
                }
                assert!(world.read(from).await == pattern(300, 1));
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_bucket_is_created_or_not_and_can_be_created_then() {
    die_everywhere(
        3,
        async |_| {},
        async |world| {
            let input = crate::CreateBucketInput {
                name: name("new"),
                acl: None,
                storage_class: None,
                redundancy: None,
            };
            world.objects.create_bucket(input).await.is_ok()
        },
        async |world, acknowledged| {
            let there = world.objects.bucket(&name("new")).await.is_ok();
            assert!(there || !acknowledged);
            world.create(&name("new")).await;
            let mut input = world.put_input("k", b"x");
            input.bucket = name("new");
            world.objects.put(input).await.unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn a_deletion_of_a_bucket_is_decided_one_way_or_the_other() {
    for empty in [true, false] {
        die_everywhere(
            3,
            async |world| {
                world.create(&name("doomed")).await;
                if !empty {
                    let mut input = world.put_input("k", &pattern(100, 1));
                    input.bucket = name("doomed");
                    world.objects.put(input).await.unwrap();
                    // Closed by force: a plain attempt would see at once that it is not empty.
                    close(world).await;
                }
            },
            async |world| {
                let told = world.objects.delete_bucket(&name("doomed")).await;
                let _ = world.objects.core.reap_all().await;
                match told {
                    Ok(()) => true,
                    Err(crate::DeleteBucketError::NotEmpty) => !empty,
                    Err(_) => false,
                }
            },
            async |world, acknowledged| {
                let there = world.objects.bucket(&name("doomed")).await.is_ok();
                if !empty {
                    let read = world.objects.get(&name("doomed"), &key("k")).await.unwrap();
                    assert_eq!(read.info.length, 100);
                    let mut input = world.put_input("k2", b"x");
                    input.bucket = name("doomed");
                    world.objects.put(input).await.unwrap();
                    world.objects.delete(&name("doomed"), &key("k2")).await.unwrap();
                } else if acknowledged {
                    assert!(!there);
                }
            },
        )
        .await;
    }
}

/// Leaves a bucket as somebody who died while deleting it would.
async fn close(world: &World) {
    use ossia_store::{Decision, Writes, transact};

    use crate::{
        keys,
        records::{BucketState, Catalogue, Stored},
    };
    let at = keys::catalogue(&name("doomed"));
    let closed = transact::<(), (), _>(&world.store.inner, keys::SYSTEM, vec![], move |view| {
        let found = Catalogue::decode_option(view.get(&at)?.as_ref()).unwrap().unwrap();
        let mut writes = Writes::none();
        let closing = Catalogue { state: BucketState::Closing, epoch: found.epoch + 1, ..found };
        writes.put(at.clone(), closing.encode());
        Ok(Decision::Commit(writes, ()))
    });
    closed.await.unwrap().unwrap();
}
