//! Looking after data, through the real binary: check, scrub, backup, restore, usage, and the refusal of a newer format.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use common::{Random, Server, ossia};
use ossia_client::{
    AppendObjectRequest, Client, CreateBucketRequest, GetObjectRequest, PutObjectRequest,
};
use ossia_engine::{EngineOptions, LocalEngine};
use ossia_protocol::crc64::checksum;
use ossia_store::{
    Blobs as _, Decision, Index as _, Item, Partition, Scan, Store as _, Writes, successor,
    transact,
};
use serde_json::Value;

const BUCKET: &str = "care";
const ONE_SHARD: [&str; 2] = ["--set", "engine.shards=1"];
/// Where the first bucket of a store with one shard lies.
const FIRST: Partition = Partition(1 << 16);
/// What a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a verb to its end: exit code, lines of JSON, what it said to standard error.
fn run(arguments: &[&str], paths: &[&Path]) -> (i32, Vec<Value>, String) {
    let output = ossia().args(arguments).args(paths).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    (output.status.code().unwrap(), lines, String::from_utf8(output.stderr).unwrap())
}

fn check(data: &Path) -> (i32, Vec<Value>) {
    let (code, mut lines, told) = run(&["check", "--json"], &[data]);
    assert!(code < 2, "{told}");
    // The summary ends a check that came to its end.
    lines.retain(|line| line.get("finding").is_some());
    assert_eq!(code, i32::from(!lines.is_empty()), "{lines:?}");
    (code, lines)
}

#[track_caller]
fn assert_clean(data: &Path) {
    assert_eq!(check(data), (0, Vec::new()));
}

/// One finding at least is about this object.
#[track_caller]
fn assert_found(data: &Path, key: &str, what: &str) {
    let (_, findings) = check(data);
    let about = |found: &&Value| {
        found["key"] == key && found["finding"].as_str().is_some_and(|told| told.contains(what))
    };
    assert!(findings.iter().find(about).is_some(), "{key}, {what}: {findings:?}");
}

async fn append(client: &Client, key: &str, position: u64, bytes: Vec<u8>) -> u64 {
    let request = AppendObjectRequest::new(BUCKET, key, bytes).position(position);
    client.append_object(request).await.unwrap().next_position
}

async fn read(client: &Client, key: &str) -> Option<Vec<u8>> {
    let answer = match client.get_object(GetObjectRequest::new(BUCKET, key)).await {
        Ok(answer) => answer,
        Err(error) if error.code() == Some("NoSuchKey") => return None,
        Err(error) => panic!("{key} cannot be read: {error}"),
    };
    let crc64 = answer.meta.crc64;
    let bytes = answer.body.collect(64 << 20).await.unwrap();
    assert_eq!(crc64, Some(checksum(&bytes)), "{key}");
    Some(bytes.to_vec())
}

fn inline_body() -> Vec<u8> {
    (0..1_000).flat_map(|i| format!("inline {i} ").into_bytes()).collect()
}

fn blob_body() -> Vec<u8> {
    (0..60_000).flat_map(|i| format!("blob {i} ").into_bytes()).collect()
}

