//! Processes under test: started, watched, and ended by their id within a bound.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    error::BenchError,
    proc::{self, Handles, Memory},
    wire::{ACCESS_KEY_ID, ACCESS_KEY_SECRET},
};

/// For a server to say where it listens. Long, since a start may replay a journal.
const START_MAX: Duration = Duration::from_secs(120);
/// For a server to end after SIGTERM.
const STOP_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(2);
const LISTENING: &str = "listening on http://";
/// Behind blanks, where the server tells where its metrics are.
const METRICS: &str = "metrics";

/// What must not outlive a bench that is told to stop.
static LEFT_BEHIND: Mutex<Vec<LeftBehind>> = Mutex::new(Vec::new());

#[derive(Debug, PartialEq, Eq)]
enum LeftBehind {
    Process(u32),
    Folder(PathBuf),
}

impl LeftBehind {
    fn enter(self) {
        if let Ok(mut list) = LEFT_BEHIND.lock() {
            list.push(self);
        }
    }

    fn leave(&self) {
        if let Ok(mut list) = LEFT_BEHIND.lock() {
            list.retain(|one| one != self);
        }
    }
}

/// From now on SIGINT and SIGTERM end the processes under test, remove the folders, and then end this process.
pub(crate) fn clean_up_on_signals() -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(BenchError::io("start a runtime for signals"))?;
    thread::spawn(move || {
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            let list = LEFT_BEHIND.lock().map(|mut list| std::mem::take(&mut *list));
            // Processes come after the folder that they write to, so from the end.
            for one in list.unwrap_or_default().iter().rev() {
                match one {
                    LeftBehind::Process(pid) => terminate_process(*pid),
                    LeftBehind::Folder(path) => drop(fs::remove_dir_all(path)),
                }
            }
            std::process::exit(130);
        });
    });
    Ok(())
}

fn tell(pid: u32, what: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process(pid, what);
    }
}

fn terminate_process(pid: u32) {
    tell(pid, Signal::TERM);
    // A process that is halted would not hear of it.
    tell(pid, Signal::CONT);
}

/// Servers halted while another subject has its turn, so that each one's background work falls into its own turns only. They go
/// on when this is dropped.
#[derive(Debug)]
pub(crate) struct Halted(Vec<u32>);

impl Halted {
    /// Halts these servers.
    pub(crate) fn all<'s>(
        servers: impl IntoIterator<Item = &'s Server>,
    ) -> Result<Halted, BenchError> {
        let mut halted = Halted(Vec::new());
        for server in servers {
            let pids = server.pids()?;
            pids.iter().for_each(|pid| tell(*pid, Signal::STOP));
            halted.0.extend(pids);
        }
        Ok(halted)
    }
}

impl Drop for Halted {
    fn drop(&mut self) {
        self.0.iter().for_each(|pid| tell(*pid, Signal::CONT));
    }
}

/// A folder that is removed with what is in it.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// A new, empty folder below `parent`.
    pub(crate) fn new(parent: &Path, name: &str) -> Result<Scratch, BenchError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("bench-{name}-{}-{count}", std::process::id()));
        // Absolute: the programs under test may have a working directory of their own.
        fs::create_dir_all(&path)
            .and_then(|()| fs::canonicalize(&path))
            .inspect(|path| LeftBehind::Folder(path.clone()).enter())
            .map(|path| Scratch { path, keep: false })
            .map_err(BenchError::io(format!("make {}", path.display())))
    }

    /// The same, but it stays, whatever happens.
    pub(crate) fn kept(parent: &Path, name: &str) -> Result<Scratch, BenchError> {
        let mut scratch = Scratch::new(parent, name)?;
        LeftBehind::Folder(scratch.path.clone()).leave();
        scratch.keep = true;
        Ok(scratch)
    }

    /// Where it is, from the root.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("{} stays", self.path.display());
            return;
        }
        LeftBehind::Folder(self.path.clone()).leave();
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} stays: {error}", self.path.display());
        }
    }
}

/// A server in a process of its own. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    pub(crate) address: SocketAddr,
    /// Where its metrics are, once it has said so.
    metrics: Arc<OnceLock<SocketAddr>>,
    /// Whether its work is done by its children, as nginx's is.
    forks: bool,
}

