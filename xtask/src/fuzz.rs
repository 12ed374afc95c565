//! `fuzz`: libFuzzer over the targets of `fuzz/`, built by the stable compiler with the instrumentation that libFuzzer asks for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::report::Totals;
use crate::{Outcome, check, process, tree};

/// Every target of `fuzz/src/lib.rs`; its own tests hold against this list.
const TARGETS: [&str; 10] = [
    "request",
    "xml",
    "signature",
    "form",
    "policy",
    "identities",
    "settings",
    "records",
    "files",
    "journal",
];
/// In continuous integration.
const SECONDS: u64 = 60;
const JOBS: usize = 2;
/// Inputs are no longer than this: everything interesting fits, and short inputs run often.
const INPUT_BYTES_MAX: &str = "-max_len=4096";
/// One input takes well below a millisecond; this much of memory and time is a fault, also on a loaded machine.
const BOUNDS: [&str; 2] = ["-rss_limit_mb=1024", "-timeout=20"];
/// Builds and slow ends come on top of the seconds asked for.
const GRACE: Duration = Duration::from_secs(120);
/// What `cargo fuzz` passes without a sanitizer, which is all that a stable compiler takes.
const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg fuzzing",
];
const LOG: &str = "docs/durability/fuzz.md";

/// What to fuzz.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    targets: Vec<&'static str>,
    seconds: u64,
    jobs: usize,
    /// Whether to add lines to the log in the repository.
    log: bool,
    /// Where the random numbers begin: always at the same place in the tests, so that an innocent change does not fail by the luck
    /// of the draw; anew each time in a sitting by hand, which is there to find what is new.
    seed: Option<u32>,
}

impl Choice {
    /// All of them, as continuous integration does.
    pub(crate) fn all() -> Choice {
        Choice {
            targets: TARGETS.to_vec(),
            seconds: SECONDS,
            jobs: JOBS,
            log: false,
            seed: Some(1),
        }
    }

    /// Reads `[TARGET...] [--seconds N] [--jobs N] [--seed N] [--log]`.
    pub(crate) fn parse(arguments: &[String]) -> Outcome<Choice> {
        let mut choice = Choice { targets: Vec::new(), seed: None, ..Choice::all() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let text = arguments.next().map(String::as_str).unwrap_or_default();
                let number = text.parse().ok().filter(|number| *number > 0);
                number.ok_or_else(|| format!("{argument} needs a number above zero"))
            };
            match argument.as_str() {
                "--seconds" => choice.seconds = number()?,
                "--seed" => {
                    choice.seed = Some(number()?.try_into().map_err(|_| "--seed is too large")?);
                }
                "--jobs" => choice.jobs = usize::try_from(number()?).unwrap_or(JOBS),
                "--log" => choice.log = true,
                name => match TARGETS.into_iter().find(|target| *target == name) {
                    Some(target) => choice.targets.push(target),
                    None => return Err(format!("fuzz takes {}, not {name}", TARGETS.join(", "))),
                },
            }
        }
        if choice.targets.is_empty() {
            choice.targets = TARGETS.to_vec();
        }
        Ok(choice)
    }
}

/// One target's sitting.
struct Sitting {
    target: &'static str,
    executions: u64,
    took: Duration,
    /// What was found, with the input; nothing when all held.
    found: Option<String>,
}

/// Builds, runs, prints; `false` when a target found something.
pub(crate) fn run(choice: &Choice) -> Outcome<bool> {
    let totals = totals(choice)?;
    println!("fuzz: {totals}");
    Ok(totals.failed == 0)
}

/// The same, counted: a target that found nothing has passed.
pub(crate) fn totals(choice: &Choice) -> Outcome<Totals> {
    // Of the start: others may commit during an hour.
    let commit = commit();
    let program = build()?;
    let waiting = Mutex::new(choice.targets.iter().copied().rev().collect::<Vec<_>>());
    let sittings = Mutex::new(Vec::new());
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.pop());
    let work = || {
        while let Some(target) = next() {
            let sitting = sit(&program, target, choice);
            if let Ok(mut sittings) = sittings.lock() {
                sittings.push(sitting);
            }
        }
    };
    std::thread::scope(|scope| (0..choice.jobs).for_each(|_| drop(scope.spawn(work))));
    let mut totals = Totals::default();
    let mut lines = String::new();
    for sitting in sittings.into_inner().map_err(|_| "a sitting panicked".to_owned())? {
        let Sitting { target, executions, took, found } = sitting?;
        let result = if found.is_some() { "**found something**" } else { "held" };
        let seconds = took.as_secs();
        println!("{target}: {executions} executions in {seconds} s, {result}");
        lines += &format!("| {commit} | {target} | {seconds} | {executions} | {result} |\n");
        match found {
            None => totals.passed += 1,
            Some(text) => {
                println!("{text}");
                totals.failed += 1;
            }
        }
    }
    if choice.log {
        let path = tree::root().join(LOG);
        let old = fs::read_to_string(&path).map_err(|error| format!("{LOG}: {error}"))?;
        fs::write(&path, format!("{}\n{lines}", old.trim_end()))
            .map_err(|error| format!("{LOG}: {error}"))?;
    }
    Ok(totals)
}

