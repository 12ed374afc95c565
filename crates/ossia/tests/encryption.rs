//! Encryption at rest, with the real program: what a data folder holds, what it is worth without its keys, kills and rotations.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::{
    collections::HashSet,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use common::{
    Place, Random, Server, ossia,
    wire::{Answer, Request, Sign, Wire},
};

const SSE: [(&str, &str); 1] = [("x-oss-server-side-encryption", "AES256")];
const PLAIN: [(&str, &str); 0] = [];
/// Every wait here is for something that comes by itself.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(data: &Path, keys: &Path, more: &[&str]) -> Server {
    let own = ["--master-key-file", keys.to_str().unwrap()];
    Server::start_with(data, &[&own[..], more].concat())
}

fn ask(
    server: &Server,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut wire = Wire::connect(server.address());
    let request = Request::new(method, "127.0.0.1", target).headers(headers);
    wire.exchange(&request, Sign::V4, body)
}

#[track_caller]
fn done(answer: Answer) -> Answer {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// Letters, so that an answer is text.
fn letters(random: &mut Random, count: usize) -> Vec<u8> {
    random.bytes(count).into_iter().map(|byte| b'a' + byte % 26).collect()
}

fn everything_in(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => all.extend(fs::read(path).unwrap()),
            }
        }
    }
    all
}

