//! The project's verbs: `cargo xtask check | tidy | test | compat | run | bench | fuzz | sim`.
//!
//! Owns: what continuous integration runs, in the form in which a person runs it, each step printing the command that
//! repeats it. Must not know: anything of the server but its command line, its listening line and its health answer.
//! It has no dependencies, so that it is built in a moment and checks a tree whose crates do not compile.

mod benches;
mod check;
mod dependencies;
mod fuzz;
mod process;
mod record;
mod report;
mod server;
mod sim;
mod suites;
mod test;
mod tidy;
mod tree;

use std::process::ExitCode;

/// What a verb that cannot go on says.
pub(crate) type Outcome<T> = Result<T, String>;

const USAGE: &str = "usage: cargo xtask <verb>

  check                 fmt, clippy, docs, tidy and dependencies, all with warnings denied
  tidy                  room edges, left-overs, long lines, files that ARCHITECTURE.md names
  test [--only NAME]    all tests; NAME is rust, node, python, go, java, opendal, ossutil, browser, memory,
                        benches, fuzz or sim, and may be repeated
  compat [--only NAME]  the SDK programs alone, and their matrix as a Markdown table; with --write what they did
                        becomes compat/record.tsv and docs/COMPAT.md, which the tests compare with
  run [ARGUMENTS]       a release build of `ossia serve` with these arguments
  bench NAME [OPTIONS]  append, read, list, multipart, access, soak or overload, beside its floors;
                        --short only shows that the harness works
  fuzz [TARGET...] [--seconds N] [--jobs N] [--seed N] [--log]
                        every target of `fuzz/`, or some, a minute each, two at a time;
                        --log adds to docs/durability/fuzz.md
  sim [OPTIONS]         power cuts and failing disks under a release build: --cuts N, --seed S, --log FILE,
                        --no-cuts, --no-scenarios; --mutants [NAMES] shows that planted faults are found.
                        Needs /dev/fuse, and to be root

OSSIA_REQUIRE_ALL=1 makes an absent runtime a failure, OSSIA_BINARY=FILE tests a server that is already built";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((verb, rest)) => run(verb, rest),
        None => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

/// Runs a verb; `false` means that it ran and found something wrong.
fn run(verb: &str, rest: &[String]) -> Outcome<bool> {
    match verb {
        "check" => none(rest).and_then(|()| check::run()),
        "tidy" => none(rest).and_then(|()| tidy::run()),
        "test" => test::run(&test::Choice::parse(rest)?),
        "compat" => test::run(&test::Choice::parse_compat(rest)?),
        "run" => check::serve(rest),
        "bench" => check::bench(rest),
        "fuzz" => fuzz::run(&fuzz::Choice::parse(rest)?),
        "sim" => sim::run(rest),
        _ => Err(USAGE.to_owned()),
    }
}

fn none(rest: &[String]) -> Outcome<()> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(format!("no arguments are taken here: {rest:?}\n{USAGE}"))
    }
}
