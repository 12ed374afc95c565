//! The real binary on a folder: started, watched, killed, stopped.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ossia_client::{Client, Credentials, RetryPolicy};
use rustix::process::{Pid, Signal, kill_process};

/// The root key of every server here.
pub const KEY_ID: &str = "TestAccessKeyId";
/// Its secret.
pub const KEY_SECRET: &str = "TestAccessKeySecret";

/// How long a server may take to listen, or to end. Far more than it needs: the machine may be busy.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Lines of its log that are kept.
const LOG_LINES_MAX: usize = 400;

/// A binary, and what it is started with.
#[derive(Debug, Clone)]
pub struct Program {
    /// The binary.
    pub binary: PathBuf,
    /// What `ossia serve` is given besides its address and folder.
    pub arguments: Vec<String>,
    /// Variables of its environment, besides the root key.
    pub environment: Vec<(String, String)>,
}

impl Program {
    fn command(&self, data: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("OSSIA_") || name.starts_with("OSS_") {
                command.env_remove(name);
            }
        }
        command.env("OSSIA_ACCESS_KEY_ID", KEY_ID).env("OSSIA_ACCESS_KEY_SECRET", KEY_SECRET);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // One for all: it is outside the folder, and no power cut reaches it.
        command.arg("serve").arg("--master-key-file");
        command.arg(std::env::temp_dir().join("ossia-sim.master-key"));
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it on a data folder, without waiting for anything.
    ///
    /// # Errors
    /// That the binary cannot be run.
    pub fn spawn(&self, data: &Path) -> io::Result<Starting> {
        let mut child = self.command(data).spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.binary.display()))
        })?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (lines, listening) = mpsc::channel();
        let mut readers = Vec::new();
        if let Some(out) = child.stdout.take() {
            readers.push(read_lines(out, move |line| drop(lines.send(line))));
        }
        if let Some(errors) = child.stderr.take() {
            let kept = Arc::clone(&log);
            readers.push(read_lines(errors, move |line| {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() >= LOG_LINES_MAX {
                    kept.pop_front();
                }
                kept.push_back(line);
            }));
        }
        Ok(Starting { process: Process { child, log, readers }, listening })
    }

    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// That it cannot be run, or that it ended or took too long; with its log.
    pub fn start(&self, data: &Path) -> io::Result<Server> {
        self.spawn(data)?.wait()
    }
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

#[derive(Debug)]
struct Process {
    child: Child,
    log: Arc<Mutex<VecDeque<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    fn log(&self) -> String {
        let kept = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().fold(String::new(), |text, line| text + line + "\n")
    }

    /// Sends SIGKILL, calls `then`, and waits until nothing of the process is left.
    fn kill(&mut self, then: impl FnOnce()) -> io::Result<String> {
        // That it has ended already is no failure.
        let killed = self.child.kill();
        then();
        self.child.wait()?;
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        killed?;
        Ok(self.log())
    }

    fn wait(&mut self) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + WAIT_MAX;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                for reader in self.readers.drain(..) {
                    let _ = reader.join();
                }
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("it does not end:\n{}", self.log())))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// A server that was started and may not listen yet.
#[derive(Debug)]
pub struct Starting {
    process: Process,
    listening: Receiver<String>,
}

impl Starting {
    /// Waits until it listens.
    ///
    /// # Errors
    /// That it ended or took too long; with its log.
    pub fn wait(mut self) -> io::Result<Server> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.listening.recv_timeout(left) else {
                let log = self.process.kill(|| {}).unwrap_or_else(|error| error.to_string());
                return Err(io::Error::other(format!("the server does not start:\n{log}")));
            };
            if let Some(address) = line.trim().strip_prefix("listening on http://") {
                let address = address.parse().map_err(io::Error::other)?;
                return Ok(Server { process: self.process, address });
            }
        }
    }

    /// Kills it, wherever its start has come to; see [`Server::kill`].
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(mut self, then: impl FnOnce()) -> io::Result<String> {
        self.process.kill(then)
    }
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    process: Process,
    address: SocketAddr,
}

impl Server {
    /// Its address as a URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client with the root key and without retries: what it sees is what the server did.
    ///
    /// # Errors
    /// None that the fixed address and key could bring about.
    pub fn client(&self) -> io::Result<Client> {
        Client::builder(self.endpoint())
            .credentials(Credentials::new(KEY_ID, KEY_SECRET))
            .retry(RetryPolicy::NONE)
            .build()
            .map_err(io::Error::other)
    }

    /// The end of what it has written to standard error.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Bytes of memory that it holds.
    ///
    /// # Errors
    /// That it has ended.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other("the process has no memory"))
    }

    /// Whether it has not ended by itself.
    ///
    /// # Errors
    /// What the system says.
    pub fn runs(&mut self) -> io::Result<bool> {
        Ok(self.process.child.try_wait()?.is_none())
    }

    /// Ends it at once, as `kill -9` does, and tells its log. `then` is called once the signal is sent: what hangs on a file
    /// system without power can be let go there, and none of the process's code runs any more.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(mut self, then: impl FnOnce()) -> io::Result<String> {
        self.process.kill(then)
    }

    /// Asks it to end, as `kill` does, and waits until it has.
    ///
    /// # Errors
    /// That it takes too long.
    pub fn stop(mut self) -> io::Result<(ExitStatus, String)> {
        let pid = i32::try_from(self.process.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM)?;
        }
        let status = self.process.wait()?;
        Ok((status, self.process.log()))
    }
}
