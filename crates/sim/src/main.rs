//! `ossia-sim`: power cuts and failing disks under a server binary. `cargo xtask sim` builds the binary and calls it.

mod mutants;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use ossia_sim::cuts::{self, Found, Plan};
use ossia_sim::random::Random;
use ossia_sim::scenarios;
use ossia_sim::settings::{DEFAULT, RESTLESS, RESTLESS_TWO, Settings};

const USAGE: &str = "usage: ossia-sim --ossia FILE [OPTIONS]

  --cuts N          so many power cuts; default 100
  --seed S          decides everything that is chosen; default: a new one, which is printed
  --settings NAME   restless, restless2 or default; else each store has its own
  --log FILE        adds a line on the cuts to this Markdown table
  --commit ID       what the log calls this tree
  --no-cuts         the scenarios of full, slow and failing disks alone
  --no-scenarios    the cuts alone
  --only TEXT       of the scenarios those whose name has this
  --mutants [NAMES] instead of all that: shows that each planted fault is found. The binary must have been built
                    with the feature `mutants`. NAMES: some of them, with commas; or a number: so many, chosen by
                    --commit";

/// What is asked for.
pub(crate) struct Choice {
    pub(crate) binary: PathBuf,
    pub(crate) cuts: u64,
    pub(crate) seed: u64,
    pub(crate) settings: Option<Settings>,
    log: Option<PathBuf>,
    pub(crate) commit: String,
    with_cuts: bool,
    with_scenarios: bool,
    only: String,
    mutants: Option<String>,
}

impl Choice {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Choice, String> {
        let mut arguments = arguments.peekable();
        let mut choice = Choice {
            binary: PathBuf::new(),
            cuts: 100,
            seed: Random::fresh_seed().map_err(|error| error.to_string())?,
            settings: None,
            log: None,
            commit: String::new(),
            with_cuts: true,
            with_scenarios: true,
            only: String::new(),
            mutants: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} takes a value"));
            let number = |text: String| text.parse().map_err(|_| format!("{text} is no number"));
            match argument.as_str() {
                "--ossia" => choice.binary = value()?.into(),
                "--cuts" => choice.cuts = number(value()?)?,
                "--seed" => choice.seed = number(value()?)?,
                "--log" => choice.log = Some(value()?.into()),
                "--commit" => choice.commit = value()?,
                "--only" => choice.only = value()?,
                "--no-cuts" => choice.with_cuts = false,
                "--no-scenarios" => choice.with_scenarios = false,
                "--settings" => {
                    let name = value()?;
                    let all = [RESTLESS, RESTLESS_TWO, DEFAULT];
                    let named = all.into_iter().find(|settings| settings.name == name);
                    choice.settings = Some(named.ok_or(format!("no settings are called {name}"))?);
                }
                "--mutants" => {
                    let names = arguments.next_if(|next| !next.starts_with("--"));
                    choice.mutants = Some(names.unwrap_or_default());
                }
                _ => return Err(format!("{argument} is not known\n{USAGE}")),
            }
        }
        if choice.binary.as_os_str().is_empty() {
            return Err(USAGE.to_owned());
        }
        Ok(choice)
    }
}

/// Counts what passed, and says so in the form that `xtask` reads.
#[derive(Default)]
pub(crate) struct Tests {
    passed: u64,
    failed: u64,
}

impl Tests {
    pub(crate) fn told(&mut self, name: &str, began: Instant, wrong: Option<&str>) {
        let took = began.elapsed().as_secs_f64();
        match wrong {
            None => {
                self.passed += 1;
                println!("ok - sim / {name} ({took:.1} s)");
            }
            Some(wrong) => {
                self.failed += 1;
                let first = wrong.lines().next().unwrap_or_default();
                println!("{wrong}\nnot ok - sim / {name} ({took:.1} s): {first}");
            }
        }
    }

    fn end(&self) -> ExitCode {
        println!("{} passed, {} failed, 0 skipped", self.passed, self.failed);
        if self.failed == 0 && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn main() -> ExitCode {
    let choice = match Choice::parse(std::env::args().skip(1)) {
        Ok(choice) => choice,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    println!("seed {}", choice.seed);
    let mut tests = Tests::default();
    if let Some(names) = &choice.mutants {
        if let Err(error) = mutants::run(&choice, names, &mut tests) {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
        return tests.end();
    }
    if choice.with_cuts && !cut(&choice, &mut tests) {
        return ExitCode::from(2);
    }
    if choice.with_scenarios {
        for scenario in scenarios::ALL.iter().filter(|s| s.name.contains(&choice.only)) {
            let began = Instant::now();
            let wrong = scenario.run(&choice.binary, &[], choice.seed).err();
            tests.told(scenario.name, began, wrong.as_deref());
        }
    }
    tests.end()
}

/// Makes the cuts; `false` where the machine cannot.
fn cut(choice: &Choice, tests: &mut Tests) -> bool {
    let began = Instant::now();
    let plan = Plan {
        binary: choice.binary.clone(),
        environment: Vec::new(),
        cuts: choice.cuts,
        seed: choice.seed,
        settings: choice.settings,
    };
    let found = match cuts::run(&plan) {
        Ok(found) => found,
        Err(error) => {
            eprintln!("{error}");
            return false;
        }
    };
    let Found {
        cuts, cut_starts, changes_lost, names_lost, operations, acknowledged, expired, ..
    } = found;
    println!(
        "{cuts} power cuts, {cut_starts} of them while a server started: {operations} operations, {acknowledged} \
         changes acknowledged; {changes_lost} writes and {names_lost} names without a sync were lost or torn; \
         {expired} versions expired"
    );
    let wrong = found.wrong.as_deref();
    tests.told(&format!("{cuts} power cuts lose nothing acknowledged"), began, wrong);
    if let Some(log) = &choice.log
        && let Err(error) = note(log, choice, &found)
    {
        eprintln!("{}: {error}", log.display());
        return false;
    }
    true
}

/// Adds a line to the log.
fn note(log: &Path, choice: &Choice, found: &Found) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(log)?;
    if file.metadata()?.len() == 0 {
        file.write_all(HEADING.as_bytes())?;
    }
    let settings = choice.settings.map_or("mixed", |settings| settings.name);
    let result = match &found.wrong {
        None => "nothing lost, nothing resurrected, every history linearizable",
        Some(wrong) => wrong.lines().next().unwrap_or_default(),
    };
    let Found { cuts, cut_starts, operations, acknowledged, .. } = found;
    writeln!(
        file,
        "| {} | {} | {settings} | {cuts} | {cut_starts} | {operations} | {acknowledged} | {} |",
        choice.commit,
        choice.seed,
        result.replace('|', "/")
    )
}

const HEADING: &str = "# Power cuts

Each line is a sitting of `cargo xtask sim --no-scenarios --cuts N --seed S --log docs/durability/cuts.md`: so many cuts
of the power under the server, with 16 clients at appends, puts, copies, uploads, seals, deletes, reads and listings, on
stores of 20 cuts each; later sittings have 11 more, at versions, retentions, holds, policies, restores, quotas and what
expires. After every cut the server is started again, and everything is read and judged.

| commit | seed | settings | cuts | while starting | operations | changes acknowledged | result |
|---|---|---|---|---|---|---|---|
";
