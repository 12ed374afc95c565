//! The real binary as a server under test: started on a free port and a folder of its own, stopped by its process id.
//!
//! A server that logs WARN or ERROR, or panics, fails the test that ran it.

pub(crate) mod wire;

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ossia_client::{Client, ClientBuilder, Credentials, RetryPolicy};
use rustix::process::{Pid, Signal, kill_process};

/// The root key of every server under test.
pub(crate) const KEY_ID: &str = "TestAccessKeyId";
/// Its secret.
pub(crate) const KEY_SECRET: &str = "TestAccessKeySecret";

/// The master keys of every server under test, so that a copied data folder finds its own, and none is left beside a folder.
pub(crate) const KEY_FILE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/test.master-key");

/// How long a server may take to listen. Far more than it needs: the machine may be busy.
const START_MAX: Duration = Duration::from_secs(60);

/// How long a server may take to end after SIGTERM.
const STOP_MAX: Duration = Duration::from_secs(60);

/// The program, without any setting of the developer's own environment, but with the fault that a run plants on purpose.
pub(crate) fn ossia() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ossia"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let mutant = name == "OSSIA_MUTANT";
        if (name.starts_with("OSSIA_") && !mutant) || name.starts_with("OSS_") {
            command.env_remove(name);
        }
    }
    command.env("OSSIA_ACCESS_KEY_ID", KEY_ID).env("OSSIA_ACCESS_KEY_SECRET", KEY_SECRET);
    command
}

/// A data folder and a key file of its own, side by side in a temporary folder.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path beside them.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.beside("data")
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.beside("keys")
    }

    /// A server on them, with more arguments.
    pub(crate) fn start_with(&self, arguments: &[&str]) -> Server {
        let keys = self.keys();
        let own = ["--master-key-file", keys.to_str().unwrap()];
        Server::start_with(&self.data(), &[&own[..], arguments].concat())
    }
}

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts a server on a data folder and waits until it listens.
    pub(crate) fn start(data: &Path) -> Server {
        Server::start_with(data, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(data: &Path, arguments: &[&str]) -> Server {
        let mut command = ossia();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(arguments);
        if !arguments.contains(&"--master-key-file") {
            command.args(["--master-key-file", KEY_FILE]);
        }
        Server::run(command)
    }

    /// The same for a server that may not have more files open than this.
    pub(crate) fn start_with_files(data: &Path, files: u32) -> Server {
        let plain = ossia();
        // The limit is inherited: a shell sets it, soft and hard, and becomes the server.
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {files} && exec \"$@\""), "sh"]);
        shell
            .arg(plain.get_program())
            .args(["serve", "--listen", "127.0.0.1:0", "--master-key-file", KEY_FILE, "--data"])
            .arg(data);
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        Server::run(shell)
    }

    fn run(mut command: Command) -> Server {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary under test can be run");
        let stderr = Arc::new(Mutex::new(String::new()));
        let (lines, listening) = mpsc::channel();
        let out = child.stdout.take().expect("it was asked for");
        let err = child.stderr.take().expect("it was asked for");
        let kept = Arc::clone(&stderr);
        let readers = vec![
            read_lines(out, move |line| drop(lines.send(line))),
            read_lines(err, move |line| {
                let mut kept = kept.lock().expect("no reader panics");
                kept.push_str(&line);
                kept.push('\n');
            }),
        ];
        let mut server =
            Server { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), stderr, readers };
        match wait_for_address(&listening) {
            Some(address) => server.address = address,
            None => {
                server.end();
                panic!("the server did not come to listen:\n{}", server.log());
            }
        }
        server
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client of it, with the root key and without retries: what a test sees is what the server did.
    pub(crate) fn client(&self) -> Client {
        self.builder().build().expect("endpoint and key are valid")
    }

    /// The beginnings of such a client.
    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder(self.endpoint())
            .credentials(Credentials::new(KEY_ID, KEY_SECRET))
            .retry(RetryPolicy::NONE)
    }

    /// Processor time that it has used so far, to a hundredth of a second.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .expect("a running process has a status");
        // The name, in parentheses, may hold anything; user and system time are the 12th and 13th field behind it.
        let (_, fields) = stat.rsplit_once(')').expect("the name ends in a parenthesis");
        let ticks = |index| -> u64 {
            let field = fields.split_whitespace().nth(index);
            field.and_then(|field| field.parse().ok()).expect("times are numbers")
        };
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// What it has written to standard error.
    pub(crate) fn log(&self) -> String {
        self.stderr.lock().expect("no reader panics").clone()
    }

    /// Ends a server that was to complain, and gives its log.
    pub(crate) fn end_complaining(mut self) -> String {
        self.end();
        std::mem::take(&mut *self.stderr.lock().expect("no reader panics"))
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Asks it to end, as `kill` does, and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a child has a process id"), Signal::TERM)
            .expect("a child that nobody has waited for can be signalled");
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(begin.elapsed() < STOP_MAX, "it does not stop:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it if it still runs, and reads what it wrote to the end.
    fn end(&mut self) {
        // Killing a process that has ended is an error; that it has ended is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
            return;
        }
        let log = self.log();
        let loud = |line: &&str| {
            line.contains(" WARN ") || line.contains(" ERROR ") || line.contains("panicked at")
        };
        if let Some(line) = log.lines().find(loud) {
            panic!("the server complained: {line}\n{log}");
        }
    }
}