/// A store with one object of each kind, closed.
async fn store(data: &Path) {
    let server = Server::start_with(data, &ONE_SHARD);
    let client = server.client();
    client.create_bucket(CreateBucketRequest::new(BUCKET)).await.unwrap();
    for (key, body) in [("inline", inline_body()), ("blob", blob_body()), ("empty", Vec::new())] {
        client.put_object(PutObjectRequest::new(BUCKET, key, body)).await.unwrap();
    }
    let mut position = 0;
    for i in 0..5_u8 {
        position = append(&client, "log", position, vec![b'a' + i; 3_000]).await;
    }
    assert!(server.stop().success());
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(
                    path.strip_prefix(folder).unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    found
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for (path, bytes) in files(from) {
        fs::create_dir_all(to.path().join(&path).parent().unwrap()).unwrap();
        fs::write(to.path().join(path), bytes).unwrap();
    }
    to
}

/// The only blob of a store, or of a backup.
fn only_blob(folder: &Path) -> PathBuf {
    let blobs = files(folder).into_keys().filter(|path| path.starts_with("blobs"));
    let blobs: Vec<PathBuf> = blobs.collect();
    assert_eq!(blobs.len(), 1, "{blobs:?}");
    folder.join(&blobs[0])
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_whole_store_is_clean_and_a_check_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    store(&data).await;
    let mut before = files(&data);
    assert_clean(&data);
    let (code, lines, _) = run(&["check", "--quick", "--json"], &[&data]);
    assert_eq!((code, &lines[0]["objects"], &lines[0]["bytes"]), (0, &4.into(), &0.into()));
    let mut after = files(&data);
    // Who held it last.
    before.remove(Path::new("LOCK"));
    after.remove(Path::new("LOCK"));
    assert!(before == after, "a check has changed a file");
    // A torn tail is what a start cuts; a check sees what a start would serve, and cuts nothing.
    let server = Server::start(&data);
    let client = server.client();
    append(&client, "log", 15_000, vec![b'z'; 500]).await;
    server.kill();
    let before = files(&data.join("shard-0"));
    assert_clean(&data);
    assert!(before == files(&data.join("shard-0")), "a check has changed a file");
}

#[tokio::test]
async fn each_damage_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("data");
    store(&whole).await;

    let data = copy(&whole);
    flip(&only_blob(data.path()), 4_096 + 70_000);
    assert_found(data.path(), "blob", "damaged");

    let data = copy(&whole);
    fs::remove_file(only_blob(data.path())).unwrap();
    assert_found(data.path(), "blob", "missing");

    let data = copy(&whole);
    let body = inline_body();
    let (path, at) = files(data.path())
        .into_iter()
        .filter(|(path, _)| path.starts_with("shard-0/journal"))
        .find_map(|(path, bytes)| {
            Some((path, bytes.windows(64).position(|piece| piece == &body[..64])?))
        })
        .unwrap();
    flip(&data.path().join(path), at + 100);
    assert_found(data.path(), "inline", "does not match its checksum");

    let data = copy(&whole);
    fs::write(data.path().join("LAYOUT"), "ossia-store\nformat 2\n").unwrap();
    let (code, lines, _) = run(&["check", "--json"], &[data.path()]);
    assert_eq!((code, lines.len()), (1, 1), "{lines:?}");
    assert!(lines[0]["file"].as_str().unwrap().ends_with("LAYOUT"));
}

#[tokio::test]
async fn records_that_do_not_fit_each_other_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("data");
    store(&whole).await;

    // An extent in the middle of the log goes.
    let data = copy(&whole);
    let engine = LocalEngine::open(EngineOptions::new(data.path())).unwrap();
    let keys = extents(&engine).await;
    assert_eq!(keys.len(), 6);
    let gone = keys.iter().find(|(_, length)| *length == 3_000).unwrap().0.clone();
    delete(&engine, gone).await;
    engine.shutdown().await.unwrap();
    drop(engine);
    assert_found(data.path(), "log", "");

    // A head goes, and its extents stay.
    let data = copy(&whole);
    let engine = LocalEngine::open(EngineOptions::new(data.path())).unwrap();
    delete(&engine, b"hlog"[..].into()).await;
    // And a blob that nothing names.
    let owner = [&[1][..], &FIRST.0.to_be_bytes()].concat();
    let mut writer = engine.create(owner.into()).await.unwrap();
    writer.write(vec![7; 100][..].to_vec().into()).await.unwrap();
    let blob = writer.finish().await.unwrap().id;
    engine.adopt(blob).await.unwrap();
    engine.shutdown().await.unwrap();
    drop(engine);
    let (_, findings) = check(data.path());
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[0]["finding"].as_str().unwrap().contains("no object names the content"));
    assert_eq!(findings[1]["blob"], blob.to_string());
}

async fn extents(engine: &LocalEngine) -> Vec<(bytes::Bytes, u64)> {
    let (start, end) = (bytes::Bytes::from_static(b"c"), successor(b"c"));
    let page = engine.scan(FIRST, Scan { start, end, limit: 100, fold: None }).await.unwrap();
    let records = page.items.into_iter().filter_map(|item| match item {
        Item::Record(key, record) => {
            Some((key, record.payload.map_or(0, |payload| payload.length.into())))
        }
        Item::Prefix(_) => None,
    });
    records.collect()
}

