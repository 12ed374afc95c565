//! How many durable transactions a second the engine commits: one 1 KiB payload each, so many at once; once under keys of their
//! own, once as appends do it. Beside it, in the same run, the floor: one 4 KiB write and sync of a preallocated file after the
//! other. The processor time is that of the whole process, callers included, and does not depend on what else runs.
//!
//! `cargo run --release -p ossia-engine --example commit_rate [folder]`

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use ossia_engine::{EngineOptions, LocalEngine};
use ossia_store::{Decision, Partition, Payload, Store, Writes, transact};

const RUN: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "commit-rate-data".into());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        println!("1 KiB payloads, every one synced before it is answered; data in {folder}");
        std::fs::create_dir_all(&folder)?;
        println!("    floor    1 writer  {:>9.0} /s", floor(&format!("{folder}/floor"))?);
        for grow in [false, true] {
            for writers in [1, 64, 256] {
                let path = format!("{folder}/{}-{writers}", u8::from(grow));
                // Bench folders of an earlier run would be replayed first.
                let _ = std::fs::remove_dir_all(&path);
                let engine = LocalEngine::open(EngineOptions::new(&path))?;
                let before = processor_time();
                let (rate, mut times) = run(&engine, writers, grow).await;
                let spent = processor_time().saturating_sub(before);
                let each = spent.as_secs_f64() * 1e6 / times.len().max(1) as f64;
                times.sort_unstable();
                let at = |part: usize| times.get(times.len() * part / 100).copied();
                println!(
                    "{:>9} {writers:>4} writers {rate:>9.0} /s  p50 {:?}  p99 {:?}  {each:.1} us of processor each",
                    if grow { "append" } else { "new keys" },
                    at(50).unwrap_or_default(),
                    at(99).unwrap_or_default()
                );
                engine.shutdown().await?;
                drop(engine);
                let began = Instant::now();
                LocalEngine::open(EngineOptions::new(&path))?.shutdown().await?;
                println!("{:>24} opened and closed again in {:?}", "", began.elapsed());
                let _ = std::fs::remove_dir_all(&path);
            }
        }
        Ok(())
    })
}

/// Synced 4 KiB writes a second, one after the other.
fn floor(path: &str) -> std::io::Result<f64> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::create(path)?;
    file.write_all_at(&vec![0; 64 << 20], 0)?;
    file.sync_all()?;
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < RUN {
        file.write_all_at(&[1; 4_096], (count % 16_384) * 4_096)?;
        file.sync_data()?;
        count += 1;
    }
    std::fs::remove_file(path)?;
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// What this process has used so far, as Linux tells it, in steps of 10 ms.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

async fn run(engine: &LocalEngine, writers: usize, grow: bool) -> (f64, Vec<Duration>) {
    let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let payload = Bytes::from(vec![0x5a; 1_024]);
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (engine, stop, next, payload) =
                (engine.clone(), Arc::clone(&stop), Arc::clone(&next), payload.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let committed = if grow {
                        append(&engine, writer as u64, payload.clone()).await
                    } else {
                        put(&engine, number, payload.clone()).await
                    };
                    assert!(committed, "a commit failed");
                    times.push(began.elapsed());
                }
                times
            })
        })
        .collect();
    tokio::time::sleep(RUN).await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap_or_default());
    }
    (times.len() as f64 / start.elapsed().as_secs_f64(), times)
}

/// Puts one record with a payload under a key that no other call uses.
async fn put(engine: &LocalEngine, number: u64, payload: Bytes) -> bool {
    let key = Bytes::from(format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let hints = vec![key.clone()];
    let done = transact(engine, Partition(1), hints, move |view| {
        view.get(&key)?;
        let mut writes = Writes::none();
        writes.put_with(
            key.clone(),
            "a record of some length",
            Payload::New(vec![payload.clone()]),
        );
        Ok(Decision::<(), ()>::Commit(writes, ()))
    });
    matches!(done.await, Ok(Ok(())))
}

/// What an append does: reads a head, writes it anew, and one extent behind it.
async fn append(engine: &LocalEngine, object: u64, payload: Bytes) -> bool {
    let head = Bytes::from(format!("head {object}"));
    let hints = vec![head.clone()];
    let done = transact(engine, Partition(1), hints, move |view| {
        let before = view.get(&head)?.and_then(|record| record.value.get(..8)?.try_into().ok());
        let position = before.map_or(0, u64::from_le_bytes);
        let mut writes = Writes::none();
        let mut value = vec![0; 128];
        value[..8].copy_from_slice(&(position + payload.len() as u64).to_le_bytes());
        writes.put(head.clone(), value);
        let extent = Bytes::from(format!("extent {object} {position:020}"));
        writes.put_with(extent, "crc", Payload::New(vec![payload.clone()]));
        Ok(Decision::<(), ()>::Commit(writes, ()))
    });
    matches!(done.await, Ok(Ok(())))
}