impl Server {
    /// Starts a program that prints the line `listening on http://ADDRESS`, with the access key of the benches in its
    /// environment.
    pub(crate) fn start(name: &'static str, mut command: Command) -> Result<Server, BenchError> {
        command
            .env("OSSIA_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("OSSIA_ACCESS_KEY_SECRET", ACCESS_KEY_SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = spawn(name, &mut command)?;
        let output = child.stdout.take().map(BufReader::new);
        let (told, tells) = mpsc::channel();
        let metrics = Arc::new(OnceLock::new());
        let found = Arc::clone(&metrics);
        // On a thread: the pipe must be read to its end, or the program would wait for it one day.
        thread::spawn(move || {
            for line in output.into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
                if let Some(address) = line.strip_prefix(LISTENING) {
                    let _ = told.send(address.trim().parse::<SocketAddr>());
                } else if let Some(address) = metrics_address(&line) {
                    let _ = found.set(address);
                }
            }
        });
        let placeholder = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Server { name, child, address: placeholder, metrics, forks: false };
        match tells.recv_timeout(START_MAX) {
            Ok(Ok(address)) => server.address = address,
            Ok(Err(_)) => return Err(server.broken("it names no address")),
            Err(_) => return Err(server.broken("it did not say where it listens")),
        }
        Ok(server)
    }

