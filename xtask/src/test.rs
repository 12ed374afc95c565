//! `test` and `compat`: everything that is tested, one after another, with one sum at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::record::{self, Seen};
use crate::report::{Case, Ending, Totals};
use crate::server::{KEY_ID, KEY_SECRET, Server};
use crate::suites::{CNAME_BUCKET, CNAME_HOST, DOMAIN, Suite};
use crate::{Outcome, benches, fuzz, process, report, sim, tree};

const RUST_MAX: Duration = Duration::from_secs(45 * 60);
const SUITE_MAX: Duration = Duration::from_secs(10 * 60);

/// What to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    rust: bool,
    suites: Vec<Suite>,
    /// One suite once more, over the engine that keeps everything in memory.
    memory: bool,
    /// The suites of some SDKs once more, behind TLS.
    tls: bool,
    /// The benches in their short form.
    benches: bool,
    /// Every fuzz target for a minute.
    fuzz: bool,
    /// Power cuts and failing disks in their short form.
    sim: bool,
    /// Whether what the suites did becomes the record, instead of being held against it.
    write: bool,
}

/// The suite that visits the memory engine too: the quickest one that covers append and seal.
const MEMORY_SUITE: Suite = Suite::Go;

/// The suites that visit TLS too; Go's speaks HTTP/2 there.
const TLS_SUITES: [Suite; 4] = [Suite::Node, Suite::Python, Suite::Go, Suite::Java];

impl Choice {
    pub(crate) fn sdks() -> Choice {
        Choice {
            rust: false,
            suites: Suite::ALL.to_vec(),
            memory: false,
            tls: false,
            benches: false,
            fuzz: false,
            sim: false,
            write: false,
        }
    }

    /// What `compat` takes: the suites, or some of them, and `--write`.
    pub(crate) fn parse_compat(arguments: &[String]) -> Outcome<Choice> {
        let (write, rest): (Vec<_>, Vec<_>) =
            arguments.iter().cloned().partition(|argument| argument == "--write");
        let choice = if rest.is_empty() { Choice::sdks() } else { Choice::parse(&rest)? };
        Ok(Choice { write: !write.is_empty(), ..choice })
    }

    /// Reads `--only NAME`, repeatable; nothing means everything.
    pub(crate) fn parse(arguments: &[String]) -> Outcome<Choice> {
        if arguments.is_empty() {
            return Ok(Choice {
                rust: true,
                memory: true,
                tls: true,
                benches: true,
                fuzz: true,
                sim: true,
                ..Choice::sdks()
            });
        }
        let mut choice = Choice { suites: Vec::new(), ..Choice::sdks() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let name = match (argument.as_str(), argument.strip_prefix("--only=")) {
                (_, Some(name)) => name,
                ("--only", None) => arguments.next().map(String::as_str).unwrap_or_default(),
                _ => return Err(format!("test takes --only NAME, not {argument}")),
            };
            match Suite::ALL.into_iter().find(|suite| suite.name() == name) {
                Some(suite) => choice.suites.push(suite),
                None if name == "rust" => choice.rust = true,
                None if name == "memory" => choice.memory = true,
                None if name == "tls" => choice.tls = true,
                None if name == "benches" => choice.benches = true,
                None if name == "fuzz" => choice.fuzz = true,
                None if name == "sim" => choice.sim = true,
                None => return Err(format!("there are no tests named {name:?}")),
            }
        }
        Ok(choice)
    }
}

/// The part of one language in the summary.
struct Part {
    name: &'static str,
    totals: Totals,
    took: Duration,
    remarks: Vec<String>,
}

