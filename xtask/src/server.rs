//! One server under test: started on a free port over an empty folder, ended by a signal, its log read for alarms.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Outcome, process, record, report};

/// The root credential of every server under test.
pub(crate) const KEY_ID: &str = "CompatRootKeyId";
pub(crate) const KEY_SECRET: &str = "compat-root-key-secret";

const START_MAX: Duration = Duration::from_secs(30);
const HEALTH_MAX: Duration = Duration::from_secs(10);
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// A running server; dropped before [`Server::end`] it is killed.
pub(crate) struct Server {
    child: Child,
    data: PathBuf,
    log: PathBuf,
    pub(crate) port: u16,
}

impl Server {
    /// Starts a server whose standard error goes to `log`, and waits until it is healthy.
    pub(crate) fn start(
        binary: &Path,
        arguments: &[String],
        name: &str,
        log: &Path,
    ) -> Outcome<Server> {
        let data = std::env::temp_dir().join(format!("ossia-xtask-{}-{name}", std::process::id()));
        let file = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data).args(arguments);
        println!("$ {}", process::shown(&command));
        let child = command
            .env("OSSIA_ACCESS_KEY_ID", KEY_ID)
            .env("OSSIA_ACCESS_KEY_SECRET", KEY_SECRET)
            .env("OSSIA_LOG", record::LOG)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .map_err(|error| format!("{}: {error}", process::shown(&command)))?;
        let mut server = Server { child, data, log: log.to_owned(), port: 0 };
        // Behind TLS the first case of a suite asks for the health.
        let tls = arguments.iter().any(|argument| argument == "--tls-cert");
        let health = |port| if tls { Ok(()) } else { healthy(port) };
        match server.listening().and_then(|()| health(server.port)) {
            Ok(()) => Ok(server),
            Err(error) => Err(format!("{error}; its log ends:\n{}", process::tail(log, 20))),
        }
    }

    /// Reads the port from the listening line, and goes on reading so that the server never waits for us.
    fn listening(&mut self) -> Outcome<()> {
        let output = self.child.stdout.take().ok_or("the server has no standard output")?;
        let lines = process::lines(output);
        let deadline = Instant::now() + START_MAX;
        loop {
            let line = lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
                .map_err(|_| format!("no listening line within {} s", START_MAX.as_secs()))?;
            if let Some(port) = port(&line) {
                self.port = port;
                thread::spawn(move || lines.into_iter().for_each(drop));
                return Ok(());
            }
        }
    }

    /// Ends the server by SIGTERM and tells what was wrong with it: how it ended, and every alarm in its log.
    pub(crate) fn end(mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        match self.child.try_wait() {
            Ok(None) => process::signal("TERM", &self.child.id().to_string()),
            _ => wrong.push("the server ended before it was told to".to_owned()),
        }
        match process::ended(&mut self.child, Instant::now() + DRAIN_MAX) {
            Some(status) if status.success() => {}
            Some(status) => wrong.push(format!("the server ended with {status}")),
            None => wrong.push(format!(
                "the server did not end within {} s of SIGTERM",
                DRAIN_MAX.as_secs()
            )),
        }
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        wrong.extend(log.lines().filter(|line| report::is_alarm(line)).map(str::to_owned));
        wrong
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = fs::remove_dir_all(&self.data);
        let _ = fs::remove_file(self.data.with_extension("master-key"));
    }
}

/// The port in a listening line, wherever in the line it stands.
fn port(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("listening on http")?;
    let rest = rest.strip_prefix('s').unwrap_or(rest).strip_prefix("://127.0.0.1:")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|port| *port != 0)
}

/// Asks the server for its health once; a server that listens is ready.
fn healthy(port: u16) -> Outcome<()> {
    let ask = || -> std::io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, HEALTH_MAX)?;
        stream.set_read_timeout(Some(HEALTH_MAX))?;
        stream.write_all(
            b"GET /_ossia/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        )?;
        let mut answer = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = ask().map_err(|error| format!("health: {error}"))?;
    let first = answer.lines().next().unwrap_or_default();
    if first.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(format!("health: {first}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_anywhere_in_the_listening_line() {
        assert_eq!(port("listening on http://127.0.0.1:9000"), Some(9000));
        assert_eq!(port("  Ossia is listening on http://127.0.0.1:41234/ (memory)"), Some(41234));
        assert_eq!(port("listening on https://127.0.0.1:9000"), Some(9000));
        for line in [
            "listening on http://127.0.0.1:0",
            "listening on 127.0.0.1:9000",
            "listening on http://127.0.0.1:",
        ] {
            assert_eq!(port(line), None, "{line}");
        }
        assert_eq!(port("listening on http://127.0.0.1:99999"), None);
    }

    #[test]
    fn a_program_that_ends_without_listening_is_told() {
        let log = std::env::temp_dir().join(format!("ossia-xtask-test-{}.log", std::process::id()));
        let outcome = Server::start(Path::new("false"), &[], "none", &log);
        let _ = fs::remove_file(&log);
        assert!(outcome.err().unwrap().contains("no listening line"));
    }
}
