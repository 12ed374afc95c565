//! The command line against a real server: what a newcomer types, what comes back, which exit code.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use common::Server;
use ossia_client::{Client, CreateBucketRequest, GetObjectRequest};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A server, a folder for files, and the program.
struct Desk {
    server: Server,
    client: Client,
    _data: tempfile::TempDir,
    files: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path());
        let client = server.client();
        Desk { server, client, _data: data, files: tempfile::tempdir().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = common::ossia();
        command.args(arguments).env("OSSIA_ENDPOINT", self.server.endpoint());
        command.current_dir(self.files.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that must succeed, and gives back what it wrote.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
        assert_eq!(errors, "", "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail with this code, and gives back what it complained.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        errors
    }

    /// Runs a command with `--json` and reads its lines.
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let written = self.ok(&[arguments, &["--json"]].concat());
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.files.path().join(name), bytes).unwrap();
    }

    fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        std::fs::read(self.files.path().join(name)).unwrap()
    }
}

#[test]
fn a_newcomers_first_minutes() {
    let desk = Desk::new();
    assert_eq!(desk.ok(&["mb", "oss://logs"]), "made oss://logs\n");
    desk.file("app.log", "one\ntwo\n");
    let told = desk.ok(&["append", "oss://logs/app.log", "app.log"]);
    assert_eq!(told, "appended 8 bytes to oss://logs/app.log, next position 8\n");
    let told = desk.ok(&["append", "oss://logs/app.log", "app.log"]);
    assert_eq!(told, "appended 8 bytes to oss://logs/app.log, next position 16\n");
    assert_eq!(desk.ok(&["cat", "oss://logs/app.log"]), "one\ntwo\none\ntwo\n");
    assert_eq!(desk.ok(&["cat", "oss://logs/app.log", "--offset", "4", "--length", "4"]), "two\n");
    assert_eq!(desk.ok(&["cat", "oss://logs/app.log", "--offset", "12"]), "two\n");

    let listed = desk.ok(&["ls", "oss://logs"]);
    let words: Vec<_> = listed.split_whitespace().skip(1).collect();
    assert_eq!(words, ["16", "Appendable", "app.log"]);
    assert!(desk.ok(&["ls"]).trim_end().ends_with("oss://logs"));
    let stat = desk.ok(&["stat", "oss://logs/app.log"]);
    assert!(stat.contains("next append position  16\n"), "{stat}");
    assert!(stat.contains("content type          text/plain"), "{stat}");
    assert!(desk.ok(&["stat", "oss://logs"]).contains("acl                   private"));

    assert!(
        desk.ok(&["seal", "oss://logs/app.log"])
            .starts_with("sealed oss://logs/app.log at 16 bytes")
    );
    let sealed = desk.fails(1, &["append", "oss://logs/app.log", "app.log"]);
    assert!(sealed.contains("AppendSealedObjectNotAllowed"), "{sealed}");

    assert!(desk.fails(1, &["rb", "oss://logs"]).contains("BucketNotEmpty"));
    assert_eq!(desk.ok(&["rm", "oss://logs/app.log"]), "deleted oss://logs/app.log\n");
    assert_eq!(desk.ok(&["rb", "oss://logs"]), "removed oss://logs\n");
    assert_eq!(desk.ok(&["ls"]), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_grows_while_its_input_is_open() {
    let desk = Desk::new();
    desk.client.create_bucket(CreateBucketRequest::new("logs")).await.unwrap();
    let mut tail = desk
        .command(&["append", "oss://logs/live", "--flush-interval-ms", "20", "--sign", "v1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = tail.stdin.take().unwrap();
    let mut expected = String::new();
    for line in ["first\n", "second\n", "third\n"] {
        input.write_all(line.as_bytes()).unwrap();
        expected.push_str(line);
        // The object comes to hold the line though the input goes on.
        let begin = Instant::now();
        while desk.client.head_object("logs", "live").await.map_or(0, |head| head.meta.length)
            < expected.len() as u64
        {
            assert!(begin.elapsed() < Duration::from_secs(30), "the object does not grow");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let read = desk.client.get_object(GetObjectRequest::new("logs", "live")).await.unwrap();
        assert_eq!(read.body.collect(1000).await.unwrap(), expected);
    }
    drop(input);
    let output = tail.wait_with_output().unwrap();
    assert!(output.status.success());
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told, "appended 19 bytes to oss://logs/live, next position 19\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_ends_the_input_in_order() {
    let desk = Desk::new();
    desk.client.create_bucket(CreateBucketRequest::new("logs")).await.unwrap();
    // Only a full block is appended by itself.
    let arguments =
        ["append", "oss://logs/k", "--block-bytes", "5", "--flush-interval-ms", "600000"];
    let mut append =
        desk.command(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = append.stdin.take().unwrap();
    input.write_all(b"first").unwrap();
    let begin = Instant::now();
    while desk.client.head_object("logs", "k").await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(30), "nothing is appended");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let pid = Pid::from_raw(append.id() as i32).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = append.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told, "appended 5 bytes to oss://logs/k, next position 5\n");
    drop(input);
}

#[test]
fn a_long_input_goes_in_blocks_that_join_without_a_seam() {
    let desk = Desk::new();
    desk.ok(&["mb", "oss://logs"]);
    let bytes: Vec<u8> = (0..1_000_000u32).map(|i| (i * 7 / 3) as u8).collect();
    let mut append = desk
        .command(&["append", "oss://logs/long", "-", "--block-bytes", "65536", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    append.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = append.wait_with_output().unwrap();
    assert!(output.status.success());
    let blocks: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(blocks.len() >= 16, "{} blocks", blocks.len());
    assert_eq!(blocks.last().unwrap()["next_position"], 1_000_000);
    desk.ok(&["cp", "oss://logs/long", "long"]);
    assert!(desk.read("long") == bytes);
}

#[test]
fn an_empty_input_leaves_an_empty_object() {
    let desk = Desk::new();
    desk.ok(&["mb", "oss://logs"]);
    assert_eq!(
        desk.ok(&["append", "oss://logs/empty"]),
        "appended 0 bytes to oss://logs/empty, next position 0\n"
    );
    assert_eq!(desk.json(&["stat", "oss://logs/empty"])[0]["type"], "Appendable");
}

#[test]
fn a_wrong_position_is_refused_and_told() {
    let desk = Desk::new();
    desk.ok(&["mb", "oss://logs"]);
    desk.file("f", "12345");
    desk.ok(&["append", "oss://logs/k", "f", "--position", "0"]);
    let told = desk.fails(1, &["append", "oss://logs/k", "f", "--position", "3"]);
    assert!(told.contains("the object's length is 5"), "{told}");
    let appended = desk.json(&["append", "oss://logs/k", "f", "--position", "5"]);
    assert_eq!(appended[0]["next_position"], 10);
    assert_eq!(appended[0]["appended"], 5);
    desk.ok(&["cp", "f", "oss://logs/put"]);
    assert!(desk.fails(1, &["append", "oss://logs/put", "f"]).contains("not appendable"));
}

#[test]
fn files_and_objects_are_copied_both_ways_and_on_the_server() {
    let desk = Desk::new();
    desk.ok(&["mb", "oss://first"]);
    desk.ok(&["mb", "oss://second"]);
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i / 5) as u8).collect();
    desk.file("photo.png", &bytes);
    desk.ok(&["cp", "photo.png", "oss://first/pictures/"]);
    let stat = &desk.json(&["stat", "oss://first/pictures/photo.png"])[0];
    assert_eq!(stat["length"], 3_000_000);
    assert_eq!(stat["content_type"], "image/png");
    assert_eq!(stat["type"], "Normal");

    desk.ok(&["cp", "oss://first/pictures/photo.png", "oss://second/"]);
    desk.ok(&["cp", "oss://second/photo.png", "back.png"]);
    assert!(desk.read("back.png") == bytes);
    std::fs::create_dir(desk.files.path().join("folder")).unwrap();
    desk.ok(&["cp", "oss://second/photo.png", "folder"]);
    assert!(desk.read("folder/photo.png") == bytes);
    let exists = desk.fails(2, &["cp", "--no-overwrite", "oss://second/photo.png", "back.png"]);
    assert!(exists.contains("exists"), "{exists}");
    let exists = desk.fails(1, &["cp", "--no-overwrite", "back.png", "oss://second/photo.png"]);
    assert!(exists.contains("FileAlreadyExists"), "{exists}");
    assert_eq!(desk.ok(&["ls", "oss://first"]).split_whitespace().last(), Some("pictures/"));
    let recursive = desk.json(&["ls", "-r", "oss://first"]);
    assert_eq!(recursive[0]["key"], "pictures/photo.png");

    // A failed download leaves nothing behind, not even a part.
    desk.fails(1, &["cp", "oss://second/nothing", "nothing"]);
    desk.file("append", "x");
    desk.ok(&["append", "oss://first/grown", "append"]);
    let refused = desk.fails(1, &["cp", "oss://first/grown", "oss://second/grown"]);
    assert!(refused.contains("OperationNotSupported"), "{refused}");
    let mut left: Vec<_> = std::fs::read_dir(desk.files.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["append", "back.png", "folder", "photo.png"]);
}

#[test]
fn listings_stop_at_the_limit_and_go_over_pages() {
    let desk = Desk::new();
    desk.ok(&["mb", "oss://many"]);
    desk.file("f", "x");
    for number in 0..12 {
        desk.ok(&["cp", "f", &format!("oss://many/dir/{number:02}")]);
    }
    let keys = |arguments: &[&str]| -> Vec<String> {
        let entries = desk.json(arguments);
        entries.iter().map(|entry| entry["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&["ls", "oss://many/dir/"]).len(), 12);
    assert_eq!(keys(&["ls", "-r", "oss://many", "--limit", "2"]), ["dir/00", "dir/01"]);
    assert_eq!(keys(&["ls", "oss://many/dir/1"]), ["dir/10", "dir/11"]);
    assert_eq!(desk.ok(&["ls", "oss://many", "--limit", "0"]), "");
}

#[test]
fn failures_have_their_exit_codes() {
    let desk = Desk::new();
    assert!(desk.fails(1, &["ls", "oss://missing-bucket"]).contains("NoSuchBucket"));
    desk.ok(&["mb", "oss://logs"]);
    assert!(desk.fails(1, &["cat", "oss://logs/missing"]).contains("NoSuchKey"));
    assert!(desk.fails(1, &["stat", "oss://logs/missing"]).contains("NoSuchKey"));
    for usage in [
        &["cat", "oss://logs"][..],
        &["cat", "logs/k"],
        &["mb", "oss://logs/key"],
        &["mb", "oss://Bad_Name"],
        &["cp", "a", "b"],
        &["cp", "missing-file", "oss://logs/k"],
        &["append", "oss://logs/k", "missing-file"],
        &["ls", "--endpoint", "not a url"],
        &["mb", "oss://logs", "--acl", "everyone"],
        &["append"],
        &["nonsense"],
    ] {
        desk.fails(2, usage);
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    desk.fails(3, &["ls", "--endpoint", &nobody]);
    let wrong = desk.fails(1, &["ls", "--access-key-secret", "wrong"]);
    assert!(wrong.contains("SignatureDoesNotMatch"), "{wrong}");
}

#[test]
fn without_a_key_the_refusal_says_what_to_do() {
    let desk = Desk::new();
    desk.ok(&["mb", "oss://logs"]);
    let output = desk
        .command(&["ls", "oss://logs"])
        .env_remove("OSSIA_ACCESS_KEY_ID")
        .env_remove("OSSIA_ACCESS_KEY_SECRET")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("set OSSIA_ACCESS_KEY_ID and OSSIA_ACCESS_KEY_SECRET"), "{errors}");
    // The variables of the official SDKs serve as well.
    let output = desk
        .command(&["ls", "oss://logs"])
        .env_remove("OSSIA_ACCESS_KEY_ID")
        .env_remove("OSSIA_ACCESS_KEY_SECRET")
        .env("OSS_ACCESS_KEY_ID", common::KEY_ID)
        .env("OSS_ACCESS_KEY_SECRET", common::KEY_SECRET)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_reader_that_has_enough_is_not_an_error() {
    let desk = Desk::new();
    desk.ok(&["mb", "oss://logs"]);
    desk.file("big", vec![b'x'; 4 << 20]);
    desk.ok(&["cp", "big", "oss://logs/big"]);
    let mut cat = desk
        .command(&["cat", "oss://logs/big"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(cat.stdout.take());
    let output = cat.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