/// Runs what was chosen and prints the sum as the last line; `false` when anything failed.
pub(crate) fn run(choice: &Choice) -> Outcome<bool> {
    let mut parts = Vec::new();
    let mut cases = Vec::new();
    let mut seen = Seen::default();
    if choice.rust {
        parts.push(timed("rust", |_| rust()));
    }
    if choice.fuzz {
        parts.push(timed("fuzz", |_| fuzz::totals(&fuzz::Choice::all())));
    }
    if choice.memory || choice.tls || choice.benches || choice.sim || !choice.suites.is_empty() {
        match binary() {
            Ok(binary) => {
                for suite in &choice.suites {
                    let run = |remarks: &mut Vec<String>| {
                        let mut own = Vec::new();
                        let totals = one_suite(*suite, &binary, &Way::Plain, &mut own, remarks)?;
                        let log = fs::read(suite.folder().join("server.log")).unwrap_or_default();
                        if !own.is_empty() {
                            seen.add(&String::from_utf8_lossy(&log), &own);
                        }
                        cases.extend(own);
                        Ok(totals)
                    };
                    parts.push(timed(suite.name(), run));
                }
                if !choice.suites.is_empty() {
                    let whole = choice.suites.len() == Suite::ALL.len()
                        && choice.suites.iter().all(|suite| suite.absent().is_none());
                    parts.push(timed("record", |remarks| {
                        if choice.write && cases.iter().any(|case| case.ending == Ending::Failed) {
                            return Err("nothing is written while a case fails".to_owned());
                        }
                        remarks.extend(record::settle(&seen, whole, choice.write)?);
                        let good = remarks.is_empty();
                        Ok(if good { Totals::success() } else { Totals::failure() })
                    }));
                }
                if choice.memory {
                    let run = |remarks: &mut Vec<String>| {
                        one_suite(MEMORY_SUITE, &binary, &Way::Memory, &mut Vec::new(), remarks)
                    };
                    parts.push(timed("memory", run));
                }
                if choice.tls {
                    parts.push(timed("tls", |remarks| {
                        let mut totals = Totals::default();
                        for suite in TLS_SUITES {
                            let cases = &mut Vec::new();
                            totals.add(one_suite(suite, &binary, &Way::Tls, cases, remarks)?);
                        }
                        Ok(totals)
                    }));
                }
                if choice.sim {
                    parts.push(timed("sim", |remarks| sim::short(&binary, remarks)));
                }
                if choice.benches {
                    parts.push(timed("benches", |remarks| benches::run(&binary, remarks)));
                }
            }
            Err(error) => parts.push(timed("server", |_| Err(error.clone()))),
        }
    }
    if !choice.suites.is_empty() {
        let matrix = report::matrix(&cases);
        let folder = tree::target().join("compat");
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let file = folder.join("matrix.md");
        fs::write(&file, &matrix).map_err(|error| format!("{}: {error}", file.display()))?;
        println!("\n{matrix}");
    }
    Ok(summary(&parts))
}

fn timed(name: &'static str, body: impl FnOnce(&mut Vec<String>) -> Outcome<Totals>) -> Part {
    println!("\n== {name}");
    let started = Instant::now();
    let mut remarks = Vec::new();
    let totals = body(&mut remarks).unwrap_or_else(|error| {
        remarks.push(error);
        Totals::failure()
    });
    for remark in &remarks {
        println!("{name}: {remark}");
    }
    println!("{name}: {totals}");
    Part { name, totals, took: started.elapsed(), remarks }
}

fn summary(parts: &[Part]) -> bool {
    let mut sum = Totals::default();
    println!("| tests | passed | failed | skipped | seconds |\n|---|---|---|---|---|");
    for part in parts {
        let Totals { passed, failed, skipped } = part.totals;
        println!("| {} | {passed} | {failed} | {skipped} | {} |", part.name, part.took.as_secs());
        sum.add(part.totals);
    }
    for part in parts {
        if part.totals.failed > 0 && part.name != "record" {
            println!("to repeat: cargo xtask test --only {}", part.name);
        }
        for remark in &part.remarks {
            println!("{}: {}", part.name, remark.lines().next().unwrap_or_default());
        }
    }
    println!("{sum}");
    sum.failed == 0 && sum.passed > 0
}

fn rust() -> Outcome<Totals> {
    let mut command = Command::new("cargo");
    command.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    command.current_dir(tree::root()).stdout(Stdio::piped());
    println!("$ {}", process::shown(&command));
    let mut totals = Totals::default();
    let status = process::to_end(&mut command, RUST_MAX, |line| {
        if let Some(part) = report::rust_result(line) {
            totals.add(part);
        }
        // Hundreds of lines that say "ok" hide the one that does not.
        let good = line.starts_with("test ") && line.ends_with("... ok");
        if !good && !line.is_empty() {
            println!("{line}");
        }
    })?;
    if !status.success() && totals.failed == 0 {
        return Err(format!("cargo test ended with {status} and named no failed test"));
    }
    Ok(totals)
}

/// The server in the form in which it is shipped.
pub(crate) fn binary() -> Outcome<PathBuf> {
    if let Some(file) = std::env::var_os("OSSIA_BINARY") {
        return Ok(PathBuf::from(file));
    }
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--locked", "-p", "ossia"]).current_dir(tree::root());
    if process::succeeds(&mut command)? {
        Ok(tree::target().join("release/ossia"))
    } else {
        Err("the server does not build".to_owned())
    }
}

/// What is special about a suite's server.
enum Way {
    /// The embedded engine, without TLS.
    Plain,
    /// The engine that keeps everything in memory.
    Memory,
    /// Behind TLS.
    Tls,
}