/// Starts a server and kills it `after` that, wherever its start has come to by then.
pub(crate) fn kill_while_starting(data: &Path, arguments: &[&str], after: Duration) {
    let mut child = ossia()
        .args(["serve", "--listen", "127.0.0.1:0", "--master-key-file", KEY_FILE, "--data"])
        .arg(data)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary under test can be run");
    std::thread::sleep(after);
    child.kill().expect("a child that nobody has waited for can be killed");
    child.wait().expect("a child can be waited for");
}

fn read_lines(
    from: impl Read + Send + 'static,
    mut each: impl FnMut(String) + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            each(line);
        }
    })
}

/// Waits for the line that tells the address; `None` if the server ended or took too long.
fn wait_for_address(lines: &Receiver<String>) -> Option<SocketAddr> {
    let deadline = Instant::now() + START_MAX;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => {
                if let Some(address) = line.trim().strip_prefix("listening on http://") {
                    return address.parse().ok();
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// Settings under which background work never rests: segments, memtables and journal so small that each is used up at every turn,
/// and every few appends worth packing.
pub(crate) const RESTLESS: [&str; 28] = [
    "--set",
    "engine.shards=1",
    "--set",
    "engine.segment_bytes=262144",
    "--set",
    "engine.journal_bytes=2097152",
    "--set",
    "engine.memtable_bytes=16384",
    "--set",
    "engine.checkpoint_bytes=524288",
    "--set",
    "engine.group_bytes=131072",
    "--set",
    "engine.cache_bytes=65536",
    "--set",
    "engine.idle_flush_ms=20",
    "--set",
    "packing.run_bytes_full=65536",
    "--set",
    "packing.run_bytes=4096",
    "--set",
    "packing.run_appends=16",
    "--set",
    "packing.rest_bytes=1",
    "--set",
    "packing.spacing_ms=1",
    "--set",
    "packing.quiet_ms=10",
];

/// That a store with these settings has used its first journal segment once more, and keeps no more than fit into its bound.
pub(crate) fn assert_journal_went_round(data: &Path) {
    let journal = data.join("shard-0/journal");
    let names = std::fs::read_dir(&journal).expect("a store has a journal");
    let names: Vec<_> = names.map(|entry| entry.expect("it can be read").file_name()).collect();
    assert!(!names.iter().any(|name| name == "0000000000000001.seg"), "{names:?}");
    // Eight segments make the bound; a longer frame, a start and spare ones may each need one more.
    assert!(names.len() <= 16, "{names:?}");
}

/// Random numbers that a seed repeats (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    /// Takes the seed from `OSSIA_TEST_SEED`, else from the system, and prints it.
    pub(crate) fn seeded() -> Random {
        let seed = match std::env::var("OSSIA_TEST_SEED") {
            Ok(seed) => seed.parse().expect("OSSIA_TEST_SEED is a number"),
            Err(_) => getrandom::u64().expect("the system has randomness"),
        };
        println!("seed {seed}: repeat with OSSIA_TEST_SEED={seed}");
        Random(seed)
    }

    /// From a seed.
    pub(crate) fn of(seed: u64) -> Random {
        Random(seed)
    }

    /// Numbers of its own for somebody else.
    pub(crate) fn fork(&mut self) -> Random {
        Random(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// So many random bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}
