//! `check`, `run` and `bench`: what Cargo does, with warnings denied, and what we depend on.

use std::process::Command;

use crate::{Outcome, dependencies, process, tidy, tree};

/// Cargo at the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(tree::root());
    command
}

/// Format, lints, documentation, tidiness and dependencies; all of them run, so that one visit shows everything.
pub(crate) fn run() -> Outcome<bool> {
    let mut docs = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    let steps = [
        cargo(&["fmt", "--all", "--check"]),
        cargo(&["fmt", "--manifest-path", "compat/opendal/Cargo.toml", "--check"]),
        cargo(&["fmt", "--manifest-path", "fuzz/driver/Cargo.toml", "--check"]),
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
        docs,
    ];
    let mut good = true;
    for mut step in steps {
        good &= process::succeeds(&mut step)?;
    }
    good &= tidy::run()?;
    good &= dependencies::run()?;
    println!("check: {}", if good { "good" } else { "failed" });
    Ok(good)
}

/// Builds and starts a server, and stays with it.
pub(crate) fn serve(rest: &[String]) -> Outcome<bool> {
    let mut command = cargo(&["run", "--release", "--locked", "-p", "ossia", "--", "serve"]);
    command.args(rest);
    process::succeeds(&mut command)
}

/// Builds the server and the load generator in release mode, and runs one of its benches.
pub(crate) fn bench(rest: &[String]) -> Outcome<bool> {
    if !process::succeeds(&mut cargo(&["build", "--release", "--locked", "-p", "ossia"]))? {
        return Ok(false);
    }
    let mut command = cargo(&["run", "--release", "--locked", "-p", "ossia-benches", "--"]);
    command.args(rest);
    process::succeeds(&mut command)
}
