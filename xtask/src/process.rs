//! Running other programs: with a time limit, line by line, and again when a download failed.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;

/// A line longer than this is cut: a program that prints without end must not fill the memory.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// How often a download is tried.
const TRIES: u32 = 3;

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words
        .map(|word| {
            let word = word.to_string_lossy();
            let plain = word.chars().all(|c| c.is_alphanumeric() || "-_./=:,+@".contains(c));
            if plain && !word.is_empty() { word.into_owned() } else { format!("'{word}'") }
        })
        .collect();
    words.join(" ")
}

/// Runs a command with the terminal as its own and says whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Outcome<bool> {
    println!("$ {}", shown(command));
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("{}: {error}", shown(command)))?;
    if !status.success() {
        println!("failed ({status}), to repeat: {}", shown(command));
    }
    Ok(status.success())
}

/// Whether a program is there and answers.
pub(crate) fn is_present(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a step that downloads, with its output in `log`, and tries again when it fails: registries have weak moments,
/// tests have none and never come here.
pub(crate) fn download(step: &dyn Fn() -> Command, log: &Path, limit: Duration) -> Outcome<()> {
    let mut failure = String::new();
    for attempt in 1..=TRIES {
        let mut command = step();
        println!("$ {}", shown(&command));
        let file = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let copy = file.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
        command.stdout(file).stderr(copy);
        match to_end(&mut command, limit, |_| {}) {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => failure = format!("{} ({status})\n{}", shown(&command), tail(log, 30)),
            Err(error) => failure = format!("{error}\n{}", tail(log, 30)),
        }
        println!("attempt {attempt} of {TRIES} failed: {}", shown(&command));
        if attempt < TRIES {
            thread::sleep(Duration::from_secs(u64::from(attempt) * 5));
        }
    }
    Err(failure)
}

/// Runs a command to its end and gives each line of its output, unless its output goes elsewhere; past the limit the
/// command and what it started are killed.
pub(crate) fn to_end(
    command: &mut Command,
    limit: Duration,
    mut line: impl FnMut(&str),
) -> Outcome<ExitStatus> {
    let name = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{name}: {error}"))?;
    let deadline = Instant::now() + limit;
    if let Some(output) = child.stdout.take() {
        let lines = lines(output);
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(text) => line(&text),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    kill_group(&mut child);
                    return Err(format!("{name}: not done within {} s", limit.as_secs()));
                }
            }
        }
    }
    match ended(&mut child, deadline) {
        Some(status) => Ok(status),
        None => {
            kill_group(&mut child);
            Err(format!("{name}: not done within {} s", limit.as_secs()))
        }
    }
}

/// The lines of a stream, read by a thread of their own that ends with the stream.
pub(crate) fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1024);
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        loop {
            let mut bytes = Vec::new();
            match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            if sender.send(text).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Waits for a child until the deadline.
pub(crate) fn ended(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Kills a child that leads a process group, with all that it started.
pub(crate) fn kill_group(child: &mut Child) {
    signal("KILL", &format!("-{}", child.id()));
    // Reaps it; the signal cannot be ignored.
    let _ = child.wait();
}

/// Sends a signal to a process, or to a group when the id has a minus before it.
pub(crate) fn signal(name: &str, id: &str) {
    let _ = Command::new("kill")
        .args(["-s", name, "--", id])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// The last lines of a file.
pub(crate) fn tail(file: &Path, count: usize) -> String {
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        command
    }

    #[test]
    fn a_command_gives_its_lines_and_its_status() {
        let mut seen = Vec::new();
        let status =
            to_end(&mut shell("echo one; echo two; exit 3"), Duration::from_secs(60), |line| {
                seen.push(line.to_owned());
            });
        assert_eq!(seen, ["one", "two"]);
        assert_eq!(status.unwrap().code(), Some(3));
    }

    #[test]
    fn a_command_past_its_limit_is_killed_with_what_it_started() {
        let started = Instant::now();
        let outcome =
            to_end(&mut shell("sleep 600 & sleep 600"), Duration::from_millis(100), |_| {});
        assert!(outcome.unwrap_err().contains("not done within"));
        assert!(started.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn an_endless_line_comes_in_pieces() {
        let endless = std::io::repeat(b'x').take(3 * LINE_BYTES_MAX + 1);
        let lengths: Vec<usize> = lines(endless).into_iter().map(|line| line.len()).collect();
        assert_eq!(lengths, [65536, 65536, 65536, 1]);
    }

    #[test]
    fn a_shown_command_can_be_pasted() {
        let mut command = Command::new("cargo");
        command.args(["test", "--package=x", "two words", ""]);
        assert_eq!(shown(&command), "cargo test --package=x 'two words' ''");
    }
}
