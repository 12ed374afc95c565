//! `sim`: power cuts, failing disks and planted faults, through the program `ossia-sim`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::report::{Case, Totals};
use crate::{Outcome, check, process, test, tree};

/// Planted faults that one run of the tests looks for; others at another commit.
const MUTANTS_A_RUN: &str = "2";
/// A sitting of thousands of cuts takes its time.
const SITTING_MAX: Duration = Duration::from_secs(24 * 3600);
/// In the tests: hundreds of starts and stops, each of which a loaded machine makes slow.
const SHORT_MAX: Duration = Duration::from_secs(30 * 60);

/// Runs `ossia-sim` with these arguments, on a release build of the server or, for `--mutants`, on a build that has them.
pub(crate) fn run(rest: &[String]) -> Outcome<bool> {
    let binary = match rest.iter().any(|argument| argument == "--mutants") {
        true => mutants()?,
        false => test::binary()?,
    };
    let mut command = program(&binary)?;
    command.args(rest);
    println!("$ {}", process::shown(&command));
    Ok(process::to_end(&mut command, SITTING_MAX, |_| {})?.success())
}

/// The short form: a hundred cuts, every scenario, and some of the planted faults.
pub(crate) fn short(binary: &Path, remarks: &mut Vec<String>) -> Outcome<Totals> {
    if !Path::new("/dev/fuse").exists() {
        remarks.push("/dev/fuse is absent: no power cuts".to_owned());
        let required = std::env::var("OSSIA_REQUIRE_ALL").is_ok_and(|value| value == "1");
        return Ok(if required { Totals::failure() } else { Totals::skip() });
    }
    let mut totals = play(&mut program(binary)?, "cuts")?;
    let mut planted = program(&mutants()?)?;
    totals.add(play(planted.args(["--mutants", MUTANTS_A_RUN]), "mutants")?);
    Ok(totals)
}

fn play(command: &mut Command, name: &str) -> Outcome<Totals> {
    let folder = tree::target().join("sim").join(name);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut cases: Vec<Case> = Vec::new();
    let totals = test::play_within(SHORT_MAX, command, &folder, &mut cases)?;
    if totals.failed > 0 {
        // What was lost, and the server's log: nobody would find it in a file on another machine.
        println!("{}", process::tail(&folder.join("suite.log"), 120));
    }
    Ok(totals)
}

fn program(binary: &Path) -> Outcome<Command> {
    let mut build = check::cargo(&["build", "--locked", "-p", "ossia-sim"]);
    if !process::succeeds(&mut build)? {
        return Err("the power cuts do not build".to_owned());
    }
    let mut command = Command::new(tree::target().join("debug/ossia-sim"));
    command.arg("--ossia").arg(binary).args(["--commit", &commit()]).current_dir(tree::root());
    Ok(command)
}

/// The server with its planted faults, under a name of its own: the next build writes over the usual one.
fn mutants() -> Outcome<PathBuf> {
    let features = ["build", "--locked", "-p", "ossia", "--features", "mutants"];
    if !process::succeeds(&mut check::cargo(&features))? {
        return Err("the server with planted faults does not build".to_owned());
    }
    let folder = tree::target().join("sim");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let (from, to) = (tree::target().join("debug/ossia"), folder.join("ossia-mutants"));
    fs::copy(&from, &to).map_err(|error| format!("{}: {error}", to.display()))?;
    Ok(to)
}

/// What this tree is called; with a mark where it differs from its commit.
fn commit() -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=10"])
        .current_dir(tree::root())
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_default()
}