fn one_suite(
    suite: Suite,
    binary: &Path,
    way: &Way,
    cases: &mut Vec<Case>,
    remarks: &mut Vec<String>,
) -> Outcome<Totals> {
    if let Some(program) = suite.absent() {
        let required = std::env::var("OSSIA_REQUIRE_ALL").is_ok_and(|value| value == "1");
        remarks.push(format!("{program} is absent"));
        return Ok(if required { Totals::failure() } else { Totals::skip() });
    }
    suite.prepare()?;
    let folder = suite.folder();
    let own = match way {
        Way::Plain => Vec::new(),
        Way::Memory => vec!["--memory".to_owned()],
        Way::Tls => suite.tls_arguments(),
    };
    let arguments = [suite.server_arguments(), own].concat();
    let server = Server::start(binary, &arguments, suite.name(), &folder.join("server.log"))?;
    let mut command = suite.program();
    if matches!(way, Way::Tls) {
        suite.trust(&mut command)?;
    }
    command
        .env("OSSIA_PORT", server.port.to_string())
        .env("OSSIA_ACCESS_KEY_ID", KEY_ID)
        .env("OSSIA_ACCESS_KEY_SECRET", KEY_SECRET)
        .env("OSSIA_DOMAIN", DOMAIN)
        .env("OSSIA_CNAME_HOST", CNAME_HOST)
        .env("OSSIA_CNAME_BUCKET", CNAME_BUCKET);
    let outcome = play(&mut command, &folder, cases);
    let mut totals = outcome.unwrap_or_else(|error| {
        remarks.push(error);
        Totals::failure()
    });
    for wrong in server.end() {
        totals.failed += 1;
        remarks.push(wrong);
    }
    Ok(totals)
}

/// Runs a suite's program and reads its lines; the program's own sum and exit code must agree with them.
pub(crate) fn play(command: &mut Command, folder: &Path, cases: &mut Vec<Case>) -> Outcome<Totals> {
    play_within(SUITE_MAX, command, folder, cases)
}

/// The same with a limit of its own.
pub(crate) fn play_within(
    limit: Duration,
    command: &mut Command,
    folder: &Path,
    cases: &mut Vec<Case>,
) -> Outcome<Totals> {
    let errors = folder.join("suite.err");
    let file =
        fs::File::create(&errors).map_err(|error| format!("{}: {error}", errors.display()))?;
    println!("$ {}", process::shown(command));
    let mut all = String::new();
    let mut totals = Totals::default();
    let mut closing = None;
    let status = process::to_end(command.stdout(Stdio::piped()).stderr(file), limit, |line| {
        all.push_str(line);
        all.push('\n');
        if let Some(case) = Case::parse(line) {
            totals.add(case.totals());
            if case.ending != Ending::Passed {
                println!("{line}");
            }
            cases.push(case);
        } else {
            closing = report::closing(line).or(closing);
        }
    });
    fs::write(folder.join("suite.log"), all).map_err(|error| format!("suite.log: {error}"))?;
    let status = status?;
    if closing != Some(totals) || status.success() != (totals.failed == 0 && totals.passed > 0) {
        let tail = process::tail(&errors, 20);
        return Err(format!(
            "the program ended with {status} after {totals}, saying {closing:?}\n{tail}"
        ));
    }
    Ok(totals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Outcome<Choice> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        Choice::parse(&words)
    }

    #[test]
    fn nothing_chosen_means_everything() {
        assert_eq!(
            parse(&[]),
            Ok(Choice {
                rust: true,
                memory: true,
                tls: true,
                benches: true,
                fuzz: true,
                sim: true,
                ..Choice::sdks()
            })
        );
    }

    #[test]
    fn only_what_is_named_is_run() {
        let choice = parse(&["--only", "node", "--only=rust"]);
        let wanted = Choice { rust: true, suites: vec![Suite::Node], ..Choice::sdks() };
        assert_eq!(choice, Ok(wanted));
        assert!(parse(&["--only=benches"]).unwrap().benches);
        assert!(parse(&["--only=fuzz"]).unwrap().fuzz);
        assert!(parse(&["--only=tls"]).unwrap().tls);
        assert!(parse(&["--only=sim"]).unwrap().sim);
        for wrong in [&["--only"][..], &["--only", "perl"], &["node"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    fn play_script(script: &str) -> Outcome<Totals> {
        // The suites print to a folder of their own, so the scripts do too.
        let name = format!("ossia-xtask-play-{}-{}", std::process::id(), script.len());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let outcome = play(&mut command, &folder, &mut Vec::new());
        fs::remove_dir_all(&folder).unwrap();
        outcome
    }

    #[test]
    fn a_suite_that_says_less_than_it_ran_is_a_failure() {
        let good = "echo 'ok - a v1 path / x'; echo '1 passed, 0 failed, 0 skipped'";
        assert_eq!(play_script(good), Ok(Totals { passed: 1, failed: 0, skipped: 0 }));
        let failing =
            "echo 'not ok - a v1 path / x: y'; echo '0 passed, 1 failed, 0 skipped'; exit 1";
        assert_eq!(play_script(failing), Ok(Totals { passed: 0, failed: 1, skipped: 0 }));
        for wrong in [
            "echo 'ok - a v1 path / x'",
            "echo 'ok - a v1 path / x'; echo '2 passed, 0 failed, 0 skipped'",
            "echo 'ok - a v1 path / x'; echo '1 passed, 0 failed, 0 skipped'; exit 1 #",
            "echo '0 passed, 0 failed, 0 skipped'",
        ] {
            assert!(play_script(wrong).is_err(), "{wrong}");
        }
    }
}
