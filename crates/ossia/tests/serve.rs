//! The program itself: start, what it prints, signals, exit codes.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

/// A running `ossia serve`, killed when the test ends.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: String,
    screen: String,
}

/// So that none is left beside a folder.
const KEY_FILE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/test.master-key");

fn ossia(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ossia"));
    // Whoever runs the tests may have settings of their own.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OSSIA_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(command: &mut Command) -> Running {
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut screen = String::new();
    let address = loop {
        let from = screen.len();
        if stdout.read_line(&mut screen).unwrap() == 0 {
            let mut told = String::new();
            child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
            panic!("it did not start: {told}");
        }
        if let Some(address) = screen[from..].trim().strip_prefix("listening on http://") {
            break address.to_owned();
        }
    };
    // The screen is written at once; its last line ends the Python example.
    while !screen.contains("print(bucket.get_object") {
        assert!(stdout.read_line(&mut screen).unwrap() > 0);
    }
    Running { child, stdout, address, screen }
}

impl Running {
    fn health(&self) -> String {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket
            .write_all(
                b"GET /_ossia/health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n",
            )
            .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks it to stop; gives the exit code and what it logged.
    fn terminate(mut self) -> (Option<i32>, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        let mut logged = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut logged).unwrap();
        (self.child.wait().unwrap().code(), logged)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs to the end, which must come by itself.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn in_folder(folder: &Path) -> Command {
    let mut command = ossia(&["serve", "--listen", "127.0.0.1:0"]);
    command.args(["--master-key-file", KEY_FILE, "--data"]).arg(folder);
    command
}

#[test]
fn an_emulator_starts_answers_stops_on_a_signal_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = ossia(&["serve", "--memory", "--listen", "127.0.0.1:0"]);
    let running = start(command.current_dir(folder.path()));
    assert!(running.health().starts_with("HTTP/1.1 200 "), "{}", running.health());
    assert!(running.screen.contains("ossia-secret"), "{}", running.screen);
    let (code, logged) = running.terminate();
    assert_eq!(code, Some(0), "{logged}");
    assert!(!logged.contains("ERROR") && !logged.contains("WARN"), "{logged}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_start_screen_that_nobody_can_read_stops_nothing() {
    let mut command = ossia(&["serve", "--memory", "--listen", "127.0.0.1:0"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = command.stdout(full).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut logged = String::new();
    while !logged.contains("the start screen could not be written") {
        assert!(stderr.read_line(&mut logged).unwrap() > 0, "it ended: {logged}");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_secret_is_shown_at_the_first_start_only_and_the_key_id_at_every_start() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(&mut in_folder(folder.path()));
    let identity = fs::read_to_string(folder.path().join("identity.toml")).unwrap();
    let value = |name: &str| {
        let line = identity.lines().find(|line| line.starts_with(name)).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    let id = value("access_key_id");
    assert!(first.screen.contains(&id), "{}", first.screen);
    let shown = first.screen.lines().find_map(|line| line.trim().strip_prefix("access key secret"));
    let secret = shown.unwrap().trim().to_owned();
    assert!(secret.len() >= 30 && !identity.contains(&secret), "{identity}");
    let (code, logged) = first.terminate();
    assert_eq!(code, Some(0), "{logged}");
    assert!(!logged.contains(&secret));
    let second = start(&mut in_folder(folder.path()));
    assert!(second.screen.contains(&id) && !second.screen.contains(&secret), "{}", second.screen);
    second.terminate();
    let mut command = in_folder(folder.path());
    command.env("OSSIA_ACCESS_KEY_ID", "mine").env("OSSIA_ACCESS_KEY_SECRET", "my-own-secret");
    let third = start(&mut command);
    assert!(third.screen.contains("mine") && !third.screen.contains("my-own-secret"));
}

#[test]
fn a_second_server_on_one_data_folder_is_refused_with_a_clear_message() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(&mut in_folder(folder.path()));
    let (code, told) = run(&mut in_folder(folder.path()));
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("in use by another process"), "{told}");
    assert!(first.health().starts_with("HTTP/1.1 200 "));
}

#[test]
fn settings_that_make_no_sense_stop_the_start_with_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ossia.toml");
    fs::write(&file, "[append]\nmax_byte = 1\n").unwrap();
    let memory = || ossia(&["serve", "--memory", "--listen", "127.0.0.1:0"]);
    let mut by_file = memory();
    by_file.arg("--config").arg(&file);
    let mut by_environment = memory();
    by_environment.env("OSSIA_LIMITS__IDLE_MS", "soon");
    let mut by_set = memory();
    by_set.args(["--set", "append.max_bytes=0"]);
    let mut half_a_key = memory();
    half_a_key.env("OSSIA_ACCESS_KEY_ID", "mine");
    let mut unknown_flag = memory();
    unknown_flag.arg("--nothing");
    let mut bad_metrics = memory();
    bad_metrics.args(["--set", "metrics.listen=here"]);
    let engine = |set| {
        let mut command = in_folder(&folder.path().join("data"));
        command.args(["--set", set]);
        command
    };
    for (mut command, name) in [
        (engine("engine.segment_bytes=5000"), "engine.segment_bytes:"),
        (engine("engine.queue_bytes=1"), "engine.queue_bytes:"),
        (engine("engine.sync=false"), "engine.sync"),
        (bad_metrics, "metrics.listen"),
        (by_file, "max_byte"),
        (by_environment, "OSSIA_LIMITS__IDLE_MS"),
        (by_set, "append.max_bytes"),
        (half_a_key, "OSSIA_ACCESS_KEY_SECRET"),
        (unknown_flag, "--nothing"),
    ] {
        let (code, told) = run(&mut command);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains(name), "{told}");
    }
    assert!(!folder.path().join("data").exists(), "settings are checked before anything is made");
}

#[test]
fn the_engine_s_figures_are_told_where_metrics_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = in_folder(folder.path());
    let running = start(command.args(["--set", "metrics.listen=127.0.0.1:0"]));
    let line = running.screen.lines().find(|line| line.trim().starts_with("metrics")).unwrap();
    let url = line.split("http://").nth(1).unwrap();
    let (address, path) = url.trim().split_once('/').unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(format!("GET /{path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    for name in ["ossia_engine_segments ", "ossia_engine_groups_total 1", "ossia_requests_total "] {
        assert!(text.contains(name), "{name}: {text}");
    }
    let (code, logged) = running.terminate();
    assert_eq!(code, Some(0), "{logged}");
}

/// What a kill leaves behind, the lock among it, does not stand in the way of the next start. Durability has its own tests.
#[test]
fn a_server_that_was_killed_starts_again_on_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = start(&mut in_folder(folder.path()));
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let second = start(&mut in_folder(folder.path()));
    assert!(second.health().starts_with("HTTP/1.1 200 "));
    let (code, logged) = second.terminate();
    assert_eq!(code, Some(0), "{logged}");
}

/// As after a folder was replaced under an open shell.
#[test]
fn a_start_in_a_folder_that_is_gone_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "mkdir gone && cd gone && rmdir ../gone && exec \"$0\" serve --listen 127.0.0.1:0 --data \"$1\""]);
    shell
        .arg(env!("CARGO_BIN_EXE_ossia"))
        .arg(folder.path().join("data"))
        .current_dir(folder.path());
    let (code, told) = run(&mut shell);
    assert_eq!(code, Some(1), "{told}");
    assert!(!told.contains("panicked") && told.contains("No such file"), "{told}");
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, told) = run(&mut ossia(&["serve", "--memory", "--listen", &address]));
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&address), "{told}");
}