async fn delete(engine: &LocalEngine, key: bytes::Bytes) {
    let told = transact::<(), (), _>(engine, FIRST, Vec::new(), move |_| {
        let mut writes = Writes::none();
        writes.delete(key.clone());
        Ok(Decision::Commit(writes, ()))
    });
    told.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_folder_in_use_is_not_checked_and_a_newer_format_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    store(&data).await;
    let server = Server::start(&data);
    let (code, _, told) = run(&["check"], &[&data]);
    assert!(code == 3 && told.contains("a server is running on it"), "{told}");
    assert!(server.stop().success());

    // The check of the layout's own lines is right; only the format is one that does not exist yet.
    let text = fs::read_to_string(data.join("LAYOUT")).unwrap();
    let (lines, _) = text.split_once("check ").unwrap();
    let lines = lines.replace("format 2", "format 3");
    let layout = format!("{lines}check {:08x}\n", crc32c(lines.as_bytes()));
    fs::write(data.join("LAYOUT"), layout).unwrap();
    let before = files(&data.join("shard-0"));
    let expected = "has format 3, this version knows up to 2; use a newer version";
    let output = ossia()
        .args(["serve", "--listen", "127.0.0.1:0", "--master-key-file", common::KEY_FILE, "--data"])
        .arg(&data)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(4) && told.contains(expected), "{told}");
    let (code, _, told) = run(&["check"], &[&data]);
    assert!(code == 2 && told.contains(expected), "{told}");
    assert!(before == files(&data.join("shard-0")), "a refusal has changed a file");
}

/// CRC-32C, bit by bit: one line of text does not need a crate.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| step(sum)))
}

/// Objects that one writer changes, and all that was acknowledged of each.
#[derive(Default)]
struct Acknowledged {
    /// Lengths of logs, whose bytes are told by their positions.
    logs: BTreeMap<String, u64>,
    /// The number of the last put of each key, whose bytes are told by that; even numbers were deleted.
    puts: BTreeMap<String, u64>,
}

fn log_bytes(from: u64, to: u64) -> Vec<u8> {
    (from..to).map(|position| (position / 7 % 251) as u8).collect()
}

