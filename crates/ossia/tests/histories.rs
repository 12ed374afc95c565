//! Many clients on few keys, over HTTP, with a `kill -9` in the middle: what they saw has one order for each object.
//!
//! The same clients and the same judge run through power cuts in `crates/sim`; here they show that a server on a healthy disk, killed
//! and restarted, passes.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{KEY_ID, KEY_SECRET, Random, Server};
use ossia_client::Timeouts;
use ossia_sim::history::{
    Checker, Figures, History, Settings, Target, Tolerance, Workload, read_back,
};

/// Changes that are acknowledged before a kill.
const ACKNOWLEDGED: u64 = 150;
const ROUNDS: u32 = 3;
const ROUND_MAX: Duration = Duration::from_secs(120);

fn target(server: &Server) -> Target {
    Target::new(&server.endpoint(), KEY_ID, KEY_SECRET, "histories", Timeouts::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_clients_see_across_a_kill_has_one_order_for_each_object() {
    let seed = Random::seeded().next();
    let folder = tempfile::tempdir().unwrap();
    let history = History::new();
    let mut workload = Workload::new(Settings::new(seed));
    let mut checker = Checker::new(seed, Tolerance::default());
    let mut figures = Figures::default();
    let mut judged = Duration::ZERO;
    for round in 0..ROUNDS {
        // Background work all the time; the last round without, as it comes.
        let arguments = if round < ROUNDS - 1 { &common::RESTLESS[..] } else { &[] };
        let server = Server::start_with(folder.path(), arguments);
        let target = target(&server);
        if round == 0 {
            target.create_bucket().await.unwrap();
        }
        read_back(&target, &history, &workload.keys(), round).await.unwrap();
        let batch = history.take();
        let begun = Instant::now();
        figures += checker.absorb(&batch).unwrap_or_else(|violation| panic!("{violation}"));
        judged += begun.elapsed();

        let wanted = history.acknowledged() + ACKNOWLEDGED;
        let (stop, watched) = (Arc::new(AtomicBool::new(false)), history.clone());
        let run = workload.run(&target, &history, &stop);
        let kill = async {
            let begun = Instant::now();
            while watched.acknowledged() < wanted {
                assert!(begun.elapsed() < ROUND_MAX, "the server acknowledges too little");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::task::spawn_blocking(move || server.kill()).await.unwrap();
            stop.store(true, Ordering::Relaxed);
        };
        tokio::join!(run, kill);
        history.cut();
    }
    let server = Server::start(folder.path());
    read_back(&target(&server), &history, &workload.keys(), ROUNDS).await.unwrap();
    let batch = history.take();
    figures += checker.absorb(&batch).unwrap_or_else(|violation| panic!("{violation}"));
    assert!(server.stop().success());
    println!("{figures:?}, the rounds but the last judged in {judged:?}");
    assert!(figures.acknowledged as u64 >= ACKNOWLEDGED * u64::from(ROUNDS));
}