    /// Starts a program that listens on `address` without saying so, and whose children do the work.
    pub(crate) fn start_silent(
        name: &'static str,
        mut command: Command,
        address: SocketAddr,
    ) -> Result<Server, BenchError> {
        let child = spawn(name, command.stdin(Stdio::null()))?;
        let metrics = Arc::default();
        let mut server = Server { name, child, address, metrics, forks: true };
        let until = Instant::now() + START_MAX;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > until || matches!(server.child.try_wait(), Ok(Some(_))) {
                return Err(server.broken("it does not listen"));
            }
            thread::sleep(LOOK);
        }
        Ok(server)
    }

    /// Waits until `GET path` answers 200.
    pub(crate) fn wait_ready(&self, path: &str) -> Result<(), BenchError> {
        let until = Instant::now() + START_MAX;
        while Instant::now() < until {
            if self.ask(path).is_ok() {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        Err(self.broken("it does not get ready"))
    }

    /// The body of a 200 to an unsigned `GET path`, on a connection of its own.
    pub(crate) fn ask(&self, path: &str) -> Result<String, BenchError> {
        self.ask_at(self.address, path)
    }

    fn ask_at(&self, address: SocketAddr, path: &str) -> Result<String, BenchError> {
        let failed = || BenchError::io(format!("ask {} for {path}", self.name));
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        let mut stream = TcpStream::connect(address).map_err(failed())?;
        let mut answer = String::new();
        stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.read_to_string(&mut answer))
            .map_err(failed())?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
            _ => Err(self.broken("it does not answer 200")),
        }
    }

    /// Its figures by name, `None` where it tells none.
    pub(crate) fn figures(&self) -> Result<Option<ServerFigures>, BenchError> {
        match self.metrics.get() {
            Some(address) => self.ask_at(*address, "/metrics").map(ServerFigures).map(Some),
            None => Ok(None),
        }
    }

    fn broken(&self, what: &str) -> BenchError {
        BenchError::Child { name: self.name.to_owned(), what: what.to_owned() }
    }

    fn pids(&self) -> Result<Vec<u32>, BenchError> {
        let mut pids = vec![self.child.id()];
        if self.forks {
            pids.extend(proc::children(self.child.id())?);
        }
        Ok(pids)
    }

    /// CPU time that it has used so far.
    pub(crate) fn cpu(&self) -> Result<Duration, BenchError> {
        proc::cpu(&self.pids()?)
    }

    /// What memory it holds, and held at most.
    pub(crate) fn memory(&self) -> Result<Memory, BenchError> {
        proc::memory(&self.pids()?)
    }

    /// How many files and how many threads it has open.
    pub(crate) fn handles(&self) -> Result<Handles, BenchError> {
        proc::handles(&self.pids()?)
    }

    /// Ends it by SIGTERM and waits for it. The floor has no handler for signals, so how it ends does not matter.
    pub(crate) fn stop(self) -> Result<(), BenchError> {
        self.stop_and_tell().map(drop)
    }

    /// The same; whether it ended in good order, by itself.
    pub(crate) fn stop_and_tell(mut self) -> Result<bool, BenchError> {
        self.terminate();
        let until = Instant::now() + STOP_MAX;
        loop {
            match self.child.try_wait().map_err(BenchError::io("wait for a child"))? {
                Some(status) => return Ok(status.success()),
                None if Instant::now() > until => return Err(self.broken("it does not stop")),
                None => thread::sleep(LOOK),
            }
        }
    }

    fn terminate(&self) {
        terminate_process(self.child.id());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        LeftBehind::Process(self.child.id()).leave();
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if self.forks {
            // Killed, it would leave its children behind.
            self.terminate();
            let until = Instant::now() + STOP_MAX;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
                thread::sleep(LOOK);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text that a server tells of itself.
#[derive(Debug)]
pub(crate) struct ServerFigures(String);

impl ServerFigures {
    /// The figure of this name.
    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        let values = self.0.lines().filter_map(|line| line.split_once(' '));
        values.into_iter().find(|(found, _)| *found == name)?.1.trim().parse().ok()
    }

    /// Bytes that the engine has written to its files, those of its index included.
    pub(crate) fn written_bytes(&self) -> Option<u64> {
        let files = self.get("ossia_engine_written_bytes_total")?;
        Some(files + self.get("ossia_engine_index_bytes_total")?)
    }
}

/// `  metrics   http://ADDRESS/metrics`
fn metrics_address(line: &str) -> Option<SocketAddr> {
    let url = line.trim().strip_prefix(METRICS)?.trim().strip_prefix("http://")?;
    url.split('/').next()?.parse().ok()
}

fn spawn(name: &'static str, command: &mut Command) -> Result<Child, BenchError> {
    let child = command.spawn().map_err(BenchError::io(format!("start {name}")))?;
    LeftBehind::Process(child.id()).enter();
    Ok(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_without_a_word_is_an_error_at_once() {
        let begun = Instant::now();
        assert!(matches!(
            Server::start("true", Command::new("true")),
            Err(BenchError::Child { .. })
        ));
        assert!(begun.elapsed() < START_MAX / 2);
    }

    #[test]
    fn figures_are_found_by_their_whole_name() {
        let text = "# TYPE ossia_engine_written_bytes_total counter\n\
                    ossia_engine_written_bytes_total 70\nossia_engine_index_bytes_total 5\n";
        let figures = ServerFigures(text.to_owned());
        assert_eq!(figures.written_bytes(), Some(75));
        assert_eq!(figures.get("ossia_engine_written_bytes"), None);
        let line = "  metrics            http://127.0.0.1:4712/metrics";
        assert_eq!(metrics_address(line), "127.0.0.1:4712".parse().ok());
    }

    #[test]
    fn a_server_is_known_by_its_line_and_ends_when_told() {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo starting; echo listening on http://127.0.0.1:4711; exec sleep 60"]);
        let server = Server::start("sleep", command).unwrap();
        assert_eq!(server.address, "127.0.0.1:4711".parse().unwrap());
        assert!(server.memory().unwrap().peak_bytes > 0);
        let pid = server.child.id();
        let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let is = |letter: &str| {
            let until = Instant::now() + STOP_MAX;
            while Instant::now() < until && !state().contains(&format!(") {letter} ")) {
                thread::yield_now();
            }
            state().contains(&format!(") {letter} "))
        };
        let halted = Halted::all([&server]).unwrap();
        assert!(is("T"), "halted");
        drop(halted);
        assert!(is("S"), "and going on");
        server.stop().unwrap();
        assert!(proc::cpu(&[pid]).is_err(), "it is gone");
    }

    #[test]
    fn a_scratch_folder_goes_with_its_content() {
        let scratch = Scratch::new(&std::env::temp_dir(), "test").unwrap();
        let path = scratch.path().to_path_buf();
        fs::write(path.join("file"), "x").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