/// The fuzzer, in a target folder of its own: its flags would have everything else built anew each time.
fn build() -> Outcome<PathBuf> {
    let host = host()?;
    let folder = tree::target().join("fuzz");
    // With a target named, the flags are not those of build scripts and macros, which need none.
    let mut command = check::cargo(&["build", "--release", "--locked", "--manifest-path"]);
    command
        .args(["fuzz/driver/Cargo.toml", "--target", &host])
        .env("CARGO_TARGET_DIR", &folder)
        .env("RUSTFLAGS", FLAGS.join(" "))
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if !process::succeeds(&mut command)? {
        return Err("the fuzzer does not build".to_owned());
    }
    Ok(folder.join(host).join("release/ossia-fuzz-driver"))
}

fn host() -> Outcome<String> {
    let told = Command::new("rustc").arg("-vV").output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&told.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc names no host".to_owned())
}

fn sit(program: &Path, target: &'static str, choice: &Choice) -> Outcome<Sitting> {
    let seconds = choice.seconds;
    let folder = tree::target().join("fuzz/sittings").join(target);
    let _ = fs::remove_dir_all(&folder);
    let (fresh, found) = (folder.join("corpus"), folder.join("found"));
    for folder in [&fresh, &found] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let log = folder.join("log");
    let file = fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let kept = tree::root().join("fuzz");
    let mut command = Command::new(program);
    command
        .env("OSSIA_FUZZ", target)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg(INPUT_BYTES_MAX)
        .args(BOUNDS)
        .arg("-print_final_stats=1")
        // New inputs go to the first folder, the others are only read.
        .arg(&fresh)
        .arg(kept.join("corpus").join(target))
        .stdout(Stdio::null())
        .stderr(file);
    if let Some(seed) = choice.seed {
        command.arg(format!("-seed={seed}"));
    }
    let regressions = kept.join("regressions").join(target);
    if regressions.is_dir() {
        command.arg(regressions);
    }
    println!("$ OSSIA_FUZZ={target} {}", process::shown(&command));
    let started = Instant::now();
    let ended = process::to_end(&mut command, Duration::from_secs(seconds) + GRACE, |_| {});
    let took = started.elapsed();
    let text = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let executions = text.ok().and_then(|text| executions(&text)).unwrap_or(0);
    let good = matches!(&ended, Ok(status) if status.success());
    let found = (!good).then(|| {
        let mut text = format!("{target}: {ended:?}\n{}", process::tail(&log, 40));
        for entry in fs::read_dir(&found).into_iter().flatten().flatten() {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            text += &format!(
                "\n{}, {} bytes, in base64:\n{}\nkeep it in fuzz/regressions/{target}/",
                entry.path().display(),
                bytes.len(),
                base64(&bytes)
            );
        }
        text
    });
    Ok(Sitting { target, executions, took, found })
}

/// From the fuzzer's own sum.
fn executions(log: &str) -> Option<u64> {
    let line = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    line.trim().parse().ok()
}

/// RFC 4648, so that an input can be copied out of a log.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let group = three.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

fn commit() -> String {
    let told = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .current_dir(tree::root())
        .output();
    told.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Outcome<Choice> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Choice::parse(&words)
    }

    #[test]
    fn targets_and_times_are_read_and_others_are_refused() {
        assert_eq!(parse(""), Ok(Choice { seed: None, ..Choice::all() }));
        let choice = parse("journal --seconds 5 --jobs 1 --seed 7 --log xml").unwrap();
        let wanted = Choice {
            targets: vec!["journal", "xml"],
            seconds: 5,
            jobs: 1,
            log: true,
            seed: Some(7),
        };
        assert_eq!(choice, wanted);
        for wrong in ["xmls", "--seconds", "--seconds 0", "--jobs many"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_target_has_a_corpus_and_is_known_to_its_crate() {
        let source = fs::read_to_string(tree::root().join("fuzz/src/lib.rs")).unwrap();
        for target in TARGETS {
            assert!(source.contains(&format!("name: \"{target}\"")), "{target}");
            assert!(tree::root().join("fuzz/corpus").join(target).is_dir(), "{target}");
        }
        assert_eq!(source.matches("name: \"").count(), TARGETS.len());
    }

    #[test]
    fn base64_is_as_in_the_rfc() {
        let told = ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes()));
        assert_eq!(told, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
        assert_eq!(executions("x\nstat::number_of_executed_units: 17\ny"), Some(17));
    }
}
