//! What a store that fails makes of a change, and what is made of a store that holds what is not known.

use ossia_store::Hostility;

use super::*;

#[test]
fn a_change_that_fails_leaves_nothing_and_one_that_is_done_is_stored_and_in_force() {
    let hostile = |seed, busy_per_mille, unknown_per_mille| MemoryOptions {
        hostility: Some(Hostility { busy_per_mille, unknown_per_mille, ..Hostility::new(seed) }),
        ..MemoryOptions::default()
    };
    let mut failed = 0;
    for seed in 0..12 {
        block_on(async {
            for (busy, lost) in [(400, 0), (0, 400)] {
                let mut world = World::new(Limits::default()).await;
                world.store = Arc::new(MemoryStore::new(hostile(seed, busy, lost)));
                world.ram = open(&world.store, &world.master, &world.limits).await;
                let mut kept = Vec::new();
                for number in 0..20 {
                    let name = format!("user-{number:02}");
                    let before = world.told().await;
                    match world.call("CreateUser", &[("UserName", &name)]).await {
                        Ok(_) => {
                            kept.push(name);
                            let other = open(&world.store, &world.master, &world.limits).await;
                            let other = World {
                                ram: other,
                                store: Arc::clone(&world.store),
                                master: Arc::clone(&world.master),
                                limits: world.limits.clone(),
                            };
                            assert_eq!(other.told().await, world.told().await, "{seed}");
                        }
                        Err(fault) if lost == 0 => {
                            failed += 1;
                            assert_eq!((fault.status, world.told().await), (503, before), "{seed}");
                        }
                        Err(fault) => assert!(fault.status >= 500, "{seed}: {fault}"),
                    }
                }
                let told = world.told().await;
                assert!(kept.iter().all(|name| told.contains(name)), "{seed}: {kept:?} {told}");
            }
        });
    }
    assert!(failed > 40, "{failed}");
}

#[test]
fn a_record_that_is_not_known_is_not_left_out() {
    block_on(async {
        let world = World::new(Limits::default()).await;
        world.call("CreateUser", &[("UserName", "a")]).await.unwrap();
        let later = bytes::Bytes::from_static(b"zx");
        ossia_store::transact::<(), std::convert::Infallible, _>(
            &*world.store,
            crate::records::PARTITION,
            Vec::new(),
            move |_| {
                let mut writes = ossia_store::Writes::none();
                writes.put(later.clone(), bytes::Bytes::from_static(b"\x01"));
                Ok(ossia_store::Decision::Commit(writes, ()))
            },
        )
        .await
        .unwrap()
        .unwrap();
        let (store, master) = (Arc::clone(&world.store), Arc::clone(&world.master));
        let told = Ram::open(store, master, "1", world.limits.clone()).await;
        assert!(matches!(told, Err(LoadError::Damaged { .. })));
    });
}