fn holds_a_run_of(known: &[u8], all: &[u8]) -> bool {
    let runs: HashSet<&[u8]> = known.windows(16).collect();
    all.windows(16).any(|window| runs.contains(window))
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        match path.is_dir() {
            true => copy_folder(&path, &to.join(name)),
            false => drop(fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}

#[test]
fn acknowledged_appends_survive_kills_and_never_stand_in_the_folder_as_they_are() {
    let place = Place::new();
    let mut random = Random::seeded();
    let known = Arc::new(letters(&mut random, 3 << 20));
    let acknowledged = Arc::new(AtomicUsize::new(0));
    for round in 0..4 {
        let server = place.start_with(&common::RESTLESS);
        if round == 0 {
            done(ask(&server, "PUT", "/bkt/", &PLAIN, b""));
        }
        let (address, known, told) =
            (server.address(), Arc::clone(&known), Arc::clone(&acknowledged));
        let begun = told.load(Ordering::Relaxed);
        let writer = std::thread::spawn(move || {
            // What a kill cuts off panics here, as it should.
            let mut wire = Wire::connect(address);
            let found =
                wire.exchange(&Request::new("HEAD", "127.0.0.1", "/bkt/log"), Sign::V4, b"");
            let mut position: usize = match found.status {
                404 => 0,
                _ => found.header("x-oss-next-append-position").unwrap().parse().unwrap(),
            };
            assert!(position >= told.load(Ordering::Relaxed), "acknowledged bytes are lost");
            for i in 0.. {
                let length = [700, 90, 200_000, 3_000][i % 4];
                let end = position + length;
                let target = format!("/bkt/log?append&position={position}");
                let request = Request::new("POST", "127.0.0.1", &target).headers(&SSE);
                let answer = wire.exchange(&request, Sign::V4, &known[position..end]);
                assert_eq!(answer.status, 200, "{answer:?}");
                position = end;
                told.store(position, Ordering::Relaxed);
            }
        });
        let begin = Instant::now();
        while acknowledged.load(Ordering::Relaxed) < begun + 300_000 {
            assert!(begin.elapsed() < PATIENCE, "{}", server.log());
            std::thread::sleep(Duration::from_millis(1));
        }
        server.kill();
        let _ = writer.join();
    }
    let server = place.start_with(&common::RESTLESS);
    let read = done(ask(&server, "GET", "/bkt/log", &PLAIN, b"")).body;
    assert!(read.len() >= acknowledged.load(Ordering::Relaxed));
    assert!(read.as_bytes() == &known[..read.len()]);
    assert!(server.stop().success());
    let all = everything_in(&place.data());
    assert!(!holds_a_run_of(&known[..read.len()], &all));
    // Nor anything of the keys.
    let keys = fs::read_to_string(place.keys()).unwrap();
    let key = keys.lines().find_map(|line| line.strip_prefix("key ")).unwrap();
    let digits = key.split(' ').nth(1).unwrap();
    let bytes: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect();
    assert!(!holds_a_run_of(digits.as_bytes(), &all) && !holds_a_run_of(&bytes, &all));
    let mut check = ossia();
    check.arg("check").arg(place.data()).arg("--master-key-file").arg(place.keys());
    let told = check.output().unwrap();
    assert!(told.status.success(), "{told:?}");
}

#[test]
fn a_copied_data_folder_without_the_key_file_serves_what_is_plain_and_says_why_not_the_rest() {
    let place = Place::new();
    let server = place.start_with(&common::RESTLESS);
    done(ask(&server, "PUT", "/bkt/", &PLAIN, b""));
    done(ask(&server, "PUT", "/bkt/secret", &SSE, b"nobody else should read this"));
    done(ask(&server, "POST", "/bkt/log?append&position=0", &SSE, b"nor this"));
    done(ask(&server, "PUT", "/bkt/plain", &PLAIN, b"anybody may"));
    assert!(server.stop().success());
    let stolen = place.beside("stolen");
    copy_folder(&place.data(), &stolen);
    let absent = place.beside("absent");
    let server = start(&stolen, &absent, &[]);
    let keys = fs::read_to_string(place.keys()).unwrap();
    let id = keys.lines().find_map(|line| line.strip_prefix("current ")).unwrap();
    assert_eq!(done(ask(&server, "GET", "/bkt/plain", &PLAIN, b"")).body, "anybody may");
    for key in ["secret", "log"] {
        let refused = ask(&server, "GET", &format!("/bkt/{key}"), &PLAIN, b"");
        assert_eq!(refused.status, 403, "{refused:?}");
        assert!(refused.body.contains("<Code>InvalidObjectState</Code>"), "{refused:?}");
        assert!(refused.body.contains(id) && !refused.body.contains("nobody"), "{refused:?}");
        assert_eq!(ask(&server, "HEAD", &format!("/bkt/{key}"), &PLAIN, b"").status, 200);
    }
    let refused = ask(&server, "PUT", "/bkt/new", &SSE, b"x");
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.body.contains("no master key"), "{refused:?}");
    done(ask(&server, "PUT", "/bkt/new", &PLAIN, b"x"));
    let log = server.end_complaining();
    assert!(log.contains("THE MASTER KEY FILE IS MISSING") && log.contains(id), "{log}");
    assert!(!absent.exists(), "no key is made in its place");
    // A key file that is another's is no better.
    let other = place.beside("other");
    start(&place.beside("elsewhere"), &other, &[]).stop();
    let server = start(&stolen, &other, &[]);
    assert_eq!(ask(&server, "GET", "/bkt/secret", &PLAIN, b"").status, 403);
    let log = server.end_complaining();
    assert!(log.contains("THE MASTER KEY FILE LACKS KEYS") && log.contains(id), "{log}");
    // With the right one all is there.
    let server = start(&stolen, &place.keys(), &[]);
    let read = done(ask(&server, "GET", "/bkt/secret", &PLAIN, b""));
    assert_eq!(read.body, "nobody else should read this");
    // That the other key was once current here is still known.
    server.end_complaining();
}

#[test]
fn a_rotation_while_the_server_runs_seals_every_data_key_anew() {
    let place = Place::new();
    let server = place.start_with(&common::RESTLESS);
    done(ask(&server, "PUT", "/bkt/", &PLAIN, b""));
    for i in 0..100 {
        done(ask(&server, "PUT", &format!("/bkt/{i}"), &SSE, format!("object {i}").as_bytes()));
    }
    let old = fs::read(place.keys()).unwrap();
    let told =
        ossia().args(["master-key", "rotate", "--master-key-file"]).arg(place.keys()).output();
    assert!(told.unwrap().status.success());
    let begin = Instant::now();
    while !server.log().contains("no object is under these master keys any more") {
        assert!(begin.elapsed() < PATIENCE, "{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    done(ask(&server, "PUT", "/bkt/later", &SSE, b"under the new key"));
    assert!(server.stop().success());
    // The file of before has a key that opens nothing any more.
    let before = place.beside("before");
    fs::write(&before, old).unwrap();
    let server = start(&place.data(), &before, &[]);
    assert_eq!(ask(&server, "GET", "/bkt/7", &PLAIN, b"").status, 403);
    server.end_complaining();
    let server = place.start_with(&common::RESTLESS);
    assert_eq!(done(ask(&server, "GET", "/bkt/7", &PLAIN, b"")).body, "object 7");
    assert_eq!(done(ask(&server, "GET", "/bkt/later", &PLAIN, b"")).body, "under the new key");
}