fn put_bytes(number: u64) -> Vec<u8> {
    // Now and then one that becomes a blob.
    let length = if number.is_multiple_of(5) { 150_000 } else { 3_000 };
    (0..length).map(|i| ((i + number) % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_busy_server_holds_what_was_acknowledged_before_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let (data, target) = (folder.path().join("data"), folder.path().join("backup"));
    let server = Server::start_with(&data, &common::RESTLESS);
    let client = server.client();
    client.create_bucket(CreateBucketRequest::new(BUCKET)).await.unwrap();
    let told = Arc::new(Mutex::new(Acknowledged::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let mut random = Random::seeded();
    let mut writers = Vec::new();
    for i in 0..4 {
        let (client, told, stop) = (client.clone(), Arc::clone(&told), Arc::clone(&stop));
        let mut random = random.fork();
        writers.push(tokio::spawn(async move {
            let (log, put) = (format!("log-{i}"), format!("put-{i}"));
            let (mut length, mut number) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                let more = 1 + random.below(4_000);
                length = append(&client, &log, length, log_bytes(length, length + more)).await;
                told.lock().unwrap().logs.insert(log.clone(), length);
                number += 1;
                if number % 2 == 1 {
                    let request = PutObjectRequest::new(BUCKET, put.as_str(), put_bytes(number));
                    client.put_object(request).await.unwrap();
                } else {
                    client.delete_object(BUCKET, &put).await.unwrap();
                }
                told.lock().unwrap().puts.insert(put.clone(), number);
            }
        }));
    }
    let mut kept = Vec::new();
    for _ in 0..3 {
        // Some work between two backups.
        let enough = told.lock().unwrap().puts.values().sum::<u64>() + 60;
        wait(|| told.lock().unwrap().puts.values().sum::<u64>() >= enough).await;
        let before = {
            let told = told.lock().unwrap();
            Acknowledged { logs: told.logs.clone(), puts: told.puts.clone() }
        };
        let (data, target) = (data.clone(), target.clone());
        let made = tokio::task::spawn_blocking(move || {
            run(&["backup", "--json", "--data", data.to_str().unwrap()], &[&target])
        });
        let (code, lines, said) = made.await.unwrap();
        assert_eq!(code, 0, "{said}");
        kept.push((lines[0]["number"].as_u64().unwrap(), before));
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let last = told.lock().unwrap().puts.clone();
    assert!(server.stop().success());
    assert_clean(&data);
    for (number, before) in kept {
        let restored = folder.path().join(format!("restored-{number}"));
        let (code, _, said) =
            run(&["restore", "--number", &number.to_string()], &[&target, &restored]);
        assert_eq!(code, 0, "{said}");
        assert_clean(&restored);
        let server = Server::start_with(&restored, &common::RESTLESS);
        let client = server.client();
        for (key, length) in before.logs {
            let found = read(&client, &key).await.unwrap();
            assert!(found.len() as u64 >= length, "{key} has {} of {length} bytes", found.len());
            assert!(found == log_bytes(0, found.len() as u64), "{key} has other bytes");
        }
        for (key, number) in before.puts {
            let found = read(&client, &key).await;
            // The one of then, or a later one.
            let could = (number..=last[&key] + 1).any(|number| match &found {
                None => number % 2 == 0,
                Some(found) => number % 2 == 1 && *found == put_bytes(number),
            });
            assert!(could, "{key} is in no state that it had");
        }
        assert!(server.stop().success());
        assert_clean(&restored);
    }
    for made in [&data, &target] {
        let mode = fs::metadata(made).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{} is its owner's alone", made.display());
    }
    let (code, _, said) = run(&["backup", "--verify", "--deep"], &[&target]);
    assert_eq!(code, 0, "{said}");
}

async fn wait(mut until: impl FnMut() -> bool) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < PATIENCE, "it does not come true");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_second_backup_copies_what_is_new_and_old_ones_go_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (data, target) = (folder.path().join("data"), folder.path().join("backup"));
    let server = Server::start_with(&data, &ONE_SHARD);
    let client = server.client();
    client.create_bucket(CreateBucketRequest::new(BUCKET)).await.unwrap();
    for i in 0..4_u8 {
        let request = PutObjectRequest::new(BUCKET, format!("big-{i}"), vec![i; 1 << 20]);
        client.put_object(request).await.unwrap();
    }
    let backup = |more: &[&str]| {
        let arguments = [&["backup", "--json", "--data", data.to_str().unwrap()], more].concat();
        let (code, lines, told) = run(&arguments, &[&target]);
        assert_eq!(code, 0, "{told}");
        lines[0].clone()
    };
    let copied = |line: &Value| line["copied_bytes"].as_u64().unwrap();
    assert!(copied(&backup(&[])) > 4 << 20);
    append(&client, "log", 0, vec![1; 1_000]).await;
    assert!(copied(&backup(&[])) < 1 << 20);
    client.delete_object(BUCKET, "big-0").await.unwrap();
    // Its blob goes some time after, and then its copy does with the generations that name it.
    wait(|| files(&data).keys().filter(|path| path.starts_with("blobs")).count() == 3).await;
    let third = backup(&["--keep", "1"]);
    assert!(
        copied(&third) < 1 << 20 && third["removed_bytes"].as_u64().unwrap() > 1 << 20,
        "{third}"
    );
    let (_, lines, _) = run(&["backup", "--list", "--json"], &[&target]);
    assert_eq!(lines.iter().map(|line| line["number"].as_u64().unwrap()).collect::<Vec<_>>(), [3]);
    // Without a server it is the same.
    assert!(server.stop().success());
    assert!(copied(&backup(&[])) < 1 << 20);
    let (code, _, told) = run(&["backup", "--verify", "--deep"], &[&target]);
    assert_eq!(code, 0, "{told}");
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_half_a_backup_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let (data, target) = (folder.path().join("data"), folder.path().join("backup"));
    store(&data).await;
    let arguments = ["backup", "--data", data.to_str().unwrap()];
    assert_eq!(run(&arguments, &[&target]).0, 0);
    let restored = folder.path().join("restored");
    // A folder with something in it is not restored into.
    fs::create_dir(&restored).unwrap();
    fs::write(restored.join("mine"), "mine").unwrap();
    let (code, _, told) = run(&["restore"], &[&target, &restored]);
    assert!(code == 1 && told.contains("is not empty"), "{told}");
    fs::remove_file(restored.join("mine")).unwrap();

    flip(&only_blob(&target.join("files")), 5_000);
    assert_eq!(run(&["backup", "--verify"], &[&target]).0, 1);
    let (code, _, told) = run(&["restore"], &[&target, &restored]);
    assert!(code == 1 && told.contains("does not have its checksum"), "{told}");
    assert!(!restored.join("LAYOUT").exists(), "what is not whole must not look like a store");

    let manifest = target.join("generations/0000000000000001");
    flip(&manifest, 40);
    let (code, _, told) = run(&["restore"], &[&target, &folder.path().join("other")]);
    assert!(code == 1 && told.contains("is damaged"), "{told}");
    fs::rename(&manifest, manifest.with_extension("new")).unwrap();
    let (code, _, told) = run(&["restore"], &[&target, &folder.path().join("other")]);
    assert!(code == 1 && told.contains("no backup has come to its end"), "{told}");
    // The next one begins again, and finds that a file is not what it should be only by its checksum: it has another name to go by.
    assert_eq!(run(&arguments, &[&target]).0, 0);
}

#[tokio::test]
async fn usage_is_the_same_of_a_server_and_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    store(&data).await;
    let of = |data: &Path| {
        let (code, lines, told) = run(&["usage", "--json"], &[data]);
        assert_eq!(code, 0, "{told}");
        assert!(lines.last().unwrap()["on_disk"]["blobs"].as_u64().unwrap() > 0);
        lines[0].clone()
    };
    let at_rest = of(&data);
    let bytes = inline_body().len() + blob_body().len() + 15_000;
    assert_eq!((&at_rest["bucket"], &at_rest["objects"]), (&BUCKET.into(), &4.into()));
    assert_eq!(at_rest["bytes"], bytes);
    assert_eq!(
        at_rest["types"]["Appendable"],
        serde_json::json!({ "objects": 1, "bytes": 15_000 })
    );
    assert_eq!(at_rest["classes"]["Standard"]["objects"], 4);
    let server = Server::start(&data);
    assert_eq!(of(&data), at_rest);
    assert!(server.stop().success());
}

/// A server that is expected to complain.
struct Complaining(Child);

impl Drop for Complaining {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn http_get(address: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn the_scrub_finds_damage_and_tells_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    store(&data).await;
    flip(&only_blob(&data), 4_096 + 70_000);
    let mut child = ossia()
        .args(["serve", "--listen", "127.0.0.1:0", "--master-key-file", common::KEY_FILE, "--data"])
        .arg(&data)
        .args(["--set", "scrub.bytes_per_s=1000000000", "--set", "scrub.every_hours=0"])
        .args(["--set", "scrub.settle_ms=0", "--set", "metrics.listen=127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut screen = BufReader::new(child.stdout.take().unwrap());
    let _server = Complaining(child);
    let (mut address, mut metrics) = (None, None);
    while address.is_none() || metrics.is_none() {
        let mut line = String::new();
        assert!(screen.read_line(&mut line).unwrap() > 0, "it did not start");
        let url = line.split_whitespace().find_map(|word| word.strip_prefix("http://"));
        if line.contains("/metrics") {
            metrics = url.and_then(|url| url.split('/').next()).map(str::to_owned);
        } else if line.trim().starts_with("listening on") {
            address = url.map(str::to_owned);
        }
    }
    let (address, metrics) = (address.unwrap(), metrics.unwrap());
    let figure = |name: &str| -> u64 {
        let text = http_get(&metrics, "/metrics");
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        line.unwrap_or_else(|| panic!("{name} is not in {text}"))
    };
    wait(|| figure("ossia_scrub_rounds_total") >= 2).await;
    assert_eq!(figure("ossia_scrub_damaged"), 1);
    assert!(figure("ossia_scrub_findings_total") >= 2 && figure("ossia_scrub_objects_total") >= 8);
    let health = http_get(&address, "/_ossia/health");
    assert!(
        health.starts_with("HTTP/1.1 200") && health.contains("damaged: 1 findings"),
        "{health}"
    );
}
